//! What a restore waits for while its segments thaw, in words.

use std::collections::BTreeSet;
use std::fmt;

use chrono::{DateTime, Utc};

use super::thaw_window::ThawWindow;
use crate::model::entry::Timestamp;
use crate::model::{SourceName, StorageClass, Tier};

/// The state of the segments that a restore needs, some of which can't be read yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Awaited {
    /// The source.
    pub source: SourceName,
    /// The name of the store that has the copy; `None` for home.
    pub place: Option<String>,
    /// How many segments are needed.
    pub segments: u64,
    /// How many of them can be read now.
    pub readable: u64,
    /// How many are being thawed.
    pub thawing: u64,
    /// How many are cold, and no thaw was requested for them.
    pub cold: u64,
    /// Classes and tiers of those being thawed; no tier if the thaw was requested elsewhere.
    pub by: BTreeSet<(StorageClass, Option<Tier>)>,
    /// When the last of those is typically readable; `None` if that is not known.
    pub due: Option<DateTime<Utc>>,
    /// How much is thawed at once, where the store sets a limit.
    pub window: Option<ThawWindow>,
    /// The store's clock at that moment.
    pub now: DateTime<Utc>,
}

impl fmt::Display for Awaited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = if self.segments == 1 { "" } else { "s" };
        write!(
            f,
            "{}: {} of {} segment{s} {} readable",
            self.source,
            self.readable,
            self.segments,
            are(self.readable)
        )?;
        if self.thawing > 0 {
            let by = self.by.iter().map(|(class, tier)| match tier {
                Some(tier) => format!("{class}, {tier}"),
                None => format!("{class}, asked for elsewhere"),
            });
            let by = by.collect::<Vec<_>>().join("; ");
            write!(f, ", {} {} thawing ({by})", self.thawing, are(self.thawing))?;
        }
        if self.cold > 0 {
            write!(f, ", {} {} cold", self.cold, are(self.cold))?;
        }
        Ok(())
    }
}

impl Awaited {
    /// What to do next.
    pub fn hint(&self) -> String {
        let place = self.place.as_ref();
        let place = place.map_or(String::new(), |place| format!(" --place {place}"));
        let ask = format!(
            "run `coldchain thaw {}{place}` to thaw what is cold",
            self.source.as_argument()
        );
        if self.thawing == 0 {
            return ask;
        }
        let again = "run the same command again";
        let on = "it continues where it stopped";
        let wait = match self.due.map(|due| (due > self.now, Timestamp(due))) {
            Some((true, due)) => format!("the last of them is due by {due}; then {again}: {on}"),
            Some((false, due)) => format!(
                "the last of them was due by {due}, but a thaw can take longer; {again} later: {on}"
            ),
            None => {
                format!("it is not known here when they are due; {again} later: {on}")
            }
        };
        match (self.cold, self.window) {
            (0, _) => wait,
            (_, None) => format!("{ask}; {wait}"),
            (_, Some(window)) => {
                format!("{wait}, and thaws the next segments: no more at once than {window}")
            }
        }
    }
}

fn are(n: u64) -> &'static str {
    if n == 1 { "is" } else { "are" }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn awaited(readable: u64, thawing: u64, cold: u64) -> Awaited {
        Awaited {
            source: "home".parse().unwrap(),
            place: None,
            segments: readable + thawing + cold,
            readable,
            thawing,
            cold,
            by: BTreeSet::from([(StorageClass::DeepArchive, Some(Tier::Bulk))]),
            due: Some("2026-11-23T03:00:00Z".parse().unwrap()),
            window: None,
            now: "2026-11-21T03:00:00Z".parse().unwrap(),
        }
    }

    #[test]
    fn a_thaw_under_way_is_told_with_its_numbers_and_its_end() {
        let awaited = awaited(40, 372, 0);
        assert_eq!(
            awaited.to_string(),
            "home: 40 of 412 segments are readable, 372 are thawing (DEEP_ARCHIVE, bulk)"
        );
        assert_eq!(
            awaited.hint(),
            "the last of them is due by 2026-11-23T03:00:00Z; then run the same command again: \
             it continues where it stopped"
        );
    }

    #[test]
    fn the_rest_is_thawed_by_the_next_run_where_not_all_may_be_thawed_at_once() {
        let mut awaited = awaited(0, 2, 3);
        awaited.window = Some(ThawWindow::new(Duration::from_hours(20), None));
        assert_eq!(
            awaited.hint(),
            "the last of them is due by 2026-11-23T03:00:00Z; then run the same command again: it continues where \
             it stopped, and thaws the next segments: no more at once than 703 GiB, what a line of 10.0 MiB/s \
             fetches in 20 hours"
        );
    }

    #[test]
    fn one_segment_is_one() {
        let mut awaited = awaited(0, 1, 0);
        awaited.by = BTreeSet::from([
            (StorageClass::Glacier, None),
            (StorageClass::DeepArchive, Some(Tier::Standard)),
        ]);
        assert_eq!(
            awaited.to_string(),
            "home: 0 of 1 segment are readable, 1 is thawing (GLACIER, asked for elsewhere; \
             DEEP_ARCHIVE, standard)"
        );
    }

    #[test]
    fn what_is_late_or_unknown_is_said_so() {
        let mut awaited = awaited(1, 2, 3);
        assert_eq!(
            awaited.to_string(),
            "home: 1 of 6 segments is readable, 2 are thawing (DEEP_ARCHIVE, bulk), 3 are cold"
        );
        awaited.now = "2026-11-24T00:00:00Z".parse().unwrap();
        assert_eq!(
            awaited.hint(),
            "run `coldchain thaw home` to thaw what is cold; the last of them was due by \
             2026-11-23T03:00:00Z, but a thaw can take longer; run the same command \
             again later: it continues where it stopped"
        );
        awaited.cold = 0;
        awaited.due = None;
        assert_eq!(
            awaited.hint(),
            "it is not known here when they are due; run the same command again later: it continues where it stopped"
        );
    }

    #[test]
    fn what_nobody_asked_for_is_to_be_asked_for() {
        let awaited = awaited(0, 0, 2);
        assert_eq!(
            awaited.to_string(),
            "home: 0 of 2 segments are readable, 2 are cold"
        );
        assert_eq!(
            awaited.hint(),
            "run `coldchain thaw home` to thaw what is cold"
        );
    }
}
