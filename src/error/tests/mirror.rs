//! A sample of each error of mirrors.

use std::path::PathBuf;

use super::{io, mail};
use crate::error::{Error, MirrorError};
use crate::model::MirrorLocation;

fn there() -> MirrorLocation {
    "/mirror".parse().unwrap()
}

fn nas() -> MirrorLocation {
    "ssh://mirror@nas:2222/srv/copies".parse().unwrap()
}

pub(super) fn samples() -> Vec<Error> {
    let name = "2026-11-21".parse().unwrap();
    let path = || PathBuf::from("/path");
    let failed = || Box::new(Error::file("list", path(), io()));
    [
        MirrorError::NotThere {
            to: Box::new(there()),
            what: "WHAT".to_owned(),
        },
        MirrorError::OfAnotherSource {
            source_name: mail(),
            to: Box::new(there()),
        },
        MirrorError::NothingToMirror {
            path: path(),
            to: Box::new(nas()),
        },
        MirrorError::InTheWay {
            path: path(),
            what: "WHAT".to_owned(),
        },
        MirrorError::NoRoom {
            to: Box::new(there()),
            name,
            needed: 3 << 30,
            free: 1 << 30,
        },
        MirrorError::TwoParents { name, path: path() },
        MirrorError::ParentGone {
            source_name: mail(),
            name,
        },
        MirrorError::NameTaken { path: path() },
        MirrorError::None { source_name: None },
        MirrorError::None {
            source_name: Some(mail()),
        },
        MirrorError::StillConfigured {
            source_name: mail(),
            to: Box::new(there()),
        },
        MirrorError::NeverSeen {
            source_name: mail(),
            to: Box::new(nas()),
        },
        MirrorError::Behind {
            source_name: mail(),
            to: Box::new(nas()),
            source: failed(),
        },
        MirrorError::AfterNight {
            source_name: mail(),
            to: Box::new(there()),
            source: failed(),
        },
    ]
    .map(Error::Mirror)
    .into()
}
