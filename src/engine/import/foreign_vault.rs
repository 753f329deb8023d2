//! What is needed of a vault to bring another tool's archives back, and to delete them.

use crate::config::{Config, StoreConfig};
use crate::error::{Error, ImportError};
use crate::model::{Tier, VaultArchiveId};
use crate::plan::RetrievalJob;
use crate::store::StoreError;

/// A vault with another tool's archives, which are known by their ids alone.
pub trait ForeignVault: Sync {
    /// Returns the vault's URL.
    fn url(&self) -> String;

    /// Returns all jobs that retrieve archives, to the last page of the list.
    fn retrievals(&self) -> Result<Vec<RetrievalJob>, StoreError>;

    /// Starts a job for the bytes from the first to the last of a range, or for all.
    fn retrieve(
        &self,
        archive: &VaultArchiveId,
        range: Option<(u64, u64)>,
        tier: Tier,
    ) -> Result<(), StoreError>;

    /// Reads exactly `len` bytes of a job's output. If the output is gone, the error is
    /// [`ErrorKind::Cold`](crate::store::ErrorKind::Cold).
    fn output(&self, job: &str, offset: u64, len: u64) -> Result<Vec<u8>, StoreError>;

    /// Deletes an archive. One that is not there counts as deleted.
    fn delete_archive(&self, archive: &VaultArchiveId) -> Result<(), StoreError>;
}

/// Opens the vault of a store.
pub type OpenVault<'a> = dyn Fn(&StoreConfig) -> Result<Box<dyn ForeignVault>, Error> + Sync + 'a;

/// Returns the name and the region of the vault that a store of the config is.
pub(in crate::engine) fn vault_of<'a>(
    config: &'a Config,
    store: &str,
) -> Result<(&'a StoreConfig, &'a str, &'a str), Error> {
    let found = config.stores.get(store);
    let found = found.ok_or_else(|| ImportError::NoStore {
        store: store.to_owned(),
    })?;
    match found {
        StoreConfig::Vault { settings, .. } => Ok((found, &settings.vault, &settings.region)),
        _ => Err(ImportError::NoVault {
            store: store.to_owned(),
        }
        .into()),
    }
}
