//! The contents of archives: which objects each has.

use std::collections::BTreeSet;

use rusqlite::{Row, Transaction, params};

use super::Catalog;
use super::error::{CatalogError, parsed};
use crate::model::entry::{ArchiveEntry, Attachment};
use crate::model::{ArchiveId, ContentsRecord, LedgerId, SegmentRecord};

/// The number that the contents of an attempt have in place of an entry's.
pub(super) const OF_ATTEMPT: u64 = 0;

impl Catalog {
    /// Returns the contents of an archive or attempt: its own, or else the first that were attached; `None` if it has
    /// none.
    pub fn contents(&self, archive: &ArchiveId) -> Result<Option<ContentsRecord>, CatalogError> {
        let rows = self.select(
            "read an archive's contents",
            "SELECT * FROM contents WHERE archive = ?1
                AND entry = (SELECT min(entry) FROM contents WHERE archive = ?1) ORDER BY idx",
            [archive.to_string()],
            |row| Ok((row.get::<_, u64>("stream_bytes")?, record(row)?)),
        )?;
        Ok(rows.first().map(|(stream_bytes, _)| ContentsRecord {
            stream_bytes: *stream_bytes,
            objects: rows.iter().map(|(_, record)| *record).collect(),
        }))
    }

    /// Returns the number of the entry that names the contents of an archive; `None` if it has none.
    pub fn contents_entry(&self, archive: &ArchiveId) -> Result<Option<u64>, CatalogError> {
        let found = self.select(
            "find an archive's contents",
            "SELECT min(entry) FROM contents WHERE archive = ?1",
            [archive.to_string()],
            |row| row.get(0),
        )?;
        Ok(found.into_iter().next().flatten())
    }

    /// Returns which entries of a ledger name contents, each with its archive.
    pub fn contents_entries(
        &self,
        ledger: &LedgerId,
    ) -> Result<BTreeSet<(ArchiveId, u64)>, CatalogError> {
        let found = self.select(
            "read which entries name contents",
            "SELECT DISTINCT contents.archive, contents.entry FROM contents
                JOIN archive ON archive.id = contents.archive WHERE archive.ledger = ?1",
            [ledger.to_string()],
            |row| Ok((parsed(row, "archive")?, row.get("entry")?)),
        )?;
        Ok(found.into_iter().collect())
    }

    /// Takes over the contents in an entry that a version absorbed which knew of none: those of its own archive, if the
    /// catalog has that by this entry, and those that it attaches.
    pub fn take_contents(
        &mut self,
        ledger: &LedgerId,
        seq: u64,
        own: Option<&ArchiveEntry>,
        attached: &[Attachment],
    ) -> Result<(), CatalogError> {
        self.write("take over contents", |transaction| {
            if let Some(archive) = own {
                let is_here: bool = transaction.query_row(
                    "SELECT EXISTS (SELECT 1 FROM archive WHERE id = ?1 AND ledger = ?2 AND seq = ?3)",
                    params![archive.id.to_string(), ledger.to_string(), seq],
                    |row| row.get(0),
                )?;
                if is_here {
                    write_own(transaction, seq, &archive.id, archive.contents.as_ref())?;
                }
            }
            attached
                .iter()
                .filter(|object| object.what == Attachment::CONTENTS)
                .try_for_each(|object| write_attached(transaction, ledger, seq, object))
        })
    }

    /// Returns the archives of a ledger whose contents a copy has, as they are now.
    pub fn placed_contents(&self, place: i64) -> Result<Vec<ArchiveId>, CatalogError> {
        self.select(
            "read which contents a copy has",
            "SELECT archive FROM placed WHERE place = ?1 AND contents =
                (SELECT min(entry) FROM contents WHERE contents.archive = placed.archive)",
            [place],
            |row| parsed(row, "archive"),
        )
    }

    /// Records that a copy has the contents of an archive.
    pub fn place_contents(&mut self, place: i64, archive: &ArchiveId) -> Result<(), CatalogError> {
        self.execute(
            "record copied contents",
            "UPDATE placed SET contents = (SELECT min(entry) FROM contents WHERE archive = ?2)
             WHERE place = ?1 AND archive = ?2",
            params![place, archive.to_string()],
        )
    }

