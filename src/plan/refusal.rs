//! Dates that are refused, rather than planned as "nothing to do".

use chrono::{Days, NaiveDate};

/// Why a backup of a date is refused. Exit code 2.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BackupRefusal {
    /// Archives are made in the order of their dates: a send parent is always older.
    #[error(
        "cannot archive {date}: there is a later archive, of {newest}, and archives are made in the order of their dates"
    )]
    BeforeNewest {
        /// The date asked for.
        date: NaiveDate,
        /// The date of the newest archive.
        newest: NaiveDate,
    },
    /// The attempt of a later date is unfinished, and must come first.
    #[error("{date} is before {unfinished}, whose archive is unfinished")]
    BeforeUnfinished {
        /// The date asked for.
        date: NaiveDate,
        /// The date of the attempt.
        unfinished: NaiveDate,
    },
    /// A full was requested for a date that already has an archive.
    #[error("{date} is archived already, and a date has one archive")]
    AlreadyArchived {
        /// The date asked for.
        date: NaiveDate,
    },
    /// The date is in the future: its archive would block all the nights before it.
    #[error("{date} is more than a day after today, {today}")]
    Future {
        /// The date asked for.
        date: NaiveDate,
        /// The system clock's date.
        today: NaiveDate,
    },
}

/// Whether `--date-override` was given, which allows a date far ahead of the system clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DateOverride {
    /// It was not.
    Absent,
    /// It was.
    Given,
}

/// Refuses a date that `backup` and `decide` must not archive; `plan` accepts any date.
///
/// The override only lifts the check against the system clock. A date before the newest archive is always
/// refused.
pub fn refuse_date(
    date: NaiveDate,
    newest: Option<NaiveDate>,
    today: NaiveDate,
    date_override: DateOverride,
) -> Result<(), BackupRefusal> {
    if let Some(newest) = newest.filter(|newest| date < *newest) {
        return Err(BackupRefusal::BeforeNewest { date, newest });
    }
    // A day of grace: the source's time zone may be ahead of the system's.
    let ahead = today
        .checked_add_days(Days::new(1))
        .is_some_and(|tomorrow| date > tomorrow);
    match date_override {
        DateOverride::Absent if ahead => Err(BackupRefusal::Future { date, today }),
        DateOverride::Absent | DateOverride::Given => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::date;
    use super::*;

    #[test]
    fn a_date_before_the_newest_archive_or_far_ahead_of_the_clock_is_refused() {
        use DateOverride::{Absent, Given};
        let cases = [
            // date, newest, override, refused
            ("2026-11-21", None, Absent, None),
            ("2026-11-21", Some("2026-11-20"), Absent, None),
            ("2026-11-21", Some("2026-11-21"), Absent, None),
            (
                "2026-11-20",
                Some("2026-11-21"),
                Absent,
                Some("later archive"),
            ),
            (
                "2026-11-20",
                Some("2026-11-21"),
                Given,
                Some("later archive"),
            ),
            ("2026-11-22", None, Absent, None),
            ("2026-11-23", None, Absent, Some("after today")),
            ("2026-11-23", Some("2026-11-21"), Given, None),
            ("2126-11-21", None, Given, None),
            ("1999-12-31", None, Absent, None),
        ];
        for (day, newest, date_override, refused) in cases {
            let answer = refuse_date(
                date(day),
                newest.map(date),
                date("2026-11-21"),
                date_override,
            );
            match (refused, answer) {
                (None, answer) => assert_eq!(answer, Ok(()), "{day}"),
                (Some(word), answer) => {
                    assert!(answer.unwrap_err().to_string().contains(word), "{day}");
                }
            }
        }
    }
}
