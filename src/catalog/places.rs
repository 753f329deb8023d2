//! Copies of a source's archives in other stores, and turning a catalog to one of them.
//!
//! A catalog is turned to home, the store of the source's row. Turned to a copy, it shows only the archives that
//! the copy has, with the classes, locators, thaws and checks of the copy.

use std::borrow::Cow;

use rusqlite::{OptionalExtension as _, Row, params};

use super::Catalog;
use super::error::{CatalogError, parsed, parsed_or_null};
use crate::model::entry::Timestamp;
use crate::model::{ArchiveId, LedgerId, PlaceId, StorageClass};

/// What the tables call home.
pub(super) const HOME: i64 = 0;

/// A store that has copies of a source's archives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlaceRow {
    /// The number of its row.
    pub id: i64,
    /// The ledger whose copy it is.
    pub ledger: LedgerId,
    /// The store's URL.
    pub store: String,
    /// The id in its marker.
    pub mark: PlaceId,
    /// The highest number of its ledger that was compared with home's; 0 for none.
    pub head: u64,
    /// When it last had all that home had.
    pub reached_at: Option<Timestamp>,
}

/// What a copy has of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlacedRow {
    /// The archive.
    pub archive: ArchiveId,
    /// When all of it was there; `None` while it is being copied.
    pub copied_at: Option<Timestamp>,
    /// When a listing showed every segment after that.
    pub verified_at: Option<Timestamp>,
    /// When a check found a segment missing or damaged.
    pub damaged_at: Option<Timestamp>,
    /// The class that its segments were put into.
    pub storage_class: Option<StorageClass>,
}

impl PlaceRow {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get("id")?,
            ledger: parsed(row, "ledger")?,
            store: row.get("store")?,
            mark: parsed(row, "mark")?,
            head: row.get("head")?,
            reached_at: parsed_or_null(row, "reached_at")?,
        })
    }
}

impl PlacedRow {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            archive: parsed(row, "archive")?,
            copied_at: parsed_or_null(row, "copied_at")?,
            verified_at: parsed_or_null(row, "verified_at")?,
            damaged_at: parsed_or_null(row, "damaged_at")?,
            storage_class: parsed_or_null(row, "storage_class")?,
        })
    }
}

impl Catalog {
    /// Returns the catalog turned to a copy, by the number of its row; `None` turns it to home.
    #[must_use]
    pub fn at_place(self, place: Option<i64>) -> Self {
        Self {
            place: place.unwrap_or(HOME),
            ..self
        }
    }

    /// Turns the catalog to a copy, or to home with `None`.
    pub fn turn_to(&mut self, place: Option<i64>) {
        self.place = place.unwrap_or(HOME);
    }

    /// The copy that the catalog is turned to; `None` for home.
    pub fn turned_to(&self) -> Option<i64> {
        (self.place != HOME).then_some(self.place)
    }

