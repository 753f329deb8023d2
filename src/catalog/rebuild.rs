//! Makes a new catalog from the ledgers. It does not count until it is whole.

use std::fs::{File, OpenOptions};
use std::ops::{Deref, DerefMut};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, Transaction, params};

use super::Catalog;
use super::SourceRow;
use super::error::{CatalogError, Doing, parsed};
use super::places::HOME;
use super::verifications::{listed, record};
use crate::model::entry::{PrivateFacts, Timestamp};
use crate::model::{ArchiveId, LedgerId, Sha256, SourceName, StorageClass, VerifyOutcome};

/// A catalog under construction, in a file of its own.
///
/// It does not wait until its transactions are on disk, so that thousands of entries take only seconds. A run
/// that dies leaves a file that is never opened. [`finish`](Self::finish) makes all of it durable.
#[derive(Debug)]
pub struct NewCatalog {
    catalog: Catalog,
    path: PathBuf,
}

impl NewCatalog {
    /// Begins one at a path where no file may be yet (mode 0600).
    pub fn create(path: &Path) -> Result<Self, CatalogError> {
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(|source| CatalogError::File {
                path: path.to_owned(),
                source,
            })?;
        let mut catalog = Catalog::prepare(Connection::open(path).doing("begin a new catalog")?)?;
        catalog
            .connection
            .pragma_update(None, "synchronous", "OFF")
            .doing("set synchronous")?;
        catalog.accept_lost_links()?;
        Ok(Self {
            catalog,
            path: path.to_owned(),
        })
    }

    /// Closes it as one file, and makes that durable.
    pub fn finish(self) -> Result<(), CatalogError> {
        let path = self.path;
        self.catalog.close()?;
        File::open(&path)
            .and_then(|file| file.sync_all())
            .map_err(|source| CatalogError::File { path, source })
    }
}

impl Deref for NewCatalog {
    type Target = Catalog;

    fn deref(&self) -> &Catalog {
        &self.catalog
    }
}

impl DerefMut for NewCatalog {
    fn deref_mut(&mut self) -> &mut Catalog {
        &mut self.catalog
    }
}

impl Catalog {
    /// Accepts archives whose send parent or full is in a lost entry.
    pub fn accept_lost_links(&mut self) -> Result<(), CatalogError> {
        self.connection
            .pragma_update(None, "foreign_keys", "OFF")
            .doing("switch foreign keys off")
    }

    /// Writes the journal back into the file, and closes it.
    pub fn close(self) -> Result<(), CatalogError> {
        self.connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            .doing("write the journal back")?;
        self.connection
            .close()
            .map_err(|(_, error)| error)
            .doing("close the catalog")
    }

