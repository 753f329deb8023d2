//! A directory store with a symbolic link where coldchain made a directory or an object: every
//! command says so, and what lies behind it is neither read nor changed.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use crate::common::loopfs::{btrfs, real_btrfs_available};
use crate::common::machine::Machine;

/// Names, contents and times of all that is there.
fn everything(directory: &Path) -> String {
    let output = Command::new("find")
        .arg(directory)
        .args(["-printf", "%P %y %s %T@ %C@\n"])
        .output()
        .unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_link_in_the_store_leads_no_command_out_of_it() {
    if !real_btrfs_available() {
        return;
    }
    let machine = Machine::with_subvolume(256);
    let ran = machine.run("backup --date-override 2024-01-01");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let segment = machine.objects(".zst.age").pop().unwrap();
    let entry = machine.objects(".entry").pop().unwrap();
    let archive = segment.parent().unwrap();
    let store = machine.path("store");
    let back = machine.btrfs().root().join("back");
    let outside = machine.path("outside");
    for place in [
        &store.join("home"),
        &store.join("home/archives"),
        &store.join("home/ledger"),
        archive,
        &segment,
        &entry,
    ] {
        fs::rename(place, &outside).unwrap();
        symlink(&outside, place).unwrap();
        let before = everything(&outside);
        fs::create_dir(&back).unwrap();
        for words in [
            "backup --date-override 2024-01-07",
            "verify --identity $T/kit",
            "verify --deep --identity $T/kit",
            "restore home --from store --to $FS/back --identity $T/kit --yes",
            "prune",
            "catalog check --identity $T/kit",
            "catalog rebuild --identity $T/kit --store file://$T/store --state-dir $T/other",
        ] {
            let ran = machine.run(words);
            let place = place.strip_prefix(&store).unwrap().to_str().unwrap();
            // What the catalog knows of an archive that is whole can be restored.
            let goes_by_catalog = place == "home/ledger" && words.starts_with("restore");
            let is_directory = ["home", "home/archives", "home/ledger"].contains(&place);
            if goes_by_catalog {
                assert_eq!(ran.code, Some(0), "{place}: {words}: {ran:?}");
                assert!(ran.stderr.contains("`home/ledger` is a symbolic link"));
            } else if is_directory || words.starts_with("verify") {
                assert_eq!(ran.code, Some(6), "{place}: {words}: {ran:?}");
            }
        }
        assert_eq!(everything(&outside), before, "{}", place.display());
        let _ = fs::remove_dir_all(machine.path("other"));
        for date in ["2024-01-01", "2024-01-07"] {
            let restored = back.join("home").join(date);
            if restored.exists() {
                btrfs(["subvolume", "delete"], &[&restored]);
            }
        }
        let _ = fs::remove_dir_all(&back);
        fs::remove_file(place).unwrap();
        fs::rename(&outside, place).unwrap();
    }
}
