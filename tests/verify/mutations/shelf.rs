//! A store with a chain of three archives, to which things are done and undone.

use std::collections::{BTreeMap, BTreeSet};

use coldchain::catalog::Catalog;
use coldchain::engine::{
    AtOnce, OpenSource, StateDir, SystemClock, VerifyReport, Verifying, verify,
};
use coldchain::error::{Error, LedgerStateError};
use coldchain::interrupt::Interrupt;
use coldchain::kit::KitSource;
use coldchain::ledger::EntryRefusal;
use coldchain::model::{Sha256, VerifyLevel, keys};
use coldchain::progress::Quiet;
use coldchain::seal::Identities;
use coldchain::store::{NewObject, ObjectKind, Put, Store};

use super::forger;
use crate::common::faults::Faults;
use crate::common::lab::{Lab, SOURCE};
use crate::common::rng::Rng;
use crate::common::stream_builder::StreamBuilder;

pub(crate) const DATES: [&str; 3] = ["2024-01-01", "2024-01-07", "2024-01-14"];

/// The sizes of what each stream writes. A segment has 4 MiB.
const KIB: [usize; 3] = [5 << 10, 5 << 10, 300];

pub(crate) struct Shelf {
    lab: Lab,
    identities: Identities,
    /// Every object as it was stored.
    true_ones: BTreeMap<String, Vec<u8>>,
    /// Those of a forger's store.
    pub(crate) forged: Vec<(String, Vec<u8>)>,
}

/// A full and two incrementals of made-up subvolumes.
pub(crate) fn streams(seed: u64) -> [Vec<u8>; 3] {
    let uuids = [[1; 16], [7; 16], [14; 16]];
    let mut at = 0;
    [0, 1, 2].map(|number: usize| {
        let name = DATES[number].as_bytes();
        let stream = StreamBuilder::header(1);
        let stream = match number.checked_sub(1) {
            None => stream.subvol(name, uuids[0], 10).mkfile(b"a file"),
            Some(parent) => stream.snapshot(name, uuids[number], 10, uuids[parent], 10),
        };
        at += 1;
        let content = Rng::new(seed + at).text(KIB[number] << 10);
        let stream = (0..)
            .zip(content.chunks(1 << 15))
            .fold(stream, |stream, (at, chunk)| {
                stream.write(b"a file", at << 15, chunk)
            });
        stream.finish()
    })
}

impl Shelf {
    pub(crate) fn new() -> Self {
        let lab = Lab::new();
        for (date, stream) in DATES.into_iter().zip(streams(0)) {
            lab.decide(date, &stream, &Faults::none()).unwrap();
        }
        let mut true_ones = lab.objects();
        true_ones.retain(|key, _| !key.ends_with("README-RESTORE.txt"));
        assert_eq!(
            true_ones.len(),
            4 + 3 + (2 + 2 + 1) + 3,
            "{:?}",
            true_ones.keys()
        );
        Self {
            identities: lab.identities(),
            forged: forger::store_like(&lab),
            true_ones,
            lab,
        }
    }

    /// The keys of the true objects.
    pub(crate) fn keys(&self) -> Vec<String> {
        self.true_ones.keys().cloned().collect()
    }

    pub(crate) fn keys_ending(&self, ending: &str) -> Vec<String> {
        let keys = self.true_ones.keys();
        keys.filter(|key| key.ends_with(ending)).cloned().collect()
    }

    /// What was stored.
    pub(crate) fn bytes(&self, key: &str) -> &[u8] {
        &self.true_ones[key]
    }

    /// The number of the last true entry.
    pub(crate) fn head(&self) -> u64 {
        self.keys_ending(".entry").len() as u64
    }

    pub(crate) fn delete(&self, key: &str) {
        let store = &self.lab.store;
        store.delete(&store.locate(key)).unwrap();
    }

