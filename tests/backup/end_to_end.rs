//! The real program on a real btrfs: what was archived comes back as it was.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use coldchain::model::SubvolumeIdentity;
use serde_json::{Value, json};

use crate::common::loopfs::{LoopFs, btrfs, real_btrfs_available};
use crate::common::rng::Rng;
use crate::common::sandbox::{SOURCE, Sandbox, Setup, fields, which};
use crate::common::tree::{compare_trees, make_rich_tree, mutate_tree};

/// The slots of the first three months with the default schedule, and the one that follows.
const SLOTS: [&str; 13] = [
    "2025-01-01",
    "2025-01-07",
    "2025-01-14",
    "2025-01-21",
    "2025-02-01",
    "2025-02-07",
    "2025-02-14",
    "2025-02-21",
    "2025-03-01",
    "2025-03-07",
    "2025-03-14",
    "2025-03-21",
    "2025-04-01",
];

/// A file of any length that does not compress.
fn write_noise(path: PathBuf, mib: usize, rng: &mut Rng) {
    fs::write(path, rng.bytes(mib << 20)).unwrap();
}

/// Archives a small tree on each date, with changes between.
fn archive_small_trees(sandbox: &Sandbox, dates: &[&str]) {
    let mut rng = Rng::new(7);
    make_rich_tree(&sandbox.source(), &mut rng);
    archive_changing_tree(sandbox, dates, &mut rng);
}

/// Archives a changing tree on each date and tells the lines that the program said.
fn archive_changing_tree(sandbox: &Sandbox, dates: &[&str], rng: &mut Rng) -> Vec<String> {
    let mut said = Vec::new();
    for date in dates {
        let ran = sandbox.backup(date);
        assert_eq!(ran.stderr, "", "{date}");
        said.push(ran.stdout);
        mutate_tree(&sandbox.source(), rng);
    }
    said
}

#[test]
fn a_full_its_eleven_incrementals_and_the_next_full_come_back_date_by_date() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = Sandbox::with(&Setup {
        mib: 768,
        ..Setup::default()
    });
    let mut rng = Rng::new(1);
    make_rich_tree(&sandbox.source(), &mut rng);
    // Three segments of 16 MiB and more, in a full and in an incremental.
    write_noise(sandbox.source().join("large"), 40, &mut rng);
    let mut said = archive_changing_tree(&sandbox, &SLOTS[..6], &mut rng);
    write_noise(sandbox.source().join("large later"), 20, &mut rng);
    said.extend(archive_changing_tree(&sandbox, &SLOTS[6..], &mut rng));

    for (number, line) in said.iter().enumerate() {
        let kind = match number {
            0 | 12 => "full",
            _ => "incremental",
        };
        let begins = format!("home: {}: archived, {kind}, ", SLOTS[number]);
        assert!(line.starts_with(&begins), "{line}");
    }
    assert!(
        said[12].ends_with(": the chain of 2025-01-01 has 11 incrementals\n"),
        "{}",
        said[12]
    );
    let archives = sandbox.archives("committed");
    let segments = |number: usize| archives[number]["segments"].as_u64().unwrap();
    assert!(segments(0) >= 3, "{archives:?}");
    assert!(segments(6) >= 2, "{archives:?}");
    assert_eq!(segments(1), 1, "{archives:?}");
    // One entry opens the ledger.
    assert_eq!(sandbox.ledger().len(), 14);

    let other = LoopFs::new(1024);
    sandbox.restore("2025-03-21", &other.root()).ok();
    sandbox.restore("2025-04-01", &other.root()).ok();
    let mut restored = Vec::new();
    for date in SLOTS {
        let path = other.path(SOURCE).join(date);
        compare_trees(&sandbox.snapshot(date), &path);
        let identity = which(&path);
        assert!(identity.read_only);
        assert_eq!(
            identity.received_uuid,
            Some(which(&sandbox.snapshot(date)).uuid)
        );
        // It is a snapshot of what was received, which is gone.
        assert!(identity.parent_uuid.is_some());
        restored.push(identity);
    }
    let uuids: Vec<_> = restored.iter().map(|found| Some(found.uuid)).collect();
    assert!(
        restored
            .iter()
            .all(|found| !uuids.contains(&found.parent_uuid))
    );
    assert_eq!(fs::read_dir(other.path(SOURCE)).unwrap().count(), 14);
}

