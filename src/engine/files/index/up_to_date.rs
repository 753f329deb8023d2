//! Indexes what the index lacks, from the contents in a place that can be read now. Nothing is thawed for it.

use std::cell::RefCell;
use std::io;
use std::path::PathBuf;

use super::after_commit::{hide_others, is_damage};
use super::replayed::load_contents;
use super::{SignedContents, digest, index_path};
use crate::catalog::{Catalog, SourceRow};
use crate::config::{Config, Source, StoreConfig};
use crate::engine::context::RunContext;
use crate::engine::copy::places::ReadablePlace;
use crate::engine::files::contents::fetch::fetch_contents;
use crate::engine::files::contents::objects::ContentsObjects;
use crate::engine::ledger::archive_keys::{SealedArchive, sealed_archives};
use crate::error::{ContentsFault, Error, in_words};
use crate::files_db::FilesDb;
use crate::model::ArchiveId;
use crate::model::keys::{ArchiveObject, ArchivePart};
use crate::progress::Event;
use crate::seal::Identities;
use crate::store::Store;

/// What became of the index of a source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IndexedNow {
    /// The archives that were indexed, in the order of the ledger.
    pub loaded: Vec<ArchiveId>,
    /// The archives that could not be: without contents, or built on one that is not indexed.
    pub missing: Vec<ArchiveId>,
}

/// Indexes the visible archives of a source that its index lacks. The identities open the archive keys; `name` is theirs in an
/// error. Contents that can't be had or used are a warning that names the archive.
pub fn bring_index_up_to_date(
    config: &Config,
    source: &Source,
    (identities, name): (&Identities, &str),
    catalog: &Catalog,
    context: RunContext<'_>,
) -> Result<IndexedNow, Error> {
    let Some(row) = catalog.source(&source.name)? else {
        return Ok(IndexedNow::default());
    };
    let update = Update {
        config,
        source,
        path: index_path(config, &row.ledger),
        row,
        identities: (identities, name),
        catalog,
        context,
    };
    match update.run() {
        Err(error) if is_damage(&error) => {
            FilesDb::remove(&update.path)?;
            update.run()
        }
        done => done,
    }
}

/// An index that is brought up to date.
pub(super) struct Update<'a> {
    pub(super) config: &'a Config,
    pub(super) source: &'a Source,
    pub(super) row: SourceRow,
    /// Its file.
    pub(super) path: PathBuf,
    pub(super) identities: (&'a Identities, &'a str),
    pub(super) catalog: &'a Catalog,
    pub(super) context: RunContext<'a>,
}

