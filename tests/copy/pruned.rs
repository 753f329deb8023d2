//! What is deleted in a copy: over months, while home takes it back, with locks, without rights, and cut off at every
//! operation.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};
use coldchain::config::PruneMode;
use coldchain::engine::{
    self, Clock, CopyRan, CopyRequest, KeyChange, PruneAsked, Pruned, Rotated, StateDir, rotate,
};
use coldchain::error::{CopyError, Error, ExitCode, PruneError};
use coldchain::ledger::SigningKey;
use coldchain::model::entry::Role;
use coldchain::plan::{ChainFate, Fate};
use coldchain::store::{MemoryStore, NewObject, ObjectKind, Store};

use super::pair::{MARKER, Pair, objects};
use crate::common::faults::{Faults, Mode, Point};
use crate::common::lab::Lab;
use crate::common::sandbox::asked;
use crate::common::stream_builder::StreamBuilder;

struct Fixed(DateTime<Utc>);

impl Clock for Fixed {
    fn now(&self) -> DateTime<Utc> {
        self.0
    }
}

fn date(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

/// A send stream as if it came on stdin.
struct Printed(Vec<u8>, usize);

impl std::io::Read for Printed {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = (&self.0[self.1..]).read(buffer)?;
        self.1 += read;
        Ok(read)
    }
}

impl engine::StreamSource for Printed {
    fn name(&self) -> &'static str {
        "stdin"
    }

    fn finish(self: Box<Self>) -> Result<(), Error> {
        Ok(())
    }
}

fn stream_of(date: &str, parent: Option<&str>) -> Vec<u8> {
    let uuid =
        |date: &str| -> [u8; 16] { format!("uuid {date:>11}").into_bytes().try_into().unwrap() };
    let head = StreamBuilder::header(1);
    let body = match parent {
        None => head
            .subvol(date.as_bytes(), uuid(date), 10)
            .mkfile(b"a file"),
        Some(parent) => head.snapshot(date.as_bytes(), uuid(date), 10, uuid(parent), 10),
    };
    body.write(b"a file", 0, date.as_bytes()).finish()
}

/// Everything in a store, with its age.
fn same(store: &dyn Store) -> MemoryStore {
    let same = MemoryStore::default();
    for (key, bytes) in objects(store) {
        same.set_now(store.stat(&store.locate(&key)).unwrap().modified);
        let sha256 = coldchain::model::Sha256::of(&bytes);
        let object = NewObject::new(&key, bytes, sha256, ObjectKind::Ledger);
        same.put_if_absent(&object).unwrap();
    }
    same
}

/// Sets a store's clock.
type SetClock = Box<dyn Fn(DateTime<Utc>) + Send + Sync>;

/// A machine with a copy, whose clocks and those of both stores are set.
pub(super) struct Life {
    pub(super) pair: Pair,
    second: Arc<dyn Store>,
    /// Sets the clock of the second store.
    set_second: SetClock,
    today: NaiveDate,
}

impl Life {
    fn new() -> Self {
        let second = Arc::new(MemoryStore::default());
        let clock = Arc::clone(&second);
        Self::in_store(second, Box::new(move |now| clock.set_now(now)))
    }

    /// The same with that store for the copy.
    fn in_store(second: Arc<dyn Store>, set_second: SetClock) -> Self {
        let mut lab = Lab::new();
        lab.config.sources[0].schedule.max_incrementals = 1;
        lab.config.prune = PruneMode::Elsewhere;
        let pair = Pair::new(lab, None, Arc::clone(&second));
        let life = Self {
            pair,
            second,
            set_second,
            today: date("2026-01-01"),
        };
        life.set_clocks();
        life
    }

    /// The same machine once more, with stores of its own in which everything has the same age.
    fn twin(&self) -> Self {
        let mut lab = self.pair.lab.copy();
        lab.config.sources[0].schedule.max_incrementals = 1;
        lab.config.prune = self.pair.lab.config.prune;
        lab.store = Arc::new(same(self.pair.home.as_ref()));
        let second = Arc::new(same(self.second.as_ref()));
        let clock = Arc::clone(&second);
        let twin = Self {
            pair: Pair::new(lab, None, Arc::clone(&second) as _),
            second,
            set_second: Box::new(move |now| clock.set_now(now)),
            today: self.today,
        };
        twin.set_clocks();
        twin
    }

