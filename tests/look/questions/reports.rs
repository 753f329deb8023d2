//! What people reported of lists, finds and diffs of other backup programs, tried here. `docs/testing.md` lists them.

use chrono::NaiveDate;
use coldchain::engine::{FileIndex, FindRequest, FindWhen, Glob, PathChangeKind};
use coldchain::files_db::{IndexedArchive, NodeFilter};
use tempfile::TempDir;

use super::fill::{DIRECTORY, FILE, Past};

struct Asked {
    index: FileIndex,
    _directory: TempDir,
}

impl Asked {
    fn of(past: &Past) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let index = past.index(directory.path());
        Self {
            index,
            _directory: directory,
        }
    }

    fn archive(&self, at: usize) -> IndexedArchive {
        self.index.archives()[at]
    }

    fn newest(&self) -> IndexedArchive {
        *self.index.archives().last().unwrap()
    }

    fn find(&self, name: &str, node: NodeFilter) -> Vec<String> {
        let when = FindWhen::At(self.newest());
        let name = Some(Glob::new(name.as_bytes()));
        let request = FindRequest {
            below: b"",
            name,
            path: None,
            node,
            when,
        };
        let found = self.index.find(&request).unwrap().into_iter();
        found
            .map(|it| String::from_utf8_lossy(&it.path).into_owned())
            .collect()
    }

    fn changes(&self, one: usize, other: usize) -> Vec<(PathChangeKind, String)> {
        let dates = (self.archive(one), self.archive(other));
        let changes = self.index.diff(dates, b"").unwrap().into_iter();
        let text = |path: Vec<u8>| String::from_utf8_lossy(&path).into_owned();
        changes.map(|it| (it.kind, text(it.path))).collect()
    }
}

#[test]
fn brackets_and_stars_in_names_are_found_by_escaping_them() {
    let mut past = Past::new();
    for name in ["[a]", "a", "*", "b*c", "bxc", "what?", "back\\slash"] {
        past.file(name, 1);
    }
    past.archive();
    let asked = Asked::of(&past);
    assert_eq!(asked.find("\\[a\\]", NodeFilter::ALL), ["[a]"]);
    assert_eq!(asked.find("[[]a]", NodeFilter::ALL), ["[a]"]);
    assert_eq!(asked.find("[a]", NodeFilter::ALL), ["a"]);
    assert_eq!(asked.find("b\\*c", NodeFilter::ALL), ["b*c"]);
    assert_eq!(asked.find("what\\?", NodeFilter::ALL), ["what?"]);
    assert_eq!(
        asked.find("back\\\\slash", NodeFilter::ALL),
        ["back\\slash"]
    );
}

#[test]
fn names_that_differ_by_case_alone_are_two_files() {
    let mut past = Past::new();
    past.file("Letter", 1);
    past.file("letter", 2);
    past.archive();
    past.write("letter", 3);
    past.archive();
    let asked = Asked::of(&past);
    assert_eq!(asked.find("letter", NodeFilter::ALL), ["letter"]);
    assert_eq!(
        asked.find("[lL]etter", NodeFilter::ALL),
        ["Letter", "letter"]
    );
    assert_eq!(
        asked.changes(0, 1),
        [(PathChangeKind::Changed, "letter".to_owned())]
    );
}

#[test]
fn a_touched_file_and_a_copy_with_its_times_are_no_changes() {
    let mut past = Past::new();
    let touched = past.file("touched", 5);
    past.file("copied", 5);
    past.file("saved", 5);
    past.archive();
    past.touch(touched);
    for (path, keeps_time) in [("copied", true), ("saved", false)] {
        let old = past.tree().nodes[&past.tree().find(path.as_bytes()).unwrap()].clone();
        past.remove(path.as_bytes());
        let object = past.file(path, 5);
        if keeps_time {
            past.change(object).mtime = old.mtime;
        }
    }
    past.archive();
    let asked = Asked::of(&past);
    assert_eq!(
        asked.changes(0, 1),
        [(PathChangeKind::Changed, "saved".to_owned())]
    );
}

#[test]
fn three_thousand_hard_links_are_all_found_and_change_once() {
    let mut past = Past::new();
    past.directory("links");
    let object = past.file("links/0", 10);
    for at in 1..3000 {
        past.name(object, format!("links/{at}").as_bytes());
    }
    past.archive();
    past.write_to(object, 11);
    past.archive();
    past.remove(b"links/7");
    past.archive();
    let asked = Asked::of(&past);
    let node = NodeFilter {
        size: Some((11, 11)),
        ..NodeFilter::ALL
    };
    assert_eq!(asked.find("*", node).len(), 2999);
    assert_eq!(
        asked.changes(0, 1),
        [(PathChangeKind::Changed, "links/0".to_owned())]
    );
    assert_eq!(
        asked.changes(1, 2),
        [(PathChangeKind::Deleted, "links/7".to_owned())]
    );
    let links = asked
        .index
        .resolve(b"links", asked.newest())
        .unwrap()
        .unwrap();
    let weights = asked
        .index
        .weigh((b"links", links), asked.newest(), 0)
        .unwrap();
    assert_eq!(
        (weights[0].totals.files, weights[0].totals.bytes),
        (2999, 2999 * 11)
    );
}

