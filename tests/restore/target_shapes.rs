//! Random chains restored into every shape of target that people have: what comes back equals the
//! snapshots, with modes, capabilities, setuid bits, devices and the root's own times.

use crate::common::from_env;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};

use crate::common::loopfs::{LoopFs, btrfs, real_btrfs_available, run};
use crate::common::rng::Rng;
use crate::common::sandbox::{SOURCE, Sandbox, Setup, which};
use crate::common::tree::{compare_trees, make_rich_tree, mutate_tree};

const DATES: [&str; 4] = ["2025-01-01", "2025-01-07", "2025-01-14", "2025-01-21"];

/// Something more that is mounted; unmounted when it is dropped, also by a panic.
struct Mounted(PathBuf);

impl Mounted {
    fn new(words: &[&str], what: &Path, at: &Path) -> Self {
        fs::create_dir_all(at).unwrap();
        run(Command::new("mount").args(words).args([what, at])).unwrap();
        Self(at.to_owned())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let unmounted = run(Command::new("umount").arg(&self.0));
        assert!(
            unmounted.is_ok() || std::thread::panicking(),
            "{unmounted:?}"
        );
    }
}

/// A directory to restore into, and what must live for it.
struct Shape {
    to: PathBuf,
    _mounted: Vec<Mounted>,
    _elsewhere: tempfile::TempDir,
}

impl Shape {
    fn new(name: &str, fs: &LoopFs) -> Self {
        let elsewhere = tempfile::tempdir().unwrap();
        let at = elsewhere.path().join("mounted here");
        let device = run(Command::new("findmnt")
            .args(["-no", "SOURCE"])
            .arg(fs.root()))
        .unwrap();
        let device = PathBuf::from(String::from_utf8(device.stdout).unwrap().trim());
        let directory = |path: PathBuf| {
            fs::create_dir_all(&path).unwrap();
            path
        };
        let (to, mounted) = match name {
            "the root of a mount" => (fs.root(), vec![]),
            "a directory" => (directory(fs.path("a/b c")), vec![]),
            "a directory with a default ACL" => {
                let to = directory(fs.path("acl"));
                acl("-dm", "u:7:rwx", &to);
                (to, vec![])
            }
            "a nested subvolume" => (fs.subvolume("sub"), vec![]),
            "below a nested subvolume" => (directory(fs.subvolume("sub").join("deep/er")), vec![]),
            "a subvolume that is mounted" => {
                fs.subvolume("@");
                let mounted = Mounted::new(&["-o", "subvol=@"], &device, &at);
                (directory(at.join("restored")), vec![mounted])
            }
            "a bind mount of a directory" => {
                let what = directory(fs.path("data/deep"));
                (at.clone(), vec![Mounted::new(&["--bind"], &what, &at)])
            }
            "a bind mount in a mounted subvolume" => {
                fs.subvolume("@");
                let first = elsewhere.path().join("first");
                let mounted = Mounted::new(&["-o", "subvol=@"], &device, &first);
                let what = directory(first.join("home"));
                let bound = Mounted::new(&["--bind"], &what, &at);
                (at.clone(), vec![bound, mounted])
            }
            "a mount that forbids much" => {
                let what = directory(fs.path("data"));
                let bound = Mounted::new(&["--bind"], &what, &at);
                let remount = "remount,bind,nodev,nosuid,noexec,noatime";
                run(Command::new("mount").args(["-o", remount]).arg(&at)).unwrap();
                (at.clone(), vec![bound])
            }
            "behind a link" => {
                let link = elsewhere.path().join("link");
                std::os::unix::fs::symlink(directory(fs.path("data")), &link).unwrap();
                (link, vec![])
            }
            other => panic!("{other}"),
        };
        Self {
            to,
            _mounted: mounted,
            _elsewhere: elsewhere,
        }
    }
}

const SHAPES: [&str; 10] = [
    "the root of a mount",
    "a directory",
    "a directory with a default ACL",
    "a nested subvolume",
    "below a nested subvolume",
    "a subvolume that is mounted",
    "a bind mount of a directory",
    "a bind mount in a mounted subvolume",
    "a mount that forbids much",
    "behind a link",
];

