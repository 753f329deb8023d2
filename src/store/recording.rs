//! A store that records its calls. With it a test shows that a run with nothing to do writes nothing.

use std::sync::Mutex;

use chrono::{DateTime, Utc};

use super::error::{Operation, StoreError};
use super::{
    CopySource, Deleted, Finding, Layer, Listed, Locator, NewObject, Put, Readability,
    RemoteObject, Stat, Store, Swept, ThawAnswer, ThawRequest,
};

/// A recorded call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The operation.
    pub operation: Operation,
    /// Its key, locator or prefix.
    pub key: String,
}

/// A store with a record of its calls.
#[derive(Debug, Default)]
pub struct RecordingStore<S> {
    inner: S,
    calls: Mutex<Vec<Call>>,
}

impl<S: Store> RecordingStore<S> {
    /// Returns a store that records the calls to `inner`.
    pub fn new(inner: S) -> Self {
        Self {
            inner,
            calls: Mutex::new(Vec::new()),
        }
    }

    /// Returns all calls so far, in order.
    pub fn calls(&self) -> Vec<Call> {
        self.calls.lock().expect("no holder panics").clone()
    }

    /// Returns the calls that change the store.
    pub fn writes(&self) -> Vec<Call> {
        let writes = |call: &Call| matches!(call.operation, Operation::Put | Operation::Delete);
        self.calls().into_iter().filter(writes).collect()
    }

    fn note(&self, operation: Operation, key: &str) {
        self.calls.lock().expect("no holder panics").push(Call {
            operation,
            key: key.to_owned(),
        });
    }
}

impl<S: Store> Layer for RecordingStore<S> {
    fn below(&self) -> &dyn Store {
        &self.inner
    }

    fn guessed_now(&self) -> Result<DateTime<Utc>, StoreError> {
        self.note(Operation::Clock, "");
        self.inner.guessed_now()
    }

    fn put_if_absent(&self, object: &NewObject<'_>) -> Result<Put, StoreError> {
        self.note(Operation::Put, object.key);
        self.inner.put_if_absent(object)
    }

    fn copy_within(
        &self,
        from: &dyn Store,
        at: &Locator,
        object: &RemoteObject<'_>,
    ) -> Result<Option<Put>, StoreError> {
        let copied = self.inner.copy_within(from, at, object);
        // A store that can't do it has done nothing.
        if !matches!(copied, Ok(None)) {
            self.note(Operation::Put, object.key);
        }
        copied
    }

    fn relay(
        &self,
        from: &dyn Store,
        at: &Locator,
        object: &RemoteObject<'_>,
    ) -> Result<Option<Put>, StoreError> {
        let stored = self.inner.relay(from, at, object);
        if !matches!(stored, Ok(None)) {
            self.note(Operation::Put, object.key);
        }
        stored
    }

    fn copy_source(&self, at: &Locator) -> Result<Option<CopySource>, StoreError> {
        self.note(Operation::Stat, &at.0);
        self.inner.copy_source(at)
    }

    fn get(&self, locator: &Locator, max_bytes: u64) -> Result<Vec<u8>, StoreError> {
        self.note(Operation::Get, &locator.0);
        self.inner.get(locator, max_bytes)
    }

    fn get_range(&self, locator: &Locator, offset: u64, len: u64) -> Result<Vec<u8>, StoreError> {
        self.note(Operation::Get, &locator.0);
        self.inner.get_range(locator, offset, len)
    }

    fn stat(&self, locator: &Locator) -> Result<Stat, StoreError> {
        self.note(Operation::Stat, &locator.0);
        self.inner.stat(locator)
    }

    fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        self.note(Operation::List, prefix);
        self.inner.list(prefix)
    }

    fn delete(&self, locator: &Locator) -> Result<Deleted, StoreError> {
        self.note(Operation::Delete, &locator.0);
        self.inner.delete(locator)
    }

    fn readability(&self, locator: &Locator) -> Result<Readability, StoreError> {
        self.note(Operation::Stat, &locator.0);
        self.inner.readability(locator)
    }

    fn thaw(&self, locator: &Locator, request: ThawRequest) -> Result<ThawAnswer, StoreError> {
        self.note(Operation::Thaw, &locator.0);
        self.inner.thaw(locator, request)
    }

    fn now(&self) -> Result<DateTime<Utc>, StoreError> {
        self.note(Operation::Clock, "");
        self.inner.now()
    }

    fn sweep(&self, prefix: &str) -> Result<Swept, StoreError> {
        self.note(Operation::Delete, prefix);
        self.inner.sweep(prefix)
    }

    fn examine(&self) -> Result<Vec<Finding>, StoreError> {
        self.note(Operation::Examine, "");
        self.inner.examine()
    }
}
