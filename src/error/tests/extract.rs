//! A sample of each error of extracted files that can't be written.

use std::path::PathBuf;

use super::{archive, io};
use crate::error::{Error, ExtractError};
use crate::files_db::TreeFileError;

pub(super) fn samples() -> Vec<Error> {
    let path = || PathBuf::from("/path");
    let stopped = |source| ExtractError::Stopped {
        doing: "write",
        path: path(),
        source,
    };
    [
        ExtractError::TooManyPieces {
            archive: archive(),
            limit: 402_653_184,
        },
        ExtractError::TooManySegments {
            archive: archive(),
            limit: 402_653_184,
        },
        ExtractError::TooManyNames {
            archive: archive(),
            limit: 536_870_912,
        },
        ExtractError::TreeFile(TreeFileError::Make {
            directory: path(),
            source: std::io::ErrorKind::StorageFull.into(),
        }),
        ExtractError::TreeFile(TreeFileError::Make {
            directory: path(),
            source: io(),
        }),
        ExtractError::TreeFile(TreeFileError::Damaged { directory: path() }),
        ExtractError::DataLost { lost: 3 },
        ExtractError::NotAllKept {
            left_out: 1,
            not_kept: 12,
        },
        ExtractError::TargetExists(path()),
        ExtractError::NoDirectory(path()),
        ExtractError::NoTree("entry 3 has the name `..`".to_owned()),
        ExtractError::Busy(path()),
        ExtractError::NotOwn(path()),
        ExtractError::NotToContinue {
            path: path(),
            why: "it is of another extraction",
        },
        stopped(std::io::ErrorKind::StorageFull.into()),
        stopped(std::io::ErrorKind::ReadOnlyFilesystem.into()),
        stopped(std::io::ErrorKind::PermissionDenied.into()),
        stopped(io()),
    ]
    .into_iter()
    .map(Error::from)
    .collect()
}
