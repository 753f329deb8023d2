//! Single entries of directories, as a mounted tree shows them.

use rusqlite::Row;

use super::FileQuestions;
use super::error::IndexReadError;
use super::rows::{IndexedVersion, VERSION_COLUMNS};
use crate::model::file_node::ObjectId;

/// A version, and how many names it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkedVersion {
    /// The version.
    pub version: IndexedVersion,
    /// How many names the object has in that archive.
    pub links: u32,
}

/// How many names an object has.
const LINKS: &str = "(SELECT count(*) FROM entry n
     WHERE n.object = v.object AND n.since <= ?2 AND n.till > ?2) AS links";

impl LinkedVersion {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            version: IndexedVersion::read(row)?,
            links: row.get("links")?,
        })
    }
}

impl FileQuestions {
    /// Returns an object's version in an archive, and how many names it has there.
    pub fn linked(
        &self,
        object: ObjectId,
        at: i64,
    ) -> Result<Option<LinkedVersion>, IndexReadError> {
        let sql = format!(
            "SELECT {VERSION_COLUMNS}, {LINKS} FROM version v JOIN attr a ON a.id = v.attr
             WHERE v.object = ?1 AND v.since <= ?2 AND v.till > ?2 ORDER BY v.since DESC LIMIT 1"
        );
        let found = self.rows(&sql, (object.0, at), LinkedVersion::read)?;
        Ok(found.into_iter().next())
    }

    /// Returns what a directory holds in an archive, byte-wise by name: those after a name, without the first `skip`, and at most
    /// `most`.
    pub fn children_after(
        &self,
        (parent, at): (ObjectId, i64),
        after: &[u8],
        (skip, most): (u64, u32),
    ) -> Result<Vec<(Vec<u8>, LinkedVersion)>, IndexReadError> {
        let sql = format!(
            "SELECT {VERSION_COLUMNS}, {LINKS}, e.name FROM entry e
             CROSS JOIN version v ON v.object = e.object AND v.since <= ?2 AND v.till > ?2
             CROSS JOIN attr a ON a.id = v.attr
             WHERE e.parent = ?1 AND e.name > ?3 AND e.since <= ?2 AND e.till > ?2
             ORDER BY e.name LIMIT ?4 OFFSET ?5"
        );
        let skip = i64::try_from(skip).unwrap_or(i64::MAX);
        self.rows(&sql, (parent.0, at, after, most, skip), |row| {
            Ok((row.get("name")?, LinkedVersion::read(row)?))
        })
    }
}
