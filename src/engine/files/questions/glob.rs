//! Patterns for names and paths, as a shell has them, on bytes.

/// A pattern: `*`, `?`, `[a-z]`, `[!a-z]`, and `\` before a character that means itself. `*` and `?` match a slash and a leading
/// dot as well. Where a name is UTF-8, `?` and brackets are about characters, else about bytes. A bracket without an
/// end means itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob {
    parts: Vec<GlobPart>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum GlobPart {
    /// These bytes.
    Literal(Vec<u8>),
    /// Any character.
    One,
    /// Any number of characters.
    Any,
    /// One of these characters, or none of them.
    Class {
        ranges: Vec<(GlobUnit, GlobUnit)>,
        is_negated: bool,
    },
}

/// A character of UTF-8, or a byte that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum GlobUnit {
    Character(char),
    Byte(u8),
}

impl Glob {
    /// Reads a pattern. Every text is one.
    pub fn new(pattern: &[u8]) -> Self {
        let mut parts = Vec::new();
        let mut literal = Vec::new();
        let mut rest = pattern;
        while let Some((&first, after)) = rest.split_first() {
            let (part, next) = match first {
                b'*' => (GlobPart::Any, after),
                b'?' => (GlobPart::One, after),
                b'[' => {
                    if let Some(class) = class(after) {
                        class
                    } else {
                        literal.push(b'[');
                        rest = after;
                        continue;
                    }
                }
                b'\\' if !after.is_empty() => {
                    literal.push(after[0]);
                    rest = &after[1..];
                    continue;
                }
                byte => {
                    literal.push(byte);
                    rest = after;
                    continue;
                }
            };
            if !literal.is_empty() {
                parts.push(GlobPart::Literal(std::mem::take(&mut literal)));
            }
            if part != GlobPart::Any || parts.last() != Some(&GlobPart::Any) {
                parts.push(part);
            }
            rest = next;
        }
        if !literal.is_empty() {
            parts.push(GlobPart::Literal(literal));
        }
        Self { parts }
    }

    /// Returns the longest run of bytes that whatever matches must have; empty if there is none.
    pub fn literal(&self) -> &[u8] {
        let literals = self.parts.iter().filter_map(|part| match part {
            GlobPart::Literal(bytes) => Some(bytes.as_slice()),
            _ => None,
        });
        literals.max_by_key(|bytes| bytes.len()).unwrap_or_default()
    }

    /// Returns bytes with which the last name of every path that matches must end; empty if there are none.
    pub fn end_of_name(&self) -> &[u8] {
        match self.parts.last() {
            Some(GlobPart::Literal(bytes)) => {
                let slash = bytes.iter().rposition(|byte| *byte == b'/');
                &bytes[slash.map_or(0, |at| at + 1)..]
            }
            _ => &[],
        }
    }

    /// Returns whether it matches all of a text.
    pub fn matches(&self, text: &[u8]) -> bool {
        let (mut part, mut at) = (0, 0);
        // After the last `*`: where to begin again, one character further each time.
        let mut again: Option<(usize, usize)> = None;
        loop {
            match self.parts.get(part) {
                None if at == text.len() => return true,
                Some(GlobPart::Any) => {
                    part += 1;
                    again = Some((part, at));
                    continue;
                }
                Some(wanted) => {
                    if let Some(length) = wanted.length_in(&text[at..]) {
                        part += 1;
                        at += length;
                        continue;
                    }
                }
                None => {}
            }
            let Some((after, from)) = again.filter(|(_, from)| *from < text.len()) else {
                return false;
            };
            let (_, length) = unit(&text[from..]);
            (part, at) = (after, from + length);
            again = Some((after, at));
        }
    }
}

impl GlobPart {
    /// Returns how many bytes at the beginning of a text it takes; `None` if it does not match.
    fn length_in(&self, text: &[u8]) -> Option<usize> {
        match self {
            Self::Literal(bytes) => text.starts_with(bytes).then_some(bytes.len()),
            Self::Any => Some(0),
            Self::One => (!text.is_empty()).then(|| unit(text).1),
            Self::Class { ranges, is_negated } => {
                if text.is_empty() {
                    return None;
                }
                let (found, length) = unit(text);
                let is_in = ranges
                    .iter()
                    .any(|(from, to)| *from <= found && found <= *to);
                (is_in != *is_negated).then_some(length)
            }
        }
    }
}

