//! A stream's commands in place, and runs of them that pass unchanged.

use super::edited_stream::EditedStream;
use super::wire::{COMMAND_HEADER, Command, command_crc, payload_limit};

/// One command, borrowed from the stream.
#[derive(Clone, Copy)]
pub(in crate::btrfs) struct Unit<'a> {
    /// Its type.
    pub(in crate::btrfs) number: u16,
    /// Its attributes.
    pub(in crate::btrfs) payload: &'a [u8],
    /// The whole command.
    pub(in crate::btrfs) bytes: &'a [u8],
}

impl<'a> Unit<'a> {
    /// Returns the command at the start of the bytes, if it is whole.
    pub(in crate::btrfs) fn read(bytes: &'a [u8]) -> Option<Self> {
        let header = bytes.first_chunk::<COMMAND_HEADER>()?;
        let length = u32::from_le_bytes([header[0], header[1], header[2], header[3]]);
        let length = usize::try_from(length).ok()?.checked_add(COMMAND_HEADER)?;
        let bytes = bytes.get(..length)?;
        Some(Self {
            number: u16::from_le_bytes([header[4], header[5]]),
            payload: &bytes[COMMAND_HEADER..],
            bytes,
        })
    }

    /// Whether bytes are no start of a command of this version of the protocol, by the length that they say.
    pub(in crate::btrfs) fn is_none(bytes: &[u8], protocol: u32) -> bool {
        let length = bytes
            .first_chunk()
            .map(|length| u32::from_le_bytes(*length));
        length.is_some_and(|length| length as usize > payload_limit(protocol))
    }

    /// Whether its CRC is right.
    pub(in crate::btrfs) fn is_sound(self) -> bool {
        let header = self.bytes.first_chunk::<COMMAND_HEADER>();
        header.is_some_and(|header| header[6..] == command_crc(header, self.payload).to_le_bytes())
    }

    /// Returns whether it has this type.
    pub(super) fn is(self, command: Command) -> bool {
        self.number == command as u16
    }
}

/// Commands that pass unchanged, and are passed on together.
pub(super) struct Run<'a> {
    bytes: &'a [u8],
    /// How many bytes were passed on, and how many were seen.
    handed_on: usize,
    seen: usize,
}

impl<'a> Run<'a> {
    /// Returns a run of bytes, none of which was seen yet.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            handed_on: 0,
            seen: 0,
        }
    }

    /// Returns the bytes that were not seen yet.
    pub(super) fn ahead(&self) -> &'a [u8] {
        &self.bytes[self.seen..]
    }

    /// Marks the next bytes as seen, and returns them.
    pub(super) fn advance(&mut self, length: usize) -> &'a [u8] {
        let ahead = self.ahead();
        let passed = &ahead[..length.min(ahead.len())];
        self.seen += passed.len();
        passed
    }

    /// Passes on the bytes that were seen.
    pub(super) fn flush<S: EditedStream>(&mut self, out: &mut S) -> Result<(), S::Error> {
        let bytes = &self.bytes[self.handed_on..self.seen];
        self.handed_on = self.seen;
        if bytes.is_empty() {
            return Ok(());
        }
        out.write(bytes)
    }

    /// Passes on the bytes that were seen, and then other bytes in place of the next ones.
    pub(super) fn replace<S: EditedStream>(
        &mut self,
        length: usize,
        with: &[u8],
        out: &mut S,
    ) -> Result<(), S::Error> {
        self.flush(out)?;
        self.advance(length);
        self.handed_on = self.seen;
        if with.is_empty() {
            return Ok(());
        }
        out.write(with)
    }
}
