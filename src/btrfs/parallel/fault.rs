//! Why a stream can't be made.

use std::io;
use std::path::PathBuf;

use rustix::io::Errno;

/// Why a stream can't be made.
#[derive(Debug, thiserror::Error)]
pub(in crate::btrfs) enum ParallelFault {
    /// The kernel's stream can't be read.
    #[error("the kernel's stream can't be read: {source}")]
    Kernel {
        /// Why.
        source: io::Error,
    },
    /// A part of a file can't be read.
    #[error("{} can't be read at byte {offset}: {source}", path.display())]
    Unreadable {
        /// The file, from the subvolume's root.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// Why.
        source: io::Error,
    },
    /// A file is not what the kernel says of it.
    #[error("{} is not what the kernel says of it: {what} differs", path.display())]
    Differs {
        /// The file, from the subvolume's root.
        path: PathBuf,
        /// What differs.
        what: &'static str,
    },
    /// The kernel's stream has something that is not known here.
    #[error("the kernel's stream is not as expected: {0}")]
    Unexpected(&'static str),
    /// A name can't be looked up in the send parent.
    #[error("{} can't be looked up in the send parent: {source}", path.display())]
    LookUp {
        /// The path, from the subvolume's root.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl ParallelFault {
    /// Whether a disk has failed.
    pub(in crate::btrfs) fn is_unreadable(&self) -> bool {
        matches!(self, Self::Unreadable { source, .. } if Errno::from_io_error(source) == Some(Errno::IO))
    }
}
