//! What other programs got wrong when parts of a backup came back; the reports are named in docs/testing.md.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps};

use crate::common::files_below;
use crate::common::loopfs::real_btrfs_available;
use crate::common::machine::{Machine, Run};

/// A machine that has archived a subvolume.
struct Peers(Machine);

impl Peers {
    /// Archives what `make` makes in the subvolume; `None` without btrfs.
    fn new(make: impl FnOnce(&Path)) -> Option<Self> {
        if !real_btrfs_available() {
            return None;
        }
        let machine = Machine::with_subvolume(256);
        make(&machine.btrfs().path("home"));
        let run = machine.run("backup home 2026-11-07 --quiet");
        assert_eq!(run.code, Some(0), "{run:?}");
        Some(Self(machine))
    }

    /// Extracts paths, which may be any bytes.
    fn extract(&self, to: &Path, paths: &[&[u8]]) -> Run {
        let mut command = self.0.command("extract --identity $T/kit --quiet --to");
        command.arg(to).args(["--", "home"]);
        let run = command.args(paths.iter().map(|path| OsStr::from_bytes(path)));
        self.0.run_command(run)
    }

    fn extracted(&self, name: &str, paths: &[&[u8]]) -> PathBuf {
        let to = self.0.path(name);
        let run = self.extract(&to, paths);
        assert_eq!(run.code, Some(0), "{paths:?}: {run:?}");
        to
    }
}

