//! Why a vault has no store for its ledger.

use crate::model::StorageClass;

/// Why a vault has no store for its ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoLedgerStore {
    /// The key is missing.
    Unnamed,
    /// It is the vault's own name.
    Itself,
    /// The store of that name is a vault, too.
    Vault(String),
    /// The store of that name keeps segments in that cold class.
    Cold(String, StorageClass),
    /// The store of that name locks objects.
    Locks(String),
}

impl NoLedgerStore {
    /// Says it of a vault, which has that name in the config.
    pub(super) fn of(&self, vault: &str) -> String {
        let key = format!("`store.{vault}.ledger_store`");
        match self {
            Self::Unnamed => format!(
                "{key} is missing: a vault can't list by name, so the ledger and the keys need another store"
            ),
            Self::Itself => format!("{key} names the vault itself, which can't hold a ledger"),
            Self::Vault(store) => {
                format!("{key} names `{store}`, which is a vault, too, and can't hold a ledger")
            }
            Self::Cold(store, class) => format!(
                "{key} names `{store}`, which keeps segments in {class}, and the ledger needs a store without a cold class"
            ),
            Self::Locks(store) => format!(
                "{key} names `{store}`, which locks objects, and segments in a vault can't be locked with them"
            ),
        }
    }

    /// What to do about it.
    pub(super) fn hint(&self) -> &'static str {
        match self {
            Self::Unnamed | Self::Itself | Self::Vault(_) => {
                "name a [store.NAME] of type \"dir\" or \"s3\" in `ledger_store`; docs/vault.md has an example"
            }
            Self::Cold(..) => {
                "name another [store.NAME], which may be the same place without `storage_class` or `cold`"
            }
            Self::Locks(_) => {
                "name another [store.NAME], which may be the same place without `object_lock`; docs/vault.md tells how to lock a vault"
            }
        }
    }
}
