//! What attempts that came to nothing left in the store: which of it `prune` removes, and when.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use chrono::{DateTime, TimeDelta, Utc};
use coldchain::catalog::Catalog;
use coldchain::config::Config;
use coldchain::engine::{self, Clock, OpenStore, PruneAsked, RunContext, StateDir};
use coldchain::error::{Error, ExitCode, LedgerStateError, PruneError};
use coldchain::interrupt::Interrupt;
use coldchain::model::ArchiveId;
use coldchain::model::Signal;
use coldchain::plan::{Fate, StrayPlan};
use coldchain::progress::Quiet;
use coldchain::store::{
    Deleted, DirStore, ErrorKind, Layer, Listed, Locator, NewObject, Operation, Put,
    RecordingStore, Store, StoreError,
};
use serde_json::{Value, json};

use crate::common::files_below;
use crate::common::machine::Machine;
use crate::common::stream_builder::StreamBuilder;

/// The stream uuids of made-up subvolumes.
const FIRST: [u8; 16] = *b"uuid of the 1st.";
const SECOND: [u8; 16] = *b"uuid of the 7th.";
const THIRD: [u8; 16] = *b"uuid of the 14th";

const DAY: Duration = Duration::from_hours(24);

/// An attempt that no machine here has made.
const FOREIGN: &str = "2024-01-05-full-00000000000000aa";

fn full(name: &str, uuid: [u8; 16]) -> StreamBuilder {
    StreamBuilder::header(1)
        .subvol(name.as_bytes(), uuid, 10)
        .mkfile(b"a file")
        .write(b"a file", 0, &[7; 1000])
}

fn incremental(name: &str, uuid: [u8; 16]) -> StreamBuilder {
    StreamBuilder::header(1)
        .snapshot(name.as_bytes(), uuid, 10, FIRST, 10)
        .write(b"a file", 0, &[8; 1000])
}

/// The same with so much after it that its first segment is in the store before its end is read.
fn long(stream: StreamBuilder, byte: u8) -> StreamBuilder {
    let data = vec![byte; 1 << 15];
    (0..80 * 32).fold(stream, |stream, at| {
        stream.write(b"a file", at << 15, &data)
    })
}

/// A machine with the full of 2024-01-01.
fn with_a_full() -> Machine {
    let machine = Machine::fed(None);
    decide(&machine, "2024-01-01", &full("2024-01-01", FIRST).finish());
    machine
}

/// A prune of today.
fn today() -> PruneAsked {
    PruneAsked {
        date: Utc::now().date_naive(),
        yes_delete: None,
    }
}

/// Prunes, and returns what became of the strays.
fn strays_of(config: &Config, context: RunContext<'_>) -> Result<StrayPlan, Error> {
    let pruned = engine::prune(config, &config.sources[0], today(), context);
    Ok(pruned.map(|pruned| pruned.plan.strays)?)
}

fn decide(machine: &Machine, date: &str, stream: &[u8]) {
    let run = machine.run_with(&format!("decide {date}"), stream);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
}

/// Begins an archive of 2024-01-07 whose stream breaks off, and returns its id. The attempt is open.
fn begin_the_7th(machine: &Machine) -> ArchiveId {
    let before = attempts(machine);
    let broken = long(incremental("2024-01-07", SECOND), 0).bytes;
    let run = machine.run_with("decide 2024-01-07", &broken);
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    let mut new = attempts(machine);
    new.retain(|id| !before.contains(id));
    let [id] = new[..] else {
        panic!("one attempt has objects: {new:?}");
    };
    assert!(objects_of(machine, &id).len() >= 2);
    id
}

/// A machine with two archives, and an attempt that was given up between them.
fn with_a_given_up_attempt() -> (Machine, ArchiveId) {
    let machine = with_a_full();
    let attempt = begin_the_7th(&machine);
    let stream = incremental("2024-01-14", THIRD).finish();
    let run = machine.run_with("decide 2024-01-14", &stream);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    (machine, attempt)
}

/// An attempt of another machine, as the store shows it.
fn put_foreign_attempt(machine: &Machine, id: &str) -> ArchiveId {
    let directory = archives(machine).join(id);
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("key.age"), b"sealed to somebody").unwrap();
    fs::write(
        directory.join("000000-00000000000000bb.zst.age"),
        b"a segment",
    )
    .unwrap();
    id.parse().unwrap()
}

fn archives(machine: &Machine) -> PathBuf {
    machine.path("store/home/archives")
}

fn directory_of(machine: &Machine, id: &ArchiveId) -> PathBuf {
    archives(machine).join(id.to_string())
}

/// The ids of which there is an object.
fn attempts(machine: &Machine) -> Vec<ArchiveId> {
    let mut ids: Vec<ArchiveId> = machine
        .objects("key.age")
        .iter()
        .map(|key| key.parent().unwrap().file_name().unwrap().to_str().unwrap())
        .map(|id| id.parse().unwrap())
        .collect();
    ids.sort_unstable();
    ids
}

