//! The sizes of a subvolume, where quotas count them.

use std::fs::File;
use std::path::Path;

use super::identity::identity;
use super::sys::trees;

/// What a subvolume takes, by the filesystem's quotas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotaSizes {
    /// Bytes that it refers to, shared ones included.
    pub referenced: u64,
    /// Bytes that no other subvolume shares: what its deletion frees.
    pub exclusive: u64,
}

/// Returns the sizes of the subvolume at a path; `None` if quotas are off or not up to date, or without privilege.
pub fn quota_sizes(path: &Path) -> Option<QuotaSizes> {
    let subvolume = identity(path).ok()?.subvolume_id;
    let root = File::open(path).ok()?;
    trees::quotas_are_sound(&root).ok().filter(|sound| *sound)?;
    let (referenced, exclusive) = trees::quota_sizes(&root, subvolume).ok()??;
    Some(QuotaSizes {
        referenced,
        exclusive,
    })
}
