//! How a large archive comes out of a vault: in parts, each by a job of its own, which are found again after a crash.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use crate::model::{TreeHash, VaultArchiveId};

/// The bytes of a part, all but the last: a power of two of MiB, so that the vault knows the tree hash of each.
pub const PART_BYTES: u64 = 1 << 30;

/// A part of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetrievalPart {
    /// Its number, from 0.
    pub index: u64,
    /// Its first byte in the archive.
    pub offset: u64,
    /// Its bytes.
    pub bytes: u64,
}

impl RetrievalPart {
    /// Its first and its last byte in the archive, as jobs name them.
    pub fn range(self) -> (u64, u64) {
        (self.offset, self.offset + self.bytes - 1)
    }
}

/// Returns the parts of an archive, of `part_bytes` each. An empty archive has none.
pub fn parts(archive_bytes: u64, part_bytes: u64) -> Vec<RetrievalPart> {
    (0..archive_bytes.div_ceil(part_bytes))
        .map(|index| {
            let offset = index * part_bytes;
            RetrievalPart {
                index,
                offset,
                bytes: part_bytes.min(archive_bytes - offset),
            }
        })
        .collect()
}

/// A retrieval job of a vault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetrievalJob {
    /// The vault's id of it.
    pub id: String,
    /// The archive.
    pub archive: VaultArchiveId,
    /// The first and the last byte that it retrieves; `None` for all.
    pub range: Option<(u64, u64)>,
    /// How many bytes these are, if the vault says so.
    pub bytes: Option<u64>,
    /// The tree hash of these bytes, if the vault says so.
    pub tree_hash: Option<TreeHash>,
    /// How far it is.
    pub state: RetrievalState,
}

/// How far a job is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RetrievalState {
    /// It takes hours.
    InProgress,
    /// Its output can be read for some time.
    Succeeded {
        /// When it was done, if the vault says so.
        at: Option<DateTime<Utc>>,
    },
    /// It failed.
    Failed,
}

/// What to do about a part that is not here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartStep<'a> {
    /// Read the output of this job.
    Fetch(&'a RetrievalJob),
    /// Wait for a job.
    Await,
    /// Start a job.
    Start {
        /// Whether one before it failed.
        again: bool,
    },
}

/// Decides what to do about a part, given all jobs of the vault in any order. `gone` has the ids of jobs whose output is
/// gone: no clock says so, because the vault may keep an output longer than it promises, and a job costs money.
pub fn part_step<'a>(
    archive: &VaultArchiveId,
    archive_bytes: u64,
    part: RetrievalPart,
    jobs: &'a [RetrievalJob],
    gone: &BTreeSet<String>,
) -> PartStep<'a> {
    let range = part.range();
    let is_its = |job: &&RetrievalJob| {
        let found = job.range.unwrap_or((0, archive_bytes.saturating_sub(1)));
        job.archive == *archive && found == range && !gone.contains(&job.id)
    };
    let its = || jobs.iter().filter(is_its);
    let done = its().filter_map(|job| match job.state {
        RetrievalState::Succeeded { at } => Some((at, job)),
        _ => None,
    });
    if let Some((_, job)) = done.max_by_key(|(at, _)| *at) {
        return PartStep::Fetch(job);
    }
    if its().any(|job| job.state == RetrievalState::InProgress) {
        return PartStep::Await;
    }
    PartStep::Start {
        again: its().any(|job| job.state == RetrievalState::Failed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(id: &str, range: Option<(u64, u64)>, state: RetrievalState) -> RetrievalJob {
        RetrievalJob {
            id: id.to_owned(),
            archive: "a".parse().unwrap(),
            range,
            bytes: None,
            tree_hash: None,
            state,
        }
    }

    #[test]
    fn parts_cover_the_archive_and_nothing_twice() {
        assert_eq!(parts(0, 10), []);
        for bytes in 1..60 {
            let parts = parts(bytes, 10);
            let mut next = 0;
            for (index, part) in parts.iter().enumerate() {
                assert_eq!((part.index, part.offset), (index as u64, next));
                assert!(part.bytes == 10 || index + 1 == parts.len());
                next = part.range().1 + 1;
            }
            assert_eq!(next, bytes);
        }
    }

    #[test]
    fn a_job_is_found_by_archive_and_range_and_never_started_twice() {
        let now: DateTime<Utc> = "2026-11-30T12:00:00Z".parse().unwrap();
        let at = |hours| RetrievalState::Succeeded {
            at: Some(now - chrono::TimeDelta::hours(hours)),
        };
        let failed = RetrievalState::Failed;
        let archive: VaultArchiveId = "a".parse().unwrap();
        let part = parts(25, 10)[1];
        let gone = BTreeSet::from(["gone".to_owned()]);
        let step = |jobs: &[RetrievalJob]| {
            format!("{:?}", super::part_step(&archive, 25, part, jobs, &gone))
        };
        let range = Some((10, 19));
        assert_eq!(step(&[]), "Start { again: false }");
        let others = [
            job("other part", Some((0, 9)), at(1)),
            job("all", None, RetrievalState::InProgress),
            RetrievalJob {
                archive: "b".parse().unwrap(),
                ..job("other archive", range, at(1))
            },
        ];
        assert_eq!(step(&others), "Start { again: false }");
        assert_eq!(step(&[job("gone", range, at(1))]), "Start { again: false }");
        assert_eq!(
            step(&[job("bad", range, failed.clone())]),
            "Start { again: true }"
        );
        let running = job("running", range, RetrievalState::InProgress);
        assert_eq!(step(&[job("bad", range, failed), running.clone()]), "Await");
        let both = [
            job("one", range, at(20)),
            job("newer", range, at(2)),
            running,
        ];
        assert!(step(&both).contains("newer"));
    }

    #[test]
    fn the_job_of_a_whole_archive_is_that_of_its_only_part() {
        let archive: VaultArchiveId = "a".parse().unwrap();
        let part = parts(25, 100)[0];
        for range in [None, Some((0, 24))] {
            let jobs = [job("whole", range, RetrievalState::InProgress)];
            let step = super::part_step(&archive, 25, part, &jobs, &BTreeSet::new());
            assert_eq!(step, PartStep::Await);
        }
    }
}
