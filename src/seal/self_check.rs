//! Opens a sealed segment again, while its raw bytes are still known.

use std::sync::{Mutex, PoisonError};

use super::archive_key::ArchiveKey;
use super::error::SealError;
use super::opener::open_segment;
use super::sealed::SealedSegment;

/// Opens sealed segments again, one at a time even if many threads ask for it, so that it takes the memory of
/// one.
///
/// The receiver of the segments uses it: while one is opened, the next is sealed.
pub struct SelfCheck {
    key: ArchiveKey,
    frame_bytes: usize,
    buffer: Mutex<Vec<u8>>,
}

impl SelfCheck {
    /// A check of segments that were sealed with that key, in frames of so many raw bytes.
    pub fn new(key: &ArchiveKey, frame_bytes: usize) -> Self {
        Self {
            key: key.clone(),
            frame_bytes,
            buffer: Mutex::new(vec![0; 256 << 10]),
        }
    }

    /// Opens the segment as a restore would, and compares what comes out with what went in.
    pub fn check(&self, segment: &SealedSegment) -> Result<(), SealError> {
        let mut buffer = self.buffer.lock().unwrap_or_else(PoisonError::into_inner);
        check(segment, &self.key, self.frame_bytes, &mut buffer).map_err(|source| {
            SealError::SelfCheck {
                index: segment.index,
                source: Box::new(source),
            }
        })
    }
}

fn check(
    segment: &SealedSegment,
    key: &ArchiveKey,
    frame_bytes: usize,
    buffer: &mut [u8],
) -> Result<(), SealError> {
    let mut reader = open_segment(&segment.bytes, key, segment.raw_bytes)?;
    let mut frames = segment.layout.frames.iter();
    loop {
        let mut hasher = blake3::Hasher::new();
        let mut filled = 0;
        while filled < frame_bytes {
            let wanted = buffer.len().min(frame_bytes - filled);
            match reader.read_raw(&mut buffer[..wanted])? {
                0 => break,
                read => {
                    hasher.update(&buffer[..read]);
                    filled += read;
                }
            }
        }
        match (filled, frames.next()) {
            (0, None) => return Ok(()),
            (1.., Some(frame)) if frame.blake3.0 == *hasher.finalize().as_bytes() => {}
            _ => return Err(SealError::Differs),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::test_data::{mixed_bytes, seal_all, small_options};

    #[test]
    fn a_segment_that_does_not_open_to_its_raw_bytes_is_told() {
        let key = ArchiveKey::generate();
        let segment = seal_all(small_options(1), &key, &mixed_bytes(3000))
            .unwrap()
            .0
            .remove(0);
        let check = SelfCheck::new(&key, small_options(1).frame_bytes);
        assert!(check.check(&segment).is_ok());

        let mut other = segment.clone();
        other.layout.frames[1].blake3.0[0] ^= 1;
        let mut damaged = segment.clone();
        let mut bytes = damaged.bytes.to_vec();
        *bytes.last_mut().unwrap() ^= 1;
        damaged.bytes = bytes.into();
        let mut shorter = segment;
        shorter.raw_bytes -= 1;
        for bad in [other, damaged, shorter] {
            let error = check.check(&bad).unwrap_err();
            assert!(
                matches!(error, SealError::SelfCheck { index: 0, .. }),
                "{error}"
            );
        }
    }
}
