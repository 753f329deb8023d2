//! PUT of an object of another store while it is read: what is in memory are a few pieces of it.
//!
//! The digest is compared before the last piece is sent, so that a service never gets the whole of wrong bytes, and the
//! service compares it too. A PUT that fails is not tried again here: its bytes would have to be read anew for each.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::thread;
use std::time::Duration;

use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::{Sleep, sleep};

use super::S3Store;
use super::learned::IfNoneMatch;
use super::put::{Header, Sent};
use super::settings::Checksum;
use crate::store::aws::Meter;
use crate::store::copying::{PieceReader, Unread};
use crate::store::error::{ErrorKind, Operation, StoreError};
use crate::store::{Locator, ObjectKind, Put, RateLimit, RemoteObject, Store};

/// Bytes that are read at a time. One such piece is sent, one waits, and one is read.
const PIECE: u64 = 8 << 20;

/// Bytes that the connection gets at a time.
const STEP: usize = 128 << 10;

impl S3Store<'_> {
    /// Stores an object while it is read from another store.
    pub(super) fn put_while_reading(
        &self,
        from: &dyn Store,
        at: &Locator,
        object: &RemoteObject<'_>,
    ) -> Result<Option<Put>, StoreError> {
        // The other checksums are of bytes that are not here yet. What else there is to store is small.
        if object.role != ObjectKind::Segment
            || object.bytes <= PIECE
            || self.settings.checksum != Checksum::Sha256
            || self.learned().refuses_relays
        {
            return Ok(None);
        }
        let is_unread = AtomicBool::new(false);
        let is_unread = &is_unread;
        thread::scope(|scope| {
            let read = |meter: &Meter| {
                let (pieces, next) = channel(1);
                scope.spawn(move || {
                    if read_pieces(from, at, object, &pieces).is_err() {
                        is_unread.store(true, Ordering::Relaxed);
                        // If the connection has failed meanwhile, the answer is not needed.
                        let _ = pieces.blocking_send(Err(Unread));
                    }
                });
                ByteStream::new(SdkBody::from_body_1_x(Relayed {
                    next,
                    piece: Bytes::new(),
                    left: object.bytes,
                    meter: meter.clone(),
                    limit: self.limit.clone(),
                    pause: None,
                }))
            };
            self.run(Box::pin(self.put_once(object, &read, is_unread)))
        })
    }

    /// Sends one PUT, and compares what a HEAD shows then.
    async fn put_once(
        &self,
        object: &RemoteObject<'_>,
        read: &impl Fn(&Meter) -> ByteStream,
        is_unread: &AtomicBool,
    ) -> Result<Option<Put>, StoreError> {
        let here = Store::locate(self, object.key);
        let looks_first = match self.learned().condition {
            IfNoneMatch::Kept | IfNoneMatch::Unknown => false,
            IfNoneMatch::Ignored | IfNoneMatch::Refused => true,
        };
        if looks_first && self.look(Operation::Put, &here).await.is_ok() {
            return self.existing(object, &here).await;
        }
        let connection = self.connection().await?;
        let checksum = Header::Sha256(BASE64.encode(object.sha256.0));
        let mut attempt = async |client: &_, meter: &Meter| {
            self.send(client, object, read(meter), &checksum).await
        };
        let meter = Meter::default();
        let sent = self
            .requests
            .attempt(&connection, &meter, Duration::ZERO, &mut attempt)
            .await;
        match sent {
            Ok(Sent::Existed) => return self.existing(object, &here).await,
            Ok(Sent::Stored) => {}
            Err(_) if is_unread.load(Ordering::Relaxed) => return Ok(None),
            Err(_) => {
                // A line or a service that can't do it would have each object read twice.
                self.learned().refuses_relays = true;
                return Ok(None);
            }
        }
        self.requests.has_answered();
        match self.look(Operation::Put, &here).await {
            Ok(head) => {
                self.compare(object, &head).await?;
                Ok(Some(Put::Created(head.locator)))
            }
            Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns an object that was there before, if the service keeps its digest, and it is the right one.
    async fn existing(
        &self,
        object: &RemoteObject<'_>,
        here: &Locator,
    ) -> Result<Option<Put>, StoreError> {
        let head = self.head(Operation::Put, here).await?;
        let is_right = head.stat.bytes == object.bytes && head.stat.sha256 == Some(object.sha256);
        Ok(is_right.then_some(Put::Existed(head.locator)))
    }
}

/// Reads the object in pieces, until its end, or until the channel is closed. Gives the last piece only if the digest of all is
/// right.
fn read_pieces(
    from: &dyn Store,
    at: &Locator,
    object: &RemoteObject<'_>,
    pieces: &Sender<Result<Bytes, Unread>>,
) -> Result<(), Unread> {
    for piece in PieceReader::new(from, at, object, PIECE) {
        if pieces.blocking_send(Ok(piece?.into())).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// The body of an object that is being read.
struct Relayed {
    next: Receiver<Result<Bytes, Unread>>,
    /// What is left of the piece that is being sent.
    piece: Bytes,
    left: u64,
    meter: Meter,
    limit: Option<RateLimit>,
    /// The pause until more may be sent.
    pause: Option<Pin<Box<Sleep>>>,
}

impl Body for Relayed {
    type Data = Bytes;
    type Error = Unread;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Unread>>> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(context));
            self.pause = None;
        }
        if self.left == 0 {
            return Poll::Ready(None);
        }
        if self.piece.is_empty() {
            match ready!(self.next.poll_recv(context)) {
                Some(Ok(piece)) => self.piece = piece,
                // The end of the channel before the end of the object is the end of its reader.
                Some(Err(Unread)) | None => return Poll::Ready(Some(Err(Unread))),
            }
        }
        let len = self.piece.len().min(STEP);
        let step = self.piece.split_to(len);
        self.left -= len as u64;
        self.meter.add(len);
        if let Some(limit) = &self.limit {
            let pause = limit.after(len);
            self.pause = Some(Box::pin(sleep(pause)));
        }
        Poll::Ready(Some(Ok(Frame::data(step))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
