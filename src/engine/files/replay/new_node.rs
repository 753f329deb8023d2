//! Objects as a stream makes them.

use rustix::fs::FileType;

use super::refusal::ReplayRefusal;
use super::step::ReplayStep;
use crate::btrfs::{Attribute, ContentsCommand};
use crate::model::file_node::FileNode;

/// Returns an object as it is made, before the stream sets its attributes.
pub(super) fn new_node(kind: FileType, inode: u64) -> FileNode {
    // No command follows on the mode of a symlink.
    let permissions = if kind == FileType::Symlink { 0o777 } else { 0 };
    FileNode {
        mode: kind.as_raw_mode() | permissions,
        uid: 0,
        gid: 0,
        rdev: 0,
        size: 0,
        mtime: 0,
        ctime: 0,
        inode,
        target: None,
        xattrs: Vec::new(),
    }
}

/// Returns what a mknod command makes.
pub(super) fn device(
    step: ReplayStep<'_>,
    from: &ContentsCommand<'_>,
    inode: u64,
) -> Result<FileNode, ReplayRefusal> {
    let mode = from.number(Attribute::Mode)?;
    let kind = u32::try_from(mode).map(FileType::from_raw_mode);
    match kind {
        Ok(
            kind @ (FileType::CharacterDevice
            | FileType::BlockDevice
            | FileType::Fifo
            | FileType::Socket),
        ) => Ok(FileNode {
            rdev: from.number(Attribute::Rdev)?,
            ..new_node(kind, inode)
        }),
        _ => Err(ReplayRefusal::NodeMode {
            path: step.path.to_vec(),
            mode,
        }),
    }
}

/// Returns a time of the stream (seconds, then nanoseconds) in nanoseconds since 1970. A time that is too far away
/// becomes the farthest.
pub(in crate::engine) fn nanoseconds(time: &[u8]) -> i64 {
    let (Some(seconds), Some(fraction)) = (time.first_chunk(), time.last_chunk()) else {
        return 0;
    };
    i64::from_le_bytes(*seconds)
        .saturating_mul(1_000_000_000)
        .saturating_add(u32::from_le_bytes(*fraction).into())
}