    fn now(&self) -> DateTime<Utc> {
        let noon = NaiveTime::from_hms_opt(12, 0, 0).unwrap();
        self.today.and_time(noon).and_utc()
    }

    fn set_clocks(&self) {
        self.pair.lab.store.set_now(self.now());
        (self.set_second)(self.now());
    }

    fn on(&mut self, day: &str) {
        self.today = date(day);
        self.set_clocks();
    }

    pub(super) fn later(&mut self, days: u64) {
        self.today = self.today.checked_add_days(Days::new(days)).unwrap();
        self.set_clocks();
    }

    fn act<T>(
        &self,
        faults: &Arc<Faults>,
        act: impl Fn(engine::RunContext<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let clock = Fixed(self.now());
        self.pair.in_context(faults, |context| {
            act(engine::RunContext {
                clock: &clock,
                ..context
            })
        })
    }

    /// Archives today, on that parent or in full.
    fn archive(&self, parent: Option<&str>) {
        let config = &self.pair.lab.config;
        let today = self.today.to_string();
        self.act(&Faults::none(), |context| {
            let stdin = Printed(stream_of(&today, parent), 0);
            engine::decide(
                config,
                &config.sources[0],
                asked(&today),
                context,
                stdin,
                |_| Ok(()),
            )
        })
        .unwrap();
    }

    fn prune_home(&self, faults: &Arc<Faults>) -> Result<Pruned, Error> {
        let config = &self.pair.lab.config;
        let asked = PruneAsked {
            date: self.today,
            yes_delete: None,
        };
        self.act(faults, |context| {
            engine::prune(config, &config.sources[0], asked, context).map_err(Error::from)
        })
    }

    fn copy(&self, faults: &Arc<Faults>) -> Result<CopyRan, Error> {
        self.copy_as(CopyRequest::default(), faults)
    }

    fn copy_as(&self, asked: CopyRequest, faults: &Arc<Faults>) -> Result<CopyRan, Error> {
        let config = &self.pair.lab.config;
        self.act(faults, |context| {
            engine::copy(
                config,
                &config.sources[0],
                super::pair::SECOND,
                asked,
                context,
            )
        })
    }

    /// Copies, and fails if anything of it fails.
    pub(super) fn copied(&self) -> CopyRan {
        let ran = self.copy(&Faults::none()).unwrap();
        assert!(ran.stopped.is_none(), "{:?}", ran.stopped);
        assert!(ran.unpruned.is_none(), "{:?}", ran.unpruned);
        ran
    }

    fn undelete(&self) -> Rotated {
        undelete(&self.pair)
    }

    /// The dates of archives whose objects are all or in part in a store.
    fn dates(store: &dyn Store) -> BTreeSet<String> {
        let keys = objects(store).into_keys();
        let dates =
            keys.filter_map(|key| Some(key.strip_prefix("home/archives/")?[..10].to_owned()));
        dates.collect()
    }

    pub(super) fn in_copy(&self) -> BTreeSet<String> {
        Self::dates(self.second.as_ref())
    }

    /// Panics if the copy lacks anything that home has.
    fn has_all_of_home(&self) {
        let copy = objects(self.second.as_ref());
        for (key, bytes) in objects(self.pair.home.as_ref()) {
            assert!(copy.get(&key) == Some(&bytes), "{key}");
        }
    }
}

/// Brings back what the machine's key has deleted, and withdraws that key.
fn undelete(pair: &Pair) -> Rotated {
    let lab = &pair.lab;
    let state_dir = StateDir::new(&lab.config.state_dir);
    let new = SigningKey::generate().unwrap().public();
    let change = KeyChange {
        add: vec![(new, vec![Role::Pruner, Role::Writer])],
        remove: state_dir.signing_public().unwrap().into_iter().collect(),
        undelete: true,
        ..KeyChange::default()
    };
    let (config, root) = (&lab.config, lab.root());
    pair.in_context(&Faults::none(), |context| {
        rotate(config, &config.sources[0], &change, &root, context)
    })
    .unwrap()
}

pub(super) const OLD: [&str; 2] = ["2026-01-01", "2026-01-07"];
pub(super) const NEW: [&str; 2] = ["2026-04-14", "2026-04-21"];

pub(super) fn set(dates: &[[&str; 2]]) -> BTreeSet<String> {
    dates
        .iter()
        .flatten()
        .map(|date| (*date).to_owned())
        .collect()
}

/// Two chains in both places, of which home has retired the old one on 2026-04-22.
fn retired() -> Life {
    with_retired(Life::new())
}

fn with_retired(mut life: Life) -> Life {
    for [full, incremental] in [OLD, NEW] {
        life.on(full);
        life.archive(None);
        life.on(incremental);
        life.archive(Some(full));
    }
    life.copied();
    life.on("2026-04-22");
    let pruned = life.prune_home(&Faults::none()).unwrap();
    assert_eq!(pruned.plan.retires(), (1, 2));
    life.copied();
    life
}

/// The same on 2026-04-29, after home has said that it deletes the old chain, but could not.
fn deleted() -> Life {
    with_deleted(retired())
}

/// The same with that store for the copy.
pub(super) fn deleted_in(second: Arc<dyn Store>, set_second: SetClock) -> Life {
    with_deleted(with_retired(Life::in_store(second, set_second)))
}

fn with_deleted(mut life: Life) -> Life {
    life.later(7);
    let denied =
        Faults::by_rule(|_, name| name.starts_with("store: delete").then_some(Mode::IsDenied));
    life.prune_home(&denied).unwrap_err();
    assert_eq!(Life::dates(life.pair.home.as_ref()), set(&[OLD, NEW]));
    life
}

#[test]
fn over_months_a_copy_follows_home_and_never_lacks_what_home_has() {
    let mut life = Life::new();
    life.pair.lab.config.prune = PruneMode::AfterBackup;
    let mut full = String::new();
    let (mut most, mut deletions) = (0, 0);
    for month in 1..=12 {
        for day in [1, 7, 14, 21] {
            life.on(&format!("2026-{month:02}-{day:02}"));
            let parent = (day == 7 || day == 21).then_some(full.as_str());
            life.archive(parent);
            if parent.is_none() {
                full = life.today.to_string();
            }
            let ran = life.copied();
            deletions += usize::from(
                ran.pruned
                    .chains
                    .iter()
                    .any(|it| it.fate == ChainFate::Delete),
            );
            life.has_all_of_home();
            let in_copy = life.in_copy();
            assert!(in_copy.contains(&full));
            most = most.max(in_copy.len());
        }
    }
    assert!(deletions > 10, "{deletions}");
    // 90 days, the week of grace and the chain that is open.
    assert!(most < 20, "{most}");
    assert_eq!(life.in_copy(), Life::dates(life.pair.home.as_ref()));
}

#[test]
fn a_chain_goes_in_the_copy_a_week_after_its_retire_entry_came_there_and_not_before_home_deletes_it()
 {
    let mut life = retired();
    let ran = life.copied();
    let [chain] = &ran.pruned.chains[..] else {
        panic!("{:?}", ran.pruned)
    };
    assert_eq!(chain.reason, "retired, and home has not begun to delete it");
    life.later(6);
    life.prune_home(&Faults::none()).unwrap();
    assert_eq!(life.copied().pruned.chains[0].fate, ChainFate::Keep);
    life.later(1);
    life.prune_home(&Faults::none()).unwrap();
    assert_eq!(Life::dates(life.pair.home.as_ref()), set(&[NEW]));
    // The copy's own clock counts, and without being asked to it deletes nothing.
    let no_prune = CopyRequest {
        no_prune: true,
        ..CopyRequest::default()
    };
    let ran = life.copy_as(no_prune, &Faults::none()).unwrap();
    assert!(ran.pruned.chains.is_empty());
    assert_eq!(life.in_copy(), set(&[OLD, NEW]));
    let ran = life.copied();
    assert_eq!(ran.pruned.chains[0].fate, ChainFate::Delete);
    assert_eq!(ran.pruned.chains[0].objects.len(), 6);
    assert_eq!(life.in_copy(), set(&[NEW]));
    assert!(life.copied().pruned.chains.is_empty());
}

#[test]
fn a_copy_that_learns_late_of_a_retired_chain_keeps_it_for_the_whole_week() {
    let mut life = Life::new();
    for [full, incremental] in [OLD, NEW] {
        life.on(full);
        life.archive(None);
        life.on(incremental);
        life.archive(Some(full));
    }
    life.copied();
    life.on("2026-04-22");
    life.prune_home(&Faults::none()).unwrap();
    life.later(7);
    life.prune_home(&Faults::none()).unwrap();
    // Both entries come now.
    let ran = life.copied();
    assert!(matches!(ran.pruned.chains[0].fate, ChainFate::Wait { .. }));
    life.later(7);
    assert_eq!(life.copied().pruned.chains[0].fate, ChainFate::Delete);
}

#[test]
fn an_undone_delete_is_no_delete() {
    let mut life = deleted();
    let kept = CopyRequest {
        no_prune: true,
        ..CopyRequest::default()
    };
    life.copy_as(kept, &Faults::none()).unwrap();
    assert_eq!(life.undelete().revived.len(), 2);
    life.later(7);
    let ran = life.copied();
    assert_eq!((ran.has, ran.of), (4, 4));
    // Retired once more by what the copy knew before, it stays: home shows it.
    assert!(ran.pruned.chains.is_empty(), "{:?}", ran.pruned);
    life.has_all_of_home();
}

/// What a prune of that copy does, after everything is copied.
fn points(begin: &Life) -> Vec<Point> {
    let faults = Faults::none();
    let life = begin.twin();
    let ran = life.copy(&faults).unwrap();
    assert!(ran.unpruned.is_none() && ran.stopped.is_none());
    assert_eq!(life.in_copy(), set(&[NEW]));
    let points = faults.points();
    let survey = points
        .iter()
        .rposition(|point| point.name == "store: list home/archives/");
    points[survey.unwrap()..].to_vec()
}

/// The look at the mark of the copy before the first object goes.
fn look_at_mark(points: &[Point]) -> &Point {
    let first = points
        .iter()
        .position(|point| point.name.starts_with("store: delete"));
    let mut before = points[..first.unwrap()].iter().rev();
    before.find(|point| point.name.ends_with("/COPY")).unwrap()
}

#[test]
fn what_home_brings_back_while_the_copy_is_about_to_delete_it_stays() {
    let life = deleted();
    let points = points(&life);
    let marker = look_at_mark(&points);
    // The other run has its own hold on the same machine and stores.
    let life = Arc::new(life);
    let other = Arc::clone(&life);
    let faults = Faults::meanwhile(marker, move || {
        assert_eq!(other.undelete().revived.len(), 2);
    });
    let ran = life.copy(&faults).unwrap();
    assert!(faults.has_struck());
    assert!(
        matches!(
            ran.unpruned,
            Some(Error::Prune(PruneError::BroughtBack { .. }))
        ),
        "{:?}",
        ran.unpruned
    );
    assert_eq!(life.in_copy(), set(&[OLD, NEW]));
    life.copied();
    life.has_all_of_home();
}

#[test]
fn a_mark_that_has_vanished_ends_the_deletion() {
    let life = deleted();
    let points = points(&life);
    let marker = look_at_mark(&points);
    let second = Arc::clone(&life.second);
    let faults = Faults::meanwhile(marker, move || {
        second.delete(&second.locate(MARKER)).unwrap();
    });
    let ran = life.copy(&faults).unwrap();
    assert!(
        matches!(ran.unpruned, Some(Error::Copy(CopyError::MarkGone { .. }))),
        "{:?}",
        ran.unpruned
    );
    assert_eq!(life.in_copy(), set(&[OLD, NEW]));
}

#[test]
fn a_lock_keeps_what_home_has_deleted_and_credentials_without_the_right_are_said() {
    let mut life = deleted();
    let ruled = |mode| {
        let of_archive = "store: delete home/archives/";
        Faults::by_rule(move |_, name| name.starts_with(of_archive).then_some(mode))
    };
    let ran = life.copy(&ruled(Mode::IsLocked)).unwrap();
    assert!(ran.unpruned.is_none(), "{:?}", ran.unpruned);
    assert!(matches!(
        ran.pruned.chains[0].fate,
        ChainFate::Retained { .. }
    ));
    assert_eq!(life.in_copy(), set(&[OLD, NEW]));

    life.on("2026-05-01");
    life.archive(None);
    let ran = life.copy(&ruled(Mode::IsDenied)).unwrap();
    assert_eq!((ran.copied.len(), ran.has, ran.of), (1, 3, 3));
    let error = ran.unpruned.unwrap();
    assert!(
        matches!(error, Error::Copy(CopyError::NotPruned { deleted: 0, .. })),
        "{error:?}"
    );
    assert_eq!(error.exit_code(), ExitCode::Later);
    assert!(error.hint().unwrap().contains("--no-prune"));

    assert_eq!(life.copied().pruned.chains[0].fate, ChainFate::Delete);
    assert!(life.in_copy().is_disjoint(&set(&[OLD])));
}

#[test]
fn cut_off_at_any_operation_a_deletion_goes_on_and_takes_nothing_else() {
    let begin = deleted();
    let points = points(&begin);
    let mut struck = 0;
    for (nth, point) in points.iter().enumerate() {
        // Every operation that writes in two ways, one that reads in one, and so every kind of operation in all of them.
        for more in 0..if point.is_read() { 1 } else { 2 } {
            let mode = Mode::ALL[(nth + more) % 4];
            let life = begin.twin();
            let faults = Faults::at(point, mode);
            let ran = life.copy(&faults);
            if faults.has_struck() && mode != Mode::LosesItsAnswer {
                let whole = ran.is_ok_and(|ran| ran.stopped.is_none() && ran.unpruned.is_none());
                assert!(!whole, "{point}: {mode}: it reported success");
                struck += 1;
            }
            assert!(life.in_copy().is_superset(&set(&[NEW])), "{point}: {mode}");
            life.copied();
            assert_eq!(life.in_copy(), set(&[NEW]), "{point}: {mode}");
            assert!(life.copied().pruned.chains.is_empty(), "{point}: {mode}");
            let rows = life.pair.lab.catalog().placed(1).unwrap();
            assert_eq!(rows.len(), 2, "{point}: {mode}");
        }
    }
    assert!(struck > points.len() / 3, "{struck} of {}", points.len());
}

#[test]
fn home_out_of_reach_deletes_nothing() {
    let life = deleted();
    // What is read of a ledger after the copy was listed is the copy's listing, and home's.
    let survey = points(&life)[0].number;
    let gone = Faults::by_rule(move |number, name| {
        let is_ledger = name.contains("home/ledger/") && !name.ends_with("/COPY");
        (number > survey + 1 && is_ledger).then_some(Mode::Fails)
    });
    let ran = life.copy(&gone).unwrap();
    assert!(
        matches!(ran.unpruned, Some(Error::Store(_))),
        "{:?}",
        ran.unpruned
    );
    assert_eq!(life.in_copy(), set(&[OLD, NEW]));
}

#[test]
fn objects_of_no_archive_go_when_they_are_a_week_old() {
    let mut life = retired();
    let stray = "home/archives/2026-02-01-full-00000000000000ff/key.age";
    let bytes = b"nobody's".to_vec();
    let sha256 = coldchain::model::Sha256::of(&bytes);
    let put = |key| NewObject::new(key, bytes.clone(), sha256, ObjectKind::Ledger);
    life.second.put_if_absent(&put(stray)).unwrap();
    life.second
        .put_if_absent(&put("home/archives/README"))
        .unwrap();
    let kept = |ran: &CopyRan| -> BTreeMap<String, Fate> {
        let lines = ran.pruned.strays.lines.iter();
        lines
            .map(|line| (line.objects[0].key.clone(), line.fate))
            .collect()
    };
    life.later(6);
    assert_eq!(kept(&life.copied())[stray], Fate::Keep);
    life.later(1);
    let ran = life.copied();
    assert_eq!(kept(&ran)[stray], Fate::Remove);
    assert_eq!(kept(&ran)["home/archives/README"], Fate::Keep);
    let left = objects(life.second.as_ref());
    assert!(!left.contains_key(stray) && left.contains_key("home/archives/README"));
}
