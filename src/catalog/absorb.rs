//! Takes ledger entries over into the catalog, with what they do to archives.

use rusqlite::{Transaction, params};

use super::Catalog;
use super::attempts::take_back;
use super::contents::{void, write_attached, write_own};
use super::entries::{NewEntry, insert_entry};
use super::error::CatalogError;
use crate::model::entry::{ArchiveEntry, Attachment, Timestamp};
use crate::model::{ArchiveId, LedgerId};

/// What an entry does to the archives.
#[derive(Debug, Clone, Copy)]
pub enum Effect<'a> {
    /// Nothing.
    None,
    /// It commits an archive.
    Archive {
        /// What the entry says of the archive.
        entry: &'a ArchiveEntry,
        /// The store's locator of each segment, in order.
        locators: &'a [String],
    },
    /// It retires these ids. A committed archive becomes retired; an unfinished attempt of this machine
    /// becomes abandoned. An id that the catalog does not have is an attempt of another machine.
    Retire(&'a [ArchiveId]),
    /// It makes these visible again. They are unverified until a listing shows them whole.
    Revive(&'a [ArchiveId]),
    /// It says that the objects of these are being deleted. If the entry that retired them is lost, it
    /// retires them too.
    Delete(&'a [ArchiveId]),
    /// The root key retires some archives and makes others visible again, even if their deletion had begun.
    Undo {
        /// The archives that it retires.
        retires: &'a [ArchiveId],
        /// The archives that it makes visible again.
        revives: &'a [ArchiveId],
        /// The numbers of entries that it voids: what they attach is gone.
        voids: &'a [u64],
    },
    /// It attaches contents to archives, and other things that the catalog does not keep.
    Attach(&'a [Attachment]),
}

impl Catalog {
    /// Takes over an entry that was found in the store and verified, with its effect. If this machine wrote
    /// it and never got the store's answer, its attempt becomes committed. An attempt that wanted the same
    /// number for its own entry becomes unfinished again.
    pub fn absorb(
        &mut self,
        ledger: &LedgerId,
        entry: &NewEntry<'_>,
        made_at: Timestamp,
        effect: Effect<'_>,
    ) -> Result<(), CatalogError> {
        if let Effect::Archive { entry, .. } = effect
            && self.is_of_other_ledger(ledger, &entry.id)?
        {
            return Err(CatalogError::OtherLedgers { archive: entry.id });
        }
        self.write("absorb a ledger entry", |transaction| {
            take_back(transaction, ledger, entry.seq)?;
            insert_entry(transaction, ledger, entry, "committed")?;
            match effect {
                Effect::None => Ok(()),
                Effect::Archive {
                    entry: archive,
                    locators,
                } => {
                    write_archive(transaction, ledger, entry.seq, made_at, archive)?;
                    write_segments(transaction, archive, locators)?;
                    let contents = archive.contents.as_ref();
                    write_own(transaction, entry.seq, &archive.id, contents)?;
                    link_snapshot(transaction, ledger, archive)
                }
                Effect::Retire(archives) => archives
                    .iter()
                    .try_for_each(|archive| retire(transaction, ledger, archive)),
                Effect::Revive(archives) => archives
                    .iter()
                    .try_for_each(|archive| revive(transaction, ledger, archive)),
                Effect::Undo {
                    retires,
                    revives,
                    voids,
                } => {
                    void(transaction, ledger, voids)?;
                    let mut retires = retires.iter();
                    retires.try_for_each(|archive| retire(transaction, ledger, archive))?;
                    let mut revives = revives.iter();
                    revives.try_for_each(|archive| revive(transaction, ledger, archive))
                }
                Effect::Attach(objects) => objects
                    .iter()
                    .filter(|object| object.what == Attachment::CONTENTS)
                    .try_for_each(|object| write_attached(transaction, ledger, entry.seq, object)),
                Effect::Delete(archives) => archives.iter().try_for_each(|archive| {
                    retire(transaction, ledger, archive)?;
                    begin_deletion(transaction, ledger, archive, entry.seq)
                }),
            }
        })
    }
}

impl Catalog {
    /// Whether that archive belongs to another ledger in the catalog. An id is unique in the whole catalog:
    /// no ledger may claim an archive of another.
    pub fn is_of_other_ledger(
        &self,
        ledger: &LedgerId,
        archive: &ArchiveId,
    ) -> Result<bool, CatalogError> {
        let owners: Vec<String> = self.select(
            "find the ledger of an archive",
            "SELECT ledger FROM archive WHERE id = ?1",
            [archive.to_string()],
            |row| row.get(0),
        )?;
        Ok(owners.iter().any(|owner| *owner != ledger.to_string()))
    }
}

/// Writes an archive with the values of its entry.
fn write_archive(
    transaction: &Transaction<'_>,
    ledger: &LedgerId,
    seq: u64,
    made_at: Timestamp,
    archive: &ArchiveEntry,
) -> rusqlite::Result<()> {
    transaction
        .execute(
            "INSERT INTO archive (id, ledger, seq, date, slot, kind, chain, send_parent, state, stream_uuid,
                stream_ctransid, send_parent_uuid, raw_bytes, sealed_bytes, protocol, kernel, btrfs_progs,
                segment_size, frame_size, recipients, begun_at, compressed_data)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 'committed', ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17,
                ?18, ?19, ?20, ?21)
             ON CONFLICT (id) DO UPDATE SET state = 'committed', seq = ?3, archive_key = NULL,
                sealed_key = NULL, stream_uuid = ?9, stream_ctransid = ?10, send_parent_uuid = ?11,
                raw_bytes = ?12, sealed_bytes = ?13, protocol = ?14, kernel = ?15, btrfs_progs = ?16,
                compressed_data = ?21
             WHERE archive.ledger = excluded.ledger",
            params![
                archive.id.to_string(),
                ledger.to_string(),
                seq,
                archive.date.to_string(),
                archive.slot.to_string(),
                archive.kind.as_str(),
                archive.chain.to_string(),
                archive.send_parent.map(|id| id.to_string()),
                archive.stream_uuid.to_string(),
                archive.stream_ctransid,
                archive.send_parent_uuid.map(|uuid| uuid.to_string()),
                archive.raw_bytes,
                archive.sealed_bytes,
                archive.protocol,
                archive.kernel,
                archive.btrfs_progs,
                archive.segment_size,
                archive.frame_size,
                archive.recipients.to_string(),
                made_at.to_string(),
                archive.compressed_data,
            ],
        )
        .and_then(|rows| match rows {
            // Since `is_of_other_ledger` looked, a run has written this id for another ledger.
            0 => Err(rusqlite::Error::StatementChangedRows(0)),
            _ => Ok(()),
        })
}

/// Writes the segments of an archive's entry, and deletes further ones that an earlier stream had.
fn write_segments(
    transaction: &Transaction<'_>,
    archive: &ArchiveEntry,
    locators: &[String],
) -> rusqlite::Result<()> {
    for (index, (record, locator)) in archive.segments.iter().zip(locators).enumerate() {
        transaction
            .execute(
                "INSERT INTO segment (archive, idx, raw_bytes, sealed_bytes, sha256, locator, state)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'stored')
                 ON CONFLICT (archive, idx) DO UPDATE SET raw_bytes = ?3, sealed_bytes = ?4,
                    raw_blake3 = iif(sha256 = ?5, raw_blake3, NULL), sha256 = ?5, locator = ?6, state = 'stored',
                    layout = NULL",
                params![
                    archive.id.to_string(),
                    index,
                    record.raw_bytes,
                    record.sealed_bytes,
                    record.sha256.to_string(),
                    locator,
                ],
            )?;
    }
    transaction
        .execute(
            "DELETE FROM segment WHERE archive = ?1 AND idx >= ?2",
            params![archive.id.to_string(), archive.segments.len()],
        )
        .map(drop)
}

/// Links an archive to the snapshot that it was sent from, if that still exists here and there is no link
/// yet. The link pins the snapshot; without it the next archive would have to be a full.
fn link_snapshot(
    transaction: &Transaction<'_>,
    ledger: &LedgerId,
    archive: &ArchiveEntry,
) -> rusqlite::Result<()> {
    // The ctransid in the stream of a snapshot that was received is another machine's.
    transaction
        .execute(
            "UPDATE archive SET snapshot = (
                SELECT snapshot.id FROM snapshot JOIN source ON source.name = snapshot.source
                WHERE source.ledger = ?2 AND deleted_at IS NULL
                    AND coalesce(local_received, local_uuid) = ?3
                    AND (local_received IS NOT NULL OR local_ctransid = ?4)
                ORDER BY snapshot.id LIMIT 1)
             WHERE id = ?1 AND snapshot IS NULL",
            params![
                archive.id.to_string(),
                ledger.to_string(),
                archive.stream_uuid.to_string(),
                archive.stream_ctransid,
            ],
        )
        .map(drop)
}

