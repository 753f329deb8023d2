//! Somebody with a stolen writer's key against the two scripts that restore without coldchain: the one of
//! `docs/restore-without-coldchain.md` and what `restore --explain` prints. No value of an entry is run, and no
//! stream reaches anything but its target.

use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::common::by_hand::{by_hand, by_hand_with_path, can_run, page, root_of, script};
use crate::common::forged::Forger;
use crate::common::from_env;
use crate::common::loopfs::{LoopFs, btrfs, run};
use crate::common::machine::Machine;
use crate::common::rng::Rng;
use crate::common::stream_builder::{OWN, PARENT, StreamBuilder, attr};
use crate::common::stub::write_script;
use crate::common::tree::{compare_trees, make_rich_tree, mutate_tree};
use coldchain::btrfs::identity;
use coldchain::model::entry::{AttachEntry, Attachment, EntryKind, RotateEntry};
use coldchain::model::{ArchiveKind, Sha256};
use serde_json::{Value, json};

const FIRST: &str = "2024-01-01";
const SECOND: &str = "2024-01-07";
/// What lies beside the target.
const SECRET: &[u8] = b"what the stream must not read";

/// The two ways to restore by a script.
#[derive(Debug, Clone, Copy)]
enum Way {
    ByHand,
    Explained,
}

const WAYS: [Way; 2] = [Way::ByHand, Way::Explained];

/// The ways in which a case is tried: one of the two, in turn, or both in the soak. Nine tenths of the time of a case is
/// the start of `jq`, of each entry some times.
fn ways_of(nth: usize) -> impl Iterator<Item = Way> {
    let count = usize::try_from(from_env("COLDCHAIN_SCRIPT_WAYS", 1)).unwrap();
    (0..count.clamp(1, WAYS.len())).map(move |more| WAYS[(nth + more) % WAYS.len()])
}

impl Way {
    fn restore(self, machine: &Machine, date: &str, target: &Path) -> Output {
        match self {
            Self::ByHand => {
                let (source, kit) = (machine.path("store/home"), machine.path("kit"));
                by_hand(&source, &kit, &root_of(machine), date, target)
            }
            Self::Explained => {
                let explained = machine
                    .command(&format!(
                        "restore home --date {date} --explain --identity $T/kit --to"
                    ))
                    .arg(target)
                    .output()
                    .unwrap();
                if !explained.status.success() {
                    return explained;
                }
                piped(&explained.stdout)
            }
        }
    }
}

