//! Makes text from outside the program safe for a terminal and a log. No other place decides what is escaped,
//! and how.

use std::borrow::Cow;
use std::fmt::{self, Write};

/// The most characters that [`Quoted`] shows; it cuts longer texts.
const LONGEST: usize = 200;

/// A text on one line, cut if it is very long: for text that only has to be recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quoted<'t>(pub &'t str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.char_indices().nth(LONGEST) {
            Some((at, _)) => write!(f, "{}…", Line(&self.0[..at])),
            None => Line(self.0).fmt(f),
        }
    }
}

/// A whole text on one line: for a path, which is of no use if it is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<T>(pub T);

impl<T: fmt::Display> fmt::Display for Line<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping(f), "{}", self.0)
    }
}

/// Escapes what is written to it.
struct Escaping<'f, 'b>(&'f mut fmt::Formatter<'b>);

impl Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write_str(&escaped(text, is_unfit))
    }
}

/// Escapes a text as a [`Line`] does, but keeps newlines and tabs.
pub fn escape_control(lines: &str) -> Cow<'_, str> {
    escaped(lines, |character| {
        !matches!(character, '\n' | '\t') && is_unfit(character)
    })
}

/// Whether a character is not simply displayed: a terminal obeys it, it ends the line or the column, it
/// changes the direction of the text after it, or it is invisible.
pub fn is_unfit(character: char) -> bool {
    match character {
        ' '..='~' => false,
        // Characters that Unicode makes invisible (default ignorable), among them the marks of direction, but
        // not the variation selectors, which are a part of many emoji. U+2028 and U+2029 end a line and a
        // paragraph.
        '\u{ad}'
        | '\u{34f}'
        | '\u{61c}'
        | '\u{115f}'
        | '\u{1160}'
        | '\u{17b4}'
        | '\u{17b5}'
        | '\u{180e}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{3164}'
        | '\u{feff}'
        | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}'
        | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}' => true,
        _ => character.is_control(),
    }
}

fn escaped(text: &str, is_unfit: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&is_unfit) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_unfit(character) {
            escaped.extend(character.escape_default());
        } else {
            escaped.push(character);
        }
    }
    Cow::Owned(escaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_show_itself_is_escaped_and_the_rest_stays() {
        for (text, shown) in [
            (
                "a plain `word`, \"quoted\"\\",
                "a plain `word`, \"quoted\"\\",
            ),
            ("Größe", "Größe"),
            // As macOS writes it, with a mark of its own.
            ("Gro\u{308}ße", "Gro\u{308}ße"),
            ("日本語 \u{2764}\u{fe0f}", "日本語 \u{2764}\u{fe0f}"),
            ("\u{1b}[2J\r\nhome: sound", "\\u{1b}[2J\\r\\nhome: sound"),
            ("one\ttwo", "one\\ttwo"),
            ("\u{202e}txt\u{2066}", "\\u{202e}txt\\u{2066}"),
            (
                "\u{7f}\u{80}\u{9b}1m\u{9f}",
                "\\u{7f}\\u{80}\\u{9b}1m\\u{9f}",
            ),
            ("a\u{2028}b\u{2029}c", "a\\u{2028}b\\u{2029}c"),
            (
                "a\u{200b}b\u{feff}c\u{e0041}",
                "a\\u{200b}b\\u{feff}c\\u{e0041}",
            ),
        ] {
            assert_eq!(Line(text).to_string(), shown);
            assert_eq!(Quoted(text).to_string(), shown);
        }
        assert_eq!(
            escape_control("a\tline\nanother\r\u{1b}[1m é\u{202e}"),
            "a\tline\nanother\\r\\u{1b}[1m é\\u{202e}"
        );
    }

    #[test]
    fn only_what_has_to_be_recognised_is_cut() {
        for length in [LONGEST, LONGEST + 1, 1000] {
            let text = "é".repeat(length);
            let cut = match length {
                LONGEST => text.clone(),
                _ => "é".repeat(LONGEST) + "…",
            };
            assert_eq!(Quoted(&text).to_string(), cut);
            assert_eq!(Line(&text).to_string(), text);
        }
    }
}
