//! A command that is being applied.

use super::refusal::ReplayRefusal;
use crate::btrfs::Command;

/// The largest file (`MAX_LFS_FILESIZE`).
const LARGEST_FILE: u64 = i64::MAX as u64;

/// A command, what it is on, and its bytes in the stream.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReplayStep<'a> {
    pub(super) command: Command,
    pub(super) path: &'a [u8],
    pub(super) bytes: u64,
}

impl ReplayStep<'_> {
    pub(super) fn missing(self, path: &[u8]) -> ReplayRefusal {
        ReplayRefusal::Missing {
            command: self.command,
            path: path.to_vec(),
        }
    }

    pub(super) fn taken(self, path: &[u8]) -> ReplayRefusal {
        ReplayRefusal::Taken {
            command: self.command,
            path: path.to_vec(),
        }
    }

    pub(super) fn is_directory(self, path: &[u8]) -> ReplayRefusal {
        ReplayRefusal::IsDirectory {
            command: self.command,
            path: path.to_vec(),
        }
    }

    pub(super) fn no_directory(self, path: &[u8]) -> ReplayRefusal {
        ReplayRefusal::NoDirectory {
            command: self.command,
            path: path.to_vec(),
        }
    }

    pub(super) fn too_large(self, number: u64) -> ReplayRefusal {
        ReplayRefusal::TooLarge {
            command: self.command,
            path: self.path.to_vec(),
            number,
        }
    }

    /// Returns the end of a range of a file.
    pub(super) fn end(self, offset: u64, length: u64) -> Result<u64, ReplayRefusal> {
        let end = offset.checked_add(length);
        end.filter(|end| *end <= LARGEST_FILE)
            .ok_or_else(|| self.too_large(offset.max(length)))
    }
}
