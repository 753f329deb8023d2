//! The catalog: making it anew, and holding it against the store.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::OneSource;

/// `coldchain catalog`
#[derive(Debug, Subcommand)]
pub enum Catalog {
    /// Make a new catalog from the ledgers of the stores; stores are only read, and the old catalog is kept
    Rebuild(CatalogRebuild),
    /// Compare the catalog with the ledgers and the objects of its stores, and change nothing
    Check(CatalogCheck),
}

/// `coldchain catalog rebuild`
#[derive(Debug, Args)]
pub struct CatalogRebuild {
    /// The store's URL: `file:///path`, `s3://bucket/prefix?region=&endpoint=&path_style=true`, or `glacier-vault://region/vault?ledger=`;
    /// may be repeated; the config's stores if left out
    #[arg(long, value_name = "URL")]
    pub store: Vec<String>,
    /// Whom to trust.
    #[command(flatten)]
    pub trust: TrustArgs,
    /// If no root key to trust is known, trust the root key that each ledger names itself: anybody who can write to
    /// the store may have written all of it
    #[arg(long)]
    pub unauthenticated: bool,
    /// Read the ledger in this directory of a store even if neither config nor kit names it, and a key that was
    /// withdrawn from another ledger may sign it; may be repeated
    #[arg(long, value_name = "DIRECTORY")]
    pub include: Vec<String>,
    /// Read the ledger only up to the entry of that number, into a catalog that is only for restores. Give an
    /// empty state directory for it with `--state-dir`
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub as_of: Option<u64>,
    /// Read only the ledger in this directory of the stores
    #[arg(long, value_name = "DIRECTORY", requires = "as_of")]
    pub only: Option<String>,
    /// Give up the unfinished archives that only the catalog here knows of
    #[arg(long, short)]
    pub yes: bool,
}

/// `coldchain catalog check`
#[derive(Debug, Args)]
pub struct CatalogCheck {
    /// Which source.
    #[command(flatten)]
    pub source: OneSource,
    /// Whom to trust.
    #[command(flatten)]
    pub trust: TrustArgs,
}

/// Whom to trust, where the state directory does not say.
#[derive(Debug, Args)]
pub struct TrustArgs {
    /// The recovery kit: it names the root key and the ledgers, and opens what is sealed in them. Any
    /// other identity file only opens what is sealed
    #[arg(long, value_name = "FILE", env = "COLDCHAIN_IDENTITY_FILE")]
    pub identity: Option<PathBuf>,
    /// A root public key (`RW…`) to trust; may be repeated. Together with a kit it also admits ledgers that
    /// the kit does not name, such as those of newer sources
    #[arg(long, value_name = "KEY")]
    pub trust: Vec<String>,
}
