//! What can be wrong with a config. Every one of these is exit code 2.

use std::fmt::Write;
use std::io;
use std::path::PathBuf;

use super::no_ledger_store::NoLedgerStore;
use super::suggest::nearest;
use crate::model::{NoPullLocation, SourceName, StorageClass};
use crate::owned::Untrusted;

/// Why there is no config to act on.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// There is no such file.
    #[error("the config file {} does not exist", path.display())]
    NotFound {
        /// The file.
        path: PathBuf,
    },
    /// The file exists, but can't be read.
    #[error("cannot read the config file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others can change it.
    #[error(transparent)]
    Untrusted(Untrusted),
    /// Something in it is wrong.
    #[error("{}:{line}: {fault}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong there.
        fault: Box<Fault>,
    },
    /// Nothing to archive is described.
    #[error("{}: no source is configured", path.display())]
    NoSource {
        /// The file.
        path: PathBuf,
    },
    /// The source keeps snapshots alone, and the command is about archives.
    #[error("source `{source_name}` has no store: it keeps snapshots alone")]
    NoStore {
        /// The source.
        source_name: SourceName,
    },
    /// All sources keep snapshots alone, and the command is about archives.
    #[error("{}: no source has a store: they keep snapshots alone", path.display())]
    NoSourceWithStore {
        /// The file.
        path: PathBuf,
    },
    /// A test message is asked for, and the config names nobody who gets messages.
    #[error("{}: [notify] names no address to send a message to", path.display())]
    NobodyToNotify {
        /// The file.
        path: PathBuf,
    },
    /// No recipient is configured, and something has to be sealed.
    #[error("{}: no recipient is configured", path.display())]
    NoRecipient {
        /// The file.
        path: PathBuf,
    },
    /// A text that should be a store's URL is not one.
    #[error("`{url}` is no store's URL: {fault}")]
    Url {
        /// As it was typed.
        url: String,
        /// What is wrong with it.
        fault: UrlFault,
    },
    /// The user named a source that is not configured.
    #[error("{0}")]
    UnknownSource(Unknown),
    /// The user named a store that is not configured.
    #[error("{0}")]
    UnknownStore(Unknown),
}

/// What is wrong with a store's URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlFault {
    /// It does not begin like a URL of a known kind.
    #[error("it begins with none of file://, s3:// and glacier-vault://")]
    Scheme,
    /// It has an unknown parameter.
    #[error("it has the unknown parameter `{name}`")]
    Unknown {
        /// Its name.
        name: String,
        /// The known parameters.
        known: &'static [&'static str],
    },
    /// A vault's URL names no store for the ledger.
    #[error("it does not say which store has the ledger")]
    NoLedger,
    /// A part of it is not what it must be.
    #[error("its {0} must be {1}")]
    Unfit(&'static str, &'static str),
}

