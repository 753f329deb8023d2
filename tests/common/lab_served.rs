//! A machine in process whose segments are in a vault of the tests' own server: every run sends real requests, and any
//! of them can be struck.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use coldchain::config::{PruneMode, StoreConfig};
use coldchain::engine::{
    self, AtOnce, CopyRan, CopyRequest, OpenSource, OpenStore, OtherPlaces, Outcome, PruneAsked,
    Pruned, RunContext, StreamingOut, ThawStatus, WantedSegments, know_segments, stream_out, thaw,
};
use coldchain::error::Error;
use coldchain::interrupt::Interrupt;
use coldchain::model::{ArchiveId, Sha256, StorageClass, Tier};
use coldchain::progress::Quiet;
use coldchain::store::{
    DEFAULT_LISTING_BYTES, MemoryStore, NewObject, ObjectKind, Put, RetryPolicy, Store,
    ThawRequest, VaultSettings, VaultStore,
};

use super::bucket::{patience_without_stalls, write_credentials};
use super::enumerate::Cases;
use super::faults::Faults;
use super::from_env;
use super::lab::{Lab, SOURCE, archive_entries};
use super::lab_vault::LabVault;
use super::sandbox::asked;
use super::two_chains::Fixed;
use super::vault::begin;
use super::vault_server::{
    ACCESS_KEY, Config, Fault, FaultKind, Operation, REGION, SECRET_KEY, VAULT, VaultServer,
};

/// The name of the store that gets copies.
const SECOND: &str = "second";

/// How a thaw is asked for.
pub const REQUEST: ThawRequest = ThawRequest {
    tier: Tier::Standard,
    days: 1,
};

/// What strikes a request.
const KINDS: [FaultKind; 6] = [
    FaultKind::Throttled,
    FaultKind::Status(500),
    FaultKind::ResetInBody,
    FaultKind::ResetAfter,
    FaultKind::Refusal(403, "ExpiredTokenException", "expired"),
    FaultKind::Refusal(403, "AccessDeniedException", "denied"),
];

pub struct ServedLab {
    /// Its vault shows what [`sync`](Self::sync) last saw in the server's.
    pub lab: Lab,
    pub server: VaultServer,
    /// Where copies go.
    pub second: Arc<MemoryStore>,
    /// Credentials, and the inventories that are kept.
    directory: tempfile::TempDir,
}

impl ServedLab {
    /// A machine with keys and an empty vault. Its clocks stand until they are turned. It leaves prunes to `prune`.
    pub fn new() -> Self {
        let server = VaultServer::without_vault(Config::default());
        server.change(|state| state.create(VAULT, begin()));
        Self::at(Lab::with_vault(), server, begin())
    }

    fn at(mut lab: Lab, server: VaultServer, now: DateTime<Utc>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        write_credentials(
            &directory.path().join("credentials"),
            ACCESS_KEY,
            SECRET_KEY,
        );
        fs::create_dir(directory.path().join("inventories")).unwrap();
        lab.config.prune = PruneMode::Elsewhere;
        lab.config.stores.insert(
            SECOND.to_owned(),
            StoreConfig::Dir {
                path: "/in/second".into(),
                cold: None,
                listing_bytes: DEFAULT_LISTING_BYTES,
            },
        );
        let machine = Self {
            lab,
            server,
            second: Arc::default(),
            directory,
        };
        machine.set_now(now);
        machine
    }

    /// The same once more: what is done to it is not done to this one.
    pub fn copy(&self) -> Self {
        let server = VaultServer::without_vault(Config::default());
        let state = self.server.change(|state| state.clone());
        server.change(|copied| *copied = state);
        let mut lab = self.lab.copy();
        lab.store = again(&self.lab.store);
        lab.vault = Some(LabVault::new(Arc::clone(&lab.store)));
        lab.config.sources[0].schedule = self.lab.config.sources[0].schedule.clone();
        let mut copy = Self::at(lab, server, self.now());
        copy.second = again(&self.second);
        copy.second.set_now(self.now());
        // The files are named after the server's address.
        let [from, to] = [self, &copy].map(|of| {
            Sha256::of(of.settings(&patience_without_stalls()).url().as_bytes()).prefix16()
        });
        for file in fs::read_dir(self.directory.path().join("inventories")).unwrap() {
            let name = file.unwrap().file_name().into_string().unwrap();
            let path = |of: &Self, name: &str| of.directory.path().join("inventories").join(name);
            fs::copy(path(self, &name), path(&copy, &name.replace(&from, &to))).unwrap();
        }
        copy
    }

    fn settings(&self, patience: &RetryPolicy) -> VaultSettings {
        VaultSettings {
            endpoint: Some(self.server.endpoint()),
            credentials_file: Some(self.directory.path().join("credentials")),
            patience: patience.clone(),
            ..VaultSettings::new(REGION, VAULT)
        }
    }

