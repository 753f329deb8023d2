//! The stream of a snapshot or of a copy in blocks, on its way to a mirror or into a restore.

use std::io::{self, Read as _};
use std::iter;

use crate::engine::backup::stream_source::StreamSource;
use crate::engine::context::RunContext;
use crate::error::Error;
use crate::model::SourceName;
use crate::progress::{Event, PROGRESS_STEP};
use crate::store::RateLimit;

/// Bytes that are read of a stream at a time.
const BLOCK: usize = 256 << 10;

/// What reads streams in blocks, reports their progress and limits their rate.
pub(in crate::engine) struct StreamReader<'a> {
    /// The source that the progress is of.
    pub(in crate::engine) source: &'a SourceName,
    /// What is sent, for error messages.
    pub(in crate::engine) sent: String,
    /// The most bytes a second.
    pub(in crate::engine) limit: Option<&'a RateLimit>,
    /// What the rest of a run takes from outside.
    pub(in crate::engine) context: RunContext<'a>,
}

impl<'a> StreamReader<'a> {
    /// Returns the blocks of a stream, and counts its bytes. It ends well only if the sender does.
    pub(in crate::engine) fn blocks(
        self,
        sender: Box<dyn StreamSource + 'a>,
        bytes: &'a mut u64,
    ) -> impl Iterator<Item = Result<Vec<u8>, Error>> + 'a {
        let (mut sender, mut told) = (Some(sender), 0);
        iter::from_fn(move || {
            let stream = sender.as_mut()?;
            if let Err(error) = self.context.interrupt.check() {
                return Some(Err(error));
            }
            let mut block = vec![0; BLOCK];
            let read = loop {
                match stream.read(&mut block) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    read => break read,
                }
            };
            let length = match read {
                Ok(0) => return sender.take()?.finish().err().map(Err),
                Ok(length) => length,
                Err(error) => return Some(Err(self.failed(error))),
            };
            block.truncate(length);
            *bytes += length as u64;
            if *bytes - told >= PROGRESS_STEP {
                told = *bytes;
                self.context.observer.event(Event::Progress {
                    source: self.source.clone(),
                    raw_bytes: *bytes,
                });
            }
            if let Some(limit) = self.limit
                && let Err(error) = self.context.interrupt.pause(limit.after(length))
            {
                return Some(Err(error));
            }
            Some(Ok(block))
        })
    }

    /// Returns why the stream can't be read. A mirror's own words keep their hint and exit code.
    fn failed(&self, error: io::Error) -> Error {
        match error.downcast::<Error>() {
            Ok(error) => error,
            Err(source) => Error::file("read the send stream of", &*self.sent, source),
        }
    }
}
