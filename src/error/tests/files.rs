//! A sample of each error of files in plain copies.

use std::path::PathBuf;

use super::mail;
use crate::error::{Error, FilesError};

pub(super) fn samples() -> Vec<Error> {
    let date = "2026-11-21".parse().unwrap();
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
        FilesError::TargetExists(path()),
        FilesError::TargetIsDirectory(path()),
        FilesError::NoTargetDirectory(path()),
    ]
    .map(Error::from)
    .into()
}
