//! The activity log: what stands in it, and that it never decides how a run ends.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use coldchain::seal::generate_identity;
use rustix::process::Signal;

use crate::common::bucket::write_credentials;
use crate::common::loopfs::{LoopFs, real_btrfs_available, run};
use crate::common::machine::{Machine, NO_ALARMS, fed_config};
use crate::common::sandbox::Sandbox;
use crate::common::stream_builder::StreamBuilder;
use crate::common::tmpfs::Tmpfs;

const FIRST: [u8; 16] = *b"uuid of the 1st.";

fn full(uuid: [u8; 16]) -> Vec<u8> {
    StreamBuilder::header(1)
        .subvol(b"home", uuid, 10)
        .mkfile(b"a file")
        .write(b"a file", 0, &[7; 1000])
        .finish()
}

/// A machine for `decide` that keeps a log at that path, with these lines at the end of its config.
fn machine(log: &str, lines: &str) -> Machine {
    let machine = Machine::fed(None);
    let config = fed_config().replace("timezone = \"UTC\"", "timezone = \"Asia/Kathmandu\"");
    machine.write_config(&format!("log = \"{log}\"\n{config}{lines}{NO_ALARMS}"));
    machine
}

/// The lines of the log, without their times and with `N` for numbers that differ from run to run.
fn lines(machine: &Machine) -> Vec<String> {
    let text = fs::read_to_string(machine.path("log")).unwrap();
    assert!(text.ends_with('\n'));
    text.lines().map(without_what_differs).collect()
}

