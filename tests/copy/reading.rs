//! What reads archives: from a copy that is named, from one that takes the place of a home that is silent, and single
//! segments from elsewhere.

use std::fs;
use std::path::PathBuf;

use crate::common::is_segment;
use crate::common::loopfs::{LoopFs, real_btrfs_available};
use crate::common::machine::{LIVE_CONFIG, Machine, Run, fed_config};
use crate::common::rng::Rng;
use crate::common::tree::compare_trees;
use crate::common::whole::first_and_seventh;
use crate::copied::{archived, two_stores};

/// KiB of the streams: two segments each.
const KIB: usize = 17 << 10;

/// A machine with two archives and a copy of both.
fn copied() -> Machine {
    let machine = archived();
    let run = machine.run("copy home --to second");
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    machine
}

/// `restore --stream` to a new file, which is returned too.
fn streamed(machine: &Machine, words: &str) -> (Run, Option<Vec<u8>>) {
    let to = machine.path("stream");
    let _ = fs::remove_file(&to);
    let run = machine.run(&format!(
        "restore home {words} --stream $T/stream --identity $T/kit --yes --quiet"
    ));
    (run, fs::read(to).ok())
}

/// The files of the segments of an archive in a store, in order.
fn segments(machine: &Machine, store: &str, date: &str) -> Vec<PathBuf> {
    let archives = machine.path(store).join("home/archives");
    let archives = fs::read_dir(archives).unwrap().map(|it| it.unwrap());
    let is_of_date = |name: &str| name.starts_with(date);
    let mut archives = archives.filter(|it| is_of_date(&it.file_name().to_string_lossy()));
    let archive = archives.next().expect("it has the archive").path();
    let files = fs::read_dir(archive).unwrap().map(|it| it.unwrap().path());
    let mut files: Vec<_> = files
        .filter(|path| is_segment(path.to_string_lossy()))
        .collect();
    files.sort();
    files
}

/// Flips a bit in the middle of a file.
fn damage(path: &PathBuf) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_copy_takes_the_place_of_a_home_that_does_not_answer() {
    let machine = copied();
    let [full, incremental] = first_and_seventh(KIB);
    fs::rename(machine.path("store"), machine.path("away")).unwrap();
    for (words, expected) in [("", &incremental), ("2024-01-01", &full)] {
        let (run, stream) = streamed(&machine, words);
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        assert!(stream.as_ref() == Some(expected), "{words}");
        assert!(
            run.stderr.contains("the store's directory does not exist"),
            "{}",
            run.stderr
        );
        let instead = "restoring from the copy `second` in file://$T/second instead\n";
        assert!(run.stderr.ends_with(instead), "{}", run.stderr);
    }
    // Named, it is read without a question to home; `home` is home, and nothing takes its place.
    let (run, stream) = streamed(&machine, "--place second");
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    assert!(stream == Some(incremental));
    for name in ["home", "disk"] {
        let (run, stream) = streamed(&machine, &format!("--place {name}"));
        assert_eq!((run.code, stream), (Some(1), None), "{}", run.stderr);
        assert!(!run.stderr.contains("instead"), "{}", run.stderr);
    }
}

#[test]
fn a_copy_that_is_behind_restores_its_newest_and_says_what_it_lacks() {
    let machine = Machine::fed(None);
    machine.write_config(&two_stores());
    fs::create_dir(machine.path("second")).unwrap();
    let [full, incremental] = first_and_seventh(KIB);
    machine.run_with("decide 2024-01-01", &full);
    assert_eq!(machine.run("copy home --to second").code, Some(0));
    machine.run_with("decide 2024-01-07", &incremental);
    let lacks = "the copy in file://$T/second lacks the archives of 2024-01-07\n";
    let (run, stream) = streamed(&machine, "--place second");
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(run.stderr, format!("warning: home: {lacks}"));
    assert!(stream.as_ref() == Some(&full));
    let (run, stream) = streamed(&machine, "2024-01-07 --place second");
    assert_eq!((run.code, stream), (Some(2), None), "{}", run.stderr);
    fs::rename(machine.path("store"), machine.path("away")).unwrap();
    let (run, stream) = streamed(&machine, "");
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(run.stderr.ends_with(lacks), "{}", run.stderr);
    assert!(stream == Some(full));
    // No copy has this date, so it is home's error that counts.
    let (run, stream) = streamed(&machine, "2024-01-07");
    assert_eq!((run.code, stream), (Some(1), None), "{}", run.stderr);
    assert!(
        run.stderr.contains("does not exist") && !run.stderr.contains("instead"),
        "{}",
        run.stderr
    );
}

