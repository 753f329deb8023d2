//! Which store a copy is in, by its name in the config.

use crate::config::{Config, Source, StoreConfig};
use crate::engine::context::open_source::{is_place, store_url};
use crate::error::{CopyError, Error, MoveError};

/// Returns the store of that name, which is to have a copy of a source. It must be another place than the source's
/// home.
pub fn copy_store<'c>(
    config: &'c Config,
    source: &Source,
    name: &str,
) -> Result<&'c StoreConfig, Error> {
    let store = config.store_named(name)?;
    let home = config.store_of(source)?;
    let source_name = source.name.clone();
    let refusal = if is_place(&store_url(store), &store_url(home)) {
        CopyError::OntoItself {
            source_name,
            store: store_url(home),
        }
    } else if let StoreConfig::Vault { .. } = store {
        CopyError::IntoVault {
            source_name,
            store: store_url(store),
        }
    } else if store.is_same_place(home) {
        CopyError::OntoLedger {
            source_name,
            store: store_url(store),
        }
    } else {
        return Ok(store);
    };
    Err(refusal.into())
}

/// Refuses to move a source into a vault, in which no copy of it can be. What is home already may be one.
pub fn refuse_move_into_vault(
    config: &Config,
    source: &Source,
    store: &StoreConfig,
) -> Result<(), Error> {
    let home = config.store_of(source)?;
    if let StoreConfig::Vault { .. } = store
        && !is_place(&store_url(store), &store_url(home))
    {
        return Err(MoveError::IntoVault {
            source_name: source.name.clone(),
            store: store_url(store),
        }
        .into());
    }
    Ok(())
}