fn without_what_differs(line: &str) -> String {
    let (time, rest) = line.split_once(' ').unwrap();
    assert!(chrono::DateTime::parse_from_rfc3339(time).is_ok(), "{line}");
    assert!(time.ends_with("+05:45"), "{line}");
    let words = rest.split(' ').map(|word| match word.split_once('=') {
        Some((key, number)) if number.parse::<u64>().is_ok() && key != "code" => format!("{key}=N"),
        // The random part of an archive's id.
        _ if word.starts_with("20") && word.len() > 20 => word[..word.len() - 16].to_owned(),
        _ => word.to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn a_night_is_a_line_whatever_came_of_it() {
    let machine = machine("$T/log", "");
    machine
        .run_with("decide 2024-01-01", &full(FIRST))
        .is(0, "c\n", "");
    machine.run_with("decide 2024-01-02", b"").is(0, "", "");
    let run = machine.run_with("decide 2024-01-07", b"no\nstream");
    assert_eq!(run.code, Some(1));
    let run = machine.run("decide 2023-12-31");
    assert_eq!(run.code, Some(2));
    let lines = lines(&machine);
    assert_eq!(
        lines[..2],
        [
            "info home archived 2024-01-01-full- raw=N sealed=N uploaded=N seconds=N",
            "info home nothing-due 2024-01-02 reason=\"the slot of 2024-01-01 was filled on 2024-01-01\" seconds=N",
        ]
    );
    assert!(
        lines[2].starts_with(
            "error home failed command=decide code=1 error=\"the send stream was not archived: "
        ) && lines[2].contains("\" hint=\"read the messages of the sender: "),
        "{}",
        lines[2]
    );
    assert!(
        lines[3].starts_with(
            "error home failed command=decide code=2 error=\"cannot archive 2023-12-31: there is a later archive"
        ),
        "{}",
        lines[3]
    );
    assert_eq!(lines.len(), 4);
    let key = machine.objects("key.age").remove(0);
    let id = key.parent().unwrap().file_name().unwrap().to_str().unwrap();
    let log = fs::read_to_string(machine.path("log")).unwrap();
    assert!(log.contains(id), "{log}");
}

#[test]
fn what_prunes_checks_and_forgets_writes_lines_and_what_only_looks_writes_none() {
    let machine = machine(
        "$T/log",
        "[schedule]\ndays = [1, 11, 21]\nmax_incrementals = 0\nexpire_after_days = 1\n",
    );
    // Nothing expires while the newest archive is much older than the clock.
    let ago = |days| chrono::Utc::now().date_naive() - chrono::Days::new(days);
    let (old, new) = (ago(30), ago(2));
    for (date, uuid) in [(old, FIRST), (new, *b"uuid of the 2nd.")] {
        machine
            .run_with(&format!("decide {date}"), &full(uuid))
            .is(0, "c\n", "");
    }
    let retired = format!("info home retired {old} archives=N reason=\"");
    let of_decide = lines(&machine);
    assert!(
        of_decide.iter().any(|line| line.starts_with(&retired)),
        "{of_decide:#?}"
    );
    fs::remove_file(machine.path("log")).unwrap();
    for words in [
        "list",
        "show",
        "plan",
        "prune home --dry-run",
        "doctor",
        "key show",
    ] {
        let run = machine.run(words);
        assert_eq!(run.code, Some(0), "{words}: {run:?}");
        assert!(!machine.path("log").exists(), "{words}");
    }
    let run = machine.run("prune home");
    assert_eq!(run.code, Some(0), "{run:?}");
    let run = machine.run("verify");
    assert_eq!(run.code, Some(0), "{run:?}");
    // The machine's clock has not reached the end of the time of grace.
    let run = machine.run(&format!("prune home --revive {old}"));
    assert_eq!(run.code, Some(0), "{run:?}");
    let object = machine.objects(".zst.age").remove(0);
    fs::remove_file(object).unwrap();
    assert_eq!(machine.run("verify").code, Some(6));
    machine.write_config(
        &fs::read_to_string(machine.path("config.toml"))
            .unwrap()
            .replace("name = \"home\"", "name = \"another\""),
    );
    assert_eq!(machine.run("forget home --yes").code, Some(0));
    let lines = lines(&machine);
    let begins = [
        "info home pruned objects=N bytes=N seconds=N",
        "info home verified levels=ledger,listing archives=N damaged=N seconds=N",
        &format!("info home revived {old}-full- seconds=N"),
        "info home verified levels=ledger,listing archives=N damaged=N seconds=N",
        "error home failed command=verify code=6 error=\"",
        "info home forgotten seconds=N",
    ];
    for (line, begin) in lines.iter().zip(begins) {
        assert!(line.starts_with(begin), "{lines:#?}");
    }
    assert_eq!(lines.len(), begins.len(), "{lines:#?}");
}

/// Runs nights on a log that can't be written, and sees that each of them only warns.
fn is_only_a_warning(machine: &Machine, why: &str) {
    let warning = format!(
        "warning: the activity log {}: {why}; the run goes on\n",
        log_of(machine)
    );
    for (date, stdout) in [("2024-01-01", "c\n"), ("2024-01-02", "")] {
        let run = machine.run_with(&format!("decide {date}"), &full(FIRST));
        run.is(0, stdout, &warning);
    }
    assert_eq!(machine.archived(), ["2024-01-01 full"]);
}

fn log_of(machine: &Machine) -> String {
    let config = fs::read_to_string(machine.path("config.toml")).unwrap();
    let log = config.split('"').nth(1).unwrap().to_owned();
    log.replace(
        machine.path("").to_str().unwrap().trim_end_matches('/'),
        "$T",
    )
}

#[test]
fn a_log_that_is_no_regular_file_is_a_warning_and_is_left_alone() {
    let directory = machine("$T/log", "");
    fs::create_dir(directory.path("log")).unwrap();
    is_only_a_warning(&directory, "it is a directory, and not a regular file");

    let pipe = machine("$T/log", "");
    run(Command::new("mkfifo").arg(pipe.path("log"))).unwrap();
    is_only_a_warning(&pipe, "it is a named pipe, and not a regular file");

    let link = machine("$T/log", "");
    fs::write(link.path("target"), "kept").unwrap();
    symlink("target", link.path("log")).unwrap();
    is_only_a_warning(&link, "it is a symbolic link, and not a regular file");
    assert_eq!(fs::read(link.path("target")).unwrap(), b"kept");

    let dangling = machine("$T/log", "");
    symlink("made", dangling.path("log")).unwrap();
    is_only_a_warning(&dangling, "it is a symbolic link, and not a regular file");
    assert!(!dangling.path("made").exists());

    let theirs = machine("$T/log", "");
    fs::write(theirs.path("log"), "").unwrap();
    std::os::unix::fs::chown(theirs.path("log"), Some(1), None).unwrap();
    is_only_a_warning(&theirs, "it belongs to the user with uid 1");

    let linked = machine("$T/log", "");
    fs::write(linked.path("log"), "").unwrap();
    fs::hard_link(linked.path("log"), linked.path("other")).unwrap();
    is_only_a_warning(&linked, "it has 2 names in its filesystem");

    is_only_a_warning(
        &machine("/dev/full", ""),
        "it is a device, and not a regular file",
    );
    is_only_a_warning(
        &machine("$T/none/log", ""),
        "No such file or directory (os error 2)",
    );
}

#[test]
fn a_log_on_a_full_or_read_only_disk_is_a_warning_and_has_whole_lines_alone() {
    let machine = machine("$T/disk/log", "");
    let disk = Tmpfs::on(&machine.path("disk"), 64);
    let log = machine.path("disk/log");
    // Room for a part of a line.
    let line = "x".repeat(99) + "\n";
    fs::write(&log, line.repeat(40) + &"x".repeat(4096 - 4000 - 21) + "\n").unwrap();
    disk.leave_free(0);
    let before = fs::read(&log).unwrap();
    assert_eq!(before.len(), 4096 - 20);
    is_only_a_warning(&machine, "no storage space");
    assert_eq!(fs::read(&log).unwrap(), before);
    disk.free_all();
    machine.run_with("decide 2024-01-03", b"").is(0, "", "");
    let now = fs::read(&log).unwrap();
    assert!(now.starts_with(&before) && now.len() > before.len());
    disk.read_only();
    machine.run_with("decide 2024-01-03", b"").is(
        0,
        "",
        "warning: the activity log $T/disk/log: Read-only file system (os error 30); the run goes on\n",
    );
}

#[test]
fn runs_at_the_same_time_rotate_the_log_and_lose_no_line() {
    const RUNS: usize = 24;
    let machine = machine("$T/log", "");
    machine
        .run_with("decide 2024-01-01", &full(FIRST))
        .is(0, "c\n", "");
    // Another hundred bytes, and it is full.
    let filler = "x".repeat((1 << 20) - 600) + "\n";
    fs::write(machine.path("log"), &filler).unwrap();
    let begun: Vec<_> = (0..RUNS)
        .map(|_| machine.start("decide 2024-01-02 --wait-lock 100"))
        .collect();
    for talk in begun {
        talk.end().is(0, "", "");
    }
    let read = |name: &str| fs::read_to_string(machine.path(name)).unwrap();
    let rotated = read("log.1");
    let new = read("log");
    assert!(rotated.len() <= 1 << 20);
    let lines = rotated
        .strip_prefix(&filler)
        .unwrap()
        .lines()
        .chain(new.lines());
    let lines: Vec<_> = lines.map(without_what_differs).collect();
    assert_eq!(lines.len(), RUNS);
    for line in lines {
        assert_eq!(
            line,
            "info home nothing-due 2024-01-02 reason=\"the slot of 2024-01-01 was filled on 2024-01-01\" seconds=N"
        );
    }
    assert!(!Path::new(&machine.path("log.2")).exists());
}

#[test]
fn logrotate_may_rotate_the_log() {
    let machine = machine("$T/log\"\nlog_rotate = false\n# \"", "");
    let filler = "x".repeat(2 << 20) + "\n";
    fs::write(machine.path("log"), &filler).unwrap();
    machine
        .run_with("decide 2024-01-01", &full(FIRST))
        .is(0, "c\n", "");
    assert!(fs::read_to_string(machine.path("log")).unwrap().len() > filler.len());
    fs::rename(machine.path("log"), machine.path("moved")).unwrap();
    machine.run_with("decide 2024-01-02", b"").is(0, "", "");
    assert_eq!(lines(&machine).len(), 1);
}

#[test]
fn what_brings_back_and_what_changes_keys_writes_lines() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = Sandbox::new();
    let config = fs::read_to_string(sandbox.config()).unwrap();
    let log = sandbox.config().with_file_name("log");
    let top = format!("log = \"{}\"\n", log.display());
    fs::write(sandbox.config(), top + &config + NO_ALARMS).unwrap();
    sandbox.backup("2024-01-01");
    let other = LoopFs::new(256);
    sandbox.restore("2024-01-01", &other.root()).ok();
    let kit = sandbox.kit();
    let kit = kit.to_str().unwrap();
    let spare = generate_identity().1;
    for words in [
        vec!["thaw", "home"],
        vec!["key", "add-recipient", &spare, "--identity", kit],
        vec!["key", "rotate", "--kit", kit, "--new-signing-key"],
        vec!["catalog", "rebuild", "--identity", kit],
    ] {
        sandbox.run(words).ok();
    }
    sandbox.run(["adopt", "home", "/none"]).ok();
    // A restore that is only planned is no line.
    sandbox
        .run(["restore", "home", "--from", "store", "--plan"])
        .ok();
    let text = fs::read_to_string(log).unwrap();
    let begins = [
        "info home snapshot 2024-01-01",
        "info home archived 2024-01-01-full-",
        "info home received 2024-01-01-full-",
        "info home restored 2024-01-01 to=\"",
        "info home thaw 2024-01-01-full-",
        "info home recipient-added archives=1 unopened=0 seconds=",
        "info home keys-rotated entry=",
        "info - catalog-rebuilt home damaged=0 seconds=",
        "info home adopted 2024-01-01 changed=false path=\"",
    ];
    let lines = text.lines().filter(|line| !line.contains(" warned "));
    let lines: Vec<_> = lines.collect();
    for (line, begin) in lines.iter().zip(begins) {
        let (_, rest) = line.split_once(' ').unwrap();
        assert!(rest.starts_with(begin), "{begin}: {text}");
    }
    assert_eq!(lines.len(), begins.len(), "{text}");
}

#[test]
fn a_check_that_no_signal_can_stop_is_a_line() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let machine = machine("$T/log", "");
    machine
        .run_with("decide 2024-01-01", &full(FIRST))
        .is(0, "c\n", "");
    write_credentials(&machine.path("credentials"), "key", "secret");
    let bucket = format!(
        "type = \"s3\"\nbucket = \"archive\"\nregion = \"us-east-1\"\n\
         endpoint = \"http://{}\"\ncredentials_file = \"$T/credentials\"\n",
        silent.local_addr().unwrap()
    );
    let config = fed_config().replace("type = \"dir\"\npath = \"$T/store\"\n", &bucket);
    machine.write_config(&format!("log = \"$T/log\"\n{config}"));
    fs::remove_file(machine.path("log")).unwrap();
    let talk = machine.start("verify");
    let connection = silent.accept().unwrap();
    talk.signal(Signal::TERM);
    assert_eq!(talk.end_with_stdin_open().code, Some(143));
    drop(connection);
    let text = fs::read_to_string(machine.path("log")).unwrap();
    assert!(
        text.contains(" error home failed command=verify code=143 "),
        "{text}"
    );
}
