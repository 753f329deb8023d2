//! A snapshot that can't be sent, because a block of a file is damaged or a path is too long. The run names what it is;
//! and once that is gone from the source, the next date is archived.

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;

use crate::common::loopfs::{btrfs, real_btrfs_available, run};
use crate::common::rng::Rng;
use crate::common::sandbox::{Ran, Sandbox, Setup};
use rustix::fs::{CWD, Mode, OFlags};

const DATES: [&str; 3] = ["2025-01-01", "2025-01-07", "2025-01-14"];

/// Damages a file's content on the disk, behind the filesystem's back.
fn damage(sandbox: &Sandbox, file: &Path, content: &[u8]) {
    btrfs(["filesystem", "sync"], &[&sandbox.fs.root()]);
    let image = sandbox.fs.image();
    let on_disk = fs::read(&image).unwrap();
    let block = &content[..4096];
    let at = on_disk.chunks(4096).position(|bytes| bytes == block);
    let at = 4096 * at.expect("it is not compressed") as u64;
    let image = File::options().write(true).open(image).unwrap();
    image.write_all_at(b"damaged", at).unwrap();
    image.sync_all().unwrap();
    // What was read before is still in memory.
    let file = File::open(file).unwrap();
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
}

/// The same without the kernel's log, as in a container.
fn backup_without_log(sandbox: &Sandbox, date: &str) -> Ran {
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c"])
        .arg("mount --bind /dev/null /dev/kmsg && exec \"$0\" backup \"$1\"")
        .args([env!("CARGO_BIN_EXE_coldchain"), date])
        .env("COLDCHAIN_CONFIG", sandbox.config())
        .output()
        .unwrap();
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

fn fails_naming(ran: &Ran, what: &str) {
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains(what), "{ran:?}");
    assert!(
        ran.stderr
            .contains("the next date's snapshot is archived in place of this one"),
        "{ran:?}"
    );
}

#[test]
fn a_damaged_file_is_named_and_stops_no_night_after_it_is_gone() {
    if !real_btrfs_available() {
        return;
    }
    for top in ["", "sender = \"parallel\""] {
        names_a_damaged_file(&Sandbox::with(&Setup {
            top,
            ..Setup::default()
        }));
    }
}

fn names_a_damaged_file(sandbox: &Sandbox) {
    let mut rng = Rng::new(5);
    let directory = sandbox.source().join("sub");
    fs::create_dir(&directory).unwrap();
    for number in 0..20 {
        fs::write(directory.join(format!("good {number}")), rng.bytes(50_000)).unwrap();
    }
    let bad = directory.join("bad");
    let content = rng.bytes(50_000);
    fs::write(&bad, &content).unwrap();
    damage(sandbox, &bad, &content);

    let named = "the file sub/bad in it can't be read";
    fails_naming(&sandbox.run(["backup", DATES[0]]), named);
    fails_naming(&backup_without_log(sandbox, DATES[0]), named);
    // What is stored of the first is not given up while a later one would fail alike.
    let again = sandbox.run(["backup", DATES[1]]);
    fails_naming(&again, named);
    assert!(!again.stderr.contains("given up"), "{again:?}");

    fs::remove_file(&bad).unwrap();
    let passed = sandbox.run(["backup", DATES[2]]).ok();
    let said = format!(
        "the unfinished archive of {} is given up, since its snapshot can't be sent: ",
        DATES[0]
    );
    assert!(passed.stderr.contains(&said), "{passed:?}");
    assert!(passed.stderr.contains(named), "{passed:?}");
    assert_eq!(sandbox.committed(), [DATES[2]]);
    sandbox.restores_equal(&DATES[2..]);
}

/// Makes a file whose path below the directory has so many bytes.
fn make_long_path(directory: &Path, length: usize) {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut at: OwnedFd = rustix::fs::openat(CWD, directory, flags, Mode::empty()).unwrap();
    let mut left = length;
    while left > 255 {
        let name = "d".repeat(254.min(left - 2));
        left -= name.len() + 1;
        rustix::fs::mkdirat(&at, name.as_str(), Mode::RWXU).unwrap();
        at = rustix::fs::openat(&at, name.as_str(), flags, Mode::empty()).unwrap();
    }
    let name = "f".repeat(left);
    let flags = OFlags::CREATE | OFlags::WRONLY;
    drop(rustix::fs::openat(&at, name.as_str(), flags, Mode::RUSR).unwrap());
}

#[test]
fn a_path_that_is_too_long_is_named_and_stops_no_night_after_it_is_gone() {
    if !real_btrfs_available() {
        return;
    }
    for length in [4091, 4097, 9000] {
        let sandbox = Sandbox::new();
        let deep = sandbox.source().join("deep");
        fs::create_dir(&deep).unwrap();
        make_long_path(&deep, length - "deep/".len());
        for date in &DATES[..2] {
            let ran = sandbox.run(["backup", date]);
            assert_eq!(ran.code, Some(1), "{length}: {ran:?}");
            assert!(ran.stderr.contains("deep/ddd"), "{length}: {ran:?}");
            assert!(
                ran.stderr.contains("shorten this path in the source"),
                "{length}: {ran:?}"
            );
            assert!(!ran.stderr.contains("given up"), "{length}: {ran:?}");
        }
        run(Command::new("rm").arg("-r").arg(&deep)).unwrap();
        let passed = sandbox.run(["backup", DATES[2]]).ok();
        assert!(
            passed
                .stderr
                .contains("is given up, since its snapshot can't be sent"),
            "{passed:?}"
        );
        assert_eq!(sandbox.committed(), [DATES[2]]);
    }
}

#[test]
fn the_longest_path_is_archived_and_restored() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = Sandbox::new();
    make_long_path(&sandbox.source(), 4090);
    sandbox.backup(DATES[0]);
    let other = crate::common::loopfs::LoopFs::new(512);
    sandbox.restore(DATES[0], &other.root()).ok();
}
