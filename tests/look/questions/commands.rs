//! The program's answers about files in archives.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::process::Stdio;

use coldchain::model::ArchiveId;
use serde_json::{Value, json};

use super::fill::{FILE, Past};
use crate::common::loopfs::btrfs;
use crate::common::machine::{LIVE_CONFIG, Machine};
use crate::common::replicated::only_ledger;

const DATES: [&str; 3] = ["2026-01-01", "2026-01-08", "2026-01-15"];

/// A machine that makes no index by itself.
fn machine_without_index() -> Machine {
    let machine = Machine::with_subvolume(256);
    machine.write_config(&format!("index = false\n{LIVE_CONFIG}"));
    machine
}

/// A machine with three archives, of which the second has no snapshot any more, and an index of them.
fn machine() -> Machine {
    let machine = machine_without_index();
    let live = machine.btrfs().path("home");
    fs::create_dir(live.join("ann")).unwrap();
    for (date, letter) in DATES.iter().zip(["one", "second", "second"]) {
        if fs::read_to_string(live.join("ann/letter")).ok().as_deref() != Some(letter) {
            fs::write(live.join("ann/letter"), letter).unwrap();
        }
        let run = machine.run(&format!("backup home {date}"));
        assert_eq!(run.code, Some(0), "{}{}", run.stdout, run.stderr);
    }
    let gone = machine.btrfs().path("snapshots").join(DATES[1]);
    btrfs(["subvolume", "delete"], &[&gone]);
    let past = past();
    let archives = fs::read_dir(machine.path("store/home/archives")).unwrap();
    let names = archives.map(|archive| archive.unwrap().file_name());
    let mut ids: Vec<ArchiveId> = names
        .map(|name| name.to_str().unwrap().parse().unwrap())
        .collect();
    ids.sort();
    let ledger = only_ledger(&machine.state().join("catalog.db")).to_string();
    let path = machine.state().join(format!("files/{ledger}.db"));
    past.write_index(&path, &ledger, &ids);
    machine
}

fn past() -> Past {
    let mut past = Past::new();
    past.directory("ann");
    past.file("ann/letter", 3);
    past.directory("work");
    past.file("work/big", 5 << 20);
    past.file("work/new\nline", 1);
    past.make(b"work/\xff", FILE | 0o644, 2);
    let dash = past.file("-x", 7);
    past.link("ln", "ann/letter");
    for object in past.tree().nodes.keys().copied().collect::<Vec<_>>() {
        let node = past.change(object);
        (node.uid, node.gid) = (0, 0);
    }
    past.archive();
    past.write("ann/letter", 6);
    past.file("ann/gone", 9);
    let big = past.tree().find(b"work/big").unwrap();
    past.touch(big);
    past.chmod(dash, 0o600);
    past.archive();
    past.rename(b"work", b"jobs");
    past.remove(b"ann/gone");
    past.archive();
    past
}

/// Runs the program, which must end well, and returns what it printed on stdout and stderr.
#[track_caller]
fn answer(machine: &Machine, words: &str) -> (String, String) {
    let run = machine.run(words);
    assert_eq!(run.code, Some(0), "{}{}", run.stdout, run.stderr);
    (run.stdout, run.stderr)
}

#[track_caller]
fn document(machine: &Machine, words: &str) -> Value {
    serde_json::from_str(&answer(machine, &format!("--json {words}")).0).unwrap()
}

