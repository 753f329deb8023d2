//! `coldchain verify --drill`: the newest chain comes back onto a filesystem of its own, is compared,
//! and nothing of it is left, however it ended.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use crate::common::is_segment;
use crate::common::loopfs::{LoopFs, btrfs, real_btrfs_available};
use crate::common::machine::{Machine, fed_config};
use crate::common::rng::Rng;
use crate::common::sandbox::{Ran, Sandbox, Setup};
use crate::common::stream_builder::StreamBuilder;
use crate::common::stub::{Pipe, Stub};
use crate::common::tmpfs::Tmpfs;
use crate::common::tree::{make_rich_tree, mutate_tree};
use crate::common::whole::first_and_seventh;
use rustix::process::Signal;

/// A chain of two archives of a rich tree.
fn archived() -> Sandbox {
    let sandbox = Sandbox::new();
    let mut rng = Rng::new(41);
    make_rich_tree(&sandbox.source(), &mut rng);
    sandbox.backup("2025-01-01");
    mutate_tree(&sandbox.source(), &mut rng);
    // What the streams leave out is no difference.
    btrfs(["subvolume", "create"], &[&sandbox.source().join("nested")]);
    fs::write(sandbox.source().join("of the 7th"), "as it was sent").unwrap();
    sandbox.backup("2025-01-07");
    sandbox
}

/// A drill in a directory of its own, in which nothing may be left.
fn drill(sandbox: &Sandbox) -> Ran {
    let directory = tempfile::tempdir().unwrap();
    let ran = drill_in(
        sandbox,
        directory.path(),
        &std::env::var_os("PATH").unwrap(),
    );
    is_clean(directory.path());
    ran
}

fn drill_in(sandbox: &Sandbox, directory: &Path, path: &OsStr) -> Ran {
    let kit = sandbox.kit();
    let words = ["verify", "--drill", "--drill-dir"].map(Path::new);
    let rest = [directory, Path::new("--identity"), kit.as_path()];
    sandbox.run_with_path(path, words.into_iter().chain(rest))
}

fn is_clean(directory: &Path) {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.contains(directory.to_str().unwrap()), "{mounts}");
    let left: Vec<_> = fs::read_dir(directory).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_drill_restores_the_newest_chain_compares_it_and_leaves_nothing() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = archived();
    let before = sandbox.stored();
    let ran = drill(&sandbox).ok();
    assert!(
        ran.stdout.contains(
            "home: drill      2 archives restored onto a temporary filesystem and compared\n"
        ),
        "{ran:?}"
    );
    assert!(!ran.stdout.contains("not compared"), "{ran:?}");
    assert_eq!(sandbox.stored(), before);
    let listed = sandbox.run(["list"]).ok();
    assert!(listed.stdout.contains("(deep today)"), "{listed:?}");

    // Without the snapshot there is nothing to compare with, and that is said.
    btrfs(["subvolume", "delete"], &[&sandbox.snapshot("2025-01-01")]);
    let ran = drill(&sandbox).ok();
    let not_compared = ran.stdout.matches(" was restored and not compared: ");
    assert_eq!(not_compared.count(), 1, "{ran:?}");
}

