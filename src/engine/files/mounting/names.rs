//! The names that a mount shows, from the file indexes of the sources. Nothing here asks a store.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::inodes::{DateNumber, MOST_DATES, ShownInode};
use super::warnings::MountWarnings;
use crate::catalog::Catalog;
use crate::config::{Config, Source};
use crate::engine::files::questions::FileIndex;
use crate::error::{Error, in_words};
use crate::files_db::LinkedVersion;
use crate::fuse::{FuseAttributes, Refusal, is_kind_known};
use crate::model::file_node::{FileNode, ObjectId};
use crate::model::{ArchiveId, SourceName};

/// Entries that are read of a directory at once.
const PAGE: u32 = 512;

/// The longest name in a directory.
const LONGEST_NAME: usize = 255;

/// The longest path to which a symbolic link can lead.
const LONGEST_TARGET: usize = 4095;

/// An archive that is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct ShownDate {
    /// Its source, by its number.
    pub(super) source: usize,
    pub(super) archive: ArchiveId,
    /// Its number in the index.
    at: i64,
    /// The file that has the index.
    file: IndexFile,
}

/// Which file an index is in, by its filesystem and inode.
type IndexFile = (u64, u64);

/// The names of all sources.
pub(super) struct Names<'a> {
    config: &'a Config,
    sources: Vec<NamesOfSource<'a>>,
    warnings: &'a MountWarnings<'a>,
    /// By their numbers. None is ever removed: the kernel may have inodes of it.
    dates: Mutex<Dates>,
}

#[derive(Default)]
struct Dates {
    shown: Vec<ShownDate>,
    numbers: HashMap<ShownDate, DateNumber>,
}

struct NamesOfSource<'a> {
    source: &'a Source,
    index: Mutex<Option<ShownIndex>>,
}

/// The index of a source, as it was at some time.
struct ShownIndex {
    index: FileIndex,
    file: IndexFile,
    /// What tells whether it has changed since.
    stamp: Vec<u8>,
    /// The dates, and which archive is shown for each.
    dates: Vec<(String, DateNumber)>,
}

/// Entries of a directory.
pub(super) type Page = Vec<(Vec<u8>, FuseAttributes)>;