#[test]
#[expect(clippy::too_many_lines, reason = "case after case")]
fn files_of_archives_are_listed_found_and_compared() {
    let machine = machine();
    let here = "home: as of the archive of 2026-01-15: snapshot $FS/snapshots/2026-01-15\n";
    let archived = "home: as of the archive of 2026-01-08: archive, readable now (home)\n";
    for (words, stdout, stderr) in [
        ("ls home", "-x\nann/\njobs/\nln\n", here),
        ("ls home:", "-x\nann/\njobs/\nln\n", here),
        ("ls home:ann/", "letter\n", here),
        ("ls $FS/home/ann", "letter\n", here),
        ("ls $FS/snapshots/2026-01-15/ann", "letter\n", here),
        (
            "ls home:work --date 2026-01-10",
            "big\nnew\\nline\n\u{fffd}\n",
            archived,
        ),
        ("ls -q home:ann --date 2026-01-08", "gone\nletter\n", ""),
        (
            "ls home --recursive --date 2026-01-08 -q",
            "home:/-x\nhome:/ann\nhome:/ann/gone\nhome:/ann/letter\nhome:/ln\nhome:/work\nhome:/work/big\nhome:/work/new\\nline\nhome:/work/\u{fffd}\n",
            "",
        ),
        ("find home --name l*", "home:/ann/letter\nhome:/ln\n", here),
        ("find home --name -x", "home:/-x\n", here),
        ("find home --size +1MiB", "home:/jobs/big\n", here),
        ("find home --type l --owner root", "home:/ln\n", here),
        ("find home:jobs --path *s/b*", "home:/jobs/big\n", here),
        (
            "find home --limit 2",
            "home:/-x\nhome:/ann\n",
            "home: as of the archive of 2026-01-15: snapshot $FS/snapshots/2026-01-15\n6 files more\n",
        ),
        (
            "find home --deleted",
            "2026-01-08 to 2026-01-08  9 B  home:/ann/gone  archive, readable now (home)\n",
            "",
        ),
        (
            "find home --all-dates --name letter",
            "2026-01-01 to 2026-01-15  6 B  home:/ann/letter  snapshot $FS/snapshots/2026-01-15\n",
            "",
        ),
        (
            "diff -q home 2026-01-01 2026-01-08",
            "attributes changed  home:/-x  (mode 0644 to 0600)\n\
             made                home:/ann/gone\n\
             changed             home:/ann/letter  (3 B to 6 B)\n",
            "",
        ),
        (
            "diff -q home 2026-01-08 latest",
            "deleted             home:/ann/gone\nrenamed             home:/work -> home:/jobs\n",
            "",
        ),
        (
            "diff -q home:ann 2026-01-15 2026-01-08",
            "made                home:/ann/gone\n",
            "",
        ),
        (
            "diff -q home 2026-01-01 2026-01-08 --stat",
            "109 B  home:/ann/gone\n 56 B  home:/ann/letter\n 40 B  home:/work/big\n 30 B  home:/-x\n",
            "",
        ),
    ] {
        let answered = answer(&machine, words);
        assert_eq!(answered, (stdout.to_owned(), stderr.to_owned()), "{words}");
    }
    let long = answer(&machine, "ls -l -q home --date 2026-01-01").0;
    let lines: Vec<&str> = long.lines().collect();
    assert!(
        lines[0].starts_with("-rw-r--r--  0:0  7 B  2023-11-14 "),
        "{long}"
    );
    assert!(lines[2].starts_with("lrwxrwxrwx  0:0 "), "{long}");
    assert!(lines[2].ends_with("  ln -> ann/letter"), "{long}");

    let listed = document(&machine, "ls home:ann");
    assert_eq!(listed["archive"]["date"], "2026-01-15");
    assert_eq!(listed["archive"]["nearest"]["kind"], "snapshot");
    assert_eq!(listed["entries"][0]["path"], "/ann/letter");
    assert_eq!(listed["entries"][0]["size"], 6);
    assert_eq!(listed["not_indexed"], json!([]));
    let found = document(&machine, "find home --deleted");
    assert_eq!(
        found["files"][0]["archive"]["nearest"],
        json!({"kind": "readable", "place": "home", "class": null})
    );
    let weights = document(&machine, "du home");
    assert_eq!(
        weights["paths"],
        json!([
            {"path": "/", "bytes": 5_242_896, "files": 6},
            {"path": "/ann", "bytes": 6, "files": 1},
            {"path": "/jobs", "bytes": 5_242_883, "files": 3},
        ])
    );
    let dates = document(&machine, "du home:ann --by-date");
    let bytes = dates["dates"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["bytes"]);
    assert_eq!(bytes.collect::<Vec<_>>(), [3, 15, 6]);
    let text = answer(&machine, "du -q home:ann --by-date").0;
    assert_eq!(
        text,
        " 3 B   1 file  2026-01-01\n15 B  2 files  2026-01-08\n 6 B   1 file  2026-01-15\n"
    );
    let costs = document(&machine, "diff home 2026-01-01 2026-01-15 --stat --limit 1");
    assert_eq!(costs["costs"], json!([{"path": "/ann/gone", "bytes": 109}]));

    // Byte for byte with -0, and a reader that goes away is no error.
    let raw = |words: &[&[u8]]| {
        let mut command = machine.command("find home -0 --name");
        command.args(words.iter().map(|word| OsStr::from_bytes(word)));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        output.stdout
    };
    assert_eq!(raw(&[b"new*"]), b"home:/jobs/new\nline\0");
    assert_eq!(raw(&[b"*\xff"]), b"home:/jobs/\xff\0");
    let mut child = machine
        .command("ls home")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());

    for (words, code, text) in [
        (
            "ls home:nope",
            1,
            "error: the archive of 2026-01-15 does not have home:/nope\n",
        ),
        (
            "ls home:nope",
            1,
            "run `coldchain find home: --all-dates --name nope` to look for the name\n",
        ),
        (
            "ls home:ann/gone",
            1,
            "it exists from 2026-01-08 to 2026-01-08: add --date 2026-01-08",
        ),
        ("find home:ann/gone", 1, "does not have home:/ann/gone"),
        (
            "ls home --date 2025-01-01",
            2,
            "no archive of `home` with an index of its files is from 2025-01-01 or before",
        ),
        (
            "ls home --date 2025-01-01",
            2,
            "hint: add --date 2026-01-01",
        ),
        (
            "diff home:nope 2026-01-01 2026-01-08",
            1,
            "does not have home:/nope",
        ),
        ("du home:nope --by-date", 1, "does not have home:/nope"),
        (
            "find home --owner nemo-there-is-none",
            2,
            "no user of this machine has the name",
        ),
        ("find home --size 1kb", 2, "a size is a whole number"),
        (
            "find home --newer 2026-01-02 --older 2026-01-01",
            2,
            "2026-01-02",
        ),
        ("ls elsewhere:x", 2, "is in no source"),
    ] {
        let run = machine.run(words);
        assert_eq!((run.code, run.stdout.as_str()), (Some(code), ""), "{words}");
        assert!(run.stderr.contains(text), "{words}: {}", run.stderr);
    }
}

