//! What can be extracted, and how little is fetched for it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::archived::{Archived, holds};
use crate::common::machine::Machine;
use crate::common::{files_below, is_segment};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn no_more_than_the_frames_of_a_file_is_fetched_and_the_plan_says_how_much() {
    let archived = Archived::new("");
    let plan = archived.extract("/album/c --plan --json");
    assert_eq!(plan.code, Some(0), "{plan:?}");
    let plan = json(&plan.stdout);
    archived.server.forget_requests();
    let run = archived.extract("/album/c --to $T/out");
    run.is(
        0,
        "home 2024-01-07: 1 file, 5.00 MiB in $T/out\n",
        "home 2024-01-07: 1 file, 5.00 MiB; 8.00 MiB to fetch in 2 frames of 1 segment\n",
    );
    let data = BTreeMap::from([("album/c", archived.newest["album/c"].clone())]);
    holds(&archived.path("out"), &data);
    let (mut requests, mut bytes) = (0, 0);
    for request in archived.server.requests() {
        if !is_segment(&request.key) {
            continue;
        }
        assert_eq!(request.method, "GET", "{request:?}");
        let range = &request.headers["range"];
        let (from, to) = range
            .strip_prefix("bytes=")
            .unwrap()
            .split_once('-')
            .unwrap();
        requests += 1;
        bytes += to.parse::<u64>().unwrap() + 1 - from.parse::<u64>().unwrap();
    }
    assert_eq!(plan["sealed_bytes"], bytes);
    let of_archives = plan["archives"].as_array().unwrap().iter();
    let planned: u64 = of_archives.map(|it| it["requests"].as_u64().unwrap()).sum();
    assert_eq!(planned, requests);
    // The file and one more byte lie in two frames of 4 MiB.
    assert!(bytes < 9 << 20, "{bytes}");
}

#[test]
fn a_date_is_extracted_whole_with_links_and_times() {
    let archived = Archived::new("");
    for (date, files) in [
        ("2024-01-03", &archived.full),
        ("2024-01-07", &archived.newest),
    ] {
        let run = archived.extract(&format!("/ --date {date} --to $T/{date}"));
        assert_eq!(run.code, Some(0), "{run:?}");
        holds(&archived.path(date), files);
        let names = fs::read_dir(archived.path(date).join("notes")).unwrap();
        let expected = files.keys().filter(|path| path.starts_with("notes/"));
        // With the link, which leads to a file on the first date alone.
        assert_eq!(names.count(), expected.count() + 1);
    }
    let inode = |name: &str| fs::metadata(archived.path(name)).unwrap().ino();
    assert_eq!(
        inode("2024-01-03/notes/one"),
        inode("2024-01-03/notes/same")
    );
    let link = fs::read_link(archived.path("2024-01-03/notes/link")).unwrap();
    assert_eq!(link, Path::new("one"));
}

#[test]
fn paths_come_from_the_command_line_patterns_and_lists() {
    let archived = Archived::new("");
    let listed = archived.path("listed");
    fs::write(&listed, "/notes/two\nhome:/album/moved\n\n").unwrap();
    let run = archived.extract("album/[bc] notes/two --from-file $T/listed --to $T/out");
    assert_eq!(run.code, Some(0), "{run:?}");
    let wanted = ["album/b", "album/c", "album/moved", "notes/two"];
    let out = archived.path("out");
    let found = files_below(&out).into_keys();
    let below = |path: std::path::PathBuf| path.strip_prefix(&out).unwrap().to_owned();
    let names: Vec<_> = found.map(below).collect();
    assert_eq!(names, wanted.map(Path::new));
    fs::write(&listed, b"album/b\0album/c\0").unwrap();
    let run = archived.extract("-0 --from-file $T/listed --to $T/listed-out");
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(files_below(&archived.path("listed-out")).len(), 2);
    // From stdin.
    let mut command = archived
        .machine
        .command("extract home --identity $T/kit --from-file - --to $T/stdin-out");
    command.stdin(File::open(archived.path("listed")).unwrap());
    fs::write(&listed, "album/d").unwrap();
    command.stdin(File::open(&listed).unwrap());
    let run = archived.machine.run_command(&mut command);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(files_below(&archived.path("stdin-out")).len(), 1);
}

