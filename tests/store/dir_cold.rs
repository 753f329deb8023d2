//! A directory that plays a cold class: every state of an object, on a clock that the test turns.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use coldchain::model::{Sha256, StorageClass, Tier, TierRefused};
use coldchain::store::{
    Deleted, DirStore, ErrorKind, Locator, NewObject, ObjectKind, Put, Readability, Store,
    StoreError, ThawAnswer, ThawRequest, is_key,
};

const CLASS: StorageClass = StorageClass::DeepArchive;
const KEY: &str = "home/archives/a/000000.zst.age";
const SIDECAR: &str = "home/archives/a/.cold-000000.zst.age";

/// A directory, and the time in it.
struct Rehearsal {
    directory: tempfile::TempDir,
    now: Arc<Mutex<DateTime<Utc>>>,
}

impl Rehearsal {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            now: Arc::new(Mutex::new("2026-12-22T12:00:00Z".parse().unwrap())),
        }
    }

    /// The store as it is opened without a class to play.
    fn warm(&self) -> DirStore {
        let now = Arc::clone(&self.now);
        let clock = Arc::new(move || *now.lock().unwrap());
        DirStore::open(self.root()).unwrap().with_clock(clock)
    }

    fn cold(&self) -> DirStore {
        self.warm().playing(CLASS, None)
    }

    fn root(&self) -> &Path {
        self.directory.path()
    }

    fn has(&self, path: &str) -> bool {
        self.root().join(path).exists()
    }

    fn pass(&self, hours: i64) {
        *self.now.lock().unwrap() += TimeDelta::hours(hours);
    }

    fn in_hours(&self, hours: i64) -> DateTime<Utc> {
        *self.now.lock().unwrap() + TimeDelta::hours(hours)
    }
}

fn put(store: &DirStore, key: &str, role: ObjectKind) -> Put {
    let bytes = b"0123456789".as_slice();
    let object = NewObject::new(key, bytes, Sha256::of(bytes), role);
    store.put_if_absent(&object).unwrap()
}

fn created(store: &DirStore, key: &str, role: ObjectKind) -> Locator {
    match put(store, key, role) {
        Put::Created(locator) => locator,
        Put::Existed(_) => panic!("{key} existed"),
    }
}

fn ask(store: &DirStore, at: &Locator, tier: Tier, days: u32) -> Result<ThawAnswer, StoreError> {
    store.thaw(at, ThawRequest { tier, days })
}

fn readability(store: &DirStore, at: &Locator) -> Readability {
    let readability = store.readability(at).unwrap();
    let readable = matches!(readability, Readability::Always | Readability::Until(..));
    for got in [store.get(at, 99), store.get_range(at, 0, 10)] {
        match got {
            Ok(bytes) => assert!(readable && bytes == b"0123456789", "{readability:?}"),
            Err(error) => assert!(!readable && error.kind == ErrorKind::Cold, "{error}"),
        }
    }
    readability
}

#[test]
fn a_segment_is_cold_until_it_is_thawed_and_cold_again_after_its_days() {
    let rehearsal = Rehearsal::new();
    let store = rehearsal.cold();
    let at = created(&store, KEY, ObjectKind::Segment);
    assert_eq!(readability(&store, &at), Readability::Cold(CLASS));

    assert_eq!(
        ask(&store, &at, Tier::Bulk, 2).unwrap(),
        ThawAnswer::Accepted
    );
    let until = rehearsal.in_hours(48 + 48);
    assert_eq!(readability(&store, &at), Readability::Thawing(CLASS));
    rehearsal.pass(47);
    assert_eq!(readability(&store, &at), Readability::Thawing(CLASS));
    rehearsal.pass(1);
    assert_eq!(readability(&store, &at), Readability::Until(CLASS, until));
    rehearsal.pass(47);
    assert_eq!(readability(&store, &at), Readability::Until(CLASS, until));
    rehearsal.pass(1);
    assert_eq!(readability(&store, &at), Readability::Cold(CLASS));

    // And round again.
    assert_eq!(
        ask(&store, &at, Tier::Standard, 1).unwrap(),
        ThawAnswer::Accepted
    );
    assert_eq!(readability(&store, &at), Readability::Thawing(CLASS));
    let until = rehearsal.in_hours(12 + 24);
    rehearsal.pass(12);
    assert_eq!(readability(&store, &at), Readability::Until(CLASS, until));
}

