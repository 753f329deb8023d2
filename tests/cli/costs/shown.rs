//! The answer as a person and as a program sees it, each kept in a file beside this one. With
//! `COLDCHAIN_WRITE_GOLDEN=1` the files are written anew.

use std::path::Path;
use std::{env, fs};

use coldchain::model::StorageClass;

use super::ledger::{CostMachine, MadeUp};

const GIB: u64 = 1 << 30;
const SEGMENT: u64 = 128 << 20;

/// The most columns of a line.
const WIDTH: usize = 80;

/// Compares a text with the one that is kept.
#[track_caller]
fn as_kept(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/cli/costs")
        .join(name);
    if env::var_os("COLDCHAIN_WRITE_GOLDEN").is_some() {
        fs::write(&path, text).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        text, kept,
        "{name}: set COLDCHAIN_WRITE_GOLDEN=1 to keep what is said now"
    );
    let wide = text.lines().find(|line| line.chars().count() > WIDTH);
    assert_eq!(wide.filter(|_| name.ends_with("txt")), None, "{name}");
}

/// Half a year of a source of half a terabyte, which grows.
fn half_a_year() -> Vec<MadeUp> {
    let mut archives = Vec::new();
    let full = |date: &str, gib: u64| MadeUp::new(&format!("{date} full"), gib * GIB, SEGMENT);
    for (month, gib) in [
        ("06", 480),
        ("07", 0),
        ("08", 0),
        ("09", 510),
        ("10", 0),
        ("11", 0),
    ] {
        for (at, day) in ["01", "07", "14", "21"].into_iter().enumerate() {
            let date = format!("2026-{month}-{day}");
            archives.push(if gib > 0 && at == 0 {
                full(&date, gib)
            } else {
                MadeUp::new(&date, (3 + at as u64) * GIB, SEGMENT)
            });
        }
    }
    archives
}

const SHELF: &str = "[store.shelf]\ntype = \"dir\"\npath = \"$T/shelf\"\n";
const OFFSITE: &str = "[store.offsite]\ntype = \"s3\"\nbucket = \"archives-offsite\"\nprefix = \"laptop\"\n\
    region = \"us-east-1\"\nstorage_class = \"DEEP_ARCHIVE\"\n";
const OFFSITE_URL: &str = "s3://archives-offsite/laptop?region=us-east-1";

/// A home on a disk, and a copy of it offsite which lacks the last archive.
fn two_places() -> CostMachine {
    let source = "[[source]]\nname = \"home\"\nstore = \"shelf\"\ncopies = [\"offsite\"]\n";
    let mut machine = CostMachine::new(&format!("{source}{SHELF}{OFFSITE}"));
    let archives = half_a_year();
    let ledger = machine.source("home", "file://$T/shelf", &archives);
    let copied = (&archives[..archives.len() - 1], 0);
    machine.copy(&ledger, OFFSITE_URL, StorageClass::DeepArchive, copied);
    machine
}

/// A home in a bucket alone.
fn one_place(class: &str, rest: &str) -> CostMachine {
    let config = format!(
        "[[source]]\nname = \"home\"\nstore = \"offsite\"\n{}{rest}",
        OFFSITE.replace("DEEP_ARCHIVE", class)
    );
    let mut machine = CostMachine::new(&config);
    machine.source("home", OFFSITE_URL, &half_a_year());
    machine
}

#[test]
fn a_source_is_told_with_its_places_its_months_and_its_restore() {
    let machine = two_places();
    let told = machine.cost("home --from 2026-11-30").ok();
    assert_eq!(told.stderr, "");
    as_kept("two_places.txt", &told.stdout);
    let told = machine.cost("--from 2026-11-30 --months 2 --json").ok();
    as_kept("two_places.json", &pretty(&told.stdout));
}

#[test]
fn what_if_is_told_beside_what_is() {
    let machine = one_place("DEEP_ARCHIVE", "");
    let words = "--from 2026-12-01 --months 6 --storage-class glacier_ir --segment-size 16MiB -q";
    as_kept("what_if.txt", &machine.cost(words).ok().stdout);
}

#[test]
fn each_archive_is_told_where_that_is_asked_for() {
    let machine = one_place("STANDARD_IA", "[schedule]\nexpire_after_days = 30\n");
    let words = "--from 2026-12-01 --months 3 --archives";
    as_kept("archives.txt", &machine.cost(words).ok().stdout);
}

#[test]
fn several_sources_are_a_line_for_each_place() {
    let mut machine = CostMachine::new("");
    let source =
        |name: &str, store: &str| format!("[[source]]\nname = \"{name}\"\nstore = \"{store}\"\n");
    let other = "[store.other]\ntype = \"s3\"\nbucket = \"other\"\nregion = \"any\"\nendpoint = \"https://s3.example.org\"\n";
    let sources = source("home", "offsite") + &source("mail", "other") + &source("new", "shelf");
    machine.write_config(&(sources + SHELF + OFFSITE + other));
    machine.source("home", OFFSITE_URL, &half_a_year());
    let mail = [MadeUp::new("2026-11-01 full", 9 * GIB, SEGMENT)];
    machine.source(
        "mail",
        "s3://other?region=any&endpoint=https://s3.example.org",
        &mail,
    );
    machine.source("www", "file://$T/shelf", &mail[..0]);
    as_kept(
        "several.txt",
        &machine.cost("--from 2026-11-30").ok().stdout,
    );
    let verbose = machine.cost("--from 2026-11-30 --months 1 -v").ok();
    as_kept("several_verbose.txt", &verbose.stdout);
}

fn pretty(json: &str) -> String {
    let document: serde_json::Value = serde_json::from_str(json).unwrap();
    serde_json::to_string_pretty(&document).unwrap() + "\n"
}

#[test]
fn the_page_on_costs_shows_what_is_said() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(here.join("docs/costs.md")).unwrap();
    let kept = |name: &str| fs::read_to_string(here.join("tests/cli/costs").join(name)).unwrap();
    assert!(page.contains(&kept("two_places.txt")));
    let what_if = kept("what_if.txt");
    let (_, what_if) = what_if.split_once("  if always").unwrap();
    let (what_if, _) = what_if.split_once("  to restore").unwrap();
    assert!(page.contains(what_if));
}
