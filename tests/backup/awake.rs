//! While a stream is sent or received the machine is kept awake, where systemd can do that.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use crate::common::loopfs::{LoopFs, real_btrfs_available, run};
use crate::common::machine::{Machine, Run};
use crate::common::stub::{Pipe, Stub, send_by_btrfs, write_script};

const STUCK: Duration = Duration::from_mins(3);

/// A `systemd-inhibit` that writes down with what it is started, and tells its process id to the
/// sender or receiver, which go on when it is there and write down that it was.
struct Inhibitor {
    stub: Stub,
}

impl Inhibitor {
    fn new() -> Self {
        let inhibitor = Self { stub: Stub::new() };
        make_pipe(&inhibitor.file("id"));
        write_script(
            &inhibitor.file("systemd-inhibit"),
            &format!(
                "printf '%s\\n' \"$@\" >>'{}'\necho $$ >'{}'\nexec cat",
                inhibitor.file("arguments").display(),
                inhibitor.file("id").display(),
            ),
        );
        inhibitor
    }

    fn file(&self, name: &str) -> PathBuf {
        self.stub.file(name)
    }

    /// What the sender or receiver does first.
    fn meet(&self) -> String {
        format!(
            "read -r id <'{}'; kill -0 \"$id\" && echo \"$id\" >>'{}'",
            self.file("id").display(),
            self.file("met").display()
        )
    }

    fn run(&self, machine: &Machine, words: &str) -> Run {
        machine.run_command(machine.command(words).env("PATH", self.stub.path()))
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.file(name)).unwrap_or_default()
    }

    /// Whether each that was met is gone.
    fn all_gone(&self) -> bool {
        let met = self.read("met");
        met.lines().all(|id| !Path::new("/proc").join(id).exists())
    }
}

fn make_pipe(path: &Path) {
    run(Command::new("mkfifo").arg(path)).unwrap();
}

fn machine() -> Machine {
    let machine = Machine::with_subvolume(256);
    fs::write(machine.btrfs().path("home/letter"), "dear reader\n").unwrap();
    send_by_btrfs(&machine.path("config.toml"));
    machine
}

fn restore(to: &LoopFs) -> String {
    format!(
        "restore home --from store --identity $T/kit --yes --to {}",
        to.root().display()
    )
}

#[test]
fn the_machine_is_kept_awake_while_a_sender_or_receiver_works_and_no_longer() {
    if !real_btrfs_available() {
        return;
    }
    let machine = machine();
    let inhibitor = Inhibitor::new();
    let stub = &inhibitor.stub;
    stub.sends(&format!("{}; exec \"$real\" \"$@\"", inhibitor.meet()));
    let backup = inhibitor.run(&machine, "backup 2024-01-01");
    assert_eq!((backup.code, backup.stderr.as_str()), (Some(0), ""));
    assert_eq!(
        inhibitor.read("arguments"),
        "--what=sleep\n--who=coldchain\n--mode=block\n--why=archiving home\ncat\n"
    );
    assert_eq!(inhibitor.read("met").lines().count(), 1);
    assert!(inhibitor.all_gone());

    // A night on which nothing is due.
    fs::remove_file(inhibitor.file("arguments")).unwrap();
    let backup = inhibitor.run(&machine, "backup 2024-01-02");
    assert!(backup.stdout.contains("nothing due"), "{backup:?}");
    assert_eq!(inhibitor.read("arguments"), "");

    let met = Pipe::new();
    stub.does(
        "receive",
        &format!(
            "read -r id <'{}'; kill -0 \"$id\" && echo \"$id\" >{}; exec \"$real\" \"$@\"",
            inhibitor.file("id").display(),
            met.path()
        ),
    );
    let elsewhere = LoopFs::new(256);
    let restored = inhibitor.run(&machine, &restore(&elsewhere));
    assert_eq!((restored.code, restored.stderr.as_str()), (Some(0), ""));
    assert!(
        inhibitor.read("arguments").contains("restoring home"),
        "{}",
        inhibitor.read("arguments")
    );
    let met = String::from_utf8(met.drain()).unwrap();
    assert_eq!(met.lines().count(), 1);
    assert!(!Path::new("/proc").join(met.trim()).exists());

    // Once more, where all of it stands already.
    fs::remove_file(inhibitor.file("arguments")).unwrap();
    let restored = inhibitor.run(&machine, &restore(&elsewhere));
    assert_eq!(restored.code, Some(0));
    assert_eq!(inhibitor.read("arguments"), "");
}

#[test]
fn without_systemd_or_with_one_that_refuses_nothing_is_different() {
    if !real_btrfs_available() {
        return;
    }
    let machine = machine();
    let stub = Stub::new();
    stub.sends("exec \"$real\" \"$@\"");
    let backup = |date: &str, path: &std::ffi::OsStr| {
        let mut command = machine.command(&format!("backup {date} --quiet"));
        machine.run_command(command.env("PATH", path)).is(0, "", "");
    };
    backup("2024-01-01", stub.directory().as_os_str());
    for (date, script) in [
        ("2024-01-07", "echo 'Failed to connect to bus' >&2; exit 1"),
        // It says nothing of itself, does not run `cat`, and does not end.
        ("2024-01-14", "while :; do :; done"),
    ] {
        write_script(&stub.file("systemd-inhibit"), script);
        backup(date, &stub.path());
    }
    assert_eq!(machine.archived().len(), 3);
}

#[test]
fn the_machine_may_sleep_again_when_coldchain_is_killed() {
    if !real_btrfs_available() {
        return;
    }
    let machine = machine();
    let stub = Stub::new();
    for pipe in ["sending", "ended", "never"] {
        make_pipe(&stub.file(pipe));
    }
    stub.sends(&format!(
        "echo >'{}'; read -r _ <'{}'",
        stub.file("sending").display(),
        stub.file("never").display()
    ));
    write_script(
        &stub.file("systemd-inhibit"),
        &format!("cat; echo the end >'{}'", stub.file("ended").display()),
    );
    let heard = |name: &str| {
        let (said, heard) = mpsc::channel();
        let pipe = stub.file(name);
        thread::spawn(move || said.send(fs::read_to_string(pipe).unwrap()));
        heard.recv_timeout(STUCK).expect("it came to that")
    };
    let mut command = machine.command("backup 2024-01-01");
    let talk = machine.start_command(command.env("PATH", stub.path()));
    heard("sending");
    talk.signal(Signal::KILL);
    assert_eq!(heard("ended"), "the end\n");
    assert_eq!(talk.end().code, None);
    // The sender of this test would wait for ever.
    fs::write(stub.file("never"), "").unwrap();
}
