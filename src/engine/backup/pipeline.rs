//! One pass of a send stream: guard, frames, seal, PUT. An attempt may take several passes. Each reads the
//! whole stream from byte 0.
//!
//! `btrfs send` does not print the same bytes every time: reflinks made elsewhere turn clones into writes. So
//! a pass skips a stored segment only if its raw bytes are the same again. It seals and stores any other
//! segment in its place. The archive is the whole output of the pass that reached the end.

use std::io::{self, Read};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crossbeam_channel::unbounded;

use crate::btrfs::{Guard, StreamSummary};
use crate::catalog::{ArchiveRow, Catalog};
use crate::config::{self, Compression};
use crate::engine::backup::attempt::{OpenAttempt, Raw, StoredParts};
use crate::engine::backup::job::Job;
use crate::engine::backup::stream_source::{Sending, StreamSource};
use crate::engine::backup::upload::{STORES, Upload};
use crate::engine::files::contents::kept::{Keeping, KeptContents};
use crate::engine::files::contents::table::finish_with_table;
use crate::engine::threads::spawn_in;
use crate::error::{BackupError, Error};
use crate::model::segment::FRAME_BYTES;
use crate::model::{ArchiveId, Blake3, ContentsRecord, Uuid};
use crate::plan::memory::Archiving;
use crate::progress::{Event, PROGRESS_STEP};
use crate::seal::{
    AutoLevel, ContentsSealer, Held, SealError, SealOptions, SealedTotals, Sealer, SelfCheck,
    digest_of_frames,
};

/// The most bytes that the guard is shown at once.
const GUARD_PIECE: usize = 1 << 20;

/// The result of a complete pass.
pub(in crate::engine) struct Passed {
    pub(in crate::engine) summary: StreamSummary,
    pub(in crate::engine) totals: SealedTotals,
    /// The archive's contents; `None` if the source does not want them.
    pub(in crate::engine) contents: Option<StoredContents>,
}

/// Contents whose objects are stored.
pub(in crate::engine) struct StoredContents {
    pub(in crate::engine) record: ContentsRecord,
    /// The objects on this machine, if they could be kept.
    pub(in crate::engine) kept: Option<KeptContents>,
}

/// Returns which streams are archived.
fn known_streams(job: &Job<'_>, catalog: &Catalog) -> Result<Vec<(Uuid, ArchiveId)>, Error> {
    let archives = catalog.archives(&job.session.source.row.ledger)?;
    let visible = archives.into_iter().filter(ArchiveRow::is_visible);
    Ok(visible
        .filter_map(|archive| Some((archive.stream_uuid?, archive.id)))
        .collect())
}

fn seal_options(segment_bytes: u64, room: &Archiving) -> SealOptions {
    SealOptions {
        segment_bytes,
        frame_bytes: usize::try_from(FRAME_BYTES).expect("4 MiB fit in memory"),
        level: room.highest_level,
        held_bytes: room.held_bytes,
        threads: room.threads,
    }
}