    /// What stands for the table `archive` in a query: the table, or what the copy has of it.
    pub(super) fn archive_table(&self) -> Cow<'static, str> {
        if self.place == HOME {
            return Cow::Borrowed("archive");
        }
        let place = self.place;
        Cow::Owned(format!(
            "(SELECT archive.id, ledger, seq, date, slot, kind, chain, send_parent, state, stream_uuid,
                stream_ctransid, send_parent_uuid, raw_bytes, sealed_bytes, protocol, kernel, btrfs_progs,
                segment_size, frame_size, recipients, snapshot, raw_blake3, begun_at, deletion,
                compressed_data, placed.verified_at, placed.damaged_at, placed.storage_class
              FROM archive JOIN placed ON placed.place = {place} AND placed.archive = archive.id
              WHERE placed.copied_at IS NOT NULL) AS archive"
        ))
    }

    /// What stands for the table `segment` in a query.
    pub(super) fn segment_table(&self) -> Cow<'static, str> {
        if self.place == HOME {
            return Cow::Borrowed("segment");
        }
        let place = self.place;
        Cow::Owned(format!(
            "(SELECT segment.archive, segment.idx, raw_bytes, sealed_bytes, sha256, raw_blake3,
                placed_segment.locator, state
              FROM segment JOIN placed_segment ON placed_segment.place = {place}
                AND placed_segment.archive = segment.archive AND placed_segment.idx = segment.idx) AS segment"
        ))
    }

    /// The copies of a ledger, by URL.
    pub fn places(&self, ledger: &LedgerId) -> Result<Vec<PlaceRow>, CatalogError> {
        self.select(
            "read where copies are",
            "SELECT * FROM place WHERE ledger = ?1 ORDER BY store",
            [ledger.to_string()],
            PlaceRow::read,
        )
    }

    /// Records a copy by its marker, and returns its row. If that store had another marker before, everything
    /// that was known of it is forgotten.
    pub fn know_place(
        &mut self,
        ledger: &LedgerId,
        store: &str,
        mark: PlaceId,
    ) -> Result<PlaceRow, CatalogError> {
        self.write("record a copy", |transaction| {
            let other: Option<i64> = transaction
                .query_row(
                    "SELECT id FROM place WHERE ledger = ?1 AND store = ?2 AND mark <> ?3",
                    params![ledger.to_string(), store, mark.to_string()],
                    |row| row.get(0),
                )
                .optional()?;
            if let Some(other) = other {
                forget(transaction, other)?;
            }
            transaction.execute(
                "INSERT INTO place (ledger, store, mark) VALUES (?1, ?2, ?3)
                 ON CONFLICT (ledger, store) DO NOTHING",
                params![ledger.to_string(), store, mark.to_string()],
            )?;
            transaction.query_row(
                "SELECT * FROM place WHERE ledger = ?1 AND store = ?2",
                params![ledger.to_string(), store],
                PlaceRow::read,
            )
        })
    }

    /// Forgets a copy, with all that is known of it.
    pub fn forget_place(&mut self, place: i64) -> Result<(), CatalogError> {
        self.write("forget a copy", |transaction| forget(transaction, place))
    }

    /// Records up to which number the copy's ledger is home's.
    pub fn place_has_entries(&mut self, place: i64, head: u64) -> Result<(), CatalogError> {
        self.execute(
            "record a copy's ledger",
            "UPDATE place SET head = ?2 WHERE id = ?1",
            params![place, head],
        )
    }

    /// Records that a copy has all that home had.
    pub fn place_reached(&mut self, place: i64, at: Timestamp) -> Result<(), CatalogError> {
        self.execute(
            "record a copy's success",
            "UPDATE place SET reached_at = ?2 WHERE id = ?1",
            params![place, at.to_string()],
        )
    }

    /// What a copy has of archives, by id.
    pub fn placed(&self, place: i64) -> Result<Vec<PlacedRow>, CatalogError> {
        self.select(
            "read what a copy has",
            "SELECT archive, copied_at, verified_at, damaged_at, storage_class FROM placed
             WHERE place = ?1 ORDER BY archive",
            [place],
            PlacedRow::read,
        )
    }

    /// Records that the copying of an archive begins.
    pub fn begin_placed(
        &mut self,
        place: i64,
        archive: &ArchiveId,
        class: Option<StorageClass>,
    ) -> Result<(), CatalogError> {
        self.execute(
            "record that an archive is being copied",
            "INSERT INTO placed (place, archive, storage_class) VALUES (?1, ?2, ?3)
             ON CONFLICT (place, archive) DO UPDATE SET storage_class = coalesce(?3, storage_class)",
            params![place, archive.to_string(), class.map(StorageClass::as_str)],
        )
    }

    /// Records segments that a copy has: index and locator.
    pub fn place_segments(
        &mut self,
        place: i64,
        archive: &ArchiveId,
        segments: &[(u32, String)],
    ) -> Result<(), CatalogError> {
        self.write("record copied segments", |transaction| {
            let mut insert = transaction.prepare_cached(
                "INSERT OR REPLACE INTO placed_segment (place, archive, idx, locator)
                 VALUES (?1, ?2, ?3, ?4)",
            )?;
            for (index, locator) in segments {
                insert.execute(params![place, archive.to_string(), index, locator])?;
            }
            Ok(())
        })
    }

    /// The segments of an archive that a copy has: index and locator.
    pub fn placed_segments(
        &self,
        place: i64,
        archive: &ArchiveId,
    ) -> Result<Vec<(u32, String)>, CatalogError> {
        self.select(
            "read which segments a copy has",
            "SELECT idx, locator FROM placed_segment WHERE place = ?1 AND archive = ?2 ORDER BY idx",
            params![place, archive.to_string()],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
    }

    /// Records that a copy has all of an archive.
    pub fn finish_placed(
        &mut self,
        place: i64,
        archive: &ArchiveId,
        at: Timestamp,
    ) -> Result<(), CatalogError> {
        self.execute(
            "record a copied archive",
            "UPDATE placed SET copied_at = coalesce(copied_at, ?3) WHERE place = ?1 AND archive = ?2",
            params![place, archive.to_string(), at.to_string()],
        )
    }

    /// Records that a copy may have only a part of an archive from here on: its objects are being deleted.
    pub fn reopen_placed(&mut self, place: i64, archive: &ArchiveId) -> Result<(), CatalogError> {
        self.write("record that a copied archive is being deleted", |transaction| {
            transaction.execute(
                "UPDATE placed SET copied_at = NULL, verified_at = NULL, contents = NULL WHERE place = ?1 AND archive = ?2",
                params![place, archive.to_string()],
            )?;
            transaction
                .execute(
                    "DELETE FROM placed_segment WHERE place = ?1 AND archive = ?2",
                    params![place, archive.to_string()],
                )
                .map(drop)
        })
    }

    /// Forgets that a copy has an archive: it was deleted there, or lacks its key.
    pub fn forget_placed(&mut self, place: i64, archive: &ArchiveId) -> Result<(), CatalogError> {
        self.write("forget a copied archive", |transaction| {
            for of_place in ["thaw", "verification", "placed_segment", "placed"] {
                transaction.execute(
                    &format!("DELETE FROM {of_place} WHERE place = ?1 AND archive = ?2"),
                    params![place, archive.to_string()],
                )?;
            }
            Ok(())
        })
    }

    /// Makes a copy the home: its URL is the source's from now on, and what is known of archives there replaces
    /// what was known of the old home, which is forgotten. Visible archives that the copy does not have count as
    /// damaged since `at`.
    pub fn make_home(&mut self, place: i64, at: Timestamp) -> Result<(), CatalogError> {
        self.write("make a copy the home", |transaction| {
            let ledger: String =
                transaction.query_row("SELECT ledger FROM place WHERE id = ?1", [place], |row| {
                    row.get(0)
                })?;
            transaction.execute(
                "UPDATE source SET store = (SELECT store FROM place WHERE id = ?1) WHERE ledger = ?2",
                params![place, ledger],
            )?;
            for of_archives in ["thaw", "verification"] {
                transaction.execute(
                    &format!(
                        "DELETE FROM {of_archives}
                         WHERE place = 0 AND archive IN (SELECT id FROM archive WHERE ledger = ?1)"
                    ),
                    [&ledger],
                )?;
                transaction.execute(
                    &format!("UPDATE {of_archives} SET place = 0 WHERE place = ?1"),
                    [place],
                )?;
            }
            transaction.execute(
                "UPDATE archive SET storage_class = placed.storage_class, verified_at = placed.verified_at,
                    damaged_at = iif(placed.copied_at IS NULL, ?3, placed.damaged_at)
                 FROM placed
                 WHERE placed.place = ?1 AND placed.archive = archive.id AND archive.ledger = ?2",
                params![place, ledger, at.to_string()],
            )?;
            transaction.execute(
                "UPDATE archive SET verified_at = NULL, damaged_at = ?3
                 WHERE ledger = ?2 AND state = 'committed'
                    AND id NOT IN (SELECT archive FROM placed WHERE place = ?1)",
                params![place, ledger, at.to_string()],
            )?;
            transaction.execute(
                "UPDATE segment SET locator = placed_segment.locator FROM placed_segment
                 WHERE placed_segment.place = ?1 AND placed_segment.archive = segment.archive
                    AND placed_segment.idx = segment.idx",
                [place],
            )?;
            // What the new home lacks is looked for by its key there, and not by its id in a vault.
            transaction.execute(
                "UPDATE segment SET locator = substr(locator, 1, instr(locator, '?') - 1)
                 WHERE locator LIKE '%?%?%'
                    AND archive IN (SELECT id FROM archive WHERE ledger = ?1)",
                [&ledger],
            )?;
            forget(transaction, place)
        })
    }
}

/// Deletes a copy's row, and everything that refers to it.
fn forget(transaction: &rusqlite::Transaction<'_>, place: i64) -> rusqlite::Result<()> {
    for of_place in ["thaw", "verification", "placed_segment", "placed"] {
        transaction.execute(&format!("DELETE FROM {of_place} WHERE place = ?1"), [place])?;
    }
    transaction
        .execute("DELETE FROM place WHERE id = ?1", [place])
        .map(drop)
}
