//! Contents that are missing, or that somebody with a stolen writer's key has made up: names are shown as far as the index has
//! them, and no program gets data that was not archived.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use coldchain::model::ContentsRecord;
use rustix::process::Signal;

use super::{Mounted, archived, failed, ran};
use crate::common::forged_contents::{attach_contents, seal_contents};
use crate::common::machine::{LIVE_CONFIG, Machine, fed_config};
use crate::common::stream_builder::StreamBuilder;
use crate::common::whole::visible_archives;
use crate::contents::contents_of;

const DATES: [&str; 2] = ["2026-11-01", "2026-11-07"];

/// The objects of contents of a date.
fn contents(machine: &Machine, date: &str) -> Vec<PathBuf> {
    let mut objects = machine.objects("");
    objects.retain(|path| {
        let path = path.to_string_lossy();
        path.contains("/contents-") && path.contains(&format!("/{date}-"))
    });
    objects
}

/// The names that `find` prints below a directory.
fn found(directory: &Path) -> Vec<String> {
    let printed = ran(Command::new("find")
        .arg(directory)
        .args(["-printf", "%P\n"]));
    let mut names: Vec<String> = printed.lines().map(str::to_owned).collect();
    names.sort_unstable();
    names
}

/// Copies a file, which must fail as a damaged disk does, and leave none of its bytes.
#[track_caller]
fn can_not_be_copied(file: &Path, to: &Path) {
    let mut copy = Command::new("cp");
    let said = failed(copy.arg(file).arg(to).env("LC_ALL", "C"));
    assert!(said.contains("Input/output error"), "{said}");
    assert!(fs::read(to).unwrap_or_default().is_empty());
}

#[test]
fn names_are_shown_and_data_comes_once_missing_contents_are_back() {
    let machine = archived(LIVE_CONFIG, &DATES, |live, number| {
        fs::create_dir_all(live.join("inner")).unwrap();
        fs::write(live.join("inner/file"), format!("data {number}")).unwrap();
        fs::write(live.join(format!("only {number}")), "more").unwrap();
    });
    let Some(machine) = machine else { return };
    let [lost] = &contents(&machine, DATES[0])[..] else {
        panic!("the full has one object of contents");
    };
    let away = machine.path("away");
    fs::rename(lost, &away).unwrap();
    let mounted = Mounted::new(&machine);
    assert_eq!(
        found(&mounted.date(DATES[1])),
        ["", "inner", "inner/file", "only 0", "only 1"]
    );
    let listed = ran(Command::new("ls").arg("-lR").arg(mounted.date(DATES[0])));
    assert!(listed.contains("only 0"), "{listed}");
    // The incremental is built on the full, so both need its contents.
    for date in DATES {
        can_not_be_copied(
            &mounted.date(date).join("inner/file"),
            &machine.path("copy"),
        );
    }
    fs::rename(&away, lost).unwrap();
    for (number, date) in DATES.iter().enumerate() {
        let file = mounted.date(date).join("inner/file");
        assert_eq!(fs::read_to_string(file).unwrap(), format!("data {number}"));
    }
    let run = mounted.end_by(Signal::TERM);
    assert_eq!((run.code, run.stdout.as_str()), (Some(0), ""), "{run:?}");
    let warned: Vec<&str> = run.stderr.lines().collect();
    assert_eq!(warned.len(), 2, "{run:?}");
    for line in warned {
        let says = "the contents of 2026-11-01-full-$HEX16 are damaged";
        assert!(
            line.contains(says) && line.contains("it is missing"),
            "{line}"
        );
    }
}

#[test]
fn made_up_contents_show_names_and_give_no_data() {
    let (first, second) = ([1; 16], [2; 16]);
    let head = || StreamBuilder::header(1).subvol(b"2024-01-01", first, 10);
    let full = head().mkfile(b"a file").write(b"a file", 0, &[7; 3000]);
    let next = StreamBuilder::header(1).snapshot(b"2024-01-07", second, 10, first, 10);
    let next = next.write(b"a file", 0, &[8; 3000]);
    let machine = Machine::fed(None);
    machine.write_config(&format!("contents = false\n{}", fed_config()));
    for (date, stream) in [("2024-01-01", full), ("2024-01-07", next)] {
        let run = machine.run_with(&format!("decide {date}"), &stream.finish());
        assert_eq!(run.code, Some(0), "{run:?}");
    }
    let made_up = head().mkfile(b"b file").write(b"b file", 0, &[7; 3000]);
    let raw = contents_of(&made_up.finish());
    let archive = &visible_archives(&machine)[0];
    let of = (&archive.entry.id, &archive.key);
    let objects = seal_contents(&machine.path("store"), of, |mut sealer| {
        sealer.write(&raw).unwrap();
        sealer.write(&[7; 100]).unwrap();
        sealer.finish().unwrap();
    });
    let record = ContentsRecord {
        stream_bytes: raw.len() as u64,
        objects,
    };
    attach_contents(&machine, archive.entry.id, archive.entry.recipients, record);
    // The other archive gets its own.
    let run = machine.run("index --identity $T/kit");
    assert_eq!(run.code, Some(0), "{run:?}");

    let mounted = Mounted::new(&machine);
    assert_eq!(found(&mounted.date("2024-01-01")), ["", "b file"]);
    can_not_be_copied(
        &mounted.date("2024-01-01").join("b file"),
        &machine.path("copy"),
    );
    // It does not fit what is shown, so it is not.
    assert!(!mounted.date("2024-01-07").exists());
    let run = mounted.end_by(Signal::TERM);
    assert_eq!(run.code, Some(0), "{run:?}");
    for says in [
        "does not fit what it is built on",
        "1 archive not shown, because not indexed",
        "their table of segments is damaged",
    ] {
        assert!(run.stderr.contains(says), "{says}: {run:?}");
    }
}
