//! A restore and a copy out of a vault that end at any operation on a store or on the catalog: jobs are found again and
//! not paid for twice, and the next run ends well.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{TimeDelta, Utc};
use coldchain::config::StoreConfig;
use coldchain::engine::{
    self, AtOnce, CopyRan, CopyRequest, OpenSource, OpenStore, OtherPlaces, RunContext,
    StreamingOut, ThawStatus, WantedSegments, know_segments, stream_out, thaw,
};
use coldchain::error::Error;
use coldchain::interrupt::Interrupt;
use coldchain::model::{ArchiveId, StorageClass};
use coldchain::progress::Quiet;
use coldchain::store::{
    DEFAULT_LISTING_BYTES, ErrorKind, MemoryStore, Readability, Store, StoreError,
};

use crate::common::enumerate::Cases;
use crate::common::faults::{Faults, FaultyStore, Mode};
use crate::common::lab::{Lab, SOURCE};
use crate::common::lab_served::REQUEST;
use crate::common::lab_vault::OpenLabVault;
use crate::common::two_chains::{Fixed, OLD, stream_of};

const SECOND: &str = "second";

/// A machine with a chain of two archives in a vault, and a store that is to get a copy.
struct Leaving {
    lab: Lab,
    second: Arc<MemoryStore>,
    /// How far its clock is ahead.
    hours: i64,
}

impl Leaving {
    fn new() -> Self {
        let lab = Lab::with_vault();
        for (date, parent) in [(OLD[0], None), (OLD[1], Some(OLD[0]))] {
            let stream = stream_of(date, parent);
            lab.decide(date, &stream, &Faults::none()).unwrap();
        }
        Self::of(lab, Arc::default(), 0)
    }

    fn of(mut lab: Lab, second: Arc<MemoryStore>, hours: i64) -> Self {
        let place = StoreConfig::Dir {
            path: "/in/second".into(),
            cold: None,
            listing_bytes: DEFAULT_LISTING_BYTES,
        };
        lab.config.stores.insert(SECOND.to_owned(), place);
        let leaving = Self { lab, second, hours };
        leaving.turn();
        leaving
    }

    fn turn(&self) {
        let now = Utc::now() + TimeDelta::hours(self.hours);
        self.lab.store.set_now(now);
    }

    /// The same once more: what is done to it is not done to this one. Its second store is empty.
    fn copy(&self) -> Self {
        Self::of(self.lab.copy(), Arc::default(), self.hours)
    }

    fn later(&mut self, hours: i64) {
        self.hours += hours;
        self.turn();
    }

    fn retrievals(&self) -> usize {
        self.lab.vault.as_ref().unwrap().retrievals()
    }

