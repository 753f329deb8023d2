//! SIGINT and SIGTERM: a run ends soon with 130 or 143, nothing that it started is left, and the next
//! run goes on.

use std::fs;
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};

use crate::common::bucket::write_credentials;
use crate::common::loopfs::{LoopFs, btrfs, real_btrfs_available};
use crate::common::machine::{LIVE_CONFIG, Machine, Run, Talk, fed_config};
use crate::common::rng::Rng;
use crate::common::sandbox::which;
use crate::common::stream_builder::StreamBuilder;
use crate::common::stub::{Pipe, Stub, send_by_btrfs};
use crate::common::tree::{compare_trees, make_rich_tree};

/// No run may need longer to stop.
const SOON: Duration = Duration::from_secs(10);
/// What does not come within this time does not come.
const STUCK: Duration = Duration::from_mins(3);

const HINT: &str = "hint: run the same command again to continue; what was done is kept, and half-done work has no effect\n";

fn stopped_by(name: &str) -> String {
    format!("error: interrupted by {name}\n{HINT}")
}

const SIGNALS: [(Signal, i32, &str); 2] =
    [(Signal::INT, 130, "SIGINT"), (Signal::TERM, 143, "SIGTERM")];

/// Processes that have the path in their command line, by id.
fn processes_on(path: &Path) -> Vec<(Pid, String)> {
    let path = path.to_str().unwrap();
    let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let process = entry.ok()?.path();
        let id = process.file_name()?.to_str()?.parse().ok()?;
        let words = fs::read(process.join("cmdline")).ok()?;
        let words = String::from_utf8_lossy(&words).replace('\0', " ");
        words.contains(path).then_some((Pid::from_raw(id)?, words))
    });
    processes.collect()
}

/// Panics unless everything that works on that path ends. A killed program may be inside the kernel
/// for a moment longer; one that was missed waits for ever.
fn nothing_is_left_on(path: &Path) {
    for (id, words) in processes_on(path) {
        let Ok(process) = pidfd_open(id, PidfdFlags::empty()) else {
            continue;
        };
        let mut ended = [PollFd::from_borrowed_fd(process.as_fd(), PollFlags::IN)];
        let patience = Timespec::try_from(STUCK).unwrap();
        assert_ne!(
            poll(&mut ended, Some(&patience)),
            Ok(0),
            "left behind: {words}"
        );
    }
}

/// Sends a signal, and sees that the program ends soon and leaves no process behind.
fn stop(machine: &Machine, talk: Talk<'_>, signal: Signal) -> Run {
    let begun = Instant::now();
    talk.signal(signal);
    // Ending must not need the end of stdin.
    let run = talk.end_with_stdin_open();
    assert!(begun.elapsed() < SOON, "{:?}: {run:?}", begun.elapsed());
    nothing_is_left_on(&machine.path(""));
    if machine.has_btrfs() {
        nothing_is_left_on(&machine.btrfs().root());
    }
    run
}

/// A named pipe in which a script says that it has come to a place, and one on which it waits.
struct Meeting {
    reached: PathBuf,
    never: PathBuf,
}

impl Meeting {
    fn beside(stub: &Stub) -> Self {
        let meeting = Self {
            reached: stub.file("reached"),
            never: stub.file("never"),
        };
        for pipe in [&meeting.reached, &meeting.never] {
            crate::common::loopfs::run(std::process::Command::new("mkfifo").arg(pipe)).unwrap();
        }
        meeting
    }

    /// What a script does to say that it is there, and to stay there.
    fn hang(&self) -> String {
        format!(
            "echo >'{}'; read -r _ <'{}'",
            self.reached.display(),
            self.never.display()
        )
    }

    /// Waits until a script is there.
    fn wait(&self) {
        let (said, heard) = mpsc::channel();
        let reached = self.reached.clone();
        thread::spawn(move || said.send(fs::read(reached).unwrap()));
        heard.recv_timeout(STUCK).expect("the script came there");
    }
}

/// A machine with a source of so many MiB of noise and a rich tree.
fn machine_with(mib: usize) -> Machine {
    let machine = Machine::with_subvolume(512);
    let mut rng = Rng::new(21);
    let home = machine.btrfs().path("home");
    make_rich_tree(&home, &mut rng);
    fs::write(home.join("large"), rng.bytes(mib << 20)).unwrap();
    send_by_btrfs(&machine.path("config.toml"));
    machine
}

