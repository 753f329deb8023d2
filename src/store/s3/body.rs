//! Bytes in memory on their way out, and how many of them have gone.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

use crate::store::RateLimit;

/// Handed to the connection at a time: small enough that a line of 32 KiB/s shows movement within
/// seconds.
const PIECE: usize = 128 << 10;

/// Bytes that moved, in either direction.
#[derive(Debug, Clone, Default)]
pub(super) struct Meter(Arc<AtomicU64>);

impl From<Arc<AtomicU64>> for Meter {
    fn from(counter: Arc<AtomicU64>) -> Self {
        Self(counter)
    }
}

impl Meter {
    pub(super) fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Runs an attempt for as long as bytes move; `None` if none did for the time of a stall. What
    /// the SDK itself offers does not see a body that lies in memory: it would wait for ever.
    pub(super) async fn watch<T>(
        &self,
        stall: Duration,
        attempt: impl Future<Output = T>,
    ) -> Option<T> {
        let mut attempt = std::pin::pin!(attempt);
        let mut seen = self.get();
        loop {
            if let Ok(done) = tokio::time::timeout(stall, attempt.as_mut()).await {
                return Some(done);
            }
            let now = self.get();
            if now == seen {
                return None;
            }
            seen = now;
        }
    }
}

/// A body that can be sent again, and copies nothing.
pub(super) fn metered(
    bytes: &Bytes,
    meters: [Option<&Meter>; 2],
    limit: Option<&RateLimit>,
) -> ByteStream {
    let (bytes, limit) = (bytes.clone(), limit.cloned());
    let meters = meters.map(Option::<&Meter>::cloned);
    ByteStream::new(SdkBody::retryable(move || {
        SdkBody::from_body_1_x(Metered {
            left: bytes.clone(),
            meters: meters.clone(),
            limit: limit.clone(),
            pause: None,
        })
    }))
}

struct Metered {
    left: Bytes,
    meters: [Option<Meter>; 2],
    limit: Option<RateLimit>,
    /// Until more may go.
    pause: Option<Pin<Box<Sleep>>>,
}

impl Body for Metered {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(context));
            self.pause = None;
        }
        if self.left.is_empty() {
            return Poll::Ready(None);
        }
        let piece = self.left.len().min(PIECE);
        let piece = self.left.split_to(piece);
        for meter in self.meters.iter().flatten() {
            meter.add(piece.len());
        }
        if let Some(limit) = &self.limit {
            let pause = limit.after(piece.len());
            self.pause = Some(Box::pin(sleep(pause)));
        }
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left.len() as u64)
    }
}
