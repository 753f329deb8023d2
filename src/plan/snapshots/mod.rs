//! Decides which of a source's local snapshots are kept.
//!
//! A snapshot that the next run needs is pinned, and is always kept: that of the newest archive, on which the
//! next incremental builds, and those of every unfinished attempt. So is one that coldchain did not make. The
//! config says which of the others are kept, to look back without a restore.

mod terms;
#[cfg(test)]
mod tests;

use std::fmt;

use chrono::{DateTime, FixedOffset, NaiveDate};

use super::retention::LONGEST_SILENCE_DAYS;
use crate::model::SnapshotName;

use terms::Span;
pub use terms::Terms;

/// A run may delete as many snapshots as this without a confirmation, and half of all.
const FEW: usize = 5;

/// Which snapshots a source keeps besides those that are pinned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeepSnapshots {
    /// None (`latest_only`).
    None,
    /// Those within every limit that is set.
    Within {
        /// Days from the run's date (`keep_snapshots_days`).
        days: Option<u32>,
        /// How many of the newest, the pinned ones included (`keep_snapshots`).
        newest: Option<u32>,
    },
    /// Those that are at most so many days old on the run's date (`keep_days`).
    Days(u32),
    /// So many of the newest (`keep = 14`).
    Newest(u32),
    /// One of each span that a term names (`keep = "24h 14d"`).
    Terms(Terms),
}

impl fmt::Display for KeepSnapshots {
    /// Writes it as the key `keep` takes it. The older settings have no such form.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Newest(newest) => newest.fmt(f),
            Self::Terms(terms) => terms.fmt(f),
            Self::Days(days) => write!(f, "{days} days"),
            Self::None => f.write_str("none"),
            Self::Within { .. } => f.write_str("the older settings"),
        }
    }
}

impl KeepSnapshots {
    /// Reads what the key `keep` takes: a number, or terms like `14d 8w`; `None` if it is neither.
    pub fn parse(text: &str) -> Option<Self> {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if is_number {
            let newest = text.parse().ok().filter(|it| (1..=1_000_000).contains(it));
            return newest.map(Self::Newest);
        }
        Terms::parse(text).map(Self::Terms)
    }

    /// What a source keeps if its config says nothing: the snapshots of 60 days.
    pub const DEFAULT: Self = Self::Within {
        days: Some(60),
        newest: None,
    };
}

/// A snapshot that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalSnapshot {
    /// The number of its row.
    pub id: i64,
    /// Its name.
    pub name: SnapshotName,
    /// When it was taken, by the clock of the source's time zone.
    pub at: DateTime<FixedOffset>,
    /// Whether it may be deleted at all.
    pub pin: Pin,
}

/// Whether a snapshot may be deleted at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pin {
    /// The next archive is sent against it.
    SendParent,
    /// An unfinished archive is of it, or is sent against it.
    Attempt,
    /// A mirror's next snapshot is sent against it.
    Mirror,
    /// No older setting deletes the newest where nothing else has it, or where a mirror is to get it.
    Newest,
    /// Nothing shows that coldchain made it.
    NotOurs,
    /// It may.
    Free,
}

impl Pin {
    /// Returns why it is kept, in words; `None` if nothing keeps it.
    fn reason(self) -> Option<&'static str> {
        match self {
            Self::SendParent => Some("the next archive is sent against it"),
            Self::Attempt => Some("an unfinished archive needs it"),
            Self::Mirror => Some("a mirror's next snapshot is sent against it"),
            Self::Newest => Some("the newest"),
            Self::NotOurs => Some("coldchain did not make it"),
            Self::Free => None,
        }
    }
}

/// The run that deletes snapshots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeepRun {
    /// Its date.
    pub date: NaiveDate,
    /// When it takes place.
    pub now: DateTime<FixedOffset>,
    /// Whether the user has confirmed that many snapshots are deleted.
    pub confirmed: bool,
}

/// Which snapshots stay and which go, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotPlan {
    /// Every snapshot, oldest first.
    pub fates: Vec<SnapshotFate>,
    /// Why those that expire are not deleted now, if they aren't.
    pub withheld: Option<Withheld>,
}

/// What happens to a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotFate {
    /// The number of its row.
    pub id: i64,
    /// Its name.
    pub name: SnapshotName,
    /// What happens to it.
    pub fate: KeepFate,
}

