//! `coldchain verify`: each level says what it checked and what not, damage is found and named, and
//! the store is left as it was.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use coldchain::engine::{AtOnce, OpenSource, StateDir, SystemClock, Verifying, verify};
use coldchain::interrupt::Interrupt;
use coldchain::model::VerifyLevel;
use coldchain::plan::Sample;
use coldchain::progress::Quiet;
use coldchain::store::{Operation, RecordingStore, Store};
use serde_json::{Value, json};

use crate::common::faults::Faults;
use crate::common::is_segment;
use crate::common::lab::{Lab, SOURCE};
use crate::common::machine::{Machine, Run, fed_config};
use crate::common::s3_server::{ACCESS_KEY, BUCKET, S3Server, SECRET_KEY};
use crate::common::stream_builder::StreamBuilder;
use crate::common::whole::first_and_seventh;

/// The full has two segments, the incremental one.
fn archived() -> (Machine, [Vec<u8>; 2]) {
    let machine = Machine::fed(None);
    let streams = streams();
    decide(&machine, "2024-01-01", "c\n", &streams[0]);
    decide(&machine, "2024-01-07", "i 2024-01-01\n", &streams[1]);
    (machine, streams)
}

fn streams() -> [Vec<u8>; 2] {
    let [full, _] = first_and_seventh(17 << 10);
    let [_, incremental] = first_and_seventh(100);
    [full, incremental]
}

fn decide(machine: &Machine, date: &str, answer: &str, stream: &[u8]) {
    let run = machine.run_with(&format!("decide {date}"), stream);
    assert_eq!(
        (run.code, run.stdout.as_str()),
        (Some(0), answer),
        "{}",
        run.stderr
    );
}

fn json_of(run: &Run) -> Value {
    serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run:?}"))
}

/// The report on the only source.
fn report_of(run: &Run) -> Value {
    json_of(run)["sources"][0].take()
}

/// The second segment of the full.
fn second_segment(machine: &Machine) -> PathBuf {
    machine
        .objects(".zst.age")
        .into_iter()
        .find(|path| path.to_string_lossy().contains("/000001-"))
        .unwrap()
}

/// A key as it is told here: without the digits that differ from run to run.
fn blanked(key: &str) -> String {
    let (place, name) = key.rsplit_once('/').unwrap();
    let (archive, _) = place.rsplit_once('-').unwrap();
    let (index, _) = name.split_once('-').unwrap();
    format!("{archive}-$HEX16/{index}-$HEX16.zst.age")
}

fn flip(path: &PathBuf) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}

const LEDGER: &str = "home: ledger     3 entries checked: signatures, numbers, chain of hashes; and compared with the 3 that the catalog has\n";
const LISTING: &str = "home: listing    7 objects of 2 archives looked for by name and size\n";
const SOUND: &str =
    "home: drill      not tried: --drill restores the newest chain onto a temporary filesystem
home: result     nothing that was checked is missing or damaged\n";

#[test]
fn a_sound_store_is_found_sound_and_what_was_not_checked_is_said() {
    let (machine, _) = archived();
    let before = machine.standing();
    let run = machine.run("verify");
    let sealed = machine
        .objects(".zst.age")
        .iter()
        .map(|path| path.metadata().unwrap().len())
        .sum();
    run.is(
        0,
        &format!(
            "{LEDGER}{LISTING}\
             home: checksums  not checked: --checksums asks the store for the SHA-256 of 7 objects, one request each\n\
             home: deep       not read: --deep fetches 3 segments, {}\n{SOUND}",
            coldchain::model::size::Bytes(sealed)
        ),
        "",
    );
    machine.run("verify --quiet").is(0, "", "");
    let run = machine.run("verify home --checksums");
    assert!(
        run.stdout.contains(
            "home: checksums  0 objects compared with the SHA-256 that the store keeps; \
             7 not checked: the store keeps no SHA-256 of it\n"
        ),
        "{run:?}"
    );
    machine.run("verify --deep").is(
        0,
        &format!(
            "{LEDGER}{LISTING}\
             home: deep       7 objects fetched and hashed; 5 not opened: no --identity was given\n{SOUND}"
        ),
        "",
    );
    machine.run("verify --deep --identity $T/kit").is(
        0,
        &format!(
            "{LEDGER}{LISTING}\
             home: deep       7 objects fetched and hashed, decrypted, decompressed and read\n{SOUND}"
        ),
        "",
    );
    assert_eq!(machine.standing(), before, "nothing was written");
    let listed = machine.run("list");
    assert!(
        listed.stdout.contains(", verified today (deep today)\n"),
        "{listed:?}"
    );
    let show = machine.run("show 2024-01-07 --json");
    let checks = &json_of(&show)["checks"];
    let kept: BTreeSet<_> = checks
        .as_array()
        .unwrap()
        .iter()
        .map(|check| [&check["level"], &check["outcome"]].map(|word| word.as_str().unwrap()))
        .collect();
    assert_eq!(
        kept,
        BTreeSet::from([
            ["listing", "sound"],
            ["checksums", "sound"],
            ["deep", "sound"]
        ])
    );
}

