//! Decides whether a night has anything to archive.

use super::facts::{Facts, Request};
use super::schedule::Schedule;

/// Returns why the night archives nothing; `None` if it archives something.
pub(super) fn why_nothing(facts: &Facts, schedule: &Schedule) -> Option<String> {
    let date = facts.date;
    let slot = schedule.slot_of(date);
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
    let dates = facts.history.archives.iter().map(|archive| archive.id.date);
    // A slot can have two archives if one of them was requested; the first one filled it.
    if let Some(filled) = dates.filter(|made| *made >= slot).min() {
        return Some(format!("the slot of {slot} was filled on {filled}"));
    }
    if !schedule.catch_up && !schedule.is_slot_day(date) {
        return Some(format!("the slot of {slot} is over, and catch_up is off"));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::plan_backup;
    use super::super::sample::{facts, history};
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
            (&[], "2026-11-15", "full", "none"),
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