/// A month of ordinary changes, and what only just fits into a filesystem of that kind.
#[test]
fn a_drill_finds_no_damage_in_what_is_merely_unusual() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = Sandbox::with(&Setup {
        mkfs: &["--nodesize", "65536", "--csum", "xxhash"],
        ..Setup::default()
    });
    let source = sandbox.source();
    let xattr = vec![7; 20_000];
    fs::write(source.join("long attribute"), b"").unwrap();
    let flags = rustix::fs::XattrFlags::empty();
    rustix::fs::setxattr(source.join("long attribute"), "user.long", &xattr, flags).unwrap();
    // The program is the only one that is to read this to its end.
    let sparse = fs::File::create(source.join("sparse")).unwrap();
    sparse.set_len(1 << 50).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"data", 1 << 40).unwrap();
    let mut deep = std::path::PathBuf::new();
    while deep.as_os_str().len() + 255 < 4090 {
        deep.push("d".repeat(254));
    }
    deep.push("f".repeat(4089 - deep.as_os_str().len()));
    make_file_at(&source, &deep);
    let dates = ["2025-01-01", "2025-01-07", "2025-01-14", "2025-01-21"];
    for date in dates {
        // Each changes the times of the root.
        fs::write(source.join(format!("made before {date}")), date).unwrap();
        sandbox.backup(date);
    }
    let ran = drill(&sandbox).ok();
    assert!(
        ran.stdout
            .contains("4 archives restored onto a temporary filesystem and compared\n"),
        "{ran:?}"
    );
    assert!(!ran.stdout.contains("not compared"), "{ran:?}");
    // Elsewhere nothing tells what the source's filesystem was like.
    let config = fs::read_to_string(sandbox.config()).unwrap();
    let elsewhere = config.lines().filter(|line| {
        let line = line.trim();
        !line.starts_with("subvolume")
            && !line.starts_with("snapshots")
            && !line.starts_with("keep_")
    });
    fs::write(sandbox.config(), elsewhere.collect::<Vec<_>>().join("\n")).unwrap();
    drill(&sandbox).ok();
}

/// Makes a file by a path that is too long together with what is above it.
fn make_file_at(root: &Path, below: &Path) {
    use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut at = openat(CWD, root, flags, Mode::empty()).unwrap();
    for name in below.parent().unwrap() {
        mkdirat(&at, name, Mode::RWXU).unwrap();
        at = openat(&at, name, flags, Mode::empty()).unwrap();
    }
    let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
    openat(&at, below.file_name().unwrap(), flags, Mode::RUSR).unwrap();
}

#[test]
fn a_drill_names_what_is_damaged_and_leaves_nothing() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = archived();
    let is_of_the_7th = |path: &PathBuf| {
        let path = path.to_string_lossy();
        path.contains("2025-01-07-incr-") && is_segment(&*path)
    };
    let segment = sandbox.stored().into_keys().find(is_of_the_7th).unwrap();
    let mut bytes = fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    fs::write(&segment, bytes).unwrap();
    let ran = drill(&sandbox);
    assert_eq!(ran.code, Some(6), "{ran:?}");
    assert!(
        ran.stdout
            .contains("home: DAMAGED    home/archives/2025-01-07-incr-")
            && ran
                .stdout
                .contains("its SHA-256 is not the one in the ledger")
            && ran
                .stdout
                .contains("; 1 not checked: the restore ended before it\n"),
        "{ran:?}"
    );
    let chain = sandbox.listed()["chains"][0].clone();
    assert_eq!(chain["state"], "damaged");
    assert_eq!(chain["archives"][0]["damaged"], false);
    assert_eq!(chain["archives"][1]["damaged"], true);
    let listed = sandbox.run(["list"]).ok();
    assert_eq!(
        listed.stdout.matches("  committed, damaged\n").count(),
        1,
        "{listed:?}"
    );
}

const CHANGE_A_FILE: &str = r#"
import fcntl, os, struct, sys
root = os.open(sys.argv[1], os.O_RDONLY)
flags = lambda value: fcntl.ioctl(root, 0x4008941A, struct.pack("Q", value))
flags(0)
times = os.stat("of the 7th", dir_fd=root)
with open(os.open("of the 7th", os.O_WRONLY, dir_fd=root), "w") as file:
    file.write("something else")
os.utime("of the 7th", ns=(times.st_atime_ns, times.st_mtime_ns), dir_fd=root)
flags(2)
"#;

