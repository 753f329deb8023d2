//! Runs that stop at any point, and those that continue them.

use std::cell::Cell;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use coldchain::error::{Error, ExitCode};
use coldchain::interrupt::Interrupt;
use coldchain::model::Signal;

use super::listing::{Listing, node};
use super::places::{Mounted, OTHER, as_other, names, theirs};
use crate::common::rng::Rng;
use crate::common::tmpfs::Tmpfs;
use crate::common::tree::compare_trees;

/// A little of everything, for a user without root too.
fn everything(uid: u32) -> Listing {
    let mut listing = Listing::default();
    let way = listing.on_the_way(None, "way");
    listing.node(way).mode = 0o40555;
    let d = listing.directory(Some(way), "d");
    listing.node(d).mode = 0o40500;
    let closed = listing.directory(Some(d), "closed");
    listing.node(closed).mode = 0o40000;
    let one = listing.file(Some(closed), "one", b"the first");
    listing.node(one).mode = 0o100_000;
    let other = listing.file(Some(d), "other", &vec![b'o'; 100_000]);
    let (one, other) = (listing.object(one), listing.object(other));
    listing.name(Some(closed), "other too", other);
    listing.name(None, "one too", one);
    let link = listing.add(Some(d), "link", node(0o120_777));
    listing.node(link).target = Some(b"closed".to_vec());
    let object = listing.object(link);
    listing.name(None, "link too", object);
    listing.add(Some(way), "fifo", node(0o10600));
    listing.file(None, "empty", b"");
    for node in listing.nodes.values_mut() {
        (node.uid, node.gid) = (uid, uid);
    }
    listing
}

/// Runs until the attributes of objects were asked for so often; then a signal comes.
fn stop_after(listing: &Listing, to: &Path, asked: usize) -> Result<(), Error> {
    let interrupt = Interrupt::new();
    let left = Cell::new(asked);
    let look_up = |object| {
        if left.get() == 0 {
            interrupt.raise(Signal::Terminate);
        }
        left.set(left.get().saturating_sub(1));
        listing.look_up(object)
    };
    let mut target = listing.open(to, &interrupt)?;
    target.make(&look_up)?;
    for (at, (object, offset, bytes)) in listing.data.iter().enumerate() {
        if at as u64 >= target.frames_done() {
            target.write(*object, *offset, bytes)?;
            target.reached(at as u64 + 1)?;
        }
    }
    target.finish(&look_up).map(drop)
}

#[test]
fn a_run_that_is_stopped_anywhere_is_continued() {
    let ext4 = Mounted::ext4(32);
    for (user, uid) in [("root", 0), ("other", OTHER)] {
        let listing = everything(uid);
        let whole = ext4.path(&format!("{user}-whole"));
        let run = |work: &(dyn Fn() -> Result<(), Error> + Sync)| match uid {
            0 => work(),
            _ => as_other(work),
        };
        theirs(&whole);
        run(&|| listing.extract(&whole).map(drop)).unwrap();
        let mut stopped = 0;
        for asked in 0.. {
            let to = ext4.path(&format!("{user}-{asked}"));
            theirs(&to);
            let result = run(&|| stop_after(&listing, &to, asked));
            if result.is_ok() {
                break;
            }
            assert!(matches!(result, Err(Error::Interrupted(_))), "{result:?}");
            stopped += 1;
            // Nothing has a name yet, but for what is stopped last.
            let work = ".coldchain-extract-0123456789abcdef";
            assert!(names(&to).contains(&work.to_owned()), "{:?}", names(&to));
            run(&|| listing.extract(&to).map(drop)).unwrap();
            compare_but_for_root(&whole, &to);
        }
        assert!(stopped > 15, "{stopped}");
    }
}

/// Where a run in a process of its own extracts to.
const CHILD: &str = "COLDCHAIN_TEST_EXTRACT_TO";

/// What `a_run_that_is_killed_anywhere_is_continued` runs and kills. Alone it has nothing to do.
#[test]
fn in_a_process_of_its_own() {
    if let Some(to) = std::env::var_os(CHILD) {
        stop_after(&everything(0), Path::new(&to), usize::MAX).unwrap();
    }
}

