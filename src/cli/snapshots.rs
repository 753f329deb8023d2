//! The snapshots on this machine.

use clap::Args;

use super::{OneSource, WaitLock};

/// `coldchain snapshot`
#[derive(Debug, Args)]
pub struct Snapshot {
    /// Which source.
    #[command(flatten)]
    pub source: OneSource,
    /// Wait until btrfs has freed what deleted snapshots took
    #[arg(long)]
    pub sync: bool,
    /// Whether to wait for another run.
    #[command(flatten)]
    pub lock: WaitLock,
}

/// `coldchain snapshots`
#[derive(Debug, Args)]
pub struct Snapshots {
    /// Which source.
    #[command(flatten)]
    pub source: OneSource,
    /// Only those that have expired, and why; delete nothing
    #[arg(long, conflicts_with = "prune")]
    pub plan: bool,
    /// Delete those that have expired
    #[arg(long)]
    pub prune: bool,
    /// With --prune, the number of snapshots to delete, as --plan shows it: needed if it is more than five and more
    /// than half of all
    #[arg(long, value_name = "N", requires = "prune")]
    pub yes_delete: Option<usize>,
    /// With --prune, wait until btrfs has freed what they took
    #[arg(long, requires = "prune")]
    pub sync: bool,
    /// Whether to wait for another run.
    #[command(flatten)]
    pub lock: WaitLock,
}