/// What is wrong at a line of the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The parser's message.
    #[error("not valid TOML: {0}")]
    Syntax(String),
    /// A key, store or time zone that does not exist.
    #[error("{0}")]
    Unknown(Unknown),
    /// A key that must be there is not.
    #[error("`{key}` is missing")]
    Missing {
        /// With its table path.
        key: String,
    },
    /// A value of the wrong type, or out of bounds.
    #[error("`{key}` must be {expected}, found {found}")]
    Unfit {
        /// With its table path.
        key: String,
        /// What it takes.
        expected: String,
        /// What it was given.
        found: String,
    },
    /// `compression_levels` is set, but `compression` is not "auto".
    #[error("`compression_levels` has no effect unless `compression` is \"auto\"")]
    LevelsOfNothing,
    /// The limit has no room for a segment.
    #[error(
        "`memory_limit` must be {least}MiB or more for segments of {segment}MiB at compression level {level}"
    )]
    MemoryLimit {
        /// The smallest limit that is enough, in MiB.
        least: u64,
        /// The largest segments, in MiB.
        segment: u64,
        /// The highest level.
        level: i32,
    },
    /// The store locks objects, but without `max_chain_days` a chain has no end.
    #[error("store `{store}` locks objects, so this source needs `max_chain_days`")]
    LockWithoutEnd {
        /// The store, by its name in the config.
        store: String,
    },
    /// `compressed_data` is true, but the kernel does not always send exactly what is on disk then.
    #[error(
        "`source.compressed_data` must not be true: the kernel's sender loses bytes of compressed data, without an \
         error, so that a restore can differ from what was archived"
    )]
    CompressedData,
    /// Compressed data is configured with version 1, which can't carry it.
    #[error("`source.protocol` is 1, and only version 2 carries compressed data")]
    CompressedInVersionOne,
    /// `latest_only` is set together with a key that keeps more snapshots.
    #[error("`source.latest_only` is true, so `source.{other}` has no effect")]
    LatestOnlyAndMore {
        /// The key that has no effect.
        other: &'static str,
    },
    /// Two keys say which snapshots are kept.
    #[error(
        "`source.{key}` and `source.{other}` are both set, and both say which snapshots are kept"
    )]
    KeepTwice {
        /// The key.
        key: &'static str,
        /// The other one.
        other: &'static str,
    },
    /// A source with a subvolume and no place for snapshots, or the reverse.
    #[error("`source.{present}` is set and `source.{absent}` is not")]
    HalfLive {
        /// The key that is there.
        present: &'static str,
        /// The key that is not.
        absent: &'static str,
    },
    /// A source that would neither be archived nor snapshotted.
    #[error("the source has neither a `store` nor a `subvolume`")]
    NoStoreAndNotLive,
    /// A key of archiving in a source without a store.
    #[error("`source.{key}` has no effect in a source without a `store`")]
    NeedsStore {
        /// The key that has no effect.
        key: &'static str,
    },
    /// A source's snapshots would lie at the subvolume itself.
    #[error("`source.snapshots` must not be the subvolume itself")]
    SnapshotsAtSubvolume,
    /// Two sources would take each other's snapshots for their own.
    #[error("`source.snapshots` is also where source `{other}` keeps its snapshots")]
    SnapshotsShared {
        /// The earlier source.
        other: String,
    },
    /// A mirror names both a source and a directory.
    #[error("`mirror.source` and `mirror.from` are both set, and both say whose snapshots it gets")]
    MirrorOfTwo,
    /// A mirror names neither.
    #[error("neither `mirror.source` nor `mirror.from` is set")]
    MirrorOfNone,
    /// A mirror of a source without a subvolume.
    #[error("source `{name}` has no `subvolume`, so it has no snapshots to mirror")]
    MirrorOfNoSnapshots {
        /// The source.
        name: String,
    },
    /// Two mirrors would be one directory.
    #[error("two mirrors of `{name}` are at {to}")]
    SameMirror {
        /// The source.
        name: String,
        /// The place.
        to: String,
    },
    /// A key that is only for ssh, and the mirror is a directory here.
    #[error("`mirror.{key}` has no effect unless `to` is an ssh:// location")]
    OnlyOverSsh {
        /// The key that has no effect.
        key: &'static str,
    },
    /// A place that a source can't be pulled from.
    #[error("`source.pull.from` can't be pulled from: {0}")]
    PullFrom(NoPullLocation),
    /// A source is pulled, and has nothing to pull into.
    #[error("the source has a `pull` and no `subvolume`")]
    PullNeedsSubvolume,
    /// The subvolume would be pulled from itself.
    #[error("`source.pull.from` is inside the source's own subvolume")]
    PullOfItself,
    /// A key that is only for ssh, and the source is pulled from here.
    #[error("`source.pull.{key}` has no effect unless `from` is on another machine")]
    PullOnlyOverSsh {
        /// The key that has no effect.
        key: &'static str,
    },
    /// Two keys say different things.
    #[error("`source.pull.{key}` is also set in another way, and the two differ")]
    PullTwice {
        /// The key.
        key: &'static str,
    },
    /// An option or a pattern of rsync that a pull may not have.
    #[error("rsync's `{option}` can't be used for a pull: {why}")]
    PullOption {
        /// As it was written.
        option: String,
        /// Why.
        why: &'static str,
    },
    /// Two sources would be pulled into one subvolume.
    #[error("source `{other}` is pulled into the same subvolume")]
    PullShared {
        /// The earlier source.
        other: String,
    },
    /// A source would be copied onto itself.
    #[error("`{copy}` in `source.copies` is the place of the source's own `store`")]
    CopyOntoHome {
        /// The store, by its name in the config.
        copy: String,
    },
    /// One place is to get two copies of a source.
    #[error("`{copy}` in `source.copies` is the place of `{other}` before it")]
    CopyTwice {
        /// The store, by its name in the config.
        copy: String,
        /// The one before it, which may have the same name.
        other: String,
    },
    /// What is archived must be thawed before it can be copied.
    #[error(
        "store `{home}` keeps segments in {class}, which must be thawed first, so nothing copies them each night"
    )]
    CopiesOfColdHome {
        /// The source.
        source_name: String,
        /// The copy's store, by its name in the config.
        copy: String,
        /// The source's store.
        home: String,
        /// The class.
        class: StorageClass,
    },
    /// The store that a vault keeps its ledger in is missing, or can't have one.
    #[error("{}", why.of(vault))]
    LedgerStore {
        /// The vault, by its name in the config.
        vault: String,
        /// Why.
        why: NoLedgerStore,
    },
    /// A vault would get a copy.
    #[error("`{copy}` in `source.copies` is a vault, which can't have copies")]
    CopyIntoVault {
        /// The store, by its name in the config.
        copy: String,
    },
    /// Two sources of one name.
    #[error("two sources are named `{0}`")]
    SameName(String),
    /// Two sources would write one ledger.
    #[error("the directory `{directory}` in store `{store}` is already that of source `{other}`")]
    SameDirectory {
        /// The directory.
        directory: String,
        /// The store, by its name in the config.
        store: String,
        /// The earlier source.
        other: String,
    },
}

