//! What is refused before anything is written, and what others do to the target directory.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::sync::atomic::{AtomicBool, Ordering};

use coldchain::error::{Error, ExitCode};
use coldchain::interrupt::Interrupt;

use super::listing::{Listing, node};
use super::places::{OTHER, as_other, names, theirs};
use crate::common::tmpfs::Tmpfs;

fn assert_refused(error: &Error, words: &str) {
    assert!(error.to_string().contains(words), "{error}");
    assert_eq!(error.exit_code(), ExitCode::Usage);
}

#[test]
fn what_exists_is_never_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let to = directory.path().join("to");
    let mut listing = Listing::default();
    let way = listing.on_the_way(None, "way");
    listing.file(Some(way), "f", b"new");
    for kind in ["file", "directory", "dangling link"] {
        fs::create_dir_all(to.join("way")).unwrap();
        let path = to.join("way/f");
        match kind {
            "file" => fs::write(&path, "old").unwrap(),
            "directory" => fs::create_dir(&path).unwrap(),
            _ => symlink("nowhere", &path).unwrap(),
        }
        let before = path.symlink_metadata().unwrap();
        let error = listing.extract(&to).unwrap_err();
        assert_refused(&error, "way/f: it exists already");
        assert_eq!(path.symlink_metadata().unwrap().ino(), before.ino());
        assert_eq!(names(&to), ["way"]);
        assert_eq!(names(&to.join("way")), ["f"]);
        fs::remove_dir_all(&to).unwrap();
    }
    // A directory is made, but not those above it.
    let error = listing.extract(&to.join("above/to")).unwrap_err();
    assert_refused(&error, "there is no such directory");
    assert!(!to.exists());
    listing.extract(&to).unwrap();
    assert_eq!(fs::read(to.join("way/f")).unwrap(), b"new");
}

#[test]
fn no_link_and_no_file_on_the_way_is_followed() {
    let directory = tempfile::tempdir().unwrap();
    let (to, outside) = (
        directory.path().join("to"),
        directory.path().join("outside"),
    );
    fs::create_dir(&to).unwrap();
    fs::create_dir(&outside).unwrap();
    let mut listing = Listing::default();
    let way = listing.on_the_way(None, "way");
    let further = listing.on_the_way(Some(way), "further");
    listing.file(Some(further), "f", b"new");
    symlink(&outside, to.join("way")).unwrap();
    let refused = |words| {
        let error = listing.extract(&to).unwrap_err();
        assert_refused(&error, words);
        assert_eq!(names(&to), ["way"]);
        assert_eq!(names(&outside), Vec::<String>::new());
    };
    refused("way: it is not a directory");
    fs::remove_file(to.join("way")).unwrap();
    fs::create_dir(to.join("way")).unwrap();
    symlink("../../outside", to.join("way/further")).unwrap();
    refused("way/further: it is not a directory");
    fs::remove_file(to.join("way/further")).unwrap();
    fs::write(to.join("way/further"), "").unwrap();
    refused("way/further: it is not a directory");
    fs::remove_file(to.join("way/further")).unwrap();
    let mount = Tmpfs::on(&to.join("way/further"), 64);
    refused("way/further: it is not a directory");
    drop(mount);
    listing.extract(&to).unwrap();
    assert_eq!(fs::read(to.join("way/further/f")).unwrap(), b"new");
}

#[test]
fn directories_on_the_way_keep_what_they_have() {
    let directory = tempfile::tempdir().unwrap();
    let to = directory.path();
    fs::create_dir(to.join("way")).unwrap();
    fs::write(to.join("way/other"), "stays").unwrap();
    fs::set_permissions(to.join("way"), fs::Permissions::from_mode(0o711)).unwrap();
    let mut listing = Listing::default();
    let way = listing.on_the_way(None, "way");
    listing.node(way).mode = 0o40700;
    let further = listing.on_the_way(Some(way), "further");
    listing.node(further).mode = 0o41750;
    listing.file(Some(further), "f", b"1");
    let wanted = listing.directory(Some(further), "wanted");
    listing.file(Some(wanted), "g", b"2");
    listing.file(Some(way), "h", b"3");
    listing.extract(to).unwrap();
    let mode = |below: &str| to.join(below).metadata().unwrap().mode() & 0o7777;
    assert_eq!((mode("way"), mode("way/further")), (0o711, 0o1750));
    let further = to.join("way/further").metadata().unwrap();
    assert_eq!(further.mtime(), 1_600_000_000);
    assert_eq!(names(&to.join("way")), ["further", "h", "other"]);
    assert_eq!(names(&to.join("way/further")), ["f", "wanted"]);
    assert_eq!(fs::read(to.join("way/further/wanted/g")).unwrap(), b"2");
}

