//! What `history` shows of a file, and which file a path means.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::places::Places;
use crate::common::loopfs::{btrfs, run};

/// What is said of a second disk that has nothing yet.
const NO_MIRROR: &str =
    "warning: home: the mirror $M was not looked at: it has no copies of this source\n";

/// The lines, with `|` between their columns.
fn columns(text: &str) -> Vec<String> {
    let of_line = |line: &str| {
        let columns = line.split("  ").map(str::trim);
        let columns: Vec<&str> = columns.filter(|column| !column.is_empty()).collect();
        columns.join("|")
    };
    text.lines().map(of_line).collect()
}

/// The `what` of each event.
fn kinds(answer: &Value) -> Vec<&str> {
    let events = answer["events"].as_array().unwrap().iter();
    events
        .map(|event| event["what"].as_str().unwrap())
        .collect()
}

#[test]
fn each_version_is_a_line() {
    let places = Places::new();
    let file = places.live().join("letter");
    fs::write(&file, "one\ntwo\n").unwrap();
    places.take("2026-11-01");
    fs::write(&file, "one\nthree\n").unwrap();
    places.take("2026-11-02T0300");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    chown(&file, Some(7), Some(8)).unwrap();
    places.take("2026-11-03");
    // Touched, and written again with the same content: no change.
    fs::write(&file, "one\nthree\n").unwrap();
    places.take("2026-11-04");
    // Restored by copy: another inode.
    let copied = places.live().join("copied");
    run(Command::new("cp").arg("-a").args([&file, &copied])).unwrap();
    fs::rename(&copied, &file).unwrap();
    places.take("2026-11-05");
    fs::remove_file(&file).unwrap();
    places.take("2026-11-06");
    places.take("2026-11-07");
    fs::create_dir(&file).unwrap();
    places.take("2026-11-08");
    fs::remove_dir(&file).unwrap();
    symlink("a", &file).unwrap();
    places.take("2026-11-09");
    fs::remove_file(&file).unwrap();
    symlink("b", &file).unwrap();
    places.take("2026-11-10");
    let run = places.run("history home:letter");
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), NO_MIRROR));
    let expected = [
        "2026-11-01 00:00|exists|8 B|$FS/snapshots/2026-11-01/letter",
        "2026-11-02 03:00|changed|10 B|$FS/snapshots/2026-11-02T0300/letter",
        "2026-11-03 00:00|mode 0644 to 0600, owner 0:0 to 7:8|10 B|$FS/snapshots/2026-11-03/letter",
        "2026-11-06 00:00|deleted|last in $FS/snapshots/2026-11-05/letter",
        "2026-11-08 00:00|created|$FS/snapshots/2026-11-08/letter",
        "2026-11-09 00:00|directory became link, mode 0755 to 0777|$FS/snapshots/2026-11-09/letter",
        "2026-11-10 00:00|changed|$FS/snapshots/2026-11-10/letter",
    ];
    assert_eq!(columns(&run.stdout), expected);
    // The live file is the last line if it differs.
    fs::remove_file(&file).unwrap();
    let lines = places.done("history home:letter --since 2026-11-10");
    let last = lines.lines().last().unwrap();
    assert!(
        last.starts_with("now  ") && last.contains("deleted"),
        "{last}"
    );
    let some = places.done("history home:letter --since 2026-11-02 --until 2026-11-03");
    assert_eq!(some.lines().count(), 2, "{some}");
    places
        .run("history home:letter --since 2026-11-03 --until 2026-11-02")
        .is(2, "", "error: 2026-11-02 is before 2026-11-03\n");
}

