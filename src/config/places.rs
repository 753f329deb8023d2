//! A config for a machine that has none: sources that its catalog knows, each with its store's URL.
//!
//! It serves what only reads. What plans, writes or deletes needs what only the file says: the
//! schedule, the recipients, how long archives are kept.

use std::collections::BTreeMap;
use std::path::Path;

use super::error::ConfigError;
use super::schedule::ScheduleKeys;
use super::source::{Source, StreamData};
use super::store::StoreConfig;
use super::{
    Config, DEFAULT_COMPRESSION, DEFAULT_DELETE_AFTER, Origin, Prune, SelfCheck, system_threads,
    system_timezone,
};
use crate::model::SourceName;
use crate::model::segment::DEFAULT_SEGMENT_BYTES;
use crate::plan::{KeepSnapshots, Prices};

/// Where the archives of a source lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourcePlace {
    /// Its name.
    pub name: SourceName,
    /// Its directory in the store.
    pub directory: SourceName,
    /// The store's URL.
    pub store: String,
}

impl Source {
    /// A source of which only that is known.
    pub fn at(place: &SourcePlace) -> Self {
        Self {
            name: place.name.clone(),
            directory: place.directory.clone(),
            live: None,
            keep_snapshots: KeepSnapshots::DEFAULT,
            store: place.store.clone(),
            data: StreamData::Plain,
            segment_bytes: DEFAULT_SEGMENT_BYTES,
            schedule: ScheduleKeys::default().over(&ScheduleKeys::default()),
        }
    }
}

impl Config {
    /// The config of those sources. Its stores are named by their URLs, and `path` is the file that
    /// would say more.
    pub fn of_places(
        path: &Path,
        state_dir: &Path,
        places: &[SourcePlace],
    ) -> Result<Self, ConfigError> {
        let stores = places
            .iter()
            .map(|place| Ok((place.store.clone(), StoreConfig::from_url(&place.store)?)))
            .collect::<Result<BTreeMap<_, _>, ConfigError>>()?;
        Ok(Self {
            path: path.to_owned(),
            origin: Origin::Catalog,
            timezone: system_timezone(),
            state_dir: state_dir.to_owned(),
            compression: DEFAULT_COMPRESSION,
            threads: system_threads(),
            self_check: SelfCheck::On,
            prune: Prune::Elsewhere,
            delete_after: DEFAULT_DELETE_AFTER,
            sources: places.iter().map(Source::at).collect(),
            stores,
            recipients: Vec::new(),
            prices: Prices::built_in(),
        })
    }
}
