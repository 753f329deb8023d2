//! What brings archives back, and goes on from them.

use std::path::PathBuf;

use clap::Args;

use super::{AtPlace, OneSource, Thawing, WaitLock, WhichArchive, rate};
use crate::model::{CopyKind, SnapshotName, SourceName};
use crate::store::RateLimit;

/// `coldchain restore`
#[derive(Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option without a value"
)]
pub struct Restore {
    /// The source, which may be left out if there is only one; and the archive, the newest if left out.
    #[command(flatten)]
    pub target: WhichArchive,
    /// Bring back an archive that was imported by this name, and not one of a source
    #[arg(long, value_name = "NAME", conflicts_with_all = ["source", "from", "retired", "writable", "delete_intermediate",
        "explain", "from_plan", "limit", "parallel", "thaw_days", "requests_per_second", "place", "identity"])]
    pub imported: Option<SourceName>,
    /// With --imported, where archives come together before they are decrypted; `spool` in the state directory if left out
    #[arg(long, value_name = "DIR", requires = "imported")]
    pub spool: Option<PathBuf>,
    /// With --imported, the directory of the gpg keyring that has the secret key; gpg's own if left out. If it belongs to
    /// another user, gpg runs as that user
    #[arg(long, value_name = "DIR", requires = "imported")]
    pub gpg_homedir: Option<PathBuf>,
    /// Take this and nothing nearer: `snapshot`, `mirror` or `store`; the nearest copy that is intact if left out
    #[arg(long, value_name = "KIND")]
    pub from: Option<CopyKind>,
    /// Bring back an archive that was retired, as long as all its objects are still in the store
    #[arg(long)]
    pub retired: bool,
    /// A directory on btrfs, or with --as-files on anything; DIR/SOURCE is made in it
    #[arg(long, value_name = "DIR", required_unless_present_any = ["plan", "stream", "explain"])]
    pub to: Option<PathBuf>,
    /// Make plain files in DIR/SOURCE/DATE, on any filesystem and as any user, without `btrfs receive`; `extract` says how
    #[arg(long, requires = "to", conflicts_with_all = ["imported", "from", "retired", "writable", "delete_intermediate",
        "explain", "from_plan"])]
    pub as_files: bool,
    /// With --as-files, also make devices, which only root can
    #[arg(long, requires = "as_files")]
    pub devices: bool,
    /// Also make a writable snapshot of the date, DIR/SOURCE/NAME
    #[arg(long, value_name = "NAME", requires = "to", value_parser = writable_name)]
    pub writable: Option<String>,
    /// Delete each earlier archive of the chain that this restore brought back, once the next one is complete
    #[arg(long, requires = "to")]
    pub delete_intermediate: bool,
    /// Instead, write the send stream of this one archive to a new file, or to stdout if FILE is -
    #[arg(long, value_name = "FILE", conflicts_with_all = ["to", "plan", "explain"])]
    pub stream: Option<PathBuf>,
    /// Show what the restore needs and costs, and stop
    #[arg(long)]
    pub plan: bool,
    /// Print the shell commands that would do the same with public tools, and stop
    #[arg(long, conflicts_with = "plan")]
    pub explain: bool,
    /// Restore exactly what this plan names; `restore --plan --json` writes it
    #[arg(long, value_name = "FILE")]
    pub from_plan: Option<PathBuf>,
    /// Fetch at most this many bytes a second, for example 512KiB or 20MiB
    #[arg(long, value_name = "RATE", value_parser = rate)]
    pub limit: Option<RateLimit>,
    /// Fetch this many segments at once, 1 to 64; as many as the store's `uploads` if left out
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
    /// Don't ask; needed where there is no terminal to ask on
    #[arg(long, short)]
    pub yes: bool,
}

/// `coldchain adopt`
#[derive(Debug, Args)]
#[command(allow_missing_positional = true)]
pub struct Adopt {
    /// Which source; it may be left out if there is only one.
    #[command(flatten)]
    pub source: OneSource,
    /// The directory that was given to `restore --to` for its newest archive, or for its newest copy at a mirror
    pub directory: PathBuf,
    /// What to do while another run is at work.
    #[command(flatten)]
    pub lock: WaitLock,
}

/// Returns a name for a writable snapshot: one component of a path that is no date and not the restore's own.
pub fn writable_name(name: &str) -> Result<String, String> {
    if name.is_empty() || name.starts_with('.') || name.contains('/') {
        return Err("give a plain name, without `/` and without a dot at its beginning".to_owned());
    }
    if name.parse::<SnapshotName>().is_ok() {
        return Err("a date is the name of a restored archive; give another name".to_owned());
    }
    Ok(name.to_owned())
}
