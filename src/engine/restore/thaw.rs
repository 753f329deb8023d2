//! Thaws the segments that a restore needs: a job that outlives the process.
//!
//! The store is asked each time whether a segment can be read. The catalog has each request with its time and
//! tier, from which it follows how long a thaw may still take. Its rows are written before the requests, so
//! that the next run can continue after a crash: it requests again what the store does not know, and does not
//! request what is on its way.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use chrono::{DateTime, TimeDelta, Utc};

use crate::catalog::{ArchiveRow, Catalog, ThawRow, ThawState};
use crate::engine::context::open_source::OpenSource;
use crate::engine::restore::other_places::OtherPlaces;
use crate::engine::restore::window::thaw_window;
use crate::engine::threads::spawn_some;
use crate::error::{Error, RestoreError};
use crate::interrupt::Interrupt;
use crate::model::entry::Timestamp;
use crate::model::{ArchiveId, SourceName, StorageClass, TierRefused};
use crate::plan::{Awaited, CostRefusal, ThawWindow};
use crate::store::{ErrorKind, Locator, Readability, StoreError, ThawAnswer, ThawRequest};

/// How many requests are sent at once. An answer of S3 takes some 50 ms, and its store keeps the pace of thaw
/// requests.
const THREADS: usize = 16;

/// The number of requests between two writes of the catalog.
const BATCH: usize = 256;

/// A segment that goes cold again sooner than this is requested again: fetching takes time too.
pub(in crate::engine) const LONG_ENOUGH: TimeDelta = TimeDelta::hours(6);

/// The segments of archives that a restore needs.
#[derive(Clone, Copy)]
pub struct WantedSegments<'a> {
    /// The source.
    pub source: &'a OpenSource<'a>,
    /// The class that the store puts segments into now; `None` if it has no classes.
    pub class: Option<StorageClass>,
    /// The archives.
    pub archives: &'a [ArchiveId],
    /// Which of their segments are needed, by archive and index; `None` for all.
    pub only: Option<&'a BTreeSet<(ArchiveId, u32)>>,
    /// Says when to stop.
    pub interrupt: &'a Interrupt,
}

/// Whether a segment can be read, and its thaw request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentThaw {
    /// Its archive.
    pub archive: ArchiveId,
    /// Its number in the archive, from 0.
    pub index: u32,
    /// Whether it can be read.
    pub readability: Readability,
    /// The thaw request that this catalog knows.
    pub asked: Option<ThawRow>,
    /// Its length.
    pub bytes: u64,
    locator: Locator,
}

/// The state of a thaw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThawStatus {
    /// The segments, in the order in which they are fetched.
    pub segments: Vec<SegmentThaw>,
    /// The store's time; `None` if no segment can be cold, so that the store was not asked.
    pub now: Option<DateTime<Utc>>,
    /// How much is thawed at once, where the store sets a limit.
    pub window: Option<ThawWindow>,
}

impl SegmentThaw {
    /// Returns when a segment that is being thawed is typically readable.
    pub fn due(&self) -> Option<DateTime<Utc>> {
        let Readability::Thawing(class) = self.readability else {
            return None;
        };
        let asked = self.asked?;
        let takes = class.thaw_time(asked.tier).ok()?;
        Some(asked.asked_at.0 + takes)
    }

    /// Returns whether it is thawed, or is being thawed, and was not fetched yet.
    fn is_outstanding(&self) -> bool {
        let fetched = self
            .asked
            .is_some_and(|asked| asked.state == ThawState::Fetched);
        match self.readability {
            Readability::Thawing(_) => true,
            Readability::Until(..) => !fetched,
            Readability::Always | Readability::Cold(_) => false,
        }
    }

    pub(in crate::engine) fn place(&self) -> (ArchiveId, u32) {
        (self.archive, self.index)
    }

    /// Returns what the store finds it by.
    pub(in crate::engine) fn locator(&self) -> &Locator {
        &self.locator
    }

