//! What `doctor --fix` may do: each of these loses nothing, and is checked again just before it is done.

use std::fs::{self, Metadata, OpenOptions, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::OFlags;

use crate::btrfs::Tools;
use crate::config::{Config, Source};
use crate::engine::context::RunContext;
use crate::engine::context::private_file::{is_temporary, remove_if_there};
use crate::engine::context::state_dir::StateDir;
use crate::engine::snapshots::leftovers::{leftovers, leftovers_of_all, remove};
use crate::error::Error;
use crate::model::SourceName;
use crate::run_records::RunFile;

/// A temporary file has its name for a moment. One that is older than this is left over.
const A_MOMENT: Duration = Duration::from_mins(10);

/// Files of the state directory that hold public keys.
const PUBLIC: [&str; 2] = ["root.pub", "signing.pub"];

/// Something that is safe to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SafeRepair {
    /// Takes a directory or file away from other users.
    MakePrivate {
        /// Its path.
        path: PathBuf,
        /// Its new mode.
        mode: u32,
    },
    /// Removes a temporary file that a killed run left.
    RemoveTemporary(PathBuf),
    /// Moves the damaged records of runs aside, and begins new ones.
    BeginRecords(PathBuf),
    /// Deletes a snapshot that a run made, and that has no final name.
    DeleteLeftover {
        /// The source.
        source: SourceName,
        /// Its path.
        path: PathBuf,
    },
}

/// Returns what can be repaired, in the order in which it should be.
pub fn safe_repairs(config: &Config) -> Vec<SafeRepair> {
    let state = config.state_dir.as_path();
    let mut repairs = Vec::new();
    if fs::symlink_metadata(state).is_ok_and(|found| found.is_dir() && is_open(found.mode())) {
        repairs.push(SafeRepair::MakePrivate {
            path: state.to_owned(),
            mode: 0o700,
        });
    }
    for (path, name) in files_in(state) {
        let is_readable = path
            .symlink_metadata()
            .is_ok_and(|found| found.is_file() && !is_private(&name, &found));
        if is_readable {
            repairs.push(SafeRepair::MakePrivate { path, mode: 0o600 });
        }
    }
    let temporary = temporary_files(state).into_iter();
    repairs.extend(temporary.map(SafeRepair::RemoveTemporary));
    let records = RunFile::new(state);
    if is_damaged(&records) {
        repairs.push(SafeRepair::BeginRecords(records.path()));
    }
    for (source, leftover) in leftovers_of_all(config) {
        if leftover.is_ours() {
            repairs.push(SafeRepair::DeleteLeftover {
                source: source.name.clone(),
                path: leftover.path,
            });
        }
    }
    repairs
}

impl SafeRepair {
    /// Returns what it does, as a command.
    pub fn in_words(&self) -> String {
        match self {
            Self::MakePrivate { path, mode } => {
                format!("set the mode of {} to {mode:04o}", path.display())
            }
            Self::RemoveTemporary(path) => {
                format!("remove {}, which a killed run left", path.display())
            }
            Self::BeginRecords(path) => format!(
                "move {path} aside to {path}.damaged, and begin new records of runs",
                path = path.display()
            ),
            Self::DeleteLeftover { source, path } => format!(
                "delete {}, an unfinished snapshot of {source} that coldchain made",
                path.display()
            ),
        }
    }

    /// Does it.
    pub fn apply(&self, config: &Config, context: RunContext<'_>) -> Result<(), Error> {
        match self {
            Self::MakePrivate { path, mode } => OpenOptions::new()
                .read(true)
                .custom_flags(i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or_default())
                .open(path)
                .and_then(|file| file.set_permissions(Permissions::from_mode(*mode)))
                .map_err(|error| Error::file("set the mode of", path, error)),
            Self::RemoveTemporary(path) => remove_if_there(path),
            Self::BeginRecords(path) => RunFile::new(&config.state_dir)
                .update(|_| ())
                .map_err(|error| Error::file("begin anew", path, error)),
            Self::DeleteLeftover { source, path } => {
                let source = config.source(source.as_str())?;
                delete_leftover(config, source, path, context)
            }
        }
    }
}

fn delete_leftover(
    config: &Config,
    source: &Source,
    path: &Path,
    context: RunContext<'_>,
) -> Result<(), Error> {
    let state_dir = StateDir::new(&config.state_dir);
    // A run that is just making it holds this.
    let _lock = state_dir.lock_snapshots(&source.name, &context)?;
    let mut catalog = state_dir.catalog()?;
    let mut found = leftovers(source, &catalog)?;
    found.retain(|leftover| leftover.path == path);
    remove(source, found, &mut catalog, &Tools::find()?, context).map(drop)
}

/// Returns whether users other than the owner have any right.
pub(super) fn is_open(mode: u32) -> bool {
    mode & 0o077 != 0
}

/// Returns whether other users can't read a file of the state directory, or may.
pub(super) fn is_private(name: &str, found: &Metadata) -> bool {
    !is_open(found.mode()) || PUBLIC.contains(&name)
}

fn is_damaged(records: &RunFile) -> bool {
    records
        .read()
        .is_err_and(|error| error.kind() == ErrorKind::InvalidData)
}

/// Returns the temporary files that killed runs left in a directory, by name.
pub(super) fn temporary_files(directory: &Path) -> Vec<PathBuf> {
    let is_old = |path: &Path| {
        let changed = path.symlink_metadata().and_then(|found| found.modified());
        let age = changed.map(|at| SystemTime::now().duration_since(at).unwrap_or_default());
        age.is_ok_and(|age| age > A_MOMENT)
    };
    let files = files_in(directory).into_iter();
    let left = files.filter(|(path, name)| is_temporary(name) && is_old(path));
    left.map(|(path, _)| path).collect()
}

/// Returns the paths and names of what is in a directory, by name.
fn files_in(directory: &Path) -> Vec<(PathBuf, String)> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut files: Vec<(PathBuf, String)> = entries
        .filter_map(|entry| Some((entry.path(), entry.file_name().into_string().ok()?)))
        .collect();
    files.sort();
    files
}
