//! Entries that somebody with a leaked signing key has put into a ledger, and bytes that anybody has put
//! beside it: what is sound stays restorable, and the root key gets the writers going again.

use std::fs;
use std::path::PathBuf;

use crate::common::machine::{Machine, Run, fed_config};
use crate::common::stream_builder::StreamBuilder;
use coldchain::ledger::{
    SigningKey, decode_body, encode_body, parse_canonical, sign, split, to_canonical,
};
use coldchain::model::Sha256;
use coldchain::model::entry::{ArchiveEntry, Entry, EntryKind};
use serde_json::{Value, json};

const DATE: &str = "2024-01-01";

/// A machine with two sources in one store, and an archive of each.
fn archived() -> Machine {
    let machine = Machine::new();
    machine.write_config(&(fed_config() + "\n[[source]]\nname = \"docs\"\nstore = \"disk\"\n"));
    assert_eq!(machine.run("init --kit $T/kit").code, Some(0));
    for (source, uuid) in [("home", b'a'), ("docs", b'b')] {
        let run = feed(&machine, source, DATE, uuid);
        assert_eq!(run.code, Some(0), "{}", run.stderr);
    }
    machine
}

/// Feeds a source what is asked for: a full, or after it an incremental on it.
fn feed(machine: &Machine, source: &str, date: &str, uuid: u8) -> Run {
    let stream = StreamBuilder::header(1);
    let stream = if date == DATE {
        stream.subvol(date.as_bytes(), [uuid; 16], 10)
    } else {
        let parent = if source == "home" { b'a' } else { b'b' };
        stream.snapshot(date.as_bytes(), [uuid; 16], 10, [parent; 16], 10)
    };
    let stream = stream.mkfile(date.as_bytes()).finish();
    machine.run_with(&format!("decide {date} --source {source}"), &stream)
}

fn entry_path(machine: &Machine, source: &str, seq: usize) -> PathBuf {
    machine.path(&format!("store/{source}/ledger/{seq:08}.entry"))
}

fn entry(machine: &Machine, source: &str, seq: usize) -> Entry {
    let object = fs::read(entry_path(machine, source, seq)).unwrap();
    decode_body(split(&object).unwrap().0).unwrap()
}

fn archive(machine: &Machine, source: &str) -> ArchiveEntry {
    match entry(machine, source, 2).kind {
        EntryKind::Archive(archive) => *archive,
        other => panic!("no archive: {other:?}"),
    }
}

/// Puts an entry after the newest of a source's ledger, signed with a key that has leaked.
fn forge(machine: &Machine, source: &str, kind: EntryKind, change: &Value, key: &SigningKey) {
    let mut last = 1;
    while entry_path(machine, source, last + 1).exists() {
        last += 1;
    }
    let before = fs::read(entry_path(machine, source, last)).unwrap();
    let mut head = entry(machine, source, last).head;
    head.seq = last as u64 + 1;
    head.prev = Some(Sha256::of(split(&before).unwrap().0));
    head.skips.clear();
    let body = encode_body(&Entry { head, kind }).unwrap();
    let mut value = parse_canonical(body.strip_suffix(b"\n").unwrap()).unwrap();
    for (name, member) in change.as_object().unwrap() {
        value[name.as_str()] = member.clone();
    }
    let mut line = to_canonical(&value).unwrap();
    line.push(b'\n');
    let object = sign(&line, key).unwrap();
    fs::write(entry_path(machine, source, last + 1), object).unwrap();
}

fn own_key(machine: &Machine) -> SigningKey {
    let text = fs::read_to_string(machine.state().join("signing.key")).unwrap();
    SigningKey::from_file_text(&text).unwrap()
}

/// Reads the store on a machine that has nothing but the kit.
fn rebuilt(machine: &Machine) -> Value {
    let _ = fs::remove_dir_all(machine.path("new"));
    let run = machine
        .run("catalog rebuild --store file://$T/store --identity $T/kit --state-dir $T/new --json");
    let mut read: Value = serde_json::from_str(&run.stdout)
        .unwrap_or_else(|_| panic!("{}{}", run.stdout, run.stderr));
    read["code"] = json!(run.code);
    read
}

fn source_of<'v>(read: &'v Value, name: &str) -> &'v Value {
    let sources = read["sources"].as_array().unwrap();
    sources
        .iter()
        .find(|source| source["name"] == name)
        .unwrap()
}

