//! What `doctor` finds on the machine itself, without any store: each check made to fail, and what `--fix` does of it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::common::loopfs::{btrfs, real_btrfs_available};
use crate::common::machine::{LIVE_CONFIG, Machine, Run, fed_config};
use crate::common::s3_server::{ACCESS_KEY, S3Server, SECRET_KEY};
use crate::common::stream_builder::StreamBuilder;
use crate::common::stub::write_script;
use crate::prompts::Terminal;

/// An identity that nobody has.
pub(crate) const SPARE: &str = "age1lggyhqrw2nlhcxprm67z43rta597azn8gknawjehu9d9dl0jq3yqqvfafg";

/// A machine in order: two recipients, a kit elsewhere, and a timer that systemd starts.
pub(crate) struct Orderly {
    pub(crate) machine: Machine,
    kit: tempfile::TempDir,
}

impl Orderly {
    pub(crate) fn of(machine: Machine, config: &str) -> Self {
        let kit = tempfile::tempdir().unwrap();
        fs::copy(machine.path("kit"), kit.path().join("kit")).unwrap();
        fs::remove_file(machine.path("kit")).unwrap();
        machine.write_config(&config.replace("[\"$R\"]", &format!("[\"$R\", \"{SPARE}\"]")));
        fs::create_dir(machine.path("bin")).unwrap();
        fs::create_dir(machine.path("units")).unwrap();
        fs::write(machine.path("units/coldchain.timer"), "[Timer]\n").unwrap();
        let orderly = Self { machine, kit };
        orderly.systemd("echo enabled");
        orderly
    }

    /// For streams on stdin.
    fn fed() -> Self {
        Self::of(Machine::fed(None), &fed_config())
    }

    fn systemd(&self, script: &str) {
        write_script(&self.machine.path("bin/systemctl"), script);
    }

    fn archive(&self, date: &str) {
        let stream = StreamBuilder::full(1).mkfile(b"file").finish();
        let run = self.machine.run_with(&format!("decide {date}"), &stream);
        assert_eq!(run.code, Some(0), "{run:?}");
    }

    fn run(&self, words: &str) -> Run {
        self.run_by(self.machine.command(words))
    }

    /// Runs `doctor --offline` by a shell script, which finds it as `$0` and its words as `$@`.
    pub(crate) fn run_in(&self, script: &str) -> Run {
        let mut command = self.machine.command_of("unshare", "--mount /bin/sh -c");
        command.arg(self.machine.fill(script));
        command.arg(env!("CARGO_BIN_EXE_coldchain"));
        command.args(["doctor", "--offline"]);
        self.run_by(command)
    }

