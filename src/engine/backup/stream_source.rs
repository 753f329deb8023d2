//! Where a send stream comes from: a child process, or stdin.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;

use crate::btrfs::{Expect, Sender};
use crate::error::Error;
use crate::interrupt::Interrupt;

/// A send stream to be archived.
pub trait StreamSource: Read {
    /// What to call it in an error.
    fn name(&self) -> &'static str;

    /// Called at the end of the stream: whether whoever printed it says that it is whole. Dropping
    /// the source without this ends the sender.
    fn finish(self: Box<Self>) -> Result<(), Error>;
}

/// A send stream, and what it has to be.
pub(in crate::engine) struct Sending<'a> {
    pub(in crate::engine) stream: Box<dyn StreamSource + 'a>,
    pub(in crate::engine) expect: Expect,
}

/// Starts the sender, and again where a pass has to be made anew; `None` if a stream that was read
/// can't be had a second time.
pub(in crate::engine) type SendAgain<'a> = dyn FnMut() -> Result<Option<Sending<'a>>, Error> + 'a;

impl StreamSource for Sender {
    fn name(&self) -> &'static str {
        Sender::name(self)
    }

    fn finish(self: Box<Self>) -> Result<(), Error> {
        Ok((*self).finish()?)
    }
}

/// This process's stdin, read without a buffer of its own.
#[derive(Debug)]
pub struct Stdin<'a> {
    file: File,
    interrupt: &'a Interrupt,
}

impl<'a> Stdin<'a> {
    /// Takes stdin; a signal ends the waiting for it.
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

    /// There is no exit status to be had through a pipe: the guard alone tells a whole stream.
    fn finish(self: Box<Self>) -> Result<(), Error> {
        Ok(())
    }
}
