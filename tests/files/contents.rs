//! Contents of streams, as an archive has them, and what a replay makes of them.

use std::convert::Infallible;

use coldchain::btrfs::{ContentsReader, Expect, Guard};
use coldchain::engine::{ReplayError, Replayed, replay};

use crate::common::memory_tree::MemoryTree;

/// Cuts a stream, as the guard does while it archives one.
pub(crate) fn contents_of(stream: &[u8]) -> Vec<u8> {
    let mut guard = Guard::new(Expect::default());
    guard.keep_contents();
    let mut contents = Vec::new();
    for piece in stream.chunks(1 << 20) {
        guard.push(piece).unwrap();
        contents.append(guard.contents().unwrap());
    }
    guard.finish().unwrap();
    contents
}

/// Applies a stream to a tree.
pub(crate) fn apply(
    stream: &[u8],
    tree: &mut MemoryTree,
) -> Result<Replayed, ReplayError<Infallible>> {
    let contents = contents_of(stream);
    let mut reader =
        ContentsReader::open(&contents[..], Expect::default()).map_err(ReplayError::Contents)?;
    tree.next_stream();
    let replayed = replay(&mut reader, tree)?;
    assert!(reader.into_rest().is_empty());
    assert_eq!(replayed.stream_bytes, stream.len() as u64);
    Ok(replayed)
}
