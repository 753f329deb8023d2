//! A machine in process with two stores: home, and one that gets a copy.

use std::collections::BTreeMap;
use std::sync::Arc;

use coldchain::config::StoreConfig;
use coldchain::engine::{self, CopyRan, CopyRequest, OpenCatalog, OpenStore, RunContext};
use coldchain::error::Error;
use coldchain::model::Sha256;
use coldchain::progress::Quiet;
use coldchain::store::{DEFAULT_LISTING_BYTES, Layer, MemoryStore, NewObject, ObjectKind, Store};

use crate::common::faults::{Faults, FaultyStore};
use crate::common::is_segment;
use crate::common::lab::Lab;
use crate::common::rng::Rng;
use crate::common::stream_builder::StreamBuilder;

/// The copy's name in the config.
pub(crate) const SECOND: &str = "second";

/// The marker of a copy.
pub(crate) const MARKER: &str = "home/ledger/COPY";

/// A store that several runs have.
struct Shared(Arc<dyn Store>);

impl Layer for Shared {
    fn below(&self) -> &dyn Store {
        self.0.as_ref()
    }
}

pub(crate) struct Pair {
    pub(crate) lab: Lab,
    pub(crate) home: Arc<dyn Store>,
    pub(crate) second: Arc<dyn Store>,
}

/// A stream of three segments. It repeats itself, so that it is compressed in no time.
fn stream(head: StreamBuilder, seed: u64) -> Vec<u8> {
    const WRITE: usize = 48 << 10;
    let mut data = Rng::new(seed).text(WRITE);
    let stream = (0..176_u64).fold(head.mkfile(b"a file"), |stream, nth| {
        data[..8].copy_from_slice(&nth.to_le_bytes());
        stream.write(b"a file", nth * WRITE as u64, &data)
    });
    stream.finish()
}

/// A machine with three archives of three segments, all in one chain.
pub(crate) fn archived() -> Lab {
    let lab = Lab::new();
    let dates = ["2026-01-01", "2026-01-07", "2026-01-14"];
    for (nth, date) in (0_u8..).zip(dates) {
        let uuid = |nth: u8| [nth + 1; 16];
        let transid = |nth: u8| u64::from(nth) * 10 + 10;
        let head = StreamBuilder::header(1);
        let head = match nth.checked_sub(1) {
            None => head.subvol(date.as_bytes(), uuid(nth), transid(nth)),
            Some(parent) => {
                let (uuid, parent_uuid) = (uuid(nth), uuid(parent));
                head.snapshot(
                    date.as_bytes(),
                    uuid,
                    transid(nth),
                    parent_uuid,
                    transid(parent),
                )
            }
        };
        lab.decide(date, &stream(head, nth.into()), &Faults::none())
            .unwrap();
    }
    lab
}

/// Whether an object is a ledger entry.
pub(crate) fn is_entry(key: &str) -> bool {
    key.strip_suffix(".entry").is_some()
}

/// Everything in a store.
pub(crate) fn objects(store: &dyn Store) -> BTreeMap<String, Vec<u8>> {
    let listed = store.list("").unwrap();
    let read = |key: String| {
        let bytes = store.get(&store.locate(&key), u64::MAX).unwrap();
        (key, bytes)
    };
    listed.into_iter().map(|object| read(object.key)).collect()
}

impl Pair {
    /// That machine at these two stores. What it has archived is put into `home`, if it is not there.
    pub(crate) fn new(lab: Lab, home: Option<Arc<dyn Store>>, second: Arc<dyn Store>) -> Self {
        let mut lab = lab;
        lab.config.stores.insert(
            SECOND.to_owned(),
            StoreConfig::Dir {
                path: "/in/second".into(),
                cold: None,
                listing_bytes: DEFAULT_LISTING_BYTES,
            },
        );
        let home = match home {
            None => Arc::clone(&lab.store) as Arc<dyn Store>,
            Some(home) => {
                for (key, bytes) in lab.objects() {
                    let sha256 = Sha256::of(&bytes);
                    let role = if is_segment(&key) {
                        ObjectKind::Segment
                    } else {
                        ObjectKind::Ledger
                    };
                    home.put_if_absent(&NewObject::new(&key, bytes, sha256, role))
                        .unwrap();
                }
                home
            }
        };
        Self { lab, home, second }
    }

    /// A copy of that machine, in memory.
    pub(crate) fn in_memory(lab: &Lab) -> Self {
        Self::new(lab.copy(), None, Arc::new(MemoryStore::default()))
    }

    /// Does something on this machine, whose stores and catalog these faults may strike.
    pub(crate) fn in_context<T>(
        &self,
        faults: &Arc<Faults>,
        act: impl Fn(RunContext<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let stores: &OpenStore<'_> = &|config, _| {
            let is_second = |path: &std::path::Path| path == "/in/second";
            let store = match config {
                StoreConfig::Dir { path, .. } if is_second(path) => &self.second,
                _ => &self.home,
            };
            Ok(Box::new(FaultyStore::new(
                Shared(Arc::clone(store)),
                Arc::clone(faults),
            )))
        };
        let catalogs: &OpenCatalog<'_> =
            &|state_dir| Ok(state_dir.catalog()?.watched(Arc::clone(faults) as _));
        self.lab.in_context(faults, |context| {
            act(RunContext {
                stores,
                catalogs,
                ..RunContext {
                    observer: &Quiet,
                    ..context
                }
            })
        })
    }

    /// `coldchain copy home --to second`.
    pub(crate) fn copy(&self, asked: CopyRequest, faults: &Arc<Faults>) -> Result<CopyRan, Error> {
        let config = &self.lab.config;
        self.in_context(faults, |context| {
            engine::copy(config, &config.sources[0], SECOND, asked, context)
        })
    }

    /// Panics unless the copy is right so far, whatever happened: it has nothing that home does not have, and of each
    /// archive whose key it has, every segment; its ledger has no gap.
    pub(crate) fn is_right_so_far(&self, home: &BTreeMap<String, Vec<u8>>) {
        let copy = objects(self.second.as_ref());
        for (key, bytes) in &copy {
            if key != MARKER {
                assert!(home.get(key) == Some(bytes), "{key} is not what home has");
            }
        }
        if copy.len() > 1 {
            assert!(copy.contains_key(MARKER), "it is not marked");
        }
        for key in copy.keys().filter(|key| key.ends_with("/key.age")) {
            let prefix = key.trim_end_matches("key.age");
            for own in home.keys().filter(|key| key.starts_with(prefix)) {
                assert!(
                    copy.contains_key(own),
                    "{own} is missing, and its key is there"
                );
            }
        }
        let entries = copy.keys().filter(|key| is_entry(key));
        for (seq, key) in (1..).zip(entries) {
            assert_eq!(*key, format!("home/ledger/{seq:08}.entry"));
        }
    }

    /// Panics unless the copy has all that home has.
    pub(crate) fn is_whole(&self, home: &BTreeMap<String, Vec<u8>>) {
        let mut copy = objects(self.second.as_ref());
        copy.remove(MARKER).expect("it is marked");
        assert!(copy == *home, "the copy is not home");
    }
}
