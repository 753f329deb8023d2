//! Mirrors of the snapshots.

use clap::Args;

use super::{OneSource, WaitLock, rate};
use crate::store::RateLimit;

/// `coldchain mirror`
#[derive(Debug, Args)]
pub struct Mirror {
    /// Which source.
    #[command(flatten)]
    pub source: OneSource,
    /// Say what would be sent, and send nothing
    #[arg(long, short = 'n')]
    pub dry_run: bool,
    /// Send at most this many bytes a second, for example 512KiB or 20MiB
    #[arg(long, value_name = "RATE", value_parser = rate)]
    pub limit: Option<RateLimit>,
    /// Send a full stream that is larger than the free space there: it fits if the mirror compresses
    #[arg(long)]
    pub ignore_room: bool,
    /// Take the directory that is there now for the mirror, although it has another mark or none
    #[arg(long)]
    pub forget_mark: bool,
    /// The number of copies to delete: needed if it is more than five and more than half of all
    #[arg(long, value_name = "N")]
    pub yes_delete: Option<usize>,
    /// Whether to wait for another run.
    #[command(flatten)]
    pub lock: WaitLock,
}
