//! The pages: one for each command that `--help` shows, and one for the config.

use clap::Command;
use clap::builder::Resettable;

use super::document::{PageWriter, with_code_in_bold};
use super::markdown::{self, table_below};
use crate::cli::examples::examples_of;

/// The page on commands, whose tables the manual pages share.
const COMMANDS: &str = include_str!("../../../docs/commands.md");

/// The page on the config.
const CONFIGURATION: &str = include_str!("../../../docs/configuration.md");

/// The date in the foot of each page: when what they say last changed. A build has no date of its own, so that it can be
/// repeated.
const DATE: &str = "2026-12-01";

const SOURCE: &str = concat!("coldchain ", env!("CARGO_PKG_VERSION"));

const MANUAL: &str = "coldchain";

/// A manual page.
pub(super) struct ManPage {
    /// Its file: `coldchain-key-rotate.1`.
    pub(super) name: String,
    /// What is in it.
    pub(super) text: String,
}

/// Returns the page of the program.
pub(super) fn main_page(program: Command) -> ManPage {
    page_of(&built(program), "coldchain")
}

/// `help` has no page, and neither do the copies of all commands below it.
fn built(program: Command) -> Command {
    let mut program = program.disable_help_subcommand(true);
    program.build();
    program
}

/// Returns the pages of all commands, and that of the config.
pub(super) fn all_pages(program: Command) -> Vec<ManPage> {
    let mut pages = Vec::new();
    add_pages(&built(program), "coldchain", &mut pages);
    pages.push(config_page());
    pages
}

fn add_pages(command: &Command, name: &str, pages: &mut Vec<ManPage>) {
    pages.push(page_of(command, name));
    for further in shown(command) {
        add_pages(further, &format!("{name}-{}", further.get_name()), pages);
    }
}

fn shown(command: &Command) -> impl Iterator<Item = &Command> {
    let commands = command.get_subcommands();
    commands.filter(|command| !command.is_hide_set())
}

fn page_of(command: &Command, name: &str) -> ManPage {
    // Its notes and examples are sections of their own here, and the version is in the foot.
    let bare = command
        .clone()
        .display_name(name)
        .after_help(Resettable::Reset);
    let generated = clap_mangen::Man::new(bare.version(Resettable::Reset))
        .title(name.to_uppercase())
        .date(DATE)
        .source(SOURCE)
        .manual(MANUAL);
    let mut text = Vec::new();
    generated.render(&mut text).expect("a vector takes it");
    let text = String::from_utf8_lossy(&text);
    // A path or a flag that is hyphenated is another one.
    let text = text.replacen(".SH NAME\n", ".nh\n.SH NAME\n", 1);

    let mut document = PageWriter::default();
    let words = name.trim_start_matches("coldchain").trim_start_matches('-');
    let is_program = words.is_empty();
    let notes = command.get_after_help().map(ToString::to_string);
    let notes = notes.as_deref().unwrap_or_default();
    let notes = notes.split("Examples:\n").next().unwrap_or_default().trim();
    // The codes have a section.
    if !notes.is_empty() && !is_program {
        document.section("NOTES");
        document.paragraph(notes);
    }
    write_examples(command, &mut document);
    document.section("EXIT STATUS");
    write_table("Exit codes", &mut document);
    document.section("FILES");
    write_table("What is where", &mut document);
    document.section("ENVIRONMENT");
    write_table("Environment", &mut document);
    document.section("SEE ALSO");
    document.paragraph(&see_also(command, name));
    ManPage {
        name: format!("{name}.1"),
        text: with_code_in_bold(&text) + &document.rest(),
    }
}

fn write_examples(command: &Command, document: &mut PageWriter) {
    let name = command.get_bin_name().unwrap_or_default();
    let examples = examples_of(name.trim_start_matches("coldchain").trim());
    if examples.is_empty() {
        return;
    }
    document.section("EXAMPLES");
    for example in examples {
        document.paragraph(&format!("{}:", example.does));
        document.verbatim([example.line].into_iter());
    }
}

fn write_table(title: &str, document: &mut PageWriter) {
    for row in table_below(COMMANDS, title) {
        if let [term, meaning] = row[..] {
            document.term(&term.replace('`', ""), meaning);
        }
    }
}

fn see_also(command: &Command, name: &str) -> String {
    let mut pages: Vec<String> = shown(command)
        .map(|further| format!("`{name}-{}`(1)", further.get_name()))
        .collect();
    // `mirror-server` is one word, and no command of `mirror`.
    let words = command.get_bin_name().unwrap_or_default();
    if let Some((above, _)) = words
        .rsplit_once(' ')
        .filter(|(above, _)| above.contains(' '))
    {
        pages.push(format!("`{}`(1)", above.replace(' ', "-")));
    }
    if name != "coldchain" {
        pages.push("`coldchain`(1)".to_owned());
    }
    pages.push("`coldchain.toml`(5)".to_owned());
    pages.join(", ")
}

fn config_page() -> ManPage {
    let mut document = PageWriter::default();
    document.section("NAME");
    document.paragraph("coldchain.toml - the config of coldchain");
    document.section("DESCRIPTION");
    markdown::write(CONFIGURATION, &mut document);
    document.section("FILES");
    write_table("What is where", &mut document);
    document.section("ENVIRONMENT");
    write_table("Environment", &mut document);
    document.section("SEE ALSO");
    document.paragraph("`coldchain`(1), `coldchain-init`(1), `coldchain-plan`(1)");
    ManPage {
        name: "coldchain.toml.5".to_owned(),
        text: document.page(["COLDCHAIN.TOML", "5", DATE, SOURCE, MANUAL]),
    }
}