    /// Puts other bytes in an object's place. The store goes on saying that it has the SHA-256 that
    /// it had: what it says proves nothing.
    pub(crate) fn replace(&self, key: &str, bytes: Vec<u8>) {
        self.delete(key);
        let sha256 = Sha256::of(self.bytes(key));
        self.put(key, bytes, sha256);
    }

    pub(crate) fn add(&self, key: &str, bytes: Vec<u8>) {
        let sha256 = Sha256::of(&bytes);
        self.put(key, bytes, sha256);
    }

    fn put(&self, key: &str, bytes: Vec<u8>, sha256: Sha256) {
        let object = NewObject::new(key, bytes, sha256, ObjectKind::Segment);
        let put = self.lab.store.put_if_absent(&object).unwrap();
        assert!(matches!(put, Put::Created(_)), "{key}");
    }

    /// Takes the last entries away with all that they speak of: the store as it was before them.
    pub(crate) fn lose_tail(&self, count: usize) -> Vec<String> {
        let entries = self.keys_ending(".entry");
        let lost: Vec<String> = entries[entries.len() - count..].to_vec();
        // Entry 1 opens the ledger; each other is about the archive of the date at its place.
        let dates = &DATES[entries.len().saturating_sub(1 + count)..];
        for key in self.keys() {
            let of_a_date = dates
                .iter()
                .any(|date| key.starts_with(&format!("{}{date}", keys::archives_prefix(SOURCE))));
            if of_a_date || lost.contains(&key) {
                self.delete(&key);
            }
        }
        lost
    }

    /// Puts everything back as it was.
    pub(crate) fn mend(&self) {
        let now = self.lab.objects();
        for key in now.keys() {
            if key.ends_with("README-RESTORE.txt") {
                continue;
            }
            if self.true_ones.get(key) != Some(&now[key]) {
                self.delete(key);
            }
        }
        for (key, bytes) in &self.true_ones {
            let intact = now.get(key) == Some(bytes);
            if !intact {
                self.add(key, bytes.clone());
            }
        }
    }

    pub(crate) fn lab(&self) -> &Lab {
        &self.lab
    }

    pub(crate) fn identities(&self) -> &Identities {
        &self.identities
    }

    /// The keys that `verify --deep` names: all there are, where it says that the ledger is another one.
    pub(crate) fn found(&self) -> Vec<String> {
        let report = match self.verified(&mut self.lab.catalog(), &[]) {
            Err(Error::LedgerState(LedgerStateError::EntryRefused { source, .. }))
                if matches!(
                    *source,
                    EntryRefusal::OtherRoot { .. } | EntryRefusal::OtherLedger { .. }
                ) =>
            {
                return self.lab.objects().into_keys().chain(self.keys()).collect();
            }
            verified => verified.unwrap(),
        };
        let damaged = report.damaged().into_iter().map(|damage| damage.key);
        damaged.chain(report.strays).collect()
    }

    /// What `verify --deep` shows of the store by that catalog, and with what a kit knows.
    pub(crate) fn verified(
        &self,
        catalog: &mut Catalog,
        kit: &[KitSource],
    ) -> Result<VerifyReport, Error> {
        let row = catalog.source(&SOURCE.parse().unwrap()).unwrap().unwrap();
        let source = OpenSource {
            config: &self.lab.config.sources[0],
            row,
            store: Box::new(self.lab.store.clone()),
        };
        let root = StateDir::new(&self.lab.config.state_dir)
            .root_key()
            .unwrap();
        let levels = BTreeSet::from([
            VerifyLevel::Listing,
            VerifyLevel::Checksums,
            VerifyLevel::Deep,
        ]);
        let verifying = Verifying {
            source: &source,
            root: &root,
            levels: &levels,
            sample: None,
            identities: Some((&self.identities, "the identity")),
            kit,
            drill: None,
            at_once: AtOnce {
                asked_for: 2,
                memory_limit: 512 << 20,
            },
            clock: &SystemClock,
            observer: &Quiet,
            interrupt: Interrupt::of_this_process(),
        };
        verify(&verifying, catalog)?.whole()
    }
}
