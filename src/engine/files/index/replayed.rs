//! Loads one archive into the index: its contents, replayed.

use std::io::{BufReader, Read};

use super::SignedContents;
use crate::btrfs::ContentsReader;
use crate::engine::files::replay::refusal::ReplayError;
use crate::engine::files::replay::replay;
use crate::engine::files::replay::tree::FileTree;
use crate::error::{ContentsFault, Error, in_words};
use crate::files_db::{FilesDb, Loading};
use crate::interrupt::Interrupt;
use crate::model::file_node::{Changed, FileNode, ObjectId};

/// Bytes of contents that are read at once.
const READ_BYTES: usize = 64 << 10;

/// How many changes are made before it is looked whether to stop.
const CHANGES_AT_ONCE: u32 = 1024;

/// Loads an archive into an index from its contents: the stream without its file data. After an error, the index is as it
/// was.
pub fn load_contents(
    db: &mut FilesDb,
    of: SignedContents,
    contents: impl Read,
    interrupt: &Interrupt,
) -> Result<(), Error> {
    Ok(apply(db, of, contents, interrupt)?.commit()?)
}

/// Applies the contents of an archive to the state that the index has of its send parent. The index stays as it is.
pub(super) fn try_contents(
    db: &mut FilesDb,
    of: SignedContents,
    contents: impl Read,
    interrupt: &Interrupt,
) -> Result<(), Error> {
    apply(db, of, contents, interrupt).map(drop)
}

fn apply<'l>(
    db: &'l mut FilesDb,
    of: SignedContents,
    contents: impl Read,
    interrupt: &'l Interrupt,
) -> Result<Loading<'l>, Error> {
    let archive = of.archive.id;
    let unusable = |what: String| Error::Contents(ContentsFault::Unusable { archive, what });
    // Every command takes at least its bytes, so this bounds their number too.
    if of.stream_bytes > of.raw_bytes {
        return Err(unusable("they are longer than its stream".to_owned()));
    }
    let contents = BufReader::with_capacity(READ_BYTES, contents);
    let mut reader =
        ContentsReader::open(contents, of.expect).map_err(|error| unusable(in_words(&error)))?;
    let mut tree = IndexTree {
        loading: db.load(of.archive, of.base)?,
        interrupt,
        changes: 0,
    };
    match replay(&mut reader, &mut tree) {
        Ok(replayed) if replayed.stream_bytes == of.raw_bytes => Ok(tree.loading),
        Ok(replayed) => Err(unusable(format!(
            "they are those of a stream of {} bytes, and {} were archived",
            replayed.stream_bytes, of.raw_bytes
        ))),
        Err(ReplayError::Tree(error)) => Err(error),
        Err(ReplayError::Refused { refusal, .. }) if refusal.stops_a_restore() => {
            Err(ContentsFault::Unrestorable {
                archive,
                what: in_words(&refusal),
            }
            .into())
        }
        Err(error) => Err(unusable(in_words(&error))),
    }
}

/// The tree of an archive that is being loaded.
struct IndexTree<'l> {
    loading: Loading<'l>,
    interrupt: &'l Interrupt,
    changes: u32,
}

impl FileTree for IndexTree<'_> {
    type Error = Error;

    fn child(&mut self, directory: ObjectId, name: &[u8]) -> Result<Option<ObjectId>, Error> {
        Ok(self.loading.child(directory, name)?)
    }

    fn node(&mut self, object: ObjectId) -> Result<FileNode, Error> {
        Ok(self.loading.node(object)?)
    }

    fn create(&mut self, node: &FileNode) -> Result<ObjectId, Error> {
        self.changes += 1;
        if self.changes == CHANGES_AT_ONCE {
            self.changes = 0;
            self.interrupt.check()?;
        }
        Ok(self.loading.create(node)?)
    }

    fn set(&mut self, object: ObjectId, node: &FileNode, changed: Changed) -> Result<(), Error> {
        Ok(self.loading.set(object, node, changed)?)
    }

    fn cost(&mut self, object: ObjectId, bytes: u64) -> Result<(), Error> {
        Ok(self.loading.cost(object, bytes)?)
    }

    fn link(&mut self, directory: ObjectId, name: &[u8], object: ObjectId) -> Result<(), Error> {
        Ok(self.loading.link(directory, name, object)?)
    }

    fn unlink(&mut self, directory: ObjectId, name: &[u8]) -> Result<(), Error> {
        Ok(self.loading.unlink(directory, name)?)
    }

    fn is_empty(&mut self, directory: ObjectId) -> Result<bool, Error> {
        Ok(self.loading.is_empty(directory)?)
    }
}
