//! Retrieval jobs: they are started, and found again in the service's list.

use aws_sdk_glacier::Client;
use aws_sdk_glacier::types::{ActionCode, GlacierJobDescription, JobParameters, StatusCode};
use chrono::{DateTime, Utc};

use super::judge::judge;
use super::vaults::{no_vault, time};
use super::{ACCOUNT, VaultClient};
use crate::model::{Tier, TreeHash};
use crate::store::aws::{Answer, Judged, Pages};
use crate::store::error::{ErrorKind, Operation, StoreError};
use crate::store::retry::Again;

/// The description of the jobs that coldchain starts.
const DESCRIPTION: &str = "coldchain";

/// The memory of a job besides its ids, in bytes.
const JOB: usize = size_of::<VaultJob>() + 64;

/// A job of a vault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VaultJob {
    /// The service's id of it.
    pub id: String,
    /// What it retrieves.
    pub kind: VaultJobKind,
    /// Its state.
    pub state: JobState,
    /// When it was started.
    pub created: Option<DateTime<Utc>>,
    /// The tree hash of its output, if the service gives it.
    pub tree_hash: Option<TreeHash>,
    /// The bytes of its output, if the service gives them.
    pub bytes: Option<u64>,
}

/// What a job retrieves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VaultJobKind {
    /// An archive, or a part of it.
    Archive {
        /// Its id.
        archive: String,
        /// The first byte and the last; `None` for the whole archive.
        range: Option<(u64, u64)>,
    },
    /// The inventory as JSON: all of it, or what another program's request has left of it.
    Inventory {
        /// Whether it is all of it.
        is_whole: bool,
    },
    /// Anything else.
    Other,
}

/// The state of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobState {
    /// It is running.
    InProgress,
    /// Its output can be read for 24 hours from then on, and maybe longer. `None` if the service does not say when.
    Succeeded(Option<DateTime<Utc>>),
    /// It has no output.
    Failed,
}

/// A job to be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobRequest {
    /// The retrieval of an archive.
    Archive {
        /// Its id.
        archive: String,
        /// The first byte and the last, at borders of MiB; `None` for the whole archive.
        range: Option<(u64, u64)>,
        /// The tier.
        tier: Tier,
    },
    /// The retrieval of the inventory.
    Inventory,
}

/// The answer to a request for a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartedJob {
    /// It was started, and has this id.
    Started(String),
    /// An earlier request has started it, whose answer was lost.
    Found(VaultJob),
}

impl JobRequest {
    /// Returns whether this job does what is asked for, or has done it.
    pub fn is_met_by(&self, job: &VaultJob) -> bool {
        if job.state == JobState::Failed {
            return false;
        }
        match (self, &job.kind) {
            (
                Self::Archive { archive, range, .. },
                VaultJobKind::Archive {
                    archive: of,
                    range: part,
                },
            ) => archive == of && range == part,
            (Self::Inventory, VaultJobKind::Inventory { is_whole }) => *is_whole,
            _ => false,
        }
    }

    fn parameters(&self) -> JobParameters {
        let parameters = JobParameters::builder().description(DESCRIPTION);
        match self {
            Self::Archive {
                archive,
                range,
                tier,
            } => parameters
                .r#type("archive-retrieval")
                .archive_id(archive)
                .set_retrieval_byte_range(range.map(|(from, to)| format!("{from}-{to}")))
                .tier(match tier {
                    Tier::Expedited => "Expedited",
                    Tier::Standard => "Standard",
                    Tier::Bulk => "Bulk",
                }),
            Self::Inventory => parameters.r#type("inventory-retrieval").format("JSON"),
        }
        .build()
    }
}

