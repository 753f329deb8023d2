//! What users of other programs have reported of lists of files that were lost, damaged or out of date, played.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::fed_bucket;
use crate::common::is_segment;
use crate::common::loopfs::real_btrfs_available;
use crate::common::machine::{LIVE_CONFIG, Machine, Run, fed_config};
use crate::common::s3_server::{BUCKET, ENV, Fault, FaultKind, Operation, S3Server};
use crate::common::whole::first_and_seventh;

const DATES: [&str; 2] = ["2024-01-01", "2024-01-07"];

#[track_caller]
fn ends(machine: &Machine, words: &str, code: i32) -> Run {
    let mut command = machine.command(words);
    command.envs(ENV);
    let run = machine.run_command(&mut command);
    assert_eq!(run.code, Some(code), "{words}: {run:?}");
    run
}

/// Archives both dates by this config.
fn archive(machine: &Machine, config: &str) {
    machine.write_config(config);
    for (date, stream) in DATES.into_iter().zip(first_and_seventh(100)) {
        let run = machine.run_with(&format!("decide {date}"), &stream);
        assert_eq!(run.code, Some(0), "{run:?}");
    }
}

fn archived(contents: bool) -> Machine {
    let machine = Machine::fed(None);
    archive(
        &machine,
        &format!("contents = {contents}\n{}", fed_config()),
    );
    machine
}

fn with_contents(machine: &Machine) -> Vec<PathBuf> {
    let mut objects = machine.objects("");
    objects.retain(|path| path.to_string_lossy().contains("/contents-"));
    objects
}

fn forget_everything(machine: &Machine) {
    fs::remove_dir_all(machine.state()).unwrap();
}

/// The index files of a machine.
fn indexes(machine: &Machine) -> Vec<PathBuf> {
    let files = fs::read_dir(machine.state().join("files")).unwrap();
    let files = files.map(|file| file.unwrap().path());
    files
        .filter(|path| path.extension().is_some_and(|it| it == "db"))
        .collect()
}

fn restored(machine: &Machine, date: &str) -> Vec<u8> {
    let to = machine.path("stream");
    let _ = fs::remove_file(&to);
    let words = format!("restore {date} --stream $T/stream --identity $T/kit --yes");
    ends(machine, &words, 0);
    fs::read(to).unwrap()
}

/// Without its file lists, what was stored is worth nothing.
#[test]
fn without_any_contents_and_without_any_state_every_date_is_restored_and_listed() {
    let machine = archived(true);
    for object in with_contents(&machine) {
        fs::remove_file(object).unwrap();
    }
    forget_everything(&machine);
    let rebuilt = ends(
        &machine,
        "catalog rebuild --store file://$T/store --identity $T/kit",
        6,
    );
    assert!(rebuilt.stdout.contains("2 archives"), "{rebuilt:?}");
    for (date, stream) in DATES.into_iter().zip(first_and_seventh(100)) {
        assert_eq!(restored(&machine, date), stream, "{date}");
    }
}

/// One missing object of a file list takes all others with it.
#[test]
fn an_archive_with_a_lost_segment_keeps_no_other_from_getting_contents() {
    let machine = archived(false);
    let of_incremental = machine.objects(".zst.age").pop().unwrap();
    assert!(of_incremental.to_string_lossy().contains("/2024-01-07-"));
    let sound = fs::read(&of_incremental).unwrap();
    fs::remove_file(&of_incremental).unwrap();
    let before = machine.objects("");
    let run = ends(&machine, "index --identity $T/kit", 6);
    assert!(run.stderr.contains("2024-01-07-"), "{run:?}");
    let made = with_contents(&machine);
    assert_eq!(made.len(), 1);
    assert!(made[0].to_string_lossy().contains("/2024-01-01-"));
    // Nothing that was there is gone, and the other date is as before.
    let after = machine.objects("");
    assert!(before.iter().all(|object| after.contains(object)));
    let [full, _] = first_and_seventh(100);
    assert_eq!(restored(&machine, "2024-01-01"), full);
    fs::write(&of_incremental, sound).unwrap();
    ends(&machine, "index --identity $T/kit", 0);
    ends(&machine, "verify --deep --identity $T/kit", 0);
}