    pub fn open(&self, patience: &RetryPolicy) -> VaultStore<'static> {
        VaultStore::open(
            self.settings(patience),
            Box::new(|_| {}),
            Box::new(Arc::clone(&self.lab.store)),
            self.directory.path().join("inventories"),
        )
        .unwrap()
    }

    pub fn now(&self) -> DateTime<Utc> {
        self.server.clock().now()
    }

    fn set_now(&self, now: DateTime<Utc>) {
        self.server.clock().set(now);
        self.lab.store.set_now(now);
        self.second.set_now(now);
    }

    /// Turns all clocks.
    pub fn hours(&self, hours: i64) {
        self.set_now(self.now() + TimeDelta::hours(hours));
    }

    /// Does something on this machine.
    pub fn in_context<T>(
        &self,
        patience: &RetryPolicy,
        act: impl Fn(RunContext<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let stores: &OpenStore<'_> = &|config, _| match config {
            StoreConfig::Vault { .. } => Ok(Box::new(self.open(patience))),
            _ => Ok(Box::new(Arc::clone(&self.second))),
        };
        let clock = Fixed(self.now());
        self.lab.in_context_at(&clock, &Faults::none(), |context| {
            act(RunContext { stores, ..context })
        })
    }

    /// `coldchain decide DATE`, with that on stdin.
    pub fn decide(
        &self,
        date: &str,
        stream: &[u8],
        patience: &RetryPolicy,
    ) -> Result<Outcome, Error> {
        let config = &self.lab.config;
        self.in_context(patience, |context| {
            let stdin = super::lab::Printed(stream);
            let source = &config.sources[0];
            engine::decide(config, source, asked(date), context, stdin, |_| Ok(()))
        })
    }

    /// `coldchain prune` of that day.
    pub fn prune(&self, date: NaiveDate, patience: &RetryPolicy) -> Result<Pruned, Error> {
        let config = &self.lab.config;
        let asked = PruneAsked {
            date,
            yes_delete: None,
        };
        self.in_context(patience, |context| {
            engine::prune(config, &config.sources[0], asked, context).map_err(Error::from)
        })
    }

    /// `coldchain copy home --to second`, which thaws what it needs. An error if it stops before it has copied what it
    /// can.
    pub fn copy_out(&self, patience: &RetryPolicy) -> Result<CopyRan, Error> {
        let config = &self.lab.config;
        let asked = CopyRequest {
            thaw: Some(REQUEST),
            ..CopyRequest::default()
        };
        let ran = self.in_context(patience, |context| {
            engine::copy(config, &config.sources[0], SECOND, asked, context)
        })?;
        match ran.stopped {
            Some(error) => Err(error),
            None => Ok(ran),
        }
    }

    fn archives(&self) -> Vec<ArchiveId> {
        let catalog = self.lab.catalog();
        let row = catalog.source(&SOURCE.parse().unwrap()).unwrap().unwrap();
        let archives = catalog.visible(&row.ledger).unwrap();
        archives.iter().map(|row| row.id).collect()
    }

    fn source(&self, patience: &RetryPolicy) -> OpenSource<'_> {
        let catalog = self.lab.catalog();
        let row = catalog.source(&SOURCE.parse().unwrap()).unwrap().unwrap();
        let source = OpenSource {
            config: &self.lab.config.sources[0],
            row,
            store: Box::new(self.open(patience)),
        };
        know_segments(&source, &catalog).unwrap();
        source
    }

    /// Has jobs made for all archives.
    pub fn thaw(&self, patience: &RetryPolicy) -> Result<ThawStatus, Error> {
        let source = self.source(patience);
        let wanted = WantedSegments {
            source: &source,
            class: Some(StorageClass::Vault),
            archives: &self.archives(),
            only: None,
            interrupt: Interrupt::of_this_process(),
        };
        thaw(&wanted, REQUEST, &mut self.lab.catalog())
    }

    /// The streams of all archives, oldest first, as a restore reads them.
    pub fn streams(&self, patience: &RetryPolicy) -> Result<Vec<Vec<u8>>, Error> {
        let source = self.source(patience);
        let identities = self.lab.identities();
        let clock = Fixed(self.now());
        let read = |archive: &ArchiveId| {
            let streaming = StreamingOut {
                source: &source,
                archive: *archive,
                identities: &identities,
                identity_name: "the kit",
                class: Some(StorageClass::Vault),
                at_once: AtOnce {
                    asked_for: 1,
                    memory_limit: 512 << 20,
                },
                thaw: REQUEST,
                observer: &Quiet,
                interrupt: Interrupt::of_this_process(),
                clock: &clock,
                others: &OtherPlaces::default(),
            };
            let mut stream = Vec::new();
            stream_out(&streaming, &mut stream, &mut self.lab.catalog())?;
            Ok(stream)
        };
        self.archives().iter().map(read).collect()
    }

    /// Shows the machine's vault what the server has.
    pub fn sync(&self) {
        let archives = self.server.archives().into_iter();
        let bodies = archives.map(|archive| (archive.id, archive.body)).collect();
        self.lab.vault.as_ref().unwrap().show(bodies);
    }

    /// The dates that are visible, each of them whole.
    pub fn holds(&self, sent: &BTreeMap<&str, &[u8]>) -> BTreeSet<NaiveDate> {
        self.sync();
        self.lab.holds(sent)
    }

    /// Ids of the archives in the vault.
    pub fn ids(&self) -> BTreeSet<String> {
        let archives = self.server.archives().into_iter();
        archives.map(|archive| archive.id).collect()
    }

    /// The ids that entries of visible archives name.
    pub fn named(&self) -> BTreeSet<String> {
        let visible: BTreeSet<ArchiveId> = self.archives().into_iter().collect();
        let mut catalog = self.lab.catalog();
        let row = catalog.source(&SOURCE.parse().unwrap()).unwrap().unwrap();
        let entries = archive_entries(&mut catalog, row.ledger).into_iter();
        let entries = entries.filter(|entry| visible.contains(&entry.id));
        let places = entries.filter_map(|entry| entry.vault);
        let segments = places.flat_map(|place| place.segments);
        segments.map(|segment| segment.id.to_string()).collect()
    }

    /// Strikes every request that `act` sends to the vault with every fault, once and from then on. `check` gets the
    /// machine after each, on which nothing is struck any more, and what came of it.
    pub fn strike_all<T>(
        &self,
        of: &'static str,
        act: impl Fn(&Self, &RetryPolicy) -> Result<T, Error>,
        check: impl Fn(&Self, Result<T, Error>),
    ) {
        let whole = self.copy();
        let done = act(&whole, &patience_without_stalls());
        let requests = whole.server.requests();
        check(&whole, done);
        assert!(!requests.is_empty(), "{of} sends nothing");
        let mut cases = Cases::new(of);
        let (tried, missed) = (Cell::new(0_u32), Cell::new(0_u32));
        for (nth, request) in requests.iter().enumerate() {
            for (kind, what) in KINDS.iter().enumerate() {
                // Those that last take the patience of each request after them, so half of them are tried here.
                let lasts =
                    (nth + kind).is_multiple_of(2) || from_env("COLDCHAIN_ALL_FAULTS", 0) == 1;
                let often = if lasts {
                    &[Some(1), None][..]
                } else {
                    &[Some(1)]
                };
                for &times in often {
                    let often = if times.is_some() {
                        "once"
                    } else {
                        "from then on"
                    };
                    let case = format!("request {nth}, {:?}: {what:?}, {often}", request.operation);
                    cases.run(&case, || {
                        let served = self.copy();
                        served.server.fail(Fault {
                            operation: None,
                            skip: nth,
                            times,
                            what: what.clone(),
                        });
                        let done = act(&served, &little_patience());
                        tried.set(tried.get() + 1);
                        // Requests of several threads come in another order: there may be fewer of them.
                        if served.server.faults_struck() == 0 {
                            missed.set(missed.get() + 1);
                        }
                        served.server.clear_faults();
                        check(&served, done);
                    });
                }
            }
        }
        cases.end();
        assert!(missed.get() * 10 <= tried.get(), "{of}: too few are struck");
    }

    /// How many requests of that kind came.
    pub fn count(&self, operation: Operation) -> usize {
        self.server.count(operation)
    }
}

/// For runs that are struck: they may give up, and have to be right nevertheless.
fn little_patience() -> RetryPolicy {
    RetryPolicy {
        give_up_after: Duration::from_millis(150),
        first_contact: Duration::from_millis(150),
        first_pause: Duration::from_millis(5),
        longest_pause: Duration::from_millis(20),
        stall: Duration::from_secs(2),
    }
}

/// Another store with the same objects, as old as they are.
fn again(store: &MemoryStore) -> Arc<MemoryStore> {
    let copy = MemoryStore::default();
    for listed in store.list("").unwrap() {
        let at = store.locate(&listed.key);
        let bytes = store.get(&at, u64::MAX).unwrap();
        let sha256 = Sha256::of(&bytes);
        copy.set_now(listed.stat.modified);
        let object = NewObject::new(&listed.key, bytes, sha256, ObjectKind::Ledger);
        assert!(matches!(copy.put_if_absent(&object), Ok(Put::Created(_))));
    }
    Arc::new(copy)
}
