//! Where the data of files lies in the send streams of a chain, found by replaying their contents.
//!
//! [`file_data`] has the pieces of one file, [`tree`] those of all; [`store`] holds them, in memory or on disk.

mod encoding;
pub(in crate::engine) mod error;
mod file_data;
mod following;
mod inode;
mod names;
mod parent_data;
pub(in crate::engine) mod piece;
pub(in crate::engine) mod places;
mod settled;
mod store;
#[cfg(test)]
mod tests;
pub(in crate::engine) mod tree;
mod unwritten;
mod xattrs;

use std::io::Read;

use error::PiecesError;
use tree::PiecesTree;

use super::replay::refusal::ReplayError;
use super::replay::{Replayed, replay};
use crate::btrfs::ContentsReader;

/// Applies contents, up to and with their end command, to the tree of the archives before: `archive` is the place of theirs in
/// the chain. After an error, the tree is of no use.
pub fn replay_pieces<R: Read>(
    contents: &mut ContentsReader<R>,
    archive: u32,
    tree: &mut PiecesTree,
) -> Result<Replayed, ReplayError<PiecesError>> {
    tree.begin(archive, contents.head())
        .map_err(ReplayError::Tree)?;
    let replayed = replay(contents, tree)?;
    tree.end().map_err(ReplayError::Tree)?;
    Ok(replayed)
}