    /// Returns its cold class, if a thaw has to be requested.
    pub(in crate::engine) fn to_ask(&self, now: DateTime<Utc>) -> Option<StorageClass> {
        match self.readability {
            Readability::Cold(class) => Some(class),
            Readability::Until(class, until) if until < now + LONG_ENOUGH => Some(class),
            Readability::Until(..) | Readability::Always | Readability::Thawing(_) => None,
        }
    }
}

impl ThawStatus {
    /// Returns the segments whose thaw has to be requested, each with its cold class.
    pub(in crate::engine) fn unready(
        &mut self,
        now: DateTime<Utc>,
    ) -> impl Iterator<Item = (StorageClass, &mut SegmentThaw)> {
        let segments = self.segments.iter_mut();
        segments.filter_map(move |segment| Some((segment.to_ask(now)?, segment)))
    }

    /// Returns the archives that are thawed in parts: those that do not fit into the window, and those of which a part
    /// is outstanding already.
    fn in_parts(&self) -> BTreeSet<ArchiveId> {
        let window = self.window.map_or(u64::MAX, |window| window.bytes);
        let mut bytes: BTreeMap<ArchiveId, u64> = BTreeMap::new();
        for segment in &self.segments {
            *bytes.entry(segment.archive).or_default() += segment.bytes;
        }
        let large = bytes.iter().filter(|(_, bytes)| **bytes > window);
        let begun = self.segments.iter().filter(|it| it.is_outstanding());
        let begun = begun.map(|segment| segment.archive);
        large.map(|(archive, _)| *archive).chain(begun).collect()
    }

    /// Returns the segments to request now, each with its cold class: those that fit into the window, in the order in
    /// which they are fetched. `in_parts` are the archives that need not be readable as a whole.
    fn next_requests(
        &mut self,
        now: DateTime<Utc>,
        in_parts: &BTreeSet<ArchiveId>,
    ) -> Vec<(StorageClass, &mut SegmentThaw)> {
        let Some(window) = self.window else {
            return self.unready(now).collect();
        };
        let outstanding = self.segments.iter().filter(|it| it.is_outstanding());
        let outstanding = outstanding.map(|segment| segment.bytes).sum();
        // A request does not make one that is readable stay so for longer.
        let cold = self.segments.iter_mut().filter_map(|segment| {
            let Readability::Cold(class) = segment.readability else {
                return None;
            };
            Some((class, segment))
        });
        let mut cold: Vec<_> = cold.collect();
        let takes = window.takes(outstanding, cold.iter().map(|(_, segment)| segment.bytes));
        let whole = (1..=takes).rfind(|at| {
            let last = cold[*at - 1].1.archive;
            let next = cold.get(*at).map(|(_, next)| next.archive);
            next != Some(last) || in_parts.contains(&last)
        });
        // An archive is received when all of it is readable. A part of one would go cold again while it waits.
        cold.truncate(whole.unwrap_or(0));
        cold
    }

    /// Returns whether every segment of an archive can be read.
    pub(in crate::engine) fn is_readable(&self, archive: &ArchiveId) -> bool {
        let of_it = |segment: &&SegmentThaw| segment.archive == *archive;
        self.segments.iter().filter(of_it).all(|segment| {
            matches!(
                segment.readability,
                Readability::Always | Readability::Until(..)
            )
        })
    }

    /// Returns the segments that can't be read now.
    pub(in crate::engine) fn unreadable(&self) -> BTreeSet<(ArchiveId, u32)> {
        let cold = self.segments.iter().filter(|segment| {
            matches!(
                segment.readability,
                Readability::Cold(_) | Readability::Thawing(_)
            )
        });
        cold.map(SegmentThaw::place).collect()
    }

