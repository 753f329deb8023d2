//! `memory_limit`: what archiving and restoring may take.

use std::ops::RangeInclusive;

use super::Compression;
use super::error::{ConfigError, Fault};
use super::section::{Field, Section};
use super::source::Source;
use crate::model::segment::DEFAULT_SEGMENT_BYTES;
use crate::plan::memory::{Archiving, archiving, default_limit, longest_sealed};

pub(super) fn read(
    top: &Section<'_>,
    compression: Compression,
    sources: &[Source],
) -> Result<u64, ConfigError> {
    let segments = sources.iter().map(|source| source.segment_bytes);
    let largest = segments.max().unwrap_or(DEFAULT_SEGMENT_BYTES);
    let levels = compression.levels();
    let highest = *levels.end();
    let limit = top.read("memory_limit", |field| limit(field, largest, levels))?;
    Ok(limit.unwrap_or_else(|| default_limit(largest, highest)))
}

fn limit(
    field: &Field<'_>,
    segment_bytes: u64,
    levels: RangeInclusive<i32>,
) -> Result<u64, ConfigError> {
    let level = *levels.start();
    let limit = field.size("a size like \"512MiB\"")?;
    match archiving(limit, segment_bytes, levels, 1) {
        Ok(_) => Ok(limit),
        Err(too_little) => Err(field.fault(Fault::MemoryLimit {
            least: too_little.least.div_ceil(1 << 20),
            segment: segment_bytes >> 20,
            level,
        })),
    }
}

/// Returns what archiving may use. A resumed attempt may have larger segments than the config has now: then
/// it gets one of them at a time, whatever the limit.
pub(super) fn room(
    limit: u64,
    segment_bytes: u64,
    levels: RangeInclusive<i32>,
    threads: usize,
) -> Archiving {
    let lowest = *levels.start();
    archiving(limit, segment_bytes, levels, threads).unwrap_or(Archiving {
        threads: 1,
        held_bytes: longest_sealed(segment_bytes),
        highest_level: lowest,
    })
}
