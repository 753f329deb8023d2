//! What sources cost each month, as of earlier days.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use crate::model::SourceName;

/// The days between two samples, and how many are kept.
const DAYS_APART: i64 = 7;
const KEPT: usize = 53;

/// How many days ago "a month before" is, at least.
const A_MONTH: i64 = 28;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CostSample {
    source: SourceName,
    on: NaiveDate,
    usd_micros: u64,
}

pub(super) fn note(
    samples: &mut Vec<CostSample>,
    source: &SourceName,
    on: NaiveDate,
    usd_micros: u64,
) {
    // A clock that was ahead for a day must not keep all later samples out.
    samples.retain(|it| it.source != *source || it.on <= on);
    let of_it = samples.iter().filter(|it| it.source == *source);
    let newest = of_it.clone().map(|it| it.on).max();
    if newest.is_some_and(|newest| (on - newest).num_days() < DAYS_APART) {
        return;
    }
    if of_it.count() >= KEPT
        && let Some(oldest) = samples.iter().position(|it| it.source == *source)
    {
        samples.remove(oldest);
    }
    samples.push(CostSample {
        source: source.clone(),
        on,
        usd_micros,
    });
}

pub(super) fn a_month_before(
    samples: &[CostSample],
    source: &SourceName,
    day: NaiveDate,
) -> Option<u64> {
    let old = samples
        .iter()
        .filter(|it| it.source == *source && (day - it.on).num_days() >= A_MONTH);
    old.max_by_key(|it| it.on).map(|it| it.usd_micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_a_week_is_kept_and_the_one_a_month_ago_found() {
        let source: SourceName = "home".parse().unwrap();
        let day = |at: u64| {
            let first = NaiveDate::from_ymd_opt(2026, 1, 1).unwrap();
            first.checked_add_days(chrono::Days::new(at)).unwrap()
        };
        let mut samples = Vec::new();
        assert_eq!(a_month_before(&samples, &source, day(0)), None);
        for at in 0..1000 {
            note(&mut samples, &source, day(at), at);
        }
        assert_eq!(samples.len(), KEPT);
        assert_eq!(a_month_before(&samples, &source, day(999)), Some(966));
        // The clock was ahead.
        note(&mut samples, &source, day(100_000), 1);
        note(&mut samples, &source, day(1001), 2);
        assert_eq!(samples.last().unwrap().usd_micros, 2);
    }
}
