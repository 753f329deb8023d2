//! What is needed of a vault to bring another tool's archives back, and to delete them.

use crate::config::{Config, StoreConfig};
use crate::engine::context::RunContext;
use crate::engine::context::open_source::store_url;
use crate::error::{Error, ImportError, in_words};
use crate::model::{Tier, VaultArchiveId};
use crate::plan::{RetrievalJob, RetrievalState};
use crate::progress::Event;
use crate::store::{
    JobRequest, JobState, OutputRequest, StoreError, VaultClient, VaultJob, VaultJobKind, Waiting,
};

/// A vault with another tool's archives, which are known by their ids alone.
pub trait ForeignVault: Sync {
    /// Returns the vault's URL.
    fn url(&self) -> String;

    /// Returns all jobs that retrieve archives, to the last page of the list.
    fn retrievals(&self) -> Result<Vec<RetrievalJob>, StoreError>;

    /// Starts a job for the bytes from the first to the last of a range, or for all.
    fn retrieve(
        &self,
        archive: &VaultArchiveId,
        range: Option<(u64, u64)>,
        tier: Tier,
    ) -> Result<(), StoreError>;

    /// Reads exactly `len` bytes of a job's output. If the output is gone, the error is
    /// [`ErrorKind::Cold`](crate::store::ErrorKind::Cold).
    fn output(&self, job: &str, offset: u64, len: u64) -> Result<Vec<u8>, StoreError>;

    /// Deletes an archive. One that is not there counts as deleted.
    fn delete_archive(&self, archive: &VaultArchiveId) -> Result<(), StoreError>;
}

impl ForeignVault for VaultClient<'_> {
    fn url(&self) -> String {
        self.url().to_owned()
    }

    fn retrievals(&self) -> Result<Vec<RetrievalJob>, StoreError> {
        let jobs = self.jobs("the list of jobs")?;
        Ok(jobs.into_iter().filter_map(retrieval).collect())
    }

    fn retrieve(
        &self,
        archive: &VaultArchiveId,
        range: Option<(u64, u64)>,
        tier: Tier,
    ) -> Result<(), StoreError> {
        let request = JobRequest::Archive {
            archive: archive.to_string(),
            range,
            tier,
        };
        self.start(archive.as_str(), &request).map(drop)
    }

    fn output(&self, job: &str, offset: u64, len: u64) -> Result<Vec<u8>, StoreError> {
        let request = OutputRequest {
            subject: "the output of a job",
            job,
            part: Some((offset, len)),
            // It is checked over all of it.
            tree_hash: None,
            max_bytes: len,
        };
        let mut bytes = Vec::new();
        VaultClient::output(self, &request, &mut bytes)?;
        Ok(bytes)
    }

    fn delete_archive(&self, archive: &VaultArchiveId) -> Result<(), StoreError> {
        self.delete(archive.as_str(), archive.as_str()).map(drop)
    }
}

/// Returns a job as a retrieval of an archive; `None` if it is of something else.
fn retrieval(job: VaultJob) -> Option<RetrievalJob> {
    let VaultJobKind::Archive { archive, range } = job.kind else {
        return None;
    };
    Some(RetrievalJob {
        id: job.id,
        archive: archive.parse().ok()?,
        range,
        bytes: job.bytes,
        tree_hash: job.tree_hash,
        state: match job.state {
            JobState::InProgress => RetrievalState::InProgress,
            JobState::Succeeded(at) => RetrievalState::Succeeded { at },
            JobState::Failed => RetrievalState::Failed,
        },
    })
}

/// Opens the vault of a store. Sends no request.
pub fn open_vault<'a>(
    store: &StoreConfig,
    context: RunContext<'a>,
) -> Result<Box<dyn ForeignVault + 'a>, Error> {
    let StoreConfig::Vault { settings, .. } = store else {
        return Err(ImportError::NoVault {
            store: store_url(store),
        }
        .into());
    };
    let told = Box::new(move |waiting: &Waiting<'_>| {
        context.observer.event(Event::Waiting {
            what: in_words(waiting.error),
            pause: waiting.pause,
        });
    });
    Ok(Box::new(VaultClient::open((**settings).clone(), told)?))
}

/// Returns the name and the region of the vault that a store of the config is.
pub(in crate::engine) fn vault_of<'a>(
    config: &'a Config,
    store: &str,
) -> Result<(&'a StoreConfig, &'a str, &'a str), Error> {
    let found = config.stores.get(store);
    let found = found.ok_or_else(|| ImportError::NoStore {
        store: store.to_owned(),
    })?;
    match found {
        StoreConfig::Vault { settings, .. } => Ok((found, &settings.vault, &settings.region)),
        _ => Err(ImportError::NoVault {
            store: store.to_owned(),
        }
        .into()),
    }
}
