//! `coldchain plan` over two years, from nothing: the rules, seen through the program.

use std::fmt::Write as _;

use crate::common::machine::{LIVE_CONFIG, Machine, ONE_RECIPIENT};
use chrono::{Datelike, Days, NaiveDate};
use serde_json::{Value, json};

const FIRST: &str = "2023-11-03";
const UNTIL: &str = "2025-12-01";

/// The rules told again, for a host that is never off and loses nothing: the first night and every
/// 1st, 7th, 14th and 21st has an archive, every twelfth is full, and a chain goes when its last
/// archive is 90 days old.
fn nights_as_the_rules_have_them() -> Vec<Value> {
    let [first, until]: [NaiveDate; 2] = [FIRST, UNTIL].map(|date| date.parse().unwrap());
    let nights: Vec<NaiveDate> = first
        .iter_days()
        .take_while(|night| *night <= until)
        .collect();
    let is_slot = |night: &NaiveDate| [1, 7, 14, 21].contains(&night.day());
    let archived: Vec<NaiveDate> = nights
        .iter()
        .copied()
        .filter(|night| *night == first || is_slot(night))
        .collect();
    let chains: Vec<&[NaiveDate]> = archived.chunks(12).collect();
    let (_newest, older) = chains.split_last().unwrap();
    nights
        .iter()
        .map(|night| {
            let slot = std::iter::successors(Some(*night), NaiveDate::pred_opt)
                .find(is_slot)
                .unwrap();
            let (action, send_parent, reason) =
                match archived.iter().position(|made| made == night) {
                    None => {
                        let filled = archived.iter().find(|made| **made >= slot).unwrap();
                        let reason = format!("the slot of {slot} was filled on {filled}");
                        ("none", None, reason)
                    }
                    Some(0) => ("full", None, "there is no archive yet".to_owned()),
                    Some(at) if at % 12 == 0 => {
                        let before = chains[at / 12 - 1][0];
                        let reason = format!("the chain of {before} has 11 incrementals");
                        ("full", None, reason)
                    }
                    Some(at) => {
                        let chain = chains[at / 12][0];
                        let reason = format!(
                            "the slot of {slot} is open, and the chain of {chain} has {} of 11 incrementals",
                            at % 12 - 1
                        );
                        ("incremental", Some(archived[at - 1]), reason)
                    }
                };
            let expire: Vec<Value> = older
                .iter()
                .zip(&chains[1..])
                .filter(|(chain, _)| chain[11] + Days::new(90) == *night)
                .map(|(chain, _)| {
                    // The newest chain whose full stands by then.
                    let stands = chains.iter().rfind(|chain| chain[0] <= *night).unwrap()[0];
                    json!({
                        "chain": chain[0], "newest": chain[11], "archives": 12,
                        "reason": format!(
                            "its newest archive is 90 days old, and the chain of {stands} is verified"
                        ),
                    })
                })
                .collect();
            json!({
                "date": night, "source": "home", "action": action, "send_parent": send_parent,
                "reason": reason, "expire": expire, "waiting": [], "copies": [], "snapshots": [],
                "mirrors": [],
            })
        })
        .collect()
}

/// The same nights as lines for people.
fn in_words(nights: &[Value]) -> String {
    let mut text = String::new();
    for night in nights {
        let [date, action, reason] =
            ["date", "action", "reason"].map(|key| night[key].as_str().unwrap());
        writeln!(text, "{date}  home  {action:11}  {reason}").unwrap();
        for expiry in night["expire"].as_array().unwrap() {
            let [chain, newest, reason] =
                ["chain", "newest", "reason"].map(|key| expiry[key].as_str().unwrap());
            writeln!(
                text,
                "            home  retire       the chain of {chain}, 12 archives up to {newest}: {reason}"
            )
            .unwrap();
        }
    }
    text
}

/// A machine that has a config and nothing else: `$FS` is no path at all.
fn only_a_config() -> Machine {
    let machine = Machine::new();
    machine.write_config(&LIVE_CONFIG.replace("$FS", "/nowhere"));
    machine
}

#[test]
fn two_years_go_night_by_night_as_the_rules_say_in_json() {
    let machine = only_a_config();
    let before = machine.standing();
    let run = machine.run(&format!("plan {FIRST} --until {UNTIL} --json"));
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    assert_eq!(run.stdout.lines().count(), 1, "one document");
    let answer: Value = serde_json::from_str(&run.stdout).unwrap();
    let expected = nights_as_the_rules_have_them();
    let plans = answer["plans"].as_array().unwrap();
    assert_eq!(plans.len(), 760, "nights from {FIRST} to {UNTIL}");
    for (plan, expected) in plans.iter().zip(&expected) {
        assert_eq!(plan, expected);
    }
    let warning = answer["warnings"][0].as_str().unwrap();
    assert!(warning.contains("there is one recipient"), "{warning}");
    let whole = json!({ "plans": expected, "warnings": [warning] });
    assert_eq!(answer, whole, "and nothing more");
    assert_eq!(machine.standing(), before, "a plan writes no file");
    assert!(!machine.state().exists());
}

