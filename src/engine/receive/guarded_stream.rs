//! A send stream on its way into a subvolume: checked by the guard, and given command by command.
//!
//! Its reader gets whole commands that were checked, and nothing else.

use std::ffi::OsStr;
use std::ops::Deref;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use crate::btrfs::stream::{StreamHead, StreamRefusal};
use crate::btrfs::{AttributeLimit, BtrfsError, Expect, Fifo, Guard, GuardError, StreamSummary};
use crate::error::{Error, RestoreError};
use crate::model::StreamLabel;

/// Gives the whole, checked commands of the stream that comes in blocks, and nothing else.
pub(in crate::engine) struct GuardedStream<I> {
    label: StreamLabel,
    blocks: I,
    guard: Guard,
    attribute_limit: Option<(AttributeLimit, PathBuf)>,
    /// What the last call gave, and after it the beginning of a command that is not whole yet.
    bytes: Vec<u8>,
    /// How many bytes the last call gave.
    given: usize,
}

impl<B: Deref<Target = [u8]>, I: Iterator<Item = Result<B, Error>>> GuardedStream<I> {
    /// Guards a stream, whose first command must say what is expected.
    ///
    /// `fifos` are those of what an incremental is received on. `attribute_limit` is how long an extended
    /// attribute may be, and the directory where that is so; `None` if any length will do.
    pub(in crate::engine) fn new(
        label: StreamLabel,
        expect: Expect,
        blocks: I,
        fifos: Vec<Fifo>,
        attribute_limit: Option<(AttributeLimit, PathBuf)>,
    ) -> Result<Self, Error> {
        let mut stream = Self {
            label,
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

    /// What the first command says, once it was given.
    pub(in crate::engine) fn head(&self) -> Option<&StreamHead> {
        self.guard.head()
    }

    /// The guard's judgement of the stream, when all of it was given.
    pub(in crate::engine) fn finish(self) -> Result<StreamSummary, Error> {
        let stream = Box::new(self.label);
        self.guard
            .finish()
            .map_err(|source| Error::Restore(RestoreError::StoredStream { stream, source }))
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
            stream: Box::new(self.label.clone()),
            source,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::iter;

    use super::*;
    use crate::btrfs::stream::COMMAND_HEADER;
    use crate::btrfs::stream::tests::stream_builder::StreamBuilder;
    use crate::model::ArchiveId;

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
                let guarded = GuardedStream::new(archive.into(), expect, blocks, Vec::new(), None);
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
