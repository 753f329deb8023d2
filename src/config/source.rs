//! `[[source]]`: what is archived, or kept as snapshots alone.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use super::SourceOrigin;
use super::error::{ConfigError, Fault};
use super::pull::{self, PullConfig};
use super::schedule::{MAX_DAYS, ScheduleConfig, ScheduleKeys};
use super::section::{Field, Section};
use super::source_stores::{self, Places};
use super::store::StoreConfig;
use crate::model::{MirrorLocation, Protocol, SnapshotName, SourceName};
use crate::plan::{KeepSnapshots, Terms};

pub(super) const KEYS: &[&str] = &[
    "name",
    "subvolume",
    "snapshots",
    "keep",
    "keep_days",
    "links",
    "keep_snapshots_days",
    "keep_snapshots",
    "latest_only",
    "store",
    "copies",
    "archive_as",
    "protocol",
    "compressed_data",
    "segment_size",
    "contents",
    "index",
    "schedule",
    "pull",
];

/// The keys that only archiving uses.
pub(super) const ARCHIVING_KEYS: &[&str] = &[
    "copies",
    "archive_as",
    "protocol",
    "compressed_data",
    "segment_size",
    "contents",
    "index",
    "schedule",
];

/// A subvolume that is archived, or of which snapshots alone are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its name, unique in the config.
    pub name: SourceName,
    /// Where it is known from.
    pub origin: SourceOrigin,
    /// Its directory in the store: `archive_as`, or its name. Unique within the store.
    pub directory: SourceName,
    /// Its paths on this machine; `None` for a source whose streams only come on stdin, through `decide`.
    pub live: Option<Live>,
    /// How the subvolume gets its content before each snapshot; `None` if others fill it.
    pub pull: Option<PullConfig>,
    /// Which snapshots are kept on this machine besides those that the next run needs. Default: those of 60
    /// days.
    pub keep_snapshots: KeepSnapshots,
    /// The mirrors that get its snapshots: the newest one that a mirror has stays here for a while after that.
    pub held_for: Vec<HeldFor>,
    /// The names of the links that name its newest snapshot, beside the snapshots. Default: `current`.
    pub links: Vec<String>,
    /// The name of its store, which is configured; `None` for a source that keeps snapshots alone. Code that
    /// archives or reads archives uses [`Config::store_of`].
    ///
    /// [`Config::store_of`]: super::Config::store_of
    pub store: Option<String>,
    /// The names of the stores that get a copy of its archives each night, after the archive. They are
    /// configured, each is a place of its own, and none is there unless `store` is. Default: none.
    pub copies: Vec<String>,
    /// The form of its send streams. Default: version 1.
    pub protocol: Protocol,
    /// Raw bytes of a segment: 16 MiB to 1 GiB, whole frames. Default: 128 MiB.
    pub segment_bytes: u64,
    /// Whether each archive gets contents, which say what files it has. Default: yes.
    pub contents: bool,
    /// Whether this machine keeps an index of the files in its archives. Default: yes.
    pub index: bool,
    /// When and how it is archived, and for how long archives are kept.
    pub schedule: ScheduleConfig,
}

impl AsRef<SourceName> for Source {
    fn as_ref(&self) -> &SourceName {
        &self.name
    }
}

impl Source {
    fn places(&self) -> Places<'_> {
        Places {
            source_name: &self.name,
            directory: &self.directory,
            store: self.store.as_deref(),
            copies: &self.copies,
        }
    }

    /// Returns the subvolume that it is pulled into, if it is pulled.
    fn pulled_into(&self) -> Option<&Path> {
        let live = self.live.as_ref().filter(|_| self.pull.is_some())?;
        Some(&live.subvolume)
    }

    /// Returns whether the config file names it, with a store or without.
    pub fn is_in_file(&self) -> bool {
        // The catalog alone knows no paths. The store of a source with paths may be from the catalog.
        self.origin == SourceOrigin::File || self.live.is_some()
    }
}

/// A mirror for which a snapshot is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldFor {
    /// Where it is.
    pub to: MirrorLocation,
    /// For how long after the mirror's last success.
    pub hold: Duration,
}

/// Where a source lives on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Live {
    /// The subvolume's path, absolute.
    pub subvolume: PathBuf,
    /// The directory of its snapshots, absolute; its own for each subvolume.
    pub snapshots: PathBuf,
}

/// The values that a source inherits from the top level.
pub(super) struct Inherited {
    pub(super) segment_bytes: u64,
    pub(super) contents: bool,
    pub(super) index: bool,
    pub(super) keep: Option<KeepSnapshots>,
    pub(super) schedule: ScheduleKeys,
}

