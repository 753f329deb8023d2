//! Text that somebody else wrote, made fit for a terminal and a log.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

/// Longer texts are cut.
const LONGEST: usize = 200;

/// A text without anything that a terminal obeys or that looks like a line of its own: such characters
/// are escaped, and what is very long is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quoted<'t>(pub &'t str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, character) in self.0.chars().enumerate() {
            match character {
                _ if at == LONGEST => return f.write_char('…'),
                '"' | '\'' | '\\' => f.write_char(character)?,
                other => write!(f, "{}", other.escape_debug())?,
            }
        }
        Ok(())
    }
}

/// Whether a terminal would do something else than show it, or go on in the next line or column.
fn is_obeyed(character: char) -> bool {
    match character {
        '\n' | '\t' | ' '..='~' => false,
        // Those that turn the direction of writing show a line as another.
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        _ => character.is_control(),
    }
}

/// Lines that are told as they are, but for what a terminal would obey.
pub fn told(lines: &str) -> Cow<'_, str> {
    let mut told = String::new();
    let mut rest = lines;
    while let Some(at) = rest.find(is_obeyed) {
        let (plain, obeyed) = rest.split_at(at);
        told.push_str(plain);
        let mut characters = obeyed.chars();
        let character = characters.next().expect("one was found");
        if character.is_control() {
            told.extend(character.escape_debug());
        } else {
            told.extend(character.escape_unicode());
        }
        rest = characters.as_str();
    }
    if told.is_empty() {
        return Cow::Borrowed(lines);
    }
    told.push_str(rest);
    Cow::Owned(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_escaped_and_the_rest_stays() {
        for (text, shown) in [
            ("a plain `word`, \"quoted\"", "a plain `word`, \"quoted\""),
            ("Größe", "Größe"),
            ("\u{1b}[2J\r\nhome: sound", "\\u{1b}[2J\\r\\nhome: sound"),
            ("\u{202e}txt", "\\u{202e}txt"),
            ("\u{9b}1m", "\\u{9b}1m"),
        ] {
            assert_eq!(Quoted(text).to_string(), shown);
        }
        assert_eq!(
            told("a\tline\nanother\r\u{1b}[1m é\u{202e}"),
            "a\tline\nanother\\r\\u{1b}[1m é\\u{202e}"
        );
        assert_eq!(
            Quoted(&"x".repeat(1000)).to_string(),
            "x".repeat(LONGEST) + "…"
        );
        assert_eq!(
            Quoted(&"x".repeat(LONGEST)).to_string(),
            "x".repeat(LONGEST)
        );
    }
}