#[test]
fn compressed_extents_travel_as_they_lie_on_disk_and_come_back() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = Sandbox::with(&Setup {
        mib: 512,
        mount: "compress=zstd",
        source: "keep_snapshots_days = 10000\ncompressed_data = \"inexact\"",
        ..Setup::default()
    });
    let mut rng = Rng::new(2);
    make_rich_tree(&sandbox.source(), &mut rng);
    fs::write(sandbox.source().join("text"), rng.text(48 << 20)).unwrap();
    write_noise(sandbox.source().join("noise"), 24, &mut rng);
    sandbox.backup(SLOTS[0]);
    // A hole and a new range in the midst of compressed extents.
    let text = File::options()
        .write(true)
        .open(sandbox.source().join("text"));
    text.unwrap()
        .write_all_at(&rng.text(300_000), 5_000_001)
        .unwrap();
    mutate_tree(&sandbox.source(), &mut rng);
    archive_changing_tree(&sandbox, &SLOTS[1..4], &mut rng);

    let full = sandbox.run(["show", SLOTS[0], "--json"]).ok().json();
    assert_eq!(full["protocol"], 2);
    // Plain, it would have more than both files.
    let raw_bytes = full["raw_bytes"].as_u64().unwrap();
    assert!((24 << 20..64 << 20).contains(&raw_bytes), "{raw_bytes}");
    assert!(full["segments"].as_array().unwrap().len() >= 2);
    sandbox.restores_equal(&SLOTS[..4]);

    // A filesystem that compresses as well takes the extents as they are.
    let other = LoopFs::with_options(512, "compress=zstd");
    sandbox.restore(SLOTS[3], &other.root()).ok();
    for date in &SLOTS[..4] {
        compare_trees(&sandbox.snapshot(date), &other.path(SOURCE).join(date));
    }
}

/// A chain of a full and an incremental, and a full of the next chain.
fn two_chains() -> Sandbox {
    let sandbox = Sandbox::with(&Setup {
        schedule: "max_incrementals = 1",
        ..Setup::default()
    });
    archive_small_trees(&sandbox, &SLOTS[..3]);
    sandbox
}

/// Panics unless the object has all those fields.
fn has(value: &Value, expected: &str) {
    let found = fields(value);
    for field in expected.split_whitespace() {
        assert!(found.contains(field), "{field} in {value}");
    }
}

#[test]
fn list_and_show_have_the_fields_that_other_programs_rely_on() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = two_chains();
    let list = sandbox.run(["list", "--json"]).ok().json();
    let source = &list["sources"][0];
    has(source, "name store next_slot chains");
    assert_eq!(source["name"], SOURCE);
    let url = format!("file://{}", sandbox.store().display());
    assert_eq!(source["store"], *url);
    let chains = source["chains"].as_array().unwrap();
    let expected = [
        ("2025-01-01", json!("2025-04-07")),
        ("2025-01-14", Value::Null),
    ];
    assert_eq!(chains.len(), expected.len());
    for (chain, (date, expires_on)) in chains.iter().zip(expected) {
        has(chain, "id state expires_on archives");
        assert_eq!(chain["id"], date);
        assert_eq!(chain["state"], "complete");
        assert_eq!(chain["expires_on"], expires_on);
    }
    let archives = sandbox.archives("committed");
    let expected = [
        ("2025-01-01", "full", Value::Null),
        ("2025-01-07", "incremental", json!("2025-01-01")),
        ("2025-01-14", "full", Value::Null),
    ];
    assert_eq!(archives.len(), expected.len());
    for (archive, (date, kind, send_parent)) in archives.iter().zip(expected) {
        has(
            archive,
            "id date kind send_parent state raw_bytes sealed_bytes segments",
        );
        assert_eq!(archive["date"], date);
        assert_eq!(archive["kind"], kind);
        assert_eq!(archive["send_parent"], send_parent);
        assert!(archive["raw_bytes"].is_u64() && archive["sealed_bytes"].is_u64());
        assert_eq!(archive["segments"], 1);
    }

    for named in [archives[1]["id"].as_str().unwrap(), "2025-01-07"] {
        let show = sandbox.run(["show", named, "--json"]).ok().json();
        has(
            &show,
            "source store ledger seq id date slot kind chain send_parent state stream_uuid protocol \
             kernel btrfs_progs raw_bytes sealed_bytes begun_at verified_at damaged_at segments",
        );
        for field in ["id", "raw_bytes", "sealed_bytes", "kind", "state"] {
            assert_eq!(show[field], archives[1][field], "{field}");
        }
        assert_eq!(show["chain"], archives[0]["id"]);
        assert_eq!(show["send_parent"], archives[0]["id"]);
        assert_eq!(show["protocol"], 1);
        assert!(show["verified_at"].is_string() && show["damaged_at"].is_null());
        let segment = &show["segments"][0];
        has(segment, "key raw_bytes sealed_bytes sha256");
        let object = sandbox.store().join(segment["key"].as_str().unwrap());
        assert_eq!(object.metadata().unwrap().len(), segment["sealed_bytes"]);
    }
}