fn objects_of(machine: &Machine, id: &ArchiveId) -> Vec<PathBuf> {
    let Ok(found) = fs::read_dir(directory_of(machine, id)) else {
        return Vec::new();
    };
    found.map(|item| item.unwrap().path()).collect()
}

/// Makes a file so many days old.
fn age(path: &Path, days: u32) {
    let then = SystemTime::now() - days * DAY;
    File::open(path).unwrap().set_modified(then).unwrap();
}

/// Makes all objects of an attempt so many days old.
fn age_attempt(machine: &Machine, id: &ArchiveId, days: u32) {
    for object in objects_of(machine, id) {
        age(&object, days);
    }
}

fn entry(machine: &Machine, seq: u64) -> PathBuf {
    machine.path(&format!("store/home/ledger/{seq:08}.entry"))
}

/// Every object of the store with its bytes and time.
fn stored(machine: &Machine) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
    let files = machine
        .objects("")
        .into_iter()
        .filter(|path| path.is_file());
    files
        .map(|path| {
            let modified = path.metadata().unwrap().modified().unwrap();
            let bytes = fs::read(&path).unwrap();
            (path, (bytes, modified))
        })
        .collect()
}

/// What the program answers in JSON, with its ids as they are.
fn answered(machine: &Machine, words: &str) -> Value {
    let run = machine.command(words).output().unwrap();
    let stderr = String::from_utf8(run.stderr).unwrap();
    assert_eq!((run.status.code(), stderr.as_str()), (Some(0), ""));
    serde_json::from_slice(&run.stdout).unwrap()
}

/// What `prune` answers of its one source.
fn answer_of(machine: &Machine, words: &str) -> Value {
    let mut answer = answered(machine, words);
    assert_eq!(answer["sources"].as_array().unwrap().len(), 1);
    answer["sources"][0].take()
}

fn pruned(machine: &Machine) -> Value {
    answer_of(machine, "prune --json")
}

/// The ids of a part of the answer.
fn ids(answer: &Value, part: &str) -> Vec<String> {
    let lines = answer[part].as_array().unwrap().iter();
    lines
        .map(|line| line["archive"].as_str().unwrap().to_owned())
        .collect()
}

/// Everything is restored from what is still there.
fn restorable(machine: &Machine, dates: &[&str]) {
    for date in dates {
        let plan = answered(
            machine,
            &format!("restore home --from store --date {date} --plan --json"),
        );
        for archive in plan["archives"].as_array().unwrap() {
            let id: ArchiveId = archive.as_str().unwrap().parse().unwrap();
            assert!(objects_of(machine, &id).len() >= 2);
        }
    }
}

#[test]
fn where_there_is_nothing_stray_nothing_is_said() {
    let machine = with_a_full();
    let before = stored(&machine);
    machine.run("prune").is(0, "", "");
    machine
        .run("prune --dry-run")
        .is(0, "home: nothing to retire, delete or remove\n", "");
    let answer = json!({"sources": [{"source": "home", "chains": [], "removed": [], "retired": [], "kept": [], "bytes": 0, "swept": {"files": 0, "bytes": 0}}]});
    machine
        .run("prune home --json")
        .is(0, &format!("{answer}\n"), "");
    assert_eq!(stored(&machine), before);
}

#[test]
fn an_attempt_that_was_given_up_is_removed_once_it_is_old() {
    let (machine, attempt) = with_a_given_up_attempt();
    // Just beside it, and just as old.
    let notes = archives(&machine).join("notes.txt");
    fs::write(&notes, "mine").unwrap();
    age(&notes, 400);
    age_attempt(&machine, &attempt, 6);
    let all = stored(&machine);
    machine.run("prune").is(
        0,
        &format!(
            "home: kept 2024-01-07-incr-$HEX16, {}: its newest object is 6 days old, less than 7 days\n\
             home: kept 1 object, 4 B: coldchain does not use this name: home/archives/notes.txt\n\
             home: nothing removed\n",
            size_of(&machine, &attempt),
        ),
        "",
    );
    assert_eq!(stored(&machine), all);

    age_attempt(&machine, &attempt, 8);
    let mut left = stored(&machine);
    left.retain(|path, _| !path.starts_with(directory_of(&machine, &attempt)));
    let size = size_of(&machine, &attempt);
    machine.run("prune").is(
        0,
        &format!(
            "home: removed 2024-01-07-incr-$HEX16, {size}: \
             an attempt that was given up here; its newest object is 8 days old\n\
             home: kept 1 object, 4 B: coldchain does not use this name: home/archives/notes.txt\n\
             home: {}\n",
            size.replace(", ", " removed, "),
        ),
        "",
    );
    assert_eq!(stored(&machine), left);
    assert_eq!(objects_of(&machine, &attempt), [] as [PathBuf; 0]);

    // The second run finds what was left alone, and no more.
    let again = pruned(&machine);
    assert_eq!(again["removed"], json!([]));
    assert_eq!(again["bytes"], 0);
    assert_eq!(stored(&machine), left);
    restorable(&machine, &["2024-01-01", "2024-01-14"]);
}

