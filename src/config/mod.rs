//! TOML into typed config.
//!
//! The file is read as parsed values with their places, not deserialized. So every message names file, line
//! and key, and for an unknown key the one that was probably meant. A key is known here only if something
//! uses it: an option that does nothing is an error.

mod catalog_sources;
mod compression;
mod described;
mod duration;
mod effective;
mod error;
mod foreign;
mod free_names;
mod hooks;
mod memory;
mod mirror;
mod no_ledger_store;
mod notify;
mod prices;
mod pull;
mod pull_options;
mod reference;
mod schedule;
mod schema;
mod section;
mod size;
mod source;
mod source_stores;
mod store;
mod store_names;
mod stores;
mod suggest;
mod template;
#[cfg(test)]
mod tests;
mod toml_value;
mod transfers;
mod url;
mod vault;

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::num::NonZero;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use chrono_tz::{TZ_VARIANTS, Tz};
use toml::de::DeTable;

pub use catalog_sources::SourcePlace;
pub use described::{DescribedSource, NEW_STORE, source_blocks, store_block};
pub use duration::parse as parse_duration;
pub use effective::{Setting, SettingsTable, ValueOrigin, settings};
pub use error::{ConfigError, Fault, Unknown, UrlFault};
pub use foreign::{
    BtrbkSources, ForeignFault, LARGEST_FOREIGN, TakenMirror, TakenOver, TakenSource, blocks,
    read_btrbk, read_snapper,
};
pub use free_names::FreeNames;
pub use mirror::{MirrorConfig, MirrorOf};
pub use no_ledger_store::NoLedgerStore;
pub use notify::{AlarmSettings, FOLLOWED, RunOutputs};
pub use pull::PullConfig;
pub use pull_options::clears_the_list;
pub use reference::{ConfigKey, KeyTable, tables};
pub use schedule::ScheduleConfig;
pub use schema::schema;
pub use size::parse as parse_size;
pub use source::{HeldFor, LINK_NAME, Live, Source, is_link_name};
pub use store::{ColdDir, StoreConfig};
pub(crate) use suggest::nearest;
pub use template::{TemplateFacts, kit_of_template, template};
pub use toml_value::in_toml;

use crate::activity_log::LogRotation;
use crate::btrfs::SentBy;
use crate::hooks::Hooks;
use crate::model::segment::DEFAULT_SEGMENT_BYTES;
use crate::notify::Notify;
use crate::owned::{self, OpenError};
use crate::plan::Prices;
use crate::plan::memory::{Archiving, READING};
use schedule::ScheduleKeys;
use section::{Document, Field, Section};
use source::Inherited;

const KEYS: &[&str] = &[
    "timezone",
    "state_dir",
    "segment_size",
    "contents",
    "index",
    "compression",
    "compression_levels",
    "threads",
    "memory_limit",
    "priority",
    "sender",
    "self_check",
    "prune",
    "delete_after",
    "keep",
    "log",
    "log_rotate",
    "source",
    "mirror",
    "store",
    "encryption",
    "schedule",
    "hooks",
    "metrics",
    "notify",
    "alarms",
    "prices",
];
const ENCRYPTION_KEYS: &[&str] = &["recipients"];

/// Where catalog and keys lie by default.
pub const DEFAULT_STATE_DIR: &str = "/var/lib/coldchain";
const MAX_THREADS: usize = 256;
const DEFAULT_DELETE_AFTER: Duration = Duration::from_hours(7 * 24);