/// A list of objects that lacks some makes an index that lacks them.
#[test]
fn a_listing_that_lacks_contents_that_are_there_makes_none_anew() {
    let server = S3Server::new();
    let machine = fed_bucket::machine();
    let config = fed_bucket::config(&server.endpoint(), &[]);
    archive(&machine, &format!("contents = true\n{config}"));
    let before: Vec<String> = server.objects(BUCKET).into_keys().collect();
    let fault = Fault::on(Operation::List, FaultKind::LacksTheRest(1));
    server.fail(fault.key("/archives/").always());
    let run = ends(&machine, "index --identity $T/kit", 1);
    assert!(run.stderr.contains("a listing of s3://"), "{run:?}");
    server.clear_faults();
    let after: Vec<String> = server.objects(BUCKET).into_keys().collect();
    assert_eq!(after, before);
    ends(&machine, "index --identity $T/kit", 0);
    ends(&machine, "verify", 0);
}

/// After the local database is made anew, whole volumes are downloaded to find out which files there are.
#[test]
fn an_index_is_made_anew_without_reading_a_segment() {
    let server = S3Server::new();
    let machine = fed_bucket::machine();
    let cold = [("storage_class", "\"DEEP_ARCHIVE\"")];
    let config = fed_bucket::config(&server.endpoint(), &cold);
    archive(&machine, &format!("contents = true\n{config}"));
    ends(&machine, "ls home: --identity $T/kit", 0);
    for index in indexes(&machine) {
        fs::remove_file(index).unwrap();
    }
    server.forget_requests();
    let run = ends(&machine, "ls home: --identity $T/kit", 0);
    assert!(run.stdout.contains("a file"), "{run:?}");
    let run = ends(&machine, "find home --all-dates --name a*", 0);
    assert!(run.stdout.contains("home:/a file"), "{run:?}");
    let requests = server.requests();
    let of_segments = requests.iter().filter(|one| {
        is_segment(&one.key) && matches!(one.operation, Operation::Get | Operation::Restore)
    });
    assert_eq!(of_segments.count(), 0, "{requests:?}");
}

/// A full disk leaves an empty cache, and every later backup fails until somebody deletes it.
#[test]
fn an_index_that_is_empty_cut_or_no_index_at_all_stops_no_backup() {
    if !real_btrfs_available() {
        return;
    }
    let machine = Machine::with_subvolume(128);
    machine.write_config(&format!("contents = true\n{LIVE_CONFIG}"));
    let source = machine.btrfs().path("home");
    fs::write(source.join("first"), "some").unwrap();
    ends(&machine, "backup 2024-01-01", 0);
    let [index] = &indexes(&machine)[..] else {
        panic!("one source has one index");
    };
    let sound = fs::read(index).unwrap();
    for (date, damaged) in [
        ("2024-01-07", Vec::new()),
        ("2024-01-14", sound[..sound.len() / 2].to_vec()),
        ("2024-01-21", b"this is no database".repeat(300)),
    ] {
        remove_beside(index);
        fs::write(index, damaged).unwrap();
        fs::write(source.join(date), "more").unwrap();
        ends(&machine, &format!("backup {date}"), 0);
        let run = ends(&machine, "ls home: --identity $T/kit", 0);
        assert!(
            run.stdout.contains(date) && run.stdout.contains("first"),
            "{run:?}"
        );
        assert!(!run.stderr.contains("warning"), "{run:?}");
    }
    ends(&machine, "verify --deep --identity $T/kit", 0);
}

/// Removes what SQLite keeps beside a database.
fn remove_beside(index: &Path) {
    for ending in ["-wal", "-shm", "-journal"] {
        let mut beside = index.as_os_str().to_owned();
        beside.push(ending);
        let _ = fs::remove_file(PathBuf::from(beside));
    }
}

/// A file list that was made again has another date, so a database that is made anew is another one.
#[test]
fn a_catalog_that_is_made_anew_is_the_same_after_contents_were_made_again() {
    let machine = archived(true);
    fs::remove_file(&with_contents(&machine)[0]).unwrap();
    ends(&machine, "index --identity $T/kit", 0);
    let listed = machine.listed();
    let shown = ends(&machine, "show 2024-01-01 --json", 0).stdout;
    let contents = |text: &str| -> serde_json::Value {
        let shown: serde_json::Value = serde_json::from_str(text).unwrap();
        shown["contents"]["objects"].clone()
    };
    assert_eq!(contents(&shown).as_array().unwrap().len(), 1);
    forget_everything(&machine);
    ends(
        &machine,
        "catalog rebuild --store file://$T/store --identity $T/kit",
        0,
    );
    let again = ends(&machine, "show 2024-01-01 --json", 0).stdout;
    assert_eq!(contents(&again), contents(&shown));
    let chains = |listed: &serde_json::Value| {
        listed["sources"][0]["chains"][0]["archives"][0]["contents_bytes"].clone()
    };
    assert_eq!(chains(&machine.listed()), chains(&listed));
    ends(&machine, "catalog check", 0);
}
