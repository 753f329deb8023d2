//! Applies commands on the data and the attributes of a file to a tree.

use super::error::PiecesError;
use super::file_data::FilePieces;
use super::inode::StreamTime;
use super::piece::{DataPiece, Encoded, PieceSource, WriteRun};
use super::tree::PiecesTree;
use crate::btrfs::{Attribute, Command, ContentsCommand, is_known_compression};
use crate::model::file_node::ObjectId;

/// The bits of a mode beside the kind.
const PERMISSIONS: u32 = 0o7777;
/// `FALLOC_FL_KEEP_SIZE`.
const KEEP_SIZE: u32 = 1;
/// `FALLOC_FL_PUNCH_HOLE`.
const PUNCH_HOLE: u32 = 2;

impl PiecesTree {
    /// Applies a command.
    pub(super) fn apply(
        &mut self,
        object: ObjectId,
        command: &ContentsCommand<'_>,
    ) -> Result<(), PiecesError> {
        match command.command {
            Command::Write
            | Command::EncodedWrite
            | Command::Clone
            | Command::Truncate
            | Command::Fallocate => {
                self.keep_parent_data(object)?;
                self.change_data(object, command)
            }
            _ => self.change_attributes(object, command),
        }
    }

    fn change_data(
        &mut self,
        file: ObjectId,
        command: &ContentsCommand<'_>,
    ) -> Result<(), PiecesError> {
        match command.command {
            Command::Write => self.write(file, command),
            Command::EncodedWrite => self.write_encoded(file, command),
            Command::Clone => self.clone_range(file, command),
            Command::Truncate => {
                let size = command.number(Attribute::Size)?;
                self.store.resize(file, |inode| {
                    inode.data.cut(&(size..u64::MAX));
                    inode.size = size;
                })
            }
            _ => {
                let mode = command.small_number(Attribute::FallocateMode)?;
                let begin = command.number(Attribute::FileOffset)?;
                let end = begin.saturating_add(command.number(Attribute::Size)?);
                self.store.resize(file, |inode| {
                    if mode & PUNCH_HOLE != 0 {
                        inode.data.cut(&(begin..end));
                    }
                    if mode & KEEP_SIZE == 0 {
                        inode.size = inode.size.max(end);
                    }
                })
            }
        }
    }

    fn write(&mut self, file: ObjectId, command: &ContentsCommand<'_>) -> Result<(), PiecesError> {
        let at = command.number(Attribute::FileOffset)?;
        let data = command.data.clone().unwrap_or_default();
        let Ok(chunk @ 1..) = u32::try_from(data.end - data.start) else {
            return Ok(());
        };
        let run = WriteRun {
            archive: self.archive,
            at: data.start,
            chunk,
            gap: 0,
            phase: 0,
        };
        self.put(file, at, chunk.into(), PieceSource::Run(run))
    }

    fn write_encoded(
        &mut self,
        file: ObjectId,
        command: &ContentsCommand<'_>,
    ) -> Result<(), PiecesError> {
        let at = command.number(Attribute::FileOffset)?;
        let bytes = command.number(Attribute::UnencodedFileLen)?;
        let data = command.data.clone().unwrap_or_default();
        let compression = command.small_number(Attribute::Compression)?;
        let encryption = command.small_number(Attribute::Encryption)?;
        if encryption != 0 || !is_known_compression(compression) {
            return Err(PiecesError::UnknownEncoding {
                compression,
                encryption,
            });
        }
        if bytes == 0 {
            return Ok(());
        }
        // The guard's rules bound these numbers.
        let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        let encoded = Encoded {
            archive: self.archive,
            at: data.start,
            bytes: small(data.end - data.start),
            compression,
            unpacked: small(command.number(Attribute::UnencodedLen)?),
            from: small(command.number(Attribute::UnencodedOffset)?),
        };
        self.put(file, at, bytes, PieceSource::Encoded(encoded))
    }

    fn put(
        &mut self,
        file: ObjectId,
        at: u64,
        bytes: u64,
        source: PieceSource,
    ) -> Result<(), PiecesError> {
        self.store.resize(file, |inode| {
            inode.data.put(DataPiece { at, bytes, source });
            inode.size = inode.size.max(at + bytes);
        })
    }