/// Everything that the config file says, with defaults filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The file that it was read from, or where the file would be.
    pub path: PathBuf,
    /// The time zone that gives "today" its meaning. Default: the system's.
    pub timezone: Tz,
    /// Where catalog and keys lie. Default: `/var/lib/coldchain`.
    pub state_dir: PathBuf,
    /// How hard to compress. Default: zstd's level 3.
    pub compression: Compression,
    /// Threads that compress, 1 to 256, as far as the memory allows. Default: what the system says it can
    /// run at once.
    pub threads: usize,
    /// Bytes of memory that archiving or restoring takes at most. Default: 512 MiB, or what two of the
    /// largest segments need.
    pub memory_limit: u64,
    /// The priority of archiving, pruning and checking against other programs. Default: normal.
    pub priority: Priority,
    /// Who asks the kernel for a send stream. Default: this program.
    pub sender: SentBy,
    /// Whether a sealed segment is opened and compared before upload. Default: on.
    pub self_check: SelfCheckMode,
    /// Where expired archives are deleted. Default: after each backup.
    pub prune: PruneMode,
    /// How long the objects of a retired archive are kept after its retire entry, by the store's clock; may
    /// be zero. Default: 7 days.
    pub delete_after: Duration,
    /// The sources, with unique names, in the file's order. There is at least one, except for commands that
    /// only read.
    pub sources: Vec<Source>,
    /// The mirrors, in the file's order. Default: none.
    pub mirrors: Vec<MirrorConfig>,
    /// The stores by name, maybe none. The store of every source that has one is among them.
    pub stores: BTreeMap<String, StoreConfig>,
    /// The recipients as written, maybe none. Code that seals uses [`Config::recipients`].
    pub recipients: Vec<String>,
    /// The list prices, with overrides from `[prices]`.
    pub prices: Prices,
    /// The activity log, absolute. Default: none.
    pub log: Option<PathBuf>,
    /// Who keeps the activity log small. Default: this program.
    pub log_rotation: LogRotation,
    /// The programs that run before and after a source's run. Default: none.
    pub hooks: Hooks,
    /// The file for Prometheus that each run writes at its end, absolute. Default: none.
    pub metrics: Option<PathBuf>,
    /// Whom to tell how runs end. Default: nobody.
    pub notify: Notify,
    /// Which alarms there are. Default: all.
    pub alarms: AlarmSettings,
}

/// Where a source is known from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceOrigin {
    /// The config file.
    File,
    /// The catalog alone. It knows where archives lie, but not what is planned.
    Catalog,
}

/// Whether each sealed segment is opened in memory and compared before it is uploaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SelfCheckMode {
    /// It is.
    On,
    /// It is not.
    Off,
}

/// How hard a stream is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// At that level of zstd's, 1 to 19.
    Level(i32),
    /// As hard as the line to the store leaves time for.
    Auto {
        /// The fastest level, 1 to 19.
        lowest: i32,
        /// The hardest level, not below `lowest`.
        highest: i32,
    },
}

impl Compression {
    /// The levels that may be used.
    pub fn levels(self) -> RangeInclusive<i32> {
        match self {
            Self::Level(level) => level..=level,
            Self::Auto { lowest, highest } => lowest..=highest,
        }
    }
}

/// How urgent the work is beside what else the machine does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// The same as other programs.
    Normal,
    /// It gets the processor and the disks when no other program wants them.
    Low,
}

impl Priority {
    /// Their names in the config.
    pub const NAMES: [(&'static str, Self); 2] = [("normal", Self::Normal), ("low", Self::Low)];
}

/// Where expired archives are deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PruneMode {
    /// Here, at the end of each run.
    AfterBackup,
    /// On another machine, so that the credentials of this one need not be able to delete.
    Elsewhere,
}

impl PruneMode {
    /// Their names in the config.
    pub const NAMES: [(&'static str, Self); 2] = [
        ("after-backup", Self::AfterBackup),
        ("elsewhere", Self::Elsewhere),
    ];
}

impl Config {
    /// Reads and checks the file.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        Self::load_to_read(path)?.with_sources()
    }

    /// Reads the file for a command that only reads. It may name no source, because the catalog may know
    /// some.
    pub fn load_to_read(path: &Path) -> Result<Self, ConfigError> {
        Ok(Self::load_with_text(path)?.0)
    }

    /// Does the same, and returns the file's text as well.
    pub fn load_with_text(path: &Path) -> Result<(Self, String), ConfigError> {
        let mut text = String::new();
        owned::require_way_of_root(path).map_err(ConfigError::Untrusted)?;
        let read = owned::open(path).and_then(|mut file| Ok(file.read_to_string(&mut text)?));
        read.map_err(|error| match error {
            OpenError::Untrusted(untrusted) => ConfigError::Untrusted(untrusted),
            OpenError::Io(source) if source.kind() == io::ErrorKind::NotFound => {
                ConfigError::NotFound {
                    path: path.to_owned(),
                }
            }
            OpenError::Io(source) => ConfigError::Read {
                path: path.to_owned(),
                source,
            },
        })?;
        Ok((Self::parse_to_read(&text, path)?, text))
    }

