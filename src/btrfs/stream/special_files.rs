//! The symlinks, device nodes, fifos and sockets that a stream has made so far, and their present paths.
//!
//! `btrfs receive` opens the paths that it gets. A stream that makes a symlink and then names a path through
//! it would reach the link's target. One that makes a device node and then writes to it would write to the
//! device. So the guard follows each special file through every rename and link.

use super::name_tree::{Limits, NameTree, ROOT};
use super::path;
use super::refusal::StreamRefusal;
use super::special_kind::SpecialKind;
use super::wire::Command;

/// A fifo of the send parent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fifo {
    /// Its path from the subvolume's root.
    pub path: Vec<u8>,
    /// Its inode number, which its hard links share.
    pub inode: u64,
}

/// How many are followed. This limits the memory that a hostile stream can take.
///
/// A full stream of a whole system makes a few hundred thousand symlinks. They take about 50 bytes each, or
/// about 110 with names of more than 22 bytes. At either limit, 230 MB were measured.
const LIMITS: Limits = Limits {
    nodes: 4 << 20,
    name_bytes: 64 << 20,
};

/// The special files and their paths.
#[derive(Debug)]
pub(super) struct SpecialFiles {
    tree: NameTree<Special>,
    /// How many were made. The count names inodes, because hard links of one file count as one. It may wrap:
    /// then two files that are taken for one are still special files of the same kind.
    made: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Special {
    inode: u32,
    kind: SpecialKind,
}

impl Default for SpecialFiles {
    fn default() -> Self {
        Self {
            tree: NameTree::new(LIMITS),
            made: 0,
        }
    }
}

impl SpecialFiles {
    /// Refuses a path that leads through a special file. Returns the kind of the special file at the path, if
    /// there is one.
    pub(super) fn look(&self, path: &[u8]) -> Result<Option<SpecialKind>, StreamRefusal> {
        let mut node = ROOT;
        let mut start = 0;
        while self.tree.has_children(node) {
            let slash = path[start..].iter().position(|&byte| byte == b'/');
            let end = slash.map_or(path.len(), |slash| start + slash);
            let Some(child) = self.tree.child(node, &path[start..end]) else {
                return Ok(None);
            };
            match (self.tree.value(child), slash) {
                (special, None) => return Ok(special.map(|special| special.kind)),
                (Some(special), Some(_)) => {
                    return Err(StreamRefusal::ThroughSpecial {
                        path: path.to_vec(),
                        kind: special.kind,
                        special: path[..end].to_vec(),
                    });
                }
                (None, Some(_)) => (node, start) = (child, end + 1),
            }
        }
        Ok(None)
    }

    /// Adds a new special file at `path`, where there must be none.
    pub(super) fn make(
        &mut self,
        command: Command,
        path: &[u8],
        kind: SpecialKind,
    ) -> Result<(), StreamRefusal> {
        self.made = self.made.wrapping_add(1);
        let inode = self.made;
        self.insert(command, path, Special { inode, kind })
    }

    /// Adds a fifo that the send parent has at `path`. Fifos with the same `inode` are hard links of each
    /// other.
    pub(super) fn inherit_fifo(&mut self, path: &[u8], inode: u32) -> Result<(), StreamRefusal> {
        self.made = self.made.max(inode);
        let kind = SpecialKind::Fifo;
        self.insert(Command::Mkfifo, path, Special { inode, kind })
    }

    /// Adds a hard link at `path`, where there must be no special file, to the file at `target`.
    pub(super) fn link(&mut self, path: &[u8], target: &[u8]) -> Result<(), StreamRefusal> {
        match self.at(target) {
            Some(special) => self.insert(Command::Link, path, special),
            None => Ok(()),
        }
    }

    /// Removes what is at `path`: a file, or a directory that must be empty.
    pub(super) fn remove(&mut self, command: Command, path: &[u8]) -> Result<(), StreamRefusal> {
        let Some(node) = self.tree.find(path) else {
            return Ok(());
        };
        if self.tree.has_children(node) {
            return Err(not_empty(command, path));
        }
        self.tree.remove(node);
        Ok(())
    }

    /// Moves what is at `from` to `to`, with all that is below it.
    pub(super) fn rename(&mut self, from: &[u8], to: &[u8]) -> Result<(), StreamRefusal> {
        path::check_rename(from, to)?;
        // By POSIX, renaming one hard link to another of the same file does nothing.
        if from == to || (self.at(from).is_some() && self.at(from) == self.at(to)) {
            return Ok(());
        }
        self.remove(Command::Rename, to)?;
        match self.tree.find(from) {
            Some(moved) => self.tree.rename(moved, to).map_err(|_| too_many()),
            None => Ok(()),
        }
    }

    fn insert(
        &mut self,
        command: Command,
        path: &[u8],
        special: Special,
    ) -> Result<(), StreamRefusal> {
        // A node with others below it is a directory, and no file can be made there.
        match self.tree.find(path) {
            Some(node) if self.tree.has_children(node) => Err(not_empty(command, path)),
            _ => self.tree.insert(path, special).map_err(|_| too_many()),
        }
    }

    fn at(&self, path: &[u8]) -> Option<Special> {
        self.tree.find(path).and_then(|node| self.tree.value(node))
    }
}

fn not_empty(command: Command, path: &[u8]) -> StreamRefusal {
    StreamRefusal::NotEmpty {
        command,
        path: path.to_vec(),
    }
}

fn too_many() -> StreamRefusal {
    StreamRefusal::TooManySpecialFiles {
        nodes: LIMITS.nodes,
        name_bytes: LIMITS.name_bytes,
    }
}

#[cfg(test)]
#[path = "special_files_tests.rs"]
mod tests;
