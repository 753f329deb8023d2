//! What `doctor` finds of a source's filesystem: a subvolume that was received, and space that runs out.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use coldchain::btrfs::filesystem_id;

use crate::common::loopfs::{btrfs, real_btrfs_available};
use crate::common::machine::{LIVE_CONFIG, Machine};
use crate::common::received::make_writable;
use crate::doctor_here::{Orderly, found};

#[test]
fn a_subvolume_that_was_received_and_made_writable_is_warned_of() {
    if !real_btrfs_available() {
        return;
    }
    let orderly = Orderly::of(Machine::with_subvolume(256), LIVE_CONFIG);
    let (machine, disk) = (&orderly.machine, orderly.machine.btrfs());
    let (stream, sent) = (machine.path("stream"), disk.path("sent"));
    btrfs(
        ["subvolume", "snapshot", "-r"],
        &[&disk.path("home"), &sent],
    );
    btrfs(["send", "-q", "-f"], &[&stream, &sent]);
    let elsewhere = disk.path("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    btrfs(["receive", "-f"], &[&stream, &elsewhere]);
    make_writable(&elsewhere.join("sent"));
    let config = LIVE_CONFIG.replace("$FS/home", "$FS/elsewhere/sent");
    machine.write_config(&config);
    let text = "/elsewhere/sent was made by `btrfs receive` and then writable";
    orderly.warns("source home", "subvolume", text);
    let mend = "make a new one of it with `btrfs subvolume snapshot ASIDE ";
    orderly.finds("source home", "subvolume", "warn", mend, 0);
    // What it says helps.
    let (received, aside) = (elsewhere.join("sent"), disk.path("aside"));
    fs::rename(&received, &aside).unwrap();
    btrfs(["subvolume", "snapshot"], &[&aside, &received]);
    orderly.finds("source home", "subvolume", "ok", "/elsewhere/sent", 0);
}

fn free(path: &Path) -> u64 {
    let found = rustix::fs::statvfs(path).unwrap();
    found.f_bavail * found.f_frsize
}

#[test]
fn little_free_space_is_warned_of() {
    if !real_btrfs_available() {
        return;
    }
    let orderly = Orderly::of(Machine::with_subvolume(256), LIVE_CONFIG);
    let root = orderly.machine.btrfs().root();
    orderly.finds("source home", "space", "ok", " are free", 0);
    let mut filler = File::create(root.join("filler")).unwrap();
    let piece = vec![7; 4 << 20];
    while free(&root) >= 60 << 20 {
        filler.write_all(&piece).unwrap();
        filler.sync_all().unwrap();
    }
    let text = "; delete snapshots or files";
    orderly.warns("source home", "space", text);
}

/// What the kernel shows of a filesystem whose metadata is full, while there is room for data.
#[test]
fn little_space_for_metadata_is_warned_of() {
    if !real_btrfs_available() {
        return;
    }
    let orderly = Orderly::of(Machine::with_subvolume(256), LIVE_CONFIG);
    let machine = &orderly.machine;
    let filesystem = filesystem_id(&machine.btrfs().root()).unwrap();
    let shown = format!("/sys/fs/btrfs/{filesystem}/allocation");
    let total = fs::read_to_string(format!("{shown}/metadata/total_bytes")).unwrap();
    fs::write(machine.path("used"), total).unwrap();
    fs::write(machine.path("allocated"), (256 << 20).to_string()).unwrap();
    let script = format!(
        "mount --bind $T/used {shown}/metadata/bytes_used && mount --bind $T/allocated {shown}/data/disk_total && \
         exec \"$0\" \"$@\""
    );
    let run = orderly.run_in(&script);
    let text = ", 0 B of them for metadata, which can grow by 0 B; delete snapshots, then run `btrfs balance start -dusage=20 ";
    found(&run, "source home", "space", ("warn", text), 0);
}
