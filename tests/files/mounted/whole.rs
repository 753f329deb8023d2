//! Each date is what its snapshot is, for every program.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;

use super::{Mounted, archived, ran};
use crate::common::from_env;
use crate::common::loopfs::real_btrfs_available;
use crate::common::machine::LIVE_CONFIG;
use crate::extracted::{Chain, DATES, Onto, compare};

fn check_programs(date: &Path, snapshot: &Path, to: &Path) {
    let at_both = |script: &str| {
        let [one, other] = [date, snapshot].map(|at| {
            ran(Command::new("sh")
                .args(["-c", script])
                .env("LC_ALL", "C")
                .current_dir(at))
        });
        assert!(one == other, "{script}\n{one}\n{other}");
    };
    at_both("find . ! -type d -printf '%p %y %m %U %G %n %s %T@ %l\\n' | sort");
    at_both("find . -type d -printf '%p %y %m %U %G %T@\\n' | sort");
    at_both("find . -type f -print0 | sort -z | xargs -0 -r sha256sum");
    at_both("find . | wc -l");
    ran(Command::new("ls").arg("-laR").arg(date));
    let words = ["-naAXHc", "--delete", "--itemize-changes"];
    let differs = ran(Command::new("rsync").args(words).args([
        format!("{}/", date.display()),
        format!("{}/", snapshot.display()),
    ]));
    assert_eq!(differs, "");
    fs::create_dir(to).unwrap();
    let copy = to.join("copy");
    ran(Command::new("cp")
        .args(["-a", "--sparse=always"])
        .args([date, &copy]));
    compare((snapshot, Onto::Btrfs), &copy, "cp --sparse=always");
    // tar takes holes from lseek.
    let tar = ran(Command::new("sh")
        .args([
            "-c",
            "tar -C \"$0\" --sparse --xattrs -c . | tar -C \"$1\" --xattrs -x",
        ])
        .args([date, to]));
    assert_eq!(tar, "");
    let other = ran(Command::new("rsync")
        .args(["-nac", "--exclude=/copy", "-i"])
        .args([format!("{}/", date.display()), format!("{}/", to.display())]));
    // tar takes no sockets.
    let is_left_out = |line: &&str| line.contains(" ./") || line.starts_with("cS");
    let other: Vec<&str> = other.lines().filter(|line| !is_left_out(line)).collect();
    assert_eq!(other, Vec::<&str>::new());
}

