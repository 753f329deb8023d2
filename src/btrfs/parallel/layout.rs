//! Lays out the stream with data, from the kernel's stream without.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use super::block::{FileCheck, LaidBlock};
use super::fault::ParallelFault;
use super::last_truncate::LastTruncate;
use super::moved_names::MovedNames;
use super::open_snapshot::OpenSnapshot;
use crate::btrfs::stream::{
    Attribute, Command, FileTime, STREAM_HEADER, Unit, truncate, value, write_up_to_data,
};

/// Bytes of data in a write of each version (`max_send_read_size` of `fs/btrfs/send.c`).
const WRITE_V1: usize = 48 << 10;
const WRITE_V2: usize = 128 << 10;

/// Where blocks come from, and go to.
pub(super) trait Blocks {
    /// Returns an empty one; `None` if the stream is not wanted any more.
    fn take(&mut self) -> Option<LaidBlock>;
    /// Passes one on.
    fn hand_on(&mut self, block: LaidBlock);
}

/// Lays out a stream.
pub(super) struct Layout {
    snapshot: Arc<OpenSnapshot>,
    /// `None` for a full.
    names: Option<MovedNames>,
    protocol: u32,
    block: Option<LaidBlock>,
    /// The file that the stream made last.
    newest: Option<NewestFile>,
    /// The file whose data came last.
    data_of: Option<DataFile>,
    last_truncate: Option<(LastTruncate, Vec<u8>)>,
}

/// A file that the stream has made.
struct NewestFile {
    inode: u64,
    /// All its names. In a full they are not needed: all data belongs to the newest file.
    paths: Vec<Vec<u8>>,
}

/// A file whose data came.
struct DataFile {
    inode: u64,
    path: Vec<u8>,
    /// Its size, if a truncate has said it.
    bytes: Option<u64>,
}

/// `Ok(None)` if the stream is not wanted any more.
type Laid = Result<Option<()>, ParallelFault>;

impl Layout {
    pub(super) fn new(snapshot: &Arc<OpenSnapshot>, parent: Option<OpenSnapshot>) -> Self {
        Self {
            snapshot: Arc::clone(snapshot),
            names: parent.map(MovedNames::new),
            protocol: 1,
            block: None,
            newest: None,
            data_of: None,
            last_truncate: None,
        }
    }

    pub(super) fn begin(&mut self, blocks: &mut impl Blocks) -> Option<()> {
        self.block = Some(blocks.take()?);
        Some(())
    }

    /// Passes the stream's header on.
    pub(super) fn head(&mut self, head: &[u8], blocks: &mut impl Blocks) -> Option<()> {
        if let Some(version) = head[..STREAM_HEADER].last_chunk::<4>() {
            self.protocol = u32::from_le_bytes(*version);
        }
        self.push(head, blocks).ok()?
    }

    /// Returns the version that the stream's header says.
    pub(super) fn protocol(&self) -> u32 {
        self.protocol
    }

    /// Passes the rest on, and the last block.
    pub(super) fn end(&mut self, rest: &[u8], blocks: &mut impl Blocks) {
        let _ = self.push(rest, blocks);
        if let Some(block) = self.block.take() {
            blocks.hand_on(block);
        }
    }

