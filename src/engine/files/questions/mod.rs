//! Answers about files in archives, from the local index. None of them asks a store.
//!
//! Paths are bytes below the subvolume's root, without a slash in front; the root's is empty.

pub(in crate::engine) mod diff;
pub(in crate::engine) mod du;
pub(in crate::engine) mod find;
pub(in crate::engine) mod glob;
pub(in crate::engine) mod list;
pub(in crate::engine) mod nearest;
pub(in crate::engine) mod past;

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use chrono::NaiveDate;

use super::locate::LocatedFile;
use crate::catalog::Catalog;
use crate::config::{Config, Source};
use crate::engine::context::state_dir::StateDir;
use crate::error::{Error, FilesError, RequestError};
use crate::files_db::{ChangeSpan, FileQuestions, IndexedArchive, IndexedVersion, PathFinder};
use crate::model::file_node::{Changed, FileNode, ObjectId};
use crate::model::{ArchiveId, LedgerId};

/// The bits of a mode that say what kind of file it is.
const KIND_BITS: u32 = 0o170_000;

/// The kind of a directory, in these bits.
const DIRECTORY: u32 = 0o040_000;

/// The file index of a source, with what the catalog knows of its archives.
#[derive(Debug)]
pub struct FileIndex {
    questions: FileQuestions,
    /// By date.
    archives: Vec<IndexedArchive>,
    /// By date.
    missing: Vec<ArchiveId>,
}

/// The archive that is meant on a command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhichIndexed {
    /// The newest.
    Newest,
    /// The newest of this date or before.
    Of(NaiveDate),
    /// This one.
    Archive(ArchiveId),
}

/// Returns the name of the file that has the index of a ledger's archives, below the state directory.
pub fn index_file(ledger: &LedgerId) -> String {
    format!("files/{ledger}.db")
}

impl FileIndex {
    /// Opens the index of a source. Fails if no archive of it is indexed.
    pub fn open(config: &Config, source: &Source, catalog: &Catalog) -> Result<Self, Error> {
        if let Some(index) = Self::open_if_any(config, source, catalog)? {
            return Ok(index);
        }
        let (mut number, mut has_contents) = (0, false);
        if let Some(row) = catalog.source(&source.name)? {
            let visible = catalog.visible(&row.ledger)?;
            let contents = catalog.contents_bytes(&row.ledger)?;
            number = visible.len();
            has_contents = visible
                .iter()
                .any(|archive| contents.iter().any(|(id, _)| *id == archive.id));
        }
        let source_name = source.name.clone();
        let archived = match number {
            0 => return Err(RequestError::NeverArchived(source_name).into()),
            1 => "1 archive".to_owned(),
            number => format!("{number} archives"),
        };
        Err(FilesError::NotIndexed {
            source_name,
            archived,
            has_contents,
        }
        .into())
    }

    /// The same; `None` if no archive of it is indexed.
    pub fn open_if_any(
        config: &Config,
        source: &Source,
        catalog: &Catalog,
    ) -> Result<Option<Self>, Error> {
        let Some(row) = catalog.source(&source.name)? else {
            return Ok(None);
        };
        let path = Self::file_of(config, &row.ledger);
        let Some(questions) = FileQuestions::open(&path, &row.ledger)? else {
            return Ok(None);
        };
        let visible = catalog.visible(&row.ledger)?;
        let visible: Vec<ArchiveId> = visible.iter().map(|archive| archive.id).collect();
        let index = Self::of(questions, &visible);
        Ok((!index.archives.is_empty()).then_some(index))
    }

    /// Returns an index of which these archives count.
    pub fn of(questions: FileQuestions, visible: &[ArchiveId]) -> Self {
        let mut archives = questions.archives().to_vec();
        archives.retain(|archive| !archive.is_hidden && visible.contains(&archive.id));
        let is_missing = |id: &&ArchiveId| !archives.iter().any(|archive| archive.id == **id);
        let mut missing: Vec<ArchiveId> = visible.iter().filter(is_missing).copied().collect();
        missing.sort_unstable();
        Self {
            questions,
            archives,
            missing,
        }
    }

    /// Returns the archives that are indexed and not retired, by date.
    pub fn archives(&self) -> &[IndexedArchive] {
        &self.archives
    }

    /// Returns what answers about single entries.
    pub(in crate::engine) fn questions(&self) -> &FileQuestions {
        &self.questions
    }

    /// Returns the file that has it.
    pub(in crate::engine) fn path(&self) -> &Path {
        self.questions.path()
    }

    /// Returns the file that has the index of a ledger's archives.
    pub(in crate::engine) fn file_of(config: &Config, ledger: &LedgerId) -> PathBuf {
        StateDir::new(&config.state_dir).file(&index_file(ledger))
    }

    /// Returns a path that an object has in the archive of a number; `None` if it has none.
    pub(in crate::engine) fn path_at(
        &self,
        object: ObjectId,
        at: i64,
    ) -> Result<Option<Vec<u8>>, Error> {
        let mut finder = PathFinder::new(&self.questions);
        if object == ObjectId::ROOT {
            return Ok(Some(Vec::new()));
        }
        match self.questions.names_at(object, at)?.into_iter().next() {
            Some(name) => Ok(finder.path(&name, at)?),
            None => Ok(None),
        }
    }

    /// Returns how many files an archive has; `None` if it is not indexed.
    pub fn count_files(&self, archive: &ArchiveId) -> Result<Option<u64>, Error> {
        let Some(archive) = self.archives.iter().find(|it| it.id == *archive) else {
            return Ok(None);
        };
        let Some(root) = self.resolve(b"", *archive)? else {
            return Ok(None);
        };
        let weights = self.weigh((b"", root), *archive, 0)?;
        Ok(weights.first().map(|root| root.totals.files))
    }

