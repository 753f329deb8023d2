//! A command's attributes: found in place, each inside its command, none twice.

use super::refusal::StreamRefusal;
use super::wire::{ATTRIBUTES, Attribute, Command, Shape};
use crate::model::Uuid;

/// The attributes of one command, borrowed from the bytes of the stream.
#[derive(Debug)]
pub(super) struct Attributes<'a> {
    command: Command,
    values: [Option<&'a [u8]>; ATTRIBUTES],
}

impl<'a> Attributes<'a> {
    /// Splits a command's payload into attributes, and checks that the required ones are there.
    pub(super) fn parse(
        command: Command,
        payload: &'a [u8],
        protocol: u32,
    ) -> Result<Self, StreamRefusal> {
        let attributes = Self::split(command, payload, protocol)?;
        attributes.require()?;
        Ok(attributes)
    }

    fn split(
        command: Command,
        mut payload: &'a [u8],
        protocol: u32,
    ) -> Result<Self, StreamRefusal> {
        let mut values = [None; ATTRIBUTES];
        let cut = || StreamRefusal::AttributeCut { command };
        while !payload.is_empty() {
            let (piece, rest) = split_first(payload, protocol).ok_or_else(cut)?;
            let (number, value) = (piece.number, piece.value);
            let attribute = Attribute::from_number(number)
                .filter(|attribute| attribute.since() <= protocol)
                .ok_or(StreamRefusal::UnknownAttribute { command, number })?;
            if let Shape::Fixed(expected) = attribute.shape()
                && value.len() != expected
            {
                return Err(StreamRefusal::AttributeSize {
                    command,
                    attribute,
                    expected,
                    found: value.len(),
                });
            }
            if values[usize::from(number)].replace(value).is_some() {
                return Err(StreamRefusal::DuplicateAttribute { command, attribute });
            }
            payload = rest;
        }
        Ok(Self { command, values })
    }

    /// Does the same for a command of contents, whose file data was left out.
    pub(super) fn parse_cut(
        command: Command,
        payload: &'a [u8],
        protocol: u32,
    ) -> Result<Self, StreamRefusal> {
        let mut attributes = Self::split(command, payload, protocol)?;
        if command.has_file_data() {
            attributes.values[Attribute::Data as usize] = Some(&[]);
        }
        attributes.require()?;
        Ok(attributes)
    }

    fn require(&self) -> Result<(), StreamRefusal> {
        let mut required = self.command.required().iter();
        required.try_for_each(|attribute| self.bytes(*attribute).map(drop))
    }

    /// Returns the value of an attribute.
    pub(super) fn bytes(&self, attribute: Attribute) -> Result<&'a [u8], StreamRefusal> {
        self.values[attribute as usize].ok_or(StreamRefusal::MissingAttribute {
            command: self.command,
            attribute,
        })
    }

    /// Returns the value of a 64-bit attribute.
    pub(super) fn number(&self, attribute: Attribute) -> Result<u64, StreamRefusal> {
        self.array(attribute).map(u64::from_le_bytes)
    }

    /// Returns the value of a 32-bit attribute; 0 if there is none.
    pub(super) fn small_number(&self, attribute: Attribute) -> Result<u32, StreamRefusal> {
        match self.values[attribute as usize] {
            Some(_) => self.array(attribute).map(u32::from_le_bytes),
            None => Ok(0),
        }
    }

    /// Returns the value of a uuid attribute.
    pub(super) fn uuid(&self, attribute: Attribute) -> Result<Uuid, StreamRefusal> {
        let bytes = self.array(attribute)?;
        Uuid::from_btrfs(bytes).ok_or(StreamRefusal::NoUuid {
            command: self.command,
            attribute,
        })
    }

    fn array<const N: usize>(&self, attribute: Attribute) -> Result<[u8; N], StreamRefusal> {
        let bytes = self.bytes(attribute)?;
        bytes.try_into().map_err(|_| StreamRefusal::AttributeSize {
            command: self.command,
            attribute,
            expected: N,
            found: bytes.len(),
        })
    }
}

/// One attribute, borrowed from the payload.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece<'a> {
    /// Its type, which may be unknown.
    pub(super) number: u16,
    /// Its value.
    pub(super) value: &'a [u8],
    /// Its header and value.
    pub(super) encoded: &'a [u8],
}

/// Splits a payload's first attribute off; `None` if it reaches beyond the payload.
pub(super) fn split_first(payload: &[u8], protocol: u32) -> Option<(Piece<'_>, &[u8])> {
    let (number, rest) = take_u16(payload)?;
    // "As of send stream v2, this attribute is special: it must be the last attribute in a command,
    // its header contains only the type, and its length is implicitly the remaining length of the
    // command" (send.h).
    let (length, rest) = if number == Attribute::Data as u16 && protocol >= 2 {
        (rest.len(), rest)
    } else {
        let (length, rest) = take_u16(rest)?;
        (usize::from(length), rest)
    };
    let (value, rest) = rest.split_at_checked(length)?;
    let encoded = &payload[..payload.len() - rest.len()];
    let piece = Piece {
        number,
        value,
        encoded,
    };
    Some((piece, rest))
}

/// Returns the attributes of a payload, up to the first that reaches beyond it.
pub(super) fn pieces(mut payload: &[u8], protocol: u32) -> impl Iterator<Item = Piece<'_>> {
    std::iter::from_fn(move || {
        let (piece, rest) = split_first(payload, protocol)?;
        payload = rest;
        Some(piece)
    })
}

/// Returns the value of an attribute in a checked payload.
pub(in crate::btrfs) fn value(
    payload: &[u8],
    attribute: Attribute,
    protocol: u32,
) -> Option<&[u8]> {
    pieces(payload, protocol)
        .find(|piece| piece.number == attribute as u16)
        .map(|piece| piece.value)
}

fn take_u16(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<2>()?;
    Some((u16::from_le_bytes(*number), rest))
}
