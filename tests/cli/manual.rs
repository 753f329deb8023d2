//! Manual pages, by the programs that show them; and the examples that they share with `--help`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use coldchain::cli::examples::{Example, examples_of};
use coldchain::cli::program;

use crate::common::by_hand::are_installed;
use crate::common::machine::Machine;

/// The commands that `--help` shows, by their words after `coldchain`, with their help.
fn commands() -> Vec<(String, String)> {
    fn add(command: &mut clap::Command, name: &str, found: &mut Vec<(String, String)>) {
        found.push((name.to_owned(), command.render_long_help().to_string()));
        for further in command.get_subcommands_mut() {
            if !further.is_hide_set() && further.get_name() != "help" {
                let whole = format!("{name} {}", further.get_name());
                add(further, whole.trim_start(), found);
            }
        }
    }
    let mut found = Vec::new();
    let mut program = program();
    program.build();
    add(&mut program, "", &mut found);
    found
}

/// The words of a line as a shell reads it, up to a pipe or a redirection.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut is_quoted = false;
    for letter in line.chars() {
        match letter {
            '"' => is_quoted = !is_quoted,
            ' ' if !is_quoted => words.push(String::new()),
            '|' | '>' if !is_quoted => {
                words.pop();
                break;
            }
            letter => words.last_mut().unwrap().push(letter),
        }
    }
    words
}

/// Parses a command line as the program does.
pub(crate) fn parse(line: &str) -> clap::ArgMatches {
    let matches = program().try_get_matches_from(words(line));
    matches.unwrap_or_else(|error| panic!("{line}: {error}"))
}

/// The words of the command that a parsed line runs.
fn command_of(matches: &clap::ArgMatches) -> String {
    let Some((name, further)) = matches.subcommand() else {
        return String::new();
    };
    format!("{name} {}", command_of(further))
        .trim_end()
        .to_owned()
}

#[test]
fn each_command_has_examples_that_parse_and_are_its_own() {
    let commands = commands();
    assert!(commands.len() > 40, "{}", commands.len());
    for (name, help) in commands {
        let examples = examples_of(&name);
        assert!(
            (2..=4).contains(&examples.len()),
            "`{name}` has {} examples",
            examples.len()
        );
        let (_, block) = help
            .split_once("Examples:\n")
            .expect("the help has the examples");
        let mut own = 0;
        for Example { line, does } in examples {
            own += usize::from(command_of(&parse(line)).starts_with(&name));
            // Help is wrapped at 100 columns, and a wrapped line can't be copied.
            assert!(
                line.len() <= 96 && does.len() <= 88,
                "too long: {line}, {does}"
            );
            assert!(block.contains(&format!("  {line}\n")), "{name}: {help}");
            assert!(!does.is_empty() && !does.ends_with('.'), "{line}: {does}");
        }
        assert!(own >= 1, "no example of `{name}` is one of it");
    }
}

#[test]
fn words_are_those_that_a_shell_makes() {
    let words = words("coldchain find home --name \"a *.tex\" > file");
    assert_eq!(words, ["coldchain", "find", "home", "--name", "a *.tex"]);
}

