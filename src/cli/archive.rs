//! What archives, and what plans or undoes it.

use clap::Args;

use super::{WaitLock, rate};
use crate::store::RateLimit;

/// `coldchain backup`
#[derive(Debug, Args)]
pub struct Backup {
    /// The date that the archive stands for, YYYY-MM-DD; today in the configured time zone if left out
    pub date: Option<String>,
    /// Only this source
    #[arg(long, value_name = "NAME")]
    pub source: Option<String>,
    /// Make a full archive, due or not
    #[arg(long)]
    pub full: bool,
    /// Say what would be done, and do nothing
    #[arg(long, short = 'n')]
    pub dry_run: bool,
    /// Accept a date more than a day ahead of the system clock
    #[arg(long)]
    pub date_override: bool,
    /// Upload at most so many bytes a second: 512KiB, 20MiB
    #[arg(long, value_name = "RATE", value_parser = rate)]
    pub limit: Option<RateLimit>,
    /// What to do while another run is at work.
    #[command(flatten)]
    pub lock: WaitLock,
}

/// `coldchain plan`
#[derive(Debug, Args)]
pub struct Plan {
    /// The (first) date, YYYY-MM-DD; today in the configured time zone if left out
    pub date: Option<String>,
    /// The last date: every night from the first on is simulated as done
    #[arg(long, value_name = "DATE")]
    pub until: Option<String>,
    /// Only this source
    #[arg(long, value_name = "NAME")]
    pub source: Option<String>,
}

/// `coldchain prune`
#[derive(Debug, Args)]
pub struct Prune {
    /// Only this source
    pub source: Option<String>,
    /// Say what would be retired, deleted and removed, why, and what it costs, and do nothing
    #[arg(long, short = 'n')]
    pub dry_run: bool,
    /// Retire more than one chain: how many archives they have in all
    #[arg(long, value_name = "N", requires = "source")]
    pub yes_delete: Option<usize>,
    /// Bring the retired chain of that date back instead, if its deletion has not begun
    #[arg(long, value_name = "DATE", requires = "source", conflicts_with_all = ["dry_run", "yes_delete"])]
    pub revive: Option<String>,
    /// What to do while another run is at work.
    #[command(flatten)]
    pub lock: WaitLock,
}

/// `coldchain decide`
#[derive(Debug, Args)]
pub struct Decide {
    /// The date, YYYY-MM-DD
    pub date: String,
    /// The source; may be left out if there is only one
    #[arg(long, value_name = "NAME")]
    pub source: Option<String>,
    /// Accept a date more than a day ahead of the system clock
    #[arg(long)]
    pub date_override: bool,
    /// What to do while another run is at work.
    #[command(flatten)]
    pub lock: WaitLock,
}
