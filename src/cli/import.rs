//! Archives of other tools.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `coldchain import`
#[derive(Debug, Subcommand)]
pub enum Import {
    /// List what an old btrsend stored in a Glacier vault, so that it can be restored and deleted from here
    Btrsend(ImportBtrsend),
}

/// `coldchain import btrsend`
#[derive(Debug, Args)]
pub struct ImportBtrsend {
    /// btrsend's database, .btrsend.db in the home of the user who ran it; it is only read, also while btrsend runs
    #[arg(long, value_name = "FILE")]
    pub db: PathBuf,
    /// The vault that btrsend stored in: a store of the config, of type "glacier-vault"
    #[arg(long, value_name = "STORE")]
    pub vault: String,
    /// The name that its archives get here; another one for each user's database
    #[arg(long, value_name = "NAME", default_value = "btrsend")]
    pub name: String,
}
