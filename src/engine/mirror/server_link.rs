//! The server's end of a session: what the client sends, and what is sent to it.

use std::io::{self, ErrorKind, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};

use crate::engine::mirror::wire::{
    self, Breach, FrameKind, FrameReader, MAX_FRAME, MessageReader, MirrorAnswer, MirrorAsk,
    WireFrame,
};
use crate::error::{Error, MirrorLinkError};

/// The pause between two keep-alives.
///
/// They are sent all the time. While the server works, they show that it lives. Otherwise they show the server that
/// the client's machine does: without them, one that lost its power would keep the directory locked for hours.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// Bytes that are read at a time.
const READ: usize = 64 << 10;

/// The client, as the server sees it.
pub(super) struct ServerLink<R> {
    input: R,
    frames: FrameReader,
    buffer: Vec<u8>,
    output: Arc<Mutex<Box<dyn Write + Send>>>,
    /// Nothing is sent: its end ends the keep-alives.
    _alive: Sender<()>,
}

impl<R: Read> ServerLink<R> {
    /// Greets the client, and begins to send keep-alives.
    pub(super) fn begin(
        input: R,
        output: impl Write + Send + 'static,
        keep_alive: Option<Duration>,
    ) -> Result<Self, Error> {
        let output: Box<dyn Write + Send> = Box::new(output);
        let output = Arc::new(Mutex::new(output));
        let (alive, ended) = bounded::<()>(0);
        let link = Self {
            input,
            frames: FrameReader::default(),
            buffer: vec![0; READ],
            output: Arc::clone(&output),
            _alive: alive,
        };
        link.write(wire::greeting(env!("CARGO_PKG_VERSION")).as_bytes())?;
        let mut frame = Vec::new();
        wire::put_frame(&mut frame, FrameKind::KeepAlive, &[]);
        let pause = keep_alive.unwrap_or(KEEP_ALIVE);
        let ticks = move || {
            while ended.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                if write_to(&output, &frame).is_err() {
                    break;
                }
            }
        };
        // It may wait in a write for ever, so the server does not wait for it.
        thread::Builder::new()
            .name("keep-alive".to_owned())
            .spawn(ticks)
            .map_err(|source| Error::file("start", "a thread", source))?;
        Ok(link)
    }

    /// Returns the next frame; `None` if the client has ended the session.
    fn frame(&mut self) -> Result<Option<WireFrame>, Error> {
        loop {
            if let Some(frame) = self.frames.next_frame().map_err(broke)? {
                return Ok(Some(frame));
            }
            match self.input.read(&mut self.buffer) {
                Ok(0) if self.frames.rest().is_empty() => return Ok(None),
                Ok(0) => return Err(MirrorLinkError::ClientGone.into()),
                Ok(length) => self.frames.push(&self.buffer[..length]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(of_read(error)),
            }
        }
    }

    /// Returns what the client asks; `None` if it has ended the session.
    pub(super) fn ask(&mut self, limit: usize) -> Result<Option<MirrorAsk>, Error> {
        let mut message = MessageReader::new(limit);
        let mut is_first = true;
        loop {
            let Some(frame) = self.frame()? else {
                return if is_first {
                    Ok(None)
                } else {
                    Err(MirrorLinkError::ClientGone.into())
                };
            };
            is_first = false;
            if let Some(ask) = message.push(&frame).map_err(broke)? {
                return Ok(Some(ask));
            }
        }
    }

    /// Answers the client.
    pub(super) fn answer(&self, answer: &MirrorAnswer) -> Result<(), Error> {
        let mut bytes = Vec::new();
        wire::put_message(&mut bytes, answer);
        self.write(&bytes)
    }

    /// Sends a stream to its end.
    pub(super) fn send_all(&self, stream: &mut dyn Read) -> Result<(), Error> {
        let (mut block, mut bytes) = (vec![0; MAX_FRAME], Vec::new());
        loop {
            let length = match stream.read(&mut block) {
                Ok(0) => return Ok(()),
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(Error::file("read", "the stream of the copy", error)),
            };
            bytes.clear();
            wire::put_frame(&mut bytes, FrameKind::Data, &block[..length]);
            self.write(&bytes)?;
        }
    }

    fn write(&self, bytes: &[u8]) -> Result<(), Error> {
        write_to(&self.output, bytes).map_err(|_| MirrorLinkError::ClientGone.into())
    }
}

/// Writes whole frames, so that those of two threads never mix.
fn write_to(output: &Mutex<Box<dyn Write + Send>>, bytes: &[u8]) -> io::Result<()> {
    let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
    output.write_all(bytes)?;
    output.flush()
}

fn broke(breach: Breach) -> Error {
    MirrorLinkError::ClientBroke { what: breach.0 }.into()
}

/// What kept the client's bytes from being read: a signal, or the end of the connection.
fn of_read(error: io::Error) -> Error {
    match error.downcast::<Error>() {
        Ok(error) => error,
        Err(_) => MirrorLinkError::ClientGone.into(),
    }
}

/// Returns whether an error leaves no session to go on with.
pub(super) fn ends_session(error: &Error) -> bool {
    matches!(
        error,
        Error::Interrupted(_)
            | Error::MirrorLink(MirrorLinkError::ClientGone | MirrorLinkError::ClientBroke { .. })
    )
}

/// The stream that a client sends.
pub(super) struct ClientStream<'l, R> {
    link: &'l mut ServerLink<R>,
    is_over: bool,
}

impl<'l, R: Read> ClientStream<'l, R> {
    pub(super) fn new(link: &'l mut ServerLink<R>) -> Self {
        Self {
            link,
            is_over: false,
        }
    }

    /// Refuses the stream, and passes over what is under way of it.
    pub(super) fn refuse(mut self, answer: &MirrorAnswer) -> Result<(), Error> {
        // The client sees this while it sends, and stops.
        self.link.answer(answer)?;
        self.pass_over()
    }

    /// Reads to the end of the stream.
    pub(super) fn pass_over(&mut self) -> Result<(), Error> {
        for block in self {
            match block {
                Err(error) if ends_session(&error) => return Err(error),
                Ok(_) | Err(_) => {}
            }
        }
        Ok(())
    }
}

impl<R: Read> Iterator for ClientStream<'_, R> {
    type Item = Result<Vec<u8>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let frame = match self.link.frame() {
            Ok(Some(frame)) => frame,
            Ok(None) => {
                self.is_over = true;
                return Some(Err(MirrorLinkError::ClientGone.into()));
            }
            Err(error) => {
                self.is_over = true;
                return Some(Err(error));
            }
        };
        self.is_over = frame.kind != FrameKind::Data;
        match frame.kind {
            FrameKind::Data => Some(Ok(frame.payload)),
            FrameKind::End => None,
            FrameKind::Abort => Some(Err(MirrorLinkError::GaveUp.into())),
            _ => Some(Err(broke(Breach::of("a message inside a stream")))),
        }
    }
}
