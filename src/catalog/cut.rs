//! Takes entries back that the new home of a ledger does not have: the old home was lost with them.

use rusqlite::{Transaction, params};

use super::Catalog;
use super::archives::ArchiveRow;
use super::error::CatalogError;
use crate::model::{ArchiveState, LedgerId};

impl Catalog {
    /// Forgets the entries of a ledger after number `after`, the archives that only they name, and attempts that build
    /// on those. The other archives get the state that the rows `as_of` say: it is what the entries up to `after` make
    /// of them.
    pub fn cut_ledger(
        &mut self,
        ledger: &LedgerId,
        after: u64,
        as_of: &[ArchiveRow],
    ) -> Result<(), CatalogError> {
        self.write("forget lost ledger entries", |transaction| {
            // A full and the incrementals on it are deleted one after the other.
            transaction.pragma_update(None, "defer_foreign_keys", true)?;
            for archive in named_after(transaction, ledger, after)? {
                for sql in [
                    "DELETE FROM verification WHERE archive = ?1",
                    "DELETE FROM segment WHERE archive = ?1",
                    "DELETE FROM contents WHERE archive = ?1",
                    "DELETE FROM archive WHERE id = ?1",
                ] {
                    transaction.execute(sql, [&archive])?;
                }
            }
            for sql in [
                "DELETE FROM contents WHERE entry > ?2
                    AND archive IN (SELECT id FROM archive WHERE ledger = ?1)",
                "DELETE FROM entry WHERE ledger = ?1 AND seq > ?2",
                "DELETE FROM quarantine WHERE ledger = ?1 AND seq > ?2",
            ] {
                transaction.execute(sql, params![ledger.to_string(), after])?;
            }
            // A date has one visible archive at any moment, also between two statements.
            for state in [ArchiveState::Retired, ArchiveState::Committed] {
                for row in as_of.iter().filter(|row| row.state == state) {
                    transaction.execute(
                        "UPDATE archive SET verified_at = iif(state = ?3, verified_at, NULL), state = ?3,
                            deletion = ?4
                         WHERE ledger = ?1 AND id = ?2 AND state IN ('committed', 'retired')",
                        params![
                            ledger.to_string(),
                            row.id.to_string(),
                            state.as_str(),
                            row.deletion
                        ],
                    )?;
                }
            }
            Ok(())
        })
    }
}

/// Returns the archives that an entry after `after` names first, and everything that builds on them.
fn named_after(
    transaction: &Transaction<'_>,
    ledger: &LedgerId,
    after: u64,
) -> rusqlite::Result<Vec<String>> {
    let mut select = transaction.prepare(
        "WITH lost AS (SELECT id FROM archive WHERE ledger = ?1 AND seq > ?2)
         SELECT id FROM archive
         WHERE ledger = ?1 AND (seq > ?2 OR chain IN lost OR send_parent IN lost)",
    )?;
    let rows = select.query_map(params![ledger.to_string(), after], |row| row.get(0))?;
    rows.collect()
}
