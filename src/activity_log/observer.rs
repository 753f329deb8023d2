//! Writes events to the log, and passes them on.

use super::{ActivityLog, LogLevel, LogLine};
use crate::model::SourceName;
use crate::progress::{Event, Observer};

/// An observer beside which the log is kept.
struct LoggedObserver<'a> {
    log: &'a ActivityLog,
    beside: Box<dyn Observer>,
}

impl ActivityLog {
    /// Returns an observer that writes events to the log and passes them on.
    pub fn beside(&self, observer: Box<dyn Observer>) -> Box<dyn Observer + '_> {
        Box::new(LoggedObserver {
            log: self,
            beside: observer,
        })
    }
}

impl Observer for LoggedObserver<'_> {
    fn event(&self, event: Event) {
        if self.log.is_kept()
            && let Some(line) = line_of(&event)
        {
            self.log.write(&line);
        }
        self.beside.event(event);
    }

    fn wants_estimate(&self) -> bool {
        self.beside.wants_estimate()
    }
}

/// The line about an object that was put back.
fn repaired(source: &SourceName, key: &str, from: &str, aside: Option<&str>) -> LogLine {
    let line = LogLine::done(source, "repaired")
        .text("key", key)
        .text("from", from);
    match aside {
        Some(aside) => line.text("aside", aside),
        None => line,
    }
}

/// Returns the line of an event; `None` for progress, and for what the command writes when it is over.
fn line_of(event: &Event) -> Option<LogLine> {
    Some(match event {
        Event::Snapshot { source, name } => LogLine::done(source, "snapshot").of([name]),
        Event::SnapshotDeleted {
            source,
            name,
            reason,
        } => LogLine::done(source, "snapshot-deleted")
            .of([name])
            .text("reason", reason),
        Event::Pulled {
            source,
            from,
            entries,
            deleted,
            files,
            raw_bytes,
        } => LogLine::done(source, "pulled")
            .text("from", from)
            .fact("entries", entries)
            .fact("deleted", deleted)
            .fact("files", files)
            .fact("bytes", raw_bytes),
        Event::Mirrored {
            source,
            to,
            name,
            raw_bytes,
        } => LogLine::done(source, "mirrored")
            .of([name])
            .text("to", to)
            .fact("raw", raw_bytes),
        Event::MirrorDeleted {
            source,
            to,
            name,
            reason,
        } => LogLine::done(source, "mirror-deleted")
            .of([name])
            .text("to", to)
            .text("reason", reason),
        Event::Copied {
            source,
            to,
            archive,
            sealed_bytes,
        } => LogLine::done(source, "copied")
            .of([archive])
            .text("to", to)
            .fact("bytes", sealed_bytes),
        Event::Repaired {
            source,
            key,
            from,
            aside,
        } => repaired(source, key, from, aside.as_deref()),
        Event::Retired {
            source,
            chain,
            archives,
            reason,
        } => LogLine::done(source, "retired")
            .of([chain])
            .fact("archives", archives)
            .text("reason", reason),
        Event::Deleted {
            source,
            chain,
            objects,
            bytes,
        } => LogLine::done(source, "deleted")
            .of([chain])
            .fact("objects", objects)
            .fact("bytes", bytes),
        Event::Restored { source, archive } => LogLine::done(source, "received").of([archive]),
        Event::Warning { source, message } => {
            LogLine::new(LogLevel::Warning, Some(source), "warned").text("message", message)
        }
        // The command's own line says that it was restored, and from where.
        Event::CopyRestored { .. }
        | Event::Planned { .. }
        | Event::CopyingBegun { .. }
        | Event::CopyingProgress { .. }
        | Event::MirrorBegun { .. }
        | Event::PullBegun { .. }
        | Event::CopyBegun { .. }
        | Event::Chain { .. }
        | Event::Begun { .. }
        | Event::Progress { .. }
        | Event::Segment { .. }
        | Event::Skipped { .. }
        | Event::Committed { .. }
        | Event::Checking { .. }
        | Event::CheckedLevel { .. }
        | Event::Waiting { .. }
        | Event::Busy { .. }
        | Event::Failed { .. } => return None,
    })
}