#[test]
fn plan_and_restore_have_the_fields_that_other_programs_rely_on() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = two_chains();
    let plan = |args: &[&str]| {
        let words = ["plan", "--json"].into_iter().chain(args.iter().copied());
        let answer = sandbox.run(words).ok().json();
        let plans = answer["plans"].as_array().unwrap().clone();
        for plan in &plans {
            has(plan, "date source action send_parent reason expire");
            assert!(plan["reason"].as_str().is_some_and(|why| !why.is_empty()));
        }
        plans
    };
    let next = plan(&["2025-01-21"]);
    assert_eq!(next.len(), 1);
    assert_eq!(next[0]["date"], "2025-01-21");
    assert_eq!(next[0]["source"], SOURCE);
    assert_eq!(next[0]["action"], "incremental");
    assert_eq!(next[0]["send_parent"], "2025-01-14");
    assert_eq!(next[0]["expire"], json!([]));
    let nights = plan(&["2025-01-14", "--until", "2025-05-01"]);
    let count = |action: &str| {
        nights
            .iter()
            .filter(|plan| plan["action"] == action)
            .count()
    };
    assert_eq!(nights.len(), 108);
    assert_eq!((count("full"), count("incremental")), (7, 7));
    let expired: Vec<_> = nights
        .iter()
        .flat_map(|plan| plan["expire"].as_array().unwrap())
        .collect();
    has(expired[0], "chain newest archives reason");
    assert_eq!(expired[0]["chain"], "2025-01-01");
    assert_eq!(expired[0]["newest"], "2025-01-07");
    assert_eq!(expired[0]["archives"], 2);

    let archives = sandbox.archives("committed");
    let words = [
        "restore",
        SOURCE,
        "--from",
        "store",
        "--date",
        "2025-01-07",
        "--plan",
        "--json",
    ];
    let restore = sandbox.run(words).ok().json();
    has(
        &restore,
        "source date archives segments sealed_bytes raw_bytes thaw usd_total",
    );
    assert_eq!(restore["source"], SOURCE);
    assert_eq!(restore["date"], "2025-01-07");
    assert_eq!(
        restore["archives"],
        json!([archives[0]["id"], archives[1]["id"]])
    );
    assert_eq!(restore["segments"], 2);
    let sum = |field: &str| {
        archives[..2]
            .iter()
            .map(|a| a[field].as_u64().unwrap())
            .sum::<u64>()
    };
    assert_eq!(restore["raw_bytes"], sum("raw_bytes"));
    assert_eq!(restore["sealed_bytes"], sum("sealed_bytes"));
}

#[test]
fn backup_tells_its_events_a_line_each_and_the_result_at_last() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = Sandbox::new();
    make_rich_tree(&sandbox.source(), &mut Rng::new(3));
    let events = sandbox
        .run(["backup", "2025-01-01", "--json"])
        .ok()
        .events();
    let archive = sandbox.archives("committed").remove(0);
    let names: Vec<_> = events.iter().map(|event| &event["event"]).collect();
    assert_eq!(names.first().unwrap(), &"snapshot");
    assert_eq!(
        names.iter().filter(|name| **name != "progress").count(),
        5,
        "{names:?}"
    );
    for event in &events[..events.len() - 1] {
        assert_eq!(event["source"], SOURCE, "{event}");
    }
    let event = |name: &str| events.iter().find(|event| event["event"] == name).unwrap();
    assert_eq!(event("planned")["action"], "full");
    assert_eq!(event("segment")["archive"], archive["id"]);
    assert_eq!(event("committed")["archive"], archive["id"]);
    let result = &events.last().unwrap()["sources"][0];
    assert_eq!(result["name"], SOURCE);
    assert_eq!(result["result"], "archived");
    assert_eq!(result["archives"], json!([archive["id"]]));
    for field in ["raw_bytes", "sealed_bytes"] {
        assert_eq!(result[field], archive[field], "{field}");
    }
    assert!(result["uploaded_bytes"].is_u64() && result["seconds"].is_u64());

    let events = sandbox
        .run(["backup", "2025-01-01", "--json"])
        .ok()
        .events();
    let result = &events.last().unwrap()["sources"][0];
    assert_eq!(result["result"], "nothing-due");
    assert_eq!(result["archives"], json!([]));
}

#[test]
fn a_second_backup_of_an_archived_date_changes_nothing() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = Sandbox::new();
    archive_small_trees(&sandbox, &["2025-01-01", "2025-01-07"]);
    let everything = || {
        let snapshots = ["2025-01-01", "2025-01-07"].map(|date| which(&sandbox.snapshot(date)));
        (sandbox.stored(), sandbox.listed(), snapshots)
    };
    let before = everything();
    let again = sandbox.backup("2025-01-07");
    assert!(
        again.stdout.starts_with("home: 2025-01-07: nothing due: "),
        "{again:?}"
    );
    assert_eq!(again.stderr, "");
    let full = sandbox.run(["backup", "2025-01-07", "--full"]);
    assert_eq!(full.code, Some(2), "{full:?}");
    assert!(full.stderr.contains("archived already"), "{full:?}");
    let older = sandbox.run(["backup", "2025-01-06"]);
    assert_eq!(older.code, Some(2), "{older:?}");
    assert!(!sandbox.snapshot("2025-01-06").exists());
    assert_eq!(everything(), before);
}