    /// Passes a command on, with the data that it announces.
    pub(super) fn command(&mut self, unit: Unit<'_>, blocks: &mut impl Blocks) -> Laid {
        let Some(command) = Command::from_number(unit.number) else {
            return Err(ParallelFault::Unexpected(
                "it has a command that is not known",
            ));
        };
        let protocol = self.protocol;
        let attribute = |attribute| value(unit.payload, attribute, protocol);
        let path = attribute(Attribute::Path).unwrap_or_default();
        if self.names.is_some() && self.protocol == 1 && self.settle(command, path, unit, blocks)? {
            return Ok(Some(()));
        }
        match command {
            Command::UpdateExtent => return self.write(path, unit, blocks),
            Command::Write | Command::EncodedWrite => {
                return Err(ParallelFault::Unexpected("it has data"));
            }
            Command::Mkfile => {
                let inode = number(attribute(Attribute::Ino))?;
                self.newest = Some(NewestFile {
                    inode,
                    paths: vec![path.to_vec()],
                });
            }
            Command::Rename | Command::Link if self.names.is_some() => {
                let (from, to) = if command == Command::Rename {
                    (path, attribute(Attribute::PathTo).unwrap_or_default())
                } else {
                    (attribute(Attribute::PathLink).unwrap_or_default(), path)
                };
                if let Some(newest) = &mut self.newest {
                    newest.moved(command, from, to);
                }
            }
            Command::Truncate => {
                if let Some(last) = self.data_of.as_mut().filter(|last| last.path == path) {
                    last.bytes = Some(number(attribute(Attribute::Size))?);
                }
            }
            // The kernel may shorten a file before it clones to its end.
            Command::Clone => {
                if let Some(last) = self.data_of.as_mut().filter(|last| last.path == path) {
                    last.bytes = None;
                }
            }
            Command::Utimes => {
                let times = [Attribute::Mtime, Attribute::Ctime].map(|of| time(attribute(of)));
                self.expect(path, times)?;
            }
            _ => {}
        }
        if let Some(names) = &mut self.names {
            names.follow(command, |of| value(unit.payload, of, protocol))?;
        }
        self.push(unit.bytes, blocks)
    }

    /// Has a worker compare what the stream says of the file whose data came last. The times come after all else of a file.
    fn expect(
        &mut self,
        path: &[u8],
        times: [Result<FileTime, ParallelFault>; 2],
    ) -> Result<(), ParallelFault> {
        if let Some(last) = self.data_of.as_ref().filter(|last| last.path == path)
            && let Some(block) = &mut self.block
        {
            let [mtime, ctime] = times;
            block.checks.push(FileCheck {
                inode: last.inode,
                bytes: last.bytes,
                times: [mtime?, ctime?],
            });
        }
        Ok(())
    }

    /// Lays out the writes of data that the kernel announces.
    fn write(&mut self, path: &[u8], unit: Unit<'_>, blocks: &mut impl Blocks) -> Laid {
        let attribute = |of| number(value(unit.payload, of, self.protocol));
        let (mut at, length) = (
            attribute(Attribute::FileOffset)?,
            attribute(Attribute::Size)?,
        );
        let end = at.checked_add(length).ok_or(ParallelFault::Unexpected(
            "it announces data beyond all files",
        ))?;
        let inode = self.inode_of(path)?;
        let most = if self.protocol == 1 {
            WRITE_V1
        } else {
            WRITE_V2
        };
        let mut before = Vec::with_capacity(path.len() + 24);
        while at < end {
            let length = usize::try_from(end - at).unwrap_or(most).min(most);
            before.clear();
            write_up_to_data(&mut before, self.protocol, path, (at, length));
            let Some(block) = self.room(blocks) else {
                return Ok(None);
            };
            if !block.push_gap(Command::Write as u16, &before, (inode, at, length)) {
                return Err(ParallelFault::Unexpected("it has a path that is too long"));
            }
            at += length as u64;
        }
        match &mut self.data_of {
            Some(last) if last.inode == inode && last.path == path => last.bytes = None,
            last => {
                *last = Some(DataFile {
                    inode,
                    path: path.to_vec(),
                    bytes: None,
                });
            }
        }
        Ok(Some(()))
    }

    /// Returns the inode that has the data of a path.
    fn inode_of(&mut self, path: &[u8]) -> Result<u64, ParallelFault> {
        let newest = self.newest.as_ref();
        let Some(names) = &mut self.names else {
            let newest = newest.map(|newest| newest.inode);
            return newest.ok_or(ParallelFault::Unexpected("it has data before any file"));
        };
        if let Some(newest) = newest
            && newest.paths.iter().any(|of| of == path)
        {
            return Ok(newest.inode);
        }
        let found = names.inode(path)?;
        found.ok_or(ParallelFault::Unexpected(
            "it has data of a file that is not known",
        ))
    }

