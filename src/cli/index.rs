//! Contents for archives that were made without, or that have lost them.

use std::path::PathBuf;

use clap::Args;

use super::{OneSource, Thawing, WaitLock};
use crate::model::date_word::DateWord;

/// `coldchain index`
#[derive(Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option without a value"
)]
pub struct Index {
    /// Which source.
    #[command(flatten)]
    pub source: OneSource,
    /// The archive of this date only, YYYY-MM-DD, and make its contents again too if they are damaged; may be given several times
    #[arg(long, value_name = "DATE")]
    pub date: Vec<DateWord>,
    /// Show which archives have no contents or have lost them, what it costs to read them, and stop
    #[arg(long, conflicts_with_all = ["thaw", "yes"])]
    pub plan: bool,
    /// Remove the index of the files that is on this machine, and make nothing; it holds nothing that the archives do not
    #[arg(long, conflicts_with_all = ["rebuild", "date", "plan", "thaw", "yes"])]
    pub drop: bool,
    /// Make the index of the files anew, from the contents that archives have; the old one stays until that is done
    #[arg(long, conflicts_with_all = ["date", "plan", "thaw", "yes"])]
    pub rebuild: bool,
    /// Thaw what is cold, which costs money; without it, archives whose segments are cold are left out
    #[arg(long)]
    pub thaw: bool,
    /// How to thaw what is cold, and at what price.
    #[command(flatten)]
    pub thawing: Thawing,
    /// What opens the archives: the recovery kit, an age identity file, or an ssh private key
    #[arg(long, value_name = "FILE", env = "COLDCHAIN_IDENTITY_FILE")]
    pub identity: Option<PathBuf>,
    /// Don't ask before thawing; needed where there is no terminal to ask on
    #[arg(long, short)]
    pub yes: bool,
    /// Whether to wait for another run.
    #[command(flatten)]
    pub lock: WaitLock,
}
