//! The subvolume that a source is pulled into.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, Timespec, Timestamps};

use crate::btrfs::{self, HeldDirectory, MadeAs};
use crate::catalog::{Catalog, PullRow};
use crate::config::{Live, PullConfig, Source};
use crate::engine::pull::standing::{self, STAGING};
use crate::error::{Error, PullError};
use crate::model::{PullLocation, SubvolumeIdentity};

/// A subvolume that is there.
pub(super) struct PullPlace {
    pub(super) directory: HeldDirectory,
    pub(super) identity: SubvolumeIdentity,
    /// What the catalog knows of it.
    pub(super) row: Option<PullRow>,
    /// Whether a run was cut in it.
    pub(super) is_unfinished: bool,
}

/// Looks for the subvolume, and checks that it can be pulled into; `None` if it has to be made.
pub(super) fn look(
    source: &Source,
    live: &Live,
    pull: &PullConfig,
    catalog: &Catalog,
) -> Result<Option<PullPlace>, Error> {
    require_private(live, pull)?;
    let path = &live.subvolume;
    let found = match path.symlink_metadata() {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let is_known = |row: &PullRow| row.source == source.name && row.finished_at.is_some();
            if catalog.pulls()?.iter().any(is_known) {
                // It may be on a disk that is not mounted: a new one would be on the wrong filesystem.
                return Err(PullError::Gone {
                    source_name: source.name.clone(),
                    path: path.clone(),
                }
                .into());
            }
            return Ok(None);
        }
        Err(error) => return Err(Error::file("look at", path, error)),
    };
    let unfit = |what| {
        Error::from(PullError::Unfit {
            path: path.clone(),
            what,
        })
    };
    if !found.is_dir() {
        return Err(unfit("it is not a directory"));
    }
    let directory = HeldDirectory::open(path)?;
    if !directory.is_subvolume()? {
        return Err(unfit("it is not the root of a subvolume"));
    }
    let identity = directory.identity()?;
    if identity.read_only {
        return Err(unfit("it is read-only"));
    }
    let row = catalog.pull(identity.uuid)?;
    let is_begun = row.as_ref().is_some_and(|row| row.begun_at.is_some());
    Ok(Some(PullPlace {
        is_unfinished: standing::has_staging(path)? || is_begun,
        directory,
        identity,
        row,
    }))
}

/// Refuses a subvolume with files that no pull has put there.
pub(super) fn require_ours(source: &Source, live: &Live, place: &PullPlace) -> Result<(), Error> {
    if place.row.is_some() || place.is_unfinished {
        return Ok(());
    }
    let own = live.snapshots.strip_prefix(&live.subvolume).ok();
    let own = own.and_then(|below| below.components().next());
    let is_foreign =
        |name: &Vec<u8>| own.is_none_or(|own| own.as_os_str().as_encoded_bytes() != name);
    if place.directory.names()?.iter().any(is_foreign) {
        return Err(PullError::Foreign {
            source_name: source.name.clone(),
            path: live.subvolume.clone(),
        }
        .into());
    }
    Ok(())
}

/// Makes the subvolume, and the directory above it if that is missing.
pub(super) fn make(live: &Live, pull: &PullConfig) -> Result<PullPlace, Error> {
    let path = &live.subvolume;
    let parent = path.parent().unwrap_or(path);
    make_private(parent)?;
    require_private(live, pull)?;
    let name = path.file_name().unwrap_or_default();
    let directory = HeldDirectory::open(parent)?.make(name, MadeAs::Subvolume)?;
    let identity = directory.identity()?;
    Ok(PullPlace {
        directory,
        identity,
        row: None,
        is_unfinished: false,
    })
}

/// Makes the directory of the snapshots if it is missing, as `init` does.
pub(super) fn make_snapshots_directory(live: &Live) -> Result<(), Error> {
    make_private(&live.snapshots)
}

fn make_private(path: &Path) -> Result<(), Error> {
    if path.is_dir() {
        return Ok(());
    }
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(Error::file("create", path, error))
        }
        _ => Ok(()),
    }
}

/// Refuses places that other users can enter: they could run the setuid programs of the machine that is pulled.
///
/// The mode of the subvolume itself says nothing, because the source sets it.
fn require_private(live: &Live, pull: &PullConfig) -> Result<(), Error> {
    let is_outside = !live.snapshots.starts_with(&live.subvolume);
    let snapshots = is_outside.then_some(live.snapshots.as_path());
    let above = live.subvolume.parent().unwrap_or(&live.subvolume);
    for place in [Some(above), snapshots].into_iter().flatten() {
        let mut nearest = None;
        let mut is_private = false;
        for directory in place.ancestors() {
            let Ok(found) = fs::metadata(directory) else {
                continue;
            };
            nearest.get_or_insert((directory, found.mode() & 0o7777));
            let open = Mode::from_raw_mode(found.mode()) & (Mode::RWXG | Mode::RWXO);
            is_private |= open.is_empty() && found.uid() == 0;
        }
        // What is missing is made so that no other user can enter it.
        if let (false, Some((path, mode))) = (is_private || !place.exists(), nearest) {
            return Err(PullError::Open {
                path: path.to_owned(),
                mode,
                from: Box::new(pull.from.clone()),
            }
            .into());
        }
    }
    Ok(())
}