/// Changes owners and gives the modes back, as a package manager does: what a stream then says is the
/// owner alone.
fn change_owners(source: &Path, rng: &mut Rng) {
    let files = source.join("suid");
    // Other changes may have put a link in its place.
    if !files.is_dir() {
        let _ = fs::remove_file(&files);
        fs::create_dir(&files).unwrap();
    }
    for number in 0..6 {
        let file = files.join(number.to_string());
        if !file.exists() {
            fs::write(&file, rng.text(500)).unwrap();
        }
        let owner = u32::try_from(rng.below(3000)).unwrap();
        lchown(&file, Some(owner), Some(owner / 2)).unwrap();
        let mode = [0o4755, 0o2755, 0o6711, 0o6644, 0o755, 0o4000][number];
        fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
        if rng.below(4) == 0 {
            fs::rename(&file, files.join(format!("moved {number}"))).unwrap();
        }
    }
}

#[test]
fn a_setuid_file_of_which_only_the_owner_changed_stays_one() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = Sandbox::new();
    let file = sandbox.source().join("mount");
    fs::write(&file, b"a program").unwrap();
    for (date, owner) in [(DATES[0], 0), (DATES[1], 1000), (DATES[2], 0)] {
        lchown(&file, Some(owner), Some(owner)).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o4755)).unwrap();
        sandbox.backup(date);
    }
    sandbox.restores_equal(&DATES[..3]);
    // Also where much is still to be written when the owner changes, and the root's time is one that a program
    // might count from.
    let large = sandbox.source().join("large");
    fs::write(&large, b"").unwrap();
    for (date, names, owner) in [
        ("2025-01-21", ["mount", "moved"], 1),
        ("2025-02-01", ["moved", "mount"], 2),
    ] {
        fs::write(&large, Rng::new(u64::from(owner)).bytes(24 << 20)).unwrap();
        let [from, to] = names.map(|name| sandbox.source().join(name));
        fs::rename(from, &to).unwrap();
        lchown(&to, Some(owner), Some(owner)).unwrap();
        fs::set_permissions(&to, Permissions::from_mode(0o4755)).unwrap();
        let root = fs::File::open(sandbox.source()).unwrap();
        root.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1))
            .unwrap();
        sandbox.backup(date);
    }
    sandbox.restores_equal(&["2025-01-21", "2025-02-01"]);
    // And where the first run has ended before.
    let other = LoopFs::new(256);
    for date in &DATES[..3] {
        sandbox.restore(date, &other.root()).ok();
        let restored = other.path(SOURCE).join(date).join("mount");
        assert_eq!(restored.metadata().unwrap().mode(), 0o104_755, "{date}");
    }
}

#[test]
fn a_setuid_bit_that_comes_with_an_incremental_stays_when_the_next_changes_the_owner() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = Sandbox::new();
    let file = sandbox.source().join("mount");
    fs::write(&file, b"a program").unwrap();
    for (date, owner, mode) in [
        (DATES[0], 0, 0o755),
        (DATES[1], 0, 0o4755),
        (DATES[2], 1000, 0o4755),
    ] {
        lchown(&file, Some(owner), Some(owner)).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
        sandbox.backup(date);
    }
    sandbox.restores_equal(&DATES[..3]);
}

#[test]
fn special_files_keep_a_setuid_bit_when_their_owner_changes() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = Sandbox::new();
    let kinds = [
        ("fifo", FileType::Fifo),
        ("device", FileType::CharacterDevice),
        ("socket", FileType::Socket),
    ];
    let directory = sandbox.source().join("special");
    fs::create_dir(&directory).unwrap();
    for (name, kind) in kinds {
        let mode = Mode::from_raw_mode(0o600);
        mknodat(CWD, directory.join(name), kind, mode, makedev(0, 0)).unwrap();
    }
    for (date, owner) in [(DATES[0], 0), (DATES[1], 1000), (DATES[2], 0)] {
        let names = kinds.map(|(name, _)| directory.join(name));
        for path in names.iter().chain([&directory]) {
            lchown(path, Some(owner), Some(owner)).unwrap();
            fs::set_permissions(path, Permissions::from_mode(0o6711)).unwrap();
        }
        sandbox.backup(date);
    }
    sandbox.restores_equal(&DATES[..3]);
    // And where the first run has ended before.
    let other = LoopFs::new(256);
    for date in &DATES[..3] {
        sandbox.restore(date, &other.root()).ok();
        for (name, _) in kinds {
            let restored = other.path(SOURCE).join(date).join("special").join(name);
            let mode = fs::symlink_metadata(&restored).unwrap().mode();
            assert_eq!(mode & 0o7777, 0o6711, "{date}: {name}");
        }
    }
}

