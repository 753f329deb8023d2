//! The protocol between a run and a `mirror-server` on another machine.
//!
//! The server begins with a line that names the protocol's version and the program's. Then both sides send frames: a
//! byte for the kind, four for the length, the payload. A message is JSON in one or several frames. Neither side
//! trusts the other: a frame is bounded before it is kept, a message before it is parsed, and what comes out of order
//! ends the session.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::engine::mirror::end::{
    CopyToSend, MirrorCopy, MirrorStanding, PrunedCopies, RecordedCopy, WantedCopy,
};
use crate::error::{Error, in_words};
use crate::model::{LedgerId, SourceName, Uuid};

/// The version of this protocol. Both sides must have the same.
pub(super) const PROTOCOL: u32 = 1;

/// How the server's first line begins.
const GREETING: &str = "coldchain-mirror ";

/// The longest greeting. What a shell prints before it is read up to here.
const MAX_GREETING: usize = 1024;

/// The longest payload of a frame. A longer one is refused by its header.
pub(super) const MAX_FRAME: usize = 256 << 10;

/// The longest message, unless it lists copies.
pub(super) const MAX_MESSAGE: usize = 1 << 20;

/// The longest message that lists copies: some 300,000 of them.
pub(super) const MAX_LISTING: usize = 64 << 20;

/// The longest text of another machine that a message passes on.
const MAX_TEXT: usize = 16 << 10;

const HEADER: usize = 5;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FrameKind {
    /// A part of a message, and more follows.
    Part,
    /// The last part of a message.
    Message,
    /// A part of a stream.
    Data,
    /// The end of a stream that the client sends.
    End,
    /// The client gives up its stream: nothing of it may stay.
    Abort,
    /// The server is alive.
    KeepAlive,
}

impl FrameKind {
    const ALL: [(u8, Self); 6] = [
        (b'p', Self::Part),
        (b'm', Self::Message),
        (b'd', Self::Data),
        (b'e', Self::End),
        (b'x', Self::Abort),
        (b'k', Self::KeepAlive),
    ];

    fn of(byte: u8) -> Option<Self> {
        let found = Self::ALL.into_iter().find(|(known, _)| *known == byte);
        found.map(|(_, kind)| kind)
    }

    fn byte(self) -> u8 {
        let found = Self::ALL.into_iter().find(|(_, kind)| *kind == self);
        found.expect("each kind is in the table").0
    }

    fn may_be_empty(self) -> bool {
        matches!(self, Self::End | Self::Abort | Self::KeepAlive)
    }
}

/// A frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WireFrame {
    pub(super) kind: FrameKind,
    pub(super) payload: Vec<u8>,
}

/// Why what came is not the protocol, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Breach(pub(super) String);

impl Breach {
    pub(super) fn of(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

/// What a client asks of the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum MirrorAsk {
    /// To take the directory of a source. It is the first message, and comes once.
    Open {
        /// The client's version of the protocol.
        protocol: u32,
        /// The source.
        source: SourceName,
    },
    /// To look at the directory.
    Standing(Vec<RecordedCopy>),
    /// To make the directory.
    Make,
    /// To receive a snapshot. Its stream follows at once.
    Receive(WantedCopy),
    /// To delete what the mirror no longer keeps, but none of these.
    Prune(Vec<Uuid>),
    /// To send a copy.
    Send(CopyToSend),
}

/// What the server answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum MirrorAnswer {
    /// The directory is taken.
    Opened,
    /// What there is.
    Standing(MirrorStanding),
    /// The directory is made.
    Made(LedgerId),
    /// The snapshot is received.
    Received(MirrorCopy),
    /// What was deleted.
    Pruned(PrunedCopies),
    /// The stream before this is whole.
    Sent,
    /// What was asked for failed, or is not allowed.
    Failed(RemoteFailure),
}

/// An error of another machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RemoteFailure {
    /// The error and its causes.
    pub(super) message: String,
    /// What to do there.
    pub(super) hint: Option<String>,
    /// The exit code that it has there.
    pub(super) code: u8,
}

impl RemoteFailure {
    pub(super) fn of(error: &Error) -> Self {
        Self {
            message: cut(in_words(error)),
            hint: error.hint().map(cut),
            code: error.exit_code() as u8,
        }
    }
}

/// Returns no more of a text than fits into a message.
pub(super) fn cut(mut text: String) -> String {
    if text.len() > MAX_TEXT {
        text.truncate(text.floor_char_boundary(MAX_TEXT));
        text.push('…');
    }
    text
}

/// Returns the server's first line.
pub(super) fn greeting(program: &str) -> String {
    format!("{GREETING}{PROTOCOL} {program}\n")
}

