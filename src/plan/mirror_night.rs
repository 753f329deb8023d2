//! What a night would send to a mirror, as far as it is known without looking at the mirror.

use chrono::{DateTime, FixedOffset};

use super::mirror::{CopyThere, SnapshotHere, plan_mirror};
use super::snapshots::{KeepRun, KeepSnapshots};
use crate::model::{MirrorLocation, SnapshotName, Uuid};

/// What a night would send to a mirror.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MirrorNight {
    /// Where the mirror is.
    pub to: MirrorLocation,
    /// The snapshots that it would get, oldest first.
    pub send: Vec<SnapshotName>,
    /// The newest snapshot that both sides have as of the last run; `None` if the first one is sent in full.
    pub common: Option<SnapshotName>,
    /// Whether the mirror was ever used.
    pub was_used: bool,
}

/// The copies that a mirror has, as of the last run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedMirror {
    /// Where it is.
    pub to: MirrorLocation,
    /// Which copies it keeps.
    pub keep: KeepSnapshots,
    /// The copies: name, time and stream uuid; `None` if it was never used.
    pub copies: Option<Vec<(SnapshotName, DateTime<FixedOffset>, Uuid)>>,
}

/// Plans what a mirror would get of these snapshots, if nothing at the mirror has changed since the last run.
pub fn plan_mirror_night(
    here: &[SnapshotHere],
    mirror: &RecordedMirror,
    run: KeepRun,
) -> MirrorNight {
    let copies = mirror.copies.iter().flatten();
    let there: Vec<CopyThere> = copies
        .map(|(name, at, stream_uuid)| CopyThere {
            name: *name,
            at: *at,
            stream_uuid: *stream_uuid,
            is_intact: true,
        })
        .collect();
    let plan = plan_mirror(here, &there, &[], mirror.keep, run);
    let common = plan.common.last();
    let common = here
        .iter()
        .find(|snapshot| Some(&snapshot.stream_uuid) == common);
    MirrorNight {
        to: mirror.to.clone(),
        send: plan.send.iter().map(|snapshot| snapshot.name).collect(),
        common: common.map(|snapshot| snapshot.name),
        was_used: mirror.copies.is_some(),
    }
}

impl MirrorNight {
    /// Returns what would be sent, in words.
    pub fn in_words(&self) -> String {
        let what = match self.send.as_slice() {
            [] => return format!("{}: nothing to send as of the last run", self.to),
            [one] => one.to_string(),
            [one, other] => format!("{one} and {other}"),
            [first, .., last] => {
                format!("{} snapshots from {first} to {last}", self.send.len())
            }
        };
        let how = match (self.common, self.was_used) {
            (Some(common), _) => {
                format!("as of the last run its newest snapshot from here is {common}")
            }
            (None, true) => {
                "the first in full: as of the last run it has no snapshot that is still here"
                    .to_owned()
            }
            (None, false) => "the first in full: it was not used yet".to_owned(),
        };
        format!("{}: {what}; {how}", self.to)
    }
}

#[cfg(test)]
mod tests {
    use chrono::{NaiveDate, Utc};

    use super::*;

    fn date(day: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 11, day).unwrap()
    }

    fn at(day: u32) -> DateTime<FixedOffset> {
        let midnight = date(day).and_hms_opt(3, 0, 0).unwrap();
        midnight.and_local_timezone(Utc).unwrap().fixed_offset()
    }

    fn here(day: u8) -> SnapshotHere {
        SnapshotHere {
            name: SnapshotName::of_date(date(day.into())),
            at: at(day.into()),
            stream_uuid: Uuid([day; 16]),
        }
    }

    fn planned(snapshots: &[u8], copies: Option<&[u8]>, keep: u32) -> String {
        let here: Vec<_> = snapshots.iter().copied().map(here).collect();
        let copy = |day: &u8| {
            let name = SnapshotName::of_date(date((*day).into()));
            (name, at((*day).into()), Uuid([*day; 16]))
        };
        let mirror = RecordedMirror {
            to: "/mnt/second".parse().unwrap(),
            keep: KeepSnapshots::Newest(keep),
            copies: copies.map(|copies| copies.iter().map(copy).collect()),
        };
        let run = KeepRun {
            date: date(28),
            now: at(28),
            confirmed: true,
        };
        plan_mirror_night(&here, &mirror, run).in_words()
    }

    #[test]
    fn a_night_says_what_each_mirror_gets_and_what_that_is_sent_against() {
        let nights = [
            (
                planned(&[26, 27, 28], Some(&[26, 27]), 9),
                "2026-11-28; as of the last run its newest snapshot from here is 2026-11-27",
            ),
            (
                planned(&[26, 27, 28], Some(&[26]), 9),
                "2026-11-27 and 2026-11-28; as of the last run its newest snapshot from here is 2026-11-26",
            ),
            (
                planned(&[1, 2, 3, 4], Some(&[20]), 9),
                "4 snapshots from 2026-11-01 to 2026-11-04; the first in full: as of the last run it has no snapshot \
                 that is still here",
            ),
            (
                planned(&[26, 27, 28], None, 2),
                "2026-11-27 and 2026-11-28; the first in full: it was not used yet",
            ),
            (
                planned(&[27, 28], Some(&[27, 28]), 9),
                "nothing to send as of the last run",
            ),
        ];
        for (said, expected) in nights {
            assert_eq!(said, format!("/mnt/second: {expected}"));
        }
    }
}
