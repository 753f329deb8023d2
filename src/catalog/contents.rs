//! The contents of archives: which objects each has.

use std::collections::BTreeSet;

use rusqlite::{Row, Transaction, params};

use super::Catalog;
use super::error::{CatalogError, parsed};
use crate::model::entry::{ArchiveEntry, Attachment};
use crate::model::{
    ArchiveId, ContentsRecord, LedgerId, NamedContents, SegmentRecord, counting_contents,
};

/// The number that the contents of an attempt have in place of an entry's.
pub(super) const OF_ATTEMPT: u64 = 0;

impl Catalog {
    /// Returns the contents of an archive or attempt that count; `None` if it has none.
    pub fn contents(&self, archive: &ArchiveId) -> Result<Option<ContentsRecord>, CatalogError> {
        let Some(entry) = self.contents_entry(archive)? else {
            return Ok(None);
        };
        let rows = self.select(
            "read an archive's contents",
            "SELECT * FROM contents WHERE archive = ?1 AND entry = ?2 ORDER BY idx",
            params![archive.to_string(), entry],
            |row| Ok((row.get::<_, u64>("stream_bytes")?, record(row)?)),
        )?;
        Ok(rows.first().map(|(stream_bytes, _)| ContentsRecord {
            stream_bytes: *stream_bytes,
            objects: rows.iter().map(|(_, record)| *record).collect(),
        }))
    }

    /// Returns the number of the entry that names the contents of an archive that count; `None` if it has none.
    pub fn contents_entry(&self, archive: &ArchiveId) -> Result<Option<u64>, CatalogError> {
        let named = self.select(
            "find an archive's contents",
            "SELECT DISTINCT entry, replaces FROM contents WHERE archive = ?1 ORDER BY entry",
            [archive.to_string()],
            named,
        )?;
        Ok(counting_contents(named).pop())
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

    /// Returns the archives whose contents a copy has, as they are now.
    pub fn placed_contents(&self, place: i64) -> Result<Vec<ArchiveId>, CatalogError> {
        let placed: Vec<(ArchiveId, u64)> = self.select(
            "read which contents a copy has",
            "SELECT archive, contents FROM placed WHERE place = ?1 AND contents IS NOT NULL",
            [place],
            |row| Ok((parsed(row, "archive")?, row.get("contents")?)),
        )?;
        let mut current = Vec::new();
        for (archive, entry) in placed {
            if self.contents_entry(&archive)? == Some(entry) {
                current.push(archive);
            }
        }
        Ok(current)
    }

    /// Records that a copy has the contents of an archive.
    pub fn place_contents(&mut self, place: i64, archive: &ArchiveId) -> Result<(), CatalogError> {
        let entry = self.contents_entry(archive)?;
        self.execute(
            "record copied contents",
            "UPDATE placed SET contents = ?3 WHERE place = ?1 AND archive = ?2",
            params![place, archive.to_string(), entry],
        )
    }

    /// Returns the bytes that the contents of a ledger's committed archives take as stored, by archive: of those that
    /// count.
    pub fn contents_bytes(&self, ledger: &LedgerId) -> Result<Vec<(ArchiveId, u64)>, CatalogError> {
        let all: Vec<(ArchiveId, NamedContents, u64)> = self.select(
            "read how long contents are",
            "SELECT contents.archive, contents.entry, contents.replaces, sum(contents.sealed_bytes) AS bytes
             FROM contents JOIN archive ON archive.id = contents.archive
             WHERE archive.ledger = ?1
             GROUP BY contents.archive, contents.entry, contents.replaces
             ORDER BY contents.archive, contents.entry",
            [ledger.to_string()],
            |row| Ok((parsed(row, "archive")?, named(row)?, row.get("bytes")?)),
        )?;
        let of_one = all.chunk_by(|(one, _, _), (next, _, _)| one == next);
        let counting = of_one.filter_map(|of_one| {
            let entry = counting_contents(of_one.iter().map(|(_, named, _)| *named)).pop()?;
            let counts = |(_, named, _): &&(ArchiveId, NamedContents, u64)| named.entry == entry;
            let (archive, _, bytes) = of_one.iter().find(counts)?;
            Some((*archive, *bytes))
        });
        Ok(counting.collect())
    }
}

fn named(row: &Row<'_>) -> rusqlite::Result<NamedContents> {
    Ok(NamedContents {
        entry: row.get("entry")?,
        replaces: row.get("replaces")?,
    })
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
        Some(contents) => write(transaction, (seq, None), archive, contents),
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
        let named = (seq, object.replaces);
        write(transaction, named, &object.archive, contents)
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
    (seq, replaces): (u64, Option<u64>),
    archive: &ArchiveId,
    contents: &ContentsRecord,
) -> rusqlite::Result<()> {
    let mut insert = transaction.prepare_cached(
        "INSERT INTO contents (archive, entry, idx, stream_bytes, raw_bytes, sealed_bytes, sha256, replaces)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
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
            replaces,
        ])?;
    }
    Ok(())
}
