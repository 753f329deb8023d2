//! One source's life, step by step, and what must be true of it after each.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeDelta, Utc};
use coldchain::engine::{
    self, Asked, Clock, OpenCatalog, OpenSource, OpenStore, Outcome, StateDir, Wanted, World,
    catch_up,
};
use coldchain::error::{Error, ExitCode};
use coldchain::model::archive::ArchiveState;
use coldchain::model::entry::ArchiveEntry;
use coldchain::model::{ArchiveId, ArchiveKind, Sha256, keys};
use coldchain::plan::strays::QUIET_DAYS;
use coldchain::plan::{DateOverride, Fate, Request, Schedule};
use coldchain::progress::{Event, Observer};
use coldchain::seal::{ArchiveKey, Identities, open_segment};
use coldchain::store::{MemoryStore, NewObject, Put, Role, Store};
use rusqlite::Connection;

use super::common::faults::{Faults, FaultyStore, Mode};
use super::common::lab::{Lab, SOURCE};
use super::common::replicated::replicated;
use super::ledger::{GARBAGE, Ledger};
use super::step::{Bad, Step, When};
use super::streams::{Broken, Content, Length, Printed, Sender};

/// A chain is full soon, so that there are several.
const MAX_INCREMENTALS: u32 = 3;

/// After so many steps the catalog is held against one that is read from the store.
const REBUILD_EVERY: usize = 20;

/// A source, and what is known of it.
pub(super) struct Life<'a> {
    lab: Lab,
    tally: &'a Tally,
    identities: Identities,
    schedule: Schedule,
    /// The day that it really is.
    date: NaiveDate,
    ledger: Ledger,
    /// What stands, by date: the stream of which the archive was made.
    stands: BTreeMap<NaiveDate, (ArchiveId, Printed)>,
    /// The digests of all objects that there ever were.
    written: BTreeMap<String, Sha256>,
    /// Copies of the catalog.
    kept: Vec<Vec<u8>>,
    steps: usize,
}

/// A run of `decide`.
struct Night {
    when: When,
    content: Content,
    /// Days that the system's clock is ahead.
    ahead: i64,
    date_override: DateOverride,
    request: Request,
    broken: Option<Broken>,
    faults: Arc<Faults>,
    sky: Sky,
}

/// Whether anything befalls a run that it can't foresee.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sky {
    Clear,
    Rough,
}

/// How a run has to end that nothing befalls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    Refused,
    Nothing,
    Archive(Wanted),
}

struct Fixed(DateTime<Utc>);

impl Clock for Fixed {
    fn now(&self) -> DateTime<Utc> {
        self.0
    }
}

/// Says nothing, and counts what runs did.
#[derive(Debug, Default)]
pub(super) struct Tally(Mutex<BTreeMap<&'static str, u64>>);

impl Tally {
    fn count(&self, what: &'static str) {
        *self.0.lock().unwrap().entry(what).or_default() += 1;
    }

    /// How often each thing was done.
    pub(super) fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.0.lock().unwrap().clone()
    }
}

impl Observer for Tally {
    fn event(&self, event: Event) {
        match event {
            Event::Begun { .. } => self.count("streams read"),
            Event::Segment { .. } => self.count("segments stored"),
            Event::Skipped { .. } => self.count("segments passed over"),
            Event::Committed { .. } => self.count("archives committed"),
            Event::Planned { .. } => self.count("attempts gone on with"),
            Event::Warning { message, .. } if message.contains("is given up") => {
                self.count("attempts given up");
            }
            Event::Warning { .. } => self.count("other warnings"),
            _ => {}
        }
    }
}

impl Night {
    fn clear(when: When, content: Content) -> Self {
        Self {
            when,
            content,
            ahead: 0,
            date_override: DateOverride::Absent,
            request: Request::Scheduled,
            broken: None,
            faults: Faults::none(),
            sky: Sky::Clear,
        }
    }

    fn rough(when: When, content: Content, faults: Arc<Faults>) -> Self {
        Self {
            faults,
            sky: Sky::Rough,
            ..Self::clear(when, content)
        }
    }
}

fn struck(at: usize, mode: Mode) -> Arc<Faults> {
    Faults::by_rule(move |number, _| (number == at + 1).then_some(mode))
}

