//! A bucket that somebody else has filled, or an endpoint that lies: whatever it answers, every command
//! comes to its end, says what is wrong, and takes no more memory than it may.

use std::fs::{self, File};
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::common::machine::{Machine, Run};
use crate::common::s3_server::{
    ACCESS_KEY, BUCKET, Fault, FaultKind, Filling, Operation, S3Server, SECRET_KEY,
};
use crate::common::stream_builder::StreamBuilder;

const MEMORY_LIMIT_MIB: u64 = 120;

/// What a run may take at most.
const MOST_MIB: u64 = MEMORY_LIMIT_MIB + 64;

const CONFIG: &str = r#"timezone = "UTC"
state_dir = "$T/state"
segment_size = "16MiB"
compression = 1
threads = 1
memory_limit = "120MiB"

[[source]]
name = "home"
store = "cloud"

[store.cloud]
type = "s3"
bucket = "archive"
prefix = "laptop"
region = "us-east-1"
endpoint = "$E"
give_up_after = "30s"

[encryption]
recipients = ["$R"]
"#;

/// Commands that ask the store. A restore is not among those that need a listing: without one it goes by
/// the catalog, and says so.
const FIRST: &str = "decide 2024-01-01";
const DECIDE: &str = "decide 2024-01-02";
const REBUILD: &str = "catalog rebuild --identity $T/kit";
const CHECK: &str = "catalog check";
const RESTORE: &str = "restore home --yes --stream $T/out --identity $T/kit";
const PRUNE: &str = "prune home";
const VERIFY: &str = "verify home";
const DOCTOR: &str = "doctor";

/// A machine with an archive in a bucket.
struct Archived {
    machine: Machine,
    server: S3Server,
}

impl Archived {
    fn new() -> Self {
        let archived = Self::empty();
        archived.run(FIRST).0.is_ok();
        // The kit knows the archive, so that a restore looks whether it is the newest.
        archived.run("key kit --kit $T/kit").0.is_ok();
        archived
    }

    /// The same before its first archive.
    fn empty() -> Self {
        let server = S3Server::new();
        let machine = Machine::new();
        machine.write_config(&CONFIG.replace("$E", &server.endpoint()));
        machine.run("init --kit $T/kit").is_ok();
        let archived = Self { machine, server };
        fs::write(archived.machine.path("stream"), stream()).unwrap();
        archived
    }

    fn run(&self, words: &str) -> (Run, u64) {
        let mut command = self.command(words);
        command.stdin(File::open(self.machine.path("stream")).unwrap());
        watched(&self.machine, &mut command)
    }

