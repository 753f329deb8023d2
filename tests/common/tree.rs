//! Trees of files with everything that a send stream carries, and what differs between two.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{CWD, FallocateFlags, FileType, Mode, XattrFlags};

use super::loopfs::run;
use super::rng::Rng;

/// Panics at the first difference between two trees.
///
/// Compared are names as bytes, types, modes, owners, mtimes to the nanosecond, contents,
/// extended attributes (and so ACLs), symlink targets, device numbers, and which files are hard
/// links of each other. Device numbers of filesystems, inode numbers, atimes and ctimes are not.
pub fn compare_trees(one: &Path, other: &Path) {
    let (left, right) = (describe(one), describe(other));
    for name in left.keys().chain(right.keys()) {
        let shown = name.as_bytes().escape_ascii();
        assert_eq!(
            left.get(name),
            right.get(name),
            "`{shown}` differs between {} and {}",
            one.display(),
            other.display()
        );
    }
}

/// Everything about one file, as text that reads well when it differs.
pub type Description = Vec<(String, String)>;

/// Describes every file of a tree by its path below the root; the root is the empty path.
pub fn describe(root: &Path) -> BTreeMap<OsString, Description> {
    let mut first_of_inode = BTreeMap::new();
    let mut paths = Vec::new();
    walk(root, &mut paths);
    paths.sort();
    paths
        .iter()
        .map(|path| {
            let name = path.strip_prefix(root).unwrap().as_os_str().to_owned();
            let stat = path.symlink_metadata().unwrap();
            let mut facts = vec![
                ("mode".to_owned(), format!("{:o}", stat.mode())),
                ("owner".to_owned(), format!("{}:{}", stat.uid(), stat.gid())),
                (
                    "mtime".to_owned(),
                    format!("{}.{:09}", stat.mtime(), stat.mtime_nsec()),
                ),
            ];
            if !stat.is_dir() {
                let first = first_of_inode
                    .entry(stat.ino())
                    .or_insert_with(|| name.clone());
                let first = first.as_bytes().escape_ascii().to_string();
                facts.push(("links".to_owned(), format!("{} of {first}", stat.nlink())));
                facts.push(("device".to_owned(), stat.rdev().to_string()));
                facts.push(("size".to_owned(), stat.size().to_string()));
            }
            if stat.is_file() {
                let content = blake3::hash(&fs::read(path).unwrap());
                facts.push(("content".to_owned(), content.to_string()));
            } else if stat.is_symlink() {
                let target = fs::read_link(path).unwrap();
                let target = target.as_os_str().as_bytes().escape_ascii().to_string();
                facts.push(("target".to_owned(), target));
            }
            facts.extend(xattrs(path));
            (name, facts)
        })
        .collect()
}

fn walk(directory: &Path, paths: &mut Vec<PathBuf>) {
    paths.push(directory.to_owned());
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            walk(&entry.path(), paths);
        } else {
            paths.push(entry.path());
        }
    }
}

fn xattrs(path: &Path) -> Description {
    let mut names = vec![0; 64 << 10];
    let length = rustix::fs::llistxattr(path, &mut names[..]).unwrap();
    let mut xattrs: Description = names[..length]
        .split(|&byte| byte == 0)
        .filter(|name| !name.is_empty())
        .map(|name| {
            let mut value = vec![0; 64 << 10];
            let length = rustix::fs::lgetxattr(path, name, &mut value[..]).unwrap();
            let value = value[..length].escape_ascii().to_string();
            (format!("xattr {}", name.escape_ascii()), value)
        })
        .collect();
    xattrs.sort();
    xattrs
}

fn name(bytes: &[u8]) -> &OsStr {
    OsStr::from_bytes(bytes)
}

