//! A machine with all that a report can show, by a catalog that is made up: no store and no mirror is there.

use std::fs;
use std::path::Path;

use chrono::{Days, NaiveDate, Utc};
use coldchain::catalog::{MirroredRow, NewSnapshot, VerificationRow};
use coldchain::model::entry::Timestamp;
use coldchain::model::{
    LedgerId, SnapshotName, SourceName, StorageClass, SubvolumeIdentity, Uuid, VerifyLevel,
    VerifyOutcome,
};
use serde_json::{Value, json};

use crate::costs::ledger::{CostMachine, MadeUp};

/// What a page would obey if it did not escape it.
pub(crate) const HOSTILE: &str = "<script>alert('x')</script>&\"";

const OFFSITE_URL: &str = "s3://archives/laptop?region=us-east-1";

const CONFIG: &str = r#"
[[source]]
name = "home"
subvolume = "/none/home"
snapshots = "/none/snapshots"
store = "shelf"
copies = ["offsite"]

[[source]]
name = "mail"
store = "hostile"

[[source]]
name = "photos"
subvolume = "/none/photos"
snapshots = "/none/photo-snapshots"

[[source]]
name = "www"
store = "shelf"

[[mirror]]
source = "home"
to = "/none/second <img src=x onerror=alert(1)>"

[store.offsite]
type = "s3"
bucket = "archives"
prefix = "laptop"
region = "us-east-1"
storage_class = "DEEP_ARCHIVE"

[store.shelf]
type = "dir"
path = "$T/shelf"

[store.hostile]
type = "dir"
path = '''$T/<script>alert('x')</script>&"'''
"#;

/// A date so many days ago.
pub(crate) fn ago(days: u64) -> NaiveDate {
    Utc::now()
        .date_naive()
        .checked_sub_days(Days::new(days))
        .unwrap()
}

fn noon(date: NaiveDate) -> Timestamp {
    format!("{date}T12:00:00Z").parse().unwrap()
}

/// A chain that begins so many days ago, with an incremental every seven days: as many as asked for.
pub(crate) fn chain(begun: u64, incrementals: u64, raw: u64) -> Vec<MadeUp> {
    let archives = (0..=incrementals).map(|at| {
        let date = ago(begun - 7 * at);
        let (text, raw) = match at {
            0 => (format!("{date} full"), raw),
            at => (date.to_string(), raw / 20 + (at * 7919 % 13) * (raw / 400)),
        };
        // An archive of no bytes is none.
        MadeUp::new(&text, raw.max(1), 128 << 20)
    });
    archives.collect()
}

/// One source that was never archived.
pub(crate) fn empty() -> CostMachine {
    let config = "[[source]]\nname = \"www\"\nstore = \"shelf\"\n[store.shelf]\ntype = \"dir\"\npath = \"$T/shelf\"\n";
    CostMachine::new(config)
}

/// Several sources: one with a copy in S3 and a mirror, one with hostile names, one that keeps snapshots alone, one that
/// was never archived, and one that the config does not name any more.
pub(crate) fn family() -> CostMachine {
    let mut machine = CostMachine::new(CONFIG);
    let mut archives = chain(150, 8, 40 << 30);
    archives.extend(chain(80, 6, 44 << 30));
    // Some slots of the last weeks have nothing.
    archives.extend(chain(30, 2, 46 << 30));
    let home = machine.source("home", "file://$T/shelf", &archives);
    let copied = (&archives[..archives.len() - 2], 1);
    machine.copy(&home, OFFSITE_URL, StorageClass::DeepArchive, copied);
    check(&mut machine, &archives);
    snapshots(&mut machine, "home", 12);
    snapshots(&mut machine, "photos", 3);
    mirror(&mut machine, 9);

    let mail = chain(60, 3, 3 << 30);
    machine.source("mail", &format!("file://$T/{HOSTILE}"), &mail);
    let damaged = mail[2].id();
    machine
        .catalog()
        .archive_damaged(&damaged, noon(ago(3)))
        .unwrap();
    machine.source("gone", "file://$T/shelf", &chain(300, 1, 1 << 30));
    write_runs(&machine);
    machine
}

