//! Bringing files back out of archives.

use std::path::PathBuf;

use clap::Args;

use super::{AtPlace, Thawing, rate};
use crate::model::date_word::DateWord;
use crate::store::RateLimit;

/// `coldchain extract`
#[derive(Debug, Args)]
#[command(after_help = EXTRACT_NOTES)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option without a value"
)]
pub struct Extract {
    /// The source; or SOURCE:PATH, or a path in a source, as the first of the paths
    #[arg(value_name = "SOURCE")]
    pub source: PathBuf,
    /// What to bring back: paths below the source's root, directories with all that is in them. A path that the archive does
    /// not have may be a pattern with `*`, `?` and `[a-z]`; `/` is everything
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Also the paths in this file, one on each line; - for stdin
    #[arg(long, value_name = "FILE")]
    pub from_file: Option<PathBuf>,
    /// With --from-file, each path ends with a NUL, as `find -0` prints them
    #[arg(short = '0', long = "null", requires = "from_file")]
    pub null: bool,
    /// As of the newest archive of this date or before, or of the archive of this id; the newest if left out
    #[arg(long, value_name = "DATE")]
    pub date: Option<DateWord>,
    /// The directory that gets them, on any filesystem; made if it is missing. With -, stdout gets the one file
    #[arg(long, value_name = "DIR", required_unless_present_any = ["plan", "explain"])]
    pub to: Option<PathBuf>,
    /// Show what it needs and costs, and stop
    #[arg(long)]
    pub plan: bool,
    /// Print the shell commands that would put the one file together with public tools, and stop
    #[arg(long, conflicts_with_all = ["plan", "to"])]
    pub explain: bool,
    /// Also make devices, which only root can
    #[arg(long)]
    pub devices: bool,
    /// Fetch at most this many bytes a second, for example 512KiB or 20MiB
    #[arg(long, value_name = "RATE", value_parser = rate)]
    pub limit: Option<RateLimit>,
    /// Send this many requests at once, 1 to 64; as many as the store's `uploads` if left out
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64))]
    pub parallel: Option<u8>,
    /// How to thaw what is cold, and at what price.
    #[command(flatten)]
    pub thawing: Thawing,
    /// Where to read.
    #[command(flatten)]
    pub place: AtPlace,
    /// What opens the archives: the recovery kit, an age identity file, or an ssh private key
    #[arg(long, value_name = "FILE", env = "COLDCHAIN_IDENTITY_FILE")]
    pub identity: Option<PathBuf>,
    /// Don't ask before it thaws; needed where there is no terminal to ask on
    #[arg(long, short)]
    pub yes: bool,
}

const EXTRACT_NOTES: &str = "\
    Each path comes back below DIR with the directories that lead to it. Nothing that is there is replaced, and no link is \
    followed. A run that was stopped goes on if the same command is given again. What the target can't hold, such as owners \
    without root, is listed at the end, with exit code 4; a file whose data is damaged is left out, with exit code 6.";