/// Runs a script that comes on stdin.
fn piped(script: &[u8]) -> Output {
    let mut bash = Command::new("bash")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    bash.stdin.take().unwrap().write_all(script).unwrap();
    bash.wait_with_output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The names in a directory.
fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// Deletes what was restored, so that nothing is built on it by mistake.
fn forget(target: &Path) {
    for name in names(target) {
        btrfs(["subvolume", "delete"], &[&target.join(name)]);
    }
}

fn full() -> StreamBuilder {
    StreamBuilder::header(1).subvol(b"one", PARENT, 4000)
}

fn incremental() -> StreamBuilder {
    StreamBuilder::header(1).snapshot(b"two", OWN, 4001, PARENT, 4000)
}

/// A machine whose store holds a full, and an incremental on it, that somebody has forged.
fn forged(full: StreamBuilder, incremental: StreamBuilder) -> Machine {
    let machine = Machine::fed(None);
    let forger = Forger::of(&machine);
    let first = forger.archive(FIRST, ArchiveKind::Full, &full.finish(), None);
    let next = incremental.finish();
    forger.archive(SECOND, ArchiveKind::Incremental, &next, Some(&first));
    machine
}

/// What stands on a disk that nothing was written to.
fn blank() -> Vec<u8> {
    vec![0x55; 1 << 20]
}

/// A loop device that is nobody's.
struct Disk {
    image: tempfile::NamedTempFile,
    device: PathBuf,
}

impl Disk {
    fn new() -> Self {
        let mut image = tempfile::NamedTempFile::new().unwrap();
        image.write_all(&blank()).unwrap();
        let output = run(Command::new("losetup")
            .args(["--find", "--show"])
            .arg(image.path()));
        let device = String::from_utf8(output.unwrap().stdout).unwrap();
        Self {
            image,
            device: device.trim().into(),
        }
    }

    /// The command that makes a node of it.
    fn node(&self, stream: StreamBuilder, path: &[u8]) -> StreamBuilder {
        let number = fs::metadata(&self.device).unwrap().rdev().to_le_bytes();
        let mode = 0o060_600_u64.to_le_bytes();
        stream.command(
            5,
            &[
                (attr::PATH, path),
                (attr::INO, &300_u64.to_le_bytes()),
                (attr::RDEV, &number),
                (attr::MODE, &mode),
            ],
        )
    }

    fn is_untouched(&self) -> bool {
        run(Command::new("sync").arg(&self.device)).unwrap();
        fs::read(&self.device).unwrap() == blank()
            && fs::read(self.image.path()).unwrap() == blank()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = run(Command::new("losetup").arg("-d").arg(&self.device));
    }
}

#[test]
fn both_scripts_confine_in_the_same_words() {
    let confined = include_str!("../../src/commands/restore/confined.sh");
    assert!(page().contains(confined));
}

/// A change of an entry before it is signed, and a command that makes a canary.
type Change = fn(&mut Value, &str);

const VALUES: [(&str, Change); 23] = [
    ("a sed program as id", |body, run| {
        body["archive"]["id"] = format!("x//;1e {run} #").into();
    }),
    ("a path as id", |body, _| {
        body["archive"]["id"] = "../archives/2024-01-01-full-0123456789abcdef".into();
    }),
    ("an option as id", |body, _| {
        body["archive"]["id"] = "-o2024-01-01-full-0123456789abcdef".into();
    }),
    ("a second line in the id", |body, run| {
        let id = body["archive"]["id"].as_str().unwrap().to_owned();
        body["archive"]["id"] = format!("{id}\n$({run})").into();
    }),
    ("a NUL in the id", |body, _| {
        let id = body["archive"]["id"].as_str().unwrap().to_owned();
        body["archive"]["id"] = format!("{id}\0").into();
    }),
    ("a subscript as send parent", |body, run| {
        body["archive"]["send_parent"] = format!("x[$({run})]").into();
    }),
    ("a quote as send parent", |body, run| {
        body["archive"]["send_parent"] = format!("']'$({run})").into();
    }),
    ("a command as digest", |body, run| {
        body["archive"]["segments"][0]["sha256"] = format!("$({run})").into();
    }),
    ("a path as digest", |body, _| {
        body["archive"]["segments"][0]["sha256"] = "../../../../../../etc/passwd".into();
    }),
    ("two digests in one", |body, _| {
        let digest = body["archive"]["segments"][0]["sha256"]
            .as_str()
            .unwrap()
            .to_owned();
        body["archive"]["segments"][0]["sha256"] =
            format!("{digest}\n{digest}  /etc/passwd").into();
    }),
    ("no list of segments", |body, run| {
        body["archive"]["segments"] = json!({"$(x)": format!("$({run})")});
    }),
    ("a command as key", |body, run| {
        body["archive"]["key"] = format!("AAAA; {run}; echo").into();
    }),
    ("a substitution as key", |body, run| {
        body["archive"]["key"] = format!("$({run})").into();
    }),
    ("a quote as key", |body, run| {
        body["archive"]["key"] = format!("'; {run}; '").into();
    }),
    ("lines as key", |body, run| {
        body["archive"]["key"] = format!("AAAA\n{run}\n").into();
    }),
    ("an option as key", |body, _| {
        body["archive"]["key"] = "--help".into();
    }),
    ("a command as date", |body, run| {
        body["archive"]["date"] = format!("2024-01-01$({run})").into();
    }),
    ("a path as date", |body, _| {
        body["archive"]["date"] = "../2024-01-01".into();
    }),
    ("a command as stream uuid", |body, run| {
        body["archive"]["stream_uuid"] = format!("x[$({run})]").into();
    }),
    ("a command in skips", |body, run| {
        body["skips"] = json!([format!("x[$({run})]")]);
    }),
    ("a subscript as skips", |body, run| {
        body["skips"] = format!("x[$({run})]").into();
    }),
    ("a command as kind", |body, run| {
        body["kind"] = format!("x[$({run})]").into();
    }),
    ("a command as prev", |body, run| {
        body["prev"] = format!("x[$({run})]").into();
    }),
];

/// An archive key for another archive: whoever uses an id as a pattern has a line to use it on.
fn add_attached(forger: &Forger) {
    let sealed = Attachment {
        archive: "2024-01-01-full-0123456789abcdef".parse().unwrap(),
        what: Attachment::KEY.to_owned(),
        recipients: Sha256([0; 32]),
        sealed: "AAAA".to_owned(),
        contents: None,
        replaces: None,
    };
    let objects = vec![sealed];
    forger.append(EntryKind::Attach(AttachEntry { objects }), |_| {});
}

#[test]
fn no_value_of_a_signed_entry_is_run_or_used_as_a_path() {
    if !can_run() {
        return;
    }
    let fs = LoopFs::new(256);
    let target = fs.subvolume("target");
    let stream = StreamBuilder::full(1).mkfile(b"x").finish();
    for (nth, (what, change)) in VALUES.into_iter().enumerate() {
        let machine = Machine::fed(None);
        let forger = Forger::of(&machine);
        let canary = machine.path("canary");
        let run = format!("touch {}", canary.display());
        forger.archive_changed(FIRST, ArchiveKind::Full, &stream, None, |body| {
            change(body, &run);
        });
        for way in ways_of(nth) {
            if matches!(way, Way::ByHand) {
                add_attached(&forger);
            }
            let output = way.restore(&machine, FIRST, &target);
            assert!(
                !output.status.success(),
                "{what}, {way:?}: {}",
                said(&output)
            );
            assert!(!canary.exists(), "{what}, {way:?}: {}", said(&output));
            assert!(!said(&output).contains(['\x1b', '\0']), "{what}, {way:?}");
            assert_eq!(names(&target), Vec::<String>::new(), "{what}, {way:?}");
        }
    }
}

#[test]
fn no_value_of_an_entry_that_attaches_or_rotates_is_run() {
    if !can_run() {
        return;
    }
    let fs = LoopFs::new(256);
    let target = fs.subvolume("target");
    let stream = StreamBuilder::full(1).mkfile(b"x").finish();
    let attach: [Change; 4] = [
        |body, run| {
            body["attach"]["objects"][0]["sealed"] = format!("$({run})").into();
        },
        |body, run| {
            body["attach"]["objects"][0]["archive"] = format!("x//;1e {run} #").into();
        },
        |body, run| {
            body["attach"]["objects"][0]["sealed"] = format!("'; {run}; '").into();
        },
        |body, run| {
            body["attach"]["objects"][0]["sealed"] = format!("AAAA; {run}; echo").into();
        },
    ];
    for (at, change) in attach.into_iter().enumerate() {
        let machine = Machine::fed(None);
        let forger = Forger::of(&machine);
        let canary = machine.path("canary");
        let run = format!("touch {}", canary.display());
        let id = forger.archive(FIRST, ArchiveKind::Full, &stream, None);
        let sealed = Attachment {
            archive: id,
            what: Attachment::KEY.to_owned(),
            recipients: Sha256([0; 32]),
            sealed: "AAAA".to_owned(),
            contents: None,
            replaces: None,
        };
        let objects = vec![sealed];
        forger.append(EntryKind::Attach(AttachEntry { objects }), |body| {
            change(body, &run);
        });
        for way in WAYS {
            let output = way.restore(&machine, FIRST, &target);
            assert!(!canary.exists(), "{at}, {way:?}: {}", said(&output));
            if matches!(way, Way::ByHand) {
                // What stands before the hostile entry comes back.
                assert!(output.status.success(), "{at}: {}", said(&output));
            }
            forget(&target);
        }
    }
    // A rotation is the root key's; a writer's is passed over, whatever is in it.
    let machine = Machine::fed(None);
    let forger = Forger::of(&machine);
    let canary = machine.path("canary");
    forger.archive(FIRST, ArchiveKind::Full, &stream, None);
    let rotate = RotateEntry {
        keys: Vec::new(),
        voids: Vec::new(),
        retires: Vec::new(),
        revives: Vec::new(),
    };
    forger.append(EntryKind::Rotate(rotate), |body| {
        let key = format!("x[$(touch {})]", canary.display());
        body["rotate"]["keys"] = json!([{"key": key, "roles": ["root"]}]);
    });
    let output = Way::ByHand.restore(&machine, FIRST, &target);
    assert!(output.status.success(), "{}", said(&output));
    assert!(!canary.exists());
}

#[test]
fn no_value_of_a_first_entry_that_nobody_signed_is_run() {
    if !can_run() {
        return;
    }
    let fs = LoopFs::new(256);
    let target = fs.subvolume("target");
    let stream = StreamBuilder::full(1).mkfile(b"x").finish();
    let changes: [Change; 7] = [
        |body, run| body["ledger"] = format!("$({run})").into(),
        |body, run| body["source"] = format!("x[$({run})]").into(),
        |body, _| body["source"] = "../home".into(),
        |body, run| body["open"]["keys"][1]["key"] = format!("x]=$({run})").into(),
        |body, run| body["open"]["keys"][1]["roles"] = json!([format!("$({run})")]),
        |body, run| body["open"]["keys"][1]["grant"] = json!({"x": format!("$({run})")}),
        |body, _| body["open"]["keys"] = json!("-o"),
    ];
    for (at, change) in changes.into_iter().enumerate() {
        let machine = Machine::fed(None);
        let forger = Forger::of(&machine);
        let canary = machine.path("canary");
        forger.archive(FIRST, ArchiveKind::Full, &stream, None);
        let object = fs::read(forger.entry_path(1)).unwrap();
        let line = object.split(|byte| *byte == b'\n').next().unwrap();
        let mut body: Value = serde_json::from_slice(line).unwrap();
        change(&mut body, &format!("touch {}", canary.display()));
        fs::write(forger.entry_path(1), forger.signed(&body)).unwrap();
        let output = Way::ByHand.restore(&machine, FIRST, &target);
        assert!(!output.status.success(), "{at}: {}", said(&output));
        assert!(!canary.exists(), "{at}: {}", said(&output));
    }
}

#[test]
fn a_restore_by_a_script_reaches_no_device() {
    if !can_run() {
        return;
    }
    let disk = Disk::new();
    let node = |stream: StreamBuilder| disk.node(stream, b"disk");
    let write = |stream: StreamBuilder, path: &[u8]| stream.write(path, 0, b"overwritten");
    let chains = [
        (
            "in the full",
            write(node(full()), b"disk"),
            incremental(),
            vec![],
        ),
        (
            "in the incremental",
            node(full()),
            write(incremental(), b"disk"),
            vec![FIRST],
        ),
        (
            "renamed in the full",
            node(full()).rename(b"disk", b"other"),
            write(incremental(), b"other"),
            vec![FIRST],
        ),
        (
            "renamed in the incremental",
            node(full()),
            write(incremental().rename(b"disk", b"other"), b"other"),
            vec![FIRST],
        ),
        (
            "linked in the full",
            node(full()).link(b"other", b"disk"),
            write(incremental(), b"other"),
            vec![FIRST],
        ),
        (
            "linked in the incremental",
            node(full()),
            write(incremental().link(b"other", b"disk"), b"other"),
            vec![FIRST],
        ),
        (
            "truncated",
            node(full()),
            incremental().truncate(b"disk", 0),
            vec![FIRST],
        ),
    ];
    for (nth, (what, full, incremental, stands)) in chains.into_iter().enumerate() {
        let machine = forged(full, incremental);
        for way in ways_of(nth) {
            let fs = LoopFs::new(256);
            let target = fs.path("target");
            let output = way.restore(&machine, SECOND, &target);
            assert!(disk.is_untouched(), "{what}, {way:?}: {}", said(&output));
            if what != "truncated" {
                let said = said(&output);
                assert!(!output.status.success(), "{what}, {way:?}: {said}");
                assert!(said.contains("was not received"), "{what}, {way:?}: {said}");
                assert_eq!(names(&target), stands, "{what}, {way:?}: {said}");
            }
        }
    }
}

/// What each does, the full, the incremental, and what stands after the restore.
type Leaving = (
    &'static str,
    StreamBuilder,
    StreamBuilder,
    Vec<&'static str>,
);

/// Chains that try to leave their place.
fn chains_that_leave() -> Vec<Leaving> {
    let linked = |to: &[u8]| full().symlink(b"up", to);
    vec![
        (
            "a file is made through a link of the parent",
            linked(b".."),
            incremental().mkfile(b"up/planted"),
            vec![FIRST],
        ),
        (
            "a link is made through a link of the parent",
            linked(b".."),
            incremental().symlink(b"up/planted", b"/etc/passwd"),
            vec![FIRST],
        ),
        (
            "a file is overwritten through a link of the parent",
            linked(b"../.."),
            incremental().write(b"up/secret", 0, b"overwritten"),
            vec![FIRST],
        ),
        (
            "one more level up",
            linked(b"../../.."),
            incremental().write(b"up/secret", 0, b"overwritten"),
            vec![FIRST],
        ),
        (
            "through a link to a link",
            linked(b"../..").symlink(b"on", b"up"),
            incremental().write(b"on/secret", 0, b"overwritten"),
            vec![FIRST],
        ),
        (
            "a file is read through a link of the parent",
            full().symlink(b"up", b"../../secret").mkfile(b"copy"),
            incremental().clone_range(b"copy", PARENT, b"up"),
            vec![FIRST],
        ),
        (
            "dots in a path",
            full()
                .mkfile(b"../../planted")
                .write(b"../../secret", 0, b"overwritten"),
            incremental(),
            vec![],
        ),
        (
            "dots in a path, beside the stage",
            full().mkfile(b"../planted"),
            incremental(),
            vec![],
        ),
        (
            "others may write to the target",
            full().command(
                18,
                &[
                    (attr::PATH, b"../.."),
                    (attr::MODE, &0o777_u64.to_le_bytes()),
                ],
            ),
            incremental(),
            vec![],
        ),
        (
            "the name of another date",
            StreamBuilder::header(1).subvol(b"../2024-01-14", PARENT, 4000),
            incremental(),
            vec![],
        ),
        (
            "a second subvolume",
            full()
                .mkfile(b"x")
                .subvol(b"../2024-01-14", *b"another-uuid-xyz", 1),
            incremental(),
            vec![],
        ),
    ]
}

#[test]
fn a_restore_by_a_script_reaches_no_file_beside_its_target() {
    if !can_run() {
        return;
    }
    for (nth, (what, full, incremental, stands)) in chains_that_leave().into_iter().enumerate() {
        let machine = forged(full, incremental);
        for way in ways_of(nth) {
            let fs = LoopFs::new(256);
            fs::write(fs.path("secret"), SECRET.repeat(400)).unwrap();
            let before = names(&fs.root());
            let target = fs.path("target");
            let output = way.restore(&machine, SECOND, &target);
            let said = said(&output);
            assert!(!output.status.success(), "{what}, {way:?}: {said}");
            assert_eq!(names(&target), stands, "{what}, {way:?}: {said}");
            let secret = fs::read(fs.path("secret")).unwrap();
            assert!(secret == SECRET.repeat(400), "{what}, {way:?}");
            let mut after = names(&fs.root());
            after.retain(|name| name != "target");
            assert_eq!(after, before, "{what}, {way:?}");
            let owned = fs::symlink_metadata(&target).unwrap();
            assert_eq!((owned.uid(), owned.mode() & 0o7777), (0, 0o700), "{what}");
        }
    }
}

#[test]
fn a_stream_is_not_taken_for_another_one() {
    if !can_run() {
        return;
    }
    let name = b"one\n\tReceived UUID:\t\t73656e64-2d70-6172-656e-742d75756964\n\x1b]0;x\x07";
    // Its name says what the ledger says, and it is another.
    let stream = StreamBuilder::header(1).subvol(name, OWN, 1).mkfile(b"x");
    let machine = Machine::fed(None);
    Forger::of(&machine).archive_changed(
        FIRST,
        ArchiveKind::Full,
        &stream.finish(),
        None,
        |body| {
            body["archive"]["stream_uuid"] = "73656e64-2d70-6172-656e-742d75756964".into();
        },
    );
    for way in WAYS {
        let fs = LoopFs::new(256);
        let target = fs.path("target");
        let output = way.restore(&machine, FIRST, &target);
        let said = said(&output);
        assert!(!output.status.success(), "{way:?}");
        assert!(
            said.contains("another stream than the ledger says"),
            "{said}"
        );
        assert!(!said.contains('\x1b'), "{said}");
        assert_eq!(names(&target), Vec::<String>::new(), "{way:?}");
    }
    // Any name will do for the right one.
    let stream = StreamBuilder::header(1).subvol(name, OWN, 1).mkfile(b"x");
    let machine = Machine::fed(None);
    Forger::of(&machine).archive(FIRST, ArchiveKind::Full, &stream.finish(), None);
    for way in WAYS {
        let fs = LoopFs::new(256);
        let target = fs.path("target");
        let output = way.restore(&machine, FIRST, &target);
        assert!(output.status.success(), "{way:?}: {}", said(&output));
        assert_eq!(names(&target), [FIRST], "{way:?}");
    }
    // A chain of which btrfs receive takes another's subvolume for the parent.
    let machine = forged(full().mkfile(b"x"), incremental());
    let fs = LoopFs::new(256);
    for (name, outcome) in [("one", true), ("two", false)] {
        let output = Way::ByHand.restore(&machine, SECOND, &fs.path(name));
        let said = said(&output);
        assert!(outcome || !output.status.success(), "{said}");
        for date in names(&fs.path(name)) {
            assert!(identity(&fs.path(name).join(date)).unwrap().read_only);
        }
    }
}

#[test]
fn what_a_program_says_of_the_stream_reaches_the_terminal_as_plain_text() {
    if !can_run() {
        return;
    }
    let stream = full().write(b"\x1b]0;owned\x07\nERROR: all is well", 0, b"x");
    let machine = forged(stream, incremental());
    for way in WAYS {
        let fs = LoopFs::new(256);
        let output = way.restore(&machine, FIRST, &fs.path("target"));
        assert!(!output.status.success());
        let printed = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
        assert!(!printed.contains(&0x1b), "{way:?}: {}", said(&output));
    }
}

/// A machine with a rich tree in two archives.
fn archived() -> Machine {
    let machine = Machine::with_subvolume(512);
    let home = machine.btrfs().path("home");
    let mut rng = Rng::new(0x0c01_dc4a);
    make_rich_tree(&home, &mut rng);
    let device = home.join("device");
    run(Command::new("mknod").arg(&device).args(["b", "7", "200"])).unwrap();
    let tool = home.join("setuid");
    fs::write(&tool, b"#!/bin/true").unwrap();
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o6755)).unwrap();
    assert_eq!(machine.run(&format!("backup {FIRST}")).code, Some(0));
    mutate_tree(&home, &mut rng);
    assert_eq!(machine.run(&format!("backup {SECOND}")).code, Some(0));
    machine
}

