//! The contents of an archive: its send stream with the file data cut out.
//!
//! Of every command that carries file data (`write`, `encoded_write`), the data is left out, which is the last of the
//! command; and every CRC field is 0. All lengths stay as they were in the stream. So a reader knows where each
//! command, and the data of each, lay in the stream.
//!
//! This module cuts a stream and reads what is left by the guard's rules. What follows the end command, the table of
//! segments, is `seal`'s.

use std::io::{self, Read};
use std::ops::Range;

use super::attributes::Attributes;
use super::expect::{Expect, StreamHead};
use super::refusal::{GuardError, StreamRefusal};
use super::rules::{FileData, Rules};
use super::wire::{self, Attribute, COMMAND_HEADER, Command, MAGIC, STREAM_HEADER};
use crate::model::Uuid;

/// Where a command's CRC is in its header.
const CRC_FIELD: Range<usize> = 6..COMMAND_HEADER;

/// Returns how many bytes of an accepted command stay in the contents.
pub(super) fn kept_bytes(
    command: Command,
    unit: &[u8],
    attributes: &Attributes<'_>,
) -> Result<usize, StreamRefusal> {
    if !command.has_file_data() {
        return Ok(unit.len());
    }
    let data = attributes.bytes(Attribute::Data)?;
    if data.as_ptr_range().end != unit.as_ptr_range().end {
        return Err(StreamRefusal::DataNotLast { command });
    }
    Ok(unit.len() - data.len())
}

/// Adds what stays of an accepted command.
pub(super) fn keep(unit: &[u8], kept_bytes: usize, contents: &mut Vec<u8>) {
    let begin = contents.len();
    contents.extend_from_slice(&unit[..kept_bytes]);
    contents[begin..][CRC_FIELD].fill(0);
}

/// Contents that can't be read.
#[derive(Debug, thiserror::Error)]
pub enum ContentsError {
    /// Reading failed.
    #[error("reading the contents failed")]
    Read(#[source] io::Error),
    /// A command is not what the guard would accept in a stream.
    #[error(transparent)]
    Refused(GuardError),
}

/// Reads contents up to and with the end command. Every command is judged by the guard's rules, but for those on special
/// files: a replay knows which files there are.
#[derive(Debug)]
pub struct ContentsReader<R> {
    input: R,
    expect: Expect,
    rules: Rules,
    protocol: u32,
    head: Option<StreamHead>,
    /// Where the next command begins in the stream.
    offset: u64,
    /// Commands read.
    commands: u64,
    ended: bool,
    /// The payload of the last command, without its data.
    payload: Vec<u8>,
}

/// A command of contents.
#[derive(Debug)]
pub struct ContentsCommand<'a> {
    /// What it does. It is none of `Subvol`, `Snapshot` and `End`.
    pub command: Command,
    /// Where it lies in the stream, its data included.
    pub place: Range<u64>,
    /// Where its file data lies in the stream, if it carries any.
    pub data: Option<Range<u64>>,
    attributes: Attributes<'a>,
}

impl<'a> ContentsCommand<'a> {
    /// Returns the value of an attribute that the command must have.
    pub fn bytes(&self, attribute: Attribute) -> Result<&'a [u8], StreamRefusal> {
        self.attributes.bytes(attribute)
    }

    /// Returns the value of a 64-bit attribute that the command must have.
    pub fn number(&self, attribute: Attribute) -> Result<u64, StreamRefusal> {
        self.attributes.number(attribute)
    }

    /// Returns the value of a 32-bit attribute; 0 if the command does not have it.
    pub fn small_number(&self, attribute: Attribute) -> Result<u32, StreamRefusal> {
        self.attributes.small_number(attribute)
    }

    /// Returns the value of a uuid attribute that the command must have.
    pub fn uuid(&self, attribute: Attribute) -> Result<Uuid, StreamRefusal> {
        self.attributes.uuid(attribute)
    }
}

impl<R: Read> ContentsReader<R> {
    /// Reads the head of contents.
    pub fn open(input: R, expect: Expect) -> Result<Self, ContentsError> {
        let mut reader = Self {
            input,
            expect,
            rules: Rules::for_a_tree(FileData::Carried),
            protocol: 0,
            head: None,
            offset: 0,
            commands: 0,
            ended: false,
            payload: Vec::new(),
        };
        let mut header = [0; STREAM_HEADER];
        reader.fill(&mut header, StreamRefusal::CutHeader { have: 0 })?;
        let version = header.strip_prefix(MAGIC);
        let version = version.and_then(<[u8]>::first_chunk::<4>);
        let version = version.ok_or_else(|| reader.refuse(StreamRefusal::Magic))?;
        match u32::from_le_bytes(*version) {
            protocol @ (1 | 2) => reader.protocol = protocol,
            other => return Err(reader.refuse(StreamRefusal::Version(other))),
        }
        reader.offset = STREAM_HEADER as u64;
        let (command, _) = reader.read_command()?;
        let attributes = Attributes::parse(command, &reader.payload, reader.protocol);
        let head = attributes
            .and_then(|attributes| StreamHead::read(command, &attributes, reader.protocol))
            .and_then(|head| reader.expect.check(&head).map(|()| head));
        reader.head = Some(head.map_err(|refusal| reader.refuse(refusal))?);
        reader.commands = 1;
        Ok(reader)
    }

    /// Returns what the first command says.
    pub fn head(&self) -> &StreamHead {
        self.head
            .as_ref()
            .expect("it was read when this was opened")
    }

