//! The places that contents are read from.

use std::cell::RefCell;
use std::io::{self, Read};

use super::fetch::fetch_contents;
use super::objects::ContentsObjects;
use crate::catalog::Catalog;
use crate::config::{Config, Source, StoreConfig};
use crate::engine::context::RunContext;
use crate::engine::copy::places::ReadablePlace;
use crate::error::{ContentsFault, Error};
use crate::model::entry::ArchiveEntry;
use crate::model::keys::{ArchiveObject, ArchivePart};
use crate::seal::ArchiveKey;
use crate::store::Store;

/// Where contents may be: home, then the copies. A store is opened when it is first needed.
pub(in crate::engine) struct ContentsPlaces<'a> {
    configs: Vec<&'a StoreConfig>,
    opened: RefCell<Vec<Option<Box<dyn Store + 'a>>>>,
    context: RunContext<'a>,
}

impl<'a> ContentsPlaces<'a> {
    /// Returns the places of a source.
    pub(in crate::engine) fn of(
        config: &'a Config,
        source: &Source,
        catalog: &Catalog,
        context: RunContext<'a>,
    ) -> Result<Self, Error> {
        let mut configs = vec![config.store_of(source)?];
        for place in ReadablePlace::all(config, source, catalog)? {
            configs.push(config.store_named(&place.name)?);
        }
        Ok(Self {
            configs,
            opened: RefCell::new(Vec::new()),
            context,
        })
    }

    /// Reads the contents of an archive, which must have some: the stream without its data, then the table of segments.
    pub(in crate::engine) fn read<T>(
        &self,
        directory: &str,
        entry: &ArchiveEntry,
        key: &ArchiveKey,
        read: impl FnOnce(&mut dyn Read) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let archive = entry.id;
        let record = entry.contents.as_ref();
        let record = record.ok_or(ContentsFault::Missing { archive })?;
        let objects: Vec<ArchiveObject> = ArchiveObject::of_entry(directory, entry)
            .filter(|object| matches!(object.part, ArchivePart::Contents(_)))
            .collect();
        // The reader gives errors of reading; what was behind one is kept beside it.
        let failed = RefCell::new(None);
        let fetch = |index: u32, _: &_| {
            let object = objects
                .get(index as usize)
                .ok_or_else(|| io::Error::other("there is no such object"))?;
            let sealed = self.context.interrupt.check();
            let sealed = sealed.and_then(|()| self.fetch(object));
            sealed.map(Into::into).map_err(|error| {
                *failed.borrow_mut() = Some(error);
                io::Error::other("an object can't be had")
            })
        };
        let done = read(&mut ContentsObjects::new(record, key, fetch));
        match (done, failed.into_inner()) {
            (Err(Error::Contents(ContentsFault::Unusable { .. })), Some(cause)) => Err(cause),
            (done, _) => done,
        }
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
