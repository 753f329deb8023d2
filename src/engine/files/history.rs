//! The versions of a file in all copies of its source.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use chrono::{DateTime, FixedOffset};
use rustix::fs::FileType;

use super::compare::{VersionIn, is_same_content};
use super::difference::{ContentDifference, content_difference};
use super::entry::{OpenTree, TreeEntry};
use super::locate::LocatedFile;
use super::plain_copies::{PlainCopies, PlainCopy};
use super::yesterday;
use crate::error::{Error, FilesError};
use crate::interrupt::Interrupt;
use crate::model::SnapshotName;

/// What happened to a file between two copies.
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
    /// The copy in which it is first seen; `None` for the live subvolume.
    pub copy: Option<SnapshotName>,
    /// When that copy was taken; `None` for the live subvolume.
    pub at: Option<DateTime<FixedOffset>>,
    /// What happened.
    pub kind: FileEventKind,
    /// The path of the new version; of what was deleted, that of the last one.
    pub path: PathBuf,
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
    tree: OpenTree,
    entry: TreeEntry,
    /// The number of its place.
    place: usize,
    /// The names in it, if it is a directory and they were read.
    names: Option<BTreeMap<OsString, FileType>>,
}

/// A copy, or the live subvolume.
struct Moment<'a> {
    copy: Option<&'a PlainCopy>,
    path: &'a Path,
    place: usize,
}

struct Walk<'a> {
    below: &'a Path,
    with_difference: bool,
    interrupt: &'a Interrupt,
    before: Option<SeenVersion>,
    is_first: bool,
    events: Vec<FileEvent>,
    has_stub: bool,
}