    /// Returns what is still awaited; `None` if every segment can be read.
    pub fn awaited(&self, source: &SourceName) -> Option<Awaited> {
        let mut awaited = Awaited {
            source: source.clone(),
            place: None,
            segments: self.segments.len() as u64,
            readable: 0,
            thawing: 0,
            cold: 0,
            by: BTreeSet::new(),
            due: None,
            window: self.window,
            now: self.now?,
        };
        let mut all_known = true;
        for segment in &self.segments {
            match segment.readability {
                Readability::Always | Readability::Until(..) => awaited.readable += 1,
                Readability::Cold(_) => awaited.cold += 1,
                Readability::Thawing(class) => {
                    awaited.thawing += 1;
                    let tier = segment.asked.map(|asked| asked.tier);
                    awaited.by.insert((class, tier));
                    all_known &= segment.due().is_some();
                    awaited.due = awaited.due.max(segment.due());
                }
            }
        }
        awaited.due = awaited.due.filter(|_| all_known);
        (awaited.readable < awaited.segments).then_some(awaited)
    }

    /// Returns when the first thawed segment goes cold again.
    pub fn readable_until(&self) -> Option<DateTime<Utc>> {
        let segments = self.segments.iter();
        let untils = segments.filter_map(|segment| match segment.readability {
            Readability::Until(_, until) => Some(until),
            _ => None,
        });
        untils.min()
    }
}

/// Asks the store for the state of every segment. Requests no thaw.
pub fn thaw_state(wanted: &WantedSegments<'_>, catalog: &mut Catalog) -> Result<ThawStatus, Error> {
    state_beside(wanted, &OtherPlaces::default(), catalog)
}

/// The same, where a segment that is missing may be in another place: it counts as one that can be read.
fn state_beside(
    wanted: &WantedSegments<'_>,
    others: &OtherPlaces<'_>,
    catalog: &mut Catalog,
) -> Result<ThawStatus, Error> {
    let mut segments = segments(wanted, catalog)?;
    let window = thaw_window(wanted.source, catalog)?;
    let asked: Vec<usize> = (0..segments.len())
        .filter(|at| may_be_cold(&segments[*at], wanted))
        .collect();
    if asked.is_empty() {
        let segments = segments.into_iter().map(|(_, segment)| segment).collect();
        return Ok(ThawStatus {
            segments,
            now: None,
            window,
        });
    }
    let store = wanted.source.store.as_ref();
    let now = store.guessed_now()?;
    let (answers, failed) = ask_all(&asked, |at| {
        match store.readability(&segments[*at].1.locator) {
            Err(error) if error.is_not_found() && !others.is_empty() => Ok(Readability::Always),
            answer => answer,
        }
    });
    if let Some((at, error)) = failed {
        let segment = &segments[asked[at]].1;
        return Err(if error.is_not_found() {
            Error::Restore(missing(segment, error.key))
        } else {
            error.into()
        });
    }
    for (at, readability) in answers {
        segments[asked[at]].1.readability = readability;
    }
    let segments: Vec<SegmentThaw> = segments.into_iter().map(|(_, segment)| segment).collect();
    remember(&segments, catalog)?;
    Ok(ThawStatus {
        segments,
        now: Some(now),
        window,
    })
}

/// The error for a segment that the store does not have.
fn missing(segment: &SegmentThaw, key: String) -> RestoreError {
    RestoreError::SegmentDamaged {
        archive: segment.archive,
        index: segment.index,
        key,
        what: "it is missing".to_owned(),
    }
}

/// Requests the thaw of all segments that can't be read, or not for long enough, and returns their state.
pub fn thaw(
    wanted: &WantedSegments<'_>,
    request: ThawRequest,
    catalog: &mut Catalog,
) -> Result<ThawStatus, Error> {
    thaw_beside(wanted, request, &OtherPlaces::default(), catalog)
}

