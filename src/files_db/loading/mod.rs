//! Loading one archive: the state of a send parent, changed step by step to that of the archive, in one transaction.
//!
//! An archive that is incremental on the newest one in the index, and the first of all, are loaded in place. Of any other,
//! the tree is built aside, in a file without a name, and then merged ([`merge`]).

mod cache;
mod finish;
mod merge;
mod rows;
mod subtree;

use std::fs;

use rusqlite::{OptionalExtension as _, Transaction, TransactionBehavior};

use super::archives::ArchiveToLoad;
use super::error::{FilesDbError, WhileDoing as _};
use super::file::{self, FilesDb};
use crate::model::ArchiveId;
use crate::model::file_node::{Changed, FileNode, ObjectId};
use cache::{Cache, KnownChild, MOST_BYTES};
use rows::Rows;

/// What the stream of an archive begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoadBase {
    /// It is a full: an empty subvolume.
    Nothing,
    /// The state of its send parent, which the index must have.
    Archive(ArchiveId),
}

/// How an archive gets into the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LoadWay {
    InPlace,
    /// Built aside. Objects with a lower number than this one are of the index.
    Aside {
        first_new: i64,
    },
}

/// One archive that is being loaded. Nothing of it is kept unless [`Loading::commit`] is called.
#[derive(Debug)]
pub struct Loading<'db> {
    transaction: Transaction<'db>,
    archive: ArchiveToLoad,
    number: i64,
    way: LoadWay,
    /// Nothing is in the tables before this archive.
    is_first: bool,
    next_object: i64,
    cache: Cache,
    most_bytes: usize,
    rows: Rows,
}

impl FilesDb {
    /// Begins to load an archive.
    pub fn load(
        &mut self,
        archive: ArchiveToLoad,
        base: LoadBase,
    ) -> Result<Loading<'_>, FilesDbError> {
        self.open_aside()?;
        let doing = "begin to load an archive";
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .while_doing(doing)?;
        let newest: Option<i64> = transaction
            .query_row("SELECT max(number) FROM archive", [], |row| row.get(0))
            .while_doing(doing)?;
        let parent: Option<i64> = match base {
            LoadBase::Nothing => None,
            LoadBase::Archive(id) => {
                let number = transaction
                    .query_row(
                        "SELECT number FROM archive WHERE id = ?1",
                        [id.to_string()],
                        |row| row.get(0),
                    )
                    .optional()
                    .while_doing(doing)?;
                Some(number.ok_or(FilesDbError::NotIndexed(id))?)
            }
        };
        let highest: Option<i64> = transaction
            .query_row("SELECT max(object) FROM version", [], |row| row.get(0))
            .while_doing(doing)?;
        let next_object = highest.unwrap_or(ObjectId::ROOT.0) + 1;
        let is_first = newest.is_none();
        let way = if parent == newest {
            LoadWay::InPlace
        } else {
            LoadWay::Aside {
                first_new: next_object,
            }
        };
        let number = newest.unwrap_or(0) + 1;
        let schema = match way {
            LoadWay::InPlace => "main",
            LoadWay::Aside { .. } => "aside",
        };
        let rows = Rows::new(schema, number, parent.is_none());
        if way != LoadWay::InPlace
            && let Some(parent) = parent
        {
            merge::seed(&transaction, parent).while_doing("take the state of the send parent")?;
        }
        let mut cache = Cache::default();
        if parent.is_none() {
            cache.add_root();
        }
        Ok(Loading {
            transaction,
            archive,
            number,
            way,
            is_first,
            next_object,
            cache,
            most_bytes: MOST_BYTES,
            rows,
        })
    }

    /// Attaches an empty database in a file without a name. What is in it needs no journal: a run that dies leaves nothing of
    /// it.
    fn open_aside(&self) -> Result<(), FilesDbError> {
        let path = file::aside(&self.path);
        let doing = "open a file for a tree aside";
        let attached: Option<String> = self
            .connection
            .query_row(
                "SELECT name FROM pragma_database_list WHERE name = 'aside'",
                [],
                |row| row.get(0),
            )
            .optional()
            .while_doing(doing)?;
        if attached.is_some() {
            self.connection
                .execute_batch("DETACH aside")
                .while_doing(doing)?;
        }
        let made = file::make_private(&path)?;
        drop(made);
        let attach = || {
            self.connection
                .execute("ATTACH ?1 AS aside", [path.to_string_lossy()])?;
            self.connection.execute_batch(
                "PRAGMA aside.journal_mode = OFF; PRAGMA aside.synchronous = OFF;
                 PRAGMA aside.locking_mode = EXCLUSIVE; PRAGMA aside.cache_size = -16384;",
            )?;
            self.connection.execute_batch(merge::TABLES)
        };
        let attached = attach().while_doing(doing);
        fs::remove_file(&path).map_err(|source| file::file_error("remove", &path, source))?;
        attached
    }
}

