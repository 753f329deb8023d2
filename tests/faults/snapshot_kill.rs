//! `kill -9` at random moments of nights that take a snapshot and delete others: no half name stays, no link leads
//! nowhere, and what the next archive is sent against is never deleted.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use chrono::{Days, NaiveDate};
use coldchain::model::SnapshotName;

use crate::common::from_env;
use crate::common::rng::Rng;
use crate::common::sandbox::{Sandbox, Setup};

/// Most nights take a snapshot and archive nothing.
const SCHEDULE: &str = "days = [1]\ncatch_up = false";

/// Checks what stands in the directory of the snapshots at a moment at which a run was killed.
fn check(sandbox: &Sandbox, date: NaiveDate, archived: &str) {
    let directory = sandbox.fs.path("snapshots");
    for entry in fs::read_dir(&directory).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let is_link = entry.file_type().unwrap().is_symlink();
        let in_the_making = name.strip_prefix(".coldchain-new-");
        let is_snapshot = in_the_making
            .unwrap_or(&name)
            .parse::<SnapshotName>()
            .is_ok();
        assert!(is_link || is_snapshot, "{date}: {name}");
        if in_the_making.is_none() && !is_link {
            let content = fs::read_to_string(directory.join(&name).join("file")).unwrap();
            assert_eq!(content, name, "{date}: a snapshot is of its night");
        }
    }
    let link = directory.join("current");
    let target = fs::read_link(&link).unwrap_or_else(|error| panic!("{date}: {error}"));
    assert!(
        link.join("file").exists(),
        "{date}: current -> {}",
        target.display()
    );
    assert!(
        sandbox.snapshot(archived).exists(),
        "{date}: the send parent"
    );
}

fn night(sandbox: &Sandbox, date: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_coldchain"));
    command
        .env("COLDCHAIN_CONFIG", sandbox.config())
        .args(["backup", date])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

#[test]
fn a_night_that_is_killed_leaves_whole_snapshots_and_a_link_to_one() {
    let kills = from_env("COLDCHAIN_SNAPSHOT_KILLS", 15);
    let sandbox = Sandbox::with(&Setup {
        source: "keep = \"2d 1w\"",
        schedule: SCHEDULE,
        ..Setup::default()
    });
    let file = sandbox.source().join("file");
    let write = |date: &str| fs::write(&file, date).unwrap();
    let mut archived = "2025-01-01".to_owned();
    write(&archived);
    sandbox.backup(&archived);
    let mut rng = Rng::new(from_env("COLDCHAIN_SEED", 1));
    let begun = Instant::now();
    let mut date: NaiveDate = "2025-01-02".parse().unwrap();
    write(&date.to_string());
    sandbox.backup(&date.to_string());
    let length = begun.elapsed();
    let (mut killed, mut missed) = (0, 0);
    while killed < kills {
        date = date + Days::new(1);
        let night_of = date.to_string();
        write(&night_of);
        let micros = usize::try_from(length.as_micros()).unwrap();
        let moment = Duration::from_micros(rng.length(0, micros) as u64);
        let mut child = night(&sandbox, &night_of).spawn().unwrap();
        thread::sleep(moment);
        child.kill().unwrap();
        if child.wait().unwrap().success() {
            missed += 1;
        } else {
            killed += 1;
        }
        check(&sandbox, date, &archived);
        // The same night again, or only the next one: what the first has left must go all the same.
        if killed % 2 == 0 {
            date = date + Days::new(1);
            write(&date.to_string());
        }
        sandbox.backup(&date.to_string());
        archived = sandbox.committed().pop().unwrap();
        check(&sandbox, date, &archived);
        let current = fs::read_link(sandbox.fs.path("snapshots").join("current")).unwrap();
        assert_eq!(current, Path::new(&date.to_string()));
        let names: BTreeSet<String> = sandbox.snapshot_names().into_iter().collect();
        // Two days, one week, and the send parent; nothing that was in the making.
        assert!(names.len() <= 4, "{names:?}");
        assert!(
            names
                .iter()
                .all(|name| name.parse::<SnapshotName>().is_ok()),
            "{names:?}"
        );
    }
    println!("{killed} kills, and {missed} runs that were over before the blow");
}
