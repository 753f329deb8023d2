//! A vault under any keys, and readable at once: what the suite of all stores puts goes into it as segments.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use chrono::Utc;
use coldchain::model::{Sha256, Tier, keys};
use coldchain::store::{
    Deleted, Layer, Listed, Locator, NewObject, ObjectKind, Put, RemoteObject, Stat, Store,
    StoreError, ThawAnswer, ThawRequest, VaultStore,
};

use crate::common::vault::{OwnVault, archive};

/// A vault whose segments go by the keys that they were put under.
pub(super) struct VaultByKeys {
    vault: OwnVault,
    store: VaultStore<'static>,
    /// The keys by those of their segments.
    keys: Mutex<BTreeMap<String, String>>,
}

impl VaultByKeys {
    pub(super) fn new() -> Self {
        let vault = OwnVault::new();
        vault.server.clock().set(Utc::now());
        Self {
            store: vault.store(),
            vault,
            keys: Mutex::default(),
        }
    }

    /// The key of the segment that goes by this key.
    fn segment(&self, key: &str) -> String {
        let segment = keys::segment("home", &archive(), 0, &Sha256::of(key.as_bytes()));
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.insert(segment.clone(), key.to_owned());
        segment
    }

    /// The key by which a segment goes.
    fn key(&self, segment: &str) -> Option<String> {
        let keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.get(segment).cloned()
    }

    fn named<T>(&self, done: Result<T, StoreError>) -> Result<T, StoreError> {
        done.map_err(|error| StoreError {
            key: self.key(&error.key).unwrap_or(error.key),
            ..error
        })
    }

    /// Retrieves an archive, and lets the hours pass that this takes.
    fn thawed(&self, locator: &Locator) -> Result<(), StoreError> {
        let request = ThawRequest {
            tier: Tier::Bulk,
            days: 1,
        };
        if self.named(self.store.thaw(locator, request))? == ThawAnswer::Accepted {
            self.vault.hours(13);
        }
        Ok(())
    }
}

impl Layer for VaultByKeys {
    fn below(&self) -> &dyn Store {
        &self.store
    }

    fn put_if_absent(&self, object: &NewObject<'_>) -> Result<Put, StoreError> {
        let segment = self.segment(object.key);
        let bytes = object.bytes.clone();
        self.named(self.store.put_if_absent(&NewObject::new(
            &segment,
            bytes,
            object.sha256,
            ObjectKind::Segment,
        )))
    }

    fn copy_within(
        &self,
        from: &dyn Store,
        at: &Locator,
        object: &RemoteObject<'_>,
    ) -> Result<Option<Put>, StoreError> {
        let key = self.segment(object.key);
        let object = RemoteObject {
            key: &key,
            ..*object
        };
        self.named(self.store.copy_within(from, at, &object))
    }

    fn locate(&self, key: &str) -> Locator {
        self.store.locate(&self.segment(key))
    }

    fn get(&self, locator: &Locator, max_bytes: u64) -> Result<Vec<u8>, StoreError> {
        self.thawed(locator)?;
        self.named(self.store.get(locator, max_bytes))
    }

    fn get_range(&self, locator: &Locator, offset: u64, len: u64) -> Result<Vec<u8>, StoreError> {
        self.thawed(locator)?;
        self.named(self.store.get_range(locator, offset, len))
    }

    fn stat(&self, locator: &Locator) -> Result<Stat, StoreError> {
        self.named(self.store.stat(locator))
    }

    fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        let listed = self.store.list("")?.into_iter();
        let mut named: Vec<Listed> = listed
            .map(|listed| Listed {
                key: self.key(&listed.key).expect("it was put by a key"),
                stat: listed.stat,
            })
            .filter(|listed| listed.key.starts_with(prefix))
            .collect();
        named.sort_by(|one, other| one.key.cmp(&other.key));
        Ok(named)
    }

    fn delete(&self, locator: &Locator) -> Result<Deleted, StoreError> {
        self.named(self.store.delete(locator))
    }
}
