//! The ways to write a date on the command line.

use std::borrow::Cow;
use std::str::FromStr;

use chrono::NaiveDate;

use super::ids::{ArchiveId, IdError, SourceName, parse_date};
use super::snapshot_name::SnapshotName;

/// A date as it is written on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DateWord {
    /// `YYYY-MM-DD`
    Day(NaiveDate),
    /// `today`, in the configured time zone.
    Today,
    /// `yesterday`, in the configured time zone.
    Yesterday,
    /// `latest`: the date of the newest archive.
    Latest,
    /// An archive id: its date, if that date's archive has this id.
    Archive(ArchiveId),
    /// `YYYY-MM-DDTHHMM`: a snapshot that was taken at another time than the nightly one.
    Snapshot(SnapshotName),
}

impl FromStr for DateWord {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        match text {
            "today" => Ok(Self::Today),
            "yesterday" => Ok(Self::Yesterday),
            "latest" => Ok(Self::Latest),
            _ => match text.parse() {
                Ok(id) => Ok(Self::Archive(id)),
                Err(_) => match parse_date(text) {
                    Ok(date) => Ok(Self::Day(date)),
                    Err(error) => text.parse().map(Self::Snapshot).map_err(|_| error),
                },
            },
        }
    }
}

impl SourceName {
    /// Returns the name as commands take it: with `--source` in front if a command would read it as a date.
    pub fn as_argument(&self) -> Cow<'_, str> {
        if self.as_str().parse::<DateWord>().is_ok() {
            Cow::Owned(format!("--source {self}"))
        } else {
            Cow::Borrowed(self.as_str())
        }
    }
}

impl DateWord {
    /// Returns its day; `None` if an archive has to be looked up first.
    pub fn day(self, today: NaiveDate) -> Option<NaiveDate> {
        match self {
            Self::Day(date) => Some(date),
            Self::Today => Some(today),
            Self::Yesterday => today.pred_opt(),
            Self::Latest | Self::Archive(_) | Self::Snapshot(_) => None,
        }
    }
}

/// Whether a text looks like a date rather than a source, even if it is no date of the calendar.
pub fn resembles_date(text: &str) -> bool {
    let is_of_date = |byte: u8| byte.is_ascii_digit() || b"-/.:".contains(&byte);
    text.starts_with(|first: char| first.is_ascii_digit())
        && (text.bytes().all(is_of_date) || text.parse::<SourceName>().is_err())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_dates_and_ids_are_told_apart() {
        let date = parse_date("2026-11-21").unwrap();
        let id = "2026-11-21-full-5f0c9a12d4e6b801";
        let hour = "2026-11-21T0300";
        for (text, word) in [
            ("2026-11-21", DateWord::Day(date)),
            ("today", DateWord::Today),
            ("yesterday", DateWord::Yesterday),
            ("latest", DateWord::Latest),
            (id, DateWord::Archive(id.parse().unwrap())),
            (hour, DateWord::Snapshot(hour.parse().unwrap())),
        ] {
            assert_eq!(text.parse(), Ok(word), "{text}");
        }
        for text in [
            "Today",
            "2026-11-31",
            "2026-1-1",
            "",
            "tomorrow",
            "2026-11-21-full-5",
            "2026-11-21T2500",
        ] {
            assert_eq!(
                text.parse::<DateWord>(),
                Err(IdError::Date(text.to_owned()))
            );
        }
    }

    #[test]
    fn a_day_needs_no_archive() {
        let today = parse_date("2026-03-01").unwrap();
        assert_eq!(
            DateWord::Yesterday.day(today),
            parse_date("2026-02-28").ok()
        );
        assert_eq!(DateWord::Today.day(today), Some(today));
        assert_eq!(DateWord::Latest.day(today), None);
    }

    #[test]
    fn a_date_with_a_typing_error_resembles_one() {
        for text in [
            "2026-13-01",
            "21.11.2026",
            "20261121",
            "2026/11/21",
            "2026-11-21T00:00",
        ] {
            assert!(resembles_date(text), "{text}");
        }
        for text in ["home", "2026-11-2l", "", "-", "h0me", "Home"] {
            assert!(!resembles_date(text), "{text}");
        }
    }
}
