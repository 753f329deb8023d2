//! The page in a browser: at each width, light and dark, by keys and on paper.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::stage::{empty, family, years};

/// `COLDCHAIN_SCREENSHOTS=DIR` keeps pictures of the pages there.
#[test]
fn a_browser_shows_the_page_without_a_fault() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let family = family();
    let mut long = empty();
    years(&mut long, "www-of-the-family", (200, 1));
    let pages: Vec<PathBuf> = [(&family, "family"), (&long, "long")]
        .iter()
        .map(|(machine, name)| {
            let page = machine.path(&format!("{name}.html"));
            machine
                .run(&format!("report --quiet --html {}", page.display()))
                .ok();
            page
        })
        .collect();
    let mut check = Command::new(root.join("scripts/check-report"));
    if let Some(directory) = std::env::var_os("COLDCHAIN_SCREENSHOTS") {
        check.arg("--screenshots").arg(directory);
    }
    let ended = check.args(&pages).output().unwrap();
    let stderr = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{stderr}");
    assert_eq!(ended.stdout, b"2 pages, 0 faults\n");
}

/// The check finds what it is there for.
#[test]
fn the_check_finds_faults() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let machine = empty();
    let file = machine.path("bad.html");
    machine
        .run(&format!("report --quiet --html {}", file.display()))
        .ok();
    let page = fs::read_to_string(&file).unwrap();
    let bad = page
        .replace("<h1>", "<div>")
        .replace("</h1>", "</div><img src=\"http://192.0.2.1/x.png\"/>")
        .replace("class=\"skip\"", "class=\"other\"")
        .replace("<footer>", "<footer><pre>a line that is wider than any telephone, and goes on and on and on and on</pre>")
        .replace("max-width: 72rem;", "max-width: 72rem; min-width: 60rem;");
    assert_ne!(page, bad);
    fs::write(&file, bad).unwrap();
    let ended = Command::new(root.join("scripts/check-report"))
        .arg(&file)
        .output()
        .unwrap();
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    let stderr = String::from_utf8_lossy(&ended.stderr);
    for fault in [
        // The policy does not let the picture be loaded, and the style sheet is not the one that it names.
        "the console says error: ",
        "the page is ",
        "page-has-heading-one: ",
        "image-alt: ",
        "bad, keys: the first key leads to ",
    ] {
        assert!(stderr.contains(fault), "{fault}: {stderr}");
    }
}