/// The restored subvolumes, by name.
fn standing(restored: &Path) -> BTreeMap<PathBuf, Option<SubvolumeIdentity>> {
    fs::read_dir(restored)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), coldchain::btrfs::identity(&path).ok()))
        .collect()
}

#[test]
fn a_second_restore_changes_nothing_and_a_later_date_goes_on_after_it() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = Sandbox::new();
    archive_small_trees(&sandbox, &["2025-01-01", "2025-01-07", "2025-01-14"]);
    let other = LoopFs::new(512);
    let restored = other.path(SOURCE);
    let first = sandbox.restore("2025-01-07", &other.root()).ok();
    let stands = standing(&restored);
    assert_eq!(stands.len(), 3, "two dates and the mark: {stands:?}");
    for date in ["2025-01-07", "2025-01-01"] {
        let again = sandbox.restore(date, &other.root()).ok();
        assert_eq!(standing(&restored), stands);
        assert_eq!(again.stdout, first.stdout.replace("2025-01-07", date));
    }

    sandbox.restore("2025-01-14", &other.root()).ok();
    let mut later = standing(&restored);
    assert!(later.remove(&restored.join("2025-01-14")).is_some());
    assert_eq!(later, stands);
    for date in ["2025-01-01", "2025-01-07", "2025-01-14"] {
        compare_trees(&sandbox.snapshot(date), &restored.join(date));
    }
}

#[test]
fn a_restore_beside_the_snapshots_is_built_on_what_it_restored_and_backups_go_on() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = Sandbox::new();
    archive_small_trees(&sandbox, &SLOTS[..3]);
    let to = sandbox.fs.path("restored");
    fs::create_dir(&to).unwrap();
    sandbox.restore(SLOTS[2], &to).ok();
    for date in &SLOTS[..3] {
        let restored = to.join(SOURCE).join(date);
        compare_trees(&sandbox.snapshot(date), &restored);
        // Not of the snapshot that was archived, nor of one of the others.
        let parent = which(&restored).parent_uuid;
        let of_a_snapshot = |date| parent == Some(which(&sandbox.snapshot(date)).uuid);
        assert!(parent.is_some() && !SLOTS[..3].iter().any(|date| of_a_snapshot(date)));
    }

    let next = sandbox.backup("2025-01-21");
    assert!(next.stdout.contains("archived, incremental"), "{next:?}");
    sandbox.restores_equal(&["2025-01-14", "2025-01-21"]);

    // A second place on the same filesystem: btrfs receive could not tell the two apart.
    let elsewhere = sandbox.fs.path("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let refused = sandbox.restore(SLOTS[2], &elsewhere);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(
        refused.stderr.contains("was received from"),
        "{}",
        refused.stderr
    );
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
}

#[test]
fn nested_subvolumes_are_named_once_and_again_when_there_are_others() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = Sandbox::new();
    fs::write(sandbox.source().join("file"), "of the source").unwrap();
    let first = sandbox.fs.subvolume("home/nested");
    fs::write(first.join("file"), "not of the source").unwrap();
    let warning = |names: &str| {
        format!("warning: home: nested subvolumes are left out of its snapshots: {names}\n")
    };
    let first = first.display().to_string();
    assert_eq!(sandbox.backup("2025-01-01").stderr, warning(&first));
    assert_eq!(sandbox.backup("2025-01-02").stderr, "");
    assert_eq!(sandbox.backup("2025-01-07").stderr, "");
    let second = sandbox.fs.subvolume("home/other").display().to_string();
    let both = format!("{first}, {second}");
    assert_eq!(sandbox.backup("2025-01-08").stderr, warning(&both));
    assert_eq!(sandbox.backup("2025-01-14").stderr, "");
    btrfs(
        ["subvolume", "delete"],
        &[
            &sandbox.fs.path("home/nested"),
            &sandbox.fs.path("home/other"),
        ],
    );
    assert_eq!(sandbox.backup("2025-01-15").stderr, "");
    sandbox.fs.subvolume("home/nested");
    assert_eq!(sandbox.backup("2025-01-16").stderr, warning(&first));

    let other = LoopFs::new(256);
    sandbox.restore("2025-01-14", &other.root()).ok();
    let restored = other.path("home/2025-01-14");
    assert_eq!(fs::read(restored.join("file")).unwrap(), b"of the source");
    assert!(!restored.join("nested/file").exists());
}
