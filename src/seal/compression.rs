//! How hard a frame is compressed: at a level of zstd's, or at one of the steps of `compression = "auto"`.

use std::io;

use zstd::bulk::Compressor;
use zstd::zstd_safe::{self, CParameter, ResetDirective, Strategy};

use crate::model::segment::FRAME_BYTES;

/// The window is a whole frame, so that repeats in it are found at any distance. zstd's levels up to 8 look
/// back over half a frame or less by default, which saves them no time.
const WINDOW_LOG: u32 = FRAME_BYTES.ilog2();

/// What zstd is told at the steps that are none of its levels: its search for the cheapest way to write what it has
/// found, which from level 16 on takes tables of 16 MiB, with tables that a cache holds; and matches of three bytes,
/// which it allows from 18 on.
fn own(level: i32) -> Option<[CParameter; 6]> {
    let (strategy, search_log) = match level {
        11 => (Strategy::ZSTD_btopt, 4),
        12 => (Strategy::ZSTD_btultra, 5),
        _ => return None,
    };
    Some([
        CParameter::Strategy(strategy),
        CParameter::HashLog(20),
        CParameter::ChainLog(20),
        CParameter::SearchLog(search_log),
        CParameter::MinMatch(3),
        CParameter::TargetLength(64),
    ])
}

/// How hard to compress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Strength {
    /// At that zstd level, with a window of a whole frame. If zstd lacks the level, it takes the nearest one.
    Zstd(i32),
    /// At the step of `auto` with that level.
    Auto(i32),
}

impl Strength {
    /// Returns its level.
    pub(super) fn level(self) -> i32 {
        match self {
            Self::Zstd(level) | Self::Auto(level) => level,
        }
    }

    /// Sets a compressor to this strength; each frame gets its content size and checksum.
    pub(super) fn set(self, compressor: &mut Compressor<'_>) -> io::Result<()> {
        let reset = compressor.context_mut().reset(ResetDirective::Parameters);
        reset.map_err(|code| io::Error::other(zstd_safe::get_error_name(code)))?;
        compressor.include_checksum(true)?;
        compressor.include_contentsize(true)?;
        compressor.set_compression_level(self.level())?;
        compressor.set_parameter(CParameter::WindowLog(WINDOW_LOG))?;
        if let Self::Auto(level) = self {
            for parameter in own(level).into_iter().flatten() {
                compressor.set_parameter(parameter)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::auto_level::STEPS;
    use crate::seal::test_data::mixed_bytes;

    fn compressed(compressor: &mut Compressor<'_>, strength: Strength, raw: &[u8]) -> Vec<u8> {
        strength.set(compressor).unwrap();
        compressor.compress(raw).unwrap()
    }

    #[test]
    fn nothing_of_a_step_stays_behind_for_the_next() {
        let raw = mixed_bytes(300_000);
        let mut one = Compressor::new(1).unwrap();
        let mut all: Vec<_> = (1..=19).map(Strength::Zstd).collect();
        all.extend(STEPS.map(|(level, _)| Strength::Auto(level)));
        for strength in all.iter().chain(all.iter().rev()) {
            let alone = compressed(&mut Compressor::new(1).unwrap(), *strength, &raw);
            assert_eq!(compressed(&mut one, *strength, &raw), alone, "{strength:?}");
            assert_eq!(zstd::decode_all(&alone[..]).unwrap(), raw);
        }
    }

    #[test]
    fn all_steps_but_two_are_levels_of_zstds() {
        let raw = mixed_bytes(300_000);
        let mut compressor = Compressor::new(1).unwrap();
        for (level, _) in STEPS {
            let auto = compressed(&mut compressor, Strength::Auto(level), &raw);
            let zstd = compressed(&mut compressor, Strength::Zstd(level), &raw);
            assert_eq!(auto == zstd, ![11, 12].contains(&level), "{level}");
        }
        assert!(STEPS.is_sorted_by(|a, b| a.0 < b.0 && a.1 < b.1));
    }

    #[test]
    fn what_is_alike_is_found_at_both_ends_of_a_frame() {
        let mut raw = vec![0; usize::try_from(FRAME_BYTES).unwrap()];
        blake3::Hasher::new().finalize_xof().fill(&mut raw);
        let (first, last) = raw.split_at_mut(3 << 20);
        last.copy_from_slice(&first[..1 << 20]);
        let mut compressor = Compressor::new(1).unwrap();
        for level in [2, 3, 5, 8, 9] {
            let length = compressed(&mut compressor, Strength::Zstd(level), &raw).len();
            assert!(length < 3200 << 10, "{level}: {length}");
        }
    }

    #[test]
    fn our_own_steps_take_no_more_memory_than_level_9() {
        let mut noise = vec![0; 4 << 20];
        blake3::Hasher::new().finalize_xof().fill(&mut noise);
        noise.iter_mut().step_by(3).for_each(|byte| *byte = b'a');
        let mut compressor = Compressor::new(1).unwrap();
        let mut bytes_at = |level| {
            compressed(&mut compressor, Strength::Auto(level), &noise);
            compressor.context_mut().sizeof()
        };
        let (own, nine) = ([11, 12].map(&mut bytes_at), bytes_at(9));
        assert!(own.iter().all(|own| *own <= nine), "{own:?} {nine}");
        assert_eq!(bytes_at(12), nine, "what is there is enough");
    }
}
