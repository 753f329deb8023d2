//! Senders that break: what they printed is never archived, and the next run makes it good.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use coldchain::btrfs::{BtrfsError, Tools};
use coldchain::engine::{self, OpenStore, RunContext};
use coldchain::error::{Error, ExitCode};
use coldchain::process::ProcessError;
use coldchain::progress::Quiet;
use coldchain::store::{DirStore, Layer, NewObject, Put, Store, StoreError};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use crate::common::loopfs::{btrfs, real_btrfs_available};
use crate::common::rng::Rng;
use crate::common::sandbox::{SOURCE, Sandbox, Setup, asked, error_of, which};
use crate::common::stub::{Stub, send_by_btrfs};
use crate::common::tree::{make_rich_tree, mutate_tree};

/// How long anything here may take; nothing waits for it unless the test fails.
const PATIENCE: Duration = Duration::from_mins(2);

/// A store that says when the second segment is to be stored, and then waits until it may be.
struct Held {
    inner: DirStore,
    reached: SyncSender<()>,
    release: Mutex<Receiver<()>>,
}

impl Layer for Held {
    fn below(&self) -> &dyn Store {
        &self.inner
    }

    fn put_if_absent(&self, object: &NewObject<'_>) -> Result<Put, StoreError> {
        if object.key.contains("/000001-") {
            // Nobody listens any more if the test has failed.
            let _ = self.reached.send(());
            let _ = self.release.lock().unwrap().recv_timeout(PATIENCE);
        }
        self.inner.put_if_absent(object)
    }
}

/// The `btrfs send` that this process has started on that snapshot.
fn sender_of(snapshot: &Path) -> Pid {
    let parent = format!("PPid:\t{}\n", std::process::id());
    let is_it = |process: &Path| -> Option<bool> {
        let words = fs::read(process.join("cmdline")).ok()?;
        let mut words = words.split(|byte| *byte == 0);
        let sends = words.any(|word| word == b"send")
            && words.any(|word| word == snapshot.as_os_str().as_bytes());
        Some(
            sends
                && fs::read_to_string(process.join("status"))
                    .ok()?
                    .contains(&parent),
        )
    };
    let process = fs::read_dir("/proc")
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| is_it(path) == Some(true))
        .expect("the sender is at work");
    let id = process.file_name().unwrap().to_str().unwrap();
    Pid::from_raw(id.parse().unwrap()).unwrap()
}

/// A source whose full archive has eight segments: more than what fits between a sender and a store that
/// holds its breath, with as little memory.
fn large_source() -> Sandbox {
    let sandbox = Sandbox::with(&Setup {
        mib: 512,
        ..Setup::default()
    });
    let mut rng = Rng::new(11);
    make_rich_tree(&sandbox.source(), &mut rng);
    fs::write(sandbox.source().join("large"), rng.bytes(120 << 20)).unwrap();
    send_by_btrfs(&sandbox.config());
    let config = fs::read_to_string(sandbox.config()).unwrap();
    let config = format!("memory_limit = \"150MiB\"\n{config}");
    fs::write(sandbox.config(), config).unwrap();
    sandbox
}

/// Runs a backup, does that to its first sender in the midst of the stream, and tells how it ended.
fn backup_with_sender(
    sandbox: &Sandbox,
    date: &str,
    act: fn(Pid),
) -> Result<engine::Outcome, Error> {
    let (reached, wait) = mpsc::sync_channel(1);
    let (release, released) = mpsc::channel();
    let held = Arc::new(Held {
        inner: DirStore::open(&sandbox.store()).unwrap(),
        reached,
        release: Mutex::new(released),
    });
    let stores: &OpenStore<'_> = &|_, _| Ok(Box::new(Arc::clone(&held)));
    let config = sandbox.loaded_config();
    let context = RunContext {
        stores,
        ..RunContext::real(&Quiet)
    };
    thread::scope(|scope| {
        let run = scope.spawn(|| engine::backup(&config, &config.sources[0], asked(date), context));
        // Taken in here, so that a panic lets go of the store before the scope waits for the run.
        let release = release;
        wait.recv_timeout(PATIENCE).expect("a second segment");
        act(sender_of(&sandbox.snapshot(date)));
        release.send(()).unwrap();
        run.join().unwrap()
    })
}

/// After a failed first run: segments are stored, but no archive is in the ledger.
fn nothing_is_archived(sandbox: &Sandbox) {
    assert_eq!(sandbox.committed(), [""; 0]);
    assert!(sandbox.ledger().is_empty());
    let named = |part: &str| {
        let stored = sandbox.stored();
        let names = stored.keys().map(|path| path.to_str().unwrap());
        names.filter(|name| name.contains(part)).count()
    };
    assert_eq!(named("/key.age"), 1);
    assert!(named("/000001-") == 1);
}