#[test]
fn every_shape_of_target_takes_a_full_and_an_incremental() {
    if !can_run() {
        return;
    }
    let machine = archived();
    let fs = LoopFs::new(512);
    let mounted = tempfile::tempdir().unwrap();
    let mount = |args: &[&str], from: &Path| {
        run(Command::new("mount")
            .args(args)
            .arg(from)
            .arg(mounted.path()))
        .unwrap();
    };
    let unmount = || {
        run(Command::new("umount").arg(mounted.path())).unwrap();
    };
    let device = run(Command::new("findmnt")
        .args(["-nro", "SOURCE"])
        .arg(fs.root()))
    .unwrap()
    .stdout;
    let device = PathBuf::from(String::from_utf8(device).unwrap().trim());
    let restore = |way: Way, target: &Path| {
        let output = way.restore(&machine, SECOND, target);
        assert!(
            output.status.success(),
            "{way:?} {}: {}",
            target.display(),
            said(&output)
        );
        assert_eq!(names(target), [FIRST, SECOND]);
        for date in [FIRST, SECOND] {
            let snapshot = machine.btrfs().path("snapshots").join(date);
            compare_trees(&snapshot, &target.join(date));
        }
        assert_eq!(fs::metadata(target).unwrap().mode() & 0o7777, 0o700);
        forget(target);
    };
    for way in WAYS {
        let name = |what: &str| format!("{what} of 'em {way:?}");
        restore(way, &fs.path(name("missing")));
        fs::create_dir(fs.path(name("plain"))).unwrap();
        restore(way, &fs.path(name("plain")));
        restore(way, &fs.subvolume(name("subvolume")));
        let outer = fs.subvolume(name("outer"));
        restore(way, &outer.join("nested"));
        let at = fs.subvolume(name("@"));
        let option = format!("subvol={}", name("@"));
        mount(&["-o", &option], &device);
        restore(way, mounted.path());
        restore(way, &mounted.path().join("below"));
        unmount();
        drop(at);
        // A bind mount of a plain directory, and a directory in it.
        let bound = fs.path(name("bound"));
        fs::create_dir(&bound).unwrap();
        mount(&["--bind"], &bound);
        restore(way, &mounted.path().join("below"));
        unmount();
    }
}

