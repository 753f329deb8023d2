//! Looks at all names, or at all versions, for those that fit.

use rusqlite::ToSql;

use super::FileQuestions;
use super::error::IndexReadError;
use super::rows::{ArchiveSpan, IndexedName, IndexedVersion, VERSION_COLUMNS};
use crate::model::file_node::{FileNode, ObjectId};

/// The bits of a mode that say what kind of file it is.
const KIND_BITS: u32 = 0o170_000;

/// Which names are wanted.
pub struct NameFilter<'f> {
    /// Bytes that each of them has somewhere: SQLite leaves out the others. May be empty.
    pub literal: &'f [u8],
    /// Whether a name fits.
    pub fits: &'f dyn Fn(&[u8]) -> bool,
}

/// Which versions are wanted. All ranges include their ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeFilter {
    /// The kind, as the bits of a mode.
    pub kind: Option<u32>,
    /// Bytes; only regular files have a size.
    pub size: Option<(u64, u64)>,
    /// When it was modified, in nanoseconds since 1970.
    pub mtime: (i64, i64),
    /// The owner.
    pub uid: Option<u32>,
}

impl NodeFilter {
    /// All of them.
    pub const ALL: Self = Self {
        kind: None,
        size: None,
        mtime: (i64::MIN, i64::MAX),
        uid: None,
    };

    /// Returns whether a version is wanted.
    pub fn has(&self, node: &FileNode) -> bool {
        let kind = node.mode & KIND_BITS;
        self.kind.is_none_or(|wanted| wanted == kind)
            && self.size.is_none_or(|(least, most)| {
                kind == 0o100_000 && least <= node.size && node.size <= most
            })
            && self.mtime.0 <= node.mtime
            && node.mtime <= self.mtime.1
            && self.uid.is_none_or(|uid| uid == node.uid)
    }
}

impl FileQuestions {
    /// Returns the names that fit: of one archive, or of all.
    pub fn scan_names(
        &self,
        at: Option<i64>,
        filter: &NameFilter<'_>,
    ) -> Result<Vec<IndexedName>, IndexReadError> {
        let mut conditions = Vec::new();
        let mut values: Vec<&dyn ToSql> = Vec::new();
        // The name first: it leaves out most.
        if !filter.literal.is_empty() {
            conditions.push("instr(name, ?) > 0");
            values.push(&filter.literal);
        }
        if let Some(at) = &at {
            conditions.push("since <= ? AND till > ?");
            values.extend([at as &dyn ToSql, at]);
        }
        self.names_where(&conditions, &values, filter)
    }

    /// Returns the names that fit and that were taken away in an archive with this number or a lower one.
    pub fn scan_names_gone(
        &self,
        at: i64,
        filter: &NameFilter<'_>,
    ) -> Result<Vec<IndexedName>, IndexReadError> {
        // The second condition is that of the table's index.
        let mut conditions = vec!["till <= ? AND till < 9223372036854775807"];
        let mut values: Vec<&dyn ToSql> = vec![&at];
        if !filter.literal.is_empty() {
            conditions.push("instr(name, ?) > 0");
            values.push(&filter.literal);
        }
        self.names_where(&conditions, &values, filter)
    }

    /// Returns the names that fit, of all archives, but those that an archive has.
    pub fn scan_names_beside(
        &self,
        at: i64,
        filter: &NameFilter<'_>,
    ) -> Result<Vec<IndexedName>, IndexReadError> {
        let mut conditions = vec!["(since > ? OR till <= ?)"];
        let mut values: Vec<&dyn ToSql> = vec![&at, &at];
        if !filter.literal.is_empty() {
            conditions.push("instr(name, ?) > 0");
            values.push(&filter.literal);
        }
        self.names_where(&conditions, &values, filter)
    }

    fn names_where(
        &self,
        conditions: &[&str],
        values: &[&dyn ToSql],
        filter: &NameFilter<'_>,
    ) -> Result<Vec<IndexedName>, IndexReadError> {
        let condition = match conditions {
            [] => "1".to_owned(),
            conditions => conditions.join(" AND "),
        };
        let sql = format!("SELECT parent, name, since, till, object FROM entry WHERE {condition}");
        let scan = || -> rusqlite::Result<Vec<IndexedName>> {
            let mut found = Vec::new();
            let mut statement = self.connection.prepare_cached(&sql)?;
            let mut rows = statement.query(values)?;
            while let Some(row) = rows.next()? {
                // Most names don't fit, so they are not copied first.
                let fits = row.get_ref(1)?.as_blob().is_ok_and(filter.fits);
                if fits {
                    found.push(IndexedName::read(row)?);
                }
            }
            Ok(found)
        };
        scan().map_err(|error| IndexReadError::sql(&self.path, error))
    }

    /// Returns the versions that are wanted: of one archive, or of all.
    pub fn scan_versions(
        &self,
        at: Option<i64>,
        filter: &NodeFilter,
    ) -> Result<Vec<IndexedVersion>, IndexReadError> {
        let bits = filter.kind.map_or(-1, i64::from);
        let uid = filter.uid.map_or(-1, i64::from);
        let limit = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        let size = filter
            .size
            .map_or((0, i64::MAX), |(least, most)| (limit(least), limit(most)));
        // The joins keep their order: the versions are walked through once.
        let sql = format!(
            "SELECT {VERSION_COLUMNS} FROM version v CROSS JOIN attr a ON a.id = v.attr
             WHERE v.size BETWEEN ?1 AND ?2 AND v.mtime BETWEEN ?3 AND ?4
             AND (?5 OR (v.since <= ?6 AND v.till > ?6))
             AND (?7 < 0 OR a.mode & {KIND_BITS} = ?7) AND (?8 < 0 OR a.uid = ?8)"
        );
        let (is_any, at) = (at.is_none(), at.unwrap_or(0));
        let (from, until) = filter.mtime;
        let values = (size.0, size.1, from, until, is_any, at, bits, uid);
        let mut found = self.rows(&sql, values, IndexedVersion::read)?;
        found.retain(|version| filter.has(&version.node));
        Ok(found)
    }

    /// Returns what is in the tree of a directory in an archive, without itself, in no order: each with its path below it.
    pub fn tree(
        &self,
        directory: ObjectId,
        at: i64,
    ) -> Result<Vec<(Vec<u8>, IndexedVersion)>, IndexReadError> {
        let mut found = Vec::new();
        let mut waiting = vec![(directory, Vec::new())];
        while let Some((directory, above)) = waiting.pop() {
            for (name, version) in self.children(directory, at)? {
                let path = match above.as_slice() {
                    [] => name,
                    above => [above, b"/", &name].concat(),
                };
                if version.node.mode & KIND_BITS == 0o040_000 {
                    waiting.push((version.object, path.clone()));
                }
                found.push((path, version));
            }
        }
        Ok(found)
    }
}

impl NodeFilter {
    /// Returns whether it wants all versions.
    pub fn is_all(&self) -> bool {
        *self == Self::ALL
    }
}

impl ArchiveSpan {
    /// Returns whether an archive of these is in it.
    pub fn has_any(self, numbers: &[i64]) -> bool {
        numbers.iter().any(|number| self.has(*number))
    }
}
