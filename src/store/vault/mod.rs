//! A legacy Glacier vault: segments are archives in it, and everything else is in another store.
//!
//! A vault knows its archives by ids that it gives. It lists them about once a day, takes hours to read one, and knows
//! no condition on uploads. So the keys of segments are in the descriptions of archives, and their ids in the ledger;
//! [`KnownSegments`] is the way to these.

mod client;
mod deleted_notes;
mod description;
mod examine;
mod jobs_read;
mod kept;
mod listing;
mod put;
mod renew;
mod retrieve;
mod settings;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};

pub use client::{
    JobRequest, JobState, OutputRequest, OutputSink, StartedJob, VaultClient, VaultDescription,
    VaultJob, VaultJobKind, VaultLockState, VaultPolicies,
};
pub use settings::VaultSettings;

use super::error::{ErrorKind, Operation, StoreError};
use super::key::check_key;
use super::retry::Told;
use super::{
    Deleted, Finding, Inventory, KnownSegment, KnownSegments, Listed, Locator, NewObject, Put,
    RateLimit, Readability, RequestPace, Stat, Store, Swept, ThawAnswer, ThawRequest,
};
use crate::model::{LedgerId, StorageClass, VaultArchiveId, VaultLocator};
use description::is_segment;
use jobs_read::JobsRead;
use kept::{KeptInventory, Showing};

/// How long the output of a job can be relied on, less the time until it is noticed: it is kept for 24 hours.
const WINDOW: Duration = Duration::from_hours(20);

/// A vault, with a store beside it for all that is no segment.
pub struct VaultStore<'a> {
    client: VaultClient<'a>,
    ledger_store: Box<dyn Store + 'a>,
    kept: KeptInventory,
    state: Mutex<StoreState>,
    /// Held while the list of jobs is read, so that one reading answers for all threads.
    jobs: Mutex<Option<JobsRead>>,
}

#[derive(Default)]
struct StoreState {
    known: Option<Arc<dyn KnownSegments>>,
    /// What this store has uploaded.
    uploaded: BTreeMap<String, KnownSegment>,
    /// What it has deleted; with `None` until the notes of earlier runs are read.
    deleted: Option<BTreeSet<VaultArchiveId>>,
    /// What the kept inventory shows, once it is read.
    showing: KeptShowing,
    remarks: BTreeSet<String>,
}

/// The inventory that is kept.
#[derive(Default)]
enum KeptShowing {
    #[default]
    Unread,
    None,
    Read(Arc<Showing>),
}