fn bad(bad: Bad) -> Arc<Faults> {
    let begin = match bad {
        Bad::Anything => "store: ",
        Bad::List => "store: list ",
        Bad::ListArchives => "store: list home/archives/",
        Bad::Put => "store: store ",
    };
    Faults::by_rule(move |_, name| name.starts_with(begin).then_some(Mode::Fails))
}

fn noon(date: NaiveDate) -> DateTime<Utc> {
    let noon = NaiveTime::from_hms_opt(12, 0, 0).unwrap();
    date.and_time(noon).and_utc()
}

fn put(store: &MemoryStore, key: &str, bytes: &[u8]) {
    let object = NewObject::new(key, bytes.to_vec(), Sha256::of(bytes), Role::Ledger);
    assert!(matches!(store.put_if_absent(&object), Ok(Put::Created(_))));
}

impl<'a> Life<'a> {
    pub(super) fn new(tally: &'a Tally) -> Self {
        let mut lab = Lab::new();
        lab.config.sources[0].schedule.max_incrementals = MAX_INCREMENTALS;
        Self {
            identities: lab.identities(),
            schedule: engine::schedule(&lab.config.sources[0]),
            lab,
            tally,
            date: NaiveDate::from_ymd_opt(2025, 12, 30).unwrap(),
            ledger: Ledger::default(),
            stands: BTreeMap::new(),
            written: BTreeMap::new(),
            kept: Vec::new(),
            steps: 0,
        }
    }

    pub(super) fn take(&mut self, step: &Step) {
        self.steps += 1;
        match *step {
            Step::Night(when, content) => self.night(&Night::clear(when, content)),
            Step::Full(when, content) => self.night(&Night {
                request: Request::Full,
                ..Night::clear(when, content)
            }),
            Step::Struck(when, content, at, mode) => {
                self.night(&Night::rough(when, content, struck(at, mode)));
            }
            Step::Broken(when, content, broken) => self.night(&Night {
                broken: Some(broken),
                ..Night::clear(when, content)
            }),
            Step::Clock(when, content, ahead, date_override) => self.night(&Night {
                ahead,
                date_override,
                ..Night::clear(when, content)
            }),
            Step::Earlier(days, content) => {
                let today = self.date;
                self.date = today - Days::new(days);
                self.night(&Night::clear(When::Same, content));
                self.date = today;
            }
            Step::Bad(when, content, what) => {
                let before = self.objects();
                self.night(&Night::rough(when, content, bad(what)));
                if what != Bad::ListArchives {
                    assert_eq!(self.objects(), before, "a bad store was written to");
                }
            }
            Step::Garbage => self.garbage(),
            Step::Overtaken(when, content) => self.overtaken(when, content),
            Step::LostSegment(which) => self.lose_an_object(which),
            Step::LostRows(entries) => self.lose_rows(entries),
            Step::Keep => self.keep(),
            Step::PutBack(which) => self.put_back(which),
            Step::Prune(days, ahead) => self.prune(days, ahead, &Faults::none(), Sky::Clear),
            Step::StruckPrune(days, at, mode) => {
                self.prune(days, 0, &struck(at, mode), Sky::Rough);
            }
        }
        if self.steps.is_multiple_of(REBUILD_EVERY) {
            self.recover();
        }
    }

    /// Whatever has befallen it: runs that nothing befalls bring it to where it should be.
    pub(super) fn recover(&mut self) {
        let content = Content {
            length: Length::Short,
            tail: 9,
        };
        self.night(&Night::clear(When::Same, content));
        self.night(&Night::clear(When::Slot, content));
        assert_eq!(self.stands.keys().last(), Some(&self.date));
        self.night(&Night::clear(When::Same, content));
        self.can_be_rebuilt();
        let (catalog, row) = self.catalog();
        let archives = catalog.archives(&row.expect("it is known").ledger).unwrap();
        let newest = archives.last().expect("one was just committed").chain;
        for archive in archives {
            let (id, seen) = (archive.id, archive.verified_at);
            assert_eq!(archive.state, ArchiveState::Committed, "{id}");
            assert_eq!(archive.damaged_at, None, "{id}");
            assert!(
                seen.is_some() || archive.chain != newest,
                "{id} was never verified"
            );
        }
    }

