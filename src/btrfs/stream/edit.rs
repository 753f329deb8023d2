//! Edits an archived stream for `btrfs receive`.
//!
//! Four things of a snapshot do not come back from its stream as it is. Long paths: `btrfs receive -C`
//! counts the subvolume's name against `PATH_MAX`. The root's times: the kernel sends them before the
//! root's entries are made. Setuid and setgid bits: `btrfs receive` changes an owner by lchown, which
//! clears them, and the kernel sends a mode only if it differs from the send parent's. Access rights where the
//! root has a default ACL: see [`HandedDown`].

use super::attributes::value;
use super::edited_stream::EditedStream;
use super::encode::{self, FileTime, root_utimes};
use super::fresh_symlink::FreshSymlink;
use super::handed_down::HandedDown;
use super::run::{Run, Unit};
use super::wire::{Attribute, Command, MAGIC, STREAM_HEADER};

/// The name that the edited stream gives its subvolume. It has one byte, to leave as much of `PATH_MAX` as
/// possible for the paths.
pub const RECEIVED_NAME: &[u8] = b"r";

/// Edits one stream on its way from a guard to `btrfs receive`.
///
/// The subvolume is named [`RECEIVED_NAME`]. The last utimes command of the root is repeated before the
/// end. In an incremental stream, a mode with the setuid or setgid bit is set again after a chown command
/// that no chmod command of that path follows. What the root hands down is taken off it at the start, and set
/// before the end. Everything else passes as it is, uncopied.
///
/// After an error, nothing more may be passed.
#[derive(Debug)]
pub struct ReceiveEdit {
    stage: Stage,
    protocol: u32,
    /// The utimes command to repeat before the end.
    root_utimes: Option<Vec<u8>>,
    /// A chown command whose next command has not come yet.
    held: Option<Vec<u8>>,
    fresh_symlink: FreshSymlink,
    /// What the root gets before the end.
    handed_down: HandedDown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing has come yet.
    Header,
    /// The stream's header has come.
    First,
    /// The subvolume is named.
    Named { incremental: bool },
}

impl ReceiveEdit {
    /// Returns an edit for one stream. `root_times` are the atime, mtime and ctime that the root gets if the
    /// stream has none. `handed_down` is what the send parent's root has; nothing for a full.
    pub fn new(root_times: Option<[FileTime; 3]>, handed_down: HandedDown) -> Self {
        Self {
            stage: Stage::Header,
            protocol: 0,
            root_utimes: root_times.map(root_utimes),
            held: None,
            fresh_symlink: FreshSymlink::default(),
            handed_down,
        }
    }

    /// Edits whole commands that a guard has accepted, and passes them on. They come in order; the first call
    /// starts with the stream's header. Panics if a command is cut, because the rest would be misread.
    pub fn pass<S: EditedStream>(&mut self, commands: &[u8], out: &mut S) -> Result<(), S::Error> {
        let mut run = Run::new(commands);
        if self.stage == Stage::Header && !commands.is_empty() {
            let header = run.advance(STREAM_HEADER);
            let version = header.get(MAGIC.len()..).and_then(<[u8]>::first_chunk);
            self.protocol = version.map_or(0, |version| u32::from_le_bytes(*version));
            self.stage = Stage::First;
        }
        while let Some(unit) = Unit::read(run.ahead()) {
            if let Some(chown) = self.held.take() {
                self.chown_held(&chown, unit, out)?;
            }
            match self.stage {
                Stage::Header | Stage::First => self.name(unit, &mut run, out)?,
                Stage::Named { incremental: false } => self.each(unit, &mut run, out)?,
                Stage::Named { incremental: true } => {
                    if unit.is(Command::Chown) {
                        self.chown(unit, &mut run, out)?;
                    } else {
                        self.fresh_symlink
                            .see(unit.number, unit.payload, self.protocol);
                        self.each(unit, &mut run, out)?;
                    }
                }
            }
        }
        assert!(run.ahead().is_empty(), "commands come whole");
        run.flush(out)
    }

    /// Gives the subvolume its name.
    fn name<S: EditedStream>(
        &mut self,
        unit: Unit<'_>,
        run: &mut Run<'_>,
        out: &mut S,
    ) -> Result<(), S::Error> {
        let named = encode::with_path(unit.number, unit.payload, self.protocol, RECEIVED_NAME);
        self.stage = Stage::Named {
            incremental: unit.is(Command::Snapshot),
        };
        run.replace(unit.bytes.len(), &named, out)?;
        self.handed_down.take_off(out)
    }

    /// Remembers the root's times and what it hands down, and sets them before the end.
    fn each<S: EditedStream>(
        &mut self,
        unit: Unit<'_>,
        run: &mut Run<'_>,
        out: &mut S,
    ) -> Result<(), S::Error> {
        if self.handed_down.takes(unit, self.protocol) {
            return run.replace(unit.bytes.len(), b"", out);
        }
        if unit.is(Command::Utimes) && self.path(unit).is_empty() {
            self.root_utimes = Some(unit.bytes.to_vec());
        } else if unit.is(Command::End) {
            run.flush(out)?;
            self.handed_down.set(out)?;
            if let Some(utimes) = self.root_utimes.take() {
                out.write(&utimes)?;
            }
        }
        run.advance(unit.bytes.len());
        Ok(())
    }

    /// Handles a chown command of an incremental stream.
    fn chown<S: EditedStream>(
        &mut self,
        unit: Unit<'_>,
        run: &mut Run<'_>,
        out: &mut S,
    ) -> Result<(), S::Error> {
        let path = self.path(unit);
        let length = unit.bytes.len();
        if path.is_empty() || self.fresh_symlink.is(path) {
            run.advance(length);
            return Ok(());
        }
        match Unit::read(&run.ahead()[length..]) {
            Some(next) if self.is_chmod(next, path) => {
                run.advance(length);
            }
            Some(_) => {
                run.flush(out)?;
                let mode = out.privileged_mode(path)?;
                run.advance(length);
                if let Some(mode) = mode {
                    run.flush(out)?;
                    out.write(&encode::chmod(path, mode))?;
                }
            }
            None => {
                run.replace(length, b"", out)?;
                self.held = Some(unit.bytes.to_vec());
            }
        }
        Ok(())
    }

    /// Passes on a chown command that was held back until the next command came.
    fn chown_held<S: EditedStream>(
        &self,
        chown: &[u8],
        next: Unit<'_>,
        out: &mut S,
    ) -> Result<(), S::Error> {
        let path = Unit::read(chown).map_or(&b""[..], |unit| self.path(unit));
        let mode = if self.is_chmod(next, path) {
            None
        } else {
            out.privileged_mode(path)?
        };
        out.write(chown)?;
        match mode {
            Some(mode) => out.write(&encode::chmod(path, mode)),
            None => Ok(()),
        }
    }

    fn is_chmod(&self, unit: Unit<'_>, path: &[u8]) -> bool {
        unit.is(Command::Chmod) && self.path(unit) == path
    }

    fn path<'a>(&self, unit: Unit<'a>) -> &'a [u8] {
        value(unit.payload, Attribute::Path, self.protocol).unwrap_or_default()
    }
}

#[cfg(test)]
#[path = "edit_tests.rs"]
mod tests;
