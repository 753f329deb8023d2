//! Restores onto filesystems that can't hold what is restored, or hold it less well: it is said before anything is
//! fetched, with the mount option, the property or the size that is in the way.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::common::loopfs::{LoopFs, btrfs, real_btrfs_available, run};
use crate::common::rng::Rng;
use crate::common::sandbox::{SOURCE, Sandbox, Setup};
use crate::common::tree::{compare_trees, make_rich_tree};
use rustix::fs::XattrFlags;

const DATE: &str = "2025-01-01";

fn archived() -> Sandbox {
    let sandbox = Sandbox::new();
    make_rich_tree(&sandbox.source(), &mut Rng::new(5));
    sandbox.backup(DATE);
    sandbox
}

/// Takes the segments away: whatever fetches one fails by that.
fn without_segments(sandbox: &Sandbox, act: impl FnOnce()) {
    let archives = sandbox.store().join(SOURCE).join("archives");
    let aside = sandbox.store().join("aside");
    fs::rename(&archives, &aside).unwrap();
    act();
    fs::rename(&aside, &archives).unwrap();
}

#[test]
fn a_target_without_access_control_lists_is_refused_before_anything_is_fetched() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = archived();
    let target = LoopFs::with_options(256, "noacl");
    without_segments(&sandbox, || {
        let ran = sandbox.restore(DATE, &target.root());
        assert_eq!(ran.code, Some(2), "{ran:?}");
        let said = format!(
            "error: {} is mounted with `noacl`: it takes no access control lists\n\
             hint: mount that filesystem with the option `acl`, and run again\n",
            target.root().display()
        );
        assert!(ran.stderr.ends_with(&said), "{ran:?}");
    });
    assert!(!target.path(SOURCE).exists());
    run(Command::new("mount")
        .args(["-o", "remount,acl"])
        .arg(target.root()))
    .unwrap();
    sandbox.restore(DATE, &target.root()).ok();
    compare_trees(&sandbox.snapshot(DATE), &target.path(SOURCE).join(DATE));
}

#[test]
fn a_target_that_makes_no_checksums_is_warned_of_before_anything_is_fetched() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = archived();
    for (options, named) in [
        ("nodatacow", Some("nodatacow")),
        ("nodatasum", Some("nodatasum")),
        ("compress=zstd,noatime", None),
    ] {
        let target = LoopFs::with_options(256, options);
        let below = target.path("a directory");
        fs::create_dir(&below).unwrap();
        let warning = named.map_or_else(String::new, |option| {
            format!(
                "warning: {SOURCE}: {} is mounted with `{option}`: what is restored has no checksums there, so btrfs \
                 can't find damage in it; mount it without that option before you restore\n",
                below.display()
            )
        });
        without_segments(&sandbox, || {
            let ran = sandbox.restore(DATE, &below);
            assert_eq!(ran.code, Some(6), "{ran:?}");
            assert!(ran.stderr.contains(&warning), "{ran:?}");
        });
        let ran = sandbox.restore(DATE, &below).ok();
        assert_eq!(ran.stderr.matches("warning").count(), named.iter().count());
        compare_trees(&sandbox.snapshot(DATE), &below.join(SOURCE).join(DATE));
    }
}

#[test]
fn what_is_restored_inherits_no_compression_property() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = archived();
    let target = LoopFs::new(256);
    let below = target.subvolume("below");
    let words = ["compression", "zstd"].map(Path::new);
    btrfs(["property", "set"], &[&below, words[0], words[1]]);
    let ran = sandbox.restore(DATE, &below).ok();
    let said = format!(
        "{} lies in a subvolume with the compression property `zstd`: what is restored does not inherit it",
        below.display()
    );
    assert!(ran.stderr.contains(&said), "{ran:?}");
    let restored = below.join(SOURCE).join(DATE);
    compare_trees(&sandbox.snapshot(DATE), &restored);
    let mut value = [0; 64];
    let none = Err(rustix::io::Errno::NODATA);
    let property =
        |path: &Path, value: &mut [u8]| rustix::fs::getxattr(path, "btrfs.compression", value);
    assert_eq!(property(&restored, &mut value), none);
    // One that was archived comes back.
    let packed = sandbox.source().join("packed");
    fs::create_dir(&packed).unwrap();
    btrfs(["property", "set"], &[&packed, words[0], Path::new("lzo")]);
    sandbox.backup("2025-01-07");
    let ran = sandbox.restore("2025-01-07", &below).ok();
    assert!(!ran.stderr.contains("property"), "{ran:?}");
    let restored = below.join(SOURCE).join("2025-01-07/packed");
    assert_eq!(property(&restored, &mut value), Ok(3));
}

