//! What the config file says, without doing anything.

use clap::Subcommand;

/// `coldchain config`
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Read the config file and say whether it has a fault; asks no store and changes nothing
    Check,
    /// Every value that holds, and where it comes from; secrets are hidden
    Show,
    /// The JSON schema of the config file, for editors
    Schema,
}
