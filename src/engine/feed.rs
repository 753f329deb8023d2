//! An archive's send stream on its way back: opened segment by segment, held against the guard, and handed
//! on command by command.
//!
//! What it is handed to gets whole commands that were checked, and nothing else.

use std::io::{self, Read};

use crate::btrfs::{Expect, ExpectParent, Guard};
use crate::engine::fetch::Fetched;
use crate::engine::source::OpenSource;
use crate::error::Error;
use crate::interrupt::Interrupt;
use crate::model::entry::ArchiveEntry;
use crate::model::{ArchiveId, keys};
use crate::progress::{Event, Observer, PROGRESS_STEP};
use crate::seal::{ArchiveKey, open_segment};

/// Bytes handed on at a time between opening and guard.
const STEP: usize = 1 << 20;

/// Where a checked stream goes.
pub(super) trait Sink {
    /// Takes checked bytes of the stream of the subvolume with that name.
    fn take(&mut self, bytes: &[u8], name: &[u8]) -> Result<(), Error>;
}

/// What every archive of a restore is fed with.
#[derive(Clone, Copy)]
pub(super) struct Feeding<'a> {
    pub(super) source: &'a OpenSource<'a>,
    pub(super) observer: &'a dyn Observer,
    pub(super) interrupt: &'a Interrupt,
}

impl Feeding<'_> {
    /// Feeds an archive's stream, whose segments come next, through the guard into a sink.
    pub(super) fn feed(
        &self,
        entry: &ArchiveEntry,
        key: &ArchiveKey,
        fetched: &mut Fetched<'_>,
        sink: &mut dyn Sink,
    ) -> Result<(), Error> {
        let source = self.source.name();
        let mut gate = Gate::new(entry);
        let mut buffer = vec![0; STEP];
        let mut raw_bytes = 0;
        let mut told = 0;
        for (index, record) in (0..).zip(&entry.segments) {
            self.interrupt.check()?;
            let sealed = fetched.next()?;
            let unreadable = |source| Error::SegmentUnreadable {
                archive: entry.id,
                index,
                key: keys::segment(&self.source.row.directory, &entry.id, index, &record.sha256),
                source,
            };
            let mut opened = open_segment(&sealed, key, record.raw_bytes)
                .map_err(|error| unreadable(io::Error::other(error)))?;
            loop {
                let read = opened.read(&mut buffer).map_err(unreadable)?;
                if read == 0 {
                    break;
                }
                gate.pass(&buffer[..read], sink)?;
                raw_bytes += read as u64;
                if raw_bytes - told >= PROGRESS_STEP {
                    told = raw_bytes;
                    self.observer.event(Event::Progress {
                        source: source.clone(),
                        raw_bytes,
                    });
                }
            }
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

/// What the first command of an archive's stream must say.
pub(super) fn expected(entry: &ArchiveEntry) -> Expect {
    Expect {
        uuid: Some(entry.stream_uuid),
        ctransid: Some(entry.stream_ctransid),
        send_parent: entry
            .send_parent_uuid
            .map_or(ExpectParent::None, ExpectParent::Uuid),
    }
}

/// Lets whole, checked commands pass, and nothing else.
struct Gate {
    archive: ArchiveId,
    guard: Guard,
    waiting: Vec<u8>,
    passed: u64,
}

impl Gate {
    fn new(entry: &ArchiveEntry) -> Self {
        Self {
            archive: entry.id,
            guard: Guard::new(expected(entry)),
            waiting: Vec::new(),
            passed: 0,
        }
    }

    fn pass(&mut self, bytes: &[u8], sink: &mut dyn Sink) -> Result<(), Error> {
        let refused = |archive, source| Error::StoredStream { archive, source };
        self.guard
            .push(bytes)
            .map_err(|source| refused(self.archive, source))?;
        self.waiting.extend_from_slice(bytes);
        let cleared =
            usize::try_from(self.guard.cleared() - self.passed).expect("less than was pushed");
        let head = self.guard.head();
        if cleared > 0
            && let Some(head) = head
        {
            sink.take(&self.waiting[..cleared], &head.name)?;
            self.waiting.drain(..cleared);
            self.passed += cleared as u64;
        }
        Ok(())
    }

    fn end(self) -> Result<(), Error> {
        let archive = self.archive;
        self.guard
            .finish()
            .map_err(|source| Error::StoredStream { archive, source })?;
        Ok(())
    }
}