#[test]
fn history_and_yesterday_go_on_in_archives_where_no_copy_is_left() {
    let machine = machine();
    let run = machine.run("history home:ann/letter");
    run.is(
        0,
        "2026-01-01 00:00  exists   3 B  $FS/snapshots/2026-01-01/ann/letter\n\
         2026-01-08 00:00  changed  6 B  home:/ann/letter  archive, readable now (home)\n",
        "",
    );
    let run = machine.run("history home:ann/gone --copy");
    run.is(
        0,
        "2026-01-08 00:00  created  9 B  home:/ann/gone  archive, readable now (home)\n  \
         coldchain restore home 2026-01-08 --to DIR\n\
         2026-01-15 00:00  deleted       last in home:/ann/gone  archive, readable now (home)\n",
        "",
    );
    let document = document(&machine, "history home:ann");
    let names = document["events"].as_array().unwrap().iter().map(|event| {
        let date = event["archive"]["date"]
            .as_str()
            .or(event["snapshot"].as_str());
        (
            date.unwrap_or("now"),
            event["what"].as_str().unwrap(),
            event["name"].as_str().unwrap_or(""),
        )
    });
    assert_eq!(
        names.collect::<Vec<_>>(),
        [
            ("2026-01-01", "exists", ""),
            ("2026-01-08", "created", "gone"),
            ("2026-01-15", "deleted", "gone"),
        ]
    );
    let run = machine.run("yesterday home:ann/gone");
    assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""));
    assert!(
        run.stderr.contains("but the archive of 2026-01-08 has it"),
        "{}",
        run.stderr
    );
    assert!(
        run.stderr
            .contains("run `coldchain restore home 2026-01-08 --to DIR`"),
        "{}",
        run.stderr
    );
}

#[test]
fn a_source_without_an_index_says_so() {
    let machine = machine_without_index();
    let run = machine.run("ls home");
    assert_eq!(run.code, Some(2), "{}", run.stderr);
    assert_eq!(machine.run("backup home 2026-01-01").code, Some(0));
    for words in ["ls home", "find home", "diff home latest latest", "du home"] {
        let run = machine.run(words);
        assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""), "{words}");
        let text = "error: none of the archives of `home` is in the file index here (1 archive)\n";
        assert!(run.stderr.starts_with(text), "{}", run.stderr);
    }
    // A file that is no index is an error with what to do.
    let ledger = only_ledger(&machine.state().join("catalog.db"));
    let path = machine.state().join(format!("files/{ledger}.db"));
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, "no database, but longer than nothing").unwrap();
    let run = machine.run("ls home");
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    assert!(
        run.stderr
            .contains("could not read the file index $T/state/files/"),
        "{}",
        run.stderr
    );
    assert!(
        run.stderr.contains("hint: delete $T/state/files/"),
        "{}",
        run.stderr
    );
}

