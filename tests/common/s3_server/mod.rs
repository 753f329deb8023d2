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
mod clock;
mod config;
mod connection;
mod copying;
mod digest;
mod faults;
mod http;
mod listing;
mod log;
mod mishaps;
mod objects;
mod reading;
mod thaw;
mod upload;
mod xml;

use std::collections::BTreeMap;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub use calls::Operation;
pub use clock::Clock;
pub use config::{ACCESS_KEY, BUCKET, Bucket, Config, Locking, Mode, REGION, SECRET_KEY};
pub use faults::{Fault, FaultKind, Filling, Times, When};
pub use log::{Logged, PutCount};
pub use objects::{Lock, Version};

use connection::serve;
use faults::Plan;
use http::Wire;
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
    address: SocketAddr,
    shared: Arc<Shared>,
    /// Gives back the threads of the connections that it has accepted.
    acceptor: Option<JoinHandle<Vec<JoinHandle<()>>>>,
}

struct Shared {
    config: Mutex<Config>,
    objects: Mutex<Objects>,
    faults: Mutex<Plan>,
    log: Mutex<Log>,
    clock: Clock,
    connections: Mutex<BTreeMap<u64, Arc<TcpStream>>>,
    closing: Closing,
}

impl S3Server {
    /// A server with one plain bucket, [`BUCKET`], and real time.
    pub fn new() -> Self {
        Self::start(Config::default())
    }

    pub fn start(config: Config) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            config: Mutex::new(config),
            objects: Mutex::default(),
            faults: Mutex::default(),
            log: Mutex::default(),
            clock: Clock::default(),
            connections: Mutex::default(),
            closing: Closing::default(),
        });
        let acceptor = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept(&listener, &shared)
        });
        Self {
            address,
            shared,
            acceptor: Some(acceptor),
        }
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
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

impl Drop for S3Server {
    fn drop(&mut self) {
        self.shared.closing.close();
        // The acceptor only looks up when somebody comes.
        drop(TcpStream::connect(self.address));
        let Some(Ok(threads)) = self.acceptor.take().map(JoinHandle::join) else {
            return;
        };
        for stream in lock(&self.shared.connections).values() {
            // One that the client has closed already is no worry.
            let _ = stream.shutdown(Shutdown::Both);
        }
        for thread in threads {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "it panicked");
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) -> Vec<JoinHandle<()>> {
    let mut threads = Vec::new();
    for (number, stream) in (0..).zip(listener.incoming()) {
        if shared.closing.is_closing() {
            break;
        }
        let Ok(stream) = stream.map(Arc::new) else {
            continue;
        };
        lock(&shared.connections).insert(number, Arc::clone(&stream));
        let shared = Arc::clone(shared);
        threads.push(std::thread::spawn(move || {
            let mut wire = Wire::new(stream);
            // Dropped before the wire: only the last owner of a socket closes it.
            let _listed = Listed {
                shared: &shared,
                number,
            };
            serve(&shared, &mut wire);
        }));
    }
    threads
}

/// A connection in the list of those that the server's end has to end too.
struct Listed<'s> {
    shared: &'s Shared,
    number: u64,
}

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        lock(&self.shared.connections).remove(&self.number);
    }
}

/// The end of the server, to wait for.
#[derive(Default)]
struct Closing {
    closing: Mutex<bool>,
    changed: Condvar,
}

impl Closing {
    fn close(&self) {
        *lock(&self.closing) = true;
        self.changed.notify_all();
    }

    fn is_closing(&self) -> bool {
        *lock(&self.closing)
    }

    /// Waits for so long, or for ever; an error is the end of the server, which ends the wait.
    fn wait(&self, length: Option<Duration>) -> io::Result<()> {
        let until = length.map(|length| Instant::now() + length);
        let mut closing = lock(&self.closing);
        while !*closing {
            let left = match until {
                Some(until) => until.saturating_duration_since(Instant::now()),
                None => Duration::MAX,
            };
            if left.is_zero() {
                return Ok(());
            }
            closing = match self.changed.wait_timeout(closing, left) {
                Ok((closing, _)) => closing,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
        Err(io::ErrorKind::ConnectionAborted.into())
    }
}

/// A thread that panicked has failed its test already; the others may still look and clean up.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
