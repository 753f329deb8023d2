//! The form of a line: time, level, source, action, and facts as `key=value`.

use std::fmt::{self, Display, Write as _};

use chrono::{DateTime, SecondsFormat};
use chrono_tz::Tz;

use crate::model::{Line, SourceName};

/// The most bytes of one text. A line has at most three of them, and so is far below 8 KiB.
const LONGEST_TEXT: usize = 2 << 10;

/// How grave a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// Something was done.
    Info,
    /// Something that the user should know.
    Warning,
    /// Something failed.
    Error,
}

impl Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// A line, without its time.
#[derive(Debug, Clone)]
#[must_use]
pub struct LogLine(String);

impl LogLine {
    /// Begins a line about a source, or about none.
    pub fn new(level: LogLevel, source: Option<&SourceName>, action: &str) -> Self {
        let source = source.map_or("-", SourceName::as_str);
        Self(format!("{level} {source} {action}"))
    }

    /// Begins a line about something that was done to a source.
    pub fn done(source: &SourceName, action: &str) -> Self {
        Self::new(LogLevel::Info, Some(source), action)
    }

    /// Adds ids or dates, which need no key.
    pub fn of<T: Display>(mut self, ids: impl IntoIterator<Item = T>) -> Self {
        let list = ids
            .into_iter()
            .fold(String::new(), |list, id| list + &format!(" {id}"));
        self.push(&cut(list));
        self
    }

    /// Adds a number or a word of this program's.
    pub fn fact(mut self, key: &str, value: impl Display) -> Self {
        self.push(&format!(" {key}={value}"));
        self
    }

    /// Adds a text in quotes, cut if it is very long. In it, a quote, a backslash and what does not show itself are
    /// escaped.
    pub fn text(mut self, key: &str, value: impl Display) -> Self {
        let value = value.to_string().replace('\\', "\\\\").replace('"', "\\\"");
        let value = cut(Line(value).to_string());
        self.push(&format!(" {key}=\"{value}\""));
        self
    }

    fn push(&mut self, text: &str) {
        self.0.push_str(text);
    }

    /// Returns the line with its time and its newline.
    pub(super) fn at(&self, now: DateTime<Tz>) -> String {
        let time = now.to_rfc3339_opts(SecondsFormat::Secs, false);
        let mut line = String::new();
        writeln!(line, "{time} {}", Line(&self.0)).expect("a string takes it");
        line
    }
}

/// Cuts a text, but not within an escaped character.
fn cut(mut text: String) -> String {
    if text.len() > LONGEST_TEXT {
        text.truncate(text.floor_char_boundary(LONGEST_TEXT));
        let begun = text
            .rfind('\\')
            .filter(|at| text.len() - at < "\\u{e0fff}".len());
        text.truncate(begun.unwrap_or(text.len()));
        // The first of two backslashes may be left.
        let backslashes = text.len() - text.trim_end_matches('\\').len();
        text.truncate(text.len() - backslashes % 2);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home() -> SourceName {
        "home".parse().unwrap()
    }

    fn at(line: &LogLine) -> String {
        let now: DateTime<chrono::Utc> = "2026-11-28T02:00:04.9Z".parse().unwrap();
        line.at(now.with_timezone(&Tz::Europe__Berlin))
    }

    #[test]
    fn a_line_has_the_local_time_with_its_offset() {
        let line = LogLine::done(&home(), "archived")
            .of(["2026-11-28-full-5f0c9a12d4e6b801"])
            .fact("raw", 7)
            .text("reason", "the slot is \"open\"");
        assert_eq!(
            at(&line),
            "2026-11-28T03:00:04+01:00 info home archived 2026-11-28-full-5f0c9a12d4e6b801 raw=7 \
             reason=\"the slot is \\\"open\\\"\"\n"
        );
        let line = LogLine::new(LogLevel::Error, None, "failed");
        assert_eq!(at(&line), "2026-11-28T03:00:04+01:00 error - failed\n");
    }

    #[test]
    fn one_event_is_one_line_and_can_be_read_back() {
        let line = LogLine::done(&home(), "x").text("error", "a\nb \\n\u{1b}[2J\u{202e} ü");
        assert_eq!(
            at(&line).split_once(" x ").unwrap().1,
            "error=\"a\\nb \\\\n\\u{1b}[2J\\u{202e} ü\"\n"
        );
    }

    #[test]
    fn a_line_stays_below_8_kib() {
        for text in ["\n", "\\", "\"", "é", "\u{e0041}", "a\\"] {
            for more in 0..12 {
                let long = "a".repeat(more) + &text.repeat(100_000);
                let line = LogLine::done(&home(), "x")
                    .of([&"i".repeat(5000)])
                    .text("a", &long)
                    .text("b", &long);
                let line = at(&line);
                assert!(line.len() < 8 << 10, "{}", line.len());
                assert_eq!(line.matches('\n').count(), 1);
                let value = line
                    .split("a=\"")
                    .nth(1)
                    .unwrap()
                    .split("…\"")
                    .next()
                    .unwrap();
                let bare = value.replace("\\\\", "");
                assert!(
                    !bare.ends_with('\\'),
                    "cut within an escape: {text:?} {more}"
                );
            }
        }
    }
}
