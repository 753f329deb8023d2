//! A move that is stopped at any operation of either store or of the catalog: at no moment do two places take archives,
//! and the same command brings it to its end.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use coldchain::config::StoreConfig;
use coldchain::engine::{
    self, CopyRequest, MovedHome, OldHome, OpenCatalog, OpenStore, RunContext, StateDir, move_home,
    store_url,
};
use coldchain::error::{Error, LedgerStateError, MoveError};
use coldchain::model::{Sha256, keys};
use coldchain::progress::Quiet;
use coldchain::store::{MemoryStore, NewObject, ObjectKind, Put, Store};

use super::pair::is_entry;
use crate::common::faults::{Faults, FaultyStore, Mode, Point};
use crate::common::lab::{Lab, SOURCE};
use crate::common::stream_builder::StreamBuilder;

const SECOND: &str = "second";

/// How often a source is found locked before that is an error.
const TRIES: usize = 10_000;

/// A machine in process with a second store.
struct Moving {
    lab: Lab,
    second: Arc<MemoryStore>,
}

fn full() -> Vec<u8> {
    StreamBuilder::header(1)
        .subvol(b"2026-01-01", [1; 16], 10)
        .mkfile(b"a file")
        .finish()
}

fn incremental() -> Vec<u8> {
    StreamBuilder::header(1)
        .snapshot(b"2026-01-07", [7; 16], 10, [1; 16], 10)
        .write(b"a file", 0, b"a week later")
        .finish()
}

fn name_second(lab: &mut Lab) {
    let mut second = lab.config.stores["shelf"].clone();
    let StoreConfig::Dir { path, .. } = &mut second else {
        panic!("the lab's store is a directory");
    };
    *path = PathBuf::from("/in/second");
    lab.config.stores.insert(SECOND.to_owned(), second);
}

/// Everything in a store.
fn objects(store: &MemoryStore) -> BTreeMap<String, Vec<u8>> {
    let listed = store.list("").unwrap().into_iter();
    listed
        .map(|object| {
            let bytes = store.get(&store.locate(&object.key), u64::MAX).unwrap();
            (object.key, bytes)
        })
        .collect()
}

impl Moving {
    /// A machine with a full at home, and with a copy of it.
    fn new() -> Self {
        let mut lab = Lab::new();
        lab.decide("2026-01-01", &full(), &Faults::none()).unwrap();
        name_second(&mut lab);
        let moving = Self {
            lab,
            second: Arc::default(),
        };
        moving.copy_archives().unwrap();
        moving
    }

    /// The same once more: what is done to it is not done to this one.
    fn copy(&self) -> Self {
        let second = MemoryStore::default();
        for (key, bytes) in objects(&self.second) {
            let sha256 = Sha256::of(&bytes);
            let object = NewObject::new(&key, bytes, sha256, ObjectKind::Segment);
            assert!(matches!(second.put_if_absent(&object), Ok(Put::Created(_))));
        }
        let mut lab = self.lab.copy();
        name_second(&mut lab);
        Self {
            lab,
            second: Arc::new(second),
        }
    }

    fn in_context<T>(
        &self,
        faults: &Arc<Faults>,
        act: impl Fn(RunContext<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let catalogs: &OpenCatalog<'_> =
            &|state_dir| Ok(state_dir.catalog()?.watched(Arc::clone(faults) as _));
        let stores: &OpenStore<'_> = &|config, _| {
            let store = if store_url(config).ends_with(SECOND) {
                &self.second
            } else {
                &self.lab.store
            };
            let store = FaultyStore::new(Arc::clone(store), Arc::clone(faults));
            Ok(Box::new(store))
        };
        let context = RunContext {
            catalogs,
            stores,
            stay_awake: false,
            ..RunContext::real(&Quiet)
        };
        // A child that another test of this process has just forked has the lock until it is the program that it is to
        // be.
        for _ in 0..TRIES {
            match act(context) {
                Err(Error::Busy(_)) => std::thread::yield_now(),
                other => return other,
            }
        }
        panic!("the source is locked for good")
    }

