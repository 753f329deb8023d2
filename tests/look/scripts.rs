//! `packaging/dump`: dumprsync's flags, translated.

use std::path::Path;
use std::process::{Command, Output};

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/dump");

/// Runs a script with a program in coldchain's place that prints its words.
fn translated(script: &str, words: &[&str]) -> Output {
    let mut command = Command::new(Path::new(SCRIPTS).join(script));
    command.args(words).env("COLDCHAIN", "/usr/bin/echo");
    command.output().unwrap()
}

#[test]
fn flags_become_options() {
    for (script, words, expected) in [
        ("yest", &["f"][..], "yesterday --days=1 -- f\n"),
        (
            "yest",
            &["-h", "3", "f"],
            "yesterday --days=1 --hours=3 -- f\n",
        ),
        (
            "yest",
            &["-d", "2", "-h3", "f"],
            "yesterday --days=2 --hours=3 -- f\n",
        ),
        (
            "yest",
            &["-y", "1", "-m", "2", "f"],
            "yesterday --years=1 --months=2 -- f\n",
        ),
        ("yest", &["--", "-f"], "yesterday --days=1 -- -f\n"),
        ("yest", &["a  b\n c"], "yesterday --days=1 -- a  b\n c\n"),
        ("hist", &["f"], "history --diff -- f\n"),
        ("hist", &["-c", "f"], "history -- f\n"),
        (
            "hist",
            &["-vt", "-s", "2026-11-01", "f"],
            "history --diff --since=2026-11-01 -- f\n",
        ),
    ] {
        let output = translated(script, words);
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            expected,
            "{script} {words:?}"
        );
        assert!(output.status.success());
    }
    let debugged = translated("yest", &["-D", "f"]);
    let said = String::from_utf8_lossy(&debugged.stderr).into_owned();
    assert_eq!(said, "yest: /usr/bin/echo yesterday --days=1 -- f\n");
    let said = translated("hist", &["-v", "f"]).stderr;
    assert_eq!(
        said,
        b"hist: -v has no counterpart: every snapshot is looked at\n"
    );
    for (script, words) in [
        ("yest", &[][..]),
        ("yest", &["-x", "f"]),
        ("hist", &["a", "b"]),
    ] {
        let output = translated(script, words);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(output.stdout.is_empty());
    }
}
