//! The subvolumes that this machine can archive, wherever they are mounted.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::identity::{filesystem_id, identity};
use super::neighbours::nested_subvolumes;
use crate::mounts::mounts;

/// A writable subvolume, by the shortest of its paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VisibleSubvolume {
    /// Its path.
    pub path: PathBuf,
    /// Whether it is mounted there, and not only a part of another subvolume.
    pub is_mounted: bool,
}

/// Returns the writable subvolumes that are mounted or lie in a mounted one, sorted by their paths. Snapshots that are
/// read-only are none.
pub fn visible_subvolumes() -> Vec<VisibleSubvolume> {
    let of_btrfs = mounts().into_iter().filter(|mount| mount.kind == "btrfs");
    let mut mounted: Vec<PathBuf> = of_btrfs.map(|mount| mount.at).collect();
    mounted.sort_by_key(|path| (path.as_os_str().len(), path.clone()));
    let nested = mounted
        .iter()
        .flat_map(|path| nested_subvolumes(path).unwrap_or_default());
    let mut nested: Vec<PathBuf> = nested.collect();
    nested.sort_by_key(|path| (path.as_os_str().len(), path.clone()));
    let mut seen = HashSet::new();
    let mut visible = Vec::new();
    // What is mounted is called so, also if another mount shows it at a shorter path.
    for (path, is_mounted) in mounted
        .into_iter()
        .map(|path| (path, true))
        .chain(nested.into_iter().map(|path| (path, false)))
    {
        if let Some(key) = writable(&path)
            && seen.insert(key)
        {
            visible.push(VisibleSubvolume { path, is_mounted });
        }
    }
    visible.sort_by(|a, b| a.path.cmp(&b.path));
    visible
}

/// Returns what is unique to a writable subvolume.
fn writable(path: &Path) -> Option<([u8; 16], u64)> {
    let identity = identity(path).ok().filter(|it| !it.read_only)?;
    Some((filesystem_id(path).ok()?.0, identity.subvolume_id))
}
