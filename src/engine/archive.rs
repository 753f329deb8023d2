//! One send stream on its way into the store: guard, frames, seal, PUT, listing, ledger entry.

use std::io::Read;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::{DateTime, NaiveDate, Utc};

use crate::btrfs::{Expect, Guard, StreamHead, StreamSummary};
use crate::catalog::{ArchiveRow, Catalog, NewAttempt};
use crate::config::{Config, SelfCheck};
use crate::engine::backup::Outcome;
use crate::engine::commit;
use crate::engine::head::LedgerState;
use crate::engine::source::{OpenSource, random_bytes};
use crate::engine::state::Keys;
use crate::engine::stream::StreamSource;
use crate::engine::upload::{KeyStored, Upload};
use crate::engine::world::World;
use crate::error::Error;
use crate::model::entry::{ArchiveEntry, PrivateFacts, Timestamp};
use crate::model::segment::FRAME_BYTES;
use crate::model::{ArchiveId, ArchiveKind, LedgerId, Uuid};
use crate::progress::{Event, PROGRESS_STEP};
use crate::seal::{ArchiveKey, Recipients, SealError, SealOptions, SealedTotals, Sealer};

/// What one archive is to be.
pub(super) struct Job<'a> {
    pub(super) config: &'a Config,
    pub(super) source: &'a OpenSource<'a>,
    pub(super) keys: &'a Keys,
    pub(super) world: World<'a>,
    pub(super) recipients: &'a Recipients,
    pub(super) date: NaiveDate,
    pub(super) slot: NaiveDate,
    /// The send parent and the full of its chain; `None` for a full.
    pub(super) onto: Option<(ArchiveId, ArchiveId)>,
    pub(super) expect: Expect,
    pub(super) snapshot: Option<i64>,
    /// Raw bytes that it will probably have.
    pub(super) expected: Option<u64>,
    pub(super) origin: OriginFacts,
    /// Until when its objects are locked, where the store is told to lock.
    pub(super) retain_until: Option<DateTime<Utc>>,
}

/// What is known of the machine that sends.
#[derive(Debug, Clone, Default)]
pub(super) struct OriginFacts {
    pub(super) kernel: Option<String>,
    pub(super) btrfs_progs: Option<String>,
    pub(super) host: Option<String>,
    pub(super) subvolume: Option<String>,
    pub(super) snapshot: Option<String>,
}

/// What was committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Archived {
    pub(super) id: ArchiveId,
    pub(super) raw_bytes: u64,
    pub(super) sealed_bytes: u64,
}

impl Archived {
    pub(super) fn outcome(self, reason: String, later: Option<Box<Error>>) -> Outcome {
        Outcome::Archived {
            archive: self.id,
            reason,
            raw_bytes: self.raw_bytes,
            sealed_bytes: self.sealed_bytes,
            later,
        }
    }
}

/// What came through the pipeline, before it is signed.
struct Stored {
    summary: StreamSummary,
    totals: SealedTotals,
}

/// Archives a stream: the intent, its segments, the listing, the signed entry.
pub(super) fn archive(
    job: &Job<'_>,
    stream: Box<dyn StreamSource + '_>,
    state: &mut LedgerState,
    catalog: &mut Catalog,
) -> Result<Archived, Error> {
    let kind = if job.onto.is_some() {
        ArchiveKind::Incremental
    } else {
        ArchiveKind::Full
    };
    let id = ArchiveId {
        date: job.date,
        kind,
        nonce: u64::from_be_bytes(random_bytes()),
    };
    let archive_key = ArchiveKey::generate();
    let sealed_key = archive_key.seal_to(job.recipients)?;
    let row = &job.source.row;
    abandon_earlier(&row.ledger, catalog)?;
    catalog.begin_attempt(&NewAttempt {
        id,
        ledger: row.ledger,
        slot: job.slot,
        chain: job.onto.map_or(id, |(_, chain)| chain),
        send_parent: job.onto.map(|(parent, _)| parent),
        segment_size: job.source.config.segment_bytes,
        frame_size: FRAME_BYTES,
        recipients: job.recipients.fingerprint(&row.ledger),
        archive_key: &archive_key.to_secret_string(),
        sealed_key: &sealed_key,
        snapshot: job.snapshot,
        begun_at: Timestamp(job.world.clock.now()),
        storage_class: job.config.stores[&job.source.config.store].storage_class(),
        retain_until: job.retain_until.map(Timestamp),
    })?;
    let source = job.source.name().clone();
    job.world.observer.event(Event::Begun {
        source: source.clone(),
        archive: id,
        expected: job.expected,
    });

    let stored = store_stream(job, &id, &archive_key, &sealed_key, stream, catalog)?;

    let segments = catalog.segments(&id)?;
    commit::require_listed(job.source, &id, &segments)?;
    let private = PrivateFacts {
        host: job.origin.host.clone(),
        subvolume: job.origin.subvolume.clone(),
        snapshot: job.origin.snapshot.clone(),
        raw_blake3: stored.totals.raw_blake3,
        segments_blake3: segments
            .iter()
            .filter_map(|segment| segment.raw_blake3)
            .collect(),
    };
    let private = serde_json::to_vec(&private).expect("private facts are plain data");
    let StreamHead {
        uuid,
        ctransid,
        send_parent,
        protocol,
        ..
    } = stored.summary.head;
    let entry = ArchiveEntry {
        id,
        date: job.date,
        slot: job.slot,
        kind,
        send_parent: job.onto.map(|(parent, _)| parent),
        chain: job.onto.map_or(id, |(_, chain)| chain),
        stream_uuid: uuid,
        stream_ctransid: ctransid,
        send_parent_uuid: send_parent.map(|(uuid, _)| uuid),
        raw_bytes: stored.totals.raw_bytes,
        sealed_bytes: stored.totals.sealed_bytes,
        protocol,
        kernel: job.origin.kernel.clone(),
        btrfs_progs: job.origin.btrfs_progs.clone(),
        segment_size: job.source.config.segment_bytes,
        frame_size: FRAME_BYTES,
        key: BASE64.encode(&sealed_key),
        recipients: job.recipients.fingerprint(&row.ledger),
        retain_until: job.retain_until.map(Timestamp),
        segments: segments.iter().map(|segment| segment.record).collect(),
        private: BASE64.encode(archive_key.seal_private(&private)?),
    };
    let writer = commit::Writer {
        config: job.config,
        source: job.source,
        keys: job.keys,
        clock: job.world.clock,
        retain_until: job.retain_until,
    };
    writer.commit_archive(&entry, &stored.totals.raw_blake3, state, catalog)?;
    job.world.observer.event(Event::Committed {
        source,
        archive: id,
        raw_bytes: entry.raw_bytes,
        sealed_bytes: entry.sealed_bytes,
    });
    Ok(Archived {
        id,
        raw_bytes: entry.raw_bytes,
        sealed_bytes: entry.sealed_bytes,
    })
}

