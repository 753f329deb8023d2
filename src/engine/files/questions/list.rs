//! What a directory holds in an archive.

use super::{DIRECTORY, FileIndex, KIND_BITS, joined};
use crate::error::Error;
use crate::files_db::{IndexedArchive, IndexedVersion};
use crate::model::file_node::ObjectId;

/// A file in an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedFile {
    /// Its path below the root.
    pub path: Vec<u8>,
    /// Its version in that archive.
    pub version: IndexedVersion,
}

impl IndexedVersion {
    /// Returns whether it is a directory.
    pub fn is_directory(&self) -> bool {
        self.node.mode & KIND_BITS == DIRECTORY
    }
}

impl FileIndex {
    /// Returns what a directory holds, or the whole tree below it, byte-wise by path; of a file, the file alone.
    pub fn list(
        &self,
        (path, object): (&[u8], ObjectId),
        archive: IndexedArchive,
        is_recursive: bool,
    ) -> Result<Vec<ListedFile>, Error> {
        let at = archive.number;
        let itself = self.questions.version(object, at)?;
        // The root of an index has a version only if a stream said something of it.
        if let Some(version) = itself.filter(|version| !version.is_directory()) {
            let path = path.to_owned();
            return Ok(vec![ListedFile { path, version }]);
        }
        let below = if is_recursive {
            self.questions.tree(object, at)?
        } else {
            self.questions.children(object, at)?
        };
        let files = below.into_iter().map(|(below, version)| ListedFile {
            path: joined(path, &below),
            version,
        });
        let mut files: Vec<ListedFile> = files.collect();
        files.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(files)
    }
}