/// `2 objects, 1.23 KiB`, as `prune` says it.
fn size_of(machine: &Machine, id: &ArchiveId) -> String {
    let objects = objects_of(machine, id);
    let bytes = objects.iter().map(|path| path.metadata().unwrap().len());
    let bytes = coldchain::model::size::Bytes(bytes.sum());
    format!("{} objects, {bytes}", objects.len())
}

#[test]
fn an_attempt_that_is_not_over_is_kept_however_old_it_is() {
    let machine = with_a_full();
    let attempt = begin_the_7th(&machine);
    age_attempt(&machine, &attempt, 400);
    let before = stored(&machine);
    let answer = pruned(&machine);
    assert_eq!(answer["kept"][0]["archive"], json!(attempt));
    assert_eq!(
        answer["kept"][0]["reason"],
        "an attempt that this machine has not finished"
    );
    assert_eq!(stored(&machine), before);
}

#[test]
fn segments_of_an_earlier_stream_go_and_the_archives_own_stay() {
    let machine = with_a_full();
    let attempt = begin_the_7th(&machine);
    let earlier = objects_of(&machine, &attempt);
    // Another stream of the same snapshot: the attempt is gone on with.
    let stream = long(incremental("2024-01-07", SECOND), 1).finish();
    let run = machine.run_with("decide 2024-01-07", &stream);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let all = objects_of(&machine, &attempt);
    assert!(all.len() > earlier.len());
    assert_eq!(
        machine.archived(),
        ["2024-01-01 full", "2024-01-07 incremental"]
    );
    let answer = pruned(&machine);
    assert_eq!(ids(&answer, "kept"), [attempt.to_string()]);

    age_attempt(&machine, &attempt, 8);
    let answer = pruned(&machine);
    assert_eq!(ids(&answer, "removed"), [attempt.to_string()]);
    let own = objects_of(&machine, &attempt);
    let gone: Vec<_> = all.iter().filter(|path| !own.contains(path)).collect();
    assert_eq!(answer["removed"][0]["objects"], gone.len());
    assert!(gone.iter().all(|path| earlier.contains(path)));
    let listed = machine.listed();
    let segments = &listed["sources"][0]["chains"][0]["archives"][1]["segments"];
    // Beside the segments, the key and the contents.
    assert_eq!(own.len() as u64, segments.as_u64().unwrap() + 2);
    // The ledger's list is complete in the store: else this would end with 6.
    machine.run("prune").is(0, "", "");
}

#[test]
fn an_attempt_that_is_not_known_here_is_retired_first_and_removed_after_its_time_of_grace() {
    let machine = with_a_full();
    let foreign = put_foreign_attempt(&machine, FOREIGN);
    age_attempt(&machine, &foreign, 8);
    let objects = objects_of(&machine, &foreign);
    let retired = machine.run("prune");
    retired.is(
        0,
        "home: retired 2024-01-05-full-$HEX16, 2 objects, 27 B: an attempt that this machine does not know; it is removed after 7 days at the earliest; its newest object is 8 days old\n\
         home: nothing removed\n",
        "",
    );
    let entries = machine.objects(".entry");
    assert_eq!(entries.len(), 3);
    let text = fs::read_to_string(entry(&machine, 3)).unwrap();
    let own = format!(r#""retire":{{"archives":["{FOREIGN}"],"reason":"#);
    assert!(text.contains(&own), "{text}");

    // Until then it stays, and is retired once.
    for days in [0, 6] {
        age(&entry(&machine, 3), days);
        let answer = pruned(&machine);
        assert_eq!(answer["removed"], json!([]));
        assert_eq!(answer["retired"], json!([]));
        assert_eq!(ids(&answer, "kept"), [FOREIGN]);
        assert_eq!(objects_of(&machine, &foreign), objects);
        assert_eq!(machine.objects(".entry"), entries);
    }
    age(&entry(&machine, 3), 7);
    let answer = pruned(&machine);
    assert_eq!(ids(&answer, "removed"), [FOREIGN]);
    assert_eq!(answer["bytes"], 27);
    assert_eq!(objects_of(&machine, &foreign), [] as [PathBuf; 0]);
    assert_eq!(machine.objects(".entry"), entries);
    machine.run("prune").is(0, "", "");
    // The ledger goes on, and so does the chain.
    decide(
        &machine,
        "2024-01-14",
        &incremental("2024-01-14", THIRD).finish(),
    );
}

#[test]
fn without_a_time_of_grace_it_is_still_a_later_run_that_removes() {
    let machine = with_a_full();
    let config = fs::read_to_string(machine.path("config.toml")).unwrap();
    machine.write_config(&format!("delete_after = \"0s\"\n{config}"));
    let foreign = put_foreign_attempt(&machine, FOREIGN);
    age_attempt(&machine, &foreign, 8);
    let answer = pruned(&machine);
    assert_eq!(ids(&answer, "retired"), [FOREIGN]);
    assert_eq!(objects_of(&machine, &foreign).len(), 2);
    let answer = pruned(&machine);
    assert_eq!(ids(&answer, "removed"), [FOREIGN]);
}

#[test]
fn whoever_made_an_attempt_that_was_retired_can_not_commit_it_any_more() {
    let machine = with_a_full();
    // Another machine with the same keys, which has not seen what this one does next.
    let copied = Command::new("cp")
        .args(["-a", "--"])
        .args([machine.state(), machine.path("other")])
        .status();
    assert!(copied.unwrap().success());
    let mut other = config(&machine);
    other.state_dir = machine.path("other");
    let attempt = begin_the_7th(&machine);
    age_attempt(&machine, &attempt, 8);
    let plan = strays_of(&other, RunContext::real(&Quiet)).unwrap();
    assert_eq!(fates(&plan), [(Some(attempt), Fate::Retire)]);

    // It would have been gone on with; now the date gets a new one.
    decide(
        &machine,
        "2024-01-07",
        &incremental("2024-01-07", SECOND).finish(),
    );
    let ledger = fs::read_to_string(entry(&machine, 4)).unwrap();
    assert!(!ledger.contains(&attempt.to_string()), "{ledger}");
    assert_eq!(
        machine.archived(),
        ["2024-01-01 full", "2024-01-07 incremental"]
    );
    // Here it was given up by that, and the time of grace is the same.
    let answer = pruned(&machine);
    assert_eq!(ids(&answer, "kept"), [attempt.to_string()]);
    age(&entry(&machine, 3), 8);
    let answer = pruned(&machine);
    assert_eq!(ids(&answer, "removed"), [attempt.to_string()]);
    restorable(&machine, &["2024-01-01", "2024-01-07"]);
}

fn config(machine: &Machine) -> Config {
    Config::load(&machine.path("config.toml")).unwrap()
}

fn fates(plan: &StrayPlan) -> Vec<(Option<ArchiveId>, Fate)> {
    let lines = plan.lines.iter();
    lines.map(|line| (line.archive, line.fate)).collect()
}

/// How an operation is made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// It is refused.
    Refused,
    /// It is done, and its answer lost.
    Unanswered,
}

