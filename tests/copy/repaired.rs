//! `verify --repair-from`: what is damaged or missing at one place comes back from another, and nothing else changes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Arc;

use coldchain::engine::{
    AtOnce, CopyRequest, OpenSource, ReadablePlace, Repairing, Repairs, StateDir, Verified,
    Verifying, verify_and_repair,
};
use coldchain::error::Error;
use coldchain::model::{Sha256, VerifyLevel};
use coldchain::store::{NewObject, ObjectKind, Store};

use crate::common::faults::{Faults, Mode, Point};
use crate::common::is_segment;
use crate::common::stream_builder::StreamBuilder;
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
pub(super) enum Side {
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
    pair.copy(CopyRequest::default(), &Faults::none()).unwrap();
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
pub(super) fn repair(
    pair: &Pair,
    side: Side,
    faults: &Arc<Faults>,
) -> Result<(Verified, Repairs), Error> {
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

/// The keys of everything that the ledger signs, and of the ledger.
fn keys(store: &dyn Store) -> Vec<String> {
    let keys = objects(store).into_keys();
    keys.filter(|key| key != MARKER && !key.ends_with("README-RESTORE.txt"))
        .collect()
}

/// Removes what repairs have kept aside, and returns it.
fn take_aside(store: &dyn Store) -> Kept {
    let (_, aside) = kept(store);
    for key in aside.keys() {
        store.delete(&store.locate(key)).unwrap();
    }
    aside
}

/// The archives that are known to be damaged, at home and in the copy.
fn known_damage(pair: &Pair) -> usize {
    let catalog = pair.lab.catalog();
    let source = &pair.lab.config.sources[0].name;
    let ledger = catalog.source(source).unwrap().unwrap().ledger;
    let home = catalog.archives(&ledger).unwrap();
    let place = catalog.places(&ledger).unwrap().remove(0);
    let there = catalog.placed(place.id).unwrap();
    let at_home = home.iter().filter(|row| row.damaged_at.is_some()).count();
    at_home + there.iter().filter(|row| row.damaged_at.is_some()).count()
}

#[test]
fn each_object_is_repaired_alone_and_its_damaged_bytes_are_kept() {
    let pair = copied();
    let before = Side::BOTH.map(|side| objects(side.store(&pair)));
    let all = keys(pair.home.as_ref());
    assert_eq!(all.len(), 3 * 5 + 4);
    for (side, before) in Side::BOTH.into_iter().zip(&before) {
        let store = side.store(&pair);
        for key in &all {
            for kind in Kind::ALL {
                let what = format!("{key} {kind:?} at {side:?}");
                strike(store, key, kind);
                let (verified, repairs) = repair(&pair, side, &Faults::none()).unwrap();
                let found = verified.report.damaged();
                assert_eq!(found.len(), 1, "{what}: {found:?}");
                assert_eq!(found[0].key, *key);
                assert_eq!(repairs.unrepaired, [], "{what}");
                let [repaired] = repairs.repaired.as_slice() else {
                    panic!("{what}: {repairs:?}");
                };
                assert_eq!(repaired.key, *key);
                let from = match key.rsplit('.').next() {
                    Some("entry") => "catalog",
                    _ if key.ends_with("key.age") => "ledger",
                    _ if side == Side::Home => SECOND,
                    _ => "home",
                };
                assert_eq!(repaired.from, from, "{what}");
                let aside = take_aside(store);
                let kept: Vec<_> = aside.into_iter().collect();
                let expected = kind.strike(&before[key]);
                let expected = expected.map(|bytes| (repaired.aside.clone().unwrap(), bytes));
                assert!(kept == Vec::from_iter(expected), "{what}");
                assert!(objects(store) == *before, "{what}");
                assert_eq!(known_damage(&pair), 0, "{what}");
            }
        }
    }
    for (side, before) in Side::BOTH.into_iter().zip(&before) {
        assert!(objects(side.store(&pair)) == *before);
    }
}

#[test]
fn what_the_other_place_has_damaged_too_stays_and_the_others_are_repaired() {
    for side in Side::BOTH {
        let pair = copied();
        let (store, other) = (side.store(&pair), side.other().store(&pair));
        let before = objects(store);
        let all = keys(store);
        let segments: Vec<_> = all.iter().filter(|it| is_segment(it)).collect();
        let [lost, gone, mended] = [0, 3, 6].map(|nth| segments[nth].as_str());
        strike(store, lost, Kind::Flipped);
        strike(other, lost, Kind::Longer);
        strike(store, gone, Kind::CutShort);
        strike(other, gone, Kind::Missing);
        strike(store, mended, Kind::Missing);
        let there = objects(other);
        let (_, repairs) = repair(&pair, side, &Faults::none()).unwrap();
        let unrepaired: Vec<_> = repairs
            .unrepaired
            .iter()
            .map(|it| it.key.as_str())
            .collect();
        assert_eq!(unrepaired, [lost, gone]);
        for object in &repairs.unrepaired {
            assert!(
                object.why.contains("does not have it sound either"),
                "{object:?}"
            );
        }
        assert_eq!(repairs.repaired.len(), 1);
        assert_eq!(repairs.repaired[0].key, mended);
        let mut expected = before.clone();
        expected.insert(
            lost.to_owned(),
            Kind::Flipped.strike(&before[lost]).unwrap(),
        );
        expected.insert(
            gone.to_owned(),
            Kind::CutShort.strike(&before[gone]).unwrap(),
        );
        assert!(objects(store) == expected, "and nothing is kept aside");
        assert!(objects(other) == there);
        assert_eq!(known_damage(&pair), 2);
    }
}

#[test]
fn a_damaged_place_never_overwrites_a_sound_one() {
    for side in Side::BOTH {
        for kind in Kind::ALL {
            let pair = copied();
            let (store, other) = (side.store(&pair), side.other().store(&pair));
            for key in keys(other) {
                strike(other, &key, kind);
            }
            let before = (objects(store), objects(other));
            let (verified, repairs) = repair(&pair, side, &Faults::none()).unwrap();
            assert_eq!(verified.report.damaged(), [], "{kind:?}");
            assert!(repairs.repaired.is_empty() && repairs.unrepaired.is_empty());
            assert!((objects(store), objects(other)) == before, "{kind:?}");
        }
    }
}

#[test]
fn damage_on_the_way_is_no_damage() {
    for side in Side::BOTH {
        let pair = copied();
        let store = side.store(&pair);
        let segment = keys(store).into_iter().find(|it| is_segment(it));
        let segment = segment.unwrap();
        let sound = store.get(&store.locate(&segment), u64::MAX).unwrap();
        strike(store, &segment, Kind::Flipped);
        let damaged = objects(store);
        // It is as it was again before the repair reads it for the second time.
        let faults = Faults::none();
        repair(&pair, side, &faults).unwrap();
        let name = crate::common::faults::without_chance(&segment);
        let stat = |point: &&Point| point.name == format!("store: look up {name}");
        let points = faults.points();
        let last = points.iter().rfind(stat).unwrap();
        take_aside(store);
        strike(store, &segment, Kind::Flipped);
        assert!(objects(store) == damaged);
        let shared = match side {
            Side::Home => Arc::clone(&pair.home),
            Side::Second => Arc::clone(&pair.second),
        };
        let key = segment.clone();
        let faults = Faults::meanwhile(last, move || {
            shared.delete(&shared.locate(&key)).unwrap();
            let sha256 = Sha256::of(&sound);
            let object = NewObject::new(&key, sound.clone(), sha256, ObjectKind::Segment);
            shared.put_if_absent(&object).unwrap();
        });
        let (verified, repairs) = repair(&pair, side, &faults).unwrap();
        assert!(faults.has_struck());
        assert_eq!(verified.report.damaged().len(), 1);
        assert!(
            repairs.repaired.is_empty() && repairs.unrepaired.is_empty(),
            "{repairs:?}"
        );
        assert!(take_aside(store).is_empty());
        assert_eq!(known_damage(&pair), 0);
    }
}

#[test]
fn without_the_right_to_delete_or_under_a_lock_the_damaged_object_stays() {
    for side in Side::BOTH {
        for (mode, why) in [
            (Mode::IsDenied, "can't be deleted, so it stays"),
            (
                Mode::IsLocked,
                "a lock keeps the damaged object until 2099-01-01",
            ),
        ] {
            let pair = copied();
            let store = side.store(&pair);
            let before = objects(store);
            let all = keys(store);
            let segments: Vec<_> = all.iter().filter(|it| is_segment(it)).collect();
            let (kept_back, missing) = (segments[0], segments[4]);
            strike(store, kept_back, Kind::Flipped);
            strike(store, missing, Kind::Missing);
            let faults =
                Faults::by_rule(move |_, name| name.starts_with("store: delete").then_some(mode));
            let (_, repairs) = repair(&pair, side, &faults).unwrap();
            assert!(faults.has_struck());
            let [unrepaired] = repairs.unrepaired.as_slice() else {
                panic!("{repairs:?}");
            };
            assert_eq!(unrepaired.key, *kept_back);
            assert!(unrepaired.why.contains(why), "{unrepaired:?}");
            assert_eq!(
                repairs.repaired.len(),
                1,
                "what was missing is put all the same"
            );
            let mut expected = before.clone();
            let flipped = Kind::Flipped.strike(&before[kept_back]).unwrap();
            expected.insert(kept_back.clone(), flipped.clone());
            let (now, aside) = kept(store);
            assert!(now == expected, "{mode} at {side:?}");
            assert!(aside.into_values().eq([flipped]));
            // With the right, the same command ends it.
            let (_, repairs) = repair(&pair, side, &Faults::none()).unwrap();
            assert_eq!(repairs.unrepaired, []);
            assert!(kept(store).0 == before);
        }
    }
}

#[test]
fn a_repair_that_is_stopped_anywhere_loses_nothing_and_is_ended_by_the_next() {
    let pair = copied();
    for side in Side::BOTH {
        let (store, other) = (side.store(&pair), side.other().store(&pair));
        let before = objects(store);
        let there = objects(other);
        let all = keys(store);
        let of = |end: &str| all.iter().find(|key| key.ends_with(end)).unwrap();
        let struck = [of(".zst.age"), of("key.age"), of("2.entry")];
        let damage = || {
            for key in struck {
                strike(store, key, Kind::Flipped);
            }
        };
        damage();
        let faults = Faults::none();
        repair(&pair, side, &faults).unwrap();
        take_aside(store);
        let changes = |point: &Point| {
            let is = |word: &str| point.name.starts_with(word);
            is("store: store") || is("store: delete") || is("catalog: record")
        };
        let points: Vec<_> = faults.points().into_iter().filter(changes).collect();
        let of = |word: &str| points.iter().filter(|it| it.name.starts_with(word)).count();
        assert_eq!(
            (of("store: store"), of("store: delete")),
            (6, 3),
            "{points:?}"
        );
        for point in &points {
            for mode in Mode::ALL {
                let what = format!("{point} {mode} at {side:?}");
                damage();
                let faults = Faults::at(point, mode);
                // An error, or what is left to do: the next run finds it.
                let stopped = repair(&pair, side, &faults);
                assert!(faults.has_struck(), "{what}");
                drop(stopped);
                let (now, aside) = kept(store);
                for (key, bytes) in &before {
                    let damaged = Kind::Flipped.strike(bytes);
                    let is_kept = damaged
                        .as_ref()
                        .is_some_and(|it| aside.values().any(|kept| kept == it));
                    match now.get(key) {
                        Some(now) if now == bytes => {}
                        Some(now) => assert!(damaged.as_ref() == Some(now), "{what}: {key}"),
                        None => assert!(is_kept, "{what}: {key} is lost"),
                    }
                }
                assert!(now.keys().all(|key| before.contains_key(key)), "{what}");
                let (_, repairs) = repair(&pair, side, &Faults::none()).unwrap();
                assert_eq!(repairs.unrepaired, [], "{what}");
                assert!(repairs.stopped.is_none(), "{what}");
                let (now, aside) = kept(store);
                assert!(now == before, "{what}");
                assert_eq!(aside.len(), struck.len(), "{what}");
                assert!(objects(other) == there, "{what}");
                take_aside(store);
            }
        }
    }
}

/// Puts the catalog of a machine back as it was, so that it is behind.
fn with_state_of_before(pair: &Pair, since: impl FnOnce()) {
    let state = pair.lab.config.state_dir.clone();
    let catalog = || {
        let mut files = files(&state);
        files.retain(|name, _| name.starts_with("catalog.db"));
        files
    };
    let before = catalog();
    since();
    for name in catalog().into_keys() {
        fs::remove_file(state.join(name)).unwrap();
    }
    for (name, bytes) in before {
        fs::write(state.join(name), bytes).unwrap();
    }
}

#[test]
fn an_entry_that_the_catalog_lacks_comes_from_the_other_place_if_it_fits() {
    let pair = copied();
    with_state_of_before(&pair, || {
        fourth(&pair, b"another week");
        pair.copy(CopyRequest::default(), &Faults::none()).unwrap();
    });
    let key = "home/ledger/00000005.entry";
    let catalog = pair.lab.catalog();
    let source = pair.lab.config.sources[0].name.clone();
    let ledger = catalog.source(&source).unwrap().unwrap().ledger;
    assert_eq!(catalog.entries(&ledger).unwrap().len(), 4);
    drop(catalog);
    for side in Side::BOTH {
        let (store, other) = (side.store(&pair), side.other().store(&pair));
        let before = objects(store);
        for kind in [Kind::Flipped, Kind::Longer, Kind::Empty] {
            strike(store, key, kind);
            let (_, repairs) = repair(&pair, side, &Faults::none()).unwrap();
            assert_eq!(repairs.unrepaired, [], "{kind:?} at {side:?}");
            assert_eq!(repairs.repaired.len(), 1);
            assert_eq!(take_aside(store).len(), 1);
            assert!(objects(store) == before, "{kind:?} at {side:?}");
        }
        // The other place has it damaged too: what is there stays.
        let there = other.get(&other.locate(key), u64::MAX).unwrap();
        strike(store, key, Kind::Flipped);
        strike(other, key, Kind::Flipped);
        let damaged = objects(store);
        let (_, repairs) = repair(&pair, side, &Faults::none()).unwrap();
        assert!(repairs.repaired.is_empty());
        assert_eq!(repairs.unrepaired.len(), 1);
        let why = &repairs.unrepaired[0].why;
        assert!(why.contains("is not sound either"), "{why}");
        assert!(objects(store) == damaged);
        for store in [store, other] {
            store.delete(&store.locate(key)).unwrap();
            let sha256 = Sha256::of(&there);
            let object = NewObject::new(key, there.clone(), sha256, ObjectKind::Ledger);
            store.put_if_absent(&object).unwrap();
        }
    }
}

/// A fourth archive, with this in it.
fn fourth(pair: &Pair, text: &[u8]) {
    let stream = StreamBuilder::header(1)
        .snapshot(b"2026-01-21", [9; 16], 40, [3; 16], 30)
        .write(b"a file", 0, text)
        .finish();
    let faults = Faults::none();
    pair.lab.decide("2026-01-21", &stream, &faults).unwrap();
}

#[test]
fn a_fork_is_no_damage_and_is_never_replaced() {
    let key = "home/ledger/00000005.entry";
    let pair = copied();
    let store = pair.home.as_ref();
    let before = objects(store);
    let mut theirs = Vec::new();
    with_state_of_before(&pair, || {
        fourth(&pair, b"of a machine that was set back since");
        theirs = store.get(&store.locate(key), u64::MAX).unwrap();
        for added in objects(store).keys().filter(|it| !before.contains_key(*it)) {
            store.delete(&store.locate(added)).unwrap();
        }
    });
    fourth(&pair, b"of the same machine");
    pair.copy(CopyRequest::default(), &Faults::none()).unwrap();
    let ours = store.get(&store.locate(key), u64::MAX).unwrap();
    assert!(ours != theirs);
    for side in Side::BOTH {
        let store = side.store(&pair);
        store.delete(&store.locate(key)).unwrap();
        let sha256 = Sha256::of(&theirs);
        let object = NewObject::new(key, theirs.clone(), sha256, ObjectKind::Ledger);
        store.put_if_absent(&object).unwrap();
        let before = objects(store);
        let (verified, repairs) = repair(&pair, side, &Faults::none()).unwrap();
        assert_eq!(verified.report.damaged().len(), 1);
        assert!(repairs.repaired.is_empty());
        let [unrepaired] = repairs.unrepaired.as_slice() else {
            panic!("{repairs:?}");
        };
        assert!(
            unrepaired.why.contains("it is a fork and no damage"),
            "{unrepaired:?}"
        );
        assert!(objects(store) == before);
    }
}

#[test]
fn what_cant_be_repaired_says_why_and_what_to_do() {
    let machine = two_archives();
    for (words, why) in [
        (
            "--repair-from home",
            "cannot repair the objects of `home` in file://$T/store from `home`",
        ),
        (
            "--repair-from second",
            "the catalog knows no copy of `home` in the store `second`",
        ),
        ("--repair-from third", "third"),
    ] {
        let run = machine.run(&format!("verify home {words}"));
        assert_eq!(run.code, Some(2), "{words}: {}", run.stderr);
        assert!(run.stderr.contains(why), "{words}: {}", run.stderr);
    }
    assert_eq!(machine.run("copy home --to second").code, Some(0));
    let run = machine.run("verify home --place second --repair-from second");
    assert_eq!(run.code, Some(2), "{}", run.stderr);
    // Nothing is damaged: nothing is said of repairs, and nothing changes.
    let before = files(&machine.path("store"));
    let run = machine.run("verify home --repair-from second --json");
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(run.stdout.contains(r#""repaired":[],"#), "{}", run.stdout);
    assert!(files(&machine.path("store")) == before);
    // A segment that no place has any more, and one that the copy has.
    let segments: Vec<_> = before.keys().filter(|it| is_segment(it)).collect();
    for (directory, name) in [("store", 0), ("second", 0), ("store", 1)] {
        fs::remove_file(machine.path(directory).join(segments[name])).unwrap();
    }
    let run = machine.run("verify home --repair-from second");
    assert_eq!(run.code, Some(6), "{}", run.stderr);
    for line in [
        "home: NOT FIXED  home/archives/2024-01-01-full-$HEX16/000000-$HEX16.zst.age: `second` does not have it sound \
         either: it is missing\n",
        "home: repaired   home/archives/2024-01-01-full-$HEX16/000001-$HEX16.zst.age: put back from `second`\n",
    ] {
        assert!(run.stdout.contains(line), "{}", run.stdout);
    }
    assert!(
        run.stderr.contains(
            "1 object of `home` in file://$T/store is missing or damaged after the repair"
        ),
        "{}",
        run.stderr
    );
    let run = machine.run("verify home --repair-from second --json");
    assert_eq!(run.code, Some(6), "{}", run.stderr);
    assert!(
        run.stdout.contains(r#""unrepaired":[{"key":"#),
        "{}",
        run.stdout
    );
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
            // The segments are opened once; their SHA-256 is enough for the others.
            let opens = match kind {
                Kind::Flipped => "--identity $T/kit",
                _ => "",
            };
            let words = format!("verify home --deep {} {opens}", side.options());
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
