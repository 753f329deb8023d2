//! Copies of archives in other stores.

use clap::Args;

use super::{OneSource, Thawing, WaitLock, rate};
use crate::store::RateLimit;

/// `coldchain copy`
#[derive(Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option without a value"
)]
pub struct Copy {
    /// Which source.
    #[command(flatten)]
    pub source: OneSource,
    /// The store that gets the copy, by its name in the config; those in the source's `copies` if left out
    #[arg(long, value_name = "STORE")]
    pub to: Option<String>,
    /// Show what would be copied and what it costs, and stop
    #[arg(long, conflicts_with_all = ["anew", "yes"])]
    pub plan: bool,
    /// Copy at most this many bytes a second, for example 512KiB or 20MiB
    #[arg(long, value_name = "RATE", value_parser = rate)]
    pub limit: Option<RateLimit>,
    /// How to thaw what is cold at home, and at what price.
    #[command(flatten)]
    pub thawing: Thawing,
    /// Begin the copy anew although the place has lost the copy that it had
    #[arg(long, requires = "to")]
    pub anew: bool,
    /// Delete nothing in the copy, although home has deleted it
    #[arg(long)]
    pub no_prune: bool,
    /// Don't ask before thawing; needed where there is no terminal to ask on
    #[arg(long, short)]
    pub yes: bool,
    /// Whether to wait for another run.
    #[command(flatten)]
    pub lock: WaitLock,
}
