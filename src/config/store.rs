//! `[store.NAME]`: where objects live.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::error::{ConfigError, Fault};
use super::section::{Field, Section};

pub(super) const DIR_KEYS: &[&str] = &["type", "path"];

/// A store, by its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreConfig {
    /// `type = "dir"`: a directory.
    Dir {
        /// Absolute.
        path: PathBuf,
    },
}

/// All stores by name.
pub(super) fn read_all(top: &Section<'_>) -> Result<BTreeMap<String, StoreConfig>, ConfigError> {
    let Some(stores) = top.read("store", Field::named_table)? else {
        return Ok(BTreeMap::new());
    };
    let read = |(name, field): (&str, Field<'_>)| {
        // The type first: it decides which keys are known.
        let kind = field.named_table()?.require("type")?;
        let store = match kind.string()? {
            "dir" => StoreConfig::Dir {
                path: field.table(DIR_KEYS)?.require("path")?.absolute_path()?,
            },
            other => return Err(kind.fault(Fault::UnknownStoreType(other.to_owned()))),
        };
        Ok((name.to_owned(), store))
    };
    stores.fields().map(read).collect()
}