/// An unknown name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown {what} `{name}`{}", did_you_mean(nearest.as_deref()))]
pub struct Unknown {
    /// The kind of thing that it should name.
    pub what: &'static str,
    /// The name as it was written.
    pub name: String,
    /// The known one that was probably meant.
    pub nearest: Option<String>,
    /// What would be right, such as the known names.
    pub hint: Option<String>,
}

impl Unknown {
    /// Describes a name that is none of `known`.
    pub(super) fn among<'a>(
        what: &'static str,
        name: &str,
        known: impl Iterator<Item = &'a str> + Clone,
    ) -> Self {
        let mut list = String::new();
        for name in known.clone() {
            let comma = if list.is_empty() { "" } else { ", " };
            let _ = write!(list, "{comma}`{name}`");
        }
        Self {
            what,
            name: name.to_owned(),
            nearest: nearest(name, known),
            hint: (!list.is_empty()).then(|| format!("known: {list}")),
        }
    }
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |name| format!(", did you mean `{name}`?"))
}

impl ConfigError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotFound { .. } => Some(
                "run `coldchain init` to write one, or name another with --config or $COLDCHAIN_CONFIG; to read existing \
                 archives without a config, run `coldchain catalog rebuild --identity KIT --store URL`"
                    .to_owned(),
            ),
            Self::Read { source, .. } => (source.kind() == io::ErrorKind::PermissionDenied)
                .then(|| "run as the user who owns it: only the owner may read it".to_owned()),
            Self::Untrusted(untrusted) => Some(untrusted.hint()),
            Self::Invalid { fault, .. } => fault.hint(),
            Self::NoSource { path } => Some(format!(
                "edit {}: describe what to archive in a [[source]], and where to in its [store.NAME]",
                path.display()
            )),
            Self::NoStore { .. } => {
                Some("add `store = \"NAME\"` to its [[source]] to archive it".to_owned())
            }
            Self::NoSourceWithStore { path } => Some(format!(
                "edit {}: add `store = \"NAME\"` to a [[source]] to archive it",
                path.display()
            )),
            Self::NobodyToNotify { path } => Some(format!(
                "edit {}: set `ping`, `webhook` or `mail` in [notify]",
                path.display()
            )),
            Self::NoRecipient { path } => Some(format!(
                "edit {}: name at least one in `recipients` of [encryption]; keep a spare",
                path.display()
            )),
            Self::Url {
                fault: UrlFault::Unknown { known, .. },
                ..
            } => Some(format!("such a URL takes {}", known.join(", "))),
            Self::Url {
                fault: UrlFault::NoLedger,
                ..
            } => Some(
                "add `?ledger=URL`, with the URL of the ledger's directory or bucket; the recovery kit has the whole URL"
                    .to_owned(),
            ),
            Self::Url { .. } => Some(
                "it is `file:///path`, `s3://bucket/prefix?region=…` or `glacier-vault://region/vault?ledger=…`, as the \
                 recovery kit has it"
                    .to_owned(),
            ),
            Self::UnknownSource(unknown) | Self::UnknownStore(unknown) => unknown.hint.clone(),
        }
    }
}

