//! The pages hold what the program has: each command and flag, each key of the config, each exit code, and no other.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use clap::CommandFactory;
use coldchain::cli::Cli;
use coldchain::config::{Config, TemplateFacts, template};

use super::root;

fn page(name: &str) -> String {
    fs::read_to_string(root().join("docs").join(name)).unwrap()
}

/// The rows of all tables of a page, by what they have in code in their first column.
fn rows(page: &str) -> BTreeSet<String> {
    page.lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(name, _)| name.to_owned())
        .collect()
}

/// The visible commands with the flags that are their own, as rows: `coldchain backup`, `--full`.
fn commands() -> Vec<(String, Vec<(String, String)>)> {
    fn of(command: &clap::Command, name: &str, found: &mut Vec<(String, Vec<(String, String)>)>) {
        let flags = command.get_arguments().filter_map(|flag| {
            let is_shown =
                !flag.is_hide_set() && !["help", "version"].contains(&flag.get_id().as_str());
            let long = flag.get_long().filter(|_| is_shown)?;
            let takes_value = flag.get_action().takes_values();
            let value = flag.get_value_names().filter(|_| takes_value);
            let value = value.map_or(String::new(), |names| format!(" {}", names[0]));
            let help = flag.get_help().map(ToString::to_string).unwrap_or_default();
            Some((format!("--{long}{value}"), help))
        });
        found.push((name.to_owned(), flags.collect()));
        for further in command.get_subcommands() {
            if !further.is_hide_set() && further.get_name() != "help" {
                of(further, &format!("{name} {}", further.get_name()), found);
            }
        }
    }
    let mut found = Vec::new();
    of(&Cli::command(), "coldchain", &mut found);
    found
}

#[test]
fn the_page_on_commands_has_each_flag_of_each_command_and_no_other() {
    let page = page("commands.md");
    let (_, flags) = page.split_once("\n## Flags\n").unwrap();
    let mut sections: BTreeSet<String> = flags
        .lines()
        .filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`'))
        .map(str::to_owned)
        .collect();
    let mut expected = String::new();
    for (command, flags_of_it) in commands() {
        if flags_of_it.is_empty() {
            continue;
        }
        let title = format!("### `{command}`\n");
        let section = flags.split(&title).nth(1).unwrap_or_default();
        let there = rows(section.split("\n### ").next().unwrap());
        let due: BTreeSet<String> = flags_of_it.iter().map(|(flag, _)| flag.clone()).collect();
        sections.remove(&command);
        if there != due {
            write!(expected, "\n{title}\n| flag | what it does |\n|---|---|\n").unwrap();
            for (flag, help) in flags_of_it {
                writeln!(expected, "| `{flag}` | {help} |").unwrap();
            }
        }
    }
    assert!(
        expected.is_empty(),
        "docs/commands.md has to have\n{expected}"
    );
    assert_eq!(
        sections,
        BTreeSet::new(),
        "there are no such commands with flags"
    );
}

/// The keys that the commented config has, each with its table.
fn keys() -> BTreeSet<String> {
    let text = template(&TemplateFacts {
        recipients: &[],
        kit: None,
        timezone: "UTC",
        state_dir: None,
        sources: None,
        store: None,
    });
    let mut table = String::new();
    let mut keys = BTreeSet::new();
    for line in text.lines() {
        let line = line
            .strip_prefix("# or: ")
            .or(line.strip_prefix('#'))
            .unwrap_or(line);
        if line.starts_with(' ') {
            continue;
        }
        if let Some(name) = line.strip_prefix('[') {
            name.trim_matches(['[', ']']).clone_into(&mut table);
            if let Some(store) = table.strip_prefix("store.") {
                let kind = match store {
                    "main" => "DIR",
                    "vault" => "VAULT",
                    _ => "BUCKET",
                };
                table = format!("store.{kind}");
            }
        } else if let Some((key, _)) = line.split_once(" = ") {
            keys.insert(if table.is_empty() {
                key.to_owned()
            } else {
                format!("{table}: {key}")
            });
        }
    }
    keys
}

#[test]
fn the_page_on_configuration_has_each_key_and_no_other() {
    let page = page("configuration.md");
    let mut there = BTreeSet::new();
    let mut table = String::new();
    for line in page.lines() {
        if let Some(title) = line.strip_prefix("### ") {
            table = title.split('`').nth(1).unwrap_or_default().to_owned();
        } else if let Some((name, _)) = line.strip_prefix("| `").and_then(|row| row.split_once('`'))
        {
            there.insert(if table.is_empty() {
                name.to_owned()
            } else {
                format!("{table}: {name}")
            });
        }
    }
    let keys = keys();
    let lacking: Vec<_> = keys.difference(&there).collect();
    let unknown: Vec<_> = there.difference(&keys).collect();
    assert!(
        lacking.is_empty() && unknown.is_empty(),
        "lacking {lacking:#?}, unknown {unknown:#?}"
    );
    assert!(keys.len() > 50, "{}", keys.len());
}

