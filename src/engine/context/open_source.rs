//! A configured source, together with its row in the catalog and its store.

use std::borrow::Cow;

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};

use crate::catalog::{Catalog, EntryRow, SourceRow};
use crate::config::{Config, Source, StoreConfig};
use crate::engine::context::random::random_bytes;
use crate::engine::context::schedule::schedule;
use crate::engine::context::state_dir::StateDir;
use crate::error::{Error, MoveError, RequestError, in_words};
use crate::ledger::{LedgerError, decode_body, split};
use crate::model::entry::EntryKind;
use crate::model::{LedgerId, PlaceId, SourceName};
use crate::progress::{Event, Observer};
use crate::store::{
    DirStore, RateLimit, RequestPace, RetryPolicy, S3Store, Store, VaultStore, Waiting,
};

/// A source with everything that a command needs to work on it.
pub struct OpenSource<'a> {
    /// Its section of the config.
    pub config: &'a Source,
    /// Its row in the catalog.
    pub row: SourceRow,
    /// Where its archives lie.
    pub store: Box<dyn Store + 'a>,
}

impl OpenSource<'_> {
    /// Returns its name in the config.
    pub fn name(&self) -> &SourceName {
        &self.config.name
    }
}

/// Returns the URL of a store, without connecting to it.
pub fn store_url(config: &StoreConfig) -> String {
    config.url()
}

/// Returns the URL with all that another machine needs to find the store.
pub fn store_address(config: &StoreConfig) -> String {
    config.address()
}

/// Returns whether two URLs name the same place. The URL in a rebuilt catalog also has what is needed to
/// connect to it.
pub fn is_place(one: &str, other: &str) -> bool {
    one == other || place(one) == place(other)
}

fn place(url: &str) -> String {
    StoreConfig::from_url(url).map_or_else(|_| url.to_owned(), |store| store_url(&store))
}

/// Returns the name that the config has for the store at a URL.
pub(in crate::engine) fn name_of_store<'c>(config: &'c Config, url: &str) -> Option<&'c str> {
    let mut stores = config.stores.iter();
    let found = stores.find(|(_, store)| is_place(&store_url(store), url));
    found.map(|(name, _)| name.as_str())
}

/// Returns the store that a source's row names: as the config has it, or as its URL says.
pub(in crate::engine) fn store_of_row<'c>(
    config: &'c Config,
    row: &SourceRow,
) -> Result<Cow<'c, StoreConfig>, Error> {
    match name_of_store(config, &row.store) {
        Some(name) => Ok(Cow::Borrowed(&config.stores[name])),
        None => Ok(Cow::Owned(
            StoreConfig::from_url(&row.store)?.with_state_dir(&config.state_dir),
        )),
    }
}

/// Opens a store as configured.
pub fn open_store<'a>(
    config: &StoreConfig,
    observer: &'a dyn Observer,
) -> Result<Box<dyn Store + 'a>, Error> {
    open_limited_store(config, observer, None)
}

/// Opens a store, but gives up as soon as a waiting person would.
pub(in crate::engine) fn open_impatient_store<'a>(
    config: &StoreConfig,
    observer: &'a dyn Observer,
) -> Result<Box<dyn Store + 'a>, Error> {
    open_store(&impatient(config), observer)
}

/// Returns the config of a store with the timeouts of a command that a person waits for.
pub(in crate::engine) fn impatient(store: &StoreConfig) -> StoreConfig {
    let mut store = store.clone();
    match &mut store {
        StoreConfig::Dir { .. } => {}
        StoreConfig::S3 { settings, .. } => hurry(&mut settings.patience),
        StoreConfig::Vault {
            settings,
            ledger_store,
            ..
        } => {
            hurry(&mut settings.patience);
            **ledger_store = impatient(ledger_store);
        }
    }
    store
}

fn hurry(patience: &mut RetryPolicy) {
    patience.give_up_after = patience.give_up_after.min(patience.first_contact);
    patience.stall = patience.stall.min(patience.first_contact);
}

/// Opens a store with an optional limit on the rate of its uploads and downloads.
pub fn open_limited_store<'a>(
    config: &StoreConfig,
    observer: &'a dyn Observer,
    limit: Option<&RateLimit>,
) -> Result<Box<dyn Store + 'a>, Error> {
    open_paced_store(config, observer, limit, &RequestPace::default())
}

/// Opens a store with an optional limit on the rate of its uploads and downloads, and a pace of its thaw requests.
pub fn open_paced_store<'a>(
    config: &StoreConfig,
    observer: &'a dyn Observer,
    limit: Option<&RateLimit>,
    pace: &RequestPace,
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
            let store = S3Store::open((**settings).clone(), told_to(observer))?;
            let mut store = store.thawing_at(pace.clone());
            if let Some(limit) = limit {
                store = store.limited(limit.clone());
            }
            Ok(Box::new(store))
        }
        StoreConfig::Vault {
            settings,
            ledger_store,
            inventories,
            ..
        } => {
            // A limit is that of the line, which both share.
            let ledger_store = open_paced_store(ledger_store, observer, limit, pace)?;
            let told = told_to(observer);
            let settings = (**settings).clone();
            let store = VaultStore::open(settings, told, ledger_store, inventories.clone())?;
            let mut store = store.thawing_at(pace.clone());
            if let Some(limit) = limit {
                store = store.limited(limit.clone());
            }
            Ok(Box::new(store))
        }
    }
}

