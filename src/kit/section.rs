//! What a kit says of one source.

use super::parse::KitSource;
use crate::ledger::Head;

/// How a source's section begins.
pub(super) const SOURCE: &str = "# source ";

/// The part about one source: where it is, how far its ledger went, and how it comes back. `kit` is
/// what the commands call the kit.
pub fn source_section(source: &KitSource, kit: &str) -> String {
    let KitSource {
        name,
        store,
        directory,
        ledger,
        head,
    } = source;
    let head = head.map_or_else(String::new, |Head { seq, hash }| {
        format!("#   entries {seq}\n#   head    {hash}\n")
    });
    let commands = restore_commands(source, kit).replace('\n', "\n#     ");
    format!(
        "\
{SOURCE}{name}
#   store   {store}
#   prefix  {directory}/
#   ledger  {ledger}
{head}#   it comes back on an empty machine with
#     {}
#   and without coldchain as {directory}/README-RESTORE.txt in the store says.
",
        commands.trim_end_matches(['\n', '#', ' ']),
    )
}

/// The commands that bring a source back on an empty machine, one argument a line where they are
/// long, as a shell takes them.
pub fn restore_commands(source: &KitSource, kit: &str) -> String {
    let kit = quoted(kit);
    format!(
        "\
coldchain catalog rebuild --identity {kit} \\
  --store {store}
coldchain restore {name} --to DIRECTORY \\
  --identity {kit}
",
        store = quoted(&source.store),
        name = source.name,
    )
}

/// What to print beside a kit that is not at hand: it holds no secret.
pub fn supplement(root: &str, sources: &[KitSource], kit: &str) -> String {
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
    for source in sources {
        text.push_str("#\n");
        text.push_str(&source_section(source, kit));
    }
    text
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}
