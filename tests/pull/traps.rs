//! What loses data with a plain rsync into a subvolume, and what keeps it here.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::process::Command;

use super::pulled::{Pulled, mode, write};
use crate::common::loopfs::{btrfs, real_btrfs_available, run};

/// With ten files, pulled once.
fn with_ten_files(seed: u64) -> Pulled {
    let pulled = Pulled::empty(seed);
    for number in 0..10 {
        write(&pulled.origin().join(format!("f{number}")), b"content");
    }
    pulled.does("backup home 2024-01-01");
    pulled
}

#[test]
fn an_empty_source_does_not_empty_the_copy() {
    if !real_btrfs_available() {
        return;
    }
    let pulled = with_ten_files(11);
    let origin = pulled.origin();
    fs::rename(&origin, pulled.machine.btrfs().path("away")).unwrap();
    fs::create_dir(&origin).unwrap();
    // Not even if deletions are accepted: a disk that is not mounted looks like this.
    for words in [
        "backup home 2024-01-02",
        "pull",
        "pull --accept-deletions",
        "pull -n",
    ] {
        pulled.fails(words, 1, &["$FS/origin is empty or not there"]);
    }
    assert!(pulled.copy().join("f7").exists() && !pulled.snapshot("2024-01-02").exists());
    // Nothing was begun, so a snapshot of what is there is whole.
    pulled.does("snapshot");
}

#[test]
fn a_source_that_has_lost_most_of_its_files_takes_a_word_of_the_user() {
    if !real_btrfs_available() {
        return;
    }
    let pulled = with_ten_files(12);
    for number in 0..6 {
        fs::remove_file(pulled.origin().join(format!("f{number}"))).unwrap();
    }
    let said = [
        "would delete 6 of 11 entries of $FS/pulled/home, and a run may delete 5",
        "coldchain pull home --accept-deletions",
    ];
    // However often it is tried, nothing goes away bit by bit.
    for words in ["backup home 2024-01-02", "pull", "pull", "pull"] {
        pulled.fails(words, 1, &said);
        assert_eq!(fs::read_dir(pulled.copy()).unwrap().count(), 10, "{words}");
    }
    pulled.does("pull --accept-deletions");
    pulled.is_equal();
    // The share is one of the new number, and the config may set another.
    fs::remove_file(pulled.origin().join("f7")).unwrap();
    pulled.config("max_delete = \"10%\"\n");
    pulled.fails(
        "pull",
        1,
        &["would delete 1 of 5 entries of $FS/pulled/home, and a run may delete 0"],
    );
    pulled.config("max_delete = \"100%\"\n");
    pulled.does("pull");
    pulled.is_equal();
}

#[test]
fn files_that_go_away_while_rsync_runs_are_deleted_within_the_limit_alone() {
    if !real_btrfs_available() {
        return;
    }
    let pulled = with_ten_files(13);
    // What the trial sees is not what the run finds.
    let full = pulled.machine.btrfs().path("full");
    run(Command::new("cp").arg("-a").args([&pulled.origin(), &full])).unwrap();
    for number in 0..8 {
        fs::remove_file(pulled.origin().join(format!("f{number}"))).unwrap();
    }
    pulled.rsync_is(
        &r#"case "$*" in *--dry-run*)
for word; do shift; [ "$word" = $ORIGIN/ ] && word=$FULL/; set -- "$@" "$word"; done ;;
esac
exec $RSYNC "$@""#
            .replace("$ORIGIN", &pulled.origin().display().to_string())
            .replace("$FULL", &full.display().to_string()),
    );
    pulled.fails(
        "pull",
        1,
        &[
            "rsync stopped to delete after 5 entries",
            "--accept-deletions",
        ],
    );
    pulled.rsync_is_real();
    // Half of it is gone, so no snapshot is made; and a second run does not delete the other half.
    pulled.fails("snapshot", 1, &["did not end well"]);
    pulled.fails(
        "backup home 2024-01-02",
        1,
        &["would delete 8 of 11 entries"],
    );
    pulled.does("pull --accept-deletions");
    pulled.is_equal();
    pulled.does("snapshot");
}