/// A snapshot that expires, as a line of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpiredSnapshot {
    /// Its name.
    pub name: SnapshotName,
    /// Why, in words.
    pub reason: String,
}

/// Whether a snapshot stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeepFate {
    /// It stays, for these reasons.
    Kept(Vec<String>),
    /// Nothing keeps it, for this reason.
    Expires(String),
}

/// Why snapshots that have expired are not deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Withheld {
    /// The clock shows a time before the newest snapshot was taken.
    ClockBehind {
        /// That snapshot.
        newest: SnapshotName,
    },
    /// They are more than half of all.
    TooMany {
        /// How many expire.
        expiring: usize,
        /// How many snapshots there are.
        of: usize,
    },
    /// The run's date is long after the newest snapshot before it, so the clock may have jumped.
    Silence {
        /// The date of that snapshot.
        last: NaiveDate,
        /// How many snapshots are not deleted for their age.
        expiring: usize,
    },
}

impl SnapshotPlan {
    /// Returns the snapshots that expire, oldest first, each with the reason.
    pub fn expiring(&self) -> impl Iterator<Item = (&SnapshotFate, &str)> {
        self.fates.iter().filter_map(|it| match &it.fate {
            KeepFate::Expires(reason) => Some((it, reason.as_str())),
            KeepFate::Kept(_) => None,
        })
    }

    /// Returns those of them that are deleted in this run.
    pub fn deleted(&self) -> impl Iterator<Item = (&SnapshotFate, &str)> {
        let all = !matches!(
            self.withheld,
            Some(Withheld::ClockBehind { .. } | Withheld::TooMany { .. })
        );
        self.expiring().filter(move |_| all)
    }
}

/// Decides which snapshots are deleted in a run.
///
/// With `keep` and `keep_days` nothing is deleted while the clock is behind the newest snapshot, nor, without a
/// confirmation, more than half of the snapshots if those are more than five. The older settings have their own
/// guard: none is deleted for its age after 35 days of silence.
pub fn plan_snapshots(
    mut snapshots: Vec<LocalSnapshot>,
    keep: KeepSnapshots,
    run: KeepRun,
) -> SnapshotPlan {
    snapshots.sort_by_key(|snapshot| (snapshot.at, snapshot.name));
    let pinned = |snapshot: &LocalSnapshot| snapshot.pin.reason().map(str::to_owned);
    let mut kept: Vec<Vec<String>> = snapshots
        .iter()
        .map(|snapshot| pinned(snapshot).into_iter().collect())
        .collect();
    match keep {
        KeepSnapshots::None | KeepSnapshots::Within { .. } => {
            return within(&snapshots, keep, run.date);
        }
        KeepSnapshots::Days(days) => {
            for (snapshot, kept) in snapshots.iter().zip(&mut kept) {
                let age = age(snapshot, run.date);
                if age <= i64::from(days) {
                    kept.push(format!("{} old, {days} are kept", days_of(age)));
                }
            }
        }
        KeepSnapshots::Newest(newest) => {
            for (place, kept) in kept.iter_mut().rev().take(newest as usize).enumerate() {
                kept.push(format!("{} of the newest {newest}", place + 1));
            }
        }
        KeepSnapshots::Terms(terms) => {
            for (unit, number) in terms.units() {
                let chosen = representatives(&snapshots, unit);
                for (place, chosen) in chosen.into_iter().rev().take(number).enumerate() {
                    kept[chosen].push(format!("{} {} of {number}", unit.noun(), place + 1));
                }
            }
        }
    }
    if let Some(newest) = kept.last_mut()
        && newest.is_empty()
    {
        newest.push("the newest".to_owned());
    }
    let fates = snapshots
        .iter()
        .zip(kept)
        .map(|(snapshot, kept)| {
            let fate = if kept.is_empty() {
                KeepFate::Expires(why_not(keep, age(snapshot, run.date)))
            } else {
                KeepFate::Kept(kept)
            };
            fate_of(snapshot, fate)
        })
        .collect();
    let mut plan = SnapshotPlan {
        fates,
        withheld: None,
    };
    let expiring = plan.expiring().count();
    plan.withheld = match snapshots.last() {
        _ if expiring == 0 => None,
        Some(newest) if newest.at > run.now => Some(Withheld::ClockBehind {
            newest: newest.name,
        }),
        _ if expiring > FEW && expiring > snapshots.len() / 2 && !run.confirmed => {
            Some(Withheld::TooMany {
                expiring,
                of: snapshots.len(),
            })
        }
        _ => None,
    };
    plan
}

