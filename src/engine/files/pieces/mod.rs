//! Where the data of files lies in the send streams of a chain, found by replaying their contents.
//!
//! [`file_data`] has the pieces of one file, [`tree`] those of all.

mod file_data;
mod names;
pub(in crate::engine) mod piece;
pub(in crate::engine) mod tree;

use std::io::Read;

use tree::{PiecesError, PiecesTree};

use super::replay::refusal::ReplayError;
use super::replay::{Replayed, replay};
use crate::btrfs::ContentsReader;

/// Applies contents, up to and with their end command, to the tree of the archives before: `archive` is the place of theirs in
/// the chain.
pub fn replay_pieces<R: Read>(
    contents: &mut ContentsReader<R>,
    archive: u32,
    tree: &mut PiecesTree,
) -> Result<Replayed, ReplayError<PiecesError>> {
    tree.begin(archive, contents.head());
    replay(contents, tree)
}
