//! What builds on what, and what a list shows of it: few columns of many archives.

use std::collections::{BTreeSet, HashSet};

use rusqlite::Row;

use super::Catalog;
use super::archives::ArchiveRow;
use super::columns::Columns;
use super::error::CatalogError;
use crate::model::archive::ArchiveState;
use crate::model::entry::Timestamp;
use crate::model::{ArchiveId, LedgerId, Sha256, VerifyLevel, VerifyOutcome};

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
    /// The snapshot that was sent.
    pub snapshot: Option<i64>,
    /// Whether a listing after the commit showed every segment.
    pub is_verified: bool,
    /// Whether a check found a segment missing or damaged.
    pub is_damaged: bool,
}

/// An archive, or an attempt at one, as a list shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListedRow {
    /// Its place.
    pub link: Link,
    /// How far it got.
    pub state: ArchiveState,
    /// Bytes of its send stream, or of the segments so far.
    pub raw_bytes: u64,
    /// Bytes of its segments as stored, so far.
    pub sealed_bytes: u64,
    /// How many segments it has so far.
    pub segments: u64,
    /// Whether its objects are being deleted or are gone.
    pub deletion_has_begun: bool,
    /// When the attempt began.
    pub begun_at: Timestamp,
    /// When it was last found sound on any level; only of committed archives.
    pub sound_at: Option<Timestamp>,
    /// When it was last found sound with every byte read; only of committed archives.
    pub deep_sound_at: Option<Timestamp>,
}

/// What of a ledger is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listed {
    /// Retired archives too.
    Everything,
    /// What is not retired, and the fulls of its chains, retired or not. However many others are, it
    /// takes no longer.
    Current,
}

/// The columns of a [`Link`], in its order.
const LINK: &str =
    "id, chain, send_parent, recipients, snapshot, verified_at IS NOT NULL, damaged_at IS NOT NULL";

impl Link {
    fn read(columns: &Columns<'_, '_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: columns.parsed()?,
            chain: columns.parsed()?,
            send_parent: columns.parsed_or_null()?,
            recipients: columns.parsed()?,
            snapshot: columns.value()?,
            is_verified: columns.value()?,
            is_damaged: columns.value()?,
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
            snapshot: row.snapshot,
            is_verified: row.verified_at.is_some(),
            is_damaged: row.damaged_at.is_some(),
        }
    }
}

/// One of its checks that found an archive sound.
struct Sound {
    at: Timestamp,
    is_deep: bool,
}

impl ListedRow {
    /// Whether it is committed and not retired.
    pub fn is_visible(&self) -> bool {
        self.state == ArchiveState::Committed
    }

    /// An archive comes once for each check that found it sound, and once where there is none.
    fn read(row: &Row<'_>) -> rusqlite::Result<(Self, Option<Sound>)> {
        let columns = Columns::of(row);
        let archive = Self {
            link: Link::read(&columns)?,
            state: columns.parsed()?,
            raw_bytes: columns.value()?,
            sealed_bytes: columns.value()?,
            segments: columns.value()?,
            deletion_has_begun: columns.value()?,
            begun_at: columns.parsed()?,
            sound_at: None,
            deep_sound_at: None,
        };
        let level: Option<VerifyLevel> = columns.parsed_or_null()?;
        let at: Option<Timestamp> = columns.parsed_or_null()?;
        let sound = level.zip(at).map(|(level, at)| Sound {
            at,
            is_deep: level >= VerifyLevel::Deep,
        });
        Ok((archive, sound))
    }

    fn add(&mut self, sound: &Sound) {
        // `None` is less than any moment.
        self.sound_at = self.sound_at.max(Some(sound.at));
        if sound.is_deep {
            self.deep_sound_at = self.deep_sound_at.max(Some(sound.at));
        }
    }
}

impl Catalog {
    /// A ledger's committed archives by date, as a night goes by them. However many are retired, it takes
    /// no longer.
    pub fn lineage(&self, ledger: &LedgerId) -> Result<Vec<Link>, CatalogError> {
        let mut links = self.select(
            "read which archive builds on which",
            &format!("SELECT {LINK} FROM archive WHERE ledger = ?1 AND state = 'committed'"),
            [ledger.to_string()],
            |row| Link::read(&Columns::of(row)),
        )?;
        links.sort_unstable_by_key(|link| link.id);
        Ok(links)
    }

    /// A ledger's archives and unfinished attempts by date, as a list shows them.
    pub fn listed(
        &self,
        ledger: &LedgerId,
        listed: Listed,
    ) -> Result<Vec<ListedRow>, CatalogError> {
        let states = match listed {
            Listed::Everything => "'unfinished', 'committing', 'committed', 'retired'",
            Listed::Current => "'unfinished', 'committing', 'committed'",
        };
        let mut rows = self.listed_where(
            &format!("archive.ledger = ?1 AND archive.state IN ({states})"),
            &ledger.to_string(),
        )?;
        let there: HashSet<ArchiveId> = rows.iter().map(|row| row.link.id).collect();
        let chains: BTreeSet<ArchiveId> = rows.iter().map(|row| row.link.chain).collect();
        for chain in chains.iter().filter(|chain| !there.contains(*chain)) {
            let full = "archive.id = ?1 AND archive.state <> 'abandoned'";
            rows.extend(self.listed_where(full, &chain.to_string())?);
        }
        // Not by SQLite, which sorts many rows on disk.
        rows.sort_unstable_by_key(|row| (row.link.id.date, row.begun_at, row.link.id));
        Ok(rows)
    }

    fn listed_where(
        &self,
        condition: &str,
        parameter: &str,
    ) -> Result<Vec<ListedRow>, CatalogError> {
        let mut rows: Vec<ListedRow> = Vec::new();
        let sql = format!(
            "SELECT {LINK}, state,
                coalesce(raw_bytes, (SELECT sum(raw_bytes) FROM segment WHERE archive = archive.id), 0),
                coalesce(sealed_bytes, (SELECT sum(sealed_bytes) FROM segment WHERE archive = archive.id), 0),
                CASE state
                    WHEN 'unfinished' THEN (SELECT count(*) FROM segment WHERE archive = archive.id)
                    -- All segments but the last are of that size; a ledger where they aren't is refused.
                    ELSE (raw_bytes + segment_size - 1) / segment_size
                END,
                deletion IS NOT NULL, begun_at, level, at
             FROM archive LEFT JOIN verification
                ON archive.state = 'committed' AND verification.archive = archive.id AND outcome = '{}'
             WHERE {condition}",
            VerifyOutcome::Sound
        );
        self.select("list the archives", &sql, [parameter], |row| {
            let (archive, sound) = ListedRow::read(row)?;
            let again = rows
                .last()
                .is_some_and(|last| last.link.id == archive.link.id);
            if !again {
                rows.push(archive);
            }
            if let (Some(sound), Some(last)) = (sound, rows.last_mut()) {
                last.add(&sound);
            }
            Ok(())
        })?;
        Ok(rows)
    }
}
