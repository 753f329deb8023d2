//! What the vault has: what its inventory shows, and what it need not show yet.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::deleted_notes::LAG;
use super::description::is_segment;
use super::kept::{Showing, Shown};
use super::{KeptShowing, KnownSegment, VaultStore, stat};
use crate::model::{VaultArchiveId, VaultLocator, VaultSegment};
use crate::store::error::{ErrorKind, Operation, StoreError};
use crate::store::listing::Listing;
use crate::store::{Listed, Locator, Stat};

impl Showing {
    /// The archives with this key. A lost answer to an upload leaves several.
    pub(super) fn with_key(&self, key: &str) -> &[Shown] {
        let from = self
            .archives
            .partition_point(|shown| shown.key.as_str() < key);
        let to = from + self.archives[from..].partition_point(|shown| shown.key == key);
        &self.archives[from..to]
    }

    fn below(&self, prefix: &str) -> &[Shown] {
        let from = self
            .archives
            .partition_point(|shown| shown.key.as_str() < prefix);
        let to =
            from + self.archives[from..].partition_point(|shown| shown.key.starts_with(prefix));
        &self.archives[from..to]
    }

    /// Returns whether an archive that was stored then need not be in it.
    pub(super) fn may_lack(&self, stored: DateTime<Utc>) -> bool {
        stored
            .checked_add_signed(LAG)
            .is_none_or(|until| until > self.date)
    }
}

impl Shown {
    fn locator(&self) -> Locator {
        let locator = VaultLocator {
            key: self.key.clone(),
            segment: VaultSegment {
                id: self.id.clone(),
                tree_hash: self.tree_hash,
            },
        };
        Locator(locator.to_string())
    }
}