fn start<'m>(machine: &'m Machine, stub: &Stub, words: &str) -> Talk<'m> {
    machine.start_command(machine.command(words).env("PATH", stub.path()))
}

/// What a later run makes of it: the date's archive, once, and whole.
fn finishes(machine: &Machine, date: &str) {
    let run = machine.run(&format!("backup {date}"));
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{run:?}");
    let archived = machine.archived();
    let of_date = |archive: &&String| archive.starts_with(date);
    assert_eq!(archived.iter().filter(of_date).count(), 1, "{archived:?}");
    restores_equal(machine, date);
}

fn restores_equal(machine: &Machine, date: &str) {
    let elsewhere = LoopFs::new(512);
    let run = machine.run(&restore(&elsewhere, date));
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{run:?}");
    let snapshot = machine.btrfs().path(format!("snapshots/{date}"));
    compare_trees(&snapshot, &elsewhere.path(format!("home/{date}")));
}

fn restore(to: &LoopFs, date: &str) -> String {
    format!(
        "restore home --from store --date {date} --identity $T/kit --yes --to {}",
        to.root().display()
    )
}

#[test]
fn a_sender_that_says_nothing_is_ended_and_nothing_is_archived() {
    if !real_btrfs_available() {
        return;
    }
    let machine = machine_with(1);
    for (signal, code, name) in SIGNALS {
        let stub = Stub::new();
        let meeting = Meeting::beside(&stub);
        stub.sends(&meeting.hang());
        let talk = start(&machine, &stub, "backup 2024-01-01");
        meeting.wait();
        assert!(
            !processes_on(&machine.btrfs().root()).is_empty(),
            "the sender"
        );
        stop(&machine, talk, signal).is(code, "", &stopped_by(name));
        assert_eq!(machine.archived(), [""; 0]);
        assert_eq!(machine.objects(""), [] as [PathBuf; 0]);
        assert!(machine.btrfs().path("snapshots/2024-01-01").exists());
    }
    finishes(&machine, "2024-01-01");
}

#[test]
fn a_run_that_is_stopped_in_the_midst_of_the_stream_is_finished_by_the_next() {
    if !real_btrfs_available() {
        return;
    }
    let machine = machine_with(60);
    for (signal, code, name) in SIGNALS {
        let stub = Stub::new();
        let meeting = Meeting::beside(&stub);
        // A whole segment and more has come, and the real sender waits to get rid of the next bytes.
        stub.sends(&format!(
            "\"$real\" \"$@\" | {{ head -c 40000000; {}; }}",
            meeting.hang()
        ));
        let mut talk = start(&machine, &stub, "backup 2024-01-01 --json");
        meeting.wait();
        // It is read, too: nothing of it is lost.
        while !talk.line().expect("an event").contains("\"progress\"") {}
        let run = stop(&machine, talk, signal);
        assert_eq!(run.code, Some(code), "{run:?}");
        let error = serde_json::json!({"error": {
            "code": code, "message": format!("interrupted by {name}"),
            "hint": HINT.trim_start_matches("hint: ").trim_end(),
        }});
        assert_eq!(run.stderr, format!("{error}\n"));
        assert!(run.stdout.contains("\"result\":\"failed\""), "{run:?}");
        assert_eq!(machine.archived(), [""; 0]);
        assert_eq!(machine.objects(".entry"), [] as [PathBuf; 0]);
        let listed = machine.listed().to_string();
        assert!(listed.contains("\"unfinished\""), "{listed}");
    }
    finishes(&machine, "2024-01-01");
}

#[test]
fn the_sources_that_were_not_begun_are_not_begun_any_more() {
    if !real_btrfs_available() {
        return;
    }
    let machine = machine_with(1);
    machine.btrfs().subvolume("second");
    let second = LIVE_CONFIG.replace("\"home\"", "\"second\"");
    let second = second.replace("$FS/home", "$FS/second");
    let second = second.replace("$FS/snapshots", "$FS/snapshots-of-second");
    let (_, second) = second.split_once("[[source]]").unwrap();
    let (second, _) = second.split_once("[store.disk]").unwrap();
    machine.write_config(&format!("{LIVE_CONFIG}\n[[source]]{second}"));
    let init = machine.run("init --kit $T/kit --quiet");
    assert_eq!(init.code, Some(0), "{init:?}");
    send_by_btrfs(&machine.path("config.toml"));
    let stub = Stub::new();
    let meeting = Meeting::beside(&stub);
    stub.sends(&meeting.hang());
    let talk = start(&machine, &stub, "backup 2024-01-01");
    meeting.wait();
    let run = stop(&machine, talk, Signal::TERM);
    run.is(143, "", &stopped_by("SIGTERM"));
    let snapshots = fs::read_dir(machine.btrfs().path("snapshots-of-second")).unwrap();
    assert_eq!(snapshots.count(), 0);
    let run = machine.run("backup 2024-01-01");
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(machine.archived(), ["2024-01-01 full", "2024-01-01 full"]);
}

