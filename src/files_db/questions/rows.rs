//! Rows of the file index.

use std::fmt::Display;
use std::str::FromStr;

use chrono::NaiveDate;
use rusqlite::types::Type;
use rusqlite::{Row, RowIndex};

use crate::model::ArchiveId;
use crate::model::file_node::{Changed, FileNode, ObjectId};
use crate::model::ids::parse_date;

/// An archive that is indexed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexedArchive {
    /// Its number in the index.
    pub number: i64,
    /// Its id.
    pub id: ArchiveId,
    /// Its date.
    pub date: NaiveDate,
    /// Whether it is retired.
    pub is_hidden: bool,
}

/// The archives for which a row holds, by their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArchiveSpan {
    /// The first.
    pub since: i64,
    /// The first for which it does not hold any more.
    pub till: i64,
}

/// A name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexedName {
    /// The directory.
    pub parent: ObjectId,
    /// The name.
    pub name: Vec<u8>,
    /// When the directory has it.
    pub span: ArchiveSpan,
    /// What it names.
    pub object: ObjectId,
}

/// A version of a file, a directory or another inode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexedVersion {
    /// Whose version it is.
    pub object: ObjectId,
    /// When it was so.
    pub span: ArchiveSpan,
    /// What is known of it.
    pub node: FileNode,
    /// What its first archive did to it.
    pub changed: Changed,
    /// Bytes of the stream of that archive that were about it.
    pub cost: u64,
}

/// What the tree of a directory weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SubtreeTotals {
    /// Bytes of its files, hard links counted at each name.
    pub bytes: u64,
    /// Its files.
    pub files: u64,
}

/// The columns of a version `v` with its attributes `a`, as [`IndexedVersion::read`] takes them.
pub(super) const VERSION_COLUMNS: &str =
    "v.object, v.since, v.till, a.mode, a.uid, a.gid, a.rdev, v.size, v.mtime,
    v.ctime, v.inode, v.target, a.xattrs, v.changed, v.cost";

impl ArchiveSpan {
    /// From the first archive on, without an end.
    pub const ALWAYS: Self = Self {
        since: i64::MIN,
        till: i64::MAX,
    };

    /// Returns whether it has an archive.
    pub fn has(self, number: i64) -> bool {
        self.since <= number && number < self.till
    }

    /// Returns what two of them have in common; `None` if that is nothing.
    pub fn common(self, other: Self) -> Option<Self> {
        let span = Self {
            since: self.since.max(other.since),
            till: self.till.min(other.till),
        };
        (span.since < span.till).then_some(span)
    }
}

impl IndexedArchive {
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let date: String = row.get(2)?;
        Ok(Self {
            number: row.get(0)?,
            id: parsed(row, 1)?,
            date: parse_date(&date).map_err(|error| unfit(2, error))?,
            is_hidden: row.get(3)?,
        })
    }
}

impl IndexedName {
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            parent: ObjectId(row.get(0)?),
            name: row.get(1)?,
            span: ArchiveSpan {
                since: row.get(2)?,
                till: row.get(3)?,
            },
            object: ObjectId(row.get(4)?),
        })
    }
}

impl IndexedVersion {
    /// Reads [`VERSION_COLUMNS`], which are the first of the row.
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        // Numbers of 64 bits are kept as SQLite's, which have a sign.
        let unsigned = |at: usize| row.get::<_, i64>(at).map(i64::cast_unsigned);
        Ok(Self {
            object: ObjectId(row.get(0)?),
            span: ArchiveSpan {
                since: row.get(1)?,
                till: row.get(2)?,
            },
            node: FileNode {
                mode: row.get(3)?,
                uid: row.get(4)?,
                gid: row.get(5)?,
                rdev: unsigned(6)?,
                size: unsigned(7)?,
                mtime: row.get(8)?,
                ctime: row.get(9)?,
                inode: unsigned(10)?,
                target: row.get(11)?,
                xattrs: row.get(12)?,
            },
            changed: Changed(row.get(13)?),
            cost: unsigned(14)?,
        })
    }
}

impl SubtreeTotals {
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            bytes: row.get::<_, i64>(0)?.cast_unsigned(),
            files: row.get::<_, i64>(1)?.cast_unsigned(),
        })
    }
}

fn parsed<T: FromStr<Err: Display>>(row: &Row<'_>, at: impl RowIndex) -> rusqlite::Result<T> {
    let text: String = row.get(at)?;
    text.parse().map_err(|error| unfit(0, error))
}

fn unfit(column: usize, error: impl Display) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, error.to_string().into())
}
