//! Reads a few columns of many archives: which archive builds on which, and what a list shows.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::Row;

use super::Catalog;
use super::archives::ArchiveRow;
use super::columns::{Columns, Last};
use super::error::CatalogError;
use crate::model::archive::ArchiveState;
use crate::model::entry::Timestamp;
use crate::model::{ArchiveId, LedgerId, Protocol, Sha256, VerifyLevel, VerifyOutcome};

/// An archive as a part of its chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// Its id.
    pub id: ArchiveId,
    /// The full of its chain.
    pub chain: ArchiveId,
    /// What it is incremental on.
    pub send_parent: Option<ArchiveId>,
    /// Fingerprint of its recipients.
    pub recipients: Sha256,
    /// Whether a listing after the commit showed every segment.
    pub is_verified: bool,
    /// Whether a check found a segment missing or damaged.
    pub is_damaged: bool,
    /// Whether its stream carries compressed data, so that bytes of it may be wrong.
    pub is_inexact: bool,
}

/// An archive, or an attempt at one, as a list shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListedRow {
    /// Its place in its chain.
    pub link: Link,
    /// Its state.
    pub state: ArchiveState,
    /// Bytes of its send stream, or of the segments so far.
    pub raw_bytes: u64,
    /// Bytes of its segments as stored, so far.
    pub sealed_bytes: u64,
    /// How many segments it has so far.
    pub segments: u64,
    /// Bytes of its contents as stored; 0 if it has none.
    pub contents_bytes: u64,
    /// Whether its objects are being deleted or are gone.
    pub deletion_has_begun: bool,
    /// When the attempt began.
    pub begun_at: Timestamp,
    /// When it was last found sound on any level; only of committed archives.
    pub sound_at: Option<Timestamp>,
    /// When it was last found sound with every byte read; only of committed archives.
    pub deep_sound_at: Option<Timestamp>,
}

/// Which archives of a ledger are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhichArchives {
    /// All, including retired archives.
    Everything,
    /// Archives that are not retired, and the fulls of their chains, retired or not. Other retired archives
    /// do not slow it down.
    Current,
}

/// The columns of a [`Link`], in the order in which they are read.
const LINK: &str =
    "chain, send_parent, id, recipients, verified_at IS NOT NULL, damaged_at IS NOT NULL,
    coalesce(protocol, 1) > 1 AND compressed_data IS NOT 0";

/// Reads links one after another: most are in the same chain as the one before, and build on it.
struct Links {
    id: Last<ArchiveId>,
    chain: Last<ArchiveId>,
    recipients: Last<Sha256>,
}

impl Links {
    const NONE_YET: Self = Self {
        id: Last::NONE,
        chain: Last::NONE,
        recipients: Last::NONE,
    };

    fn read(&mut self, columns: &Columns<'_, '_>) -> rusqlite::Result<Link> {
        Ok(Link {
            chain: columns.parsed_again(&mut self.chain)?,
            send_parent: columns.parsed_again_or_null(&mut self.id)?,
            id: columns.parsed_again(&mut self.id)?,
            recipients: columns.parsed_again(&mut self.recipients)?,
            is_verified: columns.value()?,
            is_damaged: columns.value()?,
            is_inexact: columns.value()?,
        })
    }
}

impl From<&ArchiveRow> for Link {
    fn from(row: &ArchiveRow) -> Self {
        Self {
            id: row.id,
            chain: row.chain,
            send_parent: row.send_parent,
            recipients: row.recipients,
            is_verified: row.verified_at.is_some(),
            is_damaged: row.damaged_at.is_some(),
            is_inexact: row.form().is_some_and(Protocol::is_inexact),
        }
    }
}

impl ListedRow {
    /// Whether it is committed and not retired.
    pub fn is_visible(&self) -> bool {
        self.state == ArchiveState::Committed
    }

    fn read(row: &Row<'_>, links: &mut Links) -> rusqlite::Result<Self> {
        let columns = Columns::of(row);
        Ok(Self {
            link: links.read(&columns)?,
            state: columns.parsed()?,
            raw_bytes: columns.value()?,
            sealed_bytes: columns.value()?,
            segments: columns.value()?,
            contents_bytes: 0,
            deletion_has_begun: columns.value()?,
            begun_at: columns.parsed()?,
            sound_at: None,
            deep_sound_at: None,
        })
    }

    /// Notes that a check on that level found it sound.
    fn is_sound(&mut self, level: VerifyLevel, at: Timestamp) {
        // `None` is less than any moment.
        self.sound_at = self.sound_at.max(Some(at));
        if level >= VerifyLevel::Deep {
            self.deep_sound_at = self.deep_sound_at.max(Some(at));
        }
    }
}