#[test]
fn a_run_that_is_killed_anywhere_is_continued() {
    let directory = tempfile::tempdir().unwrap();
    let listing = everything(0);
    let whole = directory.path().join("whole");
    listing.extract(&whole).unwrap();
    let (mut killed, mut ended) = (0, 0);
    for call in [
        "mkdirat",
        "ftruncate",
        "linkat",
        "symlinkat",
        "mknodat",
        "syncfs",
        "renameat",
        "renameat2",
        "unlinkat",
        "chmod,fchmodat",
        "utimensat",
    ] {
        for number in 1.. {
            let to = directory.path().join(format!("{call} {number}"));
            fs::create_dir(&to).unwrap();
            let inject = format!("inject={call}:signal=KILL:when={number}");
            let status = Command::new("strace")
                .args([
                    "-f",
                    "-qq",
                    "-o",
                    "/dev/null",
                    "-e",
                    &format!("trace={call}"),
                    "-e",
                ])
                .arg(inject)
                .arg(std::env::current_exe().unwrap())
                .args([
                    "--exact",
                    "extract_target::continued::in_a_process_of_its_own",
                ])
                .env(CHILD, &to)
                .stdout(Stdio::null())
                .status()
                .unwrap();
            if status.success() {
                break;
            }
            assert_eq!(status.signal(), Some(9), "{call} {number}");
            killed += 1;
            match listing.extract(&to) {
                Ok(extracted) => assert_eq!(extracted.entries, 10, "{call} {number}"),
                // All had its name, and the journal was removed.
                Err(error) => {
                    assert_eq!(
                        error.exit_code(),
                        ExitCode::Usage,
                        "{call} {number}: {error}"
                    );
                    ended += 1;
                }
            }
            compare_but_for_root(&whole, &to);
        }
    }
    assert!(killed > 40 && ended < 4, "{killed} {ended}");
}

fn compare_but_for_root(one: &Path, other: &Path) {
    assert_eq!(names(one), names(other));
    for name in names(one) {
        if one.join(&name).symlink_metadata().unwrap().is_dir() {
            compare_trees(&one.join(&name), &other.join(&name));
        } else {
            let facts = |path: &Path| {
                let stat = path.symlink_metadata().unwrap();
                (stat.mode(), stat.size(), stat.mtime(), stat.nlink())
            };
            assert_eq!(facts(&one.join(&name)), facts(&other.join(&name)), "{name}");
        }
    }
}

#[test]
fn what_has_its_name_is_known_again() {
    let directory = tempfile::tempdir().unwrap();
    let to = directory.path();
    let mut listing = Listing::default();
    for name in ["a", "b", "c"] {
        listing.file(None, name, name.as_bytes());
    }
    let way = listing.on_the_way(None, "way");
    listing.file(Some(way), "d", b"d");
    let interrupt = Interrupt::new();
    let mut target = listing.open(to, &interrupt).unwrap();
    let look_up = |object| listing.look_up(object);
    target.make(&look_up).unwrap();
    for (object, offset, bytes) in &listing.data {
        target.write(*object, *offset, bytes).unwrap();
    }
    target.give_up(listing.object(2)).unwrap();
    fs::write(to.join("b"), "another's").unwrap();
    let error = target.finish(&look_up).unwrap_err();
    assert_eq!(error.exit_code(), ExitCode::Usage);
    assert!(
        error.to_string().contains("b: it exists already"),
        "{error}"
    );
    assert!(to.join("a").exists() && !to.join("way").exists());
    // It stays so until the other file is moved away.
    listing.extract(to).unwrap_err();
    assert_eq!(fs::read(to.join("b")).unwrap(), b"another's");
    fs::remove_file(to.join("b")).unwrap();
    let target = listing.open(to, &interrupt).unwrap();
    assert!(target.is_complete());
    assert!(!target.wants(listing.object(0)));
    let extracted = target.finish(&look_up).unwrap();
    assert_eq!((extracted.entries, extracted.left_out.len()), (3, 1));
    assert_eq!(names(to), ["a", "b", "way"]);
    for name in ["a", "b"] {
        assert_eq!(fs::read(to.join(name)).unwrap(), name.as_bytes());
    }
}