#[test]
fn the_names_in_a_directory_come_and_go() {
    let places = Places::new();
    let directory = places.live().join("d");
    fs::create_dir(&directory).unwrap();
    fs::write(directory.join("stays"), "1").unwrap();
    fs::write(directory.join("goes"), "1").unwrap();
    places.take("2026-11-01");
    fs::remove_file(directory.join("goes")).unwrap();
    fs::write(directory.join("comes"), "1").unwrap();
    // A change in a file is none of the directory.
    fs::write(directory.join("stays"), "2").unwrap();
    places.take("2026-11-02");
    fs::remove_file(directory.join("stays")).unwrap();
    fs::create_dir(directory.join("stays")).unwrap();
    places.take("2026-11-03");
    let answer = places.json(&[Path::new("history"), Path::new("home:/d")]);
    let seen: Vec<(String, String)> = answer["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| {
            let text = |key: &str| event[key].as_str().unwrap_or("").to_owned();
            (text("what"), text("name"))
        })
        .collect();
    let expected = [
        ("exists", ""),
        ("created", "comes"),
        ("deleted", "goes"),
        ("type changed", "stays"),
    ];
    assert_eq!(
        seen,
        expected.map(|(one, other)| (one.to_owned(), other.to_owned()))
    );
}

#[test]
fn differences_of_text_are_shown_and_others_are_named() {
    let places = Places::new();
    let write = |content: &[u8]| fs::write(places.live().join("f"), content).unwrap();
    write(b"a\nb\nc\n");
    places.take("2026-11-01");
    write(b"a\nB\x1b[2J\nc");
    places.take("2026-11-02");
    write(b"a\0");
    places.take("2026-11-03");
    write(&vec![b'x'; 5 << 20]);
    places.take("2026-11-04");
    let shown = places.done("history --diff home:f");
    let expected = "--- $FS/snapshots/2026-11-01/f\n+++ $FS/snapshots/2026-11-02/f\n@@ -1,3 +1,3 @@\n a\n-b\n-c\n\
                    +B\\u{1b}[2J\n+c\n\\ No newline at end of file\n";
    assert!(shown.contains(expected), "{shown}");
    assert!(shown.contains("  binary files differ\n"), "{shown}");
    assert!(
        shown.contains("too long to be compared by lines\n"),
        "{shown}"
    );
}

#[test]
fn the_printed_commands_bring_each_version_back() {
    let places = Places::new();
    let file = places.live().join(OsStr::from_bytes(b"it's\na \xff $HOME"));
    for (date, content) in [("2026-11-01", "1"), ("2026-11-02", "22")] {
        fs::write(&file, content).unwrap();
        places.take(date);
    }
    fs::remove_file(&file).unwrap();
    let words = [Path::new("history"), Path::new("--copy"), &file];
    let output = places.machine.command("").args(words).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let commands: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("  coldchain "))
        .collect();
    assert_eq!(commands.len(), 2, "{text}");
    for (command, content) in commands.iter().zip(["1", "22"]) {
        let script = format!("{} {command}", env!("CARGO_BIN_EXE_coldchain"));
        let mut bash = Command::new("bash");
        bash.args(["-c", &script]).current_dir("/");
        run(bash.env("COLDCHAIN_CONFIG", places.machine.path("config.toml"))).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), content);
        fs::remove_file(&file).unwrap();
    }
}

