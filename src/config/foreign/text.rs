//! Lines of another tool's config.

/// The largest config that is read, in bytes. A real one has some thousand.
pub const LARGEST_FOREIGN: usize = 1 << 20;

/// A line that can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct ForeignFault {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong there.
    pub what: String,
}

impl ForeignFault {
    pub(super) fn new(line: usize, what: impl Into<String>) -> Self {
        Self {
            line,
            what: what.into(),
        }
    }
}

/// Returns the lines that say something, each with its number, without comments and blanks at their ends.
/// Comments may be in any encoding.
pub(super) fn lines_of(bytes: &[u8]) -> Result<Vec<(usize, String)>, ForeignFault> {
    let mut found = Vec::new();
    for (index, bytes) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let line = index + 1;
        let text = String::from_utf8_lossy(bytes);
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let code = without_comment(text).trim_matches(is_blank);
        if code.is_empty() {
            continue;
        }
        // A replacement character that is there itself is as unlikely in a path.
        if code.contains('\u{fffd}') {
            return Err(ForeignFault::new(line, "it is not UTF-8"));
        }
        if code.chars().any(|it| it.is_control() && it != '\t') {
            return Err(ForeignFault::new(line, "it has a control character"));
        }
        found.push((line, code.to_owned()));
    }
    Ok(found)
}

pub(super) fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\r' | '\u{b}' | '\u{c}')
}

/// Cuts off what follows a `#` that is not between two quotes.
fn without_comment(line: &str) -> &str {
    let mut rest = line;
    while let Some(at) = rest.find(['"', '\'', '#']) {
        let mark = rest[at..].chars().next().unwrap_or('#');
        let after = &rest[at + 1..];
        if mark == '#' {
            return &line[..line.len() - after.len() - 1];
        }
        // A quote without its pair is a letter like others.
        rest = match after.find(mark) {
            Some(end) => &after[end + 1..],
            None => after,
        };
    }
    line
}

/// Takes away one pair of quotes around a value.
pub(super) fn unquoted(value: &str) -> &str {
    for quote in ['"', '\''] {
        let inner = value
            .strip_prefix(quote)
            .and_then(|rest| rest.strip_suffix(quote));
        if let Some(inner) = inner {
            return inner;
        }
    }
    value
}
