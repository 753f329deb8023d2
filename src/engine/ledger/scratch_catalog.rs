//! A copy in memory of what the catalog knows of a source. A dry run brings the copy up to the ledger's head
//! and plans with it, so the real catalog does not change.

use crate::catalog::Catalog;
use crate::engine::context::open_source::OpenSource;
use crate::engine::ledger::sync::write_absorbed;
use crate::error::Error;
use crate::ledger::{Absorbed, LedgerError, decode_body, split};

/// Copies a source's ledger with the effects of all its entries. Does not copy attempts, because the ledger
/// does not name them. Copies damage, because a listing may lack damaged objects.
pub(in crate::engine) fn rehearsal(
    source: &OpenSource<'_>,
    real: &Catalog,
) -> Result<Catalog, Error> {
    let ledger = &source.row.ledger;
    let mut copy = Catalog::in_memory()?;
    copy.accept_lost_links()?;
    copy.add_source(&source.row)?;
    for (seq, reason) in real.quarantined(ledger)? {
        copy.quarantine(ledger, seq, &reason)?;
    }
    // An entry whose PUT was not answered is left out: if the store has it, it is read like any other entry.
    for entry in real.entries(ledger)?.iter().filter(|it| it.committed) {
        let (body, _) = split(&entry.object).map_err(LedgerError::from)?;
        let absorbed = Absorbed {
            entry: decode_body(body).map_err(LedgerError::from)?,
            hash: entry.hash,
            warnings: Vec::new(),
            lost: None,
        };
        write_absorbed(source, &mut copy, entry.seq, &entry.object, &absorbed)?;
    }
    for row in real.archives(ledger)? {
        if let Some(at) = row.damaged_at {
            copy.archive_damaged(&row.id, at)?;
        }
    }
    Ok(copy)
}
