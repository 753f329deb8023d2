//! Where a send stream comes from: a child process, or stdin.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;

use crate::btrfs::{CompressedData, Expect, Sender};
use crate::error::Error;
use crate::interrupt::Interrupt;
use crate::model::Protocol;

/// A send stream to be archived.
pub trait StreamSource: Read {
    /// Returns its name for error messages.
    fn name(&self) -> &'static str;

    /// Checks, at the end of the stream, that the sender says it is whole. Dropping the source without this
    /// call ends the sender.
    fn finish(self: Box<Self>) -> Result<(), Error>;
}

/// A send stream, and what it is expected to be.
pub(in crate::engine) struct Sending<'a> {
    pub(in crate::engine) stream: Box<dyn StreamSource + 'a>,
    pub(in crate::engine) expect: Expect,
}

/// Starts the sender, also for a second pass. Returns `None` if the stream can't be read again.
pub(in crate::engine) type SendAgain<'a> = dyn FnMut() -> Result<Option<Sending<'a>>, Error> + 'a;

impl StreamSource for Sender {
    fn name(&self) -> &'static str {
        Sender::name(self)
    }

    fn finish(self: Box<Self>) -> Result<(), Error> {
        Ok((*self).finish()?)
    }
}

/// The stdin of this process, read without an own buffer.
#[derive(Debug)]
pub struct Stdin<'a> {
    file: File,
    interrupt: &'a Interrupt,
}

impl<'a> Stdin<'a> {
    /// Opens stdin. A signal ends the wait for its bytes.
    pub fn open(interrupt: &'a Interrupt) -> Result<Self, Error> {
        let stdin = io::stdin().as_fd().try_clone_to_owned();
        let stdin = stdin.map_err(|source| Error::file("read", "stdin", source))?;
        Ok(Self {
            file: stdin.into(),
            interrupt,
        })
    }
}

impl Read for Stdin<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.interrupt
            .await_readable(self.file.as_fd())
            .map_err(io::Error::other)?;
        self.file.read(buffer)
    }
}

impl StreamSource for Stdin<'_> {
    fn name(&self) -> &'static str {
        "stdin"
    }

    /// A pipe has no exit status. Only the guard can see whether the stream is whole.
    fn finish(self: Box<Self>) -> Result<(), Error> {
        Ok(())
    }
}

/// Returns whether a stream of this protocol may carry compressed data.
pub(in crate::engine) fn compressed_data(protocol: Protocol) -> CompressedData {
    if protocol.is_inexact() {
        CompressedData::Allowed
    } else {
        CompressedData::Refused
    }
}
