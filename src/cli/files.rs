//! Looking into snapshots and mirrors, and getting files back.

use std::path::PathBuf;

use chrono::NaiveDate;
use clap::Args;

use super::questions::ToIndex;
use super::{AtPlace, Thawing};
use crate::model::date_word::DateWord;

/// `coldchain history`
#[derive(Debug, Args)]
pub struct History {
    /// A path in a source, in one of its snapshots or in a local mirror; or SOURCE:PATH
    pub path: PathBuf,
    /// Show what changed between two versions of a text file
    #[arg(long)]
    pub diff: bool,
    /// Print the command that gets each version back
    #[arg(long)]
    pub copy: bool,
    /// Only what happened on this date or later
    #[arg(long, value_name = "DATE", value_parser = crate::model::ids::parse_date)]
    pub since: Option<NaiveDate>,
    /// Only what happened on this date or earlier
    #[arg(long, value_name = "DATE", value_parser = crate::model::ids::parse_date)]
    pub until: Option<NaiveDate>,
    /// What the index is brought up to date with.
    #[command(flatten)]
    pub to_index: ToIndex,
}

/// `coldchain yesterday`
#[derive(Debug, Args)]
pub struct Yesterday {
    /// A path in a source, in one of its snapshots or in a local mirror; or SOURCE:PATH
    pub path: PathBuf,
    /// So many years ago; one day ago if nothing is said
    #[arg(long, value_name = "N")]
    pub years: Option<u32>,
    /// So many months ago; with other units, all of them together
    #[arg(long, value_name = "N")]
    pub months: Option<u32>,
    /// So many days ago
    #[arg(long, value_name = "N")]
    pub days: Option<u32>,
    /// So many hours ago
    #[arg(long, value_name = "N")]
    pub hours: Option<u32>,
    /// What the index is brought up to date with.
    #[command(flatten)]
    pub to_index: ToIndex,
}

/// `coldchain get`
#[derive(Debug, Args)]
pub struct Get {
    /// SOURCE:PATH; or a path in a source, in one of its snapshots or in a local mirror
    #[arg(value_name = "SOURCE:PATH")]
    pub path: PathBuf,
    /// As of this snapshot, YYYY-MM-DD or YYYY-MM-DDTHHMM; the newest that has it if left out
    #[arg(long, value_name = "DATE", conflicts_with = "yesterday")]
    pub date: Option<DateWord>,
    /// As it was one day ago
    #[arg(long)]
    pub yesterday: bool,
    /// Where it goes: a new name, or a directory that exists; if left out, the working directory
    #[arg(long, value_name = "DEST")]
    pub to: Option<PathBuf>,
    /// Replace a file that is there; not with one from an archive
    #[arg(long)]
    pub force: bool,
    /// If no snapshot and no mirror has it: what opens the archives, to bring it from there
    #[arg(long, value_name = "FILE", env = "COLDCHAIN_IDENTITY_FILE")]
    pub identity: Option<PathBuf>,
    /// How to thaw what is cold, and at what price.
    #[command(flatten)]
    pub thawing: Thawing,
    /// Where to read.
    #[command(flatten)]
    pub place: AtPlace,
    /// Don't ask before it thaws; needed where there is no terminal to ask on
    #[arg(long, short)]
    pub yes: bool,
}
