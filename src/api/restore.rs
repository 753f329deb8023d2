//! A date brought back.

use std::path::{Path, PathBuf};

use super::config::LoadedConfig;
use super::error::ApiError;
use super::rate::rate_limit;
use super::warnings::Warnings;
use crate::cli::{AtPlace, Everywhere, Restore, Thawing, WhichArchive, writable_name};
use crate::commands::identity::Passphrases;
use crate::commands::restore::{RestoreManner, perform};
use crate::engine::{StateDir, cautions};
use crate::error::RequestError;
use crate::model::{CopyKind, Tier};
use crate::plan::Usd;
use crate::store::DEFAULT_REQUESTS_PER_SECOND;

/// How to restore. The default is the newest archive, from the nearest copy, if that costs nothing.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RestoreRequest {
    /// A date as `YYYY-MM-DD`, the name of a snapshot, or the id of an archive; `None` is the newest archive, or the
    /// newest snapshot of a source without a store.
    pub name: Option<String>,
    /// Take this and nothing nearer; `None` is the nearest copy that is intact.
    pub from: Option<TakenFrom>,
    /// What opens archives: the recovery kit, an age identity file, or an ssh private key. A snapshot and a mirror's
    /// copy need none. A file with a passphrase can't be opened: a library does not ask.
    pub identity: Option<PathBuf>,
    /// The name of a writable snapshot to make beside the restored one.
    pub writable: Option<String>,
    /// The most that a restore from the store may cost, in cents of a US dollar. The default is `Some(0)`; `None` is
    /// no limit.
    pub max_cost_cents: Option<u64>,
    /// The most bytes a second to fetch, at least 65,536; `None` is no limit.
    pub limit: Option<u64>,
}

impl Default for RestoreRequest {
    fn default() -> Self {
        Self {
            name: None,
            from: None,
            identity: None,
            writable: None,
            max_cost_cents: Some(0),
            limit: None,
        }
    }
}

/// Where a restore takes its data from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TakenFrom {
    /// A snapshot on this machine.
    Snapshot,
    /// A mirror's copy.
    Mirror,
    /// The archives in the store.
    Store,
}

/// What was restored.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RestoreEnd {
    /// The date or snapshot.
    pub name: String,
    /// Where it was taken from.
    pub from: TakenFrom,
    /// The read-only subvolume with what was restored.
    pub path: PathBuf,
    /// The writable snapshot of it, if one was asked for.
    pub writable: Option<PathBuf>,
    /// What the command would have warned of.
    pub warnings: Vec<String>,
}

/// Restores a date of a source below the directory `to`, which must be on btrfs: it makes `to/SOURCE/NAME`, and never
/// writes over anything. It needs root, asks nothing and prints nothing.
///
/// While segments are thawing in cold storage the error has exit code 5: call again later, and it goes on where it was.
///
/// ```no_run
/// use std::path::Path;
///
/// use coldchain::api::{self, Config, RestoreRequest};
///
/// # fn main() -> Result<(), api::Error> {
/// let config = Config::load("/etc/coldchain/config.toml".as_ref())?;
/// let mut request = RestoreRequest::default();
/// request.name = Some("2026-11-21".to_owned());
/// request.identity = Some("/media/stick/recovery-kit.txt".into());
/// let end = api::restore(&config, "home", Path::new("/mnt/restore"), &request)?;
/// println!("{}", end.path.display());
/// # Ok(())
/// # }
/// ```
pub fn restore(
    config: &LoadedConfig,
    source: &str,
    to: &Path,
    request: &RestoreRequest,
) -> Result<RestoreEnd, ApiError> {
    let config = &config.inner;
    let writable = request.writable.as_deref().map(writable_name).transpose();
    let args = Restore {
        as_files: false,
        devices: false,
        target: WhichArchive::named(source, request.name.as_deref()),
        imported: None,
        spool: None,
        gpg_homedir: None,
        from: request.from.map(CopyKind::from),
        retired: false,
        to: Some(to.to_owned()),
        writable: writable.map_err(RequestError::CommandLine)?,
        delete_intermediate: false,
        stream: None,
        plan: false,
        explain: false,
        from_plan: None,
        limit: rate_limit(request.limit)?,
        parallel: None,
        thawing: Thawing {
            tier: Tier::Standard,
            thaw_days: Thawing::DAYS,
            max_cost: None,
            requests_per_second: DEFAULT_REQUESTS_PER_SECOND,
        },
        place: AtPlace::default(),
        identity: request.identity.clone(),
        yes: true,
    };
    let manner = RestoreManner {
        passphrases: Passphrases::NeverAsked,
        max_cost: request.max_cost_cents.map(Usd::from_cents),
    };
    let warnings = Warnings::default();
    let catalog = StateDir::new(&config.state_dir).catalog_to_read()?;
    cautions(&catalog)?
        .into_iter()
        .for_each(|it| warnings.add(it));
    drop(catalog);
    let quietly = Everywhere::quietly(config.path.clone());
    let brought = perform(&args, &quietly, config, &manner, Box::new(warnings.clone()))?;
    let brought = brought.expect("a restore to a directory brings something back");
    let name = brought.name.to_string();
    Ok(RestoreEnd {
        path: brought.restored.directory.join(&name),
        name,
        from: brought.from.into(),
        writable: brought.restored.writable,
        warnings: warnings.take(),
    })
}

impl From<TakenFrom> for CopyKind {
    fn from(from: TakenFrom) -> Self {
        match from {
            TakenFrom::Snapshot => Self::Snapshot,
            TakenFrom::Mirror => Self::Mirror,
            TakenFrom::Store => Self::Store,
        }
    }
}

impl From<CopyKind> for TakenFrom {
    fn from(kind: CopyKind) -> Self {
        match kind {
            CopyKind::Snapshot => Self::Snapshot,
            CopyKind::Mirror => Self::Mirror,
            CopyKind::Store => Self::Store,
        }
    }
}
