//! What is typed, configured or in the way.

use std::fs;

use super::pulled::{Pulled, write};
use crate::common::loopfs::{btrfs, real_btrfs_available};

#[test]
fn what_is_in_the_way_of_the_copy_is_named_and_kept() {
    if !real_btrfs_available() {
        return;
    }
    let pulled = Pulled::new(31);
    let copy = pulled.copy();
    // Files that no pull has put there.
    fs::create_dir(copy.parent().unwrap()).unwrap();
    super::pulled::mode(copy.parent().unwrap(), 0o700);
    btrfs(["subvolume", "create"], &[&copy]);
    write(&copy.join("mine"), b"precious");
    pulled.fails(
        "pull",
        2,
        &["has files that no pull of coldchain is known to have put there"],
    );
    fs::create_dir(pulled.snapshot("")).unwrap();
    pulled.fails(
        "snapshot",
        1,
        &["no pull of `home` into $FS/pulled/home has ended well yet"],
    );
    assert!(copy.join("mine").exists());
    // Read-only.
    btrfs(
        ["property", "set", "-ts"],
        &[&copy, "ro".as_ref(), "true".as_ref()],
    );
    pulled.fails(
        "pull",
        2,
        &["cannot pull into $FS/pulled/home: it is read-only"],
    );
    btrfs(
        ["property", "set", "-ts"],
        &[&copy, "ro".as_ref(), "false".as_ref()],
    );
    pulled.does("pull --accept-deletions");
    pulled.is_equal();
    // It was there, and is not any more: its disk may not be mounted.
    pulled.does("snapshot");
    fs::rename(&copy, pulled.machine.btrfs().path("moved")).unwrap();
    pulled.fails(
        "pull",
        1,
        &[
            "the subvolume $FS/pulled/home of the last pull of `home` is not there",
            "mount",
        ],
    );
    assert!(!copy.exists());
    // A plain directory, and a file.
    fs::create_dir(&copy).unwrap();
    pulled.fails("pull", 2, &["it is not the root of a subvolume"]);
    fs::remove_dir(&copy).unwrap();
    fs::write(&copy, b"").unwrap();
    pulled.fails("pull", 2, &["it is not a directory"]);
    fs::remove_file(&copy).unwrap();
    fs::rename(pulled.machine.btrfs().path("moved"), &copy).unwrap();
    pulled.does("pull");
}

#[test]
fn a_source_inside_its_own_copy_is_refused() {
    if !real_btrfs_available() {
        return;
    }
    let pulled = Pulled::new(32);
    pulled.does("pull");
    for from in ["$FS/pulled/home", "$FS/pulled/home/d"] {
        pulled.config_from(from, "");
        pulled.fails(
            "pull",
            2,
            &["`source.pull.from` is inside the source's own subvolume"],
        );
    }
    for from in ["$FS/pulled", "$FS", "/", "/sys/kernel"] {
        pulled.config_from(from, "");
        pulled.fails("pull", 2, &["are inside each other", "--one-file-system"]);
    }
    // A link to it is the same.
    std::os::unix::fs::symlink(pulled.copy(), pulled.machine.path("link")).unwrap();
    pulled.config_from("$T/link", "");
    pulled.fails("pull", 2, &["are inside each other"]);
    // On another filesystem than the copy, one may be pulled that holds its mount point.
    let outer = pulled.machine.path("");
    write(&outer.join("some"), b"file");
    assert!(outer.exists());
    pulled.is_equal();
}

#[test]
fn a_list_of_patterns_that_can_not_be_used_is_named() {
    if !real_btrfs_available() {
        return;
    }
    let pulled = Pulled::new(33);
    pulled.config("exclude_from = \"$T/list\"\n");
    pulled.fails(
        "pull",
        2,
        &["$T/list can't be used as `exclude_from`: No such file"],
    );
    fs::write(pulled.machine.path("list"), "*.o\n!\n").unwrap();
    pulled.fails("pull", 2, &["line 2 clears the list of patterns"]);
    super::pulled::mode(&pulled.machine.path("list"), 0o666);
    pulled.fails("pull", 2, &["others can write to it"]);
    assert!(!pulled.copy().exists());
}

#[test]
fn a_missing_old_or_garbled_rsync_is_an_error() {
    if !real_btrfs_available() {
        return;
    }
    let pulled = Pulled::new(34);
    let version = |line: &str| {
        pulled.rsync_is("");
        let path = pulled.machine.path("bin/rsync");
        let text = format!("#!/bin/sh\n{line}\n");
        let write = r#"printf '%s' "$1" >"$0.new"; chmod 755 "$0.new"; mv "$0.new" "$0""#;
        crate::common::loopfs::run(
            std::process::Command::new("/bin/sh")
                .args(["-c", write])
                .arg(path)
                .arg(text),
        )
        .unwrap();
    };
    version("echo 'rsync  version 3.1.2  protocol version 31'");
    pulled.fails("pull", 8, &["rsync 3.1.2 is too old", "3.1.3 or newer"]);
    version("echo openrsync: protocol version 29");
    pulled.fails("pull", 8, &["cannot tell the version"]);
    version(
        "[ \"$1\" = --version ] && echo 'rsync  version 3.2.7  protocol version 31' && exit\necho garbage; exit 0",
    );
    pulled.fails("pull", 1, &["is empty or not there"]);
    assert!(!pulled.copy().exists());
}

#[test]
fn two_pulls_of_one_source_are_kept_apart() {
    if !real_btrfs_available() {
        return;
    }
    let pulled = Pulled::new(35);
    pulled.rsync_is(
        "echo here >&2; cat $HOLD >/dev/null; exec $RSYNC \"$@\""
            .replace("$HOLD", &pulled.machine.path("hold").display().to_string())
            .as_str(),
    );
    let hold = pulled.machine.path("hold");
    crate::common::loopfs::run(std::process::Command::new("mkfifo").arg(&hold)).unwrap();
    let first = pulled.machine.start_command(&mut pulled.command("pull"));
    // The first rsync reads from it, so the lock is held.
    let mut pipe = fs::OpenOptions::new().write(true).open(&hold).unwrap();
    pulled.fails(
        "pull",
        3,
        &["another run of coldchain is working on `home`"],
    );
    pulled.fails("backup home 2024-01-01", 3, &["another run"]);
    pulled.rsync_is("exec $RSYNC \"$@\"");
    std::io::Write::write_all(&mut pipe, b"go").unwrap();
    drop(pipe);
    // The second rsync of that run is the real one.
    let ended = first.end();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    pulled.is_equal();
}

#[test]
fn sources_that_are_not_pulled_are_named() {
    if !real_btrfs_available() {
        return;
    }
    let pulled = Pulled::new(36);
    let path = pulled.machine.path("config.toml");
    let text = fs::read_to_string(&path).unwrap();
    let (before, _) = text.split_once("[source.pull]").unwrap();
    fs::write(&path, before).unwrap();
    pulled.fails(
        "pull home",
        2,
        &["there is nothing to pull: `home` has no [source.pull]"],
    );
    pulled.fails(
        "pull",
        2,
        &["there is nothing to pull: the config has no [source.pull]"],
    );
    pulled.fails(
        "pull hme",
        2,
        &["unknown source `hme`, did you mean `home`?"],
    );
}
