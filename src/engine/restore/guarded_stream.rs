//! An archive's send stream on its way back: decoded segment by segment, checked by the guard, and given
//! command by command.
//!
//! Its reader gets whole commands that were checked, and nothing else.

use std::ffi::OsStr;
use std::iter;
use std::ops::Deref;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use crate::btrfs::stream::StreamRefusal;
use crate::btrfs::{
    AttributeLimit, BtrfsError, CompressedData, Expect, ExpectParent, Fifo, Guard, GuardError,
    StreamSummary,
};
use crate::engine::restore::decode::{Block, Decoded};
use crate::error::{Error, RestoreError};
use crate::interrupt::Interrupt;
use crate::model::entry::ArchiveEntry;
use crate::model::{ArchiveId, SourceName};
use crate::progress::{Event, Observer, PROGRESS_STEP};

/// Gives the raw blocks of an archive, whose segments are the next ones of `decoded`, and tells the observer
/// how far their reader has come.
pub(in crate::engine) fn archive_blocks<'a>(
    source: &'a SourceName,
    entry: &'a ArchiveEntry,
    decoded: &'a mut Decoded<'_>,
    observer: &'a dyn Observer,
    interrupt: &'a Interrupt,
) -> impl Iterator<Item = Result<Block, Error>> {
    let (mut index, mut segment) = (0_u32, None);
    let (mut raw_bytes, mut told) = (0, 0);
    iter::from_fn(move || {
        // The reader asks for more when it is done with the blocks before.
        if raw_bytes - told >= PROGRESS_STEP {
            told = raw_bytes;
            observer.event(Event::Progress {
                source: source.clone(),
                raw_bytes,
            });
        }
        while let Some(record) = entry.segments.get(index as usize) {
            if segment.is_none() {
                if let Err(error) = interrupt.check() {
                    return Some(Err(error));
                }
                segment = decoded.next();
            }
            let blocks = segment.as_ref().expect("one for each segment");
            if let Ok(block) = blocks.recv() {
                raw_bytes += block.as_ref().map_or(0, |block| block.len() as u64);
                return Some(block);
            }
            observer.event(Event::Segment {
                source: source.clone(),
                archive: entry.id,
                index,
                sealed_bytes: record.sealed_bytes,
            });
            index += 1;
            segment = None;
        }
        None
    })
}

/// Returns what the first command of an archive's stream must say.
pub(in crate::engine) fn expected(entry: &ArchiveEntry) -> Expect {
    Expect {
        uuid: Some(entry.stream_uuid),
        ctransid: Some(entry.stream_ctransid),
        send_parent: entry
            .send_parent_uuid
            .map_or(ExpectParent::None, ExpectParent::Uuid),
        // Backup refused compressed data, unless the config asked for it.
        compressed_data: CompressedData::Allowed,
    }
}

/// Gives the whole, checked commands of the stream that comes in blocks, and nothing else.
pub(in crate::engine) struct GuardedStream<I> {
    archive: ArchiveId,
    blocks: I,
    guard: Guard,
    attribute_limit: Option<(AttributeLimit, PathBuf)>,
    /// What the last call gave, and after it the beginning of a command that is not whole yet.
    bytes: Vec<u8>,
    /// How many bytes the last call gave.
    given: usize,
}

impl<B: Deref<Target = [u8]>, I: Iterator<Item = Result<B, Error>>> GuardedStream<I> {
    /// Guards an archive's stream, whose first command must say what is expected.
    ///
    /// `fifos` are those of what an incremental is received on. `attribute_limit` is how long an extended
    /// attribute may be, and the directory where that is so; `None` if any length will do.
    pub(in crate::engine) fn new(
        archive: ArchiveId,
        expect: Expect,
        blocks: I,
        fifos: Vec<Fifo>,
        attribute_limit: Option<(AttributeLimit, PathBuf)>,
    ) -> Result<Self, Error> {
        let mut stream = Self {
            archive,
            blocks,
            guard: Guard::new(expect),
            attribute_limit,
            bytes: Vec::new(),
            given: 0,
        };
        if let Some((limit, _)) = &stream.attribute_limit {
            stream.guard.limit_attributes(limit.bytes);
        }
        let inherited = stream.guard.inherit(fifos);
        inherited.map_err(|source| stream.refused(source))?;
        Ok(stream)
    }

    /// The next commands; `None` when there are no more. With the first command comes the stream's header
    /// before it.
    pub(in crate::engine) fn next(&mut self) -> Result<Option<&[u8]>, Error> {
        self.bytes.drain(..self.given);
        let before = self.guard.cleared();
        while self.guard.cleared() == before
            && let Some(block) = self.blocks.next().transpose()?
        {
            let judged = self.guard.push(&block);
            judged.map_err(|source| self.refused(source))?;
            self.bytes.extend_from_slice(&block);
        }
        let cleared = usize::try_from(self.guard.cleared() - before);
        self.given = cleared.expect("less than was pushed");
        Ok((self.given > 0).then(|| &self.bytes[..self.given]))
    }

    /// The guard's judgement of the stream, when all of it was given.
    pub(in crate::engine) fn finish(self) -> Result<StreamSummary, Error> {
        let archive = self.archive;
        self.guard
            .finish()
            .map_err(|source| Error::Restore(RestoreError::StoredStream { archive, source }))
    }

    fn refused(&self, source: GuardError) -> Error {
        // This is a limit of the target, not a fault of the stream.
        if let (StreamRefusal::AttributeTooLong { path, name, bytes }, Some((limit, target))) =
            (&source.refusal, &self.attribute_limit)
        {
            return Error::Btrfs(BtrfsError::AttributeTooLong {
                target: target.clone(),
                file: OsStr::from_bytes(path).into(),
                name: OsStr::from_bytes(name).to_owned(),
                bytes: *bytes,
                limit: *limit,
            });
        }
        Error::Restore(RestoreError::StoredStream {
            archive: self.archive,
            source,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::btrfs::stream::COMMAND_HEADER;
    use crate::btrfs::stream::tests::stream_builder::StreamBuilder;

    #[test]
    fn however_a_stream_comes_its_commands_go_on_whole() {
        let stream = StreamBuilder::full(1)
            .mkfile(b"a")
            .write(b"a", 0, &[7; 300])
            .utimes(b"a")
            .utimes(b"")
            .finish();
        let archive: ArchiveId = "2024-01-01-full-0123456789abcdef".parse().unwrap();
        for first in 0..stream.len() {
            for step in [1, 7, 60, 1000] {
                let (head, rest) = stream.split_at(first);
                let blocks = iter::once(head).chain(rest.chunks(step)).map(Ok);
                let expect = Expect::default();
                let guarded = GuardedStream::new(archive, expect, blocks, Vec::new(), None);
                let mut guarded = guarded.unwrap();
                let mut whole = Vec::new();
                while let Some(commands) = guarded.next().unwrap() {
                    let mut at = if whole.is_empty() { 17 } else { 0 };
                    while at < commands.len() {
                        let payload = commands[at..].first_chunk().unwrap();
                        at += COMMAND_HEADER + u32::from_le_bytes(*payload) as usize;
                    }
                    assert_eq!(at, commands.len(), "a command is cut");
                    whole.extend_from_slice(commands);
                }
                guarded.finish().unwrap();
                assert!(whole == stream, "cut at {first}, then each {step}");
            }
        }
    }
}
