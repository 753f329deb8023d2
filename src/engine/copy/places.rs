//! The places from which archives can be read: home, and the copies that the catalog knows.

use chrono::NaiveDate;

use crate::catalog::{Catalog, PlaceRow, SourceRow};
use crate::config::{Config, Source};
use crate::engine::context::open_source::{is_place, store_url};
use crate::error::{Error, RequestError, RestoreError};
use crate::model::SourceName;

/// The word for home, where a store has no such name.
const HOME: &str = "home";

/// A copy from which a command reads in place of home.
#[derive(Debug, Clone)]
pub struct ReadablePlace {
    /// The name of its store in the config.
    pub name: String,
    /// What the catalog knows of it.
    pub row: PlaceRow,
    /// The source, with this store in place of its home's.
    pub source: Source,
}

impl ReadablePlace {
    /// Returns the copy that is in the store of that name; `None` for home, by its own name or as `home`.
    pub fn named(
        config: &Config,
        source: &Source,
        name: &str,
        catalog: &Catalog,
    ) -> Result<Option<Self>, Error> {
        if name == HOME && !config.stores.contains_key(name) {
            return Ok(None);
        }
        let url = store_url(config.store_named(name)?);
        let home = store_url(config.store_of(source)?);
        if is_place(&url, &home) {
            return Ok(None);
        }
        let row = catalog
            .source(&source.name)?
            .ok_or_else(|| RequestError::NeverArchived(source.name.clone()))?;
        let mut places = catalog.places(&row.ledger)?.into_iter();
        let row = places.find(|place| is_place(&place.store, &url));
        let row = row.ok_or_else(|| RestoreError::NoCopyAt {
            source_name: source.name.clone(),
            place: name.to_owned(),
        })?;
        Ok(Some(Self::of(source, name, row)))
    }

    /// Returns all copies of a source that have a store in the config, the most complete first.
    pub fn all(config: &Config, source: &Source, catalog: &Catalog) -> Result<Vec<Self>, Error> {
        let Some(row) = catalog.source(&source.name)? else {
            return Ok(Vec::new());
        };
        let mut places = catalog.places(&row.ledger)?;
        places.sort_by_key(|place| std::cmp::Reverse(place.head));
        let configured = places.into_iter().filter_map(|place| {
            let mut stores = config.stores.iter();
            let (name, _) = stores.find(|(_, store)| is_place(&store_url(store), &place.store))?;
            Some(Self::of(source, name, place))
        });
        Ok(configured.collect())
    }

    fn of(source: &Source, name: &str, row: PlaceRow) -> Self {
        let source = Source {
            store: Some(name.to_owned()),
            ..source.clone()
        };
        Self {
            name: name.to_owned(),
            row,
            source,
        }
    }

    /// Returns the source's row as it is at the copy.
    pub fn row_of(&self, home: SourceRow) -> SourceRow {
        SourceRow {
            store: self.row.store.clone(),
            ..home
        }
    }

    /// Returns the dates whose visible archives the copy lacks, the newest last. Leaves the catalog turned as it is.
    pub fn lacks(&self, catalog: &mut Catalog) -> Result<Vec<NaiveDate>, Error> {
        let turned = catalog.turned_to();
        let mut visible = |place| {
            catalog.turn_to(place);
            catalog.visible(&self.row.ledger)
        };
        let (home, here) = (visible(None), visible(Some(self.row.id)));
        catalog.turn_to(turned);
        let (home, here) = (home?, here?);
        let mut dates: Vec<NaiveDate> = home
            .iter()
            .filter(|archive| !here.iter().any(|copied| copied.id == archive.id))
            .map(|archive| archive.date)
            .collect();
        dates.sort_unstable();
        Ok(dates)
    }

    /// Returns what the copy lacks, in words; `None` if it has every visible archive.
    pub fn lacks_in_words(&self, catalog: &mut Catalog) -> Result<Option<String>, Error> {
        /// How many dates are named.
        const NAMED: usize = 5;
        let dates = self.lacks(catalog)?;
        if dates.is_empty() {
            return Ok(None);
        }
        let named: Vec<String> = dates
            .iter()
            .rev()
            .take(NAMED)
            .map(ToString::to_string)
            .collect();
        let more = dates.len().saturating_sub(NAMED);
        let more = if more == 0 {
            String::new()
        } else {
            format!(" and {more} earlier")
        };
        Ok(Some(format!(
            "the copy in {} lacks the archives of {}{more}",
            self.row.store,
            named.join(", ")
        )))
    }

    /// The source's name.
    pub fn source_name(&self) -> &SourceName {
        &self.source.name
    }
}