#[test]
fn an_attribute_that_is_too_long_for_the_target_is_named_with_what_it_takes() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = Sandbox::with(&Setup {
        mkfs: &["--nodesize", "65536"],
        ..Setup::default()
    });
    let directory = sandbox.source().join("sub");
    fs::create_dir(&directory).unwrap();
    // As much as a target with blocks of so many bytes takes, then a byte more.
    let night = |date: &str, node: usize, more: usize| {
        let name = "user.of_it";
        let value = vec![7; node - 156 - name.len() + more];
        let file = directory.join(format!("file of {node}"));
        fs::write(&file, "content").unwrap();
        rustix::fs::setxattr(&file, name, &value, XattrFlags::empty()).unwrap();
        sandbox.backup(date);
    };
    let fits = |date: &str, node: &'static str| {
        let target = LoopFs::made_with(256, &["--nodesize", node], "");
        sandbox.restore(date, &target.root()).ok();
        compare_trees(&sandbox.snapshot(date), &target.path(SOURCE).join(date));
    };
    let refuses = |date: &str, node: &'static str| {
        let target = LoopFs::made_with(256, &["--nodesize", node], "");
        let ran = sandbox.restore(date, &target.root());
        let bytes: usize = node.parse().unwrap();
        let said = format!(
            "error: cannot restore sub/file of {node}: its attribute user.of_it has {} bytes with its name, and the \
             filesystem of {}, whose nodesize is {node}, takes {}\n\
             hint: restore onto a btrfs that was made with `mkfs.btrfs --nodesize {}`, or with a larger nodesize\n",
            bytes - 155,
            target.path(SOURCE).display(),
            bytes - 156,
            2 * bytes
        );
        assert!(ran.stderr.ends_with(&said), "{ran:?}");
        assert_eq!(ran.code, Some(2), "{ran:?}");
    };
    night("2025-01-01", 4096, 0);
    fits("2025-01-01", "4096");
    night("2025-01-07", 4096, 1);
    refuses("2025-01-07", "4096");
    night("2025-01-14", 16_384, 0);
    fits("2025-01-14", "16384");
    night("2025-01-21", 16_384, 1);
    refuses("2025-01-21", "16384");
    fits("2025-01-21", "65536");
}

#[test]
fn a_target_that_can_t_be_is_refused_before_anybody_is_asked() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = archived();
    let nested = sandbox.source().join("restored");
    fs::create_dir(&nested).unwrap();
    let (kit, tmp) = (sandbox.kit(), tempfile::tempdir_in("/dev/shm").unwrap());
    let inside = "it lies in the subvolume of `home`";
    for (to, said) in [
        (sandbox.source(), inside),
        (nested.clone(), inside),
        (sandbox.fs.path("none"), "there is no target directory"),
        (tmp.path().to_owned(), "btrfs"),
    ] {
        // Without --yes, and without a terminal to ask on: what is asked would be refused with other words.
        let args = [
            OsStr::new("restore"),
            OsStr::new(SOURCE),
            OsStr::new("--from"),
            OsStr::new("store"),
            OsStr::new("--to"),
            to.as_os_str(),
        ];
        let ran = sandbox.run(
            args.into_iter()
                .chain([OsStr::new("--identity"), kit.as_os_str()]),
        );
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.stderr.contains(said), "{said}: {ran:?}");
        assert!(!ran.stderr.contains("confirmation"), "{ran:?}");
    }
    assert_eq!(fs::read_dir(&nested).unwrap().count(), 0);
    // A subvolume of its own below the source is none of it.
    let own = sandbox.source().join("own");
    btrfs(["subvolume", "create"], &[&own]);
    sandbox.restore("2025-01-01", &own).ok();
}
