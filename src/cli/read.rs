//! What reads: archives as they are known, and as they are stored.

use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::Args;

use super::{OneSource, WhichArchive};
use crate::model::{SourceName, Tier};
use crate::plan::Usd;
use crate::store::DEFAULT_REQUESTS_PER_SECOND;

/// What S3 takes from an account.
const MOST_REQUESTS_PER_SECOND: u32 = 1000;

/// Thaw requests a second.
fn requests_per_second(text: &str) -> Result<NonZeroU32, String> {
    let number = text.parse().ok();
    let number = number.filter(|number: &NonZeroU32| number.get() <= MOST_REQUESTS_PER_SECOND);
    number.ok_or_else(|| format!("give a whole number from 1 to {MOST_REQUESTS_PER_SECOND}"))
}

/// `coldchain list`
#[derive(Debug, Args)]
pub struct List {
    /// Which source.
    #[command(flatten)]
    pub source: OneSource,
    /// Retired chains too
    #[arg(long)]
    pub all: bool,
    /// Draw the chains on an axis of dates, a line for each
    #[arg(long, conflicts_with = "json")]
    pub graph: bool,
}

/// `coldchain show`
#[derive(Debug, Args)]
pub struct Show {
    /// Show an archive that was imported by this name, and not one of a source
    #[arg(long, value_name = "NAME", conflicts_with_all = ["source", "place"])]
    pub imported: Option<SourceName>,
    /// The source, which may be left out if only one has such an archive; and the archive, the newest if left out.
    #[command(flatten)]
    pub target: WhichArchive,
    /// Where to read.
    #[command(flatten)]
    pub place: AtPlace,
}

/// Which place a command reads.
#[derive(Debug, Default, Args)]
pub struct AtPlace {
    /// Read the copy in this store of the config, or `home`
    #[arg(long, value_name = "STORE")]
    pub place: Option<String>,
}

/// What asks a cold storage class for segments.
#[derive(Debug, Args)]
pub struct Thawing {
    /// How fast to thaw what is cold: expedited, standard or bulk
    #[arg(long, default_value = "standard")]
    pub tier: Tier,
    /// Days that what was thawed stays readable
    #[arg(long, value_name = "N", default_value_t = Self::DAYS, value_parser = clap::value_parser!(u32).range(1..=365))]
    pub thaw_days: u32,
    /// Refuse a restore that costs more than this in US dollars, before anything is requested
    #[arg(long, value_name = "USD")]
    pub max_cost: Option<Usd>,
    /// Send at most this many thaw requests a second, 1 to 1000; S3 takes 1000 from all of an account
    #[arg(long, value_name = "N", default_value_t = DEFAULT_REQUESTS_PER_SECOND, value_parser = requests_per_second)]
    pub requests_per_second: NonZeroU32,
}

impl Thawing {
    /// Days that what was thawed stays readable, by default.
    pub const DAYS: u32 = 7;
}

/// `coldchain thaw`
#[derive(Debug, Args)]
pub struct Thaw {
    /// The source, which may be left out if there is only one; and the archive that is to be restored, the newest if
    /// left out.
    #[command(flatten)]
    pub target: WhichArchive,
    /// Thaw an archive that was retired, for `restore --retired`
    #[arg(long)]
    pub retired: bool,
    /// How to thaw what is cold, and at what price.
    #[command(flatten)]
    pub thawing: Thawing,
    /// Where to read.
    #[command(flatten)]
    pub place: AtPlace,
    /// Show how far the thaw is, and request nothing
    #[arg(long)]
    pub status: bool,
    /// Request nothing; write the manifest of an S3 Batch Operations job that does, and FILE.job.json, the job itself
    #[arg(long, value_name = "FILE", conflicts_with = "status")]
    pub batch: Option<PathBuf>,
    /// Don't ask; needed where there is no terminal to ask on
    #[arg(long, short)]
    pub yes: bool,
}

/// `coldchain verify`
#[derive(Debug, Args)]
#[command(after_help = VERIFY_LEVELS)]
pub struct Verify {
    /// Which source.
    #[command(flatten)]
    pub source: OneSource,
    /// Where to read.
    #[command(flatten)]
    pub place: AtPlace,
    /// Put what is damaged or missing back, from this other place that has it: a store of the config, or `home`
    #[arg(long, value_name = "STORE")]
    pub repair_from: Option<String>,
    /// Also ask the store for the SHA-256 that it keeps of each object: one request an object
    #[arg(long)]
    pub checksums: bool,
    /// Also fetch the segments and check every byte of them; cold ones only where they are thawed
    #[arg(long)]
    pub deep: bool,
    /// With --deep, fetch this percentage of the segments, 1 to 100
    #[arg(long, value_name = "P", requires = "deep", value_parser = clap::value_parser!(u8).range(1..=100))]
    pub sample: Option<u8>,
    /// Choose the sample that an earlier run with this seed chose
    #[arg(long, value_name = "N", requires = "sample")]
    pub seed: Option<u64>,
    /// Also restore the newest chain onto a temporary filesystem, and compare it with the snapshots
    /// that are still here; needs root and an --identity
    #[arg(long)]
    pub drill: bool,
    /// With --drill, where the image of that filesystem goes; the state directory if left out
    #[arg(long, value_name = "DIR", requires = "drill")]
    pub drill_dir: Option<PathBuf>,
    /// What opens the archives; without it --deep compares the segments' SHA-256 and does not open
    /// them. A recovery kit also says how far the ledger went
    #[arg(long, value_name = "FILE", env = "COLDCHAIN_IDENTITY_FILE")]
    pub identity: Option<PathBuf>,
}

const VERIFY_LEVELS: &str = "\
    Every check fetches all ledger entries. It checks their signatures, numbers and chain of hashes, and compares \
    them with the catalog, and with the recovery kit if that is the --identity. It also checks that a listing shows \
    every object of every archive with its size. A check never changes, thaws or deletes anything in the store, except with --repair-from: \
    that puts damaged and missing objects back from another place, and keeps the damaged bytes below SOURCE/aside/. \
    Damage ends with exit code 6; damage in the newest chain makes the next archive a full. Results are recorded \
    at once; a check that was interrupted starts from the beginning.";
