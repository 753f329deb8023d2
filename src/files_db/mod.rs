//! The local index of files: what each archive of a source held, in one SQLite file for each source. It is derived from the
//! contents of the archives, and can be deleted at any time. The tables are in `schema/files/`.
//!
//! Beside it, [`TreeFile`]: the temporary file of a replay that does not fit into memory.

mod archives;
mod error;
mod file;
mod loading;
mod questions;
mod tree_file;

pub use archives::{ArchiveToLoad, LoadedArchive};
pub use error::{FilesDbError, FilesSqlError};
pub use file::FilesDb;
pub use loading::{LoadBase, Loading};
pub use questions::{
    ArchiveSpan, ChangeSpan, FileQuestions, IndexReadError, IndexedArchive, IndexedName,
    IndexedVersion, LinkedVersion, NameFilter, NodeFilter, PathFinder, SubtreeTotals,
};
pub use tree_file::{NameBefore, StoredObject, TreeFile, TreeFileError, TreeFileWriter};

#[cfg(test)]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "the numbers of the tests are small"
)]
mod tests;
