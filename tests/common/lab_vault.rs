//! A Glacier vault in process, over a store in memory for all that is no segment: ids, inventories that are made by
//! hand, and retrieval jobs on the clock of the store.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use coldchain::model::keys::{ArchivePart, archive_part};
use coldchain::model::{LedgerId, StorageClass, TreeHash, VaultLocator, VaultSegment};
use coldchain::store::{
    Deleted, ErrorKind, Inventory, KnownSegment, KnownSegments, Layer, Listed, Locator,
    MemoryStore, NewObject, Operation, Put, Readability, Stat, Store, StoreError, ThawAnswer,
    ThawRequest,
};

/// An inventory may lack what was stored so short a time before it.
const LAG: TimeDelta = TimeDelta::hours(48);
/// How long the output of a job can be read.
const OUTPUT_LIVES: TimeDelta = TimeDelta::hours(24);
/// How long an inventory job takes.
const INVENTORY_TAKES: TimeDelta = TimeDelta::hours(4);

/// The ledger of another machine that uses the vault.
const ANOTHER: LedgerId = LedgerId([0x77; 16]);

/// The vault itself, as the service has it.
pub struct LabVault {
    ledger_store: Arc<MemoryStore>,
    state: Mutex<State>,
}

#[derive(Default, Clone)]
struct State {
    archives: BTreeMap<String, Stored>,
    uploads: u64,
    /// The newest inventory that the service has made.
    made: Option<Made>,
    /// The one that was asked for, and when it is there.
    job: Option<(DateTime<Utc>, Made)>,
    /// The one that was read.
    kept: Option<Made>,
    deleted: BTreeMap<String, DateTime<Utc>>,
    /// When each retrieval is done, by the archive's id.
    retrievals: Vec<(String, DateTime<Utc>)>,
    retrieved: usize,
    denies_deletes: bool,
    /// How long an output is relied on, if not for as long as the real store does.
    window: Option<Duration>,
}

/// An archive, with what its description says.
#[derive(Clone)]
struct Stored {
    /// `None` for one that is not coldchain's.
    of: Option<(LedgerId, String)>,
    bytes: Bytes,
    at: DateTime<Utc>,
}

#[derive(Clone)]
struct Made {
    date: DateTime<Utc>,
    archives: BTreeMap<String, Stored>,
}

impl LabVault {
    pub fn new(ledger_store: Arc<MemoryStore>) -> Arc<Self> {
        Arc::new(Self {
            ledger_store,
            state: Mutex::default(),
        })
    }

