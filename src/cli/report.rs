//! What is known of all sources, on one page.

use std::path::PathBuf;

use clap::Args;

use super::OneSource;

/// `coldchain report`
#[derive(Debug, Args)]
#[command(after_help = KNOWS)]
pub struct Report {
    /// Which source.
    #[command(flatten)]
    pub source: OneSource,
    /// Write the report to FILE as one page of HTML that needs nothing else; `-` is stdout
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

const KNOWS: &str = "\
    It asks no store and no mirror, and needs neither a network nor an identity: it reads the config, the catalog and the \
    records of runs on this machine. The page has no script and loads nothing. FILE is replaced in one step and keeps its owner \
    and mode; a new one can be read by its owner alone.";