    /// Returns the bytes of the stream up to the next command.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Reads the next command; `None` at the end command.
    pub fn next_command(&mut self) -> Result<Option<ContentsCommand<'_>>, ContentsError> {
        if self.ended {
            return Ok(None);
        }
        let begin = self.offset;
        let (command, data) = self.read_command()?;
        let end = std::mem::replace(&mut self.offset, begin);
        if command == Command::End {
            self.ended = true;
        }
        if let Err(refusal) = self.judge(command) {
            return Err(self.refuse(refusal));
        }
        self.offset = end;
        self.commands += 1;
        if self.ended {
            return Ok(None);
        }
        let attributes = Attributes::parse_cut(command, &self.payload, self.protocol);
        match attributes {
            Ok(attributes) => Ok(Some(ContentsCommand {
                command,
                place: begin..end,
                data,
                attributes,
            })),
            Err(refusal) => Err(ContentsError::Refused(GuardError {
                offset: begin,
                command: self.commands,
                refusal,
            })),
        }
    }

    /// Returns what follows the end command.
    pub fn into_rest(self) -> R {
        self.input
    }

    fn judge(&mut self, command: Command) -> Result<(), StreamRefusal> {
        let attributes = Attributes::parse_cut(command, &self.payload, self.protocol)?;
        if command == Command::End {
            return Ok(());
        }
        let head = self
            .head
            .as_ref()
            .expect("it was read when this was opened");
        self.rules.apply(command, &attributes, head)
    }

    /// Reads a command and the payload that is there, and moves on to the next. Also returns where its data lies in the
    /// stream.
    fn read_command(&mut self) -> Result<(Command, Option<Range<u64>>), ContentsError> {
        let mut header = [0; COMMAND_HEADER];
        self.fill(&mut header, StreamRefusal::NoEnd)?;
        let crc: [u8; 4] = header[CRC_FIELD].try_into().expect("it has four bytes");
        if crc != [0; 4] {
            let found = u32::from_le_bytes(crc);
            return Err(self.refuse(StreamRefusal::Crc { expected: 0, found }));
        }
        let length = u32::from_le_bytes([header[0], header[1], header[2], header[3]]);
        let limit = wire::payload_limit(self.protocol);
        let length = usize::try_from(length)
            .ok()
            .filter(|length| *length <= limit);
        let length = length.ok_or_else(|| {
            let found = u32::from_le_bytes([header[0], header[1], header[2], header[3]]).into();
            self.refuse(StreamRefusal::CommandTooLarge { found, limit })
        })?;
        let number = u16::from_le_bytes([header[4], header[5]]);
        let command = Command::from_number(number)
            .ok_or_else(|| self.refuse(StreamRefusal::UnknownCommand(number)))?;
        if command.since() > self.protocol {
            let protocol = self.protocol;
            return Err(self.refuse(StreamRefusal::CommandTooNew { command, protocol }));
        }
        let begin = self.offset;
        let end = begin + (COMMAND_HEADER + length) as u64;
        self.payload.clear();
        let data = if command.has_file_data() {
            let data_bytes = self.read_up_to_data(command, length)?;
            Some(end - data_bytes as u64..end)
        } else {
            self.read_on(length)?;
            None
        };
        self.offset = end;
        Ok((command, data))
    }

    /// Reads the attributes of a command before its data, and the header of its data. Returns the length of the data.
    fn read_up_to_data(&mut self, command: Command, length: usize) -> Result<usize, ContentsError> {
        let cut = StreamRefusal::AttributeCut { command };
        let mut left = length;
        let mut take = |bytes: usize, reader: &Self| match left.checked_sub(bytes) {
            Some(rest) => {
                left = rest;
                Ok(rest)
            }
            None => Err(reader.refuse(cut.clone())),
        };
        loop {
            take(2, self)?;
            let number = self.read_u16()?;
            if number == Attribute::Data as u16 {
                if self.protocol >= 2 {
                    return Ok(left);
                }
                let rest = take(2, self)?;
                let said = usize::from(self.read_u16()?);
                return if said == rest {
                    Ok(said)
                } else {
                    Err(self.refuse(StreamRefusal::DataNotLast { command }))
                };
            }
            self.payload.extend(number.to_le_bytes());
            take(2, self)?;
            let bytes = self.read_u16()?;
            self.payload.extend(bytes.to_le_bytes());
            take(bytes.into(), self)?;
            self.read_on(bytes.into())?;
        }
    }

    fn read_u16(&mut self) -> Result<u16, ContentsError> {
        let mut bytes = [0; 2];
        self.fill(&mut bytes, StreamRefusal::CutCommand { have: 0 })?;
        Ok(u16::from_le_bytes(bytes))
    }

    /// Adds the next bytes to the payload.
    fn read_on(&mut self, bytes: usize) -> Result<(), ContentsError> {
        let begin = self.payload.len();
        self.payload.resize(begin + bytes, 0);
        let mut payload = std::mem::take(&mut self.payload);
        let read = self.fill(&mut payload[begin..], StreamRefusal::CutCommand { have: 0 });
        self.payload = payload;
        read
    }

    fn fill(&mut self, bytes: &mut [u8], cut: StreamRefusal) -> Result<(), ContentsError> {
        self.input
            .read_exact(bytes)
            .map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => self.refuse(cut),
                _ => ContentsError::Read(error),
            })
    }

    fn refuse(&self, refusal: StreamRefusal) -> ContentsError {
        ContentsError::Refused(GuardError {
            offset: self.offset,
            command: self.commands + 1,
            refusal,
        })
    }
}

#[cfg(test)]
#[path = "contents_tests.rs"]
mod tests;