#[test]
fn subvolumes_in_the_copy_are_neither_deleted_nor_written_to() {
    if !real_btrfs_available() {
        return;
    }
    let pulled = Pulled::empty(14);
    write(&pulled.origin().join("f1"), b"content");
    pulled.keep_snapshots_inside();
    pulled.does("backup home 2024-01-01");
    for nested in ["nested", "deep", "st*r[1]"] {
        let below = if nested == "deep" { "d/deep" } else { nested };
        fs::create_dir_all(pulled.copy().join("d")).unwrap();
        let path = pulled.copy().join(below);
        btrfs(["subvolume", "create"], &[&path]);
        write(&path.join("kept"), b"kept");
    }
    // The source has such a directory, and others that the pattern must not fit.
    write(&pulled.origin().join("nested/kept"), b"of the source");
    write(&pulled.origin().join("star1/file"), b"of the source");
    write(
        &pulled.origin().join(".coldchain/2024-01-01/f1"),
        b"of the source",
    );
    pulled.does("pull");
    pulled.does("pull --accept-deletions");
    for nested in ["nested", "d/deep", "st*r[1]"] {
        let kept = fs::read(pulled.copy().join(nested).join("kept")).unwrap();
        assert_eq!(kept, b"kept", "{nested}");
    }
    assert!(pulled.copy().join("star1/file").exists());
    assert_eq!(
        fs::read(pulled.copy().join(".coldchain/2024-01-01/f1")).unwrap(),
        b"content"
    );
}

#[test]
fn a_changed_block_of_a_large_file_is_a_small_incremental() {
    if !real_btrfs_available() {
        return;
    }
    let mut pulled = Pulled::empty(15);
    let large = pulled.origin().join("image");
    let bytes = pulled.rng.bytes(32 << 20);
    for more in ["", "inplace = true\n"] {
        pulled.config(more);
        fs::write(&large, &bytes).unwrap();
        pulled.does("pull --accept-deletions");
        let before = pulled.machine.btrfs().path("before");
        let after = pulled.machine.btrfs().path("after");
        btrfs(["subvolume", "snapshot", "-r"], &[&pulled.copy(), &before]);
        let file = OpenOptions::new().write(true).open(&large).unwrap();
        file.write_all_at(&[7; 4096], 16 << 20).unwrap();
        pulled.does("pull");
        pulled.is_equal();
        btrfs(["subvolume", "snapshot", "-r"], &[&pulled.copy(), &after]);
        let sent = run(Command::new("btrfs")
            .args(["send", "-q", "-p"])
            .args([&before, &after]))
        .unwrap()
        .stdout
        .len();
        if more.is_empty() {
            // rsync writes a new file, and reflinks nothing: what is sent is the file.
            assert!(sent > 30 << 20, "{sent}");
        } else {
            assert!(sent < 1 << 20, "{sent}");
        }
        btrfs(["subvolume", "delete"], &[&before, &after]);
    }
}

#[test]
fn a_hard_link_that_the_source_breaks_does_not_change_the_other_name() {
    if !real_btrfs_available() {
        return;
    }
    let pulled = Pulled::empty(16);
    let (one, other) = (pulled.origin().join("one"), pulled.origin().join("other"));
    write(&one, &vec![1; 300_000]);
    fs::hard_link(&one, &other).unwrap();
    pulled.does("pull");
    let linked = fs::metadata(pulled.copy().join("one")).unwrap();
    assert_eq!(linked.nlink(), 2);
    // The copy has files with several names, into which nothing may be written in place.
    pulled.config("inplace = true\n");
    pulled.fails(
        "pull",
        2,
        &["has several names, and `inplace` would change all of them"],
    );
    fs::remove_file(&other).unwrap();
    write(&other, &vec![2; 300_000]);
    pulled.config("");
    pulled.does("pull");
    pulled.is_equal();
    // Now no file has several names, and links of the source become files.
    pulled.config("inplace = true\n");
    fs::remove_file(&other).unwrap();
    fs::hard_link(&one, &other).unwrap();
    pulled.does("pull");
    assert_eq!(fs::metadata(pulled.copy().join("one")).unwrap().nlink(), 1);
    fs::remove_file(&other).unwrap();
    write(&other, &vec![3; 300_000]);
    pulled.does("pull");
    pulled.is_equal();
}

#[test]
fn what_is_excluded_is_neither_pulled_nor_deleted() {
    if !real_btrfs_available() {
        return;
    }
    let pulled = with_ten_files(17);
    let list = pulled.machine.path("list");
    fs::write(&list, "# comment\n/f1\n\n*.tmp\n").unwrap();
    write(&pulled.origin().join("x.tmp"), b"not this");
    write(&pulled.origin().join("cache/big"), b"nor this");
    pulled.config("exclude = [\"/cache/\", \"/f2\"]\nexclude_from = \"$T/list\"\n");
    for name in ["f1", "f2", "f3"] {
        fs::remove_file(pulled.origin().join(name)).unwrap();
    }
    pulled.does("pull");
    let has = |name: &str| pulled.copy().join(name).exists();
    assert!(has("f1") && has("f2") && !has("f3"));
    assert!(!has("x.tmp") && !has("cache"));
}

