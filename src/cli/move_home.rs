//! Moving a source's archives to another home.

use std::path::PathBuf;

use clap::Args;

use super::WaitLock;

/// `coldchain move`
#[derive(Debug, Args)]
pub struct Move {
    /// The source
    pub source: String,
    /// The store that has a copy of it and is to be its home, by its name in the config
    #[arg(long, value_name = "STORE")]
    pub to: String,
    /// Don't ask the old home, because it is lost: what only the old home has is given up
    #[arg(long)]
    pub abandon_home: bool,
    /// The recovery kit, which names the address of home: bring it up to date as well
    #[arg(long, value_name = "FILE")]
    pub kit: Option<PathBuf>,
    /// Don't ask; needed where there is no terminal to ask on
    #[arg(long, short)]
    pub yes: bool,
    /// What to do while another run is at work.
    #[command(flatten)]
    pub lock: WaitLock,
}