impl VaultClient<'_> {
    /// Lists all jobs that the service knows, to the last page.
    pub fn jobs(&self, subject: &str) -> Result<Vec<VaultJob>, StoreError> {
        self.run(async {
            let mut list = JobList::within(self);
            while list.is_open {
                self.requests
                    .persevere(Operation::List, subject, async |client, _| {
                        self.read_page(client, &mut list).await
                    })
                    .await?;
            }
            Ok(list.jobs)
        })
    }

    /// Starts a job. A second one is not started if the answer to the first request was lost.
    pub fn start(&self, subject: &str, request: &JobRequest) -> Result<StartedJob, StoreError> {
        self.run(async {
            // Outside of the attempt, so that it does not look like a line that has stalled. Later attempts have pauses
            // of their own.
            tokio::time::sleep(self.thaws.turn()).await;
            let mut is_unsure = false;
            let asked = Box::pin(self.requests.persevere(
                Operation::Thaw,
                subject,
                async |client, _| {
                    if is_unsure && let Some(job) = self.find(client, request).await? {
                        return Ok(StartedJob::Found(job));
                    }
                    let sent = client
                        .initiate_job()
                        .account_id(ACCOUNT)
                        .vault_name(&self.settings.vault)
                        .job_parameters(request.parameters())
                        .send()
                        .await;
                    let id = match sent {
                        Ok(started) => started.job_id,
                        Err(error) => {
                            let judged = judge(&error);
                            if judged.answer.asks_for_less() {
                                self.thaws.slow_down();
                            }
                            is_unsure |= judged.kind == ErrorKind::Unavailable;
                            return Err(judged);
                        }
                    };
                    let Some(id) = id.filter(|id| is_job_id(id)) else {
                        is_unsure = true;
                        return Err(Judged::damaged("it gave the job no id that can be used"));
                    };
                    Ok(StartedJob::Started(id))
                },
            ))
            .await;
            if let Err(error) = &asked
                && error.is_not_found()
            {
                self.require_vault(Operation::Thaw, subject).await?;
            }
            asked
        })
    }

    /// Finds a job that does what is asked for.
    async fn find(
        &self,
        client: &Client,
        request: &JobRequest,
    ) -> Result<Option<VaultJob>, Judged> {
        let mut list = JobList::within(self);
        while list.is_open {
            self.read_page(client, &mut list).await?;
        }
        let mut jobs = list.jobs.into_iter();
        Ok(jobs.find(|job| request.is_met_by(job)))
    }

    async fn read_page(&self, client: &Client, list: &mut JobList) -> Result<(), Judged> {
        let page = client
            .list_jobs()
            .account_id(ACCOUNT)
            .vault_name(&self.settings.vault)
            .set_marker(list.marker.clone())
            .send()
            .await
            .map_err(|error| no_vault(judge(&error)))?;
        let found = page.job_list();
        for job in found {
            list.add(job)?;
        }
        match page.marker().filter(|marker| !marker.is_empty()) {
            None => list.is_open = false,
            Some(marker) => {
                list.pages.turn(marker, found.len())?;
                list.marker = Some(marker.to_owned());
            }
        }
        Ok(())
    }
}

/// A list of jobs that is being read.
struct JobList {
    jobs: Vec<VaultJob>,
    bytes: usize,
    limit: usize,
    marker: Option<String>,
    pages: Pages,
    is_open: bool,
}

impl JobList {
    fn within(client: &VaultClient<'_>) -> Self {
        let limit = client.settings.listing_bytes;
        Self {
            jobs: Vec::new(),
            bytes: 0,
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            marker: None,
            pages: Pages::within(client.settings.patience.longest(0)),
            is_open: true,
        }
    }

    fn add(&mut self, described: &GlacierJobDescription) -> Result<(), Judged> {
        let Some(job) = read(described) else {
            return Ok(());
        };
        let archive = match &job.kind {
            VaultJobKind::Archive { archive, .. } => archive.len(),
            _ => 0,
        };
        self.bytes += JOB + job.id.len() + archive;
        if self.bytes > self.limit {
            let what = format!(
                "it listed {} jobs and has more; a listing may take {} MiB, two fifths of `memory_limit`",
                self.jobs.len(),
                self.limit >> 20
            );
            let answer = Answer::said(what);
            return Err(Judged::new(ErrorKind::TooMany, Again::No, answer));
        }
        self.jobs.push(job);
        Ok(())
    }
}

/// Returns whether this can be a job's id. It becomes a part of a path.
fn is_job_id(id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    (1..=256).contains(&id.len()) && id.bytes().all(plain)
}

