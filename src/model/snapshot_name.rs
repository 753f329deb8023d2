//! The name of a snapshot: `2026-11-28` for the nightly one, `2026-11-28T0300` for one that was taken at any
//! other time.
//!
//! At the end of summer time an hour comes twice. The second one has its offset from UTC in the name:
//! `2026-10-25T0200+0100`.

use std::fmt;
use std::str::FromStr;

use chrono::{
    DateTime, FixedOffset, MappedLocalTime, NaiveDate, NaiveTime, Offset as _, TimeDelta, TimeZone,
    Timelike as _,
};

use super::ids::{IdError, has_form, number, parse_date, serde_as_text};

/// The name of a snapshot. Names sort by date, the nightly one first, then by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SnapshotName {
    /// Its date.
    pub date: NaiveDate,
    /// Its time; `None` for the nightly snapshot.
    time: Option<TimeOfDay>,
}

serde_as_text!(SnapshotName);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct TimeOfDay {
    /// Minutes since midnight by the clock.
    minutes: u32,
    /// Minutes east of UTC, where the clock alone does not say which moment it is.
    offset: Option<i32>,
}

impl SnapshotName {
    /// The name of the nightly snapshot of a date.
    pub fn of_date(date: NaiveDate) -> Self {
        Self { date, time: None }
    }

    /// The name of a snapshot that is taken at a moment.
    pub fn of_moment<Z: TimeZone>(moment: &DateTime<Z>) -> Self {
        let local = moment.naive_local();
        let is_second = match moment.timezone().from_local_datetime(&local) {
            MappedLocalTime::Ambiguous(first, _) => first.offset().fix() != moment.offset().fix(),
            MappedLocalTime::Single(_) | MappedLocalTime::None => false,
        };
        let offset = moment.offset().fix().local_minus_utc() / 60;
        Self {
            date: local.date(),
            time: Some(TimeOfDay {
                minutes: local.hour() * 60 + local.minute(),
                offset: is_second.then_some(offset),
            }),
        }
    }

    /// Whether it names the nightly snapshot of its date.
    pub fn is_date(self) -> bool {
        self.time.is_none()
    }

    /// Returns the moment that it names in a time zone: for a date alone, its beginning. A time that the clock
    /// skips there counts as the first moment after the gap.
    pub fn moment<Z: TimeZone>(self, zone: &Z) -> DateTime<Z> {
        let minutes = self.time.map_or(0, |time| time.minutes);
        let time = NaiveTime::from_hms_opt(minutes / 60, minutes % 60, 0);
        let local = self
            .date
            .and_time(time.expect("a name's time is one of the day"));
        let offset = self.time.and_then(|time| time.offset);
        if let Some(offset) = offset.and_then(|minutes| FixedOffset::east_opt(minutes * 60))
            && let Some(moment) = offset.from_local_datetime(&local).single()
        {
            return moment.with_timezone(zone);
        }
        // No zone's clock skips more than a day.
        let mut tries = (0..=24 * 60).map(|minutes| local + TimeDelta::minutes(minutes));
        tries
            .find_map(|local| zone.from_local_datetime(&local).earliest())
            .unwrap_or_else(|| zone.from_utc_datetime(&local))
    }
}

impl From<NaiveDate> for SnapshotName {
    fn from(date: NaiveDate) -> Self {
        Self::of_date(date)
    }
}

impl fmt::Display for SnapshotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.date.fmt(f)?;
        let Some(TimeOfDay { minutes, offset }) = self.time else {
            return Ok(());
        };
        write!(f, "T{:02}{:02}", minutes / 60, minutes % 60)?;
        let Some(offset) = offset else {
            return Ok(());
        };
        let sign = if offset < 0 { '-' } else { '+' };
        let offset = offset.abs();
        write!(f, "{sign}{:02}{:02}", offset / 60, offset % 60)
    }
}

