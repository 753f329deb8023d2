//! Which bytes of a stream are needed for which files.

use std::collections::BTreeSet;
use std::ops::Range;

use super::chain::{ChainArchive, FramePlace};
use crate::engine::files::pieces::piece::DataPiece;
use crate::engine::files::pieces::tree::PiecesTree;
use crate::error::{ContentsFault, Error};
use crate::files_db::TreeFileError;
use crate::model::file_node::ObjectId;

/// A piece of a file whose bytes are in one archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Need {
    /// The file.
    pub(super) file: ObjectId,
    /// The piece.
    pub(super) piece: DataPiece,
}

impl Need {
    pub(super) fn span(&self) -> Range<u64> {
        self.piece.span()
    }
}

/// What is needed of an archive.
#[derive(Debug, Clone, Default)]
pub(super) struct NeededOfArchive {
    /// The files that have pieces in it.
    pub(super) files: Vec<ObjectId>,
    /// The frames that have them, in order.
    pub(super) frames: Vec<FramePlace>,
}

/// Returns what files need of each archive of a chain.
pub(super) fn by_archive(
    tree: &PiecesTree,
    files: &[ObjectId],
    archives: &[ChainArchive],
) -> Result<Vec<NeededOfArchive>, Error> {
    let mut needed = vec![NeededOfArchive::default(); archives.len()];
    // Frames are few, and pieces may be many: they are never all here at once.
    let mut frames = vec![BTreeSet::new(); archives.len()];
    for file in files {
        for piece in tree.data(*file)?.pieces() {
            let number = piece.source.archive() as usize;
            let files = &mut needed[number].files;
            if files.last() != Some(file) {
                files.push(*file);
            }
            add_frames(&archives[number], &piece.span(), &mut frames[number])?;
        }
    }
    for (needed, frames) in needed.iter_mut().zip(frames) {
        needed.frames = frames.into_iter().collect();
    }
    Ok(needed)
}

/// Adds the frames that have a range of the stream, which may be of no bytes: then it stands for zeros.
fn add_frames(
    archive: &ChainArchive,
    span: &Range<u64>,
    frames: &mut BTreeSet<FramePlace>,
) -> Result<(), Error> {
    if span.is_empty() {
        return Ok(());
    }
    if span.end > archive.entry.raw_bytes {
        return Err(beyond(archive, span));
    }
    let last = archive.frame_at(span.end - 1);
    let mut next = Some(archive.frame_at(span.start));
    while let Some(frame) = next.filter(|frame| *frame <= last) {
        frames.insert(frame);
        next = archive.next_frame(frame);
    }
    Ok(())
}

/// The error that the contents name bytes which the stream does not have.
fn beyond(archive: &ChainArchive, span: &Range<u64>) -> Error {
    Error::Contents(ContentsFault::Unusable {
        archive: archive.id(),
        what: format!(
            "they name the bytes {} to {} of a stream of {} bytes",
            span.start, span.end, archive.entry.raw_bytes
        ),
    })
}

/// Returns what files need of an archive, given by its place in the chain; by where that begins in the stream.
pub(super) fn needs_of(
    tree: &PiecesTree,
    files: &[ObjectId],
    archive: u32,
) -> Result<Vec<Need>, TreeFileError> {
    let mut needs = Vec::new();
    for file in files {
        let data = tree.data(*file)?;
        let pieces = data
            .pieces()
            .filter(|piece| piece.source.archive() == archive);
        needs.extend(pieces.map(|piece| Need { file: *file, piece }));
    }
    needs.sort_unstable_by_key(|need: &Need| (need.span().start, need.file, need.piece.at));
    Ok(needs)
}
