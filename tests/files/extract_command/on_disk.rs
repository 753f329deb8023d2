//! An archive of which more is to be known than fits into memory.

use std::collections::BTreeMap;
use std::fs::{self, File};

use rustix::process::Signal;

use super::archived::holds;
use crate::common::machine::{Machine, Run, fed_config};
use crate::common::stream_builder::StreamBuilder;
use crate::common::tmpfs::Tmpfs;
use crate::mounted::Mounted;

/// So many files, each with an extended attribute of so many bytes that is like no other: they need more than
/// three quarters of the limit.
const FILES: u32 = 1000;
const ATTRIBUTE: usize = 60_000;
const LIMIT: &str = "120MiB";

fn machine() -> Machine {
    let machine = Machine::fed(None);
    machine.write_config(&format!("memory_limit = \"{LIMIT}\"\n{}", fed_config()));
    let mut stream = StreamBuilder::header(1).subvol(b"2024-01-01", [1; 16], 10);
    let mut value = vec![b'x'; ATTRIBUTE];
    for number in 0..FILES {
        let name = format!("file {number}").into_bytes();
        value[..4].copy_from_slice(&number.to_le_bytes());
        stream = stream
            .mkfile(&name)
            .set_xattr(&name, b"user.large", &value)
            .write(&name, 0, &name);
    }
    fs::write(machine.path("stream"), stream.finish()).unwrap();
    let mut command = machine.command("decide 2024-01-01 --quiet");
    command.stdin(File::open(machine.path("stream")).unwrap());
    let run = machine.run_command(&mut command);
    assert_eq!(run.code, Some(0), "{run:?}");
    machine
}

/// Extracts with a directory for temporary files of its own.
fn extract(machine: &Machine, words: &str) -> Run {
    let words = format!("extract home --identity $T/kit --quiet {words}");
    let mut command = machine.command(&words);
    machine.run_command(command.env("TMPDIR", machine.path("tmp")))
}

#[test]
fn what_does_not_fit_into_memory_goes_to_disk_and_a_full_disk_says_so() {
    let machine = machine();
    fs::create_dir(machine.path("tmp")).unwrap();
    fs::write(machine.path("list"), "file 1\nfile 500").unwrap();
    let run = extract(&machine, "--from-file $T/list --to $T/out");
    // Few filesystems have such large attributes.
    assert!(matches!(run.code, Some(0 | 4)), "{run:?}");
    let data = ["file 1", "file 500"].map(|name| (name, name.as_bytes().to_vec()));
    holds(&machine.path("out"), &BTreeMap::from(data));
    // Nothing is left of what was on disk.
    let left = fs::read_dir(machine.path("state/files")).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    let is_tree = |name: &&std::ffi::OsString| name.to_string_lossy().starts_with("tree");
    assert_eq!(left.iter().find(is_tree), None, "{left:?}");
    let full = |directory: &str| {
        format!(
            "error: could not write the temporary file for the names and pieces of files in {directory}\n\
             caused by: database or disk is full (SQLite's code 13)\n\
             hint: free some space there, or raise `memory_limit` in the config, so that more fits into memory\n"
        )
    };
    let small = Tmpfs::on(&machine.path("state/files"), 512);
    let run = extract(&machine, "--from-file $T/list --to $T/other");
    run.is(1, "", &full("$T/state/files"));
    // Where nothing can be written, the directory for temporary files takes its place.
    small.read_only();
    let temporary = Tmpfs::on(&machine.path("tmp"), 512);
    let run = extract(&machine, "--from-file $T/list --to $T/other");
    run.is(1, "", &full("$T/tmp"));
    drop(temporary);
    drop(small);
    is_mounted_too(&machine);
}

fn is_mounted_too(machine: &Machine) {
    let mounted = Mounted::new(machine);
    for number in [999_u32, 0, 500] {
        let path = mounted.date("2024-01-01").join(format!("file {number}"));
        let data = fs::read(&path).unwrap();
        assert_eq!(data, format!("file {number}").as_bytes());
        let mut value = vec![0; ATTRIBUTE + 1];
        let length = rustix::fs::lgetxattr(&path, "user.large", &mut value[..]).unwrap();
        assert_eq!(length, ATTRIBUTE);
        assert_eq!(value[..4], number.to_le_bytes());
        assert!(value[4..length].iter().all(|byte| *byte == b'x'));
    }
    mounted.end_by(Signal::INT).is(0, "", "");
}
