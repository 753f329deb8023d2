//! A server that wants to do harm, or is none at all, against `coldchain mirror`: a clear error, its exit code, and an
//! end in bounded time and memory. A script takes the place of ssh.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use rustix::process::{Pid, test_kill_process};

use crate::common::loopfs::real_btrfs_available;
use crate::common::machine::Run;
use crate::disks::{Disks, SNAPSHOTS_ALONE};

/// Beginnings of the scripts: frames, and the answers that a client expects.
const PRELUDE: &str = r#"#!/usr/bin/env python3
import json, os, struct, sys, time
def frame(kind, payload=b""):
    os.write(1, kind + struct.pack("<I", len(payload)) + payload)
def message(value):
    data = json.dumps(value).encode()
    while len(data) > 262144:
        frame(b"p", data[:262144])
        data = data[262144:]
    frame(b"m", data)
def read(length):
    data = b""
    while len(data) < length:
        more = os.read(0, length - len(data))
        if not more:
            sys.exit(0)
        data += more
    return data
def heard():
    kind, length = struct.unpack("<cI", read(5))
    return kind, read(length)
def greet(line="coldchain-mirror 1 9.9.9"):
    os.write(1, line.encode() + b"\n")
def opened():
    greet()
    heard()
    message("opened")
def standing(copies=[], **more):
    heard()
    message({"standing": {"mark": None, "filesystem": U, "free_bytes": 1 << 40, "keep": "40", "copies": copies,
        "taken": [], **more}})
U = "6f9619ff-8b86-4011-b42d-00cf4fc964ff"
def copy(name, **more):
    return {"name": name, "uuid": U, "stream_uuid": U, "ctransid": 1, "otransid": 1, "is_intact": True, **more}
"#;

/// A machine with a snapshot to send, and a mirror that a script stands for.
struct Fooled {
    disks: Disks,
}

impl Fooled {
    fn new() -> Self {
        let disks = Disks::without_mirror(11);
        let mirror = "\n[[mirror]]\nsource = \"home\"\nto = \"ssh://nas/mnt/second\"\nkeep = 40\nstall = \"2s\"\n";
        disks.config(&format!("{SNAPSHOTS_ALONE}{mirror}"));
        let taken = disks.machine.run("snapshot");
        assert_eq!(taken.code, Some(0), "{}", taken.stderr);
        fs::create_dir(disks.machine.path("bin")).unwrap();
        Self { disks }
    }

    /// Runs `mirror` with a script in place of ssh.
    fn run(&self, script: &str) -> Run {
        let path = self.disks.machine.path("bin/ssh");
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        self.run_in_path(&format!(
            "{}:{}",
            path.parent().unwrap().display(),
            std::env::var("PATH").unwrap()
        ))
    }