#[test]
fn a_restored_tree_that_is_not_the_archived_one_is_damage_of_its_archive() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = archived();
    let stub = Stub::new();
    // A file of the incremental is another than it was sent, and the subvolume is as if nothing had been:
    // its flag is set (BTRFS_IOC_SUBVOL_SETFLAGS) without what `btrfs property` does besides.
    let script = stub.file("change.py");
    fs::write(&script, CHANGE_A_FILE).unwrap();
    stub.does(
        "receive",
        &format!(
            "\"$real\" \"$@\" || exit\nfor directory; do :; done\n\
             [ ! -e \"$directory/r/of the 7th\" ] || exec python3 '{}' \"$directory/r\"",
            script.display()
        ),
    );
    let directory = tempfile::tempdir().unwrap();
    let ran = drill_in(&sandbox, directory.path(), &stub.path());
    assert_eq!(ran.code, Some(6), "{ran:?}");
    let damaged: Vec<_> = ran
        .stdout
        .lines()
        .filter(|line| line.contains(" DAMAGED "))
        .collect();
    assert_eq!(damaged.len(), 1, "{ran:?}");
    assert!(
        damaged[0].contains("archives/2025-01-07-incr-")
            && damaged[0].contains("it was restored, but differs from "),
        "{ran:?}"
    );
    assert_eq!(sandbox.listed()["chains"][0]["state"], "damaged");
    // A drill takes back what a drill has found.
    assert_eq!(drill(&sandbox).ok().code, Some(0));
    assert_eq!(sandbox.listed()["chains"][0]["state"], "complete");
}

#[test]
fn a_drill_that_is_stopped_by_a_signal_leaves_nothing() {
    if !real_btrfs_available() {
        return;
    }
    let machine = Machine::fed(Some(LoopFs::new(256)));
    let [full, _] = first_and_seventh(100);
    let run = machine.run_with("decide 2024-01-01", &full);
    assert_eq!(run.code, Some(0), "{run:?}");
    let stub = Stub::new();
    let begun = Pipe::new();
    stub.does(
        "receive",
        &format!("echo begun >{}; exec sleep 100000", begun.path()),
    );
    fs::create_dir(machine.path("drills")).unwrap();
    let words = "verify --drill --drill-dir $T/drills --identity $T/kit";
    let mut command = machine.command(words);
    let talk = machine.start_command(command.env("PATH", stub.path()));
    assert_eq!(begun.hear(), "begun\n");
    talk.signal(Signal::TERM);
    let run = talk.end();
    assert_eq!(run.code, Some(143), "{run:?}");
    is_clean(&machine.path("drills"));
}

#[test]
fn a_signal_in_the_last_of_several_drills_is_told_as_one() {
    if !real_btrfs_available() {
        return;
    }
    let machine = Machine::fed(None);
    let more = "[[source]]\nname = \"work\"\nstore = \"disk\"\n\n[store.disk]";
    machine.write_config(&fed_config().replace("[store.disk]", more));
    for (source, uuid) in [("home", [1; 16]), ("work", [2; 16])] {
        let stream = StreamBuilder::header(1).subvol(b"2024-01-01", uuid, 10);
        let run = machine.run_with(
            &format!("decide 2024-01-01 --source {source}"),
            &stream.finish(),
        );
        assert_eq!(run.code, Some(0), "{run:?}");
    }
    fs::create_dir(machine.path("drills")).unwrap();
    let stub = Stub::new();
    let (begun, first) = (Pipe::new(), stub.file("first"));
    stub.does(
        "receive",
        &format!(
            "if [ -e '{1}' ]; then echo begun >{0}; exec sleep 100000; fi; echo begun >{0}\n\
             until [ -e '{1}' ]; do sleep 0.02; done; exec \"$real\" \"$@\"",
            begun.path(),
            first.display()
        ),
    );
    let mut command = machine.command(DRILL);
    let talk = machine.start_command(command.env("PATH", stub.path()));
    assert_eq!(begun.hear(), "begun\n");
    fs::write(&first, b"").unwrap();
    assert_eq!(begun.hear(), "begun\n");
    talk.signal(Signal::INT);
    let run = talk.end();
    assert_eq!(run.code, Some(130), "{run:?}");
    for words in [
        "home: result     nothing that was checked is missing or damaged\n",
        "work: drill      not done: the check was interrupted by SIGINT\n",
    ] {
        assert!(run.stdout.contains(words), "{words}: {run:?}");
    }
    assert!(
        run.stderr
            .contains("a check always starts from the beginning"),
        "{run:?}"
    );
    is_clean(&machine.path("drills"));
}