    /// The day of that run.
    fn go(&mut self, when: When) {
        self.date = match when {
            When::Same => self.date,
            When::Slot => self.schedule.next_slot_after(self.date),
            When::After(days) => self.date + Days::new(days),
        };
        self.lab.store.set_now(noon(self.date));
    }

    fn catalog(
        &self,
    ) -> (
        coldchain::catalog::Catalog,
        Option<coldchain::catalog::SourceRow>,
    ) {
        let catalog = self.lab.catalog();
        let row = catalog.source(&SOURCE.parse().unwrap()).unwrap();
        (catalog, row)
    }

    /// The attempts that the catalog takes for unfinished.
    fn open_attempts(&self) -> Vec<ArchiveId> {
        let (catalog, Some(row)) = self.catalog() else {
            return Vec::new();
        };
        let rows = catalog.archives(&row.ledger).unwrap().into_iter();
        let open = rows.filter(|row| {
            matches!(
                row.state,
                ArchiveState::Unfinished | ArchiveState::Committing
            )
        });
        open.map(|row| row.id)
            .filter(|id| !self.ledger.archives.contains_key(id))
            .collect()
    }

    /// Everything in the store.
    fn objects(&self) -> BTreeSet<String> {
        let listed = self.lab.store.list("").unwrap();
        listed.into_iter().map(|listed| listed.key).collect()
    }

    /// What a run has to come to if nothing befalls it.
    fn due(&self, night: &Night, today: NaiveDate) -> Due {
        let newest = self.stands.keys().last().copied();
        let ahead = self.date > today + Days::new(1);
        if ahead && night.date_override == DateOverride::Absent
            || newest.is_some_and(|newest| newest > self.date)
            || newest == Some(self.date) && night.request == Request::Full
        {
            return Due::Refused;
        }
        // A full that was begun is welcome always.
        let resumed = self.open_attempts().into_iter().any(|id| {
            id.date == self.date
                && id.kind == ArchiveKind::Full
                && !self.ledger.retired.contains_key(&id)
        });
        let Some(newest) = newest else {
            return Due::Archive(Wanted::Full);
        };
        let full = resumed || night.request == Request::Full;
        if newest == self.date || newest >= self.schedule.slot_of(self.date) && !full {
            return Due::Nothing;
        }
        let chain = self.ledger.archives[&self.stands[&newest].0].chain;
        let archives = self.ledger.archives.values();
        let in_chain = archives.filter(|archive| archive.chain == chain).count();
        if full || in_chain > MAX_INCREMENTALS as usize {
            return Due::Archive(Wanted::Full);
        }
        Due::Archive(Wanted::Incremental(newest))
    }

    /// A run, and a look at what it did.
    fn night(&mut self, night: &Night) {
        self.go(night.when);
        let today = match night.ahead {
            ahead if ahead < 0 => self.date - Days::new(ahead.unsigned_abs()),
            ahead => self.date + Days::new(ahead.unsigned_abs()),
        };
        let due = self.due(night, today);
        let before = self.objects();
        let known = self.stands.keys().next().copied();
        let sender = Sender::new(self.date, night.content, night.broken, known);
        let outcome = self.run(night, today, &sender);
        if night.faults.has_struck() {
            self.tally.count("runs struck");
        }

        let new = self.look(sender.sent_whole());
        assert!(
            new.len() <= 1 && new.iter().all(|id| id.date == self.date),
            "{new:?}"
        );
        match (&outcome, due) {
            (Ok(Outcome::Archived { archives, later }), Due::Archive(_)) => {
                let made: Vec<ArchiveId> = archives.iter().map(|made| made.archive).collect();
                assert_eq!(made, new, "it reports what it did not do");
                assert!(later.is_none() || night.sky == Sky::Rough, "{later:?}");
                assert_eq!(night.broken, None, "a broken stream was archived");
            }
            (Ok(Outcome::NothingDue { .. }), Due::Nothing) => {
                assert_eq!(self.objects(), before, "a run with nothing due wrote");
            }
            (Err(error), Due::Refused) if error.exit_code() == ExitCode::Usage => {
                assert_eq!(self.objects(), before, "a run that was refused wrote");
            }
            (Err(error), Due::Archive(_)) if night.broken.is_some() => {
                assert_eq!(error.exit_code(), ExitCode::Failed, "{error:?}");
                assert_eq!(new, [], "a broken stream was archived");
            }
            (Err(error), _) if night.sky == Sky::Rough => {
                assert_eq!(error.exit_code(), ExitCode::Failed, "{error:?}");
            }
            _ => panic!("{}: {due:?} was due: {outcome:?}", self.date),
        }
        if let (Some(wanted), Due::Archive(expected)) = (sender.wanted(), due) {
            assert_eq!(wanted, expected, "{}", self.date);
        }
    }