    /// Checks a config's text; `path` is what messages call the file.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        Self::parse_to_read(text, path)?.with_sources()
    }

    /// Refuses a config with neither a source nor a mirror, because a command would have nothing to act on.
    pub fn with_sources(self) -> Result<Self, ConfigError> {
        if self.sources.is_empty() && self.mirrors.is_empty() {
            return Err(ConfigError::NoSource { path: self.path });
        }
        Ok(self)
    }

    /// Returns the sources that have a store; an error if there are none, because a command on archives would
    /// have nothing to act on.
    pub fn sources_with_store(&self) -> Result<Vec<&Source>, ConfigError> {
        let sources: Vec<&Source> = self.archived().map(|(source, _)| source).collect();
        if sources.is_empty() {
            return Err(ConfigError::NoSourceWithStore {
                path: self.path.clone(),
            });
        }
        Ok(sources)
    }

    fn parse_to_read(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let document = Document { path, text };
        let table = DeTable::parse(text).map_err(|error| document.syntax(&error))?;
        let top = Section::top(document, table.get_ref(), KEYS)?;
        let stores = stores::read_all(&top)?;
        let segment_bytes = top
            .read("segment_size", Field::segment_bytes)?
            .unwrap_or(DEFAULT_SEGMENT_BYTES);
        let inherited = Inherited {
            segment_bytes,
            contents: top.read("contents", Field::boolean)?.unwrap_or(true),
            index: top.read("index", Field::boolean)?.unwrap_or(true),
            keep: top.read("keep", source::keep_of)?,
            schedule: ScheduleKeys::read(&top)?,
        };
        let compression = compression::read(&top)?;
        let mut sources = source::read_all(&top, &inherited, &stores)?;
        let mirrors = mirror::read_all(&top, &sources)?;
        for mirror in mirrors.iter().filter(|it| it.of == MirrorOf::Source) {
            for source in sources.iter_mut().filter(|it| it.name == mirror.name) {
                source.held_for.push(HeldFor {
                    to: mirror.to.clone(),
                    hold: mirror.hold,
                });
            }
        }
        let memory_limit = memory::read(&top, compression, &sources)?;
        let state_dir = top
            .read("state_dir", Field::absolute_path)?
            .unwrap_or_else(|| DEFAULT_STATE_DIR.into());
        let placed =
            |store: StoreConfig| store.with_memory(memory_limit).with_state_dir(&state_dir);
        let stores = stores.into_iter();
        let stores = stores.map(|(name, store)| (name, placed(store))).collect();
        Ok(Self {
            path: path.to_owned(),
            timezone: top
                .read("timezone", timezone)?
                .unwrap_or_else(system_timezone),
            state_dir,
            memory_limit,
            priority: top
                .read("priority", |field| field.one_of(&Priority::NAMES))?
                .unwrap_or(Priority::Normal),
            sender: top
                .read("sender", |field| field.one_of(&SentBy::NAMES))?
                .unwrap_or(SentBy::Kernel),
            compression,
            threads: top
                .read("threads", |field| {
                    field.integer("an integer", 1..=MAX_THREADS)
                })?
                .unwrap_or_else(system_threads),
            self_check: match top.read("self_check", Field::boolean)? {
                Some(false) => SelfCheckMode::Off,
                Some(true) | None => SelfCheckMode::On,
            },
            prune: top
                .read("prune", |field| field.one_of(&PruneMode::NAMES))?
                .unwrap_or(PruneMode::AfterBackup),
            delete_after: top
                .read("delete_after", |field| {
                    duration::read(field, Duration::ZERO)
                })?
                .unwrap_or(DEFAULT_DELETE_AFTER),
            recipients: recipients(&top)?,
            prices: prices::read(&top)?,
            log: top.read("log", Field::absolute_path)?,
            log_rotation: match top.read("log_rotate", Field::boolean)? {
                Some(false) => LogRotation::Elsewhere,
                Some(true) | None => LogRotation::Here,
            },
            hooks: hooks::read(&top)?,
            metrics: top.read("metrics", Field::absolute_path)?,
            notify: notify::read(&top)?,
            alarms: notify::read_alarms(&top)?,
            sources,
            mirrors,
            stores,
        })
    }