impl Update<'_> {
    pub(super) fn run(&self) -> Result<IndexedNow, Error> {
        let ledger = &self.row.ledger;
        let mut rows = self.catalog.visible(ledger)?;
        // What an archive is built on comes before it.
        rows.sort_by_key(|archive| archive.seq);
        let visible: Vec<ArchiveId> = rows.iter().map(|archive| archive.id).collect();
        let sealed = sealed_archives(ledger, &visible, self.catalog)?;
        let path = &self.path;
        let mut db = FilesDb::open(path, ledger)?;
        if has_others(&db, &sealed)? {
            // What is built on them would be wrong too.
            drop(db);
            FilesDb::remove(path)?;
            db = FilesDb::open(path, ledger)?;
        }
        hide_others(&mut db, &visible)?;
        let mut known: Vec<ArchiveId> = db.archives()?.iter().map(|archive| archive.id).collect();
        let places = ContentsPlaces::of(self)?;
        let mut done = IndexedNow::default();
        for archive in sealed {
            let id = archive.entry.id;
            if known.contains(&id) {
                continue;
            }
            self.context.interrupt.check()?;
            let has_base = archive
                .entry
                .send_parent
                .is_none_or(|parent| known.contains(&parent));
            if archive.entry.contents.is_none() || !has_base {
                done.missing.push(id);
                continue;
            }
            match self.load(&mut db, &archive, &places) {
                Ok(()) => {
                    known.push(id);
                    done.loaded.push(id);
                }
                Err(error @ (Error::Contents(_) | Error::Store(_))) => {
                    self.warn(format!("cannot index {id}: {}", in_words(&error)));
                    done.missing.push(id);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn load(
        &self,
        db: &mut FilesDb,
        archive: &SealedArchive,
        places: &ContentsPlaces<'_>,
    ) -> Result<(), Error> {
        let entry = &archive.entry;
        let Some(record) = &entry.contents else {
            return Ok(());
        };
        let directory = &self.row.directory;
        let (identities, name) = self.identities;
        let key = archive.unlock(directory, identities, name)?;
        let objects: Vec<ArchiveObject> = ArchiveObject::of_entry(directory, entry)
            .filter(|object| matches!(object.part, ArchivePart::Contents(_)))
            .collect();
        // The reader gives errors of reading; what was behind one is kept beside it.
        let failed = RefCell::new(None);
        let fetch = |index: u32, _: &_| {
            let object = objects
                .get(index as usize)
                .ok_or_else(|| io::Error::other("there is no such object"))?;
            let sealed = self
                .context
                .interrupt
                .check()
                .and_then(|()| places.fetch(object));
            sealed.map(Into::into).map_err(|error| {
                *failed.borrow_mut() = Some(error);
                io::Error::other("an object can't be had")
            })
        };
        let whole = ContentsObjects::new(record, &key, fetch);
        let stream = io::Read::take(whole, record.stream_bytes);
        let signed = SignedContents::of(entry, record);
        let loaded = load_contents(db, signed, stream, self.context.interrupt);
        match (loaded, failed.into_inner()) {
            (Err(Error::Contents(ContentsFault::Unusable { .. })), Some(cause)) => Err(cause),
            (loaded, _) => loaded,
        }
    }

    fn warn(&self, message: String) {
        self.context.observer.event(Event::Warning {
            source: self.source.name.clone(),
            message,
        });
    }
}

/// Returns whether the index has archives by other contents than those that count now.
fn has_others(db: &FilesDb, sealed: &[SealedArchive]) -> Result<bool, Error> {
    let known = db.archives()?;
    Ok(sealed.iter().any(|archive| {
        let Some(contents) = &archive.entry.contents else {
            return false;
        };
        let digest = digest(contents);
        known
            .iter()
            .any(|known| known.id == archive.entry.id && known.contents != digest)
    }))
}

/// Where contents may be: home, then the copies. A store is opened when it is first needed.
struct ContentsPlaces<'a> {
    configs: Vec<&'a StoreConfig>,
    opened: RefCell<Vec<Option<Box<dyn Store + 'a>>>>,
    context: RunContext<'a>,
}

impl<'a> ContentsPlaces<'a> {
    fn of(update: &Update<'a>) -> Result<Self, Error> {
        let mut configs = vec![update.config.store_of(update.source)?];
        for place in ReadablePlace::all(update.config, update.source, update.catalog)? {
            configs.push(update.config.store_named(&place.name)?);
        }
        Ok(Self {
            configs,
            opened: RefCell::new(Vec::new()),
            context: update.context,
        })
    }

    /// Fetches an object from the first place that has it as it was signed. The error is home's.
    fn fetch(&self, object: &ArchiveObject) -> Result<Vec<u8>, Error> {
        let mut first = None;
        for at in 0..self.configs.len() {
            match self.fetch_at(at, object) {
                Ok(Some(sealed)) => return Ok(sealed),
                Ok(None) => {}
                Err(error @ Error::Interrupted(_)) => return Err(error),
                Err(error) => {
                    first.get_or_insert(error);
                }
            }
        }
        Err(first.unwrap_or_else(|| {
            ContentsFault::Unusable {
                archive: object.archive,
                what: "no place that has them can be opened".to_owned(),
            }
            .into()
        }))
    }

    /// `None` if the place could not be opened before.
    fn fetch_at(&self, at: usize, object: &ArchiveObject) -> Result<Option<Vec<u8>>, Error> {
        let mut opened = self.opened.borrow_mut();
        if opened.len() <= at {
            let store = self.context.open(self.configs[at]);
            match store {
                Ok(store) => opened.push(Some(store)),
                Err(error) => {
                    opened.push(None);
                    return Err(error);
                }
            }
        }
        match &opened[at] {
            Some(store) => fetch_contents(store.as_ref(), object).map(Some),
            None => Ok(None),
        }
    }
}