fn acl(how: &str, entry: &str, path: &Path) {
    run(Command::new("setfacl").args([how, entry]).arg(path)).unwrap();
}

#[test]
fn nothing_inherits_from_the_root_what_the_snapshot_does_not_have() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = Sandbox::new();
    let source = sandbox.source();
    // Made before the root has anything to hand down.
    let make = |name: &str| {
        let directory = source.join(name);
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join("file"), name).unwrap();
        let mode = Mode::from_raw_mode(0o640);
        mknodat(CWD, directory.join("fifo"), FileType::Fifo, mode, 0).unwrap();
        directory
    };
    let compression = |algorithm: &str| {
        btrfs(
            ["property", "set"],
            &[&source, Path::new("compression"), Path::new(algorithm)],
        );
    };
    let plain = make("plain");
    acl("-dm", "u:1234:rwx", &source);
    compression("zstd");
    let inherits = make("inherits");
    sandbox.backup(DATES[0]);
    fs::write(plain.join("new"), "below what hands nothing down").unwrap();
    fs::write(inherits.join("new"), "below what does").unwrap();
    sandbox.backup(DATES[1]);
    acl("-dm", "u:99:r", &source);
    compression("lzo");
    make("other");
    sandbox.backup(DATES[2]);
    run(Command::new("setfacl").arg("-k").arg(&source)).unwrap();
    compression("");
    make("last");
    sandbox.backup(DATES[3]);
    sandbox.restores_equal(&DATES);
}

/// A directory as versions without a staging directory made it: no subvolume, the full received among
/// the dates, the mark without what came later.
fn begin_as_before(sandbox: &Sandbox, to: &Path) {
    let elsewhere = LoopFs::new(384);
    sandbox.restore(DATES[0], &elsewhere.root()).ok();
    let mark = fs::read_to_string(elsewhere.path("home/.coldchain-restore.json")).unwrap();
    let mark: serde_json::Value = serde_json::from_str(&mark).unwrap();
    let before = serde_json::json!({
        "ledger": mark["ledger"], "source": mark["source"], "begun": null, "passing": [],
    });
    let directory = to.join(SOURCE);
    fs::create_dir(&directory).unwrap();
    fs::set_permissions(&directory, Permissions::from_mode(0o700)).unwrap();
    fs::write(
        directory.join(".coldchain-restore.json"),
        before.to_string(),
    )
    .unwrap();
    let send = "btrfs send -q \"$1\" | btrfs receive -q -C -e \"$2\"";
    run(Command::new("bash")
        .args(["-c", send, "bash"])
        .arg(elsewhere.path("home").join(DATES[0]))
        .arg(&directory))
    .unwrap();
}

#[test]
fn a_restore_that_an_older_version_began_goes_on_where_receive_finds_its_parent() {
    if !real_btrfs_available() {
        return;
    }
    let mut rng = Rng::new(5);
    let sandbox = Sandbox::with(&Setup {
        mib: 384,
        ..Setup::default()
    });
    make_rich_tree(&sandbox.source(), &mut rng);
    for date in &DATES[..2] {
        sandbox.backup(date);
        mutate_tree(&sandbox.source(), &mut rng);
    }
    for shape in [
        "the root of a mount",
        "a directory",
        "below a nested subvolume",
        "a subvolume that is mounted",
    ] {
        let fs = LoopFs::new(384);
        let target = Shape::new(shape, &fs);
        begin_as_before(&sandbox, &target.to);
        let before = which(&target.to.join(SOURCE).join(DATES[0]));
        let ran = sandbox.restore(DATES[1], &target.to);
        assert_eq!(ran.code, Some(0), "{shape}: {ran:?}");
        assert_eq!(which(&target.to.join(SOURCE).join(DATES[0])), before);
        for date in &DATES[..2] {
            compare_trees(&sandbox.snapshot(date), &target.to.join(SOURCE).join(date));
        }
    }

    // Where somebody else may change the way there, it is not gone on with.
    let fs = LoopFs::new(384);
    let target = Shape::new("a directory", &fs);
    begin_as_before(&sandbox, &target.to);
    lchown(&target.to, Some(65534), None).unwrap();
    let ran = sandbox.restore(DATES[1], &target.to);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(
        ran.stderr
            .contains("an older coldchain made it as a plain directory"),
        "{ran:?}"
    );
    assert!(!target.to.join(SOURCE).join(DATES[1]).exists());
}

