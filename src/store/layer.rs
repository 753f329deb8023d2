//! A layer over a store that changes some of its answers.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{
    CopySource, Deleted, Finding, Inventory, KnownSegments, Listed, Locator, NewObject, Put,
    Readability, RemoteObject, Service, Stat, Store, StoreError, Swept, ThawAnswer, ThawRequest,
};

/// A layer over a store. Methods that it does not define call the store below. A layer with its own clock has
/// to define both `now` and `guessed_now`.
pub trait Layer: Send + Sync {
    /// The store below.
    fn below(&self) -> &dyn Store;

    /// [`Store::url`].
    fn url(&self) -> String {
        self.below().url()
    }

    /// [`Store::put_if_absent`].
    fn put_if_absent(&self, object: &NewObject<'_>) -> Result<Put, StoreError> {
        self.below().put_if_absent(object)
    }

    /// [`Store::copy_within`].
    fn copy_within(
        &self,
        from: &dyn Store,
        at: &Locator,
        object: &RemoteObject<'_>,
    ) -> Result<Option<Put>, StoreError> {
        self.below().copy_within(from, at, object)
    }

    /// [`Store::relay`].
    fn relay(
        &self,
        from: &dyn Store,
        at: &Locator,
        object: &RemoteObject<'_>,
    ) -> Result<Option<Put>, StoreError> {
        self.below().relay(from, at, object)
    }

    /// [`Store::service`].
    fn service(&self) -> Option<Service> {
        self.below().service()
    }

    /// [`Store::copy_source`].
    fn copy_source(&self, at: &Locator) -> Result<Option<CopySource>, StoreError> {
        self.below().copy_source(at)
    }

    /// [`Store::know`].
    fn know(&self, segments: Arc<dyn KnownSegments>) {
        self.below().know(segments);
    }

    /// [`Store::renew_inventory`].
    fn renew_inventory(&self, wanted: Option<DateTime<Utc>>) -> Result<Inventory, StoreError> {
        self.below().renew_inventory(wanted)
    }

    /// [`Store::is_confirmed`].
    fn is_confirmed(&self, key: &str) -> Result<bool, StoreError> {
        self.below().is_confirmed(key)
    }

    /// [`Store::needs_index`].
    fn needs_index(&self) -> bool {
        self.below().needs_index()
    }

    /// [`Store::thaw_window`].
    fn thaw_window(&self) -> Option<Duration> {
        self.below().thaw_window()
    }

    /// [`Store::second_uploads`].
    fn second_uploads(&self, prefix: &str) -> Result<Vec<(Locator, Stat)>, StoreError> {
        self.below().second_uploads(prefix)
    }

    /// [`Store::locate`].
    fn locate(&self, key: &str) -> Locator {
        self.below().locate(key)
    }

    /// [`Store::get`].
    fn get(&self, locator: &Locator, max_bytes: u64) -> Result<Vec<u8>, StoreError> {
        self.below().get(locator, max_bytes)
    }

    /// [`Store::get_range`].
    fn get_range(&self, locator: &Locator, offset: u64, len: u64) -> Result<Vec<u8>, StoreError> {
        self.below().get_range(locator, offset, len)
    }

    /// [`Store::stat`].
    fn stat(&self, locator: &Locator) -> Result<Stat, StoreError> {
        self.below().stat(locator)
    }

    /// [`Store::list`].
    fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        self.below().list(prefix)
    }

    /// [`Store::delete`].
    fn delete(&self, locator: &Locator) -> Result<Deleted, StoreError> {
        self.below().delete(locator)
    }

    /// [`Store::readability`].
    fn readability(&self, locator: &Locator) -> Result<Readability, StoreError> {
        self.below().readability(locator)
    }

    /// [`Store::thaw`].
    fn thaw(&self, locator: &Locator, request: ThawRequest) -> Result<ThawAnswer, StoreError> {
        self.below().thaw(locator, request)
    }

    /// [`Store::now`].
    fn now(&self) -> Result<DateTime<Utc>, StoreError> {
        self.below().now()
    }

    /// [`Store::guessed_now`].
    fn guessed_now(&self) -> Result<DateTime<Utc>, StoreError> {
        self.below().guessed_now()
    }

    /// [`Store::sweep`].
    fn sweep(&self, prefix: &str) -> Result<Swept, StoreError> {
        self.below().sweep(prefix)
    }

    /// [`Store::remarks`].
    fn remarks(&self) -> Vec<String> {
        self.below().remarks()
    }

    /// [`Store::examine`].
    fn examine(&self) -> Result<Vec<Finding>, StoreError> {
        self.below().examine()
    }
}

