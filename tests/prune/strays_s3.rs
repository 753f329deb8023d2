//! Strays in a bucket: by the bucket's clock, over pages of a listing, and with credentials that
//! may not delete.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::process::Command;

use chrono::TimeDelta;

use crate::common::machine::{Machine, Run};
use crate::common::s3_server::{
    ACCESS_KEY, BUCKET, Config, Fault, FaultKind, Operation, S3Server, SECRET_KEY,
};
use crate::common::stream_builder::StreamBuilder;

const CONFIG: &str = r#"timezone = "UTC"
state_dir = "$T/state"
segment_size = "16MiB"
compression = 1

[[source]]
name = "home"
store = "cloud"

[store.cloud]
type = "s3"
bucket = "archive"
prefix = "laptop"
region = "us-east-1"
endpoint = "$E"
give_up_after = "1s"
storage_class = "DEEP_ARCHIVE"

[encryption]
recipients = ["$R"]
"#;

const FIRST: [u8; 16] = *b"uuid of the 1st.";
const SECOND: [u8; 16] = *b"uuid of the 7th.";
const THIRD: [u8; 16] = *b"uuid of the 14th";

fn incremental(name: &str, uuid: [u8; 16]) -> StreamBuilder {
    StreamBuilder::header(1)
        .snapshot(name.as_bytes(), uuid, 10, FIRST, 10)
        .write(b"a file", 0, &[8; 1000])
}

fn command(machine: &Machine, words: &str) -> Command {
    let mut command = machine.command(words);
    command
        .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
        .env("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env_remove("AWS_PROFILE");
    command
}

fn run(machine: &Machine, words: &str) -> Run {
    machine.run_command(&mut command(machine, words))
}

fn decide(machine: &Machine, date: &str, stream: &[u8]) -> Option<i32> {
    let path = machine.path("stream");
    fs::write(&path, stream).unwrap();
    let mut command = command(machine, &format!("decide {date}"));
    machine
        .run_command(command.stdin(File::open(&path).unwrap()))
        .code
}

/// A bucket that gives a listing in small pages, and eight days ago got two archives and an attempt
/// that was given up between them.
fn eight_days_later() -> (S3Server, Machine) {
    let server = S3Server::start(Config {
        page_size: 2,
        ..Config::default()
    });
    let machine = Machine::new();
    machine.write_config(&CONFIG.replace("$E", &server.endpoint()));
    assert_eq!(run(&machine, "init --kit $T/kit --quiet").code, Some(0));
    server.clock().advance(TimeDelta::days(-8));
    let full = StreamBuilder::header(1)
        .subvol(b"2024-01-01", FIRST, 10)
        .mkfile(b"a file")
        .finish();
    assert_eq!(decide(&machine, "2024-01-01", &full), Some(0));
    let data = vec![0; 1 << 15];
    let broken = (0..80 * 32).fold(incremental("2024-01-07", SECOND), |stream, at| {
        stream.write(b"a file", at << 15, &data)
    });
    assert_eq!(decide(&machine, "2024-01-07", &broken.bytes), Some(1));
    let third = incremental("2024-01-14", THIRD).finish();
    assert_eq!(decide(&machine, "2024-01-14", &third), Some(0));
    server.clock().advance(TimeDelta::days(8));
    assert!(strays(&server).len() >= 3);
    (server, machine)
}

/// Every key of the bucket, with its length.
fn stored(server: &S3Server) -> BTreeMap<String, usize> {
    let objects = server.objects(BUCKET).into_iter();
    objects
        .map(|(key, version)| (key, version.body.len()))
        .collect()
}

fn strays(server: &S3Server) -> Vec<String> {
    let keys = stored(server).into_keys();
    keys.filter(|key| key.contains("/2024-01-07-")).collect()
}

#[test]
fn what_was_given_up_goes_from_a_bucket_by_its_own_clock() {
    let (server, machine) = eight_days_later();
    let mut left = stored(&server);
    let before = left.clone();
    let dry = run(&machine, "prune --dry-run");
    assert_eq!((dry.code, dry.stderr.as_str()), (Some(0), ""));
    assert!(
        dry.stdout.contains("its newest object is 8 days old"),
        "{}",
        dry.stdout
    );
    assert_eq!(stored(&server), before);

    let gone = strays(&server);
    left.retain(|key, _| !gone.contains(key));
    let run_once = run(&machine, "prune");
    assert_eq!((run_once.code, run_once.stderr.as_str()), (Some(0), ""));
    let removed = format!("home: {} objects removed, ", gone.len());
    assert!(run_once.stdout.contains(&removed), "{}", run_once.stdout);
    assert_eq!(stored(&server), left);
    let asked = server.requests();
    let deleted: Vec<&str> = asked
        .iter()
        .filter(|request| request.method == "DELETE")
        .map(|request| request.key.as_str())
        .collect();
    assert_eq!(deleted.len(), gone.len());
    assert!(deleted.last().unwrap().ends_with("/key.age"));
    run(&machine, "prune").is(0, "", "");
}

#[test]
fn a_listing_without_its_later_pages_removes_nothing() {
    for fault in [FaultKind::LaterPagesFail, FaultKind::TruncatedList] {
        let (server, machine) = eight_days_later();
        let before = stored(&server);
        server.fail(Fault::on(Operation::List, fault.clone()).always());
        let ran = run(&machine, "prune");
        assert_eq!(ran.code, Some(1), "{fault:?}: {}", ran.stderr);
        assert!(server.faults_struck() > 0);
        assert_eq!(stored(&server), before);
    }
}

#[test]
fn credentials_that_may_not_delete_end_it_with_4_and_change_nothing() {
    let (server, machine) = eight_days_later();
    let before = stored(&server);
    server.fail(Fault::on(Operation::Delete, FaultKind::AccessDenied).always());
    let ran = run(&machine, "prune");
    assert_eq!(ran.code, Some(4), "{}", ran.stderr);
    let said = "error: could not delete all orphaned objects of `home`: 0 of ";
    assert!(ran.stderr.starts_with(said), "{}", ran.stderr);
    assert!(
        ran.stderr
            .contains("see docs/aws.md for the permission that each operation needs"),
        "{}",
        ran.stderr
    );
    assert_eq!(stored(&server), before);
    server.clear_faults();
    let gone = strays(&server).len();
    let ran = run(&machine, "prune");
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(stored(&server).len(), before.len() - gone);
}

#[test]
fn nothing_goes_while_the_buckets_clock_is_ahead() {
    let (server, machine) = eight_days_later();
    let before = stored(&server);
    server.clock().advance(TimeDelta::hours(49));
    let ran = run(&machine, "prune");
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    let why = "the system's clock and the store's are 2 days apart";
    assert!(ran.stdout.contains(why), "{}", ran.stdout);
    assert_eq!(stored(&server), before);
}