#[test]
fn a_drill_needs_an_identity_and_touches_no_directory_that_is_not_its_own() {
    if !real_btrfs_available() {
        return;
    }
    let machine = Machine::fed(None);
    let [full, _] = first_and_seventh(100);
    let run = machine.run_with("decide 2024-01-01", &full);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(machine.run("verify --drill").code, Some(2));
    let own = machine.path("drills/coldchain-drill");
    fs::create_dir_all(&own).unwrap();
    fs::write(own.join("root"), "somebody's").unwrap();
    let run = machine.run("verify --drill --drill-dir $T/drills --identity $T/kit");
    assert_eq!(run.code, Some(2), "{run:?}");
    assert_eq!(fs::read(own.join("root")).unwrap(), b"somebody's");

    // Whoever owns a directory above it could put another in its place meanwhile.
    fs::create_dir_all(machine.path("theirs/drills")).unwrap();
    chown(machine.path("theirs"), Some(65534), None).unwrap();
    let run = machine.run("verify --drill --drill-dir $T/theirs/drills --identity $T/kit");
    assert_eq!(run.code, Some(2), "{run:?}");
    let said = "others may replace what lies in $T/theirs\n";
    assert!(
        run.stdout.contains(said) || run.stderr.contains(said),
        "{run:?}"
    );
    assert_eq!(
        fs::read_dir(machine.path("theirs/drills")).unwrap().count(),
        0
    );
}

#[test]
fn what_is_cold_is_not_thawed_for_a_drill() {
    if !real_btrfs_available() {
        return;
    }
    let machine = Machine::fed(None);
    machine.write_config(&fed_config().replace(
        "path = \"$T/store\"",
        "path = \"$T/store\"\ncold = \"GLACIER\"\ncold_delay = \"0s\"",
    ));
    let [full, _] = first_and_seventh(100);
    let run = machine.run_with("decide 2024-01-01", &full);
    assert_eq!(run.code, Some(0), "{run:?}");
    let before = machine.standing();
    let run = machine.run("verify --drill --identity $T/kit");
    assert_eq!(run.code, Some(5), "{run:?}");
    assert_eq!(machine.standing(), before);
}

/// A machine with a btrfs for what is restored, and one archive.
fn fed() -> Machine {
    let machine = Machine::fed(Some(LoopFs::new(256)));
    let [full, _] = first_and_seventh(100);
    let run = machine.run_with("decide 2024-01-01", &full);
    assert_eq!(run.code, Some(0), "{run:?}");
    fs::create_dir(machine.path("drills")).unwrap();
    machine
}

const DRILL: &str = "verify --drill --drill-dir $T/drills --identity $T/kit";

#[test]
fn a_chain_that_btrfs_receive_refuses_is_damaged_and_one_whose_receive_was_killed_is_not() {
    if !real_btrfs_available() {
        return;
    }
    let machine = fed();
    let stub = Stub::new();
    let state = |machine: &Machine| machine.listed()["sources"][0]["chains"][0]["state"].clone();
    for (script, code, found) in [
        ("kill -KILL $$", 1, "complete"),
        ("echo 'ERROR: no' >&2; exit 1", 6, "damaged"),
    ] {
        stub.does("receive", script);
        let mut command = machine.command(DRILL);
        let run = machine.run_command(command.env("PATH", stub.path()));
        assert_eq!(run.code, Some(code), "{script}: {run:?}");
        assert_eq!(state(&machine), found, "{run:?}");
        let named = "home: DAMAGED    home/archives/2024-01-01-full-$HEX16/: ";
        assert_eq!(run.stdout.contains(named), code == 6, "{run:?}");
        is_clean(&machine.path("drills"));
    }
    let run = machine.run("verify --deep --identity $T/kit");
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(state(&machine), "damaged", "what was read was not received");
    let run = machine.run(DRILL);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(
        run.stdout.contains(
            "home: drill      0 archives restored onto a temporary filesystem and compared; \
             1 not checked: restored, with no snapshot here to compare it with\n"
        ),
        "{run:?}"
    );
}