impl Catalog {
    /// Returns a ledger's committed archives by date, for a night's plan. Retired archives do not slow it
    /// down.
    pub fn lineage(&self, ledger: &LedgerId) -> Result<Vec<Link>, CatalogError> {
        let mut reading = Links::NONE_YET;
        let mut links = self.select(
            "read which archive builds on which",
            &format!(
                "SELECT {LINK} FROM {} WHERE ledger = ?1 AND state = 'committed'",
                self.archive_table()
            ),
            [ledger.to_string()],
            |row| reading.read(&Columns::of(row)),
        )?;
        links.sort_unstable_by_key(|link| link.id);
        Ok(links)
    }

    /// Returns whether one of a ledger's committed archives carries compressed data.
    pub fn has_inexact(&self, ledger: &LedgerId) -> Result<bool, CatalogError> {
        let found = self.select(
            "look for archives with compressed data",
            &format!(
                "SELECT 1 FROM {} WHERE ledger = ?1 AND state = 'committed'
                    AND coalesce(protocol, 1) > 1 AND compressed_data IS NOT 0 LIMIT 1",
                self.archive_table()
            ),
            [ledger.to_string()],
            |_| Ok(()),
        )?;
        Ok(!found.is_empty())
    }

    /// A ledger's archives and unfinished attempts by date, as a list shows them.
    pub fn listed(
        &self,
        ledger: &LedgerId,
        listed: WhichArchives,
    ) -> Result<Vec<ListedRow>, CatalogError> {
        let states = match listed {
            WhichArchives::Everything => "'unfinished', 'committing', 'committed', 'retired'",
            WhichArchives::Current => "'unfinished', 'committing', 'committed'",
        };
        let mut rows = self.listed_where(
            &format!("ledger = ?1 AND state IN ({states})"),
            &ledger.to_string(),
        )?;
        let mut without_full: BTreeSet<ArchiveId> = rows.iter().map(|row| row.link.chain).collect();
        for full in rows.iter().filter(|row| row.link.id == row.link.chain) {
            without_full.remove(&full.link.id);
        }
        for chain in without_full {
            let full = "id = ?1 AND state <> 'abandoned'";
            rows.extend(self.listed_where(full, &chain.to_string())?);
        }
        // SQLite would sort many rows on disk.
        rows.sort_unstable_by_key(|row| (row.link.id.date, row.begun_at, row.link.id));
        self.add_checks(&mut rows)?;
        let contents: BTreeMap<ArchiveId, u64> = self.contents_bytes(ledger)?.into_iter().collect();
        for row in &mut rows {
            row.contents_bytes = contents.get(&row.link.id).copied().unwrap_or(0);
        }
        Ok(rows)
    }

    /// Adds to committed archives when checks found them sound. The rows are sorted by date.
    fn add_checks(&self, rows: &mut [ListedRow]) -> Result<(), CatalogError> {
        let Some(oldest) = rows.iter().find(|row| row.is_visible()) else {
            return Ok(());
        };
        let oldest = oldest.link.id.date.to_string();
        let mut at = 0;
        // An id begins with its date, so one pass over both lists is enough; a join would look up each
        // archive.
        let sql = format!(
            "SELECT archive, level, at FROM verification
             WHERE place = {} AND outcome = '{}' AND archive >= ?1 ORDER BY archive",
            self.place,
            VerifyOutcome::Sound
        );
        let done = self.select("list what checks have shown", &sql, [oldest], |row| {
            let columns = Columns::of(row);
            let id: ArchiveId = columns.parsed()?;
            while rows.get(at).is_some_and(|row| row.link.id.date < id.date) {
                at += 1;
            }
            let mut of_date = rows[at..]
                .iter_mut()
                .take_while(|row| row.link.id.date == id.date);
            if let Some(archive) = of_date.find(|row| row.link.id == id && row.is_visible()) {
                archive.is_sound(columns.parsed()?, columns.parsed()?);
            }
            Ok(())
        });
        done.map(drop)
    }

    fn listed_where(
        &self,
        condition: &str,
        parameter: &str,
    ) -> Result<Vec<ListedRow>, CatalogError> {
        let mut links = Links::NONE_YET;
        let sql = format!(
            "SELECT {LINK}, state,
                coalesce(raw_bytes, (SELECT sum(raw_bytes) FROM segment WHERE archive = archive.id), 0),
                coalesce(sealed_bytes, (SELECT sum(sealed_bytes) FROM segment WHERE archive = archive.id), 0),
                CASE state
                    WHEN 'unfinished' THEN (SELECT count(*) FROM segment WHERE archive = archive.id)
                    -- All segments but the last are of that size; a ledger where they aren't is refused.
                    ELSE (raw_bytes + segment_size - 1) / segment_size
                END,
                deletion IS NOT NULL, begun_at
             FROM {} WHERE {condition}",
            self.archive_table()
        );
        self.select("list the archives", &sql, [parameter], |row| {
            ListedRow::read(row, &mut links)
        })
    }
}
