//! Programs that read data: many at once, and data that can't be read.

use std::fs;
use std::io;
use std::process::Command;
use std::thread;

use rustix::process::Signal;

use super::{Mounted, archived, failed, ran, with_file};
use crate::common::machine::LIVE_CONFIG;
use crate::common::rng::Rng;

/// Bytes that don't compress.
fn noise(bytes: usize) -> Vec<u8> {
    Rng::new(7).bytes(bytes)
}

#[test]
fn a_hundred_readers_at_once_all_get_the_data() {
    let data = noise(40 << 20);
    let Some(machine) = with_file(&data) else {
        return;
    };
    let mounted = Mounted::new(&machine);
    let path = mounted.date("2026-11-07").join("file");
    thread::scope(|scope| {
        for reader in 0..100_usize {
            let (path, data) = (&path, &data);
            scope.spawn(move || {
                let file = fs::File::open(path).unwrap();
                let mut part = vec![0; 300_000];
                for step in 0..6_usize {
                    let at = (reader * 7_919_123 + step * 6_700_417) % (data.len() - part.len());
                    std::os::unix::fs::FileExt::read_exact_at(&file, &mut part, at as u64).unwrap();
                    assert!(part == data[at..][..part.len()], "{reader}, {at}");
                }
            });
        }
    });
    assert!(fs::read(&path).unwrap() == data);
    let run = mounted.end_by(Signal::INT);
    run.is(0, "", "");
}

#[test]
fn without_an_identity_there_are_names_and_no_data() {
    let Some(machine) = with_file(b"data") else {
        return;
    };
    let mounted = Mounted::with(&machine, "home");
    let date = mounted.date("2026-11-07");
    assert_eq!(date.join("file").metadata().unwrap().len(), 4);
    for _ in 0..3 {
        let error = fs::read(date.join("file")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    }
    let run = mounted.end_by(Signal::TERM);
    run.is(
        0,
        "",
        "warning: home: the mount cannot read the data of 2026-11-07: it has no identity; mount with --identity FILE to read data; without it there are only names\n",
    );
}

#[test]
fn cold_data_fails_at_once_and_a_warning_says_which_thaw_helps() {
    let cold = "path = \"$T/store\"\ncold = \"DEEP_ARCHIVE\"";
    let config = LIVE_CONFIG.replace("path = \"$T/store\"", cold);
    let machine = archived(&config, &["2026-11-07"], |live, _| {
        fs::write(live.join("file"), noise(300_000)).unwrap();
        fs::write(live.join("empty"), "").unwrap();
    });
    let Some(machine) = machine else { return };
    let mounted = Mounted::new(&machine);
    let date = mounted.date("2026-11-07");
    for _ in 0..3 {
        let said = failed(
            Command::new("cp")
                .env("LC_ALL", "C")
                .args([date.join("file"), machine.path("copy")]),
        );
        assert!(said.contains("No data available"), "{said}");
    }
    assert_eq!(fs::read(date.join("empty")).unwrap(), b"");
    let run = mounted.end_by(Signal::INT);
    assert_eq!(run.code, Some(0));
    let advice = "run `coldchain thaw home --date 2026-11-07`, or `coldchain extract home PATH --date 2026-11-07 --to DIR`";
    assert!(run.stderr.contains(advice), "{}", run.stderr);
    assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
}

#[test]
fn a_damaged_segment_is_an_error_that_names_it() {
    let machine = archived(LIVE_CONFIG, &["2026-11-07"], |live, _| {
        fs::write(live.join("big"), noise(30 << 20)).unwrap();
    });
    let Some(machine) = machine else { return };
    let segments = machine.objects(".zst.age");
    let mut bytes = fs::read(&segments[1]).unwrap();
    let middle = bytes.len() / 2;
    for byte in &mut bytes[middle..][..64] {
        *byte ^= 0x55;
    }
    fs::write(&segments[1], bytes).unwrap();
    let mounted = Mounted::new(&machine);
    let file = mounted.date("2026-11-07").join("big");
    let said = failed(
        Command::new("cp")
            .env("LC_ALL", "C")
            .args([&file, &machine.path("copy")]),
    );
    assert!(said.contains("Input/output error"), "{said}");
    // What is before it can be read.
    ran(Command::new("head").args(["-c", "1M"]).arg(&file));
    let run = mounted.end_by(Signal::INT);
    assert!(
        run.stderr.contains("000001-$HEX16.zst.age"),
        "{}",
        run.stderr
    );
    assert_eq!(run.code, Some(0));
}

#[test]
fn a_store_that_is_gone_is_an_error_and_names_stay() {
    let Some(machine) = with_file(&noise(100_000)) else {
        return;
    };
    let mounted = Mounted::new(&machine);
    let file = mounted.date("2026-11-07").join("file");
    fs::rename(machine.path("store"), machine.path("away")).unwrap();
    assert!(fs::read(&file).is_err());
    assert_eq!(file.metadata().unwrap().len(), 100_000);
    fs::rename(machine.path("away"), machine.path("store")).unwrap();
    let run = mounted.end_by(Signal::INT);
    assert_eq!(run.code, Some(0));
    assert!(
        run.stderr
            .starts_with("warning: home: the mount cannot read"),
        "{}",
        run.stderr
    );
}