impl Loading<'_> {
    /// Returns the object with that name in a directory.
    pub fn child(
        &mut self,
        directory: ObjectId,
        name: &[u8],
    ) -> Result<Option<ObjectId>, FilesDbError> {
        if let KnownChild::Is(known) = self.cache.child(directory, name) {
            return Ok(known);
        }
        let found = self.rows.child(&self.transaction, directory, name)?;
        self.cache.know_child(directory, name, found);
        Ok(found)
    }

    /// Returns what is known of an object.
    pub fn node(&mut self, object: ObjectId) -> Result<FileNode, FilesDbError> {
        if let Some(node) = self.cache.node(object) {
            return Ok(node.clone());
        }
        let node = self.rows.node(&self.transaction, object)?;
        self.cache.know_node(object, &node);
        Ok(node)
    }

    /// Adds an object, which has no name yet.
    pub fn create(&mut self, node: &FileNode) -> Result<ObjectId, FilesDbError> {
        self.make_room()?;
        let object = ObjectId(self.next_object);
        self.next_object += 1;
        self.cache.create(object, node);
        Ok(object)
    }

    /// Changes an object.
    pub fn set(
        &mut self,
        object: ObjectId,
        node: &FileNode,
        changed: Changed,
    ) -> Result<(), FilesDbError> {
        self.make_room()?;
        self.cache.set(object, node, changed);
        Ok(())
    }

    /// Adds bytes of the stream that were about an object.
    pub fn cost(&mut self, object: ObjectId, bytes: u64) -> Result<(), FilesDbError> {
        // A stream may be about millions of objects and change none of them.
        self.make_room()?;
        self.cache.cost(object, bytes);
        Ok(())
    }

    /// Gives an object a name, which is free.
    pub fn link(
        &mut self,
        directory: ObjectId,
        name: &[u8],
        object: ObjectId,
    ) -> Result<(), FilesDbError> {
        self.child(directory, name)?;
        self.cache.link(directory, name, object);
        Ok(())
    }

    /// Removes a name.
    pub fn unlink(&mut self, directory: ObjectId, name: &[u8]) -> Result<(), FilesDbError> {
        if let Some(object) = self.child(directory, name)? {
            self.cache.unlink(directory, name, object);
        }
        self.make_room()
    }

    /// Returns whether a directory has no names in it.
    pub fn is_empty(&mut self, directory: ObjectId) -> Result<bool, FilesDbError> {
        if let Some(is_empty) = self.cache.is_empty(directory) {
            return Ok(is_empty);
        }
        self.rows.is_empty(&self.transaction, directory, |name| {
            self.cache.child(directory, name) == KnownChild::Is(None)
        })
    }

    /// Writes what is in memory each time that it takes more than this.
    #[cfg(test)]
    pub(in crate::files_db) fn with_memory(mut self, bytes: usize) -> Self {
        self.most_bytes = bytes;
        self
    }

    /// Returns about how many bytes of memory it takes.
    #[cfg(test)]
    pub(in crate::files_db) fn remembered(&self) -> usize {
        self.cache.bytes()
    }

    /// Writes what is in memory, if that is too much.
    fn make_room(&mut self) -> Result<(), FilesDbError> {
        if self.cache.bytes() > self.most_bytes {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), FilesDbError> {
        self.rows
            .write(&self.transaction, std::mem::take(&mut self.cache))
    }
}
