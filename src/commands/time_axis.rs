//! Dates on an axis.

use chrono::{Datelike as _, Days, Months, NaiveDate, TimeDelta};

/// The days from one date to another, both drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TimeAxis {
    pub(super) first: NaiveDate,
    pub(super) last: NaiveDate,
}

/// An axis goes on at least so many days beyond today, so that what expires soon is on it.
const DAYS_AHEAD: i64 = 30;

impl TimeAxis {
    /// Makes an axis for what happened on dates and what will: dates to come beyond a third of the time that has passed are
    /// cut off, so that a far one does not press all others together.
    pub(super) fn of(
        happened: impl Iterator<Item = NaiveDate>,
        to_come: impl Iterator<Item = NaiveDate>,
        today: NaiveDate,
    ) -> Self {
        let (first, newest) = happened.fold((today, today), |(first, newest), date| {
            (first.min(date), newest.max(date))
        });
        let ahead = ((newest - first).num_days() / 3).max(DAYS_AHEAD);
        let farthest = newest
            .checked_add_signed(TimeDelta::days(ahead))
            .unwrap_or(newest);
        let last = to_come.fold(newest, |last, date| last.max(date.min(farthest)));
        Self {
            first,
            // An axis has a length.
            last: last.max(first.checked_add_days(Days::new(1)).unwrap_or(first)),
        }
    }

    /// Whether a date is on it.
    pub(super) fn has(self, date: NaiveDate) -> bool {
        (self.first..=self.last).contains(&date)
    }

    /// Returns where a date is, of so many steps; dates beyond an end are at that end.
    pub(super) fn step(self, date: NaiveDate, steps: u32) -> u32 {
        let date = date.clamp(self.first, self.last);
        let (at, days) = (
            (date - self.first).num_days(),
            (self.last - self.first).num_days().max(1),
        );
        let step = at * i64::from(steps) / days;
        u32::try_from(step).unwrap_or(0)
    }

    /// Returns the first days of months, or of years on a long axis: as many as there is room for, at most.
    pub(super) fn ticks(self, most: usize) -> Vec<NaiveDate> {
        let most = most.max(1);
        for months in [1, 3, 6, 12, 24, 60, 120, 600, 1200, 12_000] {
            let ticks = self.every(months, most);
            if ticks.len() <= most {
                return ticks;
            }
        }
        Vec::new()
    }

    /// Returns each first day of that many months; one more than `most` if there are more.
    fn every(self, months: u32, most: usize) -> Vec<NaiveDate> {
        let in_years = i32::try_from(months / 12).unwrap_or(1).max(1);
        let (year, month) = if months >= 12 {
            (self.first.year() / in_years * in_years, 1)
        } else {
            (self.first.year(), self.first.month0() / months * months + 1)
        };
        let begin = NaiveDate::from_ymd_opt(year, month, 1);
        let dates =
            std::iter::successors(begin, |date| date.checked_add_months(Months::new(months)));
        dates
            .take_while(|date| *date <= self.last)
            .filter(|date| *date >= self.first)
            .take(most + 1)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn axis(first: &str, last: &str) -> TimeAxis {
        TimeAxis {
            first: day(first),
            last: day(last),
        }
    }

    #[test]
    fn an_axis_has_all_that_happened_and_what_comes_soon() {
        let today = day("2026-11-30");
        let of = |happened: &[&str], to_come: &[&str]| {
            let dates = |texts: &[&str]| texts.iter().map(|it| day(it)).collect::<Vec<_>>();
            TimeAxis::of(
                dates(happened).into_iter(),
                dates(to_come).into_iter(),
                today,
            )
        };
        assert_eq!(of(&[], &[]), axis("2026-11-30", "2026-12-01"));
        assert_eq!(of(&["2026-11-01"], &[]), axis("2026-11-01", "2026-11-30"));
        let soon = of(&["2026-11-01"], &["2026-12-20", "2026-11-02"]);
        assert_eq!(soon, axis("2026-11-01", "2026-12-20"));
        let far = of(&["2026-01-04"], &["2036-01-01"]);
        assert_eq!(far, axis("2026-01-04", "2027-03-20"));
        let ahead = of(&["2106-02-07"], &[]);
        assert_eq!(ahead, axis("2026-11-30", "2106-02-07"));
        let end = of(&["+262142-12-31"], &["+262142-12-31"]);
        assert_eq!(end.last, NaiveDate::MAX);
    }

    #[test]
    fn dates_are_in_order_and_within_the_steps() {
        let axis = axis("2026-11-01", "2026-11-11");
        for (date, step) in [
            ("2026-10-01", 0),
            ("2026-11-01", 0),
            ("2026-11-02", 100),
            ("2026-11-06", 500),
            ("2026-11-11", 1000),
            ("2027-01-01", 1000),
        ] {
            assert_eq!(axis.step(day(date), 1000), step, "{date}");
        }
        assert!(axis.has(day("2026-11-11")) && !axis.has(day("2026-11-12")));
    }

    #[test]
    fn ticks_are_first_days_and_no_more_than_asked_for() {
        let of = |first, last, most| {
            let ticks = axis(first, last).ticks(most);
            ticks.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(
            of("2026-10-15", "2026-12-20", 3),
            ["2026-11-01", "2026-12-01"]
        );
        assert_eq!(
            of("2026-01-15", "2026-12-20", 4),
            ["2026-04-01", "2026-07-01", "2026-10-01"]
        );
        assert_eq!(
            of("2021-06-01", "2026-12-20", 4),
            ["2022-01-01", "2024-01-01", "2026-01-01"]
        );
        assert_eq!(of("2026-11-02", "2026-11-20", 4), [""; 0]);
        assert_eq!(of("1970-01-01", "9999-12-31", 10).len(), 8);
        let end = TimeAxis {
            first: day("2026-01-01"),
            last: NaiveDate::MAX,
        };
        assert_eq!(end.ticks(5), Vec::<NaiveDate>::new());
    }
}