fn full(uuid: [u8; 16]) -> Vec<u8> {
    StreamBuilder::header(1)
        .subvol(b"2024-01-01", uuid, 10)
        .mkfile(b"a file")
        .write(b"a file", 0, &[7; 10_000])
        .finish()
}

#[test]
fn a_stdin_that_says_nothing_or_no_more_keeps_nobody_waiting() {
    let stream = full([1; 16]);
    for (signal, code, name) in SIGNALS {
        for said in [0, 17, stream.len() / 2, stream.len()] {
            let machine = Machine::fed(None);
            let mut talk = machine.start("decide 2024-01-01");
            assert_eq!(talk.line().as_deref(), Some("c\n"));
            let mut stdin = talk.take_stdin();
            std::io::Write::write_all(&mut stdin, &stream[..said]).unwrap();
            // Without its end even a whole stream is none yet.
            stop(&machine, talk, signal).is(code, "", &stopped_by(name));
            assert_eq!(machine.archived(), [""; 0]);
            drop(stdin);
            let run = machine.run_with("decide 2024-01-01", &stream);
            run.is(0, "c\n", "");
            assert_eq!(machine.archived(), ["2024-01-01 full"]);
        }
    }
}

#[test]
fn a_restore_that_is_stopped_goes_on_and_deletes_only_what_it_began() {
    if !real_btrfs_available() {
        return;
    }
    let machine = machine_with(1);
    finishes(&machine, "2024-01-01");
    let home = machine.btrfs().path("home");
    fs::write(home.join("more"), Rng::new(22).bytes(3 << 20)).unwrap();
    finishes(&machine, "2024-01-07");
    for (signal, code, name) in SIGNALS {
        let elsewhere = LoopFs::new(512);
        machine.run(&restore(&elsewhere, "2024-01-01"));
        let before = which(&elsewhere.path("home/2024-01-01"));
        let begun = elsewhere.path("home/.coldchain-staging/r");
        let stub = Stub::new();
        let meeting = Meeting::beside(&stub);
        let reached = Pipe::new();
        // The subvolume is made, and the rest of the stream does not come.
        stub.does(
            "receive",
            &format!(
                "{{ head -c 1000; while [ ! -e '{}' ]; do :; done; echo >{}; read -r _ <'{}'; }} | \"$real\" \"$@\"",
                begun.display(),
                reached.path(),
                meeting.never.display()
            ),
        );
        let talk = start(&machine, &stub, &restore(&elsewhere, "2024-01-07"));
        reached.hear();
        stop(&machine, talk, signal).is(code, "", &stopped_by(name));
        nothing_is_left_on(&elsewhere.root());
        assert!(begun.exists(), "no other program was started to delete it");

        let run = machine.run(&restore(&elsewhere, "2024-01-07"));
        assert_eq!(run.code, Some(0), "{run:?}");
        let after = which(&elsewhere.path("home/2024-01-01"));
        assert_eq!(before, after);
        for date in ["2024-01-01", "2024-01-07"] {
            let snapshot = machine.btrfs().path(format!("snapshots/{date}"));
            compare_trees(&snapshot, &elsewhere.path(format!("home/{date}")));
        }
    }
}

/// A machine whose store takes every connection and never answers.
fn unanswered() -> (Machine, TcpListener) {
    let machine = Machine::fed(None);
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    write_credentials(&machine.path("credentials"), "key", "secret");
    let bucket = format!(
        "type = \"s3\"\nbucket = \"archive\"\nregion = \"us-east-1\"\n\
         endpoint = \"http://{}\"\ncredentials_file = \"$T/credentials\"\n",
        silent.local_addr().unwrap()
    );
    machine.write_config(&fed_config().replace("type = \"dir\"\npath = \"$T/store\"\n", &bucket));
    fs::remove_file(machine.path("state/catalog.db")).unwrap();
    (machine, silent)
}