/// The two kinds of places that a locator of this store names.
enum SegmentPlace<'l> {
    /// In the ledger store.
    Beside(&'l Locator),
    /// In the vault.
    Segment(VaultLocator),
    /// A segment of which nothing more is known than its key.
    Unknown(&'l str),
}

impl<'a> VaultStore<'a> {
    /// Opens a store without sending a request. `inventories` is the directory for the vault's inventory.
    pub fn open(
        settings: VaultSettings,
        told: Told<'a>,
        ledger_store: Box<dyn Store + 'a>,
        inventories: PathBuf,
    ) -> Result<Self, StoreError> {
        let client = VaultClient::open(settings, told)?;
        let kept = KeptInventory::of(inventories, client.url());
        Ok(Self {
            client,
            ledger_store,
            kept,
            state: Mutex::default(),
            jobs: Mutex::default(),
        })
    }

    /// Returns the store with a limit on its reads and writes.
    #[must_use]
    pub fn limited(mut self, limit: RateLimit) -> Self {
        self.client = self.client.limited(limit);
        self
    }

    /// Returns the store with a pace of its thaw requests.
    #[must_use]
    pub fn thawing_at(mut self, pace: RequestPace) -> Self {
        self.client = self.client.thawing_at(pace);
        self
    }

    /// The requests to the vault itself.
    pub fn client(&self) -> &VaultClient<'a> {
        &self.client
    }

    /// The store of everything that is no segment.
    pub fn ledger_store(&self) -> &dyn Store {
        &*self.ledger_store
    }

    fn state(&self) -> MutexGuard<'_, StoreState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn error(&self, kind: ErrorKind, operation: Operation, key: &str) -> StoreError {
        StoreError::new(kind, operation, key, self.client.url())
    }

    fn io_error(&self, operation: Operation, key: &str, error: std::io::Error) -> StoreError {
        let is_damaged = error.kind() == std::io::ErrorKind::InvalidData;
        let error = StoreError::from_io(operation, key, self.client.url(), error);
        if is_damaged {
            StoreError {
                kind: ErrorKind::Corrupted,
                ..error
            }
        } else {
            error
        }
    }

    fn remark(&self, text: impl Into<String>) {
        self.state().remarks.insert(text.into());
    }

    /// The index of segments, if there is one.
    fn known(&self) -> Option<Arc<dyn KnownSegments>> {
        self.state().known.clone()
    }

    fn ledger(&self) -> Option<LedgerId> {
        self.known().map(|known| known.ledger())
    }

    /// Returns what is known of a segment: what this store has uploaded, or else what the index says.
    fn known_segment(
        &self,
        operation: Operation,
        key: &str,
    ) -> Result<Option<KnownSegment>, StoreError> {
        if let Some(uploaded) = self.state().uploaded.get(key) {
            return Ok(Some(uploaded.clone()));
        }
        let Some(known) = self.known() else {
            return Ok(None);
        };
        known
            .find(key)
            .map_err(|cause| self.error(ErrorKind::Failed, operation, key).because(cause))
    }

    /// Reads a locator.
    fn place<'l>(
        &self,
        operation: Operation,
        locator: &'l Locator,
    ) -> Result<SegmentPlace<'l>, StoreError> {
        let text = locator.0.as_str();
        let key = text.split_once('?').map_or(text, |(key, _)| key);
        if !is_segment(key) {
            return Ok(SegmentPlace::Beside(locator));
        }
        if key.len() == text.len() {
            return Ok(SegmentPlace::Unknown(key));
        }
        text.parse().map(SegmentPlace::Segment).map_err(|error| {
            self.error(ErrorKind::NotFound, operation, key)
                .because(error)
        })
    }

    /// Returns the error for a segment that no upload, no entry and no inventory has a place of.
    fn nowhere(&self, operation: Operation, key: &str) -> StoreError {
        self.error(ErrorKind::NotFound, operation, key)
            .because("nothing tells the id that the vault has given it")
    }
}