/// A directory whose operations fail as a test says, each counted by its kind from 0.
struct Faulty {
    inner: DirStore,
    fails: fn(Operation, usize, usize) -> Option<Fault>,
    /// What the function is told of last.
    k: usize,
    counts: [AtomicUsize; 3],
    /// What others do after the first listing was made, or before the first such operation.
    meanwhile: Mutex<Option<(Operation, Others)>>,
}

type Others = Box<dyn FnOnce() + Send>;

impl Faulty {
    fn new(
        machine: &Machine,
        k: usize,
        fails: fn(Operation, usize, usize) -> Option<Fault>,
    ) -> Arc<Self> {
        Arc::new(Self {
            inner: DirStore::open(&machine.path("store")).unwrap(),
            fails,
            k,
            counts: Default::default(),
            meanwhile: Mutex::default(),
        })
    }

    /// A store at which nothing fails, but somebody else is at work.
    fn shared(
        machine: &Machine,
        at: Operation,
        others: impl FnOnce() + Send + 'static,
    ) -> Arc<Self> {
        let store = Self::new(machine, 0, |_, _, _| None);
        *store.meanwhile.lock().unwrap() = Some((at, Box::new(others)));
        store
    }

    fn others(&self, operation: Operation) {
        let mut meanwhile = self.meanwhile.lock().unwrap();
        if let Some((_, others)) = meanwhile.take_if(|(at, _)| *at == operation) {
            others();
        }
    }

    fn act<T>(
        &self,
        operation: Operation,
        key: &str,
        act: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let at = match operation {
            Operation::List => 0,
            Operation::Put => 1,
            _ => 2,
        };
        let number = self.counts[at].fetch_add(1, Ordering::Relaxed);
        let fault = (self.fails)(operation, number, self.k);
        if fault != Some(Fault::Refused) {
            if operation != Operation::List {
                self.others(operation);
            }
            let answer = act()?;
            self.others(operation);
            if fault.is_none() {
                return Ok(answer);
            }
        }
        Err(StoreError {
            kind: match operation {
                Operation::Delete => ErrorKind::Denied,
                _ => ErrorKind::Unavailable,
            },
            operation,
            key: key.to_owned(),
            url: self.inner.url(),
            source: None,
            advice: None,
        })
    }
}

impl Layer for Faulty {
    fn below(&self) -> &dyn Store {
        &self.inner
    }

    fn put_if_absent(&self, object: &NewObject<'_>) -> Result<Put, StoreError> {
        self.act(Operation::Put, object.key, || {
            self.inner.put_if_absent(object)
        })
    }

    fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        self.act(Operation::List, prefix, || self.inner.list(prefix))
    }

    fn delete(&self, locator: &Locator) -> Result<Deleted, StoreError> {
        self.act(Operation::Delete, &locator.to_string(), || {
            self.inner.delete(locator)
        })
    }
}

/// `prune` over that store.
fn prune_over(machine: &Machine, store: &Arc<Faulty>) -> Result<StrayPlan, Error> {
    prune_until(machine, store, &Interrupt::new())
}

