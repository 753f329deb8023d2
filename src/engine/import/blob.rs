//! One of btrsend's blobs on its way back: parts, gpg, gunzip, guard.

use std::iter;

use super::known::as_archive;
use super::spool::SpooledArchive;
use crate::btrfs::{AttributeLimit, CompressedData, Expect, ExpectParent, Fifo, StreamSummary};
use crate::catalog::{Catalog, ImportedArchiveRow, ImportedState};
use crate::engine::context::clock::Clock;
use crate::engine::receive::guarded_stream::GuardedStream;
use crate::error::{Error, ImportError, RestoreError, in_words};
use crate::gpg::{Gpg, Gunzip, GzipError};
use crate::interrupt::Interrupt;
use crate::model::entry::Timestamp;
use crate::model::{ArchiveId, SourceName, Uuid};
use crate::plan::{RetrievalPart, parts};
use crate::progress::{Event, Observer, PROGRESS_STEP};
use std::path::PathBuf;

/// An archive that is in the spool whole.
pub(super) struct Blob<'a> {
    pub(super) name: &'a SourceName,
    pub(super) row: &'a ImportedArchiveRow,
    pub(super) spooled: SpooledArchive,
    pub(super) part_bytes: u64,
    pub(super) gpg: &'a Gpg,
    pub(super) observer: &'a dyn Observer,
    pub(super) interrupt: &'a Interrupt,
}

/// What the stream has to be, and where it goes.
pub(super) struct BlobStream<'s> {
    /// The uuid of the send parent's stream; `None` if it is not known.
    pub(super) parent: Option<Uuid>,
    /// The fifos of what it is received on.
    pub(super) fifos: Vec<Fifo>,
    /// How long an extended attribute may be, and the directory where that is so.
    pub(super) limit: Option<(AttributeLimit, PathBuf)>,
    /// Takes whole, checked commands. What it has taken counts only if [`Blob::pass`] returns no error.
    pub(super) take: &'s mut dyn FnMut(&[u8]) -> Result<(), Error>,
}

impl Blob<'_> {
    /// Returns the archive's id.
    pub(super) fn id(&self) -> ArchiveId {
        as_archive(self.row).id()
    }

    /// Passes the stream on, and returns what the guard says of it only if gpg says that the message is whole.
    pub(super) fn pass(
        &self,
        stream: BlobStream<'_>,
        catalog: &mut Catalog,
    ) -> Result<StreamSummary, Error> {
        let archive = self.id();
        self.observer.event(Event::Begun {
            source: self.name.clone(),
            archive,
            expected: None,
        });
        let of_gpg = |source| {
            Error::from(ImportError::Gpg {
                archive,
                source: Box::new(source),
            })
        };
        let parts: Vec<RetrievalPart> = parts(self.row.bytes, self.part_bytes);
        let message = self.spooled.reader(&parts)?;
        let message = message.ok_or(ImportError::Empty { archive })?;
        let action = format!("decrypt {archive}");
        let mut decrypting = self.gpg.decrypt(message, action).map_err(of_gpg)?;
        let passed = self.guarded(stream, Gunzip::new(&mut decrypting), catalog);
        let passed = match passed {
            // gpg prints what it can't vouch for, so its own error says more.
            Ok(_) | Err(Error::Import(_)) => decrypting.finish().map_err(of_gpg).and(passed),
            Err(_) => passed,
        };
        if let Err(Error::Import(error)) = &passed {
            // A signal has ended gpg too.
            self.interrupt.check()?;
            if error.is_of_archive()
                && let Some(part) = self.spooled.remove_changed(&parts)?
            {
                return Err(ImportError::PartDamaged { archive, part }.into());
            }
        }
        passed
    }

    fn guarded(
        &self,
        stream: BlobStream<'_>,
        mut gunzip: Gunzip<impl std::io::Read>,
        catalog: &mut Catalog,
    ) -> Result<StreamSummary, Error> {
        let archive = self.id();
        let expect = Expect {
            uuid: self.row.stream_uuid,
            ctransid: None,
            send_parent: match (self.row.parent, stream.parent) {
                (None, _) => ExpectParent::None,
                (Some(_), Some(parent)) => ExpectParent::Uuid(parent),
                (Some(_), None) => ExpectParent::Any,
            },
            compressed_data: CompressedData::Allowed,
        };
        let (mut raw_bytes, mut told) = (0, 0);
        let blocks = iter::from_fn(|| {
            if raw_bytes - told >= PROGRESS_STEP {
                told = raw_bytes;
                self.observer.event(Event::Progress {
                    source: self.name.clone(),
                    raw_bytes,
                });
            }
            if let Err(error) = self.interrupt.check() {
                return Some(Err(error));
            }
            let block = gunzip
                .next_block()
                .map_err(|source| of_gzip(archive, source));
            let block = block.transpose()?;
            raw_bytes += block.as_ref().map_or(0, |block| block.len() as u64);
            Some(block)
        });
        let guarded =
            GuardedStream::new(archive.into(), expect, blocks, stream.fifos, stream.limit);
        let mut guarded = guarded.map_err(|error| of_stream(archive, error))?;
        let mut is_recorded = self.row.stream_uuid.is_some();
        loop {
            let commands = guarded.next().map_err(|error| of_stream(archive, error))?;
            let Some(commands) = commands else { break };
            // The borrow of the commands ends before the head is read, so they are kept for a moment.
            if !is_recorded {
                let commands = commands.to_vec();
                if let Some(head) = guarded.head() {
                    if self.row.parent.is_some() && head.send_parent.is_none() {
                        return Err(ImportError::NotIncremental { archive }.into());
                    }
                    // A run that dies after the subvolume has its date knows it by this.
                    catalog.imported_stream(self.name, self.row.date, head.uuid)?;
                    is_recorded = true;
                }
                (stream.take)(&commands)?;
                continue;
            }
            (stream.take)(commands)?;
        }
        guarded.finish().map_err(|error| of_stream(archive, error))
    }

    /// Records that it was brought back whole, or that it can't be.
    pub(super) fn record<T>(
        &self,
        outcome: &Result<T, Error>,
        catalog: &mut Catalog,
        clock: &dyn Clock,
    ) -> Result<(), Error> {
        let at = Timestamp(clock.now());
        let (name, date) = (self.name, self.row.date);
        match outcome {
            Ok(_) => catalog.imported_is(name, date, ImportedState::Proven, None, at)?,
            Err(Error::Import(error)) if error.is_of_archive() => {
                let fault = in_words(error);
                catalog.imported_is(name, date, ImportedState::Damaged, Some(&fault), at)?;
            }
            Err(_) => {}
        }
        Ok(())
    }
}

fn of_gzip(archive: ArchiveId, source: GzipError) -> Error {
    ImportError::Gzip {
        archive,
        source: Box::new(source),
    }
    .into()
}

/// Returns an error about a stream that btrsend stored.
fn of_stream(archive: ArchiveId, error: Error) -> Error {
    match error {
        Error::Restore(RestoreError::StoredStream { source, .. }) => ImportError::Stream {
            archive,
            source: Box::new(source),
        }
        .into(),
        other => other,
    }
}
