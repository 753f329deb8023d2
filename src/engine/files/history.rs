//! The versions of a file in all copies of its source.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use chrono::{DateTime, FixedOffset};
use chrono_tz::Tz;
use rustix::fs::FileType;

use super::compare::{VersionIn, is_same_content};
use super::difference::{ContentDifference, content_difference};
use super::entry::{OpenTree, TreeEntry};
use super::locate::LocatedFile;
use super::plain_copies::{PlainCopies, PlainCopy};
use super::questions::past::kind_of;
use super::questions::{FileIndex, path_of};
use super::yesterday;
use crate::error::{Error, FilesError};
use crate::files_db::{IndexedArchive, IndexedVersion};
use crate::interrupt::Interrupt;
use crate::model::SnapshotName;

/// What happened to a file between two copies, or archives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileEventKind {
    /// It was there in the oldest copy of all.
    Exists,
    /// It was not there in the copy before.
    Created,
    /// Its content is another.
    Changed,
    /// It is something else, for example a directory in place of a file.
    TypeChanged,
    /// Its content is the same, its mode or its owner is not.
    AttributesChanged,
    /// It is not there any more.
    Deleted,
}

/// What is known of a version of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VersionFacts {
    /// What it is.
    pub kind: FileType,
    /// Its size in bytes.
    pub size: u64,
    /// Its permission bits.
    pub mode: u32,
    /// Its user and its group.
    pub owner: (u32, u32),
}

/// Something that happened to a file, or to a name in a directory.
#[derive(Debug, Clone)]
pub struct FileEvent {
    /// The copy in which it is first seen; `None` for the live subvolume and for an archive.
    pub copy: Option<SnapshotName>,
    /// The archive in which it is first seen, if no plain copy has its date.
    pub archive: Option<IndexedArchive>,
    /// When that copy was taken, or the beginning of the archive's date; `None` for the live subvolume.
    pub at: Option<DateTime<FixedOffset>>,
    /// What happened.
    pub kind: FileEventKind,
    /// The path of the new version; of what was deleted, that of the last one. In an archive it is `source:path`.
    pub path: PathBuf,
    /// The archive that has the version at `path`; `None` if it is in a plain tree.
    pub lies_in: Option<IndexedArchive>,
    /// The name in the directory that it happened to; `None` if it happened to the file itself.
    pub name: Option<OsString>,
    /// The new version; `None` if it was deleted, or for a name in a directory.
    pub now: Option<VersionFacts>,
    /// The version before; `None` if there was none, or for a name in a directory.
    pub before: Option<VersionFacts>,
    /// What changed in its content, if that was asked for.
    pub difference: Option<ContentDifference>,
}

/// The history of a file.
#[derive(Debug, Clone)]
pub struct FileHistory {
    /// What happened, oldest first.
    pub events: Vec<FileEvent>,
    /// What the history does not show, and why.
    pub warnings: Vec<String>,
}

/// A version that is being compared with the next one.
struct SeenVersion {
    facts: VersionFacts,
    form: SeenForm,
    /// The index's word for it, if an archive of its date is indexed.
    indexed: Option<(IndexedArchive, IndexedVersion)>,
    /// The names in it, if it is a directory and they were read.
    names: Option<BTreeMap<OsString, FileType>>,
}

/// Where a version was seen.
enum SeenForm {
    /// In a plain tree; the number is that of its place.
    Plain(OpenTree, TreeEntry, usize),
    /// In an archive, of which there is no plain copy.
    Archived(IndexedArchive),
}

/// A copy, an archive without a copy, or the live subvolume.
#[derive(Clone, Copy)]
enum Moment<'a> {
    Copy(&'a PlainCopy),
    Archive(IndexedArchive, DateTime<FixedOffset>),
    Live,
}

struct Walk<'a> {
    file: &'a LocatedFile<'a>,
    below: &'a Path,
    index: Option<&'a FileIndex>,
    with_difference: bool,
    interrupt: &'a Interrupt,
    before: Option<SeenVersion>,
    is_first: bool,
    events: Vec<FileEvent>,
    has_stub: bool,
}

