//! Brings the objects of archives from home to a copy: several segments at a time, each compared with the signed ledger
//! on its way, and an archive's key after all its segments.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use crossbeam_channel::{Receiver, Sender, unbounded};

use crate::catalog::{Catalog, CatalogError};
use crate::engine::backup::put_verified::put;
use crate::engine::context::RunContext;
use crate::engine::context::open_source::OpenSource;
use crate::engine::files::contents::fetch::fetch_contents;
use crate::engine::ledger::listing::{difference, listing};
use crate::engine::restore::fetch::{AtOnce, WantedSegment, fetch};
use crate::error::{BackupError, Error, RestoreError};
use crate::model::entry::{ArchiveEntry, Timestamp};
use crate::model::keys::{self, ArchiveObject, ArchivePart};
use crate::model::{Sha256, StorageClass};
use crate::progress::Event;
use crate::store::{ErrorKind, NewObject, ObjectKind, Put, RemoteObject};

/// Ends an archive: with its error, if it is not whole in the copy.
pub(super) type Ended<'a> =
    dyn FnMut(&ToCopy, Result<CopiedWhole, Error>, &mut Catalog) -> Result<(), Error> + 'a;

/// An archive that is whole in the copy.
pub(super) struct CopiedWhole {
    /// Why the copy lacks its contents, if it does. It can be restored all the same.
    pub(super) without_contents: Option<Error>,
}

/// What archives are copied with.
pub(super) struct Transfer<'a> {
    pub(super) home: &'a OpenSource<'a>,
    pub(super) there: &'a OpenSource<'a>,
    /// The number of the copy's row.
    pub(super) place: i64,
    /// The class that the copy puts segments into.
    pub(super) class: Option<StorageClass>,
    pub(super) at_once: AtOnce,
    pub(super) context: RunContext<'a>,
}

/// An archive to copy.
pub(super) struct ToCopy {
    pub(super) entry: ArchiveEntry,
    /// The segments to bring now, by index.
    pub(super) segments: BTreeSet<u32>,
    /// Whether the copy lacks other segments, which can't be read at home yet.
    pub(super) rest: Rest,
    /// Until when its objects are locked in the copy.
    pub(super) retain_until: Option<DateTime<Utc>>,
}

/// What the copy lacks of an archive beside the segments that are brought now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    /// Nothing: the archive is whole when they are there.
    Nothing,
    /// Segments that are cold at home. A later run brings them.
    Awaited,
}

impl ToCopy {
    /// The bytes of the segments to bring now.
    pub(super) fn sealed_bytes(&self) -> u64 {
        let records = (0..).zip(&self.entry.segments);
        let now = records.filter(|(index, _)| self.segments.contains(index));
        now.map(|(_, record)| record.sealed_bytes).sum()
    }
}

/// A segment on its way.
struct SegmentJob<'a> {
    wanted: WantedSegment,
    retain_until: Option<DateTime<Utc>>,
    /// Set when another segment of its archive failed.
    given_up: &'a AtomicBool,
    /// Its archive's place in the order.
    of: usize,
}

/// What became of a segment: its locator in the copy; `None` if its archive was given up before.
type Answer = (usize, u32, Result<Option<String>, Error>);

/// An archive whose segments are on their way.
struct Open {
    /// How many segments are not there yet.
    left: usize,
    failed: Option<Error>,
}

/// How many segments may be in memory as a whole at once.
struct WholeSegments(Mutex<usize>, Condvar);

/// Room for one segment, until it is dropped.
struct Taken<'a>(&'a WholeSegments);

impl WholeSegments {
    fn new(segments: usize) -> Self {
        Self(Mutex::new(segments.max(1)), Condvar::new())
    }

    fn left(&self) -> MutexGuard<'_, usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there is room.
    fn take(&self) -> Taken<'_> {
        let waited = self.1.wait_while(self.left(), |left| *left == 0);
        *waited.unwrap_or_else(PoisonError::into_inner) -= 1;
        Taken(self)
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        *self.0.left() += 1;
        self.0.1.notify_one();
    }
}

