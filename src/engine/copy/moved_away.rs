//! Whether home is somewhere else than the config says, as far as the catalog knows. Nothing here looks at a store.

use crate::catalog::Catalog;
use crate::config::{Config, Source};
use crate::engine::context::open_source::{
    is_place, moved_to, noted_home, place_in_words, store_url,
};
use crate::error::Error;

/// A source whose config names a home of before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MovedAway {
    /// The URL that the config names.
    pub from: String,
    /// Where home is: a URL, or the id of the place if no more is known here.
    pub to: String,
}

/// Returns where home was moved to, if the config still names another place.
pub fn moved_away(
    config: &Config,
    source: &Source,
    catalog: &Catalog,
) -> Result<Option<MovedAway>, Error> {
    let (Ok(store), Some(row)) = (config.store_of(source), catalog.source(&source.name)?) else {
        return Ok(None);
    };
    let Some(place) = moved_to(&row, catalog)? else {
        return Ok(None);
    };
    let from = store_url(store);
    let noted = noted_home(&source.name, catalog)?;
    let is_left = if is_place(&from, &row.store) {
        // The ledger was read at the old home, and the place that it names is known as a copy. In a rebuilt catalog that
        // place is home itself.
        let mut places = catalog.places(&row.ledger)?.into_iter();
        noted.is_none_or(|home| home != place.to_string())
            && places.any(|known| known.mark == place && !is_place(&known.store, &from))
    } else {
        noted.is_some_and(|home| home == place.to_string())
    };
    if !is_left {
        return Ok(None);
    }
    Ok(Some(MovedAway {
        to: place_in_words(&row, place, catalog)?,
        from,
    }))
}