fn check(machine: &mut CostMachine, archives: &[MadeUp]) {
    let mut rows = Vec::new();
    for (at, archive) in archives.iter().enumerate() {
        let sound = |level, days| VerificationRow {
            archive: archive.id(),
            level,
            outcome: VerifyOutcome::Sound,
            at: noon(ago(days)),
        };
        if at < 12 {
            rows.push(sound(VerifyLevel::Checksums, 20));
        }
        if at < 5 {
            rows.push(sound(VerifyLevel::Deep, 100));
        }
        if at == 4 {
            rows.push(sound(VerifyLevel::Drill, 110));
        }
    }
    machine.catalog().record_verifications(&rows).unwrap();
}

fn uuid_of(source: &str, days: u64) -> Uuid {
    let mut uuid = [u8::try_from(days).unwrap(); 16];
    uuid[0] = source.as_bytes()[0];
    Uuid(uuid)
}

fn snapshots(machine: &mut CostMachine, source: &str, days: u64) {
    let name: SourceName = source.parse().unwrap();
    for days in (0..days).rev() {
        let uuid = uuid_of(source, days);
        let identity = SubvolumeIdentity {
            uuid,
            received_uuid: None,
            ctransid: 9,
            parent_uuid: Some(Uuid([1; 16])),
            read_only: true,
            subvolume_id: 256 + days,
            otransid: 8,
        };
        let snapshot = SnapshotName::of_date(ago(days));
        machine
            .catalog()
            .add_snapshot(&NewSnapshot {
                source: &name,
                name: snapshot,
                path: &Path::new("/none/snapshots").join(snapshot.to_string()),
                identity: &identity,
                taken_of: Some(Uuid([1; 16])),
                made_at: noon(ago(days)),
            })
            .unwrap();
    }
}

/// The mirror has all snapshots but those of the last two days.
fn mirror(machine: &mut CostMachine, copies: u64) {
    let name: SourceName = "home".parse().unwrap();
    let to = "/none/second <img src=x onerror=alert(1)>".parse().unwrap();
    let catalog = machine.catalog();
    let row = catalog
        .know_mirror(&name, &to, LedgerId([3; 16]), Uuid([2; 16]))
        .unwrap();
    for days in (2..2 + copies).rev() {
        let uuid = uuid_of("home", days);
        let copy = MirroredRow {
            name: SnapshotName::of_date(ago(days)),
            stream_uuid: uuid,
            here_uuid: uuid,
            here_ctransid: 9,
            there_uuid: uuid,
            there_ctransid: 9,
            built_on: None,
            mirrored_at: noon(ago(days)),
        };
        catalog.add_mirrored(row.id, &copy).unwrap();
    }
    catalog.mirror_reached(row.id, noon(ago(2))).unwrap();
}

fn write_runs(machine: &CostMachine) {
    let run = |command: &str, source: Value, code: u8, error: Value, number: u64| {
        json!({
            "command": command, "source": source, "begun_at": noon(ago(1)), "ended_at": noon(ago(1)),
            "end": {"exit_code": code, "result": if code == 0 { "archived" } else { "failed" }, "error": error, "seconds": 71},
            "succeeded_at": if code == 0 { json!(noon(ago(1))) } else { Value::Null }, "number": number,
        })
    };
    let error = format!("could not read `{HOSTILE}\u{1b}[2J\u{202e}");
    let records = json!({
        "ends": 5,
        "ended": [
            run("backup", json!("home"), 0, Value::Null, 1), run("backup", json!("mail"), 0, Value::Null, 2),
            run("backup", Value::Null, 0, Value::Null, 3), run("verify", json!("mail"), 1, json!(error), 4),
            run("verify", Value::Null, 1, json!(error), 5),
        ],
    });
    fs::write(machine.path("state/runs.json"), records.to_string()).unwrap();
}

/// The ledger of a source of so many archives until today, with so many days between two; each thirtieth is a full.
pub(crate) fn years(
    machine: &mut CostMachine,
    name: &str,
    (archives, every): (u64, u64),
) -> LedgerId {
    let archives: Vec<MadeUp> = (0..archives)
        .map(|at| {
            let date = ago((archives - 1 - at) * every);
            let text = if at % 30 == 0 {
                format!("{date} full")
            } else {
                date.to_string()
            };
            MadeUp {
                nonce: u64::from_be_bytes(*name.as_bytes().last_chunk().unwrap()),
                ..MadeUp::new(&text, (100 + at % 37) << 20, 128 << 20)
            }
        })
        .collect();
    let ledger = machine.source(name, OFFSITE_URL, &archives);
    machine.in_class(StorageClass::DeepArchive, &archives);
    ledger
}
