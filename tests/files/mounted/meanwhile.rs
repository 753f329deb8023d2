//! What other runs do to the archives while they are mounted.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use rustix::process::Signal;

use super::{Mounted, archived};
use crate::common::machine::LIVE_CONFIG;
use crate::common::rng::Rng;
use crate::extract_command::archived::Archived;

/// Waits until something is so.
#[track_caller]
pub(crate) fn await_that(what: &str, is_so: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Instant::now() < until, "{what}");
        thread::sleep(Duration::from_millis(100));
    }
}

/// Bytes that don't compress.
fn noise(seed: u64) -> Vec<u8> {
    Rng::new(seed).bytes(6 << 20)
}

#[test]
fn archives_that_are_retired_and_deleted_go_and_the_others_stay() {
    let config = format!(
        "delete_after = \"0s\"\n{LIVE_CONFIG}\n[schedule]\nmax_incrementals = 1\nexpire_after_days = 30\n"
    );
    let dates = ["2025-01-01", "2025-01-07", "2025-01-14", "2025-01-21"];
    let machine = archived(&config, &dates, |live, number| {
        fs::write(live.join("file"), noise(number as u64)).unwrap();
    });
    let Some(machine) = machine else { return };
    let mounted = Mounted::new(&machine);
    let file = |date: &str| mounted.date(date).join("file");
    let old = fs::File::open(file("2025-01-07")).unwrap();
    let mut part = [0; 100];
    old.read_exact_at(&mut part, 0).unwrap();
    assert!(part == noise(1)[..100]);
    let here = |date: &str| mounted.date(date).exists();
    assert!(dates.iter().all(|date| here(date)));
    // One night retires the older chain, and the next one deletes it.
    for date in ["2025-02-10", "2025-02-11"] {
        let run = machine.run(&format!("backup home {date} --quiet"));
        assert_eq!(run.code, Some(0), "{run:?}");
    }
    await_that("the retired archives go", || {
        !here("2025-01-01") && !here("2025-01-07")
    });
    await_that("the new one comes", || here("2025-02-10"));
    // What is open still has what was read, or fails; it never has other data.
    let mut rest = vec![0; 1 << 20];
    if old.read_exact_at(&mut rest, 5 << 20).is_ok() {
        assert!(rest == noise(1)[5 << 20..]);
    }
    drop(old);
    assert!(fs::read(file("2025-01-21")).unwrap() == noise(3));
    assert!(fs::read(file("2025-02-10")).unwrap() == noise(3));
    let run = mounted.end_by(Signal::INT);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(!run.stderr.contains("panicked"), "{run:?}");
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    fs::read(path)
}

#[test]
fn what_is_thawed_meanwhile_is_read_by_the_same_mount() {
    let archived = Archived::new("storage_class = \"DEEP_ARCHIVE\"\n");
    let mounted = Mounted::new(&archived.machine);
    let file = mounted.date("2024-01-07").join("album/b");
    let no_data = rustix::io::Errno::NODATA.raw_os_error();
    assert_eq!(read(&file).unwrap_err().raw_os_error(), Some(no_data));
    let run = archived
        .machine
        .run("thaw home --date 2024-01-07 --tier bulk --yes");
    assert_eq!(run.code, Some(5), "{run:?}");
    assert_eq!(read(&file).unwrap_err().raw_os_error(), Some(no_data));
    archived.server.clock().advance(TimeDelta::hours(49));
    assert!(read(&file).unwrap() == archived.newest["album/b"]);
    // And it ends again.
    archived.server.clock().advance(TimeDelta::days(400));
    assert_eq!(
        read(&mounted.date("2024-01-07").join("album/e"))
            .unwrap_err()
            .raw_os_error(),
        Some(no_data)
    );
    let run = mounted.end_by(Signal::INT);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(
        run.stderr
            .contains("run `coldchain thaw home --date 2024-01-07`")
    );
}
