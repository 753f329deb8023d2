//! What happens during a long run, as events; shown as bars on a terminal, as JSON lines, or not at all.

use std::time::Duration;

use chrono::NaiveDate;
use serde_json::{Value, json};

use crate::model::size::Bytes;
use crate::model::{ArchiveId, SnapshotName, SourceName};
use crate::printing::{event_json, event_json_aside, say, warn};

mod bar;
mod service_status;

pub use bar::Bars;
pub use service_status::ServiceStatus;

/// How many raw bytes are between two [`Event::Progress`].
pub const PROGRESS_STEP: u64 = 4 << 20;

/// Something that happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// What will be done for a source, and why.
    Planned {
        /// The source.
        source: SourceName,
        /// The date.
        date: NaiveDate,
        /// `full`, `incremental` or `none`.
        action: &'static str,
        /// Why.
        reason: String,
    },
    /// A read-only snapshot exists now.
    Snapshot {
        /// The source.
        source: SourceName,
        /// Its name.
        name: SnapshotName,
    },
    /// A local snapshot was deleted, because it is not kept any longer.
    SnapshotDeleted {
        /// The source.
        source: SourceName,
        /// Its name.
        name: SnapshotName,
        /// Why.
        reason: String,
    },
    /// rsync is about to pull a source.
    PullBegun {
        /// The source.
        source: SourceName,
        /// Where it comes from.
        from: String,
        /// How many bytes of files will be pulled, roughly.
        expected: u64,
    },
    /// A source is pulled.
    Pulled {
        /// The source.
        source: SourceName,
        /// Where it comes from.
        from: String,
        /// Entries of the source.
        entries: u64,
        /// Entries that were deleted here.
        deleted: u64,
        /// Regular files whose content was pulled.
        files: u64,
        /// Bytes of those files.
        raw_bytes: u64,
    },
    /// A snapshot is about to be sent to a mirror.
    MirrorBegun {
        /// The source.
        source: SourceName,
        /// Where the mirror is.
        to: String,
        /// The snapshot.
        name: SnapshotName,
        /// What it is sent against; `None` for a full stream.
        parent: Option<SnapshotName>,
        /// How many bytes the stream will have, roughly; `None` if that is not known.
        expected: Option<u64>,
    },
    /// A mirror has a snapshot now.
    Mirrored {
        /// The source.
        source: SourceName,
        /// Where the mirror is.
        to: String,
        /// The snapshot.
        name: SnapshotName,
        /// Bytes of its stream.
        raw_bytes: u64,
    },
    /// A mirror has deleted a copy that it no longer keeps.
    MirrorDeleted {
        /// The source.
        source: SourceName,
        /// Where the mirror is.
        to: String,
        /// The copy.
        name: SnapshotName,
        /// Why.
        reason: String,
    },
    /// A copy of a snapshot is about to be restored.
    CopyBegun {
        /// The source.
        source: SourceName,
        /// The snapshot.
        name: SnapshotName,
        /// Where the copy is.
        from: String,
        /// How many bytes its stream will have, roughly; `None` if that is not known.
        expected: Option<u64>,
    },
    /// A copy of a snapshot is restored.
    CopyRestored {
        /// The source.
        source: SourceName,
        /// The snapshot.
        name: SnapshotName,
        /// Where the copy is.
        from: String,
    },
    /// Archives are about to be copied to another store.
    CopyingBegun {
        /// The source.
        source: SourceName,
        /// The copy's URL.
        to: String,
        /// How many.
        archives: usize,
        /// Bytes of their segments.
        sealed_bytes: u64,
    },
    /// Segments were copied to another store.
    CopyingProgress {
        /// The source.
        source: SourceName,
        /// Their bytes, since copying began.
        sealed_bytes: u64,
    },
    /// All of an archive is in a copy now.
    Copied {
        /// The source.
        source: SourceName,
        /// The copy's URL.
        to: String,
        /// The archive.
        archive: ArchiveId,
        /// Bytes of its segments.
        sealed_bytes: u64,
    },
    /// An object that was damaged or missing was put back.
    Repaired {
        /// The source.
        source: SourceName,
        /// Its key.
        key: String,
        /// Where its bytes came from.
        from: String,
        /// The key under which the damaged bytes are kept; `None` if the object was missing.
        aside: Option<String>,
    },
    /// Archives are about to be received, one after the other.
    Chain {
        /// The source.
        source: SourceName,
        /// How many.
        archives: usize,
        /// Their raw bytes.
        raw_bytes: u64,
    },
    /// Work on an archive begins.
    Begun {
        /// The source.
        source: SourceName,
        /// The archive.
        archive: ArchiveId,
        /// How many raw bytes it will have, roughly; `None` if that is not known.
        expected: Option<u64>,
    },
    /// Raw bytes were processed.
    Progress {
        /// The source.
        source: SourceName,
        /// Raw bytes so far.
        raw_bytes: u64,
    },
    /// A segment is stored, or restored.
    Segment {
        /// The source.
        source: SourceName,
        /// The archive.
        archive: ArchiveId,
        /// Its index, from 0.
        index: u32,
        /// Its bytes as stored.
        sealed_bytes: u64,
    },
    /// A segment was stored by an earlier run, and is not stored again.
    Skipped {
        /// The source.
        source: SourceName,
        /// The archive.
        archive: ArchiveId,
        /// Its index, from 0.
        index: u32,
        /// Its raw bytes.
        raw_bytes: u64,
    },
    /// An archive is in the ledger.
    Committed {
        /// The source.
        source: SourceName,
        /// The archive.
        archive: ArchiveId,
        /// Bytes of send stream.
        raw_bytes: u64,
        /// Bytes as stored.
        sealed_bytes: u64,
    },
    /// A chain was retired.
    Retired {
        /// The source.
        source: SourceName,
        /// The date that names the chain.
        chain: NaiveDate,
        /// How many archives it has.
        archives: usize,
        /// Why.
        reason: String,
    },
    /// The objects of a retired chain were deleted.
    Deleted {
        /// The source.
        source: SourceName,
        /// The date that names the chain.
        chain: NaiveDate,
        /// How many objects.
        objects: usize,
        /// Their bytes.
        bytes: u64,
    },
    /// An archive was received.
    Restored {
        /// The source.
        source: SourceName,
        /// The archive.
        archive: ArchiveId,
    },
    /// A check on one level has made progress.
    Checking {
        /// The source.
        source: SourceName,
        /// `ledger`, or a level's name.
        level: &'static str,
        /// How much is done.
        done: u64,
        /// How much there is in all.
        of: u64,
        /// What `done` and `of` count.
        counted: Counted,
    },
    /// A check on one level has ended, with success or without.
    CheckedLevel {
        /// The source.
        source: SourceName,
        /// `ledger`, or a level's name.
        level: &'static str,
    },
    /// A store does not answer as it should, and will be asked again.
    Waiting {
        /// What went wrong.
        what: String,
        /// The time until it is asked again.
        pause: Duration,
    },
    /// Another run is at work on the source, and this run waits for it.
    Busy {
        /// The source.
        source: SourceName,
        /// How long this run waits.
        at_most: Duration,
    },
    /// Something that the user should know, and that stops nothing.
    Warning {
        /// The source.
        source: SourceName,
        /// The warning.
        message: String,
    },
    /// A source failed.
    Failed {
        /// The source.
        source: SourceName,
        /// Why.
        message: String,
    },
}

