//! A store, by its type.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::DEFAULT_STATE_DIR;
use crate::model::StorageClass;
use crate::plan::memory::listing_bytes;
use crate::store::{LockMode, S3Settings, VaultSettings};

/// Where a state directory has the inventories of vaults.
const INVENTORIES: &str = "inventories";

/// A store, by its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreConfig {
    /// `type = "dir"`: a directory.
    Dir {
        /// Absolute.
        path: PathBuf,
        /// The cold class that it simulates, if any.
        cold: Option<ColdDir>,
        /// Bytes of memory that a listing may take.
        listing_bytes: u64,
    },
    /// `type = "s3"`: a bucket.
    S3 {
        /// Where it is, and how objects are put there.
        settings: Box<S3Settings>,
        /// Segments that are transferred at once, in either direction, 1 to 64. Default: 2.
        uploads: usize,
    },
    /// `type = "glacier-vault"`: segments in a Glacier vault, and all else in another store.
    Vault {
        /// Where the vault is.
        settings: Box<VaultSettings>,
        /// Segments that are transferred at once, in either direction, 1 to 64. Default: 2.
        uploads: usize,
        /// The store of the ledger and the keys: a directory or a bucket.
        ledger_store: Box<Self>,
        /// The directory of this machine that keeps the vault's inventory.
        inventories: PathBuf,
    },
}

/// A directory that simulates a cold class, for rehearsals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ColdDir {
    /// The class.
    pub class: StorageClass,
    /// How long a thaw takes in every tier. Default: what AWS says of the tier.
    pub delay: Option<Duration>,
}

impl StoreConfig {
    /// Returns a vault whose ledgers are in that store, for a machine with the default state directory.
    pub(super) fn vault(settings: VaultSettings, uploads: usize, ledger_store: Self) -> Self {
        Self::Vault {
            settings: Box::new(settings),
            uploads,
            ledger_store: Box::new(ledger_store),
            inventories: Path::new(DEFAULT_STATE_DIR).join(INVENTORIES),
        }
    }

    /// Segments that are transferred at once, in either direction.
    pub fn uploads(&self) -> usize {
        match self {
            Self::Dir { .. } => 1,
            Self::S3 { uploads, .. } | Self::Vault { uploads, .. } => *uploads,
        }
    }

    /// Returns the same store for a run that may take that many bytes of memory.
    #[must_use]
    pub fn with_memory(mut self, limit: u64) -> Self {
        let bytes = listing_bytes(limit);
        match &mut self {
            Self::Dir { listing_bytes, .. } => *listing_bytes = bytes,
            Self::S3 { settings, .. } => settings.listing_bytes = bytes,
            Self::Vault {
                settings,
                ledger_store,
                ..
            } => {
                settings.listing_bytes = bytes;
                **ledger_store = ledger_store.as_ref().clone().with_memory(limit);
            }
        }
        self
    }

    /// Returns the same store for a machine with this state directory. A store that is no vault keeps nothing there.
    #[must_use]
    pub fn with_state_dir(mut self, state_dir: &Path) -> Self {
        if let Self::Vault { inventories, .. } = &mut self {
            *inventories = state_dir.join(INVENTORIES);
        }
        self
    }

    /// The store that has the ledger and the keys: of a vault another one, and of any other store itself.
    pub fn ledger_store(&self) -> &Self {
        match self {
            Self::Vault { ledger_store, .. } => ledger_store,
            Self::Dir { .. } | Self::S3 { .. } => self,
        }
    }

    /// The class that segments are put into; `None` for a store without classes.
    pub fn storage_class(&self) -> Option<StorageClass> {
        match self {
            Self::Dir { cold, .. } => cold.map(|cold| cold.class),
            Self::S3 { settings, .. } => Some(settings.storage_class),
            Self::Vault { .. } => Some(StorageClass::Vault),
        }
    }

    /// Returns whether both keep ledgers in one place, by what the config says of it: options and credentials make no
    /// other place. A vault is in one place with the store of its ledgers.
    pub fn is_same_place(&self, other: &Self) -> bool {
        match (self.ledger_store(), other.ledger_store()) {
            (Self::Dir { path, .. }, Self::Dir { path: other, .. }) => path == other,
            (
                Self::S3 { settings, .. },
                Self::S3 {
                    settings: other, ..
                },
            ) => {
                (&settings.endpoint, &settings.bucket, &settings.prefix)
                    == (&other.endpoint, &other.bucket, &other.prefix)
            }
            _ => false,
        }
    }

    /// Whether objects are locked, and how.
    pub fn object_lock(&self) -> Option<LockMode> {
        match self {
            Self::Dir { .. } | Self::Vault { .. } => None,
            Self::S3 { settings, .. } => settings.object_lock,
        }
    }
}