impl Fault {
    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Unknown(unknown) => return unknown.hint.clone(),
            Self::HalfLive { .. } => {
                "set both, or neither for a source that only `coldchain decide` serves"
            }
            Self::NoStoreAndNotLive => {
                "set `store` to archive it, `subvolume` and `snapshots` to keep snapshots of it, or all three"
            }
            Self::NeedsStore { .. } => {
                "add `store = \"NAME\"` to archive the source, or remove the line"
            }
            Self::CompressedData => {
                "remove the line, and the next archive is an exact full; to keep on with archives that may be \
                 inexact, write compressed_data = \"inexact\""
            }
            Self::CompressedInVersionOne => "remove `protocol`, or remove `compressed_data`",
            Self::SnapshotsAtSubvolume => {
                "give a directory on the same filesystem, like `.coldchain` in the subvolume"
            }
            Self::SnapshotsShared { .. } => {
                "snapshots are named by date alone: give each source a directory of its own"
            }
            Self::MirrorOfTwo => {
                "remove `source` to mirror another mirror's copies, or `from` to mirror the source's snapshots"
            }
            Self::MirrorOfNone => {
                "set `source` to a source's name, or `from` to the directory of another mirror's copies"
            }
            Self::MirrorOfNoSnapshots { .. } => {
                "set `subvolume` and `snapshots` in its [[source]], or remove the [[mirror]]"
            }
            Self::SameMirror { .. } => "remove one of them, or set its `to` to another directory",
            Self::OnlyOverSsh { .. } => {
                "remove the line, or set `to` to ssh://[USER@]HOST[:PORT]/PATH"
            }
            Self::PullFrom(NoPullLocation::Daemon) => "write HOST:/PATH, with one colon",
            Self::PullFrom(NoPullLocation::Pattern) => {
                "pull the directory above, and leave out the rest by `exclude`"
            }
            Self::PullFrom(NoPullLocation::Form) => {
                "write an absolute path, or HOST:/PATH; a user and a port have keys of their own"
            }
            Self::PullNeedsSubvolume => {
                "set `subvolume` and `snapshots`, or remove the [source.pull]"
            }
            Self::PullOfItself => {
                "pull from another directory: what is pulled becomes the whole subvolume"
            }
            Self::PullOnlyOverSsh { .. } => "remove the line, or set `from` to HOST:/PATH",
            Self::PullTwice { .. } => "remove one of the two",
            Self::PullOption { .. } => {
                "remove it; docs/pull.md lists the options that a pull may have"
            }
            Self::PullShared { .. } => "give each source a subvolume of its own",
            Self::CopyOntoHome { .. } => {
                "name a [store.NAME] that is another place, or remove it from `copies`"
            }
            Self::CopyTwice { .. } => "remove one of them from `copies`",
            Self::CopiesOfColdHome {
                source_name, copy, ..
            } => {
                return Some(format!(
                    "remove it from `copies`; run `coldchain copy {source_name} --to {copy} --plan` to see what a copy costs"
                ));
            }
            Self::LedgerStore { why, .. } => why.hint(),
            Self::CopyIntoVault { .. } => {
                "remove it from `copies`, and name a store of type \"dir\" or \"s3\" there"
            }
            Self::SameDirectory { .. } => "give one of them another `archive_as`",
            _ => return None,
        };
        Some(hint.to_owned())
    }
}
