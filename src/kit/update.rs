//! Bringing a kit up to date. Its secrets, and whatever else somebody wrote into it, stay as they
//! are to the byte: only the sections of the sources that are given are replaced.

use super::parse::{Kit, KitFault, KitSource, is_base64, is_secret_comment};
use super::root::INDENT;
use super::section::{SOURCE, source_section};
use crate::model::LedgerId;

/// The kit with a new section for each of the sources: in the place of the one that names the same
/// ledger, or else at the end. `kit` is what the commands call the file.
pub fn update(text: &str, sources: &[KitSource], kit: &str) -> Result<String, KitFault> {
    Kit::parse(text.as_bytes())?;
    let mut missing: Vec<&KitSource> = sources.iter().collect();
    let mut new = String::with_capacity(text.len());
    for part in parts(text) {
        let known = match part.ledger {
            Some(ledger) => missing.iter().position(|source| source.ledger == ledger),
            None => None,
        };
        match known {
            Some(at) => new += &source_section(missing.remove(at), kit),
            None => new += part.text,
        }
    }
    for source in missing {
        new = add_to(new, &format!("#\n{}", source_section(source, kit)));
    }
    // Whatever somebody made of the file: no secret of it is lost here.
    if secrets(text) != secrets(&new) {
        return Err(KitFault::SecretInSection);
    }
    Kit::parse(new.as_bytes())?;
    Ok(new)
}

/// A text and another on lines of its own after it.
pub fn add_to(mut text: String, more: &str) -> String {
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text + more
}

/// A source's section, or a line outside of any.
struct Part<'t> {
    text: &'t str,
    /// The ledger that the section names last.
    ledger: Option<LedgerId>,
}

fn parts(text: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut left = text;
    while !left.is_empty() {
        let mut length = 0;
        let mut ledger = None;
        for (at, line) in left.split_inclusive('\n').enumerate() {
            let is_more = line.starts_with(INDENT) && !is_secret_comment(line);
            if at > 0 && !(left.starts_with(SOURCE) && is_more) {
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
