//! Versions of a file in archives of which there is no plain copy.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use rustix::fs::FileType;

use super::FileIndex;
use crate::engine::files::plain_copies::PlainCopies;
use crate::error::Error;
use crate::files_db::{IndexedArchive, IndexedVersion};
use crate::model::SnapshotName;

impl FileIndex {
    /// Returns the archives whose dates no plain copy has, oldest first.
    pub fn without_copy(&self, copies: &PlainCopies) -> Vec<IndexedArchive> {
        let is_of = |archive: &IndexedArchive, name: SnapshotName| {
            name.is_date() && name.date == archive.date
        };
        let has_copy = |archive: &&IndexedArchive| {
            let copies = copies.copies.iter();
            copies.into_iter().any(|copy| is_of(archive, copy.name))
        };
        let archives = self.archives.iter();
        archives
            .filter(|archive| !has_copy(archive))
            .copied()
            .collect()
    }

    /// Returns the indexed archive of a plain copy's date.
    pub(in crate::engine) fn of_copy(&self, name: SnapshotName) -> Option<IndexedArchive> {
        let mut archives = self.archives.iter().rev();
        let found = archives.find(|archive| name.is_date() && archive.date == name.date);
        found.copied()
    }

    /// Returns the version at a path in an archive.
    pub(in crate::engine) fn version_at(
        &self,
        path: &[u8],
        archive: IndexedArchive,
    ) -> Result<Option<IndexedVersion>, Error> {
        match self.resolve(path, archive)? {
            Some(object) => Ok(self.questions.version(object, archive.number)?),
            None => Ok(None),
        }
    }

    /// Returns the names in a directory in an archive, with what each is.
    pub(in crate::engine) fn names_in(
        &self,
        directory: &IndexedVersion,
        archive: IndexedArchive,
    ) -> Result<BTreeMap<OsString, FileType>, Error> {
        let children = self
            .questions
            .children(directory.object, archive.number)?
            .into_iter();
        Ok(children
            .map(|(name, version)| (OsString::from_vec(name), kind_of(version.node.mode)))
            .collect())
    }

    /// Returns the newest archive that has a path, of those of that moment or before: an archive's date begins in the
    /// time zone.
    pub fn newest_with(
        &self,
        path: &[u8],
        moment: DateTime<Utc>,
        zone: Tz,
    ) -> Result<Option<IndexedArchive>, Error> {
        for archive in self.archives.iter().rev() {
            let taken_at = SnapshotName::from(archive.date).moment(&zone);
            if taken_at <= moment && self.resolve(path, *archive)?.is_some() {
                return Ok(Some(*archive));
            }
        }
        Ok(None)
    }
}

/// Returns the kind of file that a mode says.
pub fn kind_of(mode: u32) -> FileType {
    FileType::from_raw_mode(mode)
}