/// Returns why a snapshot of that age is not kept.
fn why_not(keep: KeepSnapshots, age: i64) -> String {
    match keep {
        KeepSnapshots::None | KeepSnapshots::Within { .. } => {
            "the next run does not need it".to_owned()
        }
        KeepSnapshots::Days(days) => format!("{} old, {days} are kept", days_of(age)),
        KeepSnapshots::Newest(newest) => format!("the newest {newest} are kept"),
        KeepSnapshots::Terms(terms) => format!("keep = \"{terms}\" does not keep it"),
    }
}

fn fate_of(snapshot: &LocalSnapshot, fate: KeepFate) -> SnapshotFate {
    SnapshotFate {
        id: snapshot.id,
        name: snapshot.name,
        fate,
    }
}

fn age(snapshot: &LocalSnapshot, date: NaiveDate) -> i64 {
    (date - snapshot.name.date).num_days()
}

fn days_of(age: i64) -> String {
    match age {
        1 => "1 day".to_owned(),
        age => format!("{age} days"),
    }
}

/// Returns the place of the snapshot that stands for each span of a unit, oldest first: the span's last one, and
/// for a day or more its last nightly one, if it has any.
fn representatives(snapshots: &[LocalSnapshot], unit: Span) -> Vec<usize> {
    let mut chosen: Vec<usize> = Vec::new();
    let mut last = None;
    for (place, snapshot) in snapshots.iter().enumerate() {
        let span = Some(unit.span(&snapshot.at));
        if span != last {
            chosen.push(place);
            last = span;
        } else if let Some(chosen) = chosen.last_mut()
            && (unit == Span::Hour || snapshot.name.is_date() || !snapshots[*chosen].name.is_date())
        {
            *chosen = place;
        }
    }
    chosen
}

/// Decides by the settings of before `keep`, which keep their exact meaning.
///
/// None is deleted for its age in a run that is more than 35 days after the newest snapshot *before it*: a
/// clock that jumped ahead makes all of them look old at once.
fn within(snapshots: &[LocalSnapshot], keep: KeepSnapshots, date: NaiveDate) -> SnapshotPlan {
    let before = snapshots.iter().map(|snapshot| snapshot.name.date);
    let last = before.filter(|other| *other < date).max();
    let silence = last.filter(|last| (date - *last).num_days() > LONGEST_SILENCE_DAYS);
    let mut spared = 0;
    let mut fate = |place: usize, snapshot: &LocalSnapshot| {
        if let Some(reason) = snapshot.pin.reason() {
            return KeepFate::Kept(vec![reason.to_owned()]);
        }
        let KeepSnapshots::Within { days, newest } = keep else {
            return KeepFate::Expires(why_not(keep, 0));
        };
        let age = age(snapshot, date);
        let mut kept = Vec::new();
        if let Some(days) = days {
            let line = format!("{} old, {days} are kept", days_of(age));
            if age <= i64::from(days) {
                kept.push(line);
            } else if silence.is_none() {
                return KeepFate::Expires(line);
            }
        }
        if let Some(newest) = newest {
            if place >= newest as usize {
                return KeepFate::Expires(format!("the newest {newest} are kept"));
            }
            kept.push(format!("{} of the newest {newest}", place + 1));
        }
        if days.is_some_and(|days| age > i64::from(days)) {
            spared += 1;
            kept.push(format!(
                "{} old, but the clock may have jumped",
                days_of(age)
            ));
        }
        KeepFate::Kept(kept)
    };
    let mut fates: Vec<SnapshotFate> = snapshots
        .iter()
        .rev()
        .enumerate()
        .map(|(place, snapshot)| fate_of(snapshot, fate(place, snapshot)))
        .collect();
    fates.reverse();
    SnapshotPlan {
        fates,
        withheld: silence
            .filter(|_| spared > 0)
            .map(|last| Withheld::Silence {
                last,
                expiring: spared,
            }),
    }
}
