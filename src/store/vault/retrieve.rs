//! Retrieval jobs, which are this store's thaw, and their output.

use std::sync::{MutexGuard, PoisonError};

use super::VaultStore;
use super::client::{JobRequest, JobState, OutputRequest, StartedJob, VaultJob, VaultJobKind};
use super::jobs_read::{JobsRead, Retrieval};
use crate::model::{StorageClass, Tier, VaultLocator};
use crate::store::error::{ErrorKind, Operation, StoreError};
use crate::store::{Readability, ThawAnswer};

const CLASS: StorageClass = StorageClass::Vault;

/// The memory that a read begins with, in bytes.
const FIRST: u64 = 1 << 20;

impl VaultStore<'_> {
    fn jobs(&self) -> MutexGuard<'_, Option<JobsRead>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the list of jobs. The caller holds the lock, so other threads wait for the answer.
    fn read_jobs<'j>(
        &self,
        known: &'j mut Option<JobsRead>,
        subject: &str,
    ) -> Result<&'j mut JobsRead, StoreError> {
        let jobs = self.client.jobs(subject)?;
        let starting = known.as_ref().map(JobsRead::starting).unwrap_or_default();
        let read = JobsRead::new(jobs, self.client.time()).also_starting(starting);
        Ok(known.insert(read))
    }

    pub(super) fn readability_of(&self, at: &VaultLocator) -> Result<Readability, StoreError> {
        let archive = at.segment.id.as_str();
        let mut jobs = self.jobs();
        let answers = jobs
            .as_mut()
            .is_some_and(|read| read.is_recent() && read.takes_question(archive));
        if !answers {
            self.read_jobs(&mut jobs, &at.key)?.takes_question(archive);
        }
        let read = jobs.as_ref().expect("it was read");
        Ok(match read.of(archive, self.client.time()) {
            Retrieval::None => Readability::Cold(CLASS),
            Retrieval::InProgress => Readability::Thawing(CLASS),
            Retrieval::Until(_, until) => Readability::Until(CLASS, until),
        })
    }

    /// Starts a job, unless there is one whose output can be relied on.
    pub(super) fn retrieve(&self, at: &VaultLocator, tier: Tier) -> Result<ThawAnswer, StoreError> {
        let archive = at.segment.id.as_str();
        {
            let mut jobs = self.jobs();
            if !jobs.as_ref().is_some_and(JobsRead::is_recent) {
                self.read_jobs(&mut jobs, &at.key)?;
            }
            let read = jobs.as_mut().expect("it was read");
            if read.of(archive, self.client.time()) != Retrieval::None {
                return Ok(ThawAnswer::Running);
            }
            read.begins(archive);
        }
        let request = JobRequest::Archive {
            archive: archive.to_owned(),
            range: None,
            tier,
        };
        let asked = self.client.start(&at.key, &request);
        let job = match &asked {
            Ok(StartedJob::Started(id)) => Some(VaultJob {
                id: id.clone(),
                kind: VaultJobKind::Archive {
                    archive: archive.to_owned(),
                    range: None,
                },
                state: JobState::InProgress,
                created: Some(self.client.time()),
                tree_hash: None,
                bytes: None,
            }),
            Ok(StartedJob::Found(job)) => Some(job.clone()),
            Err(_) => None,
        };
        if let Some(read) = self.jobs().as_mut() {
            read.began(archive, job);
        }
        Ok(match asked? {
            StartedJob::Started(_) => ThawAnswer::Accepted,
            StartedJob::Found(_) => ThawAnswer::Running,
        })
    }

    /// Reads an archive, or a part of it, from the output of a job.
    pub(super) fn read(
        &self,
        at: &VaultLocator,
        part: Option<(u64, u64)>,
        max_bytes: u64,
    ) -> Result<Vec<u8>, StoreError> {
        let known = self
            .known_segment(Operation::Get, &at.key)?
            .filter(|known| known.locator == *at);
        if let Some(known) = known {
            let end = match part {
                None if known.bytes > max_bytes => {
                    return Err(self.error(ErrorKind::TooLarge, Operation::Get, &at.key));
                }
                None => 0,
                Some((offset, len)) => offset.saturating_add(len),
            };
            if end > known.bytes {
                return Err(self.error(ErrorKind::TooShort, Operation::Get, &at.key));
            }
        }
        if let Some((_, 0)) = part {
            return Ok(Vec::new());
        }
        let archive = at.segment.id.as_str();
        let mut jobs = self.jobs();
        let had = jobs.as_ref().and_then(|read| read.output_of(archive));
        let is_old = had.is_some();
        let job = if had.is_some() {
            had
        } else {
            let read = self.read_jobs(&mut jobs, &at.key)?;
            // The next question wants to know whether this has changed.
            read.takes_question(archive);
            read.output_of(archive)
        };
        drop(jobs);
        let Some(job) = job else {
            return Err(self.error(ErrorKind::Cold, Operation::Get, &at.key));
        };
        match self.read_output(at, &job, part, max_bytes) {
            // The output that was known is gone. There may be a newer one.
            Err(error) if error.kind == ErrorKind::Cold && is_old => {
                let mut jobs = self.jobs();
                let newer = self.read_jobs(&mut jobs, &at.key)?.output_of(archive);
                drop(jobs);
                match newer.filter(|newer| *newer != job) {
                    Some(newer) => self.read_output(at, &newer, part, max_bytes),
                    None => Err(error),
                }
            }
            Err(error) if error.kind == ErrorKind::Cold => {
                // The next question has to read the list again.
                *self.jobs() = None;
                Err(error)
            }
            read => read,
        }
    }

    fn read_output(
        &self,
        at: &VaultLocator,
        job: &str,
        part: Option<(u64, u64)>,
        max_bytes: u64,
    ) -> Result<Vec<u8>, StoreError> {
        let mut bytes = Vec::with_capacity(usize::try_from(max_bytes.min(FIRST)).unwrap_or(0));
        let request = OutputRequest {
            subject: &at.key,
            job,
            part,
            tree_hash: part.is_none().then_some(at.segment.tree_hash),
            max_bytes,
        };
        self.client.output(&request, &mut bytes)?;
        Ok(bytes)
    }
}
