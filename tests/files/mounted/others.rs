//! Users who did not make the mount.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;

use super::{Mounted, archived, failed, ran};
use crate::common::machine::LIVE_CONFIG;

/// A user who is not root.
const OTHER: u32 = 65_534;

/// Does something as that user.
fn as_other(program: &str, path: PathBuf) -> Command {
    let mut command = Command::new(program);
    command.uid(OTHER).gid(OTHER).env("LC_ALL", "C").arg(path);
    command
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn other_users_are_let_in_only_if_asked_and_as_far_as_modes_allow() {
    let machine = archived(LIVE_CONFIG, &["2026-11-07"], |live, _| {
        for (name, mode) in [("open", 0o644), ("closed", 0o600)] {
            fs::write(live.join(name), name).unwrap();
            set_mode(&live.join(name), mode);
        }
    });
    let Some(machine) = machine else { return };
    set_mode(&machine.path(""), 0o755);
    let mounted = Mounted::new(&machine);
    let open = mounted.date("2026-11-07").join("open");
    assert!(failed(&mut as_other("cat", open)).contains("Permission denied"));
    mounted.end_by(Signal::INT).is(0, "", "");
    let mounted = Mounted::with(&machine, "--identity $T/kit --allow-other");
    let date = mounted.date("2026-11-07");
    assert_eq!(ran(&mut as_other("cat", date.join("open"))), "open");
    assert!(failed(&mut as_other("cat", date.join("closed"))).contains("Permission denied"));
    assert_eq!(fs::read(date.join("closed")).unwrap(), b"closed");
    mounted.end_by(Signal::INT).is(0, "", "");
}

#[test]
fn access_control_lists_let_other_users_in_and_keep_them_out() {
    let acl = |path: &Path, entry: &str| {
        ran(Command::new("setfacl").args(["-m", entry]).arg(path));
    };
    let machine = archived(LIVE_CONFIG, &["2026-11-07"], |live, _| {
        for (name, mode, entry) in [
            ("let in", 0o600, "u:65534:r"),
            ("kept out", 0o644, "u:65534:-"),
            ("group let in", 0o600, "g:65534:r"),
            ("mask", 0o600, "u:65534:r,m::-"),
        ] {
            fs::write(live.join(name), name).unwrap();
            set_mode(&live.join(name), mode);
            acl(&live.join(name), entry);
        }
        for (name, mode, entry) in [
            ("open directory", 0o700, "u:65534:rx"),
            ("closed directory", 0o755, "u:65534:-"),
        ] {
            fs::create_dir(live.join(name)).unwrap();
            set_mode(&live.join(name), mode);
            acl(&live.join(name), entry);
            fs::write(live.join(name).join("file"), name).unwrap();
            set_mode(&live.join(name).join("file"), 0o644);
        }
    });
    let Some(machine) = machine else { return };
    set_mode(&machine.path(""), 0o755);
    let mounted = Mounted::with(&machine, "--identity $T/kit --allow-other");
    let date = mounted.date("2026-11-07");
    for name in ["let in", "group let in"] {
        assert_eq!(ran(&mut as_other("cat", date.join(name))), name);
    }
    for name in ["kept out", "mask"] {
        let said = failed(&mut as_other("cat", date.join(name)));
        assert!(said.contains("Permission denied"), "{name}: {said}");
    }
    let open = ran(&mut as_other("cat", date.join("open directory/file")));
    assert_eq!(open, "open directory");
    for (program, below) in [("ls", "closed directory"), ("cat", "closed directory/file")] {
        let said = failed(&mut as_other(program, date.join(below)));
        assert!(said.contains("Permission denied"), "{below}: {said}");
    }
    mounted.end_by(Signal::INT).is(0, "", "");
    // Without an identity, the lists are not known: then they let nobody in whom the mode would keep out.
    let mounted = Mounted::with(&machine, "--allow-other");
    let date = mounted.date("2026-11-07");
    for (program, below) in [
        ("ls", "open directory"),
        ("ls", "closed directory"),
        ("cat", "let in"),
        ("cat", "kept out"),
    ] {
        failed(&mut as_other(program, date.join(below)));
    }
    let run = mounted.end_by(Signal::INT);
    assert_eq!(run.code, Some(0), "{run:?}");
}