#[test]
fn one_file_goes_to_stdout() {
    let archived = Archived::new("");
    let mut command = archived
        .machine
        .command("extract home:/album/a --identity $T/kit --quiet --to -");
    let out = command.output().unwrap();
    assert!(out.status.success(), "{out:?}");
    assert!(out.stdout == archived.newest["album/a"]);
    assert!(out.stderr.is_empty(), "{out:?}");
    for more_or_less in ["album", "album/a album/b", "notes/link"] {
        let run = archived.extract(&format!("{more_or_less} --to -"));
        assert_eq!(run.code, Some(2), "{run:?}");
        assert!(run.stderr.contains("one regular file"), "{run:?}");
    }
}

#[test]
fn all_of_a_date_is_restored_as_files() {
    let archived = Archived::new("");
    fs::create_dir(archived.path("to")).unwrap();
    let words = "restore home 2024-01-07 --as-files --identity $T/kit --to $T/to";
    let run = archived.machine.run(words);
    assert_eq!(run.code, Some(0), "{run:?}");
    holds(&archived.path("to/home/2024-01-07"), &archived.newest);
    let again = archived.machine.run(words);
    assert_eq!(again.code, Some(2), "{again:?}");
    assert!(again.stderr.contains("it exists already"), "{again:?}");
}

#[test]
fn get_takes_from_an_archive_what_nothing_nearer_has() {
    let archived = Archived::new("");
    let without = archived.machine.run("get home:/album/b --to $T/b");
    assert_eq!(without.code, Some(1), "{without:?}");
    assert!(
        without
            .stderr
            .contains("but the archive of 2024-01-07 has it")
    );
    assert!(without.stderr.contains("--identity"), "{without:?}");
    let run = archived
        .machine
        .run("get home:/album/b --identity $T/kit --to $T/b");
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(fs::read(archived.path("b")).unwrap() == archived.newest["album/b"]);
    // The newest archive that has it, though a newer one is there.
    fs::create_dir(archived.path("old")).unwrap();
    let run = archived
        .machine
        .run("get home:/album/f --identity $T/kit --to $T/old");
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.stderr.contains("2024-01-01"), "{run:?}");
    assert!(fs::read(archived.path("old/f")).unwrap() == archived.full["album/f"]);
    let again = archived
        .machine
        .run("get home:/album/b --identity $T/kit --to $T/b");
    assert_eq!(again.code, Some(2), "nothing is replaced: {again:?}");
}

#[test]
fn public_tools_put_a_file_together_as_the_script_says() {
    let archived = Archived::in_directory();
    for path in ["album/a", "album/moved", "notes/two"] {
        let run = archived.extract(&format!("{path} --explain"));
        assert_eq!(run.code, Some(0), "{run:?}");
        let script = archived.path("script");
        // The output has placeholders.
        let text = archived
            .machine
            .command(&format!("extract home {path} --explain --identity $T/kit"))
            .output()
            .unwrap();
        fs::write(&script, &text.stdout).unwrap();
        let file = archived.path("file");
        let _ = fs::remove_file(&file);
        let out = Command::new("bash")
            .arg(&script)
            .env("FILE", &file)
            .output()
            .unwrap();
        assert!(out.status.success(), "{path}: {out:?}");
        assert!(fs::read(&file).unwrap() == archived.newest[path], "{path}");
        let again = Command::new("bash")
            .arg(&script)
            .env("FILE", &file)
            .output()
            .unwrap();
        assert!(!again.status.success(), "nothing is replaced");
    }
    let run = archived.extract("album --explain");
    assert_eq!(run.code, Some(2), "{run:?}");
}

#[test]
fn an_empty_machine_needs_the_kit_alone() {
    let archived = Archived::in_directory();
    let elsewhere = Machine::new();
    let words = format!(
        "catalog rebuild --identity {0}/kit --store file://{0}/store --state-dir $T/empty --quiet",
        archived.path("").display()
    );
    let run = elsewhere.run(&words.replace("//kit", "/kit").replace("//store", "/store"));
    assert_eq!(run.code, Some(0), "{run:?}");
    let kit = archived.path("kit");
    let mut command = elsewhere.command("extract home / --state-dir $T/empty --to $T/out");
    let run = elsewhere.run_command(command.arg("--identity").arg(&kit));
    assert_eq!(run.code, Some(0), "{run:?}");
    holds(&elsewhere.path("out"), &archived.newest);
}