#[test]
fn a_path_means_the_same_file_in_each_of_its_forms() {
    let places = Places::new();
    let deep = places.live().join("a/b");
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("f"), "1").unwrap();
    symlink("/nowhere", deep.join("link")).unwrap();
    let outside = places.machine.path("way");
    symlink(&deep, &outside).unwrap();
    places.night("2026-11-01");
    fs::write(deep.join("f"), "2").unwrap();
    places.night("2026-11-02");
    fs::remove_file(deep.join("f")).unwrap();
    let path = |text: &str| places.machine.fill(text);
    let forms = [
        ("/", path("home:a/b/f")),
        ("/", path("home:/a//b/./f")),
        ("/", path("home:a/x/../b/f")),
        ("/", path("$FS/home/a/b/f")),
        ("/", path("$FS/home/gone/../a/b/f")),
        ("/", path("$FS/snapshots/2026-11-01/a/b/f")),
        ("/", path("$FS/snapshots/2026-10-01/a/b/f")),
        ("/", path("$FS/snapshots/current/a/b/f")),
        ("/", places.copy("2026-11-02/a/b/f").display().to_string()),
        ("/", path("$T/way/f")),
        ("$FS/home/a", "b/f".to_owned()),
        ("$FS/home/a", "./b/f".to_owned()),
        ("$FS/home/a/b", "../b/f".to_owned()),
        ("$T/way", "f".to_owned()),
        ("$FS/snapshots/2026-11-02/a/b", "f".to_owned()),
    ];
    for (directory, form) in &forms {
        let directory = path(directory);
        let run = places.run_in(
            Path::new(&directory),
            &[Path::new("history"), Path::new(form)],
        );
        assert_eq!(run.code, Some(0), "{form}: {}", run.stderr);
        assert_eq!(run.stderr, "", "{form}");
        let words: Vec<&str> = run
            .stdout
            .lines()
            .map(|line| line.split("  ").nth(1).unwrap().trim())
            .collect();
        let expected = "now";
        assert_eq!(words[..2], ["exists", "changed"], "{form}");
        assert!(
            run.stdout.lines().nth(2).unwrap().starts_with(expected),
            "{form}"
        );
    }
    // The link itself is meant.
    let answer = places.json(&[Path::new("history"), Path::new("home:a/b/link")]);
    assert_eq!(answer["events"][0]["now"]["type"], "link");
    // A link above is not followed in a source.
    let run = places.run("history home:a/b/link/f");
    assert_eq!(run.code, Some(1), "{}", run.stdout);
    // The whole source.
    assert_eq!(
        kinds(&places.json(&[Path::new("history"), Path::new("home:")])),
        ["exists"]
    );
    let live = places.live();
    assert_eq!(
        kinds(&places.json(&[Path::new("history"), &live])),
        ["exists"]
    );
}

#[test]
fn what_is_in_no_source_or_in_no_copy_is_an_error() {
    let places = Places::new();
    fs::write(places.live().join("f"), "1").unwrap();
    places.run("history /etc/passwd").is(
        2,
        "",
        "error: /etc/passwd is in no source; the sources are `home` ($FS/home)\n\
         hint: give a path below a source's subvolume, or SOURCE:PATH\n",
    );
    // A name with a colon that is no source's.
    let run = places.run("history mail:f");
    assert_eq!(run.code, Some(2), "{}", run.stderr);
    // Nothing but the live file.
    let run = places.run("history $FS/home/f");
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(run.stdout.starts_with("now  created"), "{}", run.stdout);
    let run = places.run("history $FS/home/g");
    assert_eq!(run.code, Some(1));
    assert!(
        run.stderr
            .contains("error: there is no snapshot of `home` here"),
        "{}",
        run.stderr
    );
    places.take("2026-11-01");
    let run = places.run("history $FS/home/g");
    assert!(
        run.stderr
            .contains("error: no snapshot and no mirror's copy here has home:/g (1 looked at)\n"),
        "{}",
        run.stderr
    );
    // A subvolume of its own.
    btrfs(["subvolume", "create"], &[&places.live().join("vm")]);
    fs::write(places.live().join("vm/disk"), "1").unwrap();
    let run = places.run("history $FS/home/vm/disk");
    assert_eq!(run.code, Some(1));
    assert!(
        run.stderr.contains("error: no snapshot of `home` has what is in $FS/home/vm: it is a subvolume of its own\n"),
        "{}",
        run.stderr
    );
    places.take("2026-11-02");
    let run = places.run("history $FS/home/vm");
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(
        run.stderr
            .contains("$FS/home/vm is or was a nested subvolume"),
        "{}",
        run.stderr
    );
}

