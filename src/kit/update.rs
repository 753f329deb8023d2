//! Bringing a kit up to date. Its secrets, and whatever else somebody wrote into it, stay as they
//! are to the byte: only the sections of the sources that are given are replaced, and the commands.

use super::machine_config::{CONFIG, MachineConfig};
use super::parse::SOURCE;
use super::parse::{Kit, KitFault, KitSource, is_base64, is_secret_comment};
use super::root::{INDENT, root_section};
use super::section::{COMMANDS, commands_section, source_section};
use crate::ledger::SigningKey;
use crate::model::LedgerId;

/// The kit with a new section for each of the sources: in the place of the first one that names the same
/// ledger, or else after the others; then the machine's config, and the commands come last. `kit` is what they call the
/// file.
///
/// Further sections of that ledger go: whoever adds [`addition`](super::addition) to a kit makes them.
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
            // It is older than the new one, and would count as newer where it stands.
            None if sources
                .iter()
                .any(|source| part.ledger == Some(source.ledger)) =>
            {
                new = without_separator(new);
            }
            // What it says is said anew at the end.
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

/// The kit of before it had a root key, with that.
pub fn add_root(text: &str, root: &SigningKey) -> Result<String, KitFault> {
    if as_kit(text)?.root.is_some() {
        return Err(KitFault::HasRoot);
    }
    unharmed(text, add_to(text.to_owned(), &root_section(root)))
}

/// Reads what is to be changed. In a kit there is nothing but comments and secret keys: whatever else
/// this is, lines of ours would spoil it.
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

/// The new text, if whatever somebody made of the file has lost no secret by it.
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

/// A text without the empty comment that stands before a part of ours.
fn without_separator(mut text: String) -> String {
    if text.ends_with("\n#\n") {
        text.truncate(text.len() - 2);
    }
    text
}

/// A text and another on lines of its own after it.
pub fn add_to(mut text: String, more: &str) -> String {
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text + more
}

/// A source's section, a machine's config, that of the commands, or a line outside of any.
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