/// What the progress of a check counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// Objects that were asked for.
    Objects,
    /// Bytes that were fetched.
    Bytes,
}

/// Receives the events.
pub trait Observer: Sync {
    /// Handles an event.
    fn event(&self, event: Event);

    /// Whether an estimate of the stream's size is worth the time that it takes.
    fn wants_estimate(&self) -> bool {
        false
    }
}

/// Prints only warnings.
#[derive(Debug)]
pub struct Quiet;

impl Observer for Quiet {
    fn event(&self, event: Event) {
        if let Event::Warning { source, message } = event {
            warn(format_args!("{source}: {message}"));
        }
    }
}

/// Prints a line on stderr for each thing that was done (`-v`).
#[derive(Debug)]
pub struct Verbose;

impl Observer for Verbose {
    fn event(&self, event: Event) {
        match event.in_words() {
            Some(text) => say(text),
            None => Quiet.event(event),
        }
    }
}

/// Prints one JSON object a line on stderr, for commands whose answer is a document of its own.
#[derive(Debug)]
pub struct JsonAside;

impl Observer for JsonAside {
    fn event(&self, event: Event) {
        if let Some(line) = event.to_json() {
            event_json_aside(&line);
        }
    }
}

/// Prints one JSON object a line on stdout.
#[derive(Debug)]
pub struct JsonLines;

impl Observer for JsonLines {
    fn event(&self, event: Event) {
        if let Some(line) = event.to_json() {
            event_json(&line);
        }
    }
}

