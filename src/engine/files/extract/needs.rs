//! Which bytes of a stream are needed for which files.

use std::ops::Range;

use super::chain::{ChainArchive, FramePlace};
use crate::engine::files::pieces::piece::DataPiece;
use crate::engine::files::pieces::tree::PiecesTree;
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

/// Returns for each of so many archives the files that have pieces in it.
pub(super) fn by_archive(
    tree: &PiecesTree,
    files: &[ObjectId],
    archives: usize,
) -> Result<Vec<Vec<ObjectId>>, TreeFileError> {
    let mut of = vec![Vec::new(); archives];
    for file in files {
        for piece in tree.data(*file)?.pieces() {
            let files: &mut Vec<ObjectId> = &mut of[piece.source.archive() as usize];
            if files.last() != Some(file) {
                files.push(*file);
            }
        }
    }
    Ok(of)
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

/// Returns the frames that have these needs, in order. Fails with the need whose bytes the stream does not have.
pub(super) fn frames_of(archive: &ChainArchive, needs: &[Need]) -> Result<Vec<FramePlace>, Need> {
    let mut frames: Vec<FramePlace> = Vec::new();
    for need in needs {
        let span = need.span();
        if span.start >= span.end {
            // Data of no bytes, which stands for zeros.
            continue;
        }
        if span.end > archive.entry.raw_bytes {
            return Err(*need);
        }
        let mut next = Some(archive.frame_at(span.start));
        let end = archive.frame_at(span.end - 1);
        // The needs before began before this one: what they have of its frames is the first of them.
        if let Some(last) = frames.last()
            && next <= Some(*last)
        {
            next = archive.next_frame(*last);
        }
        while let Some(frame) = next.filter(|frame| *frame <= end) {
            frames.push(frame);
            next = archive.next_frame(frame);
        }
    }
    Ok(frames)
}
