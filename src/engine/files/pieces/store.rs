//! What a tree holds: inodes, names, and what both were in the send parent where the stream has changed it.
//!
//! It is in memory as long as it fits. When it is too much, all of it is written to a file ([`TreeFile`]) and forgotten: from
//! then on memory has what was used since the last writing. So nothing but the file's absence tells one from the other.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::encoding::{facts_of, parent_data_of, pieces_of};
use super::error::PiecesError;
use super::file_data::FilePieces;
use super::inode::{TreeInode, Xattrs};
use super::names::{DirectoryNames, NameState};
use super::parent_data::{ENTRY, ParentData};
use super::places::TreeFilePlaces;
use super::unwritten::Unwritten;
use super::xattrs::XattrTable;
use crate::files_db::{NameBefore, TreeFile};
use crate::model::file_node::ObjectId;

/// The part of the limit that SQLite may take besides, and the most that it is given.
const FILE_CACHE: (u64, u64) = (8, 32 << 20);

/// The least that SQLite is given.
const LEAST_CACHE: u64 = 256 << 10;

/// What one file may take, whatever the limit.
const LEAST_LARGEST: u64 = 1 << 20;

/// What a tree holds.
#[derive(Debug)]
pub(super) struct TreeStore {
    /// The inodes that the file does not have, by their ids.
    pub(super) new: Vec<TreeInode>,
    /// How many the file has: those with smaller ids.
    written: usize,
    /// Of those the ones that were used since the last writing.
    known: HashMap<ObjectId, TreeInode>,
    pub(super) names: DirectoryNames,
    /// What names were in the send parent that the stream has changed.
    parent_names: DirectoryNames,
    /// The sizes and the data that files had there, of those that the stream has changed.
    parent_data: HashMap<ObjectId, ParentData>,
    pub(super) xattrs: XattrTable,
    /// What it takes in memory, about.
    memory: u64,
    pub(super) limit: u64,
    places: TreeFilePlaces,
    pub(super) file: Option<Mutex<StoredTree>>,
}

/// The file, and the pieces that were read last: a file is often read bit by bit.
#[derive(Debug)]
pub(super) struct StoredTree {
    pub(super) file: TreeFile,
    pub(super) last: Option<(ObjectId, Arc<FilePieces>)>,
}

impl TreeStore {
    pub(super) fn new(limit: u64, places: TreeFilePlaces) -> Self {
        Self {
            new: Vec::new(),
            written: 0,
            known: HashMap::new(),
            names: DirectoryNames::default(),
            parent_names: DirectoryNames::default(),
            parent_data: HashMap::new(),
            xattrs: XattrTable::default(),
            memory: 0,
            limit,
            places,
            file: None,
        }
    }

    /// Returns about how many bytes of memory it takes.
    pub(super) fn memory(&self) -> u64 {
        let cache = self.file.as_ref().map_or(0, |_| self.file_cache());
        self.memory + cache
    }

    /// Returns whether some of it is in a file.
    pub(super) fn is_on_disk(&self) -> bool {
        self.file.is_some()
    }

    /// Returns how many inodes there are.
    pub(super) fn inodes(&self) -> usize {
        self.written + self.new.len()
    }

    /// Forgets what was in the send parent.
    pub(super) fn forget_parent(&mut self) -> Result<(), PiecesError> {
        let names = self.parent_names.iter();
        let names: u64 = names.map(|it| DirectoryNames::cost(&it.name)).sum();
        let data = self.parent_data.values().map(ParentData::memory);
        let memory = names + data.sum::<u64>();
        self.memory = self.memory.saturating_sub(memory);
        self.parent_names = DirectoryNames::default();
        self.parent_data = HashMap::new();
        if let Some(stored) = &mut self.file {
            of(stored).file.forget_parent()?;
        }
        Ok(())
    }

    /// Writes everything to the file, if there is one, and takes no more memory for it.
    pub(super) fn settle(&mut self) -> Result<(), PiecesError> {
        if self.file.is_some() {
            self.write_out()?;
            self.new = Vec::new();
            self.known = HashMap::new();
            self.names = DirectoryNames::default();
            self.parent_names = DirectoryNames::default();
            self.parent_data = HashMap::new();
        }
        Ok(())
    }

    /// Makes room for so many bytes: what is too much goes to the file.
    pub(super) fn make_room(&mut self, bytes: u64) -> Result<(), PiecesError> {
        if self.memory.saturating_add(bytes) > self.limit && self.memory > 0 {
            self.write_out()?;
        }
        Ok(())
    }

