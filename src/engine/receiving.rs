//! A `btrfs receive` at work in a staging directory.

use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::btrfs::{HeldDirectory, Receiver};
use crate::engine::feed::Sink;
use crate::engine::restore_mark::{Begun, Lies, Mark, Told};
use crate::error::Error;
use crate::model::{ArchiveId, Uuid};

/// How long `btrfs receive` may take from its first bytes to the subvolume's appearance.
pub(super) const APPEARS_WITHIN: Duration = Duration::from_secs(30);

/// A `btrfs receive` at work.
pub(super) struct Receiving {
    receiver: Receiver,
    /// `DIR/<source>`, whose mark is kept.
    directory: Rc<HeldDirectory>,
    staging: Rc<HeldDirectory>,
    mark: Mark,
    archive: ArchiveId,
    parent: Option<Parent>,
}

/// The subvolume that an incremental is received on.
pub(super) struct Parent {
    /// Its own uuid in this place.
    pub(super) uuid: Uuid,
    /// The subvolume.
    pub(super) subvolume: HeldDirectory,
}

impl Receiving {
    pub(super) fn new(
        receiver: Receiver,
        directory: Rc<HeldDirectory>,
        staging: Rc<HeldDirectory>,
        mark: Mark,
        archive: ArchiveId,
        parent: Option<Parent>,
    ) -> Self {
        Self {
            receiver,
            directory,
            staging,
            mark,
            archive,
            parent,
        }
    }

    /// Waits for its end. `fed` is how handing the stream on ended; the first error counts. `mark` gets what was
    /// noted meanwhile.
    pub(super) fn end(self, fed: Result<(), Error>, mark: &mut Mark) -> Result<(), Error> {
        *mark = self.mark;
        match fed {
            Ok(()) => self.receiver.finish().map_err(Error::from),
            // It stopped reading: its own words say why.
            Err(error @ Error::WriteStream { .. }) => {
                Err(self.receiver.finish().err().map_or(error, Error::from))
            }
            Err(error) => {
                drop(self.receiver);
                Err(error)
            }
        }
    }

    fn note(&mut self, begun: Begun) -> Result<(), Error> {
        self.mark.begun = Some(begun);
        self.mark.write(&self.directory)
    }

    fn hand_on(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.receiver
            .write_all(bytes)
            .and_then(|()| self.receiver.flush())
            .map_err(|source| Error::WriteStream {
                archive: self.archive,
                source,
            })
    }

    /// Waits for the subvolume to appear, and records its id: what is later deleted must be it.
    fn note_subvolume_id(&mut self, name: &[u8]) -> Result<(), Error> {
        let since = Instant::now();
        while since.elapsed() < APPEARS_WITHIN {
            // Asked first: what it has made by its end is seen below.
            let ended = self.receiver.has_exited();
            // It is a plain directory for no time: receive creates it as a subvolume.
            if let Some(made) = self.staging.subvolume(OsStr::from_bytes(name))? {
                let begun = Begun {
                    name: name.to_owned(),
                    lies: Lies::Staged,
                    subvolume_id: Some(made.identity()?.subvolume_id),
                    told: None,
                };
                return self.note(begun);
            }
            if ended {
                // Its exit status, asked for at the end, says why.
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }
}

impl Sink for Receiving {
    /// Hands checked bytes to `btrfs receive`. With the first of them it makes the subvolume of
    /// that name, which is recorded before and after.
    fn take(&mut self, bytes: &[u8], name: &[u8]) -> Result<(), Error> {
        if self.mark.begun.is_some() {
            return self.hand_on(bytes);
        }
        let parent = self.parent.as_ref().map(|parent| parent.uuid);
        self.note(Begun {
            name: name.to_owned(),
            lies: Lies::Staged,
            subvolume_id: None,
            told: Some(Told::now(parent)),
        })?;
        self.hand_on(bytes)?;
        self.note_subvolume_id(name)
    }
}
