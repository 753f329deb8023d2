//! What a rebuilt catalog knows of sources that are in no store, and of their mirrors.

use std::fs;

use super::disks::{Disks, MIRROR, sent};
use crate::common::loopfs::real_btrfs_available;
use crate::common::machine::LIVE_CONFIG;
use crate::common::tree::compare_trees;

/// A source without a store, and one whose store was away when its first archive was due.
const BESIDE: &str = r#"
[[source]]
name = "alone"
subvolume = "$FS/alone"
snapshots = "$FS/alone-snapshots"
keep = 3

[[source]]
name = "late"
subvolume = "$FS/late"
snapshots = "$FS/late-snapshots"
store = "away"

[store.away]
type = "dir"
path = "$T/away"
"#;

#[test]
fn a_rebuild_keeps_the_snapshots_of_sources_that_no_ledger_knows() {
    if !real_btrfs_available() {
        return;
    }
    let disks = Disks::without_mirror(51);
    let fs = disks.machine.btrfs();
    for name in ["alone", "late"] {
        fs::write(fs.subvolume(name).join("file"), name).unwrap();
        fs::create_dir(fs.path(format!("{name}-snapshots"))).unwrap();
    }
    let mirror = MIRROR.replace("home", "alone");
    disks.config(&LIVE_CONFIG.replace("[encryption]", &format!("{BESIDE}{mirror}\n[encryption]")));
    let init = disks.run("init --kit $T/kit --quiet");
    assert_eq!(init.code, Some(0), "{}", init.stderr);
    disks.night("2024-01-01");
    for date in ["2024-01-01", "2024-01-02", "2024-01-03"] {
        let night = disks.run(&format!("backup alone {date}"));
        assert_eq!(night.code, Some(0), "{}", night.stderr);
    }
    fs::rename(disks.machine.path("away"), disks.machine.path("gone")).unwrap();
    let late = disks.run("backup late 2024-01-01");
    assert_eq!(late.code, Some(1), "{}{}", late.stdout, late.stderr);
    fs::rename(disks.machine.path("gone"), disks.machine.path("away")).unwrap();

    let known = disks.run("snapshots --json");
    for part in ["2024-01-03", "late-snapshots/2024-01-01"] {
        assert!(known.stdout.contains(part), "{}", known.stdout);
    }
    let rebuilt = disks.run("catalog rebuild --identity $T/kit");
    assert_eq!(
        rebuilt.code,
        Some(0),
        "{}{}",
        rebuilt.stdout,
        rebuilt.stderr
    );
    assert_eq!(disks.run("snapshots --json").stdout, known.stdout);

    // So the next one is sent against the one before, and the oldest is still deleted as coldchain's own.
    fs::write(fs.path("alone/file"), "changed").unwrap();
    let night = disks.run("backup alone 2024-01-04 --json");
    assert_eq!(night.code, Some(0), "{}", night.stderr);
    assert!(
        night.stdout.contains(r#""parent":"2024-01-03""#),
        "{}",
        night.stdout
    );
    compare_trees(
        &fs.path("alone-snapshots/2024-01-04"),
        &disks.second.path("alone/2024-01-04"),
    );
    assert!(!fs.path("alone-snapshots/2024-01-01").exists());
    assert!(sent(&disks.run("mirror alone --json")).is_empty());
    let late = disks.run("backup late 2024-01-01");
    assert_eq!(late.code, Some(0), "{}{}", late.stdout, late.stderr);
    assert!(late.stdout.contains("archived, full"), "{}", late.stdout);
}
