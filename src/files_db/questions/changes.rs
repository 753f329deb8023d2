//! What changed between two archives.

use super::FileQuestions;
use super::error::IndexReadError;
use super::rows::ArchiveSpan;
use crate::model::file_node::{Changed, ObjectId};

/// The archives after one and up to another, by their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangeSpan {
    after: i64,
    until: i64,
}

impl ChangeSpan {
    /// Returns what is between two archives, in either order.
    pub fn between(one: i64, other: i64) -> Self {
        Self {
            after: one.min(other),
            until: one.max(other),
        }
    }

    /// Returns whether something begins in one of these archives.
    pub fn begins(self, it: ArchiveSpan) -> bool {
        self.after < it.since && it.since <= self.until
    }
}

impl FileQuestions {
    /// Returns the objects of which a version begins or ends between two archives.
    pub fn touched_versions(&self, span: ChangeSpan) -> Result<Vec<ObjectId>, IndexReadError> {
        self.touched("version", span)
    }

    /// Returns the objects of which a name begins or ends between two archives.
    pub fn touched_names(&self, span: ChangeSpan) -> Result<Vec<ObjectId>, IndexReadError> {
        self.touched("entry", span)
    }

    fn touched(&self, table: &str, span: ChangeSpan) -> Result<Vec<ObjectId>, IndexReadError> {
        // Each second condition is that of an index. Nothing begins after an archive and has the number 1.
        let sql = format!(
            "SELECT object FROM {table} WHERE since > ?1 AND since <= ?2 AND since > 1
             UNION SELECT object FROM {table} WHERE till > ?1 AND till <= ?2 AND till < 9223372036854775807"
        );
        self.rows(&sql, (span.after, span.until), |row| {
            row.get(0).map(ObjectId)
        })
    }

    /// Returns all that the archives of a span did to an object.
    pub fn changed(&self, object: ObjectId, span: ChangeSpan) -> Result<Changed, IndexReadError> {
        let each = self.rows(
            "SELECT changed FROM version WHERE object = ?1 AND since > ?2 AND since <= ?3",
            (object.0, span.after, span.until),
            |row| row.get(0).map(Changed),
        )?;
        Ok(each.into_iter().fold(Changed::default(), Changed::and))
    }

    /// Returns the objects that the stream of an archive was about, and the bytes of it that each took.
    pub fn costs(&self, number: i64) -> Result<Vec<(ObjectId, u64)>, IndexReadError> {
        // The first archive is not in the index of the table: all of its versions begin there.
        let indexed = if number > 1 { "AND since > 1" } else { "" };
        self.rows(
            &format!("SELECT object, cost FROM version WHERE since = ?1 {indexed} AND cost > 0"),
            [number],
            |row| Ok((ObjectId(row.get(0)?), row.get::<_, i64>(1)?.cast_unsigned())),
        )
    }
}
