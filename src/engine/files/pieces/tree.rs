//! The files of a chain's newest archive, with their attributes and the pieces of their data.
//!
//! They are in memory up to a limit, and beyond it in a file ([`super::store`]). Of the archive before, the tree keeps what the
//! stream that is being applied has changed, for clones: their source may be the send parent. [`super::following`] applies the
//! commands.

use std::ops::Range;

use rustix::fs::FileType;

use super::error::PiecesError;
use super::file_data::FilePieces;
use super::inode::{RareFacts, TreeInode};
use super::piece::DataPiece;
use super::places::TreeFilePlaces;
use super::settled::DataHere;
use super::store::{TreeStore, index};
use crate::btrfs::{ContentsCommand, StreamHead};
use crate::engine::files::extract::entries::ExtractedNode;
use crate::engine::files::replay::tree::FileTree;
use crate::files_db::{NameBefore, TreeFileError};
use crate::model::Uuid;
use crate::model::file_node::{Changed, FileNode, ObjectId};

/// The files.
#[derive(Debug)]
pub struct PiecesTree {
    pub(super) store: TreeStore,
    /// The archive that is being applied, by its place in the chain.
    pub(super) archive: u32,
    pub(super) own: Option<Uuid>,
    pub(super) send_parent: Option<Uuid>,
    /// Inodes up to this one are the send parent's.
    parent_inodes: usize,
    /// The bytes of memory that it may take, with what something else takes of them.
    limit: u64,
    /// Bytes of the limit that something else has taken.
    taken: u64,
}

/// The part of the limit that something else may take.
const PART_TO_TAKE: (u64, u64) = (3, 4);

/// What something else may take, whatever the limit.
const LEAST_TO_TAKE: u64 = 64 << 10;

/// The data of a file: where it lies.
#[derive(Debug)]
pub struct PlacedData<'t> {
    size: u64,
    pieces: DataHere<'t>,
}

/// A name in a tree: the directory, the name, and what it names.
pub type NameInTree<'t> = (ObjectId, &'t [u8], ObjectId);

impl PiecesTree {
    /// Returns a tree that has the root alone. `limit`: the bytes of memory that it may take; what is more goes to a file,
    /// which is made in the first of the `places` that can have it.
    pub fn new(limit: u64, places: TreeFilePlaces) -> Self {
        let mut store = TreeStore::new(limit, places);
        store.add(TreeInode::new(FileType::Directory.as_raw_mode(), None));
        Self {
            store,
            archive: 0,
            own: None,
            send_parent: None,
            parent_inodes: 0,
            limit,
            taken: 0,
        }
    }

    /// Takes so many bytes of the limit for something else, before the next stream or after the last. What is too much then
    /// goes to the file.
    pub(in crate::engine) fn take_room(&mut self, bytes: u64) -> Result<(), PiecesError> {
        let limit = self.limit;
        self.taken += bytes;
        if self.taken > (limit / PART_TO_TAKE.1 * PART_TO_TAKE.0).max(LEAST_TO_TAKE) {
            return Err(PiecesError::NoRoom { limit });
        }
        self.store.limit = limit.saturating_sub(self.taken);
        if self.store.memory() > self.store.limit {
            self.move_to_disk()?;
        }
        Ok(())
    }

    /// Writes all of it to the file, between streams or after the last.
    pub(in crate::engine) fn move_to_disk(&mut self) -> Result<(), PiecesError> {
        self.store.write_out()?;
        self.store.settle()
    }

    /// Prepares for the stream of an archive, which is built on what the tree has: `archive` is its place in the chain.
    pub(super) fn begin(&mut self, archive: u32, head: &StreamHead) -> Result<(), PiecesError> {
        self.archive = archive;
        self.own = Some(head.uuid);
        self.send_parent = head.send_parent.map(|(uuid, _)| uuid);
        self.parent_inodes = self.store.inodes();
        self.store.forget_parent()
    }

    /// Ends the stream: only then can the tree be read.
    pub(super) fn end(&mut self) -> Result<(), PiecesError> {
        self.store.settle()
    }

    /// Returns about how many bytes of memory it takes, with those that were taken of its limit.
    pub fn memory(&self) -> u64 {
        self.store.memory() + self.taken
    }