impl Event {
    /// Returns what was done, in words; `None` for a warning, a failure, and what only bars need.
    #[expect(clippy::too_many_lines, reason = "an arm an event")]
    pub fn in_words(&self) -> Option<String> {
        let text = match self {
            Self::Planned {
                source,
                date,
                action,
                reason,
            } => format!("{source}: {date}: {action}: {reason}"),
            Self::Snapshot { source, name } => {
                format!("{source}: snapshot {name} made")
            }
            Self::SnapshotDeleted {
                source,
                name,
                reason,
            } => format!("{source}: snapshot {name} deleted: {reason}"),
            Self::PullBegun {
                source,
                from,
                expected,
            } => {
                let about = Bytes(*expected);
                format!("{source}: pulling {from}, about {about} to read")
            }
            Self::Pulled { source, from, .. } => {
                format!("{source}: pulled from {from}")
            }
            Self::MirrorBegun {
                source,
                to,
                name,
                parent,
                expected,
            } => {
                let parent = match parent {
                    Some(parent) => format!("on {parent}"),
                    None => "in full".to_owned(),
                };
                let about = expected.map(|bytes| format!(", about {}", Bytes(bytes)));
                let about = about.unwrap_or_default();
                format!("{source}: {name} goes to the mirror {to} {parent}{about}")
            }
            Self::Mirrored {
                source, to, name, ..
            } => format!("{source}: the mirror {to} has {name}"),
            Self::MirrorDeleted {
                source,
                to,
                name,
                reason,
            } => format!("{source}: the mirror {to} has deleted {name}: {reason}"),
            Self::CopyingBegun {
                source,
                to,
                archives,
                sealed_bytes,
            } => {
                let s = if *archives == 1 { "" } else { "s" };
                let bytes = Bytes(*sealed_bytes);
                format!("{source}: copying {archives} archive{s}, {bytes}, to {to}")
            }
            Self::Copied {
                source,
                to,
                archive,
                ..
            } => format!("{source}: the copy in {to} has {archive}"),
            Self::Repaired {
                source, key, from, ..
            } => format!("{source}: put {key} back from {from}"),
            Self::CopyRestored { source, name, from } => {
                format!("{source}: restored {name} from {from}")
            }
            Self::Segment {
                source,
                archive,
                index,
                ..
            } => format!("{source}: {archive}: segment {index}"),
            Self::Skipped {
                source,
                archive,
                index,
                ..
            } => format!("{source}: {archive}: segment {index} is stored already"),
            Self::Retired {
                source,
                chain,
                archives,
                reason,
            } => format!("{source}: chain of {chain} retired, archives: {archives}: {reason}"),
            Self::Deleted {
                source,
                chain,
                objects,
                ..
            } => format!("{source}: chain of {chain} deleted, objects: {objects}"),
            Self::Restored { source, archive } => {
                format!("{source}: restored {archive}")
            }
            Self::Waiting { what, pause } => {
                let seconds = pause.as_secs_f32();
                format!("{what}; trying again in {seconds:.1} s")
            }
            Self::Busy { source, at_most } => {
                let seconds = at_most.as_secs();
                format!("{source}: another run is at work; waiting for it, {seconds} s at most")
            }
            Self::Warning { .. }
            | Self::Chain { .. }
            | Self::CopyBegun { .. }
            | Self::Begun { .. }
            | Self::Progress { .. }
            | Self::CopyingProgress { .. }
            | Self::Checking { .. }
            | Self::CheckedLevel { .. }
            | Self::Committed { .. }
            | Self::Failed { .. } => return None,
        };
        Some(text)
    }