#[test]
fn a_store_that_never_answers_holds_a_run_for_seconds_only() {
    for (signal, code, name) in SIGNALS {
        let (machine, silent) = unanswered();
        let talk = machine.start("decide 2024-01-01");
        let connection = silent.accept().unwrap();
        stop(&machine, talk, signal).is(code, "", &stopped_by(name));
        drop(connection);
    }
}

#[test]
fn the_second_signal_ends_a_run_at_once_and_with_its_own_code() {
    let second_told = || {
        let (machine, silent) = unanswered();
        let talk = machine.start("decide 2024-01-01");
        let connection = silent.accept().unwrap();
        talk.signal(Signal::INT);
        let run = stop(&machine, talk, Signal::TERM);
        drop(connection);
        if run.code == Some(143) {
            run.is(143, "", &stopped_by("SIGTERM"));
            return true;
        }
        run.is(130, "", &stopped_by("SIGINT"));
        false
    };
    // Two that come at once are mostly taken in the order of their numbers, which is this one, and
    // rarely the other way round.
    assert!((0..5).any(|_| second_told()));
}

/// The moments that are tried: in the whole suite a few.
fn moments() -> u32 {
    std::env::var("COLDCHAIN_SIGNALS").map_or(10, |number| number.parse().unwrap())
}

/// Runs to the end, or until the signal that comes after a part of the time that it usually takes.
fn stop_at_a_random_moment(machine: &Machine, words: &str, usual: Duration, rng: &mut Rng) {
    let (signal, code, name) = *rng.pick(&SIGNALS);
    let part = u32::try_from(rng.below(1000)).unwrap();
    let mut talk = machine.start_command(&mut machine.command(words));
    talk.elapse(usual * part / 1000);
    let run = stop(machine, talk, signal);
    match run.code {
        Some(stopped) if stopped == code => assert_eq!(run.stderr, stopped_by(name)),
        // It was done already; or so new that it did not listen yet.
        Some(0) | None => assert_eq!(run.stderr, ""),
        _ => panic!("{part}: {name}: {run:?}"),
    }
}

#[test]
fn at_whatever_moment_a_run_is_stopped_the_next_one_finishes_it() {
    if !real_btrfs_available() {
        return;
    }
    let machine = machine_with(24);
    let seed = std::env::var("COLDCHAIN_SEED").map_or(23, |seed| seed.parse().unwrap());
    eprintln!("COLDCHAIN_SEED={seed} COLDCHAIN_SIGNALS={}", moments());
    let mut rng = Rng::new(seed);
    let elsewhere = LoopFs::new(512);
    let timed = |words: &str| {
        let begun = Instant::now();
        let run = machine.run(words);
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{run:?}");
        begun.elapsed()
    };
    let to_archive = timed("backup 2024-01-01 --full");
    let to_restore = timed(&restore(&elsewhere, "2024-01-01"));
    let mut date: chrono::NaiveDate = "2024-01-01".parse().unwrap();
    for _ in 0..moments() {
        date = date + chrono::Days::new(1);
        let words = format!("backup {date} --full");
        stop_at_a_random_moment(&machine, &words, to_archive, &mut rng);
        if !machine.archived().contains(&format!("{date} full")) {
            timed(&words);
        }
        let archived = machine.archived();
        let of_date = |archive: &&String| archive.starts_with(&date.to_string());
        assert_eq!(archived.iter().filter(of_date).count(), 1, "{archived:?}");

        let words = restore(&elsewhere, &date.to_string());
        stop_at_a_random_moment(&machine, &words, to_restore, &mut rng);
        timed(&words);
        let restored = elsewhere.path(format!("home/{date}"));
        let snapshot = machine.btrfs().path(format!("snapshots/{date}"));
        compare_trees(&snapshot, &restored);
        btrfs(["subvolume", "delete"], &[&restored]);
        // Its space is free only when the kernel has come to it, which left alone takes half a minute.
        btrfs(["filesystem", "sync"], &[&elsewhere.root()]);
        btrfs(["subvolume", "sync"], &[&elsewhere.root()]);
    }
}