#[test]
fn a_place_that_is_no_copy_is_refused_with_what_to_do() {
    let machine = archived();
    for words in [
        "restore home --plan --place second",
        "thaw home --place second --yes",
        "verify home --place second",
        "show home --place second",
    ] {
        let run = machine.run(words);
        assert_eq!(run.code, Some(2), "{words}: {}", run.stderr);
        assert!(
            run.stderr.contains(
                "the catalog knows no copy of `home` in the store `second`\nhint: run `coldchain copy home --to second`"
            ),
            "{words}: {}",
            run.stderr
        );
        let unknown = machine.run(&words.replace("second", "third"));
        assert_eq!(unknown.code, Some(2), "{words}: {}", unknown.stderr);
        assert!(unknown.stderr.contains("third"), "{}", unknown.stderr);
    }
}

#[test]
fn a_damaged_segment_comes_from_the_copy_and_the_other_way_round() {
    let [full, _] = first_and_seventh(KIB);
    for (damaged, sound, words) in [
        ("store", "second", "2024-01-01"),
        ("second", "store", "2024-01-01 --place second"),
    ] {
        let machine = copied();
        let segments_there = segments(&machine, damaged, "2024-01-01");
        assert!(segments_there.len() >= 2);
        damage(&segments_there[0]);
        fs::remove_file(&segments_there[1]).unwrap();
        let (run, stream) = streamed(&machine, words);
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        assert!(stream.as_ref() == Some(&full));
        let said: Vec<&str> = run.stderr.lines().collect();
        assert_eq!(said.len(), 2, "{}", run.stderr);
        for (line, what) in said.iter().zip(["its SHA-256 is not", "it is missing"]) {
            assert!(line.contains(what), "{line}");
            let places =
                format!("in file://$T/{damaged}; took it from the copy in file://$T/{sound}");
            assert!(line.ends_with(&places), "{line}");
        }
        // Damaged in both, it is lost.
        damage(&segments(&machine, sound, "2024-01-01")[0]);
        let (run, stream) = streamed(&machine, words);
        assert_eq!((run.code, stream), (Some(6), None), "{}", run.stderr);
        assert!(
            run.stderr.contains("segment 0 of 2024-01-01-full-"),
            "{}",
            run.stderr
        );
    }
}

#[test]
fn each_level_of_a_check_looks_at_the_copy_alone() {
    let machine = copied();
    let levels = ["", "--checksums", "--deep --identity $T/kit"];
    for level in levels {
        let run = machine.run(&format!("verify home --place second {level}"));
        assert_eq!(run.code, Some(0), "{level}: {}{}", run.stdout, run.stderr);
        assert!(run.stdout.contains("file://$T/second"), "{}", run.stdout);
    }
    // Home's damage is not the copy's.
    damage(&segments(&machine, "store", "2024-01-01")[0]);
    let deep = "--deep --identity $T/kit";
    assert_eq!(
        machine
            .run(&format!("verify home --place second {deep}"))
            .code,
        Some(0)
    );
    assert_eq!(machine.run(&format!("verify home {deep}")).code, Some(6));
    // And what the copy's check finds is not recorded of home.
    let machine = copied();
    fs::remove_file(&segments(&machine, "second", "2024-01-07")[1]).unwrap();
    let run = machine.run("verify home --place second");
    assert_eq!(run.code, Some(6), "{}", run.stdout);
    assert!(
        machine
            .run("show home 2024-01-07 --place second")
            .stdout
            .contains("damaged")
    );
    assert!(
        !machine
            .run("show home 2024-01-07")
            .stdout
            .contains("damaged")
    );
    assert_eq!(machine.run("verify home").code, Some(0));
}

#[test]
fn a_copy_that_is_behind_is_sound_as_far_as_it_goes() {
    let machine = Machine::fed(None);
    machine.write_config(&two_stores());
    fs::create_dir(machine.path("second")).unwrap();
    let [full, incremental] = first_and_seventh(KIB);
    machine.run_with("decide 2024-01-01", &full);
    machine.run("copy home --to second");
    machine.run_with("decide 2024-01-07", &incremental);
    for level in ["", "--deep --identity $T/kit"] {
        let run = machine.run(&format!("verify home --place second {level}"));
        assert_eq!(run.code, Some(0), "{}{}", run.stdout, run.stderr);
        assert!(run.stdout.contains("1 archive"), "{}", run.stdout);
    }
    // An entry of it that is gone is damage.
    fs::remove_file(machine.path("second/home/ledger/00000001.entry")).unwrap();
    let run = machine.run("verify home --place second");
    assert_eq!(run.code, Some(6), "{}{}", run.stdout, run.stderr);
}

