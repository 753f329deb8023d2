//! What there is.

use std::path::PathBuf;

use super::config::LoadedConfig;
use super::date::ApiDate;
use super::error::ApiError;
use crate::catalog::{Catalog, ListedRow, WhichArchives};
use crate::commands::list::{ListedChain, archive_state, gather, rows};
use crate::config::Source;
use crate::engine::Asking;
use crate::engine::{
    KnownMirror, KnownSnapshot, RunContext, StateDir, known_mirrors, look_at_snapshots,
    require_known_archives,
};
use crate::model::ArchiveKind;
use crate::progress::Quiet;

/// What there is of a source.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SourceListing {
    /// Its name.
    pub name: String,
    /// The URL of its store; `None` if it keeps snapshots alone.
    pub store: Option<String>,
    /// The next date on which an archive is due; `None` without a store.
    pub next_slot: Option<ApiDate>,
    /// The chains of its archives, oldest first.
    pub chains: Vec<ChainListing>,
    /// Its snapshots on this machine, oldest first.
    pub snapshots: Vec<SnapshotListing>,
    /// Its mirrors, as of their last runs.
    pub mirrors: Vec<MirrorListing>,
}

/// A chain: a full archive and the incrementals that build on it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ChainListing {
    /// The date of its full.
    pub date: ApiDate,
    /// `complete`, `unfinished`, `retired` or `damaged`.
    pub state: String,
    /// When it expires; `None` while it is the newest.
    pub expires_on: Option<ApiDate>,
    /// Its archives, by date.
    pub archives: Vec<ArchiveListing>,
}

/// An archive.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ArchiveListing {
    /// Its date.
    pub date: ApiDate,
    /// Its id, which [`restore`](fn@super::restore) takes too.
    pub id: String,
    /// Whether it is a full; if not, it is an incremental.
    pub is_full: bool,
    /// The date of the archive that it builds on.
    pub send_parent: Option<ApiDate>,
    /// `committed`, `unfinished` or `retired`.
    pub state: String,
    /// Whether a check found it damaged.
    pub is_damaged: bool,
    /// Bytes of its send stream.
    pub raw_bytes: u64,
    /// Bytes of its segments in the store.
    pub sealed_bytes: u64,
    /// Bytes of its contents in the store; 0 if it has none.
    pub contents_bytes: u64,
}

/// A snapshot on this machine.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SnapshotListing {
    /// Its name: a date, or a date and a time.
    pub name: String,
    /// Where it is. All usual programs can read it.
    pub path: PathBuf,
    /// What is wrong with it: it is gone, or was changed.
    pub fault: Option<String>,
}

/// A mirror.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct MirrorListing {
    /// Where it is, as the config has it.
    pub to: String,
    /// The names of its copies, oldest first.
    pub copies: Vec<String>,
    /// The snapshots that it still lacks; `None` if that is not known here.
    pub lacking: Option<Vec<String>>,
}

/// Lists the archives, the snapshots here and the mirrors of a source, or of all. It changes nothing, and asks no
/// store.
///
/// ```no_run
/// use coldchain::api::{self, Config};
///
/// # fn main() -> Result<(), api::Error> {
/// let config = Config::load("/etc/coldchain/config.toml".as_ref())?;
/// for source in api::list(&config, None)? {
///     let archives = source.chains.iter().map(|chain| chain.archives.len());
///     println!("{}: {} archives", source.name, archives.sum::<usize>());
/// }
/// # Ok(())
/// # }
/// ```
pub fn list(config: &LoadedConfig, source: Option<&str>) -> Result<Vec<SourceListing>, ApiError> {
    let chosen = config.chosen(source)?;
    let catalog = StateDir::new(&config.inner.state_dir).catalog_to_read()?;
    require_known_archives(&config.inner, &chosen, Asking::Everywhere)?;
    let listed = chosen.into_iter();
    listed
        .map(|source| listing(config, source, &catalog))
        .collect()
}

fn listing(
    config: &LoadedConfig,
    source: &Source,
    catalog: &Catalog,
) -> Result<SourceListing, ApiError> {
    let (config, context) = (&config.inner, RunContext::real(&Quiet));
    let rows = rows(source, WhichArchives::Current, catalog)?;
    let mirrors = known_mirrors(config, source, catalog, context)?;
    let snapshots = match &source.live {
        Some(_) => look_at_snapshots(config, source, catalog, context)?.known,
        None => Vec::new(),
    };
    let listed = gather(config, source, &rows, WhichArchives::Current, mirrors);
    Ok(SourceListing {
        name: listed.name.to_string(),
        store: listed.store,
        next_slot: listed.next_slot.map(ApiDate),
        chains: listed.chains.iter().map(ChainListing::from).collect(),
        snapshots: snapshots.into_iter().map(SnapshotListing::from).collect(),
        mirrors: listed.mirrors.iter().map(MirrorListing::from).collect(),
    })
}

impl From<&ListedChain<'_>> for ChainListing {
    fn from(chain: &ListedChain<'_>) -> Self {
        Self {
            date: ApiDate(chain.id.date),
            state: chain.state.to_owned(),
            expires_on: chain.expiry.date().map(ApiDate),
            archives: chain.shown().map(ArchiveListing::from).collect(),
        }
    }
}

impl From<&ListedRow> for ArchiveListing {
    fn from(row: &ListedRow) -> Self {
        Self {
            date: ApiDate(row.link.id.date),
            id: row.link.id.to_string(),
            is_full: row.link.id.kind == ArchiveKind::Full,
            send_parent: row.link.send_parent.map(|parent| ApiDate(parent.date)),
            state: archive_state(row).to_owned(),
            is_damaged: row.link.is_damaged,
            raw_bytes: row.raw_bytes,
            sealed_bytes: row.sealed_bytes,
            contents_bytes: row.contents_bytes,
        }
    }
}

impl From<KnownSnapshot> for SnapshotListing {
    fn from(known: KnownSnapshot) -> Self {
        Self {
            name: known.name.to_string(),
            path: known.path,
            fault: known.fault,
        }
    }
}

impl From<&KnownMirror> for MirrorListing {
    fn from(known: &KnownMirror) -> Self {
        let waiting = known.waiting.as_ref();
        let names = |waiting: &Vec<_>| waiting.iter().map(ToString::to_string).collect();
        Self {
            to: known.to.to_string(),
            copies: known
                .copies
                .iter()
                .map(|copy| copy.name.to_string())
                .collect(),
            lacking: waiting.map(names),
        }
    }
}
