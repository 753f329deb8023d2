//! How a stream is sealed.

use super::error::SealError;

/// The most raw bytes of a frame, as a power of two: 16 MiB. A reader never gives a frame more memory.
pub(super) const LARGEST_FRAME_LOG: u32 = 24;

/// The most raw bytes of a segment; one PUT takes 5 GiB.
const LARGEST_SEGMENT: u64 = 4 << 30;

/// The most frames of a segment, so that its seek table stays small.
const MOST_FRAMES: u64 = 1 << 16;

/// How a stream is sealed.
#[derive(Debug, Clone, Copy)]
pub struct SealOptions {
    /// Raw bytes of every segment but the last: a multiple of `frame_bytes`, at most 65536 frames
    /// and 4 GiB.
    pub segment_bytes: u64,
    /// Raw bytes of every frame but the stream's last: 1 byte to 16 MiB.
    pub frame_bytes: usize,
    /// zstd's compression level, unless [`Sealer::choose_levels`](super::Sealer::choose_levels) sets another.
    pub level: i32,
    /// The most bytes of sealed segments in memory at once: of the one that is being written and of those
    /// that were handed out. A single segment may need more.
    pub held_bytes: u64,
    /// How many threads compress: 1 to 256. One more seals.
    pub threads: usize,
}

impl SealOptions {
    pub(super) fn validate(&self) -> Result<(), SealError> {
        let refuse = |option, value, rule| {
            Err(SealError::Option {
                option,
                value,
                rule,
            })
        };
        if !(1..=1 << LARGEST_FRAME_LOG).contains(&self.frame_bytes) {
            return refuse(
                "frame size",
                self.frame_bytes as i128,
                "it takes 1 byte to 16 MiB",
            );
        }
        if self.segment_bytes == 0 || !self.segment_bytes.is_multiple_of(self.frame_bytes as u64) {
            return refuse(
                "segment size",
                self.segment_bytes.into(),
                "it takes a multiple of the frame size",
            );
        }
        if self.segment_bytes > LARGEST_SEGMENT
            || self.segment_bytes / self.frame_bytes as u64 > MOST_FRAMES
        {
            return refuse(
                "segment size",
                self.segment_bytes.into(),
                "it takes at most 65536 frames and 4 GiB",
            );
        }
        // zstd takes any level, and quietly uses the nearest that it has.
        if !zstd::compression_level_range().contains(&self.level) {
            return refuse(
                "compression level",
                self.level.into(),
                "zstd has no such level",
            );
        }
        if !(1..=256).contains(&self.threads) {
            return refuse("threads", self.threads as i128, "it takes 1 to 256");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: SealOptions = SealOptions {
        segment_bytes: 128 << 20,
        frame_bytes: 4 << 20,
        level: 3,
        held_bytes: 512 << 20,
        threads: 2,
    };

    #[test]
    fn options_out_of_their_range_are_refused() {
        assert!(GOOD.validate().is_ok());
        for bad in [
            SealOptions {
                frame_bytes: 0,
                ..GOOD
            },
            SealOptions {
                frame_bytes: 32 << 20,
                ..GOOD
            },
            SealOptions {
                segment_bytes: 0,
                ..GOOD
            },
            SealOptions {
                segment_bytes: 6 << 20,
                ..GOOD
            },
            SealOptions {
                segment_bytes: 8 << 30,
                ..GOOD
            },
            SealOptions {
                frame_bytes: 1,
                ..GOOD
            },
            SealOptions { level: 23, ..GOOD },
            SealOptions { threads: 0, ..GOOD },
        ] {
            assert!(
                matches!(bad.validate(), Err(SealError::Option { .. })),
                "{bad:?}"
            );
        }
    }
}