#[test]
fn a_missing_segment_is_named_and_the_next_archive_is_a_full() {
    let (machine, [full, _]) = archived();
    let segment = second_segment(&machine);
    let bytes = fs::read(&segment).unwrap();
    fs::remove_file(&segment).unwrap();
    let run = machine.run("verify --json");
    assert_eq!(run.code, Some(6));
    let store = machine.path("store");
    let key = segment.strip_prefix(&store).unwrap().to_str().unwrap();
    let key = blanked(key);
    let archive = key.split('/').nth(2).unwrap();
    let report = report_of(&run);
    assert_eq!(
        (&report["source"], &report["level"], &report["checked"]),
        (&json!("home"), &json!("listing"), &json!(7))
    );
    assert_eq!(report["unchecked"], 0);
    assert_eq!(
        report["damaged"],
        json!([{"archive": archive, "segment": 1, "key": key, "what": "it is missing"}])
    );
    let error: Value = serde_json::from_str(&run.stderr).unwrap();
    assert_eq!(error["error"]["code"], 6);
    let listed = machine.listed();
    assert_eq!(listed["sources"][0]["chains"][0]["state"], "damaged");
    let run = machine.run("plan 2024-01-14");
    assert!(run.stdout.contains("  full  "), "{run:?}");

    // A deep check tells no more of it, and no less.
    let run = machine.run("verify --deep");
    assert_eq!(run.code, Some(6));
    assert!(
        run.stdout
            .contains("; 1 not checked: found damaged before\n")
            && run
                .stdout
                .contains(&format!("home: DAMAGED    {key}: it is missing\n")),
        "{run:?}"
    );

    // Put back, the same check takes it back.
    fs::write(&segment, bytes).unwrap();
    assert_eq!(machine.run("verify").code, Some(0));
    let run = machine.run("plan 2024-01-14");
    assert!(run.stdout.contains("  incremental  "), "{run:?}");

    fs::remove_file(&segment).unwrap();
    assert_eq!(machine.run("verify").code, Some(6));
    let other = StreamBuilder::header(1)
        .subvol(b"2024-01-14", [14; 16], 10)
        .finish();
    assert_ne!(other, full);
    decide(&machine, "2024-01-14", "c\n", &other);
}

#[test]
fn a_byte_that_has_changed_is_found_by_reading_alone_and_taken_back_by_reading_alone() {
    let (machine, _) = archived();
    let segment = second_segment(&machine);
    flip(&segment);
    assert_eq!(
        machine.run("verify").code,
        Some(0),
        "sizes are as they were"
    );
    let run = machine.run("verify --deep --identity $T/kit");
    assert_eq!(run.code, Some(6));
    assert!(
        run.stdout
            .contains("its SHA-256 is not the one in the ledger"),
        "{run:?}"
    );
    let is_damaged =
        |machine: &Machine| machine.listed()["sources"][0]["chains"][0]["state"] == "damaged";
    assert!(is_damaged(&machine));
    flip(&segment);
    assert_eq!(machine.run("verify").code, Some(0));
    assert!(is_damaged(&machine), "a listing sees no bytes");
    let run = machine.run("verify --deep --identity $T/kit");
    assert_eq!(run.code, Some(0));
    assert!(!is_damaged(&machine));
}

#[test]
fn ledger_entries_that_are_not_those_that_were_committed_are_named() {
    let (machine, _) = archived();
    let entries = machine.objects(".entry");
    let [first, second, third] = entries.as_slice() else {
        panic!("{entries:?}");
    };
    let bytes = fs::read(second).unwrap();
    flip(second);
    let run = machine.run("verify");
    assert_eq!(run.code, Some(6));
    assert!(
        run.stdout.contains(
            "home: DAMAGED    home/ledger/00000002.entry: it is not the one that was committed: "
        ),
        "{run:?}"
    );
    fs::write(second, bytes).unwrap();

    let last = fs::read(third).unwrap();
    fs::remove_file(third).unwrap();
    let run = machine.run("verify");
    assert_eq!(run.code, Some(6));
    assert!(
        run.stdout.contains(
            "home: DAMAGED    home/ledger/00000003.entry: it is missing, and was committed\n"
        ),
        "{run:?}"
    );
    fs::write(third, last).unwrap();

    // Bytes of somebody else under the next number.
    fs::copy(first, first.with_file_name("00000004.entry")).unwrap();
    let run = machine.run("verify");
    assert_eq!(run.code, Some(6));
    assert!(
        run.stdout
            .contains("home: DAMAGED    home/ledger/00000004.entry: it says that it is entry 1\n"),
        "{run:?}"
    );
}

