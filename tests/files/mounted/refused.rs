//! What can't be mounted, and what can't be done in a mount.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;

use rustix::fs::{CWD, Timespec, Timestamps, XattrFlags};
use rustix::process::Signal;

use super::{Mounted, with_file};

#[test]
fn nothing_can_be_written() {
    let Some(machine) = with_file(b"data") else {
        return;
    };
    let mounted = Mounted::new(&machine);
    let date = mounted.date("2026-11-07");
    let file = date.join("file");
    let now = Timestamps {
        last_access: Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        },
        last_modification: Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        },
    };
    let no_flags = rustix::fs::AtFlags::empty();
    for (what, tried) in [
        ("write", fs::write(&file, "x")),
        ("create", fs::write(date.join("new"), "x")),
        ("mkdir", fs::create_dir(date.join("new"))),
        ("mkdir above", fs::create_dir(mounted.at.join("new"))),
        (
            "chmod",
            fs::set_permissions(&file, fs::Permissions::from_mode(0o777)),
        ),
        ("unlink", fs::remove_file(&file)),
        ("rename", fs::rename(&file, date.join("other"))),
        ("link", fs::hard_link(&file, date.join("other"))),
        (
            "symlink",
            std::os::unix::fs::symlink("x", date.join("other")),
        ),
        (
            "times",
            rustix::fs::utimensat(CWD, &file, &now, no_flags).map_err(Into::into),
        ),
        (
            "xattr",
            rustix::fs::setxattr(&file, "user.a", b"b", XattrFlags::empty()).map_err(Into::into),
        ),
    ] {
        let error = tried.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ReadOnlyFilesystem, "{what}");
    }
    assert_eq!(fs::read(&file).unwrap(), b"data");
    mounted.end_by(Signal::INT).is(0, "", "");
}

#[test]
fn a_directory_that_does_not_fit_is_refused() {
    let Some(machine) = with_file(b"data") else {
        return;
    };
    fs::create_dir(machine.path("full")).unwrap();
    fs::write(machine.path("full/x"), "").unwrap();
    fs::write(machine.path("plain"), "").unwrap();
    for (at, why) in [
        ("$T/full", "it is not empty"),
        ("$T/plain", "it is not a directory"),
        ("$T/state/mnt", "it is in the state directory $T/state"),
        ("$FS/home/mnt", "it is in the subvolume $FS/home"),
        ("$T/store/mnt", "it is in the store $T/store"),
    ] {
        let run = machine.run(&format!("mount {at} --identity $T/kit"));
        let blank = machine.run("list").stderr.len();
        assert_eq!((run.code, blank), (Some(2), 0), "{run:?}");
        assert!(
            run.stderr.contains(&format!("cannot mount on {at}: {why}")),
            "{run:?}"
        );
        assert!(run.stderr.contains("give an empty directory"), "{run:?}");
    }
    let run = machine.run("mount $T/no/such/mnt");
    assert_eq!(run.code, Some(1), "{run:?}");
    let run = machine.run("mount $T/mnt nothing");
    assert_eq!(run.code, Some(2), "{run:?}");
}
