//! Brings a kit up to date. Only the sections of the given sources and machine are replaced, and the
//! commands. Its secrets and all other text stay as they are, byte for byte.

use super::machine_config::{CONFIG, MachineConfig};
use super::parse::SOURCE;
use super::parse::{Kit, KitFault, KitSource, is_base64, is_secret_comment};
use super::root::{INDENT, root_section};
use super::section::{COMMANDS, commands_section, source_section};
use crate::ledger::SigningKey;
use crate::model::LedgerId;

/// Returns the kit with a new section for each of the sources. It replaces the first section with the same
/// ledger, or comes after the others. Then come the machine's config and the commands, in which `kit` is the
/// file.
///
/// Further sections of that ledger are removed; they come from [`addition`](super::addition).
pub fn update(
    text: &str,
    sources: &[KitSource],
    config: Option<&MachineConfig>,
    kit: &str,
) -> Result<String, KitFault> {
    if as_kit(text)?.root.is_none() {
        return Err(KitFault::NoRoot);
    }
    let mut missing: Vec<&KitSource> = sources.iter().collect();
    let mut new = String::with_capacity(text.len());
    for part in parts(text) {
        let known = match part.ledger {
            Some(ledger) => missing.iter().position(|source| source.ledger == ledger),
            None => None,
        };
        match known {
            Some(at) => new += &source_section(missing.remove(at)),
            // It is older than the new one, but would count as newer because it comes later.
            None if sources
                .iter()
                .any(|source| part.ledger == Some(source.ledger)) =>
            {
                new = without_separator(new);
            }
            // The commands are written again at the end.
            None if part.text.starts_with(COMMANDS) => new = without_separator(new),
            None if config.is_some_and(|config| part.is_config_of(&config.host)) => {
                new = without_separator(new);
            }
            None => new += part.text,
        }
    }
    for source in missing {
        new = add_to(new, &format!("#\n{}", source_section(source)));
    }
    if let Some(config) = config {
        new = add_to(new, &format!("#\n{}", config.section()));
    }
    let all = Kit::parse(new.as_bytes())?.sources;
    if !all.is_empty() {
        new = add_to(new, &format!("#\n{}", commands_section(&all, kit)));
    }
    unharmed(text, new)
}

/// Adds the root key to a kit that has none yet.
pub fn add_root(text: &str, root: &SigningKey) -> Result<String, KitFault> {
    if as_kit(text)?.root.is_some() {
        return Err(KitFault::HasRoot);
    }
    unharmed(text, add_to(text.to_owned(), &root_section(root)))
}

/// Reads a kit that is to be changed. A kit contains only comments and secret keys. Any other file is
/// refused, because our lines would spoil it.
pub fn as_kit(text: &str) -> Result<Kit, KitFault> {
    if text.trim_start().starts_with("-----BEGIN ") || text.contains('\0') {
        return Err(KitFault::NoText);
    }
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        let is_key = line.starts_with("AGE-SECRET-KEY-") || line.starts_with("AGE-PLUGIN-");
        if !line.is_empty() && !line.starts_with('#') && !is_key {
            return Err(KitFault::Line {
                line: number,
                what: "it is neither a comment nor a secret key, so this is no recovery kit",
            });
        }
    }
    Kit::parse(text.as_bytes())
}

/// Returns the new text if no secret of the old one is lost in it, however a user has edited the file.
fn unharmed(text: &str, new: String) -> Result<String, KitFault> {
    let before = secrets(text);
    let now = secrets(&new);
    let mut left = now.iter();
    if !before.iter().all(|line| left.any(|kept| kept == line)) {
        return Err(KitFault::SecretInSection);
    }
    Kit::parse(new.as_bytes())?;
    Ok(new)
}

/// Removes the empty comment at the end of a text, which separates our sections.
fn without_separator(mut text: String) -> String {
    if text.ends_with("\n#\n") {
        text.truncate(text.len() - 2);
    }
    text
}

/// Appends `more` to a text, on lines of its own.
pub fn add_to(mut text: String, more: &str) -> String {
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text + more
}

/// The section of a source, of a machine's config or of the commands, or a line outside of any.
struct Part<'t> {
    text: &'t str,
    /// The ledger that the section names last.
    ledger: Option<LedgerId>,
}

impl Part<'_> {
    fn is_config_of(&self, host: &str) -> bool {
        let first = self.text.lines().next().unwrap_or_default();
        first.trim_end().strip_prefix(CONFIG) == Some(host)
    }
}

fn parts(text: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut left = text;
    while !left.is_empty() {
        let mut length = 0;
        let mut ledger = None;
        for (at, line) in left.split_inclusive('\n').enumerate() {
            let is_more = line.starts_with(INDENT) && !is_secret_comment(line);
            let has_more = [SOURCE, CONFIG, COMMANDS]
                .iter()
                .any(|begin| left.starts_with(begin));
            if at > 0 && !(has_more && is_more) {
                break;
            }
            length += line.len();
            if let Some(id) = line.strip_prefix("#   ledger ") {
                ledger = id.trim().parse().ok();
            }
        }
        let (part, rest) = left.split_at(length);
        parts.push(Part {
            text: part,
            ledger: ledger.filter(|_| part.starts_with(SOURCE)),
        });
        left = rest;
    }
    parts
}

/// The lines that hold or may hold a secret, in their order.
fn secrets(text: &str) -> Vec<&str> {
    let mut secrets = Vec::new();
    let mut in_secret = false;
    for line in text.lines() {
        in_secret = is_secret_comment(line) || in_secret && is_base64(line);
        let is_identity = !line.starts_with('#') && !line.trim().is_empty();
        if in_secret || is_identity || line.contains("AGE-SECRET-KEY-") {
            secrets.push(line);
        }
    }
    secrets
}