#[test]
fn a_directory_of_fifty_thousand_names_is_listed_in_order() {
    let mut past = Past::new();
    past.directory("mail");
    for at in 0..50_000 {
        past.file(&format!("mail/{at}"), 1);
    }
    past.archive();
    let asked = Asked::of(&past);
    let mail = asked
        .index
        .resolve(b"mail", asked.newest())
        .unwrap()
        .unwrap();
    let listed = asked
        .index
        .list((b"mail", mail), asked.newest(), false)
        .unwrap();
    assert_eq!(listed.len(), 50_000);
    assert!(listed.is_sorted_by_key(|file| file.path.clone()));
    assert_eq!(asked.find("4999[0-9]", NodeFilter::ALL).len(), 10);
}

#[test]
fn links_that_lead_in_a_circle_are_never_followed() {
    let mut past = Past::new();
    past.directory("d");
    past.link("d/up", "..");
    past.link("d/self", "self");
    past.archive();
    let asked = Asked::of(&past);
    assert_eq!(
        asked.index.resolve(b"d/up/d", asked.newest()).unwrap(),
        None
    );
    assert_eq!(asked.find("*", NodeFilter::ALL), ["d", "d/self", "d/up"]);
    let root = asked.index.resolve(b"", asked.newest()).unwrap().unwrap();
    assert_eq!(
        asked
            .index
            .list((b"", root), asked.newest(), true)
            .unwrap()
            .len(),
        3
    );
}

#[test]
fn a_trailing_slash_and_doubled_ones_mean_the_same_path() {
    let mut past = Past::new();
    past.directory("a");
    past.directory("a/b");
    past.archive();
    let asked = Asked::of(&past);
    let paths: [&[u8]; 4] = [b"a/b", b"a/b/", b"/a//b", b"a/b//"];
    for path in paths {
        assert_eq!(
            asked
                .index
                .resolve(path, asked.newest())
                .unwrap()
                .map(|it| it.0),
            Some(3)
        );
    }
}

#[test]
fn times_before_1970_and_of_the_future_are_found() {
    let mut past = Past::new();
    for (name, mtime) in [
        ("old", -1),
        ("oldest", i64::MIN),
        ("new", i64::MAX),
        ("epoch", 0),
    ] {
        let object = past.file(name, 1);
        past.change(object).mtime = mtime;
    }
    past.archive();
    let asked = Asked::of(&past);
    let between = |from, until| NodeFilter {
        mtime: (from, until),
        ..NodeFilter::ALL
    };
    assert_eq!(asked.find("*", between(i64::MIN, -1)), ["old", "oldest"]);
    assert_eq!(asked.find("*", between(0, 0)), ["epoch"]);
    assert_eq!(asked.find("*", between(1, i64::MAX)), ["new"]);
}

#[test]
fn a_directory_in_the_place_of_a_file_is_one_change_of_type() {
    let mut past = Past::new();
    past.file("x", 1);
    past.archive();
    past.remove(b"x");
    past.make(b"x", DIRECTORY | 0o755, 0);
    past.file("x/inside", 1);
    past.archive();
    let asked = Asked::of(&past);
    let expected = [
        (PathChangeKind::TypeChanged, "x"),
        (PathChangeKind::Made, "x/inside"),
    ];
    let expected = expected.map(|(kind, path)| (kind, path.to_owned()));
    assert_eq!(asked.changes(0, 1), expected);
}

#[test]
fn a_renamed_directory_of_many_files_is_one_line_and_names_swapped_are_two() {
    let mut past = Past::new();
    past.directory("many");
    for at in 0..1000 {
        past.file(&format!("many/{at}"), 1);
    }
    past.file("a", 1);
    past.file("b", 2);
    past.archive();
    past.rename(b"many", b"more");
    past.rename(b"a", b"t");
    past.rename(b"b", b"a");
    past.rename(b"t", b"b");
    past.archive();
    let asked = Asked::of(&past);
    let expected = ["a", "b", "more"].map(|path| (PathChangeKind::Renamed, path.to_owned()));
    assert_eq!(asked.changes(0, 1), expected);
}

#[test]
fn a_file_that_came_back_is_found_with_all_its_dates_and_is_not_deleted() {
    let mut past = Past::new();
    past.file("f", 1);
    past.archive();
    past.remove(b"f");
    past.archive();
    past.make(b"f", FILE | 0o644, 2);
    past.archive();
    let asked = Asked::of(&past);
    let find = |when| {
        let request = FindRequest {
            below: b"",
            name: None,
            path: None,
            node: NodeFilter::ALL,
            when,
        };
        asked.index.find(&request).unwrap()
    };
    let date = |text: &str| -> NaiveDate { text.parse().unwrap() };
    let found = find(FindWhen::Any);
    assert_eq!((found.len(), found[0].first), (1, date("2026-01-01")));
    assert_eq!(
        (found[0].archive.date, found[0].version.node.size),
        (date("2026-01-15"), 2)
    );
    assert!(find(FindWhen::DeletedBefore(asked.newest())).is_empty());
    assert_eq!(find(FindWhen::DeletedBefore(asked.archive(1))).len(), 1);
}