fn chain(seed: u64, settings: &str) {
    if !real_btrfs_available() {
        return;
    }
    let seed = from_env("COLDCHAIN_SEED", 1) * 100_000 + seed;
    let chain = Chain::new(seed, settings, "");
    let mounted = Mounted::new(&chain.machine);
    let dates: Vec<String> = fs::read_dir(mounted.at.join("home"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(dates, DATES);
    for date in DATES {
        let (shown, snapshot) = (mounted.date(date), chain.snapshot(date));
        compare(
            (&snapshot, Onto::Btrfs),
            &shown,
            &format!("seed {seed}, {date}"),
        );
    }
    let last = DATES[3];
    let to = chain.machine.btrfs().path("to");
    check_programs(&mounted.date(last), &chain.snapshot(last), &to);
}

#[test]
fn each_date_of_protocol_1_is_as_its_snapshot() {
    chain(50, "protocol = 1");
}

#[test]
fn each_date_of_protocol_2_is_as_its_snapshot() {
    chain(51, "protocol = 2");
}

#[test]
fn holes_are_holes_and_hard_links_one_inode() {
    let machine = archived(LIVE_CONFIG, &["2026-11-07"], |live, _| {
        let file = fs::File::create(live.join("sparse")).unwrap();
        file.set_len(64 << 20).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, b"data", 32 << 20).unwrap();
        fs::write(live.join("one"), "x").unwrap();
        fs::hard_link(live.join("one"), live.join("two")).unwrap();
    });
    let Some(machine) = machine else { return };
    let mounted = Mounted::new(&machine);
    let date = mounted.date("2026-11-07");
    let copy = machine.path("copy");
    ran(Command::new("cp").args([&date.join("sparse"), &copy]));
    assert!(copy.metadata().unwrap().blocks() * 512 < 1 << 20);
    assert_eq!(
        fs::read(&copy).unwrap(),
        fs::read(date.join("sparse")).unwrap()
    );
    // grep takes a file with a hole for a binary one.
    let found = ran(Command::new("grep").args(["x", "one"]).current_dir(&date));
    assert_eq!(found, "x\n");
    let [one, two] = ["one", "two"].map(|name| date.join(name).metadata().unwrap());
    assert_eq!((one.ino(), one.nlink()), (two.ino(), 2));
}

#[test]
fn a_large_directory_is_listed_whole_and_from_anywhere() {
    let files = 10_000_usize;
    let machine = archived(
        LIVE_CONFIG,
        &["2026-11-07", "2026-11-14"],
        |live, number| {
            for file in 0..files {
                let path = live.join(format!("file {file}"));
                if number == 0 {
                    fs::write(path, "").unwrap();
                } else if file % 3 == 0 {
                    fs::remove_file(path).unwrap();
                }
            }
        },
    );
    let Some(machine) = machine else { return };
    let mounted = Mounted::new(&machine);
    for (date, expected) in [
        ("2026-11-07", files),
        ("2026-11-14", files - files.div_ceil(3)),
    ] {
        let found = fs::read_dir(mounted.date(date)).unwrap();
        let mut names: Vec<_> = found.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), expected, "{date}");
    }
    let mut directory =
        rustix::fs::Dir::new(fs::File::open(mounted.date("2026-11-07")).unwrap()).unwrap();
    let first: Vec<_> = directory
        .by_ref()
        .take(3000)
        .map(|entry| entry.unwrap().file_name().to_owned())
        .collect();
    directory.rewind();
    let again: Vec<_> = directory
        .take(3000)
        .map(|entry| entry.unwrap().file_name().to_owned())
        .collect();
    assert_eq!(first, again);
}

#[test]
fn memory_stays_bounded_while_a_large_tree_is_walked() {
    let files = from_env("COLDCHAIN_MOUNT_FILES", 20_000);
    let machine = archived(LIVE_CONFIG, &["2026-11-07"], |live, _| {
        for file in 0..files {
            let directory = live.join(format!("{}", file / 1000));
            if file % 1000 == 0 {
                fs::create_dir(&directory).unwrap();
            }
            fs::write(directory.join(format!("{file}")), "").unwrap();
        }
    });
    let Some(machine) = machine else { return };
    let mut mounted = Mounted::with(&machine, "");
    let before = mounted.most_memory();
    for _ in 0..2 {
        let found = ran(Command::new("find")
            .arg(mounted.date("2026-11-07"))
            .args(["-printf", "%s\n"]));
        assert_eq!(found.lines().count() as u64, files + files / 1000 + 1);
    }
    let grown = mounted.most_memory() - before;
    // What SQLite keeps of the index, and one page of a directory.
    assert!(grown < 96 << 20, "{grown}");
}

#[test]
fn a_new_archive_appears() {
    let write = |live: &Path, number: usize| {
        fs::write(live.join("file"), format!("{number}")).unwrap();
    };
    let Some(machine) = archived(LIVE_CONFIG, &["2026-11-07"], write) else {
        return;
    };
    let mounted = Mounted::new(&machine);
    assert_eq!(
        fs::read(mounted.date("2026-11-07").join("file")).unwrap(),
        b"0"
    );
    write(&machine.btrfs().path("home"), 1);
    let run = machine.run("backup home 2026-11-14 --quiet");
    assert_eq!(run.code, Some(0), "{run:?}");
    let new = mounted.date("2026-11-14").join("file");
    let until = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while !new.exists() {
        assert!(std::time::Instant::now() < until, "it does not appear");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    assert_eq!(fs::read(new).unwrap(), b"1");
    assert_eq!(
        fs::read(mounted.date("2026-11-07").join("file")).unwrap(),
        b"0"
    );
}