/// The pages below `docs`, by their paths there.
fn pages_of_the_book() -> Vec<String> {
    let docs = root().join("docs");
    let entries = [docs.clone(), docs.join("from")]
        .into_iter()
        .flat_map(|directory| fs::read_dir(directory).unwrap());
    entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "md"))
        .map(|path| path.strip_prefix(&docs).unwrap().display().to_string())
        .collect()
}

#[test]
fn each_page_is_named_by_the_readme_and_each_link_leads_somewhere() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let packaging = "packaging/btrsend/README.md";
    let mut pages = vec![
        ("README.md".to_owned(), readme.clone()),
        (
            packaging.to_owned(),
            fs::read_to_string(root().join(packaging)).unwrap(),
        ),
    ];
    for name in pages_of_the_book() {
        // The book's own table of contents names each page too.
        if name != "SUMMARY.md" {
            assert!(
                page("SUMMARY.md").contains(&format!("]({name})")),
                "docs/SUMMARY.md does not name {name}"
            );
            assert!(
                readme.contains(&format!("](docs/{name})")),
                "README.md does not name docs/{name}"
            );
            pages.push((format!("docs/{name}"), page(&name)));
        }
    }
    for (name, text) in &pages {
        let directory = root().join(name).parent().unwrap().to_owned();
        for link in text.split("](").skip(1) {
            let (link, _) = link.split_once(')').unwrap();
            let (file, section) = link.split_once('#').unwrap_or((link, ""));
            if link.contains("://") {
                continue;
            }
            let target = if file.is_empty() {
                root().join(name)
            } else {
                directory.join(file)
            };
            assert!(target.exists(), "{name}: {link} leads nowhere");
            if !section.is_empty() && target.is_file() {
                let text = fs::read_to_string(&target).unwrap();
                let titles = text.lines().filter(|line| line.starts_with('#'));
                let mut anchors = titles.map(|title| {
                    let title = title.trim_start_matches(['#', ' ']).to_lowercase();
                    let kept = title
                        .chars()
                        .filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter));
                    kept.collect::<String>().replace(' ', "-")
                });
                assert!(
                    anchors.any(|anchor| anchor == section),
                    "{name}: {link} names no section"
                );
            }
        }
    }
}

#[test]
fn each_whole_config_on_a_page_parses() {
    let mut pages = vec![fs::read_to_string(root().join("README.md")).unwrap()];
    pages.extend(pages_of_the_book().iter().map(|name| page(name)));
    let example = fs::read_to_string(root().join("packaging/btrsend/config.toml")).unwrap();
    pages.push(format!("```toml\n{example}```"));
    let mut parsed = 0;
    for block in pages
        .iter()
        .flat_map(|page| page.split("```toml\n").skip(1))
    {
        let (config, _) = block.split_once("```").unwrap();
        if config.contains("[[source]]") && config.contains("[encryption]") {
            Config::parse(config, Path::new("config.toml"))
                .unwrap_or_else(|error| panic!("{error}: {config}"));
            parsed += 1;
        }
    }
    assert!(parsed > 0);
}