/// Brings the whole stream into the store. When this returns, the sender has succeeded, the guard has seen a
/// whole stream, and every segment and the key are stored. Adds the sealed bytes that it stored to `tally`.
pub(in crate::engine) fn pass(
    job: &Job<'_>,
    attempt: &OpenAttempt,
    already: &StoredParts,
    sending: Sending<'_>,
    tally: &AtomicU64,
    catalog: &mut Catalog,
) -> Result<Passed, Error> {
    let room = job.session.config.archiving(attempt.segment_bytes);
    let options = seal_options(attempt.segment_bytes, &room);
    let (mut sealer, segments) = Sealer::start(options, &attempt.key)?;
    let auto = match job.session.config.compression {
        Compression::Level(_) => None,
        Compression::Auto { lowest, .. } => {
            let levels = lowest..=room.highest_level;
            Some(AutoLevel::new(levels, room.threads, attempt.segment_bytes))
        }
    };
    if let Some(auto) = &auto {
        sealer.choose_levels(auto.clone());
    }
    let known = known_streams(job, catalog)?;
    let failed = AtomicBool::new(false);
    let upload = Upload {
        job,
        attempt,
        catalog: Mutex::new(catalog),
        key_stored: Mutex::new(already.key()),
        uploaded: tally,
        auto,
        check: match job.session.config.self_check {
            config::SelfCheckMode::On => Some(SelfCheck::new(&attempt.key, options.frame_bytes)),
            config::SelfCheckMode::Off => None,
        },
        failed: &failed,
    };
    let (contents_out, contents_objects) = unbounded();
    let mut guard = Guard::new(sending.expect);
    let contents = if job.session.source.config.contents {
        guard.keep_contents();
        let out = move |object| contents_out.send(object).map_err(|_| SealError::Stopped);
        Some(ContentsCut {
            sealer: sealer.contents(&attempt.key, out)?,
            stream_bytes: 0,
        })
    } else {
        drop(contents_out);
        None
    };
    let reading = StreamReading {
        job,
        attempt,
        already,
        known,
        stream: sending.stream,
        guard,
        sealer,
        contents,
        head: HeadCheck::ToCome,
        raw_bytes: 0,
        told: 0,
        spare: Vec::new(),
        compared: None,
    };
    let (config, upload) = (job.session.config, &upload);
    let uploads = config.store_of(job.session.source.config)?.uploads();
    let mut keeping = Keeping::in_directory(&config.state_dir);
    std::thread::scope(|scope| {
        let keeping = &mut keeping;
        let uploader = spawn_in(scope, STORES, move || upload.run(&segments, uploads))?;
        let contents_uploader = spawn_in(scope, STORES, move || {
            upload.contents(&contents_objects, keeping)
        })?;
        let read = reading.run();
        if read.is_err() {
            // The uploaders stop: they send no further segments.
            failed.store(true, Ordering::Relaxed);
        }
        // The sealer is dropped by now, finished or not, so the uploader's channel ends.
        let stored = uploader.join().expect("the uploader does not panic");
        let whole = first_cause(read, stored).and_then(|(read, ())| {
            let Some(contents) = read.contents else {
                return Ok((read.summary, read.totals, None));
            };
            // The layout of a segment is known when it is sealed, and recorded before it is stored.
            let layouts = upload.layouts(read.totals.segments)?;
            finish_with_table(contents.sealer, layouts)?;
            Ok((read.summary, read.totals, Some(contents.stream_bytes)))
        });
        let objects = contents_uploader
            .join()
            .expect("the uploader does not panic");
        first_cause(whole, objects)
    })
    .map(|((summary, totals, stream_bytes), objects)| Passed {
        summary,
        totals,
        contents: stream_bytes.map(|stream_bytes| {
            let record = ContentsRecord {
                stream_bytes,
                objects,
            };
            let kept = keeping.finish(&record, &attempt.key);
            StoredContents { record, kept }
        }),
    })
}

/// Returns the results of two threads, or the error of the one that failed first: it made the other one stop.
fn first_cause<A, B>(giver: Result<A, Error>, taker: Result<B, Error>) -> Result<(A, B), Error> {
    match (giver, taker) {
        (Err(Error::Seal(SealError::Stopped)) | Ok(_), Err(error)) | (Err(error), _) => Err(error),
        (Ok(of_giver), Ok(of_taker)) => Ok((of_giver, of_taker)),
    }
}

/// A stream that was read to its end.
struct ReadStream {
    summary: StreamSummary,
    totals: SealedTotals,
    contents: Option<ContentsCut>,
}

/// The contents of a stream, as far as it has been read.
struct ContentsCut {
    sealer: ContentsSealer,
    /// Bytes of the stream without its file data.
    stream_bytes: u64,
}

/// Whether the head of the stream was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HeadCheck {
    ToCome,
    Checked,
}

/// Whether a read filled the buffer or reached the end of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Filled {
    Whole,
    End,
}

/// Reads the stream through the guard into the sealer.
struct StreamReading<'a> {
    job: &'a Job<'a>,
    attempt: &'a OpenAttempt,
    already: &'a StoredParts,
    /// The streams that the ledger has, by uuid.
    known: Vec<(Uuid, ArchiveId)>,
    stream: Box<dyn StreamSource + 'a>,
    guard: Guard,
    sealer: Sealer,
    contents: Option<ContentsCut>,
    head: HeadCheck,
    raw_bytes: u64,
    told: u64,
    /// Buffers of the last compared segment, for the next one.
    spare: Vec<Vec<u8>>,
    /// The memory that these buffers hold.
    compared: Option<Held>,
}