/// Refuses to pull the subvolume into itself.
pub(super) fn require_apart(live: &Live, pull: &PullConfig, cover: &Path) -> Result<(), Error> {
    let PullLocation::Here(from) = &pull.from else {
        return Ok(());
    };
    // What is not there is rsync's to report.
    let Ok(real) = from.canonicalize() else {
        return Ok(());
    };
    let into_itself = || {
        Error::from(PullError::IntoItself {
            from: Box::new(pull.from.clone()),
            path: live.subvolume.clone(),
        })
    };
    let subvolume = canonical(&live.subvolume);
    if real.starts_with(&subvolume) || real.starts_with(cover) {
        return Err(into_itself());
    }
    if subvolume.starts_with(&real) {
        let device = |path: &Path| fs::metadata(path).ok().map(|found| found.dev());
        let above = live.subvolume.parent().unwrap_or(&live.subvolume);
        let here = device(&live.subvolume).or_else(|| device(above));
        if !pull.stays_on_one_filesystem() || here == device(&real) {
            return Err(into_itself());
        }
    }
    Ok(())
}

/// Returns a path without links, also of something that is not there yet.
fn canonical(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| {
        let above = path.parent().and_then(|above| above.canonicalize().ok());
        match (above, path.file_name()) {
            (Some(above), Some(name)) => above.join(name),
            _ => path.to_owned(),
        }
    })
}

/// Returns the paths below the subvolume that rsync leaves alone: the subvolumes in it, which no snapshot of it has, and
/// the directory of its snapshots.
pub(super) fn protected(live: &Live) -> Result<Vec<PathBuf>, Error> {
    let mut paths = btrfs::snapshots::nested_subvolumes(&live.subvolume)?;
    if live.snapshots.starts_with(&live.subvolume) {
        paths.push(live.snapshots.clone());
    }
    paths.sort();
    let mut protected: Vec<PathBuf> = Vec::new();
    for path in paths {
        if let Ok(below) = path.strip_prefix(&live.subvolume)
            && !protected.iter().any(|above| below.starts_with(above))
        {
            protected.push(below.to_owned());
        }
    }
    Ok(protected)
}

/// Makes the directory that says that a run is at work. Unfinished files of an earlier run become what rsync looks for to
/// continue them.
pub(super) fn begin(live: &Live, place: &PullPlace) -> Result<(), Error> {
    let staging = live.subvolume.join(STAGING);
    let failed = |error| Error::file("prepare", &staging, error);
    if !place.directory.holds(OsStr::new(STAGING))? {
        place
            .directory
            .make(OsStr::new(STAGING), MadeAs::Directory)?;
        return Ok(place.directory.sync()?);
    }
    // A link would lead out of the subvolume.
    if !staging.symlink_metadata().map_err(failed)?.is_dir() {
        return Err(PullError::StagingTaken(staging).into());
    }
    for entry in fs::read_dir(&staging).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let is_file = entry.file_type().map_err(failed)?.is_file();
        if let (true, Some(whole)) = (is_file, name_of_temporary(name.as_encoded_bytes())) {
            let whole = staging.join(OsStr::new(&*whole));
            fs::rename(entry.path(), whole).map_err(failed)?;
        }
    }
    Ok(())
}

/// Returns the name of the file that rsync was writing under a temporary name: `NAME.XXXXXX`. A name that only looks like
/// that costs no more than what was pulled of the file.
fn name_of_temporary(name: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(name).ok()?;
    let (name, random) = name.rsplit_once('.')?;
    let is_random = random.len() == 6 && random.bytes().all(|it| it.is_ascii_alphanumeric());
    (is_random && !name.is_empty()).then(|| name.to_owned())
}

/// Removes the directory that says that a run is at work.
pub(super) fn end(live: &Live, place: &PullPlace) -> Result<(), Error> {
    let staging = live.subvolume.join(STAGING);
    // All that was pulled is on the disk before nothing says any more that it may not be.
    place.directory.sync()?;
    let found = place.directory.stat()?;
    fs::remove_dir_all(&staging).map_err(|error| Error::file("remove", &staging, error))?;
    // rsync has set the time that the source's directory has.
    let time = |tv_sec, tv_nsec: u64| Timespec {
        tv_sec,
        tv_nsec: tv_nsec.try_into().unwrap_or_default(),
    };
    let times = Timestamps {
        last_access: time(found.st_atime, found.st_atime_nsec),
        last_modification: time(found.st_mtime, found.st_mtime_nsec),
    };
    rustix::fs::futimens(&place.directory, &times)
        .map_err(|errno| Error::file("set the time of", &live.subvolume, errno.into()))?;
    Ok(place.directory.sync()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_behind_a_temporary_name_is_known() {
        for (name, whole) in [
            ("disk.img.aB3xyZ", Some("disk.img")),
            (".hidden.aB3xyZ", Some(".hidden")),
            ("a.aB3xy", None),
            ("a.aB3xy!", None),
            (".aB3xyZ", None),
            ("disk.img", None),
            (".hidden", None),
        ] {
            assert_eq!(
                name_of_temporary(name.as_bytes()).as_deref(),
                whole,
                "{name}"
            );
        }
    }
}
