//! The sections of a kit about each source, and the commands that restore them all.

use std::fmt::Write as _;
use std::path::Path;

use super::machine_config::MachineConfig;
use super::parse::{KitSource, SOURCE};
use crate::ledger::Head;
use crate::model::{Line, shell};

/// The line before the commands of a restore.
pub(super) const COMMANDS: &str = "# on an empty machine everything comes back with";

/// The prefix of each command. The rest of the line can be pasted into a shell.
const PROMPT: &str = "#   $ ";

/// Returns the section about one source: where it is, and how many entries its ledger has.
pub(super) fn source_section(source: &KitSource) -> String {
    let KitSource {
        name,
        store,
        directory,
        ledger,
        copies,
        head,
    } = source;
    // `Line` keeps it on one line, whatever a path contains; the commands quote it for a shell.
    let store = Line(store);
    let mut lines_of_copies = String::new();
    for copy in copies {
        writeln!(lines_of_copies, "#   copy    {}", Line(copy)).expect("a string takes it");
    }
    let without_store = if copies.is_empty() {
        ""
    } else {
        "#   if the store is gone, give --store the URL of a copy instead\n"
    };
    let head = head.map_or_else(String::new, |Head { seq, hash }| {
        format!("#   entries {seq}\n#   head    {hash}\n")
    });
    format!(
        "\
{SOURCE}{name}
#   store   {store}
{lines_of_copies}#   prefix  {directory}/
#   ledger  {ledger}
{head}{without_store}#   without coldchain it comes back as {directory}/README-RESTORE.txt in the store says
"
    )
}

/// Returns the section with the commands that restore the sources; it is the last. Each command is on one
/// line, even if the paper is not wide enough, so that nothing has to be joined by hand. `kit` is the kit's
/// path in the commands.
pub(super) fn commands_section(sources: &[KitSource], kit: &str) -> String {
    let mut text = format!("{COMMANDS}\n");
    for command in restore_commands(sources, kit).lines() {
        text += PROMPT;
        text += command;
        text.push('\n');
    }
    text += "#   These lines alone: sed -n 's/^#   [$] //p' ";
    text += &shell::path(Path::new(kit));
    text.push('\n');
    text
}

/// Returns the shell commands that restore sources on an empty machine, each on a line. The first reads the
/// ledgers of all stores; then one command restores each source.
pub fn restore_commands(sources: &[KitSource], kit: &str) -> String {
    let kit = shell::path(Path::new(kit));
    let mut text = format!("coldchain catalog rebuild --identity {kit}");
    let mut stores: Vec<&str> = Vec::new();
    for source in sources {
        if !stores.contains(&source.store.as_str()) {
            stores.push(&source.store);
            text += " --store ";
            text += &shell::word(source.store.as_bytes());
        }
    }
    text.push('\n');
    for KitSource { name, .. } in sources {
        writeln!(
            text,
            "coldchain restore {} --identity {kit} --to DIRECTORY",
            name.as_argument()
        )
        .expect("a string takes it");
    }
    text
}

/// Returns the sections to add by hand to a kit that is not on this machine.
pub fn addition(sources: &[KitSource]) -> String {
    let sections = sources
        .iter()
        .map(|source| format!("#\n{}", source_section(source)));
    sections.collect()
}

/// Returns the supplement to print for a kit that is not on this machine. It holds no secret.
pub fn supplement(
    root: &str,
    sources: &[KitSource],
    config: Option<&MachineConfig>,
    kit: &str,
) -> String {
    let mut text = format!(
        "\
# supplement to a coldchain recovery kit
#
# No secret is in it. Keep it with the kit: it tells how far each ledger went,
# and the kit opens the archives.
#
# root public key: {root}
"
    );
    text.push_str(&addition(sources));
    if let Some(config) = config {
        text.push_str("#\n");
        text.push_str(&config.section());
    }
    if !sources.is_empty() {
        text.push_str("#\n");
        text.push_str(&commands_section(sources, kit));
    }
    text
}
