//! What changed between two archives.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{DIRECTORY, FileIndex, KIND_BITS, data_facts, is_in};
use crate::error::Error;
use crate::files_db::{ChangeSpan, IndexedArchive, IndexedName, IndexedVersion, PathFinder};
use crate::model::file_node::{Changed, FileNode, ObjectId};

/// What happened to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PathChangeKind {
    /// The first archive has nothing there.
    Made,
    /// The second archive has nothing there.
    Deleted,
    /// It has the path in the second archive; in the first it had another.
    Renamed,
    /// Its data is another.
    Changed,
    /// It is something else, for example a directory in place of a file.
    TypeChanged,
    /// Its data is the same, its mode, owner or extended attributes are not.
    AttributesChanged,
}

/// A path that differs between two archives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathChange {
    /// The path: in the second archive, or in the first of what was deleted.
    pub path: Vec<u8>,
    /// What happened.
    pub kind: PathChangeKind,
    /// The path in the first archive, of what was renamed.
    pub from: Option<Vec<u8>>,
    /// What was there in the first archive.
    pub before: Option<FileNode>,
    /// What is there in the second one.
    pub now: Option<FileNode>,
}

/// The bytes that a path took in streams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathCost {
    /// The path in the newest of the archives; of what it does not have, the last path.
    pub path: Vec<u8>,
    /// Bytes of the streams.
    pub bytes: u64,
}

/// Paths that were made or deleted, each with what is there.
type Paths = BTreeMap<Vec<u8>, FileNode>;

struct Comparison<'i> {
    index: &'i FileIndex,
    one: IndexedArchive,
    other: IndexedArchive,
    /// The archives between the two, if their streams tell what changed.
    in_streams: Option<ChangeSpan>,
    paths: PathFinder<'i>,
    made: Paths,
    deleted: Paths,
    changes: Vec<PathChange>,
}

impl FileIndex {
    /// Returns what changed from one archive to another at a path and below it, byte-wise by path. A directory that was renamed is
    /// one change, and what it holds none.
    pub fn diff(
        &self,
        (one, other): (IndexedArchive, IndexedArchive),
        below: &[u8],
    ) -> Result<Vec<PathChange>, Error> {
        let span = ChangeSpan::between(one.number, other.number);
        let mut comparison = Comparison {
            index: self,
            one,
            other,
            in_streams: self.is_in_order(one, other).then_some(span),
            paths: PathFinder::new(&self.questions),
            made: Paths::new(),
            deleted: Paths::new(),
            changes: Vec::new(),
        };
        let of_names: HashSet<ObjectId> = self.questions.touched_names(span)?.into_iter().collect();
        for object in self.questions.touched_versions(span)? {
            if !of_names.contains(&object) {
                comparison.object(object, false)?;
            }
        }
        for object in of_names {
            comparison.object(object, true)?;
        }
        let mut changes = comparison.finish();
        changes.retain(|change| {
            let from = change.from.as_ref();
            is_in(&change.path, below) || from.is_some_and(|from| is_in(from, below))
        });
        changes.sort_by(|one, other| (&one.path, one.kind).cmp(&(&other.path, other.kind)));
        Ok(changes)
    }

    /// Returns the bytes that each path took in the streams after the older of two archives and up to the newer one, the
    /// largest first; at most so many paths.
    pub fn costs(
        &self,
        (one, other): (IndexedArchive, IndexedArchive),
        below: &[u8],
        limit: usize,
    ) -> Result<Vec<PathCost>, Error> {
        let (older, newer) = if one.date <= other.date {
            (one, other)
        } else {
            (other, one)
        };
        let mut bytes: HashMap<ObjectId, u64> = HashMap::new();
        for archive in self.questions.archives() {
            if archive.date <= older.date || newer.date < archive.date {
                continue;
            }
            for (object, cost) in self.questions.costs(archive.number)? {
                let sum = bytes.entry(object).or_default();
                *sum = sum.saturating_add(cost);
            }
        }
        let mut bytes: Vec<(ObjectId, u64)> = bytes.into_iter().collect();
        bytes.sort_by_key(|(object, bytes)| (std::cmp::Reverse(*bytes), *object));
        let mut paths = PathFinder::new(&self.questions);
        let mut costs = Vec::new();
        for (object, bytes) in bytes {
            if costs.len() == limit {
                break;
            }
            let path = self.last_path(object, newer, &mut paths)?;
            if let Some(path) = path.filter(|path| is_in(path, below)) {
                costs.push(PathCost { path, bytes });
            }
        }
        costs.sort_by(|one, other| (other.bytes, &one.path).cmp(&(one.bytes, &other.path)));
        Ok(costs)
    }

    /// Returns the path that an object has in an archive, or else the last one that it had.
    fn last_path(
        &self,
        object: ObjectId,
        archive: IndexedArchive,
        paths: &mut PathFinder<'_>,
    ) -> Result<Option<Vec<u8>>, Error> {
        if object == ObjectId::ROOT {
            return Ok(Some(Vec::new()));
        }
        let at = archive.number;
        if let Some(name) = self.questions.names_at(object, at)?.first() {
            return Ok(paths.path(name, at)?);
        }
        let names = self.questions.names(object)?;
        let last = names.iter().max_by_key(|name| name.span.till);
        match last {
            Some(name) => Ok(paths.path(name, name.span.till - 1)?),
            None => Ok(None),
        }
    }
}