impl StreamReading<'_> {
    fn run(mut self) -> Result<ReadStream, Error> {
        loop {
            let index = self.sealer.segment_index();
            let filled = match self.already.segment(index) {
                Some(raw) => self.compare(index, raw)?,
                None => self.seal(index)?,
            };
            if filled == Filled::End {
                break;
            }
        }
        // The sender's status comes first: "killed by signal 9" explains a truncated stream.
        self.stream.finish()?;
        let summary = self
            .guard
            .finish()
            .map_err(|error| Error::Backup(BackupError::Stream(error)))?;
        let totals = self.sealer.finish()?;
        Ok(ReadStream {
            summary,
            totals,
            contents: self.contents,
        })
    }

    /// Reads the segment of that index straight into the sealer.
    fn seal(&mut self, index: u32) -> Result<Filled, Error> {
        // A sealed segment is held now, where one was held to be compared.
        self.spare = Vec::new();
        self.compared = None;
        while self.sealer.segment_index() == index {
            let mut frame = self.sealer.buffer();
            let filled = self.frame(&mut frame)?;
            if !frame.is_empty() {
                self.sealer.push(frame)?;
            }
            if filled == Filled::End {
                return Ok(Filled::End);
            }
        }
        Ok(Filled::Whole)
    }

    /// Reads a segment that is stored, and passes over it if it is the same.
    ///
    /// The raw segment stays in memory until its last byte is known. It takes the place of the sealed segment
    /// that the sealer would hold, so the bound on memory stays the same.
    fn compare(&mut self, index: u32, stored: Raw) -> Result<Filled, Error> {
        self.sealer.settle()?;
        let (whole, frame_bytes) = (self.sealer.segment_left(), self.sealer.frame_bytes());
        let held = self.compared.take();
        let mut held = held.unwrap_or_else(|| self.sealer.hold(whole));
        let mut frames: Vec<Vec<u8>> = Vec::new();
        let mut digests = Vec::new();
        let mut bytes = 0;
        let mut end = Filled::Whole;
        while bytes < whole && end == Filled::Whole {
            let spare = self.spare.pop();
            let mut frame = spare.unwrap_or_else(|| Vec::with_capacity(frame_bytes));
            end = self.frame(&mut frame)?;
            bytes += frame.len() as u64;
            if !frame.is_empty() {
                digests.push(Blake3::of(&frame));
                frames.push(frame);
            }
        }
        let same = stored.bytes == bytes && stored.blake3 == digest_of_frames(digests);
        if same {
            self.sealer.skip(&frames)?;
            self.job.session.context.observer.event(Event::Skipped {
                source: self.job.session.source.name().clone(),
                archive: self.attempt.id,
                index,
                raw_bytes: bytes,
            });
            self.spare = frames;
            self.compared = Some(held);
        } else {
            for frame in frames {
                held.shrink(frame.len() as u64);
                self.sealer.push(frame)?;
            }
        }
        Ok(end)
    }

    /// Reads the next frame into a buffer, in place of what it had, and shows it to the guard.
    fn frame(&mut self, frame: &mut Vec<u8>) -> Result<Filled, Error> {
        let wanted = self.sealer.frame_bytes();
        let filled = fill(&mut self.stream, frame, wanted).map_err(|source| {
            Error::Backup(BackupError::ReadStream {
                from: self.stream.name(),
                source,
            })
        })?;
        // A sender that a signal has ended is no sender that failed.
        self.job.session.context.interrupt.check()?;
        self.show(frame)?;
        self.check_head()?;
        self.raw_bytes += frame.len() as u64;
        if self.raw_bytes - self.told >= PROGRESS_STEP {
            self.told = self.raw_bytes;
            self.job.session.context.observer.event(Event::Progress {
                source: self.job.session.source.name().clone(),
                raw_bytes: self.raw_bytes,
            });
        }
        Ok(filled)
    }

    /// Shows bytes to the guard, and seals what it keeps of them as contents.
    fn show(&mut self, frame: &[u8]) -> Result<(), Error> {
        // In pieces, because what the guard keeps is in memory as well.
        for piece in frame.chunks(GUARD_PIECE) {
            self.guard
                .push(piece)
                .map_err(|error| Error::Backup(BackupError::Stream(error)))?;
            if let (Some(contents), Some(kept)) = (&mut self.contents, self.guard.contents()) {
                contents.sealer.write(kept)?;
                contents.stream_bytes += kept.len() as u64;
                kept.clear();
            }
        }
        Ok(())
    }

    /// Refuses a stream that is already in the ledger.
    fn check_head(&mut self) -> Result<(), Error> {
        if self.head == HeadCheck::ToCome
            && let Some(head) = self.guard.head()
        {
            self.head = HeadCheck::Checked;
            if let Some((uuid, archive)) = self.known.iter().find(|(uuid, _)| *uuid == head.uuid) {
                return Err(Error::Backup(BackupError::StreamKnown {
                    uuid: *uuid,
                    archive: *archive,
                }));
            }
        }
        Ok(())
    }
}

/// Reads so many bytes into a buffer, in place of what it had, or fewer if the stream ends.
fn fill(stream: &mut dyn Read, frame: &mut Vec<u8>, wanted: usize) -> io::Result<Filled> {
    // A new one is filled with zeros, and one that is used again is not.
    frame.resize(wanted, 0);
    let mut read = 0;
    while read < wanted {
        match stream.read(&mut frame[read..]) {
            Ok(0) => {
                frame.truncate(read);
                return Ok(Filled::End);
            }
            Ok(length) => read += length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Filled::Whole)
}