#[test]
fn what_is_no_segment_is_never_cold() {
    let rehearsal = Rehearsal::new();
    let store = rehearsal.cold();
    let at = created(&store, "home/ledger/1", ObjectKind::Ledger);
    assert_eq!(readability(&store, &at), Readability::Always);
    assert_eq!(
        ask(&store, &at, Tier::Bulk, 1).unwrap(),
        ThawAnswer::NotCold
    );
    assert_eq!(store.stat(&at).unwrap().class, None);
}

#[test]
fn a_thaw_under_way_is_sped_up_by_a_faster_tier_and_by_no_other() {
    let rehearsal = Rehearsal::new();
    let store = rehearsal.cold();
    let at = created(&store, KEY, ObjectKind::Segment);
    ask(&store, &at, Tier::Bulk, 3).unwrap();
    rehearsal.pass(10);
    assert_eq!(
        ask(&store, &at, Tier::Bulk, 9).unwrap(),
        ThawAnswer::Running
    );
    assert_eq!(
        ask(&store, &at, Tier::Standard, 9).unwrap(),
        ThawAnswer::Running
    );
    // The days are those that were asked for first.
    let until = rehearsal.in_hours(12 + 3 * 24);
    rehearsal.pass(11);
    assert_eq!(readability(&store, &at), Readability::Thawing(CLASS));
    assert_eq!(
        ask(&store, &at, Tier::Standard, 9).unwrap(),
        ThawAnswer::Running
    );
    rehearsal.pass(1);
    assert_eq!(readability(&store, &at), Readability::Until(CLASS, until));
}

#[test]
fn what_is_readable_stays_so_for_the_days_of_a_new_request() {
    let rehearsal = Rehearsal::new();
    let store = rehearsal.cold();
    let at = created(&store, KEY, ObjectKind::Segment);
    ask(&store, &at, Tier::Standard, 1).unwrap();
    rehearsal.pass(12 + 23);
    assert_eq!(
        ask(&store, &at, Tier::Bulk, 5).unwrap(),
        ThawAnswer::Accepted
    );
    let until = rehearsal.in_hours(5 * 24);
    assert_eq!(readability(&store, &at), Readability::Until(CLASS, until));
}

#[test]
fn a_tier_that_the_class_lacks_is_refused_and_changes_nothing() {
    let rehearsal = Rehearsal::new();
    let store = rehearsal
        .warm()
        .playing(CLASS, Some(Duration::from_secs(1)));
    let at = created(&store, KEY, ObjectKind::Segment);
    let error = ask(&store, &at, Tier::Expedited, 1).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unsupported);
    assert_eq!(
        error.source.unwrap().downcast_ref(),
        Some(&TierRefused {
            class: CLASS,
            tier: Tier::Expedited
        })
    );
    assert_eq!(readability(&store, &at), Readability::Cold(CLASS));
}

#[test]
fn a_delay_holds_for_every_tier_and_may_be_none_at_all() {
    for (hours, tier) in [(5, Tier::Bulk), (5, Tier::Standard), (0, Tier::Expedited)] {
        let rehearsal = Rehearsal::new();
        let delay = Duration::from_hours(hours);
        let glacier = StorageClass::Glacier;
        let store = rehearsal.warm().playing(glacier, Some(delay));
        let at = created(&store, KEY, ObjectKind::Segment);
        assert_eq!(ask(&store, &at, tier, 1).unwrap(), ThawAnswer::Accepted);
        let hours = i64::try_from(hours).unwrap();
        if hours > 0 {
            rehearsal.pass(hours - 1);
            assert_eq!(readability(&store, &at), Readability::Thawing(glacier));
            rehearsal.pass(1);
        }
        let until = rehearsal.in_hours(24);
        assert_eq!(readability(&store, &at), Readability::Until(glacier, until));
    }
}