impl Comparison<'_> {
    /// Compares an object's versions, and its names if they differ.
    fn object(&mut self, object: ObjectId, has_other_names: bool) -> Result<(), Error> {
        let questions = &self.index.questions;
        let versions = questions.versions(object)?;
        let at = |number| versions.iter().find(|version| version.span.has(number));
        let (before, now) = (at(self.one.number), at(self.other.number));
        let kind = match (before, now) {
            (Some(before), Some(now)) if before.span != now.span => {
                let is_changed = !now.is_directory()
                    && match self.in_streams {
                        Some(span) => {
                            let new = versions.iter().filter(|it| span.begins(it.span));
                            let all = new.fold(Changed::default(), |all, it| all.and(it.changed));
                            all.has(Changed::DATA)
                        }
                        None => data_facts(&before.node) != data_facts(&now.node),
                    };
                difference(is_changed, &before.node, &now.node)
            }
            _ => None,
        };
        if object == ObjectId::ROOT || !has_other_names && before.is_some() && now.is_some() {
            if let (Some(kind), Some(before), Some(now)) = (kind, before, now) {
                let path = if object == ObjectId::ROOT {
                    Some(Vec::new())
                } else {
                    let names = questions.names_at(object, self.other.number)?;
                    let first = names.first();
                    let path = first.map(|name| self.paths.path(name, self.other.number));
                    path.transpose()?.map(Option::unwrap_or_default)
                };
                self.add(kind, before, now, path);
            }
            return Ok(());
        }
        let names = questions.names(object)?;
        let names_at = |number| names.iter().filter(move |name| name.span.has(number));
        let old: Vec<&IndexedName> = names_at(self.one.number).collect();
        let new: Vec<&IndexedName> = names_at(self.other.number).collect();
        let old_paths = self.paths_without(&old, &new, self.one.number)?;
        let new_paths = self.paths_without(&new, &old, self.other.number)?;
        // A file that moved from a directory into the one that took its place.
        let mut left: Vec<Vec<u8>> = without(&old_paths, &new_paths);
        let mut came: Vec<Vec<u8>> = without(&new_paths, &old_paths);
        left.sort();
        came.sort();
        let pairs = left.len().min(came.len());
        if let (Some(before), Some(now)) = (before, now) {
            for (from, path) in left.drain(..pairs).zip(came.drain(..pairs)) {
                self.changes.push(PathChange {
                    path,
                    kind: PathChangeKind::Renamed,
                    from: Some(from),
                    before: Some(before.node.clone()),
                    now: Some(now.node.clone()),
                });
            }
            if let (Some(kind), false, Some(name)) = (kind, old.is_empty(), new.first()) {
                let path = self.paths.path(name, self.other.number)?;
                self.add(kind, before, now, Some(path.unwrap_or_default()));
            }
        }
        if let Some(before) = before {
            let gone = left.into_iter().map(|path| (path, before.node.clone()));
            self.deleted.extend(gone);
        }
        if let Some(now) = now {
            let made = came.into_iter().map(|path| (path, now.node.clone()));
            self.made.extend(made);
        }
        Ok(())
    }

    /// Returns the paths of the names that are not among the others.
    fn paths_without(
        &mut self,
        names: &[&IndexedName],
        others: &[&IndexedName],
        at: i64,
    ) -> Result<Vec<Vec<u8>>, Error> {
        let mut paths = Vec::new();
        for name in names {
            let is_kept = |it: &&IndexedName| (it.parent, &it.name) == (name.parent, &name.name);
            if !others.iter().any(is_kept) {
                paths.extend(self.paths.path(name, at)?);
            }
        }
        Ok(paths)
    }

    /// Adds that an object is another at a path of the second archive; nothing without a path.
    fn add(
        &mut self,
        kind: PathChangeKind,
        before: &IndexedVersion,
        now: &IndexedVersion,
        path: Option<Vec<u8>>,
    ) {
        self.changes.extend(path.map(|path| PathChange {
            path,
            kind,
            from: None,
            before: Some(before.node.clone()),
            now: Some(now.node.clone()),
        }));
    }

    /// Returns all changes: a path at which something was deleted and something made was changed.
    fn finish(mut self) -> Vec<PathChange> {
        for (path, now) in std::mem::take(&mut self.made) {
            let Some(before) = self.deleted.remove(&path) else {
                self.changes.push(PathChange {
                    path,
                    kind: PathChangeKind::Made,
                    from: None,
                    before: None,
                    now: Some(now),
                });
                continue;
            };
            let (old, new) = (before.mode & KIND_BITS, now.mode & KIND_BITS);
            if old != new {
                self.changes.push(PathChange {
                    path,
                    kind: PathChangeKind::TypeChanged,
                    from: None,
                    before: Some(before),
                    now: Some(now),
                });
                continue;
            }
            // Another file. With the same size and time it is a copy.
            let is_changed = new != DIRECTORY && data_facts(&before) != data_facts(&now);
            if let Some(kind) = difference(is_changed, &before, &now) {
                self.changes.push(PathChange {
                    path,
                    kind,
                    from: None,
                    before: Some(before),
                    now: Some(now),
                });
            }
        }
        for (path, before) in std::mem::take(&mut self.deleted) {
            self.changes.push(PathChange {
                path,
                kind: PathChangeKind::Deleted,
                from: None,
                before: Some(before),
                now: None,
            });
        }
        self.changes
    }
}

/// Returns how two states of one path differ; `None` if a user would call them equal.
fn difference(is_changed: bool, before: &FileNode, now: &FileNode) -> Option<PathChangeKind> {
    if is_changed {
        Some(PathChangeKind::Changed)
    } else if attributes(before) != attributes(now) {
        Some(PathChangeKind::AttributesChanged)
    } else {
        None
    }
}

fn attributes(node: &FileNode) -> (u32, u32, u32, &[u8]) {
    (node.mode, node.uid, node.gid, &node.xattrs)
}

fn without(paths: &[Vec<u8>], others: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let rest = paths.iter().filter(|path| !others.contains(path));
    rest.cloned().collect()
}