    fn copy_archives(&self) -> Result<(), Error> {
        let config = &self.lab.config;
        self.in_context(&Faults::none(), |context| {
            let asked = CopyRequest::default();
            engine::copy(config, &config.sources[0], SECOND, asked, context)
        })
        .map(drop)
    }

    fn move_home(&self, old_home: OldHome, faults: &Arc<Faults>) -> Result<MovedHome, Error> {
        let config = &self.lab.config;
        self.in_context(faults, |context| {
            move_home(
                config,
                &config.sources[0],
                SECOND,
                (old_home, None),
                context,
            )
        })
    }

    /// This machine after its config was changed.
    fn configured(mut self) -> Self {
        self.lab.config.sources[0].store = Some(SECOND.to_owned());
        self.lab.store = Arc::clone(&self.second);
        self
    }

    /// Archives the 7th where the config says that home is.
    fn archive(&self) -> Result<(), Error> {
        self.lab
            .decide("2026-01-07", &incremental(), &Faults::none())
            .map(drop)
    }

    fn home_in_catalog(&self) -> String {
        let row = self.lab.catalog().source(&SOURCE.parse().unwrap());
        row.unwrap().unwrap().store
    }

    /// Panics unless the second store is home, takes an incremental, and has all that home had.
    fn ends_moved(self, home: &BTreeMap<String, Vec<u8>>) {
        assert!(self.home_in_catalog().ends_with(SECOND));
        let second = objects(&self.second);
        for (key, bytes) in home {
            assert!(
                second.get(key) == Some(bytes),
                "{key} is not in the new home"
            );
        }
        assert!(!second.contains_key(&keys::copy_marker(SOURCE)));
        let moved = self.configured();
        moved.archive().unwrap();
        let streams = [full(), incremental()];
        let sent = BTreeMap::from([
            ("2026-01-01", &streams[0][..]),
            ("2026-01-07", &streams[1][..]),
        ]);
        assert_eq!(moved.lab.holds(&sent).len(), 2);
        moved.lab.can_be_rebuilt();
        moved.lab.all_are_verified();
    }
}

/// Stops the move at each operation in every way.
fn enumerate(old_home: OldHome) {
    let begin = Moving::new();
    let home = objects(&begin.lab.store);
    let faults = Faults::none();
    let whole = begin.copy();
    whole.move_home(old_home, &faults).unwrap();
    let points: Vec<Point> = faults.points();
    whole.ends_moved(&home);
    assert!(points.len() > 20, "{}", points.len());
    for point in &points {
        // A read that fails leaves nothing behind, whether its answer is lost or the machine dies.
        let is_read = point.name.starts_with("catalog: read") || point.name.contains("list ");
        let modes = if is_read {
            &Mode::ALL[..1]
        } else {
            &Mode::ALL[..]
        };
        for &mode in modes {
            let case = format!("{point} {mode}");
            let moving = begin.copy();
            let faults = Faults::at(point, mode);
            let struck = moving.move_home(old_home, &faults);
            assert!(faults.has_struck(), "{case}: it was not reached");
            assert!(struck.is_err(), "{case}: it says nothing of the fault");
            for (key, bytes) in objects(&moving.lab.store) {
                let was = home.get(&key);
                let is_new = was.is_none() && key.ends_with("00000003.entry");
                assert!(is_new || was == Some(&bytes), "{case}: {key} at home");
            }
            let dies = matches!(mode, Mode::DiesBefore | Mode::DiesAfter);
            if old_home == OldHome::Asked && dies {
                let at_old = moving.copy().archive();
                let at_new = moving.copy().configured().archive();
                assert!(at_old.is_err() || at_new.is_err(), "{case}: two homes");
            }
            if old_home == OldHome::Lost {
                assert!(objects(&moving.lab.store) == home, "{case}: home was asked");
            }
            moving
                .move_home(old_home, &Faults::none())
                .unwrap_or_else(|error| panic!("{case}: the second run: {error:?}"));
            let done = (objects(&moving.lab.store), objects(&moving.second));
            let again = moving.move_home(old_home, &Faults::none()).unwrap();
            assert!(!again.is_new, "{case}");
            assert!(
                done == (objects(&moving.lab.store), objects(&moving.second)),
                "{case}: a run with nothing to do wrote"
            );
            if dies {
                moving.ends_moved(&home);
            }
        }
    }
}

