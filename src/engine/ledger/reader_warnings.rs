//! Warnings that every reader of a source gets each time. The catalog keeps them.

use std::collections::HashMap;

use crate::catalog::{Catalog, SourceRow};
use crate::error::{Error, LedgerStateError};
use crate::ledger::{PublicKey, Replay};
use crate::model::{ArchiveId, ArchiveState, SourceName};

/// No trusted root key vouches for the ledger.
const OWN_WORD: &str = "own word";

/// The ledger has entries that this version does not know.
const NEWER: &str = "newer ledger";

/// The ledger was read only up to an entry.
const AS_OF: &str = "as of";

/// Notes that a source's ledger was read only up to an entry.
pub(in crate::engine) fn remember_as_of(
    source: &SourceName,
    entry: u64,
    catalog: &mut Catalog,
) -> Result<(), Error> {
    let message = format!(
        "this catalog has its ledger only up to entry {entry}; it is only for restores, and nothing is written \
         with it"
    );
    catalog.tell(source, AS_OF, &message)?;
    Ok(())
}

/// Returns whether a source's ledger was read only up to an entry.
pub fn stands_as_of(source: &SourceName, catalog: &Catalog) -> Result<bool, Error> {
    Ok(catalog.told(source, AS_OF)?.is_some())
}

/// Notes that no trusted root key vouches for a source's ledger.
pub(in crate::engine) fn remember_own_word(
    source: &SourceName,
    root: &PublicKey,
    catalog: &mut Catalog,
) -> Result<(), Error> {
    let message = format!(
        "no trusted root key vouches for its ledger: the store itself names the root key {root}; \
         run `coldchain catalog rebuild` with the recovery kit or --trust to check it"
    );
    catalog.tell(source, OWN_WORD, &message)?;
    Ok(())
}

/// Notes which entries of a source's ledger this version does not know, or removes the note if there are
/// none.
pub(in crate::engine) fn remember_newer(
    source: &SourceName,
    unknown: &[String],
    catalog: &mut Catalog,
) -> Result<(), Error> {
    if unknown.is_empty() {
        if catalog.told(source, NEWER)?.is_some() {
            catalog.untell(source, NEWER)?;
        }
        return Ok(());
    }
    let message = format!(
        "its ledger is newer than this program, which does not understand these entries and leaves them out: {}",
        unknown.join(", ")
    );
    catalog.tell(source, NEWER, &message)?;
    Ok(())
}

/// Refuses a catalog that lacks what the ledger says, because an earlier version has read entries into it that it did
/// not know. `replay` has read the entries of the catalog, and knows all of them.
pub(in crate::engine) fn require_all_effects(
    source: &SourceRow,
    replay: &Replay,
    catalog: &Catalog,
) -> Result<(), Error> {
    if !replay.unknown().is_empty() || catalog.told(&source.name, NEWER)?.is_none() {
        return Ok(());
    }
    let rows = catalog.archives(&source.ledger)?.into_iter();
    let rows: HashMap<ArchiveId, ArchiveState> = rows.map(|row| (row.id, row.state)).collect();
    let is_unknown = |id: &ArchiveId| rows.get(id) != Some(&ArchiveState::Committed);
    let is_retired = |(id, state): &(&ArchiveId, &ArchiveState)| {
        **state == ArchiveState::Committed && !replay.is_visible(id)
    };
    let lacking = replay.visible().find(|id| is_unknown(id));
    let differing = lacking.or_else(|| rows.iter().find(is_retired).map(|(id, _)| *id));
    match differing {
        None => Ok(()),
        Some(archive) => Err(LedgerStateError::LeftOut {
            source_name: source.name.clone(),
            archive,
        }
        .into()),
    }
}

/// Returns whether no trusted root key vouches for a source's ledger.
pub fn stands_at_own_word(source: &SourceName, catalog: &Catalog) -> Result<bool, Error> {
    Ok(catalog.told(source, OWN_WORD)?.is_some())
}

/// Returns the warnings for a reader, of all sources.
pub fn cautions(catalog: &Catalog) -> Result<Vec<String>, Error> {
    let mut messages = Vec::new();
    for row in catalog.sources()? {
        for subject in [OWN_WORD, NEWER, AS_OF] {
            if let Some(message) = catalog.told(&row.name, subject)? {
                messages.push(format!("{}: {message}", row.name));
            }
        }
    }
    Ok(messages)
}
