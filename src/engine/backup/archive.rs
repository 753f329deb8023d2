//! Makes an archive of an attempt: passes of the stream, a listing, the signed entry.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::btrfs::StreamHead;
use crate::catalog::{Catalog, SegmentRow};
use crate::engine::backup::attempt::{OpenAttempt, StoredParts};
use crate::engine::backup::job::Job;
use crate::engine::backup::outcome::CommittedArchive;
use crate::engine::backup::pipeline::{Passed, pass};
use crate::engine::backup::stream_source::SendAgain;
use crate::engine::backup::zeros::warn_of_zeros;
use crate::engine::context::kit_file::{NOT_IN_KIT, is_in_kit};
use crate::engine::files::index::before_commit::require_restorable;
use crate::engine::ledger::append::{self, Committed};
use crate::engine::ledger::listing::require_listed;
use crate::engine::ledger::locators::vault_place;
use crate::engine::ledger::roles::keys_elsewhere;
use crate::engine::ledger::sync::LedgerState;
use crate::error::{BackupError, Error, in_words};
use crate::model::ArchiveKind;
use crate::model::entry::{ArchiveEntry, PrivateFacts, Timestamp};
use crate::model::segment::FRAME_BYTES;
use crate::progress::Event;

/// An attempt whose segments are all in the store.
struct Whole {
    passed: Passed,
    segments: Vec<SegmentRow>,
    uploaded_bytes: u64,
}

/// Completes an attempt: stores its segments, checks them in a listing, commits the signed entry.
pub(in crate::engine) fn archive(
    job: &Job<'_>,
    attempt: &OpenAttempt,
    send: &mut SendAgain<'_>,
    state: &mut LedgerState,
    catalog: &mut Catalog,
) -> Result<CommittedArchive, Error> {
    let source = job.session.source.name().clone();
    job.session.context.observer.event(Event::Begun {
        source: source.clone(),
        archive: attempt.id,
        expected: job.expected,
    });
    let whole = store_whole(job, attempt, send, catalog)?;
    // From here on it takes no time.
    job.session.context.interrupt.check()?;
    let entry = entry(job, attempt, &whole)?;
    if job.can_fall_back {
        let kept = whole.passed.contents.as_ref();
        let kept = kept.and_then(|contents| contents.kept.as_ref());
        require_restorable(job.session, &entry, kept)?;
    }
    let writer = append::Writer {
        session: job.session,
        retain_until: attempt.retain_until,
    };
    let opens = state.replay.head().is_none();
    let raw_blake3 = &whole.passed.totals.raw_blake3;
    let (raw_bytes, sealed_bytes) =
        match writer.commit_archive(&entry, raw_blake3, state, catalog)? {
            Committed::AsSigned => (entry.raw_bytes, entry.sealed_bytes),
            Committed::Before(earlier) => (earlier.raw_bytes, earlier.sealed_bytes),
        };
    if opens && !is_in_kit(&job.session.source.row, catalog)? {
        job.session.context.observer.event(Event::Warning {
            source: source.clone(),
            message: NOT_IN_KIT.to_owned(),
        });
    }
    job.session.context.observer.event(Event::Committed {
        source,
        archive: attempt.id,
        raw_bytes,
        sealed_bytes,
    });
    if opens {
        warn_of_keys_elsewhere(job, catalog)?;
    }
    warn_of_zeros(
        &job.session.source,
        &whole.passed.summary,
        job.session.context.observer,
        catalog,
    )?;
    Ok(CommittedArchive {
        archive: attempt.id,
        reason: job.reason.clone(),
        raw_bytes,
        sealed_bytes,
        uploaded_bytes: whole.uploaded_bytes,
        contents: whole.passed.contents.and_then(|contents| contents.kept),
    })
}

/// Warns of keys that have a role in other ledgers of this catalog but not in this ledger, which was just
/// opened. A separate pruner could otherwise never prune it.
fn warn_of_keys_elsewhere(job: &Job<'_>, catalog: &Catalog) -> Result<(), Error> {
    let elsewhere = keys_elsewhere(&job.session.source.row, &job.session.keys.root, catalog)?;
    for (key, roles, other) in elsewhere {
        let roles: Vec<&str> = roles.iter().map(|role| role.as_str()).collect();
        let name = job.session.source.name();
        job.session.context.observer.event(Event::Warning {
            source: name.clone(),
            message: format!(
                "its new ledger has only this machine's key. To give {key}, {} of `{other}`, a role in it too, run \
                 `coldchain key rotate --kit FILE --source {name} --add {key} --role {}`",
                roles.join(" and "),
                roles.join(" --role ")
            ),
        });
    }
    Ok(())
}