#[test]
fn a_move_that_is_stopped_anywhere_is_ended_by_the_same_command() {
    enumerate(OldHome::Asked);
}

#[test]
fn giving_a_home_up_that_is_stopped_anywhere_is_ended_by_the_same_command() {
    enumerate(OldHome::Lost);
}

#[test]
fn a_marker_of_a_copy_that_cannot_be_deleted_keeps_nobody_out_of_the_new_home() {
    let begin = Moving::new();
    let faults = Faults::none();
    begin.copy().move_home(OldHome::Asked, &faults).unwrap();
    let points = faults.points().into_iter();
    let mut deletes = points.filter(|point| point.name.contains("delete"));
    let delete = deletes.next().expect("the marker is deleted");
    assert!(deletes.next().is_none(), "nothing else is deleted");
    for (mode, why) in [
        (Mode::IsLocked, "it is locked until 2099-01-01T00:00:00Z"),
        (Mode::IsDenied, "the credentials may not delete it"),
    ] {
        let moving = begin.copy();
        let moved = moving
            .move_home(OldHome::Asked, &Faults::at(&delete, mode))
            .unwrap();
        assert_eq!(moved.marker_stays.as_deref(), Some(why));
        assert!(objects(&moving.second).contains_key(&keys::copy_marker(SOURCE)));
        let moved = moving.configured();
        moved.archive().unwrap();
        moved.lab.can_be_rebuilt();
    }
}

#[test]
fn an_archive_of_another_machine_in_the_middle_of_a_move_is_in_both_places_or_in_none() {
    let begin = Moving::new();
    let faults = Faults::none();
    begin.copy().move_home(OldHome::Asked, &faults).unwrap();
    let mut committed = 0;
    for point in faults.points() {
        let moving = begin.copy();
        let other = Arc::new(moving.lab.twin());
        let at = Arc::clone(&other);
        let faults = Faults::meanwhile(&point, move || {
            let _ = at.decide("2026-01-07", &incremental(), &Faults::none());
        });
        let moved = moving.move_home(OldHome::Asked, &faults);
        assert!(faults.has_struck(), "{point}");
        let entries = objects(&moving.lab.store);
        let is_archived = entries
            .keys()
            .filter(|key| key.ends_with("/key.age"))
            .count()
            == 2
            && entries.keys().filter(|key| is_entry(key)).count() > 2
            && other_has_committed(&other);
        match moved {
            Ok(_) => assert!(!is_archived, "{point}: an archive was left behind"),
            Err(error) => {
                assert!(is_archived, "{point}: {error:?}");
                committed += 1;
                let is_named = matches!(
                    error,
                    Error::LedgerState(LedgerStateError::Overtaken { .. })
                        | Error::Move(MoveError::Behind { .. } | MoveError::NotWhole { .. })
                );
                assert!(is_named, "{point}: {error:?}");
                moving.copy_archives().unwrap();
                moving.move_home(OldHome::Asked, &Faults::none()).unwrap();
            }
        }
        let home = objects(&moving.lab.store);
        let second = objects(&moving.second);
        let visible = home.iter().filter(|(key, _)| is_entry(key));
        for (key, bytes) in visible {
            assert!(second.get(key) == Some(bytes), "{point}: {key}");
        }
    }
    assert!(committed > 3, "{committed}");
}

/// Whether that machine's archive of the 7th is committed.
fn other_has_committed(lab: &Lab) -> bool {
    let catalog = StateDir::new(&lab.config.state_dir).catalog().unwrap();
    let row = catalog.source(&SOURCE.parse().unwrap()).unwrap().unwrap();
    let visible = catalog.visible(&row.ledger).unwrap();
    visible.len() == 2
}
