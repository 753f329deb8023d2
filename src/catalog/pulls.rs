//! Subvolumes that are pulled: whether the last run ended well, and how many entries it found.

use rusqlite::{Row, params};

use super::Catalog;
use super::error::{CatalogError, parsed, parsed_or_null};
use crate::model::entry::Timestamp;
use crate::model::{SourceName, Uuid};

/// A subvolume that is pulled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullRow {
    /// Its uuid.
    pub subvolume: Uuid,
    /// The source that was pulled into it last.
    pub source: SourceName,
    /// When the run began that has not ended well; `None` if there is none.
    pub begun_at: Option<Timestamp>,
    /// When the last run ended well; `None` before the first.
    pub finished_at: Option<Timestamp>,
    /// How many entries the last good run has found.
    pub entries: Option<u64>,
}

impl PullRow {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            subvolume: parsed(row, "subvolume")?,
            source: parsed(row, "source")?,
            begun_at: parsed_or_null(row, "begun_at")?,
            finished_at: parsed_or_null(row, "finished_at")?,
            entries: row.get("entries")?,
        })
    }
}

impl Catalog {
    /// Every subvolume that was ever pulled.
    pub fn pulls(&self) -> Result<Vec<PullRow>, CatalogError> {
        self.select(
            "read the pulled subvolumes",
            "SELECT * FROM pull ORDER BY source, subvolume",
            [],
            PullRow::read,
        )
    }

    /// What is known of the subvolume with this uuid.
    pub fn pull(&self, subvolume: Uuid) -> Result<Option<PullRow>, CatalogError> {
        let rows = self.select(
            "read a pulled subvolume",
            "SELECT * FROM pull WHERE subvolume = ?1",
            [subvolume.to_string()],
            PullRow::read,
        )?;
        Ok(rows.into_iter().next())
    }

    /// Records that a run begins to change a subvolume. Until it ends well, the content of the subvolume is neither the
    /// old one nor the new one.
    pub fn pull_begins(
        &mut self,
        subvolume: Uuid,
        source: &SourceName,
        at: Timestamp,
    ) -> Result<(), CatalogError> {
        self.execute(
            "record that a pull begins",
            "INSERT INTO pull (subvolume, source, begun_at) VALUES (?1, ?2, ?3)
             ON CONFLICT (subvolume) DO UPDATE SET source = ?2, begun_at = coalesce(begun_at, ?3)",
            params![subvolume.to_string(), source.as_str(), at.to_string()],
        )
    }

    /// Records that a run has ended well, and how many entries it found.
    pub fn pull_ended(
        &mut self,
        subvolume: Uuid,
        entries: u64,
        at: Timestamp,
    ) -> Result<(), CatalogError> {
        self.execute(
            "record that a pull has ended",
            "UPDATE pull SET begun_at = NULL, finished_at = ?2, entries = ?3 WHERE subvolume = ?1",
            params![subvolume.to_string(), at.to_string(), entries],
        )
    }

    /// Takes over what another catalog knows of a pulled subvolume.
    pub fn take_over_pull(&mut self, row: &PullRow) -> Result<(), CatalogError> {
        self.execute(
            "take over a pulled subvolume",
            "INSERT OR REPLACE INTO pull (subvolume, source, begun_at, finished_at, entries)
             VALUES (?1, ?2, ?3, ?4, ?5)",
            params![
                row.subvolume.to_string(),
                row.source.as_str(),
                row.begun_at.map(|at| at.to_string()),
                row.finished_at.map(|at| at.to_string()),
                row.entries,
            ],
        )
    }
}
