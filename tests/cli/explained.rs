//! `coldchain explain`: each exit code and area has its text, its page, and commands that parse.

use std::collections::BTreeSet;
use std::path::Path;

use coldchain::explain::{Topic, topic, topics};

use super::manual::parse;
use crate::common::machine::Machine;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn each_exit_code_of_the_page_on_commands_is_explained_and_no_other() {
    let page = std::fs::read_to_string(root().join("docs/commands.md")).unwrap();
    let (_, section) = page.split_once("\n## Exit codes\n").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let codes: BTreeSet<&str> = section
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(' ').next())
        .filter(|code| code.parse::<u8>().is_ok())
        .collect();
    let topics = topics();
    let explained = topics.iter().filter(|topic| topic.is_exit_code());
    assert_eq!(
        explained.map(|topic| topic.name).collect::<BTreeSet<_>>(),
        codes
    );
    assert!(codes.len() > 10 && topics.len() - codes.len() > 15);
}

#[test]
fn each_topic_is_short_and_names_a_page_and_commands_that_there_are() {
    let mut words = BTreeSet::new();
    let machine = Machine::new();
    for Topic {
        name,
        title,
        also,
        page,
        commands,
        lines,
    } in topics()
    {
        for word in [name].iter().chain(&also) {
            assert!(words.insert(*word), "two topics are called {word}");
            assert_eq!(topic(word).unwrap().name, name);
        }
        assert!(root().join(page).is_file(), "{name}: there is no {page}");
        assert!((1..=4).contains(&commands.len()), "{name}: {commands:?}");
        for command in commands {
            parse(command);
        }
        assert!(
            !title.is_empty() && !title.ends_with('.'),
            "{name}: {title}"
        );
        assert!(
            (3..=12).contains(&lines.len()),
            "{name}: {} lines",
            lines.len()
        );
        for line in lines {
            assert!(line.chars().count() <= 100, "{name}: {line}");
            // Commands and keys that a text names in code begin with a word that exists.
            let verbs = line
                .split('`')
                .skip(1)
                .step_by(2)
                .filter(|code| code.starts_with("coldchain ") && !code.ends_with("--version"));
            for command in verbs {
                parse(command);
            }
        }
        let run = machine.run(&format!("explain {name}"));
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{run:?}");
        assert!(
            (5..=20).contains(&run.stdout.lines().count()),
            "{}",
            run.stdout
        );
    }
}

#[test]
fn a_topic_is_found_by_its_other_words_and_a_typo_by_its_nearest() {
    let machine = Machine::new();
    let thaw = machine.run("explain thaw");
    assert!(
        thaw.stdout
            .starts_with("thaw: cold storage is made readable\n\n"),
        "{thaw:?}"
    );
    assert!(
        thaw.stdout.ends_with("\nRead on: docs/restore-and-thaw.md\nRun next:\n  coldchain restore home --plan\n  coldchain thaw home --tier bulk\n  coldchain thaw home --status\n"),
        "{thaw:?}"
    );
    for words in ["explain THAW", "explain glacier", "explain deep_archive"] {
        assert_eq!(machine.run(words), thaw, "{words}");
    }
    let kit = machine.run("explain recovery-kit");
    assert_eq!(machine.run("explain recovery kit"), kit);
    assert_eq!(machine.run("explain recovery_kit"), kit);
    machine.run("explain thwa").is(
        2,
        "",
        "error: there is nothing to explain by the name `thwa`\nhint: run `coldchain explain thaw`\n",
    );
    machine.run("explain 77").is(
        2,
        "",
        "error: there is nothing to explain by the name `77`\nhint: `coldchain explain` lists what there is\n",
    );
    let list = machine.run("explain");
    for topic in topics() {
        let line = format!("  {:<14}{}\n", topic.name, topic.title);
        assert!(list.stdout.contains(&line), "{line}: {}", list.stdout);
    }
    let json = |words: &str| -> serde_json::Value {
        let run = machine.run(words);
        serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run:?}"))
    };
    assert_eq!(
        json("explain --json")["topics"].as_array().unwrap().len(),
        topics().len()
    );
    let five = json("explain 5 --json");
    assert_eq!(
        (&five["name"], &five["page"]),
        (&"5".into(), &"docs/restore-and-thaw.md".into())
    );
    assert_eq!(five["commands"][0], "coldchain thaw home --status");
}
