//! Progress bars, for a terminal only.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

use indicatif::{ProgressBar, ProgressStyle};

use crate::model::size::Bytes;
use crate::model::{ArchiveId, SourceName};

use super::{Counted, Event, Observer, Quiet, Verbose};

/// Shows a bar for the current archive, or for all that a restore receives: bytes, rate, and the time left if
/// that is known.
#[derive(Debug, Default)]
pub struct Bars {
    bar: Mutex<Option<ProgressBar>>,
    chain: Mutex<Option<ChainBar>>,
    /// Raw bytes of the current archive that were stored by an earlier run.
    skipped: AtomicU64,
}

/// The progress of a restore of several archives.
#[derive(Debug)]
struct ChainBar {
    archives: usize,
    begun: usize,
    /// Raw bytes of those that are restored.
    done: u64,
    /// Raw bytes of the current one.
    in_hand: u64,
}

impl ChainBar {
    fn next(&mut self, what: &str, raw_bytes: u64) -> String {
        self.begun += 1;
        self.in_hand = raw_bytes;
        format!("{what} ({} of {})", self.begun, self.archives)
    }
}

impl Bars {
    fn chain(&self) -> MutexGuard<'_, Option<ChainBar>> {
        self.chain.lock().expect("no holder panics")
    }

    /// Notes that an archive is restored, and returns whether it was the last one.
    fn stands(&self) -> bool {
        let mut chain = self.chain();
        let Some(restore) = chain.as_mut() else {
            return true;
        };
        restore.done += restore.in_hand;
        let over = restore.begun == restore.archives;
        if over {
            *chain = None;
        }
        over
    }

    /// Shows that a segment was stored by an earlier run.
    fn skip(&self, source: &SourceName, archive: ArchiveId, raw_bytes: u64) {
        let before = self.skipped.fetch_add(raw_bytes, Ordering::Relaxed);
        let skipped = Bytes(before + raw_bytes);
        let what = format!("{source} {} {}", archive.date, archive.kind);
        self.with_bar(|bar| bar.set_message(format!("{what}, {skipped} stored before")));
    }

    fn begin(&self, what: String, expected: Option<u64>) {
        let (bar, template) = match expected {
            Some(bytes) => (
                ProgressBar::new(bytes),
                "{msg}  {bytes} of {total_bytes}  {binary_bytes_per_sec}  {eta} left  {wide_bar}",
            ),
            None => (
                ProgressBar::no_length(),
                "{msg}  {bytes}  {binary_bytes_per_sec}  {elapsed}",
            ),
        };
        bar.set_style(ProgressStyle::with_template(template).expect("the template is well-formed"));
        bar.set_message(what);
        self.skipped.store(0, Ordering::Relaxed);
        *self.bar.lock().expect("no holder panics") = Some(bar);
    }

    /// Updates the bar for a level of a check. The first call makes it.
    fn check(&self, what: String, done: u64, of: u64, counted: Counted) {
        let mut bar = self.bar.lock().expect("no holder panics");
        let bar = bar.get_or_insert_with(|| {
            let bar = ProgressBar::new(of);
            let template = match counted {
                Counted::Objects => "{msg}  {pos} of {len}  {eta} left  {wide_bar}",
                Counted::Bytes => {
                    "{msg}  {bytes} of {total_bytes}  {binary_bytes_per_sec}  {eta} left  {wide_bar}"
                }
            };
            bar.set_style(
                ProgressStyle::with_template(template).expect("the template is well-formed"),
            );
            bar.set_message(what);
            bar
        });
        bar.set_position(done);
    }

    fn with_bar(&self, act: impl FnOnce(&ProgressBar)) {
        if let Some(bar) = self.bar.lock().expect("no holder panics").as_ref() {
            act(bar);
        }
    }

    /// Prints something that stays above the bar.
    fn aside(&self, say: impl FnOnce()) {
        let bar = self.bar.lock().expect("no holder panics").clone();
        match bar {
            Some(bar) => bar.suspend(say),
            None => say(),
        }
    }

    fn end(&self) {
        if let Some(bar) = self.bar.lock().expect("no holder panics").take() {
            bar.finish_and_clear();
        }
    }
}

impl Observer for Bars {
    #[expect(clippy::too_many_lines, reason = "an arm an event")]
    fn event(&self, event: Event) {
        match event {
            Event::Begun {
                source,
                archive,
                expected,
            } => {
                let what = format!("{source} {} {}", archive.date, archive.kind);
                match self.chain().as_mut() {
                    Some(chain) => {
                        let what = chain.next(&what, expected.unwrap_or(0));
                        self.with_bar(|bar| bar.set_message(what));
                    }
                    None => self.begin(what, expected),
                }
            }
            Event::PullBegun {
                source,
                from,
                expected,
            } => self.begin(format!("{source} from {from}"), Some(expected)),
            Event::MirrorBegun {
                source,
                to,
                name,
                expected,
                ..
            } => self.begin(format!("{source} {name} to {to}"), expected),
            Event::CopyBegun {
                source,
                name,
                from,
                expected,
            } => self.begin(format!("{source} {name} from {from}"), expected),
            Event::CopyingBegun {
                source,
                to,
                sealed_bytes,
                ..
            } => self.begin(format!("{source} to {to}"), Some(sealed_bytes)),
            Event::CopyingProgress { sealed_bytes, .. } => {
                self.with_bar(|bar| bar.set_position(sealed_bytes));
            }
            Event::Chain {
                source,
                archives,
                raw_bytes,
            } => {
                *self.chain() = Some(ChainBar {
                    archives,
                    begun: 0,
                    done: 0,
                    in_hand: 0,
                });
                self.begin(source.to_string(), Some(raw_bytes));
            }
            Event::Progress { raw_bytes, .. } => self.with_bar(|bar| {
                let before = self.chain().as_ref().map_or(0, |chain| chain.done);
                let raw_bytes = before + raw_bytes;
                // The estimate is within a percent, not exact: the bar must not jump back.
                if bar.length().is_some_and(|length| length < raw_bytes) {
                    bar.set_length(raw_bytes);
                }
                bar.set_position(raw_bytes);
            }),
            Event::Skipped {
                source,
                archive,
                raw_bytes,
                ..
            } => self.skip(&source, archive, raw_bytes),
            Event::Checking {
                source,
                level,
                done,
                of,
                counted,
            } => self.check(format!("{source} {level}"), done, of, counted),
            Event::Restored { .. } => {
                if self.stands() {
                    self.end();
                }
            }
            Event::Committed { .. }
            | Event::Mirrored { .. }
            | Event::Pulled { .. }
            | Event::CopyRestored { .. }
            | Event::CheckedLevel { .. }
            | Event::Failed { .. } => {
                self.end();
            }
            Event::Warning { .. } => self.aside(|| Quiet.event(event)),
            Event::Waiting { .. } | Event::Busy { .. } => self.aside(|| Verbose.event(event)),
            Event::Planned { .. }
            | Event::Snapshot { .. }
            | Event::SnapshotDeleted { .. }
            | Event::Copied { .. }
            | Event::Repaired { .. }
            | Event::MirrorDeleted { .. }
            | Event::Segment { .. }
            | Event::Retired { .. }
            | Event::Deleted { .. } => {}
        }
    }

    fn wants_estimate(&self) -> bool {
        true
    }
}