/// A config whose second store is cold.
fn cold_copy() -> String {
    let cold = "cold = \"DEEP_ARCHIVE\"\ncold_delay = \"0s\"";
    let config = fed_config();
    format!("{config}\n[store.second]\ntype = \"dir\"\npath = \"$T/second\"\n{cold}\n")
}

#[test]
fn a_cold_copy_is_thawed_and_read_with_its_own_class_and_price() {
    let machine = archived();
    machine.write_config(&cold_copy());
    assert_eq!(machine.run("copy home --to second").code, Some(0));
    let plan = |words: &str| {
        let run = machine.run(&format!("restore home --plan --json {words}"));
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        serde_json::from_str::<serde_json::Value>(&run.stdout).unwrap()
    };
    let (home, copy) = (plan("--from store"), plan("--place second"));
    assert_eq!(home["thaw"], serde_json::Value::Null);
    assert_eq!(copy["thaw"]["segments"], copy["segments"]);
    assert_eq!(copy["place"], "second");
    let refused = machine.run("thaw home --place second --yes --max-cost 0");
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    let status = machine.run("thaw home --place second --status");
    assert_eq!(status.code, Some(5), "{}", status.stderr);
    let hint = "hint: run `coldchain thaw home --place second` to thaw what is cold\n";
    assert!(status.stderr.ends_with(hint), "{}", status.stderr);
    // Home is warm, and its damage is mended only by what can be read there.
    fs::remove_file(&segments(&machine, "store", "2024-01-07")[0]).unwrap();
    let (run, stream) = streamed(&machine, "2024-01-07");
    assert_eq!((run.code, stream), (Some(6), None), "{}", run.stderr);
    let hint = "hint: run `coldchain thaw home --date 2024-01-07 --place second`, wait until all is readable, and run the same command again\n";
    assert!(run.stderr.ends_with(hint), "{}", run.stderr);

    let asked = machine.run("thaw home --place second --yes");
    assert_eq!(asked.code, Some(5), "{}", asked.stderr);
    let ready = machine.run("thaw home --place second --yes");
    assert_eq!(ready.code, Some(0), "{}", ready.stderr);
    assert!(
        ready.stdout.contains("segments are readable, until"),
        "{}",
        ready.stdout
    );
    let [_, incremental] = first_and_seventh(KIB);
    for words in ["2024-01-07", "2024-01-07 --place second"] {
        let (run, stream) = streamed(&machine, words);
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        assert!(stream.as_ref() == Some(&incremental), "{words}");
    }
}

#[test]
fn a_restore_with_home_gone_and_a_drill_equal_the_snapshots() {
    if !real_btrfs_available() {
        return;
    }
    let machine = Machine::with_subvolume(512);
    let second = "\n[store.second]\ntype = \"dir\"\npath = \"$T/second\"\n";
    machine.write_config(&format!("{LIVE_CONFIG}{second}"));
    fs::create_dir(machine.path("second")).unwrap();
    for (seed, date) in [(1, "2024-01-01"), (2, "2024-01-07")] {
        let noise = Rng::new(seed).bytes(3 << 20);
        fs::write(machine.btrfs().path("home").join(date), noise).unwrap();
        let run = machine.run(&format!("backup {date} --date-override --quiet"));
        assert_eq!(run.code, Some(0), "{}", run.stderr);
    }
    assert_eq!(machine.run("copy home --to second").code, Some(0));
    fs::rename(machine.path("store"), machine.path("away")).unwrap();
    let drill = machine.run("verify home --place second --drill --identity $T/kit");
    assert_eq!(drill.code, Some(0), "{}{}", drill.stdout, drill.stderr);
    let to = LoopFs::new(256);
    let words = format!(
        "restore home --from store --to {} --identity $T/kit --yes --quiet",
        to.root().display()
    );
    let run = machine.run(&words);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(
        run.stderr.contains("restoring from the copy `second`"),
        "{}",
        run.stderr
    );
    for date in ["2024-01-01", "2024-01-07"] {
        let snapshot = machine.btrfs().path("snapshots").join(date);
        compare_trees(&snapshot, &to.path("home").join(date));
    }
    // By hand, from the copy.
    let script = machine.run("restore home --explain --place second --to /mnt --identity $T/kit");
    assert_eq!(script.code, Some(0), "{}", script.stderr);
    assert!(script.stdout.contains("$T/second"), "{}", script.stdout);
    assert!(!script.stdout.contains("$T/store"), "{}", script.stdout);
}