#[test]
fn days_and_delays_beyond_the_calendar_are_as_good_as_for_ever() {
    let rehearsal = Rehearsal::new();
    let store = rehearsal.warm().playing(CLASS, Some(Duration::ZERO));
    let at = created(&store, KEY, ObjectKind::Segment);
    ask(&store, &at, Tier::Bulk, u32::MAX).unwrap();
    rehearsal.pass(24 * 36_500);
    let for_ever = Readability::Until(CLASS, DateTime::<Utc>::MAX_UTC);
    assert_eq!(readability(&store, &at), for_ever);

    let store = rehearsal.warm().playing(CLASS, Some(Duration::MAX));
    let at = created(&store, "b", ObjectKind::Segment);
    ask(&store, &at, Tier::Bulk, 1).unwrap();
    assert_eq!(readability(&store, &at), Readability::Thawing(CLASS));
}

#[test]
fn the_class_stays_when_the_store_is_opened_without_one() {
    let rehearsal = Rehearsal::new();
    let at = created(&rehearsal.cold(), KEY, ObjectKind::Segment);
    let store = rehearsal.warm();
    assert_eq!(store.stat(&at).unwrap().class, Some(CLASS));
    assert_eq!(readability(&store, &at), Readability::Cold(CLASS));
    assert_eq!(
        ask(&store, &at, Tier::Standard, 1).unwrap(),
        ThawAnswer::Accepted
    );
    rehearsal.pass(12);
    // Also what was thawed is remembered on the disk alone, and not in the class that is played now.
    let other = rehearsal.warm().playing(StorageClass::Glacier, None);
    let until = rehearsal.in_hours(24);
    assert_eq!(readability(&other, &at), Readability::Until(CLASS, until));

    let at = created(&store, "b", ObjectKind::Segment);
    assert_eq!(readability(&store, &at), Readability::Always);
    assert_eq!(
        readability(&rehearsal.cold(), &at),
        Readability::Always,
        "what was stored warm stays warm"
    );
}

#[test]
fn stat_and_listing_tell_the_class_and_show_nothing_else() {
    let rehearsal = Rehearsal::new();
    let store = rehearsal.cold();
    let at = created(&store, KEY, ObjectKind::Segment);
    created(&store, "home/ledger/1", ObjectKind::Ledger);
    ask(&store, &at, Tier::Bulk, 1).unwrap();
    let told = |prefix: &str| -> Vec<_> {
        let listed = store.list(prefix).unwrap().into_iter();
        listed.map(|at| (at.key, at.stat.class)).collect()
    };
    let segment = (KEY.to_owned(), Some(CLASS));
    assert_eq!(
        told(""),
        [segment.clone(), ("home/ledger/1".to_owned(), None)]
    );
    assert_eq!(told("home/archives/a/"), std::slice::from_ref(&segment));
    assert_eq!(told("home/archives/a/."), []);
    let stat = store.stat(&at).unwrap();
    assert_eq!((stat.bytes, stat.class), (10, Some(CLASS)));
    assert_eq!(store.list(KEY).unwrap()[0].stat, stat);
    assert!(rehearsal.has(SIDECAR));
}

#[test]
fn what_is_remembered_is_under_no_key() {
    let rehearsal = Rehearsal::new();
    let store = rehearsal.cold();
    created(&store, KEY, ObjectKind::Segment);
    assert!(!is_key(SIDECAR) && !is_key(".cold-a/b") && is_key("a.cold-b") && is_key(".coldly"));
    let at = Locator::from(SIDECAR.to_owned());
    assert_eq!(store.get(&at, 999).unwrap_err().kind, ErrorKind::BadKey);
    assert_eq!(store.delete(&at).unwrap_err().kind, ErrorKind::BadKey);
}

