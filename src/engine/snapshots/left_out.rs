//! What a snapshot leaves out, and what prevents a snapshot.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::btrfs::{self, BtrfsError};
use crate::config::{Config, Live, Source, StoreConfig};
use crate::error::Error;

/// Returns the subvolumes below the source, which its snapshots leave out. The source's own snapshots do not
/// count, whichever mount the config uses for them.
pub(in crate::engine) fn left_out(live: &Live) -> Result<Vec<PathBuf>, Error> {
    let mut nested = btrfs::snapshots::nested_subvolumes(&live.subvolume)?;
    let snapshots = inode(&live.snapshots);
    nested.retain(|path| {
        let below_source = path
            .ancestors()
            .take_while(|above| *above != live.subvolume);
        snapshots.is_none() || below_source.map(inode).all(|inode| inode != snapshots)
    });
    Ok(nested)
}

/// Returns device and inode number of a path. Each subvolume has its own device number, the same in every
/// mount.
fn inode(path: &Path) -> Option<(u64, u64)> {
    let stat = std::fs::metadata(path).ok()?;
    Some((stat.dev(), stat.ino()))
}

/// Returns a sentence with the nested subvolumes; `None` if there are none.
pub(in crate::engine) fn left_out_in_words(nested: &[PathBuf]) -> Option<String> {
    const NAMED: usize = 5;
    let names: Vec<_> = nested
        .iter()
        .take(NAMED)
        .map(|path| path.display().to_string())
        .collect();
    let more = nested.len().saturating_sub(NAMED);
    match (names.len(), more) {
        (0, _) => None,
        (_, 0) => Some(format!(
            "nested subvolumes are left out of its snapshots: {}",
            names.join(", ")
        )),
        (_, _) => Some(format!(
            "nested subvolumes are left out of its snapshots: {} and {more} more",
            names.join(", ")
        )),
    }
}

/// Returns the warning about a store in the subvolume itself: each archive would have all earlier ones in it.
pub fn warning_of_store_within(source: &Source, config: &Config) -> Option<String> {
    let live = source.live.as_ref()?;
    let names = source.store.iter().chain(&source.copies);
    let within = names.filter_map(|name| match config.stores.get(name)? {
        StoreConfig::Dir { path, .. } => is_in_subvolume(path, &live.subvolume).then_some(path),
        StoreConfig::S3 { .. } | StoreConfig::Vault { .. } => None,
    });
    let path = within.min()?;
    Some(format!(
        "the store {} is in its subvolume, so each archive has the earlier ones in it: move the store to another disk",
        path.display()
    ))
}

/// Whether a path is in this subvolume and not in one nested in it, or would be made there.
pub fn is_in_subvolume(path: &Path, subvolume: &Path) -> bool {
    let there = path.ancestors().find(|path| path.exists());
    let device = |path: &Path| std::fs::metadata(path).map(|stat| stat.dev()).ok();
    // Each subvolume has a device number of its own.
    there
        .and_then(device)
        .is_some_and(|found| device(subvolume) == Some(found))
}

/// Returns the warning about active swapfiles, which prevent snapshots.
pub fn warning_of_swap(source: &Source) -> Option<String> {
    let live = source.live.as_ref()?;
    let files = btrfs::active_swapfiles(&live.subvolume);
    if files.is_empty() {
        return None;
    }
    let path = live.subvolume.clone();
    let error = BtrfsError::ActiveSwap { path, files };
    Some(format!("{error}: {}", error.hint().unwrap_or_default()))
}

/// Returns the warning about a source's nested subvolumes; `None` if there are none or they can't be read.
pub fn warning_of_left_out(source: &Source) -> Option<String> {
    let live = source.live.as_ref()?;
    left_out_in_words(&left_out(live).ok()?)
}
