//! The snapshots that coldchain uses on this machine. Only those that it made are ever deleted.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rusqlite::{Row, Transaction, params};

use super::Catalog;
use super::error::{CatalogError, parsed, parsed_or_null};
use crate::model::entry::Timestamp;
use crate::model::{ArchiveId, SnapshotName, SourceName, SubvolumeIdentity, Uuid};

/// A snapshot that exists or existed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotRow {
    /// The id of its row.
    pub id: i64,
    /// Its name.
    pub name: SnapshotName,
    /// When it was recorded.
    pub made_at: Timestamp,
    /// Where it was made.
    pub path: PathBuf,
    /// Its own uuid on this machine.
    pub local_uuid: Uuid,
    /// Its received uuid on this machine.
    pub local_received: Option<Uuid>,
    /// Its ctransid when it was recorded.
    pub local_ctransid: u64,
    /// The uuid of the subvolume that coldchain took it of; `None` if it is not known that coldchain did.
    pub local_parent: Option<Uuid>,
}

impl SnapshotRow {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get("id")?,
            name: parsed(row, "name")?,
            made_at: parsed(row, "made_at")?,
            path: PathBuf::from(OsStr::from_bytes(row.get_ref("path")?.as_bytes()?)),
            local_uuid: parsed(row, "local_uuid")?,
            local_received: parsed_or_null(row, "local_received")?,
            local_ctransid: row.get("local_ctransid")?,
            local_parent: parsed_or_null(row, "local_parent")?,
        })
    }

    /// Whether the subvolume at its path is still the same read-only one, but was changed after it was
    /// recorded.
    pub fn is_changed(&self, now: &SubvolumeIdentity) -> bool {
        now.uuid == self.local_uuid
            && now.read_only
            && now.received_uuid == self.local_received
            && now.ctransid > self.local_ctransid
    }

    /// Returns how the subvolume at its path differs from what was recorded; `None` if it does not.
    ///
    /// `generation` plays no part: a balance changes it.
    pub fn difference(&self, now: &SubvolumeIdentity) -> Option<String> {
        if now.uuid != self.local_uuid {
            Some(format!(
                "another subvolume is there, with uuid {}",
                now.uuid
            ))
        } else if !now.read_only {
            Some("it is not read-only any more".to_owned())
        } else if now.received_uuid != self.local_received {
            Some("its received uuid has changed".to_owned())
        } else if now.ctransid != self.local_ctransid {
            Some(format!(
                "its content was changed (ctransid {}, was {})",
                now.ctransid, self.local_ctransid
            ))
        } else {
            None
        }
    }
}

/// A snapshot to record.
#[derive(Debug, Clone)]
pub struct NewSnapshot<'a> {
    /// Its source.
    pub source: &'a SourceName,
    /// Its name.
    pub name: SnapshotName,
    /// Where it is. It has to be UTF-8: the column is text.
    pub path: &'a Path,
    /// Its identity, as btrfs reports it.
    pub identity: &'a SubvolumeIdentity,
    /// The uuid of the subvolume that coldchain took it of; `None` if it is not known that coldchain did.
    /// Then coldchain never deletes it, whatever btrfs says of its origin.
    pub taken_of: Option<Uuid>,
    /// When it was made.
    pub made_at: Timestamp,
}

impl NewSnapshot<'_> {
    /// Writes the row and returns its number. A row with this uuid is used again if its snapshot was found to
    /// be gone, or if it is another source's: no two sources in a config share a directory of snapshots.
    fn insert(&self, path: &str, transaction: &Transaction<'_>) -> rusqlite::Result<i64> {
        transaction.query_row(
            "INSERT INTO snapshot (source, date, path, local_uuid, local_received, local_ctransid,
                                   local_parent, made_at, name)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
             ON CONFLICT (local_uuid) DO UPDATE
             SET source = ?1, date = ?2, path = ?3, local_received = ?5, local_ctransid = ?6,
                 local_parent = ?7, made_at = ?8, name = ?9, deleted_at = NULL
             WHERE deleted_at IS NOT NULL OR source <> ?1
             RETURNING id",
            params![
                self.source.as_str(),
                self.name.date.to_string(),
                path,
                self.identity.uuid.to_string(),
                self.identity.received_uuid.map(|uuid| uuid.to_string()),
                self.identity.ctransid,
                self.taken_of.map(|uuid| uuid.to_string()),
                self.made_at.to_string(),
                self.name.to_string(),
            ],
            |row| row.get(0),
        )
    }
}

fn utf8(path: &Path) -> Result<&str, CatalogError> {
    path.to_str()
        .ok_or_else(|| CatalogError::Damaged(format!("the path {} is not UTF-8", path.display())))
}

impl Catalog {
    /// The snapshots of a source that have not been deleted, oldest first.
    pub fn snapshots(&self, source: &SourceName) -> Result<Vec<SnapshotRow>, CatalogError> {
        self.select(
            "read the snapshots",
            "SELECT * FROM snapshot WHERE source = ?1 AND deleted_at IS NULL ORDER BY name",
            [source.as_str()],
            SnapshotRow::read,
        )
    }

