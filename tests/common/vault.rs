//! A vault of the tests' own server as a store, with a directory for all that is no segment.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use coldchain::model::{ArchiveId, LedgerId, Sha256, VaultLocator, keys};
use coldchain::store::{
    DirStore, KnownSegment, KnownSegments, Locator, NewObject, ObjectKind, Put, Store, StoreError,
    VaultSettings, VaultStore,
};

use super::bucket::{short_patience, write_credentials};
use super::vault_server::{ACCESS_KEY, Config, REGION, SECRET_KEY, VAULT, VaultServer};

/// The ledger of the tests' segments.
pub const LEDGER: LedgerId = LedgerId([0x5a; 16]);

/// When the server's clock begins.
pub fn begin() -> DateTime<Utc> {
    "2026-12-01T12:00:00Z".parse().unwrap()
}

/// A server with a vault, and what belongs to a machine that uses it.
pub struct OwnVault {
    pub server: VaultServer,
    pub directory: tempfile::TempDir,
    pub known: Arc<Index>,
}

/// The index of segments that an engine would keep.
#[derive(Default)]
pub struct Index {
    segments: Mutex<BTreeMap<String, KnownSegment>>,
}

impl Index {
    pub fn add(&self, segment: KnownSegment) {
        let mut segments = self.segments.lock().unwrap_or_else(PoisonError::into_inner);
        segments.insert(segment.locator.key.clone(), segment);
    }
}

impl KnownSegments for Index {
    fn ledger(&self) -> LedgerId {
        LEDGER
    }

    fn find(&self, key: &str) -> Result<Option<KnownSegment>, Box<dyn Error + Send + Sync>> {
        let segments = self.segments.lock().unwrap();
        Ok(segments.get(key).cloned())
    }

    fn under(&self, prefix: &str) -> Result<Vec<KnownSegment>, Box<dyn Error + Send + Sync>> {
        let segments = self.segments.lock().unwrap();
        let below = segments.values();
        Ok(below
            .filter(|segment| segment.locator.key.starts_with(prefix))
            .cloned()
            .collect())
    }
}

impl OwnVault {
    pub fn new() -> Self {
        Self::start(Config::default())
    }

    /// The server's clock stands still until a test turns it.
    pub fn start(config: Config) -> Self {
        let server = VaultServer::without_vault(config);
        server.clock().set(begin());
        server.change(|state| state.create(VAULT, begin()));
        let directory = tempfile::tempdir().unwrap();
        write_credentials(
            &directory.path().join("credentials"),
            ACCESS_KEY,
            SECRET_KEY,
        );
        std::fs::create_dir(directory.path().join("beside")).unwrap();
        Self {
            server,
            directory,
            known: Arc::default(),
        }
    }

    pub fn settings(&self) -> VaultSettings {
        VaultSettings {
            endpoint: Some(self.server.endpoint()),
            credentials_file: Some(self.directory.path().join("credentials")),
            patience: short_patience(),
            ..VaultSettings::new(REGION, VAULT)
        }
    }

    /// A store that was told of no ledger.
    pub fn untold(&self, settings: VaultSettings) -> VaultStore<'static> {
        let beside = DirStore::open(&self.directory.path().join("beside")).unwrap();
        let inventories = self.directory.path().join("state");
        VaultStore::open(settings, Box::new(|_| {}), Box::new(beside), inventories).unwrap()
    }

    pub fn open(&self, settings: VaultSettings) -> VaultStore<'static> {
        let store = self.untold(settings);
        store.know(self.known.clone());
        store
    }

    pub fn store(&self) -> VaultStore<'static> {
        self.open(self.settings())
    }

    /// Turns the clock.
    pub fn hours(&self, hours: i64) {
        self.server.clock().advance(TimeDelta::hours(hours));
    }

    pub fn now(&self) -> DateTime<Utc> {
        self.server.clock().now()
    }

    /// Stores a segment, and notes it as a catalog would.
    pub fn put(&self, store: &dyn Store, index: u32, bytes: &[u8]) -> Locator {
        let locator = put(store, &key(index, bytes), bytes).unwrap();
        self.known.add(KnownSegment {
            locator: parse(&locator),
            bytes: bytes.len() as u64,
            stored: self.now(),
        });
        locator
    }

    /// Waits for the next inventory, and has the store take it over.
    pub fn take_inventory(&self, store: &dyn Store) {
        use coldchain::store::Inventory;
        self.hours(24);
        for _ in 0..2 {
            if let Inventory::Of(_) = store.renew_inventory(None).unwrap() {
                return;
            }
            self.hours(5);
        }
        panic!("there is no inventory");
    }
}

pub fn archive() -> ArchiveId {
    "2026-12-01-full-5f0c9a12d4e6b801".parse().unwrap()
}

/// The key of a segment with these bytes.
pub fn key(index: u32, bytes: &[u8]) -> String {
    keys::segment("home", &archive(), index, &Sha256::of(bytes))
}

pub fn parse(locator: &Locator) -> VaultLocator {
    locator.to_string().parse().unwrap()
}

/// The id that the vault gave.
pub fn id(locator: &Locator) -> String {
    parse(locator).segment.id.to_string()
}

pub fn put(store: &dyn Store, key: &str, bytes: &[u8]) -> Result<Locator, StoreError> {
    let object = NewObject::new(key, bytes.to_vec(), Sha256::of(bytes), ObjectKind::Segment);
    match store.put_if_absent(&object)? {
        Put::Created(locator) => Ok(locator),
        Put::Existed(_) => panic!("{key} existed"),
    }
}

/// What coldchain says of a segment to the vault.
pub fn description(ledger: LedgerId, key: &str, bytes: &[u8]) -> String {
    format!("coldchain 1 {ledger} {key} {}", Sha256::of(bytes))
}
