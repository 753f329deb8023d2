//! A first `init` that asks on a terminal, or that the command line tells all: a config, and what comes next.

use std::fs;

use crate::common::loopfs::{LoopFs, btrfs, real_btrfs_available};
use crate::common::machine::{Machine, Run};
use crate::common::servers::{ObjectLock, Versioning, Weed};
use crate::prompts::Terminal;

/// A machine without a config, with two subvolumes that hold something.
fn machine() -> Machine {
    let machine = Machine::with_subvolume_on(LoopFs::new(256));
    fs::remove_file(machine.path("config.toml")).unwrap();
    machine.btrfs().subvolume("mail");
    for name in ["home", "mail"] {
        fs::write(
            machine.btrfs().path(name).join("letter"),
            vec![b'x'; 3 << 20],
        )
        .unwrap();
    }
    machine
}

/// Takes all other filesystems of btrfs out of sight: those of other tests are no answer here, and must not be held.
const ALONE: &str = r#"unshare --mount --propagation private sh -c '
    while read -r _ at kind _; do
        case "$kind $at" in "btrfs $0"|"btrfs $1") ;; btrfs*) umount --lazy "$at" ;; esac
    done </proc/self/mounts
    shift
    exec "$@"
'"#;

/// Runs it on a terminal on which these filesystems alone are seen, with words of the shell before it.
pub(crate) fn asked(machine: &Machine, shelf: &LoopFs, before: &str, words: &str) -> Terminal {
    let own = [machine.btrfs().root(), shelf.root()];
    let own = own.map(|root| format!("'{}'", root.display()));
    let before = format!("{before} {ALONE} {}", own.join(" "));
    Terminal::run_by(machine, &before, words)
}

fn with_state(words: &str) -> String {
    format!("--state-dir $T/new-state {words}")
}

fn is_made(machine: &Machine) -> bool {
    [
        "config.toml",
        "new-kit",
        "new-state",
        "coldchain-recovery-kit.txt",
    ]
    .iter()
    .any(|name| machine.path(name).exists())
}

