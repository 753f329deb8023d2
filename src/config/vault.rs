//! `[store.NAME]` with `type = "glacier-vault"`: segments lie in a vault, and all else in another store.

use std::collections::{BTreeMap, BTreeSet};

use super::error::{ConfigError, Fault, Unknown};
use super::no_ledger_store::NoLedgerStore;
use super::section::{Field, Section};
use super::store::StoreConfig;
use super::store_names::{
    ENDPOINT, REGION, VAULT, is_endpoint, is_vault, is_vault_region, without_slash,
};
use super::transfers::{patience, uploads};
use crate::store::VaultSettings;

pub(super) const KEYS: &[&str] = &[
    "type",
    "vault",
    "region",
    "ledger_store",
    "endpoint",
    "profile",
    "credentials_file",
    "ca_file",
    "uploads",
    "give_up_after",
];

/// Reads a vault. `stores` are all stores that are no vaults, and `vaults` the names of those that are.
pub(super) fn read(
    name: &str,
    section: &Section<'_>,
    stores: &BTreeMap<String, StoreConfig>,
    vaults: &BTreeSet<&str>,
) -> Result<StoreConfig, ConfigError> {
    let vault = section.require("vault")?.matching(is_vault, VAULT)?;
    let region = section
        .require("region")?
        .matching(is_vault_region, REGION)?;
    let ledger_store = ledger_store(name, section, stores, vaults)?;
    let mut settings = VaultSettings::new(region, vault);
    let endpoint = section.read("endpoint", |field| field.matching(is_endpoint, ENDPOINT))?;
    settings.endpoint = endpoint.map(|endpoint| without_slash(&endpoint).to_owned());
    settings.profile = section.read("profile", Field::owned_string)?;
    settings.credentials_file = section.read("credentials_file", Field::absolute_path)?;
    settings.ca_file = section.read("ca_file", Field::absolute_path)?;
    settings.patience = patience(section, &settings.patience)?;
    Ok(StoreConfig::vault(
        settings,
        uploads(section)?,
        ledger_store,
    ))
}

/// Reads the name of the store that has the ledger, and returns that store. A ledger is read by key and at once, which
/// a vault can't do.
fn ledger_store(
    name: &str,
    section: &Section<'_>,
    stores: &BTreeMap<String, StoreConfig>,
    vaults: &BTreeSet<&str>,
) -> Result<StoreConfig, ConfigError> {
    let Some(field) = section.get("ledger_store") else {
        return Err(section.fault(Fault::LedgerStore {
            vault: name.to_owned(),
            why: NoLedgerStore::Unnamed,
        }));
    };
    let named = field.string()?;
    let refuse = |why| {
        field.fault(Fault::LedgerStore {
            vault: name.to_owned(),
            why,
        })
    };
    if named == name {
        return Err(refuse(NoLedgerStore::Itself));
    }
    if vaults.contains(named) {
        return Err(refuse(NoLedgerStore::Vault(named.to_owned())));
    }
    let Some(store) = stores.get(named) else {
        let known = stores.keys().map(String::as_str);
        let mut unknown = Unknown::among("store", named, known);
        unknown
            .hint
            .get_or_insert_with(|| "describe it in a [store.NAME]".to_owned());
        return Err(field.fault(Fault::Unknown(unknown)));
    };
    if let Some(class) = store.storage_class().filter(|class| class.is_cold()) {
        return Err(refuse(NoLedgerStore::Cold(named.to_owned(), class)));
    }
    if store.object_lock().is_some() {
        return Err(refuse(NoLedgerStore::Locks(named.to_owned())));
    }
    Ok(store.clone())
}