#[test]
fn what_is_no_tree_is_refused_before_anything_is_made() {
    let directory = tempfile::tempdir().unwrap();
    let to = directory.path().join("to");
    let refused = |listing: &Listing| {
        let error = listing.extract(&to).unwrap_err();
        assert_eq!(error.exit_code(), ExitCode::Integrity, "{error}");
        if to.exists() {
            // The work directory stays for a run that continues, with nothing in it.
            for work in fs::read_dir(&to).unwrap() {
                let work = work.unwrap().path();
                assert_eq!(names(&work.join("new")), Vec::<String>::new());
                fs::remove_dir_all(work).unwrap();
            }
        }
    };
    for name in ["..", ".", "", "a/b", "/etc/passwd", "a\0b"] {
        let mut listing = Listing::default();
        listing.file(None, name, b"1");
        refused(&listing);
    }
    let mut listing = Listing::default();
    let link = listing.add(None, "link", node(0o120_777));
    listing.node(link).target = Some(b"/".to_vec());
    listing.file(Some(link), "f", b"1");
    refused(&listing);
    let mut listing = Listing::default();
    let one = listing.directory(None, "one");
    listing.file(Some(one), "f", b"1");
    let object = listing.object(one);
    listing.name(Some(one), "itself", object);
    refused(&listing);
    let mut listing = Listing::default();
    let way = listing.on_the_way(None, "way");
    listing.node(way).mode = 0o100_644;
    refused(&listing);
}

#[test]
fn a_work_directory_of_another_user_is_not_entered() {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o1777)).unwrap();
    let to = directory.path();
    let work = to.join(".coldchain-extract-0123456789abcdef");
    let mut listing = Listing::default();
    listing.file(None, "f", b"1");
    let refused = |listing: &Listing| {
        let error = listing.extract(to).unwrap_err();
        assert_refused(&error, "another user owns it or can enter it");
        assert!(!to.join("f").exists());
    };
    theirs(&work);
    refused(&listing);
    fs::remove_dir_all(&work).unwrap();
    fs::create_dir(&work).unwrap();
    fs::set_permissions(&work, fs::Permissions::from_mode(0o770)).unwrap();
    refused(&listing);
    fs::remove_dir_all(&work).unwrap();
    symlink("/tmp", &work).unwrap();
    refused(&listing);
    fs::remove_file(&work).unwrap();
    // A file of that name among those that are wanted is refused too.
    let mut same = Listing::default();
    same.file(None, ".coldchain-extract-0123456789abcdef", b"1");
    assert_refused(&same.extract(to).unwrap_err(), "it exists already");
    assert_eq!(names(to), Vec::<String>::new());
}

#[test]
fn one_run_at_a_time_extracts_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let to = directory.path();
    let mut listing = Listing::default();
    listing.file(None, "f", b"1");
    let interrupt = Interrupt::new();
    let first = listing.open(to, &interrupt).unwrap();
    let error = listing.extract(to).unwrap_err();
    assert_eq!(error.exit_code(), ExitCode::Busy, "{error}");
    drop(first);
    listing.extract(to).unwrap();
}

#[test]
fn a_directory_that_is_swapped_for_a_link_leads_nowhere() {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let (to, outside) = (
        directory.path().join("to"),
        directory.path().join("outside"),
    );
    fs::create_dir(&outside).unwrap();
    fs::create_dir(&to).unwrap();
    theirs(&to.join("theirs"));
    let mut listing = Listing::default();
    let way = listing.on_the_way(None, "theirs");
    let further = listing.on_the_way(Some(way), "further");
    for number in 0..20 {
        listing.file(Some(further), format!("{number}"), b"1");
    }
    let ended = AtomicBool::new(false);
    let (mut published, mut failed) = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            as_other(|| {
                let (path, aside) = (to.join("theirs/further"), to.join("theirs/aside"));
                while !ended.load(Ordering::SeqCst) {
                    let _ = fs::create_dir(&path);
                    std::thread::yield_now();
                    let _ = fs::rename(&path, &aside);
                    let _ = symlink("../../outside", &path);
                    std::thread::yield_now();
                    let _ = fs::remove_file(&path);
                    let _ = fs::rename(&aside, &path);
                }
            });
        });
        for _ in 0..100 {
            match listing.extract(&to) {
                Ok(_) => published += 1,
                Err(error) => {
                    failed += 1;
                    let code = error.exit_code();
                    assert!(
                        matches!(code, ExitCode::Usage | ExitCode::Failed),
                        "{error}"
                    );
                }
            }
            for name in names(&to.join("theirs")) {
                let _ = fs::remove_dir_all(to.join("theirs").join(name));
            }
            for name in names(&to) {
                if name != "theirs" {
                    fs::remove_dir_all(to.join(name)).unwrap();
                }
            }
        }
        ended.store(true, Ordering::SeqCst);
    });
    println!("{published} published, {failed} failed");
    assert_eq!(names(&outside), Vec::<String>::new());
    assert_eq!(names(&to), ["theirs"]);
    let _ = OTHER;
}
