//! Reads what a tree holds while nothing changes it: from memory, or from its file if it has one.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::encoding::{facts_of, pieces_of};
use super::file_data::FilePieces;
use super::inode::{TreeInode, Xattrs};
use super::names::NameState;
use super::store::{StoredTree, TreeStore, index};
use crate::files_db::TreeFileError;
use crate::model::file_node::ObjectId;

/// What is read here is complete once the store was settled.
impl TreeStore {
    /// Returns an inode and its extended attributes, without its pieces if it is in the file.
    pub(super) fn read(
        &self,
        object: ObjectId,
    ) -> Result<(Cow<'_, TreeInode>, Cow<'_, Xattrs>), TreeFileError> {
        let Some(stored) = &self.file else {
            let inode = &self.new[index(object)];
            let xattrs = self.xattrs.get(inode.xattrs);
            return Ok((Cow::Borrowed(inode), Cow::Borrowed(xattrs)));
        };
        let stored = lock(stored);
        let found = stored.file.facts(object)?;
        let found = found.and_then(|facts| facts_of(&facts));
        let (inode, xattrs) = found.ok_or_else(|| stored.file.damaged())?;
        Ok((Cow::Owned(inode), Cow::Owned(xattrs)))
    }

    /// Returns the size and the pieces of a file.
    pub(super) fn read_data(&self, object: ObjectId) -> Result<(u64, DataHere<'_>), TreeFileError> {
        let Some(stored) = &self.file else {
            let inode = &self.new[index(object)];
            return Ok((inode.size, DataHere::Borrowed(&inode.data)));
        };
        let mut stored = lock(stored);
        let damaged = || stored.file.damaged();
        if let Some((last, pieces)) = &stored.last
            && *last == object
        {
            let pieces = Arc::clone(pieces);
            let facts = stored.file.facts(object)?;
            let facts = facts.and_then(|facts| facts_of(&facts));
            let (inode, _) = facts.ok_or_else(damaged)?;
            return Ok((inode.size, DataHere::Shared(pieces)));
        }
        let found = stored.file.object(object)?.and_then(|found| {
            let (inode, _) = facts_of(&found.facts)?;
            Some((inode.size, pieces_of(&found.pieces)?.0))
        });
        let (size, pieces) = found.ok_or_else(damaged)?;
        let pieces = Arc::new(pieces);
        stored.last = Some((object, Arc::clone(&pieces)));
        Ok((size, DataHere::Shared(pieces)))
    }

    /// Returns what a name names.
    pub(super) fn read_name(
        &self,
        directory: ObjectId,
        name: &[u8],
    ) -> Result<Option<ObjectId>, TreeFileError> {
        match &self.file {
            None => Ok(self.names.get(directory, name).and_then(NameState::object)),
            Some(stored) => lock(stored).file.name(directory, name),
        }
    }

    /// Returns the names in a directory, by their bytes and at most so many, of a tree that is in a file.
    pub(super) fn read_names_in(
        &self,
        directory: ObjectId,
        most: u64,
    ) -> Result<Vec<(Vec<u8>, ObjectId)>, TreeFileError> {
        match &self.file {
            Some(stored) => lock(stored).file.names_in(directory, most),
            None => Ok(Vec::new()),
        }
    }

    /// Returns all names in no order, of a tree that is in memory: the directory, the name, and what it names.
    pub(super) fn names(&self) -> impl Iterator<Item = (ObjectId, &[u8], ObjectId)> {
        let names = self.names.iter();
        names.filter_map(|it| Some((it.directory, &*it.name, it.state.object()?)))
    }
}

/// Pieces that were read.
#[derive(Debug)]
pub(super) enum DataHere<'t> {
    Borrowed(&'t FilePieces),
    Shared(Arc<FilePieces>),
}

impl std::ops::Deref for DataHere<'_> {
    type Target = FilePieces;

    fn deref(&self) -> &FilePieces {
        match self {
            Self::Borrowed(pieces) => pieces,
            Self::Shared(pieces) => pieces,
        }
    }
}

fn lock(stored: &Mutex<StoredTree>) -> MutexGuard<'_, StoredTree> {
    stored.lock().unwrap_or_else(PoisonError::into_inner)
}