/// The same, where a segment that is missing may be in another place: it counts as one that can be read.
pub(in crate::engine) fn thaw_beside(
    wanted: &WantedSegments<'_>,
    request: ThawRequest,
    others: &OtherPlaces<'_>,
    catalog: &mut Catalog,
) -> Result<ThawStatus, Error> {
    let mut status = state_beside(wanted, others, catalog)?;
    let Some(now) = status.now else {
        return Ok(status);
    };
    let in_parts = if wanted.only.is_some() {
        wanted.archives.iter().copied().collect()
    } else {
        status.in_parts()
    };
    let mut to_ask = status.next_requests(now, &in_parts);
    request_thaws(wanted, request, &mut to_ask, catalog)?;
    // Read the rows again: they say when the thaw is due.
    for archive in wanted.archives {
        let thaws = catalog.thaws(archive)?;
        for segment in &mut status.segments {
            if segment.archive == *archive {
                segment.asked = thaws.get(&segment.index).copied();
            }
        }
    }
    Ok(status)
}

/// Refuses archives of which one is larger than the window, and not all thawed: not all of it would be readable at once.
pub(in crate::engine) fn require_window(
    wanted: &WantedSegments<'_>,
    catalog: &mut Catalog,
) -> Result<(), Error> {
    let Some(window) = thaw_window(wanted.source, catalog)? else {
        return Ok(());
    };
    let mut status = None;
    for archive in wanted.archives {
        let segments = catalog.segments(archive)?;
        let bytes = segments.iter().map(|row| row.record.sealed_bytes).sum();
        if bytes <= window.bytes || segments.len() == 1 {
            continue;
        }
        let status = match &status {
            Some(status) => status,
            None => &*status.insert(thaw_state(wanted, catalog)?),
        };
        if !status.is_readable(archive) {
            return Err(RestoreError::LargerThanWindow {
                source_name: wanted.source.name().clone(),
                archive: *archive,
                bytes,
                window,
            }
            .into());
        }
    }
    Ok(())
}

/// Requests the thaw of segments, each given with its cold class, and notes in them what they are now.
pub(in crate::engine) fn request_thaws(
    wanted: &WantedSegments<'_>,
    request: ThawRequest,
    to_ask: &mut [(StorageClass, &mut SegmentThaw)],
    catalog: &mut Catalog,
) -> Result<(), Error> {
    for (class, _) in &*to_ask {
        // Check all classes before the first request.
        class
            .thaw_time(request.tier)
            .map_err(|refused: TierRefused| CostRefusal::from(refused))?;
    }
    let of = to_ask.len();
    let mut done = 0;
    let store = wanted.source.store.as_ref();
    for batch in to_ask.chunks_mut(BATCH) {
        wanted.interrupt.check()?;
        let places: Vec<_> = batch.iter().map(|(_, segment)| segment.place()).collect();
        let asked_at = store.guessed_now()?;
        catalog.thaw_requested(&places, request.tier, request.days, Timestamp(asked_at))?;
        let (answers, failed) = ask_all(batch, |(_, segment)| {
            // A batch takes minutes at a slow pace.
            if wanted.interrupt.check().is_err() {
                return Ok(None);
            }
            let answer = match store.thaw(&segment.locator, request) {
                // For some services a cold class is only a name, and they do not know thaw requests.
                Err(error) if error.is_of_one_object() || error.kind == ErrorKind::Unsupported => {
                    let read = store.get_range(&segment.locator, 0, 1);
                    read.map(|_| ThawAnswer::NotCold).map_err(|_| error)
                }
                answer => answer,
            };
            answer.map(Some)
        });
        let mut answered = Vec::new();
        for (at, answer) in answers {
            let Some(answer) = answer else {
                continue;
            };
            done += 1;
            let (class, segment) = &mut batch[at];
            segment.readability = answered_as(*class, segment.readability, answer, || {
                asked_at + TimeDelta::days(request.days.into())
            });
            answered.push((**segment).clone());
        }
        remember(&answered, catalog)?;
        if let Some((at, error)) = failed {
            return Err(match error.kind {
                // A listing may be older than the loss.
                ErrorKind::NotFound => Error::Restore(missing(batch[at].1, error.key)),
                ErrorKind::NoCapacity => Error::Restore(RestoreError::NoCapacity {
                    tier: request.tier,
                    asked: done,
                    of,
                    source: error,
                }),
                _ => error.into(),
            });
        }
    }
    wanted.interrupt.check()
}

