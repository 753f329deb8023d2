//! Which store a copy is in, by its name in the config.

use crate::config::{Config, Source, StoreConfig};
use crate::engine::context::open_source::{is_place, store_url};
use crate::error::{CopyError, Error};

/// Returns the store of that name, which is to have a copy of a source. It must be another place than the source's
/// home.
pub fn copy_store<'c>(
    config: &'c Config,
    source: &Source,
    name: &str,
) -> Result<&'c StoreConfig, Error> {
    let store = config.store_named(name)?;
    let home = config.store_of(source)?;
    if is_place(&store_url(store), &store_url(home)) {
        return Err(CopyError::OntoItself {
            source_name: source.name.clone(),
            store: store_url(home),
        }
        .into());
    }
    Ok(store)
}
