//! Bodies of requests from bytes in memory, and counters of the bytes that were sent.

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

/// Bytes that the connection gets at a time: few enough that a line of 32 KiB/s shows movement within
/// seconds.
const PIECE: usize = 128 << 10;

/// Counts the bytes that moved, in either direction.
#[derive(Debug, Clone, Default)]
pub(in crate::store) struct Meter(Arc<AtomicU64>);

impl From<Arc<AtomicU64>> for Meter {
    fn from(counter: Arc<AtomicU64>) -> Self {
        Self(counter)
    }
}

impl Meter {
    pub(in crate::store) fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Runs an attempt as long as bytes move. Returns `None` if none moved for the time `stall`. The SDK's
    /// own stall detection does not see a body in memory, and would wait without end.
    pub(in crate::store) async fn watch<T>(
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

/// Returns a body that can be sent again, and that copies no bytes.
pub(in crate::store) fn metered(
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
    /// The pause until more may be sent.
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
