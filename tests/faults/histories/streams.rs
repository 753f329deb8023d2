//! Send streams of made-up snapshots, right and broken ones, each known by a few numbers.

use std::io::Read;
use std::sync::{Mutex, OnceLock};

use chrono::{Datelike, NaiveDate};
use coldchain::engine::{StreamSource, WantedStream};
use coldchain::error::Error;

use crate::common::stream_builder::StreamBuilder;

/// Whether a stream fits into one segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Length {
    Short,
    /// Two segments, of which the first is the same in every stream of a date.
    Long,
}

/// What a sender prints after its first command. A snapshot may be sent in several ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) length: Length,
    pub(super) tail: u8,
}

/// All that a stream's bytes follow from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Printed {
    pub(super) date: NaiveDate,
    pub(super) send_parent: Option<NaiveDate>,
    pub(super) content: Content,
}

/// What is wrong with a stream. Numbers are taken modulo what there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
    /// It ends too early.
    Cut(usize),
    /// One bit of it is another.
    Flipped(usize),
    /// It goes on after its end.
    GoesOn,
    /// It is full, and incremental was asked for, or the other way round.
    OtherKind,
    /// It is of a snapshot that is archived already.
    Known,
}

fn uuid(date: NaiveDate) -> [u8; 16] {
    format!("uuid {date}.").into_bytes().try_into().unwrap()
}

fn ctransid(date: NaiveDate) -> u64 {
    date.num_days_from_ce().unsigned_abs().into()
}

/// More than a segment.
fn first_segment() -> &'static [u8] {
    static COMMANDS: OnceLock<Vec<u8>> = OnceLock::new();
    COMMANDS.get_or_init(|| {
        let mut stream = StreamBuilder::header(1).mkfile(b"long");
        let header = StreamBuilder::header(1).bytes.len();
        let data = vec![7; 48 << 10];
        for nth in 0..90_u64 {
            stream = stream.write(b"long", nth * data.len() as u64, &data);
        }
        stream.bytes.split_off(header)
    })
}

impl Printed {
    /// The bytes of the whole stream.
    pub(super) fn bytes(&self) -> Vec<u8> {
        self.under(self.date).finish()
    }

    /// The same with that date's uuid, without its end.
    fn under(&self, name: NaiveDate) -> StreamBuilder {
        let head = StreamBuilder::header(1);
        let (path, number) = (name.to_string(), ctransid(name));
        let head = match self.send_parent {
            None => head.subvol(path.as_bytes(), uuid(name), number),
            Some(parent) => head.snapshot(
                path.as_bytes(),
                uuid(name),
                number,
                uuid(parent),
                ctransid(parent),
            ),
        };
        let head = match self.content.length {
            Length::Short => head,
            Length::Long => head.raw(first_segment()),
        };
        head.mkfile(b"a file")
            .write(b"a file", 0, &[self.content.tail; 1000])
    }

    /// A stream that nothing may be made of.
    fn broken(&self, how: Broken, known: Option<NaiveDate>) -> Vec<u8> {
        let mut bytes = self.bytes();
        match (how, known) {
            (Broken::Cut(at), _) => {
                let at = at % bytes.len();
                bytes.truncate(at);
            }
            (Broken::Flipped(at), _) => {
                let at = at % (bytes.len() * 8);
                bytes[at / 8] ^= 1 << (at % 8);
            }
            (Broken::OtherKind, _) => {
                let send_parent = match self.send_parent {
                    Some(_) => None,
                    None => self.date.pred_opt(),
                };
                bytes = Self {
                    send_parent,
                    ..*self
                }
                .bytes();
            }
            (Broken::Known, Some(known)) => bytes = self.under(known).finish(),
            (Broken::GoesOn | Broken::Known, _) => bytes.push(0),
        }
        bytes
    }
}

/// Whoever holds the snapshots: prints a stream once it is told which.
pub(super) struct Sender {
    pub(super) date: NaiveDate,
    pub(super) content: Content,
    pub(super) broken: Option<Broken>,
    /// A date that is archived.
    pub(super) known: Option<NaiveDate>,
    state: Mutex<Option<Sending>>,
}

#[derive(Debug)]
struct Sending {
    wanted: WantedStream,
    printed: Printed,
    bytes: Vec<u8>,
    at: usize,
    was_read: bool,
}

impl Sender {
    pub(super) fn new(
        date: NaiveDate,
        content: Content,
        broken: Option<Broken>,
        known: Option<NaiveDate>,
    ) -> Self {
        Self {
            date,
            content,
            broken,
            known,
            state: Mutex::default(),
        }
    }

    /// What it is told on stdout.
    pub(super) fn told(&self, wanted: WantedStream) {
        let printed = Printed {
            date: self.date,
            send_parent: match wanted {
                WantedStream::Full => None,
                WantedStream::Incremental(parent) => Some(parent),
            },
            content: self.content,
        };
        let bytes = match self.broken {
            None => printed.bytes(),
            Some(how) => printed.broken(how, self.known),
        };
        let sending = Sending {
            wanted,
            printed,
            bytes,
            at: 0,
            was_read: false,
        };
        let before = self.state.lock().unwrap().replace(sending);
        assert!(before.is_none(), "it was told twice");
    }

    /// What it was told, if it was.
    pub(super) fn wanted(&self) -> Option<WantedStream> {
        self.state.lock().unwrap().as_ref().map(|it| it.wanted)
    }

    /// The stream that was read to its end, if there is nothing wrong with it.
    pub(super) fn sent_whole(&self) -> Option<Printed> {
        let state = self.state.lock().unwrap();
        let sending = state.as_ref().filter(|it| it.was_read);
        sending
            .filter(|_| self.broken.is_none())
            .map(|it| it.printed)
    }

    /// Its end of the pipe.
    pub(super) fn stdin(&self) -> impl StreamSource {
        Stdin(self)
    }
}

struct Stdin<'a>(&'a Sender);

impl Read for Stdin<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let mut state = self.0.state.lock().unwrap();
        let sending = state
            .as_mut()
            .expect("nothing is read before it is asked for");
        let mut rest = &sending.bytes[sending.at..];
        let read = rest.read(buffer)?;
        sending.at += read;
        sending.was_read |= read == 0 && !buffer.is_empty();
        Ok(read)
    }
}

impl StreamSource for Stdin<'_> {
    fn name(&self) -> &'static str {
        "stdin"
    }

    fn finish(self: Box<Self>) -> Result<(), Error> {
        Ok(())
    }
}
