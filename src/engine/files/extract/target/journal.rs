//! What a run writes down for the one that continues it.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::report::{Extracted, LeftOut};

const NAME: &str = "journal";
const NEW_NAME: &str = "journal.new";
const VERSION: u32 = 1;

/// How far an extraction has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Journal {
    version: u32,
    /// The digest of its list.
    pub(super) list: String,
    /// The data of as many frames is there.
    pub(super) frames: u64,
    /// Objects that are left out because of their data.
    pub(super) left_out: Vec<(i64, LeftOut)>,
    /// What is known when all is made: from then on files get their names in the target directory.
    pub(super) publishing: Option<Publishing>,
}

/// What is known when all is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Publishing {
    pub(super) extracted: Extracted,
    pub(super) late_modes: Vec<LateMode>,
}

/// The mode that a directory gets when it has its name: without root, one that its owner can't write to can't be renamed into
/// another directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LateMode {
    /// The directory, by its number in the list.
    pub(super) entry: u32,
    pub(super) inode: u64,
    pub(super) mode: u32,
}

impl Journal {
    pub(super) fn new(list: String) -> Self {
        Self {
            version: VERSION,
            list,
            frames: 0,
            left_out: Vec::new(),
            publishing: None,
        }
    }

    /// Reads the journal in a directory; `None` if there is none, or none that this version can read.
    pub(super) fn read(directory: &OwnedFd) -> std::io::Result<Option<Self>> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(directory, NAME, flags, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        };
        let mut text = Vec::new();
        File::from(file).read_to_end(&mut text)?;
        let journal: Option<Self> = serde_json::from_slice(&text).ok();
        Ok(journal.filter(|journal| journal.version == VERSION))
    }

    /// Writes it durably in place of the one before.
    pub(super) fn write(&self, directory: &OwnedFd) -> std::io::Result<()> {
        let text = serde_json::to_vec(self)?;
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let mut file = File::from(rustix::fs::openat(directory, NEW_NAME, flags, mode)?);
        file.write_all(&text)?;
        file.sync_all()?;
        rustix::fs::renameat(directory, NEW_NAME, directory, NAME)?;
        Ok(rustix::fs::fsync(directory)?)
    }

    /// The names of its files, for removal.
    pub(super) const FILES: [&str; 2] = [NEW_NAME, NAME];
}