    /// Returns whether it is in a file, for lack of memory.
    pub fn is_on_disk(&self) -> bool {
        self.store.is_on_disk()
    }

    /// Returns what an inode is.
    pub fn extracted(&self, object: ObjectId) -> Result<ExtractedNode, TreeFileError> {
        let (inode, xattrs) = self.store.read(object)?;
        let special = inode.special.as_deref();
        Ok(ExtractedNode {
            mode: inode.mode,
            uid: inode.uid,
            gid: inode.gid,
            rdev: special.map_or(0, |special| special.rdev),
            size: inode.size,
            atime: inode.atime.nanoseconds(),
            mtime: inode.mtime.nanoseconds(),
            target: special.and_then(|special| special.target.clone()),
            xattrs: xattrs.into_owned(),
        })
    }

    /// Returns the data of a file.
    pub fn data(&self, file: ObjectId) -> Result<PlacedData<'_>, TreeFileError> {
        let (size, pieces) = self.store.read_data(file)?;
        Ok(PlacedData { size, pieces })
    }

    /// Returns the kind of an inode.
    pub fn kind_of(&self, object: ObjectId) -> Result<FileType, TreeFileError> {
        let (inode, _) = self.store.read(object)?;
        Ok(FileType::from_raw_mode(inode.mode))
    }

    /// Returns the kind of an inode, its size, and whether it has other names. That of a directory means nothing.
    pub fn facts_of(&self, object: ObjectId) -> Result<(FileType, u64, bool), TreeFileError> {
        let (inode, _) = self.store.read(object)?;
        let kind = FileType::from_raw_mode(inode.mode);
        Ok((kind, inode.size, inode.count > 1))
    }

    /// Returns the size of a file; 0 of anything else.
    pub fn size_of(&self, object: ObjectId) -> Result<u64, TreeFileError> {
        Ok(self.store.read(object)?.0.size)
    }

    /// Returns what a path below the root names; an empty path names the root.
    pub fn resolve(&self, path: &[u8]) -> Result<Option<ObjectId>, TreeFileError> {
        walk(path, |directory, name| {
            self.store.read_name(directory, name)
        })
    }

    /// Returns all names by directory and name, if they are in memory.
    pub fn names_in_memory(&self) -> Option<Vec<NameInTree<'_>>> {
        if self.is_on_disk() {
            return None;
        }
        let mut names: Vec<_> = self.store.names().collect();
        names.sort_unstable();
        Some(names)
    }

    /// Returns the names in a directory, by their bytes and at most so many, if the tree is in a file.
    pub fn names_on_disk(
        &self,
        directory: ObjectId,
        most: u64,
    ) -> Result<Vec<(Vec<u8>, ObjectId)>, TreeFileError> {
        self.store.read_names_in(directory, most)
    }

    /// Returns what a path names in the archive that is being made.
    pub(super) fn find(&mut self, path: &[u8]) -> Result<Option<ObjectId>, PiecesError> {
        walk(path, |directory, name| self.store.name(directory, name))
    }

    /// Returns what a path named in the send parent.
    pub(super) fn find_in_parent(&mut self, path: &[u8]) -> Result<Option<ObjectId>, PiecesError> {
        walk(path, |directory, name| {
            match self.store.parent_name(directory, name)? {
                NameBefore::Was(before) => Ok(before),
                NameBefore::AsNow => self.store.name(directory, name),
            }
        })
    }

    /// Changes what a name names.
    fn rename(
        &mut self,
        directory: ObjectId,
        name: &[u8],
        object: Option<ObjectId>,
    ) -> Result<(), PiecesError> {
        let before = self.store.set_name(directory, name, object)?;
        // What is in a directory that the stream has made was nowhere in the send parent.
        if index(directory) < self.parent_inodes
            && self.store.parent_name(directory, name)? == NameBefore::AsNow
        {
            self.store.keep_parent_name(directory, name, before);
        }
        Ok(())
    }

    /// Keeps the data that a file has in the send parent, before the stream changes it.
    pub(super) fn keep_parent_data(&mut self, file: ObjectId) -> Result<(), PiecesError> {
        if index(file) < self.parent_inodes {
            self.store.keep_parent_data(file)?;
        }
        Ok(())
    }

    fn is_directory(&mut self, object: ObjectId) -> Result<bool, PiecesError> {
        let mode = self.store.inode(object)?.mode;
        Ok(FileType::from_raw_mode(mode) == FileType::Directory)
    }
}