#[test]
fn a_chain_comes_back_equal_in_every_shape_of_target() {
    if !real_btrfs_available() {
        return;
    }
    let seed = from_env("COLDCHAIN_SEED", 1);
    let chains = from_env("COLDCHAIN_SHAPES", SHAPES.len() as u64);
    // Each chain is restored in as many shapes as that, one after the other in turn.
    let each = from_env("COLDCHAIN_SHAPES_OF_EACH", SHAPES.len() as u64);
    let mut shapes = SHAPES.into_iter().cycle();
    for chain in 0..chains.div_ceil(each) {
        let mut rng = Rng::new(seed.wrapping_add(chain));
        let sandbox = Sandbox::with(&Setup {
            mib: 384,
            ..Setup::default()
        });
        make_rich_tree(&sandbox.source(), &mut rng);
        for date in DATES {
            change_owners(&sandbox.source(), &mut rng);
            sandbox.backup(date);
            mutate_tree(&sandbox.source(), &mut rng);
            let entry = format!("u:{}:rwx", rng.below(3));
            match rng.below(3) {
                0 => acl("-dm", &entry, &sandbox.source()),
                1 => acl("-dx", "u:1", &sandbox.source()),
                _ => run(Command::new("setfacl").arg("-k").arg(sandbox.source()))
                    .map(drop)
                    .unwrap(),
            }
            let root = fs::File::open(sandbox.source()).unwrap();
            if rng.below(2) == 0 {
                let odd = std::time::UNIX_EPOCH + std::time::Duration::new(rng.below(1 << 30), 7);
                root.set_modified(odd).unwrap();
            }
        }
        for shape in shapes.by_ref().take(usize::try_from(each).unwrap()) {
            let fs = LoopFs::new(512);
            let target = Shape::new(shape, &fs);
            let what = format!("{shape}, seed {seed}, chain {chain}");
            // In two runs, so that the second builds on what the first has left.
            for date in [DATES[1], DATES[3]] {
                let ran = sandbox.restore(date, &target.to);
                assert_eq!(ran.code, Some(0), "{what}: {ran:?}");
            }
            for date in DATES {
                let restored = target.to.join(SOURCE).join(date);
                compare_trees(&sandbox.snapshot(date), &restored);
                let [here, there] = [&sandbox.snapshot(date), &restored].map(|root| {
                    let root = root.metadata().unwrap();
                    [
                        root.atime(),
                        root.atime_nsec(),
                        root.mtime(),
                        root.mtime_nsec(),
                    ]
                });
                assert_eq!(here, there, "{what}: the times of the root of {date}");
                assert!(which(&restored).read_only, "{what}");
            }
            let left = btrfs(["subvolume", "list"], &[&fs.root()]);
            let left = String::from_utf8(left.stdout).unwrap();
            let dated = left.lines().filter(|line| line.contains("2025-")).count();
            assert_eq!(dated, DATES.len(), "{what}: {left}");
            assert!(!left.contains("staging"), "{what}: {left}");
        }
    }
}

