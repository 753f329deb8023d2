//! A small S3 server inside the test's own process, with a clock to turn and faults to order.
//!
//! It speaks path style over plain HTTP on a loopback port. Its semantics are those that Amazon
//! documents, as far as an archive needs them; everything else is answered with 501. Signatures
//! aren't verified, only the access key, the region and, if asked, the date they name: the tests
//! against `SeaweedFS` verify real signatures.
#![allow(
    unused_imports,
    reason = "several test programs share it and none names all of its types"
)]

mod access;
mod calls;
pub mod clock;
mod config;
mod connection;
mod copying;
mod digest;
mod faults;
pub mod http;
mod listing;
mod log;
mod mishaps;
mod objects;
mod reading;
mod thaw;
mod upload;
mod xml;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

pub use calls::Operation;
pub use clock::Clock;
pub use config::{ACCESS_KEY, BUCKET, Bucket, Config, Locking, Mode, REGION, SECRET_KEY};
pub use faults::{Fault, FaultKind, Filling, Times, When};
pub use log::{Logged, PutCount};
pub use objects::{Lock, Version};

use super::listener::{Closing, Listener, lock};
use connection::serve;
use faults::Plan;
use log::Log;
use objects::Objects;

/// What a program that uses it has to find in its environment.
pub const ENV: [(&str, &str); 3] = [
    ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
    ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
    ("AWS_EC2_METADATA_DISABLED", "true"),
];

/// A running server. Dropped, it takes its port and all its connections with it.
pub struct S3Server {
    shared: Arc<Shared>,
    listener: Listener,
}

struct Shared {
    config: Mutex<Config>,
    objects: Mutex<Objects>,
    faults: Mutex<Plan>,
    log: Mutex<Log>,
    clock: Clock,
    closing: Arc<Closing>,
}

impl S3Server {
    /// A server with one plain bucket, [`BUCKET`], and real time.
    pub fn new() -> Self {
        Self::start(Config::default())
    }

    pub fn start(config: Config) -> Self {
        let shared = Arc::new(Shared {
            config: Mutex::new(config),
            objects: Mutex::default(),
            faults: Mutex::default(),
            log: Mutex::default(),
            clock: Clock::default(),
            closing: Arc::default(),
        });
        let listener = Listener::start(Arc::clone(&shared.closing), {
            let shared = Arc::clone(&shared);
            move |wire| serve(&shared, wire)
        });
        Self { shared, listener }
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address())
    }

    pub fn address(&self) -> SocketAddr {
        self.listener.address()
    }

    pub fn clock(&self) -> &Clock {
        &self.shared.clock
    }

    /// Changes how the server answers from the next request on.
    pub fn configure(&self, change: impl FnOnce(&mut Config)) {
        change(&mut lock(&self.shared.config));
    }

    /// Adds a fault. Of several that match a request, the first one strikes.
    pub fn fail(&self, fault: Fault) {
        lock(&self.shared.faults).add(fault);
    }

    /// How many requests were struck by a fault, so that a test can tell that its fault did occur.
    pub fn faults_struck(&self) -> usize {
        lock(&self.shared.faults).struck()
    }

    pub fn clear_faults(&self) {
        lock(&self.shared.faults).clear();
    }

    /// The lines of a config's table for a store in its bucket.
    pub fn store_table(&self, more: &str) -> String {
        format!(
            "type = \"s3\"\nbucket = \"{BUCKET}\"\nregion = \"{REGION}\"\nendpoint = \"{}\"\n{more}",
            self.endpoint()
        )
    }

    /// All requests in the order in which they arrived, those under way among them.
    pub fn requests(&self) -> Vec<Logged> {
        lock(&self.shared.log).requests()
    }

    pub fn forget_requests(&self) {
        lock(&self.shared.log).forget();
    }

    /// What a plain GET of each key in the bucket would find.
    pub fn objects(&self, bucket: &str) -> BTreeMap<String, Version> {
        lock(&self.shared.objects).current(bucket)
    }

    /// All versions of a key, delete markers among them, the oldest first.
    pub fn versions(&self, bucket: &str, key: &str) -> Vec<Version> {
        lock(&self.shared.objects).versions(bucket, key)
    }

    /// How often each key was sent, and how often what was sent was kept.
    pub fn put_counts(&self, bucket: &str) -> BTreeMap<String, PutCount> {
        lock(&self.shared.log).put_counts(bucket)
    }

    /// Changes the bytes of a stored object behind everybody's back; its `ETag` and checksums stay.
    pub fn damage(&self, bucket: &str, key: &str, change: impl FnOnce(&mut Vec<u8>)) {
        lock(&self.shared.objects).damage(bucket, key, change);
    }

    /// Stores an object behind everybody's back.
    pub fn plant(&self, bucket: &str, key: &str, body: &[u8]) {
        let version = Version::plain(body.to_vec(), self.shared.clock.now());
        lock(&self.shared.objects).keep(&Bucket::new(bucket), key, version);
    }

    /// Moves the objects whose keys have that in them into another class, as a rule of the bucket does; within
    /// `INTELLIGENT_TIERING` maybe into an archive tier.
    pub fn transition(
        &self,
        bucket: &str,
        part: &str,
        class: &str,
        archive_status: Option<&'static str>,
    ) {
        lock(&self.shared.objects).transition(bucket, part, class, archive_status);
    }

    /// Removes a key with all its versions behind everybody's back.
    pub fn lose(&self, bucket: &str, key: &str) {
        lock(&self.shared.objects).lose(bucket, key);
    }

    /// Puts a delete marker over an object, as a delete without a version does.
    pub fn hide(&self, bucket: &str, key: &str) {
        let now = self.shared.clock.now();
        lock(&self.shared.objects).hide(bucket, key, now);
    }
}