/// Returns the history of a file over all copies, and over the archives of which there is no copy, if there is an index. It
/// includes whether the live file differs from the newest of them. An archive's date begins in `zone`.
pub fn file_history(
    file: &LocatedFile<'_>,
    copies: &PlainCopies,
    (index, zone): (Option<&FileIndex>, Tz),
    with_difference: bool,
    interrupt: &Interrupt,
) -> Result<FileHistory, Error> {
    let mut walk = Walk {
        file,
        below: &file.below,
        index,
        with_difference,
        interrupt,
        before: None,
        is_first: true,
        events: Vec::new(),
        has_stub: false,
    };
    let of_copies = copies.copies.iter();
    let of_copies = of_copies.map(|copy| (copy.taken_at, Moment::Copy(copy)));
    let archives = index.map(|index| index.without_copy(copies));
    let of_archives = archives.into_iter().flatten().map(|archive| {
        let at = SnapshotName::from(archive.date)
            .moment(&zone)
            .fixed_offset();
        (at, Moment::Archive(archive, at))
    });
    let mut moments: Vec<(DateTime<FixedOffset>, Moment<'_>)> =
        of_copies.chain(of_archives).collect();
    moments.sort_by_key(|(at, _)| *at);
    for (_, moment) in moments {
        interrupt.check()?;
        if walk.look(moment)? {
            walk.is_first = false;
        }
    }
    let nested = file.nested_in();
    if let (Some(live), None) = (&file.source.live, &nested)
        && live.subvolume.exists()
    {
        walk.is_first = false;
        walk.look(Moment::Live)?;
    }
    let mut warnings = Vec::new();
    if let Some(nested) = nested {
        if walk.events.is_empty() {
            return Err(FilesError::Nested {
                source_name: file.source.name.clone(),
                nested,
            }
            .into());
        }
        warnings.push(nested_warning(file, &nested));
    } else if walk.has_stub {
        warnings.push(nested_warning(file, Path::new(&file.as_argument())));
    }
    if walk.events.is_empty() {
        return Err(not_found(file, copies));
    }
    Ok(FileHistory {
        events: walk.events,
        warnings,
    })
}

fn nested_warning(file: &LocatedFile<'_>, nested: &Path) -> String {
    format!(
        "{}: {} is or was a nested subvolume: snapshots have an empty directory in its place",
        file.source.name,
        nested.display()
    )
}

/// Returns the error that no copy has a file.
pub(super) fn not_found(file: &LocatedFile<'_>, copies: &PlainCopies) -> Error {
    let source_name = file.source.name.clone();
    if copies.copies.is_empty() {
        return FilesError::NoCopies { source_name }.into();
    }
    match file.nested_in() {
        Some(nested) => FilesError::Nested {
            source_name,
            nested,
        },
        None => FilesError::InNoCopy {
            file: file.as_argument().into(),
            copies: copies.copies.len(),
        },
    }
    .into()
}

impl Walk<'_> {
    /// Looks at the file at a moment, and compares it with the one before. Returns whether there is such a copy.
    fn look(&mut self, moment: Moment<'_>) -> Result<bool, Error> {
        let seen = match moment {
            Moment::Archive(archive, _) => self.seen_in_archive(archive)?,
            Moment::Copy(copy) => {
                let Some(tree) = yesterday::open(copy)? else {
                    return Ok(false);
                };
                let archive = self.index.and_then(|index| index.of_copy(copy.name));
                self.seen_in_tree(tree, copy.place, archive)?
            }
            Moment::Live => {
                let live = self.file.source.live.as_ref();
                let Some(live) = live else {
                    return Ok(false);
                };
                self.seen_in_tree(OpenTree::open(&live.subvolume)?, 0, None)?
            }
        };
        self.next(moment, seen)?;
        Ok(true)
    }

    fn seen_in_tree(
        &mut self,
        tree: OpenTree,
        place: usize,
        archive: Option<IndexedArchive>,
    ) -> Result<Option<SeenVersion>, Error> {
        let Some(entry) = tree.entry(self.below)? else {
            return Ok(None);
        };
        self.has_stub |= entry.is_nested_stub();
        let indexed = match (self.index, archive) {
            (Some(index), Some(archive)) => {
                let version = index.version_at(path_of(self.file), archive)?;
                version.map(|version| (archive, version))
            }
            _ => None,
        };
        Ok(Some(SeenVersion {
            facts: facts(&entry),
            form: SeenForm::Plain(tree, entry, place),
            indexed,
            names: None,
        }))
    }

    fn seen_in_archive(&self, archive: IndexedArchive) -> Result<Option<SeenVersion>, Error> {
        let Some(index) = self.index else {
            return Ok(None);
        };
        let version = index.version_at(path_of(self.file), archive)?;
        Ok(version.map(|version| SeenVersion {
            facts: archived_facts(&version),
            form: SeenForm::Archived(archive),
            indexed: Some((archive, version)),
            names: None,
        }))
    }

    /// Compares the file at the next moment with the one before.
    fn next(&mut self, moment: Moment<'_>, seen: Option<SeenVersion>) -> Result<(), Error> {
        match (self.before.take(), seen) {
            (None, None) => {}
            (Some(before), None) => {
                self.add(moment, FileEventKind::Deleted, Some(&before), None);
            }
            (None, Some(now)) => {
                let kind = if self.is_first {
                    FileEventKind::Exists
                } else {
                    FileEventKind::Created
                };
                self.add(moment, kind, None, Some(&now));
                self.before = Some(now);
            }
            (Some(mut before), Some(mut now)) => {
                now.names = self.compare(moment, &mut before, &now)?;
                self.before = Some(now);
            }
        }
        Ok(())
    }

    /// Compares two versions, and returns the names in the new one if it is a directory and they are known.
    fn compare(
        &mut self,
        moment: Moment<'_>,
        before: &mut SeenVersion,
        now: &SeenVersion,
    ) -> Result<Option<BTreeMap<OsString, FileType>>, Error> {
        if before.is_surely(now) {
            return Ok(before.names.take());
        }
        if before.facts.kind != now.facts.kind {
            self.add(moment, FileEventKind::TypeChanged, Some(before), Some(now));
            return Ok(None);
        }
        let is_directory = now.facts.kind == FileType::Directory;
        if !is_directory && !self.is_same_content(before, now)? {
            self.add(moment, FileEventKind::Changed, Some(before), Some(now));
            if let (true, FileType::RegularFile, Some(old), Some(new)) = (
                self.with_difference,
                now.facts.kind,
                before.tree(),
                now.tree(),
            ) {
                let difference = content_difference(self.below, old, new)?;
                let event = self.events.last_mut().expect("it was just added");
                event.difference = Some(difference);
            }
        } else if before.attributes() != now.attributes() {
            let kind = FileEventKind::AttributesChanged;
            self.add(moment, kind, Some(before), Some(now));
        }
        if !is_directory {
            return Ok(None);
        }
        let names_before = match before.names.take() {
            Some(names) => names,
            None => self.names(before)?,
        };
        let names = self.names(now)?;
        self.compare_names(moment, (before, &names_before), (now, &names));
        Ok(Some(names))
    }

    fn is_same_content(&self, before: &SeenVersion, now: &SeenVersion) -> Result<bool, Error> {
        if let (SeenForm::Plain(old_tree, old, _), SeenForm::Plain(tree, entry, _)) =
            (&before.form, &now.form)
        {
            let one = VersionIn {
                tree: old_tree,
                entry: old,
            };
            let other = VersionIn { tree, entry };
            return is_same_content(self.below, one, other, self.interrupt);
        }
        // The data of an archive can't be read here.
        if let (Some(index), Some((one, old)), Some((other, new))) =
            (self.index, &before.indexed, &now.indexed)
        {
            return Ok(!index.is_data_changed((*one, old), (*other, new))?);
        }
        Ok(before.touch() == now.touch() && self.target(before)? == self.target(now)?)
    }

    /// Returns where a symbolic link leads.
    fn target(&self, seen: &SeenVersion) -> Result<Option<Vec<u8>>, Error> {
        if seen.facts.kind != FileType::Symlink {
            return Ok(None);
        }
        match (&seen.form, &seen.indexed) {
            (SeenForm::Plain(tree, ..), _) => tree.link(self.below).map(Some),
            (SeenForm::Archived(_), indexed) => {
                let indexed = indexed.as_ref();
                Ok(indexed.and_then(|(_, version)| version.node.target.clone()))
            }
        }
    }

    fn names(&self, seen: &SeenVersion) -> Result<BTreeMap<OsString, FileType>, Error> {
        match (&seen.form, self.index, &seen.indexed) {
            (SeenForm::Plain(tree, ..), ..) => tree.names(self.below),
            (SeenForm::Archived(archive), Some(index), Some((_, version))) => {
                index.names_in(version, *archive)
            }
            (SeenForm::Archived(_), ..) => Ok(BTreeMap::new()),
        }
    }

    fn compare_names(
        &mut self,
        moment: Moment<'_>,
        (before, old): (&SeenVersion, &BTreeMap<OsString, FileType>),
        (now, new): (&SeenVersion, &BTreeMap<OsString, FileType>),
    ) {
        let mut all: Vec<&OsString> = old.keys().chain(new.keys()).collect();
        all.sort();
        all.dedup();
        for name in all {
            let (kind, seen) = match (old.get(name), new.get(name)) {
                (None, _) => (FileEventKind::Created, now),
                (_, None) => (FileEventKind::Deleted, before),
                (Some(one), Some(other)) if one != other => (FileEventKind::TypeChanged, now),
                _ => continue,
            };
            let event = self.event(moment, kind, seen);
            self.events.push(FileEvent {
                path: event.path.join(name),
                name: Some(name.clone()),
                ..event
            });
        }
    }

    fn add(
        &mut self,
        moment: Moment<'_>,
        kind: FileEventKind,
        before: Option<&SeenVersion>,
        now: Option<&SeenVersion>,
    ) {
        let Some(seen) = now.or(before) else { return };
        let event = self.event(moment, kind, seen);
        self.events.push(FileEvent {
            now: now.map(|seen| seen.facts),
            before: before.map(|seen| seen.facts),
            ..event
        });
    }

    /// Returns an event that has the path of a version.
    fn event(&self, moment: Moment<'_>, kind: FileEventKind, seen: &SeenVersion) -> FileEvent {
        let (path, lies_in) = match &seen.form {
            SeenForm::Plain(tree, ..) => (tree.join(self.below), None),
            SeenForm::Archived(archive) => (self.file.as_argument().into(), Some(*archive)),
        };
        let (copy, archive, at) = match moment {
            Moment::Copy(copy) => (Some(copy.name), None, Some(copy.taken_at)),
            Moment::Archive(archive, at) => (None, Some(archive), Some(at)),
            Moment::Live => (None, None, None),
        };
        FileEvent {
            copy,
            archive,
            at,
            kind,
            path,
            lies_in,
            name: None,
            now: None,
            before: None,
            difference: None,
        }
    }
}

