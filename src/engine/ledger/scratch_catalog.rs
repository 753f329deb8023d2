//! A catalog in memory with what the real one knows of a source: a dry run brings it up to the
//! ledger's head, judges by it, and leaves the real one as it is.

use crate::catalog::Catalog;
use crate::engine::context::open_source::OpenSource;
use crate::engine::ledger::sync::write_absorbed;
use crate::error::Error;
use crate::ledger::{Absorbed, LedgerError, decode_body, split};

/// Copies a source's ledger with all that its entries did. Attempts are not copied: the ledger does
/// not speak of them. Damage is: a listing may lack what is damaged.
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
    // What was not answered is left out: if the store has it, it is read as anybody's entry is.
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
