//! What the service's list of jobs said of the archives in the vault.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};

use super::client::{JobState, VaultJob, VaultJobKind};

/// How long the output of a job can be read for sure, from when the job is done.
pub(super) const OUTPUT_LIVES: TimeDelta = TimeDelta::hours(24);

/// A list that is older is read again: jobs are done meanwhile, and another machine may have started one.
const RECENT: Duration = Duration::from_mins(1);

/// The jobs that retrieve whole archives.
#[derive(Debug)]
pub(super) struct JobsRead {
    at: Instant,
    /// The best job of each archive.
    best: HashMap<String, VaultJob>,
    /// Archives that were asked for since it was read. A second question reads the list again.
    asked: HashSet<String>,
    /// Archives whose jobs are being started.
    starting: HashSet<String>,
}

/// The state of an archive, as far as its jobs decide on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Retrieval {
    /// There is no job, or none whose output can be relied on.
    None,
    /// A job is running.
    InProgress,
    /// The job with this id has an output that can be read for sure until then.
    Until(String, DateTime<Utc>),
}

impl JobsRead {
    pub(super) fn new(jobs: Vec<VaultJob>, now: DateTime<Utc>) -> Self {
        let mut best: HashMap<String, VaultJob> = HashMap::new();
        for job in jobs {
            let VaultJobKind::Archive {
                archive,
                range: None,
            } = &job.kind
            else {
                continue;
            };
            let known = best.get(archive);
            if known.is_none_or(|known| rank(known, now) < rank(&job, now)) {
                best.insert(archive.clone(), job);
            }
        }
        Self {
            at: Instant::now(),
            best,
            asked: HashSet::new(),
            starting: HashSet::new(),
        }
    }

    /// Returns whether it answers the first question about this archive.
    pub(super) fn takes_question(&mut self, archive: &str) -> bool {
        self.asked.insert(archive.to_owned())
    }

    /// Returns whether it is recent enough to go by.
    pub(super) fn is_recent(&self) -> bool {
        self.at.elapsed() < RECENT
    }

    pub(super) fn of(&self, archive: &str, now: DateTime<Utc>) -> Retrieval {
        if self.starting.contains(archive) {
            return Retrieval::InProgress;
        }
        let Some(job) = self.best.get(archive) else {
            return Retrieval::None;
        };
        match job.state {
            JobState::InProgress => Retrieval::InProgress,
            JobState::Failed => Retrieval::None,
            JobState::Succeeded(_) => match until(job) {
                Some(until) if until > now => Retrieval::Until(job.id.clone(), until),
                _ => Retrieval::None,
            },
        }
    }

    /// Returns the id of a job whose output may be there, for sure or not.
    pub(super) fn output_of(&self, archive: &str) -> Option<String> {
        let job = self.best.get(archive)?;
        matches!(job.state, JobState::Succeeded(_)).then(|| job.id.clone())
    }

    /// Notes that a job for this archive is about to be started.
    pub(super) fn begins(&mut self, archive: &str) {
        self.starting.insert(archive.to_owned());
    }

    /// Notes how the start went.
    pub(super) fn began(&mut self, archive: &str, job: Option<VaultJob>) {
        self.starting.remove(archive);
        if let Some(job) = job {
            self.best.insert(archive.to_owned(), job);
        }
    }

    pub(super) fn starting(&self) -> HashSet<String> {
        self.starting.clone()
    }

    /// Takes over what another reading has begun.
    pub(super) fn also_starting(mut self, starting: HashSet<String>) -> Self {
        self.starting = starting;
        self
    }
}

/// When the output of a job may be gone.
fn until(job: &VaultJob) -> Option<DateTime<Utc>> {
    let JobState::Succeeded(completed) = job.state else {
        return None;
    };
    completed.or(job.created)?.checked_add_signed(OUTPUT_LIVES)
}

/// Which of an archive's jobs counts: the one with the most to be had of it.
fn rank(job: &VaultJob, now: DateTime<Utc>) -> (u8, Option<DateTime<Utc>>, Option<DateTime<Utc>>) {
    let end = until(job);
    let of_state = match job.state {
        JobState::Succeeded(_) if end.is_some_and(|end| end > now) => 3,
        JobState::InProgress => 2,
        JobState::Succeeded(_) => 1,
        JobState::Failed => 0,
    };
    (of_state, end, job.created)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(id: &str, range: Option<(u64, u64)>, state: JobState) -> VaultJob {
        VaultJob {
            id: id.to_owned(),
            kind: VaultJobKind::Archive {
                archive: "archive".to_owned(),
                range,
            },
            state,
            created: None,
            tree_hash: None,
            bytes: None,
        }
    }

    #[test]
    fn the_job_with_the_longest_output_counts_then_a_running_one() {
        let now: DateTime<Utc> = "2026-11-30T12:00:00Z".parse().unwrap();
        let hours = |hours| Some(now - TimeDelta::hours(hours));
        let old = job("old", None, JobState::Succeeded(hours(30)));
        let fresh = job("fresh", None, JobState::Succeeded(hours(2)));
        let older = job("older", None, JobState::Succeeded(hours(20)));
        let running = job("running", None, JobState::InProgress);
        let failed = job("failed", None, JobState::Failed);
        let part = job("part", Some((0, 9)), JobState::Succeeded(hours(1)));
        let until = |id: &str| Retrieval::Until(id.to_owned(), now + TimeDelta::hours(22));
        for (jobs, expected) in [
            (vec![], Retrieval::None),
            (vec![&part], Retrieval::None),
            (vec![&failed], Retrieval::None),
            (vec![&old], Retrieval::None),
            (vec![&failed, &running, &old], Retrieval::InProgress),
            (vec![&older, &fresh, &running, &part], until("fresh")),
            (vec![&running, &fresh, &older], until("fresh")),
        ] {
            let jobs: Vec<_> = jobs.into_iter().cloned().collect();
            let said = format!("{jobs:?}");
            assert_eq!(
                JobsRead::new(jobs, now).of("archive", now),
                expected,
                "{said}"
            );
        }
        let read = JobsRead::new(vec![old], now);
        assert_eq!(read.output_of("archive").as_deref(), Some("old"));
    }

    #[test]
    fn a_reading_answers_one_question_about_each_archive() {
        let mut read = JobsRead::new(Vec::new(), Utc::now());
        assert!(read.takes_question("a") && read.takes_question("b"));
        assert!(!read.takes_question("a"));
    }
}