impl SeenVersion {
    fn tree(&self) -> Option<&OpenTree> {
        match &self.form {
            SeenForm::Plain(tree, ..) => Some(tree),
            SeenForm::Archived(_) => None,
        }
    }

    /// Returns whether a later version is the same for sure, without a look at its data.
    fn is_surely(&self, later: &Self) -> bool {
        match (&self.form, &later.form) {
            (SeenForm::Plain(_, old, place), SeenForm::Plain(_, new, later_place)) => {
                place == later_place && new.is_untouched(old)
            }
            (SeenForm::Archived(_), SeenForm::Archived(_)) => {
                // A directory's names can change without a version of its own only if they changed nothing of it: its
                // times change with them.
                let version =
                    |seen: &Self| seen.indexed.as_ref().map(|(_, it)| (it.object, it.span));
                version(self).is_some() && version(self) == version(later)
            }
            _ => false,
        }
    }

    fn attributes(&self) -> (u32, (u32, u32)) {
        (self.facts.mode, self.facts.owner)
    }

    /// Returns size, time and device.
    fn touch(&self) -> (u64, i64, u64) {
        match (&self.form, &self.indexed) {
            (SeenForm::Plain(_, entry, _), _) => {
                let stat = &entry.stat;
                let nanoseconds = i64::try_from(stat.st_mtime_nsec).unwrap_or_default();
                let mtime = stat.st_mtime.saturating_mul(1_000_000_000);
                let rdev = match self.facts.kind {
                    FileType::CharacterDevice | FileType::BlockDevice => stat.st_rdev,
                    _ => 0,
                };
                (self.size(), mtime.saturating_add(nanoseconds), rdev)
            }
            (SeenForm::Archived(_), Some((_, version))) => {
                (self.size(), version.node.mtime, version.node.rdev)
            }
            (SeenForm::Archived(_), None) => (self.size(), 0, 0),
        }
    }

    /// Returns the bytes of a regular file: a link's length is no size in an archive.
    fn size(&self) -> u64 {
        match self.facts.kind {
            FileType::RegularFile => self.facts.size,
            _ => 0,
        }
    }
}

fn facts(entry: &TreeEntry) -> VersionFacts {
    // Permission bits, and user and group. Those of a symbolic link's mode mean nothing.
    VersionFacts {
        kind: entry.kind(),
        size: u64::try_from(entry.stat.st_size).unwrap_or_default(),
        mode: entry.stat.st_mode & 0o7777,
        owner: (entry.stat.st_uid, entry.stat.st_gid),
    }
}

fn archived_facts(version: &IndexedVersion) -> VersionFacts {
    let node = &version.node;
    VersionFacts {
        kind: kind_of(node.mode),
        size: node.size,
        mode: node.mode & 0o7777,
        owner: (node.uid, node.gid),
    }
}