#[test]
fn a_drill_that_is_killed_leaves_nothing_mounted_and_the_next_one_takes_its_place() {
    if !real_btrfs_available() {
        return;
    }
    let machine = fed();
    let stub = Stub::new();
    let begun = Pipe::new();
    stub.does(
        "receive",
        &format!("echo begun >{}; exec cat >{0}", begun.path()),
    );
    let drills = machine.path("drills");
    let is_mounted = || {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        mounts.contains(drills.to_str().unwrap())
    };
    let mut command = machine.command(DRILL);
    let talk = machine.start_command(command.env("PATH", stub.path()));
    assert_eq!(begun.hear(), "begun\n");
    assert!(!is_mounted(), "nobody else sees it");
    talk.signal(Signal::KILL);
    let run = talk.end();
    assert_eq!(run.code, None, "{run:?}");
    assert!(!is_mounted());
    let run = machine.run(DRILL);
    assert_eq!(run.code, Some(0), "{run:?}");
    is_clean(&drills);
}

#[test]
fn a_drill_takes_nothing_that_others_may_have_put_there() {
    if !real_btrfs_available() {
        return;
    }
    let machine = fed();
    let drills = machine.path("drills");
    let own = drills.join("coldchain-drill");
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(&drills, 0o1777);
    let refused = |what: &str| {
        let run = machine.run(DRILL);
        assert_eq!(run.code, Some(2), "{what}: {run:?}");
        assert!(is_still_mounted(&machine), "{what}");
    };
    // Somebody else's directory, made ready for a drill: its root is a filesystem that is in use.
    fs::create_dir(&own).unwrap();
    fs::write(own.join("lock"), "").unwrap();
    symlink(machine.btrfs().root(), own.join("root")).unwrap();
    chown(&own, Some(65534), Some(65534)).unwrap();
    refused("of another user");
    chown(&own, Some(0), Some(0)).unwrap();
    mode(&own, 0o755);
    refused("not private");
    mode(&own, 0o700);
    refused("a link in it");
    fs::remove_dir_all(&own).unwrap();
    let elsewhere = machine.path("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    mode(&elsewhere, 0o700);
    fs::write(elsewhere.join("lock"), "").unwrap();
    symlink(&elsewhere, &own).unwrap();
    refused("a link");
    fs::remove_file(&own).unwrap();
    let run = machine.run(DRILL);
    assert_eq!(run.code, Some(0), "{run:?}");
    mode(&drills, 0o777);
    refused("others may replace it");
}

fn is_still_mounted(machine: &Machine) -> bool {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    mounts.contains(machine.btrfs().root().to_str().unwrap())
}

#[test]
fn a_drill_that_has_no_room_says_so_and_says_where() {
    if !real_btrfs_available() {
        return;
    }
    let machine = Machine::fed(None);
    let [full, _] = first_and_seventh(4 << 10);
    let run = machine.run_with("decide 2024-01-01", &full);
    assert_eq!(run.code, Some(0), "{run:?}");
    let _small = Tmpfs::on(&machine.path("drills"), 1 << 10);
    let run = machine.run(DRILL);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(
        run.stderr
            .starts_with("error: $T/drills has no room for a drill: ")
            && run.stderr.contains("--drill-dir"),
        "{run:?}"
    );
    assert!(
        run.stdout.contains("home: drill      not done: "),
        "{run:?}"
    );
}

#[test]
fn damage_that_was_found_counts_more_than_what_a_drill_waits_for() {
    if !real_btrfs_available() {
        return;
    }
    let machine = Machine::fed(None);
    machine.write_config(&fed_config().replace(
        "path = \"$T/store\"",
        "path = \"$T/store\"\ncold = \"GLACIER\"\ncold_delay = \"0s\"",
    ));
    let [full, _] = first_and_seventh(100);
    let run = machine.run_with("decide 2024-01-01", &full);
    assert_eq!(run.code, Some(0), "{run:?}");
    fs::remove_file(&machine.objects("key.age")[0]).unwrap();
    let run = machine.run("verify --deep --drill --identity $T/kit");
    assert_eq!(run.code, Some(6), "{run:?}");
    for words in ["home: drill      not done: ", "/key.age: it is missing\n"] {
        assert!(run.stdout.contains(words), "{words}: {run:?}");
    }
}
