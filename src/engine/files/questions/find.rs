//! Files that have a name, a path, a size, an age, a kind or an owner.

use std::collections::{BTreeMap, HashSet};

use chrono::NaiveDate;

use super::glob::Glob;
use super::{FileIndex, is_in, joined};
use crate::error::Error;
use crate::files_db::{
    ArchiveSpan, IndexedArchive, IndexedName, IndexedVersion, NameFilter, NodeFilter, PathFinder,
};
use crate::model::file_node::ObjectId;

/// In a tree with fewer files, walking down takes less time than looking at all names.
const SMALL_TREE: u64 = 20_000;

/// What is looked for.
#[derive(Debug, Clone)]
pub struct FindRequest<'r> {
    /// The path of the directory to look in; it counts as well, unless it is the root.
    pub below: &'r [u8],
    /// A pattern for the name.
    pub name: Option<Glob>,
    /// A pattern for the path below the root.
    pub path: Option<Glob>,
    /// What else it must be.
    pub node: NodeFilter,
    /// In which archives.
    pub when: FindWhen,
}

/// In which archives files are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FindWhen {
    /// In this one.
    At(IndexedArchive),
    /// In all of them.
    Any,
    /// In those up to this one, but not in it: what was deleted, and not merely renamed.
    DeletedBefore(IndexedArchive),
}

/// A path at which there is or was a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundFile {
    /// The path below the root.
    pub path: Vec<u8>,
    /// The newest version that fits.
    pub version: IndexedVersion,
    /// The newest archive that has it.
    pub archive: IndexedArchive,
    /// The date of the oldest archive in which a version at this path fits.
    pub first: NaiveDate,
}

impl FindRequest<'_> {
    fn fits_name(&self, name: &[u8]) -> bool {
        let fits = |glob: &Option<Glob>| glob.as_ref().is_none_or(|glob| glob.matches(name));
        let end = self.path.as_ref().map(Glob::end_of_name);
        fits(&self.name) && end.is_none_or(|end| name.ends_with(end))
    }

    fn fits_path(&self, path: &[u8]) -> bool {
        let fits = self.path.as_ref().is_none_or(|glob| glob.matches(path));
        fits && is_in(path, self.below)
    }

    /// Returns bytes that every name has that fits.
    fn literal(&self) -> &[u8] {
        let of_name = self.name.as_ref().map(Glob::literal).unwrap_or_default();
        let of_path = self.path.as_ref().map(Glob::end_of_name);
        let of_path = of_path.unwrap_or_default();
        if of_name.len() >= of_path.len() {
            of_name
        } else {
            of_path
        }
    }

    fn has_pattern(&self) -> bool {
        self.name.is_some() || self.path.is_some()
    }
}

impl FileIndex {
    /// Returns the files that fit, byte-wise by path.
    pub fn find(&self, request: &FindRequest<'_>) -> Result<Vec<FoundFile>, Error> {
        match request.when {
            FindWhen::At(archive) => self.find_at(request, archive),
            FindWhen::Any => self.find_ever(request, None),
            FindWhen::DeletedBefore(archive) => {
                let mut found = self.find_ever(request, Some(archive))?;
                let mut are_there = Vec::with_capacity(found.len());
                for file in &found {
                    are_there.push(self.resolve(&file.path, archive)?.is_some());
                }
                let mut are_there = are_there.into_iter();
                found.retain(|_| are_there.next() == Some(false));
                Ok(found)
            }
        }
    }

    fn find_at(
        &self,
        request: &FindRequest<'_>,
        archive: IndexedArchive,
    ) -> Result<Vec<FoundFile>, Error> {
        let at = archive.number;
        let Some(start) = self.questions.resolve(request.below, at)? else {
            return Ok(Vec::new());
        };
        let found = |path: Vec<u8>, version: IndexedVersion| FoundFile {
            path,
            version,
            archive,
            first: archive.date,
        };
        let mut files = Vec::new();
        if self.is_small(start, at)? || (!request.has_pattern() && request.node.is_all()) {
            let itself = self.questions.version(start, at)?;
            let itself = itself.filter(|_| !request.below.is_empty());
            let mut all = vec![];
            all.extend(itself.map(|version| (request.below.to_owned(), version)));
            let tree = self.questions.tree(start, at)?.into_iter();
            all.extend(tree.map(|(below, it)| (joined(request.below, &below), it)));
            for (path, version) in all {
                let fits = request.fits_name(last_name(&path)) && request.fits_path(&path);
                if fits && request.node.has(&version.node) {
                    files.push(found(path, version));
                }
            }
        } else {
            let mut paths = PathFinder::new(&self.questions);
            for (name, version) in self.candidates(request, Some(at), None)? {
                let version = match version {
                    Some(version) => Some(version),
                    None => self.questions.version(name.object, at)?,
                };
                let Some(version) = version.filter(|it| request.node.has(&it.node)) else {
                    continue;
                };
                let path = paths.path(&name, at)?;
                if let Some(path) = path.filter(|path| request.fits_path(path)) {
                    files.push(found(path, version));
                }
            }
        }
        files.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(files)
    }

