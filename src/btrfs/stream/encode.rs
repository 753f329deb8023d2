//! Encodes commands for `btrfs receive`.

use super::attributes::pieces;
use super::wire::{Attribute, COMMAND_HEADER, Command, command_crc};

/// The bits of a mode that chmod sets.
const MODE_BITS: u32 = 0o7777;

/// A time of an inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileTime {
    /// Seconds since 1970; negative before.
    pub seconds: i64,
    /// Nanoseconds since that second, less than 1,000,000,000.
    pub nanoseconds: u32,
}

/// Encodes a utimes command for the subvolume's root: atime, mtime, ctime. It is the same in all
/// versions of the protocol.
pub fn root_utimes(times: [FileTime; 3]) -> Vec<u8> {
    let mut payload = Vec::new();
    push(&mut payload, Attribute::Path, b"");
    for (attribute, time) in [Attribute::Atime, Attribute::Mtime, Attribute::Ctime]
        .into_iter()
        .zip(times)
    {
        let mut value = [0; 12];
        value[..8].copy_from_slice(&time.seconds.to_le_bytes());
        value[8..].copy_from_slice(&time.nanoseconds.to_le_bytes());
        push(&mut payload, attribute, &value);
    }
    command(Command::Utimes as u16, &payload)
}

/// Encodes a chmod command.
pub(super) fn chmod(path: &[u8], mode: u32) -> Vec<u8> {
    let mut payload = Vec::new();
    push(&mut payload, Attribute::Path, path);
    let mode = u64::from(mode & MODE_BITS);
    push(&mut payload, Attribute::Mode, &mode.to_le_bytes());
    command(Command::Chmod as u16, &payload)
}

/// Encodes a command that sets an extended attribute of the subvolume's root.
pub(super) fn set_root_xattr(name: &str, value: &[u8]) -> Vec<u8> {
    let mut payload = Vec::new();
    push(&mut payload, Attribute::Path, b"");
    push(&mut payload, Attribute::XattrName, name.as_bytes());
    push(&mut payload, Attribute::XattrData, value);
    command(Command::SetXattr as u16, &payload)
}

/// Encodes a command that removes an extended attribute from the subvolume's root.
pub(super) fn remove_root_xattr(name: &str) -> Vec<u8> {
    let mut payload = Vec::new();
    push(&mut payload, Attribute::Path, b"");
    push(&mut payload, Attribute::XattrName, name.as_bytes());
    command(Command::RemoveXattr as u16, &payload)
}

/// Encodes the same command with another path. Its other attributes keep their values and order.
pub(super) fn with_path(number: u16, payload: &[u8], protocol: u32, path: &[u8]) -> Vec<u8> {
    let mut edited = Vec::new();
    for piece in pieces(payload, protocol) {
        if piece.number == Attribute::Path as u16 {
            push(&mut edited, Attribute::Path, path);
        } else {
            edited.extend_from_slice(piece.encoded);
        }
    }
    command(number, &edited)
}

/// Encodes a truncate command.
pub(in crate::btrfs) fn truncate(path: &[u8], bytes: u64) -> Vec<u8> {
    let mut payload = Vec::new();
    push(&mut payload, Attribute::Path, path);
    push(&mut payload, Attribute::Size, &bytes.to_le_bytes());
    command(Command::Truncate as u16, &payload)
}

/// Adds the payload of a write to `payload`, up to its data of `length` bytes for the offset `at`.
pub(in crate::btrfs) fn write_up_to_data(
    payload: &mut Vec<u8>,
    protocol: u32,
    path: &[u8],
    (at, length): (u64, usize),
) {
    push(payload, Attribute::Path, path);
    push(payload, Attribute::FileOffset, &at.to_le_bytes());
    payload.extend((Attribute::Data as u16).to_le_bytes());
    // From version 2 on, data has no length of its own.
    if protocol == 1 {
        let length = u16::try_from(length).expect("a write of version 1 has at most 48 KiB");
        payload.extend(length.to_le_bytes());
    }
}

fn push(payload: &mut Vec<u8>, attribute: Attribute, value: &[u8]) {
    let length = u16::try_from(value.len()).expect("a path that the guard accepted fits");
    payload.extend((attribute as u16).to_le_bytes());
    payload.extend(length.to_le_bytes());
    payload.extend_from_slice(value);
}

fn command(number: u16, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("no longer than what the guard accepted");
    let mut header = [0; COMMAND_HEADER];
    header[..4].copy_from_slice(&length.to_le_bytes());
    header[4..6].copy_from_slice(&number.to_le_bytes());
    let crc = command_crc(&header, payload);
    header[6..].copy_from_slice(&crc.to_le_bytes());
    [&header[..], payload].concat()
}