/// The same, until it is asked to stop.
fn prune_until(
    machine: &Machine,
    store: &Arc<Faulty>,
    interrupt: &Interrupt,
) -> Result<StrayPlan, Error> {
    let stores: &OpenStore<'_> = &|_, _| Ok(Box::new(Arc::clone(store)));
    let context = RunContext {
        stores,
        interrupt,
        ..RunContext::real(&Quiet)
    };
    let config = config(machine);
    strays_of(&config, context)
}

/// A machine with an old attempt that was given up, and an old one of somebody else.
fn with_both_kinds() -> (Machine, ArchiveId, ArchiveId) {
    let (machine, given_up) = with_a_given_up_attempt();
    let foreign = put_foreign_attempt(&machine, FOREIGN);
    for attempt in [given_up, foreign] {
        age_attempt(&machine, &attempt, 8);
    }
    (machine, given_up, foreign)
}

#[test]
fn a_dry_run_says_the_same_and_writes_nothing_anywhere() {
    let (machine, given_up, foreign) = with_both_kinds();
    let before = (stored(&machine), machine.standing(), state_files(&machine));
    let recorded = Arc::new(RecordingStore::new(
        DirStore::open(&machine.path("store")).unwrap(),
    ));
    let stores: &OpenStore<'_> = &|_, _| Ok(Box::new(Arc::clone(&recorded)));
    let context = RunContext {
        stores,
        catalogs: &|_| panic!("the catalog is not opened to be written to"),
        ..RunContext::real(&Quiet)
    };
    let config = config(&machine);
    // A run that is at work is not in its way.
    let state_dir = StateDir::new(&config.state_dir);
    let lock = state_dir
        .lock(&config.sources[0].name, &RunContext::real(&Quiet))
        .unwrap();
    let foreseen = engine::foresee_prune(&config, &config.sources[0], today(), context);
    let plan = foreseen.unwrap().plan.strays;
    assert_eq!(recorded.writes(), []);
    assert!(!recorded.calls().is_empty());
    let planned = [
        (Some(foreign), Fate::Retire),
        (Some(given_up), Fate::Remove),
    ];
    assert_eq!(fates(&plan), planned);
    let size = size_of(&machine, &given_up);
    machine.run("prune home --dry-run").is(
        0,
        &format!(
            "home: to retire 2024-01-05-full-$HEX16, 2 objects, 27 B: an attempt that this machine does not know; it is removed after 7 days at the earliest; its newest object is 8 days old\n\
             home: to remove 2024-01-07-incr-$HEX16, {size}: an attempt that was given up here; \
             its newest object is 8 days old\n\
             home: {}\n",
            size.replace(", ", " to remove, "),
        ),
        "",
    );
    assert_eq!(
        (stored(&machine), machine.standing(), state_files(&machine)),
        before
    );
    // The real one waits for nobody.
    let run = machine.run("prune");
    assert_eq!(run.code, Some(3), "{}", run.stderr);
    drop(lock);
    let dry = answer_of(&machine, "prune -n --json");
    let real = answer_of(&machine, "prune --json");
    assert_eq!(dry, real);
}

/// What is in the state directory, to the byte.
fn state_files(machine: &Machine) -> BTreeMap<PathBuf, Vec<u8>> {
    files_below(&machine.state())
}

#[test]
fn a_dry_run_reads_what_the_ledger_has_got_since_and_does_not_keep_it() {
    let machine = with_a_full();
    let behind = state_files(&machine);
    let attempt = begin_the_7th(&machine);
    let stream = incremental("2024-01-14", THIRD).finish();
    assert_eq!(machine.run_with("decide 2024-01-14", &stream).code, Some(0));
    assert_eq!(machine.archived().len(), 2);
    age_attempt(&machine, &attempt, 8);
    // The catalog as it was before: it knows neither the attempt nor the newest archive.
    for (path, bytes) in &behind {
        fs::write(path, bytes).unwrap();
    }
    let answer = answer_of(&machine, "prune --dry-run --json");
    assert_eq!(ids(&answer, "retired"), [attempt.to_string()]);
    assert_eq!(machine.archived(), ["2024-01-01 full"]);
}

#[test]
fn a_dry_run_just_behind_a_commit_whose_answer_was_lost_agrees_with_the_ledger() {
    let machine = with_a_full();
    let stream = incremental("2024-01-07", SECOND).finish();
    decide(&machine, "2024-01-07", &stream);
    let catalog = rusqlite::Connection::open(machine.path("state/catalog.db")).unwrap();
    catalog
        .execute_batch(
            "UPDATE entry SET state = 'committing' WHERE seq = 3;
             UPDATE archive SET state = 'committing' WHERE seq = 3;",
        )
        .unwrap();
    drop(catalog);
    let before = state_files(&machine);
    let foreseen = answer_of(&machine, "prune --dry-run --json");
    assert_eq!(ids(&foreseen, "kept"), [""; 0]);
    assert_eq!(state_files(&machine), before);
    assert_eq!(pruned(&machine), foreseen);
    restorable(&machine, &["2024-01-01", "2024-01-07"]);
}