    fn run(&self, night: &Night, today: NaiveDate, sender: &Sender) -> Result<Outcome, Error> {
        let config = &self.lab.config;
        let asked = Asked {
            date: self.date,
            today,
            request: night.request,
            override_date: night.date_override,
        };
        let clock = Fixed(noon(today));
        self.in_world(&clock, &night.faults, |world| {
            engine::decide(
                config,
                &config.sources[0],
                asked,
                world,
                sender.stdin(),
                |wanted| {
                    sender.told(wanted);
                    Ok(())
                },
            )
        })
    }

    fn in_world<T>(
        &self,
        clock: &Fixed,
        faults: &Arc<Faults>,
        act: impl FnOnce(World<'_>) -> T,
    ) -> T {
        let catalogs: &OpenCatalog<'_> =
            &|state_dir| Ok(state_dir.catalog()?.watched(Arc::clone(faults) as _));
        let stores: &OpenStore<'_> = &|_, _| {
            let store = Arc::clone(&self.lab.store);
            Ok(Box::new(FaultyStore::new(store, Arc::clone(faults))))
        };
        act(World {
            clock,
            catalogs,
            stores,
            ..World::real(self.tally)
        })
    }

    /// Looks at everything after a run that was sent that stream, and returns the archives that are new.
    fn look(&mut self, sent: Option<Printed>) -> Vec<ArchiveId> {
        let new = self.ledger.read(&self.lab.store);
        let listed = self.lab.store.list("").unwrap();
        let mut lengths = BTreeMap::new();
        for object in listed {
            let sha256 = object.stat.sha256.unwrap();
            let before = self.written.insert(object.key.clone(), sha256);
            assert!(
                before.is_none_or(|before| before == sha256),
                "{} was written twice, with other bytes",
                object.key
            );
            lengths.insert(object.key, object.stat.bytes);
        }
        for entry in &new {
            let sent = sent.expect("a stream is archived that was sent as a whole");
            assert!(
                self.stream(entry) == sent.bytes(),
                "{} is not what was sent",
                entry.id
            );
            let before = self.stands.insert(entry.date, (entry.id, sent));
            assert_eq!(before, None, "a date is archived twice");
        }
        for (id, entry) in &self.ledger.archives {
            assert!(
                lengths.contains_key(&keys::archive_key(SOURCE, id)),
                "{id} has no key"
            );
            for (record, index) in entry.segments.iter().zip(0..) {
                let key = keys::segment(SOURCE, id, index, &record.sha256);
                assert_eq!(lengths.get(&key), Some(&record.sealed_bytes), "{key}");
            }
        }
        let open = self.open_attempts();
        assert!(
            open.len() <= 1,
            "more than one attempt is unfinished: {open:?}"
        );
        new.iter().map(|entry| entry.id).collect()
    }

    /// The stream of an archive, from what is stored.
    fn stream(&self, entry: &ArchiveEntry) -> Vec<u8> {
        let store = &self.lab.store;
        let sealed = BASE64.decode(&entry.key).unwrap();
        let beside = store.locate(&keys::archive_key(SOURCE, &entry.id));
        assert_eq!(store.get(&beside, u64::MAX).unwrap(), sealed, "key.age");
        let key = ArchiveKey::unseal(&sealed, &self.identities).unwrap();
        let mut stream = Vec::new();
        for (record, index) in entry.segments.iter().zip(0..) {
            let at = store.locate(&keys::segment(SOURCE, &entry.id, index, &record.sha256));
            let sealed = store.get(&at, u64::MAX).unwrap();
            assert_eq!(Sha256::of(&sealed), record.sha256);
            open_segment(&sealed, &key, record.raw_bytes)
                .unwrap()
                .read_to_end(&mut stream)
                .unwrap();
        }
        stream
    }