/// Versions before made `DIR/SOURCE` as a plain directory, in which `btrfs receive` finds no send parent if the mount
/// shows a part of a subvolume only.
#[test]
fn a_plain_directory_of_an_older_version_goes_on_or_is_refused_with_the_way_out() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = Sandbox::new();
    for date in &DATES[..2] {
        fs::write(sandbox.source().join("letter"), date).unwrap();
        sandbox.backup(date);
    }
    let target = LoopFs::new(256);
    let whole = target.path("part");
    fs::create_dir(&whole).unwrap();
    let part = tempfile::tempdir().unwrap();
    let _mounted = Mounted::new(&["--bind"], &whole, part.path());
    let ran = sandbox.restore(DATES[0], part.path());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    // As an older version leaves it that was asked for the next date.
    let place = whole.join(SOURCE);
    let mark = fs::read(place.join(".coldchain-restore.json")).unwrap();
    btrfs(["subvolume", "delete"], &[&place.join(DATES[0])]);
    btrfs(["subvolume", "delete"], &[&place]);
    fs::create_dir(&place).unwrap();
    fs::set_permissions(&place, Permissions::from_mode(0o700)).unwrap();
    fs::write(place.join(".coldchain-restore.json"), mark).unwrap();

    let ran = sandbox.restore(DATES[1], part.path());
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.stderr.contains("subvolid=5"), "{ran:?}");
    assert_eq!(fs::read_dir(&place).unwrap().count(), 1);
    // The way out: the same directory, below the whole filesystem.
    let ran = sandbox.restore(DATES[1], &whole);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for date in &DATES[..2] {
        compare_trees(&sandbox.snapshot(date), &place.join(date));
    }
    // All of it stands, so that nothing needs the mount.
    let ran = sandbox.restore(DATES[1], part.path());
    assert_eq!(ran.code, Some(0), "{ran:?}");
}

#[test]
fn what_a_filesystem_refuses_is_told_with_what_to_do_about_it() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = Sandbox::new();
    let letter = sandbox.source().join("letter");
    fs::write(&letter, "hello").unwrap();
    run(Command::new("setfacl").args(["-m", "u:5:r"]).arg(&letter)).unwrap();
    sandbox.backup(DATES[0]);
    for (options, before, code, hint) in [
        ("noacl", &[][..], 2, "with the option `acl`"),
        (
            "",
            &["-o", "remount,ro"][..],
            1,
            "mount that filesystem writable",
        ),
        ("", &["--make-unbindable"][..], 2, "mount --make-private"),
    ] {
        let target = LoopFs::with_options(256, options);
        if !before.is_empty() {
            run(Command::new("mount").args(before).arg(target.root())).unwrap();
        }
        let ran = sandbox.restore(DATES[0], &target.root());
        assert_eq!(ran.code, Some(code), "{hint}: {ran:?}");
        assert!(ran.stderr.contains(hint), "{ran:?}");
    }
}

#[test]
fn what_is_immutable_or_the_default_subvolume_is_told_as_such() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = Sandbox::new();
    for date in &DATES[..2] {
        fs::write(sandbox.source().join("letter"), date).unwrap();
        sandbox.backup(date);
    }
    let target = LoopFs::new(256);
    let attribute = |word| run(Command::new("chattr").arg(word).arg(target.root())).unwrap();
    attribute("+i");
    let ran = sandbox.restore(DATES[0], &target.root());
    attribute("-i");
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("lsattr -d"), "{ran:?}");

    sandbox.restore(DATES[0], &target.root()).ok();
    let place = target.path(SOURCE);
    let mark = place.join(".coldchain-restore.json");
    let text = fs::read_to_string(&mark).unwrap();
    let first = place.join(DATES[0]);
    let id = which(&first).subvolume_id;
    // As an interrupted run with --delete-intermediate leaves it.
    let passing = format!(
        "\"passing\":[{{\"date\":\"{}\",\"subvolume_id\":{id}}}]",
        DATES[0]
    );
    fs::write(&mark, text.replace("\"passing\":[]", &passing)).unwrap();
    btrfs(["subvolume", "set-default"], &[&first]);
    let again = || {
        let kit = sandbox.kit();
        let root = target.root();
        let words = [
            "restore",
            SOURCE,
            "--from",
            "store",
            "--yes",
            "--delete-intermediate",
            "--to",
        ];
        let words = words.into_iter().map(std::ffi::OsStr::new);
        let rest = [root.as_os_str(), "--identity".as_ref(), kit.as_os_str()];
        sandbox.run(words.chain(rest))
    };
    let ran = again();
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("set-default"), "{ran:?}");
    btrfs(["subvolume", "set-default"], &[&target.root()]);
    again().ok();
    assert!(!first.exists() && place.join(DATES[1]).exists());
}