impl FromStr for SnapshotName {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let refuse = || IdError::SnapshotName(text.to_owned());
        let (date, time) = text.split_at_checked(10).ok_or_else(refuse)?;
        let date = parse_date(date).map_err(|_| refuse())?;
        if time.is_empty() {
            return Ok(Self::of_date(date));
        }
        let minutes = |digits: &str, most_hours| {
            let (hours, minutes) = (number(&digits[..2]), number(&digits[2..]));
            (hours < most_hours && minutes < 60).then_some(hours * 60 + minutes)
        };
        let with_offset = ["T0000+0000", "T0000-0000"]
            .iter()
            .any(|form| has_form(time, form));
        if !with_offset && !has_form(time, "T0000") {
            return Err(refuse());
        }
        let offset = if with_offset {
            let east = minutes(&time[6..], 24).ok_or_else(refuse)?.cast_signed();
            Some(if time.as_bytes()[5] == b'-' {
                -east
            } else {
                east
            })
        } else {
            None
        };
        let minutes = minutes(&time[1..5], 24).ok_or_else(refuse)?;
        let time = Some(TimeOfDay { minutes, offset });
        let name = Self { date, time };
        // `-0000` is no name that coldchain gives.
        if name.to_string() == text {
            Ok(name)
        } else {
            Err(refuse())
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::Utc;
    use chrono_tz::{America, Europe, Tz};

    use super::*;

    fn name(text: &str) -> SnapshotName {
        text.parse().unwrap()
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for text in [
            "2026-11-28",
            "2026-11-28T0000",
            "2026-11-28T2359",
            "2026-10-25T0200+0100",
            "2026-10-25T0130-0430",
            "2026-10-25T0130+0000",
        ] {
            assert_eq!(name(text).to_string(), text);
        }
    }

    #[test]
    fn what_coldchain_never_writes_is_no_name() {
        for text in [
            "",
            "2026-11-31",
            "2026-11-2",
            "2026-11-28T",
            "2026-11-28T300",
            "2026-11-28T2400",
            "2026-11-28T0260",
            "2026-11-28t0300",
            "2026-11-28T03:00",
            "2026-11-28T0300Z",
            "2026-11-28T0300+01",
            "2026-11-28T0300-0000",
            "2026-11-28T0300+2400",
            "2026-11-28é",
            ".coldchain-new-2026-11-28",
        ] {
            assert!(text.parse::<SnapshotName>().is_err(), "{text}");
        }
    }

    #[test]
    fn names_sort_by_date_and_time() {
        let names = [
            "2026-11-27T2300",
            "2026-11-28",
            "2026-11-28T0000",
            "2026-11-28T0100",
        ];
        assert!(names.map(name).is_sorted());
    }

    /// The names of that many hours from a moment in UTC, and whether each stands for its own minute.
    fn hours(zone: Tz, from: &str, count: i64) -> Vec<String> {
        let from: DateTime<Utc> = from.parse().unwrap();
        (0..count)
            .map(|hour| {
                let moment = (from + TimeDelta::hours(hour)).with_timezone(&zone);
                let name = SnapshotName::of_moment(&moment);
                assert_eq!(name.moment(&zone), moment, "{name}");
                name.to_string()
            })
            .collect()
    }

    #[test]
    fn the_hour_that_comes_twice_has_two_names() {
        assert_eq!(
            hours(Europe::Berlin, "2026-10-24T23:00:00Z", 4),
            [
                "2026-10-25T0100",
                "2026-10-25T0200",
                "2026-10-25T0200+0100",
                "2026-10-25T0300"
            ]
        );
        assert_eq!(
            hours(America::St_Johns, "2026-11-01T03:00:00Z", 3),
            ["2026-11-01T0030", "2026-11-01T0130", "2026-11-01T0130-0330"]
        );
    }

    #[test]
    fn an_hour_that_the_clock_skips_counts_as_the_one_after_it() {
        let in_gap = name("2026-03-29T0230").moment(&Europe::Berlin);
        assert_eq!(in_gap.to_rfc3339(), "2026-03-29T03:00:00+02:00");
        // In Santiago the day of the change has no midnight.
        let day = name("2026-09-06").moment(&America::Santiago);
        assert_eq!(day.to_rfc3339(), "2026-09-06T01:00:00-03:00");
    }
}
