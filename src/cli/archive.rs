//! What archives, and what plans or undoes it.

use clap::Args;

use super::{Night, OneSource, WaitLock, rate};
use crate::model::{MirrorLocation, SourceName};
use crate::store::RateLimit;

/// `coldchain backup`
#[derive(Debug, Args)]
pub struct Backup {
    /// The source, all of them if left out; and the date of the archive, today in the configured
    /// time zone if left out.
    #[command(flatten)]
    pub target: Night,
    /// Make a full archive, due or not
    #[arg(long)]
    pub full: bool,
    /// Say what would be done, and do nothing
    #[arg(long, short = 'n')]
    pub dry_run: bool,
    /// Accept a date more than a day ahead of the system clock
    #[arg(long)]
    pub date_override: bool,
    /// Upload at most this many bytes a second, for example 512KiB or 20MiB
    #[arg(long, value_name = "RATE", value_parser = rate)]
    pub limit: Option<RateLimit>,
    /// What to do while another run is at work.
    #[command(flatten)]
    pub lock: WaitLock,
}

/// `coldchain plan`
#[derive(Debug, Args)]
pub struct Plan {
    /// The source, all of them if left out; and the (first) date, today in the configured time zone if left out.
    #[command(flatten)]
    pub target: Night,
    /// Also count what was imported: its bytes, and what it costs each month
    #[arg(long)]
    pub imported: bool,
    /// The last date: every night from the first date to this one is simulated; -v also shows the nights with
    /// nothing due
    #[arg(long, value_name = "DATE")]
    pub until: Option<String>,
}

/// `coldchain prune`
#[derive(Debug, Args)]
pub struct Prune {
    /// Which source.
    #[command(flatten)]
    pub source: OneSource,
    /// Delete what was imported by this name from its vault, all of it and for ever; nothing else deletes it
    #[arg(long, value_name = "NAME", group = "chosen", conflicts_with = "revive")]
    pub imported: Option<SourceName>,
    /// Delete what the vault of this store still has of a source that was moved out of it, as far as the new home has it
    #[arg(long, value_name = "STORE", requires = "chosen", conflicts_with_all = ["imported", "revive"])]
    pub old_home: Option<String>,
    /// Say what would be retired, deleted and removed, why, and what it costs, and do nothing
    #[arg(long, short = 'n')]
    pub dry_run: bool,
    /// Agree to retire more than one chain, or to delete what was imported or is in an old home; N is how many archives they have in all
    #[arg(long, value_name = "N", requires = "chosen")]
    pub yes_delete: Option<usize>,
    /// Bring the retired chain of that date back instead, if its deletion has not begun
    #[arg(long, value_name = "DATE", requires = "chosen", conflicts_with_all = ["dry_run", "yes_delete"])]
    pub revive: Option<String>,
    /// What to do while another run is at work.
    #[command(flatten)]
    pub lock: WaitLock,
}

/// `coldchain decide`
#[derive(Debug, Args)]
pub struct Decide {
    /// The source, which may be left out if there is only one; and the date.
    #[command(flatten)]
    pub target: Night,
    /// Ask for a full stream, due or not: for a sender that does not have the snapshot of the last archive any more
    #[arg(long)]
    pub full: bool,
    /// Accept a date more than a day ahead of the system clock
    #[arg(long)]
    pub date_override: bool,
    /// What to do while another run is at work.
    #[command(flatten)]
    pub lock: WaitLock,
}

/// `coldchain forget`
#[derive(Debug, Args)]
pub struct Forget {
    /// The source
    #[arg(required_unless_present = "imported")]
    pub source: Option<String>,
    /// Forget what was imported by this name; it stays in its vault
    #[arg(long, value_name = "NAME", conflicts_with_all = ["source", "mirror", "copy"])]
    pub imported: Option<SourceName>,
    /// Forget only the mirror of it at this place, which the config does not name any more
    #[arg(long, value_name = "TO")]
    pub mirror: Option<MirrorLocation>,
    /// Forget only the copy of it in this store, which is named as in the config or by its URL
    #[arg(long, value_name = "NAME", conflicts_with = "mirror")]
    pub copy: Option<String>,
    /// Don't ask; needed where there is no terminal to ask on
    #[arg(long, short)]
    pub yes: bool,
    /// What to do while another run is at work.
    #[command(flatten)]
    pub lock: WaitLock,
}

impl Forget {
    /// The source's name; empty where `--imported` names what is forgotten.
    pub fn source_name(&self) -> &str {
        self.source.as_deref().unwrap_or_default()
    }
}
