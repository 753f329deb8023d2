//! How hard a frame is compressed: at a level of zstd's, or at one of the steps of `compression = "auto"`.

use std::io;

use zstd::bulk::Compressor;
use zstd::zstd_safe::{self, CParameter, ResetDirective, Strategy};

use crate::model::segment::FRAME_BYTES;

/// The window is a whole frame, so that repeats in it are found at any distance. zstd's levels up to 8 look
/// back over half a frame or less by default, which saves them no time.
const WINDOW_LOG: u32 = FRAME_BYTES.ilog2();

/// A step of `auto`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// The zstd level that it is, or that it replaces.
    pub level: i32,
    /// The time for a frame, roughly, as a multiple of the time at level 3.
    pub times: f64,
}

/// The steps of `auto`, the fastest first. Each saves more than the one before on most data. zstd's levels 10
/// to 17 save little for their time: two steps with parameters of our own replace them. `docs/performance.md`
/// has the results on several kinds of data.
pub const STEPS: [Step; 13] = [
    step(1, 0.6),
    step(2, 0.7),
    step(3, 1.0),
    step(4, 1.1),
    step(5, 2.1),
    step(6, 2.6),
    step(7, 3.5),
    step(8, 4.3),
    step(9, 5.0),
    step(11, 40.0),
    step(12, 55.0),
    step(18, 75.0),
    step(19, 85.0),
];

const fn step(level: i32, times: f64) -> Step {
    Step { level, times }
}

/// Returns the parameters for the steps that are no zstd levels. They use zstd's search for the cheapest
/// encoding, with tables that fit into a processor's cache (zstd's own have 16 MiB from level 16 on), and
/// matches of three bytes, which zstd allows from level 18 on.
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
        all.extend(STEPS.map(|step| Strength::Auto(step.level)));
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
        for Step { level, .. } in STEPS {
            let auto = compressed(&mut compressor, Strength::Auto(level), &raw);
            let zstd = compressed(&mut compressor, Strength::Zstd(level), &raw);
            assert_eq!(auto == zstd, ![11, 12].contains(&level), "{level}");
        }
        assert!(STEPS.is_sorted_by(|a, b| a.level < b.level && a.times < b.times));
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