    /// `coldchain copy home --to second`.
    fn copy_out(&self, faults: &Arc<Faults>) -> Result<CopyRan, Error> {
        let vault = self.lab.vault.as_ref().unwrap();
        let stores: &OpenStore<'_> = &|config, _| {
            let faults = Arc::clone(faults);
            Ok(match config {
                StoreConfig::Vault { .. } => {
                    Box::new(FaultyStore::new(OpenLabVault::new(vault), faults))
                }
                _ => Box::new(FaultyStore::new(Arc::clone(&self.second), faults)),
            })
        };
        let config = &self.lab.config;
        let asked = CopyRequest {
            thaw: Some(REQUEST),
            ..CopyRequest::default()
        };
        let ran = self.lab.in_context(faults, |context| {
            let context = RunContext { stores, ..context };
            engine::copy(config, &config.sources[0], SECOND, asked, context)
        })?;
        match ran.stopped {
            Some(error) => Err(error),
            None => Ok(ran),
        }
    }

    /// Does something with the open source and its archives.
    fn with_archives<T>(
        &self,
        faults: &Arc<Faults>,
        act: impl Fn(&OpenSource<'_>, &[ArchiveId], &Arc<Faults>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let catalog = self.lab.catalog();
        let row = catalog.source(&SOURCE.parse().unwrap())?.unwrap();
        let archives = catalog.visible(&row.ledger)?;
        let archives: Vec<ArchiveId> = archives.iter().map(|row| row.id).collect();
        let vault = OpenLabVault::new(self.lab.vault.as_ref().unwrap());
        let source = OpenSource {
            config: &self.lab.config.sources[0],
            row,
            store: Box::new(FaultyStore::new(vault, Arc::clone(faults))),
        };
        know_segments(&source, &catalog)?;
        act(&source, &archives, faults)
    }

    fn thaw(&self, faults: &Arc<Faults>) -> Result<ThawStatus, Error> {
        self.with_archives(faults, |source, archives, faults| {
            let wanted = WantedSegments {
                source,
                class: Some(StorageClass::Vault),
                archives,
                only: None,
                interrupt: Interrupt::of_this_process(),
            };
            let mut catalog = self.lab.catalog().watched(Arc::clone(faults) as _);
            thaw(&wanted, REQUEST, &mut catalog)
        })
    }

    /// The streams of all archives.
    fn streams(&self, faults: &Arc<Faults>) -> Result<Vec<Vec<u8>>, Error> {
        let identities = self.lab.identities();
        let clock = Fixed(Store::guessed_now(&*self.lab.store).unwrap());
        self.with_archives(faults, |source, archives, faults| {
            let read = |archive: &ArchiveId| {
                let streaming = StreamingOut {
                    source,
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
                let mut catalog = self.lab.catalog().watched(Arc::clone(faults) as _);
                let mut stream = Vec::new();
                stream_out(&streaming, &mut stream, &mut catalog)?;
                Ok(stream)
            };
            archives.iter().map(read).collect()
        })
    }
}

/// Stops `act` at each of its operations; `check` gets the machine after it, and what came of it. A read that fails leaves
/// nothing behind, whether its answer is lost or the machine dies.
fn stop_all<T>(
    of: &'static str,
    begin: &Leaving,
    act: impl Fn(&Leaving, &Arc<Faults>) -> Result<T, Error>,
    check: impl Fn(Leaving, Result<T, Error>),
) {
    let faults = Faults::none();
    let whole = begin.copy();
    let done = act(&whole, &faults);
    check(whole, done);
    let mut cases = Cases::new(of);
    for point in faults.points() {
        let changes = ["store: store", "store: thaw", "store: delete"];
        let changes = changes.iter().any(|begin| point.name.starts_with(begin))
            || point.name.starts_with("catalog:") && !point.name.starts_with("catalog: read");
        let modes = if changes {
            &Mode::ALL[..]
        } else {
            &Mode::ALL[..1]
        };
        for &mode in modes {
            cases.run(&format!("{point}: {mode}"), || {
                let leaving = begin.copy();
                let faults = Faults::at(&point, mode);
                let done = act(&leaving, &faults);
                assert!(faults.has_struck(), "it was not reached");
                check(leaving, done);
            });
        }
    }
    cases.end();
}

fn sent() -> [Vec<u8>; 2] {
    [stream_of(OLD[0], None), stream_of(OLD[1], Some(OLD[0]))]
}

fn is_restored(leaving: &mut Leaving) {
    let status = leaving.thaw(&Faults::none()).unwrap();
    let is_cold = |it: &Readability| matches!(it, Readability::Cold(_));
    assert!(!status.segments.iter().any(|it| is_cold(&it.readability)));
    leaving.later(6);
    assert_eq!(leaving.streams(&Faults::none()).unwrap(), sent());
    assert_eq!(leaving.retrievals(), 2, "a job is paid for twice");
}

#[test]
fn a_restore_that_ends_anywhere_finds_its_jobs_again() {
    let mut begin = Leaving::new();
    stop_all(
        "a restore that asks",
        &begin,
        Leaving::thaw,
        |mut leaving, _| {
            is_restored(&mut leaving);
        },
    );
    begin.thaw(&Faults::none()).unwrap();
    begin.later(6);
    stop_all(
        "a restore that reads",
        &begin,
        Leaving::streams,
        |mut leaving, done| {
            if let Ok(streams) = done {
                assert_eq!(streams, sent());
            }
            is_restored(&mut leaving);
        },
    );
}

/// Panics unless the copy has what home has.
fn is_copied(leaving: &Leaving) {
    let stored = |store: &dyn Store| -> Result<BTreeMap<String, Vec<u8>>, StoreError> {
        let listed = store.list("")?.into_iter();
        listed
            .map(|listed| {
                Ok((
                    listed.key.clone(),
                    store.get(&store.locate(&listed.key), u64::MAX)?,
                ))
            })
            .collect()
    };
    let mut copy = stored(&*leaving.second).unwrap();
    copy.remove("home/ledger/COPY").expect("it is marked");
    assert!(copy == leaving.lab.objects(), "the copy is not home");
}

#[test]
fn a_copy_out_of_a_vault_that_ends_anywhere_finds_its_jobs_again() {
    let begin = Leaving::new();
    let ends_copied = |mut leaving: Leaving| {
        leaving.copy_out(&Faults::none()).unwrap();
        leaving.later(6);
        leaving.copy_out(&Faults::none()).unwrap();
        is_copied(&leaving);
        assert_eq!(leaving.retrievals(), 2, "a job is paid for twice");
    };
    stop_all(
        "a copy that asks",
        &begin,
        Leaving::copy_out,
        |leaving, done| {
            if let Ok(ran) = done {
                assert!(ran.awaited.is_some(), "nothing can be read yet");
            }
            ends_copied(leaving);
        },
    );
    let mut begin = Leaving::new();
    begin.thaw(&Faults::none()).unwrap();
    begin.later(6);
    stop_all(
        "a copy that reads",
        &begin,
        Leaving::copy_out,
        |leaving, done| {
            match done {
                Ok(_) => is_copied(&leaving),
                Err(Error::Store(error)) => assert_ne!(error.kind, ErrorKind::NotFound),
                Err(_) => {}
            }
            ends_copied(leaving);
        },
    );
}
