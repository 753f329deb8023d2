//! A sample of each error of describing a new config.

use std::path::PathBuf;

use crate::error::{Error, InitError};
use crate::model::SourceName;

pub(super) fn samples() -> Vec<Error> {
    let samples = [
        InitError::NoSource,
        InitError::Name {
            said: "My Home=/home".to_owned(),
            fault: "My Home".parse::<SourceName>().unwrap_err(),
        },
        InitError::SameName("home".parse().unwrap()),
        InitError::ReadOnly(PathBuf::from("/home/.coldchain/2026-11-07")),
        InitError::NotUtf8(PathBuf::from("/home")),
        InitError::Place("offsite".to_owned()),
        InitError::NoParent {
            place: PathBuf::from("/mnt/offsite/coldchain"),
            missing: PathBuf::from("/mnt/offsite"),
        },
        InitError::InSource {
            place: PathBuf::from("/home/archives"),
            source_path: "/home".to_owned(),
        },
        InitError::NoClasses,
        InitError::NoAnswer,
    ];
    samples.map(Error::Init).into()
}
