//! What comes back with all that it had, and what is said of what does not.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use coldchain::engine::{Extracted, LeftOut, NotKept};

use super::listing::{Listing, node};
use super::places::{Mounted, OTHER, as_other, names, theirs};
use crate::common::loopfs::{LoopFs, real_btrfs_available};
use crate::common::rng::Rng;
use crate::common::tmpfs::Tmpfs;
use crate::common::tree::{compare_trees, make_rich_tree};

/// In nanoseconds.
const YEAR: i128 = 365 * 86_400 * 1_000_000_000;

fn not_kept(extracted: &Extracted) -> Vec<(NotKept, Vec<&str>)> {
    let shown = |paths: &'_ [PathBuf]| -> Vec<&'static str> {
        paths
            .iter()
            .map(|path| &*path.to_string_lossy().into_owned().leak())
            .collect()
    };
    let lost = extracted.not_kept.iter();
    lost.map(|(what, counted)| (*what, shown(&counted.first)))
        .collect()
}

fn left_out(extracted: &Extracted) -> Vec<(LeftOut, Vec<&str>)> {
    let shown = |paths: &'_ [PathBuf]| -> Vec<&'static str> {
        paths
            .iter()
            .map(|path| &*path.to_string_lossy().into_owned().leak())
            .collect()
    };
    let lost = extracted.left_out.iter();
    lost.map(|(why, counted)| (*why, shown(&counted.first)))
        .collect()
}

#[test]
fn a_rich_tree_comes_back_on_any_filesystem() {
    if !real_btrfs_available() {
        return;
    }
    let btrfs = LoopFs::new(256);
    let tree = btrfs.path("tree");
    fs::create_dir(&tree).unwrap();
    let mut rng = Rng::new(27);
    make_rich_tree(&tree, &mut rng);
    let mut listing = Listing::of(&tree);
    listing.shuffle(&mut rng);
    let ext4 = Mounted::ext4(64);
    let memory = tempfile::tempdir().unwrap();
    let tmpfs = Tmpfs::on(memory.path(), 64 << 10);
    fs::create_dir(btrfs.path("to")).unwrap();
    for to in [ext4.root(), memory.path().to_owned(), btrfs.path("to")] {
        let extracted = listing.extract(&to).unwrap();
        assert_eq!(extracted.not_kept.len(), 0, "{extracted:?}");
        assert_eq!(extracted.left_out.len(), 0, "{extracted:?}");
        assert_eq!(extracted.entries, listing.entries.len() as u64);
        compare_trees(&tree, &to.join("tree"));
        assert_eq!(names(&to), ["tree"]);
        let sparse = to.join("tree/work/sparse").metadata().unwrap();
        assert!(sparse.blocks() * 512 < sparse.len() / 2, "{sparse:?}");
        // What is there is not written again.
        listing.extract(&to).unwrap_err();
    }
    drop(tmpfs);
}

#[test]
fn nothing_is_inherited_from_the_directory() {
    let ext4 = Mounted::ext4(16);
    let to = ext4.path("to");
    fs::create_dir(&to).unwrap();
    crate::common::loopfs::run(
        std::process::Command::new("setfacl")
            .args(["-m", "d:u:77:rwx,d:g:78:rx"])
            .arg(&to),
    )
    .unwrap();
    fs::set_permissions(&to, fs::Permissions::from_mode(0o2755)).unwrap();
    rustix::fs::chown(&to, None, Some(rustix::fs::Gid::from_raw(99))).unwrap();
    let mut listing = Listing::default();
    let directory = listing.directory(None, "d");
    listing.file(Some(directory), "f", b"1");
    let extracted = listing.extract(&to).unwrap();
    assert_eq!(not_kept(&extracted), []);
    let again = Listing::of(&to.join("d"));
    for (object, node) in &again.nodes {
        assert_eq!(node.xattrs, [], "{object:?}");
        assert_eq!(node.gid, 0, "{object:?}");
    }
}

