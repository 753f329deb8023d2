//! The command line, as types.

mod archive;
mod catalog;
pub mod completion;
mod config;
mod copy;
mod cost;
mod doctor;
pub mod examples;
mod extract;
mod files;
mod import;
mod index;
mod init;
mod key;
mod mirror;
mod mirror_server;
mod mount;
mod move_home;
mod pull;
mod questions;
mod read;
mod report;
mod restore;
mod snapshots;
mod status;
mod target;

use std::env;
use std::ffi::OsStr;
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::Resettable;
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::config::parse_size;
use crate::model::shell;
use crate::printing::ColorChoice;
use crate::store::RateLimit;

pub use archive::{Backup, Decide, Forget, Plan, Prune};
pub use catalog::{Catalog, CatalogCheck, CatalogRebuild, TrustArgs};
pub use config::ConfigCommand;
pub use copy::Copy;
pub use cost::Cost;
pub use doctor::Doctor;
pub use extract::Extract;
pub use files::{Get, History, Yesterday};
pub use import::{Import, ImportBtrsend};
pub use index::Index;
pub use init::{DEFAULT_KIT, Init};
pub use key::{AddedRole, Key, KeyAddRecipient, KeyCheck, KeyKit, KeyRotate, KeyShow};
pub use mirror::Mirror;
pub use mirror_server::MirrorServer;
pub use mount::Mount;
pub use move_home::Move;
pub use pull::Pull;
pub use questions::{Diff, Du, Find, KindLetter, Ls, SizeRange, ToIndex};
pub use read::{AtPlace, List, Show, Thaw, Thawing, Verify};
pub use report::Report;
pub use restore::{Adopt, Restore, writable_name};
pub use snapshots::{Snapshot, Snapshots};
pub use status::{CheckStyle, Status};
pub use target::{Night, OneSource, Typed, WhichArchive};

/// Archives btrfs subvolumes offsite: a snapshot every night, an archive on the scheduled dates,
/// and a restore of any archived date through `btrfs receive`.
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

/// The config file that is read when the command line and the environment name none.
pub const DEFAULT_CONFIG: &str = "/etc/coldchain/config.toml";

const EXIT_CODES: &str = "\
    Exit codes: 0 done, or nothing due · 1 failed · 2 usage or config · 3 another run holds the lock · \
    4 archived or extracted, but something after that failed or was not kept · 5 segments are thawing, run again later · 6 integrity · \
    7 chain broken · 8 a program or privilege is missing or too old · 9 overdue (`status --check`) · 10 several sources, some failed · \
    101 a fault of coldchain · 130 stopped by SIGINT · 143 stopped by SIGTERM. An unknown code is a failure.";

/// What applies to every command.
#[derive(Debug, Args)]
pub struct Everywhere {
    /// The config file; if left out, what `$COLDCHAIN_CONFIG` names, or else /etc/coldchain/config.toml
    #[arg(long, short, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where catalog and keys lie, instead of the config's `state_dir`
    #[arg(long, global = true, value_name = "DIR", env = "COLDCHAIN_STATE_DIR")]
    pub state_dir: Option<PathBuf>,
    /// Answer in JSON: one document, or one event a line from long runs
    #[arg(long, global = true)]
    pub json: bool,
    /// On success, print only what was asked for; for cron
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Say on stderr what is being done
    #[arg(long, short, global = true)]
    pub verbose: bool,
    /// When help and the words error, warning and hint have colours; `auto` heeds `$NO_COLOR`, `$CLICOLOR` and `$CLICOLOR_FORCE`
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        default_value = "auto",
        hide_default_value = true
    )]
    pub color: ColorChoice,
}

impl Cli {
    /// Parses the command line of this process. An environment variable that is set but empty counts as unset.
    pub fn of_this_process() -> Result<Self, clap::Error> {
        let matches = without_empty_variables(program()).try_get_matches()?;
        Self::from_arg_matches(&matches)
    }
}

/// The command line as it is parsed, helped with and documented.
pub fn program() -> clap::Command {
    examples::add_to(Cli::command(), "")
}

