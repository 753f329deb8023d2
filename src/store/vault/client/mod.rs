//! Requests to a vault of the legacy Glacier service.
//!
//! The SDK computes the tree hash of each upload, so it is taken from its request and not computed twice.

mod jobs;
mod judge;
mod output;
mod policies;
mod service;
mod upload;
mod vaults;

use aws_sdk_glacier::Client;
use chrono::{DateTime, Utc};
use tokio::runtime::{Builder, Runtime};

pub use jobs::{JobRequest, JobState, StartedJob, VaultJob, VaultJobKind};
pub use output::{OutputRequest, OutputSink};
pub use policies::{VaultLockState, VaultPolicies};
pub use vaults::VaultDescription;

pub(super) use upload::ArchiveUpload;

use super::VaultSettings;
use crate::store::aws::Requests;
use crate::store::error::{ErrorKind, Operation, StoreError};
use crate::store::retry::Told;
use crate::store::{RateLimit, RequestPace};

/// Connections are few and their work is small: copying to the socket, and TLS.
const IO_THREADS: usize = 2;

/// The account of the credentials.
const ACCOUNT: &str = "-";

/// A vault. Calls block, and may come from several threads at once.
pub struct VaultClient<'a> {
    settings: VaultSettings,
    url: String,
    requests: Requests<'a, Client>,
    limit: Option<RateLimit>,
    /// The pace of requests for jobs.
    thaws: RequestPace,
    /// `None` only while the client is dropped.
    runtime: Option<Runtime>,
}

impl<'a> VaultClient<'a> {
    /// Makes a client without sending a request.
    pub fn open(settings: VaultSettings, told: Told<'a>) -> Result<Self, StoreError> {
        let url = settings.url();
        let runtime = Builder::new_multi_thread()
            .worker_threads(IO_THREADS)
            .thread_name("vault")
            .enable_all()
            .build()
            .map_err(|error| StoreError::from_io(Operation::Open, "", &url, error))?;
        let requests = Requests::new(
            service::access(&settings),
            service::BOUND,
            told,
            service::client,
        );
        Ok(Self {
            settings,
            url,
            requests,
            limit: None,
            thaws: RequestPace::default(),
            runtime: Some(runtime),
        })
    }

    /// Returns the client with a limit on its reads and writes.
    #[must_use]
    pub fn limited(mut self, limit: RateLimit) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Returns the client with a pace of its requests for jobs.
    #[must_use]
    pub fn thawing_at(mut self, pace: RequestPace) -> Self {
        self.thaws = pace;
        self
    }

    /// The URL of the vault.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The settings of the vault.
    pub fn settings(&self) -> &VaultSettings {
        &self.settings
    }

    /// The time of the service, as of its last answer; this machine's before the first.
    pub fn time(&self) -> DateTime<Utc> {
        self.requests.clock().now().unwrap_or_else(Utc::now)
    }

    /// Runs requests to their end on the calling thread.
    fn run<T>(&self, work: impl Future<Output = T>) -> T {
        let runtime = self.runtime.as_ref().expect("it is there until the end");
        // The future is too large for the stack of many threads.
        runtime.block_on(Box::pin(work))
    }

    fn error(&self, kind: ErrorKind, operation: Operation, subject: &str) -> StoreError {
        StoreError::new(kind, operation, subject, &self.url)
    }
}

impl Drop for VaultClient<'_> {
    fn drop(&mut self) {
        // Do not wait for a running name lookup.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl std::fmt::Debug for VaultClient<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VaultClient")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