    /// Links every archive of a ledger to the snapshot here that it was sent from, if that still exists.
    pub fn link_snapshots(&mut self, ledger: &LedgerId) -> Result<usize, CatalogError> {
        self.write("tie archives to their snapshots", |transaction| {
            transaction.execute(
                // The ctransid in the stream of a snapshot that was received is another machine's.
                "UPDATE archive SET snapshot = (
                    SELECT snapshot.id FROM snapshot JOIN source ON source.name = snapshot.source
                    WHERE source.ledger = ?1 AND deleted_at IS NULL
                        AND coalesce(local_received, local_uuid) = archive.stream_uuid
                        AND (local_received IS NOT NULL OR local_ctransid = archive.stream_ctransid)
                    ORDER BY snapshot.id LIMIT 1)
                 WHERE ledger = ?1 AND snapshot IS NULL AND stream_uuid IN (
                    SELECT coalesce(local_received, local_uuid) FROM snapshot WHERE deleted_at IS NULL)",
                [ledger.to_string()],
            )
        })
    }

    /// Writes the private facts of an archive's entry.
    pub fn write_private(
        &mut self,
        archive: &ArchiveId,
        private: &PrivateFacts,
    ) -> Result<(), CatalogError> {
        self.write("write an archive's private facts", |transaction| {
            transaction.execute(
                "UPDATE archive SET raw_blake3 = ?2 WHERE id = ?1",
                params![archive.to_string(), private.raw_blake3.to_string()],
            )?;
            for (index, blake3) in private.segments_blake3.iter().enumerate() {
                transaction.execute(
                    "UPDATE segment SET raw_blake3 = ?3 WHERE archive = ?1 AND idx = ?2",
                    params![archive.to_string(), index, blake3.to_string()],
                )?;
            }
            Ok(())
        })
    }

    /// Writes what a listing showed of an archive: whether it is whole, and its storage class.
    pub fn write_listed(
        &mut self,
        archive: &ArchiveId,
        whole: bool,
        class: Option<StorageClass>,
        at: Timestamp,
    ) -> Result<(), CatalogError> {
        let outcome = if whole {
            VerifyOutcome::Sound
        } else {
            VerifyOutcome::Damaged
        };
        let place = self.place;
        self.write("record what a listing showed", |transaction| {
            set_class(transaction, place, archive, class)?;
            record(transaction, place, &listed(archive, outcome, at))
        })
    }

    /// Writes the storage class of an archive.
    pub fn write_class(
        &mut self,
        archive: &ArchiveId,
        class: StorageClass,
    ) -> Result<(), CatalogError> {
        let place = self.place;
        self.write("record a storage class", |transaction| {
            set_class(transaction, place, archive, Some(class))
        })
    }

    /// Deletes the quarantine of a source, and the source itself if its ledger has no entry.
    pub fn forget_source(&mut self, source: &SourceRow) -> Result<(), CatalogError> {
        self.write("forget a source", |transaction| {
            transaction.execute(
                "DELETE FROM quarantine WHERE ledger = ?1",
                [source.ledger.to_string()],
            )?;
            transaction.execute(
                "DELETE FROM source WHERE ledger = ?1 AND ledger NOT IN (SELECT ledger FROM entry)",
                [source.ledger.to_string()],
            )?;
            Ok(())
        })
    }

    /// Removes a source, with all that its ledger says.
    pub fn drop_source(
        &mut self,
        source: &SourceName,
        ledger: &LedgerId,
    ) -> Result<(), CatalogError> {
        self.write("take a source out", |transaction| {
            for of_archives in ["thaw", "verification", "placed_segment", "placed", "segment", "contents"] {
                transaction.execute(
                    &format!(
                        "DELETE FROM {of_archives} WHERE archive IN (SELECT id FROM archive WHERE ledger = ?1)"
                    ),
                    [ledger.to_string()],
                )?;
            }
            for of_ledger in ["place", "archive", "entry", "quarantine"] {
                transaction.execute(
                    &format!("DELETE FROM {of_ledger} WHERE ledger = ?1"),
                    [ledger.to_string()],
                )?;
            }
            for of_source in ["snapshot", "told"] {
                transaction.execute(
                    &format!("DELETE FROM {of_source} WHERE source = ?1"),
                    [source.as_str()],
                )?;
            }
            transaction
                .execute("DELETE FROM source WHERE ledger = ?1", [ledger.to_string()])
                .map(drop)
        })
    }

    /// Marks an archive as retired by a lost entry, because a later archive has its date.
    pub fn retire_unseen(&mut self, archive: &ArchiveId) -> Result<(), CatalogError> {
        self.execute(
            "note an archive as retired",
            "UPDATE archive SET state = 'retired' WHERE id = ?1 AND state = 'committed'",
            [archive.to_string()],
        )
    }

    /// The hash of an entry, if the catalog has it.
    pub fn entry_hash(&self, ledger: &LedgerId, seq: u64) -> Result<Option<Sha256>, CatalogError> {
        let found = self.select(
            "read an entry's hash",
            "SELECT hash FROM entry WHERE ledger = ?1 AND seq = ?2",
            params![ledger.to_string(), seq],
            |row| parsed(row, "hash"),
        )?;
        Ok(found.into_iter().next())
    }

    /// The newest committed entry of a ledger.
    pub fn head(&self, ledger: &LedgerId) -> Result<Option<(u64, Sha256)>, CatalogError> {
        let found = self.select(
            "read the newest entry's hash",
            "SELECT seq, hash FROM entry WHERE ledger = ?1 AND state = 'committed'
             ORDER BY seq DESC LIMIT 1",
            [ledger.to_string()],
            |row| Ok((row.get("seq")?, parsed(row, "hash")?)),
        )?;
        Ok(found.into_iter().next())
    }

    /// Returns what SQLite finds wrong with the file; empty if it is sound.
    pub fn faults(&self) -> Result<Vec<String>, CatalogError> {
        let mut faults = self.select("check the catalog", "PRAGMA integrity_check", [], |row| {
            row.get::<_, String>(0)
        })?;
        faults.retain(|line| line != "ok");
        Ok(faults)
    }
}

fn set_class(
    transaction: &Transaction<'_>,
    place: i64,
    archive: &ArchiveId,
    class: Option<StorageClass>,
) -> rusqlite::Result<()> {
    let sql = match place {
        HOME => "UPDATE archive SET storage_class = ?3 WHERE id = ?2 AND ?1 = 0",
        _ => "UPDATE placed SET storage_class = ?3 WHERE place = ?1 AND archive = ?2",
    };
    let class = class.map(StorageClass::as_str);
    transaction
        .execute(sql, params![place, archive.to_string(), class])
        .map(drop)
}
