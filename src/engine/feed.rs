//! An archive's send stream on its way back: opened segment by segment, held against the guard, and handed
//! on command by command.
//!
//! What it is handed to gets whole commands that were checked, and nothing else.

use crate::btrfs::{Expect, ExpectParent, Guard};
use crate::engine::open_ahead::Opened;
use crate::engine::source::OpenSource;
use crate::error::Error;
use crate::interrupt::Interrupt;
use crate::model::ArchiveId;
use crate::model::entry::ArchiveEntry;
use crate::progress::{Event, Observer, PROGRESS_STEP};

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
        opened: &mut Opened<'_>,
        sink: &mut dyn Sink,
    ) -> Result<(), Error> {
        let source = self.source.name();
        let mut gate = Gate::new(entry);
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
        let cleared =
            usize::try_from(self.guard.cleared() - self.passed).expect("less than was pushed");
        let Some(head) = self.guard.head().filter(|_| cleared > 0) else {
            self.waiting.extend_from_slice(bytes);
            return Ok(());
        };
        let of_these = cleared.saturating_sub(self.waiting.len());
        if self.passed == 0 {
            // The command that makes the subvolume is handed on as a whole: it is waited for.
            self.waiting.extend_from_slice(&bytes[..of_these]);
            sink.take(&self.waiting[..cleared], &head.name)?;
        } else {
            // What was cleared is not copied, but for the command that began before these bytes.
            let waited = cleared - of_these;
            if waited > 0 {
                sink.take(&self.waiting[..waited], &head.name)?;
            }
            if of_these > 0 {
                sink.take(&bytes[..of_these], &head.name)?;
            }
        }
        self.waiting.drain(..cleared.min(self.waiting.len()));
        self.waiting.extend_from_slice(&bytes[of_these..]);
        self.passed += cleared as u64;
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
