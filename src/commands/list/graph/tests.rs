//! What is drawn is kept in a file beside those of the other screens. With `COLDCHAIN_WRITE_GOLDEN=1` it is written anew.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

use super::*;
use crate::catalog::{Link, WhichArchives};
use crate::commands::age::LastVerified;
use crate::model::archive::{ArchiveKind, ArchiveState};
use crate::model::{ArchiveId, Sha256};
use crate::plan::Schedule;

fn day(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

fn id(date: &str, kind: ArchiveKind) -> ArchiveId {
    ArchiveId {
        date: day(date),
        kind,
        nonce: 1,
    }
}

/// A chain of archives: a date, and after it `damaged`, `unfinished` or `retired`.
fn rows(archives: &[&str]) -> Vec<ListedRow> {
    let date = |words: &str| words.split(' ').next().unwrap().to_owned();
    let chain = id(&date(archives[0]), ArchiveKind::Full);
    let row = |(at, words): (usize, &&str)| ListedRow {
        link: Link {
            id: if at == 0 {
                chain
            } else {
                id(&date(words), ArchiveKind::Incremental)
            },
            chain,
            send_parent: None,
            recipients: Sha256([0; 32]),
            is_verified: true,
            is_damaged: words.ends_with("damaged"),
            is_inexact: false,
        },
        state: match words.split(' ').next_back() {
            Some("unfinished") => ArchiveState::Unfinished,
            Some("retired") => ArchiveState::Retired,
            _ => ArchiveState::Committed,
        },
        raw_bytes: 1,
        sealed_bytes: 1,
        segments: 1,
        contents_bytes: 0,
        deletion_has_begun: false,
        begun_at: "2026-01-01T00:00:00Z".parse().unwrap(),
        sound_at: None,
        deep_sound_at: None,
    };
    archives.iter().enumerate().map(row).collect()
}

fn chain<'r>(rows: &'r [ListedRow], state: &'static str, expiry: Expiry) -> ListedChain<'r> {
    ListedChain {
        id: rows[0].link.chain,
        state,
        expiry,
        archives: rows,
        shown: WhichArchives::Everything,
        verified: LastVerified::all([].into_iter()),
        inventory: super::super::AwaitedInventory::default(),
    }
}

fn source<'r>(name: &str, store: Option<&str>, chains: Vec<ListedChain<'r>>) -> ListedSource<'r> {
    ListedSource {
        name: name.parse().unwrap(),
        store: store.map(str::to_owned),
        next_slot: None,
        chains,
        mirrors: Vec::new(),
        copies: Vec::new(),
        moved: None,
        schedule: store.map(|_| Schedule::default()),
        files: BTreeMap::new(),
    }
}

fn drawn(columns: usize, in_unicode: bool) -> String {
    let retired = rows(&[
        "2026-04-01 retired",
        "2026-04-07 retired",
        "2026-04-14 retired",
    ]);
    let old = rows(&[
        "2026-05-01",
        "2026-05-07",
        "2026-05-14",
        "2026-05-21",
        "2026-06-01",
        "2026-06-07",
        "2026-06-14",
        "2026-06-21",
        "2026-07-01",
    ]);
    let damaged = rows(&[
        "2026-08-01",
        "2026-08-07",
        "2026-08-14 damaged",
        "2026-08-21",
    ]);
    let newest = rows(&[
        "2026-10-01",
        "2026-10-21",
        "2026-11-01",
        "2026-11-21 unfinished",
    ]);
    let of_mail = rows(&["2026-11-29"]);
    let on = |date: &str| Expiry::On(day(date));
    let home = vec![
        chain(&retired, "retired", Expiry::Never),
        chain(&old, "complete", on("2026-09-29")),
        chain(&damaged, "damaged", on("2027-03-01")),
        chain(&newest, "complete", Expiry::Never),
    ];
    let sources = [
        source("home", Some("s3://archives/laptop"), home),
        source(
            "mail",
            Some("file:///mnt/a shelf that has a long name/archive"),
            vec![chain(&of_mail, "complete", Expiry::Never)],
        ),
        source("www", Some("file:///mnt/shelf"), Vec::new()),
        source("photos", None, Vec::new()),
    ];
    let canvas = Canvas {
        columns,
        in_unicode,
    };
    in_words(&sources, canvas, day("2026-11-30"))
}

#[test]
fn chains_are_drawn_as_they_are_kept() {
    let mut text = String::new();
    for columns in [40, 80, 200] {
        for (in_unicode, locale) in [(true, "UTF-8"), (false, "ASCII")] {
            let screen = drawn(columns, in_unicode);
            for line in screen.lines() {
                assert!(
                    !line.ends_with(' ') && line.chars().count() <= columns,
                    "{line:?}"
                );
            }
            assert!(in_unicode || screen.is_ascii(), "{screen}");
            writeln!(text, "#### {columns} columns, {locale}").unwrap();
            text += &screen;
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/watching/graph.txt");
    if env::var_os("COLDCHAIN_WRITE_GOLDEN").is_some() {
        fs::write(&path, &text).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap();
    assert_eq!(
        text, kept,
        "set COLDCHAIN_WRITE_GOLDEN=1 to keep what is drawn now"
    );
}

#[test]
fn what_is_remarkable_is_drawn_where_several_share_a_column() {
    let many: Vec<String> = (1..=28).map(|day| format!("2026-02-{day:02}")).collect();
    let mut words: Vec<&str> = many.iter().map(String::as_str).collect();
    words[13] = "2026-02-14 damaged";
    let archives = rows(&words);
    let sources = [source(
        "home",
        Some("file:///shelf"),
        vec![chain(&archives, "damaged", Expiry::Never)],
    )];
    let canvas = Canvas {
        columns: LEFT + LEAST,
        in_unicode: false,
    };
    let text = in_words(&sources, canvas, day("2026-02-28"));
    let line = text
        .lines()
        .find(|line| line.starts_with("  2026-02-01"))
        .unwrap();
    assert_eq!(line, "  2026-02-01 #oooo!oooooo");
}

#[test]
fn the_first_variable_of_the_locale_decides() {
    let is = |all: Option<&'static str>, lang: Option<&'static str>| {
        is_utf8(|name| match name {
            "LC_ALL" => all,
            "LANG" => lang,
            _ => None,
        })
    };
    assert!(is(None, None));
    assert!(is(None, Some("de_DE.UTF-8")) && is(Some("C.utf8"), Some("C")));
    assert!(!is(Some("C"), Some("de_DE.UTF-8")) && !is(None, Some("POSIX")));
    assert!(!is(None, Some("de_DE.ISO-8859-1")));
}

#[test]
fn each_glyph_is_one_of_its_kind() {
    for in_unicode in [true, false] {
        let glyphs = LEGEND.iter().map(|(mark, _)| mark.glyph(in_unicode));
        let mut glyphs: Vec<char> = glyphs.collect();
        glyphs.sort_unstable();
        glyphs.dedup();
        assert_eq!(glyphs.len(), LEGEND.len());
        assert!(in_unicode || glyphs.iter().all(char::is_ascii_graphic));
    }
}
