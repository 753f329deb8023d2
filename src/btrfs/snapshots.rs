//! Makes and deletes snapshots.

use std::fs::File;
use std::io;
use std::path::Path;

use super::deletion_error::undeletable;
use super::error::BtrfsError;
use super::identity::{identity, sync};
use super::swap::active_swapfiles;
use super::sys;
use super::tools::Tools;
use crate::model::{SubvolumeIdentity, Uuid};
use crate::process::{self, ProcessError};

pub use super::neighbours::{ReceivedSubvolume, nested_subvolumes, received_from};

/// Takes a read-only snapshot of `source` at `destination` and makes it durable.
///
/// Refuses a `destination` that exists: `btrfs` would make the snapshot *inside* a directory of that name.
pub fn create(
    tools: &Tools,
    source: &Path,
    destination: &Path,
) -> Result<SubvolumeIdentity, BtrfsError> {
    identity(source)?;
    if destination.symlink_metadata().is_ok() {
        return Err(BtrfsError::Exists {
            path: destination.to_owned(),
        });
    }
    let action = format!(
        "make the snapshot {} of {}",
        destination.display(),
        source.display()
    );
    tools
        .run(action, |command| {
            command
                .args(["subvolume", "snapshot", "-r", "--"])
                .arg(source)
                .arg(destination)
        })
        .map_err(|error| match error {
            BtrfsError::Process(ProcessError::Failed { ref stderr, .. })
                if stderr.contains("Text file busy") =>
            {
                BtrfsError::ActiveSwap {
                    path: source.to_owned(),
                    files: active_swapfiles(source),
                }
            }
            error => error,
        })?;
    sync(destination)?;
    let snapshot = identity(destination)?;
    require_read_only(destination, &snapshot)?;
    Ok(snapshot)
}

/// Deletes a snapshot: only a read-only subvolume at `path` with the uuid `expected`, taken of the subvolume
/// `taken_of`.
pub fn delete(
    tools: &Tools,
    path: &Path,
    expected: Uuid,
    taken_of: Uuid,
) -> Result<(), BtrfsError> {
    let found = unaliased(path)?;
    if found.uuid != expected {
        return Err(BtrfsError::OtherUuid {
            path: path.to_owned(),
            expected,
            found: found.uuid,
        });
    }
    require_read_only(path, &found)?;
    if found.parent_uuid != Some(taken_of) {
        return Err(BtrfsError::OtherOrigin {
            path: path.to_owned(),
            expected: taken_of,
            found: found.parent_uuid,
        });
    }
    delete_checked(tools, path, found.subvolume_id)
}

/// Waits until the filesystem has freed what deleted subvolumes took.
pub fn wait_until_freed(tools: &Tools, directory: &Path) -> Result<(), BtrfsError> {
    let action = format!(
        "wait until deleted snapshots are freed in {}",
        directory.display()
    );
    tools
        .run(action, |command| {
            command.args(["subvolume", "sync", "--"]).arg(directory)
        })
        .map(drop)
}

/// Returns the identity of the subvolume at the path itself. Does not follow a symlink there.
fn unaliased(path: &Path) -> Result<SubvolumeIdentity, BtrfsError> {
    if path.is_symlink() {
        return Err(BtrfsError::NotASubvolume {
            path: path.to_owned(),
        });
    }
    identity(path)
}

fn require_read_only(path: &Path, found: &SubvolumeIdentity) -> Result<(), BtrfsError> {
    if found.read_only {
        return Ok(());
    }
    Err(BtrfsError::NotReadOnly {
        path: path.to_owned(),
    })
}

/// Deletes the checked subvolume by its id: at its path there might be another by now.
fn delete_checked(tools: &Tools, path: &Path, id: u64) -> Result<(), BtrfsError> {
    let action = format!("delete the subvolume {}", path.display());
    let directory = path.parent().unwrap_or(path);
    let failed = |source| BtrfsError::Io {
        action: "delete the subvolume",
        path: path.to_owned(),
        source,
    };
    let file = File::open(directory).map_err(failed)?;
    // After a signal nothing is begun any more, as for a program.
    let Some(deleted) = process::enter(|| sys::destroy_subvolume(&file, id), |()| None) else {
        return Err(ProcessError::Stopping { action }.into());
    };
    match deleted {
        Ok(()) => sync(directory),
        Err(error) if is_unknown(&error) => {
            tools.run(action, |command| {
                command
                    .args(["subvolume", "delete", "--commit-after", "--"])
                    .arg(path)
            })?;
            Ok(())
        }
        Err(error) => Err(undeletable(path, id, error)),
    }
}

/// Returns whether this kernel, or this mount, can't delete by id: before Linux 5.7, or with mapped ids.
fn is_unknown(error: &io::Error) -> bool {
    matches!(
        rustix::io::Errno::from_io_error(error),
        Some(rustix::io::Errno::NOTTY | rustix::io::Errno::OPNOTSUPP)
    )
}