    fn run_in_path(&self, path: &str) -> Run {
        let mut command = self.disks.machine.command("mirror home");
        let output = command.env("PATH", path).output().unwrap();
        Run {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    #[track_caller]
    fn fails(&self, script: &str, code: i32, said: &str) {
        let run = self.run(script);
        assert!(run.stderr.contains(said), "{said}: {}", run.stderr);
        assert_eq!(run.code, Some(code), "{}", run.stderr);
        assert!(run.stderr.len() < 60_000, "{}", run.stderr.len());
        assert!(!run.stderr.contains('\x1b'), "{}", run.stderr);
    }
}

#[test]
fn what_is_no_server_is_named() {
    if !real_btrfs_available() {
        return;
    }
    let fooled = Fooled::new();
    let fails = |script: &str, code, said: &str| {
        fooled.fails(&format!("{PRELUDE}{script}"), code, said);
    };
    fails(
        "os.write(1, b'Welcome \\x1b[2Jto nas!\\nmore\\n')",
        1,
        "the other side said `Welcome \\u{1b}[2Jto nas!` before coldchain",
    );
    fails(
        "while True: os.write(1, bytes(65536))",
        1,
        "before coldchain",
    );
    fails(
        "while True: os.write(1, b'coldchain-mirror 1 ' + b'x' * 999)",
        1,
        "before coldchain",
    );
    fails(
        "greet('coldchain-mirror 7 3.0.0'); heard()",
        8,
        "has coldchain 3.0.0, which speaks mirror protocol 7; this one speaks 1",
    );
    fails(
        "greet('coldchain-mirror 0 0.1'); heard()",
        8,
        "update coldchain on the other side",
    );
    fails(
        "os.write(2, b'bash: line 1: coldchain: command not found\\n'); sys.exit(127)",
        8,
        "set `command` in the [[mirror]] to its full path",
    );
    fails(
        "os.write(2, b\"error: unrecognized subcommand 'mirror-server'\\n\"); sys.exit(2)",
        8,
        "update coldchain there: it is too old to be a mirror",
    );
    fails(
        "sys.exit(0)",
        1,
        "cannot reach the mirror ssh://nas/mnt/second: ssh ended with exit status: 0",
    );
    let run = fooled.run_in_path("/does/not/exist");
    assert_eq!(run.code, Some(8), "{}", run.stderr);
}

#[test]
fn a_server_that_breaks_the_protocol_is_left() {
    if !real_btrfs_available() {
        return;
    }
    let fooled = Fooled::new();
    let broke = |script: &str, what: &str| {
        let said = format!("broke the mirror protocol: it sent {what}");
        fooled.fails(&format!("{PRELUDE}{script}"), 6, &said);
    };
    broke(
        "greet(); os.write(1, b'm\\xff\\xff\\xff\\xff'); heard(); heard()",
        "a frame of 4294967295 bytes",
    );
    broke(
        "greet()\nwhile True: frame(b'p', bytes(262144))",
        "a message of more than 1048576 bytes",
    );
    broke(
        "greet()\nwhile True: frame(b'd', bytes(262144))",
        "a frame where a message was due",
    );
    broke(
        "greet(); message({'made': '00' * 16}); heard(); heard()",
        "an answer to another question",
    );
    broke(
        "greet(); message('open' * 20); heard()",
        "a message that can't be read",
    );
    broke(
        "opened(); heard(); message({'standing': {'mark': 7}}); heard()",
        "a message that can't be read",
    );
    broke(
        "opened(); standing([copy('../../etc')]); heard()",
        "a message that can't be read",
    );
    broke(
        "opened(); standing([copy('2024-01-01', uuid='x')]); heard()",
        "a message that can't be read",
    );
    broke(
        "opened(); standing([copy('2024-01-01')] * 2); heard()",
        "two copies of the name 2024-01-01",
    );
    broke(
        "opened(); standing(keep='1d ' * 1000); heard()",
        "a rule of what it keeps that is too long",
    );
    broke(
        "opened()\nheard()\none = json.dumps(copy('2024-01-01')).encode() + b','\n\
         frame(b'p', b'{\"standing\":{\"copies\":[')\n\
         for _ in range(1000): frame(b'p', one * 1000)",
        "a message of more than 67108864 bytes",
    );
    // It says that it has what it can't have.
    broke(
        "opened(); standing(mark='00' * 16); heard()\nwhile heard()[0] not in b'ex': pass\n\
         message({'received': copy('2024-01-01')}); heard()",
        "another copy than the wanted one",
    );
}

#[test]
fn a_server_that_fails_cuts_or_falls_silent_ends_the_run() {
    if !real_btrfs_available() {
        return;
    }
    let fooled = Fooled::new();
    let fails = |script: &str, code, said: &str| {
        fooled.fails(&format!("{PRELUDE}{script}"), code, said);
    };
    let failed = |code| {
        format!(
            "greet(); heard(); message({{'failed': {{'message': 'no \\x1b[2J room', 'hint': 'make some', \
             'code': {code}}}}}); heard()"
        )
    };
    for (there, here) in [
        (3, 3),
        (6, 6),
        (8, 8),
        (1, 1),
        (0, 1),
        (4, 1),
        (130, 1),
        (143, 1),
    ] {
        fails(
            &failed(there),
            here,
            "the mirror ssh://nas/mnt/second says: no \\u{1b}[2J room",
        );
    }
    // In the middle of the stream.
    let receives = "opened(); standing(mark='00' * 16); heard()\n";
    fails(
        &format!("{receives}heard(); sys.exit(0)"),
        1,
        "the connection to the mirror ssh://nas/mnt/second was cut after",
    );
    fails(
        &format!(
            "{receives}message({{'failed': {{'message': 'full', 'hint': None, 'code': 1}}}})\n\
             while heard()[0] not in b'ex': pass\nheard()"
        ),
        1,
        "says: full",
    );
    // Nothing moves any more.
    let pid = fooled.disks.machine.path("pid");
    let silent = |script: &str| {
        let note = format!("open('{}', 'w').write(str(os.getpid()))\n", pid.display());
        let begun = Instant::now();
        let script = format!("{note}{script}time.sleep(1000)");
        fails(&script, 1, "stalled: no byte moved for 2 seconds, after ");
        assert!(begun.elapsed() < Duration::from_mins(1));
        let id = fs::read_to_string(&pid).unwrap().parse().unwrap();
        let gone = test_kill_process(Pid::from_raw(id).unwrap());
        assert!(gone.is_err(), "its process is still there");
    };
    silent("");
    silent("opened()\n");
    silent(&format!("{receives}heard()\n"));
}