#[test]
fn a_terminal_is_asked_and_the_next_run_archives() {
    if !real_btrfs_available() {
        return;
    }
    let machine = machine();
    let shelf = LoopFs::new(256);
    let place = shelf.path("coldchain").display().to_string();
    let (home, mail) = (machine.btrfs().path("home"), machine.btrfs().path("mail"));
    let mut terminal = asked(&machine, &shelf, "", &with_state("init --kit $T/new-kit"));
    // One after the other: what is wrong is said, and asked again.
    terminal.answer("Numbers or paths [", "/no/such/place\n");
    terminal.answer("/no/such/place does not exist", "");
    let both = format!("{} {}\n", home.display(), mail.display());
    terminal.answer("Numbers or paths [", &both);
    terminal.answer("Where do archives go?", "offsite\n");
    terminal.answer("archives can't go to `offsite`", "");
    terminal.answer("Where do archives go?", &format!("{place}\n"));
    terminal.answer("A second public key", "age1nonsense\n");
    terminal.answer("it may have a typing error", "");
    terminal.answer("A second public key", "\n");
    let shown = terminal.end();
    assert!(shown.contains("code 0\n"), "{shown}");
    let listed = shown
        .lines()
        .any(|line| line.contains(&home.display().to_string()) && line.ends_with(" 3.00 MiB"));
    assert!(listed, "{shown}");
    for part in [
        "home  full  ",
        "mail  full  ",
        "  home: 3.00 MiB in ",
        "compressed and sealed, by a sample of 3.00 MiB",
        "into the store, measured with test objects",
        "  price: none, it is a directory",
        "new-kit: it holds the key that opens the archives",
        "0 failed",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    // The test objects are gone.
    let left: Vec<_> = fs::read_dir(&place).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    let config = fs::read_to_string(machine.path("config.toml")).unwrap();
    let again = machine.run(&with_state("init --kit $T/new-kit"));
    assert_eq!(
        (again.code, &*again.stdout),
        (Some(0), "nothing is missing\n"),
        "{again:?}"
    );
    assert_eq!(
        fs::read_to_string(machine.path("config.toml")).unwrap(),
        config
    );
    let archived = machine.run(&with_state("backup --quiet"));
    assert_eq!(archived.code, Some(0), "{archived:?}");
    let listed = machine.run(&with_state("list"));
    assert_eq!(listed.stdout.matches("full  ").count(), 2, "{listed:?}");
}

#[test]
fn a_question_that_is_not_answered_makes_nothing() {
    if !real_btrfs_available() {
        return;
    }
    let machine = machine();
    let shelf = LoopFs::new(256);
    let home = machine.btrfs().path("home").display().to_string();
    for keys in ["\u{3}", "\u{4}"] {
        let mut terminal = asked(&machine, &shelf, "", &with_state("init --kit $T/new-kit"));
        terminal.answer("Numbers or paths [", &format!("{home}\n"));
        terminal.answer("Where do archives go?", keys);
        let shown = terminal.end();
        let expected = if keys == "\u{3}" {
            "\nerror: interrupted by SIGINT\n"
        } else {
            "\nerror: the terminal ended before all questions were answered\n"
        };
        assert!(shown.contains(expected), "{shown}");
        assert!(!is_made(&machine), "{shown}");
    }
}

#[test]
fn on_a_terminal_too_a_template_asks_nothing_and_snapshots_alone_need_no_kit() {
    if !real_btrfs_available() {
        return;
    }
    let machine = machine();
    let shown = Terminal::run(&machine, &with_state("init --template --kit $T/new-kit")).end();
    assert!(shown.contains("describe what to archive"), "{shown}");
    assert!(shown.contains("code 0\n"), "{shown}");
    fs::remove_file(machine.path("config.toml")).unwrap();
    fs::remove_file(machine.path("new-kit")).unwrap();
    let words = format!(
        "init --source here={}",
        machine.btrfs().path("home").display()
    );
    let mut terminal = Terminal::run(&machine, &with_state(&words));
    terminal.answer("Where do archives go?", "none\n");
    let shown = terminal.end();
    assert!(
        shown.contains("no archive: this source has no store"),
        "{shown}"
    );
    assert!(shown.contains("code 0\n"), "{shown}");
    let config = fs::read_to_string(machine.path("config.toml")).unwrap();
    assert!(config.contains("\n#store = \"main\"\n"), "{config}");
    let snapshot = machine.run(&with_state("snapshot here"));
    assert_eq!(snapshot.code, Some(0), "{snapshot:?}");
}

#[test]
fn a_bucket_is_asked_for_and_measured() {
    let Some(server) = Weed::shared().filter(|_| real_btrfs_available()) else {
        return;
    };
    let machine = machine();
    let bucket = server.new_bucket(ObjectLock::Off, Versioning::Off);
    let credentials = machine.path("credentials");
    let text = format!(
        "[default]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
        server.access_key(),
        server.secret_key()
    );
    fs::write(&credentials, text).unwrap();
    let words = format!(
        "init --kit $T/new-kit --source {}",
        machine.btrfs().path("home").display()
    );
    let mut terminal = Terminal::run(&machine, &with_state(&words));
    terminal.answer("Where do archives go?", &format!("s3://{bucket}/laptop\n"));
    terminal.answer(
        "The URL of the service",
        &format!("{}\n", server.endpoint()),
    );
    terminal.answer("The region of the bucket", "us-east-1\n");
    terminal.answer(
        "A file with the credentials",
        &format!("{}\n", credentials.display()),
    );
    terminal.answer("The storage class", "frozen\n");
    terminal.answer("`frozen` is no storage class of S3", "");
    terminal.answer("The storage class", "\n");
    terminal.answer("A second public key", "\n");
    let shown = terminal.end();
    for part in [
        "code 0\n",
        "into the store, measured with test objects",
        "price: not known for this service",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let archived = machine.run(&with_state("backup --quiet"));
    assert_eq!(archived.code, Some(0), "{archived:?}");
    let config = fs::read_to_string(machine.path("config.toml")).unwrap();
    for line in [
        format!("bucket = \"{bucket}\""),
        "prefix = \"laptop\"".to_owned(),
        "storage_class = \"STANDARD\"".to_owned(),
        format!("endpoint = \"{}\"", server.endpoint()),
    ] {
        assert!(config.lines().any(|it| it == line), "{line}: {config}");
    }
}

fn init(machine: &Machine, words: &str) -> Run {
    machine.run(&with_state(&format!("init --kit $T/new-kit {words}")))
}

#[test]
fn off_a_terminal_the_command_line_says_all_or_a_template_is_written() {
    if !real_btrfs_available() {
        return;
    }
    let machine = machine();
    let home = machine.btrfs().path("home").display().to_string();
    let mail = machine.btrfs().path("mail").display().to_string();
    let snapshot = machine.btrfs().path("old");
    let live = machine.btrfs().path("home");
    btrfs(["subvolume", "snapshot", "-r"], &[&live, &snapshot]);
    let old = snapshot.display();
    for (words, error) in [
        ("--store $T/shelf".to_owned(), "there is no --source"),
        ("--recipient age1x".to_owned(), "there is no --source"),
        ("--source /no/such".to_owned(), "/no/such does not exist"),
        (
            format!("--source {home}/letter"),
            "is not a btrfs subvolume",
        ),
        (
            format!("--source {old}"),
            "it is read-only, so it is a snapshot",
        ),
        (format!("--source A={home}"), "`A` is not a source name"),
        (
            format!("--source a={home} --source a={mail}"),
            "two sources would be called `a`",
        ),
        (
            format!("--source {home} --store shelf"),
            "archives can't go to `shelf`",
        ),
        (
            format!("--source {home} --store $T/no/shelf"),
            "there is no directory $T/no",
        ),
        (
            format!("--source {home} --store $T/shelf --storage-class GLACIER"),
            "a directory has no storage classes",
        ),
        (
            format!("--source {home} --store {home}/shelf"),
            "it is in the subvolume $FS/home itself",
        ),
        (
            format!("--source {home} --store s3://b"),
            "its bucket must be a bucket's name",
        ),
        (
            format!("--source {home} --store $T/shelf --recipient x"),
            "is not a recipient",
        ),
    ] {
        let run = init(&machine, &words);
        assert_eq!((run.code, &*run.stdout), (Some(2), ""), "{words}: {run:?}");
        assert!(run.stderr.contains(error), "{words}: {run:?}");
        assert!(!is_made(&machine), "{words}");
    }
    // As the shell completes it.
    let words = format!("--source {home}/ --source post={mail} --store $T/shelf/");
    let run = init(&machine, &words);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.stdout.contains("  post: 3.00 MiB in "), "{run:?}");
    // A second run, as a program that sets machines up has it.
    let run = init(&machine, &words);
    let there = "warning: $T/config.toml is there already, and stays as it is: only what is missing is made\n";
    assert_eq!(
        (run.code, &*run.stdout),
        (Some(0), "nothing is missing\n"),
        "{run:?}"
    );
    assert!(run.stderr.starts_with(there), "{run:?}");
    // With JSON it prints what it made, and nothing else.
    fs::remove_file(machine.path("config.toml")).unwrap();
    fs::remove_file(machine.path("new-kit")).unwrap();
    fs::remove_dir_all(machine.path("new-state")).unwrap();
    let run = init(&machine, &format!("{words} --json"));
    let answer: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(answer["kit"], "$T/new-kit", "{answer}");
    assert!(answer["root_key"]["key"].is_string(), "{answer}");
}

#[test]
fn a_store_on_the_source_s_own_filesystem_is_warned_of() {
    if !real_btrfs_available() {
        return;
    }
    let machine = machine();
    let home = machine.btrfs().path("home").display().to_string();
    let beside = machine.btrfs().path("shelf").display().to_string();
    let run = init(&machine, &format!("--source {home} --store {beside}"));
    assert_eq!(run.code, Some(0), "{run:?}");
    let warning = "its archives are lost with that disk";
    assert!(run.stderr.contains(warning), "{run:?}");
    for name in ["config.toml", "new-kit"] {
        fs::remove_file(machine.path(name)).unwrap();
    }
    fs::remove_dir_all(machine.path("new-state")).unwrap();
    // An empty mount point, say.
    let unmounted = tempfile::tempdir_in("/var/tmp").unwrap();
    let place = unmounted.path().join("coldchain");
    let run = init(
        &machine,
        &format!("--source {home} --store {}", place.display()),
    );
    assert_eq!(run.code, Some(0), "{run:?}");
    let warning = "is on the filesystem of /: if it should be on another disk, that is not mounted";
    assert!(run.stderr.contains(warning), "{run:?}");
    let beside = place.display().to_string();
    // An older config may have it in the subvolume itself.
    let config = fs::read_to_string(machine.path("config.toml")).unwrap();
    let within = format!("{home}/shelf");
    fs::write(
        machine.path("config.toml"),
        config.replace(&beside, &within),
    )
    .unwrap();
    let run = machine.run(&with_state("doctor --offline"));
    let warning =
        "the store $FS/home/shelf is in its subvolume, so each archive has the earlier ones in it";
    assert!(run.stdout.contains(warning), "{run:?}");
}
