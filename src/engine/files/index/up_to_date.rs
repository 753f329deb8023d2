//! Indexes what the index lacks, from the contents in a place that can be read now. Nothing is thawed for it.

use std::io::Read as _;
use std::path::PathBuf;

use super::after_commit::{hide_others, is_damage};
use super::replayed::load_contents;
use super::{SignedContents, digest, index_path};
use crate::catalog::{Catalog, SourceRow};
use crate::config::{Config, Source};
use crate::engine::context::RunContext;
use crate::engine::files::contents::places::ContentsPlaces;
use crate::engine::ledger::archive_keys::{SealedArchive, sealed_archives};
use crate::error::{Error, in_words};
use crate::files_db::FilesDb;
use crate::model::ArchiveId;
use crate::progress::Event;
use crate::seal::Identities;

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
        let places = ContentsPlaces::of(self.config, self.source, self.catalog, self.context)?;
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
        let signed = SignedContents::of(entry, record);
        places.read(directory, entry, &key, |contents| {
            let stream = contents.take(record.stream_bytes);
            load_contents(db, signed, stream, self.context.interrupt)
        })
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
