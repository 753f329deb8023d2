//! Samples of why archives can't be mounted.

use std::io;
use std::path::PathBuf;

use crate::error::{Error, MountError};
use crate::fuse::FuseError;

pub(super) fn samples() -> Vec<Error> {
    let at = || PathBuf::from("/mnt/old files");
    let denied = || io::Error::from(io::ErrorKind::PermissionDenied);
    let mut samples: Vec<Error> = [
        FuseError::NoDevice,
        FuseError::DeviceDenied(denied()),
        FuseError::NoHelper,
        FuseError::OthersDenied,
        FuseError::Refused {
            at: at(),
            why: "Operation not permitted".to_owned(),
        },
        FuseError::StaleStays {
            at: at(),
            why: "Operation not permitted".to_owned(),
        },
        FuseError::Broke {
            at: at(),
            source: denied(),
        },
    ]
    .map(Error::from)
    .into();
    let own = [
        MountError::NotEmpty(at()),
        MountError::NotADirectory(at()),
        MountError::Within {
            at: at(),
            what: "the state directory",
            within: PathBuf::from("/mnt"),
        },
        MountError::ForeignStale(at()),
        MountError::Nothing,
    ];
    samples.extend(own.map(Error::from));
    samples
}
