//! A machine in process whose home is a vault, and a second store that becomes its home.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use coldchain::config::{Config, StoreConfig};
use coldchain::engine::{
    self, AtOnce, CopyRan, CopyRequest, MovedHome, OldHome, OldHomeAsked, OldHomePruned,
    OpenSource, OpenStore, Outcome, RunContext, StateDir, VerifyReport, Verifying, move_home,
    prune_old_home, verify,
};
use coldchain::error::Error;
use coldchain::interrupt::Interrupt;
use coldchain::model::{Sha256, Tier, VerifyLevel};
use coldchain::progress::Quiet;
use coldchain::store::{
    DEFAULT_LISTING_BYTES, MemoryStore, NewObject, ObjectKind, Put, Store, ThawRequest,
};

use crate::common::faults::{Faults, FaultyStore, Mode, Point};
use crate::common::lab::{Lab, Printed, SOURCE};
use crate::common::lab_vault::OpenLabVault;
use crate::common::sandbox::asked;
use crate::common::two_chains::Fixed;

/// The name of the new home in the config.
pub(super) const SECOND: &str = "second";
/// The vault's name in the config.
pub(super) const OLD_HOME: &str = "shelf";

/// The marker of a copy.
pub(super) const MARKER: &str = "home/ledger/COPY";

pub(super) struct Leaving {
    pub(super) lab: Lab,
    pub(super) second: Arc<MemoryStore>,
    /// When the machine and both stores believe to be.
    now: DateTime<Utc>,
}

/// Everything in a store.
pub(super) fn objects(store: &MemoryStore) -> BTreeMap<String, Vec<u8>> {
    let listed = store.list("").unwrap().into_iter();
    let read = |key: String| {
        let bytes = store.get(&store.locate(&key), u64::MAX).unwrap();
        (key, bytes)
    };
    listed.map(|object| read(object.key)).collect()
}

/// The ways in which an operation is struck. A read leaves nothing behind: one that fails is as one whose answer is lost.
pub(super) fn modes_of(point: &Point) -> &'static [Mode] {
    let reads = [
        "catalog: read",
        "store: list ",
        "store: read ",
        "store: look up ",
        "store: ask ",
    ];
    if reads.iter().any(|read| point.name.starts_with(read)) {
        &Mode::ALL[..1]
    } else {
        &Mode::ALL[..]
    }
}

fn name_second(lab: &mut Lab) {
    let second = StoreConfig::Dir {
        path: "/in/second".into(),
        cold: None,
        listing_bytes: DEFAULT_LISTING_BYTES,
    };
    lab.config.stores.insert(SECOND.to_owned(), second);
}

impl Leaving {
    /// That machine, and an empty second store.
    pub(super) fn new(lab: Lab) -> Self {
        let mut lab = lab;
        name_second(&mut lab);
        Self {
            lab,
            second: Arc::default(),
            now: Utc::now(),
        }
    }

    /// The same once more: what is done to it is not done to this one.
    pub(super) fn copy(&self) -> Self {
        let mut lab = self.lab.copy();
        name_second(&mut lab);
        let second = MemoryStore::default();
        for (key, bytes) in objects(&self.second) {
            let sha256 = Sha256::of(&bytes);
            let object = NewObject::new(&key, bytes, sha256, ObjectKind::Segment);
            assert!(matches!(second.put_if_absent(&object), Ok(Put::Created(_))));
        }
        let copied = Self {
            lab,
            second: Arc::new(second),
            now: self.now,
        };
        copied.set_clocks();
        copied
    }

    /// Lets time pass.
    pub(super) fn hours(&mut self, hours: i64) {
        self.now += TimeDelta::hours(hours);
        self.set_clocks();
    }

    fn set_clocks(&self) {
        self.lab.store.set_now(self.now);
        self.second.set_now(self.now);
    }

    /// What the vault has, and the store of its ledger.
    pub(super) fn at_old_home(&self) -> BTreeMap<String, Vec<u8>> {
        self.lab.objects()
    }

