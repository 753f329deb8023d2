//! The tree that is mounted: the sources, their dates, and what each archive has.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use rustix::fs::FileType;

use super::data::{ChainFrame, LoadedDate, MountedData};
use super::inodes::{DateNumber, ShownInode};
use super::names::{Names, Page, ShownDate, ShownObject};
use super::warnings::MountWarnings;
use crate::error::{ContentsFault, Error, RestoreError, in_words};
use crate::fuse::{FuseAttributes, FuseEntry, Named, ReadOnlyTree, Refusal, SeekFor};
use crate::model::file_node::ObjectId;
use crate::store::ErrorKind;

/// How long the kernel may rely on what an archive has: that never changes.
const ALWAYS: Duration = Duration::from_hours(24);

/// How long it may rely on what archives there are.
const SHORTLY: Duration = Duration::from_secs(1);

/// Requests for frames ahead that wait for a worker.
const WAITING: usize = 16;

/// Bytes after which it is looked again at what comes next in a file that is read in order.
const STEP: u64 = 1 << 20;

/// How far from the end of the last read a read may be, so that the file is still read in order: several threads answer the
/// kernel's read-ahead.
const DISORDER: u64 = 2 << 20;

/// A frame to fetch ahead.
pub(super) type AheadJob = (ShownDate, ChainFrame);

pub(super) struct MountedTree<'t, 'm, 'a> {
    names: &'t Names<'a>,
    data: &'t MountedData<'m, 'a>,
    warnings: &'t MountWarnings<'a>,
    /// Who made the mount, and when.
    owner: (u32, u32, i64),
    directories: Handles<Mutex<OpenListing>>,
    files: Handles<OpenFile>,
    ahead: Sender<AheadJob>,
}

struct Handles<T> {
    next: AtomicU64,
    open: Mutex<HashMap<u64, Arc<T>>>,
}

/// A directory that is being listed.
enum OpenListing {
    /// Sources or dates, as they were when it was opened.
    Top(Vec<(String, ShownInode)>),
    /// A directory of an archive: entries of it, and how many come before them.
    Archived {
        date: DateNumber,
        directory: ObjectId,
        before: u64,
        page: Page,
    },
}

struct OpenFile {
    date: ShownDate,
    /// In the tree of the contents.
    file: ObjectId,
    order: Mutex<Order>,
}

/// How far a file was read in order.
#[derive(Default)]
struct Order {
    next: u64,
    /// How far it was looked ahead.
    seen: u64,
}

impl<'t, 'm, 'a> MountedTree<'t, 'm, 'a> {
    /// Returns the tree, and what is to be fetched ahead.
    pub(super) fn new(
        names: &'t Names<'a>,
        data: &'t MountedData<'m, 'a>,
        warnings: &'t MountWarnings<'a>,
        owner: (u32, u32, i64),
    ) -> (Self, Receiver<AheadJob>) {
        let (ahead, jobs) = bounded(WAITING);
        let tree = Self {
            names,
            data,
            warnings,
            owner,
            directories: Handles::new(),
            files: Handles::new(),
            ahead,
        };
        (tree, jobs)
    }

    fn top(&self, inode: ShownInode) -> Result<Named, Refusal> {
        let (uid, gid, time) = self.owner;
        let attributes = FuseAttributes {
            inode: inode.number().ok_or(Refusal::Stale)?,
            mode: 0o040_555,
            links: 1,
            uid,
            gid,
            rdev: 0,
            size: 0,
            mtime: time,
            ctime: time,
        };
        Ok(Named {
            attributes,
            valid: SHORTLY,
        })
    }

    fn named(&self, inode: ShownInode) -> Result<Named, Refusal> {
        match inode {
            ShownInode::Archived(date, object) => {
                let known = self.names.object(date, object)?;
                Ok(Named {
                    attributes: known.attributes,
                    valid: if object == ObjectId::ROOT {
                        SHORTLY
                    } else {
                        ALWAYS
                    },
                })
            }
            inode => self.top(inode),
        }
    }

