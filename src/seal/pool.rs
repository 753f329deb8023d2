//! Buffers that are reused: a new one costs the kernel a page fault per 4 KiB.

use crossbeam_channel::{Receiver, Sender, bounded};

/// Buffers that wait for their next use. Clones share them.
#[derive(Clone)]
pub(super) struct Pool {
    give: Sender<Vec<u8>>,
    take: Receiver<Vec<u8>>,
    capacity: usize,
}

impl Pool {
    /// A pool that keeps at most `keep` buffers, each for `capacity` bytes.
    pub(super) fn new(keep: usize, capacity: usize) -> Self {
        let (give, take) = bounded(keep);
        Self {
            give,
            take,
            capacity,
        }
    }

    /// A buffer for bytes that take the place of what is in it.
    pub(super) fn take(&self) -> Vec<u8> {
        self.take
            .try_recv()
            .unwrap_or_else(|_| Vec::with_capacity(self.capacity))
    }

    /// Takes a buffer back. Frees it if there are enough, or if it is smaller than the pool's buffers.
    pub(super) fn give(&self, buffer: Vec<u8>) {
        if buffer.capacity() >= self.capacity {
            let _ = self.give.try_send(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_and_no_more_are_kept_than_agreed() {
        let pool = Pool::new(1, 64);
        let mut first = pool.take();
        first.extend_from_slice(b"raw");
        let address = first.as_ptr();
        let second = pool.take();
        pool.give(first);
        pool.give(second);
        let again = pool.take();
        assert_eq!(again.as_ptr(), address);
        let fresh = pool.take();
        assert_ne!(fresh.as_ptr(), again.as_ptr());
    }

    #[test]
    fn a_buffer_that_is_too_small_is_not_kept() {
        let pool = Pool::new(1, 64);
        pool.give(vec![1]);
        assert!(pool.take().capacity() >= 64);
    }
}
