//! Decides whether a night has anything to archive.

use chrono::NaiveDate;

use super::facts::{Facts, Request};
use super::history::History;
use super::schedule::Schedule;

/// Returns why the night archives nothing; `None` if it archives something.
pub(super) fn why_nothing(facts: &Facts, schedule: &Schedule) -> Option<String> {
    let date = facts.date;
    let newest = facts.history.newest().map(|newest| newest.id.date);
    match newest {
        Some(newest) if newest > date => {
            return Some(format!("there is a later archive, of {newest}"));
        }
        Some(newest) if newest == date && facts.request == Request::Full => {
            return Some("the date is archived already".to_owned());
        }
        _ => {}
    }
    if facts.request == Request::Full {
        return None;
    }
    why_not_due(&facts.history, date, schedule)
}

/// Returns why a date before the newest archive lacks no archive: its slot was filled, or it was not due. `None` if
/// there is no later archive, or if the date lacks one, which can't be made any more.
pub fn nothing_missed(history: &History, date: NaiveDate, schedule: &Schedule) -> Option<String> {
    let newest = history.newest()?;
    if newest.id.date <= date {
        return None;
    }
    why_not_due(history, date, schedule)
}

fn why_not_due(history: &History, date: NaiveDate, schedule: &Schedule) -> Option<String> {
    let slot = schedule.slot_of(date);
    let next = schedule.next_slot_after(date);
    let dates = history.archives.iter().map(|archive| archive.id.date);
    // A slot can have two archives if one of them was requested; the first one filled it.
    if let Some(filled) = dates.filter(|made| (slot..next).contains(made)).min() {
        return Some(format!("the slot of {slot} was filled on {filled}"));
    }
    // Without any archive the source is unprotected, so its first one does not wait for a scheduled day.
    if history.newest().is_some() && !schedule.catch_up && !schedule.is_slot_day(date) {
        return Some(format!("the slot of {slot} is over, and catch_up is off"));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::plan_backup;
    use super::super::sample::{date, facts, history};
    use super::*;

    /// The plan as `action: reason`.
    fn planned(facts: &Facts, schedule: &Schedule) -> String {
        let plan = plan_backup(facts, schedule).unwrap();
        format!("{}: {}", plan.action, plan.reason)
    }

    #[test]
    fn a_slot_is_filled_once_and_a_missed_one_is_made_good_if_catch_up_is_on() {
        let chain: &[&str] = &["2026-10-21", "2026-11-07"];
        let cases = [
            // newest archive, night, the action with catch_up, and without
            (chain, "2026-11-07", "none", "none"),
            (chain, "2026-11-13", "none", "none"),
            (chain, "2026-11-14", "incremental", "incremental"),
            (chain, "2026-11-15", "incremental", "none"),
            (chain, "2026-11-20", "incremental", "none"),
            (chain, "2026-11-21", "incremental", "incremental"),
            // two slots were missed: one archive
            (chain, "2026-11-30", "incremental", "none"),
            // filled late, by catching up
            (&["2026-11-16"], "2026-11-17", "none", "none"),
            (&["2026-11-16"], "2026-11-21", "incremental", "incremental"),
            // over month and year ends
            (&["2026-12-21"], "2026-12-31", "none", "none"),
            (&["2026-12-21"], "2027-01-01", "incremental", "incremental"),
            (&["2026-12-20"], "2026-12-31", "incremental", "none"),
            (&["2027-12-31"], "2028-01-01", "incremental", "incremental"),
            (&["2028-02-29"], "2028-03-01", "incremental", "incremental"),
            (&["2028-02-21"], "2028-02-29", "none", "none"),
            // nothing yet
            (&[], "2026-11-14", "full", "full"),
            (&[], "2026-11-15", "full", "full"),
        ];
        let [on, off] = [true, false].map(|catch_up| Schedule {
            catch_up,
            ..Schedule::default()
        });
        for (made, night, with, without) in cases {
            let facts = facts(night, history(&[made]));
            for (schedule, action) in [(&on, with), (&off, without)] {
                let plan = plan_backup(&facts, schedule).unwrap();
                assert_eq!(plan.action.as_str(), action, "{made:?} {night}");
            }
        }
    }

    #[test]
    fn nothing_to_do_is_said_with_its_reason() {
        let off = Schedule {
            catch_up: false,
            ..Schedule::default()
        };
        let made = history(&[&["2026-11-14", "2026-11-21"]]);
        for (night, schedule, reason) in [
            (
                "2026-11-21",
                Schedule::default(),
                "the slot of 2026-11-21 was filled on 2026-11-21",
            ),
            (
                "2026-11-30",
                Schedule::default(),
                "the slot of 2026-11-21 was filled on 2026-11-21",
            ),
            (
                "2026-11-20",
                Schedule::default(),
                "there is a later archive, of 2026-11-21",
            ),
            (
                "2026-11-14",
                Schedule::default(),
                "there is a later archive, of 2026-11-21",
            ),
            (
                "2026-12-02",
                off,
                "the slot of 2026-12-01 is over, and catch_up is off",
            ),
        ] {
            let facts = facts(night, made.clone());
            assert_eq!(planned(&facts, &schedule), format!("none: {reason}"));
        }
    }

    #[test]
    fn the_first_of_two_archives_in_a_slot_is_the_one_that_filled_it() {
        let facts = facts("2026-11-30", history(&[&["2026-11-21"], &["2026-11-25"]]));
        assert_eq!(
            planned(&facts, &Schedule::default()),
            "none: the slot of 2026-11-21 was filled on 2026-11-21"
        );
    }

    #[test]
    fn a_date_before_the_newest_archive_lacks_nothing_if_its_slot_was_filled_or_it_was_not_due() {
        let made = history(&[&["2026-11-01", "2026-11-16"], &["2026-11-21"]]);
        let [on, off] = [true, false].map(|catch_up| Schedule {
            catch_up,
            ..Schedule::default()
        });
        let filled =
            |slot: &str, made: &str| Some(format!("the slot of {slot} was filled on {made}"));
        let over = |slot: &str| Some(format!("the slot of {slot} is over, and catch_up is off"));
        for (night, with, without) in [
            ("2026-11-01", filled("2026-11-01", "2026-11-01"), None),
            ("2026-11-03", filled("2026-11-01", "2026-11-01"), None),
            // its slot was filled later
            ("2026-11-14", filled("2026-11-14", "2026-11-16"), None),
            ("2026-11-20", filled("2026-11-14", "2026-11-16"), None),
            // missed
            ("2026-11-07", None, None),
            ("2026-11-08", None, over("2026-11-07")),
            ("2026-10-31", None, over("2026-10-21")),
            // not before the newest
            ("2026-11-21", None, None),
            ("2026-11-22", None, None),
        ] {
            let night = date(night);
            assert_eq!(nothing_missed(&made, night, &on), with, "{night}");
            let without = without.or(with);
            assert_eq!(nothing_missed(&made, night, &off), without, "{night}");
        }
        assert_eq!(
            nothing_missed(&History::default(), date("2026-11-21"), &on),
            None
        );
    }

    #[test]
    fn a_slot_of_a_day_that_the_month_lacks_is_not_due() {
        let last = Schedule {
            days: vec![31],
            ..Schedule::default()
        };
        let made = history(&[&["2027-01-31"]]);
        for (night, action) in [
            ("2027-02-28", "none"),
            ("2027-03-01", "none"),
            ("2027-03-30", "none"),
            ("2027-03-31", "incremental"),
            ("2027-04-01", "incremental"),
        ] {
            let plan = plan_backup(&facts(night, made.clone()), &last).unwrap();
            assert_eq!(plan.action.as_str(), action, "{night}");
        }
    }
}