    fn command(&self, words: &str) -> Command {
        let mut command = self.machine.command(words);
        command
            .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
            .env("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("HOME", self.machine.path("nobody"));
        command
    }

    /// Each of these commands ends with the code for damage, and says this.
    fn all_end(&self, fault: &Fault, commands: &[&str], said: &str) {
        for words in commands {
            self.ends(fault, words, 6, said);
        }
    }

    #[track_caller]
    fn ends(&self, fault: &Fault, words: &str, code: i32, said: &str) {
        self.server.clear_faults();
        self.server.fail(fault.clone().always());
        let (run, mib) = self.run(words);
        let text = format!("{}{}", run.stdout, run.stderr);
        assert!(self.server.faults_struck() > 0, "{words}: {text}");
        self.server.clear_faults();
        assert!(text.contains(said), "{words}: {text}");
        assert_eq!(run.code, Some(code), "{words}: {text}");
        assert!(text.len() < 20_000, "{words}: {} bytes", text.len());
        assert!(mib < MOST_MIB, "{words} took {mib} MiB");
    }
}

fn stream() -> Vec<u8> {
    StreamBuilder::header(1)
        .subvol(b"2024-01-01", [7; 16], 10)
        .mkfile(b"file")
        .write(b"file", 0, b"hello")
        .finish()
}

/// Runs a command to its end, and returns its peak memory in MiB beside how it ended.
fn watched(machine: &Machine, command: &mut Command) -> (Run, u64) {
    let run = machine.start_command(command);
    let status = format!("/proc/{}/status", run.id());
    let watcher = thread::spawn(move || {
        let mut peak = 0;
        // Gone when the run is: a process that is still to be waited for has no memory.
        while let Some(now) = peak_kib(&status) {
            peak = now;
            thread::sleep(Duration::from_millis(2));
        }
        peak >> 10
    });
    (run.end_with_stdin_open(), watcher.join().unwrap())
}

impl Run {
    #[track_caller]
    fn is_ok(&self) {
        assert_eq!(self.code, Some(0), "{self:?}");
    }
}

fn peak_kib(status: &str) -> Option<u64> {
    let status = fs::read_to_string(status).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[test]
fn an_answer_that_never_ends_is_left() {
    let archived = Archived::new();
    for (status, filling, said) in [
        (200, Filling::Text, "more than 8388608 bytes"),
        (403, Filling::Text, "more than 8388608 bytes"),
        (200, Filling::Elements, "more than 200000 XML tags"),
    ] {
        let fault = Fault::on(Operation::List, FaultKind::EndlessBody(status, filling));
        archived.all_end(
            &fault,
            &[DECIDE, REBUILD, CHECK, PRUNE, VERIFY, DOCTOR],
            said,
        );
    }
}

#[test]
fn a_listing_that_leads_in_a_circle_is_left() {
    let archived = Archived::new();
    let fault = Fault::on(Operation::List, FaultKind::CircleOfPages);
    let said = "leads back to one of them";
    archived.all_end(
        &fault,
        &[DECIDE, REBUILD, CHECK, PRUNE, VERIFY, DOCTOR],
        said,
    );
    archived.ends(&fault, RESTORE, 0, said);
}

#[test]
fn a_listing_of_new_objects_without_end_is_left_when_it_takes_too_much_memory() {
    let archived = Archived::new();
    let fault = Fault::on(Operation::List, FaultKind::EndlessPages);
    let said = "a listing may take 48 MiB, two fifths of `memory_limit`";
    archived.all_end(&fault, &[DECIDE, REBUILD, PRUNE, VERIFY], said);
}

#[test]
fn a_listing_of_nothing_without_end_is_left() {
    let archived = Archived::new();
    let fault = Fault::on(Operation::List, FaultKind::EmptyPages);
    archived.all_end(&fault, &[DECIDE], "1000 pages without an object");
}

#[test]
fn an_endless_refusal_of_any_request_is_left() {
    let endless = FaultKind::EndlessBody(403, Filling::Text);
    let said = "more than 8388608 bytes";
    let archived = Archived::new();
    for words in [RESTORE, REBUILD] {
        archived.all_end(&Fault::on(Operation::Get, endless.clone()), &[words], said);
    }
    // The first of these is a HEAD, which has no body.
    let about_the_bucket = Fault::on(Operation::Other, endless.clone()).skip(1);
    archived.all_end(&about_the_bucket, &[DOCTOR], said);
    Archived::empty().all_end(&Fault::on(Operation::Put, endless), &[FIRST], said);
}

#[test]
fn many_foreign_directories_take_a_rebuild_little_memory() {
    let archived = Archived::new();
    let foreign = 3000;
    for at in 0..foreign {
        let directory = format!("laptop/foreign-{at}");
        let key = format!("{directory}/archives/2024-01-01-full-{at:016x}/key.age");
        archived.server.plant(BUCKET, &key, b"x");
        if at % 100 == 0 {
            let first = format!("{directory}/ledger/00000001.entry");
            archived.server.plant(BUCKET, &first, b"x");
        }
    }
    let (run, mib) = archived.run(REBUILD);
    run.is_ok();
    let left_out = run.stdout.matches(" was left out: ").count();
    assert_eq!(left_out, foreign);
    assert!(mib < 100, "it took {mib} MiB");
}
