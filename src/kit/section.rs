//! What a kit says of each source, and how they all come back.

use std::fmt::Write as _;

use super::machine_config::MachineConfig;
use super::parse::{KitSource, SOURCE};
use crate::ledger::Head;
use crate::model::{Line, shell};

/// How the commands of a restore begin.
pub(super) const COMMANDS: &str = "# on an empty machine everything comes back with";

/// Before each command: what comes after it goes into a shell as it is.
const PROMPT: &str = "#   $ ";

/// The part about one source: where it is, and how far its ledger went.
pub(super) fn source_section(source: &KitSource) -> String {
    let KitSource {
        name,
        store,
        directory,
        ledger,
        head,
    } = source;
    // A line of its own, whatever a path holds; the commands have it as a shell takes it.
    let store = Line(store);
    let head = head.map_or_else(String::new, |Head { seq, hash }| {
        format!("#   entries {seq}\n#   head    {hash}\n")
    });
    format!(
        "\
{SOURCE}{name}
#   store   {store}
#   prefix  {directory}/
#   ledger  {ledger}
{head}#   without coldchain it comes back as {directory}/README-RESTORE.txt in the store says
"
    )
}

/// The part with the commands that bring the sources back, after all of them. Whatever the width of
/// the paper, each is on one line, so that nothing has to be joined. `kit` is what the commands call
/// the kit.
pub(super) fn commands_section(sources: &[KitSource], kit: &str) -> String {
    let mut text = format!("{COMMANDS}\n");
    for command in restore_commands(sources, kit).lines() {
        text += PROMPT;
        text += command;
        text.push('\n');
    }
    text += "#   These lines alone: sed -n 's/^#   [$] //p' ";
    text += &shell::word(kit.as_bytes());
    text.push('\n');
    text
}

/// The commands that bring sources back on an empty machine, each on a line, as a shell takes it: one
/// reads the ledgers of all stores, then one restores each source.
pub fn restore_commands(sources: &[KitSource], kit: &str) -> String {
    let kit = shell::word(kit.as_bytes());
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
            "coldchain restore {name} --identity {kit} --to DIRECTORY"
        )
        .expect("a string takes it");
    }
    text
}

/// What to add to a kit that is not at hand.
pub fn addition(sources: &[KitSource]) -> String {
    let sections = sources
        .iter()
        .map(|source| format!("#\n{}", source_section(source)));
    sections.collect()
}

/// What to print beside a kit that is not at hand: it holds no secret.
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