    /// Returns the event as `backup --json` prints it; `None` for an event that only bars need.
    #[expect(clippy::too_many_lines, reason = "an arm an event")]
    pub fn to_json(&self) -> Option<Value> {
        Some(match self {
            Self::Planned {
                source,
                date,
                action,
                reason,
            } => {
                json!({"event": "planned", "source": source, "date": date, "action": action, "reason": reason})
            }
            Self::Snapshot { source, name } => {
                json!({"event": "snapshot", "source": source, "date": name.date, "name": name})
            }
            Self::SnapshotDeleted {
                source,
                name,
                reason,
            } => json!({
                "event": "snapshot-deleted", "source": source, "date": name.date, "name": name,
                "reason": reason,
            }),
            Self::PullBegun {
                source,
                from,
                expected,
            } => json!({
                "event": "pulling", "source": source, "from": from, "expected_bytes": expected,
            }),
            Self::Pulled {
                source,
                from,
                entries,
                deleted,
                files,
                raw_bytes,
            } => json!({
                "event": "pulled", "source": source, "from": from, "entries": entries, "deleted": deleted,
                "files": files, "raw_bytes": raw_bytes,
            }),
            Self::MirrorBegun {
                source,
                to,
                name,
                parent,
                expected,
            } => json!({
                "event": "mirror-begun", "source": source, "to": to, "name": name, "parent": parent,
                "expected_bytes": expected,
            }),
            Self::Mirrored {
                source,
                to,
                name,
                raw_bytes,
            } => json!({
                "event": "mirrored", "source": source, "to": to, "name": name, "raw_bytes": raw_bytes,
            }),
            Self::MirrorDeleted {
                source,
                to,
                name,
                reason,
            } => json!({
                "event": "mirror-deleted", "source": source, "to": to, "name": name, "reason": reason,
            }),
            Self::CopyBegun {
                source,
                name,
                from,
                expected,
            } => json!({
                "event": "restoring", "source": source, "name": name, "from": from,
                "expected_bytes": expected,
            }),
            Self::CopyingBegun {
                source,
                to,
                archives,
                sealed_bytes,
            } => json!({
                "event": "copying", "source": source, "to": to, "archives": archives,
                "sealed_bytes": sealed_bytes,
            }),
            Self::CopyingProgress {
                source,
                sealed_bytes,
            } => json!({"event": "copy-progress", "source": source, "sealed_bytes": sealed_bytes}),
            Self::Copied {
                source,
                to,
                archive,
                sealed_bytes,
            } => json!({
                "event": "copied", "source": source, "to": to, "archive": archive,
                "sealed_bytes": sealed_bytes,
            }),
            Self::Repaired {
                source,
                key,
                from,
                aside,
            } => json!({
                "event": "repaired", "source": source, "key": key, "from": from, "aside": aside,
            }),
            Self::CopyRestored { source, name, from } => {
                json!({"event": "restored", "source": source, "name": name, "from": from})
            }
            Self::Chain {
                source,
                archives,
                raw_bytes,
            } => json!({
                "event": "restoring", "source": source, "archives": archives, "raw_bytes": raw_bytes,
            }),
            Self::Begun { .. } | Self::CheckedLevel { .. } => return None,
            Self::Checking {
                source,
                level,
                done,
                of,
                counted,
            } => {
                let unit = match counted {
                    Counted::Objects => "objects",
                    Counted::Bytes => "bytes",
                };
                json!({
                    "event": "checking", "source": source, "level": level, "done": done, "of": of,
                    "unit": unit,
                })
            }
            Self::Progress { source, raw_bytes } => {
                json!({"event": "progress", "source": source, "raw_bytes": raw_bytes})
            }
            Self::Segment {
                source,
                archive,
                index,
                sealed_bytes,
            } => json!({
                "event": "segment", "source": source, "archive": archive, "index": index,
                "sealed_bytes": sealed_bytes,
            }),
            Self::Skipped {
                source,
                archive,
                index,
                raw_bytes,
            } => json!({
                "event": "segment", "source": source, "archive": archive, "index": index,
                "raw_bytes": raw_bytes, "skipped": true,
            }),
            Self::Committed {
                source,
                archive,
                raw_bytes,
                sealed_bytes,
            } => json!({
                "event": "committed", "source": source, "archive": archive, "raw_bytes": raw_bytes,
                "sealed_bytes": sealed_bytes,
            }),
            Self::Retired {
                source,
                chain,
                archives,
                reason,
            } => json!({
                "event": "retired", "source": source, "chain": chain, "archives": archives,
                "reason": reason,
            }),
            Self::Deleted {
                source,
                chain,
                objects,
                bytes,
            } => json!({
                "event": "deleted", "source": source, "chain": chain, "objects": objects,
                "bytes": bytes,
            }),
            Self::Restored { source, archive } => {
                json!({"event": "restored", "source": source, "archive": archive})
            }
            Self::Waiting { what, pause } => {
                json!({"event": "waiting", "message": what, "seconds": pause.as_secs_f32()})
            }
            Self::Busy { source, at_most } => {
                json!({"event": "busy", "source": source, "seconds": at_most.as_secs()})
            }
            Self::Warning { source, message } => {
                json!({"event": "warning", "source": source, "message": message})
            }
            Self::Failed { source, message } => {
                json!({"event": "failed", "source": source, "message": message})
            }
        })
    }
}