fn without_empty_variables(command: clap::Command) -> clap::Command {
    let is_empty = |name: &OsStr| env::var_os(name).is_some_and(|value| value.is_empty());
    command
        .mut_args(|arg| match arg.get_env() {
            Some(name) if is_empty(name) => arg.env(Resettable::Reset),
            _ => arg,
        })
        .mut_subcommands(without_empty_variables)
}

impl Everywhere {
    /// The same as `--config FILE --quiet`.
    pub fn quietly(config: PathBuf) -> Self {
        Self {
            config: Some(config),
            state_dir: None,
            json: false,
            quiet: true,
            verbose: false,
            color: ColorChoice::Auto,
        }
    }

    /// Returns the options that name the config and the state directory, as words for a shell: what a command
    /// needs that is to work on the same things. Empty if neither was typed.
    pub fn as_words(&self) -> String {
        let variable = env::var_os("COLDCHAIN_STATE_DIR").map(PathBuf::from);
        let state_dir = self
            .state_dir
            .as_ref()
            .filter(|path| variable.as_ref() != Some(*path));
        let typed = [
            ("--config", self.config.as_ref()),
            ("--state-dir", state_dir),
        ];
        let words = typed
            .iter()
            .filter_map(|(option, path)| Some(format!("{option} {}", shell::path((*path)?))));
        words.collect::<Vec<_>>().join(" ")
    }

    /// What replaced the config's `state_dir`, if anything did.
    pub fn state_dir_origin(&self) -> Option<&'static str> {
        let given = self.state_dir.as_ref()?;
        let variable = env::var_os("COLDCHAIN_STATE_DIR").map(PathBuf::from);
        Some(if variable.as_ref() == Some(given) {
            "COLDCHAIN_STATE_DIR"
        } else {
            "--state-dir"
        })
    }

    /// The config file.
    pub fn config(&self) -> PathBuf {
        let elsewhere = || env::var_os("COLDCHAIN_CONFIG").filter(|path| !path.is_empty());
        match &self.config {
            Some(path) => path.clone(),
            None => elsewhere().map_or_else(|| DEFAULT_CONFIG.into(), PathBuf::from),
        }
    }

    /// Whether what only reads does without a config that is not there: not if --config names it, or if it is a link
    /// that leads nowhere.
    pub fn needs_no_config(&self) -> bool {
        self.config.is_none() && !self.config().is_symlink()
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make what is missing: commented config, state, keys, recovery kit; overwrite nothing
    Init(Init),
    /// The nightly command: take the snapshot, and archive it if the date calls for it
    Backup(Backup),
    /// Take a snapshot now, named by date and time, and delete those that have expired
    Snapshot(Snapshot),
    /// The snapshots on this machine: age, sizes, and why each is kept
    Snapshots(Snapshots),
    /// Bring the subvolumes up to date that are pulled from elsewhere by rsync; `backup` does it first
    Pull(Pull),
    /// Send the mirrors the snapshots that they lack
    Mirror(Mirror),
    /// Copy archives to another store, sealed as they are; no key is needed
    Copy(Copy),
    /// Make a copy the home of a source: archives go there from then on
    Move(Move),
    /// Be a mirror for another machine: `coldchain mirror` there starts this by ssh
    MirrorServer(MirrorServer),
    /// What would happen on a date, or on every date of a span, and why
    Plan(Plan),
    /// Chains and their archives: kind, date, parent, sizes, state, expiry
    List(List),
    /// What is stored costs each month, what the months to come will cost, and what a restore would
    Cost(Cost),
    /// All that is known of one archive
    Show(Show),
    /// Bring an archived date back
    Restore(Restore),
    /// List what another tool stored, to restore and delete it from here
    #[command(subcommand)]
    Import(Import),
    /// What a directory holds in an archive
    Ls(Ls),
    /// Files in archives, by name, size, age, kind or owner; deleted ones too
    Find(Find),
    /// What changed between two archives, and what it took in the streams
    Diff(Diff),
    /// What directories weigh in an archive, or in each
    Du(Du),
    /// Make contents for archives that have none, so that their files can be listed and found
    Index(Index),
    /// Every version of a file or directory, over all snapshots, local mirrors and archives
    History(History),
    /// The path of a file's version of one day ago
    Yesterday(Yesterday),
    /// Copy a file or directory out of a snapshot or a local mirror
    Get(Get),
    /// Bring files back out of an archive, onto any filesystem, and fetch no more than they need
    Extract(Extract),
    /// Show archives as a read-only filesystem, until it is ended
    Mount(Mount),
    /// Continue from a restored archive: the next archive builds on it
    Adopt(Adopt),
    /// Thaw what a restore needs, or show how far the thaw is
    Thaw(Thaw),
    /// Check what is stored: the ledger and every object, and on request every byte
    Verify(Verify),
    /// Retire expired chains, delete what was retired long enough ago, and remove orphaned objects
    Prune(Prune),
    /// Rebuild the catalog from the store, or compare it with the store
    #[command(subcommand)]
    Catalog(Catalog),
    /// btrsend's protocol: print nothing, "c" or "i YYYY-MM-DD", then archive the stream on stdin
    Decide(Decide),
    /// Who opens the archives and who signs the ledgers: the recovery kit, recipients, signing keys
    #[command(subcommand)]
    Key(Key),
    /// The config: whether it has a fault, what it amounts to, and what it may have
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print the script by which a shell completes command lines: bash, zsh or fish
    Completions(completion::Completions),
    /// Say what an exit code or an area is, and what to run next; without a word, list what can be explained
    Explain(Explain),
    /// Print the manual page, or write those of all commands and of the config
    Man(Man),
    /// What the script of `completions` asks: what fits at the end of a command line
    #[command(hide = true)]
    Complete(completion::Complete),
    /// What `backup` starts where `sender = "kernel"`: a snapshot's send stream on stdout
    #[command(hide = true)]
    SendStream(SendStream),
    /// Remove from the catalog a source that the config no longer names; nothing else changes
    Forget(Forget),
    /// How the sources stand: last archives, what is due, checks, alarms; asks no store
    Status(Status),
    /// All that is known of the sources on one page: alarms, timelines, growth, places, costs, checks; HTML or a short text
    Report(Report),
    /// What is wrong: this machine, the config, keys and sources; and every store, which is tried with tiny objects
    Doctor(Doctor),
}