#[test]
fn a_target_that_others_steer_is_refused() {
    if !can_run() {
        return;
    }
    let machine = forged(full().mkfile(b"x"), incremental());
    let fs = LoopFs::new(256);
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    let open = fs.subvolume("open");
    mode(&open, 0o777);
    let anothers = fs.subvolume("anothers");
    std::os::unix::fs::chown(&anothers, Some(1000), None).unwrap();
    let real = fs.subvolume("real");
    symlink(&real, fs.path("link")).unwrap();
    let memory = tempfile::tempdir_in("/dev/shm").unwrap();
    let full_one = fs.subvolume("full one");
    fs::write(full_one.join("x"), b"").unwrap();
    let cases = [
        (open.join("target"), "others than root may write in"),
        (anothers.clone(), "does not belong to root"),
        (anothers.join("target"), "others than root may write in"),
        (fs.path("link"), "is a link"),
        (fs.path("link/"), "is a link"),
        (memory.path().join("target"), "is not on btrfs"),
        (full_one.clone(), "is not an empty directory"),
        (fs.path("no/such/target"), "there is no directory"),
    ];
    for (target, says) in cases {
        for way in WAYS {
            let output = way.restore(&machine, SECOND, &target);
            let said = said(&output);
            assert!(!output.status.success(), "{way:?} {}", target.display());
            assert!(said.contains(says), "{way:?} {}: {said}", target.display());
        }
    }
    assert_eq!(names(&real), Vec::<String>::new());
    assert_eq!(names(&full_one), ["x"]);
    // A sticky directory is as good as one of root.
    mode(&open, 0o1777);
    let target = open.join("target");
    let output = Way::ByHand.restore(&machine, SECOND, &target);
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn a_mount_program_that_does_not_know_a_flag_stops_the_restore() {
    if !can_run() {
        return;
    }
    let machine = forged(full().mkfile(b"x"), incremental());
    let real = Command::new("sh")
        .args(["-c", "command -v mount"])
        .output()
        .unwrap();
    let real = String::from_utf8(real.stdout).unwrap();
    for flag in ["nodev", "nosuid", "noexec", "nosymfollow"] {
        let bin = tempfile::tempdir().unwrap();
        let script = format!(
            "a=(); for x in \"$@\"; do a+=(\"${{x/,{flag}/}}\"); done; exec {} \"${{a[@]}}\"",
            real.trim()
        );
        write_script(
            &bin.path().join("mount"),
            &format!(
                "exec bash -c '{}' mount \"$@\"",
                script.replace('\'', "'\\''")
            ),
        );
        let path = format!(
            "{}:{}",
            bin.path().display(),
            std::env::var("PATH").unwrap()
        );
        let fs = LoopFs::new(256);
        let target = fs.path("target");
        let output = by_hand_with_path(
            path.as_ref(),
            &machine.path("store/home"),
            &machine.path("kit"),
            &root_of(&machine),
            FIRST,
            &target,
        );
        assert!(!output.status.success(), "{flag}");
        let says = format!("this system can not mount with {flag}");
        assert!(said(&output).contains(&says), "{flag}: {}", said(&output));
        assert_eq!(names(&target), Vec::<String>::new());
    }
}

#[test]
fn a_stream_that_nobody_vouches_for_is_confined_as_well() {
    if !can_run() {
        return;
    }
    let disk = Disk::new();
    let fs = LoopFs::new(256);
    let target = fs.path("target");
    let receive = |date: &str, stream: &[u8]| {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), stream).unwrap();
        let mut script = script();
        script.arg("receive").arg(&target).arg(date);
        script.stdin(fs::File::open(file.path()).unwrap());
        script.output().unwrap()
    };
    let node = disk.node(full().mkfile(b"x"), b"disk").finish();
    let output = receive(FIRST, &node);
    assert!(output.status.success(), "{}", said(&output));
    let write = incremental().write(b"disk", 0, b"overwritten").finish();
    let output = receive(SECOND, &write);
    assert!(!output.status.success());
    assert!(disk.is_untouched(), "{}", said(&output));
    assert_eq!(names(&target), [FIRST]);
    let output = receive(SECOND, &incremental().write(b"x", 0, b"y").finish());
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(names(&target), [FIRST, SECOND]);
    assert_eq!(fs::read(target.join(SECOND).join("x")).unwrap(), b"y");
    // Nothing else may stand there, and no date twice.
    let output = receive(SECOND, &full().mkfile(b"x").finish());
    assert!(!output.status.success());
    fs::write(target.join("other"), b"").unwrap();
    let output = receive("2024-01-14", &full().mkfile(b"x").finish());
    assert!(said(&output).contains("is not an empty directory"));
    assert_eq!(names(&target), [FIRST, SECOND, "other"]);
    for date in ["../x", "2024-01-1", "2024-01-14\n"] {
        assert!(!receive(date, &node).status.success(), "{date}");
    }
}

