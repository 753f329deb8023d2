//! `coldchain key`: identities that open archives, and keys that sign ledgers.

mod check;
pub(super) mod kit;
mod new;
mod recipient;
mod rotate;
mod show;

use crate::cli::{Everywhere, Key};
use crate::config::Config;
use crate::engine::StateDir;
use crate::error::{Error, KeyError};
use crate::ledger::PublicKey;
use crate::model::entry::Role;

pub(super) fn run(key: &Key, everywhere: &Everywhere) -> Result<(), Error> {
    match key {
        Key::Show(args) => show::run(args, everywhere),
        Key::New => new::run(everywhere),
        Key::Kit(args) => kit::run(args, everywhere),
        Key::Check(args) => check::run(args, everywhere),
        Key::AddRecipient(args) => recipient::run(args, everywhere),
        Key::Rotate(args) => rotate::run(args, everywhere),
    }
}

/// Returns the root key that this machine trusts, if it has one.
fn trusted_root(config: &Config) -> Result<Option<PublicKey>, Error> {
    match StateDir::new(&config.state_dir).root_key() {
        Ok(root) => Ok(Some(root)),
        Err(Error::Key(KeyError::NoKeys { .. })) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Returns roles as a text such as `pruner and writer`.
fn in_words(roles: &[Role]) -> String {
    let names: Vec<&str> = roles.iter().map(|role| role.as_str()).collect();
    if names.is_empty() {
        "nothing".to_owned()
    } else {
        names.join(" and ")
    }
}

fn keys_to_json(keys: &[(PublicKey, Vec<Role>)]) -> serde_json::Value {
    keys.iter()
        .map(|(key, roles)| serde_json::json!({"key": key.to_string(), "roles": roles}))
        .collect()
}
