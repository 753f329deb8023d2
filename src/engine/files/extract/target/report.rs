//! What an extraction made, and what it could not keep or make.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::engine::files::attributes::NotKept;

/// As many paths are named.
const NAMED: usize = 10;

/// Why something was not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum LeftOut {
    /// Its data can't be had.
    Data,
    /// A device, which is made only if that is asked for, by root.
    Device,
    /// The target can't have the name.
    Name,
    /// The target takes the name for that of another file.
    SameName,
    /// It is larger than any file that the target can have.
    TooLarge,
    /// The target has no files of its kind, or no such link.
    Kind,
}

/// How many, and the paths of the first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountedPaths {
    /// How many.
    pub count: u64,
    /// The paths of the first ten, from the target directory on.
    #[serde(serialize_with = "to_bytes", deserialize_with = "from_bytes")]
    pub first: Vec<PathBuf>,
}

impl CountedPaths {
    fn add(&mut self, path: impl FnOnce() -> PathBuf) {
        self.count += 1;
        if self.first.len() < NAMED {
            self.first.push(path());
        }
    }
}

/// What was extracted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extracted {
    /// How many names were made, besides those of directories on the way.
    pub entries: u64,
    /// The sizes of the regular files together.
    pub bytes: u64,
    /// What was made, but not with all that it had.
    pub not_kept: BTreeMap<NotKept, CountedPaths>,
    /// What was not made.
    pub left_out: BTreeMap<LeftOut, CountedPaths>,
}

impl Extracted {
    pub(super) fn lose(&mut self, what: NotKept, path: impl FnOnce() -> PathBuf) {
        self.not_kept.entry(what).or_default().add(path);
    }

    pub(super) fn leave_out(&mut self, why: LeftOut, path: impl FnOnce() -> PathBuf) {
        self.left_out.entry(why).or_default().add(path);
    }
}

fn to_bytes<S: Serializer>(paths: &[PathBuf], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(paths.iter().map(|path| path.as_os_str().as_bytes()))
}

fn from_bytes<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<PathBuf>, D::Error> {
    let paths: Vec<Vec<u8>> = Deserialize::deserialize(from)?;
    Ok(paths
        .into_iter()
        .map(|path| OsString::from_vec(path).into())
        .collect())
}
