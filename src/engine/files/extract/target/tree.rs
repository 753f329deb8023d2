//! The tree as it is made in the work directory, and what each entry of the list has become.

use std::collections::{BTreeMap, HashMap};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::directories::EntryDirectories;
use super::listed::EntryList;
use super::report::LeftOut;
use super::work::stopped;
use crate::error::Error;
use crate::interrupt::Interrupt;
use crate::model::file_node::ObjectId;

/// What an entry has become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EntryState {
    /// Nothing yet.
    Pending,
    Directory,
    /// A regular file: the first name of its object that was made.
    Regular,
    /// A link, a fifo or the like: the first name of its object that was made.
    Other,
    /// A hard link to the first name.
    Link,
    /// A file of its own in place of a hard link. It gets its data when the first one has all.
    Copy,
    /// A link, a fifo or the like of its own in place of a hard link.
    OtherCopy,
    /// Not made.
    LeftOut(LeftOut),
}

/// The tree in the work directory.
pub(super) struct WorkTree<'a> {
    pub(super) listed: EntryList<'a>,
    pub(super) standing: Vec<EntryState>,
    /// The first name that was made of each object that has several.
    pub(super) first: HashMap<ObjectId, u32>,
    /// Objects that are left out because of their data.
    pub(super) given_up: BTreeMap<ObjectId, LeftOut>,
    pub(super) directories: EntryDirectories,
    /// The target directory, for messages.
    pub(super) target: PathBuf,
    pub(super) interrupt: &'a Interrupt,
}

impl WorkTree<'_> {
    /// The path that an entry will have, for messages.
    pub(super) fn path(&self, number: u32) -> PathBuf {
        self.target.join(self.listed.path(number))
    }

    pub(super) fn stopped(&self, doing: &'static str, number: u32, errno: Errno) -> Error {
        stopped(doing, &self.path(number))(errno)
    }

    pub(super) fn standing(&self, number: u32) -> EntryState {
        self.standing[number as usize]
    }

    pub(super) fn set(&mut self, number: u32, standing: EntryState) {
        self.standing[number as usize] = standing;
    }

    /// The first name that was made of an object.
    pub(super) fn first_of(&self, object: ObjectId) -> Option<u32> {
        match self.listed.names_of(object) {
            [only] => Some(*only).filter(|only| {
                matches!(
                    self.standing(*only),
                    EntryState::Regular | EntryState::Other
                )
            }),
            _ => self.first.get(&object).copied(),
        }
    }

    /// Opens the directory that an entry is in.
    pub(super) fn above(&mut self, number: u32) -> Result<Arc<OwnedFd>, Error> {
        let above = self.listed.entry(number).parent;
        let opened = self.directories.open(&self.listed, above);
        let opened = opened.and_then(|directory| directory.ok_or(Errno::NOENT));
        opened.map_err(|errno| self.stopped("open the directory of", number, errno))
    }

    /// Opens a regular file that was made.
    pub(super) fn open_file(&mut self, number: u32, flags: OFlags) -> Result<OwnedFd, Error> {
        let above = self.above(number)?;
        let name = self.listed.name(number);
        let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let open = || rustix::fs::openat(&above, name, flags, Mode::empty());
        let opened = open().or_else(|errno| match errno {
            // An earlier run has set its mode.
            Errno::ACCESS => {
                let mode = Mode::RUSR | Mode::WUSR;
                rustix::fs::chmodat(&above, name, mode, AtFlags::empty())?;
                open()
            }
            errno => Err(errno),
        });
        opened.map_err(|errno| self.stopped("open", number, errno))
    }

    /// Leaves an object out, and removes what was made of it.
    pub(super) fn give_up(&mut self, object: ObjectId, why: LeftOut) -> Result<(), Error> {
        self.given_up.insert(object, why);
        self.first.remove(&object);
        let names = self.listed.names_of(object).to_vec();
        for number in names {
            let is_made = !matches!(
                self.standing(number),
                EntryState::Pending | EntryState::Directory | EntryState::LeftOut(_)
            );
            if is_made {
                self.remove(number)?;
                self.set(number, EntryState::LeftOut(why));
            }
        }
        Ok(())
    }

    /// Removes what is no directory from the work directory.
    pub(super) fn remove(&mut self, number: u32) -> Result<(), Error> {
        let above = self.above(number)?;
        match rustix::fs::unlinkat(&above, self.listed.name(number), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(self.stopped("remove", number, errno)),
        }
    }
}
