//! The secrets in the program's memory are for no core dump and for no other program of the same user, and
//! are wiped; and what is so shut off works all the same for a user who is not root.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::common::machine::{Machine, Talk};
use crate::common::stream_builder::StreamBuilder;

/// A user who is not root.
const USER: u32 = 4242;

fn stream() -> Vec<u8> {
    StreamBuilder::header(1)
        .subvol(b"2024-01-01", [b'a'; 16], 10)
        .mkfile(b"file")
        .write(b"file", 0, b"content")
        .finish()
}

/// The program once it waits for stdin.
fn waiting<'m>(machine: &'m Machine, command: &mut Command) -> Talk<'m> {
    let mut talk = machine.start_command(command.stdin(Stdio::piped()));
    assert_eq!(talk.line().as_deref(), Some("c\n"));
    talk
}

fn of_process(talk: &Talk<'_>, file: &str) -> String {
    let path = format!("/proc/{}/{file}", talk.id());
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Hands it the stream, and waits for its end.
fn feed(mut talk: Talk<'_>) {
    talk.take_stdin().write_all(&stream()).unwrap();
    talk.end().is(0, "", "");
}

#[test]
fn no_core_file_is_written() {
    let machine = Machine::fed(None);
    let talk = waiting(&machine, &mut machine.command("decide 2024-01-01"));
    let limits = of_process(&talk, "limits");
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"));
    let core: Vec<&str> = core.unwrap().split_whitespace().collect();
    assert_eq!(core[4..6], ["0", "0"], "soft and hard limit");
    feed(talk);
}

/// A machine that is all a user's, with a copy of the program that the user may run.
fn users() -> Option<Machine> {
    let is_root = rustix::process::geteuid().is_root();
    assert!(is_root || std::env::var_os("CI").is_none(), "not root");
    if !is_root {
        eprintln!("skipped: only root can become another user");
        return None;
    }
    let machine = Machine::fed(None);
    let program = machine.path("coldchain");
    crate::common::stub::copy_program(&program);
    // Who may not read a program can't look into it either.
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let given = Command::new("chown")
        .args(["-R", &format!("{USER}:{USER}")])
        .arg(machine.path(""))
        .status();
    assert!(given.unwrap().success());
    Some(machine)
}

fn as_user(machine: &Machine, program: &Path, words: &str) -> Command {
    let mut command = machine.command_of("setpriv", "");
    command
        .args([format!("--reuid={USER}"), format!("--regid={USER}")])
        .arg("--clear-groups")
        .arg(program)
        .args(words.split_whitespace().map(|word| machine.fill(word)));
    command
}

#[test]
fn another_program_of_the_same_user_can_not_read_its_memory() {
    let Some(machine) = users() else { return };
    let program = machine.path("coldchain");
    let can_look_into = |talk: &Talk<'_>| {
        let environment = format!("/proc/{}/environ", talk.id());
        let mut cat = as_user(&machine, Path::new("cat"), &environment);
        cat.stdout(Stdio::null()).stderr(Stdio::null());
        cat.status().unwrap().success()
    };
    let owner = |talk: &Talk<'_>| {
        let path = format!("/proc/{}/mem", talk.id());
        fs::metadata(path).unwrap().uid()
    };

    // A program that says nothing of it is the user's to look into.
    let mut cat = as_user(&machine, Path::new("cat"), "");
    let mut other = machine.start_command(cat.stdin(Stdio::piped()));
    {
        let mut stdin = other.take_stdin();
        stdin.write_all(b"c\n").unwrap();
        assert_eq!(other.line().as_deref(), Some("c\n"));
        assert_eq!(owner(&other), USER);
        assert!(can_look_into(&other));
    }
    other.end().is(0, "", "");

    let mut decide = as_user(&machine, &program, "decide 2024-01-01");
    let talk = waiting(&machine, &mut decide);
    assert_eq!(owner(&talk), 0);
    assert!(!can_look_into(&talk));
    feed(talk);
}