    /// Returns the bytes that the contents of a ledger's committed archives take as stored, by archive.
    pub fn contents_bytes(&self, ledger: &LedgerId) -> Result<Vec<(ArchiveId, u64)>, CatalogError> {
        self.select(
            "read how long contents are",
            "SELECT contents.archive, sum(contents.sealed_bytes) FROM contents
                JOIN archive ON archive.id = contents.archive
             WHERE archive.ledger = ?1 AND contents.entry = (
                SELECT min(entry) FROM contents AS others WHERE others.archive = contents.archive)
             GROUP BY contents.archive ORDER BY contents.archive",
            [ledger.to_string()],
            |row| Ok((parsed(row, "archive")?, row.get(1)?)),
        )
    }
}

fn record(row: &Row<'_>) -> rusqlite::Result<SegmentRecord> {
    Ok(SegmentRecord {
        raw_bytes: row.get("raw_bytes")?,
        sealed_bytes: row.get("sealed_bytes")?,
        sha256: parsed(row, "sha256")?,
    })
}

/// Writes the contents that an archive's own entry names, in place of those of the attempt.
pub(super) fn write_own(
    transaction: &Transaction<'_>,
    seq: u64,
    archive: &ArchiveId,
    contents: Option<&ContentsRecord>,
) -> rusqlite::Result<()> {
    transaction.execute(
        "DELETE FROM contents WHERE archive = ?1 AND entry IN (?2, ?3)",
        params![archive.to_string(), OF_ATTEMPT, seq],
    )?;
    match contents {
        Some(contents) => write(transaction, seq, archive, contents),
        None => Ok(()),
    }
}

/// Writes the contents that an entry attaches to an archive. They do not count if they are sealed for others than the
/// archive, or if the catalog does not have it.
pub(super) fn write_attached(
    transaction: &Transaction<'_>,
    ledger: &LedgerId,
    seq: u64,
    object: &Attachment,
) -> rusqlite::Result<()> {
    let Some(contents) = &object.contents else {
        return Ok(());
    };
    let fits: bool = transaction.query_row(
        "SELECT EXISTS (SELECT 1 FROM archive WHERE id = ?1 AND ledger = ?2 AND recipients = ?3
            AND state IN ('committed', 'retired'))",
        params![
            object.archive.to_string(),
            ledger.to_string(),
            object.recipients.to_string()
        ],
        |row| row.get(0),
    )?;
    let is_known: bool = transaction.query_row(
        "SELECT EXISTS (SELECT 1 FROM contents WHERE archive = ?1 AND entry = ?2)",
        params![object.archive.to_string(), seq],
        |row| row.get(0),
    )?;
    // Of several in one entry the first counts.
    if fits && !is_known {
        write(transaction, seq, &object.archive, contents)
    } else {
        Ok(())
    }
}

/// Removes what these entries of a ledger attach.
pub(super) fn void(
    transaction: &Transaction<'_>,
    ledger: &LedgerId,
    voids: &[u64],
) -> rusqlite::Result<()> {
    for seq in voids {
        transaction.execute(
            "DELETE FROM contents WHERE entry = ?2
                AND archive IN (SELECT id FROM archive WHERE ledger = ?1 AND seq <> ?2)",
            params![ledger.to_string(), seq],
        )?;
    }
    Ok(())
}

fn write(
    transaction: &Transaction<'_>,
    seq: u64,
    archive: &ArchiveId,
    contents: &ContentsRecord,
) -> rusqlite::Result<()> {
    let mut insert = transaction.prepare_cached(
        "INSERT INTO contents (archive, entry, idx, stream_bytes, raw_bytes, sealed_bytes, sha256)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    for (index, object) in contents.objects.iter().enumerate() {
        insert.execute(params![
            archive.to_string(),
            seq,
            index,
            contents.stream_bytes,
            object.raw_bytes,
            object.sealed_bytes,
            object.sha256.to_string(),
        ])?;
    }
    Ok(())
}
