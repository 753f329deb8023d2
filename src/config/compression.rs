//! `compression`: a level of zstd's, or `"auto"` and the levels that it chooses among.

use super::error::{ConfigError, Fault, Unknown};
use super::section::{Field, Section};
use super::{Compression, Levels};

/// The level if none is set.
pub(super) const DEFAULT: Compression = Compression::Level(3);

/// The default for "auto". Below 1 zstd hardly compresses; above 12 a frame takes longer, and saves only a
/// little more.
const LEVELS: Levels = Levels {
    lowest: 1,
    highest: 12,
};

pub(super) fn read(top: &Section<'_>) -> Result<Compression, ConfigError> {
    let compression = top.read("compression", compression)?.unwrap_or(DEFAULT);
    let levels = top.read("compression_levels", |field| {
        // Nothing would use them.
        if !matches!(compression, Compression::Auto(_)) {
            return Err(field.fault(Fault::LevelsOfNothing));
        }
        levels(field)
    })?;
    Ok(levels.map_or(compression, Compression::Auto))
}

fn compression(field: &Field<'_>) -> Result<Compression, ConfigError> {
    match field.string() {
        Ok("auto") => Ok(Compression::Auto(LEVELS)),
        Ok(other) => Err(field.fault(Fault::Unknown(Unknown::among(
            "value",
            other,
            std::iter::once("auto"),
        )))),
        Err(_) => Ok(Compression::Level(level(field)?)),
    }
}

fn levels(field: &Field<'_>) -> Result<Levels, ConfigError> {
    let expected = "two zstd levels from 1 to 19, the lower one first";
    let levels = field.array(expected)?;
    let [lowest, highest] = &levels[..] else {
        return Err(field.unfit(expected));
    };
    let levels = Levels {
        lowest: level(lowest)?,
        highest: level(highest)?,
    };
    if levels.lowest > levels.highest {
        return Err(field.unfit(expected));
    }
    Ok(levels)
}

fn level(field: &Field<'_>) -> Result<i32, ConfigError> {
    field.integer("\"auto\" or a zstd level", 1..=19)
}