    /// The names of sources that have snapshots and no ledger: they keep snapshots alone.
    pub fn sources_of_snapshots_alone(&self) -> Result<Vec<SourceName>, CatalogError> {
        self.select(
            "read the sources of snapshots",
            "SELECT DISTINCT source FROM snapshot
             WHERE deleted_at IS NULL AND source NOT IN (SELECT name FROM source) ORDER BY source",
            [],
            |row| parsed(row, "source"),
        )
    }

    /// Gives the snapshots and warnings of one source to another. Where both have one of a name, that of `from` is
    /// recorded as deleted; it stays on disk.
    pub fn take_over_snapshots(
        &mut self,
        from: &SourceName,
        to: &SourceName,
    ) -> Result<(), CatalogError> {
        self.write("take over snapshots", |transaction| {
            for sql in [
                "UPDATE OR IGNORE snapshot SET source = ?2 WHERE source = ?1",
                "UPDATE snapshot SET source = ?2, deleted_at = made_at WHERE source = ?1",
                "UPDATE OR IGNORE told SET source = ?2 WHERE source = ?1",
                "DELETE FROM told WHERE source = ?1 AND ?1 <> ?2",
            ] {
                transaction.execute(sql, params![from.as_str(), to.as_str()])?;
            }
            Ok(())
        })
    }

    /// Takes over a snapshot of a source from another catalog, as it is recorded there. What has its name or uuid here
    /// stays as it is.
    pub fn take_over_snapshot(
        &mut self,
        source: &SourceName,
        row: &SnapshotRow,
    ) -> Result<(), CatalogError> {
        let path = utf8(&row.path)?;
        self.execute(
            "take over a snapshot",
            "INSERT OR IGNORE INTO snapshot (source, date, path, local_uuid, local_received, local_ctransid,
                                             local_parent, made_at, name)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            params![
                source.as_str(),
                row.name.date.to_string(),
                path,
                row.local_uuid.to_string(),
                row.local_received.map(|uuid| uuid.to_string()),
                row.local_ctransid,
                row.local_parent.map(|uuid| uuid.to_string()),
                row.made_at.to_string(),
                row.name.to_string(),
            ],
        )?;
        Ok(())
    }

    /// Returns the snapshot that has not been deleted and has that subvolume uuid, with its source.
    pub fn snapshot_that_is(
        &self,
        subvolume: Uuid,
    ) -> Result<Option<(SourceName, SnapshotRow)>, CatalogError> {
        let found = self.select(
            "read a snapshot",
            "SELECT * FROM snapshot WHERE local_uuid = ?1 AND deleted_at IS NULL",
            [subvolume.to_string()],
            |row| Ok((parsed(row, "source")?, SnapshotRow::read(row)?)),
        )?;
        Ok(found.into_iter().next())
    }

    /// The snapshot of a source with that uuid here, whether it was deleted or not.
    pub fn snapshot_of_uuid(
        &self,
        source: &SourceName,
        uuid: Uuid,
    ) -> Result<Option<SnapshotRow>, CatalogError> {
        let rows = self.select(
            "look for a snapshot by its uuid",
            "SELECT * FROM snapshot WHERE source = ?1 AND local_uuid = ?2",
            [source.as_str(), &uuid.to_string()],
            SnapshotRow::read,
        )?;
        Ok(rows.into_iter().next())
    }

    /// Records a snapshot, and returns its row. A snapshot that was found to be gone counts as existing
    /// again.
    pub fn add_snapshot(&mut self, new: &NewSnapshot<'_>) -> Result<SnapshotRow, CatalogError> {
        let path = utf8(new.path)?;
        let id = self.write("record a snapshot", |transaction| {
            new.insert(path, transaction)
        })?;
        Ok(SnapshotRow {
            id,
            name: new.name,
            made_at: new.made_at,
            path: new.path.to_owned(),
            local_uuid: new.identity.uuid,
            local_received: new.identity.received_uuid,
            local_ctransid: new.identity.ctransid,
            local_parent: new.taken_of,
        })
    }

    /// Records a restored subvolume as the snapshot of an archive, in the place of one that is gone.
    pub fn adopt_snapshot(
        &mut self,
        archive: &ArchiveId,
        new: &NewSnapshot<'_>,
        replaced: Option<i64>,
    ) -> Result<(), CatalogError> {
        let path = utf8(new.path)?;
        self.write("adopt a snapshot", |transaction| {
            transaction.execute(
                "UPDATE snapshot SET deleted_at = ?2 WHERE id = ?1",
                params![replaced, new.made_at.to_string()],
            )?;
            let id = new.insert(path, transaction)?;
            transaction.execute(
                "UPDATE archive SET snapshot = ?2 WHERE id = ?1",
                params![archive.to_string(), id],
            )?;
            Ok(())
        })
    }

    /// Records that a snapshot was deleted, or found to be gone.
    pub fn forget_snapshot(&mut self, id: i64, at: Timestamp) -> Result<(), CatalogError> {
        self.execute(
            "record a deleted snapshot",
            "UPDATE snapshot SET deleted_at = ?2 WHERE id = ?1",
            params![id, at.to_string()],
        )
    }
}
