//! A small server of Glacier vaults inside the test's own process, with a clock to turn and faults to order.
//!
//! It follows Amazon's API reference as far as archives need it: vaults, uploads in one request, jobs, their output,
//! inventories, policies and locks. Everything else is answered with 501. It verifies signatures.
#![allow(
    unused_imports,
    reason = "several test programs share it and none names all of its types"
)]

mod access;
mod calls;
mod config;
mod connection;
mod faults;
mod hostile;
mod inventory;
mod jobs;
mod output;
mod refusal;
mod state;
mod uploads;
mod vaults;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use chrono::{DateTime, Utc};

use super::listener::{Closing, Listener, lock};
use super::s3_server::clock::Clock;
use connection::serve;
use faults::Plan;

pub use calls::Operation;
pub use config::{ACCESS_KEY, Config, REGION, SECRET_KEY, VAULT};
pub use faults::{Fault, FaultKind};
pub use state::{Archive, Job, JobKind, JobStatus, State, Tier, tree_hash};

/// What a program that uses it has to find in its environment.
pub const ENV: [(&str, &str); 3] = [
    ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
    ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
    ("AWS_EC2_METADATA_DISABLED", "true"),
];

/// A running server. Dropped, it takes its port and all its connections with it.
pub struct VaultServer {
    shared: Arc<Shared>,
    listener: Listener,
}

struct Shared {
    config: Mutex<Config>,
    state: Mutex<State>,
    faults: Mutex<Plan>,
    requests: Mutex<Vec<Logged>>,
    clock: Clock,
    closing: Arc<Closing>,
}

/// A request that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    pub operation: Operation,
    pub method: String,
    /// As it was sent: path and query, encoded.
    pub path: String,
    /// What `Range` asked for.
    pub range: Option<String>,
    /// `None` while it is under way, and for one that got no answer.
    pub status: Option<u16>,
    /// What struck it.
    pub fault: Option<FaultKind>,
}

impl VaultServer {
    /// A server with one empty vault, [`VAULT`], and real time.
    pub fn new() -> Self {
        Self::start(Config::default())
    }

    /// A server with the vault [`VAULT`].
    pub fn start(config: Config) -> Self {
        let server = Self::without_vault(config);
        let now = server.clock().now();
        server.change(|state| state.create(VAULT, now));
        server
    }

    pub fn without_vault(config: Config) -> Self {
        let shared = Arc::new(Shared {
            config: Mutex::new(config),
            state: Mutex::default(),
            faults: Mutex::default(),
            requests: Mutex::default(),
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

    /// All requests in the order in which they arrived, those under way among them.
    pub fn requests(&self) -> Vec<Logged> {
        lock(&self.shared.requests).clone()
    }

    /// How many requests of that kind came.
    pub fn count(&self, operation: Operation) -> usize {
        let requests = self.requests();
        let of_kind = |request: &&Logged| request.operation == operation;
        requests.iter().filter(of_kind).count()
    }

    /// Looks at the vaults, or changes them behind everybody's back.
    pub fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut lock(&self.shared.state))
    }

    /// The archives of [`VAULT`] that are there, oldest first.
    pub fn archives(&self) -> Vec<Archive> {
        self.change(|state| {
            let archives = state.vault(VAULT).archives.iter();
            archives
                .filter(|archive| archive.deleted.is_none())
                .cloned()
                .collect()
        })
    }

    /// The jobs of [`VAULT`], oldest first.
    pub fn jobs(&self) -> Vec<Job> {
        self.change(|state| state.vault(VAULT).jobs.clone())
    }

    /// Stores an archive in [`VAULT`] behind everybody's back; returns its id.
    pub fn plant(&self, description: &str, body: &[u8]) -> String {
        let now = self.clock().now();
        self.change(|state| state.keep(VAULT, description, body.to_vec(), now))
    }

    /// The lines of a config's table for a store in its vault, without those of its ledger store.
    pub fn store_table(&self, more: &str) -> String {
        format!(
            "type = \"glacier-vault\"\nvault = \"{VAULT}\"\nregion = \"{REGION}\"\nendpoint = \"{}\"\n{more}",
            self.endpoint()
        )
    }
}

impl Shared {
    fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }
}
