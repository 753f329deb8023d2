//! `verify --repair-from`: what is damaged or missing at one place comes back from another, and nothing else changes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;

use coldchain::engine::{
    AtOnce, CopyAsked, OpenSource, ReadablePlace, Repairing, Repairs, StateDir, Verified,
    Verifying, verify_and_repair,
};
use coldchain::error::Error;
use coldchain::model::{Sha256, VerifyLevel};
use coldchain::store::{NewObject, ObjectKind, Store};

use crate::common::faults::{Faults, Mode};
use crate::copied::{archived as two_archives, files};
use crate::pair::{MARKER, Pair, SECOND, archived, objects};

/// What can happen to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Flipped,
    CutShort,
    Longer,
    Empty,
    Missing,
}

impl Kind {
    const ALL: [Self; 5] = [
        Self::Flipped,
        Self::CutShort,
        Self::Longer,
        Self::Empty,
        Self::Missing,
    ];

    /// The bytes after it.
    fn strike(self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut bytes = bytes.to_vec();
        let middle = bytes.len() / 2;
        match self {
            Self::Flipped => bytes[middle] ^= 1,
            Self::CutShort => bytes.truncate(middle),
            Self::Longer => bytes.extend_from_slice(b"and more"),
            Self::Empty => bytes.clear(),
            Self::Missing => return None,
        }
        Some(bytes)
    }
}

/// One of the two places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Home,
    Second,
}

impl Side {
    const BOTH: [Self; 2] = [Self::Home, Self::Second];

    fn other(self) -> Self {
        match self {
            Self::Home => Self::Second,
            Self::Second => Self::Home,
        }
    }

    fn store(self, pair: &Pair) -> &dyn Store {
        match self {
            Self::Home => pair.home.as_ref(),
            Self::Second => pair.second.as_ref(),
        }
    }

    /// The options that repair this place from the other one.
    fn options(self) -> &'static str {
        match self {
            Self::Home => "--repair-from second",
            Self::Second => "--place second --repair-from home",
        }
    }

    fn directory(self) -> &'static str {
        match self {
            Self::Home => "store",
            Self::Second => "second",
        }
    }
}

/// Machines whose copy has all.
fn copied() -> Pair {
    let pair = Pair::in_memory(&archived());
    pair.copy(CopyAsked::default(), &Faults::none()).unwrap();
    pair
}

/// Does this to an object of a store.
fn strike(store: &dyn Store, key: &str, kind: Kind) {
    let bytes = store.get(&store.locate(key), u64::MAX).unwrap();
    store.delete(&store.locate(key)).unwrap();
    if let Some(bytes) = kind.strike(&bytes) {
        let sha256 = Sha256::of(&bytes);
        store
            .put_if_absent(&NewObject::new(key, bytes, sha256, ObjectKind::Segment))
            .unwrap();
    }
}

/// `coldchain verify home --deep --repair-from …`.
fn repair(pair: &Pair, side: Side, faults: &Arc<Faults>) -> Result<(Verified, Repairs), Error> {
    let config = &pair.lab.config;
    pair.in_context(faults, |context| {
        let mut catalog = context.catalog(&StateDir::new(&config.state_dir))?;
        let home = &config.sources[0];
        let second = ReadablePlace::named(config, home, SECOND, &catalog)?.unwrap();
        let row = catalog.source(&home.name)?.unwrap();
        let at_home = OpenSource {
            config: home,
            row: row.clone(),
            store: context.open(config.store_of(home)?)?,
        };
        let at_second = OpenSource {
            config: &second.source,
            row: second.row_of(row),
            store: context.open(config.store_of(&second.source)?)?,
        };
        let (source, from, from_name) = match side {
            Side::Home => (&at_home, &at_second, SECOND),
            Side::Second => (&at_second, &at_home, "home"),
        };
        let place = (side == Side::Second).then_some(&second.row);
        let root = StateDir::new(&config.state_dir).root_key()?;
        let levels = BTreeSet::from([VerifyLevel::Listing, VerifyLevel::Deep]);
        let verifying = Verifying {
            source,
            root: &root,
            levels: &levels,
            sample: None,
            identities: None,
            kit: &[],
            drill: None,
            at_once: AtOnce {
                asked_for: 1,
                memory_limit: u64::MAX,
            },
            clock: context.clock,
            observer: context.observer,
            interrupt: context.interrupt,
        };
        let repairing = Repairing {
            config,
            store: config.store_of(source.config)?,
            mark: place.map(|place| place.mark),
            from,
            from_name,
            context,
        };
        catalog.turn_to(place.map(|place| place.id));
        verify_and_repair(&verifying, &repairing, &mut catalog)
    })
}

/// What a store has, without what repairs have kept aside; and that.
type Kept = BTreeMap<String, Vec<u8>>;

fn kept(store: &dyn Store) -> (Kept, Kept) {
    objects(store)
        .into_iter()
        .partition(|(key, _)| !key.starts_with("home/aside/"))
}

#[test]
fn every_kind_of_damage_to_everything_is_repaired_from_the_other_place() {
    for side in Side::BOTH {
        for kind in Kind::ALL {
            let machine = two_archives();
            assert_eq!(machine.run("copy home --to second").code, Some(0));
            let here = machine.path(side.directory());
            let there = machine.path(side.other().directory());
            let (before, other) = (files(&here), files(&there));
            let mut struck = 0;
            for (name, bytes) in &before {
                if name.ends_with("README-RESTORE.txt") || name.contains("COPY") {
                    continue;
                }
                let path = here.join(name);
                match kind.strike(bytes) {
                    Some(bytes) => fs::write(path, bytes).unwrap(),
                    None => fs::remove_file(path).unwrap(),
                }
                struck += 1;
            }
            let words = format!("verify home --deep {} --identity $T/kit", side.options());
            let run = machine.run(&words);
            assert_eq!(run.code, Some(0), "{kind:?}: {}{}", run.stdout, run.stderr);
            let repaired = run.stdout.matches(": repaired ").count();
            assert_eq!(repaired, struck, "{kind:?}: {}", run.stdout);
            let mut after = files(&here);
            after.retain(|name, _| !name.starts_with("home/aside/"));
            assert!(after == before, "{side:?} {kind:?}");
            assert!(files(&there) == other, "{side:?} {kind:?}");
            let again = words.replace(
                side.options(),
                match side {
                    Side::Home => "",
                    Side::Second => "--place second",
                },
            );
            let run = machine.run(&again);
            assert_eq!(run.code, Some(0), "{kind:?}: {}{}", run.stdout, run.stderr);
            let list = machine.run("list");
            assert!(!list.stdout.contains("damaged"), "{}", list.stdout);
        }
    }
}
