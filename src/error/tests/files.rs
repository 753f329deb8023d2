//! A sample of each error of files in plain copies and in archives.

use std::path::PathBuf;

use super::{io, mail};
use crate::error::{Error, FilesError};
use crate::files_db::{FilesDbError, IndexReadError};
use crate::model::SnapshotName;

pub(super) fn samples() -> Vec<Error> {
    let date: SnapshotName = "2026-11-21".parse().unwrap();
    let path = || PathBuf::from("/path");
    let file = || PathBuf::from("mail:/a b");
    [
        FilesError::OfNoSource {
            path: path(),
            sources: "`mail` (/mail)".to_owned(),
        },
        FilesError::NoCopies {
            source_name: mail(),
        },
        FilesError::InNoCopy {
            file: file(),
            copies: 3,
        },
        FilesError::Nested {
            source_name: mail(),
            nested: path(),
        },
        FilesError::NoneSoOld {
            file: file(),
            before: "2026-11-21 12:00".to_owned(),
        },
        FilesError::InArchiveAlone {
            file: file(),
            date: date.date,
        },
        FilesError::TooFarBack,
        FilesError::NoCopyOf {
            source_name: mail(),
            date,
            is_archived: true,
        },
        FilesError::NoCopyOf {
            source_name: mail(),
            date,
            is_archived: false,
        },
        FilesError::NotInCopy { file: file(), date },
        FilesError::NotIndexed {
            source_name: mail(),
            archived: "3 archives".to_owned(),
            has_contents: true,
        },
        FilesError::NotIndexed {
            source_name: mail(),
            archived: "1 archive".to_owned(),
            has_contents: false,
        },
        FilesError::NotMadeAnew {
            source_name: mail(),
            archives: 3,
        },
        FilesError::NoIndexSoOld {
            source_name: mail(),
            before: date.date,
            oldest: date.date,
        },
        FilesError::ArchiveNotIndexed {
            source_name: mail(),
            archive: "2026-11-21-full-5f0c9a12d4e6b801".parse().unwrap(),
        },
        FilesError::NotInArchive {
            file: file(),
            date: date.date,
            exists: Some((date.date, date.date)),
        },
        FilesError::NotInArchive {
            file: file(),
            date: date.date,
            exists: None,
        },
        FilesError::OnlyArchived {
            file: file(),
            before: "2026-11-21 12:00".to_owned(),
            date: date.date,
            source_name: mail(),
        },
        FilesError::UnknownOwner("ann".to_owned()),
        FilesError::Index(IndexReadError::Damaged {
            path: path(),
            what: "a directory is below itself",
        }),
        FilesError::IndexDb(FilesDbError::Busy(path())),
        FilesError::IndexDb(FilesDbError::Damaged("a name leads to no object")),
        FilesError::IndexDb(FilesDbError::File {
            doing: "open",
            path: path(),
            source: io(),
        }),
        FilesError::TargetExists(path()),
        FilesError::TargetIsDirectory(path()),
        FilesError::NoTargetDirectory(path()),
    ]
    .map(Error::from)
    .into()
}
