//! A `btrfs receive` at work in a staging directory.
//!
//! It is handed the archived stream with the few edits of [`ReceiveEdit`], so that long paths, the root's
//! times and setuid bits come back too.

use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use chrono::NaiveDate;

use crate::btrfs::{
    AttributeLimit, EditedStream, Fifo, FileTime, HeldDirectory, Holds, RECEIVED_NAME, ReceiveEdit,
    Receiver, root_utimes,
};
use crate::engine::context::random::random_bytes;
use crate::engine::restore::guarded_stream::Sink;
use crate::engine::restore::place::RestorePlace;
use crate::engine::restore::progress_file::{APPEARS_WITHIN, Begun, Lies, RestoreState, Told};
use crate::error::{Error, RestoreError};
use crate::model::{ArchiveId, Uuid};

/// How often it is looked whether what was handed on has been carried out.
const STEP: Duration = Duration::from_micros(50);

/// A `btrfs receive` at work.
pub(in crate::engine) struct Receiving {
    edit: ReceiveEdit,
    line: Line,
}

/// The subvolume that an incremental is received on.
pub(in crate::engine) struct Parent {
    /// Its own uuid in this place.
    pub(in crate::engine) uuid: Uuid,
    /// The subvolume.
    pub(in crate::engine) subvolume: HeldDirectory,
    /// What may be in it, as far as it is known: what was looked for in vain is in it no more.
    pub(in crate::engine) holds: Holds,
}

/// The way to the program.
struct Line {
    receiver: Receiver,
    /// `DIR/<source>`, whose mark is kept.
    directory: Rc<HeldDirectory>,
    staging: Rc<HeldDirectory>,
    mark: RestoreState,
    archive: ArchiveId,
    /// The date, if the subvolume is needed for the next one alone.
    passes: Option<NaiveDate>,
    parent: Option<Parent>,
    /// What is being made, as soon as it is there.
    made: Option<HeldDirectory>,
    /// Whether the send parent was searched for files with a setuid or setgid bit.
    searched: bool,
}

impl Receiving {
    /// Of an archive that a receiver makes in the staging directory, on that parent if it is an incremental.
    pub(in crate::engine) fn new(
        receiver: Receiver,
        place: &RestorePlace,
        staging: &Rc<HeldDirectory>,
        archive: ArchiveId,
        passes: Option<NaiveDate>,
        parent: Option<Parent>,
    ) -> Result<Self, Error> {
        let times = parent.as_ref().map(|parent| parent.subvolume.times());
        let line = Line {
            receiver,
            directory: Rc::clone(&place.directory),
            staging: Rc::clone(staging),
            mark: place.mark.clone(),
            archive,
            passes,
            parent,
            made: None,
            searched: false,
        };
        Ok(Self {
            edit: ReceiveEdit::new(times.transpose()?),
            line,
        })
    }

    /// What the send parent may hold, after all that was looked for; nothing, if there is none.
    pub(in crate::engine) fn parent_holds(&self) -> Holds {
        let parent = self.line.parent.as_ref();
        parent.map(|parent| parent.holds).unwrap_or_default()
    }

    /// Waits for its end. `fed` is how handing the stream on ended; the first error counts. `mark` gets what was
    /// noted meanwhile.
    pub(in crate::engine) fn end(
        self,
        fed: Result<(), Error>,
        mark: &mut RestoreState,
    ) -> Result<(), Error> {
        let Line {
            receiver,
            mark: noted,
            ..
        } = self.line;
        *mark = noted;
        match fed {
            Ok(()) => receiver.finish().map_err(Error::from),
            // It stopped reading: its own words say why.
            Err(error @ Error::Restore(RestoreError::WriteStream { .. })) => {
                Err(receiver.finish().err().map_or(error, Error::from))
            }
            Err(error) => {
                drop(receiver);
                Err(error)
            }
        }
    }
}