#[test]
fn a_full_disk_stops_it_until_there_is_space() {
    let directory = tempfile::tempdir().unwrap();
    let disk = Tmpfs::on(directory.path(), 4096);
    let to = directory.path();
    let content = Rng::new(3).bytes(2 << 20);
    let mut listing = Listing::default();
    let file = listing.file(None, "f", b"");
    listing.node(file).size = content.len() as u64;
    let object = listing.object(file);
    listing.data = content
        .chunks(64 << 10)
        .zip(0..)
        .map(|(piece, number)| (object, number << 16, piece.to_owned()))
        .collect();
    disk.leave_free(1024);
    let error = listing.extract(to).unwrap_err();
    assert_eq!(error.exit_code(), ExitCode::Failed);
    let hint = error.hint().unwrap();
    assert!(hint.contains("free some space there"), "{error}: {hint}");
    assert!(!to.join("f").exists());
    disk.read_only();
    let error = listing.extract(to).unwrap_err();
    assert!(
        error.hint().unwrap().contains("make it writable"),
        "{error}"
    );
    disk.writable();
    disk.free_all();
    listing.extract(to).unwrap();
    assert!(fs::read(to.join("f")).unwrap() == content);
    assert_eq!(names(to), ["f"]);
    // One that is full or read-only from the beginning gets nothing.
    fs::remove_file(to.join("f")).unwrap();
    disk.read_only();
    let error = listing.extract(to).unwrap_err();
    assert!(
        error.hint().unwrap().contains("make it writable"),
        "{error}"
    );
    assert_eq!(names(to), Vec::<String>::new());
}

#[test]
fn only_frames_that_are_written_down_are_left_out_again() {
    let directory = tempfile::tempdir().unwrap();
    let to = directory.path();
    let mut listing = Listing::default();
    let lost = listing.file(None, "lost", b"1");
    listing.file(None, "kept", b"2");
    let interrupt = Interrupt::new();
    let look_up = |object| listing.look_up(object);
    let mut target = listing.open(to, &interrupt).unwrap();
    assert_eq!(target.frames_done(), 0);
    target.make(&look_up).unwrap();
    target.give_up(listing.object(lost)).unwrap();
    target.reached(1).unwrap();
    drop(target);
    let mut target = listing.open(to, &interrupt).unwrap();
    assert_eq!(target.frames_done(), 1);
    target.make(&look_up).unwrap();
    assert!(!target.wants(listing.object(lost)));
    for (object, offset, bytes) in &listing.data[1..] {
        target.write(*object, *offset, bytes).unwrap();
    }
    let extracted = target.finish(&look_up).unwrap();
    assert_eq!((extracted.entries, extracted.bytes), (1, 1));
    assert_eq!(names(to), ["kept"]);
}

#[test]
fn on_exfat_the_same_is_left_out_after_a_stop() {
    let exfat = Mounted::exfat(64);
    let mut listing = Listing::default();
    let d = listing.directory(None, "d");
    let one = listing.file(Some(d), "One", b"1");
    let object = listing.object(one);
    listing.name(Some(d), "linked", object);
    listing.file(Some(d), "one", b"2");
    listing.file(Some(d), "ONE", b"3");
    let e = listing.directory(Some(d), "oNE");
    listing.file(Some(e), "in it", b"4");
    listing.file(Some(d), "a?", b"5");
    listing.add(Some(d), "fifo", node(0o10644));
    listing.name(None, "linked", object);
    let whole = exfat.path("whole");
    let extracted = listing.extract(&whole).unwrap();
    let mut stopped = 0;
    for asked in 0.. {
        let to = exfat.path(&format!("{asked}"));
        if stop_after(&listing, &to, asked).is_ok() {
            break;
        }
        stopped += 1;
        assert_eq!(listing.extract(&to).unwrap(), extracted, "{asked}");
        assert_eq!(names(&to), ["d", "linked"]);
        assert_eq!(names(&to.join("d")), ["One", "linked"]);
        for name in ["linked", "d/linked", "d/One"] {
            assert_eq!(fs::read(to.join(name)).unwrap(), b"1", "{asked} {name}");
        }
    }
    assert!(stopped > 8, "{stopped}");
}
