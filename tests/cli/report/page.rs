//! The page is well-formed, obeys nothing that others wrote, loads nothing, and has a size that is bounded.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use base64::Engine as _;
use coldchain::model::Sha256;

use super::stage::{HOSTILE, empty, family, years};
use crate::costs::ledger::CostMachine;

/// Reads a page as XML, and says what of its structure a reader that can't see it would stumble over.
const STRUCTURE: &str = r#"
import sys, xml.etree.ElementTree as tree
doctype, text = sys.stdin.read().split("\n", 1)
assert doctype == "<!DOCTYPE html>", doctype
root = tree.fromstring(text)
SVG = "{http://www.w3.org/2000/svg}"
names = [it.tag.replace(SVG, "") for it in root.iter()]
unknown = set(names) - set("html head meta title style body a header h1 h2 h3 p main section ul li strong span code div table caption "
    "thead tbody tr th td dl dt dd details summary svg line text rect circle path footer".split())
assert not unknown, unknown
ids = [it.get("id") for it in root.iter() if it.get("id")]
assert len(ids) == len(set(ids)), "an id comes twice"
levels = [int(name[1]) for name in names if name in ("h1", "h2", "h3")]
assert levels[0] == 1 and levels.count(1) == 1, levels
assert all(next <= level + 1 for level, next in zip(levels, levels[1:])), levels
captions = []
for table in root.iter("table"):
    captions.append(table.find("caption").text)
    assert all(it.get("scope") == "col" for it in table.find("thead").iter("th")), captions[-1]
    for row in table.find("tbody").iter("tr"):
        assert row[0].tag == "td" or row[0].get("scope") == "row", captions[-1]
assert len(captions) == len(set(captions)), "a caption comes twice"
for svg in root.iter(SVG + "svg"):
    if svg.get("role") == "img":
        assert len(svg.get("aria-label")) > 20
for link in root.iter("a"):
    assert link.get("href")[1:] in ids, link.get("href")
for it in root.iter():
    for name in it.attrib:
        assert name != "style" and name != "src" and not name.startswith("on"), (it.tag, name)
print(len(captions), names.count("svg"))
"#;

/// What the structure of a page counts.
#[track_caller]
fn structure(page: &str) -> (usize, usize) {
    let mut python = Command::new("python3")
        .args(["-c", STRUCTURE])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = python.stdin.take().unwrap();
    pipe.write_all(page.as_bytes()).unwrap();
    drop(pipe);
    let ended = python.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{stderr}");
    let stdout = String::from_utf8(ended.stdout).unwrap();
    let (tables, drawings) = stdout.trim().split_once(' ').unwrap();
    (tables.parse().unwrap(), drawings.parse().unwrap())
}

pub(super) fn page_of(machine: &CostMachine) -> String {
    let ended = machine.run("report --html -").ok();
    assert_eq!(ended.stderr, "");
    ended.stdout
}

#[test]
fn a_page_is_well_formed_and_loads_nothing() {
    let page = page_of(&family());
    let (tables, drawings) = structure(&page);
    assert!(tables > 20 && drawings > 10, "{tables} {drawings}");
    assert!(!page.to_lowercase().contains("<script"), "{page}");
    // The name of a vocabulary is no address.
    let without_names = page.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
    for refused in [
        "http:", "https:", "//www", "url(", "@import", " src=\"", "<link",
    ] {
        assert!(!without_names.contains(refused), "{refused}");
    }
    let (_, style) = page.split_once("<style>").unwrap();
    let (style, _) = style.split_once("</style>").unwrap();
    let hash = base64::engine::general_purpose::STANDARD.encode(Sha256::of(style.as_bytes()).0);
    let policy = format!(
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src &#39;none&#39;; style-src &#39;sha256-{hash}&#39;; base-uri &#39;none&#39;; form-action &#39;none&#39;\"/>"
    );
    assert!(page.contains(&policy), "{policy}");
    assert!(page.find(&policy) < page.find("<style>"));
}

#[test]
fn hostile_names_and_errors_are_shown_as_they_are() {
    let machine = family();
    let page = page_of(&machine);
    let escaped = "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;&#34;";
    assert!(!page.contains(HOSTILE));
    // As the path of a store, and in the error of a run.
    assert!(page.contains(&format!("file://$T/{escaped}")), "{page}");
    let error = format!("failed: could not read `{escaped}\\u{{1b}}[2J\\u{{202e}}");
    assert!(page.contains(&error), "{page}");
    assert!(page.contains("/none/second &lt;img src=x onerror=alert(1)&gt;"));
    let unfit = |letter: char| letter.is_control() && letter != '\n';
    assert!(!page.contains(unfit) && !page.contains('\u{202e}'));
    let text = machine.run("report").ok().stdout;
    assert!(
        !text.contains(unfit) && !text.contains('\u{202e}'),
        "{text}"
    );
}

#[test]
fn a_page_of_nothing_says_so() {
    let machine = empty();
    let page = page_of(&machine);
    structure(&page);
    for says in [
        "www: nothing is archived yet: run <code>coldchain backup</code>",
        "Nothing is known to be anywhere.",
        "No run is recorded.",
    ] {
        assert!(page.contains(says), "{says}: {page}");
    }
    assert!(!page.contains("Costs of all sources"));
    let text = machine.run("report").ok().stdout;
    assert!(
        text.contains("www     never") && !text.contains("costs in USD"),
        "{text}"
    );
}

/// How many sources of three years are reported on: 2, unless `COLDCHAIN_REPORT_SOURCES` says how many; and how many days
/// are between two archives of each: 1, unless `COLDCHAIN_REPORT_EVERY` says it. `docs/performance.md` has figures of 40.
fn asked_for(variable: &str, usual: u64) -> u64 {
    let asked = std::env::var(variable);
    asked.map_or(usual, |text| text.parse().unwrap())
}

#[test]
fn the_page_of_many_archives_is_thinned_and_says_so() {
    let mut machine = CostMachine::new("");
    let sources = asked_for("COLDCHAIN_REPORT_SOURCES", 2);
    let every = asked_for("COLDCHAIN_REPORT_EVERY", 1);
    let archives = 1096 / every;
    let names: Vec<String> = (0..sources).map(|at| format!("source-{at:02}")).collect();
    let mut config = String::from(
        "[store.offsite]\ntype = \"s3\"\nbucket = \"archives\"\nprefix = \"laptop\"\nregion = \"us-east-1\"\nstorage_class = \"DEEP_ARCHIVE\"\n[schedule]\nexpire_after_days = 2000\n",
    );
    for name in &names {
        writeln!(config, "[[source]]\nname = \"{name}\"\nstore = \"offsite\"").unwrap();
        years(&mut machine, name, (archives, every));
    }
    machine.write_config(&config);
    let begun = std::time::Instant::now();
    let page = page_of(&machine);
    let took = begun.elapsed();
    let bytes = page.len() as u64;
    println!(
        "{sources} sources, {} archives: {bytes} bytes, {took:?}",
        sources * archives
    );
    structure(&page);
    let most = 2 << 20;
    // Few sources have more room each, so that it is the same bound for all.
    assert!(bytes < most, "{bytes}");
    assert!(page.contains(&format!(" of {archives} archives")));
    let is_long = archives > 1000;
    for says in ["oldest chains share a line", "Each bar is the largest of"] {
        assert!(page.contains(says) || !is_long, "{says}");
    }
    let file = machine.path("kept.html");
    machine
        .run(&format!("report --quiet --html {}", file.display()))
        .ok();
    assert_eq!(
        fs::read_to_string(&file).unwrap().len() as u64 / 4096,
        bytes / 4096
    );
}