#[test]
fn an_entry_that_names_another_sources_archive_does_not_take_it_away() {
    let machine = archived();
    let stolen = archive(&machine, "home");
    let own = archive(&machine, "docs");
    assert_eq!(own.date, stolen.date);
    let kind = EntryKind::Archive(Box::new(stolen));
    // The date must be free there.
    let retire = EntryKind::Retire(coldchain::model::entry::RetireEntry {
        archives: vec![own.id],
        reason: "a test".to_owned(),
    });
    forge(&machine, "docs", retire, &json!({}), &own_key(&machine));
    forge(&machine, "docs", kind, &json!({}), &own_key(&machine));

    let read = rebuilt(&machine);
    assert_eq!(read["code"], 6);
    assert_eq!(source_of(&read, "home")["flaws"], json!([]));
    assert_eq!(source_of(&read, "home")["archives"], 1);
    assert_eq!(source_of(&read, "docs")["archives"], 0);
    let flaw = &source_of(&read, "docs")["flaws"][0];
    assert_eq!(flaw["kind"], "foreign");
    assert_eq!(
        flaw["what"],
        "entry 4 names 2024-01-01-full-$HEX16, which belongs to another ledger: it is left out"
    );
    let mut plan = machine.command("restore home --from store --plan --state-dir $T/new");
    let plan = machine.run_command(plan.env("COLDCHAIN_CONFIG", machine.path("none")));
    assert_eq!(plan.code, Some(0), "{}", plan.stderr);

    // The machine that is at work takes nothing of it in either.
    let run = feed(&machine, "docs", "2024-01-07", b'c');
    assert_eq!(run.code, Some(6), "{}", run.stderr);
    assert!(
        run.stderr.contains("belongs to another ledger"),
        "{}",
        run.stderr
    );
    let run = feed(&machine, "home", "2024-01-07", b'd');
    assert_eq!(run.code, Some(0), "{}", run.stderr);
}

#[test]
fn what_no_catalog_could_hold_is_a_fork_of_its_source_and_of_no_other() {
    for what in ["date", "slot", "sealed"] {
        let machine = archived();
        let mut archive = archive(&machine, "home");
        archive.id.nonce ^= 1;
        archive.chain = archive.id;
        archive.stream_uuid.0[0] ^= 1;
        if what != "date" {
            archive.date = "2024-01-07".parse().unwrap();
            archive.id.date = archive.date;
            archive.chain = archive.id;
        }
        match what {
            "slot" => archive.slot = "-0001-01-01".parse().unwrap(),
            "sealed" => {
                archive.sealed_bytes = 0;
                archive.segments[0].sealed_bytes = 0;
            }
            _ => {}
        }
        let kind = EntryKind::Archive(Box::new(archive));
        forge(&machine, "home", kind, &json!({}), &own_key(&machine));
        let read = rebuilt(&machine);
        assert_eq!(read["code"], 6, "{what}: {read}");
        assert_eq!(source_of(&read, "home")["archives"], 1, "{what}: {read}");
        assert_eq!(source_of(&read, "home")["flaws"][0]["kind"], "forked");
        assert_eq!(source_of(&read, "docs")["flaws"], json!([]));
        assert_eq!(source_of(&read, "docs")["archives"], 1);
    }
}

#[test]
fn an_entry_that_nobody_understands_is_voided_by_the_root_key_and_writers_go_on() {
    let machine = archived();
    let leaked = own_key(&machine);
    let kind = || EntryKind::Archive(Box::new(archive(&machine, "home")));
    forge(&machine, "home", kind(), &json!({"format": 3}), &leaked);
    let stopped = feed(&machine, "home", "2024-01-07", b'c');
    assert_eq!(stopped.code, Some(6), "{}", stopped.stderr);
    let public = leaked.public();
    let rotate = format!("key rotate --kit $T/kit --remove {public}");
    let refused = machine.run(&rotate);
    // Of two sources the other has what it needs.
    assert_eq!(refused.code, Some(10), "{}", refused.stderr);
    assert!(
        refused.stderr.contains("entry 3 has format 3"),
        "{}",
        refused.stderr
    );

    // Another one, in between: it was not named.
    forge(
        &machine,
        "home",
        kind(),
        &json!({"kind": "rewind"}),
        &leaked,
    );
    let voiding = format!("{rotate} --source home --void 3");
    let refused = machine.run(&voiding);
    assert_eq!(refused.code, Some(6), "{}", refused.stderr);
    let run = machine.run(&format!("{voiding} --void 4"));
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(
        run.stdout
            .starts_with("home: ledger entry 5 names the keys\n"),
        "{}",
        run.stdout
    );

    // Signed by a key that is withdrawn, one more is anybody's bytes.
    forge(&machine, "home", kind(), &json!({"format": 3}), &leaked);
    let run = machine.run("key rotate --kit $T/kit --new-signing-key");
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let run = feed(&machine, "home", "2024-01-07", b'c');
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let read = rebuilt(&machine);
    assert_eq!(read["code"], 0, "{read}");
    assert_eq!(source_of(&read, "home")["archives"], 2);
}

#[test]
fn what_lies_under_the_number_0_is_no_entry() {
    let machine = archived();
    fs::write(entry_path(&machine, "home", 0), b"junk").unwrap();
    let read = rebuilt(&machine);
    assert_eq!(read["code"], 0, "{read}");
    assert_eq!(source_of(&read, "home")["archives"], 1);
    assert_eq!(feed(&machine, "home", "2024-01-07", b'c').code, Some(0));
}
