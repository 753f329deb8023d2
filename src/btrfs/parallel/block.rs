//! A part of the stream, with gaps where data belongs.

use crate::btrfs::stream::{COMMAND_HEADER, FileTime};

/// From this many bytes on, a block is handed on.
const FULL: usize = 1 << 20;

/// The longest command that begins in a block that is not full: data, a path and their headers.
const OVERHANG: usize = 512 << 10;

/// A part of the stream.
pub(super) struct LaidBlock {
    /// As long as the longest block: it is used again, and never cleared.
    bytes: Box<[u8]>,
    used: usize,
    pub(super) gaps: Vec<Gap>,
    pub(super) checks: Vec<FileCheck>,
}

/// Data that a command lacks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gap {
    pub(super) inode: u64,
    /// Where the data is in the file.
    pub(super) offset: u64,
    /// Where the command begins in the block, and where its data does.
    pub(super) command: usize,
    pub(super) data: usize,
    pub(super) length: usize,
}

/// What the stream says of a file whose data was read.
#[derive(Debug, Clone, Copy)]
pub(super) struct FileCheck {
    pub(super) inode: u64,
    /// Its size, if the stream says it.
    pub(super) bytes: Option<u64>,
    /// mtime and ctime.
    pub(super) times: [FileTime; 2],
}

impl LaidBlock {
    pub(super) fn new() -> Self {
        Self {
            bytes: vec![0; FULL + OVERHANG].into_boxed_slice(),
            used: 0,
            gaps: Vec::new(),
            checks: Vec::new(),
        }
    }

    pub(super) fn clear(&mut self) {
        self.used = 0;
        self.gaps.clear();
        self.checks.clear();
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.used]
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.used]
    }

    pub(super) fn is_full(&self) -> bool {
        self.used >= FULL
    }

    /// Adds bytes. Returns false if it has no room for them.
    #[must_use]
    pub(super) fn push(&mut self, bytes: &[u8]) -> bool {
        let Some(room) = self.bytes.get_mut(self.used..self.used + bytes.len()) else {
            return false;
        };
        room.copy_from_slice(bytes);
        self.used += bytes.len();
        true
    }

    /// Adds a command whose last `length` bytes are data that is read later. `before` is its payload before these. Its CRC
    /// is computed with the data.
    #[must_use]
    pub(super) fn push_gap(
        &mut self,
        number: u16,
        before: &[u8],
        (inode, offset, length): (u64, u64, usize),
    ) -> bool {
        let command = self.used;
        let payload = before.len() + length;
        if self.bytes.len() < command + COMMAND_HEADER + payload {
            return false;
        }
        let Ok(payload) = u32::try_from(payload) else {
            return false;
        };
        let mut header = [0; COMMAND_HEADER];
        header[..4].copy_from_slice(&payload.to_le_bytes());
        header[4..6].copy_from_slice(&number.to_le_bytes());
        let fits = self.push(&header) && self.push(before);
        self.gaps.push(Gap {
            inode,
            offset,
            command,
            data: self.used,
            length,
        });
        self.used += length;
        fits
    }
}

impl std::fmt::Debug for LaidBlock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LaidBlock")
            .field("used", &self.used)
            .field("gaps", &self.gaps.len())
            .finish_non_exhaustive()
    }
}
