//! `list --graph` on terminals and in pipes. What it draws is held against a file beside its code's tests.

use super::{Watched, full, today};
use crate::common::machine::Run;

fn drawn(watched: &Watched, words: &str, variables: &[(&str, &str)]) -> Run {
    let mut command = watched.machine.command(words);
    for name in ["LC_ALL", "LC_CTYPE", "LANG", "COLUMNS"] {
        command.env_remove(name);
    }
    command.envs(variables.iter().copied());
    watched.machine.run_command(&mut command)
}

#[test]
fn a_graph_is_as_wide_as_asked_for_and_in_the_locale_s_letters() {
    let watched = Watched::new();
    let date = today();
    let run = watched
        .machine
        .run_with(&format!("decide {date}"), &full(&date, 1));
    assert_eq!(run.code, Some(0), "{run:?}");
    let axis_of = |run: &Run| {
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{run:?}");
        let line = run
            .stdout
            .lines()
            .find(|line| line.starts_with(&format!("  {date} ")));
        line.unwrap_or_else(|| panic!("{run:?}")).chars().count()
    };
    for (variables, columns) in [
        (vec![], 80),
        (vec![("COLUMNS", "40")], 40),
        (vec![("COLUMNS", "200")], 200),
        (vec![("COLUMNS", "100000")], 200),
        (vec![("COLUMNS", "1")], 25),
        (vec![("COLUMNS", "many")], 80),
        (vec![("COLUMNS", "")], 80),
    ] {
        let run = drawn(&watched, "list --graph", &variables);
        assert!(run.stdout.contains(&format!("  {date} ●")), "{run:?}");
        // The axis ends tomorrow, and today is at its begin.
        assert!(axis_of(&run) <= columns, "{variables:?}: {run:?}");
        assert!(
            run.stdout
                .lines()
                .all(|line| line.chars().count() <= columns.max(40)),
            "{run:?}"
        );
    }
    for locale in ["C", "POSIX", "de_DE.ISO-8859-1"] {
        let run = drawn(
            &watched,
            "list --graph",
            &[("LC_ALL", locale), ("LANG", "C.UTF-8")],
        );
        assert!(
            run.stdout.is_ascii() && run.stdout.contains(&format!("  {date} #")),
            "{run:?}"
        );
    }
    let both = drawn(&watched, "list --graph --json", &[]);
    assert_eq!((both.code, both.stdout.as_str()), (Some(2), ""), "{both:?}");
    let none = drawn(&watched, "list --graph --source none", &[]);
    assert_eq!(none.code, Some(2), "{none:?}");
}

/// Retired chains are drawn where they are asked for.
#[test]
fn a_graph_has_the_chains_of_the_list() {
    let watched = Watched::new();
    for (date, uuid) in [("2024-01-01", 1), ("2024-02-01", 2)] {
        let run = watched
            .machine
            .run_with(&format!("decide --full {date}"), &full(date, uuid));
        assert_eq!(run.code, Some(0), "{run:?}");
    }
    let graph = drawn(&watched, "list --graph", &[]).stdout;
    let list = watched.machine.listed();
    let chains = list["sources"][0]["chains"].as_array().unwrap();
    assert!(!chains.is_empty());
    for chain in chains {
        let id = chain["id"].as_str().unwrap();
        assert!(graph.contains(&format!("\n  {id} ")), "{graph}");
    }
    assert!(graph.contains("\n  missing "), "{graph}");
    assert!(graph.contains("slots without an archive"), "{graph}");
}