/// All that the process could be asked for by who may.
fn memory_of_process(id: u32) -> Vec<u8> {
    let maps = fs::read_to_string(format!("/proc/{id}/maps")).unwrap();
    let memory = fs::File::open(format!("/proc/{id}/mem")).unwrap();
    let mut all = Vec::new();
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        let (range, access) = (words.next().unwrap(), words.next().unwrap());
        // What it may write to can hold what it has read.
        if !access.starts_with("rw") {
            continue;
        }
        let (from, to) = range.split_once('-').unwrap();
        let [from, to] = [from, to].map(|number| u64::from_str_radix(number, 16).unwrap());
        let mut piece = vec![0; usize::try_from(to - from).unwrap()];
        if memory.read_exact_at(&mut piece, from).is_ok() {
            all.append(&mut piece);
        }
    }
    all
}

fn has(memory: &[u8], text: &str) -> bool {
    // The first byte alone finds where to look.
    let text = text.as_bytes();
    memory
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == text[0])
        .any(|(at, _)| memory[at..].starts_with(text))
}

/// A restore that has opened the archives with a kit, and waits for who takes the stream.
#[test]
fn the_text_of_a_kit_is_gone_from_memory_once_it_is_read() {
    let is_root = rustix::process::geteuid().is_root();
    assert!(is_root || std::env::var_os("CI").is_none(), "not root");
    if !is_root {
        eprintln!("skipped: only root can read its memory");
        return;
    }
    let machine = Machine::fed(None);
    let mut long = StreamBuilder::header(1)
        .subvol(b"2024-01-01", [b'a'; 16], 10)
        .mkfile(b"file");
    // More than a pipe holds.
    for at in 0..64 {
        long = long.write(b"file", at * 32_768, &vec![b'x'; 32_768]);
    }
    let run = machine.run_with("decide 2024-01-01", &long.finish());
    run.is(0, "c\n", "");
    let kit = fs::read_to_string(machine.path("kit")).unwrap();
    let secret = kit
        .lines()
        .find(|line| line.starts_with("AGE-SECRET-KEY-1"))
        .unwrap();

    let words = "restore home --stream - --identity $T/kit --yes";
    let mut restore = machine.command(words);
    restore.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = restore.spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    // It sends: the archive is open.
    let mut first = [0; 17];
    stdout.read_exact(&mut first).unwrap();
    assert!(first.starts_with(b"btrfs-stream"));
    let memory = memory_of_process(child.id());
    assert!(has(&memory, "2024-01-01-full-"), "it is no memory of its");
    assert!(!has(&memory, secret), "the identity is still in memory");
    let mut rest = Vec::new();
    stdout.read_to_end(&mut rest).unwrap();
    assert!(child.wait().unwrap().success());
}

/// `/proc/self/fd` belongs to root then, and gives files their names.
#[test]
fn a_user_who_is_not_root_can_do_all_as_before() {
    let Some(machine) = users() else { return };
    let program = machine.path("coldchain");
    let run = |words: &str| machine.run_command(&mut as_user(&machine, &program, words));
    feed(waiting(
        &machine,
        &mut as_user(&machine, &program, "decide 2024-01-01"),
    ));
    let before = fs::metadata(machine.path("kit")).unwrap().ino();
    for words in [
        "key kit --kit $T/kit",
        "restore home --stream $T/stream --identity $T/kit --yes",
        "verify --deep --identity $T/kit",
        "catalog check",
        "doctor",
    ] {
        let ran = run(words);
        assert_eq!(ran.code, Some(0), "{words}: {ran:?}");
    }
    assert_ne!(fs::metadata(machine.path("kit")).unwrap().ino(), before);
    let written = fs::read(machine.path("stream")).unwrap();
    assert_eq!(written, stream());
    let left: Vec<_> = fs::read_dir(machine.path(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .filter(|name| name.to_string_lossy().contains(".coldchain-"))
        .collect();
    assert!(left.is_empty(), "{left:?}");

    // An identity from a pipe or by its descriptor, as a password manager gives it.
    for path in ["/dev/stdin", "/proc/self/fd/0"] {
        let words = format!("key check --identity {path}");
        let mut check = as_user(&machine, &program, &words);
        check.stdin(fs::File::open(machine.path("kit")).unwrap());
        let ran = machine.run_command(&mut check);
        assert_eq!(ran.code, Some(0), "{words}: {ran:?}");
    }
}
