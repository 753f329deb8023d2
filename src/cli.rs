//! The command line, as types.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::model::Tier;
use crate::model::entry::Role;
use crate::plan::Usd;

/// Archives btrfs subvolumes offsite: every night a snapshot, on the scheduled dates an archive,
/// and any archived date back into `btrfs receive`.
#[derive(Debug, Parser)]
#[command(name = "coldchain", version, max_term_width = 100, after_help = EXIT_CODES)]
pub struct Cli {
    /// What applies to every command.
    #[command(flatten)]
    pub everywhere: Everywhere,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "\
Exit codes: 0 done, or nothing due · 1 failed · 2 usage or config · 3 another run holds the lock ·
4 archived, but a later step failed · 5 segments are thawing, run again later · 6 integrity ·
7 chain broken · 8 a program or privilege is missing or too old · 10 several sources, some failed ·
130 stopped by SIGINT · 143 stopped by SIGTERM. An unknown code is a failure.";

/// What applies to every command.
#[derive(Debug, Args)]
pub struct Everywhere {
    /// The config file
    #[arg(
        long,
        short,
        global = true,
        value_name = "FILE",
        env = "COLDCHAIN_CONFIG",
        default_value = "/etc/coldchain/config.toml"
    )]
    pub config: PathBuf,
    /// Where catalog and keys lie, instead of the config's `state_dir`
    #[arg(long, global = true, value_name = "DIR", env = "COLDCHAIN_STATE_DIR")]
    pub state_dir: Option<PathBuf>,
    /// Answer in JSON: one document, or one event a line from long runs
    #[arg(long, global = true)]
    pub json: bool,
    /// Say nothing on success but what was asked for; for cron
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Say on stderr what is being done
    #[arg(long, short, global = true)]
    pub verbose: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make what is missing: commented config, state, keys, recovery kit; overwrite nothing
    Init(Init),
    /// The nightly command: take the snapshot, and archive it if the date calls for it
    Backup(Backup),
    /// What would happen on a date, or on every date of a span, and why
    Plan(Plan),
    /// Chains and their archives: kind, date, parent, sizes, state, expiry
    List(List),
    /// All that is known of one archive
    Show(Show),
    /// Bring an archived date back
    Restore(Restore),
    /// Ask a cold storage class for what a restore needs, or how far it got
    Thaw(Thaw),
    /// Check what is stored: the ledger and every object, and on request every byte
    Verify(Verify),
    /// Retire the chains whose time is over, delete those that were retired, remove what attempts left
    Prune(Prune),
    /// Make the catalog anew from the store, or hold it against the store
    #[command(subcommand)]
    Catalog(Catalog),
    /// btrsend's protocol: print nothing, "c" or "i YYYY-MM-DD", then archive the stream on stdin
    Decide(Decide),
    /// Who opens the archives and who signs the ledgers: the recovery kit, recipients, signing keys
    #[command(subcommand)]
    Key(Key),
    /// Try every store with tiny objects: what it does, what its settings mean, what is amiss
    Doctor,
}

/// `coldchain init`
#[derive(Debug, Args)]
pub struct Init {
    /// Where the recovery kit goes
    #[arg(
        long,
        value_name = "FILE",
        default_value = "coldchain-recovery-kit.txt"
    )]
    pub kit: PathBuf,
}

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
    /// What to do while another run is at work.
    #[command(flatten)]
    pub lock: WaitLock,
}

/// Waiting for another run.
#[derive(Debug, Args)]
pub struct WaitLock {
    /// If another run is working on the source, wait for it for at most so many seconds
    #[arg(
        long,
        value_name = "SECONDS",
        default_value = "0",
        hide_default_value = true
    )]
    wait_lock: u64,
}