    /// Follows the sizes of a file of the send parent in version 1. Returns whether the command was a truncate whose place was
    /// decided here.
    fn settle(
        &mut self,
        command: Command,
        path: &[u8],
        unit: Unit<'_>,
        blocks: &mut impl Blocks,
    ) -> Result<bool, ParallelFault> {
        let is_of_data = matches!(
            command,
            Command::UpdateExtent | Command::Clone | Command::Truncate
        );
        let is_new = self
            .newest
            .as_ref()
            .is_some_and(|newest| newest.paths.iter().any(|of| of == path));
        let old = match &mut self.names {
            Some(names) if is_of_data && !is_new => names.inode(path)?,
            _ => None,
        };
        let is_same = self
            .last_truncate
            .as_ref()
            .is_some_and(|(last, _)| old == Some(last.inode));
        if !is_same
            && let Some((last, of)) = self.last_truncate.take()
            && last.is_due()
        {
            self.push(&truncate(&of, last.bytes), blocks)?;
        }
        let Some(inode) = old else {
            return Ok(false);
        };
        let failed = |source| ParallelFault::LookUp {
            path: PathBuf::from(OsString::from_vec(path.to_vec())),
            source,
        };
        let parent = self.names.as_ref().map(MovedNames::parent);
        if self.last_truncate.is_none()
            && let Some(parent) = parent
        {
            let last = LastTruncate::begin(inode, &self.snapshot, parent).map_err(failed)?;
            self.last_truncate = Some((last, path.to_vec()));
        }
        let Some((last, of)) = &mut self.last_truncate else {
            return Ok(false);
        };
        if of != path {
            path.clone_into(of);
        }
        let attribute = |of| number(value(unit.payload, of, self.protocol));
        match command {
            Command::Truncate => return Ok(attribute(Attribute::Size)? == last.bytes),
            Command::Clone => last.cloned(
                attribute(Attribute::FileOffset)?.saturating_add(attribute(Attribute::CloneLen)?),
            ),
            _ => {
                let begin = attribute(Attribute::FileOffset)?;
                let end = begin.saturating_add(attribute(Attribute::Size)?);
                last.written(begin, end, &self.snapshot).map_err(failed)?;
            }
        }
        Ok(false)
    }

    /// Adds bytes to the stream.
    fn push(&mut self, bytes: &[u8], blocks: &mut impl Blocks) -> Laid {
        let Some(block) = self.room(blocks) else {
            return Ok(None);
        };
        if block.push(bytes) {
            Ok(Some(()))
        } else {
            Err(ParallelFault::Unexpected(
                "it has a command that is too long",
            ))
        }
    }

    /// Returns a block with room for a command; `None` if the stream is not wanted any more.
    fn room(&mut self, blocks: &mut impl Blocks) -> Option<&mut LaidBlock> {
        if self.block.as_ref().is_some_and(LaidBlock::is_full)
            && let Some(full) = self.block.take()
        {
            blocks.hand_on(full);
            self.block = blocks.take();
        }
        self.block.as_mut()
    }
}

impl NewestFile {
    /// Follows its names.
    fn moved(&mut self, command: Command, from: &[u8], to: &[u8]) {
        let moved = |path: &[u8]| {
            let below = path.strip_prefix(from)?;
            (below.is_empty() || below.starts_with(b"/")).then(|| [to, below].concat())
        };
        if command == Command::Link {
            if self.paths.iter().any(|path| path == from) {
                self.paths.push(to.to_vec());
            }
            return;
        }
        for path in &mut self.paths {
            if let Some(now) = moved(path) {
                *path = now;
            }
        }
    }
}

fn number(bytes: Option<&[u8]>) -> Result<u64, ParallelFault> {
    let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
    let missing = ParallelFault::Unexpected("a command lacks a number");
    bytes.map(u64::from_le_bytes).ok_or(missing)
}

fn time(bytes: Option<&[u8]>) -> Result<FileTime, ParallelFault> {
    let missing = ParallelFault::Unexpected("a command lacks a time");
    let (seconds, nanoseconds) = bytes
        .and_then(|bytes| bytes.split_first_chunk::<8>())
        .ok_or(missing)?;
    let missing = ParallelFault::Unexpected("a command lacks a time");
    Ok(FileTime {
        seconds: i64::from_le_bytes(*seconds),
        nanoseconds: u32::from_le_bytes(nanoseconds.try_into().map_err(|_| missing)?),
    })
}
