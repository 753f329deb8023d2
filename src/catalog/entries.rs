//! The catalog's copy of the ledger.

use rusqlite::{Row, Transaction, params};

use super::Catalog;
use super::error::{CatalogError, parsed};
use crate::model::{LedgerId, Sha256};

/// An entry in the catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryRow {
    /// Its number.
    pub seq: u64,
    /// SHA-256 of its body line.
    pub hash: Sha256,
    /// Its object, byte for byte.
    pub object: Vec<u8>,
    /// Whether the store's answer to its PUT was seen.
    pub committed: bool,
}

/// An entry to be written.
#[derive(Debug, Clone)]
pub struct NewEntry<'a> {
    /// Its number.
    pub seq: u64,
    /// Its kind's name.
    pub kind: &'a str,
    /// SHA-256 of its body line.
    pub hash: Sha256,
    /// Its object, byte for byte.
    pub object: &'a [u8],
}

impl EntryRow {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            seq: row.get("seq")?,
            hash: parsed(row, "hash")?,
            object: row.get("object")?,
            committed: row.get::<_, String>("state")? == "committed",
        })
    }
}

pub(super) fn insert_entry(
    transaction: &Transaction<'_>,
    ledger: &LedgerId,
    entry: &NewEntry<'_>,
    state: &str,
) -> rusqlite::Result<()> {
    // The object that did not verify under that number was repaired or moved away.
    transaction.execute(
        "DELETE FROM quarantine WHERE ledger = ?1 AND seq = ?2",
        params![ledger.to_string(), entry.seq],
    )?;
    transaction
        .execute(
            "INSERT INTO entry (ledger, seq, kind, hash, object, state) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                ledger.to_string(),
                entry.seq,
                entry.kind,
                entry.hash.to_string(),
                entry.object,
                state
            ],
        )
        .map(drop)
}

impl Catalog {
    /// A ledger's entries in order.
    pub fn entries(&self, ledger: &LedgerId) -> Result<Vec<EntryRow>, CatalogError> {
        self.select(
            "read the ledger's copy",
            "SELECT * FROM entry WHERE ledger = ?1 ORDER BY seq",
            [ledger.to_string()],
            EntryRow::read,
        )
    }

    /// Returns whether the catalog has any entry of a ledger, also one that is only intended.
    pub fn has_entries(&self, ledger: &LedgerId) -> Result<bool, CatalogError> {
        let found = self.select(
            "look for an entry of a ledger",
            "SELECT 1 FROM entry WHERE ledger = ?1 LIMIT 1",
            [ledger.to_string()],
            |_| Ok(()),
        )?;
        Ok(!found.is_empty())
    }

    /// Returns the entries of one kind, in order.
    pub fn entries_of_kind(
        &self,
        ledger: &LedgerId,
        kind: &str,
    ) -> Result<Vec<EntryRow>, CatalogError> {
        self.select(
            "read the ledger's copy",
            "SELECT * FROM entry WHERE ledger = ?1 AND kind = ?2 ORDER BY seq",
            [ledger.to_string(), kind.to_owned()],
            EntryRow::read,
        )
    }

    /// Numbers whose objects do not verify, and why.
    pub fn quarantined(&self, ledger: &LedgerId) -> Result<Vec<(u64, String)>, CatalogError> {
        self.select(
            "read the quarantine",
            "SELECT seq, reason FROM quarantine WHERE ledger = ?1 ORDER BY seq",
            [ledger.to_string()],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
    }

    /// Records that the object of a number does not verify.
    pub fn quarantine(
        &mut self,
        ledger: &LedgerId,
        seq: u64,
        reason: &str,
    ) -> Result<(), CatalogError> {
        self.execute(
            "record a quarantined entry",
            "INSERT OR REPLACE INTO quarantine (ledger, seq, reason) VALUES (?1, ?2, ?3)",
            params![ledger.to_string(), seq, reason],
        )
    }

    /// Writes an entry that carries no archive and is not in the store yet.
    pub fn begin_entry(
        &mut self,
        ledger: &LedgerId,
        entry: &NewEntry<'_>,
    ) -> Result<(), CatalogError> {
        self.write("write a ledger entry", |transaction| {
            insert_entry(transaction, ledger, entry, "committing")
        })
    }
}
