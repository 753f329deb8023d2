//! What status prints, as a whole.

use std::fmt::Write as _;

use super::{Watched, full, today};

#[test]
fn one_source_is_shown_with_all_that_is_known() {
    let watched = Watched::new();
    let machine = &watched.machine;
    watched.configure("", "\n[alarms]\noff = [\"drill-old\", \"verify-old\"]\n");
    assert_eq!(
        machine
            .run_with("decide 2024-01-01", &full("2024-01-01", 1))
            .code,
        Some(0)
    );
    let run = machine.run("status");
    assert_eq!(run.code, Some(0), "{run:?}");
    let mut lines: Vec<&str> = run.stdout.lines().collect();
    assert_eq!(lines.remove(0), "home  file://$T/store");
    let starts = [
        "  archived   2024-01-01, ",
        "  next       ",
        "  tonight    incremental: the slot of ",
        "  chain      full of 2024-01-01, 0 incrementals, ",
        "  stored     1 archive, ",
        "  verified   never",
        "  drilled    never",
        "  last run   `decide` today, ",
        "",
        "ALARM    home: ",
    ];
    assert_eq!(lines.len(), starts.len(), "{}", run.stdout);
    for (line, start) in lines.iter().zip(starts) {
        assert!(
            line.starts_with(start),
            "{line:?} does not begin with {start:?}"
        );
    }
    assert!(lines[0].contains(", full, "), "{}", lines[0]);
    assert!(
        lines[1].ends_with("; overdue from 2024-01-15 on"),
        "{}",
        lines[1]
    );
}

#[test]
fn many_sources_are_a_line_each_and_none_is_an_error() {
    let watched = Watched::new();
    let machine = &watched.machine;
    let date = today();
    assert_eq!(
        machine
            .run_with(&format!("decide {date}"), &full(&date, 1))
            .code,
        Some(0)
    );
    let mut more = String::new();
    for number in 1..40 {
        write!(
            more,
            "\n[[source]]\nname = \"source-{number:02}\"\nstore = \"disk\"\n"
        )
        .unwrap();
    }
    watched.configure("", &more);
    let run = machine.run("status");
    assert_eq!(run.code, Some(0), "{run:?}");
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert_eq!(
        lines[0],
        "SOURCE     ARCHIVED         NEXT           CHAIN  STORED  VERIFIED"
    );
    assert!(
        lines[1].starts_with(&format!("home       {date}, 0 d  ")),
        "{}",
        lines[1]
    );
    assert_eq!(
        lines[2],
        "source-01  never            tonight, full  -      -       -"
    );
    assert_eq!(lines[41], "");
    assert_eq!(
        lines[42],
        "ALARM    39 sources: nothing is archived yet: run `coldchain backup`"
    );
    let names = lines[43..].join(" ");
    let names: Vec<&str> = names.split_whitespace().collect();
    assert_eq!(names.len(), 39, "{}", run.stdout);
    assert_eq!((names[0], names[38]), ("source-01,", "source-39"));
    assert!(
        lines.iter().all(|line| line.chars().count() <= 80),
        "{}",
        run.stdout
    );
    // One line for Nagios, which cuts it off at some point: what is wrong must come before that.
    let check = machine.run("status --check=nagios").stdout;
    let begin = "COLDCHAIN CRITICAL - source-01, source-02, ";
    assert!(check.starts_with(begin), "{check}");
    assert_eq!(check.matches("nothing is archived yet").count(), 1);
    let json: serde_json::Value =
        serde_json::from_str(&machine.run("status --json").stdout).unwrap();
    assert_eq!(json["sources"].as_array().unwrap().len(), 40);
    let none = machine.run("status --source none");
    assert_eq!(none.code, Some(2), "{none:?}");
    machine.write_config("timezone = \"UTC\"\n");
    assert_eq!(machine.run("status").code, Some(2));
}

/// The metrics are what Prometheus takes, and the rules work.
#[test]
fn promtool_takes_metrics_and_rules() {
    let watched = Watched::new();
    let date = today();
    assert_eq!(
        watched
            .machine
            .run_with(&format!("decide {date}"), &full(&date, 1))
            .code,
        Some(0)
    );
    let metrics = std::fs::File::open(watched.machine.path("m.prom")).unwrap();
    let mode = std::os::unix::fs::MetadataExt::mode(&metrics.metadata().unwrap());
    assert_eq!(mode & 0o777, 0o644);
    let promtool = |words: &[&str], stdin: std::process::Stdio| {
        let mut command = std::process::Command::new("promtool");
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/prometheus");
        let ran = command
            .args(words)
            .stdin(stdin)
            .current_dir(directory)
            .output()
            .unwrap();
        assert!(ran.status.success(), "{words:?}: {ran:?}");
        assert!(ran.stderr.is_empty(), "{words:?}: {ran:?}");
    };
    promtool(&["check", "metrics"], metrics.into());
    promtool(
        &["check", "rules", "alerts.yml"],
        std::process::Stdio::null(),
    );
    promtool(
        &["test", "rules", "alerts_test.yml"],
        std::process::Stdio::null(),
    );
}
