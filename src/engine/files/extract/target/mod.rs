//! Makes extracted files in a directory of any filesystem, as any user, from data that comes in any order.
//!
//! All is made in a work directory beside the targets, `.coldchain-extract-…`, that only this user can enter: first all names
//! ([`making`]), then data ([`writing`]), then attributes ([`settle`]). Then each gets its name ([`publish`]), never in the
//! place of anything. A [`journal`] lets a later run of the same extraction continue.

mod clear;
mod directories;
mod durable;
mod journal;
mod listed;
mod making;
mod publish;
pub(in crate::engine) mod report;
mod settle;
mod tree;
mod work;
mod writing;

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

pub(in crate::engine::files) use clear::clear;
use directories::EntryDirectories;
use journal::Journal;
use listed::EntryList;
use report::{Extracted, LeftOut};
use rustix::io::Errno;
use tree::{EntryState, WorkTree};
use work::{WorkDirectory, open_target, stopped, work_name};
use writing::OpenFiles;

use super::entries::{ExtractEntry, ExtractedNode};
use crate::error::{Error, ExtractError};
use crate::interrupt::Interrupt;
use crate::model::file_node::ObjectId;

/// What is extracted besides files, directories and links.
#[derive(Debug, Clone, Copy, Default)]
pub struct ExtractOptions {
    /// Whether to make devices, if this user can.
    pub devices: bool,
}

/// The directory that files are extracted to, and what is made for it.
pub struct ExtractTarget<'a> {
    target: Arc<OwnedFd>,
    work: WorkDirectory,
    tree: WorkTree<'a>,
    files: OpenFiles,
    journal: Journal,
    options: ExtractOptions,
    is_made: bool,
    syncing: Option<Syncing>,
}

/// A sync of the filesystem beside what is written, and what the journal says once it has ended.
struct Syncing {
    frames: u64,
    left_out: Vec<(i64, LeftOut)>,
    thread: JoinHandle<Result<(), Errno>>,
}

impl<'a> ExtractTarget<'a> {
    /// Opens a directory, or makes it, to extract `entries` to it. `id` says what is extracted: a run with the same `id`
    /// continues one that did not end. Nothing that is wanted may exist there.
    pub fn open(
        directory: &Path,
        id: &str,
        entries: &'a [ExtractEntry],
        options: ExtractOptions,
        interrupt: &'a Interrupt,
    ) -> Result<Self, Error> {
        let listed = EntryList::of(entries)?;
        let list = listed.digest();
        let name = work_name(id);
        let has_its_name =
            |number: &u32| listed.entry(*number).parent.is_none() && listed.name(*number) == name;
        if listed.children(None).iter().any(has_its_name) {
            return Err(ExtractError::TargetExists(directory.join(name)).into());
        }
        let target = Arc::new(open_target(directory)?);
        let earlier = WorkDirectory::reopen(&target, directory, &name)?;
        let mut journal = match &earlier {
            Some(work) => work.read_journal()?,
            None => None,
        };
        if let Some(journal) = &journal
            && journal.publishing.is_some()
            && journal.list != list
            && let Some(work) = &earlier
        {
            return Err(ExtractError::NotToContinue {
                path: work.path().to_owned(),
                why: "it is of another extraction",
            }
            .into());
        }
        let is_publishing = journal.as_ref().is_some_and(|it| it.publishing.is_some());
        let mut tree = WorkTree {
            standing: vec![EntryState::Pending; entries.len()],
            listed,
            first: HashMap::new(),
            given_up: std::collections::BTreeMap::new(),
            // It is replaced by that of the work directory, when that is there.
            directories: EntryDirectories::below(Arc::clone(&target), false),
            target: directory.to_owned(),
            interrupt,
        };
        if !is_publishing && let Err(error) = publish::require_free(&tree, &target) {
            if journal.is_none()
                && let Some(work) = earlier
            {
                // A run died at its very beginning, or at its very end.
                work.remove();
            }
            return Err(error);
        }
        let is_continued = earlier.is_some();
        let work = match earlier {
            Some(work) => work,
            None => WorkDirectory::make(&target, directory, &name)?,
        };
        if journal.as_ref().is_some_and(|journal| journal.list != list) {
            // What was made may have names that are not wanted now.
            work.clear()?;
            journal = None;
        }
        let is_root = rustix::process::geteuid().is_root();
        tree.directories = EntryDirectories::below(Arc::clone(&work.new), is_continued && !is_root);
        let journal = if let Some(journal) = journal {
            journal
        } else {
            let journal = Journal::new(list);
            work.write_journal(&journal)?;
            journal
        };
        let given_up = journal.left_out.iter();
        tree.given_up = given_up
            .map(|(object, why)| (ObjectId(*object), *why))
            .collect();
        Ok(Self {
            target,
            work,
            tree,
            files: OpenFiles::default(),
            journal,
            options,
            is_made: false,
            syncing: None,
        })
    }