/// Returns the history of a file over all copies, and whether the live file differs from the newest of them.
pub fn file_history(
    file: &LocatedFile<'_>,
    copies: &PlainCopies,
    with_difference: bool,
    interrupt: &Interrupt,
) -> Result<FileHistory, Error> {
    let mut walk = Walk {
        below: &file.below,
        with_difference,
        interrupt,
        before: None,
        is_first: true,
        events: Vec::new(),
        has_stub: false,
    };
    for copy in &copies.copies {
        interrupt.check()?;
        let Some(tree) = yesterday::open(copy)? else {
            continue;
        };
        let moment = Moment {
            copy: Some(copy),
            path: &copy.path,
            place: copy.place,
        };
        walk.next(&moment, tree)?;
        walk.is_first = false;
    }
    let nested = file.nested_in();
    if let (Some(live), None) = (&file.source.live, &nested)
        && live.subvolume.exists()
    {
        walk.is_first = false;
        let moment = Moment {
            copy: None,
            path: &live.subvolume,
            place: 0,
        };
        walk.next(&moment, OpenTree::open(&live.subvolume)?)?;
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
    /// Compares the file in the next copy with that in the one before.
    fn next(&mut self, moment: &Moment<'_>, tree: OpenTree) -> Result<(), Error> {
        let entry = tree.entry(self.below)?;
        self.has_stub |= entry.as_ref().is_some_and(TreeEntry::is_nested_stub);
        match (self.before.take(), entry) {
            (None, None) => {}
            (Some(before), None) => {
                let last = before.tree.join(self.below);
                self.add(
                    moment,
                    FileEventKind::Deleted,
                    last,
                    Some(&before.entry),
                    None,
                );
            }
            (None, Some(entry)) => {
                let kind = if self.is_first {
                    FileEventKind::Exists
                } else {
                    FileEventKind::Created
                };
                self.add(moment, kind, tree.join(self.below), None, Some(&entry));
                self.before = Some(SeenVersion {
                    tree,
                    entry,
                    place: moment.place,
                    names: None,
                });
            }
            (Some(mut before), Some(entry)) => {
                let names = self.compare(moment, &mut before, &tree, &entry)?;
                self.before = Some(SeenVersion {
                    tree,
                    entry,
                    place: moment.place,
                    names,
                });
            }
        }
        Ok(())
    }

    /// Compares two versions, and returns the names in the new one if it is a directory and they are known.
    fn compare(
        &mut self,
        moment: &Moment<'_>,
        before: &mut SeenVersion,
        tree: &OpenTree,
        entry: &TreeEntry,
    ) -> Result<Option<BTreeMap<OsString, FileType>>, Error> {
        let (old, path) = (before.entry, tree.join(self.below));
        let is_untouched = before.place == moment.place && entry.is_untouched(&old);
        if is_untouched {
            return Ok(before.names.take());
        }
        if old.kind() != entry.kind() {
            self.add(
                moment,
                FileEventKind::TypeChanged,
                path,
                Some(&old),
                Some(entry),
            );
            return Ok(None);
        }
        let is_changed = entry.kind() != FileType::Directory && {
            let (one, other) = (
                VersionIn {
                    tree: &before.tree,
                    entry: &old,
                },
                VersionIn { tree, entry },
            );
            !is_same_content(self.below, one, other, self.interrupt)?
        };
        if is_changed {
            self.add(
                moment,
                FileEventKind::Changed,
                path,
                Some(&old),
                Some(entry),
            );
            if self.with_difference && entry.kind() == FileType::RegularFile {
                let difference = content_difference(self.below, &before.tree, tree)?;
                let event = self.events.last_mut().expect("it was just added");
                event.difference = Some(difference);
            }
        } else if attributes(&old) != attributes(entry) {
            self.add(
                moment,
                FileEventKind::AttributesChanged,
                path,
                Some(&old),
                Some(entry),
            );
        }
        if entry.kind() != FileType::Directory {
            return Ok(None);
        }
        let names_before = match before.names.take() {
            Some(names) => names,
            None => before.tree.names(self.below)?,
        };
        let names = tree.names(self.below)?;
        self.compare_names(moment, before, &names_before, tree, &names);
        Ok(Some(names))
    }

    fn compare_names(
        &mut self,
        moment: &Moment<'_>,
        before: &SeenVersion,
        old: &BTreeMap<OsString, FileType>,
        tree: &OpenTree,
        new: &BTreeMap<OsString, FileType>,
    ) {
        let mut all: Vec<&OsString> = old.keys().chain(new.keys()).collect();
        all.sort();
        all.dedup();
        for name in all {
            let (kind, tree) = match (old.get(name), new.get(name)) {
                (None, _) => (FileEventKind::Created, tree),
                (_, None) => (FileEventKind::Deleted, &before.tree),
                (Some(one), Some(other)) if one != other => (FileEventKind::TypeChanged, tree),
                _ => continue,
            };
            let path = tree.join(self.below).join(name);
            self.add(moment, kind, path, None, None);
            let event = self.events.last_mut().expect("it was just added");
            event.name = Some(name.clone());
        }
    }

    fn add(
        &mut self,
        moment: &Moment<'_>,
        kind: FileEventKind,
        path: PathBuf,
        before: Option<&TreeEntry>,
        now: Option<&TreeEntry>,
    ) {
        debug_assert!(path.starts_with(moment.path) || kind == FileEventKind::Deleted);
        self.events.push(FileEvent {
            copy: moment.copy.map(|copy| copy.name),
            at: moment.copy.map(|copy| copy.taken_at),
            kind,
            path,
            name: None,
            now: now.map(facts),
            before: before.map(facts),
            difference: None,
        });
    }
}

fn facts(entry: &TreeEntry) -> VersionFacts {
    let (mode, owner) = attributes(entry);
    VersionFacts {
        kind: entry.kind(),
        size: u64::try_from(entry.stat.st_size).unwrap_or_default(),
        mode,
        owner,
    }
}

/// Returns permission bits, and user and group. Those of a symbolic link's mode mean nothing.
fn attributes(entry: &TreeEntry) -> (u32, (u32, u32)) {
    let mode = entry.stat.st_mode & 0o7777;
    (mode, (entry.stat.st_uid, entry.stat.st_gid))
}
