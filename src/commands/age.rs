//! How long ago archives were last found sound, in words.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use crate::catalog::VerificationRow;
use crate::model::entry::Timestamp;
use crate::model::{ArchiveId, VerifyLevel, VerifyOutcome};

/// When something was last found sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Verified {
    /// On any level.
    pub(super) at: Option<Timestamp>,
    /// With every byte read.
    pub(super) deep: Option<Timestamp>,
}

impl Verified {
    /// That nothing is known.
    pub(super) const NEVER: Self = Self {
        at: None,
        deep: None,
    };

    /// Each archive that was ever found sound.
    pub(super) fn each(checks: &[VerificationRow]) -> HashMap<ArchiveId, Self> {
        let mut each: HashMap<ArchiveId, Self> = HashMap::new();
        for check in checks {
            if check.outcome == VerifyOutcome::Sound {
                let verified = each.entry(check.archive).or_insert(Self::NEVER);
                // `None` is less than any moment.
                verified.at = verified.at.max(Some(check.at));
                if check.level >= VerifyLevel::Deep {
                    verified.deep = verified.deep.max(Some(check.at));
                }
            }
        }
        each
    }

    /// Several archives: when the one that was longest left alone was.
    pub(super) fn all(
        archives: impl Iterator<Item = ArchiveId>,
        each: &HashMap<ArchiveId, Self>,
    ) -> Self {
        archives
            .map(|archive| each.get(&archive).copied().unwrap_or(Self::NEVER))
            .reduce(|all, one| Self {
                at: all.at.min(one.at),
                deep: all.deep.min(one.deep),
            })
            .unwrap_or(Self::NEVER)
    }

    /// `verified 3 days ago (deep 40 days ago)`
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

/// `today`, `yesterday`, `3 days ago`: by 24 hours each.
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

    fn check(archive: &str, level: VerifyLevel, day: u32) -> VerificationRow {
        VerificationRow {
            archive: archive.parse().unwrap(),
            level,
            outcome: VerifyOutcome::Sound,
            at: moment(&format!("2026-10-{day:02}T03:00:00Z")),
        }
    }

    #[test]
    fn a_chain_is_as_old_as_the_archive_that_was_longest_left_alone() {
        let [full, incremental] = [
            "2026-08-07-full-5f0c9a12d4e6b801",
            "2026-08-14-incr-5f0c9a12d4e6b802",
        ];
        let now = moment("2026-10-30T04:00:00Z").0;
        let mut checks = vec![
            check(full, VerifyLevel::Listing, 29),
            check(full, VerifyLevel::Deep, 1),
        ];
        let in_words = |checks: &[VerificationRow]| {
            let archives = [full, incremental].map(|id| id.parse().unwrap());
            Verified::all(archives.into_iter(), &Verified::each(checks)).in_words(now)
        };
        assert_eq!(in_words(&checks), "not verified yet");
        checks.push(check(incremental, VerifyLevel::Checksums, 27));
        assert_eq!(in_words(&checks), "verified 3 days ago (never deep)");
        checks.push(check(incremental, VerifyLevel::Drill, 30));
        assert_eq!(in_words(&checks), "verified yesterday (deep 29 days ago)");
    }

    #[test]
    fn what_comes_from_a_clock_that_was_ahead_is_of_today() {
        let at = moment("2026-10-30T04:00:00Z");
        assert_eq!(ago(at, moment("2026-10-29T04:00:00Z").0), "today");
        assert_eq!(ago(at, moment("2026-10-31T03:59:59Z").0), "today");
    }
}