#[test]
fn two_years_by_hand_have_these_fulls_and_expiries() {
    // Lest the program and the rules told again share a mistake.
    let run = only_a_config().run(&format!("plan {FIRST} --until {UNTIL}"));
    let with = |word: &str| -> Vec<String> {
        let mut date = "";
        let lines = run.stdout.lines().filter_map(|line| {
            date = line
                .get(..10)
                .filter(|date| *date != " ".repeat(10))
                .unwrap_or(date);
            let (_, rest) = line.split_once("  home  ")?;
            let rest = rest.strip_prefix(word)?.trim_start();
            Some(format!("{date} {rest}"))
        });
        lines.collect()
    };
    assert_eq!(
        with("full"),
        [
            "2023-11-03 there is no archive yet",
            "2024-02-01 the chain of 2023-11-03 has 11 incrementals",
            "2024-05-01 the chain of 2024-02-01 has 11 incrementals",
            "2024-08-01 the chain of 2024-05-01 has 11 incrementals",
            "2024-11-01 the chain of 2024-08-01 has 11 incrementals",
            "2025-02-01 the chain of 2024-11-01 has 11 incrementals",
            "2025-05-01 the chain of 2025-02-01 has 11 incrementals",
            "2025-08-01 the chain of 2025-05-01 has 11 incrementals",
            "2025-11-01 the chain of 2025-08-01 has 11 incrementals",
        ]
    );
    assert_eq!(
        with("incremental")[..4],
        [
            "2023-11-07 the slot of 2023-11-07 is open, and the chain of 2023-11-03 has 0 of 11 incrementals",
            "2023-11-14 the slot of 2023-11-14 is open, and the chain of 2023-11-03 has 1 of 11 incrementals",
            "2023-11-21 the slot of 2023-11-21 is open, and the chain of 2023-11-03 has 2 of 11 incrementals",
            "2023-12-01 the slot of 2023-12-01 is open, and the chain of 2023-11-03 has 3 of 11 incrementals",
        ]
    );
    assert_eq!(with("incremental").len(), 92);
    let retired: Vec<String> = with("retire")
        .iter()
        .map(|line| line.split_once(':').unwrap().0.to_owned())
        .collect();
    assert_eq!(
        retired,
        [
            "2024-04-20 the chain of 2023-11-03, 12 archives up to 2024-01-21",
            "2024-07-20 the chain of 2024-02-01, 12 archives up to 2024-04-21",
            "2024-10-19 the chain of 2024-05-01, 12 archives up to 2024-07-21",
            "2025-01-19 the chain of 2024-08-01, 12 archives up to 2024-10-21",
            "2025-04-21 the chain of 2024-11-01, 12 archives up to 2025-01-21",
            "2025-07-20 the chain of 2025-02-01, 12 archives up to 2025-04-21",
            "2025-10-19 the chain of 2025-05-01, 12 archives up to 2025-07-21",
        ]
    );
}

#[test]
fn two_years_in_words_say_the_same() {
    let machine = only_a_config();
    let run = machine.run(&format!("plan {FIRST} --until {UNTIL} -v"));
    let expected = in_words(&nights_as_the_rules_have_them());
    run.is(0, &expected, ONE_RECIPIENT);
    let quiet = machine.run(&format!("plan {FIRST} --until {UNTIL} --quiet"));
    let lines: Vec<&str> = expected.lines().collect();
    let mut due = String::new();
    for (at, line) in lines.iter().enumerate() {
        let retires = lines.get(at + 1).is_some_and(|next| next.starts_with(' '));
        if !line.contains("  none  ") || retires {
            due += line;
            due.push('\n');
        }
    }
    quiet.is(0, &due, "");
}

#[test]
fn a_plan_needs_no_privilege() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    if !rustix::process::geteuid().is_root() {
        // Then every other test here has shown it.
        assert_eq!(only_a_config().run("plan 2023-11-03").code, Some(0));
        return;
    }
    let machine = only_a_config();
    let program = machine.path("coldchain");
    crate::common::stub::copy_program(&program);
    for (path, mode) in [(program.clone(), 0o755), (machine.path(""), 0o755)] {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    }
    let mut command = machine.command_of(&program, "plan 2023-11-03");
    let run = machine.run_command(command.env("PATH", "").uid(65534));
    let expected = "2023-11-03  home  full         there is no archive yet\n";
    run.is(0, expected, ONE_RECIPIENT);
}

#[test]
fn sources_come_night_by_night_in_the_config_s_order_each_by_its_own_schedule() {
    let machine = Machine::new();
    let config = LIVE_CONFIG.replace("$FS", "/nowhere")
        + r#"
[[source]]
name = "a"
store = "disk"
schedule = { days = [5], max_incrementals = 0 }
"#;
    machine.write_config(&config);
    let expected = "\
2023-11-04  home  full         there is no archive yet
2023-11-04  a     full         there is no archive yet
2023-11-05  home  none         the slot of 2023-11-01 was filled on 2023-11-04
2023-11-05  a     full         max_incrementals is 0, so every archive is full
";
    let run = machine.run("plan 2023-11-04 --until 2023-11-05 --verbose");
    run.is(0, expected, ONE_RECIPIENT);
    let one = machine.run("plan 2023-11-05 --source a --quiet");
    one.is(
        0,
        "2023-11-05  a  full         there is no archive yet\n",
        "",
    );
}