#[test]
fn times_that_a_filesystem_does_not_have_are_named() {
    let ext4 = Mounted::ext4(16);
    let mut listing = Listing::default();
    for (name, mtime) in [
        ("1960", -10 * YEAR + 7),
        ("2070", 100 * YEAR + 123_456_789),
        ("1880", -90 * YEAR),
        ("2250", 280 * YEAR),
    ] {
        let number = listing.file(None, name, b"1");
        listing.node(number).mtime = mtime;
    }
    let extracted = listing.extract(&ext4.root()).unwrap();
    assert_eq!(not_kept(&extracted), [(NotKept::Time, vec!["1880"])]);
    for (name, mtime) in [("1960", -10 * YEAR + 7), ("2070", 100 * YEAR + 123_456_789)] {
        let stat = ext4.path(name).metadata().unwrap();
        let found = i128::from(stat.mtime()) * 1_000_000_000 + i128::from(stat.mtime_nsec());
        assert_eq!(found, mtime);
    }
}

#[test]
fn what_ext4_does_not_have_is_named() {
    let ext4 = Mounted::ext4(16);
    let mut listing = Listing::default();
    let huge = listing.file(None, "huge", b"");
    listing.node(huge).size = 1 << 62;
    let many = listing.file(None, "many attributes", b"1");
    listing.node(many).xattrs = vec![
        (b"user.large".to_vec(), vec![b'x'; 9000]),
        (b"user.empty".to_vec(), Vec::new()),
        (b"btrfs.compression".to_vec(), b"zstd".to_vec()),
    ];
    let link = listing.add(None, "link", node(0o120_777));
    listing.node(link).target = Some(b"many attributes".to_vec());
    listing.node(link).xattrs = vec![(b"user.of_a_link".to_vec(), b"1".to_vec())];
    let gone = listing.file(None, "gone", b"its data is lost");
    let interrupt = coldchain::interrupt::Interrupt::new();
    let mut target = listing.open(&ext4.root(), &interrupt).unwrap();
    let look_up = |object| listing.look_up(object);
    target.make(&look_up).unwrap();
    assert!(!target.wants(listing.object(huge)));
    assert!(target.wants(listing.object(many)));
    assert!(!target.wants(listing.object(link)));
    target.write(listing.object(many), 0, b"1").unwrap();
    target.write(listing.object(gone), 0, b"its").unwrap();
    target.give_up(listing.object(gone)).unwrap();
    assert!(!target.wants(listing.object(gone)));
    target.write(listing.object(gone), 0, b"its").unwrap();
    // Data behind the end is not there in the end.
    target.write(listing.object(many), 1, b"234").unwrap();
    let extracted = target.finish(&look_up).unwrap();
    assert_eq!(
        left_out(&extracted),
        [
            (LeftOut::Data, vec!["gone"]),
            (LeftOut::TooLarge, vec!["huge"])
        ]
    );
    assert_eq!(
        not_kept(&extracted),
        [(NotKept::Attribute, vec!["many attributes", "link"])]
    );
    assert_eq!((extracted.entries, extracted.bytes), (2, 1));
    assert_eq!(names(&ext4.root()), ["link", "many attributes"]);
    assert_eq!(fs::read(ext4.path("many attributes")).unwrap(), b"1");
    let empty = rustix::fs::getxattr(ext4.path("many attributes"), "user.empty", &mut [0; 9][..]);
    assert_eq!(empty.unwrap(), 0);
}