impl Transfer<'_> {
    /// Copies these archives in their order, and calls `ended` with each when it is whole in the copy, or when an object
    /// of it could not be brought. One whose other segments are awaited is not ended. An error of `ended` ends the run, and
    /// so does one that is not of a single archive.
    pub(super) fn archives(
        &self,
        archives: &[ToCopy],
        catalog: &mut Catalog,
        ended: &mut Ended<'_>,
    ) -> Result<(), Error> {
        let given_up: Vec<AtomicBool> = archives.iter().map(|_| AtomicBool::new(false)).collect();
        let mut jobs = VecDeque::new();
        let mut open = Vec::new();
        for (of, (archive, given_up)) in archives.iter().zip(&given_up).enumerate() {
            let id = &archive.entry.id;
            catalog.begin_placed(self.place, id, self.class)?;
            let rows = catalog.segments(id)?;
            let wanted = WantedSegment::of(self.home, &archive.entry, &rows).into_iter();
            let wanted = wanted.filter(|wanted| archive.segments.contains(&wanted.index));
            let before = jobs.len();
            jobs.extend(wanted.map(|wanted| SegmentJob {
                wanted,
                retain_until: archive.retain_until,
                given_up,
                of,
            }));
            open.push(Open {
                left: jobs.len() - before,
                failed: None,
            });
        }
        let room = WholeSegments::new(self.at_once.of(jobs.iter().map(|job| &job.wanted)));
        let workers = self.at_once.asked_for.clamp(1, jobs.len().max(1));
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let (queue, next) = unbounded::<SegmentJob<'_>>();
            let (answer, answers) = unbounded::<Answer>();
            for job in jobs {
                queue.send(job).expect("the queue is open");
            }
            drop(queue);
            for _ in 0..workers {
                let (next, answer, stop, room) = (next.clone(), answer.clone(), &stop, &room);
                scope.spawn(move || self.work(&next, &answer, stop, room));
            }
            drop(answer);
            let done = self.gather(archives, open, &answers, catalog, ended);
            stop.store(true, Ordering::Relaxed);
            done
        })
    }

    fn work(
        &self,
        next: &Receiver<SegmentJob<'_>>,
        answer: &Sender<Answer>,
        stop: &AtomicBool,
        room: &WholeSegments,
    ) {
        for job in next {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            let brought = if job.given_up.load(Ordering::Relaxed) {
                Ok(None)
            } else {
                self.bring(&job, room).map(Some)
            };
            if brought.is_err() {
                job.given_up.store(true, Ordering::Relaxed);
            }
            // If the run has ended, the answer is not needed.
            let _ = answer.send((job.of, job.wanted.index, brought));
        }
    }

    /// Brings a segment, and returns its locator in the copy.
    fn bring(&self, job: &SegmentJob<'_>, room: &WholeSegments) -> Result<String, Error> {
        self.context.interrupt.check()?;
        let wanted = &job.wanted;
        if let Some(locator) = self.bring_in_pieces(job)? {
            return Ok(locator);
        }
        // Segments that are in memory as a whole wait for each other.
        let _room = room.take();
        let sealed = Bytes::from(fetch(self.home.store.as_ref(), wanted)?);
        let object = NewObject {
            retain_until: job.retain_until,
            ..NewObject::new(
                &wanted.key,
                sealed,
                wanted.record.sha256,
                ObjectKind::Segment,
            )
        };
        put(self.there.store.as_ref(), &object)
    }

    /// Has the service of both stores copy a segment by itself, or stores it while it is read. Returns its locator in the
    /// copy; `None` if neither is possible, or if the segment can't be read as it should be.
    fn bring_in_pieces(&self, job: &SegmentJob<'_>) -> Result<Option<String>, Error> {
        let wanted = &job.wanted;
        let (home, there) = (self.home.store.as_ref(), self.there.store.as_ref());
        let object = RemoteObject {
            key: &wanted.key,
            bytes: wanted.record.sealed_bytes,
            sha256: wanted.record.sha256,
            role: ObjectKind::Segment,
            retain_until: job.retain_until,
        };
        let copied = match there.copy_within(home, wanted.locator(), &object) {
            Ok(None) => there.relay(home, wanted.locator(), &object)?,
            Ok(copied) => copied,
            // Reading the segment at home gives the same error, with its place in the archive.
            Err(error) if error.url == home.url() => None,
            Err(error) => return Err(error.into()),
        };
        Ok(copied.map(|copied| match copied {
            Put::Created(locator) | Put::Existed(locator) => locator.to_string(),
        }))
    }

    /// Records what the workers bring, and ends each archive when its last segment has come.
    fn gather(
        &self,
        archives: &[ToCopy],
        mut open: Vec<Open>,
        answers: &Receiver<Answer>,
        catalog: &mut Catalog,
        ended: &mut Ended<'_>,
    ) -> Result<(), Error> {
        for (archive, open) in archives.iter().zip(&open) {
            if open.left == 0 {
                let whole = self.finish(archive, catalog);
                ended(archive, whole, catalog)?;
            }
        }
        let mut done = 0;
        for (of, index, brought) in answers {
            let (archive, open) = (&archives[of], &mut open[of]);
            let id = archive.entry.id;
            match brought {
                Ok(Some(locator)) => {
                    catalog.place_segments(self.place, &id, &[(index, locator)])?;
                    done += archive.entry.segments[index as usize].sealed_bytes;
                    self.context.observer.event(Event::CopyingProgress {
                        source: self.home.name().clone(),
                        sealed_bytes: done,
                    });
                }
                Ok(None) => {}
                Err(error) if is_of_archive(&error) => {
                    open.failed.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
            open.left -= 1;
            if open.left == 0 {
                let whole = match open.failed.take() {
                    None if archive.rest == Rest::Awaited => continue,
                    None => self.finish(archive, catalog),
                    Some(error) => Err(error),
                };
                ended(archive, whole, catalog)?;
            }
        }
        Ok(())
    }

    /// Ends an archive all of whose segments were put: a listing of the copy must show them, then its contents and its key
    /// are put. Contents that are damaged at home keep nothing else from being copied.
    fn finish(&self, archive: &ToCopy, catalog: &mut Catalog) -> Result<CopiedWhole, Error> {
        let entry = &archive.entry;
        self.require_segments(archive, catalog)?;
        let without_contents = match self.bring_contents(archive) {
            Ok(()) => None,
            Err(error) if is_of_archive(&error) => Some(error),
            Err(error) => return Err(error),
        };
        let key = keys::archive_key(&self.there.row.directory, &entry.id);
        let sealed = BASE64.decode(&entry.key).map_err(|error| {
            CatalogError::Damaged(format!(
                "the entry of {} has a key that is no base64: {error}",
                entry.id
            ))
        })?;
        let sha256 = Sha256::of(&sealed);
        let object = NewObject {
            retain_until: archive.retain_until,
            ..NewObject::new(&key, sealed, sha256, ObjectKind::Ledger)
        };
        put(self.there.store.as_ref(), &object)?;
        let now = Timestamp(self.context.clock.now());
        catalog.finish_placed(self.place, &entry.id, now)?;
        if without_contents.is_none() {
            catalog.place_contents(self.place, &entry.id)?;
        }
        // The listing has just shown all its segments.
        catalog.turn_to(Some(self.place));
        let recorded = catalog.archive_verified(&entry.id, now);
        catalog.turn_to(None);
        recorded?;
        Ok(CopiedWhole { without_contents })
    }

    /// Brings the contents of an archive. They are few objects beside its segments, and are never cold.
    fn bring_contents(&self, archive: &ToCopy) -> Result<(), Error> {
        let (home, there) = (self.home.store.as_ref(), self.there.store.as_ref());
        let directory = &self.there.row.directory;
        let objects = ArchiveObject::of_entry(directory, &archive.entry);
        let contents = objects.filter(|object| matches!(object.part, ArchivePart::Contents(_)));
        for object in contents {
            self.context.interrupt.check()?;
            let is_there = match there.stat(&there.locate(&object.key)) {
                Ok(stat) => match difference(&object, Some(&stat)) {
                    None => true,
                    Some(first) => {
                        return Err(BackupError::SegmentsMissing {
                            archive: archive.entry.id,
                            store: self.there.row.store.clone(),
                            objects: 1,
                            first,
                        }
                        .into());
                    }
                },
                Err(error) if error.is_not_found() => false,
                Err(error) => return Err(error.into()),
            };
            if is_there {
                continue;
            }
            let sealed = fetch_contents(home, &object)?;
            let sha256 = Sha256::of(&sealed);
            let new = NewObject {
                retain_until: archive.retain_until,
                ..NewObject::new(&object.key, sealed, sha256, ObjectKind::Ledger)
            };
            put(there, &new)?;
        }
        Ok(())
    }

    /// Refuses an archive of which a listing of the copy does not show every segment as the ledger signs it. What is
    /// missing is brought once more first.
    fn require_segments(&self, archive: &ToCopy, catalog: &mut Catalog) -> Result<(), Error> {
        let entry = &archive.entry;
        let directory = &self.there.row.directory;
        let segments: Vec<ArchiveObject> = ArchiveObject::of_entry(directory, entry)
            .filter(|object| object.segment().is_some())
            .collect();
        let shown = listing(self.there, &entry.id)?;
        let absent = |object: &&ArchiveObject| !shown.contains_key(&object.key);
        let absent: Vec<u32> = segments
            .iter()
            .filter(absent)
            .filter_map(ArchiveObject::segment)
            .collect();
        let shown = if absent.is_empty() {
            shown
        } else {
            self.bring_again(archive, &absent, catalog)?;
            listing(self.there, &entry.id)?
        };
        let wrong: Vec<String> = segments
            .iter()
            .filter_map(|object| difference(object, shown.get(&object.key)))
            .collect();
        match wrong.first() {
            None => Ok(()),
            Some(first) => Err(BackupError::SegmentsMissing {
                archive: entry.id,
                store: self.there.row.store.clone(),
                objects: wrong.len(),
                first: first.clone(),
            }
            .into()),
        }
    }

    /// Brings segments of an archive that the copy has lost since they were put.
    fn bring_again(
        &self,
        archive: &ToCopy,
        indices: &[u32],
        catalog: &mut Catalog,
    ) -> Result<(), Error> {
        let id = archive.entry.id;
        let rows = catalog.segments(&id)?;
        let given_up = AtomicBool::new(false);
        for wanted in WantedSegment::of(self.home, &archive.entry, &rows) {
            if !indices.contains(&wanted.index) {
                continue;
            }
            let job = SegmentJob {
                wanted,
                retain_until: archive.retain_until,
                given_up: &given_up,
                of: 0,
            };
            let locator = self.bring(&job, &WholeSegments::new(1))?;
            catalog.place_segments(self.place, &id, &[(job.wanted.index, locator)])?;
        }
        Ok(())
    }
}

/// Whether an error is of one archive, so that others can be copied all the same.
fn is_of_archive(error: &Error) -> bool {
    match error {
        Error::Restore(RestoreError::SegmentDamaged { .. })
        | Error::Contents(_)
        | Error::Backup(_) => true,
        Error::Store(error) => error.kind == ErrorKind::Cold || error.is_of_one_object(),
        _ => false,
    }
}