/// Reads a job in a list; `None` if it can't be named.
fn read(job: &GlacierJobDescription) -> Option<VaultJob> {
    let id = job.job_id().filter(|id| is_job_id(id))?;
    let state = match job.status_code() {
        Some(StatusCode::Succeeded) => JobState::Succeeded(job.completion_date().and_then(time)),
        Some(StatusCode::InProgress) => JobState::InProgress,
        Some(StatusCode::Failed) => JobState::Failed,
        // Not every imitation of the service says it.
        _ if job.completed() => JobState::Succeeded(job.completion_date().and_then(time)),
        _ => JobState::InProgress,
    };
    let archive_bytes = job.archive_size_in_bytes().and_then(positive);
    let (kind, bytes) = match job.action() {
        Some(ActionCode::ArchiveRetrieval) => {
            let range = job.retrieval_byte_range().map(parse_range);
            // One that can't be read is no whole archive, and no range that anybody asked for.
            let range = match range {
                None => None,
                Some(None) => return Some(other(id, state)),
                Some(Some((0, last))) if archive_bytes == Some(last.saturating_add(1)) => None,
                Some(range) => range,
            };
            let bytes = match range {
                None => archive_bytes,
                Some((from, to)) => to.checked_sub(from).and_then(|bytes| bytes.checked_add(1)),
            };
            let archive = job.archive_id().unwrap_or_default().to_owned();
            (VaultJobKind::Archive { archive, range }, bytes)
        }
        Some(ActionCode::InventoryRetrieval) => {
            let is_whole = job.inventory_retrieval_parameters().is_none_or(|part| {
                part.start_date().is_none()
                    && part.end_date().is_none()
                    && part.limit().is_none()
                    && part.marker().is_none()
                    && part.format().is_none_or(|format| format == "JSON")
            });
            let bytes = job.inventory_size_in_bytes().and_then(positive);
            (VaultJobKind::Inventory { is_whole }, bytes)
        }
        _ => (VaultJobKind::Other, None),
    };
    Some(VaultJob {
        id: id.to_owned(),
        kind,
        state,
        created: job.creation_date().and_then(time),
        tree_hash: job.sha256_tree_hash().and_then(|text| text.parse().ok()),
        bytes,
    })
}

fn other(id: &str, state: JobState) -> VaultJob {
    VaultJob {
        id: id.to_owned(),
        kind: VaultJobKind::Other,
        state,
        created: None,
        tree_hash: None,
        bytes: None,
    }
}

fn positive(bytes: i64) -> Option<u64> {
    u64::try_from(bytes).ok().filter(|bytes| *bytes > 0)
}

fn parse_range(text: &str) -> Option<(u64, u64)> {
    let (from, to) = text.split_once('-')?;
    Some((from.parse().ok()?, to.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(range: Option<&str>, size: i64) -> Option<VaultJob> {
        read(
            &GlacierJobDescription::builder()
                .job_id("job")
                .action(ActionCode::ArchiveRetrieval)
                .archive_id("archive")
                .set_retrieval_byte_range(range.map(str::to_owned))
                .archive_size_in_bytes(size)
                .status_code(StatusCode::InProgress)
                .build(),
        )
    }

    #[test]
    fn a_job_of_all_bytes_is_one_of_the_whole_archive() {
        let whole = |range| JobRequest::Archive {
            archive: "archive".to_owned(),
            range,
            tier: Tier::Bulk,
        };
        for (range, size, expected) in [
            (None, 5, None),
            (None, 0, None),
            (Some("0-4"), 5, None),
            (Some("0-3"), 5, Some((0, 3))),
            (
                Some("1048576-2097151"),
                2_097_152,
                Some((1_048_576, 2_097_151)),
            ),
        ] {
            let job = described(range, size).unwrap();
            assert!(whole(expected).is_met_by(&job), "{range:?}");
            let other = expected.map_or(Some((0, 9)), |_| None);
            assert!(!whole(other).is_met_by(&job), "{range:?}");
        }
        let unreadable = described(Some("all"), 5).unwrap();
        assert_eq!(unreadable.kind, VaultJobKind::Other);
        assert!(read(&GlacierJobDescription::builder().job_id("a/../b").build()).is_none());
    }
}
