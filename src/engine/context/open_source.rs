//! A configured source, brought together with its row in the catalog and its store.

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};

use crate::catalog::{Catalog, SourceRow};
use crate::config::{Config, Source, StoreConfig};
use crate::engine::context::random::random_bytes;
use crate::engine::context::schedule::schedule;
use crate::engine::context::state_dir::StateDir;
use crate::error::{Error, RequestError, in_words};
use crate::model::{LedgerId, SourceName};
use crate::progress::{Event, Observer};
use crate::store::{DirStore, RateLimit, S3Store, Store, Waiting};

/// A source with all that a command needs to work on it.
pub struct OpenSource<'a> {
    /// What the config says of it.
    pub config: &'a Source,
    /// What the catalog says of it.
    pub row: SourceRow,
    /// Where its archives lie.
    pub store: Box<dyn Store + 'a>,
}

impl OpenSource<'_> {
    /// Its name.
    pub fn name(&self) -> &SourceName {
        &self.config.name
    }
}

/// The URL of that store, which can be told without reaching it.
pub fn store_url(config: &StoreConfig) -> String {
    match config {
        StoreConfig::Dir { path, .. } => format!("file://{}", path.display()),
        StoreConfig::S3 { settings, .. } => settings.url(),
    }
}

/// All that another machine needs to find that store.
pub fn store_address(config: &StoreConfig) -> String {
    match config {
        StoreConfig::Dir { .. } => store_url(config),
        StoreConfig::S3 { settings, .. } => settings.address(),
    }
}

/// Whether two URLs are one place: that of a rebuilt catalog has all that it takes to get there.
pub fn is_place(one: &str, other: &str) -> bool {
    one == other || place(one) == place(other)
}

fn place(url: &str) -> String {
    StoreConfig::from_url(url).map_or_else(|_| url.to_owned(), |store| store_url(&store))
}

/// Opens the store of that configuration.
pub fn open_store<'a>(
    config: &StoreConfig,
    observer: &'a dyn Observer,
) -> Result<Box<dyn Store + 'a>, Error> {
    open_limited_store(config, observer, None)
}

/// The same with no more patience than a person has who waits for an answer.
pub(in crate::engine) fn open_impatient_store<'a>(
    config: &StoreConfig,
    observer: &'a dyn Observer,
) -> Result<Box<dyn Store + 'a>, Error> {
    open_store(&impatient(config), observer)
}

/// That store with no more patience than a person has who waits for an answer.
pub(in crate::engine) fn impatient(store: &StoreConfig) -> StoreConfig {
    let mut store = store.clone();
    if let StoreConfig::S3 { settings, .. } = &mut store {
        let patience = &mut settings.patience;
        patience.give_up_after = patience.give_up_after.min(patience.first_contact);
        patience.stall = patience.stall.min(patience.first_contact);
    }
    store
}

/// The same with a limit on what goes in and out.
pub fn open_limited_store<'a>(
    config: &StoreConfig,
    observer: &'a dyn Observer,
    limit: Option<&RateLimit>,
) -> Result<Box<dyn Store + 'a>, Error> {
    match config {
        StoreConfig::Dir {
            path,
            cold,
            listing_bytes,
        } => {
            let mut store = DirStore::open(path)?.listing_within(*listing_bytes);
            if let Some(cold) = cold {
                store = store.playing(cold.class, cold.delay);
            }
            if let Some(limit) = limit {
                store = store.limited(limit.clone());
            }
            Ok(Box::new(store))
        }
        StoreConfig::S3 { settings, .. } => {
            let told = Box::new(|waiting: &Waiting<'_>| {
                observer.event(Event::Waiting {
                    what: in_words(waiting.error),
                    pause: waiting.pause,
                });
            });
            let mut store = S3Store::open((**settings).clone(), told)?;
            if let Some(limit) = limit {
                store = store.limited(limit.clone());
            }
            Ok(Box::new(store))
        }
    }
}

/// Until when the objects of an archive are locked in a store that is told to lock: the last day
/// that its chain may still be wanted, and a week, at the end of that day in UTC.
pub(in crate::engine) fn retain_until(
    config: &Config,
    source: &Source,
    full: NaiveDate,
    now: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    config.stores[&source.store].object_lock()?;
    let until = schedule(source).retained_until(full)?;
    // What is archived for a date that long ago has had its time, and no store locks into the past.
    Some(until.and_time(NaiveTime::MIN).and_utc()).filter(|until| *until > now)
}

/// Calls a source in the catalog what the config calls it by now: it is known by the directory of its archives.
pub fn adopt_name(config: &Config, source: &Source, catalog: &mut Catalog) -> Result<(), Error> {
    let store = store_url(&config.stores[&source.store]);
    let known = catalog
        .sources()?
        .into_iter()
        .find(|row| row.directory == source.directory.as_str() && is_place(&row.store, &store));
    let Some(row) = known.filter(|row| row.name != source.name) else {
        return Ok(());
    };
    if let Some(other) = catalog.source(&source.name)?
        && !(catalog.entries(&other.ledger)?.is_empty()
            && catalog.archives(&other.ledger)?.is_empty())
    {
        return Err(RequestError::SourceMoved {
            source_name: source.name.clone(),
            was: format!("`{}` in {}", other.directory, other.store),
            now: format!("`{}` in {store}", source.directory),
        }
        .into());
    }
    // Who works on it under its old name must not lose it halfway.
    let _lock = StateDir::new(&config.state_dir).try_lock(&row.name)?;
    Ok(catalog.rename_source(&row.name, &source.name)?)
}

/// Finds the source in the catalog, or gives it a ledger id and remembers it. What was fixed when
/// it was first seen must still be what the config says.
pub fn know_source(
    config: &Config,
    source: &Source,
    catalog: &mut Catalog,
) -> Result<SourceRow, Error> {
    adopt_name(config, source, catalog)?;
    let directory = source.directory.to_string();
    let store = store_url(&config.stores[&source.store]);
    if let Some(mut row) = catalog.source(&source.name)? {
        if row.directory == directory && is_place(&row.store, &store) {
            return Ok(row);
        }
        // A name that was misspelt until now binds nobody.
        if catalog.entries(&row.ledger)?.is_empty() {
            row.directory = directory;
            row.store = store;
            catalog.move_source(&row)?;
        } else {
            return Err(RequestError::SourceMoved {
                source_name: source.name.clone(),
                was: format!("`{}` in {}", row.directory, row.store),
                now: format!("`{directory}` in {store}"),
            }
            .into());
        }
        return Ok(row);
    }
    let row = SourceRow {
        name: source.name.clone(),
        directory,
        store,
        ledger: LedgerId(random_bytes()),
    };
    catalog.add_source(&row)?;
    // Not the row itself: another process may have been first.
    know_source(config, source, catalog)
}