    /// Fails if what one file has takes more than a file may.
    pub(super) fn require_small(&self, bytes: u64) -> Result<(), PiecesError> {
        if bytes > (self.limit / 2).max(LEAST_LARGEST) {
            return Err(PiecesError::TooLarge { limit: self.limit });
        }
        Ok(())
    }

    fn file_cache(&self) -> u64 {
        (self.limit / FILE_CACHE.0).clamp(LEAST_CACHE, FILE_CACHE.1)
    }

    pub(super) fn write_out(&mut self) -> Result<(), PiecesError> {
        if self.file.is_none() {
            let file = self.places.make(self.file_cache())?;
            self.file = Some(Mutex::new(StoredTree { file, last: None }));
        }
        let Some(stored) = &mut self.file else {
            return Ok(());
        };
        let stored = of(stored);
        stored.last = None;
        let unwritten = Unwritten {
            new: (&self.new, self.written),
            known: &self.known,
            xattrs: &self.xattrs,
            names: [&self.names, &self.parent_names],
            parent_data: &self.parent_data,
        };
        stored.file.write(|to| unwritten.write(to))?;
        self.written += self.new.len();
        self.new.clear();
        self.known.clear();
        self.names.clear();
        self.parent_names.clear();
        self.parent_data.clear();
        self.xattrs = XattrTable::default();
        self.memory = 0;
        Ok(())
    }

    /// Adds an inode.
    pub(super) fn add(&mut self, inode: TreeInode) -> ObjectId {
        self.memory += size_of::<TreeInode>() as u64 + inode.memory_beside();
        self.new.push(inode);
        ObjectId(i64::try_from(self.inodes()).expect("memory has no more"))
    }

    /// Returns an inode.
    pub(super) fn inode(&mut self, object: ObjectId) -> Result<&TreeInode, PiecesError> {
        let index = index(object);
        if index < self.written {
            self.fetch(object)?;
            return Ok(&self.known[&object]);
        }
        Ok(&self.new[index - self.written])
    }

    /// Returns an inode, to change it.
    pub(super) fn inode_mut(&mut self, object: ObjectId) -> Result<&mut TreeInode, PiecesError> {
        let index = index(object);
        if index >= self.written {
            return Ok(&mut self.new[index - self.written]);
        }
        self.fetch(object)?;
        let inode = self.known.get_mut(&object).expect("it was fetched");
        inode.is_written = false;
        Ok(inode)
    }

    /// Changes an inode in a way that takes or frees memory.
    pub(super) fn resize(
        &mut self,
        object: ObjectId,
        change: impl FnOnce(&mut TreeInode),
    ) -> Result<(), PiecesError> {
        let inode = self.inode_mut(object)?;
        let before = inode.data.memory();
        change(inode);
        let now = inode.data.memory();
        self.memory = self.memory.saturating_sub(before) + now;
        self.require_small(now)
    }

    fn fetch(&mut self, object: ObjectId) -> Result<(), PiecesError> {
        if self.known.contains_key(&object) {
            return Ok(());
        }
        let Some(stored) = &mut self.file else {
            return Ok(());
        };
        let file = &of(stored).file;
        let found = file.object(object)?.and_then(|found| {
            let (inode, xattrs) = facts_of(&found.facts)?;
            Some((inode, xattrs, pieces_of(&found.pieces)?.0))
        });
        let (mut inode, xattrs, data) = found.ok_or_else(|| file.damaged())?;
        inode.data = data;
        let (number, cost) = self.xattrs.number(xattrs);
        inode.xattrs = number;
        self.memory += size_of::<TreeInode>() as u64 + ENTRY + inode.memory_beside() + cost;
        self.known.insert(object, inode);
        Ok(())
    }

    /// Returns the extended attributes of an inode.
    pub(super) fn xattrs(&mut self, object: ObjectId) -> Result<&Xattrs, PiecesError> {
        let number = self.inode(object)?.xattrs;
        Ok(self.xattrs.get(number))
    }

    /// Gives an inode other extended attributes.
    pub(super) fn set_xattrs(
        &mut self,
        object: ObjectId,
        xattrs: Xattrs,
    ) -> Result<(), PiecesError> {
        let cost = XattrTable::cost(&xattrs);
        self.require_small(cost)?;
        self.make_room(cost)?;
        // Its number would be another one after the file was written.
        self.inode_mut(object)?;
        let (number, cost) = self.xattrs.number(xattrs);
        self.memory += cost;
        self.inode_mut(object)?.xattrs = number;
        Ok(())
    }

