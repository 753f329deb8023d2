//! Where archives may go.

use std::env;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::btrfs::{Space, filesystem_id};
use crate::config::{DescribedSource, StoreConfig};
use crate::engine::is_in_subvolume;
use crate::error::{Error, InitError};
use crate::mounts::mounts;
use crate::printing::warn;

/// The name of a store's directory on a disk of its own.
const DIRECTORY: &str = "coldchain";

/// Where disks for backups are usually mounted.
const USUAL: [&str; 8] = [
    "/mnt",
    "/media",
    "/run/media",
    "/srv",
    "/backup",
    "/backups",
    "/data",
    "/nas",
];

/// Filesystems that hold files for years.
const LASTING: [&str; 12] = [
    "btrfs", "ext3", "ext4", "xfs", "zfs", "f2fs", "exfat", "fuseblk", "nfs", "nfs4", "cifs",
    "bcachefs",
];

/// Returns the store at a place: an absolute path, or the URL of a directory or a bucket.
pub(super) fn parse_place(place: &str, sources: &[DescribedSource]) -> Result<StoreConfig, Error> {
    let url = if place.starts_with('/') {
        format!("file://{place}")
    } else {
        place.to_owned()
    };
    let known = ["file://", "s3://"]
        .iter()
        .any(|scheme| url.starts_with(scheme));
    if !known {
        return Err(InitError::Place(place.to_owned()).into());
    }
    let store = StoreConfig::from_url(&url)?;
    if let StoreConfig::Dir { path, .. } = &store
        && let Some(parent) = path.parent()
        && !parent.is_dir()
    {
        return Err(InitError::NoParent {
            place: path.clone(),
            missing: parent.to_owned(),
        }
        .into());
    }
    if let StoreConfig::Dir { path, .. } = &store
        && let Some(source) = sources
            .iter()
            .find(|source| is_in_subvolume(path, Path::new(&source.subvolume)))
    {
        return Err(InitError::InSource {
            place: path.clone(),
            source_path: source.subvolume.clone(),
        }
        .into());
    }
    Ok(store)
}

/// Returns a path as a shell would read it that begins with `~/`.
pub(super) fn at_home(path: String) -> String {
    match (path.strip_prefix("~/"), env::var("HOME")) {
        (Some(rest), Ok(home)) => format!("{home}/{rest}"),
        _ => path,
    }
}

/// Returns a directory on the disk with the most free space that no source is on, if there is one.
pub(super) fn proposed_directory(sources: &[DescribedSource]) -> Option<PathBuf> {
    let fits = mounts().into_iter().filter(|mount| {
        !mount.is_read_only
            && LASTING.contains(&mount.kind.as_str())
            && USUAL.iter().any(|place| mount.at.starts_with(place))
            && mount.at.to_str().is_some()
            && shared(&mount.at, sources).is_none()
    });
    let free = fits.filter_map(|mount| {
        let space = Space::of(&mount.at).ok().filter(|space| !space.read_only)?;
        Some((space.free, mount.at))
    });
    let (_, at) = free.max()?;
    Some(at.join(DIRECTORY))
}

/// Warns if a store would be lost with the disk of a source, or may be where a disk is not mounted.
pub(super) fn say_if_on_the_same_filesystem(store: &StoreConfig, sources: &[DescribedSource]) {
    if let StoreConfig::Dir { path, .. } = store
        && let Some(source) = shared(path, sources)
    {
        warn(format_args!(
            "{} is on the filesystem of {}: its archives are lost with that disk",
            path.display(),
            source.subvolume
        ));
    } else if let StoreConfig::Dir { path, .. } = store
        && is_on_root(path)
    {
        warn(format_args!(
            "{} is on the filesystem of /: if it should be on another disk, that is not mounted",
            path.display()
        ));
    }
}

/// Whether a path, or the directory that it would be made in, is on the filesystem of `/`.
fn is_on_root(path: &Path) -> bool {
    let device = |path: &Path| fs::metadata(path).map(|stat| stat.dev()).ok();
    let there = path.ancestors().find(|path| path.is_dir());
    there
        .and_then(device)
        .is_some_and(|found| device(Path::new("/")) == Some(found))
}

/// Returns a source on the filesystem of a path, or of the directory that it would be made in.
fn shared<'s>(path: &Path, sources: &'s [DescribedSource]) -> Option<&'s DescribedSource> {
    let there = path.ancestors().find(|path| path.is_dir())?;
    let filesystem = filesystem_id(there).ok()?;
    sources
        .iter()
        .find(|source| filesystem_id(Path::new(&source.subvolume)).ok() == Some(filesystem))
}
