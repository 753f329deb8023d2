//! The catalog's copy of the ledger.

use rusqlite::{Transaction, params};

use super::Catalog;
use super::error::{CatalogError, Doing, parsed};
use crate::model::{LedgerId, Sha256};

/// An entry as it stands in the catalog.
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

pub(super) fn insert_entry(
    transaction: &Transaction<'_>,
    ledger: &LedgerId,
    entry: &NewEntry<'_>,
    state: &str,
) -> Result<(), CatalogError> {
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
        .doing("write a ledger entry")?;
    Ok(())
}

impl Catalog {
    /// A ledger's entries in order.
    pub fn entries(&self, ledger: &LedgerId) -> Result<Vec<EntryRow>, CatalogError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT * FROM entry WHERE ledger = ?1 ORDER BY seq")
            .doing("read the ledger's copy")?;
        let rows = statement
            .query_map([ledger.to_string()], |row| {
                Ok(EntryRow {
                    seq: row.get("seq")?,
                    hash: parsed(row, "hash")?,
                    object: row.get("object")?,
                    committed: row.get::<_, String>("state")? == "committed",
                })
            })
            .doing("read the ledger's copy")?;
        rows.collect::<Result<_, _>>()
            .doing("read the ledger's copy")
    }

    /// Numbers whose objects do not verify, and why.
    pub fn quarantined(&self, ledger: &LedgerId) -> Result<Vec<(u64, String)>, CatalogError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT seq, reason FROM quarantine WHERE ledger = ?1 ORDER BY seq")
            .doing("read the quarantine")?;
        let rows = statement
            .query_map([ledger.to_string()], |row| Ok((row.get(0)?, row.get(1)?)))
            .doing("read the quarantine")?;
        rows.collect::<Result<_, _>>().doing("read the quarantine")
    }

    /// Records that the object of a number does not verify.
    pub fn quarantine(
        &mut self,
        ledger: &LedgerId,
        seq: u64,
        reason: &str,
    ) -> Result<(), CatalogError> {
        self.connection
            .execute(
                "INSERT OR REPLACE INTO quarantine (ledger, seq, reason) VALUES (?1, ?2, ?3)",
                params![ledger.to_string(), seq, reason],
            )
            .doing("record a quarantined entry")?;
        Ok(())
    }

    /// Writes an entry that carries no archive and is not in the store yet.
    pub fn begin_entry(
        &mut self,
        ledger: &LedgerId,
        entry: &NewEntry<'_>,
    ) -> Result<(), CatalogError> {
        let transaction = self
            .connection
            .transaction()
            .doing("write a ledger entry")?;
        insert_entry(&transaction, ledger, entry, "committing")?;
        transaction.commit().doing("write a ledger entry")
    }
}