/// Returns what says to the observer that a store waits.
fn told_to(observer: &dyn Observer) -> Box<dyn Fn(&Waiting<'_>) + Send + Sync + '_> {
    Box::new(|waiting| {
        observer.event(Event::Waiting {
            what: in_words(waiting.error),
            pause: waiting.pause,
        });
    })
}

/// Returns when the locks on the objects of an archive end, if the store locks objects: at 00:00 UTC on the
/// day on which the chain of the full may be deleted at the latest. `full` is the date of the chain.
pub(in crate::engine) fn retain_until(
    config: &Config,
    source: &Source,
    full: NaiveDate,
    now: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    retain_until_in(config.store_of(source).ok()?, source, full, now)
}

/// Returns the same for objects in another store than the source's home.
pub(in crate::engine) fn retain_until_in(
    store: &StoreConfig,
    source: &Source,
    full: NaiveDate,
    now: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    store.object_lock()?;
    let until = schedule(source).retained_until(full)?;
    // The time of such an old date is over, and no store accepts a lock that ends in the past.
    Some(until.and_time(NaiveTime::MIN).and_utc()).filter(|until| *until > now)
}

/// Renames a source in the catalog if the config has a new name for it. It finds the row by store and
/// directory, so a source without a store keeps the name that it has.
pub fn adopt_name(config: &Config, source: &Source, catalog: &mut Catalog) -> Result<(), Error> {
    let Ok(store) = config.store_of(source).map(store_url) else {
        return Ok(());
    };
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
    // Another run may work on it under its old name; the rename must not happen in the middle of that.
    let _lock = StateDir::new(&config.state_dir).try_lock(&row.name)?;
    Ok(catalog.rename_source(&row.name, &source.name)?)
}

/// The subject under which the catalog notes which place is home here.
const HOME: &str = "home";

/// Notes under which id the store in a source's row became home.
pub(in crate::engine) fn note_home(
    source: &SourceName,
    place: PlaceId,
    catalog: &mut Catalog,
) -> Result<(), Error> {
    catalog.tell(source, HOME, &place.to_string())?;
    Ok(())
}

/// Returns the place that is known here as home; `None` if the source was not moved here.
pub(in crate::engine) fn noted_home(
    source: &SourceName,
    catalog: &Catalog,
) -> Result<Option<String>, Error> {
    Ok(catalog.told(source, HOME)?)
}

/// Returns the place that the newest `moved` entry of a source's ledger names. One that the root key has voided does not
/// count.
pub(in crate::engine) fn moved_to(
    row: &SourceRow,
    catalog: &Catalog,
) -> Result<Option<PlaceId>, Error> {
    let moved = catalog.entries_of_kind(&row.ledger, "moved")?;
    if moved.is_empty() {
        return Ok(None);
    }
    let kind_of = |entry: &EntryRow| -> Result<EntryKind, Error> {
        let (body, _) = split(&entry.object).map_err(LedgerError::from)?;
        Ok(decode_body(body).map_err(LedgerError::from)?.kind)
    };
    let mut voided = Vec::new();
    for entry in catalog.entries_of_kind(&row.ledger, "rotate")? {
        if let EntryKind::Rotate(rotate) = kind_of(&entry)? {
            voided.extend(rotate.voids);
        }
    }
    for entry in moved
        .iter()
        .rev()
        .filter(|entry| !voided.contains(&entry.seq))
    {
        if let EntryKind::Moved(moved) = kind_of(entry)? {
            return Ok(Some(moved.place));
        }
    }
    Ok(None)
}

/// Returns where a place is, as far as the catalog knows: its URL, or else its id.
pub(in crate::engine) fn place_in_words(
    row: &SourceRow,
    place: PlaceId,
    catalog: &Catalog,
) -> Result<String, Error> {
    if noted_home(&row.name, catalog)?.is_some_and(|home| home == place.to_string()) {
        return Ok(row.store.clone());
    }
    let places = catalog.places(&row.ledger)?.into_iter();
    let mut known = places.filter(|known| known.mark == place);
    let url = known.next().map(|known| known.store);
    Ok(url.unwrap_or_else(|| format!("the place with the id {place}")))
}

/// Says which of the two is behind, if a source was moved and its row names another store than the config.
fn moved_from(
    config: &Config,
    source: &Source,
    row: SourceRow,
    place: PlaceId,
    catalog: &Catalog,
) -> Result<MoveError, Error> {
    let source_name = source.name.clone();
    let configured = store_url(config.store_of(source)?);
    let home = noted_home(&source.name, catalog)?;
    if home.is_some_and(|home| home == place.to_string()) {
        return Ok(MoveError::ConfigBehind {
            source_name,
            store: name_of_store(config, &row.store).map(str::to_owned),
            home: row.store,
            configured,
        });
    }
    Ok(MoveError::CatalogBehind {
        source_name,
        known: row.store,
        configured,
        store: source.store.clone().unwrap_or_default(),
    })
}

/// Returns the row of a source, and adds it with a new ledger id if there is none. Store and directory in the
/// config must be the same as in the row. A source without a store gets no row: it has no archives.
pub fn know_source(
    config: &Config,
    source: &Source,
    catalog: &mut Catalog,
) -> Result<SourceRow, Error> {
    let store = store_url(config.store_of(source)?);
    adopt_name(config, source, catalog)?;
    let directory = source.directory.to_string();
    if let Some(mut row) = catalog.source(&source.name)? {
        if row.directory == directory && is_place(&row.store, &store) {
            return Ok(row);
        }
        // A wrong store or directory may be corrected while nothing is archived there.
        if catalog.entries(&row.ledger)?.is_empty() {
            row.directory = directory;
            row.store = store;
            catalog.move_source(&row)?;
        } else if row.directory == directory
            && let Some(place) = moved_to(&row, catalog)?
        {
            return Err(moved_from(config, source, row, place, catalog)?.into());
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
    // Read it again and do not return the row: another process may have added it first.
    know_source(config, source, catalog)
}