    /// Panics unless the catalog says of the ledger what the store's ledger says.
    fn can_be_rebuilt(&self) {
        let (_, row) = self.catalog();
        let row = row.expect("it is known");
        let state = &self.lab.config.state_dir;
        let elsewhere = state.parent().unwrap().join("read again");
        let _ = fs::remove_dir_all(&elsewhere);
        let mut catalog = StateDir::new(&elsewhere).catalog().unwrap();
        catalog.add_source(&row).unwrap();
        let source = OpenSource {
            config: &self.lab.config.sources[0],
            row: row.clone(),
            store: self.lab.store.as_ref(),
        };
        let root = StateDir::new(state).root_key().unwrap();
        catch_up(&source, &mut catalog, &root).unwrap();
        drop(catalog);
        let own = replicated(&state.join("catalog.db"), row.ledger);
        let rebuilt = replicated(&elsewhere.join("catalog.db"), row.ledger);
        assert_eq!(own, rebuilt, "the catalog, and the one read from the store");
    }

    /// The first entry is not passed over, whatever is there: then there would be no ledger.
    fn garbage(&mut self) {
        if self.ledger.is_open() {
            put(&self.lab.store, &Ledger::key(self.ledger.next()), GARBAGE);
            self.look(None);
        }
    }

    /// Garbage that takes an entry's number right before its PUT.
    fn overtaken(&mut self, when: When, content: Content) {
        if !self.ledger.is_open() {
            return;
        }
        let (store, key) = (Arc::clone(&self.lab.store), Ledger::key(self.ledger.next()));
        let taken = format!("store: store {key}");
        let faults = Faults::by_rule(move |_, name| {
            if name == taken {
                put(&store, &key, GARBAGE);
            }
            None
        });
        self.go(when);
        let night = Night::rough(When::Same, content, faults);
        if let Due::Archive(_) = self.due(&night, self.date) {
            let sender = Sender::new(self.date, content, None, None);
            let outcome = self.run(&night, self.date, &sender);
            let code = outcome.as_ref().map_err(Error::exit_code);
            assert!(matches!(code, Err(ExitCode::Integrity)), "{outcome:?}");
            assert_eq!(self.look(None), []);
        }
    }

    fn lose_an_object(&mut self, which: usize) {
        let lost: Vec<String> = self
            .open_attempts()
            .iter()
            .flat_map(|id| {
                self.lab
                    .store
                    .list(&keys::archive_prefix(SOURCE, id))
                    .unwrap()
            })
            .map(|listed| listed.key)
            .collect();
        if !lost.is_empty() {
            let key = &lost[which % lost.len()];
            self.lab.store.delete(&self.lab.store.locate(key)).unwrap();
            self.tally.count("objects of attempts lost");
        }
    }

    /// As if the last entries had not been heard of.
    fn lose_rows(&self, entries: usize) {
        let (catalog, row) = self.catalog();
        let Some(row) = row else {
            return;
        };
        drop(catalog);
        let connection = Connection::open(self.lab.config.state_dir.join("catalog.db")).unwrap();
        connection
            .execute_batch(&format!(
                "PRAGMA foreign_keys = OFF;
                 BEGIN;
                 CREATE TEMP TABLE lost AS SELECT seq FROM entry WHERE ledger = '{ledger}'
                    ORDER BY seq DESC LIMIT {entries};
                 DELETE FROM segment WHERE archive IN
                    (SELECT id FROM archive WHERE seq IN (SELECT seq FROM lost));
                 DELETE FROM archive WHERE seq IN (SELECT seq FROM lost);
                 DELETE FROM quarantine WHERE seq >= (SELECT min(seq) FROM lost);
                 DELETE FROM entry WHERE seq IN (SELECT seq FROM lost);
                 COMMIT;",
                ledger = row.ledger
            ))
            .unwrap();
    }

    /// Only one that knows its ledger: who puts an empty one back has to rebuild it first.
    fn keep(&mut self) {
        if self.catalog().1.is_some() {
            let state = &self.lab.config.state_dir;
            assert!(!state.join("catalog.db-wal").exists());
            self.kept.push(fs::read(state.join("catalog.db")).unwrap());
        }
    }

    fn put_back(&mut self, which: usize) {
        if !self.kept.is_empty() {
            let copy = &self.kept[which % self.kept.len()];
            fs::write(self.lab.config.state_dir.join("catalog.db"), copy).unwrap();
        }
    }