/// Reads what follows a `[`, and returns the rest; `None` if the bracket has no end.
fn class(text: &[u8]) -> Option<(GlobPart, &[u8])> {
    let is_negated = text.starts_with(b"!") || text.starts_with(b"^");
    let mut rest = if is_negated { &text[1..] } else { text };
    let mut ranges = Vec::new();
    loop {
        // A bracket that comes first is one of the characters.
        if rest.starts_with(b"]") && !ranges.is_empty() {
            return Some((GlobPart::Class { ranges, is_negated }, &rest[1..]));
        }
        let (from, after) = member(rest)?;
        rest = after;
        let mut to = from;
        if rest.starts_with(b"-") && !rest.starts_with(b"-]") {
            let (last, after) = member(&rest[1..])?;
            to = last;
            rest = after;
        }
        ranges.push((from, to));
    }
}

fn member(text: &[u8]) -> Option<(GlobUnit, &[u8])> {
    let text = text.strip_prefix(b"\\").unwrap_or(text);
    if text.is_empty() {
        return None;
    }
    let (found, length) = unit(text);
    Some((found, &text[length..]))
}

/// Returns the first character of a text, which is not empty, and its length in bytes.
fn unit(text: &[u8]) -> (GlobUnit, usize) {
    let length = match text[0] {
        0x00..=0x7f => return (GlobUnit::Character(text[0].into()), 1),
        0xc0..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf7 => 4,
        _ => return (GlobUnit::Byte(text[0]), 1),
    };
    let character = text
        .get(..length)
        .and_then(|it| std::str::from_utf8(it).ok());
    match character.and_then(|it| it.chars().next()) {
        Some(character) => (GlobUnit::Character(character), length),
        None => (GlobUnit::Byte(text[0]), 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_a_shell() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", ".hidden", true),
            ("*.rs", "main.rs", true),
            ("*.rs", "main.rs.old", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbY", false),
            ("?", "é", true),
            ("??", "é", false),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("[^a-c]x", "dx", true),
            ("[]x]", "]", true),
            ("[a-]", "-", true),
            ("[é-ü]", "ö", true),
            ("[", "[", true),
            ("a[b", "a[b", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("a\\", "a\\", true),
            ("*/x", "a/b/x", true),
            ("**a**", "xax", true),
            ("letter", "letter", true),
            ("letter", "letters", false),
        ] {
            let glob = Glob::new(pattern.as_bytes());
            assert_eq!(glob.matches(text.as_bytes()), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_count_one_each() {
        let glob = Glob::new(b"a?\xffb");
        assert!(glob.matches(b"a\xfe\xffb"));
        assert!(!glob.matches(b"a\xffb"));
        assert!(Glob::new(b"[\xfe-\xff]").matches(b"\xff"));
        // A character that ends too early.
        assert!(Glob::new(b"??").matches(b"\xc3\x41"));
    }

    #[test]
    fn many_stars_end_in_time() {
        let text = [b'a'; 4000];
        let pattern = b"a*".repeat(30);
        let glob = Glob::new(&[pattern.as_slice(), b"b"].concat());
        assert!(!glob.matches(&text));
    }

    #[test]
    fn a_literal_is_in_all_that_matches() {
        for (pattern, literal, end) in [
            ("*.rs", ".rs", ".rs"),
            ("a*bcd?e", "bcd", "e"),
            ("*", "", ""),
            ("[ab]", "", ""),
            ("*/src/m*", "/src/m", ""),
            ("*/src/main.rs", "/src/main.rs", "main.rs"),
            ("\\*\\?", "*?", "*?"),
        ] {
            let glob = Glob::new(pattern.as_bytes());
            assert_eq!(glob.literal(), literal.as_bytes(), "{pattern}");
            assert_eq!(glob.end_of_name(), end.as_bytes(), "{pattern}");
        }
    }
}
