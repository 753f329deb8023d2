//! The file index of a source: made from the contents of its archives, after each backup and when a question is asked.
//!
//! It is derived. A failure to make it is never one of a backup, and whatever is in it can be made anew.

pub(in crate::engine) mod after_commit;
pub(in crate::engine) mod anew;
pub(in crate::engine) mod before_commit;
mod low_priority;
pub(in crate::engine) mod replayed;
pub(in crate::engine) mod up_to_date;

use std::path::PathBuf;

use crate::btrfs::Expect;
use crate::config::Config;
use crate::engine::context::state_dir::StateDir;
use crate::engine::files::questions::index_file;
use crate::engine::restore::archive_stream::expected;
use crate::files_db::{ArchiveToLoad, LoadBase};
use crate::model::entry::ArchiveEntry;
use crate::model::{ContentsRecord, LedgerId, Sha256};

/// Returns the path of the index of a ledger's archives.
fn index_path(config: &Config, ledger: &LedgerId) -> PathBuf {
    StateDir::new(&config.state_dir).file(&index_file(ledger))
}

/// An archive that is to be indexed from its contents.
#[derive(Debug)]
pub struct SignedContents {
    /// The archive.
    pub archive: ArchiveToLoad,
    /// What it is incremental on.
    pub base: LoadBase,
    /// What the first command of the stream must say.
    pub expect: Expect,
    /// Bytes of the stream.
    pub raw_bytes: u64,
    /// Bytes of the stream without its file data.
    pub stream_bytes: u64,
}

impl SignedContents {
    /// Returns what the ledger says of an archive with these contents.
    fn of(entry: &ArchiveEntry, contents: &ContentsRecord) -> Self {
        Self {
            archive: ArchiveToLoad {
                id: entry.id,
                date: entry.date,
                contents: digest(contents),
            },
            base: entry
                .send_parent
                .map_or(LoadBase::Nothing, LoadBase::Archive),
            expect: expected(entry),
            raw_bytes: entry.raw_bytes,
            stream_bytes: contents.stream_bytes,
        }
    }
}

/// The digest of a record of contents: an archive with others has to be indexed anew.
fn digest(contents: &ContentsRecord) -> Sha256 {
    let record = serde_json::to_vec(contents).expect("a record is plain data");
    Sha256::of(&record)
}