impl Store for VaultStore<'_> {
    fn url(&self) -> String {
        self.client.url().to_owned()
    }

    fn put_if_absent(&self, object: &NewObject<'_>) -> Result<Put, StoreError> {
        check_key(Operation::Put, self.client.url(), object.key)?;
        if is_segment(object.key) {
            self.put_segment(object)
        } else {
            self.ledger_store.put_if_absent(object)
        }
    }

    fn know(&self, segments: Arc<dyn KnownSegments>) {
        let mut state = self.state();
        let before = state.known.as_ref().map(|known| known.ledger());
        if before != Some(segments.ledger()) {
            state.showing = KeptShowing::Unread;
        }
        state.known = Some(segments);
    }

    fn renew_inventory(&self, wanted: Option<DateTime<Utc>>) -> Result<Inventory, StoreError> {
        self.renew(wanted)
    }

    fn is_confirmed(&self, key: &str) -> Result<bool, StoreError> {
        if is_segment(key) {
            self.is_shown_whole(key)
        } else {
            self.ledger_store.is_confirmed(key)
        }
    }

    fn needs_index(&self) -> bool {
        true
    }

    fn thaw_window(&self) -> Option<Duration> {
        Some(WINDOW)
    }

    fn second_uploads(&self, prefix: &str) -> Result<Vec<(Locator, Stat)>, StoreError> {
        self.find_second_uploads(prefix)
    }

    fn locate(&self, key: &str) -> Locator {
        if is_segment(key) {
            self.locate_segment(key)
        } else {
            self.ledger_store.locate(key)
        }
    }

    fn get(&self, locator: &Locator, max_bytes: u64) -> Result<Vec<u8>, StoreError> {
        match self.place(Operation::Get, locator)? {
            SegmentPlace::Beside(locator) => self.ledger_store.get(locator, max_bytes),
            SegmentPlace::Segment(at) => self.read(&at, None, max_bytes),
            SegmentPlace::Unknown(key) => Err(self.nowhere(Operation::Get, key)),
        }
    }

    fn get_range(&self, locator: &Locator, offset: u64, len: u64) -> Result<Vec<u8>, StoreError> {
        match self.place(Operation::Get, locator)? {
            SegmentPlace::Beside(locator) => self.ledger_store.get_range(locator, offset, len),
            SegmentPlace::Segment(at) => self.read(&at, Some((offset, len)), len),
            SegmentPlace::Unknown(key) => Err(self.nowhere(Operation::Get, key)),
        }
    }

    fn stat(&self, locator: &Locator) -> Result<Stat, StoreError> {
        match self.place(Operation::Stat, locator)? {
            SegmentPlace::Beside(locator) => self.ledger_store.stat(locator),
            SegmentPlace::Segment(at) => self.stat_segment(&at.key, Some(&at.segment.id)),
            SegmentPlace::Unknown(key) => self.stat_segment(key, None),
        }
    }

    fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        self.list_all(prefix)
    }

    fn delete(&self, locator: &Locator) -> Result<Deleted, StoreError> {
        match self.place(Operation::Delete, locator)? {
            SegmentPlace::Beside(locator) => self.ledger_store.delete(locator),
            SegmentPlace::Segment(at) => self.delete_segment(&at),
            // It may be there, and its archive would be paid for without anybody knowing.
            SegmentPlace::Unknown(key) => Err(self.error(ErrorKind::NoId, Operation::Delete, key)),
        }
    }

    fn readability(&self, locator: &Locator) -> Result<Readability, StoreError> {
        match self.place(Operation::Stat, locator)? {
            SegmentPlace::Beside(locator) => self.ledger_store.readability(locator),
            SegmentPlace::Segment(at) => self.readability_of(&at),
            SegmentPlace::Unknown(key) => Err(self.nowhere(Operation::Stat, key)),
        }
    }

    fn thaw(&self, locator: &Locator, request: ThawRequest) -> Result<ThawAnswer, StoreError> {
        match self.place(Operation::Thaw, locator)? {
            SegmentPlace::Beside(locator) => self.ledger_store.thaw(locator, request),
            SegmentPlace::Segment(at) => self.retrieve(&at, request.tier),
            SegmentPlace::Unknown(key) => Err(self.nowhere(Operation::Thaw, key)),
        }
    }

    fn now(&self) -> Result<DateTime<Utc>, StoreError> {
        self.ledger_store.now()
    }

    fn guessed_now(&self) -> Result<DateTime<Utc>, StoreError> {
        self.ledger_store.guessed_now()
    }

    fn sweep(&self, prefix: &str) -> Result<Swept, StoreError> {
        self.ledger_store.sweep(prefix)
    }

    fn remarks(&self) -> Vec<String> {
        let mut remarks = self.ledger_store.remarks();
        remarks.extend(self.state().remarks.iter().cloned());
        remarks
    }

    fn examine(&self) -> Result<Vec<Finding>, StoreError> {
        let mut findings = self.examine_vault()?;
        findings.extend(self.ledger_store.examine()?);
        Ok(findings)
    }
}

/// What the store says of an archive in the vault.
fn stat(bytes: u64, modified: DateTime<Utc>) -> Stat {
    Stat {
        bytes,
        // The digest in a description is what the uploader said.
        sha256: None,
        modified,
        class: Some(StorageClass::Vault),
    }
}

impl std::fmt::Debug for VaultStore<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VaultStore")
            .field("client", &self.client)
            .finish_non_exhaustive()
    }
}
