//! What a server is like: its keys, its region, its policies, and how long its jobs take.

use std::collections::BTreeSet;

use chrono::TimeDelta;

/// The vault of a server.
pub const VAULT: &str = "archives";
/// The access key of a server that was configured with no other.
pub const ACCESS_KEY: &str = "AKIAVAULTVAULTVAULT0";
/// The secret of every access key.
pub const SECRET_KEY: &str = "a secret that signatures are made of";
/// The region of a server that was configured with no other.
pub const REGION: &str = "us-east-1";

#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct Config {
    /// The region that credentials have to be scoped to.
    pub region: String,
    pub access_keys: BTreeSet<String>,
    /// Answered `ExpiredTokenException`.
    pub expired_keys: BTreeSet<String>,
    /// Compares `x-amz-date` with the clock: refused beyond 15 minutes.
    pub check_skew: bool,
    /// The longest page of a listing, whatever `limit` asks for.
    pub page_size: usize,
    /// How long the jobs of each tier take, and inventories.
    pub expedited: TimeDelta,
    pub standard: TimeDelta,
    pub bulk: TimeDelta,
    pub inventory: TimeDelta,
    /// How long the output of a job can be read.
    pub output_lives: TimeDelta,
    /// Expedited retrievals are answered `InsufficientCapacityException`.
    pub no_expedited: bool,
    /// The data retrieval policy: `None`, `FreeTier` or `BytesPerHour`.
    pub retrieval_strategy: &'static str,
    /// The most bytes an hour of `BytesPerHour`. The server refuses any standard retrieval of more than this.
    pub bytes_per_hour: u64,
    /// The vault lock's policy, as JSON, with its state: `InProgress` or `Locked`.
    pub vault_lock: Option<(String, &'static str)>,
    /// The vault's access policy, as JSON.
    pub access_policy: Option<String>,
    /// Refuses deletes, as a vault lock or an access policy does.
    pub deny_delete: bool,
    /// The account takes no new vaults, as every account without one since 2025-12-15.
    pub closed: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            region: REGION.to_owned(),
            access_keys: BTreeSet::from([ACCESS_KEY.to_owned()]),
            expired_keys: BTreeSet::new(),
            check_skew: false,
            page_size: 50,
            expedited: TimeDelta::minutes(5),
            standard: TimeDelta::hours(5),
            bulk: TimeDelta::hours(12),
            inventory: TimeDelta::hours(4),
            output_lives: TimeDelta::hours(24),
            no_expedited: false,
            retrieval_strategy: "None",
            bytes_per_hour: 0,
            vault_lock: None,
            access_policy: None,
            deny_delete: false,
            closed: false,
        }
    }
}