#[test]
fn the_script_says_whether_anybody_vouches_for_the_ledger() {
    let machine = Machine::fed(None);
    let stream = full().mkfile(b"x").finish();
    let run = machine.run_with(&format!("decide {FIRST}"), &stream);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let explained = machine.run("restore home --explain");
    assert!(
        explained
            .stdout
            .contains("# The digests come from the signed ledger.")
    );
    assert!(!explained.stdout.contains("CAUTION"));
    let rebuilt = |how: &str, state: &str| {
        let mut command = machine.command(&format!(
            "catalog rebuild --store file://$T/store --state-dir $T/{state} {how}"
        ));
        let run = machine.run_command(command.env("COLDCHAIN_CONFIG", machine.path("none")));
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        let explained = machine.run(&format!("restore home --explain --state-dir $T/{state}"));
        assert_eq!(explained.code, Some(0), "{}", explained.stderr);
        explained.stdout
    };
    let text = rebuilt("--unauthenticated", "own-word");
    assert!(
        text.contains("# CAUTION: no trusted root key vouches for the ledger"),
        "{text}"
    );
    assert!(
        !text.contains("signed ledger") && !text.contains("verified"),
        "{text}"
    );
    let text = rebuilt("--identity $T/kit", "by-the-kit");
    assert!(
        text.contains("# The digests come from the signed ledger."),
        "{text}"
    );
}

