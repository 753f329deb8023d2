//! Contents of streams, as an archive has them, and what a replay makes of them.

use std::convert::Infallible;

use coldchain::btrfs::{ContentsReader, Expect, Guard, unpack};
use coldchain::engine::{
    DataPiece, PieceSource, PiecesTree, ReplayError, Replayed, replay, replay_pieces,
};
use coldchain::model::file_node::ObjectId;

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

/// Applies a stream to the pieces of the streams before.
pub(crate) fn apply_pieces(stream: &[u8], archive: usize, tree: &mut PiecesTree) {
    let contents = contents_of(stream);
    let mut reader = ContentsReader::open(&contents[..], Expect::default()).unwrap();
    replay_pieces(&mut reader, u32::try_from(archive).unwrap(), tree).unwrap();
}

/// Returns the data of a file, put together from the streams.
pub(crate) fn data_of(tree: &PiecesTree, file: ObjectId, streams: &[Vec<u8>]) -> Vec<u8> {
    let number = |number: u64| usize::try_from(number).unwrap();
    let placed = tree.data(file).unwrap();
    let mut data = vec![0; number(placed.size())];
    for DataPiece { at, bytes, source } in placed.pieces() {
        let into = &mut data[number(at)..number(at + bytes)];
        let stream = &streams[source.archive() as usize];
        match source {
            PieceSource::Run(run) => {
                let mut done = 0;
                for (place, bytes) in run.parts(0..bytes) {
                    let from = &stream[number(place)..number(place + bytes)];
                    into[done..done + from.len()].copy_from_slice(from);
                    done += from.len();
                }
            }
            PieceSource::Encoded(encoded) => {
                let packed = &stream[number(encoded.at)..][..encoded.bytes as usize];
                let all = unpack(packed, encoded.compression, encoded.unpacked as usize).unwrap();
                into.copy_from_slice(&all[encoded.from as usize..][..number(bytes)]);
            }
        }
    }
    data
}