impl WaitLock {
    /// How long to wait for the lock of a source.
    pub fn at_most(&self) -> Duration {
        Duration::from_secs(self.wait_lock)
    }
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

/// `coldchain list`
#[derive(Debug, Args)]
pub struct List {
    /// Only this source
    #[arg(long, value_name = "NAME")]
    pub source: Option<String>,
    /// Retired chains too
    #[arg(long)]
    pub all: bool,
}

/// `coldchain show`
#[derive(Debug, Args)]
pub struct Show {
    /// An archive's id, or its date
    #[arg(value_name = "ARCHIVE|DATE")]
    pub archive: String,
    /// The source, if several have an archive of that date
    #[arg(long, value_name = "NAME")]
    pub source: Option<String>,
}

/// `coldchain restore`
#[derive(Debug, Args)]
pub struct Restore {
    /// The source
    pub source: String,
    /// The date, YYYY-MM-DD; the newest archive's if left out
    #[arg(long)]
    pub date: Option<String>,
    /// A directory on btrfs; DIR/SOURCE is made in it
    #[arg(long, value_name = "DIR", required_unless_present = "plan")]
    pub to: Option<PathBuf>,
    /// Say what the restore takes, and stop
    #[arg(long)]
    pub plan: bool,
    /// How to thaw what is cold, and at what price.
    #[command(flatten)]
    pub thawing: Thawing,
    /// What opens the archives: the recovery kit, an age identity file, or an ssh private key
    #[arg(long, value_name = "FILE", env = "COLDCHAIN_IDENTITY_FILE")]
    pub identity: Option<PathBuf>,
    /// Don't ask
    #[arg(long, short)]
    pub yes: bool,
}

/// What asks a cold storage class for segments.
#[derive(Debug, Args)]
pub struct Thawing {
    /// How fast to thaw what is cold: expedited, standard or bulk
    #[arg(long, default_value = "standard")]
    pub tier: Tier,
    /// Days that what was thawed stays readable
    #[arg(long, value_name = "N", default_value = "7", value_parser = clap::value_parser!(u32).range(1..=365))]
    pub thaw_days: u32,
    /// Refuse a restore that costs more in all, in US dollars, before anything is asked for
    #[arg(long, value_name = "USD")]
    pub max_cost: Option<Usd>,
}

/// `coldchain thaw`
#[derive(Debug, Args)]
pub struct Thaw {
    /// The source
    pub source: String,
    /// The date that is to be restored, YYYY-MM-DD; the newest archive's if left out
    #[arg(long)]
    pub date: Option<String>,
    /// How to thaw what is cold, and at what price.
    #[command(flatten)]
    pub thawing: Thawing,
    /// Say how far it got, and ask for nothing
    #[arg(long)]
    pub status: bool,
    /// Don't ask
    #[arg(long, short)]
    pub yes: bool,
}

/// `coldchain verify`
#[derive(Debug, Args)]
#[command(after_help = VERIFY_LEVELS)]
pub struct Verify {
    /// Only this source
    pub source: Option<String>,
    /// Also ask the store for the SHA-256 that it keeps of each object: one request an object
    #[arg(long)]
    pub checksums: bool,
    /// Also fetch the segments and check every byte of them; cold ones only where they are thawed
    #[arg(long)]
    pub deep: bool,
    /// With --deep, fetch that many percent of the segments, 1 to 100
    #[arg(long, value_name = "P", requires = "deep", value_parser = clap::value_parser!(u8).range(1..=100))]
    pub sample: Option<u8>,
    /// Choose the sample that an earlier run with this seed chose
    #[arg(long, value_name = "N", requires = "sample")]
    pub seed: Option<u64>,
    /// Also restore the newest chain onto a filesystem of its own, and compare it with the snapshots
    /// that are still here; takes root, and an --identity
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
Always: every ledger entry is fetched, its signature, number and place in the chain of hashes checked,
and held against the catalog's, and against the recovery kit if that is the --identity; a listing must show
every object of every archive with its size. Nothing that verifies changes, thaws or deletes anything in the
store. Damage ends with exit code 6, and makes the next archive a full if it is of one in the newest chain.
What is found is recorded at once; a check that is interrupted begins anew.";

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
    /// Bring the retired chain of that date back instead, if all its objects still exist
    #[arg(long, value_name = "DATE", requires = "source", conflicts_with_all = ["dry_run", "yes_delete"])]
    pub revive: Option<String>,
    /// What to do while another run is at work.
    #[command(flatten)]
    pub lock: WaitLock,
}

/// `coldchain catalog`
#[derive(Debug, Subcommand)]
pub enum Catalog {
    /// Read the ledgers of a store into a new catalog; the store is only read, and what was there is kept
    Rebuild(CatalogRebuild),
    /// Compare the catalog with the ledgers and the objects of its stores, and change nothing
    Check(CatalogCheck),
}

/// `coldchain catalog rebuild`
#[derive(Debug, Args)]
pub struct CatalogRebuild {
    /// The store's URL: `file:///path`, or `s3://bucket/prefix?region=&endpoint=&path_style=true`;
    /// several times for several stores, and the config's stores if left out
    #[arg(long, value_name = "URL")]
    pub store: Vec<String>,
    /// Whom to trust.
    #[command(flatten)]
    pub trust: TrustArgs,
    /// If nothing says which root key to trust, take each ledger at its own word: whoever may write to the
    /// store may have written all of it
    #[arg(long)]
    pub unauthenticated: bool,
    /// Give up the unfinished archives that only the catalog here knows of
    #[arg(long, short)]
    pub yes: bool,
}

/// `coldchain catalog check`
#[derive(Debug, Args)]
pub struct CatalogCheck {
    /// Only this source
    pub source: Option<String>,
    /// Whom to trust.
    #[command(flatten)]
    pub trust: TrustArgs,
}

/// Whom to trust, where the state directory does not say.
#[derive(Debug, Args)]
pub struct TrustArgs {
    /// The recovery kit: it names the root key and the ledgers, and opens what is sealed in them. Any
    /// other identity file opens it only
    #[arg(long, value_name = "FILE", env = "COLDCHAIN_IDENTITY_FILE")]
    pub identity: Option<PathBuf>,
    /// A root public key (`RW…`) to trust; several times for several. Beside a kit it also admits ledgers that
    /// the kit does not name: of sources that are newer
    #[arg(long, value_name = "KEY")]
    pub trust: Vec<String>,
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

/// `coldchain key`
#[derive(Debug, Subcommand)]
pub enum Key {
    /// This machine's signing key, the root key, and who may sign which ledger
    Show,
    /// Make a signing key on a machine that has none, as one that only prunes; it signs nothing before
    /// `key rotate --add`
    New,
    /// Bring the recovery kit up to date: stores, ledgers, how far they go, the commands of a restore
    Kit(KeyKit),
    /// Prove that an identity opens the archives: each archive's key, and the newest segments that are
    /// not cold
    Check(KeyCheck),
    /// Seal the keys of existing archives to one more recipient; segments are not touched
    AddRecipient(KeyAddRecipient),
    /// Change who may sign the ledgers, with the root key in the recovery kit
    Rotate(KeyRotate),
}

/// `coldchain key kit`
#[derive(Debug, Args)]
pub struct KeyKit {
    /// The kit, which is replaced as a whole; without it, a supplement without secrets is printed
    #[arg(long, value_name = "FILE")]
    pub kit: Option<PathBuf>,
}

/// `coldchain key check`
#[derive(Debug, Args)]
pub struct KeyCheck {
    /// The recovery kit, an age identity file, or an ssh private key
    #[arg(long, value_name = "FILE", env = "COLDCHAIN_IDENTITY_FILE")]
    pub identity: Option<PathBuf>,
    /// Only this source
    #[arg(long, value_name = "NAME")]
    pub source: Option<String>,
}

/// `coldchain key add-recipient`
#[derive(Debug, Args)]
pub struct KeyAddRecipient {
    /// An age or ssh public key
    pub recipient: String,
    /// What opens the archives now: the recovery kit, an age identity file, or an ssh private key
    #[arg(long, value_name = "FILE", env = "COLDCHAIN_IDENTITY_FILE")]
    pub identity: Option<PathBuf>,
    /// Only this source
    #[arg(long, value_name = "NAME")]
    pub source: Option<String>,
    /// What to do while another run is at work.
    #[command(flatten)]
    pub lock: WaitLock,
}

/// `coldchain key rotate`
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("change").required(true).multiple(true).args(["add", "remove", "new_signing_key"]))]
#[command(group = clap::ArgGroup::new("gains").multiple(true).args(["add", "new_signing_key"]))]
pub struct KeyRotate {
    /// The recovery kit, with the root key's secret
    #[arg(long, value_name = "FILE")]
    pub kit: PathBuf,
    /// A public key that may sign from now on, as `key show` prints it; may be repeated
    #[arg(long, value_name = "KEY")]
    pub add: Vec<String>,
    /// What the added keys may sign; may be repeated. Left out: what this machine's key may
    #[arg(long, value_name = "ROLE", requires = "gains")]
    pub role: Vec<AddedRole>,
    /// A public key that signs nothing any more; may be repeated
    #[arg(long, value_name = "KEY")]
    pub remove: Vec<String>,
    /// Make a new signing key for this machine, in the place of the one that it has
    #[arg(long, conflicts_with = "source")]
    pub new_signing_key: bool,
    /// Only this source
    #[arg(long, value_name = "NAME")]
    pub source: Option<String>,
    /// What to do while another run is at work.
    #[command(flatten)]
    pub lock: WaitLock,
}

/// A role that a key can be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum AddedRole {
    /// Archives
    Writer,
    /// Retires what has expired, and deletes it
    Pruner,
}

impl AddedRole {
    /// The role of the ledger.
    pub fn role(self) -> Role {
        match self {
            Self::Writer => Role::Writer,
            Self::Pruner => Role::Pruner,
        }
    }
}
