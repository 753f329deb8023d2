//! How a source stands, as this machine knows it. No store is asked, and nothing is changed.

mod alarming;
mod gather;

use chrono::{DateTime, NaiveDate, Utc};

pub use gather::status_of;

use crate::catalog::ThawCounts;
use crate::engine::copy::known::KnownCopy;
use crate::engine::copy::moved_away::MovedAway;
use crate::engine::mirror::known::KnownMirror;
use crate::model::entry::Timestamp;
use crate::model::{SnapshotName, SourceName};
use crate::plan::{Alarm, BackupPlan, CheckedAt, MeasuredArchive, PlaceCost, Usd};
use crate::run_records::EndedRun;

/// How a source stands.
#[derive(Debug)]
pub struct SourceStatus {
    /// Its name.
    pub name: SourceName,
    /// The store's URL; `None` if it keeps snapshots alone.
    pub store: Option<String>,
    /// The visible archives, by date.
    pub archives: Vec<MeasuredArchive>,
    /// The newest snapshot on this machine.
    pub newest_snapshot: Option<SnapshotName>,
    /// The newest chain.
    pub chain: Option<NewestChain>,
    /// The scheduled dates that no archive fills, and the next one.
    pub due: Option<DueSlots>,
    /// What a backup tonight would do; an error's words where that can't be said.
    pub tonight: Option<Result<BackupPlan, String>>,
    /// Archives that were begun and not finished.
    pub unfinished: Vec<UnfinishedArchive>,
    /// Thaws that are under way.
    pub thaws: ThawCounts,
    /// As of their last runs.
    pub mirrors: Vec<KnownMirror>,
    /// As of their last runs.
    pub copies: Vec<KnownCopy>,
    /// Where home is, if the config names a home of before.
    pub moved: Option<MovedAway>,
    /// The last pull; `None` if it is not pulled.
    pub pulled: Option<LastPull>,
    /// When it was checked.
    pub checked: CheckedAt,
    /// What each of its places costs; empty if that could not be read.
    pub costs: Vec<PlaceCost>,
    /// How the last run of each command on it has ended, in the order of the commands' names.
    pub runs: Vec<EndedRun>,
    /// What to look at, the most urgent first.
    pub alarms: Vec<Alarm>,
}

/// The newest chain of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewestChain {
    /// The date of its full.
    pub full: NaiveDate,
    /// How many incrementals it has.
    pub incrementals: usize,
    /// Bytes as stored.
    pub sealed_bytes: u64,
}

/// What is due, and what was missed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueSlots {
    /// Scheduled dates before today that no archive fills, oldest first.
    pub missed: Vec<NaiveDate>,
    /// The next scheduled date after today.
    pub next: NaiveDate,
    /// The first day on which it is overdue if nothing is archived; `None` before its first archive.
    pub overdue_from: Option<NaiveDate>,
}

/// The last pull of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastPull {
    /// When one last ended well; `None` for never.
    pub at: Option<Timestamp>,
}

/// An archive that was begun and not finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnfinishedArchive {
    /// Its date.
    pub date: NaiveDate,
    /// When it was begun.
    pub begun_at: Timestamp,
    /// Bytes of its stream that are stored.
    pub raw_bytes: u64,
}

impl SourceStatus {
    /// Returns what all its places cost each month; `None` if a price is not known.
    pub fn usd_a_month(&self) -> Option<Usd> {
        if self.costs.is_empty() {
            return None;
        }
        self.costs.iter().map(PlaceCost::usd_a_month).sum()
    }

    /// Returns the newest archive.
    pub fn newest(&self) -> Option<&MeasuredArchive> {
        self.archives.last()
    }

    /// Returns all bytes as stored.
    pub fn sealed_bytes(&self) -> u64 {
        self.archives.iter().map(|it| it.sealed_bytes).sum()
    }

    /// Returns whether archives that were due are missing: by its schedule, or because the newest is older than `max_age`. For
    /// a source without a store, its snapshots count.
    pub fn is_overdue(&self, max_age: Option<std::time::Duration>, now: DateTime<Utc>) -> bool {
        let Some(max_age) = max_age else {
            return self.alarms.iter().any(|alarm| alarm.kind.is_late());
        };
        let max_age = chrono::TimeDelta::from_std(max_age).unwrap_or(chrono::TimeDelta::MAX);
        let newest = if self.store.is_some() {
            self.newest().map(|newest| newest.date)
        } else {
            self.newest_snapshot.map(|newest| newest.date)
        };
        newest.is_none_or(|newest| age(newest, now) > max_age)
    }
}

/// Returns how old an archive or snapshot is, counted from the beginning of its date in UTC; negative for a date to come.
pub fn age(date: NaiveDate, now: DateTime<Utc>) -> chrono::TimeDelta {
    now - date.and_time(chrono::NaiveTime::MIN).and_utc()
}
