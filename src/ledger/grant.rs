//! Grants: the root key gives roles to another key.
//!
//! The statement is a line of canonical JSON, `{"key":"RW…","roles":["pruner","writer"]}`, signed
//! by the root key. A machine keeps it in its state directory, so that a ledger for a new source can
//! be opened while the root secret lies in the recovery kit.

use serde_json::json;

use super::canonical::to_canonical;
use super::error::{EntryRefusal, LedgerError};
use super::key::{PublicKey, SigningKey};
use super::signature::is_one_form;
use crate::model::entry::{KeyGrant, Role};

const UNTRUSTED: &str = "coldchain key grant";
const TRUSTED: &str = "coldchain key grant";

fn statement(key: &str, roles: &[Role]) -> Vec<u8> {
    let mut line =
        to_canonical(&json!({"key": key, "roles": roles})).expect("strings are canonical");
    line.push(b'\n');
    line
}

/// Signs a key's roles with the root key.
pub fn make_grant(
    root: &SigningKey,
    key: &PublicKey,
    roles: &[Role],
) -> Result<KeyGrant, LedgerError> {
    let mut roles = roles.to_vec();
    roles.sort_unstable();
    let key = key.to_string();
    let grant = root.sign(&statement(&key, &roles), UNTRUSTED, TRUSTED, "a key grant")?;
    Ok(KeyGrant {
        key,
        roles,
        grant: Some(grant),
    })
}

/// Returns the root key's own place in `open`, which needs no grant.
pub fn root_grant(root: &PublicKey) -> KeyGrant {
    KeyGrant {
        key: root.to_string(),
        roles: vec![Role::Root],
        grant: None,
    }
}

/// Checks that the root key has granted that key exactly these roles, and returns the key. The role `root`
/// can't be granted.
pub fn verify_grant(root: &PublicKey, grant: &KeyGrant) -> Result<PublicKey, EntryRefusal> {
    let refuse = || EntryRefusal::NoGrant {
        key: grant.key.clone(),
    };
    if grant.roles.contains(&Role::Root) {
        return Err(EntryRefusal::Role(Role::Root));
    }
    let key: PublicKey = grant.key.parse().map_err(|_| refuse())?;
    let signature = grant.grant.as_deref().ok_or_else(refuse)?;
    let good = key.to_string() == grant.key
        && is_one_form(signature.as_bytes(), UNTRUSTED, TRUSTED)
        && root.verifies(&statement(&grant.key, &grant.roles), signature);
    if good { Ok(key) } else { Err(refuse()) }
}