impl VaultStore<'_> {
    /// Returns what the kept inventory shows of our ledger. There is none without a ledger.
    pub(super) fn showing(&self, operation: Operation) -> Result<Option<Arc<Showing>>, StoreError> {
        match &self.state().showing {
            KeptShowing::Unread => {}
            KeptShowing::None => return Ok(None),
            KeptShowing::Read(showing) => return Ok(Some(Arc::clone(showing))),
        }
        let Some(ledger) = self.ledger() else {
            return Ok(None);
        };
        let limit = self.client.settings().listing_bytes;
        let read = match self.kept.read(ledger, limit) {
            Ok(read) => read.map(Arc::new),
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                // It is only a copy of what the service has: the next one replaces it.
                self.remark(format!(
                    "the kept inventory of {} is damaged ({error}) and not used; a new one will be asked for",
                    self.client.url()
                ));
                None
            }
            Err(error) => return Err(self.io_error(operation, "", error)),
        };
        self.take_over(read.clone());
        Ok(read)
    }

    /// Uses this inventory from now on.
    pub(super) fn take_over(&self, showing: Option<Arc<Showing>>) {
        if let Some(showing) = showing.as_ref().filter(|showing| showing.mangled > 0) {
            self.remark(format!(
                "{} archives in {} have a description that begins like coldchain's and can't be read; \
                 coldchain neither uses nor deletes them",
                showing.mangled,
                self.client.url()
            ));
        }
        self.state().showing = showing.map_or(KeptShowing::None, KeptShowing::Read);
    }

    /// Returns what was deleted and may still be in an inventory.
    pub(super) fn deleted(
        &self,
        operation: Operation,
    ) -> Result<BTreeSet<VaultArchiveId>, StoreError> {
        if let Some(deleted) = &self.state().deleted {
            return Ok(deleted.clone());
        }
        let noted = self
            .kept
            .deleted
            .read()
            .map_err(|error| self.io_error(operation, "", error))?;
        let noted: BTreeSet<_> = noted.into_iter().map(|(id, _)| id).collect();
        self.state().deleted = Some(noted.clone());
        Ok(noted)
    }

    pub(super) fn locate_segment(&self, key: &str) -> Locator {
        // What can't be read now is read, and reported, by the operation that uses the locator.
        let known = self.known_segment(Operation::Stat, key).ok().flatten();
        if let Some(known) = known {
            return Locator(known.locator.to_string());
        }
        let showing = self.showing(Operation::Stat).ok().flatten();
        let deleted = self.deleted(Operation::Stat).unwrap_or_default();
        let shown = showing.as_ref().and_then(|showing| {
            let mut with_key = showing.with_key(key).iter();
            with_key.find(|shown| !deleted.contains(&shown.id))
        });
        match shown {
            Some(shown) => shown.locator(),
            None => Locator(key.to_owned()),
        }
    }

    /// Lists the ledger store, and the segments.
    pub(super) fn list_all(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        let limit = self.client.settings().listing_bytes;
        let mut listing = Listing::within(limit);
        let too_many = |error| {
            self.error(ErrorKind::TooMany, Operation::List, prefix)
                .because(error)
        };
        for object in self.ledger_store.list(prefix)? {
            // A segment is in the vault. What has the name of one elsewhere is none.
            if !is_segment(&object.key) {
                listing.add(object).map_err(too_many)?;
            }
        }
        for (key, stat) in self.segments_below(prefix)? {
            listing.add(Listed { key, stat }).map_err(too_many)?;
        }
        Ok(listing.sorted())
    }

    /// Returns the segments below a prefix that are there, as far as anything tells.
    fn segments_below(&self, prefix: &str) -> Result<BTreeMap<String, Stat>, StoreError> {
        let mut found = BTreeMap::new();
        let Some(known) = self.known() else {
            return Ok(found);
        };
        let showing = self.showing(Operation::List)?;
        let deleted = self.deleted(Operation::List)?;
        for shown in showing
            .iter()
            .flat_map(|showing| showing.below(prefix))
            .filter(|shown| !deleted.contains(&shown.id))
        {
            found.insert(shown.key.clone(), stat(shown.bytes, shown.created));
        }
        let mut all = known.under(prefix).map_err(|cause| {
            self.error(ErrorKind::Failed, Operation::List, prefix)
                .because(cause)
        })?;
        let uploaded = self.state();
        let new = uploaded.uploaded.iter();
        all.extend(
            new.filter(|(key, _)| key.starts_with(prefix))
                .map(|(_, segment)| segment.clone()),
        );
        drop(uploaded);
        for segment in all {
            let key = &segment.locator.key;
            match judge(&segment, showing.as_deref(), &deleted) {
                Some(stat) => found.insert(key.clone(), stat),
                // Another archive with the key is none that the ledger names.
                None => found.remove(key),
            };
        }
        Ok(found)
    }

    /// Returns what is known of the segment with this key, and this id if one is given.
    pub(super) fn stat_segment(
        &self,
        key: &str,
        id: Option<&VaultArchiveId>,
    ) -> Result<Stat, StoreError> {
        let showing = self.showing(Operation::Stat)?;
        let deleted = self.deleted(Operation::Stat)?;
        let known = self.known_segment(Operation::Stat, key)?;
        let known = known.filter(|known| id.is_none_or(|id| known.locator.segment.id == *id));
        let found = match known {
            Some(known) => judge(&known, showing.as_deref(), &deleted),
            None => showing.as_ref().and_then(|showing| {
                let mut with_key = showing.with_key(key).iter();
                with_key
                    .find(|shown| {
                        !deleted.contains(&shown.id) && id.is_none_or(|id| shown.id == *id)
                    })
                    .map(|shown| stat(shown.bytes, shown.created))
            }),
        };
        found.ok_or_else(|| self.error(ErrorKind::NotFound, Operation::Stat, key))
    }

    /// Returns whether the inventory shows the very archive that is known by this key, with its size and tree hash.
    pub(super) fn is_shown_whole(&self, key: &str) -> Result<bool, StoreError> {
        let Some(known) = self.known_segment(Operation::List, key)? else {
            return Ok(false);
        };
        let deleted = self.deleted(Operation::List)?;
        let segment = &known.locator.segment;
        Ok(self.showing(Operation::List)?.is_some_and(|showing| {
            showing.with_key(key).iter().any(|shown| {
                shown.id == segment.id
                    && shown.tree_hash == segment.tree_hash
                    && shown.bytes == known.bytes
                    && !deleted.contains(&shown.id)
            })
        }))
    }

    /// Returns the archives below a prefix that have the key of another: second uploads, after an answer was lost. What
    /// an entry names is none of them, nor what this store has uploaded, nor the one that `list` shows.
    pub(super) fn find_second_uploads(
        &self,
        prefix: &str,
    ) -> Result<Vec<(Locator, Stat)>, StoreError> {
        let Some(showing) = self.showing(Operation::List)? else {
            return Ok(Vec::new());
        };
        let deleted = self.deleted(Operation::List)?;
        let mut found = Vec::new();
        for together in showing
            .below(prefix)
            .chunk_by(|one, other| one.key == other.key)
        {
            let known = self.known_segment(Operation::List, &together[0].key)?;
            let there: Vec<&Shown> = together
                .iter()
                .filter(|shown| !deleted.contains(&shown.id))
                .collect();
            let listed = match &known {
                Some(known) => Some(&known.locator.segment.id),
                // As `locate` finds it.
                None => there.first().map(|shown| &shown.id),
            };
            let second = there.iter().filter(|shown| Some(&shown.id) != listed);
            found.extend(second.map(|shown| (shown.locator(), stat(shown.bytes, shown.created))));
        }
        Ok(found)
    }
}

/// Returns what is known of a segment that an entry names, or that was uploaded; `None` if it is not there.
fn judge(
    segment: &KnownSegment,
    showing: Option<&Showing>,
    deleted: &BTreeSet<VaultArchiveId>,
) -> Option<Stat> {
    let id = &segment.locator.segment.id;
    if deleted.contains(id) {
        return None;
    }
    let Some(showing) = showing else {
        return Some(stat(segment.bytes, segment.stored));
    };
    let mut with_key = showing.with_key(&segment.locator.key).iter();
    match with_key.find(|shown| shown.id == *id) {
        Some(shown) => Some(stat(shown.bytes, shown.created)),
        None if showing.may_lack(segment.stored) => Some(stat(segment.bytes, segment.stored)),
        None => None,
    }
}