/// The server's first line, as a client reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Greeting {
    /// The line is not there yet.
    Incomplete,
    /// The other side said this before, or instead.
    SaidBefore(String),
    /// The versions of the protocol and of the program, and the length of the line.
    Versions(u32, String, usize),
}

/// Reads the server's first line.
pub(super) fn read_greeting(bytes: &[u8]) -> Greeting {
    let start = &bytes[..bytes.len().min(GREETING.len())];
    let said = || {
        let shown = &bytes[..bytes.len().min(MAX_GREETING)];
        Greeting::SaidBefore(String::from_utf8_lossy(shown).trim().to_owned())
    };
    if !GREETING.as_bytes().starts_with(start) {
        return said();
    }
    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
        return if bytes.len() < MAX_GREETING {
            Greeting::Incomplete
        } else {
            said()
        };
    };
    let line = bytes.get(GREETING.len()..end).unwrap_or_default();
    let versions = std::str::from_utf8(line)
        .ok()
        .and_then(|line| line.split_once(' '));
    match versions.and_then(|(number, program)| Some((number.parse().ok()?, program))) {
        Some((number, program)) if end < MAX_GREETING => {
            Greeting::Versions(number, program.to_owned(), end + 1)
        }
        _ => said(),
    }
}

/// Writes a frame's header and payload at the end of `bytes`.
pub(super) fn put_frame(bytes: &mut Vec<u8>, kind: FrameKind, payload: &[u8]) {
    let length = u32::try_from(payload.len()).expect("a frame is short");
    debug_assert!(payload.len() <= MAX_FRAME, "the other side refuses it");
    bytes.push(kind.byte());
    bytes.extend(length.to_le_bytes());
    bytes.extend_from_slice(payload);
}

/// Writes a message as frames.
pub(super) fn put_message<T: Serialize>(bytes: &mut Vec<u8>, message: &T) {
    let json = serde_json::to_vec(message).expect("it has only texts and numbers");
    let mut parts = json.chunks(MAX_FRAME).peekable();
    while let Some(part) = parts.next() {
        let kind = match parts.peek() {
            Some(_) => FrameKind::Part,
            None => FrameKind::Message,
        };
        put_frame(bytes, kind, part);
    }
}

/// Finds the frames in bytes that come in pieces of any size.
#[derive(Debug, Default)]
pub(super) struct FrameReader {
    bytes: Vec<u8>,
    /// How many of them were returned already.
    taken: usize,
}

impl FrameReader {
    /// Takes what came.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.taken);
        self.taken = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// Returns what came and was not returned yet.
    pub(super) fn rest(&self) -> &[u8] {
        &self.bytes[self.taken..]
    }

    /// Passes over so many bytes.
    pub(super) fn skip(&mut self, bytes: usize) {
        self.taken += bytes;
    }

    /// Returns the next frame; `None` if it is not there as a whole.
    pub(super) fn next_frame(&mut self) -> Result<Option<WireFrame>, Breach> {
        let rest = self.rest();
        let Some(&[kind, ref length @ ..]) = rest.first_chunk::<HEADER>() else {
            return Ok(None);
        };
        let length = u32::from_le_bytes(*length) as usize;
        let kind =
            FrameKind::of(kind).ok_or_else(|| Breach(format!("a frame of the kind {kind}")))?;
        if length > MAX_FRAME {
            return Err(Breach(format!("a frame of {length} bytes")));
        }
        if kind.may_be_empty() != (length == 0) {
            return Err(Breach(format!("a frame of {length} bytes of its kind")));
        }
        let Some(payload) = rest.get(HEADER..HEADER + length) else {
            return Ok(None);
        };
        let payload = payload.to_vec();
        self.taken += HEADER + length;
        Ok(Some(WireFrame { kind, payload }))
    }
}

/// Puts a message together from its parts.
#[derive(Debug)]
pub(super) struct MessageReader {
    json: Vec<u8>,
    limit: usize,
}

impl MessageReader {
    /// Takes no message that is longer than `limit`.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            json: Vec::new(),
            limit,
        }
    }

    /// Takes a part, and returns the message when it is whole.
    pub(super) fn push<T: DeserializeOwned>(
        &mut self,
        frame: &WireFrame,
    ) -> Result<Option<T>, Breach> {
        let is_last = match frame.kind {
            FrameKind::Message => true,
            FrameKind::Part => false,
            _ => return Err(Breach::of("a frame where a message was due")),
        };
        if self.json.len() + frame.payload.len() > self.limit {
            return Err(Breach(format!(
                "a message of more than {} bytes",
                self.limit
            )));
        }
        self.json.extend_from_slice(&frame.payload);
        if !is_last {
            return Ok(None);
        }
        let json = std::mem::take(&mut self.json);
        let parsed = serde_json::from_slice(&json);
        parsed
            .map(Some)
            .map_err(|error| Breach(format!("a message that can't be read: {error}")))
    }
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
