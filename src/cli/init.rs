//! Making what is missing.

use std::path::PathBuf;

use clap::Args;

use super::cost::class_of_s3;
use crate::model::StorageClass;

/// Where the recovery kit goes if the command line names no file.
pub const DEFAULT_KIT: &str = "coldchain-recovery-kit.txt";

/// `coldchain init`
#[derive(Debug, Args)]
#[command(after_help = ASKS)]
pub struct Init {
    /// Where the recovery kit goes
    #[arg(
        long,
        value_name = "FILE",
        default_value = DEFAULT_KIT
    )]
    pub kit: PathBuf,
    /// Archive this subvolume; several times for several. Without a name, the source is called as the directory
    #[arg(long, value_name = "[NAME=]SUBVOLUME")]
    pub source: Vec<String>,
    /// Where archives go: a directory, or `s3://BUCKET/PREFIX`, with what a URL of a store may have behind it
    #[arg(long, value_name = "PLACE")]
    pub store: Option<String>,
    /// The storage class of segments in a bucket: `DEEP_ARCHIVE` unless the URL names an endpoint, and `STANDARD` there
    #[arg(long, value_name = "CLASS", value_parser = class_of_s3)]
    pub storage_class: Option<StorageClass>,
    /// One more public key that opens the archives: of age, or ssh
    #[arg(long, value_name = "KEY")]
    pub recipient: Vec<String>,
    /// Ask nothing, and write a config to fill in
    #[arg(long, conflicts_with_all = ["source", "store", "storage_class", "recipient"])]
    pub template: bool,
    /// Write a config with the subvolumes, targets and retention of this btrbk.conf; only if there is no config yet
    #[arg(long, value_name = "FILE", conflicts_with_all = ["source", "store", "storage_class", "recipient", "template"])]
    pub from_btrbk: Option<PathBuf>,
    /// The same from snapper's configs: those of these names, files or directories, or else all in /etc/snapper/configs
    #[arg(
        long,
        value_name = "CONFIG",
        num_args = 0..,
        conflicts_with_all = ["from_btrbk", "source", "store", "storage_class", "recipient", "template"]
    )]
    pub from_snapper: Option<Vec<PathBuf>>,
}

impl Init {
    /// Whether the command line describes a new config.
    pub fn describes(&self) -> bool {
        !self.source.is_empty()
            || self.store.is_some()
            || self.storage_class.is_some()
            || !self.recipient.is_empty()
    }
}

const ASKS: &str = "\
    Without a config, it asks on a terminal for what no option says, writes the config, makes what it needs, runs `doctor`, and \
    shows tonight's plan and what the first archive will take. Elsewhere it asks nothing: --source and --store describe the \
    config, and without them it is written to be filled in. A later run makes what is missing, and changes nothing else.";