impl Sink for Receiving {
    /// Hands checked commands to `btrfs receive`. With the first of them it makes the subvolume, which is
    /// recorded before and after.
    fn take(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let first = self.line.mark.begun.is_none();
        if first {
            self.line.note(None)?;
        }
        self.edit.pass(bytes, &mut self.line)?;
        if first {
            self.line.await_subvolume()?;
        }
        Ok(())
    }

    fn attribute_limit(&self) -> Result<Option<(AttributeLimit, PathBuf)>, Error> {
        let directory = &self.line.directory;
        Ok(Some((
            directory.attribute_limit()?,
            directory.path().to_owned(),
        )))
    }

    fn fifos(&mut self) -> Result<Vec<Fifo>, Error> {
        match &mut self.line.parent {
            Some(parent) if parent.holds.fifos => {
                let fifos = parent.subvolume.fifos()?;
                parent.holds.fifos = !fifos.is_empty();
                Ok(fifos)
            }
            _ => Ok(Vec::new()),
        }
    }
}

impl Line {
    /// Records what is begun; without its id, that it is about to be.
    fn note(&mut self, subvolume_id: Option<u64>) -> Result<(), Error> {
        let parent = self.parent.as_ref().map(|parent| parent.uuid);
        self.mark.begun = Some(Begun {
            name: RECEIVED_NAME.to_owned(),
            lies: Lies::Staged,
            subvolume_id,
            told: subvolume_id.is_none().then(|| Told::now(parent)),
            passes: self.passes,
        });
        self.mark.write(&self.directory)
    }

    /// Waits for the subvolume to appear, and records its id: what is later deleted must be it.
    fn await_subvolume(&mut self) -> Result<(), Error> {
        let since = Instant::now();
        while self.made.is_none() && since.elapsed() < APPEARS_WITHIN {
            // Asked first: what it has made by its end is seen below.
            let ended = self.receiver.has_exited();
            // It is a plain directory for no time: receive creates it as a subvolume.
            if let Some(made) = self.staging.subvolume(OsStr::from_bytes(RECEIVED_NAME))? {
                self.note(Some(made.identity()?.subvolume_id))?;
                self.made = Some(made);
            } else if ended {
                // Its exit status, asked for at the end, says why.
                break;
            } else {
                std::thread::sleep(STEP);
            }
        }
        Ok(())
    }

    /// Waits until all that was handed on has been carried out: until the root has a time that it gets
    /// after all of it. Says whether it has.
    fn await_all(&mut self) -> Result<bool, Error> {
        self.await_subvolume()?;
        // One that neither the archive nor anybody who touches the source could guess.
        let sign = FileTime {
            seconds: i64::from(u32::from_be_bytes(random_bytes())),
            nanoseconds: u32::from_be_bytes(random_bytes()) % 1_000_000_000,
        };
        self.write(&root_utimes([sign; 3]))?;
        let Some(made) = &self.made else {
            return Ok(false);
        };
        while made.times()?[1] != sign {
            if self.receiver.has_exited() {
                return Ok(false);
            }
            std::thread::sleep(STEP);
        }
        Ok(true)
    }
}

impl EditedStream for Line {
    type Error = Error;

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.receiver
            .write_all(bytes)
            .and_then(|()| self.receiver.flush())
            .map_err(|source| {
                Error::Restore(RestoreError::WriteStream {
                    archive: self.archive,
                    source,
                })
            })
    }

    fn privileged_mode(&mut self, path: &[u8]) -> Result<Option<u32>, Error> {
        // A file that came with this stream has its mode from it. So without any in the send parent there is
        // none, and nothing is waited for.
        let Some(parent) = &mut self.parent else {
            return Ok(None);
        };
        if parent.holds.privileged && !self.searched {
            parent.holds.privileged = parent.subvolume.holds_privileged_files()?;
            self.searched = true;
        }
        if !parent.holds.privileged || !self.await_all()? {
            return Ok(None);
        }
        let made = self.made.as_ref();
        Ok(made.and_then(|made| made.privileged_mode(OsStr::from_bytes(path))))
    }
}