#[test]
fn a_deleted_segment_leaves_nothing_and_its_key_can_be_put_warm() {
    let rehearsal = Rehearsal::new();
    let store = rehearsal.cold();
    let at = created(&store, KEY, ObjectKind::Segment);
    assert_eq!(store.delete(&at).unwrap(), Deleted::Removed);
    assert_eq!(store.delete(&at).unwrap(), Deleted::Absent);
    let directory = rehearsal.root().join("home/archives/a");
    assert!(!directory.exists(), "not even the directory is left");
    for error in [
        store.readability(&at).map(drop).unwrap_err(),
        ask(&store, &at, Tier::Bulk, 1).map(drop).unwrap_err(),
        store.get(&at, 99).map(drop).unwrap_err(),
    ] {
        assert_eq!(error.kind, ErrorKind::NotFound, "{error}");
    }
    created(&rehearsal.warm(), KEY, ObjectKind::Segment);
    assert_eq!(readability(&store, &at), Readability::Always);
}

#[test]
fn what_a_cut_short_put_or_delete_left_is_no_object_and_not_in_the_way() {
    // A thaw of an object that is gone is left as well.
    let left = |rehearsal: &Rehearsal| {
        let store = rehearsal.cold();
        let at = created(&store, KEY, ObjectKind::Segment);
        ask(&store, &at, Tier::Bulk, 1).unwrap();
        fs::remove_file(rehearsal.root().join(KEY)).unwrap();
        assert!(rehearsal.has(SIDECAR));
        at
    };

    let rehearsal = Rehearsal::new();
    let store = rehearsal.cold();
    let at = left(&rehearsal);
    assert_eq!(store.list("").unwrap(), []);
    assert!(store.stat(&at).unwrap_err().is_not_found());
    assert!(ask(&store, &at, Tier::Bulk, 1).unwrap_err().is_not_found());
    created(&store, KEY, ObjectKind::Segment);
    assert_eq!(readability(&store, &at), Readability::Cold(CLASS));

    let rehearsal = Rehearsal::new();
    let at = left(&rehearsal);
    created(&rehearsal.warm(), KEY, ObjectKind::Segment);
    assert_eq!(readability(&rehearsal.cold(), &at), Readability::Always);

    let rehearsal = Rehearsal::new();
    let at = left(&rehearsal);
    assert_eq!(rehearsal.cold().delete(&at).unwrap(), Deleted::Absent);
    assert!(!rehearsal.has(SIDECAR));
}

#[test]
fn a_put_of_what_is_there_leaves_its_class_and_its_thaw() {
    let rehearsal = Rehearsal::new();
    let store = rehearsal.cold();
    let warm = created(&rehearsal.warm(), "warm", ObjectKind::Segment);
    assert!(matches!(
        put(&store, "warm", ObjectKind::Segment),
        Put::Existed(_)
    ));
    assert_eq!(readability(&store, &warm), Readability::Always);

    let cold = created(&store, KEY, ObjectKind::Segment);
    ask(&store, &cold, Tier::Bulk, 1).unwrap();
    for again in [store, rehearsal.warm()] {
        assert!(matches!(
            put(&again, KEY, ObjectKind::Segment),
            Put::Existed(_)
        ));
        assert_eq!(readability(&again, &cold), Readability::Thawing(CLASS));
    }
}

