//! Keys made for the tests, bytes that are the same on every run, and a sealer for small streams.

use super::{ArchiveKey, SealError, SealOptions, Sealed, SealedSegment, SealedTotals, Sealer};

pub(crate) const SSH_ED25519: &str = include_str!("test_keys/ssh_ed25519");
pub(crate) const SSH_ED25519_PUB: &str = include_str!("test_keys/ssh_ed25519.pub");
pub(crate) const SSH_RSA: &str = include_str!("test_keys/ssh_rsa");
pub(crate) const SSH_RSA_PUB: &str = include_str!("test_keys/ssh_rsa.pub");
pub(crate) const SSH_ECDSA: &str = include_str!("test_keys/ssh_ecdsa");
pub(crate) const SSH_ECDSA_PUB: &str = include_str!("test_keys/ssh_ecdsa.pub");

/// Locked with [`SSH_PASSPHRASE`].
pub(crate) const SSH_ED25519_LOCKED: &str = include_str!("test_keys/ssh_ed25519_locked");
pub(crate) const SSH_PASSPHRASE: &str = "open sesame";

/// Bytes of which about half can be compressed, and no two stretches are equal.
pub(crate) fn mixed_bytes(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length + 64);
    while bytes.len() < length {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
        if state & 1 == 0 {
            bytes.extend_from_slice(&[state.to_le_bytes()[1]; 16]);
        }
    }
    bytes.truncate(length);
    bytes
}

/// Segments of four frames of 1 KiB.
pub(crate) fn small_options(threads: usize) -> SealOptions {
    SealOptions {
        segment_bytes: 4096,
        frame_bytes: 1024,
        level: 3,
        held_bytes: 1 << 20,
        threads,
    }
}

/// Pushes the whole of `raw` and takes every segment.
pub(crate) fn seal_all(
    options: SealOptions,
    key: &ArchiveKey,
    raw: &[u8],
) -> Result<(Vec<SealedSegment>, SealedTotals), SealError> {
    let (mut sealer, receiver) = Sealer::start(options, key)?;
    let taker = std::thread::spawn(move || {
        let mut segments = Vec::new();
        for step in receiver {
            match step {
                Sealed::Segment(segment) => segments.push(segment),
                Sealed::Finished => return Ok(segments),
                Sealed::Failed(error) => return Err(error),
            }
        }
        Err(SealError::Stopped)
    });
    for frame in raw.chunks(options.frame_bytes) {
        let mut buffer = sealer.buffer();
        buffer.clear();
        buffer.extend_from_slice(frame);
        sealer.push(buffer)?;
    }
    let totals = sealer.finish()?;
    Ok((taker.join().expect("the taker does not panic")?, totals))
}