#[test]
fn copies_at_mirrors_count_where_no_snapshot_is() {
    let places = Places::new();
    let file = places.live().join("f");
    for (date, content) in [
        ("2026-11-01", "1"),
        ("2026-11-02", "2"),
        ("2026-11-03", "2"),
    ] {
        fs::write(&file, content).unwrap();
        places.night(date);
    }
    places.drop("2026-11-01");
    places.drop("2026-11-02");
    // Inode numbers of two places say nothing of each other: the content of 11-02 and 11-03 is compared.
    let both = "2026-11-01 00:00  exists   1 B  $M/home/2026-11-01/f\n\
                2026-11-02 00:00  changed  1 B  $M/home/2026-11-02/f\n";
    places.run("history $FS/home/f").is(0, both, "");
    // The disk is not there: a warning, and what is left.
    places.second.detach();
    places.run("history $FS/home/f").is(
        0,
        "2026-11-03 00:00  exists  1 B  $FS/snapshots/2026-11-03/f\n",
        "warning: home: the mirror $M was not looked at: $M is not on a btrfs filesystem\n",
    );
    places.second.attach();
    // Its mark is another's: not the mirror that was used before.
    let mark = places.second.path("home/.coldchain-mirror.json");
    let text = fs::read_to_string(&mark).unwrap();
    let at = text.find("\"ledger\":\"").unwrap() + 10;
    let other = if text[at..].starts_with('0') {
        "1"
    } else {
        "0"
    };
    fs::write(&mark, format!("{}{other}{}", &text[..at], &text[at + 1..])).unwrap();
    let run = places.run("history $FS/home/f");
    assert_eq!(
        run.stderr,
        "warning: home: the mirror $M was not looked at: it has the mark of another mirror\n"
    );
    assert_eq!(run.stdout.lines().count(), 1, "{}", run.stdout);
}

#[test]
fn a_writable_snapshot_is_not_looked_at() {
    let places = Places::new();
    fs::write(places.live().join("f"), "1").unwrap();
    places.take("2026-11-01");
    btrfs(
        ["subvolume", "snapshot"],
        &[&places.live(), &places.snapshot("2026-11-02")],
    );
    fs::write(places.snapshot("2026-11-02").join("f"), "2").unwrap();
    fs::create_dir(places.snapshot("2026-11-03")).unwrap();
    symlink("2026-11-01", places.snapshot("2026-11-04")).unwrap();
    let run = places.run("history $FS/home/f");
    assert_eq!(run.stdout.lines().count(), 1, "{}", run.stdout);
    assert!(
        run.stderr.contains(
            "warning: home: $FS/snapshots/2026-11-02 is writable, so it is not looked at\n"
        ),
        "{}",
        run.stderr
    );
}

#[test]
fn directories_that_move_about_confuse_nothing() {
    let places = Places::new();
    let live = places.live();
    for name in ["a/d", "b"] {
        fs::create_dir_all(live.join(name)).unwrap();
    }
    fs::write(live.join("a/lake"), "1").unwrap();
    fs::write(live.join("a/d/173"), "2").unwrap();
    places.take("2026-11-01");
    // What was `a` is `d` now, with what was in it.
    fs::rename(live.join("a/d/173"), live.join("a/173")).unwrap();
    fs::remove_dir(live.join("a/d")).unwrap();
    fs::rename(live.join("a"), live.join("d")).unwrap();
    fs::write(live.join("d/new"), "3").unwrap();
    places.take("2026-11-02");
    let of = |path: &str| {
        let answer = places.json(&[Path::new("history"), Path::new(path)]);
        kinds(&answer).join(" ")
    };
    assert_eq!(of("home:a"), "exists deleted");
    assert_eq!(of("home:a/d/173"), "exists deleted");
    assert_eq!(of("home:d"), "created");
    assert_eq!(of("home:d/lake"), "created");
    assert_eq!(of("home:b"), "exists");
    // A file back in its place, by way of another name, has not changed.
    fs::rename(live.join("d/lake"), live.join("lake")).unwrap();
    fs::rename(live.join("lake"), live.join("d/lake")).unwrap();
    places.take("2026-11-03");
    assert_eq!(of("home:d/lake"), "created");
}