fn the_next_run_succeeds(sandbox: &Sandbox, date: &str) {
    let before = which(&sandbox.snapshot(date));
    let next = sandbox.backup(date);
    assert!(next.stdout.contains("archived, full"), "{next:?}");
    assert_eq!(sandbox.committed(), [date]);
    assert_eq!(which(&sandbox.snapshot(date)), before);
    sandbox.restores_equal(&[date]);
}

#[test]
fn nothing_is_archived_of_a_sender_that_is_killed_in_the_midst() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = large_source();
    let outcome = backup_with_sender(&sandbox, "2025-01-01", |sender| {
        kill_process(sender, Signal::KILL).unwrap();
    });
    let error = error_of(outcome);
    assert!(
        matches!(
            &error,
            Error::Btrfs(BtrfsError::Process(ProcessError::Failed { .. }))
        ) && error.to_string().contains("signal: 9"),
        "{error}"
    );
    assert_eq!(error.exit_code(), ExitCode::Failed);
    nothing_is_archived(&sandbox);
    the_next_run_succeeds(&sandbox, "2025-01-01");
}

#[test]
fn a_sender_that_is_stopped_and_continued_in_the_midst_is_asked_once_more() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = large_source();
    let outcome = backup_with_sender(&sandbox, "2025-01-01", |sender| {
        kill_process(sender, Signal::STOP).unwrap();
        let stopped = WaitIdOptions::STOPPED | WaitIdOptions::NOWAIT;
        waitid(WaitId::Pid(sender), stopped).unwrap();
        kill_process(sender, Signal::CONT).unwrap();
    });
    // The kernel begins the stream anew, mostly in the midst of a command, and the sender exits 0.
    let engine::Outcome::Archived { archives, later } = outcome.unwrap() else {
        panic!("a first archive is due");
    };
    assert!(later.is_none(), "{later:?}");
    let [made] = archives.as_slice() else {
        panic!("{archives:?}");
    };
    // What the first pass had stored was whole, and is not stored again.
    assert_eq!(made.uploaded_bytes, made.sealed_bytes);
    assert_eq!(sandbox.committed(), ["2025-01-01"]);
    sandbox.restores_equal(&["2025-01-01"]);
}

/// Where the commands of a stream end; the first is the end of its header.
fn command_ends(stream: &[u8]) -> Vec<usize> {
    let mut ends = vec![17];
    while let Some(length) = stream[*ends.last().unwrap()..].first_chunk() {
        let length = usize::try_from(u32::from_le_bytes(*length)).unwrap();
        ends.push(ends.last().unwrap() + 10 + length);
    }
    assert_eq!(ends.last(), Some(&stream.len()));
    ends
}

/// A way to break: what it is, a script, and what the program says of it.
type Breakage = (&'static str, String, &'static str);

fn breakages(stream: &[u8]) -> Vec<Breakage> {
    let ends = command_ends(stream);
    let cut = |at: usize| format!("head -c {at} \"$stream\"");
    let middle = ends[ends.len() / 2];
    let no_end = "the stream ends without its end command";
    let after_end = "there are bytes after the end command";
    vec![
        ("cut behind the header", cut(ends[0]), no_end),
        ("cut behind the first command", cut(ends[1]), no_end),
        ("cut between two commands", cut(middle), no_end),
        (
            "cut before the end command",
            cut(ends[ends.len() - 2]),
            no_end,
        ),
        (
            "cut in a command",
            cut(middle + 5),
            "the stream ends inside a command, after 5 bytes of it",
        ),
        (
            "cut in the header",
            cut(9),
            "the stream ends inside its header",
        ),
        (
            "a byte after the end",
            "cat \"$stream\"; printf x".to_owned(),
            after_end,
        ),
        (
            "a command less, then the rest",
            format!("{}; tail -c +{} \"$stream\"", cut(ends[1]), ends[0] + 1),
            "a second subvolume",
        ),
        (
            "twice the stream",
            "cat \"$stream\" \"$stream\"".to_owned(),
            after_end,
        ),
        (
            "failed after a whole stream",
            "cat \"$stream\"; echo 'ERROR: no luck' >&2; exit 1".to_owned(),
            "`btrfs` ended with exit status: 1: no luck",
        ),
        (
            "killed after a whole stream",
            "cat \"$stream\"; kill -9 $$".to_owned(),
            "`btrfs` ended with signal: 9",
        ),
        (
            "killed between two commands",
            format!("{}; kill -9 $$", cut(middle)),
            "`btrfs` ended with signal: 9",
        ),
        (
            "failed before the first byte",
            "echo 'ERROR: no luck' >&2; exit 1".to_owned(),
            "`btrfs` ended with exit status: 1: no luck",
        ),
        (
            "printed nothing",
            "exit 0".to_owned(),
            "the stream is empty",
        ),
    ]
}

