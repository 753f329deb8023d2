//! What can't be extracted, and what is said of it.

use std::fs;
use std::os::unix::fs::symlink;

use super::archived::{Archived, holds};
use crate::common::machine::Machine;

/// Requires an exit code, and these words on stderr.
fn refused(archived: &Archived, words: &str, code: i32, said: &[&str]) {
    let run = archived.extract(words);
    assert_eq!(run.code, Some(code), "{words}: {run:?}");
    for said in said {
        assert!(
            run.stderr.contains(said),
            "{words}: `{said}`: {}",
            run.stderr
        );
    }
}

#[test]
fn what_is_typed_wrong_is_refused_and_nothing_is_made() {
    let archived = Archived::new("");
    fs::write(archived.path("empty"), "").unwrap();
    let cases: [(&str, i32, &[&str]); 12] = [
        ("--to $T/out", 2, &["name what to bring back"]),
        (
            "--from-file $T/empty --to $T/out",
            2,
            &["name what to bring back"],
        ),
        ("--from-file $T/nowhere --to $T/out", 1, &["nowhere"]),
        ("album/a", 2, &["--to"]),
        ("album/../notes/two --to $T/out", 2, &["without `..`"]),
        ("nosuch --to $T/out", 1, &["does not have home:/nosuch"]),
        ("album/x* --to $T/out", 1, &["album/x*"]),
        // The dates that have it.
        (
            "notes/one --to $T/out",
            1,
            &[
                "does not have home:/notes/one",
                "from 2024-01-01 to 2024-01-01",
                "--date 2024-01-01",
            ],
        ),
        ("album/a --date 2023-12-31 --to $T/out", 2, &["2024-01-01"]),
        (
            "album/a --date 2024-01-07-full-0000000000000000 --to $T/out",
            2,
            &["there is no archive `2024-01-07-full-"],
        ),
        ("album/a --to $T/no/such/directory", 2, &["$T/no/such"]),
        ("album/a --place nowhere --to $T/out", 2, &["nowhere"]),
    ];
    for (words, code, said) in cases {
        refused(&archived, words, code, said);
        assert!(!archived.path("out").exists(), "{words}");
    }
    let run = archived.machine.run("extract home album/a --to $T/out");
    assert_eq!(run.code, Some(2), "{run:?}");
    assert!(run.stderr.contains("--identity"), "{run:?}");
    let run = archived
        .machine
        .run("extract nosource album/a --identity $T/kit --to $T/out");
    assert_eq!(run.code, Some(2), "{run:?}");
}

#[test]
fn nothing_is_written_over_what_is_there_or_through_a_link() {
    let archived = Archived::new("");
    let outside = archived.path("outside");
    fs::create_dir(&outside).unwrap();
    for name in ["file", "directory", "link"] {
        let to = archived.path(name);
        fs::create_dir_all(to.join("album")).unwrap();
        let there = to.join("album/c");
        match name {
            "file" => fs::write(there, "mine").unwrap(),
            "directory" => fs::create_dir(there).unwrap(),
            _ => symlink("nowhere", there).unwrap(),
        }
        let words = format!("album/c --to $T/{name}");
        refused(&archived, &words, 2, &["exists already", "move it away"]);
        // Others find their place beside it.
        let run = archived.extract(&format!("album/d --to $T/{name}"));
        assert_eq!(run.code, Some(0), "{run:?}");
    }
    assert_eq!(fs::read(archived.path("file/album/c")).unwrap(), b"mine");
    let led = archived.path("led");
    fs::create_dir(&led).unwrap();
    symlink(&outside, led.join("album")).unwrap();
    refused(&archived, "album/c --to $T/led", 2, &["led/album"]);
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    // A target that is a link is the user's own choice.
    symlink(&outside, archived.path("chosen")).unwrap();
    let run = archived.extract("album/c --to $T/chosen");
    assert_eq!(run.code, Some(0), "{run:?}");
    let c = [("album/c", archived.newest["album/c"].clone())].into();
    holds(&outside, &c);
}

#[test]
fn archives_without_contents_are_named_with_what_makes_them() {
    let archived = Archived::with_lines("", "contents = false");
    refused(
        &archived,
        "album/a --to $T/out",
        1,
        &["has no contents", "coldchain index", "--date 2024-01-01"],
    );
    assert!(!archived.path("out").exists());
}

#[test]
fn another_key_opens_nothing() {
    let archived = Archived::new("");
    // Another machine's kit.
    let other = Machine::new();
    fs::copy(other.path("kit"), archived.path("other")).unwrap();
    let run = archived
        .machine
        .run("extract home album/a --identity $T/other --to $T/out");
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(!archived.path("out").exists());
}
