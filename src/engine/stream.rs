//! Where a send stream comes from: a child process, or stdin.

use std::io::{Read, StdinLock};

use crate::btrfs::Sender;
use crate::error::Error;

/// A send stream to be archived.
pub trait StreamSource: Read {
    /// What to call it in an error.
    fn name(&self) -> &'static str;

    /// Called at the end of the stream: whether whoever printed it says that it is whole. Dropping
    /// the source without this ends the sender.
    fn finish(self: Box<Self>) -> Result<(), Error>;
}

/// Starts the sender, and again where a pass has to be made anew; `None` if a stream that was read
/// can't be had a second time.
pub(super) type SendAgain<'a> =
    dyn FnMut() -> Result<Option<Box<dyn StreamSource + 'a>>, Error> + 'a;

impl StreamSource for Sender {
    fn name(&self) -> &'static str {
        "btrfs send"
    }

    fn finish(self: Box<Self>) -> Result<(), Error> {
        Ok((*self).finish()?)
    }
}

impl StreamSource for StdinLock<'_> {
    fn name(&self) -> &'static str {
        "stdin"
    }

    /// There is no exit status to be had through a pipe: the guard alone tells a whole stream.
    fn finish(self: Box<Self>) -> Result<(), Error> {
        Ok(())
    }
}
