//! Applies the commands of a send stream, without its data, to a tree of files.
//!
//! Every command is judged by the guard's rules while it is read, and here by the tree: what it names must be there, and
//! what it makes must not. The result is the tree of the snapshot that was sent, not what `btrfs receive` makes of the
//! stream: a change of owner leaves the mode and the capabilities as they are.
//!
//! Memory is bounded, however many files there are: `hands` holds the few objects that the stream is busy with, and
//! `directories` the paths of directories. A command on an object in hand asks the tree for nothing.

mod changes;
mod directories;
mod hands;
pub(in crate::engine) mod new_node;
pub(in crate::engine) mod refusal;
mod replayer;
mod split_path;
mod step;
pub(in crate::engine) mod tree;
mod xattrs;

use std::io::Read;

use refusal::ReplayError;
use replayer::Replayer;
use tree::FileTree;

use crate::btrfs::ContentsReader;

/// What a replay has read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replayed {
    /// Commands of the stream, the first and the end command included.
    pub commands: u64,
    /// Bytes of the stream.
    pub stream_bytes: u64,
}

/// Applies contents, up to and with their end command, to the tree of the send parent; a full stream to an empty tree.
///
/// After an error, the tree has some of the changes.
pub fn replay<R: Read, T: FileTree>(
    contents: &mut ContentsReader<R>,
    tree: &mut T,
) -> Result<Replayed, ReplayError<T::Error>> {
    let mut commands = 1;
    let mut replayer = Replayer::new(tree);
    if contents.head().send_parent.is_none() {
        let first = contents.offset();
        let begun = replayer.begin_full();
        begun.map_err(|fault| fault.at(first, commands + 1))?;
    }
    while let Some(command) = contents.next_command().map_err(ReplayError::Contents)? {
        commands += 1;
        let applied = replayer.apply(&command);
        applied.map_err(|fault| fault.at(command.place.start, commands))?;
    }
    replayer.finish().map_err(ReplayError::Tree)?;
    Ok(Replayed {
        commands: commands + 1,
        stream_bytes: contents.offset(),
    })
}
