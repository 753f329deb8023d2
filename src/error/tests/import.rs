//! A sample of each error of archives that were imported from another tool.

use std::path::PathBuf;

use super::{archive, date, guard, io, kind};
use crate::catalog::BtrsendDbError;
use crate::error::{Error, ImportError};
use crate::gpg::{GpgError, GpgFailure, GzipError};
use crate::model::SourceName;
use crate::plan::ImportRefusal;
use crate::store::ErrorKind;

fn name() -> SourceName {
    "btrsend".parse().unwrap()
}

fn db() -> PathBuf {
    PathBuf::from("/home/ann/.btrsend.db")
}

fn of_gpg(failure: GpgFailure) -> ImportError {
    ImportError::Gpg {
        archive: archive(),
        source: Box::new(GpgError::Failed {
            failure,
            said: "gpg: decryption failed".to_owned(),
        }),
    }
}

fn refusals() -> Vec<ImportError> {
    let refusals = [
        ImportRefusal::Empty,
        ImportRefusal::TwoOfOneDate {
            one: 1,
            other: 2,
            date: date(),
        },
        ImportRefusal::OtherVault {
            row: 1,
            found: "the vault `Other`".to_owned(),
            expected: "the vault `Backup`".to_owned(),
        },
        ImportRefusal::Contradiction {
            date: date(),
            what: "its size was 8, and is 9".to_owned(),
        },
    ];
    let refused = |refusal| ImportError::Refused {
        path: db(),
        refusal: Box::new(refusal),
    };
    refusals.map(refused).into()
}

fn databases() -> Vec<ImportError> {
    [
        BtrsendDbError::TooLarge {
            path: db(),
            bytes: 1 << 30,
        },
        BtrsendDbError::Changing { path: db() },
        BtrsendDbError::Damaged {
            path: db(),
            what: "page 3 is never used".to_owned(),
        },
        BtrsendDbError::OtherShape {
            path: db(),
            what: "it has no table `btrsend`".to_owned(),
        },
        BtrsendDbError::File {
            doing: "read",
            path: db(),
            source: io(),
        },
    ]
    .map(ImportError::from)
    .into()
}

fn of_gpg_itself() -> Vec<ImportError> {
    let none = [
        GpgError::NoProgram {
            path: "/usr/bin:/bin".to_owned(),
        },
        GpgError::NoHome {
            path: PathBuf::from("/home/ann/.gnupg"),
            source: io(),
        },
        GpgError::NoKeys {
            home: "/root/.gnupg".to_owned(),
        },
        GpgError::Pipe(io()),
    ];
    none.map(|error| ImportError::NoGpg(Box::new(error))).into()
}

fn of_blobs() -> Vec<ImportError> {
    let mut samples: Vec<ImportError> = [
        GpgFailure::NoSecretKey {
            keys: vec!["A868D8CF1B2E68AA".to_owned()],
        },
        GpgFailure::CannotAsk,
        GpgFailure::WrongPassphrase,
        GpgFailure::NotGiven,
        GpgFailure::Symmetric,
        GpgFailure::NotGpg,
        GpgFailure::NotEncrypted,
        GpgFailure::Damaged,
        GpgFailure::Unprotected,
        GpgFailure::Several,
        GpgFailure::Killed,
        GpgFailure::Unknown,
    ]
    .map(of_gpg)
    .into();
    let gzip = [
        GzipError::Empty,
        GzipError::NoGzip,
        GzipError::CutOff { bytes: 9 },
        GzipError::Damaged {
            bytes: 9,
            what: "corrupt deflate stream".to_owned(),
        },
        GzipError::Trailing,
        GzipError::Read(io()),
    ];
    samples.extend(gzip.map(|source| ImportError::Gzip {
        archive: archive(),
        source: Box::new(source),
    }));
    samples.push(ImportError::Stream {
        archive: archive(),
        source: Box::new(guard()),
    });
    samples.push(ImportError::NotIncremental { archive: archive() });
    samples
}

fn of_restores() -> Vec<ImportError> {
    let retrieving = |later| ImportError::Retrieving {
        name: name(),
        here: 1,
        of: 3,
        awaited: 2,
        later,
    };
    vec![
        ImportError::Unknown { name: name() },
        ImportError::NoArchive {
            name: name(),
            date: Some(date()),
        },
        ImportError::NoArchive {
            name: name(),
            date: None,
        },
        ImportError::Deleted { archive: archive() },
        ImportError::Empty { archive: archive() },
        ImportError::Broken {
            archive: archive(),
            parent: date(),
        },
        ImportError::Spool {
            path: PathBuf::from("/spool"),
            what: "it is not a directory".to_owned(),
        },
        ImportError::NoRoom {
            path: PathBuf::from("/spool"),
            needed: 4 << 30,
            free: 1 << 30,
        },
        retrieving(0),
        retrieving(5),
        ImportError::OtherSize {
            archive: archive(),
            recorded: 8,
            found: 9,
        },
        ImportError::PartDamaged {
            archive: archive(),
            part: 0,
        },
    ]
}

pub(super) fn samples() -> Vec<Error> {
    let mut samples = databases();
    samples.extend(refusals());
    samples.extend([
        ImportError::NoVault {
            store: "disk".to_owned(),
        },
        ImportError::NoStore {
            store: "disk".to_owned(),
        },
        ImportError::NameTaken { name: name() },
        ImportError::OtherVault {
            name: name(),
            store: "old".to_owned(),
            imported: "`Backup` in us-east-1".to_owned(),
            found: "`Other` in us-east-1".to_owned(),
        },
    ]);
    samples.extend(of_restores());
    samples.extend(of_gpg_itself());
    samples.extend(of_blobs());
    samples.extend([
        ImportError::NotAgreed {
            name: name(),
            archives: 12,
            agreed: None,
        },
        ImportError::NotAgreed {
            name: name(),
            archives: 12,
            agreed: Some(3),
        },
        ImportError::Kept {
            name: name(),
            kept: 1,
            of: 12,
            source: Box::new(kind(ErrorKind::Denied)),
        },
    ]);
    samples.into_iter().map(Error::from).collect()
}