impl PlacedData<'_> {
    /// Returns the size of the file.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Returns its pieces, none of which goes beyond its end.
    pub fn pieces(&self) -> impl Iterator<Item = DataPiece> {
        self.within(0..u64::MAX)
    }

    /// Returns the pieces of a range of it, cut at its ends.
    pub fn within(&self, range: Range<u64>) -> impl Iterator<Item = DataPiece> {
        self.pieces.within(range.start..range.end.min(self.size))
    }
}

impl FileTree for PiecesTree {
    type Error = PiecesError;

    const FOLLOWS: bool = true;

    fn follow(
        &mut self,
        object: ObjectId,
        command: &ContentsCommand<'_>,
    ) -> Result<(), PiecesError> {
        self.apply(object, command)?;
        self.store.make_room(0)
    }

    fn child(&mut self, directory: ObjectId, name: &[u8]) -> Result<Option<ObjectId>, PiecesError> {
        let child = self.store.name(directory, name)?;
        self.store.make_room(0)?;
        Ok(child)
    }

    /// Returns what a replay needs to know: the times and the extended attributes are left out.
    fn node(&mut self, object: ObjectId) -> Result<FileNode, PiecesError> {
        let inode = self.store.inode(object)?;
        let node = FileNode {
            mode: inode.mode,
            uid: inode.uid,
            gid: inode.gid,
            rdev: 0,
            size: inode.size,
            mtime: 0,
            ctime: 0,
            inode: 0,
            target: None,
            xattrs: Vec::new(),
        };
        self.store.make_room(0)?;
        Ok(node)
    }

    fn create(&mut self, node: &FileNode) -> Result<ObjectId, PiecesError> {
        let special = (node.rdev != 0 || node.target.is_some()).then(|| {
            Box::new(RareFacts {
                rdev: node.rdev,
                target: node.target.clone(),
            })
        });
        let object = self.store.add(TreeInode::new(node.mode, special));
        self.store.make_room(0)?;
        Ok(object)
    }

    // The commands themselves say it.
    fn set(&mut self, _: ObjectId, _: &FileNode, _: Changed) -> Result<(), PiecesError> {
        Ok(())
    }

    fn cost(&mut self, _: ObjectId, _: u64) -> Result<(), PiecesError> {
        Ok(())
    }

    fn link(
        &mut self,
        directory: ObjectId,
        name: &[u8],
        object: ObjectId,
    ) -> Result<(), PiecesError> {
        self.rename(directory, name, Some(object))?;
        self.store.inode_mut(directory)?.count += 1;
        if !self.is_directory(object)? {
            self.store.inode_mut(object)?.count += 1;
        }
        self.store.make_room(0)
    }

    fn unlink(&mut self, directory: ObjectId, name: &[u8]) -> Result<(), PiecesError> {
        let Some(object) = self.store.name(directory, name)? else {
            return Ok(());
        };
        self.rename(directory, name, None)?;
        self.store.inode_mut(directory)?.count -= 1;
        if !self.is_directory(object)? {
            let inode = self.store.inode_mut(object)?;
            inode.count -= 1;
            if inode.count == 0 {
                // The send parent still has it.
                self.keep_parent_data(object)?;
                self.store
                    .resize(object, |inode| inode.data = FilePieces::default())?;
            }
        }
        self.store.make_room(0)
    }

    fn is_empty(&mut self, directory: ObjectId) -> Result<bool, PiecesError> {
        let is_empty = self.store.inode(directory)?.count == 0;
        self.store.make_room(0)?;
        Ok(is_empty)
    }
}

/// Follows a path from the root.
fn walk<E>(
    path: &[u8],
    mut child: impl FnMut(ObjectId, &[u8]) -> Result<Option<ObjectId>, E>,
) -> Result<Option<ObjectId>, E> {
    let mut at = ObjectId::ROOT;
    for name in path.split(|byte| *byte == b'/') {
        if name.is_empty() {
            continue;
        }
        match child(at, name)? {
            Some(object) => at = object,
            None => return Ok(None),
        }
    }
    Ok(Some(at))
}
