//! Contents that a backup keeps on this machine, so that their index can be made without the store and without an
//! identity.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use bytes::Bytes;
use rustix::fs::{Mode, OFlags};

use crate::engine::files::contents::objects::ContentsObjects;
use crate::model::{ContentsRecord, SegmentRecord};
use crate::seal::ArchiveKey;

/// A file without a name that takes the sealed objects. Nothing of a backup depends on it: after an error it keeps
/// nothing.
pub(in crate::engine) struct Keeping(Option<File>);

impl Keeping {
    /// Makes the file in a directory, if it can be made there.
    pub(in crate::engine) fn in_directory(directory: &Path) -> Self {
        let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
        let file = rustix::fs::open(directory, flags, Mode::RUSR | Mode::WUSR);
        Self(file.ok().map(File::from))
    }

    /// Adds the next object.
    pub(in crate::engine) fn add(&mut self, sealed: &[u8]) {
        let written = self.0.as_mut().map(|file| file.write_all(sealed));
        if matches!(written, Some(Err(_))) {
            // Its bytes go with it: the disk may be full.
            self.0 = None;
        }
    }

    /// Returns the objects that were added, if all of them were kept.
    pub(in crate::engine) fn finish(
        self,
        record: &ContentsRecord,
        key: &ArchiveKey,
    ) -> Option<KeptContents> {
        Some(KeptContents {
            file: self.0?,
            record: record.clone(),
            key: key.clone(),
        })
    }
}

/// The contents of an archive that this process has just made.
pub struct KeptContents {
    /// The sealed objects, one after the other.
    file: File,
    record: ContentsRecord,
    key: ArchiveKey,
}

/// Shows nothing of the key.
impl fmt::Debug for KeptContents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeptContents")
            .field("record", &self.record)
            .finish_non_exhaustive()
    }
}

impl KeptContents {
    /// Returns what the archive's entry says of them.
    pub fn record(&self) -> &ContentsRecord {
        &self.record
    }

    /// Reads the stream without its file data, from its header to its end command.
    pub fn open(&self) -> impl Read {
        self.whole().take(self.record.stream_bytes)
    }

    /// Reads the stream without its file data, and the table of segments after it.
    pub fn whole(&self) -> impl Read {
        let mut at = 0;
        let fetch = move |_: u32, object: &SegmentRecord| -> io::Result<Bytes> {
            let bytes = usize::try_from(object.sealed_bytes).map_err(io::Error::other)?;
            let mut sealed = vec![0; bytes];
            self.file.read_exact_at(&mut sealed, at)?;
            at += object.sealed_bytes;
            Ok(sealed.into())
        };
        ContentsObjects::new(&self.record, &self.key, fetch)
    }
}