    /// Returns what a name names.
    pub(super) fn name(
        &mut self,
        directory: ObjectId,
        name: &[u8],
    ) -> Result<Option<ObjectId>, PiecesError> {
        if let Some(known) = self.names.get(directory, name) {
            return Ok(known.object());
        }
        // The names of a new directory are all here.
        let Some(stored) = &mut self.file else {
            return Ok(None);
        };
        if index(directory) >= self.written {
            return Ok(None);
        }
        let found = of(stored).file.name(directory, name)?;
        let state = NameState::new(found, true);
        self.names.set(directory, name, Some(state));
        self.memory += DirectoryNames::cost(name);
        Ok(found)
    }

    /// Changes what a name names, and returns what that was.
    pub(super) fn set_name(
        &mut self,
        directory: ObjectId,
        name: &[u8],
        object: Option<ObjectId>,
    ) -> Result<Option<ObjectId>, PiecesError> {
        let before = self.name(directory, name)?;
        let is_in_file = index(directory) < self.written;
        let state = NameState::new(object, false);
        let keep = is_in_file || object.is_some();
        let was_known = self.names.set(directory, name, keep.then_some(state));
        let cost = DirectoryNames::cost(name);
        match (was_known, keep) {
            (false, true) => self.memory += cost,
            (true, false) => self.memory = self.memory.saturating_sub(cost),
            _ => {}
        }
        Ok(before)
    }

    /// Returns what a name named in the send parent.
    pub(super) fn parent_name(
        &mut self,
        directory: ObjectId,
        name: &[u8],
    ) -> Result<NameBefore, PiecesError> {
        if let Some(known) = self.parent_names.get(directory, name) {
            return Ok(NameBefore::Was(known.object()));
        }
        match &mut self.file {
            Some(stored) => Ok(of(stored).file.parent_name(directory, name)?),
            None => Ok(NameBefore::AsNow),
        }
    }

    /// Keeps what a name named in the send parent.
    pub(super) fn keep_parent_name(
        &mut self,
        directory: ObjectId,
        name: &[u8],
        object: Option<ObjectId>,
    ) {
        let state = NameState::new(object, false);
        if !self.parent_names.set(directory, name, Some(state)) {
            self.memory += DirectoryNames::cost(name);
        }
    }

    /// Keeps the data that a file has now as that of the send parent, unless some is kept.
    pub(super) fn keep_parent_data(&mut self, file: ObjectId) -> Result<(), PiecesError> {
        if self.parent_data.contains_key(&file) {
            return Ok(());
        }
        if let Some(stored) = &mut self.file
            && of(stored).file.parent_data(file)?.is_some()
        {
            self.memory += ENTRY;
            self.parent_data.insert(file, ParentData::InFile);
            return Ok(());
        }
        let room = self.inode(file)?.data.memory() + ENTRY;
        self.make_room(room)?;
        let inode = self.inode(file)?;
        let kept = ParentData::Here {
            size: inode.size,
            data: inode.data.clone(),
            is_written: false,
        };
        self.memory += kept.memory();
        self.parent_data.insert(file, kept);
        Ok(())
    }

    /// Returns the size and the data that a file had in the send parent.
    pub(super) fn parent_data(
        &mut self,
        file: ObjectId,
    ) -> Result<(u64, &FilePieces), PiecesError> {
        let is_here = |kept: &ParentData| matches!(kept, ParentData::Here { .. });
        if !self.parent_data.get(&file).is_some_and(is_here)
            && let Some(stored) = &mut self.file
        {
            let stored = &of(stored).file;
            if let Some(found) = stored.parent_data(file)? {
                let (size, data) = parent_data_of(&found).ok_or_else(|| stored.damaged())?;
                let kept = ParentData::Here {
                    size,
                    data,
                    is_written: true,
                };
                self.memory += kept.memory();
                self.parent_data.insert(file, kept);
            }
        }
        if !self.parent_data.get(&file).is_some_and(is_here) {
            let inode = self.inode(file)?;
            return Ok((inode.size, &inode.data));
        }
        match &self.parent_data[&file] {
            ParentData::Here { size, data, .. } => Ok((*size, data)),
            ParentData::InFile => unreachable!("it was read"),
        }
    }
}

fn of(stored: &mut Mutex<StoredTree>) -> &mut StoredTree {
    stored.get_mut().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn index(object: ObjectId) -> usize {
    usize::try_from(object.0 - 1).expect("an id of this tree")
}