    /// Returns what a directory above the archives has.
    fn top_entries(&self, inode: ShownInode) -> Result<Vec<(String, ShownInode)>, Refusal> {
        match inode {
            ShownInode::Top => {
                let sources = self.names.sources().enumerate();
                let entries =
                    sources.map(|(number, name)| (name.to_string(), ShownInode::Source(number)));
                Ok(entries.collect())
            }
            ShownInode::Source(source) => {
                let dates = self.names.dates(source)?.into_iter();
                let entries =
                    dates.map(|(name, date)| (name, ShownInode::Archived(date, ObjectId::ROOT)));
                Ok(entries.collect())
            }
            ShownInode::Archived(..) => Err(Refusal::WrongKind),
        }
    }

    /// Returns the contents of a date, which are read if they are not known.
    fn load(&self, date: ShownDate) -> Result<Arc<LoadedDate<'m>>, Refusal> {
        let loaded = self.data.date(date);
        loaded.map_err(|error| self.refuse(date, &error))
    }

    /// Returns what an object of the index is in the tree of the contents.
    fn find(
        &self,
        (number, object): (DateNumber, ObjectId),
        loaded: &LoadedDate<'m>,
    ) -> Result<ObjectId, Refusal> {
        let path = self.names.path(number, object)?;
        let found = loaded.chain().tree.resolve(&path);
        found
            .map_err(|error| self.refuse(loaded.shown(), &error.into()))?
            .ok_or(Refusal::Unreadable)
    }

    /// Says why data can't be read, and what helps.
    fn refuse(&self, date: ShownDate, error: &Error) -> Refusal {
        let source = &self.names.source(date.source).name;
        let name = source.as_argument();
        let day = date.archive.date;
        let (refusal, advice) = match error {
            Error::Restore(RestoreError::NoIdentity) => (
                Refusal::Denied,
                "mount with --identity FILE to read data; without it there are only names"
                    .to_owned(),
            ),
            Error::Store(error) if error.kind == ErrorKind::Cold => (
                Refusal::Cold,
                format!(
                    "run `coldchain thaw {name} --date {day}`, or `coldchain extract {name} PATH --date {day} --to DIR` to thaw no more than a few files need"
                ),
            ),
            Error::Restore(RestoreError::SegmentColdElsewhere { .. }) => {
                (Refusal::Cold, error.hint().unwrap_or_default())
            }
            Error::Interrupted(_) => return Refusal::Unreadable,
            Error::Seal(error) if error.is_wrong_input() => (Refusal::Denied, String::new()),
            Error::Contents(ContentsFault::Missing { .. }) => (
                Refusal::Unreadable,
                format!("run `coldchain index {name} --date {day}`"),
            ),
            error => (Refusal::Unreadable, error.hint().unwrap_or_default()),
        };
        self.warnings.of_archive(source, date.archive, || {
            let what = match error {
                Error::Restore(RestoreError::NoIdentity) => "it has no identity".to_owned(),
                error => in_words(error),
            };
            let advice = if advice.is_empty() {
                advice
            } else {
                format!("; {advice}")
            };
            format!("the mount cannot read the data of {day}: {what}{advice}")
        });
        refusal
    }

    /// Has the next frames fetched, if a file is read in order.
    fn look_ahead(&self, file: &OpenFile, loaded: &LoadedDate<'m>, read: &Range<u64>) {
        let from = {
            let mut order = lock(&file.order);
            let is_in_order = read.start.abs_diff(order.next) <= DISORDER;
            order.next = if is_in_order {
                order.next.max(read.end)
            } else {
                read.end
            };
            if !is_in_order {
                order.seen = read.end;
            }
            if !is_in_order || order.next < order.seen + STEP {
                return;
            }
            order.seen = order.next;
            order.next
        };
        let most = self.data.ahead(self.files.count());
        let chain = loaded.chain();
        // What fails here fails again where it is read.
        let frames = chain.frames_of_file(file.file, from..u64::MAX, most);
        for frame in frames.unwrap_or_default() {
            if !self.data.has_frame(loaded, frame)
                && self.ahead.try_send((file.date, frame)).is_err()
            {
                break;
            }
        }
    }

    /// Fetches a frame ahead. An error is left to the read that needs the frame.
    pub(super) fn fetch_ahead(&self, (date, frame): AheadJob) {
        if let Ok(loaded) = self.data.date(date) {
            let _ = self.data.frame(&loaded, frame);
        }
    }

    fn xattrs_of(
        &self,
        inode: u64,
    ) -> Result<Option<(DateNumber, ObjectId, ShownObject)>, Refusal> {
        match ShownInode::of(inode) {
            ShownInode::Archived(date, object) => {
                let known = self.names.object(date, object)?;
                Ok(Some((date, object, known)))
            }
            _ => Ok(None),
        }
    }
}