    /// Ids of everything in the vault.
    pub(super) fn ids(&self) -> BTreeSet<String> {
        self.lab.vault.as_ref().unwrap().ids()
    }

    /// Does something on this machine, whose stores and catalog these faults may strike.
    pub(super) fn in_context<T>(
        &self,
        faults: &Arc<Faults>,
        act: impl Fn(RunContext<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let vault = self.lab.vault.as_ref().unwrap();
        let stores: &OpenStore<'_> = &|config, _| {
            let faults = Arc::clone(faults);
            Ok(match config {
                StoreConfig::Dir { path, .. } if path == Path::new("/in/second") => {
                    Box::new(FaultyStore::new(Arc::clone(&self.second), faults))
                }
                _ => Box::new(FaultyStore::new(OpenLabVault::new(vault), faults)),
            })
        };
        self.lab.in_context_at(&Fixed(self.now), faults, |context| {
            act(RunContext { stores, ..context })
        })
    }

    /// `coldchain copy home --to second --yes`.
    pub(super) fn copy_out(&self, faults: &Arc<Faults>) -> Result<CopyRan, Error> {
        let request = CopyRequest {
            thaw: Some(ThawRequest {
                tier: Tier::Standard,
                days: 1,
            }),
            ..CopyRequest::default()
        };
        let config = &self.lab.config;
        self.in_context(faults, |context| {
            engine::copy(config, &config.sources[0], SECOND, request, context)
        })
    }

    pub(super) fn move_home(&self, faults: &Arc<Faults>) -> Result<MovedHome, Error> {
        let config = &self.lab.config;
        self.in_context(faults, |context| {
            let old_home = (OldHome::Asked, None);
            move_home(config, &config.sources[0], SECOND, old_home, context)
        })
    }

    /// The config after the move.
    pub(super) fn moved_config(&self) -> Config {
        let mut config = self.lab.config.clone();
        config.sources[0].store = Some(SECOND.to_owned());
        config
    }

    /// `coldchain decide DATE` at the new home, with that on stdin.
    pub(super) fn archive(&self, date: &str, stream: &[u8]) -> Result<Outcome, Error> {
        let config = self.moved_config();
        self.in_context(&Faults::none(), |context| {
            let (source, stdin) = (&config.sources[0], Printed(stream));
            engine::decide(&config, source, asked(date), context, stdin, |_| Ok(()))
        })
    }

    /// `coldchain verify --checksums` at the new home.
    pub(super) fn check(&self) -> VerifyReport {
        let config = self.moved_config();
        let mut catalog = self.lab.catalog();
        let row = catalog.source(&SOURCE.parse().unwrap()).unwrap().unwrap();
        let source = OpenSource {
            config: &config.sources[0],
            row,
            store: Box::new(Arc::clone(&self.second)),
        };
        let root = StateDir::new(&config.state_dir).root_key().unwrap();
        let verifying = Verifying {
            source: &source,
            root: &root,
            levels: &BTreeSet::from([VerifyLevel::Checksums]),
            sample: None,
            identities: None,
            kit: &[],
            drill: None,
            at_once: AtOnce {
                asked_for: 1,
                memory_limit: u64::MAX,
            },
            clock: &Fixed(self.now),
            observer: &Quiet,
            interrupt: Interrupt::of_this_process(),
        };
        verify(&verifying, &mut catalog).unwrap().whole().unwrap()
    }

    /// `coldchain prune home --old-home shelf`.
    pub(super) fn prune_old(
        &self,
        asked: OldHomeAsked,
        faults: &Arc<Faults>,
    ) -> Result<OldHomePruned, Error> {
        let config = self.moved_config();
        self.in_context(faults, |context| {
            prune_old_home(&config, &config.sources[0], OLD_HOME, asked, context)
        })
    }

    /// The machine at its new home alone, as a machine that never had a vault.
    pub(super) fn at_new_home(mut self) -> Lab {
        self.lab.config = self.moved_config();
        self.lab.store = self.second;
        self.lab.vault = None;
        self.lab
    }
}