/// Fills a directory with a bit of everything: about 80 files and 3 MiB.
pub fn make_rich_tree(directory: &Path, rng: &mut Rng) {
    for below in ["docs/deep/er", "media", "work", "empty"] {
        fs::create_dir_all(directory.join(below)).unwrap();
    }
    for number in 0..40 {
        let length = rng.length(0, 9000);
        let content = rng.text(length);
        fs::write(directory.join(format!("docs/{number:02}.txt")), content).unwrap();
    }
    for number in 0..6 {
        let length = rng.length(200_000, 400_000);
        let content = rng.bytes(length);
        fs::write(directory.join(format!("media/{number}.bin")), content).unwrap();
    }
    fs::write(directory.join("docs/deep/er/zero"), b"").unwrap();
    fs::write(directory.join(name(b"docs/not utf-8 \xff\xfe")), b"1").unwrap();
    fs::write(directory.join(name(b"docs/line\nbreak \\ 'quote\"")), b"2").unwrap();
    fs::write(directory.join("docs").join("n".repeat(255)), b"3").unwrap();

    reflink(
        &directory.join("media/0.bin"),
        &directory.join("media/0 copy.bin"),
    );
    let sparse = File::create(directory.join("work/sparse")).unwrap();
    sparse
        .write_all_at(&rng.bytes(5000), 3 << 20)
        .and_then(|()| sparse.write_all_at(b"end", 9 << 20))
        .unwrap();
    fs::write(directory.join("work/append"), rng.text(50_000)).unwrap();
    fs::write(directory.join("work/punch"), rng.bytes(256 << 10)).unwrap();

    let linked = directory.join("work/linked");
    fs::write(&linked, b"one inode, three names").unwrap();
    fs::hard_link(&linked, directory.join("docs/deep/linked too")).unwrap();
    fs::hard_link(&linked, directory.join("linked as well")).unwrap();

    symlink("../docs/00.txt", directory.join("work/symlink")).unwrap();
    symlink("/etc/passwd", directory.join("work/absolute symlink")).unwrap();
    symlink(name(b"nowhere \xff"), directory.join("work/dangling")).unwrap();
    symlink("docs", directory.join("to a directory")).unwrap();
    let links = [
        directory.join("work/dangling"),
        directory.join("work/dangling too"),
    ];
    fs::hard_link(&links[0], &links[1]).unwrap();

    for (file, kind, device) in [
        ("work/fifo", FileType::Fifo, 0),
        ("work/socket", FileType::Socket, 0),
        (
            "work/null",
            FileType::CharacterDevice,
            rustix::fs::makedev(1, 3),
        ),
        (
            "work/disk",
            FileType::BlockDevice,
            rustix::fs::makedev(7, 77),
        ),
    ] {
        let mode = Mode::from_raw_mode(0o640);
        rustix::fs::mknodat(CWD, directory.join(file), kind, mode, device).unwrap();
    }

    let set = |file: &str, xattr: &str, value: &[u8]| {
        let file = directory.join(file);
        rustix::fs::lsetxattr(&file, xattr, value, XattrFlags::empty()).unwrap();
    };
    set("docs/01.txt", "user.plain", b"value");
    set("docs/01.txt", "user.empty", b"");
    set("docs/02.txt", "user.binary", &rng.bytes(3000));
    set("docs", "user.of a directory", b"\0\xff");
    set("work/symlink", "trusted.of_a_symlink", b"itself");
    // cap_net_raw+ep, as setcap writes it: dropped by a chown, so its order in a stream matters.
    let capability = [
        1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ];
    set("docs/03.txt", "security.capability", &capability);
    run(Command::new("setfacl")
        .args(["-m", "u:1234:rw,g:99:r"])
        .arg(directory.join("docs/04.txt")))
    .unwrap();
    run(Command::new("setfacl")
        .args(["-d", "-m", "u:1234:rx"])
        .arg(directory.join("docs/deep")))
    .unwrap();

    chown(&directory.join("docs/05.txt"), 1000, 100);
    chown(&directory.join("work/symlink"), 1000, 100);
    for (file, mode) in [
        ("docs/06.txt", 0o4755),
        ("docs/07.txt", 0),
        ("work", 0o1777),
    ] {
        fs::set_permissions(directory.join(file), Permissions::from_mode(mode)).unwrap();
    }
    let old = std::time::UNIX_EPOCH + std::time::Duration::new(86_400, 123_456_789);
    let file = File::options()
        .write(true)
        .open(directory.join("docs/08.txt"));
    file.unwrap().set_modified(old).unwrap();
}

fn chown(path: &Path, uid: u32, gid: u32) {
    std::os::unix::fs::lchown(path, Some(uid), Some(gid)).unwrap();
}

/// Copies a file by sharing its extents; both must be on one btrfs.
pub fn reflink(from: &Path, to: &Path) {
    let from = File::open(from).unwrap();
    let to = File::create(to).unwrap();
    rustix::fs::ioctl_ficlone(&to, &from).unwrap();
}

