//! What can't be mounted, and what can't be done in a mount.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use rustix::fs::{CWD, Timespec, Timestamps, XattrFlags};
use rustix::process::Signal;

use super::{Mounted, Unmounted, ran, with_file};

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

/// What another user does, with a device of FUSE of these permissions, in a mount namespace of its own.
const AS_OTHER: &str = r#"
set -e
rm -f "$T/fuse" "$T/mnt.out"
mknod -m "$MODE" "$T/fuse" c 10 229
mount --bind "$T/fuse" /dev/fuse
exec setpriv --reuid 65534 --regid 65534 --clear-groups sh -c '
    "$COLDCHAIN" mount "$T/mnt" --identity "$T/kit" $OPTIONS >"$T/mnt.out" 2>&1 &
    while kill -0 $! 2>/dev/null && ! grep -q ^mounted "$T/mnt.out"; do sleep 0.1; done
    cat "$T/mnt/home/2026-11-07/file" 2>/dev/null || true
    kill -INT $! 2>/dev/null || true
    wait $! || echo "exit $?"
    cat "$T/mnt.out"
    grep "$T/mnt" /proc/mounts || true
'
"#;

#[test]
fn another_user_can_mount_too_or_hears_what_is_missing() {
    let Some(machine) = with_file(b"data") else {
        return;
    };
    let root = machine.path("");
    // Where the build is may be closed to others.
    let program = machine.path("coldchain");
    fs::copy(env!("CARGO_BIN_EXE_coldchain"), &program).unwrap();
    let others_may = fs::read_to_string("/etc/fuse.conf")
        .is_ok_and(|conf| conf.lines().any(|line| line.trim() == "user_allow_other"));
    let _unmounted = Unmounted(machine.path("mnt"));
    fs::create_dir(machine.path("mnt")).unwrap();
    ran(Command::new("chown").args(["-R", "65534:65534"]).arg(&root));
    fs::set_permissions(&root, fs::Permissions::from_mode(0o755)).unwrap();
    for (mode, options, expected) in [
        ("0666", "", vec!["data", "mounted 1 archive of 1 source at"]),
        (
            "0600",
            "",
            vec![
                "exit 8",
                "this user may not open /dev/fuse",
                "hint: run it as root",
            ],
        ),
        (
            "0666",
            "--allow-other",
            vec![
                "exit 8",
                "does not say `user_allow_other`",
                "hint: add the line",
            ],
        ),
    ] {
        if others_may && !options.is_empty() {
            continue;
        }
        let said = ran(Command::new("unshare")
            .args(["-m", "--propagation", "private", "sh", "-c", AS_OTHER])
            .env("T", root.to_str().unwrap().trim_end_matches('/'))
            .env("MODE", mode)
            .env("OPTIONS", options)
            .env("COLDCHAIN", &program)
            .env("COLDCHAIN_CONFIG", machine.path("config.toml"))
            .env_remove("COLDCHAIN_IDENTITY_FILE"));
        for part in expected {
            assert!(said.contains(part), "{mode} {options}: {said}");
        }
        assert!(!said.contains("fuse.coldchain"), "{said}");
    }
}

/// A mount that hides the store from itself.
#[test]
fn a_directory_of_the_store_that_is_mounted_elsewhere_is_refused() {
    let Some(machine) = with_file(b"data") else {
        return;
    };
    let (bound, empty) = (machine.path("bound"), machine.path("store/empty"));
    fs::create_dir(&bound).unwrap();
    fs::create_dir(&empty).unwrap();
    let store = machine.path("store");
    let _unmounted = Unmounted(bound.clone());
    ran(Command::new("mount").arg("--bind").args([&store, &bound]));
    for at in ["bound", "bound/empty", "bound/new"] {
        let run = machine.run(&format!("mount $T/{at} --identity $T/kit"));
        assert_eq!(run.code, Some(2), "{at}: {run:?}");
        let says = "it is in the store $T/store";
        assert!(run.stderr.contains(says), "{at}: {run:?}");
    }
    assert!(!store.join("new").exists());
}