#[test]
fn exfat_takes_what_it_can() {
    let exfat = Mounted::exfat(64);
    let mut listing = Listing::default();
    let directory = listing.directory(None, "d");
    let first = listing.file(Some(directory), "one", b"the same");
    let object = listing.object(first);
    listing.name(Some(directory), "another name", object);
    listing.file(Some(directory), "Case", b"1");
    listing.file(Some(directory), "case", b"2");
    let shadowed = listing.directory(Some(directory), "CASE");
    listing.file(Some(shadowed), "in it", b"3");
    listing.file(Some(directory), "a:b", b"4");
    listing.file(Some(directory), b"\xff", b"5");
    listing.file(Some(directory), "dot.", b"6");
    let bad = listing.directory(Some(directory), "b?");
    listing.file(Some(bad), "in it", b"7");
    listing.add(Some(directory), "fifo", node(0o10644));
    let link = listing.add(Some(directory), "link", node(0o120_777));
    listing.node(link).target = Some(b"one".to_vec());
    let attributed = listing.file(Some(directory), "attributed", b"8");
    let node = listing.node(attributed);
    node.xattrs = vec![(b"user.x".to_vec(), b"y".to_vec())];
    (node.uid, node.mode) = (1000, 0o104_700);
    let extracted = listing.extract(&exfat.root()).unwrap();
    assert_eq!(
        left_out(&extracted),
        [
            (
                LeftOut::Name,
                vec!["d/a:b", "d/\u{fffd}", "d/b?", "d/b?/in it"]
            ),
            (LeftOut::SameName, vec!["d/case", "d/CASE", "d/CASE/in it"]),
            (LeftOut::Kind, vec!["d/fifo", "d/link"]),
        ]
    );
    let lost = not_kept(&extracted);
    let of = |what| {
        lost.iter()
            .find(|lost| lost.0 == what)
            .map(|lost| &lost.1[..])
    };
    assert_eq!(of(NotKept::Owner), Some(&["d/attributed"][..]));
    assert_eq!(of(NotKept::Attribute), Some(&["d/attributed"][..]));
    assert_eq!(of(NotKept::HardLink), Some(&["d/another name"][..]));
    assert_eq!(
        names(&exfat.path("d")),
        ["Case", "another name", "attributed", "dot.", "one"]
    );
    for name in ["one", "another name"] {
        let content = fs::read(exfat.path("d").join(name)).unwrap();
        assert_eq!(content, b"the same", "{name}");
    }
    assert_eq!(fs::read(exfat.path("d/Case")).unwrap(), b"1");
    assert_eq!(names(&exfat.root()), ["d"]);
    // A name that differs in its case only is taken.
    let mut listing = Listing::default();
    listing.file(None, "D", b"1");
    let error = listing.extract(&exfat.root()).unwrap_err();
    assert!(error.to_string().contains("it exists already"), "{error}");
}

#[test]
fn without_root_it_says_what_was_not_kept() {
    let ext4 = Mounted::ext4(16);
    let to = ext4.path("to");
    theirs(&to);
    let mut listing = Listing::default();
    let own = |mode| {
        let mut node = node(mode);
        (node.uid, node.gid) = (OTHER, OTHER);
        node
    };
    let way = listing.add(None, "way", own(0o40555));
    listing.entries[way as usize].is_on_the_way = true;
    let closed = listing.add(Some(way), "closed", own(0o40000));
    let inner = listing.add(Some(closed), "inner", own(0o40111));
    listing.add(Some(inner), "fifo", own(0o10644));
    let suid = listing.add(Some(inner), "suid", own(0o104_755));
    listing.node(suid).uid = 0;
    let secret = listing.add(Some(inner), "secret", own(0o100_000));
    listing.node(secret).size = 3;
    listing
        .data
        .push((listing.object(secret), 0, b"abc".to_vec()));
    let object = listing.object(secret);
    listing.name(None, "a second name", object);
    let capable = listing.add(Some(inner), "capable", own(0o100_755));
    let capability = [
        1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ];
    listing.node(capable).xattrs = vec![(b"security.capability".to_vec(), capability.to_vec())];
    let null = listing.add(None, "null", own(0o20666));
    listing.node(null).rdev = rustix::fs::makedev(1, 3);
    let top = listing.add(None, "top", own(0o40555));
    listing.add(Some(top), "f", own(0o100_400));
    let extracted = as_other(|| listing.extract(&to)).unwrap();
    let inner = "way/closed/inner";
    assert_eq!(
        not_kept(&extracted),
        [
            (NotKept::Owner, vec![&*format!("{inner}/suid")]),
            (NotKept::Attribute, vec![&*format!("{inner}/capable")]),
        ]
    );
    assert_eq!(left_out(&extracted), [(LeftOut::Device, vec!["null"])]);
    for (path, mode) in [
        ("way", 0o555),
        ("way/closed", 0),
        (inner, 0o111),
        (&*format!("{inner}/suid"), 0o755),
        (&*format!("{inner}/secret"), 0),
        ("a second name", 0),
        ("top", 0o555),
    ] {
        let stat = to.join(path).symlink_metadata().unwrap();
        assert_eq!((stat.mode() & 0o7777, stat.uid()), (mode, OTHER), "{path}");
    }
    let inner = to.join(inner);
    assert!(
        inner
            .join("fifo")
            .symlink_metadata()
            .unwrap()
            .file_type()
            .is_fifo()
    );
    assert_eq!(
        inner.join("secret").metadata().unwrap().ino(),
        to.join("a second name").metadata().unwrap().ino()
    );
    assert_eq!(fs::read(inner.join("secret")).unwrap(), b"abc");
    assert_eq!(names(&to), ["a second name", "top", "way"]);
}

