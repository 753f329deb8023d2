//! Runs `btrfs receive` in a staging directory.
//!
//! It gets the stream with the few edits of [`ReceiveEdit`]. So long paths, the root's times,
//! setuid bits and access rights are restored too.

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
use crate::engine::receive::mark::{APPEARS_WITHIN, Begun, Lies, PlaceMark, PlaceUse, Told};
use crate::engine::receive::place::ReceivePlace;
use crate::error::{Error, RestoreError};
use crate::model::{StreamLabel, Uuid};

/// The pause between two checks whether receive has done its work.
const STEP: Duration = Duration::from_micros(50);

/// A `btrfs receive` at work.
pub(in crate::engine) struct Receiving {
    edit: ReceiveEdit,
    line: ReceiverConnection,
}

/// The subvolume that an incremental is received on.
pub(in crate::engine) struct Parent {
    /// Its own uuid in this place.
    pub(in crate::engine) uuid: Uuid,
    /// The subvolume.
    pub(in crate::engine) subvolume: HeldDirectory,
    /// Whether it may hold fifos or setuid files. A search that finds none clears the flag.
    pub(in crate::engine) holds: Holds,
}

/// The connection to the program.
struct ReceiverConnection {
    receiver: Receiver,
    /// `DIR/<source>`, which has the mark.
    directory: Rc<HeldDirectory>,
    staging: Rc<HeldDirectory>,
    mark: PlaceMark,
    label: StreamLabel,
    /// The date, if only the next subvolume needs this one.
    passes: Option<NaiveDate>,
    parent: Option<Parent>,
    /// The new subvolume, as soon as it exists.
    made: Option<HeldDirectory>,
    /// Whether the send parent was searched for files with a setuid or setgid bit.
    searched: bool,
}

impl Receiving {
    /// Prepares to receive a stream into the staging directory, on `parent` if it is an incremental.
    pub(in crate::engine) fn new(
        receiver: Receiver,
        place: &ReceivePlace,
        staging: &Rc<HeldDirectory>,
        label: StreamLabel,
        passes: Option<NaiveDate>,
        parent: Option<Parent>,
    ) -> Result<Self, Error> {
        let times = parent.as_ref().map(|parent| parent.subvolume.times());
        let handed_down = parent.as_ref().map(|it| it.subvolume.handed_down());
        let line = ReceiverConnection {
            receiver,
            directory: Rc::clone(&place.directory),
            staging: Rc::clone(staging),
            mark: place.mark.clone(),
            label,
            passes,
            parent,
            made: None,
            searched: false,
        };
        Ok(Self {
            edit: ReceiveEdit::new(
                times.transpose()?,
                handed_down.transpose()?.unwrap_or_default(),
            ),
            line,
        })
    }

    /// Returns whether the send parent may hold fifos or setuid files, after all searches; neither if there
    /// is none.
    pub(in crate::engine) fn parent_holds(&self) -> Holds {
        let parent = self.line.parent.as_ref();
        parent.map(|parent| parent.holds).unwrap_or_default()
    }

    /// How long an extended attribute may be, and the directory where that is so.
    pub(in crate::engine) fn attribute_limit(&self) -> Result<(AttributeLimit, PathBuf), Error> {
        let directory = &self.line.directory;
        Ok((directory.attribute_limit()?, directory.path().to_owned()))
    }

    /// The fifos of what an incremental is received on.
    pub(in crate::engine) fn fifos(&mut self) -> Result<Vec<Fifo>, Error> {
        match &mut self.line.parent {
            Some(parent) if parent.holds.fifos => {
                let fifos = parent.subvolume.fifos()?;
                parent.holds.fifos = !fifos.is_empty();
                Ok(fifos)
            }
            _ => Ok(Vec::new()),
        }
    }

    /// Hands whole, checked commands to `btrfs receive`. With the first of them it makes the subvolume, which is
    /// recorded before and after.
    pub(in crate::engine) fn take(&mut self, commands: &[u8]) -> Result<(), Error> {
        let first = self.line.mark.begun.is_none();
        if first {
            self.line.note(None)?;
        }
        self.edit.pass(commands, &mut self.line)?;
        if first {
            self.line.await_subvolume()?;
        }
        Ok(())
    }

    /// Waits for its end. `fed` is how handing the stream on ended; the first error counts. `mark` gets what was
    /// noted meanwhile.
    pub(in crate::engine) fn end(
        self,
        fed: Result<(), Error>,
        mark: &mut PlaceMark,
    ) -> Result<(), Error> {
        let ReceiverConnection {
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

impl ReceiverConnection {
    /// Records the subvolume that is begun. Without an id, it is about to be made.
    fn note(&mut self, subvolume_id: Option<u64>) -> Result<(), Error> {
        let parent = self.parent.as_ref().map(|parent| parent.uuid);
        self.mark.begun = Some(Begun {
            name: RECEIVED_NAME.to_owned(),
            lies: Lies::Staged,
            subvolume_id,
            told: subvolume_id.is_none().then(|| Told::now(parent)),
            passes: self.passes,
            becomes: match (self.mark.used_for(), &self.label) {
                (PlaceUse::Mirror, StreamLabel::Snapshot(name)) => Some(*name),
                _ => None,
            },
            of: None,
        });
        self.mark.write(&self.directory)
    }

    /// Waits for the subvolume to appear, and records its id: only a subvolume with this id may be deleted
    /// later.
    fn await_subvolume(&mut self) -> Result<(), Error> {
        let since = Instant::now();
        while self.made.is_none() && since.elapsed() < APPEARS_WITHIN {
            // Ask this first: a subvolume that it made before its end is then found below.
            let ended = self.receiver.has_exited();
            // It is never a plain directory: receive creates it as a subvolume.
            if let Some(made) = self.staging.subvolume(OsStr::from_bytes(RECEIVED_NAME))? {
                self.note(Some(made.identity()?.subvolume_id))?;
                self.made = Some(made);
            } else if ended {
                // Its exit status, which is read at the end, says why.
                break;
            } else {
                std::thread::sleep(STEP);
            }
        }
        Ok(())
    }

    /// Waits until receive has carried out all commands so far. For this, a time is set on the root after
    /// them; receive is done when the root has it. Returns whether it has.
    fn await_all(&mut self) -> Result<bool, Error> {
        self.await_subvolume()?;
        // A time that neither the archive nor a user who changes the source could guess.
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

impl EditedStream for ReceiverConnection {
    type Error = Error;

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.receiver
            .write_all(bytes)
            .and_then(|()| self.receiver.flush())
            .map_err(|source| {
                Error::Restore(RestoreError::WriteStream {
                    stream: self.label.clone(),
                    source,
                })
            })
    }

    fn privileged_mode(&mut self, path: &[u8]) -> Result<Option<u32>, Error> {
        // A file that this stream made has its mode from it. So if the send parent has no such file, there is
        // none, and no wait is needed.
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
