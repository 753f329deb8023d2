//! The edge to FUSE: mounts a read-only tree that a [`ReadOnlyTree`] tells of.
//!
//! The kernel's requests are read by one thread, and answered by others: a few for names, more for data. So a listing does not
//! wait for a slow store.

mod attributes;
mod error;
mod requests;
mod session;
mod stale;

use std::ops::Range;
use std::time::Duration;

pub use attributes::{FuseAttributes, is_kind_known};
pub use error::FuseError;
pub use session::{FuseMount, FuseOptions, HowEnded, WhoMayEnter};
pub use stale::{StaleMount, unmount_stale};

/// The name that the mount has in the list of filesystems.
pub const NAME: &str = "coldchain";

/// The number of the root directory of every mount.
pub const ROOT: u64 = 1;

/// Why a request is refused: the errors that programs see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such name.
    Missing,
    /// It is no directory, or no file, or no link.
    WrongKind,
    /// The data can't be read without an identity.
    Denied,
    /// The data can't be read now, because it is cold.
    Cold,
    /// The data can't be read.
    Unreadable,
    /// There is no such extended attribute.
    NoAttribute,
    /// Extended attributes are not known.
    Unsupported,
    /// What the number stood for is not there any more: ask for the name again.
    Stale,
    /// There is no data behind that place.
    Beyond,
}

/// A name, and what it names.
#[derive(Debug, Clone)]
pub struct Named {
    /// What it is.
    pub attributes: FuseAttributes,
    /// How long the kernel may rely on it.
    pub valid: Duration,
}

/// A name in a directory, as a listing has it.
#[derive(Debug, Clone)]
pub struct FuseEntry {
    /// The name.
    pub name: Vec<u8>,
    /// Where the listing goes on after it.
    pub next: u64,
    /// What it names.
    pub named: Named,
}

/// A tree that does not change, but for names that come and go at its top.
pub trait ReadOnlyTree: Sync {
    /// Returns what a name in a directory names.
    fn lookup(&self, directory: u64, name: &[u8]) -> Result<Named, Refusal>;

    /// Returns what an inode is.
    fn attributes(&self, inode: u64) -> Result<Named, Refusal>;

    /// Returns where a symbolic link leads.
    fn link_target(&self, inode: u64) -> Result<Vec<u8>, Refusal>;

    /// Opens a directory, and returns its handle.
    fn open_directory(&self, inode: u64) -> Result<u64, Refusal>;

    /// Gives the entries of a directory from a place on, until `give` returns false.
    fn list(
        &self,
        directory: (u64, u64),
        from: u64,
        give: &mut dyn FnMut(&FuseEntry) -> bool,
    ) -> Result<(), Refusal>;

    /// Closes a directory.
    fn close_directory(&self, handle: u64);

    /// Opens a file, and returns its handle.
    fn open(&self, inode: u64) -> Result<u64, Refusal>;

    /// Returns a range of a file, cut at its end.
    fn read(&self, handle: u64, range: Range<u64>) -> Result<Vec<u8>, Refusal>;

    /// Returns where the next data, or the next hole, begins.
    fn seek(&self, handle: u64, from: u64, what: SeekFor) -> Result<u64, Refusal>;

    /// Closes a file.
    fn close(&self, handle: u64);

    /// Returns the names of the extended attributes, each with a NUL after it.
    fn xattrs(&self, inode: u64) -> Result<Vec<u8>, Refusal>;

    /// Returns the value of an extended attribute.
    fn xattr(&self, inode: u64, name: &[u8]) -> Result<Vec<u8>, Refusal>;
}

/// What is looked for in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeekFor {
    /// The next data.
    Data,
    /// The next hole, or the end.
    Hole,
}