    fn clone_range(
        &mut self,
        file: ObjectId,
        command: &ContentsCommand<'_>,
    ) -> Result<(), PiecesError> {
        let (from, bytes) = (
            command.number(Attribute::CloneOffset)?,
            command.number(Attribute::CloneLen)?,
        );
        let to = command.number(Attribute::FileOffset)?;
        let path = command.bytes(Attribute::ClonePath)?;
        let missing = || PiecesError::NoCloneSource {
            path: path.to_vec(),
        };
        let (source, of_parent) = self.clone_source(command, path)?;
        let source = source.ok_or_else(missing)?;
        let (size, data) = self.data_of(source, of_parent)?;
        let end = from.checked_add(bytes).filter(|end| *end <= size);
        let end = end.ok_or_else(missing)?;
        let room = data.within(from..end).count() * size_of::<DataPiece>();
        self.store.make_room(2 * room as u64)?;
        // The source may be the same file: take its pieces first.
        let (_, data) = self.data_of(source, of_parent)?;
        let pieces: Vec<DataPiece> = data.within(from..end).collect();
        self.store.resize(file, |inode| {
            // A clone brings holes too.
            inode.data.cut(&(to..to + bytes));
            for piece in pieces {
                inode.data.put(DataPiece {
                    at: piece.at - from + to,
                    ..piece
                });
            }
            inode.size = inode.size.max(to + bytes);
        })
    }

    /// Returns the file that a clone is of, and whether it is that of the send parent.
    fn clone_source(
        &mut self,
        command: &ContentsCommand<'_>,
        path: &[u8],
    ) -> Result<(Option<ObjectId>, bool), PiecesError> {
        let of = command.uuid(Attribute::CloneUuid)?;
        if Some(of) == self.own {
            Ok((self.find(path)?, false))
        } else if Some(of) == self.send_parent {
            // By its name there, and as it is there, whatever this stream did to it.
            Ok((self.find_in_parent(path)?, true))
        } else {
            Err(PiecesError::ForeignClone { found: of })
        }
    }

    fn data_of(
        &mut self,
        file: ObjectId,
        of_parent: bool,
    ) -> Result<(u64, &FilePieces), PiecesError> {
        if of_parent {
            return self.store.parent_data(file);
        }
        let inode = self.store.inode(file)?;
        Ok((inode.size, &inode.data))
    }

    fn change_xattr(
        &mut self,
        object: ObjectId,
        name: &[u8],
        value: Option<&[u8]>,
    ) -> Result<(), PiecesError> {
        let mut xattrs = self.store.xattrs(object)?.clone();
        xattrs.retain(|(known, _)| known != name);
        xattrs.extend(value.map(|value| (name.to_vec(), value.to_vec())));
        self.store.set_xattrs(object, xattrs)
    }

    fn change_attributes(
        &mut self,
        object: ObjectId,
        command: &ContentsCommand<'_>,
    ) -> Result<(), PiecesError> {
        let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        match command.command {
            Command::Chmod => {
                let mode = small(command.number(Attribute::Mode)?);
                let inode = self.store.inode_mut(object)?;
                inode.mode = inode.mode & !PERMISSIONS | mode & PERMISSIONS;
            }
            Command::Chown => {
                let (uid, gid) = (
                    command.number(Attribute::Uid)?,
                    command.number(Attribute::Gid)?,
                );
                let inode = self.store.inode_mut(object)?;
                (inode.uid, inode.gid) = (small(uid), small(gid));
            }
            Command::Utimes => {
                let atime = StreamTime::of_stream(command.bytes(Attribute::Atime)?);
                let mtime = StreamTime::of_stream(command.bytes(Attribute::Mtime)?);
                let inode = self.store.inode_mut(object)?;
                (inode.atime, inode.mtime) = (atime, mtime);
            }
            Command::SetXattr => {
                let name = command.bytes(Attribute::XattrName)?;
                let value = command.bytes(Attribute::XattrData)?;
                self.change_xattr(object, name, Some(value))?;
            }
            Command::RemoveXattr => {
                let name = command.bytes(Attribute::XattrName)?;
                self.change_xattr(object, name, None)?;
            }
            // The flags of chattr.
            _ => {}
        }
        Ok(())
    }
}