fn retire(
    transaction: &Transaction<'_>,
    ledger: &LedgerId,
    archive: &ArchiveId,
) -> rusqlite::Result<()> {
    transaction
        .execute(
            "UPDATE archive SET state = iif(state = 'committed', 'retired', 'abandoned'),
                archive_key = NULL, sealed_key = NULL
             WHERE ledger = ?1 AND id = ?2 AND state IN ('committed', 'unfinished')",
            params![ledger.to_string(), archive.to_string()],
        )
        .map(drop)
}

fn revive(
    transaction: &Transaction<'_>,
    ledger: &LedgerId,
    archive: &ArchiveId,
) -> rusqlite::Result<()> {
    // Checks from before it was retired no longer count, unless they found damage.
    transaction.execute(
        "DELETE FROM verification WHERE archive = ?1 AND outcome <> 'damaged'",
        [archive.to_string()],
    )?;
    transaction.execute(
        "UPDATE placed SET verified_at = NULL WHERE archive = ?1",
        [archive.to_string()],
    )?;
    transaction
        .execute(
            "UPDATE archive SET state = 'committed', verified_at = NULL, deletion = NULL
             WHERE ledger = ?1 AND id = ?2 AND state = 'retired'",
            params![ledger.to_string(), archive.to_string()],
        )
        .map(drop)
}

fn begin_deletion(
    transaction: &Transaction<'_>,
    ledger: &LedgerId,
    archive: &ArchiveId,
    seq: u64,
) -> rusqlite::Result<()> {
    transaction
        .execute(
            "UPDATE archive SET deletion = ?3 WHERE ledger = ?1 AND id = ?2 AND state = 'retired'",
            params![ledger.to_string(), archive.to_string(), seq],
        )
        .map(drop)
}