impl<L: Layer> Store for L {
    fn url(&self) -> String {
        Layer::url(self)
    }

    fn put_if_absent(&self, object: &NewObject<'_>) -> Result<Put, StoreError> {
        Layer::put_if_absent(self, object)
    }

    fn copy_within(
        &self,
        from: &dyn Store,
        at: &Locator,
        object: &RemoteObject<'_>,
    ) -> Result<Option<Put>, StoreError> {
        Layer::copy_within(self, from, at, object)
    }

    fn relay(
        &self,
        from: &dyn Store,
        at: &Locator,
        object: &RemoteObject<'_>,
    ) -> Result<Option<Put>, StoreError> {
        Layer::relay(self, from, at, object)
    }

    fn service(&self) -> Option<Service> {
        Layer::service(self)
    }

    fn copy_source(&self, at: &Locator) -> Result<Option<CopySource>, StoreError> {
        Layer::copy_source(self, at)
    }

    fn know(&self, segments: Arc<dyn KnownSegments>) {
        Layer::know(self, segments);
    }

    fn renew_inventory(&self, wanted: Option<DateTime<Utc>>) -> Result<Inventory, StoreError> {
        Layer::renew_inventory(self, wanted)
    }

    fn is_confirmed(&self, key: &str) -> Result<bool, StoreError> {
        Layer::is_confirmed(self, key)
    }

    fn needs_index(&self) -> bool {
        Layer::needs_index(self)
    }

    fn thaw_window(&self) -> Option<Duration> {
        Layer::thaw_window(self)
    }

    fn second_uploads(&self, prefix: &str) -> Result<Vec<(Locator, Stat)>, StoreError> {
        Layer::second_uploads(self, prefix)
    }

    fn locate(&self, key: &str) -> Locator {
        Layer::locate(self, key)
    }

    fn get(&self, locator: &Locator, max_bytes: u64) -> Result<Vec<u8>, StoreError> {
        Layer::get(self, locator, max_bytes)
    }

    fn get_range(&self, locator: &Locator, offset: u64, len: u64) -> Result<Vec<u8>, StoreError> {
        Layer::get_range(self, locator, offset, len)
    }

    fn stat(&self, locator: &Locator) -> Result<Stat, StoreError> {
        Layer::stat(self, locator)
    }

    fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        Layer::list(self, prefix)
    }

    fn delete(&self, locator: &Locator) -> Result<Deleted, StoreError> {
        Layer::delete(self, locator)
    }

    fn readability(&self, locator: &Locator) -> Result<Readability, StoreError> {
        Layer::readability(self, locator)
    }

    fn thaw(&self, locator: &Locator, request: ThawRequest) -> Result<ThawAnswer, StoreError> {
        Layer::thaw(self, locator, request)
    }

    fn now(&self) -> Result<DateTime<Utc>, StoreError> {
        Layer::now(self)
    }

    fn guessed_now(&self) -> Result<DateTime<Utc>, StoreError> {
        Layer::guessed_now(self)
    }

    fn sweep(&self, prefix: &str) -> Result<Swept, StoreError> {
        Layer::sweep(self, prefix)
    }

    fn remarks(&self) -> Vec<String> {
        Layer::remarks(self)
    }

    fn examine(&self) -> Result<Vec<Finding>, StoreError> {
        Layer::examine(self)
    }
}

impl<S: Store> Layer for Arc<S> {
    fn below(&self) -> &dyn Store {
        &**self
    }
}

/// A borrowed store is one too.
impl Layer for &dyn Store {
    fn below(&self) -> &dyn Store {
        *self
    }
}
