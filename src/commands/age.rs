//! How long ago archives were last found sound, in words.

use chrono::{DateTime, Utc};

use crate::model::entry::Timestamp;

/// When something was last found sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LastVerified {
    /// By a check on any level.
    pub(super) at: Option<Timestamp>,
    /// By a check that read every byte.
    pub(super) deep: Option<Timestamp>,
}

impl LastVerified {
    /// Returns the oldest of these times: `None` if one archive was never verified.
    pub(super) fn all(archives: impl Iterator<Item = Self>) -> Self {
        // `None` is less than any moment.
        let all = archives.reduce(|all, one| Self {
            at: all.at.min(one.at),
            deep: all.deep.min(one.deep),
        });
        all.unwrap_or(Self {
            at: None,
            deep: None,
        })
    }

    /// Returns a text such as `verified 3 days ago (deep 40 days ago)`.
    pub(super) fn in_words(self, now: DateTime<Utc>) -> String {
        let Some(at) = self.at else {
            return "not verified yet".to_owned();
        };
        let deep = match self.deep {
            None => "never deep".to_owned(),
            Some(deep) => format!("deep {}", ago(deep, now)),
        };
        format!("verified {} ({deep})", ago(at, now))
    }
}

/// Returns `today`, `yesterday` or `3 days ago`. A day is 24 hours.
pub(super) fn ago(at: Timestamp, now: DateTime<Utc>) -> String {
    match (now - at.0).num_days() {
        ..=0 => "today".to_owned(),
        1 => "yesterday".to_owned(),
        days => format!("{days} days ago"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_chain_is_as_old_as_the_archive_that_was_longest_left_alone() {
        let day = |day: Option<u32>| day.map(|day| moment(&format!("2026-10-{day:02}T03:00:00Z")));
        let now = moment("2026-10-30T04:00:00Z").0;
        let full = (Some(29), Some(1));
        for (incremental, words) in [
            ((None, None), "not verified yet"),
            ((Some(27), None), "verified 3 days ago (never deep)"),
            (
                (Some(30), Some(30)),
                "verified yesterday (deep 29 days ago)",
            ),
        ] {
            let archives = [full, incremental]
                .into_iter()
                .map(|(at, deep)| LastVerified {
                    at: day(at),
                    deep: day(deep),
                });
            assert_eq!(LastVerified::all(archives).in_words(now), words);
        }
        let none = LastVerified::all([].into_iter());
        assert_eq!(none.in_words(now), "not verified yet");
    }

    #[test]
    fn what_comes_from_a_clock_that_was_ahead_is_of_today() {
        let at = moment("2026-10-30T04:00:00Z");
        assert_eq!(ago(at, moment("2026-10-29T04:00:00Z").0), "today");
        assert_eq!(ago(at, moment("2026-10-31T03:59:59Z").0), "today");
    }
}
