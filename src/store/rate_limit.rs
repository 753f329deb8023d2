//! A limit on the rate of reads and writes of a store.

use std::io::{self, Read, Write};
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Limits the bytes a second of objects' contents, in both directions and over all threads together. The
/// overhead of HTTP, and listings, are not counted.
#[derive(Debug, Clone)]
pub struct RateLimit {
    bytes_per_second: NonZeroU64,
    /// When the bytes that passed so far have used up their time.
    next: Arc<Mutex<Instant>>,
}

impl RateLimit {
    /// Returns a limit that begins now.
    pub fn new(bytes_per_second: NonZeroU64) -> Self {
        Self {
            bytes_per_second,
            next: Arc::new(Mutex::new(Instant::now())),
        }
    }

    /// Returns how long to wait after moving this many bytes.
    pub fn after(&self, bytes: usize) -> Duration {
        self.after_at(bytes, Instant::now())
    }

    fn after_at(&self, bytes: usize, now: Instant) -> Duration {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let nanoseconds = bytes as u128 * 1_000_000_000 / u128::from(self.bytes_per_second.get());
        let takes = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX));
        // Idle time is not saved up.
        *next = (*next).max(now) + takes;
        *next - now
    }
}

/// Bytes that are moved at a time between a file and a buffer, so that the pauses are short.
const STEP: usize = 256 << 10;

/// A file with a limit on the rate of its reads and writes.
pub(super) struct Paced<F> {
    file: F,
    limit: Option<RateLimit>,
}

impl<F> Paced<F> {
    pub(super) fn new(file: F, limit: Option<&RateLimit>) -> Self {
        Self {
            file,
            limit: limit.cloned(),
        }
    }

    /// Returns how many of these bytes to move at once.
    fn step(&self, bytes: usize) -> usize {
        match self.limit {
            Some(_) => bytes.min(STEP),
            None => bytes,
        }
    }

    fn wait_after(&self, bytes: usize) {
        if let Some(limit) = &self.limit {
            thread::sleep(limit.after(bytes));
        }
    }
}

impl<F: Read> Read for Paced<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let step = self.step(buffer.len());
        let read = self.file.read(&mut buffer[..step])?;
        self.wait_after(read);
        Ok(read)
    }
}

impl<F: Write> Write for Paced<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let step = self.step(bytes.len());
        let written = self.file.write(&bytes[..step])?;
        self.wait_after(written);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_take_their_time_whoever_moves_them_and_idle_time_is_not_saved_up() {
        let limit = RateLimit::new(NonZeroU64::new(1000).unwrap());
        let start = Instant::now() + Duration::from_secs(1);
        let other = limit.clone();
        assert_eq!(limit.after_at(500, start), Duration::from_millis(500));
        assert_eq!(other.after_at(500, start), Duration::from_secs(1));
        let later = start + Duration::from_mins(1);
        assert_eq!(limit.after_at(1, later), Duration::from_millis(1));
        assert_eq!(limit.after_at(0, later), Duration::from_millis(1));
    }
}