impl ReadOnlyTree for MountedTree<'_, '_, '_> {
    fn lookup(&self, directory: u64, name: &[u8]) -> Result<Named, Refusal> {
        match ShownInode::of(directory) {
            ShownInode::Archived(date, directory) => {
                let known = self.names.child(date, (directory, name))?;
                Ok(Named {
                    attributes: known.attributes,
                    valid: ALWAYS,
                })
            }
            above => {
                let mut entries = self.top_entries(above)?.into_iter();
                let found = entries.find(|(it, _)| it.as_bytes() == name);
                let (_, inode) = found.ok_or(Refusal::Missing)?;
                self.named(inode)
            }
        }
    }

    fn attributes(&self, inode: u64) -> Result<Named, Refusal> {
        self.named(ShownInode::of(inode))
    }

    fn link_target(&self, inode: u64) -> Result<Vec<u8>, Refusal> {
        match ShownInode::of(inode) {
            ShownInode::Archived(date, object) => self.names.object(date, object)?.target(),
            _ => Err(Refusal::WrongKind),
        }
    }

    fn open_directory(&self, inode: u64) -> Result<u64, Refusal> {
        let listing = match ShownInode::of(inode) {
            ShownInode::Archived(date, directory) => OpenListing::Archived {
                date,
                directory,
                before: 0,
                page: Vec::new(),
            },
            above => OpenListing::Top(self.top_entries(above)?),
        };
        Ok(self.directories.add(Mutex::new(listing)))
    }

    fn list(
        &self,
        (inode, handle): (u64, u64),
        from: u64,
        give: &mut dyn FnMut(&FuseEntry) -> bool,
    ) -> Result<(), Refusal> {
        let listing = self.directories.get(handle).ok_or(Refusal::Stale)?;
        let mut listing = lock(&listing);
        let mut next = from;
        // The directory itself, twice: the kernel knows the one above.
        for name in [&b"."[..], b".."].into_iter().skip(to_usize(from)) {
            next += 1;
            let listed = FuseEntry {
                name: name.to_vec(),
                next,
                named: self.named(ShownInode::of(inode))?,
            };
            if !give(&listed) {
                return Ok(());
            }
        }
        match &mut *listing {
            OpenListing::Top(entries) => {
                for (name, inode) in entries.iter().skip(to_usize(next - 2)) {
                    next += 1;
                    // A date that has gone meanwhile is left out.
                    let Ok(named) = self.named(*inode) else {
                        continue;
                    };
                    let name = name.clone().into_bytes();
                    if !give(&FuseEntry { name, next, named }) {
                        break;
                    }
                }
                Ok(())
            }
            OpenListing::Archived {
                date,
                directory,
                before,
                page,
            } => loop {
                let at = next - 2;
                let after = *before + page.len() as u64;
                if at < *before || at >= after {
                    *page = match page.last() {
                        Some((last, _)) if at == after => {
                            self.names.page(*date, *directory, (last, 0))?
                        }
                        _ => self.names.page(*date, *directory, (&[], at))?,
                    };
                    *before = at;
                }
                if page.is_empty() {
                    return Ok(());
                }
                for (name, attributes) in &page[to_usize(at - *before)..] {
                    next += 1;
                    let listed = FuseEntry {
                        name: name.clone(),
                        next,
                        named: Named {
                            attributes: *attributes,
                            valid: ALWAYS,
                        },
                    };
                    if !give(&listed) {
                        return Ok(());
                    }
                }
            },
        }
    }

    fn close_directory(&self, handle: u64) {
        self.directories.remove(handle);
    }

    fn open(&self, inode: u64) -> Result<u64, Refusal> {
        let ShownInode::Archived(number, object) = ShownInode::of(inode) else {
            return Err(Refusal::WrongKind);
        };
        let date = self.names.date(number)?;
        let loaded = self.load(date)?;
        let file = self.find((number, object), &loaded)?;
        let chain = loaded.chain();
        let failed = |error: Error| self.refuse(date, &error);
        let kind = chain.tree.kind_of(file).map_err(Error::from);
        if kind.map_err(failed)? != FileType::RegularFile {
            return Err(Refusal::WrongKind);
        }
        // What can't be read says so now: not every program looks at the errors of reading.
        let first = chain.frames_of_file(file, 0..u64::MAX, 1);
        for frame in first.map_err(failed)? {
            let fetched = self.data.frame(&loaded, frame);
            fetched.map_err(|error| self.refuse(date, &error))?;
        }
        Ok(self.files.add(OpenFile {
            date,
            file,
            order: Mutex::default(),
        }))
    }

    fn read(&self, handle: u64, range: Range<u64>) -> Result<Vec<u8>, Refusal> {
        let file = self.files.get(handle).ok_or(Refusal::Stale)?;
        let loaded = self.load(file.date)?;
        self.look_ahead(&file, &loaded, &range);
        let read = self.data.read(&loaded, file.file, range);
        read.map_err(|error| self.refuse(file.date, &error))
    }

    fn seek(&self, handle: u64, from: u64, what: SeekFor) -> Result<u64, Refusal> {
        let file = self.files.get(handle).ok_or(Refusal::Stale)?;
        let loaded = self.load(file.date)?;
        let data = loaded.chain().tree.data(file.file);
        let data = data.map_err(|error| self.refuse(file.date, &error.into()))?;
        let size = data.size();
        if from >= size {
            return Err(Refusal::Beyond);
        }
        let mut pieces = data.within(from..u64::MAX);
        match what {
            SeekFor::Data => pieces.next().map(|piece| piece.at).ok_or(Refusal::Beyond),
            SeekFor::Hole => {
                let mut at = from;
                for piece in pieces {
                    if piece.at > at {
                        break;
                    }
                    at = piece.at + piece.bytes;
                }
                Ok(at.min(size))
            }
        }
    }

    fn close(&self, handle: u64) {
        self.files.remove(handle);
    }

    fn xattrs(&self, inode: u64) -> Result<Vec<u8>, Refusal> {
        let Some((_, _, known)) = self.xattrs_of(inode)? else {
            return Ok(Vec::new());
        };
        let names: Vec<&[u8]> = known.xattr_names().collect();
        if !names.is_empty() && !self.data.has_identity() {
            return Err(Refusal::Unsupported);
        }
        let names = names.into_iter().flat_map(|name| [name, b"\0"].concat());
        Ok(names.collect())
    }

    fn xattr(&self, inode: u64, name: &[u8]) -> Result<Vec<u8>, Refusal> {
        let Some((number, object, known)) = self.xattrs_of(inode)? else {
            return Err(Refusal::NoAttribute);
        };
        if !known.xattr_names().any(|it| it == name) {
            return Err(Refusal::NoAttribute);
        }
        // The index has digests of the values.
        if !self.data.has_identity() {
            return Err(Refusal::Unsupported);
        }
        let date = self.names.date(number)?;
        let loaded = self.load(date)?;
        let object = self.find((number, object), &loaded)?;
        let node = loaded.chain().tree.extracted(object);
        let node = node.map_err(|error| self.refuse(date, &error.into()))?;
        let found = node.xattrs.into_iter().find(|(it, _)| it == name);
        found.map(|(_, value)| value).ok_or(Refusal::NoAttribute)
    }
}

impl<T> Handles<T> {
    fn new() -> Self {
        Self {
            next: AtomicU64::new(1),
            open: Mutex::default(),
        }
    }

    fn add(&self, opened: T) -> u64 {
        let handle = self.next.fetch_add(1, Ordering::Relaxed);
        lock(&self.open).insert(handle, Arc::new(opened));
        handle
    }

    fn get(&self, handle: u64) -> Option<Arc<T>> {
        lock(&self.open).get(&handle).cloned()
    }

    fn remove(&self, handle: u64) {
        lock(&self.open).remove(&handle);
    }

    fn count(&self) -> usize {
        lock(&self.open).len()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn to_usize(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