fn pages(machine: &Machine) -> Vec<PathBuf> {
    let run = machine.run("man $T/man");
    let number = fs::read_dir(machine.path("man")).unwrap().count();
    let said = format!("{number} pages in {}\n", machine.path("man").display());
    assert_eq!(
        (run.code, &run.stdout),
        (Some(0), &machine_text(machine, &said)),
        "{run:?}"
    );
    let entries = fs::read_dir(machine.path("man")).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// A text as the machine shows it, with its placeholder.
fn machine_text(machine: &Machine, text: &str) -> String {
    let directory = machine.path("").display().to_string();
    text.replace(directory.trim_end_matches('/'), "$T")
}

fn name_of(page: &Path) -> &str {
    page.file_name().unwrap().to_str().unwrap()
}

#[test]
fn there_is_a_page_for_each_command_and_one_for_the_config() {
    let machine = Machine::new();
    let pages = pages(&machine);
    let there: BTreeSet<String> = pages.iter().map(|page| name_of(page).to_owned()).collect();
    let names = commands().into_iter().map(|(name, _)| {
        let words = format!("coldchain {name}");
        words.trim_end().replace(' ', "-") + ".1"
    });
    let mut expected: BTreeSet<String> = names.collect();
    expected.insert("coldchain.toml.5".to_owned());
    assert_eq!(there, expected);
    for page in &pages {
        let text = fs::read_to_string(page).unwrap();
        let titles: Vec<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix(".SH "))
            .collect();
        for title in [
            "NAME",
            "\"EXIT STATUS\"",
            "FILES",
            "ENVIRONMENT",
            "\"SEE ALSO\"",
        ] {
            let is_config = name_of(page) == "coldchain.toml.5";
            let due = !(is_config && title == "\"EXIT STATUS\"");
            assert_eq!(
                titles.contains(&title),
                due,
                "{}: {titles:?}",
                name_of(page)
            );
        }
        let (_, see_also) = text.split_once(".SH \"SEE ALSO\"\n").unwrap();
        for page in see_also.split("\\fB").skip(1) {
            let (name, section) = page.split_once("\\fR(").unwrap();
            let file = format!("{}.{}", name.replace('\\', ""), &section[..1]);
            assert!(there.contains(&file), "{file}: {see_also}");
        }
    }
    // A page is replaced, and alone it goes to stdout.
    fs::write(machine.path("man/coldchain.1"), "old").unwrap();
    machine.run("man $T/man -q").is(0, "", "");
    let main = fs::read_to_string(machine.path("man/coldchain.1")).unwrap();
    assert!(
        machine.run("man").stdout == main,
        "coldchain.1 is another page"
    );
    let json = machine.run("man --json");
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(
        (&json["page"], &json["text"]),
        (&"coldchain.1".into(), &main.into())
    );
    let json = machine.run("man $T/man --json");
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(json["pages"].as_array().unwrap().len(), pages.len());
}

#[test]
fn the_page_on_the_config_has_each_of_its_keys() {
    let machine = Machine::new();
    pages(&machine);
    let text = fs::read_to_string(machine.path("man/coldchain.toml.5")).unwrap();
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    let docs = fs::read_to_string(docs).unwrap();
    let rows = docs
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let mut keys = 0;
    for (key, _) in rows {
        let term = format!(".TP\n\\fB{}\\fR\n", key.replace('-', "\\-"));
        assert!(text.contains(&term), "{key}");
        keys += 1;
    }
    assert!(keys > 50, "{keys}");
}

#[test]
fn neither_groff_nor_mandoc_has_a_complaint() {
    if !are_installed(&["man", "groff", "mandoc"]) {
        return;
    }
    let machine = Machine::new();
    for page in pages(&machine) {
        let lint = Command::new("mandoc")
            .args(["-T", "lint", "-W", "warning"])
            .arg(&page)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&lint.stdout);
        assert!(lint.status.success() && said.is_empty(), "{said}");
        let shown = Command::new("man")
            .args(["--warnings", "--local-file"])
            .arg(&page)
            .env("LC_ALL", "C.UTF-8")
            .env("MANWIDTH", "300")
            .env("MAN_KEEP_FORMATTING", "")
            .output()
            .unwrap();
        let complaint = String::from_utf8_lossy(&shown.stderr);
        assert!(
            shown.status.success() && complaint.is_empty(),
            "{}: {complaint}",
            page.display()
        );
        // What is to be typed can be copied from the page: no typographic quote or hyphen, and nothing is lost.
        let shown = String::from_utf8(shown.stdout).unwrap();
        let name = name_of(&page)
            .trim_end_matches(".1")
            .trim_start_matches("coldchain");
        let command = commands()
            .into_iter()
            .find(|(command, _)| name.trim_start_matches('-') == command.replace(' ', "-"));
        for example in command.iter().flat_map(|(command, _)| examples_of(command)) {
            assert!(shown.contains(example.line), "{}: {shown}", example.line);
        }
        if name == ".toml.5" {
            for line in ["[[source]]", "snapshots = \"/home/.coldchain\""] {
                assert!(
                    shown.lines().any(|shown| shown.trim().starts_with(line)),
                    "{shown}"
                );
            }
        }
    }
}