    fn run_by(&self, mut command: Command) -> Run {
        let path = std::env::var("PATH").unwrap();
        let bin = self.machine.path("bin");
        command.env("PATH", format!("{}:{path}", bin.display()));
        command
            .env("SYSTEMD_UNIT_PATH", self.machine.path("units"))
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
            .env("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
            .env_remove("AWS_PROFILE");
        self.machine.run_command(&mut command)
    }

    /// The one line of a subject in a section: its mark and its text.
    #[track_caller]
    pub(crate) fn finds(&self, section: &str, subject: &str, mark: &str, text: &str, code: i32) {
        let run = self.run("doctor --offline");
        found(&run, section, subject, (mark, text), code);
    }

    #[track_caller]
    pub(crate) fn warns(&self, section: &str, subject: &str, text: &str) {
        self.finds(section, subject, "warn", text, 0);
        let quiet = self.run("doctor --offline --quiet");
        assert!(quiet.stdout.contains(text), "{quiet:?}");
        assert!(!quiet.stdout.contains("\n  ok "), "{quiet:?}");
        assert_eq!(quiet.stderr, "");
    }
}

/// Checks that an answer has a line of a subject in a section, with that mark and text.
#[track_caller]
pub(crate) fn found(
    run: &Run,
    section: &str,
    subject: &str,
    (mark, text): (&str, &str),
    code: i32,
) {
    let lines = run.stdout.lines();
    let mut lines = lines.skip_while(|line| *line != section).skip(1);
    let found = lines
        .by_ref()
        .take_while(|line| line.starts_with("  "))
        .filter(|line| line.starts_with(&format!("  {mark:4}  {subject} ")))
        .any(|line| line.contains(text));
    assert!(found, "{section}, {mark} {subject}: {text}\n{}", run.stdout);
    assert_eq!(run.code, Some(code), "{run:?}");
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// The lines of an answer, without what differs from machine to machine.
fn steady(stdout: &str) -> String {
    let lines = stdout.lines().map(|line| {
        let subject = line.get(8..).unwrap_or_default();
        let differs = ["kernel", "btrfs-progs", "clock", "space"];
        match differs.iter().find(|it| subject.starts_with(**it)) {
            Some(subject) if line.starts_with("  ") => format!("{}{subject} …\n", &line[..8]),
            _ => format!("{line}\n"),
        }
    });
    lines.collect()
}

#[test]
fn a_machine_in_order_is_told_line_by_line() {
    let orderly = Orderly::fed();
    let today = chrono::Utc::now().date_naive().to_string();
    orderly.archive(&today);
    let expected = "\
this machine
  ok    kernel …
  ok    btrfs-progs …
  ok    user         root, with CAP_SYS_ADMIN
  ?     confinement  it can be tried in a source's snapshots, and there are none yet
  ok    clock …
  ok    time zone    UTC
config
  ok    file         $T/config.toml, owner 0, mode 0644
  ok    directories  only you and root can replace the file
state
  ok    directory    $T/state, owner 0, mode 0700
  ok    files        8, of which other users can read at most public keys
  ok    catalog      $T/state/catalog.db, schema 15
  ok    runs         recorded: decide
  ok    locks        none is held
  ok    space …
keys
  ok    recipients   2, each opens every new archive
  ok    identity     none lies in the state directory, beside the config or in a source
  ok    signing key  it is there, with the root key that it is granted by
  ok    kit          one names every ledger and every copy
source home
  ok    archived     $TODAY, today
  ok    verified     never
  ok    drill        never
schedule
  ok    timer        coldchain.timer is enabled
here: 21 fine, 1 unknown, 0 warned of, 0 failed
offline: no store was asked, and no mirror on another machine
";
    let run = orderly.run("doctor --offline");
    assert_eq!(steady(&run.stdout).replace(&today, "$TODAY"), expected);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    let quiet = orderly.run("doctor --offline --quiet");
    quiet.is(0, "", "");

    let json: Value = serde_json::from_str(&orderly.run("doctor --json").stdout).unwrap();
    let checks = json["checks"].as_array().unwrap();
    assert_eq!(checks[0]["section"], "this machine");
    assert_eq!(checks[0]["subject"], "kernel");
    assert_eq!(checks[0]["verdict"], "fine");
    assert_eq!(checks[0]["mend"], Value::Null);
    assert_eq!(json["stores"].as_array().unwrap().len(), 1);
    assert_eq!(json["warnings"], serde_json::json!([]));
    assert_eq!(json.get("fixed"), None);
    drop(orderly.kit);
}

#[test]
fn what_others_can_read_is_warned_of_and_an_open_key_fails() {
    let orderly = Orderly::fed();
    let state = orderly.machine.state();
    set_mode(&state, 0o755);
    orderly.warns("state", "directory", "run `chmod 700 ");
    set_mode(&state, 0o700);
    set_mode(&state.join("catalog.db"), 0o644);
    orderly.warns(
        "state",
        "files",
        "catalog.db: other users can read it (mode 0644)",
    );
    set_mode(&state.join("catalog.db"), 0o600);
    set_mode(&state.join("signing.key"), 0o640);
    orderly.finds(
        "state",
        "files",
        "FAIL",
        "signing.key: other users can read it",
        1,
    );
    orderly.finds("keys", "signing key", "FAIL", "signing.key", 1);
}

#[test]
fn keys_that_are_too_few_or_too_near_are_warned_of() {
    let orderly = Orderly::fed();
    orderly.machine.write_config(&fed_config());
    orderly.warns(
        "keys",
        "recipients",
        "there is one: if its identity is lost",
    );
    let kit = orderly.machine.state().join("notes");
    fs::copy(orderly.kit.path().join("kit"), &kit).unwrap();
    orderly.warns(
        "keys",
        "identity",
        "/state/notes holds a secret key; keep it away",
    );
    fs::remove_file(kit).unwrap();
    let more = "\n[[source]]\nname = \"mail\"\nstore = \"disk\"\n";
    orderly.machine.write_config(&(fed_config() + more));
    let stream = StreamBuilder::full(1).mkfile(b"a").finish();
    let run = orderly.machine.run_with("decide mail 2024-01-01", &stream);
    assert_eq!(run.code, Some(0), "{run:?}");
    orderly.warns(
        "keys",
        "kit",
        "would not find them: mail; run `coldchain key kit`",
    );
}

#[test]
fn a_hook_that_others_can_write_fails_as_a_config_does() {
    let orderly = Orderly::fed();
    let hook = orderly.machine.path("hook");
    write_script(&hook, "exit 0");
    let hooks = "\n[hooks]\nbefore = [\"$T/hook\"]\n";
    orderly.machine.write_config(&(fed_config() + hooks));
    orderly.finds("config", "hook before", "ok", "/hook", 0);
    set_mode(&hook, 0o757);
    orderly.finds(
        "config",
        "hook before",
        "FAIL",
        "others can write to it (mode 0757)",
        2,
    );
    let run = orderly.run("doctor --offline");
    assert!(
        run.stderr.ends_with(
            "error: 1 failure found, one of them in the config\nhint: fix each failure above, then run `coldchain doctor` again\n"
        ),
        "{run:?}"
    );
}

#[test]
fn programs_that_are_missing_or_too_old_are_named() {
    let orderly = Orderly::fed();
    write_script(&orderly.machine.path("bin/btrfs"), "echo btrfs-progs v5.10");
    orderly.warns(
        "this machine",
        "btrfs-progs",
        "btrfs-progs 5.10 is too old: 5.15",
    );
    // With a subvolume no archive can be made.
    let config = LIVE_CONFIG.replace("$FS", "/nowhere");
    orderly.machine.write_config(&config);
    orderly.finds("this machine", "btrfs-progs", "FAIL", "5.10 is too old", 1);
    orderly.finds("source home", "subvolume", "FAIL", "/nowhere/home", 1);
    fs::remove_file(orderly.machine.path("bin/btrfs")).unwrap();
    let notify = "\n[notify]\nmail = \"root\"\nsendmail = \"/nowhere/sendmail\"\n";
    orderly.machine.write_config(&(fed_config() + notify));
    orderly.warns(
        "this machine",
        "sendmail",
        "/nowhere/sendmail is missing, so no mail",
    );
}

#[test]
fn a_clock_before_the_newest_archive_fails() {
    let orderly = Orderly::fed();
    orderly.archive("2031-01-01 --date-override");
    orderly.finds(
        "this machine",
        "clock",
        "FAIL",
        "the newest archive is of 2031-01-01",
        1,
    );
    orderly.finds(
        "this machine",
        "clock",
        "FAIL",
        "timedatectl set-ntp true",
        1,
    );
}

#[test]
fn a_timer_that_systemd_does_not_start_is_warned_of_and_without_an_answer_it_is_unknown() {
    let orderly = Orderly::fed();
    orderly.systemd("echo disabled; exit 1");
    orderly.warns(
        "schedule",
        "timer",
        "run `systemctl enable --now coldchain.timer`",
    );
    orderly.systemd("echo System has not been booted >&2; exit 1");
    let text = "coldchain.timer is there, and systemd does not say";
    orderly.finds("schedule", "timer", "?", text, 0);
    fs::remove_file(orderly.machine.path("units/coldchain.timer")).unwrap();
    let text = "another program may start it";
    orderly.finds("schedule", "timer", "?", text, 0);
    // One of another name, whose service starts coldchain.
    orderly.systemd("test \"$3\" = night.timer && echo enabled");
    let units = orderly.machine.path("units");
    fs::write(units.join("night.timer"), "[Timer]\n").unwrap();
    let service = "[Service]\nExecStart=/usr/bin/coldchain backup -q\n";
    fs::write(units.join("night.service"), service).unwrap();
    orderly.finds("schedule", "timer", "ok", "night.timer is enabled", 0);
}

#[test]
fn a_lock_that_is_held_is_named_and_not_taken() {
    let orderly = Orderly::fed();
    orderly.archive("2024-01-01");
    let lock = fs::File::open(orderly.machine.state().join("home.lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let text = format!("held: home by process {}", std::process::id());
    orderly.finds("state", "locks", "ok", &text, 0);
    drop(lock);
    orderly.finds("state", "locks", "ok", "none is held", 0);
}

#[test]
fn offline_asks_nothing() {
    let orderly = Orderly::fed();
    let server = S3Server::new();
    let config = fed_config();
    let (before, _) = config.split_once("[store.disk]").unwrap();
    let config = format!(
        "{before}[store.disk]\n{}\n\n[encryption]\nrecipients = [\"$R\"]\n",
        server.store_table("")
    );
    orderly.machine.write_config(&config);
    server.forget_requests();
    let run = orderly.run("doctor --offline");
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(server.requests().len(), 0);
    orderly.run("doctor");
    assert!(!server.requests().is_empty());
}

/// Damage of each kind that is safe to repair, but for snapshots.
fn damage(orderly: &Orderly) {
    let state = orderly.machine.state();
    set_mode(&state, 0o755);
    set_mode(&state.join("catalog.db"), 0o644);
    fs::write(state.join("runs.json"), "{").unwrap();
    set_mode(&state.join("runs.json"), 0o600);
    let left = state.join(".signing.grant.coldchain-0123456789abcdef");
    fs::write(&left, "half").unwrap();
    set_mode(&left, 0o600);
    let long_ago = SystemTime::now() - Duration::from_hours(1);
    fs::File::options()
        .write(true)
        .open(&left)
        .unwrap()
        .set_modified(long_ago)
        .unwrap();
    // One that is just being made, and one of another program.
    fs::write(state.join(".root.pub.coldchain-0123456789abcdef"), "new").unwrap();
    set_mode(&state.join(".root.pub.coldchain-0123456789abcdef"), 0o600);
    fs::write(state.join("mine"), "mine").unwrap();
    set_mode(&state.join("mine"), 0o600);
}

#[test]
fn what_is_safe_is_repaired_if_that_is_agreed_to_beforehand() {
    let orderly = Orderly::fed();
    damage(&orderly);
    let state = orderly.machine.state();
    orderly.warns("state", "runs", "cannot read ");
    orderly.warns(
        "state",
        "leftover",
        ".signing.grant.coldchain-$HEX16 is left of a run",
    );

    let refused = orderly.run("doctor --offline --fix");
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("add --yes"), "{refused:?}");
    assert_eq!(mode(&state), 0o755);

    let fixed = orderly.run("doctor --offline --fix --yes");
    assert_eq!(fixed.code, Some(0), "{fixed:?}");
    let done = "\
done: set the mode of $T/state to 0700
done: set the mode of $T/state/catalog.db to 0600
done: remove $T/state/.signing.grant.coldchain-$HEX16, which a killed run left
done: move $T/state/runs.json aside to $T/state/runs.json.damaged, and begin new records of runs
this machine
";
    assert!(fixed.stdout.starts_with(done), "{}", fixed.stdout);
    assert_eq!(
        (mode(&state), mode(&state.join("catalog.db"))),
        (0o700, 0o600)
    );
    assert_eq!(fs::read(state.join("runs.json.damaged")).unwrap(), b"{");
    assert!(
        !state
            .join(".signing.grant.coldchain-0123456789abcdef")
            .exists()
    );
    assert!(state.join(".root.pub.coldchain-0123456789abcdef").exists());
    assert!(state.join("mine").exists());
    let left = orderly.run("doctor --offline --quiet").stdout;
    assert!(left.starts_with("source home\n"), "{left}");

    let again = orderly.run("doctor --offline --fix");
    let nothing = "nothing can be repaired here without a loss\n";
    assert!(again.stdout.starts_with(nothing), "{again:?}");
    set_mode(&state, 0o750);
    let json = orderly.run("doctor --offline --fix --yes --json");
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    let fixed = json["fixed"].as_array().unwrap();
    assert_eq!(fixed.len(), 1);
    assert!(fixed[0].as_str().unwrap().ends_with("/state to 0700"));
}

#[test]
fn on_a_terminal_each_repair_is_asked_for() {
    let orderly = Orderly::fed();
    damage(&orderly);
    let state = orderly.machine.state();
    let mut terminal = Terminal::run(&orderly.machine, "doctor --offline --fix");
    terminal.answer("state to 0700? [y/N]", "n\n");
    terminal.answer("catalog.db to 0600? [y/N]", "y\n");
    terminal.answer("which a killed run left? [y/N]", "\n");
    terminal.answer("new records of runs? [y/N]", "yes\n");
    let shown = terminal.end();
    assert!(shown.contains("not done: set the mode of "), "{shown}");
    assert!(shown.contains("code 0\n"), "{shown}");
    // What has a line is not said again.
    assert!(!shown.contains("warning: "), "{shown}");
    assert_eq!(
        (mode(&state), mode(&state.join("catalog.db"))),
        (0o755, 0o600)
    );
    assert!(
        state
            .join(".signing.grant.coldchain-0123456789abcdef")
            .exists()
    );
    assert!(state.join("runs.json.damaged").exists());
}

#[test]
fn a_subvolume_is_looked_at_with_the_space_for_its_snapshots() {
    if !real_btrfs_available() {
        return;
    }
    let orderly = Orderly::of(Machine::with_subvolume(256), LIVE_CONFIG);
    orderly.finds("source home", "subvolume", "ok", "/home", 0);
    orderly.finds(
        "source home",
        "space",
        "ok",
        "for metadata, which can grow by",
        0,
    );
    orderly.finds(
        "this machine",
        "confinement",
        "ok",
        "a mount namespace of its own",
        0,
    );
    orderly.machine.btrfs().subvolume("home/nested");
    orderly.warns("source home", "setup", "nested subvolumes are left out");
    // A snapshot that a run made, and died.
    let run = orderly.run("backup 2024-01-01");
    assert_eq!(run.code, Some(0), "{run:?}");
    orderly.finds("source home", "archived", "ok", "2024-01-01, ", 0);
    orderly.warns("source home", "overdue", "slots were missed");
}

#[test]
fn a_received_subvolume_is_warned_of_and_an_unfinished_snapshot_is_deleted_if_it_is_ours() {
    if !real_btrfs_available() {
        return;
    }
    let orderly = Orderly::of(Machine::with_subvolume(256), LIVE_CONFIG);
    let (machine, disk) = (&orderly.machine, orderly.machine.btrfs());
    let (home, snapshots) = (disk.path("home"), disk.path("snapshots"));
    let ours = snapshots.join(".coldchain-new-2024-01-02");
    let foreign = snapshots.join(".coldchain-new-2024-01-03");
    for path in [&ours, &foreign] {
        btrfs(["subvolume", "snapshot", "-r"], &[&home, path]);
    }
    // What the catalog has if the power fails just after the snapshot was made.
    let catalog = rusqlite::Connection::open(machine.state().join("catalog.db")).unwrap();
    catalog
        .execute_batch(
            "INSERT INTO told (source, subject, message)
             VALUES ('home', 'snapshot in the making', '2024-01-02')",
        )
        .unwrap();
    drop(catalog);
    orderly.warns("source home", "leftovers", "could not give it its name");
    orderly.warns(
        "source home",
        "leftovers",
        "nothing shows that coldchain made it",
    );
    let fixed = orderly.run("doctor --offline --fix --yes");
    assert_eq!(fixed.code, Some(0), "{fixed:?}");
    let done = "done: delete $FS/snapshots/.coldchain-new-2024-01-02, an unfinished snapshot of home that coldchain made\n";
    assert!(fixed.stdout.starts_with(done), "{fixed:?}");
    assert!(!ours.exists() && foreign.exists());

    // One that was received, and made writable by force.
    let stream = machine.path("stream");
    let sent = snapshots.join("sent");
    btrfs(["subvolume", "snapshot", "-r"], &[&home, &sent]);
    btrfs(["send", "-q", "-f"], &[&stream, &sent]);
    let elsewhere = disk.path("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    btrfs(["receive", "-f"], &[&stream, &elsewhere]);
    let received = elsewhere.join("sent");
    let config = LIVE_CONFIG.replace("$FS/home", "$FS/elsewhere/sent");
    machine.write_config(&config);
    orderly.finds("source home", "subvolume", "FAIL", "received", 1);
    let words = ["property", "set", "-f", "-t", "subvol"];
    let ran = std::process::Command::new("btrfs")
        .args(words)
        .arg(&received)
        .args(["ro", "false"])
        .status();
    assert!(ran.unwrap().success());
    let run = orderly.run("doctor --offline");
    // A newer btrfs-progs takes the uuid off when it is made writable.
    assert_eq!(run.code, Some(0), "{run:?}");
}
