//! The guard: judges a send stream while it passes, at backup and at restore by the same rules.
//!
//! `btrfs send` exits 0 with a corrupt stream after it was stopped and continued (progs issues
//! 719 and 1063), and a forged stream makes `btrfs receive` write anywhere as root. So no exit
//! status is trusted: every command's frame, CRC, attributes and paths are checked, the first
//! must name one subvolume, the last must be END, and nothing may follow.
//!
//! File data goes to regular files only. A write to a symlink, device node, fifo or socket that the stream
//! made is refused, and so is a path through one. Special files of the send parent are not known here: the
//! mount flags of `btrfs receive`, `nosymfollow` and `nodev`, protect against them.

mod attributes;
mod contents;
mod edit;
mod edited_stream;
mod encode;
mod expect;
mod fresh_symlink;
mod handed_down;
mod holds;
mod name;
mod name_tree;
mod path;
mod refusal;
mod rules;
mod run;
mod special_files;
mod special_kind;
mod wire;
mod zeros;

pub(super) use attributes::value;
pub use contents::{ContentsCommand, ContentsError, ContentsReader};
pub use edit::{RECEIVED_NAME, ReceiveEdit};
pub use edited_stream::EditedStream;
pub use encode::{FileTime, root_utimes};
pub(super) use encode::{truncate, write_up_to_data};
pub(super) use run::Unit;
pub(super) use wire::{STREAM_HEADER, command_crc};
pub(super) const LONGEST_PATH: usize = path::PATH_LIMIT;
pub use expect::{CompressedData, Expect, ExpectParent, StreamHead};
pub use handed_down::HandedDown;
pub(super) use handed_down::{COMPRESSION, DEFAULT_ACL};
pub use holds::Holds;
pub use refusal::{GuardError, PathFault, StreamRefusal};
pub use special_files::Fifo;
pub use special_kind::SpecialKind;
pub use wire::{Attribute, COMMAND_HEADER, Command};
pub use zeros::Zeros;

use attributes::Attributes;
pub use rules::FileData;
use rules::Rules;
use wire::MAGIC;

/// A push parser: give it the stream in any pieces, and [`Guard::finish`] it at EOF.
#[derive(Debug)]
pub struct Guard {
    expect: Expect,
    rules: Rules,
    state: StreamState,
    head: Option<StreamHead>,
    /// The first part of a unit (the stream's header or a command) that has not come completely.
    partial: Vec<u8>,
    /// Bytes of all units accepted.
    offset: u64,
    /// Commands accepted.
    commands: u64,
    refused: Option<GuardError>,
    /// The limit on name and value of an extended attribute together, in bytes.
    longest_attribute: Option<u64>,
    /// The stream without its file data that was not taken yet; `None` if the caller does not keep contents.
    contents: Option<Vec<u8>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StreamState {
    Header,
    Commands { protocol: u32 },
    Ended,
}

/// What the guard has found in a whole stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamSummary {
    /// What its first command says.
    pub head: StreamHead,
    /// Bytes of the stream.
    pub bytes: u64,
    /// Commands in it, the first and END included.
    pub commands: u64,
    /// Bytes of file data in it, as they are in the stream (compressed, if they are).
    pub file_data_bytes: u64,
    /// Which kinds of files it may add to the subvolume.
    pub makes: Holds,
    /// Whether it has data as it is compressed on disk.
    pub compressed_data: bool,
    /// The zeros that it carries as data.
    pub zeros: Zeros,
}

impl Guard {
    /// Returns a guard for one stream.
    pub fn new(expect: Expect) -> Self {
        Self::with_rules(expect, FileData::Carried)
    }

    /// Returns a guard for the output of `btrfs send --no-data`. The summary's `file_data_bytes` is then what
    /// the real stream would carry.
    pub(super) fn for_estimate() -> Self {
        Self::with_rules(Expect::default(), FileData::Announced)
    }

    fn with_rules(expect: Expect, file_data: FileData) -> Self {
        Self {
            expect,
            rules: Rules::new(file_data),
            state: StreamState::Header,
            head: None,
            partial: Vec::new(),
            offset: 0,
            commands: 0,
            refused: None,
            longest_attribute: None,
            contents: None,
        }
    }

