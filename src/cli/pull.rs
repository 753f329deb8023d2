//! Pulling sources from elsewhere.

use clap::Args;

use super::{OneSource, WaitLock};

/// `coldchain pull`
#[derive(Debug, Args)]
pub struct Pull {
    /// Which source.
    #[command(flatten)]
    pub source: OneSource,
    /// Say what would be pulled and deleted, and change nothing
    #[arg(long, short = 'n')]
    pub dry_run: bool,
    /// Delete all that the source does not have: more than `max_delete` allows, and files that no pull has put there
    #[arg(long)]
    pub accept_deletions: bool,
    /// Whether to wait for another run.
    #[command(flatten)]
    pub lock: WaitLock,
}
