//! A bucket as a store: Amazon S3, and every compatible service.
//!
//! The SDK's own policies are turned off. It sends a body from memory in one PUT, with a known checksum and
//! without hashing it again for the signature. It retries nothing: [`RetryPolicy`](super::RetryPolicy) does
//! that, for hours. After each upload, everything that a service may silently ignore is read back.

mod client;
mod copy;
mod delete;
mod examine;
mod get;
mod judge;
mod learned;
mod list;
mod lock;
mod put;
mod relay;
mod settings;
mod stat;
mod stranger;
mod thaw;

use std::sync::Mutex;
use std::time::Duration;

use aws_sdk_s3::Client;
use chrono::{DateTime, Utc};
use tokio::runtime::{Builder, Runtime};

pub use settings::{Addressing, Checksum, Encryption, LockMode, S3Settings};

use super::aws::{Connection, Judged, Meter, Requests};
use super::error::{ErrorKind, Operation, StoreError};
use super::key::check_key;
use super::retry::Told;
use super::{
    CopySource, Deleted, Finding, Listed, Locator, NewObject, Put, RateLimit, Readability,
    RemoteObject, RequestPace, Service, Stat, Store, Swept, ThawAnswer, ThawRequest,
};
use crate::model::BucketObject;
use learned::Learned;

/// Connections are few and their work is small: copying to the socket, and TLS.
const IO_THREADS: usize = 2;

/// A bucket, below a prefix.
pub struct S3Store<'a> {
    settings: S3Settings,
    url: String,
    requests: Requests<'a, Client>,
    learned: Mutex<Learned>,
    limit: Option<RateLimit>,
    /// The pace of thaw requests.
    thaws: RequestPace,
    /// `None` only while the store is dropped.
    runtime: Option<Runtime>,
}

impl<'a> S3Store<'a> {
    /// Opens a store without sending a request.
    pub fn open(settings: S3Settings, told: Told<'a>) -> Result<Self, StoreError> {
        let url = settings.url();
        let runtime = Builder::new_multi_thread()
            .worker_threads(IO_THREADS)
            .thread_name("s3")
            .enable_all()
            .build()
            .map_err(|error| StoreError::from_io(Operation::Open, "", &url, error))?;
        let addressing = settings.addressing;
        let requests = Requests::new(
            client::access(&settings),
            client::BOUND,
            told,
            move |prepared, clock| client::client(addressing, prepared, clock),
        );
        Ok(Self {
            settings,
            url,
            requests,
            learned: Mutex::new(Learned::default()),
            limit: None,
            thaws: RequestPace::default(),
            runtime: Some(runtime),
        })
    }

    /// Returns the store with a limit on its reads and writes.
    #[must_use]
    pub fn limited(mut self, limit: RateLimit) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Returns the store with a pace of its thaw requests.
    #[must_use]
    pub fn thawing_at(mut self, pace: RequestPace) -> Self {
        self.thaws = pace;
        self
    }

    /// Runs requests to their end on the calling thread.
    fn run<T>(&self, work: impl Future<Output = T>) -> T {
        let runtime = self.runtime.as_ref().expect("it is there until the end");
        runtime.block_on(work)
    }

    /// Returns the object's key in the bucket, with the prefix.
    fn full(&self, key: &str) -> String {
        self.settings.full(key)
    }

    fn error(&self, kind: ErrorKind, operation: Operation, key: &str) -> StoreError {
        StoreError::new(kind, operation, key, &self.url)
    }

    /// Returns the error of a request that must not be retried.
    fn final_error(&self, mut judged: Judged, operation: Operation, key: &str) -> StoreError {
        self.error(judged.kind, operation, key)
            .advising(judged.answer.take_advice())
            .because(*judged.answer)
    }

    /// Returns the key and the version of a locator.
    fn parse<'l>(
        &self,
        operation: Operation,
        locator: &'l Locator,
    ) -> Result<(&'l str, Option<&'l str>), StoreError> {
        let (key, version) = split(locator);
        check_key(operation, &self.url, key)?;
        Ok((key, version))
    }

    async fn connection(&self) -> Result<Connection<Client>, StoreError> {
        self.requests.connection().await
    }

    /// Retries an attempt until it succeeds, can't succeed, or its time is over.
    async fn persevere<T>(
        &self,
        operation: Operation,
        key: &str,
        attempt: impl AsyncFnMut(&Client, &Meter) -> Result<T, Judged>,
    ) -> Result<T, StoreError> {
        self.requests.persevere(operation, key, attempt).await
    }

    /// The same for a request whose answer may be so much later than that of others.
    async fn persevere_through<T>(
        &self,
        silence: Duration,
        operation: Operation,
        key: &str,
        attempt: impl AsyncFnMut(&Client, &Meter) -> Result<T, Judged>,
    ) -> Result<T, StoreError> {
        self.requests
            .persevere_through(silence, operation, key, attempt)
            .await
    }
}