#[test]
fn a_dry_run_takes_an_attempt_for_over_that_the_ledger_knows() {
    let machine = with_a_full();
    let attempt = begin_the_7th(&machine);
    let unfinished = state_files(&machine);
    let stream = long(incremental("2024-01-07", SECOND), 1).finish();
    assert_eq!(machine.run_with("decide 2024-01-07", &stream).code, Some(0));
    assert_eq!(machine.archived().len(), 2);
    age_attempt(&machine, &attempt, 8);
    // The catalog as a crash leaves it that takes the answer to the commit with it.
    for (path, bytes) in &unfinished {
        fs::write(path, bytes).unwrap();
    }
    let foreseen = answer_of(&machine, "prune --dry-run --json");
    assert_eq!(ids(&foreseen, "removed"), [attempt.to_string()]);
    assert_eq!(pruned(&machine)["removed"], foreseen["removed"]);
}

#[test]
fn a_listing_that_lacks_something_of_a_visible_archive_stops_everything() {
    let (machine, given_up, _) = with_both_kinds();
    let visible = attempts(&machine)[0];
    assert_eq!(visible.to_string()[..10], *"2024-01-01");
    let is_contents = |object: &PathBuf| object.to_string_lossy().contains("/contents-");
    let (contents, needed): (Vec<_>, Vec<_>) = objects_of(&machine, &visible)
        .into_iter()
        .partition(is_contents);
    let away = machine.path("away");
    for object in needed {
        fs::rename(&object, &away).unwrap();
        let before = stored(&machine);
        for words in ["prune", "prune --dry-run"] {
            let run = machine.run(words);
            assert_eq!(run.code, Some(6), "{}", run.stderr);
            assert!(run.stderr.contains(" is missing\n"), "{}", run.stderr);
            let hint = ". Nothing was retired or removed\n";
            assert!(run.stderr.contains(hint), "{}", run.stderr);
            assert_eq!(run.stdout, "");
        }
        assert_eq!(stored(&machine), before);
        fs::rename(&away, &object).unwrap();
    }
    // Without its contents an archive can be restored, so nothing waits for them.
    let [contents] = &contents[..] else {
        panic!("{contents:?}");
    };
    fs::remove_file(contents).unwrap();
    let answer = pruned(&machine);
    assert_eq!(ids(&answer, "removed"), [given_up.to_string()]);
}

#[test]
fn a_listing_that_fails_is_no_empty_listing() {
    let (machine, ..) = with_both_kinds();
    let before = stored(&machine);
    // The archives, the ledger to catch up with, and the ledger's times.
    for k in 0..3 {
        let store = Faulty::new(&machine, k, |operation, number, k| {
            (operation == Operation::List && number == k).then_some(Fault::Refused)
        });
        let error = prune_over(&machine, &store).unwrap_err();
        assert!(matches!(error, Error::Store(_)), "{error}");
        assert_eq!(error.exit_code(), ExitCode::Failed);
        assert_eq!(stored(&machine), before, "{k}");
    }
    let store = Faulty::new(&machine, 3, |_, _, _| None);
    prune_over(&machine, &store).unwrap();
    assert_eq!(store.counts[0].load(Ordering::Relaxed), 3);
}

#[test]
fn a_prune_that_is_cut_short_is_gone_on_with_by_the_next() {
    for fault in [Fault::Refused, Fault::Unanswered] {
        let (machine, given_up, foreign) = with_both_kinds();
        let mut left = objects_of(&machine, &given_up).len();
        assert!(left >= 2, "a segment and the key");
        let untouched = stored(&machine)
            .into_iter()
            .filter(|(path, _)| !path.starts_with(directory_of(&machine, &given_up)))
            .collect::<BTreeMap<_, _>>();
        while left > 0 {
            // Each run gets one object further, and the archive's key goes last.
            assert!(directory_of(&machine, &given_up).join("key.age").exists());
            let store = match fault {
                Fault::Refused => Faulty::new(&machine, 1, |operation, number, k| {
                    (operation == Operation::Delete && number == k).then_some(Fault::Refused)
                }),
                Fault::Unanswered => Faulty::new(&machine, 0, |operation, number, k| {
                    (operation == Operation::Delete && number == k).then_some(Fault::Unanswered)
                }),
            };
            let result = prune_over(&machine, &store);
            left -= 1;
            assert_eq!(objects_of(&machine, &given_up).len(), left);
            match result {
                Err(error) => {
                    assert_eq!(error.exit_code(), ExitCode::Later, "{error}");
                    assert!(
                        matches!(error, Error::Prune(PruneError::StraysLeft { .. })),
                        "{error}"
                    );
                    assert!(error.hint().is_some());
                }
                Ok(_) => assert_eq!((fault, left), (Fault::Refused, 0)),
            }
        }
        for (path, object) in &untouched {
            assert_eq!(stored(&machine).get(path), Some(object));
        }
        // The other was retired by the first of these runs, and by none again.
        assert_eq!(machine.objects(".entry").len(), 4);
        let answer = pruned(&machine);
        assert_eq!(answer["removed"], json!([]));
        assert_eq!(ids(&answer, "kept"), [foreign.to_string()]);
        restorable(&machine, &["2024-01-01", "2024-01-14"]);
    }
}