/// Gives up the attempts before this one: their objects are strays.
fn abandon_earlier(ledger: &LedgerId, catalog: &mut Catalog) -> Result<(), Error> {
    for attempt in catalog.unfinished(ledger)? {
        catalog.abandon(&attempt.id)?;
    }
    Ok(())
}

/// Brings the whole stream into the store. When this returns, the sender has said that it is done,
/// the guard has seen a whole stream, and every segment is stored.
fn store_stream(
    job: &Job<'_>,
    id: &ArchiveId,
    archive_key: &ArchiveKey,
    sealed_key: &[u8],
    stream: Box<dyn StreamSource + '_>,
    catalog: &mut Catalog,
) -> Result<Stored, Error> {
    let options = SealOptions {
        segment_bytes: job.source.config.segment_bytes,
        frame_bytes: usize::try_from(FRAME_BYTES).expect("4 MiB fit in memory"),
        level: job.config.compression,
        threads: job.config.threads,
        self_check: match job.config.self_check {
            SelfCheck::On => crate::seal::SelfCheck::On,
            SelfCheck::Off => crate::seal::SelfCheck::Off,
        },
    };
    let (sealer, segments) = Sealer::start(options, archive_key)?;
    let known: Vec<_> = catalog
        .archives(&job.source.row.ledger)?
        .into_iter()
        .filter(ArchiveRow::is_visible)
        .filter_map(|archive| Some((archive.stream_uuid?, archive.id)))
        .collect();
    let upload = Upload {
        job,
        id,
        sealed_key,
        catalog: Mutex::new(catalog),
        key_stored: Mutex::new(KeyStored::No),
        failed: AtomicBool::new(false),
    };
    let uploads = job.config.stores[&job.source.config.store].uploads();
    std::thread::scope(|scope| {
        let uploader = scope.spawn(move || upload.run(&segments, uploads));
        let read = read_stream(job, &known, stream, sealer);
        // The sealer is gone by now, finished or not, so the uploader's channel ends.
        let stored = uploader.join().expect("the uploader does not panic");
        match (read, stored) {
            // A dead uploader is why the sealer could not hand on its segments.
            (Err(Error::Seal(SealError::Stopped)) | Ok(_), Err(error)) | (Err(error), _) => {
                Err(error)
            }
            (Ok(whole), Ok(())) => Ok(whole),
        }
    })
}

/// Reads the stream into frames, past the guard, to its end.
fn read_stream(
    job: &Job<'_>,
    known: &[(Uuid, ArchiveId)],
    mut stream: Box<dyn StreamSource + '_>,
    mut sealer: Sealer,
) -> Result<Stored, Error> {
    let mut guard = Guard::new(job.expect.clone());
    let mut raw_bytes = 0;
    let mut told = 0;
    let mut first = true;
    loop {
        let mut frame = sealer.buffer();
        let name = stream.name();
        let filled = fill(&mut stream, &mut frame)
            .map_err(|source| Error::ReadStream { from: name, source })?;
        if let Err(refusal) = guard.push(&frame) {
            return Err(Error::Stream(refusal));
        }
        if first && let Some(head) = guard.head() {
            if let Some((uuid, archive)) = known.iter().find(|(uuid, _)| *uuid == head.uuid) {
                return Err(Error::StreamKnown {
                    uuid: *uuid,
                    archive: *archive,
                });
            }
            first = false;
        }
        raw_bytes += frame.len() as u64;
        if raw_bytes - told >= PROGRESS_STEP {
            told = raw_bytes;
            job.world.observer.event(Event::Progress {
                source: job.source.name().clone(),
                raw_bytes,
            });
        }
        if !frame.is_empty() {
            sealer.push(frame)?;
        }
        if filled == Filled::End {
            break;
        }
    }
    // The sender's own word first: "killed by signal 9" explains a stream that is cut short.
    stream.finish()?;
    let summary = guard.finish().map_err(Error::Stream)?;
    let totals = sealer.finish()?;
    Ok(Stored { summary, totals })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Filled {
    Whole,
    End,
}

/// Reads until the buffer has its capacity or the stream ends.
fn fill(stream: &mut dyn Read, frame: &mut Vec<u8>) -> std::io::Result<Filled> {
    let capacity = usize::try_from(FRAME_BYTES).expect("4 MiB fit in memory");
    let wanted = capacity - frame.len();
    let read = stream.take(wanted as u64).read_to_end(frame)?;
    Ok(if read < wanted {
        Filled::End
    } else {
        Filled::Whole
    })
}
