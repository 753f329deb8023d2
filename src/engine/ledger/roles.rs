//! The keys and roles of each ledger, and its head, from the catalog's copy.

use crate::catalog::{Catalog, SourceRow};
use crate::config::Config;
use crate::engine::context::open_source::{is_place, store_address, store_of_row, store_url};
use crate::engine::ledger::reader::trust_in;
use crate::error::{Error, LedgerStateError};
use crate::kit::KitSource;
use crate::ledger::{Head, PublicKey, Replay};
use crate::model::entry::{Entry, EntryKind, Role, Timestamp};
use crate::model::{ArchiveId, SourceName};

/// Returns the keys of a source's ledger, the root key first; none before it is opened.
pub fn keys_of(
    row: &SourceRow,
    root: &PublicKey,
    catalog: &Catalog,
) -> Result<Vec<(PublicKey, Vec<Role>)>, Error> {
    let replay = replayed(row, root, catalog, |_, _| {})?;
    Ok(replay.keys().to_vec())
}

/// An entry, its signer, and the archives that it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedEntry {
    /// Its number.
    pub seq: u64,
    /// When it was made, by the signer's clock.
    pub made_at: Timestamp,
    /// The name of its kind.
    pub kind: String,
    /// The key that has signed it.
    pub by: PublicKey,
    /// The archives that it names.
    pub archives: Vec<ArchiveId>,
}

/// Returns the entries of a source's ledger.
pub fn entries_of(
    row: &SourceRow,
    root: &PublicKey,
    catalog: &Catalog,
) -> Result<Vec<SignedEntry>, Error> {
    let mut entries = Vec::new();
    replayed(row, root, catalog, |replay, entry| {
        let by = replay.signer(entry.head.seq).expect("it was just taken in");
        entries.push(SignedEntry {
            seq: entry.head.seq,
            made_at: entry.head.made_at,
            kind: entry.kind.name().to_owned(),
            by: by.clone(),
            archives: named_in(&entry.kind),
        });
    })?;
    Ok(entries)
}

fn named_in(kind: &EntryKind) -> Vec<ArchiveId> {
    match kind {
        EntryKind::Archive(archive) => vec![archive.id],
        EntryKind::Retire(retire) => retire.archives.clone(),
        EntryKind::Revive(revive) => revive.archives.clone(),
        EntryKind::Delete(delete) => delete.archives.clone(),
        EntryKind::Rotate(rotate) => [&rotate.retires[..], &rotate.revives].concat(),
        EntryKind::Attach(attach) => attach.objects.iter().map(|object| object.archive).collect(),
        EntryKind::Open(_) | EntryKind::Moved(_) | EntryKind::Unknown(_) => Vec::new(),
    }
}

/// Replays the catalog's copy of a ledger. Calls `each` after every entry.
fn replayed(
    row: &SourceRow,
    root: &PublicKey,
    catalog: &Catalog,
    mut each: impl FnMut(&Replay, &Entry),
) -> Result<Replay, Error> {
    // A copy that was rebuilt may lack entries.
    let mut replay = Replay::reading_past(trust_in(row, root));
    let entries = catalog.entries(&row.ledger)?;
    for entry in entries.iter().filter(|entry| entry.committed) {
        let absorbed = replay
            .absorb_trusted(entry.seq, &entry.object)
            .map_err(|refusal| {
                Error::LedgerState(LedgerStateError::EntryRefused {
                    seq: entry.seq,
                    source_name: row.name.clone(),
                    store: row.store.clone(),
                    source: Box::new(refusal),
                })
            })?;
        each(&replay, &absorbed.entry);
    }
    Ok(replay)
}

/// Returns the keys that other ledgers in the catalog have and this one does not, each with its roles and the
/// source of that ledger. The root key is not among them.
pub(in crate::engine) fn keys_elsewhere(
    here: &SourceRow,
    root: &PublicKey,
    catalog: &Catalog,
) -> Result<Vec<(PublicKey, Vec<Role>, SourceName)>, Error> {
    let mut known: Vec<PublicKey> = keys_of(here, root, catalog)?
        .into_iter()
        .map(|(key, _)| key)
        .collect();
    let mut elsewhere = Vec::new();
    for row in catalog.sources()? {
        for (key, roles) in keys_of(&row, root, catalog)? {
            if !known.contains(&key) {
                known.push(key.clone());
                elsewhere.push((key, roles, row.name.clone()));
            }
        }
    }
    Ok(elsewhere)
}

/// Returns what a recovery kit should say of every source that the catalog knows.
pub fn kit_sources(config: &Config, catalog: &Catalog) -> Result<Vec<KitSource>, Error> {
    let mut sources = Vec::new();
    for row in catalog.sources()? {
        let entries = catalog.entries(&row.ledger)?;
        let newest = entries.iter().rfind(|entry| entry.committed);
        let head = newest.map(|entry| Head {
            seq: entry.seq,
            hash: entry.hash,
        });
        let copies = copies_for_kit(config, &row, catalog)?;
        sources.push(KitSource {
            copies,
            ..kit_source(config, row, head)
        });
    }
    Ok(sources)
}

/// Returns what a recovery kit says of a source.
pub fn kit_source(config: &Config, row: SourceRow, head: Option<Head>) -> KitSource {
    // The config may have more of the address than the store's URL.
    let configured = store_of_row(config, &row).ok();
    let configured = configured.map(|store| store_address(store.as_ref()));
    KitSource {
        store: configured.unwrap_or(row.store),
        name: row.name,
        directory: row.directory,
        ledger: row.ledger,
        copies: Vec::new(),
        head,
    }
}

/// Returns the URLs of a source's copies for a kit, with all that another machine needs to find them.
fn copies_for_kit(
    config: &Config,
    row: &SourceRow,
    catalog: &Catalog,
) -> Result<Vec<String>, Error> {
    let places = catalog.places(&row.ledger)?.into_iter();
    let copies = places.filter(|place| !is_place(&place.store, &row.store));
    Ok(copies
        .map(|place| {
            let mut stores = config.stores.values();
            let configured = stores.find(|store| is_place(&store_url(store), &place.store));
            configured.map_or(place.store, store_address)
        })
        .collect())
}