#[test]
fn a_signal_ends_it_between_two_deletes() {
    let (machine, given_up, _) = with_both_kinds();
    let objects = objects_of(&machine, &given_up).len();
    let interrupt = Arc::new(Interrupt::new());
    let store = Faulty::shared(&machine, Operation::Delete, {
        let interrupt = Arc::clone(&interrupt);
        move || interrupt.raise(Signal::Terminate)
    });
    let error = prune_until(&machine, &store, &interrupt).unwrap_err();
    assert_eq!(error.exit_code(), ExitCode::Terminated, "{error}");
    assert_eq!(objects_of(&machine, &given_up).len(), objects - 1);
    let answer = pruned(&machine);
    assert_eq!(answer["removed"][0]["objects"], objects - 1);
    // One that came before anything was written leaves all as it was.
    let (machine, ..) = with_both_kinds();
    let before = stored(&machine);
    let store = Faulty::shared(&machine, Operation::Delete, || ());
    prune_until(&machine, &store, &interrupt).unwrap_err();
    assert_eq!(stored(&machine), before);
}

#[test]
fn a_retire_whose_answer_was_lost_is_not_written_again() {
    for fault in [Fault::Refused, Fault::Unanswered] {
        let machine = with_a_full();
        let foreign = put_foreign_attempt(&machine, FOREIGN);
        age_attempt(&machine, &foreign, 8);
        let store = Faulty::new(
            &machine,
            0,
            match fault {
                Fault::Refused => |operation, number, k| {
                    (operation == Operation::Put && number == k).then_some(Fault::Refused)
                },
                Fault::Unanswered => |operation, number, k| {
                    (operation == Operation::Put && number == k).then_some(Fault::Unanswered)
                },
            },
        );
        prune_over(&machine, &store).unwrap_err();
        let written = usize::from(fault == Fault::Unanswered);
        assert_eq!(machine.objects(".entry").len(), 2 + written);
        let answer = pruned(&machine);
        let part = if written == 1 { "kept" } else { "retired" };
        assert_eq!(ids(&answer, part), [FOREIGN]);
        assert_eq!(machine.objects(".entry").len(), 3);
        assert_eq!(objects_of(&machine, &foreign).len(), 2);
        age(&entry(&machine, 3), 7);
        assert_eq!(ids(&pruned(&machine), "removed"), [FOREIGN]);
    }
}

/// Another machine with the same keys that archives 2024-01-07, when it is told to.
fn another_machine_archives_the_7th(machine: &Machine) -> impl FnOnce() + Send + use<> {
    let copied = Command::new("cp")
        .args(["-a", "--"])
        .args([machine.state(), machine.path("other")])
        .status();
    assert!(copied.unwrap().success());
    let config = fs::read_to_string(machine.path("config.toml")).unwrap();
    let config = config.replace("/state\"", "/other\"");
    // It leaves the pruning to this one.
    let config = format!("prune = \"elsewhere\"\n{config}");
    fs::write(machine.path("other.toml"), config).unwrap();
    let stream = incremental("2024-01-07", SECOND).finish();
    fs::write(machine.path("stream"), stream).unwrap();
    let mut command = machine.command("decide 2024-01-07");
    command
        .env("COLDCHAIN_CONFIG", machine.path("other.toml"))
        .stdin(File::open(machine.path("stream")).unwrap());
    move || assert!(command.output().unwrap().status.success())
}

#[test]
fn an_archive_that_is_committed_while_the_store_is_listed_is_no_stray_and_no_damage() {
    let machine = with_a_full();
    let foreign = put_foreign_attempt(&machine, FOREIGN);
    age_attempt(&machine, &foreign, 8);
    let others = another_machine_archives_the_7th(&machine);
    let store = Faulty::shared(&machine, Operation::List, others);
    let plan = prune_over(&machine, &store).unwrap();
    assert_eq!(fates(&plan), [(Some(foreign), Fate::Retire)]);
    assert_eq!(
        machine.archived(),
        ["2024-01-01 full", "2024-01-07 incremental"]
    );
    restorable(&machine, &["2024-01-01", "2024-01-07"]);
}

#[test]
fn of_a_retire_and_an_archive_at_once_the_archive_is_committed_and_nothing_is_removed() {
    let machine = with_a_full();
    let foreign = put_foreign_attempt(&machine, FOREIGN);
    age_attempt(&machine, &foreign, 8);
    let others = another_machine_archives_the_7th(&machine);
    let store = Faulty::shared(&machine, Operation::Put, others);
    let error = prune_over(&machine, &store).unwrap_err();
    assert!(
        matches!(
            error,
            Error::LedgerState(LedgerStateError::Overtaken { seq: 3, .. })
        ),
        "{error}"
    );
    assert_eq!(error.exit_code(), ExitCode::Busy);
    assert_eq!(store.counts[2].load(Ordering::Relaxed), 0);
    assert_eq!(machine.archived().len(), 2);
    // The next run goes on.
    assert_eq!(ids(&pruned(&machine), "retired"), [foreign.to_string()]);
    assert_eq!(machine.objects(".entry").len(), 4);
    restorable(&machine, &["2024-01-01", "2024-01-07"]);
}