#[test]
fn files_that_vanish_are_a_warning_and_unreadable_ones_a_failure_unless_allowed() {
    if !real_btrfs_available() {
        return;
    }
    let pulled = with_ten_files(18);
    let ends_with = |code: i32| {
        format!(
            "case \"$*\" in *--dry-run*) exec $RSYNC \"$@\" ;; esac\n$RSYNC \"$@\" || exit 99\necho 'bad \u{1b}[2J name' >&2; exit {code}"
        )
    };
    pulled.rsync_is(&ends_with(24));
    let said = pulled.does("backup home 2024-01-02");
    assert!(
        said.contains("some files vanished while they were pulled: bad \\u{1b}[2J name"),
        "{said}"
    );
    assert!(pulled.snapshot("2024-01-02").exists());
    pulled.rsync_is(&ends_with(23));
    pulled.fails(
        "backup home 2024-01-03",
        1,
        &["rsync ended with exit code 23", "allow_unreadable"],
    );
    assert!(!pulled.snapshot("2024-01-03").exists());
    pulled.fails("snapshot", 1, &["did not end well", "coldchain pull home"]);
    pulled.config("allow_unreadable = true\n");
    let said = pulled.does("backup home 2024-01-03");
    assert!(said.contains("some files could not be pulled"), "{said}");
    // Any other code is a failure.
    for code in [
        1, 2, 5, 10, 11, 12, 13, 14, 20, 21, 22, 30, 35, 126, 127, 255,
    ] {
        pulled.rsync_is(&ends_with(code));
        let run = pulled.run("backup home 2024-01-04");
        assert!(
            [Some(1), Some(8)].contains(&run.code),
            "{code}: {:?}",
            run.code
        );
        assert!(!pulled.snapshot("2024-01-04").exists(), "{code}");
    }
    assert!(pulled.snapshot("2024-01-03").exists());
    pulled.rsync_is_real();
    pulled.does("backup home 2024-01-04");
}

#[test]
fn rsync_sees_the_copy_inert_and_changes_nothing_else() {
    if !real_btrfs_available() {
        return;
    }
    let pulled = Pulled::empty(19);
    let setuid = pulled.origin().join("setuid");
    fs::copy("/bin/true", &setuid).unwrap();
    mode(&setuid, 0o4755);
    run(Command::new("mknod")
        .arg(pulled.origin().join("null"))
        .args(["c", "1", "3"]))
    .unwrap();
    std::os::unix::fs::symlink("/etc/passwd", pulled.origin().join("link")).unwrap();
    // It tries what a program would that a hostile host has taken over.
    pulled.rsync_is(
        &r#"$RSYNC "$@" || exit $?
case "$*" in *--dry-run*) exit 0 ;; esac
for to; do :; done
# What may be done can be done, so that what can not be done is not for lack of a program.
touch "$to/x" 2>/dev/null && rm "$to/x" || exit 60
[ "$(stat -c %a "$to/setuid")" = 4755 ] || exit 61
"$to/setuid" 2>/dev/null && exit 62
cat "$to/null" 2>/dev/null && exit 63
cat "$to/link" 2>/dev/null && exit 64
touch $T/outside 2>/dev/null && exit 65
touch $FS/outside 2>/dev/null && exit 66
echo x 2>/dev/null >/proc/sysrq-trigger && exit 67
mount -t tmpfs none /mnt 2>/dev/null && touch /mnt/x 2>/dev/null && exit 68
exit 0"#
            .replace("$T", &pulled.machine.path("").display().to_string())
            .replace("$FS", &pulled.machine.btrfs().root().display().to_string()),
    );
    pulled.does("pull");
    assert!(pulled.copy().join("null").exists());
    assert!(!pulled.machine.path("outside").exists());
}

#[test]
fn a_copy_that_other_users_can_enter_is_refused() {
    if !real_btrfs_available() {
        return;
    }
    let pulled = with_ten_files(20);
    let above = pulled.machine.btrfs().path("pulled");
    // The image's own directory must not be what keeps others out.
    for directory in above.ancestors().skip(1) {
        if fs::metadata(directory).unwrap().mode().trailing_zeros() >= 6 {
            mode(directory, 0o755);
        }
    }
    for bits in [0o755, 0o710, 0o701] {
        mode(&above, bits);
        let said = format!("other users can enter $FS/pulled (mode {bits:04o})");
        pulled.fails("pull", 2, &[&said, "chmod go-rwx"]);
    }
    mode(&above, 0o700);
    pulled.does("pull");
}
