//! The directories that paths lead through.

use std::collections::HashMap;

use rustix::fs::FileType;

use super::hands::Hands;
use super::refusal::{ReplayFault, ReplayRefusal};
use super::split_path::is_at_or_above;
use super::tree::FileTree;
use crate::btrfs::Command;
use crate::model::file_node::ObjectId;

/// How many directories are remembered by name. With the longest names they take 25 MB.
const MOST: usize = 1 << 16;

/// Directories that were found in the tree, by the directory above and the name in it.
#[derive(Debug, Default)]
pub(super) struct Directories {
    known: HashMap<ObjectId, HashMap<Box<[u8]>, ObjectId>>,
    count: usize,
    /// The path of the directory that was looked for last.
    last_path: Vec<u8>,
    /// Which one that is.
    last: Option<ObjectId>,
}

impl Directories {
    /// Returns the directory at a path; the empty path is the root's. `of` is the path of the command.
    pub(super) fn find<T: FileTree>(
        &mut self,
        path: &[u8],
        (command, of): (Command, &[u8]),
        hands: &Hands,
        tree: &mut T,
    ) -> Result<ObjectId, ReplayFault<T::Error>> {
        if path.is_empty() {
            return Ok(ObjectId::ROOT);
        }
        if let Some(last) = self.last
            && self.last_path == path
        {
            return Ok(last);
        }
        let mut directory = ObjectId::ROOT;
        for name in path.split(|&byte| byte == b'/') {
            directory = if let Some(below) = self.known(directory, name) {
                below
            } else {
                let path = || of.to_vec();
                let below = tree.child(directory, name).map_err(ReplayFault::Tree)?;
                let below = below.ok_or_else(|| ReplayRefusal::Missing {
                    command,
                    path: path(),
                })?;
                if hands.kind(below, tree).map_err(ReplayFault::Tree)? != FileType::Directory {
                    return Err(ReplayRefusal::ThroughFile { path: path() }.into());
                }
                self.learn(directory, name, below);
                below
            };
        }
        self.last = Some(directory);
        path.clone_into(&mut self.last_path);
        Ok(directory)
    }

    /// Forgets what is at a path, the entry `name` of a directory. Returns what it was, if it was known.
    pub(super) fn forget(
        &mut self,
        directory: ObjectId,
        name: &[u8],
        path: &[u8],
    ) -> Option<ObjectId> {
        if self.last.is_some() && is_at_or_above(path, &self.last_path) {
            self.last = None;
        }
        let names = self.known.get_mut(&directory)?;
        let forgotten = names.remove(name)?;
        self.count -= 1;
        if names.is_empty() {
            self.known.remove(&directory);
        }
        Some(forgotten)
    }

    /// Remembers a directory.
    pub(super) fn learn(&mut self, directory: ObjectId, name: &[u8], below: ObjectId) {
        if self.count == MOST {
            self.known.clear();
            self.count = 0;
        }
        let names = self.known.entry(directory).or_default();
        if names.insert(name.into(), below).is_none() {
            self.count += 1;
        }
    }

    fn known(&self, directory: ObjectId, name: &[u8]) -> Option<ObjectId> {
        self.known.get(&directory)?.get(name).copied()
    }
}
