//! Keys: who opens the archives, and who signs the ledgers.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{OneSource, WaitLock};
use crate::model::entry::{FURTHEST, Role};

/// `coldchain key`
#[derive(Debug, Subcommand)]
pub enum Key {
    /// This machine's signing key, the root key, and who may sign which ledger
    Show(KeyShow),
    /// Make a signing key on a machine that has none, such as one that only prunes; it may sign nothing
    /// until `key rotate --add` adds it
    New,
    /// Bring the recovery kit up to date: stores, ledgers, how far they go, the commands of a restore
    Kit(KeyKit),
    /// Prove that an identity opens the archives: each archive's key, and a segment of the newest archive of
    /// each chain unless it is cold
    Check(KeyCheck),
    /// Seal the keys of existing archives to one more recipient; segments are not touched
    AddRecipient(KeyAddRecipient),
    /// Change who may sign the ledgers, with the root key in the recovery kit
    Rotate(KeyRotate),
}

/// `coldchain key show`
#[derive(Debug, Args)]
pub struct KeyShow {
    /// Also show every ledger entry: its number, time, kind, signing key, and the archives that it names
    #[arg(long)]
    pub entries: bool,
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
    /// Which source.
    #[command(flatten)]
    pub source: OneSource,
}

/// `coldchain key add-recipient`
#[derive(Debug, Args)]
pub struct KeyAddRecipient {
    /// An age or ssh public key
    pub recipient: String,
    /// Seal the keys again that a ledger entry says are sealed to it already: somebody with a leaked key may
    /// have written that entry
    #[arg(long)]
    pub again: bool,
    /// What opens the archives now: the recovery kit, an age identity file, or an ssh private key
    #[arg(long, value_name = "FILE", env = "COLDCHAIN_IDENTITY_FILE")]
    pub identity: Option<PathBuf>,
    /// Which source.
    #[command(flatten)]
    pub source: OneSource,
    /// What to do while another run is at work.
    #[command(flatten)]
    pub lock: WaitLock,
}

/// `coldchain key rotate`
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("change").required(true).multiple(true).args(["add", "remove", "new_signing_key", "void", "undelete"]))]
#[command(group = clap::ArgGroup::new("gains").multiple(true).args(["add", "new_signing_key"]))]
pub struct KeyRotate {
    /// The recovery kit, with the root key's secret
    #[arg(long, value_name = "FILE")]
    pub kit: PathBuf,
    /// A public key that may sign from now on, as `key show` prints it; may be repeated
    #[arg(long, value_name = "KEY")]
    pub add: Vec<String>,
    /// What the added keys may sign; may be repeated; the roles of this machine's key if left out
    #[arg(long, value_name = "ROLE", requires = "gains")]
    pub role: Vec<AddedRole>,
    /// A public key to withdraw: it may sign nothing from now on; may be repeated
    #[arg(long, value_name = "KEY")]
    pub remove: Vec<String>,
    /// The number of a ledger entry to void, or a span (4-6): an entry of an unknown kind or format, of a fork, or
    /// one by which a withdrawn key has archived or attached something; may be repeated
    #[arg(long, value_name = "NUMBER", requires = "chosen", value_delimiter = ',', value_parser = span)]
    pub void: Vec<RangeInclusive<u64>>,
    /// Bring back what a withdrawn key has retired or begun to delete, where every object is still in
    /// the store
    #[arg(long)]
    pub undelete: bool,
    /// Make a new signing key for this machine, and withdraw its old one
    #[arg(long, conflicts_with = "chosen")]
    pub new_signing_key: bool,
    /// Which source.
    #[command(flatten)]
    pub source: OneSource,
    /// What to do while another run is at work.
    #[command(flatten)]
    pub lock: WaitLock,
}

/// A number, or the first and the last of several.
fn span(text: &str) -> Result<RangeInclusive<u64>, String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let number = |text: &str| {
        let number: Option<u64> = text.parse().ok();
        number.ok_or_else(|| "give a number, or a span like 4-6".to_owned())
    };
    let (first, last) = (number(first)?, number(last)?);
    if first == 0 || last < first || last - first >= FURTHEST {
        return Err(format!(
            "a span goes up, starts at 1 or later, and has at most {FURTHEST} numbers"
        ));
    }
    Ok(first..=last)
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
