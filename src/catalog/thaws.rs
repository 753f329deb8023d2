//! Thaws that were requested: which segments, how fast, for how long.

use std::collections::BTreeMap;
use std::str::FromStr;

use rusqlite::{Row, Statement, params};

use super::Catalog;
use super::error::{CatalogError, parsed, parsed_or_null};
use super::places::HOME;
use crate::model::archive::UnknownWord;
use crate::model::entry::Timestamp;
use crate::model::{ArchiveId, Tier};

/// The state of a thaw, as far as this machine knows it. The store knows better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThawState {
    /// About to be requested; only the store knows whether the request arrived.
    Requested,
    /// The store took the request.
    Thawing,
    /// The store said that it can be read.
    Readable,
    /// Its archive was received.
    Fetched,
}

/// The thaw of a segment that was requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ThawRow {
    /// The tier, which says how fast.
    pub tier: Tier,
    /// Days that it is to stay readable.
    pub days: u32,
    /// Its state.
    pub state: ThawState,
    /// When it was requested, by the store's clock.
    pub asked_at: Timestamp,
    /// When it is cold again, by the store's clock; `None` until it is readable.
    pub readable_until: Option<Timestamp>,
}

impl FromStr for ThawState {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        match word {
            "requested" => Ok(Self::Requested),
            "thawing" => Ok(Self::Thawing),
            "readable" => Ok(Self::Readable),
            "fetched" => Ok(Self::Fetched),
            _ => Err(UnknownWord(word.to_owned())),
        }
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<(u32, ThawRow)> {
    let thaw = ThawRow {
        tier: parsed(row, "tier")?,
        days: row.get("days")?,
        state: parsed(row, "state")?,
        asked_at: parsed(row, "asked_at")?,
        readable_until: parsed_or_null(row, "readable_until")?,
    };
    Ok((row.get("idx")?, thaw))
}

impl Catalog {
    /// Returns the thaws that were requested for an archive, by segment index.
    pub fn thaws(&self, archive: &ArchiveId) -> Result<BTreeMap<u32, ThawRow>, CatalogError> {
        let thaws = self.select(
            "read what is thawing",
            "SELECT * FROM thaw WHERE place = ?1 AND archive = ?2",
            params![self.place, archive.to_string()],
            read,
        )?;
        Ok(thaws.into_iter().collect())
    }

    /// Returns until when all segments of an archive can be read in a place, home if none is named; `None` if the store has not
    /// said so of each.
    pub fn thawed_until(
        &self,
        place: Option<i64>,
        archive: &ArchiveId,
    ) -> Result<Option<Timestamp>, CatalogError> {
        let found = self.select(
            "read until when an archive can be read",
            "SELECT min(thaw.readable_until) AS until FROM segment
             LEFT JOIN thaw ON thaw.place = ?1 AND thaw.archive = segment.archive AND thaw.idx = segment.idx
             WHERE segment.archive = ?2 HAVING count(*) = count(thaw.readable_until)",
            params![place.unwrap_or(HOME), archive.to_string()],
            |row| parsed_or_null(row, "until"),
        )?;
        Ok(found.into_iter().next().flatten())
    }

    /// Writes the thaws that are about to be requested. They replace earlier ones of these segments.
    pub fn thaw_requested(
        &mut self,
        segments: &[(ArchiveId, u32)],
        tier: Tier,
        days: u32,
        asked_at: Timestamp,
    ) -> Result<(), CatalogError> {
        self.for_each(
            "INSERT OR REPLACE INTO thaw (place, archive, idx, tier, days, state, asked_at)
             VALUES (?1, ?2, ?3, ?4, ?5, 'requested', ?6)",
            segments,
            |statement, place, (archive, index)| {
                let asked_at = asked_at.to_string();
                statement.execute(params![
                    place,
                    archive.to_string(),
                    index,
                    tier.as_str(),
                    days,
                    asked_at
                ])
            },
        )
    }

    /// Records that the store is thawing segments. A segment that was not requested here has no row, and gets
    /// none.
    pub fn thaw_running(&mut self, segments: &[(ArchiveId, u32)]) -> Result<(), CatalogError> {
        self.for_each(
            "UPDATE thaw SET state = 'thawing', readable_until = NULL
             WHERE place = ?1 AND archive = ?2 AND idx = ?3",
            segments,
            |statement, place, (archive, index)| {
                statement.execute(params![place, archive.to_string(), index])
            },
        )
    }

    /// Records until when the store lets segments be read.
    pub fn thaw_readable(
        &mut self,
        segments: &[(ArchiveId, u32, Timestamp)],
    ) -> Result<(), CatalogError> {
        self.for_each(
            "UPDATE thaw SET state = iif(state = 'fetched', 'fetched', 'readable'), readable_until = ?4
             WHERE place = ?1 AND archive = ?2 AND idx = ?3",
            segments,
            |statement, place, (archive, index, until)| {
                statement.execute(params![place, archive.to_string(), index, until.to_string()])
            },
        )
    }

    /// Records that an archive was received: none of its thawed segments is waited for any more.
    pub fn thaw_fetched(&mut self, archive: &ArchiveId) -> Result<(), CatalogError> {
        let place = self.place;
        self.execute(
            "record what was fetched",
            "UPDATE thaw SET state = 'fetched' WHERE place = ?1 AND archive = ?2",
            params![place, archive.to_string()],
        )
    }

    /// Runs a statement for each segment at the place, in one transaction.
    fn for_each<S>(
        &mut self,
        sql: &str,
        segments: &[S],
        execute: impl Fn(&mut Statement<'_>, i64, &S) -> rusqlite::Result<usize>,
    ) -> Result<(), CatalogError> {
        if segments.is_empty() {
            return Ok(());
        }
        let place = self.place;
        self.write("write what is thawing", |transaction| {
            let mut statement = transaction.prepare_cached(sql)?;
            for segment in segments {
                execute(&mut statement, place, segment)?;
            }
            Ok(())
        })
    }
}
