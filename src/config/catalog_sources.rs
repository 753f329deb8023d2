//! Sources that the catalog knows and the config does not name, each with its store's URL. On a machine
//! without a config these are all sources.
//!
//! Only commands that read use them. Commands that plan, write or delete need what only the file says: the
//! schedule, the recipients, how long archives are kept.

use std::collections::BTreeMap;
use std::path::Path;

use super::error::ConfigError;
use super::schedule::ScheduleKeys;
use super::source::Source;
use super::store::StoreConfig;
use super::{
    AlarmSettings, Config, DEFAULT_DELETE_AFTER, Priority, PruneMode, SelfCheckMode, SourceOrigin,
    compression, hooks, system_threads, system_timezone,
};
use crate::activity_log::LogRotation;
use crate::btrfs::SentBy;
use crate::model::segment::DEFAULT_SEGMENT_BYTES;
use crate::model::{Protocol, SourceName};
use crate::notify::Notify;
use crate::plan::memory::DEFAULT_LIMIT;
use crate::plan::{KeepSnapshots, Prices};

/// Where the archives of a source lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourcePlace {
    /// Its name.
    pub name: SourceName,
    /// Its directory in the store.
    pub directory: SourceName,
    /// The store's name in the config, or else its URL.
    pub store: String,
}

impl Source {
    /// Makes a source of which only its place is known.
    pub fn at(place: &SourcePlace) -> Self {
        Self {
            name: place.name.clone(),
            origin: SourceOrigin::Catalog,
            directory: place.directory.clone(),
            live: None,
            pull: None,
            held_for: Vec::new(),
            keep_snapshots: KeepSnapshots::DEFAULT,
            links: Vec::new(),
            store: Some(place.store.clone()),
            copies: Vec::new(),
            protocol: Protocol::V1,
            segment_bytes: DEFAULT_SEGMENT_BYTES,
            contents: true,
            index: true,
            schedule: ScheduleKeys::default().over(&ScheduleKeys::default()),
        }
    }

    /// Returns this source, which keeps snapshots alone now, with the place of the archives that it had.
    #[must_use]
    pub fn with_archives_at(&self, place: &SourcePlace) -> Self {
        Self {
            live: self.live.clone(),
            pull: self.pull.clone(),
            keep_snapshots: self.keep_snapshots,
            ..Self::at(place)
        }
    }
}

impl Config {
    /// Returns the config for a machine that has no config file, without sources; `path` is where the file
    /// would be.
    pub fn without_file(path: &Path, state_dir: &Path) -> Self {
        Self {
            path: path.to_owned(),
            timezone: system_timezone(),
            state_dir: state_dir.to_owned(),
            compression: compression::DEFAULT,
            threads: system_threads(),
            memory_limit: DEFAULT_LIMIT,
            priority: Priority::Normal,
            sender: SentBy::Kernel,
            self_check: SelfCheckMode::On,
            prune: PruneMode::Elsewhere,
            delete_after: DEFAULT_DELETE_AFTER,
            sources: Vec::new(),
            mirrors: Vec::new(),
            stores: BTreeMap::new(),
            recipients: Vec::new(),
            prices: Prices::built_in(),
            log: None,
            log_rotation: LogRotation::Here,
            hooks: hooks::none(),
            metrics: None,
            notify: Notify::default(),
            alarms: AlarmSettings::default(),
        }
    }

    /// Adds a source for commands that only read. A store that is not configured is named by its URL.
    ///
    /// A configured source of that name without a store gets this one, because it had it when its archives
    /// were made.
    pub fn add_place(&mut self, place: &SourcePlace) -> Result<(), ConfigError> {
        if !self.stores.contains_key(&place.store) {
            let store = StoreConfig::from_url(&place.store)?
                .with_memory(self.memory_limit)
                .with_state_dir(&self.state_dir);
            self.stores.insert(place.store.clone(), store);
        }
        let mut same_name = self
            .sources
            .iter_mut()
            .filter(|source| source.name == place.name);
        match same_name.next() {
            Some(source) => *source = source.with_archives_at(place),
            None => self.sources.push(Source::at(place)),
        }
        Ok(())
    }
}
