//! Archives of another tool: what was imported of its database, and what became of each.

use chrono::NaiveDate;
use rusqlite::{Row, params};

use super::Catalog;
use super::error::{CatalogError, parsed, parsed_or_null};
use crate::model::entry::Timestamp;
use crate::model::{SourceName, Uuid, VaultArchiveId};

/// The archives of another tool that were imported together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportedRow {
    /// Their name.
    pub name: SourceName,
    /// The name of the vault's store in the config.
    pub store: String,
    /// The vault's name.
    pub vault: String,
    /// Its region.
    pub region: String,
    /// When they were last imported.
    pub imported_at: Timestamp,
}

/// What is known of an imported archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportedState {
    /// It was never restored: the other tool may have stored something that can't be.
    Unproven,
    /// It was decrypted, and received or written out whole.
    Proven,
    /// It was fetched whole, and can't be restored.
    Damaged,
    /// The vault has deleted it.
    Deleted,
}

impl ImportedState {
    const NAMES: [(&'static str, Self); 4] = [
        ("unproven", Self::Unproven),
        ("proven", Self::Proven),
        ("damaged", Self::Damaged),
        ("deleted", Self::Deleted),
    ];

    /// Its name, on which other programs rely.
    pub fn as_str(self) -> &'static str {
        let found = Self::NAMES.iter().find(|(_, state)| *state == self);
        found.expect("each has a name").0
    }

    fn named(name: &str) -> Option<Self> {
        let found = Self::NAMES.iter().find(|(known, _)| *known == name);
        found.map(|(_, state)| *state)
    }
}

/// An imported archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportedArchiveRow {
    /// Its date, which names it.
    pub date: NaiveDate,
    /// The id of its row in the other tool's database.
    pub number: i64,
    /// The vault's id of it.
    pub vault_id: VaultArchiveId,
    /// Its bytes in the vault.
    pub bytes: u64,
    /// The date of its send parent; `None` for a full.
    pub parent: Option<NaiveDate>,
    /// What is known of it.
    pub state: ImportedState,
    /// Since when; `None` if it was never tried.
    pub state_at: Option<Timestamp>,
    /// What is wrong with it.
    pub fault: Option<String>,
    /// The uuid in its send stream; `None` until one was seen.
    pub stream_uuid: Option<Uuid>,
}

impl ImportedRow {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            name: parsed(row, "name")?,
            store: row.get("store")?,
            vault: row.get("vault")?,
            region: row.get("region")?,
            imported_at: parsed(row, "imported_at")?,
        })
    }
}

impl ImportedArchiveRow {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let state: String = row.get("state")?;
        Ok(Self {
            date: parsed(row, "date")?,
            number: row.get("number")?,
            vault_id: parsed(row, "vault_id")?,
            bytes: row.get("bytes")?,
            parent: parsed_or_null(row, "parent")?,
            // The table's CHECK allows no other.
            state: ImportedState::named(&state).unwrap_or(ImportedState::Unproven),
            state_at: parsed_or_null(row, "state_at")?,
            fault: row.get("fault")?,
            stream_uuid: parsed_or_null(row, "stream_uuid")?,
        })
    }
}

impl Catalog {
    /// Everything that was imported, by name.
    pub fn imported(&self) -> Result<Vec<ImportedRow>, CatalogError> {
        self.select(
            "read what was imported",
            "SELECT * FROM imported ORDER BY name",
            [],
            ImportedRow::read,
        )
    }

    /// The archives that were imported by this name, by date, with those that are deleted.
    pub fn imported_archives(
        &self,
        name: &SourceName,
    ) -> Result<Vec<ImportedArchiveRow>, CatalogError> {
        self.select(
            "read imported archives",
            "SELECT * FROM imported_archive WHERE imported = ?1 ORDER BY date",
            [name.as_str()],
            ImportedArchiveRow::read,
        )
    }

    /// Records what was imported, all of it or nothing. Archives that are known stay as they are.
    pub fn import(
        &mut self,
        row: &ImportedRow,
        archives: &[ImportedArchiveRow],
    ) -> Result<(), CatalogError> {
        self.write("record imported archives", |transaction| {
            transaction.execute(
                "INSERT INTO imported (name, store, vault, region, imported_at) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (name) DO UPDATE SET store = ?2, imported_at = ?5",
                params![
                    row.name.as_str(),
                    row.store,
                    row.vault,
                    row.region,
                    row.imported_at.to_string(),
                ],
            )?;
            for archive in archives {
                transaction.execute(
                    "INSERT INTO imported_archive (imported, date, number, vault_id, bytes, parent, state, state_at, fault,
                                                   stream_uuid)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
                    params![
                        row.name.as_str(),
                        archive.date.to_string(),
                        archive.number,
                        archive.vault_id.as_str(),
                        archive.bytes,
                        archive.parent.map(|date| date.to_string()),
                        archive.state.as_str(),
                        archive.state_at.map(|at| at.to_string()),
                        archive.fault,
                        archive.stream_uuid.map(|uuid| uuid.to_string()),
                    ],
                )?;
            }
            Ok(())
        })
    }

    /// Records the uuid in the send stream of an imported archive, before it is received.
    pub fn imported_stream(
        &mut self,
        name: &SourceName,
        date: NaiveDate,
        uuid: Uuid,
    ) -> Result<(), CatalogError> {
        self.execute(
            "record the stream of an imported archive",
            "UPDATE imported_archive SET stream_uuid = ?3 WHERE imported = ?1 AND date = ?2",
            params![name.as_str(), date.to_string(), uuid.to_string()],
        )
    }

    /// Records what became of an imported archive.
    pub fn imported_is(
        &mut self,
        name: &SourceName,
        date: NaiveDate,
        state: ImportedState,
        fault: Option<&str>,
        at: Timestamp,
    ) -> Result<(), CatalogError> {
        self.execute(
            "record what became of an imported archive",
            "UPDATE imported_archive SET state = ?3, fault = ?4, state_at = ?5 WHERE imported = ?1 AND date = ?2",
            params![
                name.as_str(),
                date.to_string(),
                state.as_str(),
                fault,
                at.to_string(),
            ],
        )
    }

    /// Forgets what was imported by this name.
    pub fn forget_imported(&mut self, name: &SourceName) -> Result<(), CatalogError> {
        self.write("forget imported archives", |transaction| {
            transaction.execute(
                "DELETE FROM imported_archive WHERE imported = ?1",
                [name.as_str()],
            )?;
            transaction
                .execute("DELETE FROM imported WHERE name = ?1", [name.as_str()])
                .map(drop)
        })
    }
}