#[test]
fn a_backup_indexes_what_it_archives_and_an_identity_indexes_what_is_missing() {
    let machine = Machine::with_subvolume(256);
    machine.write_config(&format!("contents = true\n{LIVE_CONFIG}"));
    let live = machine.btrfs().path("home");
    fs::create_dir(live.join("ann")).unwrap();
    fs::create_dir(live.join("work")).unwrap();
    fs::write(live.join("ann/letter"), "one").unwrap();
    fs::write(live.join("work").join(OsStr::from_bytes(b"\xff")), "x").unwrap();
    fs::write(live.join("work/gone"), "x").unwrap();
    assert_eq!(machine.run("backup home 2026-01-01").code, Some(0));
    fs::write(live.join("ann/letter"), "second").unwrap();
    fs::remove_file(live.join("work/gone")).unwrap();
    fs::rename(live.join("work"), live.join("jobs")).unwrap();
    assert_eq!(machine.run("backup home 2026-01-08").code, Some(0));
    let questions = [
        ("ls -q home", "ann/\njobs/\n"),
        (
            "find -q home --date 2026-01-01",
            "home:/ann\nhome:/ann/letter\nhome:/work\nhome:/work/gone\nhome:/work/\u{fffd}\n",
        ),
        (
            "diff -q home 2026-01-01 2026-01-08",
            "changed             home:/ann/letter  (3 B to 6 B)\n\
             renamed             home:/work -> home:/jobs\n\
             deleted             home:/work/gone\n",
        ),
        (
            "du -q home --by-date",
            "5 B  3 files  2026-01-01\n7 B  2 files  2026-01-08\n",
        ),
    ];
    for (words, expected) in questions {
        let answered = answer(&machine, words);
        assert_eq!(answered, (expected.to_owned(), String::new()), "{words}");
    }
    // A new machine, or a user who deleted the index.
    fs::remove_dir_all(machine.state().join("files")).unwrap();
    let run = machine.run("ls home");
    assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""));
    assert!(
        run.stderr.contains("hint: add --identity FILE"),
        "{}",
        run.stderr
    );
    for (words, expected) in questions {
        let answered = answer(&machine, &format!("{words} --identity $T/kit"));
        assert_eq!(answered, (expected.to_owned(), String::new()), "{words}");
    }
}

#[test]
fn an_archive_that_was_thawed_with_all_that_it_is_built_on_is_readable_until_it_is_cold_again() {
    let machine = machine();
    let catalog = rusqlite::Connection::open(machine.state().join("catalog.db")).unwrap();
    let change = |sql: &str| catalog.execute(sql, []).unwrap();
    assert_eq!(
        change("UPDATE archive SET storage_class = 'DEEP_ARCHIVE'"),
        3
    );
    let nearest =
        || document(&machine, "ls home:ann --date 2026-01-08")["archive"]["nearest"].clone();
    let thaw = |date: &str, until: &str| {
        let thawed = change(&format!(
            "INSERT OR REPLACE INTO thaw (place, archive, idx, tier, days, state, asked_at, readable_until)
             SELECT 0, archive, idx, 'bulk', 7, 'readable', '2026-01-01T00:00:00Z', '{until}' FROM segment
             WHERE archive LIKE '{date}%'"
        ));
        assert_eq!(thawed, 1);
    };
    assert_eq!(nearest()["kind"], "cold");
    // Its full is still cold.
    thaw("2026-01-08", "2199-01-02T00:00:00Z");
    assert_eq!(nearest()["kind"], "cold");
    thaw("2026-01-01", "2199-01-01T00:00:00Z");
    let until = json!({
        "kind": "thawed", "place": "home", "class": "DEEP_ARCHIVE", "until": "2199-01-01T00:00:00Z",
    });
    assert_eq!(nearest(), until);
    let (_, stderr) = answer(&machine, "ls home:ann --date 2026-01-08");
    assert_eq!(
        stderr,
        "home: as of the archive of 2026-01-08: archive, readable until 2199-01-01T00:00:00Z (home, DEEP_ARCHIVE)\n"
    );
    // That time has passed.
    thaw("2026-01-01", "2026-01-03T00:00:00Z");
    assert_eq!(nearest()["kind"], "cold");
}