#[test]
fn what_is_remembered_is_plain_and_when_damaged_an_error_rather_than_warm() {
    let rehearsal = Rehearsal::new();
    let store = rehearsal.cold();
    let at = created(&store, KEY, ObjectKind::Segment);
    let path = rehearsal.root().join(SIDECAR);
    let remembered = || fs::read_to_string(&path).unwrap();
    assert_eq!(remembered(), r#"{"class":"DEEP_ARCHIVE","thaw":null}"#);
    ask(&store, &at, Tier::Standard, 1).unwrap();
    assert_eq!(
        remembered(),
        r#"{"class":"DEEP_ARCHIVE","thaw":{"asked_at":"2026-12-22T12:00:00Z","ready_at":"2026-12-23T00:00:00Z","readable_until":"2026-12-24T00:00:00Z"}}"#
    );

    for damage in ["", "{}", r#"{"class":"TEPID","thaw":null}"#] {
        fs::write(&path, damage).unwrap();
        for error in [
            store.get(&at, 99).map(drop).unwrap_err(),
            store.stat(&at).map(drop).unwrap_err(),
            store.list("").map(drop).unwrap_err(),
            ask(&store, &at, Tier::Bulk, 1).map(drop).unwrap_err(),
        ] {
            assert_eq!(error.kind, ErrorKind::Failed, "{error}");
            let cause = error.source.unwrap().to_string();
            assert!(
                cause.ends_with(".cold-000000.zst.age does not have the storage class and the thaw of its object"),
                "{cause}"
            );
        }
    }
    assert_eq!(store.delete(&at).unwrap(), Deleted::Removed);
    assert!(!path.exists());
}

#[test]
fn a_name_too_long_to_be_remembered_is_no_segment_but_still_an_object() {
    let rehearsal = Rehearsal::new();
    let long = "x".repeat(250);
    let at = created(&rehearsal.cold(), &long, ObjectKind::Ledger);
    assert_eq!(readability(&rehearsal.cold(), &at), Readability::Always);
    assert_eq!(rehearsal.warm().list("").unwrap().len(), 1);
    assert_eq!(rehearsal.warm().delete(&at).unwrap(), Deleted::Removed);

    let bytes = b"x".as_slice();
    let object = NewObject::new(&long, bytes, Sha256::of(bytes), ObjectKind::Segment);
    let error = rehearsal.cold().put_if_absent(&object).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Failed);
    assert_eq!(fs::read_dir(rehearsal.root()).unwrap().count(), 0);
}

#[test]
fn two_threads_that_thaw_at_once_start_one_thaw() {
    for _ in 0..20 {
        let rehearsal = Rehearsal::new();
        let at = created(&rehearsal.cold(), KEY, ObjectKind::Segment);
        let mut answers: Vec<bool> = std::thread::scope(|scope| {
            let ask = || {
                // Each with a store of its own, as two commands would have.
                let store = rehearsal.cold();
                for _ in 0..5 {
                    assert_eq!(store.list("").unwrap().len(), 1);
                }
                ask(&store, &at, Tier::Standard, 1).unwrap() == ThawAnswer::Accepted
            };
            let threads = [(); 4].map(|()| scope.spawn(ask));
            threads.map(|thread| thread.join().unwrap()).into()
        });
        answers.sort_unstable();
        assert_eq!(answers, [false, false, false, true]);
        rehearsal.pass(12);
        let until = rehearsal.in_hours(24);
        let store = rehearsal.warm();
        assert_eq!(readability(&store, &at), Readability::Until(CLASS, until));
        let files = fs::read_dir(rehearsal.root().join("home/archives/a"));
        assert_eq!(files.unwrap().count(), 2, "nothing temporary stays");
    }
}

#[test]
fn of_a_cold_and_a_warm_writer_the_one_that_creates_decides_on_the_class() {
    for round in 0..50 {
        let rehearsal = Rehearsal::new();
        let (cold, warm) = (rehearsal.cold(), rehearsal.warm());
        let created =
            |store: &DirStore| matches!(put(store, KEY, ObjectKind::Segment), Put::Created(_));
        let (cold_created, warm_created) = std::thread::scope(|scope| {
            let other = scope.spawn(|| created(&warm));
            (created(&cold), other.join().unwrap())
        });
        assert!(cold_created != warm_created, "round {round}");
        let class = cold.stat(&cold.locate(KEY)).unwrap().class;
        assert_eq!(class, cold_created.then_some(CLASS), "round {round}");
    }
}
