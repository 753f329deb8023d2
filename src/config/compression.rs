//! `compression`: a level of zstd's, or `"auto"` and the levels that it chooses among.

use super::Compression;
use super::error::{ConfigError, Fault, Unknown};
use super::section::{Field, Section};

/// The level if none is set.
pub(super) const DEFAULT: Compression = Compression::Level(3);

/// Below 1 zstd hardly compresses; above 12 a frame takes twice as long, and saves a little more.
const AUTO: Compression = Compression::Auto {
    lowest: 1,
    highest: 12,
};

pub(super) fn read(top: &Section<'_>) -> Result<Compression, ConfigError> {
    let compression = top.read("compression", compression)?.unwrap_or(DEFAULT);
    let levels = top.read("compression_levels", |field| match compression {
        // Nothing would act on them.
        Compression::Level(_) => Err(field.fault(Fault::LevelsOfNothing)),
        Compression::Auto { .. } => levels(field),
    })?;
    Ok(levels.unwrap_or(compression))
}

fn compression(field: &Field<'_>) -> Result<Compression, ConfigError> {
    match field.string() {
        Ok("auto") => Ok(AUTO),
        Ok(other) => Err(field.fault(Fault::Unknown(Unknown::among(
            "value",
            other,
            std::iter::once("auto"),
        )))),
        Err(_) => Ok(Compression::Level(level(field)?)),
    }
}

fn levels(field: &Field<'_>) -> Result<Compression, ConfigError> {
    let expected = "two zstd levels from 1 to 19, the lower one first";
    let [lowest, highest] = &field.array(expected)?[..] else {
        return Err(field.unfit(expected));
    };
    let (lowest, highest) = (level(lowest)?, level(highest)?);
    if lowest > highest {
        return Err(field.unfit(expected));
    }
    Ok(Compression::Auto { lowest, highest })
}

fn level(field: &Field<'_>) -> Result<i32, ConfigError> {
    field.integer("\"auto\" or a zstd level", 1..=19)
}
