//! What is counted is what lies in the store.

use std::fs;
use std::path::Path;

use coldchain::catalog::{Effect, NewAttempt};
use coldchain::model::{ArchiveId, Blake3, LedgerId, SegmentRecord, Sha256, StorageClass};
use serde_json::{Value, json};

use super::ledger::{CostMachine, MadeUp};
use crate::common::machine::Machine;
use crate::common::rng::Rng;
use crate::common::stream_builder::StreamBuilder;

const GIB: u64 = 1 << 30;

/// How many files below a directory have names like that, and their bytes.
fn files(directory: &Path, is_wanted: &dyn Fn(&str) -> bool) -> (u64, u64) {
    let (mut count, mut bytes) = (0, 0);
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            let (count_below, bytes_below) = files(&entry.path(), is_wanted);
            count += count_below;
            bytes += bytes_below;
        } else if is_wanted(entry.file_name().to_str().unwrap()) {
            count += 1;
            bytes += entry.metadata().unwrap().len();
        }
    }
    (count, bytes)
}

/// The objects of that part in a place.
fn part<'a>(place: &'a Value, part: &str) -> &'a Value {
    let mut objects = place["objects"].as_array().unwrap().iter();
    objects
        .find(|it| it["part"] == part)
        .unwrap_or(&Value::Null)
}

#[test]
fn each_object_of_a_store_is_counted_in_its_part() {
    let machine = Machine::fed(None);
    let mut rng = Rng::new(1);
    for (at, date) in ["2026-11-01", "2026-11-07", "2026-11-14"]
        .into_iter()
        .enumerate()
    {
        let uuid = |at: usize| [u8::try_from(at).unwrap() + 1; 16];
        let stream = StreamBuilder::header(1);
        let stream = match at {
            0 => stream.subvol(b"home", uuid(0), 10).mkfile(b"file"),
            _ => stream.snapshot(b"home", uuid(at), 10, uuid(at - 1), 10),
        };
        // More than a segment.
        let pieces = 640 - 32 * u64::try_from(at).unwrap();
        let stream = (0..pieces).fold(stream, |stream, piece| {
            stream.write(b"file", piece << 15, &rng.bytes(1 << 15))
        });
        let run = machine.run_with(&format!("decide {date}"), &stream.finish());
        assert_eq!(run.code, Some(0), "{run:?}");
    }
    let run = machine.run("cost --json");
    let document: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("{run:?}"));
    let place = &document["sources"][0]["places"][0];
    let store = machine.path("store");
    let is_contents = |name: &str| name.starts_with("contents-");
    for (name, is_its) in [
        (
            "segments",
            &(|name: &str| name.ends_with(".zst.age") && !is_contents(name))
                as &dyn Fn(&str) -> bool,
        ),
        ("contents", &is_contents),
        ("ledger", &|name: &str| {
            name.rsplit('.').next() == Some("entry") || name == "README-RESTORE.txt"
        }),
    ] {
        let (count, bytes) = files(&store, is_its);
        let told = part(place, name);
        assert_eq!(
            (&told["objects"], &told["bytes"]),
            (&json!(count), &json!(bytes)),
            "{name}"
        );
        assert!(count > 0, "{name}");
    }
    let keys = files(&store, &|name| name == "key.age");
    let told = part(place, "keys");
    assert_eq!(
        (&told["objects"], &told["bytes"]),
        (&json!(keys.0), &json!(keys.0 * 1024))
    );
    // A key is counted as more than it has.
    assert!(keys.1 < keys.0 * 1024, "{keys:?}");
    assert_eq!(
        files(&store, &|_| true).0,
        3 + 3 + 3 + 4 + 1 + 3,
        "{document:#}"
    );
}

const BUCKET: &str = "s3://archives?region=us-east-1";

fn config(rest: &str) -> String {
    format!(
        "[[source]]\nname = \"home\"\nstore = \"deep\"\n{rest}\n[store.deep]\ntype = \"s3\"\nbucket = \"archives\"\n\
         region = \"us-east-1\"\nstorage_class = \"GLACIER_IR\"\n"
    )
}

fn archives() -> Vec<MadeUp> {
    ["2026-08-01 full", "2026-11-01 full", "2026-11-07"]
        .map(|date| MadeUp::new(date, 3 * GIB, 128 << 20))
        .to_vec()
}

