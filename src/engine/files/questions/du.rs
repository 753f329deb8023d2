//! What directories weigh in an archive, and over all of them.

use super::{FileIndex, joined};
use crate::error::Error;
use crate::files_db::{IndexedArchive, SubtreeTotals};
use crate::model::file_node::ObjectId;

/// What a path weighs in an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathWeight {
    /// The path below the root.
    pub path: Vec<u8>,
    /// What is at it and below it. Hard links count at each name.
    pub totals: SubtreeTotals,
}

impl FileIndex {
    /// Returns what a path weighs, and the directories below it down to a depth, byte-wise by path.
    pub fn weigh(
        &self,
        (path, object): (&[u8], ObjectId),
        archive: IndexedArchive,
        depth: u32,
    ) -> Result<Vec<PathWeight>, Error> {
        let mut weights = vec![PathWeight {
            path: path.to_owned(),
            totals: self.totals(object, archive)?,
        }];
        let mut waiting = vec![(object, path.to_owned(), 0)];
        while let Some((object, above, level)) = waiting.pop() {
            if level == depth {
                continue;
            }
            for (name, below) in self.questions.directories_in(object, archive.number)? {
                let path = joined(&above, &name);
                weights.push(PathWeight {
                    path: path.clone(),
                    totals: self.totals(below, archive)?,
                });
                waiting.push((below, path, level + 1));
            }
        }
        weights.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(weights)
    }

    /// Returns what a path weighs in each archive that has it, by date.
    pub fn weigh_by_date(
        &self,
        path: &[u8],
    ) -> Result<Vec<(IndexedArchive, SubtreeTotals)>, Error> {
        let mut weights = Vec::new();
        for archive in &self.archives {
            if let Some(object) = self.resolve(path, *archive)? {
                weights.push((*archive, self.totals(object, *archive)?));
            }
        }
        Ok(weights)
    }

    fn totals(&self, object: ObjectId, archive: IndexedArchive) -> Result<SubtreeTotals, Error> {
        let version = self.questions.version(object, archive.number)?;
        match version.filter(|version| !version.is_directory()) {
            Some(version) => Ok(SubtreeTotals {
                bytes: version.node.size,
                files: 1,
            }),
            // Nothing is recorded of a directory that never held anything.
            None => Ok(self
                .questions
                .subtree(object, archive.number)?
                .unwrap_or_default()),
        }
    }
}