#[test]
fn names_need_not_be_text() {
    if !can_run() {
        return;
    }
    let machine = forged(full().mkfile(b"\xff\xfe"), incremental().mkfile(b"\xfd"));
    let fs = LoopFs::new(256);
    let target = fs.path(std::ffi::OsStr::from_bytes(b"tar\xffget"));
    let output = Way::ByHand.restore(&machine, SECOND, &target);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(names(&target), [FIRST, SECOND]);
}

/// A stream with one file whose path has that many bytes.
fn deep(length: usize) -> Vec<u8> {
    let mut stream = StreamBuilder::header(1).subvol(FIRST.as_bytes(), PARENT, 4000);
    let mut path = Vec::new();
    while length - path.len() > 250 {
        path.extend([b'd'; 199]);
        stream = stream.mkdir(&path);
        path.push(b'/');
    }
    path.resize(length, b'f');
    stream.mkfile(&path).finish()
}

#[test]
fn the_longest_path_that_the_page_promises_comes_back() {
    if !can_run() {
        return;
    }
    let page = page();
    let (_, longest) = page.split_once("- A path longer than ").unwrap();
    let (longest, _) = longest.split_once(" bytes can't be received").unwrap();
    let longest: usize = longest.replace(',', "").parse().unwrap();
    for (length, comes_back) in [(longest, true), (longest + 1, false)] {
        let machine = Machine::fed(None);
        Forger::of(&machine).archive(FIRST, ArchiveKind::Full, &deep(length), None);
        for way in WAYS {
            let fs = LoopFs::new(256);
            let output = way.restore(&machine, FIRST, &fs.path("target"));
            let said = said(&output);
            assert_eq!(
                output.status.success(),
                comes_back,
                "{length}, {way:?}: {said}"
            );
        }
    }
}