#[test]
fn a_wrong_identity_and_a_store_that_is_not_there_are_errors_and_no_damage() {
    let (machine, _) = archived();
    let (identity, _) = coldchain::seal::generate_identity();
    fs::write(machine.path("other"), identity).unwrap();
    let run = machine.run("verify --deep --identity $T/other");
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(
        run.stderr.starts_with("error: could not unlock "),
        "{run:?}"
    );
    fs::rename(machine.path("store"), machine.path("away")).unwrap();
    let run = machine.run("verify");
    assert_eq!(run.code, Some(1), "{run:?}");
    fs::rename(machine.path("away"), machine.path("store")).unwrap();
    let listed = machine.listed();
    assert_eq!(listed["sources"][0]["chains"][0]["state"], "complete");
    assert_eq!(machine.run("verify nothing").code, Some(2));
}

#[test]
fn a_machine_that_has_only_the_kit_verifies_what_it_has_rebuilt() {
    let (machine, _) = archived();
    for (state, trust, warned) in [
        ("with", "--identity $T/kit", false),
        ("without", "--unauthenticated", true),
    ] {
        let run = |words: &str| {
            let words = format!("{words} --state-dir $T/{state}");
            let mut command = machine.command(&words);
            machine.run_command(command.env("COLDCHAIN_CONFIG", machine.path("no-config")))
        };
        let rebuilt = run(&format!("catalog rebuild --store file://$T/store {trust}"));
        assert_eq!(rebuilt.code, Some(0), "{rebuilt:?}");
        let verified = run("verify --deep --identity $T/kit");
        assert_eq!(verified.code, Some(0), "{verified:?}");
        assert!(
            verified
                .stdout
                .contains("7 objects fetched and hashed, decrypted"),
            "{verified:?}"
        );
        let noted = verified.stdout.contains("no root key is trusted here");
        assert_eq!(noted, warned, "{verified:?}");
    }
}

#[test]
fn what_lies_beside_the_segments_of_an_archive_is_told_and_is_no_damage() {
    let (machine, _) = archived();
    let segment = second_segment(&machine);
    fs::copy(
        &segment,
        segment.with_file_name("000002-0000000000000000.zst.age"),
    )
    .unwrap();
    let run = machine.run("verify");
    assert_eq!(run.code, Some(0));
    assert!(
        run.stdout
            .contains("/000002-$HEX16.zst.age: no ledger entry names it\n"),
        "{run:?}"
    );
}

#[test]
fn cold_segments_are_left_alone_unless_they_are_thawed() {
    let machine = Machine::fed(None);
    machine.write_config(&fed_config().replace(
        "path = \"$T/store\"",
        "path = \"$T/store\"\ncold = \"GLACIER\"\ncold_delay = \"0s\"",
    ));
    let [full, incremental] = streams();
    decide(&machine, "2024-01-01", "c\n", &full);
    decide(&machine, "2024-01-07", "i 2024-01-01\n", &incremental);
    let before = machine.standing();
    let run = machine.run("verify --deep --identity $T/kit");
    assert_eq!(run.code, Some(0));
    assert!(
        run.stdout
            .contains("4 objects fetched and hashed, decrypted, decompressed and read; 3 not checked: cold, not thawed\n"),
        "{run:?}"
    );
    assert_eq!(machine.standing(), before, "nothing was thawed");
    // Nothing was read of it, so nothing is claimed.
    assert!(machine.run("list").stdout.contains("(never deep)"));
    assert_eq!(
        machine.run("thaw home --date 2024-01-01 --yes").code,
        Some(5)
    );
    let run = machine.run("verify --deep --identity $T/kit --json");
    let report = report_of(&run);
    assert_eq!((run.code, &report["checked"]), (Some(0), &json!(6)));
    assert_eq!(
        report["levels"][1]["why_unchecked"],
        json!([{"objects": 1, "why": "cold, not thawed"}])
    );
}