/// Returns the state of a segment after the answer to its thaw request.
fn answered_as(
    class: StorageClass,
    before: Readability,
    answer: ThawAnswer,
    extended: impl Fn() -> DateTime<Utc>,
) -> Readability {
    match (answer, before) {
        (ThawAnswer::NotCold, _) => Readability::Always,
        // It stays readable, for longer than before.
        (ThawAnswer::Accepted, Readability::Until(_, until)) => {
            Readability::Until(class, extended().max(until))
        }
        (ThawAnswer::Running, Readability::Until(..)) => before,
        (ThawAnswer::Accepted | ThawAnswer::Running, _) => Readability::Thawing(class),
    }
}

/// Returns every segment of the archives, with the class of its archive. All are marked as readable for now.
fn segments(
    wanted: &WantedSegments<'_>,
    catalog: &Catalog,
) -> Result<Vec<(Option<StorageClass>, SegmentThaw)>, Error> {
    let row = &wanted.source.row;
    let archives: Vec<ArchiveRow> = catalog.archives(&row.ledger)?;
    let mut segments = Vec::new();
    for id in wanted.archives {
        let archive = archives.iter().find(|archive| archive.id == *id);
        let class = archive.and_then(|archive| archive.storage_class);
        let thaws = catalog.thaws(id)?;
        for segment in catalog.segments(id)? {
            let place = (*id, segment.index);
            if wanted.only.is_some_and(|only| !only.contains(&place)) {
                continue;
            }
            segments.push((
                class,
                SegmentThaw {
                    archive: *id,
                    index: segment.index,
                    readability: Readability::Always,
                    asked: thaws.get(&segment.index).copied(),
                    bytes: segment.record.sealed_bytes,
                    locator: Locator::from(segment.locator),
                },
            ));
        }
    }
    Ok(segments)
}

/// Returns whether a segment may be cold. Others need no question to the store. The store's present class
/// counts too, because an old catalog may have no class for the archive.
fn may_be_cold(
    (class, _): &(Option<StorageClass>, SegmentThaw),
    wanted: &WantedSegments<'_>,
) -> bool {
    let classes = [*class, wanted.class];
    classes.into_iter().flatten().any(StorageClass::is_cold)
}

/// Writes the store's answers to the catalog.
fn remember(segments: &[SegmentThaw], catalog: &mut Catalog) -> Result<(), Error> {
    let mut running = Vec::new();
    let mut readable = Vec::new();
    for segment in segments {
        match segment.readability {
            Readability::Thawing(_) => running.push(segment.place()),
            Readability::Until(_, until) => {
                readable.push((segment.archive, segment.index, Timestamp(until)));
            }
            Readability::Always | Readability::Cold(_) => {}
        }
    }
    catalog.thaw_running(&running)?;
    catalog.thaw_readable(&readable)?;
    Ok(())
}

/// Answers in any order, each with the place of its item.
pub(in crate::engine) type Answers<A> = Vec<(usize, A)>;

