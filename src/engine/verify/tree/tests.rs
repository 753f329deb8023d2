use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::{Duration, UNIX_EPOCH};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, XattrFlags, utimensat};

use super::*;

/// Gives everything below a directory, and itself, one time of modification.
fn settle(directory: &Path) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.is_symlink() {
            settle(&path);
            continue;
        }
        let at = Timespec {
            tv_sec: 86_400,
            tv_nsec: 5,
        };
        let times = Timestamps {
            last_access: at,
            last_modification: at,
        };
        utimensat(CWD, &path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
    }
    let at = UNIX_EPOCH + Duration::new(86_400, 5);
    File::open(directory).unwrap().set_modified(at).unwrap();
}

fn tree() -> tempfile::TempDir {
    let tree = tempfile::tempdir().unwrap();
    let path = |name: &str| tree.path().join(name);
    fs::create_dir_all(path("deep/er")).unwrap();
    fs::write(path("deep/er/file"), "content").unwrap();
    fs::write(path("deep/long"), vec![7; STEP + 1]).unwrap();
    fs::write(path("one"), "x").unwrap();
    fs::hard_link(path("one"), path("two")).unwrap();
    fs::write(path("three"), "x").unwrap();
    fs::hard_link(path("three"), path("zour")).unwrap();
    symlink("one", path("link")).unwrap();
    settle(tree.path());
    tree
}

/// Returns what differs in a tree after this change.
fn after(change: impl FnOnce(&Path)) -> Option<String> {
    let [one, other] = [tree(), tree()];
    change(other.path());
    settle(other.path());
    first_difference(one.path(), other.path(), &Interrupt::new()).unwrap()
}

#[test]
fn trees_that_are_the_same_do_not_differ() {
    assert_eq!(after(|_| {}), None);
}

#[test]
fn whatever_a_stream_carries_is_compared() {
    type Change = fn(&Path);
    let changes: [(Change, &str); 8] = [
        (
            |tree| fs::write(tree.join("deep/er/file"), "Content").unwrap(),
            "`deep/er/file` has another content",
        ),
        (
            |tree| {
                let mut long = vec![7; STEP + 1];
                long[STEP] = 8;
                fs::write(tree.join("deep/long"), long).unwrap();
            },
            "`deep/long` has another content",
        ),
        (
            |tree| fs::write(tree.join("three"), "xy").unwrap(),
            "`three` has another length: 2 and not 1",
        ),
        (
            |tree| fs::set_permissions(tree.join("one"), Permissions::from_mode(0o7)).unwrap(),
            "`one` has another type and mode: 100007 and not 100644",
        ),
        (
            |tree| fs::write(tree.join("deep/new"), "").unwrap(),
            "`deep` has other files in it, `new` among them",
        ),
        (
            |tree| fs::remove_file(tree.join("deep/er/file")).unwrap(),
            "`deep/er` has other files in it, `file` among them",
        ),
        (
            |tree| {
                fs::remove_file(tree.join("link")).unwrap();
                symlink("two", tree.join("link")).unwrap();
            },
            "`link` points elsewhere",
        ),
        (
            |tree| {
                // The contents and numbers of names stay the same, but one is a name of another file.
                for name in ["two", "zour"] {
                    fs::remove_file(tree.join(name)).unwrap();
                }
                fs::hard_link(tree.join("one"), tree.join("zour")).unwrap();
                fs::hard_link(tree.join("three"), tree.join("two")).unwrap();
            },
            "`two` is a hard link to another file than in the snapshot",
        ),
    ];
    for (change, expected) in changes {
        assert_eq!(after(change).as_deref(), Some(expected));
    }
}

#[test]
fn times_and_attributes_are_compared_too() {
    let [one, other] = [tree(), tree()];
    let at = UNIX_EPOCH + Duration::new(86_400, 6);
    let file = File::open(other.path().join("deep/long")).unwrap();
    file.set_modified(at).unwrap();
    let differs = || first_difference(one.path(), other.path(), &Interrupt::new()).unwrap();
    assert_eq!(
        differs().unwrap(),
        "`deep/long` has another time of modification: 86400.000000006 and not 86400.000000005"
    );
    let [one, other] = [tree(), tree()];
    rustix::fs::lsetxattr(
        other.path().join("deep"),
        "user.more",
        b"1",
        XattrFlags::empty(),
    )
    .unwrap();
    let differs = first_difference(one.path(), other.path(), &Interrupt::new()).unwrap();
    assert_eq!(
        differs.as_deref(),
        Some("`deep` has other extended attributes")
    );
}