/// A clock that is fast or slow.
struct Off(TimeDelta);

impl Clock for Off {
    fn now(&self) -> DateTime<Utc> {
        Utc::now() + self.0
    }
}

#[test]
fn nothing_happens_while_the_clocks_differ() {
    let (machine, ..) = with_both_kinds();
    let before = stored(&machine);
    let config = config(&machine);
    for hours in [-25, 25] {
        let clock = Off(TimeDelta::hours(hours));
        let context = RunContext {
            clock: &clock,
            ..RunContext::real(&Quiet)
        };
        let plan = strays_of(&config, context).unwrap();
        assert_eq!(plan.lines.len(), 2);
        for line in &plan.lines {
            assert_eq!(line.fate, Fate::Keep);
            let why = "the system's clock and the store's are 1 day apart";
            assert_eq!(line.reason, why);
        }
        assert_eq!(stored(&machine), before);
    }
}

#[test]
fn nothing_happens_long_after_the_newest_archive() {
    let (machine, ..) = with_both_kinds();
    age(&entry(&machine, 3), 36);
    let before = stored(&machine);
    let answer = pruned(&machine);
    for line in answer["kept"].as_array().unwrap() {
        let why = "the newest archive is more than 35 days old by the store's clock";
        assert_eq!(line["reason"], why);
    }
    assert_eq!(answer["kept"].as_array().unwrap().len(), 2);
    assert_eq!(stored(&machine), before);
    // The older entries do not matter.
    age(&entry(&machine, 3), 34);
    age(&entry(&machine, 2), 400);
    assert_eq!(pruned(&machine)["kept"], json!([]));
}

#[test]
fn nothing_happens_before_anything_is_archived() {
    let machine = Machine::fed(None);
    let foreign = put_foreign_attempt(&machine, FOREIGN);
    age_attempt(&machine, &foreign, 400);
    let before = stored(&machine);
    let kept = "home: kept 2024-01-05-full-$HEX16, 2 objects, 27 B: \
                nothing of this source is archived yet\n\
                home: nothing removed\n";
    machine.run("prune").is(0, kept, "");
    // And once an attempt was made, of which nothing came.
    let broken = long(full("2024-01-01", FIRST), 0).bytes;
    assert_eq!(machine.run_with("decide 2024-01-01", &broken).code, Some(1));
    let answer = pruned(&machine);
    assert_eq!(answer["kept"].as_array().unwrap().len(), 2);
    assert_eq!(answer["kept"][1]["archive"], FOREIGN);
    let after = stored(&machine);
    for (path, object) in &before {
        assert_eq!(after.get(path), Some(object));
    }
    assert!(machine.objects(".entry").is_empty());
    // Nor for a machine that has never seen the source.
    fs::remove_file(machine.path("state/catalog.db")).unwrap();
    for words in ["prune --dry-run --json", "prune --json"] {
        let answer = answer_of(&machine, words);
        for line in answer["kept"].as_array().unwrap() {
            let why = [
                "nothing of this source is archived yet",
                "its newest object is",
            ];
            let reason = line["reason"].as_str().unwrap();
            assert!(why.iter().any(|why| reason.starts_with(why)), "{reason}");
        }
        assert_eq!(answer["kept"].as_array().unwrap().len(), 2);
        assert_eq!(stored(&machine), after);
    }
}

#[test]
fn a_store_that_went_back_stops_everything() {
    let (machine, ..) = with_both_kinds();
    fs::remove_file(entry(&machine, 3)).unwrap();
    let before = stored(&machine);
    for words in ["prune", "prune --dry-run"] {
        let run = machine.run(words);
        assert_eq!(run.code, Some(6), "{}", run.stderr);
    }
    assert_eq!(stored(&machine), before);
}

#[test]
fn the_catalog_rebuilt_from_the_ledger_agrees_after_a_retire() {
    let machine = with_a_full();
    let foreign = put_foreign_attempt(&machine, FOREIGN);
    age_attempt(&machine, &foreign, 8);
    let answer = pruned(&machine);
    assert_eq!(ids(&answer, "retired"), [FOREIGN]);
    let config = config(&machine);
    let catalog = Catalog::open(&config.state_dir.join("catalog.db")).unwrap();
    let row = catalog.source(&config.sources[0].name).unwrap().unwrap();
    let entries = catalog.entries(&row.ledger).unwrap();
    assert_eq!(entries.len(), 3);
    for known in entries {
        assert!(known.committed);
        assert_eq!(fs::read(entry(&machine, known.seq)).unwrap(), known.object);
    }
}
