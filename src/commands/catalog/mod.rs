//! `coldchain catalog`: rebuild the catalog from the store, or compare it with the store.

mod check;
mod rebuild;

use super::identity::{identities_in, open_identity_file};
use super::state_dir_without_config;
use crate::cli::{Catalog, Everywhere, TrustArgs};
use crate::config::{Config, ConfigError};
use crate::engine::{StateDir, Trusted, read_kit};
use crate::error::{Error, KeyError, RebuildError};
use crate::seal::{Identities, IdentityFile, SealError};

pub(super) fn run(command: &Catalog, everywhere: &Everywhere) -> Result<(), Error> {
    match command {
        Catalog::Rebuild(args) => rebuild::run(args, everywhere),
        Catalog::Check(args) => check::run(args, everywhere),
    }
}

/// Loads the config, if there is one.
fn config_if_any(everywhere: &Everywhere) -> Result<Option<Config>, Error> {
    match super::load_any(everywhere) {
        Ok(config) => Ok(Some(config)),
        Err(Error::Config(ConfigError::NotFound { .. })) if everywhere.needs_no_config() => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn state_dir(config: Option<&Config>, everywhere: &Everywhere) -> Result<StateDir, Error> {
    Ok(match config {
        Some(config) => StateDir::new(&config.state_dir),
        None => StateDir::new(&state_dir_without_config(everywhere)?),
    })
}

/// Opens the identity file, if one was given.
fn identity_file(args: &TrustArgs) -> Result<Option<IdentityFile>, Error> {
    let path = args.identity.as_ref();
    path.map(|path| open_identity_file(path)).transpose()
}

/// Returns whom to trust: the keys of the recovery kit and the command line, or else the one in the state
/// directory.
fn trusted(
    args: &TrustArgs,
    file: Option<&IdentityFile>,
    state_dir: &StateDir,
) -> Result<Trusted, Error> {
    let mut trusted = match file {
        Some(file) => Trusted::from(read_kit(file)?),
        None => Trusted::default(),
    };
    for key in &args.trust {
        let root = key.parse().map_err(|source| {
            Error::Rebuild(RebuildError::TrustKey {
                key: key.clone(),
                source,
            })
        })?;
        if !trusted.roots.contains(&root) {
            trusted.roots.push(root.clone());
        }
        trusted.typed.push(root);
    }
    if trusted.roots.is_empty() {
        match state_dir.root_key() {
            Ok(root) => trusted.roots.push(root),
            Err(Error::Key(KeyError::NoKeys { .. })) => {
                return Err(RebuildError::NobodyTrusted.into());
            }
            Err(error) => return Err(error),
        }
    }
    Ok(trusted)
}

/// Returns the identities in the file; `None` for a kit without one, which still says whom to trust.
fn identities(file: Option<&IdentityFile>, trusted: &Trusted) -> Result<Option<Identities>, Error> {
    let Some(file) = file else {
        return Ok(None);
    };
    match identities_in(file) {
        Err(Error::Seal(SealError::IdentityMissing { .. })) if !trusted.sources.is_empty() => {
            Ok(None)
        }
        asked => asked.map(Some),
    }
}