#[test]
fn times_of_any_year_are_kept_where_the_filesystem_has_them() {
    let years = [
        ("1500", -14_831_769_600),
        ("1969", -1),
        ("2300", 10_413_792_000),
        ("9999999", 315_000_000_000_000),
    ];
    let peers = Peers::new(|home| {
        for (name, second) in years {
            fs::write(home.join(name), name).unwrap();
            let time = Timespec {
                tv_sec: second,
                tv_nsec: 123_456_789,
            };
            let times = Timestamps {
                last_access: time,
                last_modification: time,
            };
            rustix::fs::utimensat(CWD, home.join(name), &times, AtFlags::empty()).unwrap();
        }
    });
    let Some(peers) = peers else {
        return;
    };
    let to = peers.0.btrfs().path("extracted");
    let run = peers.extract(&to, &[b"/"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    for (name, second) in years {
        let stat = fs::metadata(to.join(name)).unwrap();
        let time = (second, 123_456_789);
        assert_eq!((stat.mtime(), stat.mtime_nsec()), time, "{name}");
        let live = fs::metadata(peers.0.btrfs().path("home").join(name)).unwrap();
        assert_eq!(live.mtime(), second, "{name}");
    }
}

#[test]
fn a_name_is_taken_as_it_is_before_it_is_a_pattern() {
    let names: [&[u8]; 14] = [
        b"[abc].txt",
        b"[.txt",
        b"[].txt",
        b"*",
        b"?",
        b"a\nb",
        b"\xff\xfe",
        b"-",
        b"--to",
        b" before",
        b"behind ",
        b"home:x",
        b"back\\slash",
        b"..x",
    ];
    let peers = Peers::new(|home| {
        fs::create_dir(home.join("names")).unwrap();
        for name in names {
            fs::write(home.join("names").join(OsStr::from_bytes(name)), name).unwrap();
        }
    });
    let Some(peers) = peers else {
        return;
    };
    for (number, name) in names.iter().enumerate() {
        let path = [b"names/", *name].concat();
        let to = peers.extracted(&format!("by-path-{number}"), &[&path]);
        let found = files_below(&to).into_keys().collect::<Vec<_>>();
        assert_eq!(found, [to.join(OsStr::from_bytes(&path))]);
        assert_eq!(fs::read(&found[0]).unwrap(), *name);
    }
}

#[test]
fn a_path_may_be_written_in_any_way_and_named_twice() {
    let peers = Peers::new(|home| {
        fs::create_dir_all(home.join("a/b")).unwrap();
        fs::write(home.join("a/b/file"), "1").unwrap();
        fs::write(home.join("a/other"), "2").unwrap();
    });
    let Some(peers) = peers else {
        return;
    };
    let written: [&[&[u8]]; 8] = [
        &[b"a/b/"],
        &[b"//a//b"],
        &[b"./a/./b/."],
        &[b"/a/b/file"],
        &[b"a/b", b"a/b/file", b"/a/b/"],
        &[b"home:/a/b"],
        &[b"a/b*"],
        &[b"a/b/file", b"a/b/file"],
    ];
    for (number, paths) in written.iter().enumerate() {
        let to = peers.extracted(&format!("to-{number}"), paths);
        let found: Vec<_> = files_below(&to).into_keys().collect();
        assert_eq!(found, [to.join("a/b/file")], "{paths:?}");
    }
    for whole in [&b"/"[..], b".", b"./", b"/."] {
        let to = peers.0.path("whole");
        peers.extracted("whole", &[whole]);
        assert_eq!(files_below(&to).len(), 2, "{whole:?}");
        fs::remove_dir_all(to).unwrap();
    }
    // One path that is not there, and nothing is made of the others.
    let run = peers.extract(&peers.0.path("none"), &[b"a/b", b"a/missing"]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stderr.contains("a/missing"), "{run:?}");
    assert!(!peers.0.path("none").exists());
}

#[test]
fn any_one_of_several_hard_links_comes_back_alone() {
    let data = vec![b'd'; 300_000];
    let peers = Peers::new(|home| {
        for directory in ["one", "two", "three"] {
            fs::create_dir(home.join(directory)).unwrap();
        }
        fs::write(home.join("one/first"), &data).unwrap();
        fs::hard_link(home.join("one/first"), home.join("two/second")).unwrap();
        fs::hard_link(home.join("one/first"), home.join("three/third")).unwrap();
        symlink("first", home.join("one/link")).unwrap();
        fs::hard_link(home.join("one/link"), home.join("two/link")).unwrap();
    });
    let Some(peers) = peers else {
        return;
    };
    for name in ["one/first", "two/second", "three/third"] {
        let to = peers.extracted(&name.replace('/', "-"), &[name.as_bytes()]);
        assert_eq!(files_below(&to).len(), 1);
        assert_eq!(fs::read(to.join(name)).unwrap(), data);
    }
    let to = peers.extracted("some", &[b"two", b"three"]);
    let inode = |name: &str| fs::symlink_metadata(to.join(name)).unwrap();
    assert_eq!(inode("two/second").ino(), inode("three/third").ino());
    assert_eq!(inode("two/second").nlink(), 2);
    assert_eq!(
        fs::read_link(to.join("two/link")).unwrap(),
        Path::new("first")
    );
}

#[test]
fn an_archive_of_a_single_file_has_that_file() {
    let peers = Peers::new(|home| fs::write(home.join("only"), "lonely").unwrap());
    let Some(peers) = peers else {
        return;
    };
    assert_eq!(peers.0.run("ls home:").stdout, "only\n");
    for (to, path) in [("one", &b"only"[..]), ("all", b"/")] {
        let to = peers.extracted(to, &[path]);
        let found: Vec<_> = files_below(&to).into_iter().collect();
        assert_eq!(found, [(to.join("only"), b"lonely".to_vec())]);
    }
}

#[test]
fn a_directory_comes_back_below_itself() {
    let peers = Peers::new(|home| {
        fs::create_dir_all(home.join("a/prev")).unwrap();
        fs::write(home.join("a/file"), "1").unwrap();
    });
    let Some(peers) = peers else {
        return;
    };
    let within = peers.0.btrfs().path("home/a/prev");
    let run = peers.extract(&within, &[b"a"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    let found: Vec<_> = files_below(&within).into_keys().collect();
    assert_eq!(found, [within.join("a/file")]);
    assert!(within.join("a/prev").is_dir());
}

#[test]
fn a_full_stdout_is_an_error() {
    let peers = Peers::new(|home| {
        fs::write(home.join("file"), vec![b'x'; 1 << 20]).unwrap();
    });
    let Some(peers) = peers else {
        return;
    };
    let words = "extract home file --identity $T/kit --quiet --to -";
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut command = peers.0.command(words);
    let child = command.stdout(full).stderr(Stdio::piped()).spawn().unwrap();
    let out = child.wait_with_output().unwrap();
    assert_eq!(out.status.code(), Some(1), "{out:?}");
    let said = String::from_utf8(out.stderr).unwrap();
    assert!(said.contains("could not write to stdout"), "{said}");
}

#[test]
fn few_open_files_are_enough() {
    let peers = Peers::new(|home| {
        for number in 0..300 {
            let directory = home.join(format!("{number}/below"));
            fs::create_dir_all(&directory).unwrap();
            fs::write(directory.join("file"), format!("{number}")).unwrap();
        }
    });
    let Some(peers) = peers else {
        return;
    };
    let to = peers.0.path("to");
    let words = "extract home / --identity $T/kit --quiet --to $T/to";
    let inner = peers.0.command(words);
    let mut command = peers.0.command_of("prlimit", "--nofile=64:64");
    command.arg(inner.get_program()).args(inner.get_args());
    let run = peers.0.run_command(&mut command);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(files_below(&to).len(), 300);
    drop(File::open(to.join("299/below/file")).unwrap());
}