#[test]
fn a_sample_can_be_taken_again() {
    let (machine, _) = archived();
    let run = machine.run("verify --deep --sample 34 --json");
    let first = report_of(&run);
    assert_eq!(
        (&first["checked"], &first["unchecked"]),
        (&json!(6), &json!(1))
    );
    let seed = first["sample"]["seed"].as_u64().unwrap();
    let again = machine.run(&format!("verify --deep --sample 34 --seed {seed} --json"));
    assert_eq!(report_of(&again), first);
    assert_eq!(machine.run("verify --sample 5").code, Some(2));
    assert_eq!(machine.run("verify --deep --sample 0").code, Some(2));
}

#[test]
fn s3_is_asked_for_the_checksums_that_it_keeps_and_they_are_held_against_the_signed_ones() {
    let server = S3Server::new();
    let machine = Machine::fed(None);
    let config = fed_config().replace(
        "type = \"dir\"\npath = \"$T/store\"",
        &format!(
            "type = \"s3\"\nbucket = \"{BUCKET}\"\nregion = \"us-east-1\"\nendpoint = \"{}\"\n\
             storage_class = \"DEEP_ARCHIVE\"\ngive_up_after = \"4s\"",
            server.endpoint()
        ),
    );
    machine.write_config(&config);
    let run = |words: &str, stdin: &[u8]| {
        let mut command = machine.command(words);
        command
            .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
            .env("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .stdin(std::process::Stdio::piped());
        let mut talk = machine.start_command(&mut command);
        let mut pipe = talk.take_stdin();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let _ = std::io::Write::write_all(&mut pipe, stdin);
            });
            talk.end()
        })
    };
    let [full, _] = streams();
    let decided = run("decide 2024-01-01", &full);
    assert_eq!(decided.code, Some(0), "{decided:?}");
    server.forget_requests();
    let report = run("verify --checksums --json", b"");
    assert_eq!(report.code, Some(0), "{report:?}");
    let report = report_of(&report);
    assert_eq!(
        (&report["level"], &report["checked"], &report["unchecked"]),
        (&json!("checksums"), &json!(4), &json!(0))
    );
    for request in server.requests() {
        let reads = ["GET", "HEAD"].contains(&request.method.as_str());
        assert!(reads, "nothing is written, deleted or thawed: {request:?}");
    }
    let key = server
        .objects(BUCKET)
        .into_keys()
        .find(|key| key.contains("/000001-"))
        .unwrap();
    server.lose(BUCKET, &key);
    let found = run("verify --json", b"");
    assert_eq!(found.code, Some(6), "{found:?}");
    assert_eq!(report_of(&found)["damaged"][0]["key"], blanked(&key));
}

#[test]
fn nothing_that_verifies_writes_to_the_store_thaws_or_deletes() {
    let lab = Lab::new();
    let [full, incremental] = streams();
    for (date, stream) in [("2024-01-01", &full), ("2024-01-07", &incremental)] {
        lab.decide(date, stream, &Faults::none()).unwrap();
    }
    let record = |damage: bool| {
        let recording = RecordingStore::new(std::sync::Arc::clone(&lab.store));
        let mut catalog = lab.catalog();
        let row = catalog.source(&SOURCE.parse().unwrap()).unwrap().unwrap();
        let source = OpenSource {
            config: &lab.config.sources[0],
            row,
            store: Box::new(&recording as &dyn Store),
        };
        let identities = lab.identities();
        let root = StateDir::new(&lab.config.state_dir).root_key().unwrap();
        let levels = BTreeSet::from([
            VerifyLevel::Listing,
            VerifyLevel::Checksums,
            VerifyLevel::Deep,
        ]);
        let verifying = Verifying {
            source: &source,
            root: &root,
            levels: &levels,
            sample: Some(Sample {
                percent: 100,
                seed: 1,
            }),
            identities: Some((&identities, "the identity")),
            drill: None,
            at_once: AtOnce {
                asked_for: 2,
                memory_limit: 512 << 20,
            },
            clock: &SystemClock,
            kit: &[],
            observer: &Quiet,
            interrupt: Interrupt::of_this_process(),
        };
        let report = verify(&verifying, &mut catalog).unwrap().whole().unwrap();
        assert_eq!(report.damaged().is_empty(), !damage);
        assert_eq!(recording.writes(), []);
        for call in recording.calls() {
            assert!(
                matches!(
                    call.operation,
                    Operation::Get | Operation::List | Operation::Stat
                ),
                "{call:?}"
            );
        }
    };
    record(false);
    let segment = lab
        .objects()
        .into_keys()
        .find(|key| is_segment(key))
        .unwrap();
    lab.store.delete(&lab.store.locate(&segment)).unwrap();
    record(true);
}