    /// Of how many frames all data is there, by this run or an earlier one.
    pub fn frames_done(&self) -> u64 {
        self.journal.frames
    }

    /// Leaves the directory as it is. Nothing is kept there for a later run if that could not continue from it.
    pub fn leave(self) {
        if self.journal.frames == 0 && !self.is_complete() {
            self.work.remove();
        }
    }

    /// Whether an earlier run has made everything, so that no data is wanted any more.
    pub fn is_complete(&self) -> bool {
        self.journal.publishing.is_some()
    }

    /// Makes all names: directories, files of their size without data, links. What an earlier run has made stays.
    pub fn make(
        &mut self,
        node: &dyn Fn(ObjectId) -> Result<ExtractedNode, Error>,
    ) -> Result<(), Error> {
        if !self.is_made && !self.is_complete() {
            making::make_names(&mut self.tree, self.options.devices, node)?;
            self.is_made = true;
        }
        Ok(())
    }

    /// Whether the data of an object are wanted.
    pub fn wants(&self, object: ObjectId) -> bool {
        let first = self.tree.first_of(object);
        first.is_some_and(|number| self.tree.standing(number) == EntryState::Regular)
    }

    /// Writes data of an object, if they are wanted.
    pub fn write(&mut self, object: ObjectId, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        self.files.write(&mut self.tree, object, offset, bytes)
    }

    /// Leaves an object out whose data can't be had.
    pub fn give_up(&mut self, object: ObjectId) -> Result<(), Error> {
        self.files.close(object);
        self.tree.give_up(object, LeftOut::Data)
    }

    /// Writes down durably that all data of the first `frames` frames were written. It syncs the filesystem.
    pub fn reached(&mut self, frames: u64) -> Result<(), Error> {
        self.end_sync()?;
        self.work.sync()?;
        self.journal.frames = frames;
        self.journal.left_out = self.left_out();
        self.work.write_journal(&self.journal)
    }

    /// The same beside what is written from now on: it is written down with the next call, or at the end. Returns false if the
    /// last sync has not ended yet.
    pub fn reaches(&mut self, frames: u64) -> Result<bool, Error> {
        let is_busy = |syncing: &Syncing| !syncing.thread.is_finished();
        if self.syncing.as_ref().is_some_and(is_busy) {
            return Ok(false);
        }
        self.end_sync()?;
        self.syncing = Some(Syncing {
            frames,
            left_out: self.left_out(),
            thread: self.work.start_sync()?,
        });
        Ok(true)
    }

    /// Waits for the sync that was begun, and writes down what it made durable.
    fn end_sync(&mut self) -> Result<(), Error> {
        let Some(syncing) = self.syncing.take() else {
            return Ok(());
        };
        let ended = syncing.thread.join().unwrap_or(Err(Errno::IO));
        ended.map_err(stopped("sync", self.work.path()))?;
        self.journal.frames = syncing.frames;
        self.journal.left_out = syncing.left_out;
        self.work.write_journal(&self.journal)
    }

    /// Sets all attributes, and gives everything its name.
    pub fn finish(
        mut self,
        node: &dyn Fn(ObjectId) -> Result<ExtractedNode, Error>,
    ) -> Result<Extracted, Error> {
        self.make(node)?;
        self.files = OpenFiles::default();
        let publishing = if let Some(publishing) = self.journal.publishing.take() {
            self.work.sync()?;
            publishing
        } else {
            let settled = settle::settle(&mut self.tree, node)?;
            self.end_sync()?;
            durable::sync_made(&mut self.tree, &self.work)?;
            settled
        };
        self.journal.left_out = self.left_out();
        self.journal.publishing = Some(publishing.clone());
        self.work.write_journal(&self.journal)?;
        publish::publish(&mut self.tree, &self.target)?;
        publish::set_late_modes(&self.tree, &self.target, &publishing.late_modes)?;
        durable::sync_names(&self.tree, &self.target)?;
        self.work.remove();
        Ok(publishing.extracted)
    }

    fn left_out(&self) -> Vec<(i64, LeftOut)> {
        let given_up = self.tree.given_up.iter();
        given_up.map(|(object, why)| (object.0, *why)).collect()
    }
}
