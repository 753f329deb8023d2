//! Limits the sealed bytes in memory. They count from a segment's first frame until its last holder drops it.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use super::abort::{Abort, Aborted};

/// The longest time until a waiting thread notices an abort.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Bytes that may be held. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct Budget(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limit: u64,
    held: Mutex<Holders>,
    freed: Condvar,
}

/// The bytes that are held.
#[derive(Debug, Default)]
struct Holders {
    /// All of it.
    all: u64,
    /// Those of whole segments among them.
    whole: u64,
    /// Those of contents, which are not among them.
    contents: u64,
}

/// The bytes that are held for one segment, or for one object of contents. They are given back when this is dropped.
#[derive(Debug)]
pub struct Held {
    budget: Budget,
    bytes: u64,
    /// The length of the segment, if it is whole.
    whole: u64,
    holder: Holder,
}

/// What bytes are held for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holder {
    Segment,
    Contents,
}

impl Budget {
    pub(super) fn new(limit: u64) -> Self {
        Self(Arc::new(Shared {
            limit,
            held: Mutex::default(),
            freed: Condvar::new(),
        }))
    }

    /// Starts to hold; no bytes yet.
    pub(super) fn hold(&self) -> Held {
        Held {
            budget: self.clone(),
            bytes: 0,
            whole: 0,
            holder: Holder::Segment,
        }
    }

    /// Starts to hold for an object of contents. It grows while a segment does, and neither can wait for the other to be
    /// whole. So each waits only for what is whole already.
    pub(super) fn hold_contents(&self) -> Held {
        let mut held = self.hold();
        held.holder = Holder::Contents;
        held
    }

    /// Returns the bytes of whole segments that are still in memory.
    pub(super) fn whole(&self) -> u64 {
        self.held().whole
    }

    fn held(&self) -> MutexGuard<'_, Holders> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// Holds more bytes; waits until others have given back enough. If no other holder has any, it gets
    /// whatever it asks for: waiting would not help.
    pub(super) fn grow(&mut self, bytes: u64, abort: Option<&Abort>) -> Result<(), Aborted> {
        let mut held = self.budget.held();
        while self.may_wait(&held) && held.all + held.contents + bytes > self.budget.0.limit {
            let waited = self.budget.0.freed.wait_timeout(held, LOOK_AGAIN);
            held = waited.unwrap_or_else(PoisonError::into_inner).0;
            if abort.is_some_and(Abort::raised) {
                return Err(Aborted);
            }
        }
        *self.share(&mut held) += bytes;
        self.bytes += bytes;
        Ok(())
    }

    /// Whether others hold bytes that they give back without this holder.
    fn may_wait(&self, held: &Holders) -> bool {
        match self.holder {
            Holder::Segment => held.all > self.bytes,
            Holder::Contents => held.whole > 0 || held.contents > self.bytes,
        }
    }

    fn share<'h>(&self, held: &'h mut Holders) -> &'h mut u64 {
        match self.holder {
            Holder::Segment => &mut held.all,
            Holder::Contents => &mut held.contents,
        }
    }

    /// Gives back some of the bytes.
    pub fn shrink(&mut self, bytes: u64) {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        *self.share(&mut self.budget.held()) -= bytes;
        self.budget.0.freed.notify_all();
    }

    /// Wraps a whole segment's bytes, which are held until the last clone of them is dropped.
    pub(super) fn with(mut self, bytes: Vec<u8>) -> Bytes {
        if self.holder == Holder::Segment {
            self.whole = bytes.len() as u64;
            self.budget.held().whole += self.whole;
        }
        Bytes::from_owner(SealedBytes { bytes, _held: self })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut held = self.budget.held();
        *self.share(&mut held) -= self.bytes;
        held.whole -= self.whole;
        drop(held);
        self.budget.0.freed.notify_all();
    }
}

/// The order of the fields matters: the memory is freed before a waiting thread is woken.
struct SealedBytes {
    bytes: Vec<u8>,
    _held: Held,
}

impl AsRef<[u8]> for SealedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::bounded;

    use super::*;

    fn abort() -> (crossbeam_channel::Sender<std::convert::Infallible>, Abort) {
        let (raise, abort) = bounded(0);
        (raise, Abort(abort))
    }

    #[test]
    fn who_asks_for_more_than_is_left_waits_until_another_lets_go() {
        let (_raise, abort) = abort();
        let budget = Budget::new(100);
        let mut first = budget.hold();
        assert!(first.grow(70, Some(&abort)).is_ok());
        assert_eq!(budget.whole(), 0);
        let first = first.with(vec![0; 69]);
        assert_eq!(budget.whole(), 69);
        let waiter = {
            let budget = budget.clone();
            std::thread::spawn(move || {
                let mut second = budget.hold();
                assert!(second.grow(30, Some(&abort)).is_ok());
                assert!(second.grow(1, None).is_ok());
                second.bytes
            })
        };
        std::thread::sleep(Duration::from_millis(50));
        assert!(!waiter.is_finished());
        let clone = first.clone();
        drop(first);
        assert!(!waiter.is_finished());
        drop(clone);
        assert_eq!(waiter.join().unwrap(), 31);
        assert_eq!(budget.whole(), 0);
        assert_eq!(budget.held().all, 0);
        let mut third = budget.hold();
        assert!(third.grow(20, None).is_ok());
        third.shrink(5);
        assert_eq!(budget.held().all, 15);
        third.shrink(100);
        assert_eq!(budget.held().all, 0);
    }

    #[test]
    fn who_holds_alone_gets_more_than_there_is() {
        let (_raise, abort) = abort();
        let mut only = Budget::new(10).hold();
        assert!(only.grow(8, Some(&abort)).is_ok());
        assert!(only.grow(1000, Some(&abort)).is_ok());
    }

    #[test]
    fn contents_and_a_segment_that_grow_at_once_wait_for_neither() {
        let (_raise, abort) = self::abort();
        let budget = Budget::new(100);
        let (mut segment, mut contents) = (budget.hold(), budget.hold_contents());
        assert!(segment.grow(90, Some(&abort)).is_ok());
        assert!(contents.grow(30, None).is_ok());
        assert!(segment.grow(20, Some(&abort)).is_ok());
        assert!(contents.grow(5, None).is_ok());
        contents.shrink(5);
        let held = || {
            let held = budget.held();
            (held.all, held.contents)
        };
        assert_eq!(held(), (110, 30));
        let whole = segment.with(vec![0; 100]);
        assert_eq!(budget.whole(), 100);
        let (raise, raised) = self::abort();
        drop(raise);
        let waits = contents.grow(10, Some(&raised)).is_err();
        assert!(waits, "the holder of the whole segment gives it back");
        drop(whole);
        assert!(contents.grow(10, Some(&raised)).is_ok());
        let object = contents.with(vec![0; 40]);
        assert_eq!((budget.whole(), budget.held().contents), (0, 40));
        drop(object);
        assert_eq!(held(), (0, 0));
    }

    #[test]
    fn an_abort_ends_the_waiting() {
        let (raise, abort) = abort();
        let budget = Budget::new(10);
        let mut first = budget.hold();
        assert!(first.grow(10, Some(&abort)).is_ok());
        drop(raise);
        let mut second = budget.hold();
        assert!(second.grow(1, Some(&abort)).is_err());
    }
}