/// Changes a tree, however often it was changed before: a few dozen operations of every kind.
pub fn mutate_tree(directory: &Path, rng: &mut Rng) {
    // A directory's new name, and files moved, swapped and deleted.
    let fresh = format!("generation {:016x}", rng.u64());
    fs::create_dir(directory.join(&fresh)).unwrap();
    for number in 0..8 {
        let length = rng.length(0, 20_000);
        let content = rng.text(length);
        fs::write(
            directory.join(&fresh).join(format!("new {number}")),
            content,
        )
        .unwrap();
    }
    symlink("../docs", directory.join(&fresh).join("up")).unwrap();
    let moved = directory.join(format!("{fresh} moved"));
    fs::rename(directory.join(&fresh), &moved).unwrap();

    for _ in 0..30 {
        let files = regular_files(directory);
        let file = rng.pick(&files).clone();
        let other = rng.pick(&files).clone();
        let size = file.metadata().unwrap().len();
        let open = || {
            OpenOptions::new()
                .read(true)
                .write(true)
                .open(&file)
                .unwrap()
        };
        match rng.below(10) {
            0 => {
                let mut file = open();
                file.seek(SeekFrom::End(0)).unwrap();
                file.write_all(&rng.text(7000)).unwrap();
            }
            1 => open()
                .write_all_at(&rng.bytes(5000), rng.below(size + 1))
                .unwrap(),
            2 => open().set_len(rng.below(size + 1)).unwrap(),
            3 => {
                let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
                rustix::fs::fallocate(open(), punch, rng.below(size + 1), 40_960).unwrap();
            }
            4 => fs::remove_file(&file).unwrap(),
            5 => fs::rename(&file, moved.join(format!("renamed {}", rng.below(1000)))).unwrap(),
            6 if file != other => {
                let aside = moved.join("aside");
                fs::rename(&file, &aside).unwrap();
                fs::rename(&other, &file).unwrap();
                fs::rename(&aside, &other).unwrap();
            }
            7 => {
                let copy = moved.join(format!("reflink {}", rng.below(1000)));
                reflink(&file, &copy);
            }
            8 => {
                let link = moved.join(format!("link {:x}", rng.u64()));
                fs::hard_link(&file, link).unwrap();
            }
            _ => {
                let value = rng.bytes(40);
                let flags = XattrFlags::empty();
                rustix::fs::lsetxattr(&file, "user.changed", &value, flags).unwrap();
                let mode = [0o600, 0o644, 0o755][rng.length(0, 3)];
                fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
                chown(&file, 1000, 1000);
            }
        }
    }
    for _ in 0..6 {
        mutate_directories(directory, rng);
    }
}

/// Moves, swaps and nests directories, and turns them into symlinks and back: what makes the
/// kernel send orphan names and renames whose order matters.
fn mutate_directories(root: &Path, rng: &mut Rng) {
    let mut directories = Vec::new();
    let mut symlinks = Vec::new();
    walk(root, &mut directories);
    directories.retain(|path| {
        if path.is_symlink() {
            symlinks.push(path.clone());
        }
        path != root && !path.is_symlink() && path.is_dir()
    });
    directories.sort();
    symlinks.sort();
    // The rich tree's own directories stay where other changes look for them.
    directories.retain(|path| {
        !["docs", "media", "work"]
            .map(|name| root.join(name))
            .contains(path)
    });
    if directories.is_empty() || symlinks.is_empty() {
        return;
    }
    let one = rng.pick(&directories).clone();
    let other = rng.pick(&directories).clone();
    let link = rng.pick(&symlinks).clone();
    let fresh = |rng: &mut Rng| format!("dir {:x}", rng.below(1 << 20));
    let apart = !one.starts_with(&other) && !other.starts_with(&one);
    match rng.below(8) {
        0 => symlink("../docs", one.join(fresh(rng))).unwrap(),
        1 if !other.starts_with(&one) => fs::rename(&one, other.join(fresh(rng))).unwrap(),
        2 if apart => {
            let aside = root.join("aside");
            fs::rename(&one, &aside).unwrap();
            fs::rename(&other, &one).unwrap();
            fs::rename(&aside, &other).unwrap();
        }
        3 => {
            // The directory moves away and a symlink to it takes its place.
            let away = root.join(format!("moved {}", fresh(rng)));
            fs::rename(&one, &away).unwrap();
            symlink(&away, &one).unwrap();
        }
        4 if !link.starts_with(&one) => {
            // A directory takes a symlink's place, and brings what is in it.
            fs::remove_file(&link).unwrap();
            fs::rename(&one, &link).unwrap();
            fs::write(link.join(fresh(rng)), b"inside").unwrap();
        }
        5 => fs::hard_link(&link, one.join(fresh(rng))).unwrap(),
        6 => fs::rename(&link, one.join(fresh(rng))).unwrap(),
        7 => {
            let new = one.join(fresh(rng));
            fs::create_dir_all(new.join("a/b")).unwrap();
            symlink("b", new.join("a/to b")).unwrap();
            fs::write(new.join("a/b/file"), rng.text(100)).unwrap();
        }
        _ => {}
    }
}

fn regular_files(directory: &Path) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    walk(directory, &mut paths);
    paths.retain(|path| path.symlink_metadata().unwrap().is_file());
    paths.sort();
    paths
}

/// Names that no text can hold, for whoever needs one.
pub fn non_utf8_name() -> OsString {
    OsString::from_vec(b"\xff\xfe\x80".to_vec())
}