#[test]
fn nothing_is_archived_of_a_broken_stream_and_the_next_run_makes_it_good() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = Sandbox::with(&Setup {
        schedule: "max_incrementals = 30",
        mib: 512,
        ..Setup::default()
    });
    send_by_btrfs(&sandbox.config());
    let stub = Stub::new();
    let mut rng = Rng::new(12);
    make_rich_tree(&sandbox.source(), &mut rng);
    let run = |date: &str, what: &str, script: &str, says: &str| {
        stub.sends(script);
        let (stored, committed) = (sandbox.stored(), sandbox.committed());
        let ran = sandbox.run_with_path(&stub.path(), ["backup", date]);
        assert_eq!(ran.code, Some(1), "{date}: {what}: {ran:?}");
        assert_eq!(ran.stdout, "", "{date}: {what}");
        assert!(ran.stderr.contains(says), "{date}: {what}: {}", ran.stderr);
        assert_eq!(sandbox.committed(), committed, "{date}: {what}");
        // Such a small stream was not even begun to be stored.
        assert_eq!(sandbox.stored(), stored, "{date}: {what}");
    };
    let mut dates: Vec<String> = Vec::new();
    let mut date: chrono::NaiveDate = "2025-01-01".parse().unwrap();
    for number in 0.. {
        let today = date.to_string();
        // The snapshot has to be there before its stream can be had.
        run(&today, "printed nothing", "exit 0", "the stream is empty");
        let mut words = vec![OsString::from("send"), "-q".into()];
        if let Some(parent) = dates.last() {
            words.extend(["-p".into(), sandbox.snapshot(parent).into_os_string()]);
        }
        words.extend(["-f".into(), stub.stream().into_os_string()]);
        words.push(sandbox.snapshot(&today).into_os_string());
        let words: Vec<&Path> = words.iter().map(Path::new).collect();
        btrfs([], &words);
        let breakages = breakages(&fs::read(stub.stream()).unwrap());
        // All of them on the full; then each on an incremental of its own.
        let chosen = match number {
            0 => &breakages[..],
            _ => std::slice::from_ref(&breakages[number - 1]),
        };
        for (what, script, says) in chosen {
            run(&today, what, script, says);
        }

        let kind = if number == 0 { "full" } else { "incremental" };
        let next = sandbox.backup(&today);
        assert!(
            next.stdout.contains(&format!("archived, {kind}")),
            "{next:?}"
        );
        dates.push(today);
        assert_eq!(sandbox.committed(), dates);
        mutate_tree(&sandbox.source(), &mut rng);
        if number == breakages.len() {
            break;
        }
        date = date + chrono::Months::new(1);
    }
    let dates: Vec<&str> = dates.iter().map(String::as_str).collect();
    sandbox.restores_equal(&dates);
}

#[test]
fn segments_of_a_long_stream_that_was_cut_are_in_no_archive() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = large_source();
    let date = "2025-01-01";
    let stub = Stub::new();
    stub.sends("exit 0");
    sandbox.run_with_path(&stub.path(), ["backup", date]);
    btrfs(
        ["send", "-q", "-f"],
        &[&stub.stream(), &sandbox.snapshot(date)],
    );
    let ends = command_ends(&fs::read(stub.stream()).unwrap());
    stub.sends(&format!("head -c {} \"$stream\"", ends[ends.len() - 2]));
    let ran = sandbox.run_with_path(&stub.path(), ["backup", date, "--json"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let events = ran.events();
    let of = |name: &str| events.iter().filter(|event| event["event"] == name).count();
    assert!(of("segment") >= 2, "{events:?}");
    assert_eq!((of("committed"), of("failed")), (0, 1), "{events:?}");
    let done = events.last().unwrap();
    assert_eq!(done["sources"][0]["name"], SOURCE);
    assert_eq!(done["sources"][0]["result"], "failed");
    let error: serde_json::Value = serde_json::from_str(&ran.stderr).unwrap();
    assert_eq!(error["error"]["code"], 1);
    nothing_is_archived(&sandbox);
    the_next_run_succeeds(&sandbox, date);
}

#[test]
fn a_stub_that_is_the_real_btrfs_archives_as_usual() {
    if !real_btrfs_available() {
        return;
    }
    // Or else every test above could fail for the stub's own reasons.
    let sandbox = Sandbox::new();
    send_by_btrfs(&sandbox.config());
    make_rich_tree(&sandbox.source(), &mut Rng::new(15));
    let stub = Stub::new();
    let real = Tools::find().unwrap();
    stub.sends(&format!("exec '{}' \"$@\"", real.program().display()));
    sandbox
        .run_with_path(
            &stub.path(),
            [OsStr::new("backup"), OsStr::new("2025-01-01")],
        )
        .ok();
    assert_eq!(sandbox.committed(), ["2025-01-01"]);
    sandbox.restores_equal(&["2025-01-01"]);
}