/// Calls `ask` for each item, several at once, until all are answered or one fails. The first failure comes
/// with the place of its item.
pub(in crate::engine) fn ask_all<T: Sync, A: Send>(
    items: &[T],
    ask: impl Fn(&T) -> Result<A, StoreError> + Sync,
) -> (Answers<A>, Option<(usize, StoreError)>) {
    let next = AtomicUsize::new(0);
    let stop = AtomicBool::new(false);
    let answers = Mutex::new(Vec::with_capacity(items.len()));
    let failure = Mutex::new(None);
    let work = || {
        while !stop.load(Ordering::Relaxed) {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(at) else {
                return;
            };
            match ask(item) {
                Ok(answer) => answers.lock().expect("no holder panics").push((at, answer)),
                Err(error) => {
                    stop.store(true, Ordering::Relaxed);
                    let mut failure = failure.lock().expect("no holder panics");
                    failure.get_or_insert((at, error));
                }
            }
        }
    };
    thread::scope(|scope| {
        // This thread works too: the system may allow no other.
        let _ = spawn_some(
            scope,
            "asks the store",
            THREADS.min(items.len()).saturating_sub(1),
            work,
        );
        work();
    });
    let answers = answers.into_inner().expect("no holder panics");
    (answers, failure.into_inner().expect("no holder panics"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const CLASS: StorageClass = StorageClass::Vault;

    fn archive(nth: u64) -> ArchiveId {
        format!("2026-11-21-full-{nth:016x}").parse().unwrap()
    }

    /// The state of segments that are given by their archive, their length, and whether they can be read.
    fn status(segments: &[(u64, u64, Readability)], window: u64) -> ThawStatus {
        let segments = (0..).zip(segments);
        let segments = segments.map(|(index, (nth, bytes, readability))| SegmentThaw {
            archive: archive(*nth),
            index,
            readability: *readability,
            asked: None,
            bytes: *bytes,
            locator: Locator::from(format!("{index}")),
        });
        ThawStatus {
            segments: segments.collect(),
            now: Some(Utc::now()),
            window: Some(ThawWindow {
                bytes: window,
                ..ThawWindow::new(Duration::from_hours(20), None)
            }),
        }
    }

    /// The numbers of the segments that are requested.
    fn requested(mut status: ThawStatus) -> Vec<u32> {
        let in_parts = status.in_parts();
        let now = Utc::now();
        let requests = status.next_requests(now, &in_parts).into_iter();
        requests.map(|(_, segment)| segment.index).collect()
    }

    #[test]
    fn whole_archives_are_thawed_as_far_as_the_window_goes() {
        use Readability::{Always, Cold, Thawing, Until};
        let soon = Until(CLASS, Utc::now() + TimeDelta::hours(1));
        let (cold, thawing) = (Cold(CLASS), Thawing(CLASS));
        for (segments, window, expected) in [
            (
                &[(1, 4, cold), (1, 4, cold), (2, 4, cold), (2, 4, cold)][..],
                16,
                &[0, 1, 2, 3][..],
            ),
            // The second archive would not be readable as a whole.
            (
                &[(1, 4, cold), (1, 4, cold), (2, 4, cold), (2, 4, cold)],
                15,
                &[0, 1],
            ),
            (
                &[(1, 4, thawing), (1, 4, thawing), (2, 4, cold), (2, 4, cold)],
                15,
                &[],
            ),
            (&[(1, 4, thawing), (1, 4, thawing), (2, 4, cold)], 12, &[2]),
            // What was begun is ended.
            (&[(1, 4, thawing), (1, 4, cold), (1, 4, cold)], 12, &[1, 2]),
            (&[(1, 4, soon), (1, 4, cold)], 8, &[1]),
            // No window takes this one: it is thawed in parts.
            (&[(1, 4, cold), (1, 4, cold), (1, 4, cold)], 8, &[0, 1]),
            // One segment always goes.
            (&[(1, 9, cold), (2, 1, cold)], 8, &[0]),
            // A request does not make it readable for longer.
            (&[(1, 4, soon), (1, 4, Always)], 100, &[]),
        ] {
            assert_eq!(
                requested(status(segments, window)),
                expected,
                "{segments:?}, {window}"
            );
        }
    }

    #[test]
    fn a_copy_is_thawed_segment_by_segment() {
        let cold = Readability::Cold(CLASS);
        let mut status = status(
            &[(1, 4, cold), (1, 4, cold), (2, 4, cold), (2, 4, cold)],
            13,
        );
        let both = BTreeSet::from([archive(1), archive(2)]);
        assert_eq!(status.next_requests(Utc::now(), &both).len(), 3);
    }
}