/// Reads all sources in the file's order, and checks each against those before it.
pub(super) fn read_all(
    top: &Section<'_>,
    inherited: &Inherited,
    stores: &BTreeMap<String, StoreConfig>,
) -> Result<Vec<Source>, ConfigError> {
    let items = top.read("source", |field| {
        field.array("an array of tables ([[source]])")
    })?;
    let mut sources = Vec::new();
    for item in items.unwrap_or_default() {
        let section = item.table(KEYS)?;
        let source = read(&section, inherited, stores)?;
        check_apart(&section, &source, &sources, stores)?;
        sources.push(source);
    }
    Ok(sources)
}

fn read(
    section: &Section<'_>,
    inherited: &Inherited,
    stores: &BTreeMap<String, StoreConfig>,
) -> Result<Source, ConfigError> {
    let name = section.require("name")?.source_name()?;
    let schedule = ScheduleKeys::read(section)?.over(&inherited.schedule);
    let store = section.read("store", |field| {
        source_stores::known(field, &schedule, stores)
    })?;
    let live = live(section)?;
    if store.is_none() {
        if live.is_none() {
            return Err(section.fault(Fault::NoStoreAndNotLive));
        }
        refuse_archiving_keys(section)?;
    }
    let copies =
        source_stores::copies(section, name.as_str(), store.as_deref(), &schedule, stores)?;
    Ok(Source {
        directory: section
            .read("archive_as", Field::source_name)?
            .unwrap_or_else(|| name.clone()),
        name,
        origin: SourceOrigin::File,
        pull: pull::read(section, live.as_ref().map(|live| &*live.subvolume))?,
        live,
        keep_snapshots: keep_snapshots(section, inherited)?,
        held_for: Vec::new(),
        links: links(section)?,
        copies,
        store,
        protocol: protocol(section)?,
        segment_bytes: section
            .read("segment_size", Field::segment_bytes)?
            .unwrap_or(inherited.segment_bytes),
        contents: section
            .read("contents", Field::boolean)?
            .unwrap_or(inherited.contents),
        index: section
            .read("index", Field::boolean)?
            .unwrap_or(inherited.index),
        schedule,
    })
}

/// Refuses the keys of archiving in a source without a store, where they would do nothing.
fn refuse_archiving_keys(section: &Section<'_>) -> Result<(), ConfigError> {
    for &key in ARCHIVING_KEYS {
        if let Some(field) = section.get(key) {
            return Err(field.fault(Fault::NeedsStore { key }));
        }
    }
    Ok(())
}

/// Reads the stream's form from two keys. The kernel loses bytes of compressed data without an error, so the
/// user has to accept that with a word of its own.
fn protocol(section: &Section<'_>) -> Result<Protocol, ConfigError> {
    let version = section.read("protocol", |field| field.integer("a version", 1..=2))?;
    let inexact = section.read("compressed_data", Field::inexact)? == Some(true);
    match (version, inexact) {
        (Some(1), true) => Err(section
            .require("protocol")?
            .fault(Fault::CompressedInVersionOne)),
        (_, true) => Ok(Protocol::CompressedData),
        (None | Some(1), false) => Ok(Protocol::V1),
        (Some(_), false) => Ok(Protocol::V2),
    }
}

/// Reads which snapshots are kept. If only their number is set, there is no other limit: none is deleted for
/// its age.
fn keep_snapshots(
    section: &Section<'_>,
    inherited: &Inherited,
) -> Result<KeepSnapshots, ConfigError> {
    let limit = |key| section.read(key, |field| field.integer("an integer", 1..=MAX_DAYS));
    if let Some(keep) = section.get("keep") {
        refuse_beside(section, &keep, "keep", &KEEP_KEYS)?;
        return keep_of(&keep);
    }
    if let Some(days) = limit("keep_days")? {
        let keep_days = section.require("keep_days")?;
        refuse_beside(section, &keep_days, "keep_days", &KEEP_KEYS[1..])?;
        return Ok(KeepSnapshots::Days(days));
    }
    let days = limit("keep_snapshots_days")?;
    let newest = limit("keep_snapshots")?;
    if section.read("latest_only", Field::boolean)? == Some(true) {
        let other = days.map(|_| "keep_snapshots_days");
        return match other.or(newest.map(|_| "keep_snapshots")) {
            None => Ok(KeepSnapshots::None),
            Some(other) => Err(section
                .require("latest_only")?
                .fault(Fault::LatestOnlyAndMore { other })),
        };
    }
    Ok(match (days, newest) {
        (None, None) => inherited.keep.unwrap_or(KeepSnapshots::DEFAULT),
        (days, newest) => KeepSnapshots::Within { days, newest },
    })
}