#[test]
fn devices_are_made_only_if_asked_for() {
    let ext4 = Mounted::ext4(16);
    let mut listing = Listing::default();
    let null = listing.add(None, "null", node(0o20666));
    listing.node(null).rdev = rustix::fs::makedev(1, 3);
    listing.add(None, "socket", node(0o140_600));
    let interrupt = coldchain::interrupt::Interrupt::new();
    let target = coldchain::engine::ExtractTarget::open(
        &ext4.root(),
        "abc",
        &listing.entries,
        coldchain::engine::ExtractOptions::default(),
        &interrupt,
    );
    let look_up = |object| listing.look_up(object);
    let extracted = target.unwrap().finish(&look_up).unwrap();
    assert_eq!(left_out(&extracted), [(LeftOut::Device, vec!["null"])]);
    assert_eq!(names(&ext4.root()), ["socket"]);
}

#[test]
fn large_directories_and_deep_ones_come_back() {
    let memory = tempfile::tempdir().unwrap();
    let to = memory.path();
    let mut listing = Listing::default();
    let wide = listing.directory(None, "wide");
    for number in 0..10_000 {
        let name = format!("{number}");
        listing.file(Some(wide), &name, name.as_bytes());
    }
    let mut at = listing.on_the_way(None, "deep");
    let mut way = vec![at];
    // On the way, and then in what is wanted.
    for depth in 0..2_000 {
        let name = "n".repeat(200);
        at = if depth < 1_000 {
            listing.on_the_way(Some(at), &name)
        } else {
            listing.directory(Some(at), &name)
        };
        way.push(at);
    }
    let bottom = listing.file(Some(at), "bottom", b"deep down");
    let object = listing.object(bottom);
    listing.name(None, "linked", object);
    let extracted = listing.extract(to).unwrap();
    assert_eq!(extracted.entries, 10_000 + 1 + 1_000 + 2);
    assert_eq!(fs::read(to.join("linked")).unwrap(), b"deep down");
    assert_eq!(to.join("linked").metadata().unwrap().nlink(), 2);
    assert_eq!(names(&to.join("wide")).len(), 10_000);
    assert_eq!(fs::read(to.join("wide/777")).unwrap(), b"777");
    assert_eq!(names(to), ["deep", "linked", "wide"]);
    // On the way they are there now; what is deeper moves.
    let mut depth = 0;
    let mut directory = fs::File::open(to.join("deep")).unwrap();
    loop {
        let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::DIRECTORY;
        let mode = rustix::fs::Mode::empty();
        match rustix::fs::openat(&directory, "n".repeat(200), flags, mode) {
            Ok(next) => directory = next.into(),
            Err(_) => break,
        }
        depth += 1;
    }
    assert_eq!(depth, 2_000);
    // One that did not end, of so deep a tree, is removed when another list comes.
    let other = tempfile::tempdir().unwrap();
    let interrupt = coldchain::interrupt::Interrupt::new();
    let mut target = listing.open(other.path(), &interrupt).unwrap();
    target.make(&|object| listing.look_up(object)).unwrap();
    drop(target);
    let mut small = Listing::default();
    small.file(None, "small", b"1");
    small.extract(other.path()).unwrap();
    assert_eq!(names(other.path()), ["small"]);
    remove_deep(to);
}

/// Removes what `remove_dir_all` opens too many directories for.
fn remove_deep(directory: &Path) {
    crate::common::loopfs::run(std::process::Command::new("rm").arg("-rf").arg(directory)).unwrap();
}
