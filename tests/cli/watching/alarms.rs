//! Alarms from their beginning to their end, and `--check`.

use super::{Watched, full, today};

fn news(watched: &Watched) -> (Vec<String>, Vec<String>) {
    let posted = watched.posts.take();
    let hook = posted.iter().find(|it| it.path == "/hook").unwrap();
    let facts: serde_json::Value = serde_json::from_str(&hook.body).unwrap();
    let kinds = |name: &str| -> Vec<String> {
        let alarms = facts[name].as_array().unwrap().iter();
        alarms
            .map(|alarm| alarm["kind"].as_str().unwrap().to_owned())
            .collect()
    };
    (kinds("alarms_begun"), kinds("alarms_over"))
}

#[test]
fn an_alarm_is_said_once_when_it_begins_and_once_when_it_ends() {
    let watched = Watched::new();
    let machine = &watched.machine;
    let run = machine.run_with("decide 2024-01-01", &full("2024-01-01", 1));
    assert_eq!(run.code, Some(0), "{run:?}");
    let (begun, over) = news(&watched);
    assert_eq!(
        (&begun[..], &over[..]),
        (
            &[
                "overdue".to_owned(),
                "verify-old".to_owned(),
                "drill-old".to_owned()
            ][..],
            &[][..]
        )
    );
    let run = machine.run("decide 2024-01-01");
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(news(&watched), (vec![], vec![]), "they last");
    let check = machine.run("status --check");
    assert_eq!(check.code, Some(9), "{check:?}");
    assert_eq!(
        check.stderr,
        "error: overdue: home\nhint: run `coldchain status` to see what is missing, and `coldchain backup` to make it good\n"
    );
    let check = machine.run("status --check=nagios");
    assert_eq!(check.code, Some(2), "{check:?}");
    assert!(
        check.stdout.starts_with("COLDCHAIN CRITICAL - home: "),
        "{check:?}"
    );
    assert_eq!(
        (check.stdout.matches('\n').count(), check.stderr.as_str()),
        (1, "")
    );
    let metrics = watched.metrics();
    assert!((metrics["coldchain_source_overdue{source=\"home\"}"] - 1.0).abs() < 0.5);
    let alarm = "coldchain_source_alarm{source=\"home\",kind=\"overdue\",subject=\"\",urgency=\"critical\"}";
    assert!((metrics[alarm] - 1.0).abs() < 0.5);

    let date = today();
    let run = machine.run_with(&format!("decide {date} --full"), &full(&date, 2));
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(news(&watched), (vec![], vec!["overdue".to_owned()]));
    assert!(!watched.metrics().contains_key(alarm));
    assert_eq!(machine.run("verify").code, Some(0));
    assert_eq!(news(&watched), (vec![], vec!["verify-old".to_owned()]));
    assert_eq!(machine.run("status --check --quiet").code, Some(0));
    // A drill is due, which is no more than a warning.
    let check = machine.run("status --check=nagios");
    assert_eq!(check.code, Some(1), "{check:?}");
    assert!(
        check
            .stdout
            .starts_with("COLDCHAIN WARNING - home: never restored for a drill"),
        "{check:?}"
    );
    watched.configure("", "\n[alarms]\noff = [\"drill-old\"]\n");
    let check = machine.run("status --check=nagios");
    assert_eq!(
        (check.code, check.stdout.as_str()),
        (Some(0), "COLDCHAIN OK - 1 source in order\n")
    );
    let log = watched.log();
    let count = |action: &str, kind: &str| {
        let lines = log
            .lines()
            .filter(|line| line.contains(&format!(" {action} ")));
        lines
            .filter(|line| line.contains(&format!("kind={kind}")))
            .count()
    };
    assert_eq!(
        (count("alarm", "overdue"), count("alarm-over", "overdue")),
        (1, 1),
        "{log}"
    );
}

#[test]
fn an_age_of_ones_own_judges_what_is_overdue() {
    let watched = Watched::new();
    let machine = &watched.machine;
    // Nothing is archived.
    assert_eq!(machine.run("status --check --max-age 100d").code, Some(9));
    let date = today();
    assert_eq!(
        machine
            .run_with(&format!("decide {date}"), &full(&date, 1))
            .code,
        Some(0)
    );
    assert_eq!(machine.run("status --check --max-age 2d").code, Some(0));
    assert_eq!(machine.run("status --check --max-age 1s").code, Some(9));
    let check = machine.run("status --check=nagios --max-age 1s");
    assert_eq!(
        (check.code, check.stdout.as_str()),
        (Some(2), "COLDCHAIN CRITICAL - overdue: home\n")
    );
    for bad in [
        "--check --max-age 1",
        "--check --max-age 0s",
        "--max-age 1d",
        "--check=icinga",
        "nohome",
    ] {
        assert_eq!(machine.run(&format!("status {bad}")).code, Some(2), "{bad}");
    }
    // What can't be read is unknown, on one line.
    machine.write_config("broken = \n");
    let check = machine.run("status --check=nagios");
    assert_eq!((check.code, check.stderr.as_str()), (Some(3), ""));
    assert!(
        check.stdout.starts_with("COLDCHAIN UNKNOWN - "),
        "{check:?}"
    );
    assert_eq!(check.stdout.matches('\n').count(), 1);
}