    /// Returns whether walking down a tree is the shortest way.
    fn is_small(&self, start: ObjectId, at: i64) -> Result<bool, Error> {
        let totals = self.questions.subtree(start, at)?;
        Ok(start != ObjectId::ROOT && totals.is_none_or(|totals| totals.files < SMALL_TREE))
    }

    /// Returns the names that may fit: by the pattern if there is one, else by what the version must be. The version is
    /// given if it was looked at.
    fn candidates(
        &self,
        request: &FindRequest<'_>,
        at: Option<i64>,
        gone_before: Option<IndexedArchive>,
    ) -> Result<Vec<(IndexedName, Option<IndexedVersion>)>, Error> {
        let fits = |name: &[u8]| request.fits_name(name);
        let filter = NameFilter {
            literal: request.literal(),
            fits: &fits,
        };
        if let Some(archive) = gone_before {
            let number = archive.number;
            let names = if self.has_older_after(archive) {
                self.questions.scan_names_beside(number, &filter)?
            } else {
                self.questions.scan_names_gone(number, &filter)?
            };
            return Ok(names.into_iter().map(|name| (name, None)).collect());
        }
        if request.has_pattern() || request.node.is_all() {
            let names = self.questions.scan_names(at, &filter)?;
            return Ok(names.into_iter().map(|name| (name, None)).collect());
        }
        let mut found = Vec::new();
        let mut seen = HashSet::new();
        for version in self.questions.scan_versions(at, &request.node)? {
            // Over all dates an object may have several versions that fit; its names count once.
            if at.is_none() && !seen.insert(version.object) {
                continue;
            }
            let names = match at {
                Some(at) => self.questions.names_at(version.object, at)?,
                None => self.questions.names(version.object)?,
            };
            let version = at.map(|_| version);
            found.extend(names.into_iter().map(|name| (name, version.clone())));
        }
        Ok(found)
    }

    /// Looks in all archives; with `until` only in those of its date and before, and only for files that have no name in it.
    fn find_ever(
        &self,
        request: &FindRequest<'_>,
        until: Option<IndexedArchive>,
    ) -> Result<Vec<FoundFile>, Error> {
        let last = until.map_or(NaiveDate::MAX, |archive| archive.date);
        let mut paths = PathFinder::new(&self.questions);
        let mut found: BTreeMap<Vec<u8>, FoundFile> = BTreeMap::new();
        for (name, _) in self.candidates(request, None, until)? {
            if let Some(until) = until
                && !self
                    .questions
                    .names_at(name.object, until.number)?
                    .is_empty()
            {
                continue;
            }
            let versions = self.questions.versions(name.object)?;
            for (span, path) in paths.paths(&name)? {
                if !request.fits_path(&path) {
                    continue;
                }
                for version in versions.iter().filter(|it| request.node.has(&it.node)) {
                    let Some(span) = span.common(version.span) else {
                        continue;
                    };
                    self.note(&mut found, &path, version, span, last);
                }
            }
        }
        Ok(found.into_values().collect())
    }

    /// Adds that a path has a version in the archives of a span.
    fn note(
        &self,
        found: &mut BTreeMap<Vec<u8>, FoundFile>,
        path: &[u8],
        version: &IndexedVersion,
        span: ArchiveSpan,
        last: NaiveDate,
    ) {
        let mut archives = self
            .archives_where(|number| span.has(number))
            .filter(|archive| archive.date <= last);
        let Some(oldest) = archives.next() else {
            return;
        };
        let newest = archives.next_back().unwrap_or(oldest);
        let file = FoundFile {
            path: path.to_owned(),
            version: version.clone(),
            archive: *newest,
            first: oldest.date,
        };
        match found.get_mut(path) {
            None => {
                found.insert(path.to_owned(), file);
            }
            Some(known) => {
                let first = known.first.min(file.first);
                if (known.archive.date, known.archive.number) < (newest.date, newest.number) {
                    *known = file;
                }
                known.first = first;
            }
        }
    }
}

fn last_name(path: &[u8]) -> &[u8] {
    let slash = path.iter().rposition(|byte| *byte == b'/');
    &path[slash.map_or(0, |at| at + 1)..]
}