    /// A prune, and a look at what it removed.
    fn prune(&mut self, days: u64, ahead: i64, faults: &Arc<Faults>, sky: Sky) {
        self.go(When::After(days));
        let store = Arc::clone(&self.lab.store);
        let before = store.list(&keys::archives_prefix(SOURCE)).unwrap();
        let mut newest: BTreeMap<ArchiveId, DateTime<Utc>> = BTreeMap::new();
        for listed in &before {
            let (id, _) = keys::archive_of(SOURCE, &listed.key).unwrap();
            let newest = newest.entry(id).or_insert(listed.stat.modified);
            *newest = listed.stat.modified.max(*newest);
        }
        let quiet = |id: &ArchiveId| noon(self.date) - newest[id] >= TimeDelta::days(QUIET_DAYS);
        let clock = Fixed(noon(self.date) + TimeDelta::days(ahead));
        let config = &self.lab.config;
        let foreseen = self.in_world(&clock, &Faults::none(), |world| {
            engine::find_strays(config, &config.sources[0], world)
        });
        let outcome = self.in_world(&clock, faults, |world| {
            engine::remove_strays(config, &config.sources[0], world)
        });
        if faults.has_struck() {
            self.tally.count("prunes struck");
        }
        let after = self.objects();
        for listed in &before {
            let (id, _) = keys::archive_of(SOURCE, &listed.key).unwrap();
            assert!(
                after.contains(&listed.key) || quiet(&id),
                "{} went too soon",
                listed.key
            );
        }
        let retired_before = self.ledger.retired.clone();
        self.look_after_prune(&before.iter().map(|it| it.key.clone()).collect(), &after);
        match outcome {
            Ok((removed, _)) => {
                assert_eq!(
                    removed,
                    foreseen.unwrap(),
                    "what was done, and what was foreseen"
                );
                for _ in removed.with(Fate::Retire) {
                    self.tally.count("attempts retired");
                }
                for _ in removed.with(Fate::Remove) {
                    self.tally.count("attempts swept away");
                }
            }
            Err(error) if sky == Sky::Rough => {
                assert_eq!(error.exit_code(), ExitCode::Failed, "{error:?}");
                return;
            }
            Err(error) => panic!("{error:?}"),
        }
        self.nothing_stray_is_left(&newest, &retired_before, ahead);
    }

    fn look_after_prune(&mut self, before: &BTreeSet<String>, after: &BTreeSet<String>) {
        assert_eq!(self.look(None), []);
        for id in self.open_attempts() {
            let prefix = keys::archive_prefix(SOURCE, &id);
            let mut own = before.iter().filter(|key| key.starts_with(&prefix));
            assert!(own.all(|key| after.contains(key)), "{id} is still open");
            assert!(!self.ledger.retired.contains_key(&id), "{id} was retired");
        }
    }

    /// After a prune that has come to its end.
    fn nothing_stray_is_left(
        &self,
        newest: &BTreeMap<ArchiveId, DateTime<Utc>>,
        retired_before: &BTreeMap<ArchiveId, u64>,
        ahead: i64,
    ) {
        let store = &self.lab.store;
        let stored = |seq: u64| {
            let stat = store.stat(&store.locate(&Ledger::key(seq))).unwrap();
            stat.modified
        };
        let open = self.open_attempts();
        let now = noon(self.date);
        let archives = self.ledger.archives.values();
        let newest_archive = archives.map(|entry| entry.id.date).max().map(noon);
        let held = ahead.abs() > 1
            || newest_archive.is_none_or(|newest| now - newest > TimeDelta::days(35));
        for (id, newest) in newest {
            if held || open.contains(id) || now - *newest < TimeDelta::days(QUIET_DAYS) {
                continue;
            }
            let left = store.list(&keys::archive_prefix(SOURCE, id)).unwrap();
            if let Some(entry) = self.ledger.archives.get(id) {
                assert_eq!(left.len(), entry.segments.len() + 1, "{id}: {left:?}");
                continue;
            }
            let grace = match retired_before.get(id) {
                Some(seq) => now - stored(*seq) < TimeDelta::days(QUIET_DAYS),
                None => self.ledger.retired.contains_key(id),
            };
            assert!(grace || left.is_empty(), "{id} is left: {left:?}");
        }
    }
}