    /// Adds the fifos of the send parent, which the guard then follows too. A program that opens a fifo waits
    /// without end for another at its other end.
    pub fn inherit(&mut self, fifos: Vec<Fifo>) -> Result<(), GuardError> {
        self.rules
            .inherit(fifos)
            .map_err(|refusal| self.error(refusal))
    }

    /// Makes the guard refuse extended attributes whose name and value have more bytes together.
    pub fn limit_attributes(&mut self, bytes: u64) {
        self.longest_attribute = Some(bytes);
    }

    /// Makes the guard keep the accepted commands without their file data.
    pub fn keep_contents(&mut self) {
        self.contents = Some(Vec::new());
    }

    /// Returns the contents of the commands that were accepted since the last call. To keep its buffer, drain it.
    pub fn contents(&mut self) -> Option<&mut Vec<u8>> {
        self.contents.as_mut()
    }

    /// Judges the next bytes. A refusal is final: every later call returns it again.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), GuardError> {
        if let Some(refused) = &self.refused {
            return Err(refused.clone());
        }
        self.take(bytes).map_err(|refusal| {
            let refused = self.error(refusal);
            self.refused = Some(refused.clone());
            refused
        })
    }

    /// Returns the bytes from the start of the stream to the end of the last accepted command. So many bytes
    /// may be forwarded. It is 0 until the first command is accepted.
    pub fn cleared(&self) -> u64 {
        if self.commands == 0 { 0 } else { self.offset }
    }

    /// Returns what the first command says, after it was accepted.
    pub fn head(&self) -> Option<&StreamHead> {
        self.head.as_ref()
    }

    /// Returns the verdict on the whole stream, at EOF.
    pub fn finish(self) -> Result<StreamSummary, GuardError> {
        if let Some(refused) = self.refused {
            return Err(refused);
        }
        let have = self.partial.len();
        let refusal = match (self.state, &self.head) {
            (StreamState::Ended, Some(head)) => {
                return Ok(StreamSummary {
                    head: head.clone(),
                    bytes: self.offset,
                    commands: self.commands,
                    file_data_bytes: self.rules.file_data_bytes,
                    makes: self.rules.makes,
                    compressed_data: self.rules.compressed_data,
                    zeros: self.rules.zeros.total(),
                });
            }
            (StreamState::Header, _) if have == 0 => StreamRefusal::Empty,
            (StreamState::Header, _) => StreamRefusal::CutHeader { have },
            _ if have > 0 => StreamRefusal::CutCommand { have },
            _ => StreamRefusal::NoEnd,
        };
        Err(self.error(refusal))
    }

    /// Returns an error about the unit after the accepted ones.
    fn error(&self, refusal: StreamRefusal) -> GuardError {
        GuardError {
            offset: self.offset,
            command: match self.state {
                StreamState::Header => 0,
                _ => self.commands + 1,
            },
            refusal,
        }
    }

    fn take(&mut self, mut bytes: &[u8]) -> Result<(), StreamRefusal> {
        while !bytes.is_empty() {
            if self.partial.is_empty() {
                // The fast way: these bytes have the whole unit, and nothing is copied.
                let length = self.unit_length(bytes)?;
                if let Some((unit, rest)) = bytes.split_at_checked(length) {
                    self.accept(unit)?;
                    bytes = rest;
                    continue;
                }
            }
            // A command's length is known only when its header is complete. So first complete the header,
            // then the command.
            let missing = self.unit_length(&self.partial)? - self.partial.len();
            let (piece, rest) = bytes.split_at(missing.min(bytes.len()));
            self.partial.extend_from_slice(piece);
            bytes = rest;
            if self.partial.len() == self.unit_length(&self.partial)? {
                let mut unit = std::mem::take(&mut self.partial);
                self.accept(&unit)?;
                unit.clear();
                self.partial = unit;
            }
        }
        Ok(())
    }

    /// Returns the length of the unit that starts with `start`. For a command whose header is not complete,
    /// returns the header's length.
    fn unit_length(&self, start: &[u8]) -> Result<usize, StreamRefusal> {
        let protocol = match self.state {
            StreamState::Header => return Ok(STREAM_HEADER),
            StreamState::Ended => return Err(StreamRefusal::AfterEnd),
            StreamState::Commands { protocol } => protocol,
        };
        let Some(header) = start.first_chunk::<COMMAND_HEADER>() else {
            return Ok(COMMAND_HEADER);
        };
        if MAGIC.starts_with(header) {
            return Err(StreamRefusal::Restarted);
        }
        let length = u32::from_le_bytes([header[0], header[1], header[2], header[3]]);
        let limit = wire::payload_limit(protocol);
        match usize::try_from(length) {
            Ok(payload) if payload <= limit => Ok(COMMAND_HEADER + payload),
            _ => Err(StreamRefusal::CommandTooLarge {
                found: length.into(),
                limit,
            }),
        }
    }

    fn accept(&mut self, unit: &[u8]) -> Result<(), StreamRefusal> {
        match self.state {
            StreamState::Header => self.accept_header(unit)?,
            StreamState::Ended => return Err(StreamRefusal::AfterEnd),
            StreamState::Commands { protocol } => {
                self.accept_command(unit, protocol)?;
                self.commands += 1;
            }
        }
        self.offset += unit.len() as u64;
        Ok(())
    }

    fn accept_header(&mut self, unit: &[u8]) -> Result<(), StreamRefusal> {
        let version = unit.strip_prefix(MAGIC).ok_or(StreamRefusal::Magic)?;
        let version = version.try_into().map_err(|_| StreamRefusal::Magic)?;
        match u32::from_le_bytes(version) {
            protocol @ (1 | 2) => self.state = StreamState::Commands { protocol },
            other => return Err(StreamRefusal::Version(other)),
        }
        if let Some(contents) = &mut self.contents {
            contents.extend_from_slice(unit);
        }
        Ok(())
    }

    fn accept_command(&mut self, unit: &[u8], protocol: u32) -> Result<(), StreamRefusal> {
        let Some((header, payload)) = unit.split_first_chunk::<COMMAND_HEADER>() else {
            return Err(StreamRefusal::CutCommand { have: unit.len() });
        };
        let expected = wire::command_crc(header, payload);
        let found = u32::from_le_bytes([header[6], header[7], header[8], header[9]]);
        if found != expected {
            return Err(StreamRefusal::Crc { expected, found });
        }
        let number = u16::from_le_bytes([header[4], header[5]]);
        let command = Command::from_number(number).ok_or(StreamRefusal::UnknownCommand(number))?;
        if command.since() > protocol {
            return Err(StreamRefusal::CommandTooNew { command, protocol });
        }
        let attributes = Attributes::parse(command, payload, protocol)?;
        let kept_bytes = contents::kept_bytes(command, unit, &attributes)?;
        self.judge(command, &attributes, protocol)?;
        if let Some(contents) = &mut self.contents {
            contents::keep(unit, kept_bytes, contents);
        }
        Ok(())
    }

    fn judge(
        &mut self,
        command: Command,
        attributes: &Attributes<'_>,
        protocol: u32,
    ) -> Result<(), StreamRefusal> {
        let Some(head) = &self.head else {
            let head = StreamHead::read(command, attributes, protocol)?;
            self.expect.check(&head)?;
            self.head = Some(head);
            return Ok(());
        };
        if command == Command::End {
            self.state = StreamState::Ended;
            return Ok(());
        }
        if command == Command::EncodedWrite
            && self.expect.compressed_data == CompressedData::Refused
        {
            return Err(StreamRefusal::CompressedData);
        }
        self.rules.apply(command, attributes, head)?;
        if let (Command::SetXattr, Some(limit)) = (command, self.longest_attribute) {
            let name = attributes.bytes(Attribute::XattrName)?;
            let value = attributes.bytes(Attribute::XattrData)?;
            let bytes = (name.len() + value.len()) as u64;
            if bytes > limit {
                return Err(StreamRefusal::AttributeTooLong {
                    path: attributes.bytes(Attribute::Path)?.to_vec(),
                    name: name.to_vec(),
                    bytes,
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests;