/// The other keys that say which snapshots are kept. `keep` allows none of them beside it.
pub(super) const KEEP_KEYS: [&str; 4] = [
    "keep_days",
    "keep_snapshots",
    "keep_snapshots_days",
    "latest_only",
];

/// Refuses a key that says the same in another way.
fn refuse_beside(
    section: &Section<'_>,
    field: &Field<'_>,
    key: &'static str,
    others: &[&'static str],
) -> Result<(), ConfigError> {
    match others.iter().find(|other| section.get(other).is_some()) {
        Some(other) => Err(field.fault(Fault::KeepTwice { key, other })),
        None => Ok(()),
    }
}

/// Reads `keep`: a number of snapshots, or terms.
pub(super) fn keep_of(field: &Field<'_>) -> Result<KeepSnapshots, ConfigError> {
    const FORMS: &str = "a number of snapshots from 1 to 1000000, or terms like \"24h 14d 8w 12m 4q 2y\", \
                         each unit once and at least 1";
    if let Some(terms) = field.text() {
        let terms = Terms::parse(terms).ok_or_else(|| field.unfit(FORMS))?;
        return Ok(KeepSnapshots::Terms(terms));
    }
    field
        .integer("a number", 1..=MAX_DAYS)
        .map(KeepSnapshots::Newest)
        .map_err(|_| field.unfit(FORMS))
}

/// Reads the names of the links to the newest snapshot.
pub(super) fn links(section: &Section<'_>) -> Result<Vec<String>, ConfigError> {
    let links = section.read("links", |field| {
        let items = field.array("an array of names")?;
        items.iter().map(link).collect::<Result<Vec<_>, _>>()
    })?;
    Ok(links.unwrap_or_else(|| vec!["current".to_owned()]))
}

fn link(field: &Field<'_>) -> Result<String, ConfigError> {
    field.matching(is_link_name, LINK_NAME)
}

/// What a link to the newest snapshot may be called, in words.
pub const LINK_NAME: &str = "a file name that is no date, such as \"current\"";

/// Returns whether a link to the newest snapshot may have this name.
pub fn is_link_name(text: &str) -> bool {
    let mut parts = Path::new(text).components();
    let one = matches!(
        (parts.next(), parts.next()),
        (Some(Component::Normal(part)), None) if part == text
    );
    one && !text.starts_with(".coldchain") && text.parse::<SnapshotName>().is_err()
}

fn live(section: &Section<'_>) -> Result<Option<Live>, ConfigError> {
    let subvolume = section.read("subvolume", Field::absolute_path)?;
    let snapshots = section.read("snapshots", Field::absolute_path)?;
    let half = |present, absent| section.fault(Fault::HalfLive { present, absent });
    match (subvolume, snapshots) {
        (None, None) => Ok(None),
        (Some(_), None) => Err(half("subvolume", "snapshots")),
        (None, Some(_)) => Err(half("snapshots", "subvolume")),
        (Some(subvolume), Some(snapshots)) if subvolume == snapshots => Err(section
            .require("snapshots")?
            .fault(Fault::SnapshotsAtSubvolume)),
        (Some(subvolume), Some(snapshots)) => Ok(Some(Live {
            subvolume,
            snapshots,
        })),
    }
}

/// Refuses a source that could be mistaken for an earlier one, by its name, or by the place of its objects or
/// of its snapshots. Snapshots are named by date alone, so each source needs its own directory.
fn check_apart(
    section: &Section<'_>,
    source: &Source,
    earlier: &[Source],
    stores: &BTreeMap<String, StoreConfig>,
) -> Result<(), ConfigError> {
    for other in earlier {
        let other_name = other.name.to_string();
        if source.name == other.name {
            return Err(section.require("name")?.fault(Fault::SameName(other_name)));
        }
        if let Some(collision) =
            source_stores::collision(section, &source.places(), &other.places(), stores)?
        {
            return Err(collision);
        }
        if let (Some(mine), Some(theirs)) = (&source.live, &other.live)
            && mine.snapshots == theirs.snapshots
        {
            return Err(section
                .require("snapshots")?
                .fault(Fault::SnapshotsShared { other: other_name }));
        }
        // Each would delete what the other has pulled.
        if let (Some(mine), Some(theirs)) = (source.pulled_into(), other.pulled_into())
            && mine == theirs
        {
            return Err(section
                .require("subvolume")?
                .fault(Fault::PullShared { other: other_name }));
        }
    }
    Ok(())
}