    /// Returns the archives that the index lacks, by date.
    pub fn missing(&self) -> &[ArchiveId] {
        &self.missing
    }

    /// Returns the archive that is meant.
    pub fn archive(&self, source: &Source, which: WhichIndexed) -> Result<IndexedArchive, Error> {
        let source_name = source.name.clone();
        let newest_first = || self.archives.iter().rev();
        let found = match which {
            WhichIndexed::Newest => newest_first().next(),
            WhichIndexed::Of(date) => newest_first().find(|archive| archive.date <= date),
            WhichIndexed::Archive(id) => newest_first().find(|archive| archive.id == id),
        };
        let oldest = self.archives.first().map(|archive| archive.date);
        found.copied().ok_or_else(|| {
            match which {
                WhichIndexed::Archive(archive) => FilesError::ArchiveNotIndexed {
                    source_name,
                    archive,
                },
                WhichIndexed::Of(before) => FilesError::NoIndexSoOld {
                    source_name,
                    before,
                    oldest: oldest.unwrap_or(before),
                },
                WhichIndexed::Newest => FilesError::NotIndexed {
                    source_name,
                    archived: "its archives".to_owned(),
                    has_contents: true,
                },
            }
            .into()
        })
    }

    /// Returns what a path names in an archive.
    pub fn resolve(&self, path: &[u8], archive: IndexedArchive) -> Result<Option<ObjectId>, Error> {
        Ok(self.questions.resolve(path, archive.number)?)
    }

    /// Returns what a file is in an archive. Fails, with the dates at which it exists, if the archive does not have it.
    pub fn object(
        &self,
        file: &LocatedFile<'_>,
        archive: IndexedArchive,
    ) -> Result<ObjectId, Error> {
        let path = path_of(file);
        match self.resolve(path, archive)? {
            Some(object) => Ok(object),
            None => Err(self.not_in_archive(file, archive)?),
        }
    }

    /// Returns the error that an archive does not have a file.
    pub fn not_in_archive(
        &self,
        file: &LocatedFile<'_>,
        archive: IndexedArchive,
    ) -> Result<Error, Error> {
        let path = path_of(file);
        let mut exists: Option<(NaiveDate, NaiveDate)> = None;
        for archive in &self.archives {
            if self.resolve(path, *archive)?.is_some() {
                let first = exists.map_or(archive.date, |(first, _)| first);
                exists = Some((first, archive.date));
            }
        }
        Ok(FilesError::NotInArchive {
            file: file.as_argument().into(),
            date: archive.date,
            exists,
        }
        .into())
    }

    /// Returns whether the numbers of the archives from one to another follow their dates. They don't where older archives
    /// were indexed after newer ones: then what an archive changed is not what it changed since the date before.
    fn is_in_order(&self, one: IndexedArchive, other: IndexedArchive) -> bool {
        let between = |from: i64, to: i64, it: i64| (from.min(to)..=from.max(to)).contains(&it);
        let (first, last) = (one.date.min(other.date), one.date.max(other.date));
        let archives = self.questions.archives().iter();
        let mut numbers = archives
            .filter(|it| {
                between(one.number, other.number, it.number) || (first..=last).contains(&it.date)
            })
            .map(|it| it.number);
        let mut before = 0;
        numbers.all(|number| std::mem::replace(&mut before, number) < number)
    }

    /// Returns whether an archive of an earlier date was indexed after this one.
    fn has_older_after(&self, archive: IndexedArchive) -> bool {
        let mut archives = self.questions.archives().iter();
        archives.any(|it| it.date < archive.date && it.number > archive.number)
    }

    /// Returns whether the data of a file changed between two archives: by what the streams did to it, or for two files
    /// that are not the same, and where that is not known, by size, time and target.
    pub(in crate::engine) fn is_data_changed(
        &self,
        (one, before): (IndexedArchive, &IndexedVersion),
        (other, now): (IndexedArchive, &IndexedVersion),
    ) -> Result<bool, Error> {
        if before.object == now.object && self.is_in_order(one, other) {
            let span = ChangeSpan::between(one.number, other.number);
            let changed = self.questions.changed(now.object, span)?;
            return Ok(changed.has(Changed::DATA));
        }
        Ok(data_facts(&before.node) != data_facts(&now.node))
    }

    /// Returns the visible archives of a span of numbers, by date.
    fn archives_where(
        &self,
        has: impl Fn(i64) -> bool,
    ) -> impl DoubleEndedIterator<Item = &IndexedArchive> {
        let archives = self.archives.iter();
        archives.filter(move |archive| has(archive.number))
    }
}

/// What tells of two files whether one is a copy of the other.
fn data_facts(node: &FileNode) -> (u64, i64, Option<&[u8]>, u64) {
    (node.size, node.mtime, node.target.as_deref(), node.rdev)
}

/// Returns the path of a file below its source's root.
pub fn path_of<'f>(file: &'f LocatedFile<'_>) -> &'f [u8] {
    file.below.as_os_str().as_bytes()
}

/// Returns whether a path is this one or below it. The root's has all.
fn is_in(path: &[u8], above: &[u8]) -> bool {
    above.is_empty()
        || path
            .strip_prefix(above)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

/// Joins a path and what is below it.
fn joined(above: &[u8], below: &[u8]) -> Vec<u8> {
    if above.is_empty() {
        below.to_owned()
    } else {
        [above, b"/", below].concat()
    }
}