impl<'a> Names<'a> {
    pub(super) fn new(
        config: &'a Config,
        sources: &[&'a Source],
        warnings: &'a MountWarnings<'a>,
    ) -> Self {
        let sources = sources.iter().map(|source| NamesOfSource {
            source,
            index: Mutex::new(None),
        });
        Self {
            config,
            sources: sources.collect(),
            warnings,
            dates: Mutex::default(),
        }
    }

    /// Reads which archives there are, where that has changed. Returns what can't be read, by source.
    pub(super) fn refresh(&self, catalog: &Catalog) -> Vec<(SourceName, Error)> {
        let sources = self.sources.iter().enumerate();
        let failed = sources.filter_map(|(number, names)| {
            let error = self.refresh_source(number, names, catalog).err()?;
            Some((names.source.name.clone(), error))
        });
        failed.collect()
    }

    fn refresh_source(
        &self,
        number: usize,
        names: &NamesOfSource<'_>,
        catalog: &Catalog,
    ) -> Result<(), Error> {
        let stamp = self.stamp(names.source, catalog)?;
        if lock(&names.index)
            .as_ref()
            .is_some_and(|shown| shown.stamp == stamp)
        {
            return Ok(());
        }
        let opened = FileIndex::open_if_any(self.config, names.source, catalog)?;
        let shown = opened.map(|index| self.shown(number, index, stamp));
        // The one of before goes on being shown while none can be read.
        if let Some(shown) = shown {
            *lock(&names.index) = Some(shown);
        }
        Ok(())
    }

    fn shown(&self, source: usize, index: FileIndex, stamp: Vec<u8>) -> ShownIndex {
        let file = file_of(index.path()).unwrap_or_default();
        let mut dates = lock(&self.dates);
        let archives = index.archives().iter().filter_map(|archive| {
            let shown = ShownDate {
                source,
                archive: archive.id,
                at: archive.number,
                file,
            };
            let number = dates.number(shown)?;
            Some((archive.date.to_string(), number))
        });
        let archives = archives.collect();
        drop(dates);
        ShownIndex {
            index,
            file,
            stamp,
            dates: archives,
        }
    }

    /// Returns what changes with the index of a source and with its archives.
    fn stamp(&self, source: &Source, catalog: &Catalog) -> Result<Vec<u8>, Error> {
        let mut stamp = Vec::new();
        let Some(row) = catalog.source(&source.name)? else {
            return Ok(stamp);
        };
        for archive in catalog.visible(&row.ledger)? {
            stamp.extend(archive.id.to_string().into_bytes());
        }
        let path = FileIndex::file_of(self.config, &row.ledger);
        let mut journal = path.clone().into_os_string();
        journal.push("-wal");
        for path in [path, PathBuf::from(journal)] {
            if let Ok(facts) = path.metadata() {
                for number in [
                    facts.dev().cast_signed(),
                    facts.ino().cast_signed(),
                    facts.size().cast_signed(),
                    facts.mtime(),
                    facts.mtime_nsec(),
                ] {
                    stamp.extend(number.to_le_bytes());
                }
            }
        }
        Ok(stamp)
    }

    /// Returns the names of the sources.
    pub(super) fn sources(&self) -> impl Iterator<Item = &SourceName> {
        self.sources.iter().map(|names| &names.source.name)
    }

    /// Returns the dates of a source, and which archive each is.
    pub(super) fn dates(&self, source: usize) -> Result<Vec<(String, DateNumber)>, Refusal> {
        let names = self.sources.get(source).ok_or(Refusal::Stale)?;
        let index = lock(&names.index);
        Ok(index.as_ref().map_or_else(Vec::new, |it| it.dates.clone()))
    }

    /// Returns how many archives are shown of a source, and which are not indexed.
    pub(super) fn counts(&self, source: usize) -> (usize, Vec<ArchiveId>) {
        let index = lock(&self.sources[source].index);
        index.as_ref().map_or_else(Default::default, |shown| {
            (shown.dates.len(), shown.index.missing().to_vec())
        })
    }

    /// Returns which archive a number means.
    pub(super) fn date(&self, date: DateNumber) -> Result<ShownDate, Refusal> {
        let dates = lock(&self.dates);
        dates.shown.get(date.0).copied().ok_or(Refusal::Stale)
    }

    /// Asks the index of an archive, which must still be shown.
    fn ask<T>(
        &self,
        date: DateNumber,
        ask: impl FnOnce(&FileIndex, i64) -> Result<T, Error>,
    ) -> Result<T, Refusal> {
        let shown = self.date(date)?;
        let names = self.sources.get(shown.source).ok_or(Refusal::Stale)?;
        let index = lock(&names.index);
        let index = index.as_ref().filter(|index| {
            let mut dates = index.dates.iter();
            index.file == shown.file && dates.any(|(_, number)| *number == date)
        });
        let index = index.ok_or(Refusal::Stale)?;
        ask(&index.index, shown.at).map_err(|error| self.unreadable(names.source, &error))
    }

    /// Says that an index can't be read.
    fn unreadable(&self, source: &Source, error: &Error) -> Refusal {
        self.warnings.say_once(&source.name, in_words(error));
        Refusal::Unreadable
    }

    /// Returns what an object of an archive is.
    pub(super) fn object(
        &self,
        date: DateNumber,
        object: ObjectId,
    ) -> Result<ShownObject, Refusal> {
        let found = self.ask(date, |index, at| {
            Ok(index.questions().linked(object, at)?)
        })?;
        let found = found.ok_or(Refusal::Stale)?;
        ShownObject::of(date, found).ok_or(Refusal::Unreadable)
    }

    /// Returns what a name in a directory of an archive names.
    pub(super) fn child(
        &self,
        date: DateNumber,
        (directory, name): (ObjectId, &[u8]),
    ) -> Result<ShownObject, Refusal> {
        if !is_name(name) {
            return Err(Refusal::Missing);
        }
        let found = self.ask(date, |index, at| {
            let questions = index.questions();
            match questions.child(directory, name, at)? {
                Some(object) => Ok(questions.linked(object, at)?),
                None => Ok(None),
            }
        })?;
        let found = found.ok_or(Refusal::Missing)?;
        ShownObject::of(date, found).ok_or(Refusal::Missing)
    }

    /// Returns entries of a directory: those after a name, without the first `skip`. None are left if it returns none.
    pub(super) fn page(
        &self,
        date: DateNumber,
        directory: ObjectId,
        (after, skip): (&[u8], u64),
    ) -> Result<Page, Refusal> {
        let (mut after, mut skip) = (after.to_vec(), skip);
        loop {
            let found = self.ask(date, |index, at| {
                let questions = index.questions();
                Ok(questions.children_after((directory, at), &after, (skip, PAGE))?)
            })?;
            let Some((last, _)) = found.last() else {
                return Ok(Vec::new());
            };
            let last = last.clone();
            let page = found.into_iter().filter_map(|(name, version)| {
                let known = ShownObject::of(date, version)?;
                is_name(&name).then_some((name, known.attributes))
            });
            let page: Page = page.collect();
            if !page.is_empty() {
                return Ok(page);
            }
            // None of these can be shown.
            (after, skip) = (last, 0);
        }
    }

    /// Returns a path that an object has in an archive.
    pub(super) fn path(&self, date: DateNumber, object: ObjectId) -> Result<Vec<u8>, Refusal> {
        let path = self.ask(date, |index, at| index.path_at(object, at))?;
        path.ok_or(Refusal::Stale)
    }

    /// Returns a source by its number.
    pub(super) fn source(&self, source: usize) -> &'a Source {
        self.sources[source].source
    }
}

