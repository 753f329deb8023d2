//! Mirrors, and which snapshots they have. The mirror itself knows better: this is for pins, and for what a mirror that
//! is not attached can't say.

use rusqlite::{Row, params};

use super::Catalog;
use super::error::{CatalogError, parsed, parsed_or_null};
use crate::model::entry::Timestamp;
use crate::model::{LedgerId, MirrorLocation, SnapshotName, SourceName, Uuid};

/// A mirror of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MirrorRow {
    /// The number of its row.
    pub id: i64,
    /// The name of its directory at the mirror.
    pub source: SourceName,
    /// Where it is.
    pub location: MirrorLocation,
    /// The id in its mark; `None` until its first use.
    pub mark: Option<LedgerId>,
    /// The uuid of its filesystem; `None` until its first use.
    pub filesystem: Option<Uuid>,
    /// When it last had all that it has to have.
    pub reached_at: Option<Timestamp>,
    /// The uuid here of the snapshot that is being sent.
    pub sending: Option<Uuid>,
}

impl MirrorRow {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get("id")?,
            source: parsed(row, "source")?,
            location: parsed(row, "location")?,
            mark: parsed_or_null(row, "mark")?,
            filesystem: parsed_or_null(row, "filesystem")?,
            reached_at: parsed_or_null(row, "reached_at")?,
            sending: parsed_or_null(row, "sending")?,
        })
    }
}

/// A snapshot that a mirror has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MirroredRow {
    /// Its name.
    pub name: SnapshotName,
    /// The uuid in its stream, which both copies have.
    pub stream_uuid: Uuid,
    /// The uuid of the snapshot here.
    pub here_uuid: Uuid,
    /// Its ctransid here when it was sent.
    pub here_ctransid: u64,
    /// The uuid of the copy.
    pub there_uuid: Uuid,
    /// The copy's ctransid after its filesystem was synced.
    pub there_ctransid: u64,
    /// The stream uuid of what it was sent against; `None` for a full.
    pub built_on: Option<Uuid>,
    /// When it was whole there.
    pub mirrored_at: Timestamp,
}

impl MirroredRow {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            name: parsed(row, "name")?,
            stream_uuid: parsed(row, "stream_uuid")?,
            here_uuid: parsed(row, "here_uuid")?,
            here_ctransid: row.get("here_ctransid")?,
            there_uuid: parsed(row, "there_uuid")?,
            there_ctransid: row.get("there_ctransid")?,
            built_on: parsed_or_null(row, "built_on")?,
            mirrored_at: parsed(row, "mirrored_at")?,
        })
    }
}

impl Catalog {
    /// Every mirror that was ever used, by source and location.
    pub fn mirrors(&self) -> Result<Vec<MirrorRow>, CatalogError> {
        self.select(
            "read the mirrors",
            "SELECT * FROM mirror ORDER BY source, location",
            [],
            MirrorRow::read,
        )
    }

    /// The mirror of a source at that location, if it was ever used.
    pub fn mirror(
        &self,
        source: &SourceName,
        location: &MirrorLocation,
    ) -> Result<Option<MirrorRow>, CatalogError> {
        let rows = self.select(
            "read a mirror",
            "SELECT * FROM mirror WHERE source = ?1 AND location = ?2",
            [source.as_str(), &location.to_string()],
            MirrorRow::read,
        )?;
        Ok(rows.into_iter().next())
    }

    /// Records the mark and the filesystem of a mirror at its first use, and returns its row.
    pub fn know_mirror(
        &mut self,
        source: &SourceName,
        location: &MirrorLocation,
        mark: LedgerId,
        filesystem: Uuid,
    ) -> Result<MirrorRow, CatalogError> {
        self.execute(
            "record a mirror",
            "INSERT INTO mirror (source, location, mark, filesystem) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (source, location) DO UPDATE SET mark = ?3, filesystem = ?4",
            params![
                source.as_str(),
                location.to_string(),
                mark.to_string(),
                filesystem.to_string(),
            ],
        )?;
        self.mirror(source, location)?
            .ok_or_else(|| CatalogError::Damaged("a mirror's row is not there".to_owned()))
    }

    /// Records that a mirror has all that it has to have.
    pub fn mirror_reached(&mut self, mirror: i64, at: Timestamp) -> Result<(), CatalogError> {
        self.execute(
            "record a mirror's success",
            "UPDATE mirror SET reached_at = ?2, sending = NULL WHERE id = ?1",
            params![mirror, at.to_string()],
        )
    }

    /// Records which snapshot is being sent to a mirror, by its uuid here; `None` for none.
    pub fn mirror_sends(&mut self, mirror: i64, sending: Option<Uuid>) -> Result<(), CatalogError> {
        self.execute(
            "record what is sent to a mirror",
            "UPDATE mirror SET sending = ?2 WHERE id = ?1",
            params![mirror, sending.map(|uuid| uuid.to_string())],
        )
    }

    /// The snapshots that a mirror has, oldest first.
    pub fn mirrored(&self, mirror: i64) -> Result<Vec<MirroredRow>, CatalogError> {
        self.select(
            "read the snapshots of a mirror",
            "SELECT * FROM mirrored WHERE mirror = ?1 ORDER BY name",
            [mirror],
            MirroredRow::read,
        )
    }

    /// Records that a mirror has a snapshot.
    pub fn add_mirrored(&mut self, mirror: i64, row: &MirroredRow) -> Result<(), CatalogError> {
        self.execute(
            "record a mirrored snapshot",
            "INSERT OR REPLACE INTO mirrored (mirror, name, stream_uuid, here_uuid, here_ctransid, there_uuid,
                                              there_ctransid, built_on, mirrored_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            params![
                mirror,
                row.name.to_string(),
                row.stream_uuid.to_string(),
                row.here_uuid.to_string(),
                row.here_ctransid,
                row.there_uuid.to_string(),
                row.there_ctransid,
                row.built_on.map(|uuid| uuid.to_string()),
                row.mirrored_at.to_string(),
            ],
        )
    }

    /// Takes over a mirror from another catalog, with all that it has there.
    pub fn take_over_mirror(
        &mut self,
        row: &MirrorRow,
        mirrored: &[MirroredRow],
    ) -> Result<(), CatalogError> {
        self.execute(
            "take over a mirror",
            "INSERT INTO mirror (source, location, mark, filesystem, reached_at, sending)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                row.source.as_str(),
                row.location.to_string(),
                row.mark.map(|mark| mark.to_string()),
                row.filesystem.map(|uuid| uuid.to_string()),
                row.reached_at.map(|at| at.to_string()),
                row.sending.map(|uuid| uuid.to_string()),
            ],
        )?;
        if let Some(new) = self.mirror(&row.source, &row.location)? {
            for copy in mirrored {
                self.add_mirrored(new.id, copy)?;
            }
        }
        Ok(())
    }

    /// Forgets that a mirror has a snapshot.
    pub fn forget_mirrored(&mut self, mirror: i64, stream_uuid: Uuid) -> Result<(), CatalogError> {
        self.execute(
            "forget a mirrored snapshot",
            "DELETE FROM mirrored WHERE mirror = ?1 AND stream_uuid = ?2",
            params![mirror, stream_uuid.to_string()],
        )
    }

    /// Forgets a mirror, with all that it has.
    pub fn forget_mirror(&mut self, mirror: i64) -> Result<(), CatalogError> {
        self.execute(
            "forget a mirror",
            "DELETE FROM mirror WHERE id = ?1",
            [mirror],
        )
    }
}
