//! Which dates are scheduled, and which of them a night fills.

use chrono::{Datelike, Days, Months, NaiveDate};

/// No day from 1 to 31 is missing from two months in a row, so a slot is at most this many
/// months away from any date.
const REACH_MONTHS: u32 = 2;

/// When archives are made, and for how long they are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// Days of the month, 1 to 31, sorted, at least one (the configuration checks this). A day that a month
    /// lacks is skipped in that month.
    pub days: Vec<u32>,
    /// How many incrementals a chain takes; with 0 every archive is full.
    pub max_incrementals: u32,
    /// A chain whose full is older than this many days takes no more incrementals.
    pub max_chain_days: Option<u32>,
    /// A chain expires when its newest archive is this many days old, at least 1.
    pub expire_after_days: u32,
    /// Whether a slot that was missed on its own day is filled on a later one.
    pub catch_up: bool,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            days: vec![1, 7, 14, 21],
            max_incrementals: 11,
            max_chain_days: None,
            expire_after_days: 90,
            catch_up: true,
        }
    }
}

impl Schedule {
    /// The slot of a date: the newest scheduled date that is not after it.
    ///
    /// A schedule without days, which the configuration refuses, has every date as its own slot.
    pub fn slot_of(&self, date: NaiveDate) -> NaiveDate {
        (0..=REACH_MONTHS)
            .find_map(|back| {
                let month = date.with_day(1)?.checked_sub_months(Months::new(back))?;
                self.slots_in(month).filter(|slot| *slot <= date).max()
            })
            .unwrap_or(date)
    }

    /// Returns until when the archives of a chain that begins on that date may have to be kept: it takes
    /// incrementals for `max_chain_days`, expires `expire_after_days` after the last of them, and is deleted
    /// a week later. `None` without `max_chain_days`.
    pub fn retained_until(&self, full: NaiveDate) -> Option<NaiveDate> {
        const DELETE_AFTER_DAYS: u64 = 7;
        let chain = u64::from(self.max_chain_days?);
        let days = chain + u64::from(self.expire_after_days) + DELETE_AFTER_DAYS;
        full.checked_add_days(Days::new(days))
    }

    /// The first scheduled date after a date.
    pub fn next_slot_after(&self, date: NaiveDate) -> NaiveDate {
        (0..=REACH_MONTHS)
            .find_map(|ahead| {
                let month = date.with_day(1)?.checked_add_months(Months::new(ahead))?;
                self.slots_in(month).filter(|slot| *slot > date).min()
            })
            .unwrap_or(date)
    }

    /// Whether a date is scheduled.
    pub fn is_slot_day(&self, date: NaiveDate) -> bool {
        self.days.contains(&date.day())
    }

    /// The scheduled dates of a month, given by its first day.
    fn slots_in(&self, month: NaiveDate) -> impl Iterator<Item = NaiveDate> {
        self.days.iter().filter_map(move |day| month.with_day(*day))
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::date;
    use super::*;

    fn on(days: &[u32]) -> Schedule {
        Schedule {
            days: days.to_vec(),
            ..Schedule::default()
        }
    }

    #[test]
    fn the_slot_is_the_newest_scheduled_date_not_after_the_date() {
        let cases: &[(&[u32], &str, &str, &str)] = &[
            // days, date, its slot, the next one
            (&[1, 7, 14, 21], "2026-11-01", "2026-11-01", "2026-11-07"),
            (&[1, 7, 14, 21], "2026-11-06", "2026-11-01", "2026-11-07"),
            (&[1, 7, 14, 21], "2026-11-07", "2026-11-07", "2026-11-14"),
            (&[1, 7, 14, 21], "2026-11-30", "2026-11-21", "2026-12-01"),
            // over the end of a year
            (&[7, 21], "2027-01-06", "2026-12-21", "2027-01-07"),
            (&[7, 21], "2026-12-31", "2026-12-21", "2027-01-07"),
            (&[31], "2026-12-31", "2026-12-31", "2027-01-31"),
            (&[15], "2027-01-01", "2026-12-15", "2027-01-15"),
            // February, with and without its 29th
            (&[29], "2027-03-01", "2027-01-29", "2027-03-29"),
            (&[29], "2028-03-01", "2028-02-29", "2028-03-29"),
            (&[29], "2028-02-28", "2028-01-29", "2028-02-29"),
            (&[29], "2027-02-28", "2027-01-29", "2027-03-29"),
            (&[29], "2000-03-28", "2000-02-29", "2000-03-29"),
            (&[29], "2100-03-28", "2100-01-29", "2100-03-29"),
            (&[30], "2028-02-29", "2028-01-30", "2028-03-30"),
            (&[28, 29], "2027-03-01", "2027-02-28", "2027-03-28"),
            // a 31st that months lack
            (&[31], "2027-03-30", "2027-01-31", "2027-03-31"),
            (&[31], "2027-03-31", "2027-03-31", "2027-05-31"),
            (&[31], "2026-07-01", "2026-05-31", "2026-07-31"),
            (&[29, 30, 31], "2026-04-30", "2026-04-30", "2026-05-29"),
            (&[29, 30, 31], "2026-05-01", "2026-04-30", "2026-05-29"),
        ];
        for (days, day, slot, next) in cases {
            let schedule = on(days);
            assert_eq!(schedule.slot_of(date(day)), date(slot), "{days:?} {day}");
            assert_eq!(
                schedule.next_slot_after(date(day)),
                date(next),
                "{days:?} {day}"
            );
            assert_eq!(
                schedule.is_slot_day(date(day)),
                day == slot,
                "{days:?} {day}"
            );
        }
    }

    #[test]
    fn every_day_can_be_scheduled() {
        let schedule = on(&(1..=31).collect::<Vec<_>>());
        for day in ["2026-02-28", "2028-02-29", "2026-12-31"] {
            assert_eq!(schedule.slot_of(date(day)), date(day));
            assert_eq!(
                schedule.next_slot_after(date(day)),
                date(day).succ_opt().unwrap()
            );
        }
    }

    #[test]
    fn the_defaults_are_four_slots_a_month_twelve_archives_a_chain_ninety_days() {
        let schedule = Schedule::default();
        assert_eq!(schedule.days, [1, 7, 14, 21]);
        assert_eq!(schedule.max_incrementals, 11);
        assert_eq!(schedule.max_chain_days, None);
        assert_eq!(schedule.expire_after_days, 90);
        assert!(schedule.catch_up);
    }

    #[test]
    fn a_chain_is_retained_until_it_can_have_been_deleted() {
        let schedule = Schedule {
            max_chain_days: Some(120),
            ..Schedule::default()
        };
        let full = NaiveDate::from_ymd_opt(2026, 1, 1).unwrap();
        // 120 + 90 + 7 days.
        let until = NaiveDate::from_ymd_opt(2026, 8, 6);
        assert_eq!(schedule.retained_until(full), until);
        assert_eq!(Schedule::default().retained_until(full), None);
    }
}
