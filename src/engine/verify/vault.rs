//! What a listing shows of a vault: the inventory of some day, and what was stored since.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use crate::catalog::Catalog;
use crate::engine::context::inventory::renew_inventory;
use crate::engine::context::known_segments::signed_at;
use crate::engine::context::open_source::OpenSource;
use crate::error::{Error, in_words};
use crate::model::ArchiveId;
use crate::model::entry::Timestamp;
use crate::model::keys::ArchiveObject;
use crate::plan::{Unchecked, Verdict};
use crate::store::Inventory;

/// An inventory may lack what was stored so short a time before it.
const LAG: TimeDelta = TimeDelta::hours(48);

/// As of when the listings of a store are.
pub(super) struct ListingDate {
    inventory: Inventory,
    /// Why no newer inventory could be asked for.
    failed: Option<String>,
    /// When each archive was signed. Empty if the store lists what it has now.
    signed: BTreeMap<ArchiveId, DateTime<Utc>>,
}

impl ListingDate {
    /// Has the store renew its inventory, and returns as of when it is.
    pub(super) fn now(source: &OpenSource<'_>, catalog: &Catalog) -> Result<Self, Error> {
        // The catalog knows no times of a copy, and a copy lists what it has now.
        if catalog.turned_to().is_some() || !source.store.needs_index() {
            return Ok(Self {
                inventory: Inventory::Live,
                failed: None,
                signed: BTreeMap::new(),
            });
        }
        let (inventory, failed) = match renew_inventory(source, catalog) {
            Ok(inventory) => (inventory, None),
            Err(Error::Store(error)) => (Inventory::NotYet(None), Some(in_words(&error))),
            Err(error) => return Err(error),
        };
        let ledger = &source.row.ledger;
        let times = signed_at(catalog, ledger)?;
        let archives = catalog.archives(ledger)?.into_iter();
        let signed = archives.filter_map(|row| Some((row.id, *times.get(&row.seq?)?)));
        Ok(Self {
            inventory,
            failed,
            signed: signed.collect(),
        })
    }

    /// Says as of when the listing is; `None` if it is as of now.
    pub(super) fn in_words(&self) -> Option<String> {
        match &self.failed {
            Some(why) => Some(format!(
                "could not ask for a newer inventory of the vault: {why}"
            )),
            None => self.inventory.in_words(),
        }
    }

    /// Judges a segment that is listed with its length. An inventory that is new enough to have it has it with the
    /// signed tree hash.
    pub(super) fn judge(
        &self,
        source: &OpenSource<'_>,
        archive: &ArchiveId,
        key: &str,
    ) -> Result<Verdict, Error> {
        if self.inventory == Inventory::Live || source.store.is_confirmed(key)? {
            return Ok(Verdict::Sound);
        }
        Ok(match (self.inventory.date(), self.signed.get(archive)) {
            (Some(date), Some(signed)) if *signed + LAG < date => Verdict::Damaged(format!(
                "the vault's inventory of {} does not have it with the signed id, size and tree hash",
                Timestamp(date)
            )),
            _ => Verdict::Unchecked(Unchecked::NotInInventory),
        })
    }
}

/// Returns whether a vault's inventory has shown a segment with the tree hash that the ledger signs. A store that lists
/// what it has now has no tree hashes.
pub(super) fn is_in_inventory(source: &OpenSource<'_>, object: &ArchiveObject) -> bool {
    let store = source.store.as_ref();
    object.segment().is_some()
        && store.needs_index()
        && store
            .is_confirmed(&object.key)
            .is_ok_and(|confirmed| confirmed)
}
