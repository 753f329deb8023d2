//! Which moment "a month ago" means.

use chrono::{DateTime, Days, Months, NaiveDateTime, TimeDelta, TimeZone as _, Utc};
use chrono_tz::Tz;

/// How far to look back. Years, months and days go by the calendar, hours by the clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LookBack {
    /// Years; the 29th of February becomes the 28th in a year that has none.
    pub years: u32,
    /// Months; a day that a month does not have becomes its last one.
    pub months: u32,
    /// Days.
    pub days: u32,
    /// Hours of 60 minutes.
    pub hours: u32,
}

impl LookBack {
    /// A day, for those who say nothing else.
    pub const ONE_DAY: Self = Self {
        years: 0,
        months: 0,
        days: 1,
        hours: 0,
    };

    /// Returns the moment that lies so far before `now`; `None` if no calendar goes that far.
    ///
    /// Years and months are taken first, then days, each at the same time of day, then hours. Of a time that the clock
    /// shows twice on that day, it is the later one; one that the clock skips is the first moment after the gap.
    pub fn before(self, now: DateTime<Utc>, zone: Tz) -> Option<DateTime<Utc>> {
        let hours = TimeDelta::hours(self.hours.into());
        let months = self.years.checked_mul(12)?.checked_add(self.months)?;
        if months == 0 && self.days == 0 {
            return now.checked_sub_signed(hours);
        }
        let local = now.with_timezone(&zone).naive_local();
        let local = local.checked_sub_months(Months::new(months))?;
        let local = local.checked_sub_days(Days::new(self.days.into()))?;
        moment(local, zone)?.checked_sub_signed(hours)
    }
}

fn moment(local: NaiveDateTime, zone: Tz) -> Option<DateTime<Utc>> {
    if let Some(moment) = zone.from_local_datetime(&local).latest() {
        return Some(moment.to_utc());
    }
    // The first moment after the gap, to the second. No zone's clock skips more than a day.
    let before = local.checked_sub_days(Days::new(1))?;
    let begin = zone.from_local_datetime(&before).latest()?.to_utc();
    let is_after = |seconds: i64| {
        let moment = begin + TimeDelta::seconds(seconds);
        moment.with_timezone(&zone).naive_local() > local
    };
    let (mut low, mut high) = (0, 3 * 24 * 3600);
    while low < high {
        let middle = low + (high - low) / 2;
        if is_after(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    Some(begin + TimeDelta::seconds(low)).map(|moment| moment - fraction(moment))
}

fn fraction(moment: DateTime<Utc>) -> TimeDelta {
    TimeDelta::nanoseconds(moment.timestamp_subsec_nanos().into())
}

#[cfg(test)]
mod tests {
    use chrono_tz::{America, Europe};

    use super::*;

    #[track_caller]
    fn is(now: &str, zone: Tz, back: [u32; 4], expected: &str) {
        let [years, months, days, hours] = back;
        let back = LookBack {
            years,
            months,
            days,
            hours,
        };
        let now = DateTime::parse_from_rfc3339(now).unwrap().to_utc();
        let found = back.before(now, zone).unwrap().with_timezone(&zone);
        assert_eq!(found.to_rfc3339(), expected);
    }

    #[test]
    fn a_month_end_becomes_the_last_day_of_the_month() {
        is(
            "2026-03-31T12:00:00Z",
            Tz::UTC,
            [0, 1, 0, 0],
            "2026-02-28T12:00:00+00:00",
        );
        is(
            "2024-02-29T12:00:00Z",
            Tz::UTC,
            [1, 0, 0, 0],
            "2023-02-28T12:00:00+00:00",
        );
        // Clamped once, after years and months were added up; then the days.
        is(
            "2024-03-31T12:00:00Z",
            Tz::UTC,
            [1, 1, 1, 0],
            "2023-02-27T12:00:00+00:00",
        );
        is(
            "2026-12-31T00:30:00Z",
            Tz::UTC,
            [0, 6, 0, 1],
            "2026-06-29T23:30:00+00:00",
        );
    }

    #[test]
    fn a_day_is_one_of_the_calendar_and_an_hour_one_of_the_clock() {
        // Summer time ends on 2026-10-25 at 03:00, so that day has 25 hours.
        is(
            "2026-10-25T12:00:00+01:00",
            Europe::Berlin,
            [0, 0, 1, 0],
            "2026-10-24T12:00:00+02:00",
        );
        is(
            "2026-10-25T12:00:00+01:00",
            Europe::Berlin,
            [0, 0, 0, 24],
            "2026-10-24T13:00:00+02:00",
        );
        // The clock shows 02:30 twice: the later one.
        is(
            "2026-10-26T02:30:00+01:00",
            Europe::Berlin,
            [0, 0, 1, 0],
            "2026-10-25T02:30:00+01:00",
        );
        // It skips 02:30: the first moment after the gap.
        is(
            "2026-03-30T02:30:00+02:00",
            Europe::Berlin,
            [0, 0, 1, 0],
            "2026-03-29T03:00:00+02:00",
        );
        // The whole day of the change has no midnight.
        is(
            "2026-09-07T00:10:00-03:00",
            America::Santiago,
            [0, 0, 1, 0],
            "2026-09-06T01:00:00-03:00",
        );
        // Nothing by the calendar: no conversion, within the second 02:30 too.
        is(
            "2026-10-25T02:30:00+02:00",
            Europe::Berlin,
            [0, 0, 0, 0],
            "2026-10-25T02:30:00+02:00",
        );
    }

    #[test]
    fn a_calendar_ends_somewhere() {
        let now = DateTime::parse_from_rfc3339("2026-11-29T12:00:00Z").unwrap();
        let far = |back: LookBack| back.before(now.to_utc(), Tz::UTC);
        let most = u32::MAX;
        for back in [
            LookBack {
                years: most,
                ..LookBack::default()
            },
            LookBack {
                months: most,
                ..LookBack::default()
            },
            LookBack {
                days: most,
                ..LookBack::default()
            },
        ] {
            assert_eq!(far(back), None, "{back:?}");
        }
        let hours = LookBack {
            hours: most,
            ..LookBack::default()
        };
        assert!(far(hours).is_none_or(|at| at < now));
    }
}