    /// The same vault once more, over another store.
    pub fn copy(&self, ledger_store: Arc<MemoryStore>) -> Arc<Self> {
        Arc::new(Self {
            ledger_store,
            state: Mutex::new(self.state().clone()),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn now(&self) -> DateTime<Utc> {
        Store::guessed_now(&*self.ledger_store).unwrap()
    }

    /// The service makes an inventory of what there is at this moment.
    pub fn make_inventory(&self) {
        let date = self.now();
        let mut state = self.state();
        state.made = Some(Made {
            date,
            archives: state.archives.clone(),
        });
    }

    /// The service makes an inventory, and it is read.
    pub fn read_inventory(&self) {
        self.make_inventory();
        let mut state = self.state();
        if let Some(made) = state.made.clone() {
            state.kept = Some(made);
        }
        state.job = None;
    }

    /// The inventory that was read is lost.
    pub fn forget_inventory(&self) {
        self.state().kept = None;
    }

    /// What is in it under each key; a second one under a key by its locator. What is not coldchain's is left out.
    pub fn objects(&self) -> BTreeMap<String, Vec<u8>> {
        let state = self.state();
        let mut objects = BTreeMap::new();
        for (id, stored) in &state.archives {
            let Some((ledger, key)) = &stored.of else {
                continue;
            };
            if *ledger == ANOTHER {
                continue;
            }
            let key = if objects.contains_key(key) {
                locator(id, stored).to_string()
            } else {
                key.clone()
            };
            objects.insert(key, stored.bytes.to_vec());
        }
        objects
    }

    /// Ids of everything that is in it.
    pub fn ids(&self) -> BTreeSet<String> {
        self.state().archives.keys().cloned().collect()
    }

    /// What an archive has.
    pub fn body(&self, id: &str) -> Option<Vec<u8>> {
        let state = self.state();
        Some(state.archives.get(id)?.bytes.to_vec())
    }

    /// It has exactly these archives, by their ids, and nothing tells whose they are.
    pub fn show(&self, bodies: BTreeMap<String, Vec<u8>>) {
        let at = self.now();
        let stored = |bytes: Vec<u8>| Stored {
            of: None,
            bytes: bytes.into(),
            at,
        };
        let shown = bodies.into_iter().map(|(id, bytes)| (id, stored(bytes)));
        self.state().archives = shown.collect();
    }

    /// Another program stores something.
    pub fn plant(&self, bytes: &[u8]) -> String {
        self.keep(None, bytes.to_vec().into())
    }

    /// Another machine's coldchain stores a segment under that key of its own ledger.
    pub fn plant_of_another(&self, key: &str, bytes: &[u8]) -> String {
        let of = Some((ANOTHER, key.to_owned()));
        self.keep(of, bytes.to_vec().into())
    }

    /// The answer to an upload under that key was lost: the vault has it once more.
    pub fn plant_again(&self, key: &str) -> String {
        let of_key = |stored: &&Stored| stored.of.as_ref().is_some_and(|(_, of)| of == key);
        let first = self.state().archives.values().find(of_key).cloned();
        let first = first.unwrap_or_else(|| panic!("there is no {key}"));
        self.keep(first.of, first.bytes)
    }

    /// Outputs are relied on for so long from now on.
    pub fn set_window(&self, window: Duration) {
        self.state().window = Some(window);
    }

    /// An archive gets other bytes of the same length.
    pub fn spoil(&self, id: &str) {
        let mut state = self.state();
        let stored = state.archives.get_mut(id).unwrap();
        let mut bytes = stored.bytes.to_vec();
        bytes[0] ^= 1;
        stored.bytes = bytes.into();
    }

    /// An archive is lost.
    pub fn lose(&self, id: &str) {
        assert!(self.state().archives.remove(id).is_some());
    }

    /// A vault lock denies deletes from now on, or no more.
    pub fn deny_deletes(&self, denies: bool) {
        self.state().denies_deletes = denies;
    }

    /// How many retrievals were asked for.
    pub fn retrievals(&self) -> usize {
        self.state().retrieved
    }

    fn keep(&self, of: Option<(LedgerId, String)>, bytes: Bytes) -> String {
        let at = self.now();
        let mut state = self.state();
        state.uploads += 1;
        let id = format!("id-of-upload-{:06}", state.uploads);
        state.archives.insert(id.clone(), Stored { of, bytes, at });
        id
    }
}

fn locator(id: &str, stored: &Stored) -> VaultLocator {
    let (_, key) = stored.of.as_ref().expect("it is coldchain's");
    VaultLocator {
        key: key.clone(),
        segment: VaultSegment {
            id: id.parse().unwrap(),
            tree_hash: TreeHash::of(&stored.bytes),
        },
    }
}

/// The vault as one run has it open.
pub struct OpenLabVault {
    vault: Arc<LabVault>,
    known: Mutex<Option<Arc<dyn KnownSegments>>>,
    uploaded: Mutex<BTreeMap<String, KnownSegment>>,
}

impl OpenLabVault {
    pub fn new(vault: &Arc<LabVault>) -> Self {
        Self {
            vault: Arc::clone(vault),
            known: Mutex::default(),
            uploaded: Mutex::default(),
        }
    }

    fn ledger(&self) -> Option<LedgerId> {
        self.known
            .lock()
            .unwrap()
            .as_ref()
            .map(|known| known.ledger())
    }

    /// What is meant by a key.
    fn meant(&self, key: &str) -> Option<KnownSegment> {
        if let Some(uploaded) = self.uploaded.lock().unwrap().get(key) {
            return Some(uploaded.clone());
        }
        let known = self.known.lock().unwrap();
        known.as_ref().and_then(|known| known.find(key).unwrap())
    }

    fn all_meant(&self, prefix: &str) -> BTreeMap<String, KnownSegment> {
        let known = self.known.lock().unwrap();
        let known = known
            .as_ref()
            .map_or_else(Vec::new, |known| known.under(prefix).unwrap());
        let uploaded = self.uploaded.lock().unwrap();
        let uploaded = uploaded
            .values()
            .filter(|it| it.locator.key.starts_with(prefix));
        known
            .into_iter()
            .chain(uploaded.cloned())
            .map(|segment| (segment.locator.key.clone(), segment))
            .collect()
    }

    /// The segments that a listing shows by their keys, and second uploads by their locators.
    fn segments(&self, prefix: &str) -> BTreeMap<String, (VaultLocator, Stat)> {
        let state = self.vault.state();
        let kept = state.kept.as_ref();
        let is_deleted = |id: &str| {
            let deleted = state.deleted.get(id);
            deleted.is_some_and(|deleted| kept.is_none_or(|kept| kept.date <= *deleted))
        };
        let stat = |bytes, modified| Stat {
            bytes,
            sha256: None,
            modified,
            class: Some(StorageClass::Vault),
        };
        let mut shown = BTreeMap::new();
        let meant = self.all_meant(prefix);
        for (key, known) in &meant {
            let id = known.locator.segment.id.as_str();
            if is_deleted(id) {
                continue;
            }
            let listed = kept.and_then(|kept| kept.archives.get(id));
            let stat = match (listed, kept) {
                (Some(listed), _) => stat(listed.bytes.len() as u64, listed.at),
                (None, Some(kept)) if known.stored + LAG < kept.date => continue,
                (None, _) => stat(known.bytes, known.stored),
            };
            shown.insert(key.clone(), (known.locator.clone(), stat));
        }
        let ledger = self.ledger();
        for (id, stored) in kept.iter().flat_map(|kept| &kept.archives) {
            let Some((of, key)) = &stored.of else {
                continue;
            };
            if Some(*of) != ledger || !key.starts_with(prefix) || is_deleted(id) {
                continue;
            }
            let locator = locator(id, stored);
            if shown
                .values()
                .any(|(shown, _)| shown.segment.id == locator.segment.id)
            {
                continue;
            }
            let by = if meant.contains_key(key) || shown.contains_key(key) {
                locator.to_string()
            } else {
                key.clone()
            };
            shown.insert(by, (locator, stat(stored.bytes.len() as u64, stored.at)));
        }
        shown
    }

    fn error(&self, kind: ErrorKind, operation: Operation, locator: &Locator) -> StoreError {
        StoreError {
            kind,
            operation,
            key: locator.to_string(),
            url: Layer::url(self),
            source: None,
            advice: None,
        }
    }

    /// The id that a locator names, of an archive that is there.
    fn id(&self, operation: Operation, at: &Locator) -> Result<String, StoreError> {
        let locator: VaultLocator = at
            .to_string()
            .parse()
            .map_err(|_| self.error(ErrorKind::NotFound, operation, at))?;
        let id = locator.segment.id.to_string();
        if self.vault.state().archives.contains_key(&id) {
            Ok(id)
        } else {
            Err(self.error(ErrorKind::NotFound, operation, at))
        }
    }
}

fn is_segment(at: &str) -> bool {
    let key = at.split('?').next().unwrap_or(at);
    let name = key.rsplit('/').next().unwrap_or(key);
    matches!(archive_part(name), Some(ArchivePart::Segment(_)))
}

impl Layer for OpenLabVault {
    fn below(&self) -> &dyn Store {
        &*self.vault.ledger_store
    }

    fn url(&self) -> String {
        "glacier-vault://us-east-1/archives".to_owned()
    }

    fn put_if_absent(&self, object: &NewObject<'_>) -> Result<Put, StoreError> {
        if !is_segment(object.key) {
            return self.below().put_if_absent(object);
        }
        let ledger = self
            .ledger()
            .expect("a store is told its ledger before it stores");
        let of = Some((ledger, object.key.to_owned()));
        let id = self.vault.keep(of, object.bytes.clone());
        let stored = self.vault.state().archives[&id].clone();
        let locator = locator(&id, &stored);
        let known = KnownSegment {
            bytes: stored.bytes.len() as u64,
            stored: stored.at,
            locator: locator.clone(),
        };
        self.uploaded
            .lock()
            .unwrap()
            .insert(object.key.to_owned(), known);
        Ok(Put::Created(Locator::from(locator.to_string())))
    }

    fn know(&self, segments: Arc<dyn KnownSegments>) {
        *self.known.lock().unwrap() = Some(segments);
    }

    fn renew_inventory(&self, wanted: Option<DateTime<Utc>>) -> Result<Inventory, StoreError> {
        let now = self.vault.now();
        let mut state = self.vault.state();
        if let Some((_, job)) = state.job.take_if(|(due, _)| *due <= now) {
            state.kept = Some(job);
        }
        let kept = state.kept.as_ref().map(|kept| kept.date);
        if state.job.is_some() {
            return Ok(Inventory::Awaited(kept));
        }
        let newer = state
            .made
            .clone()
            .filter(|made| kept.is_none_or(|kept| kept < made.date));
        match newer {
            Some(made) if kept.is_none() || wanted.is_none_or(|wanted| wanted < made.date) => {
                state.job = Some((now + INVENTORY_TAKES, made));
                Ok(Inventory::Awaited(kept))
            }
            _ => match kept {
                Some(kept) if wanted.is_none_or(|wanted| wanted < kept) => Ok(Inventory::Of(kept)),
                kept => Ok(Inventory::NotYet(kept)),
            },
        }
    }

    fn is_confirmed(&self, key: &str) -> Result<bool, StoreError> {
        let Some(meant) = self.meant(key) else {
            return Ok(false);
        };
        let state = self.vault.state();
        let kept = state.kept.as_ref();
        let listed = kept.and_then(|kept| kept.archives.get(meant.locator.segment.id.as_str()));
        Ok(listed.is_some_and(|listed| {
            listed.bytes.len() as u64 == meant.bytes
                && TreeHash::of(&listed.bytes) == meant.locator.segment.tree_hash
        }))
    }

    fn needs_index(&self) -> bool {
        true
    }

    fn thaw_window(&self) -> Option<Duration> {
        let window = self.vault.state().window;
        Some(window.unwrap_or(Duration::from_hours(20)))
    }

    fn locate(&self, key: &str) -> Locator {
        if !is_segment(key) || key.contains('?') {
            return Locator::from(key.to_owned());
        }
        let locator = match self.meant(key) {
            Some(meant) => Some(meant.locator),
            None => self.segments(key).remove(key).map(|(locator, _)| locator),
        };
        Locator::from(locator.map_or_else(|| key.to_owned(), |locator| locator.to_string()))
    }

    fn get(&self, at: &Locator, max_bytes: u64) -> Result<Vec<u8>, StoreError> {
        if !is_segment(&at.to_string()) {
            return self.below().get(at, max_bytes);
        }
        let id = self.id(Operation::Get, at)?;
        let Readability::Until(..) = Layer::readability(self, at)? else {
            return Err(self.error(ErrorKind::Cold, Operation::Get, at));
        };
        let bytes = self.vault.state().archives[&id].bytes.to_vec();
        if bytes.len() as u64 > max_bytes {
            return Err(self.error(ErrorKind::TooLarge, Operation::Get, at));
        }
        Ok(bytes)
    }

    fn get_range(&self, at: &Locator, offset: u64, len: u64) -> Result<Vec<u8>, StoreError> {
        if !is_segment(&at.to_string()) {
            return self.below().get_range(at, offset, len);
        }
        let bytes = Layer::get(self, at, u64::MAX)?;
        let (from, len) = (
            usize::try_from(offset).unwrap(),
            usize::try_from(len).unwrap(),
        );
        let range = bytes.get(from..from + len).map(<[u8]>::to_vec);
        range.ok_or_else(|| self.error(ErrorKind::TooShort, Operation::Get, at))
    }

    fn stat(&self, at: &Locator) -> Result<Stat, StoreError> {
        let text = at.to_string();
        if !is_segment(&text) {
            return self.below().stat(at);
        }
        let locator: VaultLocator = text
            .parse()
            .map_err(|_| self.error(ErrorKind::NotFound, Operation::Stat, at))?;
        let shown = self.segments(&locator.key);
        let found = shown.into_values().find(|(shown, _)| *shown == locator);
        found
            .map(|(_, stat)| stat)
            .ok_or_else(|| self.error(ErrorKind::NotFound, Operation::Stat, at))
    }

    fn second_uploads(&self, prefix: &str) -> Result<Vec<(Locator, Stat)>, StoreError> {
        let segments = self.segments(prefix).into_iter();
        let second = segments.filter(|(by, _)| by.contains('?'));
        let second = second.map(|(by, (_, stat))| (Locator::from(by), stat));
        Ok(second.collect())
    }

    fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        let mut listed = self.below().list(prefix)?;
        let segments = self.segments(prefix).into_iter();
        let segments = segments.filter(|(by, _)| !by.contains('?'));
        listed.extend(segments.map(|(key, (_, stat))| Listed { key, stat }));
        listed.sort_by(|one, other| one.key.cmp(&other.key));
        Ok(listed)
    }

    fn delete(&self, at: &Locator) -> Result<Deleted, StoreError> {
        if !is_segment(&at.to_string()) {
            return self.below().delete(at);
        }
        let Ok(locator) = at.to_string().parse::<VaultLocator>() else {
            return Err(self.error(ErrorKind::NoId, Operation::Delete, at));
        };
        let now = self.vault.now();
        let mut state = self.vault.state();
        if state.denies_deletes {
            return Err(self.error(ErrorKind::Denied, Operation::Delete, at));
        }
        let id = locator.segment.id.to_string();
        let was_there = state.archives.remove(&id).is_some();
        state.deleted.insert(id, now);
        Ok(if was_there {
            Deleted::Removed
        } else {
            Deleted::Absent
        })
    }

    fn readability(&self, at: &Locator) -> Result<Readability, StoreError> {
        if !is_segment(&at.to_string()) {
            return self.below().readability(at);
        }
        let id = self.id(Operation::Stat, at)?;
        let (class, now) = (StorageClass::Vault, self.vault.now());
        let state = self.vault.state();
        let of_it = state.retrievals.iter().rev().find(|(of, _)| *of == id);
        Ok(match of_it {
            Some((_, done)) if now < *done => Readability::Thawing(class),
            Some((_, done)) if now < *done + OUTPUT_LIVES => {
                Readability::Until(class, *done + OUTPUT_LIVES)
            }
            _ => Readability::Cold(class),
        })
    }

    fn thaw(&self, at: &Locator, request: ThawRequest) -> Result<ThawAnswer, StoreError> {
        if !is_segment(&at.to_string()) {
            return self.below().thaw(at, request);
        }
        let id = self.id(Operation::Thaw, at)?;
        if !matches!(Layer::readability(self, at)?, Readability::Cold(_)) {
            return Ok(ThawAnswer::Running);
        }
        let takes = StorageClass::Vault.thaw_time(request.tier).unwrap();
        let done = self.vault.now() + takes;
        let mut state = self.vault.state();
        state.retrievals.push((id, done));
        state.retrieved += 1;
        Ok(ThawAnswer::Accepted)
    }
}
