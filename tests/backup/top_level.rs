//! The top level of a filesystem as a source: its snapshots may be reached by another mount, and it may have no uuid.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::loopfs::{btrfs, real_btrfs_available, run};
use crate::common::sandbox::{SOURCE, Sandbox};

/// A mount that is taken away when it is dropped, also by a panic.
struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let unmounted = run(Command::new("umount").arg(&self.0));
        assert!(
            unmounted.is_ok() || std::thread::panicking(),
            "{unmounted:?}"
        );
    }
}

/// Lets the config name another subvolume, and another directory of snapshots.
fn archive(sandbox: &Sandbox, subvolume: &Path, snapshots: &Path) {
    let config = fs::read_to_string(sandbox.config()).unwrap();
    let named = |key: &str, path: &Path| format!("{key} = \"{}\"", path.display());
    let lines = config.lines().map(|line| match line.trim() {
        line if line.starts_with("subvolume = ") => named("subvolume", subvolume),
        line if line.starts_with("snapshots = ") => named("snapshots", snapshots),
        line => line.to_owned(),
    });
    let config: Vec<String> = lines.collect();
    fs::write(sandbox.config(), config.join("\n")).unwrap();
}

#[test]
fn its_snapshots_are_no_nested_subvolumes_by_whatever_mount_they_are_reached() {
    if !real_btrfs_available() {
        return;
    }
    for is_subvolume in [true, false] {
        let sandbox = Sandbox::new();
        let root = sandbox.fs.root();
        let inside = root.join("of coldchain");
        if is_subvolume {
            btrfs(["subvolume", "create"], &[&inside]);
        } else {
            fs::create_dir(&inside).unwrap();
        }
        let outside = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        if is_subvolume {
            let device = run(Command::new("findmnt").args(["-no", "SOURCE"]).arg(&root)).unwrap();
            let device = String::from_utf8(device.stdout).unwrap();
            mount.args(["-o", "subvol=of coldchain", device.trim()]);
        } else {
            mount.arg("--bind").arg(&inside);
        }
        run(mount.arg(outside.path())).unwrap();
        let _mounted = Mounted(outside.path().to_owned());
        archive(&sandbox, &root, outside.path());

        let first = sandbox.backup("2025-01-01");
        let nested = root.join(SOURCE);
        let warning = format!(
            "nested subvolumes are left out of its snapshots: {}\n",
            nested.display()
        );
        assert!(first.stderr.ends_with(&warning), "{first:?}");
        for date in ["2025-01-02", "2025-01-03"] {
            assert_eq!(sandbox.backup(date).stderr, "", "{is_subvolume}");
        }
        let planned = sandbox.run(["plan", "2025-01-04"]).ok();
        assert!(planned.stderr.ends_with(&warning), "{planned:?}");
        // Others that lie beside them are still named.
        let beside = root.join("of coldchain, not");
        btrfs(["subvolume", "create"], &[&beside]);
        let found = sandbox.backup("2025-01-05");
        let named = format!("{}, {}", nested.display(), beside.display());
        assert!(found.stderr.contains(&named), "{found:?}");
        btrfs(["subvolume", "delete"], &[&beside]);
    }
}

/// Where a filesystem's first superblock is.
const SUPERBLOCK: usize = 64 << 10;

/// Makes the top level what `mkfs.btrfs` made before Linux 3.6: a subvolume without a uuid.
fn forget_uuid(sandbox: &Sandbox) {
    let (image, root) = (sandbox.fs.image(), sandbox.fs.root());
    run(Command::new("umount").arg(&root)).unwrap();
    let mut disk = fs::read(&image).unwrap();
    let long = |at: usize, disk: &[u8]| u64::from_le_bytes(disk[at..at + 8].try_into().unwrap());
    let short = |at: usize, disk: &[u8]| {
        let bytes = disk[at..at + 4].try_into().unwrap();
        usize::try_from(u32::from_le_bytes(bytes)).unwrap()
    };
    let root_tree = long(SUPERBLOCK + 0x50, &disk);
    let node = short(SUPERBLOCK + 0x94, &disk);
    let mut copies = 0;
    for at in (0..disk.len() - node).step_by(4096) {
        let block = &mut disk[at..at + node];
        // Its address, and the tree that it is of.
        if long(48, block) != root_tree || long(88, block) != 1 {
            continue;
        }
        assert_eq!(block[100], 0, "a leaf");
        for item in 0..short(96, block) {
            let header = 101 + 25 * item;
            // The root item of the top level.
            if (long(header, block), block[header + 8]) == (5, 132) {
                let data = 101 + short(header + 17, block);
                block[data + 247..data + 263].fill(0);
            }
        }
        let checksum = crc32c::crc32c(&block[32..]);
        block[..4].copy_from_slice(&checksum.to_le_bytes());
        copies += 1;
    }
    assert!(copies > 0);
    fs::write(&image, disk).unwrap();
    run(Command::new("mount")
        .args(["-o", "loop"])
        .arg(&image)
        .arg(&root))
    .unwrap();
}

#[test]
fn one_without_a_uuid_is_refused_with_a_way_out() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = Sandbox::new();
    let root = sandbox.fs.root();
    // A snapshot has an empty directory in its place, which no stream has.
    btrfs(["subvolume", "delete"], &[&sandbox.source()]);
    fs::write(root.join("file"), "content").unwrap();
    forget_uuid(&sandbox);
    let snapshots = sandbox.fs.path("snapshots");
    archive(&sandbox, &root, &snapshots);
    let said = format!(
        "error: the subvolume {0} has no uuid: it is the top level of a filesystem that was made before Linux 3.6\n\
         hint: archive a subvolume inside it instead; `btrfs subvolume snapshot {0} {0}/NAME` makes one with the same content\n",
        root.display()
    );
    let ran = sandbox.run(["backup", "2025-01-01"]);
    assert_eq!((ran.code, ran.stderr), (Some(2), said));
    // As the hint has it.
    let data = root.join("data");
    btrfs(["subvolume", "snapshot"], &[&root, &data]);
    archive(&sandbox, &data, &snapshots);
    sandbox.backup("2025-01-01");
    fs::write(data.join("file"), "other content").unwrap();
    sandbox.backup("2025-01-07");
    assert_eq!(sandbox.archives("committed")[1]["kind"], "incremental");
    sandbox.restores_equal(&["2025-01-01", "2025-01-07"]);
}