impl Dates {
    /// Returns the number of an archive; `None` if there are no more.
    fn number(&mut self, shown: ShownDate) -> Option<DateNumber> {
        if let Some(number) = self.numbers.get(&shown) {
            return Some(*number);
        }
        let number = DateNumber(self.shown.len());
        if number.0 >= MOST_DATES {
            return None;
        }
        self.shown.push(shown);
        self.numbers.insert(shown, number);
        Some(number)
    }
}

/// What is known of an object.
#[derive(Debug, Clone)]
pub(super) struct ShownObject {
    pub(super) attributes: FuseAttributes,
    pub(super) node: FileNode,
}

impl ShownObject {
    /// `None` if it is nothing that can be shown.
    fn of(date: DateNumber, linked: LinkedVersion) -> Option<Self> {
        let LinkedVersion { version, links } = linked;
        let node = version.node;
        if !is_kind_known(node.mode) {
            return None;
        }
        let is_directory = node.mode & 0o170_000 == 0o040_000;
        let size = match &node.target {
            Some(target) => target.len() as u64,
            None => node.size,
        };
        let attributes = FuseAttributes {
            inode: ShownInode::Archived(date, version.object).number()?,
            mode: node.mode,
            // As btrfs has it: it does not count what is in a directory.
            links: if is_directory { 1 } else { links.max(1) },
            uid: node.uid,
            gid: node.gid,
            rdev: node.rdev,
            size,
            mtime: node.mtime,
            ctime: node.ctime,
        };
        Some(Self { attributes, node })
    }

    /// Returns where a symbolic link leads.
    pub(super) fn target(self) -> Result<Vec<u8>, Refusal> {
        let target = self.node.target.ok_or(Refusal::WrongKind)?;
        let is_path = !target.is_empty() && target.len() <= LONGEST_TARGET && !target.contains(&0);
        is_path.then_some(target).ok_or(Refusal::Unreadable)
    }

    /// Returns the names of its extended attributes.
    pub(super) fn xattr_names(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &self.node.xattrs[..];
        std::iter::from_fn(move || {
            let (&length, after) = rest.split_first()?;
            let (name, after) = after.split_at_checked(length.into())?;
            rest = after.get(16..)?;
            Some(name)
        })
    }
}

/// Returns whether it is one component of a path, which the rules of the streams make sure of.
fn is_name(name: &[u8]) -> bool {
    !matches!(name, b"" | b"." | b"..")
        && name.len() <= LONGEST_NAME
        && !name.iter().any(|byte| matches!(byte, b'/' | 0))
}

fn file_of(path: &Path) -> Option<IndexFile> {
    let facts = path.metadata().ok()?;
    Some((facts.dev(), facts.ino()))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
