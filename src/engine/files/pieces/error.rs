//! Why a tree of pieces can't take a command.

use crate::btrfs::stream::StreamRefusal;
use crate::files_db::TreeFileError;
use crate::model::Uuid;

/// Why a tree can't take a command.
#[derive(Debug, thiserror::Error)]
pub enum PiecesError {
    /// What is known of one file would take more memory than all files may.
    #[error("the pieces or attributes of one of its files need more than {limit} bytes of memory")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
    /// The tables of segments would take most of the memory that the names and pieces may take.
    #[error("the tables of segments need most of {limit} bytes of memory")]
    NoRoom {
        /// The limit.
        limit: u64,
    },
    /// A clone from a file that is not there, or beyond its end.
    #[error("a clone from `{}`, which has no such range", path.escape_ascii())]
    NoCloneSource {
        /// The path.
        path: Vec<u8>,
    },
    /// A clone from a subvolume that is neither the stream's own nor its send parent.
    #[error("a clone from the subvolume {found}, which is not in the chain")]
    ForeignClone {
        /// Its uuid.
        found: Uuid,
    },
    /// Data that is compressed or encrypted in a way that is not known.
    #[error("`encoded_write` with the compression {compression} and the encryption {encryption}")]
    UnknownEncoding {
        /// The kernel's number of the compression.
        compression: u32,
        /// That of the encryption.
        encryption: u32,
    },
    /// A command without what it must have.
    #[error(transparent)]
    Stream(#[from] StreamRefusal),
    /// What does not fit into memory can't be written to disk, or read from there.
    #[error(transparent)]
    File(#[from] TreeFileError),
}
