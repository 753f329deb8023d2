//! What somebody with the store and without any key puts among a ledger's entries: no command takes more memory
//! for it than it was given, and each that needs the ledger says which object is wrong.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use crate::common::machine::Machine;
use crate::common::stream_builder::StreamBuilder;
use coldchain::ledger::{SigningKey, decode_body, split};
use serde_json::{Value, json};

/// `memory_limit` of the machine, and what a command may take beside it.
const LIMIT_MIB: u64 = 192;
const BESIDE_MIB: u64 = 64;

const MIB: u64 = 1 << 20;

struct Victim {
    machine: Machine,
    ledger: String,
}

impl Victim {
    fn new() -> Self {
        let machine = Machine::fed(None);
        let config = fs::read_to_string(machine.path("config.toml")).unwrap();
        let config = format!("memory_limit = \"{LIMIT_MIB}MiB\"\n{config}");
        machine.write_config(&config);
        for (date, uuid) in [("2024-01-01", b'a'), ("2024-01-07", b'b')] {
            let run = machine.run_with(&format!("decide {date}"), &stream(date, uuid));
            assert_eq!(run.code, Some(0), "{}", run.stderr);
        }
        let first = fs::read(machine.path("store/home/ledger/00000001.entry")).unwrap();
        let entry = decode_body(split(&first).unwrap().0).unwrap();
        Self {
            machine,
            ledger: entry.head.ledger.to_string(),
        }
    }

    fn entry(&self, seq: u64) -> PathBuf {
        self.machine
            .path(&format!("store/home/ledger/{seq:08}.entry"))
    }

    /// Runs a command, and says how it ended and how many MiB it took at most.
    fn peak(&self, words: &str, stdin: &[u8]) -> (Option<i32>, u64, String) {
        let mut command = self.machine.command(words);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let status = PathBuf::from(format!("/proc/{}/status", child.id()));
        let watch = thread::spawn(move || {
            let mut peak = 0;
            while let Ok(status) = fs::read_to_string(&status) {
                let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
                let Some(line) = line else { break };
                let kib = line.trim().trim_end_matches(" kB").parse::<u64>().unwrap();
                peak = peak.max(kib / 1024);
                thread::sleep(Duration::from_millis(1));
            }
            peak
        });
        // One that stops before it has read all of it has ended for another reason, which it says.
        let _ = std::io::Write::write_all(&mut child.stdin.take().unwrap(), stdin);
        let output = child.wait_with_output().unwrap();
        let told = [output.stdout, output.stderr].concat();
        let told = String::from_utf8_lossy(&told).into_owned();
        (output.status.code(), watch.join().unwrap(), told)
    }

    /// What each command comes to, none of which takes more memory than it may.
    fn hold(&self, what: &str, ends: &[(&str, i32)]) {
        for (words, code) in ends {
            for directory in ["new", "stream"] {
                let path = self.machine.path(directory);
                let _ = fs::remove_dir_all(&path);
                let _ = fs::remove_file(&path);
            }
            let stdin = stream("2024-01-14", b'c');
            let (ended, peak, told) = self.peak(words, &stdin);
            assert_eq!(ended, Some(*code), "{what}: {words}: {told}");
            assert!(!told.contains("panicked"), "{what}: {words}: {told}");
            assert!(
                peak <= LIMIT_MIB + BESIDE_MIB,
                "{what}: {words} took {peak} MiB"
            );
        }
    }
}

fn stream(date: &str, uuid: u8) -> Vec<u8> {
    let stream = StreamBuilder::header(1);
    let stream = if date == "2024-01-01" {
        stream.subvol(date.as_bytes(), [uuid; 16], 10)
    } else {
        stream.snapshot(date.as_bytes(), [uuid; 16], 10, [uuid - 1; 16], 10)
    };
    stream.mkfile(date.as_bytes()).finish()
}

const REBUILD: &str =
    "catalog rebuild --store file://$T/store --identity $T/kit --state-dir $T/new";
const RESTORE: &str = "restore home --date 2024-01-07 --stream $T/stream --identity $T/kit --yes";

