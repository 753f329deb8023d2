//! Passes an archive's send stream through the guard: opened segment by segment, handed on command by
//! command.
//!
//! The sink gets only whole commands that were checked.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use crate::btrfs::stream::{COMMAND_HEADER, Refusal};
use crate::btrfs::{
    AttributeLimit, BtrfsError, CompressedData, Expect, ExpectParent, Fifo, Guard, GuardError,
    StreamSummary,
};
use crate::engine::context::open_source::OpenSource;
use crate::engine::restore::decode::Opened;
use crate::error::{Error, RestoreError};
use crate::interrupt::Interrupt;
use crate::model::ArchiveId;
use crate::model::entry::ArchiveEntry;
use crate::progress::{Event, Observer, PROGRESS_STEP};

/// The receiver of a checked stream.
pub(in crate::engine) trait Sink {
    /// Takes whole, checked commands of the stream. The first ones come with the stream's header before them.
    fn take(&mut self, bytes: &[u8]) -> Result<(), Error>;

    /// Returns the longest extended attribute that fits, and the directory with that limit; `None` if there
    /// is no limit.
    fn attribute_limit(&self) -> Result<Option<(AttributeLimit, PathBuf)>, Error> {
        Ok(None)
    }

    /// Returns the fifos in the subvolume that an incremental is received on; none if nothing is received.
    fn fifos(&mut self) -> Result<Vec<Fifo>, Error> {
        Ok(Vec::new())
    }
}

/// What all archives of a restore share while their streams are fed.
#[derive(Clone, Copy)]
pub(in crate::engine) struct Feeding<'a> {
    pub(in crate::engine) source: &'a OpenSource<'a>,
    pub(in crate::engine) observer: &'a dyn Observer,
    pub(in crate::engine) interrupt: &'a Interrupt,
}

impl Feeding<'_> {
    /// Feeds an archive's stream through the guard into a sink. Its segments must come next in `opened`.
    pub(in crate::engine) fn feed(
        &self,
        entry: &ArchiveEntry,
        opened: &mut Opened<'_>,
        sink: &mut dyn Sink,
    ) -> Result<StreamSummary, Error> {
        let source = self.source.name();
        let mut gate = Gate::new(entry, sink.fifos()?, sink.attribute_limit()?)?;
        let mut raw_bytes = 0;
        let mut told = 0;
        for (index, record) in (0..).zip(&entry.segments) {
            self.interrupt.check()?;
            opened.next(|bytes| {
                gate.pass(bytes, sink)?;
                raw_bytes += bytes.len() as u64;
                if raw_bytes - told >= PROGRESS_STEP {
                    told = raw_bytes;
                    self.observer.event(Event::Progress {
                        source: source.clone(),
                        raw_bytes,
                    });
                }
                Ok(())
            })?;
            self.observer.event(Event::Segment {
                source: source.clone(),
                archive: entry.id,
                index,
                sealed_bytes: record.sealed_bytes,
            });
        }
        gate.end()
    }
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

/// Passes on whole, checked commands and nothing else.
struct Gate {
    archive: ArchiveId,
    guard: Guard,
    attribute_limit: Option<(AttributeLimit, PathBuf)>,
    waiting: Vec<u8>,
    passed: u64,
}

impl Gate {
    fn new(
        entry: &ArchiveEntry,
        fifos: Vec<Fifo>,
        attribute_limit: Option<(AttributeLimit, PathBuf)>,
    ) -> Result<Self, Error> {
        let mut gate = Self {
            archive: entry.id,
            guard: Guard::new(expected(entry)),
            attribute_limit,
            waiting: Vec::new(),
            passed: 0,
        };
        if let Some((limit, _)) = &gate.attribute_limit {
            gate.guard.limit_attributes(limit.bytes);
        }
        let inherited = gate.guard.inherit(fifos);
        inherited.map_err(|source| gate.refused(source))?;
        Ok(gate)
    }

    fn refused(&self, source: GuardError) -> Error {
        // This is a limit of the target, not a fault of the stream.
        if let (Refusal::AttributeTooLong { path, name, bytes }, Some((limit, target))) =
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

    fn pass(&mut self, bytes: &[u8], sink: &mut dyn Sink) -> Result<(), Error> {
        let judged = self.guard.push(bytes);
        judged.map_err(|source| self.refused(source))?;
        let cleared =
            usize::try_from(self.guard.cleared() - self.passed).expect("less than was pushed");
        if cleared == 0 {
            self.waiting.extend_from_slice(bytes);
            return Ok(());
        }
        // The cleared part of these bytes. It includes the end of a command that began in earlier bytes.
        let (of_these, rest) = bytes.split_at(cleared - self.waiting.len());
        let begun_before = match (self.waiting.len(), self.passed) {
            (0, _) => 0,
            // The stream's header goes together with the first command and all that came with them.
            (_, 0) => of_these.len(),
            (waiting, _) => command_length(self.waiting.iter().chain(bytes)) - waiting,
        };
        let (ends, whole) = of_these.split_at(begun_before);
        if !self.waiting.is_empty() {
            self.waiting.extend_from_slice(ends);
            sink.take(&self.waiting)?;
            self.waiting.clear();
        }
        // Commands that are whole in these bytes are not copied.
        if !whole.is_empty() {
            sink.take(whole)?;
        }
        self.waiting.extend_from_slice(rest);
        self.passed += cleared as u64;
        Ok(())
    }

    fn end(self) -> Result<StreamSummary, Error> {
        let archive = self.archive;
        self.guard
            .finish()
            .map_err(|source| Error::Restore(RestoreError::StoredStream { archive, source }))
    }
}

/// Returns the length of a command that begins with these bytes, from its header.
fn command_length<'b>(bytes: impl Iterator<Item = &'b u8>) -> usize {
    let mut payload = [0; 4];
    for (to, byte) in payload.iter_mut().zip(bytes) {
        *to = *byte;
    }
    let payload = usize::try_from(u32::from_le_bytes(payload)).expect("the guard has a limit");
    COMMAND_HEADER + payload
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::btrfs::stream::tests::stream_builder::StreamBuilder;

    /// Takes nothing but whole commands, the first with the stream's header.
    #[derive(Default)]
    struct Whole(Vec<u8>);

    impl Sink for Whole {
        fn take(&mut self, bytes: &[u8]) -> Result<(), Error> {
            let mut at = if self.0.is_empty() { 17 } else { 0 };
            while at < bytes.len() {
                at += command_length(bytes[at..].iter());
            }
            assert_eq!(at, bytes.len(), "a command is cut");
            self.0.extend_from_slice(bytes);
            Ok(())
        }
    }

    #[test]
    fn however_a_stream_comes_its_commands_go_on_whole() {
        let stream = StreamBuilder::full(1)
            .mkfile(b"a")
            .write(b"a", 0, &[7; 300])
            .utimes(b"a")
            .utimes(b"")
            .finish();
        for first in 0..stream.len() {
            for step in [1, 7, 60, 1000] {
                let mut gate = Gate {
                    archive: "2024-01-01-full-0123456789abcdef".parse().unwrap(),
                    guard: Guard::new(Expect::default()),
                    attribute_limit: None,
                    waiting: Vec::new(),
                    passed: 0,
                };
                let mut whole = Whole::default();
                let (head, rest) = stream.split_at(first);
                for bytes in std::iter::once(head).chain(rest.chunks(step)) {
                    gate.pass(bytes, &mut whole).unwrap();
                }
                gate.end().unwrap();
                assert!(whole.0 == stream, "cut at {first}, then each {step}");
            }
        }
    }
}