/// Stores every segment, in as many passes as needed. It starts the sender once more if the stream was
/// garbled, and once more if the listing lacks a segment.
fn store_whole(
    job: &Job<'_>,
    attempt: &OpenAttempt,
    send: &mut SendAgain<'_>,
    catalog: &mut Catalog,
) -> Result<Whole, Error> {
    let uploaded = AtomicU64::new(0);
    let context = &job.session.context;
    let _awake = context.keep_awake(&format!("archiving {}", job.session.source.name()));
    let mut sending = send()?.expect("a stream can be had once");
    let (mut garbled, mut lacking) = (Passes::First, Passes::First);
    let mut deduplicated = 0;
    loop {
        let already = StoredParts::gather(&job.session.source, &attempt.id, catalog)?;
        let error = match pass(job, attempt, &already, sending, &uploaded, catalog) {
            Ok(passed) => {
                // An earlier pass may have stored more segments, of a longer stream.
                catalog.forget_segments_from(&attempt.id, passed.totals.segments)?;
                let segments = catalog.segments(&attempt.id)?;
                let contents = passed.contents.as_ref().map(|contents| &contents.record);
                match require_listed(&job.session.source, &attempt.id, &segments, contents) {
                    Ok(()) => {
                        return Ok(Whole {
                            passed,
                            segments,
                            uploaded_bytes: uploaded.into_inner(),
                        });
                    }
                    Err(error @ Error::Backup(BackupError::SegmentsMissing { .. })) => {
                        lacking.again(error)?
                    }
                    Err(error) => return Err(error),
                }
            }
            Err(Error::Backup(BackupError::Stream(refused))) if refused.refusal.is_garbled() => {
                garbled.again(Error::Backup(BackupError::Stream(refused)))?
            }
            Err(error) if is_deduplicated(&error) && deduplicated < MOST_DEDUPLICATIONS => {
                deduplicated += 1;
                error
            }
            Err(error) if deduplicated == MOST_DEDUPLICATIONS && is_deduplicated(&error) => {
                return Err(BackupError::Deduplicated {
                    source_name: job.session.source.name().clone(),
                    times: deduplicated + 1,
                    source: Box::new(error),
                }
                .into());
            }
            Err(error) => return Err(error),
        };
        if matches!(error, Error::Btrfs(_)) {
            // It takes a moment at a time, and the sender does not wait for it.
            job.session.context.interrupt.pause(PAUSE * deduplicated)?;
        }
        let Some(again) = send()? else {
            return Err(error);
        };
        sending = again;
        if is_deduplicated(&error) && deduplicated > 1 {
            // The warning was given the first time.
            continue;
        }
        let what = match &error {
            error if is_deduplicated(error) => {
                format!(
                    "deduplication is at work in its snapshots: {}",
                    in_words(error)
                )
            }
            Error::Backup(BackupError::Stream(refused)) => format!(
                "the sender was stopped and continued, or printed a garbled stream: {}",
                in_words(refused)
            ),
            _ => in_words(&error),
        };
        job.session.context.observer.event(Event::Warning {
            source: job.session.source.name().clone(),
            message: format!("{what}; sending the stream again"),
        });
    }
}

/// How many times a stream is begun again because of deduplication.
const MOST_DEDUPLICATIONS: u32 = 10;

/// How much longer each pause is than the one before. The last one takes a second.
const PAUSE: Duration = Duration::from_millis(100);

/// Whether the pass failed because deduplication changed a snapshot after the check, or holds it now.
fn is_deduplicated(error: &Error) -> bool {
    match error {
        Error::Backup(BackupError::Stream(refused)) => refused.refusal.is_later_state(),
        Error::Btrfs(failed) => failed.is_held(),
        _ => false,
    }
}

/// Whether a cause of failure has already led to a second pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Passes {
    First,
    Second,
}

impl Passes {
    /// Returns `Ok(error)` if another pass may help, `Err(error)` if this cause already had its second pass.
    fn again(&mut self, error: Error) -> Result<Error, Error> {
        match std::mem::replace(self, Self::Second) {
            Self::First => Ok(error),
            Self::Second => Err(error),
        }
    }
}

/// Makes the ledger entry of the archive.
fn entry(job: &Job<'_>, attempt: &OpenAttempt, whole: &Whole) -> Result<ArchiveEntry, Error> {
    let Whole {
        passed, segments, ..
    } = whole;
    let private = PrivateFacts {
        host: job.origin.host.clone(),
        subvolume: job.origin.subvolume.clone(),
        snapshot: job.origin.snapshot.clone(),
        raw_blake3: passed.totals.raw_blake3,
        // The frames' digests, in the contents, take their place: each byte is hashed once, beside the stream's own digest.
        segments_blake3: Vec::new(),
    };
    let private = serde_json::to_vec(&private).expect("private facts are plain data");
    let StreamHead {
        uuid,
        ctransid,
        send_parent,
        protocol,
        ..
    } = passed.summary.head;
    Ok(ArchiveEntry {
        id: attempt.id,
        date: attempt.id.date,
        slot: attempt.slot,
        kind: match attempt.onto {
            Some(_) => ArchiveKind::Incremental,
            None => ArchiveKind::Full,
        },
        send_parent: attempt.onto.map(|(parent, _)| parent),
        chain: attempt.onto.map_or(attempt.id, |(_, chain)| chain),
        stream_uuid: uuid,
        stream_ctransid: ctransid,
        send_parent_uuid: send_parent.map(|(uuid, _)| uuid),
        raw_bytes: passed.totals.raw_bytes,
        sealed_bytes: segments
            .iter()
            .map(|segment| segment.record.sealed_bytes)
            .sum(),
        protocol,
        compressed_data: (protocol > 1).then_some(passed.summary.compressed_data),
        kernel: job.origin.kernel.clone(),
        btrfs_progs: job.origin.btrfs_progs.clone(),
        segment_size: attempt.segment_bytes,
        frame_size: FRAME_BYTES,
        key: BASE64.encode(&attempt.sealed_key),
        recipients: job.recipients.fingerprint(&job.session.source.row.ledger),
        retain_until: attempt.retain_until.map(Timestamp),
        segments: segments.iter().map(|segment| segment.record).collect(),
        contents: passed
            .contents
            .as_ref()
            .map(|contents| contents.record.clone()),
        vault: vault_place(&job.session.source.store.url(), &attempt.id, segments)?,
        private: BASE64.encode(attempt.key.seal_private(&private)?),
    })
}