#[test]
fn an_object_that_nobody_has_signed_is_not_parsed() {
    let victim = Victim::new();
    let id = &victim.ledger;
    // Each is a body line that takes dozens of times its size as a value.
    let list = |item: &str| {
        let items = vec![item; 16 * 1024 * 1024 / (item.len() + 1)].join(",");
        format!("{{\"a\":[{items}],\"ledger\":\"{id}\"}}\nno signature\n")
    };
    let deep = format!("{}\n{id}\n", "[".repeat(16 << 20));
    for (what, object) in [
        ("numbers", list("0")),
        ("lists", list("[]")),
        ("objects", list("{\"\":0}")),
        ("depth", deep),
    ] {
        fs::write(victim.entry(4), object).unwrap();
        victim.hold(what, &[("decide 2024-01-14", 6), (REBUILD, 6)]);
        if what == "numbers" {
            victim.hold(
                what,
                &[
                    ("plan 2024-01-14", 0),
                    ("list", 0),
                    ("prune", 6),
                    ("verify", 6),
                    ("catalog check", 6),
                    ("key rotate --kit $T/kit --new-signing-key", 6),
                    (RESTORE, 0),
                ],
            );
        }
    }
}

#[test]
fn long_objects_are_held_one_at_a_time() {
    let victim = Victim::new();
    // Just as long as an entry may be, and longer.
    for (what, bytes) in [("longest", 64 * MIB), ("longer", 300 * MIB)] {
        for seq in 4..11 {
            File::create(victim.entry(seq))
                .unwrap()
                .set_len(bytes)
                .unwrap();
        }
        victim.hold(
            what,
            &[
                ("decide 2024-01-14", 6),
                ("prune", 6),
                ("verify", 6),
                ("catalog check", 6),
                (REBUILD, 6),
                (RESTORE, 0),
            ],
        );
    }
}

#[test]
fn the_first_entry_of_a_foreign_directory_is_read_no_further_than_one_goes() {
    let victim = Victim::new();
    for directory in 0..40 {
        let ledger = victim
            .machine
            .path(&format!("store/other-{directory}/ledger"));
        fs::create_dir_all(&ledger).unwrap();
        let first = ledger.join("00000001.entry");
        if directory % 2 == 0 {
            File::create(first).unwrap().set_len(64 * MIB).unwrap();
        } else {
            // It says that it is an open entry, and names no end of keys.
            let key = "{\"key\":\"RW\",\"roles\":[\"root\"]}";
            let keys = vec![key; 30_000].join(",");
            fs::write(first, format!("{{\"open\":{{\"keys\":[{keys}]}}}}\n")).unwrap();
        }
    }
    // The kit does not name them: they are left out, and the rest is read.
    victim.hold(
        "foreign",
        &[(REBUILD, 0), ("verify", 0), ("decide 2024-01-14", 0)],
    );
}

#[test]
fn what_a_key_has_signed_is_parsed_within_limits() {
    let victim = Victim::new();
    let key = fs::read_to_string(victim.machine.state().join("signing.key")).unwrap();
    let key = SigningKey::from_file_text(&key).unwrap();
    let third = fs::read(victim.entry(3)).unwrap();
    let body = split(&third).unwrap().0;
    let mut next: Value = serde_json::from_slice(body).unwrap();
    next["seq"] = json!(4);
    next["prev"] = json!(coldchain::model::Sha256::of(body).to_string());
    // What a reader ignores may be as long as an entry may be.
    next["unknown"] = Value::from("x".repeat(40 << 20));
    next["archive"]["id"] = json!("2024-01-09-full-0000000000000001");
    next["archive"]["date"] = json!("2024-01-09");
    next["archive"]["slot"] = json!("2024-01-09");
    next["archive"]["kind"] = json!("full");
    next["archive"]["chain"] = next["archive"]["id"].clone();
    next["archive"]["send_parent"] = Value::Null;
    next["archive"]["send_parent_uuid"] = Value::Null;
    next["archive"]["stream_uuid"] = json!("63636363-6363-6363-6363-636363636363");
    let mut line = coldchain::ledger::to_canonical(&next).unwrap();
    line.push(b'\n');
    fs::write(
        victim.entry(4),
        coldchain::ledger::sign(&line, &key).unwrap(),
    )
    .unwrap();
    victim.hold(
        "signed",
        &[
            (REBUILD, 6),
            ("verify", 6),
            ("plan 2024-01-14", 0),
            (RESTORE, 0),
        ],
    );
}
