//! The kind of a file that is neither a regular file nor a directory.

use std::fmt;

/// The kind of a file that is neither a regular file nor a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpecialKind {
    /// A symbolic link.
    Symlink,
    /// A file that mknod makes: a character or block device, whatever mode the stream claims.
    Node,
    /// A fifo.
    Fifo,
    /// A socket.
    Socket,
}

impl fmt::Display for SpecialKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Symlink => "symlink",
            Self::Node => "device node",
            Self::Fifo => "fifo",
            Self::Socket => "socket",
        })
    }
}