/// `coldchain explain`
#[derive(Debug, Args)]
pub struct Explain {
    /// An exit code, or an area such as thaw or recovery-kit
    #[arg(value_name = "TOPIC")]
    pub topic: Vec<String>,
}

/// `coldchain man`
#[derive(Debug, Args)]
pub struct Man {
    /// Where all pages go; pages that are there are replaced. Without it, coldchain.1 is printed
    #[arg(value_name = "DIR")]
    pub directory: Option<PathBuf>,
}

/// `coldchain send-stream`
#[derive(Debug, Args)]
pub struct SendStream {
    /// The read-only snapshot
    pub snapshot: PathBuf,
    /// The read-only snapshot that the receiver has
    #[arg(long)]
    pub parent: Option<PathBuf>,
    /// The version of the stream
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=2))]
    pub proto: u32,
    /// Version 2, with data as it is compressed on disk
    #[arg(long, conflicts_with = "proto")]
    pub compressed_data: bool,
    /// Announce the data of files, and leave it out
    #[arg(long)]
    pub no_data: bool,
    /// Read the data of files here, in so many threads, and not in the kernel's sender
    #[arg(long, value_name = "THREADS", conflicts_with_all = ["no_data", "compressed_data"])]
    pub parallel: Option<NonZeroUsize>,
}

/// Waiting for another run.
#[derive(Debug, Args)]
pub struct WaitLock {
    /// If another run is working on the source, wait for it at most this many seconds
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

/// Slower than this a segment takes hours, and a connection looks as if nothing moved.
pub const SLOWEST_RATE: u64 = 64 << 10;

/// Returns the limit of that many bytes a second; `None` if that is too slow.
pub fn rate_of(bytes: u64) -> Option<RateLimit> {
    let bytes = NonZeroU64::new(bytes).filter(|bytes| bytes.get() >= SLOWEST_RATE);
    bytes.map(RateLimit::new)
}

/// Bytes a second.
fn rate(text: &str) -> Result<RateLimit, String> {
    let limit = parse_size(text).and_then(rate_of);
    limit
        .ok_or_else(|| "a rate is a whole number of KiB, MiB or GiB, and at least 64KiB".to_owned())
}
