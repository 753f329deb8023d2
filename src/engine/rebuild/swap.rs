//! Replaces the old catalog with the new one. The old one is never lost.
//!
//! There is a complete `catalog.db` at every moment: the old one gets a second name, then the new one is
//! renamed over it.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::catalog::{Catalog, NewCatalog};
use crate::engine::context::state_dir::StateDir;
use crate::error::Error;

const CATALOG: &str = "catalog.db";
const NEW: &str = "catalog.db.new";
const KEPT: &str = "catalog.db.before-rebuild";

/// Suffixes of the files that SQLite keeps beside a database that was not closed.
const BESIDE: [&str; 2] = ["-wal", "-shm"];

/// Begins a new catalog. Discards one that an earlier run left unfinished.
pub(super) fn begin(state_dir: &StateDir) -> Result<NewCatalog, Error> {
    discard(state_dir)?;
    Ok(NewCatalog::create(&state_dir.file(NEW))?)
}

/// Removes an unfinished new catalog.
pub(super) fn discard(state_dir: &StateDir) -> Result<(), Error> {
    let path = state_dir.file(NEW);
    for suffix in ["", "-wal", "-shm"] {
        remove(&with_suffix(&path, suffix))?;
    }
    Ok(())
}

/// Replaces the old catalog with the new one, and returns the new path of the old one.
pub(super) fn swap_in(
    state_dir: &StateDir,
    new: NewCatalog,
    before: Option<Catalog>,
) -> Result<Option<PathBuf>, Error> {
    new.finish()?;
    let path = state_dir.file(CATALOG);
    let existed = exists(&path)?;
    if let (Some(before), true) = (before, existed) {
        // After this, all of it is in one file.
        before.close()?;
    }
    let kept = if existed {
        Some(keep(state_dir, &path)?)
    } else {
        None
    };
    // SQLite must not use a journal of the old one for the new one.
    for suffix in BESIDE {
        remove(&with_suffix(&path, suffix))?;
    }
    let new = state_dir.file(NEW);
    std::fs::rename(&new, &path).map_err(|source| Error::file("rename", &new, source))?;
    sync(state_dir)?;
    Ok(kept)
}

/// Gives the old catalog, and the files beside it, a second name that is not in use.
fn keep(state_dir: &StateDir, path: &Path) -> Result<PathBuf, Error> {
    let mut kept = state_dir.file(KEPT);
    let mut number = 2;
    while exists(&kept)? {
        kept = state_dir.file(&format!("{KEPT}.{number}"));
        number += 1;
    }
    for suffix in BESIDE {
        link(&with_suffix(path, suffix), &with_suffix(&kept, suffix))?;
    }
    link(path, &kept)?;
    sync(state_dir)?;
    Ok(kept)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn exists(path: &Path) -> Result<bool, Error> {
    path.try_exists()
        .map_err(|source| Error::file("look for", path, source))
}

fn link(from: &Path, to: &Path) -> Result<(), Error> {
    let failed = |source| Error::file("keep", from, source);
    unless_missing(std::fs::hard_link(from, to)).map_err(failed)
}

fn remove(path: &Path) -> Result<(), Error> {
    unless_missing(std::fs::remove_file(path)).map_err(|source| Error::file("remove", path, source))
}

fn unless_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

fn sync(state_dir: &StateDir) -> Result<(), Error> {
    let path = state_dir.path();
    File::open(path)
        .and_then(|directory| directory.sync_all())
        .map_err(|source| Error::file("sync", path, source))
}
