//! Archives as a filesystem.

use std::path::PathBuf;

use clap::Args;

use super::AtPlace;
use crate::model::SourceName;

/// `coldchain mount`
#[derive(Debug, Args)]
#[command(after_help = MOUNT_NOTES)]
pub struct Mount {
    /// The directory that shows them: an empty one; made if it is missing
    #[arg(value_name = "DIR")]
    pub at: PathBuf,
    /// Only this source; all that have archives if left out
    #[arg(value_name = "SOURCE")]
    pub source: Option<SourceName>,
    /// Let other users in too, each as far as the archived modes and access control lists allow
    #[arg(long)]
    pub allow_other: bool,
    /// Where to read.
    #[command(flatten)]
    pub place: AtPlace,
    /// What opens the archives: the recovery kit, an age identity file, or an ssh private key. Without it, there are only names
    #[arg(long, value_name = "FILE", env = "COLDCHAIN_IDENTITY_FILE")]
    pub identity: Option<PathBuf>,
}

const MOUNT_NOTES: &str = "\
    DIR/SOURCE/YYYY-MM-DD has the files of the archive of that date, read-only. It ends on SIGINT and SIGTERM, or with \
    `umount DIR`. Names and attributes come from the index on this machine; data comes from the store as it is read. Cold \
    data can't be read (ENODATA, \"No data available\"): a warning says how to thaw it.";