#[test]
fn retired_archives_count_until_they_are_deleted_and_attempts_apart() {
    let mut machine = CostMachine::new(&config(""));
    let archives = archives();
    let ledger = machine.source("home", BUCKET, &archives);
    let segments = |machine: &CostMachine| {
        let document = machine
            .cost("--json --months 1 --from 2026-11-10")
            .ok()
            .json();
        let source = document["sources"][0].clone();
        let place = source["places"][0].clone();
        (
            part(&place, "segments")["objects"].clone(),
            part(&place, "unfinished")["objects"].clone(),
            source["forecast"]["months"][0]["places"][0]["bytes"]
                .as_u64()
                .unwrap()
                / GIB,
        )
    };
    // Two thirds of 3 GiB each; the first chain is retired tonight, and deleted a week later.
    assert_eq!(segments(&machine), (json!(72), Value::Null, 8));
    retire(&mut machine, &ledger, archives[0].id());
    assert_eq!(segments(&machine), (json!(72), Value::Null, 8));
    attempt(&mut machine, ledger);
    assert_eq!(segments(&machine), (json!(72), json!(2), 8));
    let catalog = machine.catalog();
    catalog.abandon(&ATTEMPT.parse().unwrap()).unwrap();
    assert_eq!(segments(&machine), (json!(72), Value::Null, 8));
}

const ATTEMPT: &str = "2026-11-10-incr-5f0c9a12d4e6b801";

fn retire(machine: &mut CostMachine, ledger: &LedgerId, id: ArchiveId) {
    let entry = coldchain::catalog::NewEntry {
        seq: 4,
        kind: "retire",
        hash: Sha256([4; 32]),
        object: b"x",
    };
    let at = "2026-11-09T03:00:00Z".parse().unwrap();
    let catalog = machine.catalog();
    catalog
        .absorb(ledger, &entry, at, Effect::Retire(&[id]))
        .unwrap();
}

fn attempt(machine: &mut CostMachine, ledger: LedgerId) {
    let id: ArchiveId = ATTEMPT.parse().unwrap();
    let chain = "2026-11-01-full-5f0c9a12d4e6b801".parse().unwrap();
    let catalog = machine.catalog();
    catalog
        .begin_attempt(&NewAttempt {
            id,
            ledger,
            slot: id.date,
            chain,
            send_parent: Some("2026-11-07-incr-5f0c9a12d4e6b801".parse().unwrap()),
            segment_size: 128 << 20,
            frame_size: 4 << 20,
            recipients: Sha256([1; 32]),
            archive_key: "AGE-SECRET-KEY-1TEST",
            sealed_key: b"the bytes of key.age",
            snapshot: None,
            protocol: None,
            begun_at: "2026-11-10T03:00:00Z".parse().unwrap(),
            storage_class: Some(StorageClass::GlacierIr),
            retain_until: None,
        })
        .unwrap();
    let record = SegmentRecord {
        raw_bytes: 128 << 20,
        sealed_bytes: 90 << 20,
        sha256: Sha256([2; 32]),
    };
    for index in 0..3 {
        let sealed = (&Blake3([5; 32]), b"layout".as_slice());
        catalog
            .segment_sealed(&id, index, &record, sealed, "x")
            .unwrap();
    }
    // The third is not stored yet.
    for index in 0..2 {
        catalog.segment_stored(&id, index, "x").unwrap();
    }
}

#[test]
fn a_copy_that_was_never_made_gets_everything_in_the_first_night() {
    let rest = "copies = [\"far\"]\n[store.far]\ntype = \"s3\"\nbucket = \"far\"\nregion = \"us-east-1\"\nstorage_class = \"DEEP_ARCHIVE\"\n";
    let mut machine = CostMachine::new(&config(rest));
    machine.source("home", BUCKET, &archives());
    let document = machine
        .cost("--json --months 1 --from 2026-10-31")
        .ok()
        .json();
    let source = &document["sources"][0];
    assert_eq!(source["places"].as_array().unwrap().len(), 1);
    let far = &source["forecast"]["months"][0]["places"][1];
    assert_eq!(far["place"], "far");
    // 72 segments into DEEP_ARCHIVE: 72 × 0.05 / 1000, and 9 other objects
    assert_eq!(far["usd_requests"], 0.01);
    assert_eq!(far["bytes"].as_u64().unwrap() / GIB, 6);
    // At home each is read: 6 GB × 0.03, and 72 × 0.01 / 1000
    assert_eq!(
        source["forecast"]["months"][0]["places"][0]["usd_copying"],
        0.19
    );
}