/// The text before the version in a locator: `KEY?versionId=VERSION`. No key has a question mark.
const VERSION: &str = "versionId=";

/// Returns the locator of an object, with its version if the bucket keeps versions.
fn locator(key: &str, version: Option<&str>) -> Locator {
    match version {
        // This is the version in a bucket that never kept versions.
        None | Some("null" | "") => Locator(key.to_owned()),
        Some(version) => Locator(format!("{key}?{VERSION}{version}")),
    }
}

/// Returns the key and the version of a locator.
fn split(locator: &Locator) -> (&str, Option<&str>) {
    match locator.0.split_once('?') {
        Some((key, rest)) => (key, rest.strip_prefix(VERSION)),
        None => (locator.0.as_str(), None),
    }
}

impl S3Settings {
    /// Returns the object that a locator of this store names.
    pub fn object(&self, locator: &Locator) -> BucketObject {
        let (key, version) = split(locator);
        BucketObject {
            bucket: self.bucket.clone(),
            key: self.full(key),
            version: version.map(str::to_owned),
        }
    }

    /// Returns an object's key in the bucket, with the prefix.
    fn full(&self, key: &str) -> String {
        if self.prefix.is_empty() {
            key.to_owned()
        } else {
            format!("{}/{key}", self.prefix)
        }
    }
}

/// Converts a time to full seconds: a HEAD has no more, and a listing must not differ from it.
fn to_chrono(moment: &aws_sdk_s3::primitives::DateTime) -> DateTime<Utc> {
    DateTime::from_timestamp(moment.secs(), 0).unwrap_or_default()
}

impl Store for S3Store<'_> {
    fn url(&self) -> String {
        self.url.clone()
    }

    fn put_if_absent(&self, object: &NewObject<'_>) -> Result<Put, StoreError> {
        check_key(Operation::Put, &self.url, object.key)?;
        self.run(self.put(object))
    }

    fn copy_within(
        &self,
        from: &dyn Store,
        at: &Locator,
        object: &RemoteObject<'_>,
    ) -> Result<Option<Put>, StoreError> {
        check_key(Operation::Put, &self.url, object.key)?;
        self.copy_from(from, at, object)
    }

    fn relay(
        &self,
        from: &dyn Store,
        at: &Locator,
        object: &RemoteObject<'_>,
    ) -> Result<Option<Put>, StoreError> {
        check_key(Operation::Put, &self.url, object.key)?;
        self.put_while_reading(from, at, object)
    }

    fn service(&self) -> Option<Service> {
        Some(self.settings.service())
    }

    fn copy_source(&self, at: &Locator) -> Result<Option<CopySource>, StoreError> {
        self.run(self.describe_for_copy(at))
    }

    fn locate(&self, key: &str) -> Locator {
        locator(key, None)
    }

    fn get(&self, locator: &Locator, max_bytes: u64) -> Result<Vec<u8>, StoreError> {
        self.run(self.fetch(locator, get::Want::Whole { max_bytes }))
    }

    fn get_range(&self, locator: &Locator, offset: u64, len: u64) -> Result<Vec<u8>, StoreError> {
        self.run(self.fetch(locator, get::Want::Range { offset, len }))
    }

    fn stat(&self, locator: &Locator) -> Result<Stat, StoreError> {
        Ok(self.run(self.head(Operation::Stat, locator))?.stat)
    }

    fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        self.run(self.list_all(prefix))
    }

    fn delete(&self, locator: &Locator) -> Result<Deleted, StoreError> {
        self.run(self.remove(locator))
    }

    fn readability(&self, locator: &Locator) -> Result<Readability, StoreError> {
        Ok(self.run(self.head(Operation::Stat, locator))?.readability)
    }

    fn thaw(&self, locator: &Locator, request: ThawRequest) -> Result<ThawAnswer, StoreError> {
        self.run(self.restore_object(locator, request))
    }

    fn now(&self) -> Result<DateTime<Utc>, StoreError> {
        self.run(self.ask_the_time())
    }

    /// Removes nothing: an interrupted PUT leaves nothing, because there are no uploads in parts.
    fn sweep(&self, _: &str) -> Result<Swept, StoreError> {
        Ok(Swept::default())
    }

    fn remarks(&self) -> Vec<String> {
        self.remarks_so_far()
    }

    fn examine(&self) -> Result<Vec<Finding>, StoreError> {
        self.run(self.examine_bucket())
    }
}

impl Drop for S3Store<'_> {
    fn drop(&mut self) {
        // Do not wait for a running name lookup.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl std::fmt::Debug for S3Store<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("S3Store")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