    /// Returns where runs are recorded and told of.
    pub fn run_outputs(&self) -> RunOutputs {
        RunOutputs {
            state_dir: self.state_dir.clone(),
            metrics: self.metrics.clone(),
            notify: self.notify.clone(),
        }
    }

    /// The source of that name.
    pub fn source(&self, name: &str) -> Result<&Source, ConfigError> {
        self.sources
            .iter()
            .find(|source| source.name.as_str() == name)
            .ok_or_else(|| {
                let known = self.sources.iter().map(|source| source.name.as_str());
                ConfigError::UnknownSource(Unknown::among("source", name, known))
            })
    }

    /// The store of that name.
    pub fn store_named(&self, name: &str) -> Result<&StoreConfig, ConfigError> {
        self.stores.get(name).ok_or_else(|| {
            let known = self.stores.keys().map(String::as_str);
            ConfigError::UnknownStore(Unknown::among("store", name, known))
        })
    }

    /// Returns the store of a source; an error if it keeps snapshots alone.
    pub fn store_of(&self, source: &Source) -> Result<&StoreConfig, ConfigError> {
        match &source.store {
            Some(name) => Ok(&self.stores[name]),
            None => Err(ConfigError::NoStore {
                source_name: source.name.clone(),
            }),
        }
    }

    /// Returns the mirrors that get a source's snapshots, in the file's order.
    pub fn mirrors_of<'a>(&'a self, source: &'a Source) -> impl Iterator<Item = &'a MirrorConfig> {
        let is_its =
            |mirror: &&MirrorConfig| mirror.of == MirrorOf::Source && mirror.name == source.name;
        self.mirrors.iter().filter(is_its)
    }

    /// Returns the sources that have a store, each with it, in the file's order.
    pub fn archived(&self) -> impl Iterator<Item = (&Source, &StoreConfig)> {
        let with_store = |source| Some((source, self.store_of(source).ok()?));
        self.sources.iter().filter_map(with_store)
    }

    /// Returns what archiving with segments of that size may use.
    pub fn archiving(&self, segment_bytes: u64) -> Archiving {
        let levels = self.compression.levels();
        let limit = match self.sender {
            SentBy::Parallel => self.memory_limit.saturating_sub(READING),
            SentBy::Kernel | SentBy::Btrfs => self.memory_limit,
        };
        memory::room(limit, segment_bytes, levels, self.threads)
    }

    /// Returns the recipients; an error if there are none, because sealing needs one.
    pub fn recipients(&self) -> Result<&[String], ConfigError> {
        if self.recipients.is_empty() {
            return Err(ConfigError::NoRecipient {
                path: self.path.clone(),
            });
        }
        Ok(&self.recipients)
    }
}

fn recipients(top: &Section<'_>) -> Result<Vec<String>, ConfigError> {
    let Some(encryption) = top.read("encryption", |field| field.table(ENCRYPTION_KEYS))? else {
        return Ok(Vec::new());
    };
    let recipients = encryption.read("recipients", |field| {
        let items = field.array("an array of strings")?;
        items.iter().map(Field::owned_string).collect()
    })?;
    Ok(recipients.unwrap_or_default())
}

fn timezone(field: &Field<'_>) -> Result<Tz, ConfigError> {
    let name = field.string()?;
    name.parse().map_err(|_| {
        field.fault(Fault::Unknown(Unknown {
            what: "time zone",
            name: name.to_owned(),
            nearest: suggest::nearest(name, TZ_VARIANTS.iter().map(|zone| zone.name())),
            hint: Some("it takes a name of the IANA database, like `Europe/Berlin`".to_owned()),
        }))
    })
}

/// Returns the system's time zone; UTC if it is not set, or is not in the IANA database.
pub fn system_timezone() -> Tz {
    iana_time_zone::get_timezone()
        .ok()
        .and_then(|name| name.parse().ok())
        .unwrap_or(Tz::UTC)
}

fn system_threads() -> usize {
    thread::available_parallelism()
        .map_or(1, NonZero::get)
        .min(MAX_THREADS)
}
