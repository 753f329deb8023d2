//! The files of a chain's newest archive, with their attributes and the pieces of their data.
//!
//! It all is in memory, which is bounded: a tree that grows beyond its limit is an error. Of the archive before, the tree keeps
//! what the stream that is being applied has changed, for clones: their source may be the send parent.

use std::collections::HashMap;

use rustix::fs::FileType;

use super::file_data::FilePieces;
use super::names::DirectoryNames;
use super::piece::{DataPiece, Encoded, PieceSource, WriteRun};
use crate::btrfs::stream::StreamRefusal;
use crate::btrfs::{Attribute, Command, ContentsCommand, StreamHead, is_known_compression};
use crate::engine::files::extract::entries::ExtractedNode;
use crate::engine::files::replay::tree::FileTree;
use crate::model::Uuid;
use crate::model::file_node::{Changed, FileNode, ObjectId};

/// The bits of a mode beside the kind.
const PERMISSIONS: u32 = 0o7777;
/// `FALLOC_FL_KEEP_SIZE`.
const KEEP_SIZE: u32 = 1;
/// `FALLOC_FL_PUNCH_HOLE`.
const PUNCH_HOLE: u32 = 2;

/// Why a tree can't take a command.
#[derive(Debug, thiserror::Error)]
pub enum PiecesError {
    /// It would take more memory than it may.
    #[error("the names and pieces of its files need more than {limit} bytes of memory")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
    /// A clone from a file that is not there, or beyond its end.
    #[error("a clone from `{}`, which has no such range", path.escape_ascii())]
    NoCloneSource {
        /// The path.
        path: Vec<u8>,
    },
    /// A clone from a subvolume that is neither the stream's own nor its send parent.
    #[error("a clone from the subvolume {found}, which is not in the chain")]
    ForeignClone {
        /// Its uuid.
        found: Uuid,
    },
    /// Data that is compressed or encrypted in a way that is not known.
    #[error("`encoded_write` with the compression {compression} and the encryption {encryption}")]
    UnknownEncoding {
        /// The kernel's number of the compression.
        compression: u32,
        /// That of the encryption.
        encryption: u32,
    },
    /// A command without what it must have.
    #[error(transparent)]
    Stream(#[from] StreamRefusal),
}

/// An inode.
#[derive(Debug, Clone)]
struct TreeInode {
    mode: u32,
    uid: u32,
    gid: u32,
    /// Names that it has; of a directory, how many are in it.
    count: u32,
    size: u64,
    atime: StreamTime,
    mtime: StreamTime,
    /// The extended attributes, by their number in the tree.
    xattrs: u32,
    data: FilePieces,
    /// What only few have.
    special: Option<Box<RareFacts>>,
}

/// A time as streams have it: seconds since 1970, and nanoseconds that are added to them.
#[derive(Debug, Clone, Copy, Default)]
struct StreamTime([u8; 12]);

impl StreamTime {
    /// Takes a time of a stream, whose length the rules of streams have checked.
    fn of_stream(time: &[u8]) -> Self {
        Self(time.try_into().unwrap_or_default())
    }

    fn nanoseconds(self) -> i128 {
        let [seconds @ .., a, b, c, d] = self.0;
        let seconds = i128::from(i64::from_le_bytes(seconds));
        seconds * 1_000_000_000 + i128::from(u32::from_le_bytes([a, b, c, d]))
    }
}

#[derive(Debug, Clone)]
struct RareFacts {
    rdev: u64,
    target: Option<Vec<u8>>,
}

type Xattrs = Vec<(Vec<u8>, Vec<u8>)>;

/// The files.
#[derive(Debug)]
pub struct PiecesTree {
    /// By their ids, less one.
    inodes: Vec<TreeInode>,
    names: DirectoryNames<ObjectId>,
    /// All that some inode has or had; the first is empty.
    xattrs: Vec<Xattrs>,
    known_xattrs: HashMap<Xattrs, u32>,
    /// The archive that is being applied, by its place in the chain.
    archive: u32,
    own: Option<Uuid>,
    send_parent: Option<Uuid>,
    /// Inodes up to this one are the send parent's.
    parent_inodes: usize,
    /// What the names were in the send parent that the stream has changed.
    parent_names: DirectoryNames<Option<ObjectId>>,
    /// The sizes and the data that files had there, of those that the stream has changed.
    parent_data: HashMap<ObjectId, (u64, FilePieces)>,
    /// What it takes in memory, about.
    memory: u64,
    limit: u64,
}

impl PiecesTree {
    /// Returns a tree that has the root alone. `limit`: the bytes of memory that it may take.
    pub fn new(limit: u64) -> Self {
        let mut tree = Self {
            inodes: Vec::new(),
            names: DirectoryNames::default(),
            xattrs: vec![Vec::new()],
            known_xattrs: HashMap::from([(Vec::new(), 0)]),
            archive: 0,
            own: None,
            send_parent: None,
            parent_inodes: 0,
            parent_names: DirectoryNames::default(),
            parent_data: HashMap::new(),
            memory: 0,
            limit,
        };
        tree.add(&TreeInode::new(FileType::Directory.as_raw_mode(), None));
        tree
    }

    /// Prepares for the stream of an archive, which is built on what the tree has: `archive` is its place in the chain.
    pub fn begin(&mut self, archive: u32, head: &StreamHead) {
        self.archive = archive;
        self.own = Some(head.uuid);
        self.send_parent = head.send_parent.map(|(uuid, _)| uuid);
        self.parent_inodes = self.inodes.len();
        for (_, name, _) in std::mem::take(&mut self.parent_names).iter() {
            self.memory = self
                .memory
                .saturating_sub(DirectoryNames::<ObjectId>::cost(name));
        }
        for (size, data) in std::mem::take(&mut self.parent_data).into_values() {
            let _ = size;
            self.memory -= data.memory();
        }
    }

    /// Returns about how many bytes of memory it takes.
    pub fn memory(&self) -> u64 {
        self.memory
    }

    /// Returns what an inode is.
    pub fn extracted(&self, object: ObjectId) -> ExtractedNode {
        let inode = self.inode(object);
        let special = inode.special.as_deref();
        ExtractedNode {
            mode: inode.mode,
            uid: inode.uid,
            gid: inode.gid,
            rdev: special.map_or(0, |special| special.rdev),
            size: inode.size,
            atime: inode.atime.nanoseconds(),
            mtime: inode.mtime.nanoseconds(),
            target: special.and_then(|special| special.target.clone()),
            xattrs: self.xattrs[inode.xattrs as usize].clone(),
        }
    }

    /// Returns the pieces of a file, none of which goes beyond its end.
    pub fn pieces(&self, file: ObjectId) -> impl Iterator<Item = DataPiece> {
        self.pieces_within(file, 0..u64::MAX)
    }

    /// Returns the pieces of a range of a file, cut at its ends.
    pub fn pieces_within(
        &self,
        file: ObjectId,
        range: std::ops::Range<u64>,
    ) -> impl Iterator<Item = DataPiece> {
        let inode = self.inode(file);
        inode.data.within(range.start..range.end.min(inode.size))
    }

    /// Returns the kind of an inode.
    pub fn kind_of(&self, object: ObjectId) -> FileType {
        FileType::from_raw_mode(self.inode(object).mode)
    }

    /// Returns the size of a file; 0 of anything else.
    pub fn size_of(&self, object: ObjectId) -> u64 {
        self.inode(object).size
    }

    /// Returns what a path below the root names; an empty path names the root.
    pub fn resolve(&self, path: &[u8]) -> Option<ObjectId> {
        walk(path, |directory, name| self.named(directory, name))
    }

    /// Returns all names: the directory, the name, and what it names, by directory and name.
    pub fn names(&self) -> Vec<(ObjectId, &[u8], ObjectId)> {
        let mut names: Vec<_> = self.names.iter().collect();
        names.sort_unstable();
        names
    }

    fn inode(&self, object: ObjectId) -> &TreeInode {
        &self.inodes[index(object)]
    }

    fn inode_mut(&mut self, object: ObjectId) -> &mut TreeInode {
        &mut self.inodes[index(object)]
    }

    fn add(&mut self, inode: &TreeInode) -> ObjectId {
        self.inodes.push(inode.clone());
        self.memory += size_of::<TreeInode>() as u64;
        ObjectId(i64::try_from(self.inodes.len()).expect("memory has no more"))
    }

    fn named(&self, directory: ObjectId, name: &[u8]) -> Option<ObjectId> {
        self.names.get(directory, name)
    }

    /// Returns what a path named in the send parent.
    fn resolve_in_parent(&self, path: &[u8]) -> Option<ObjectId> {
        walk(path, |directory, name| {
            match self.parent_names.get(directory, name) {
                Some(before) => before,
                None => self.named(directory, name),
            }
        })
    }

    /// Changes what a name names.
    fn rename(&mut self, directory: ObjectId, name: &[u8], object: Option<ObjectId>) {
        let cost = DirectoryNames::<ObjectId>::cost(name);
        let before = self.names.set(directory, name, object);
        match (before, object) {
            (None, Some(_)) => self.memory += cost,
            (Some(_), None) => self.memory = self.memory.saturating_sub(cost),
            _ => {}
        }
        // What is in a directory that the stream has made was nowhere in the send parent.
        if index(directory) < self.parent_inodes && self.parent_names.get(directory, name).is_none()
        {
            self.parent_names.set(directory, name, Some(before));
            self.memory += cost;
        }
    }

    /// Keeps the data that a file has in the send parent, before the stream changes it.
    fn keep_parent_data(&mut self, file: ObjectId) {
        let at = index(file);
        if at < self.parent_inodes && !self.parent_data.contains_key(&file) {
            let inode = &self.inodes[at];
            self.memory += inode.data.memory();
            self.parent_data
                .insert(file, (inode.size, inode.data.clone()));
        }
    }

    fn change_data(
        &mut self,
        file: ObjectId,
        command: &ContentsCommand<'_>,
    ) -> Result<(), PiecesError> {
        self.keep_parent_data(file);
        let before = self.inode(file).data.memory();
        match command.command {
            Command::Write => self.write(file, command)?,
            Command::EncodedWrite => self.write_encoded(file, command)?,
            Command::Clone => self.clone_range(file, command)?,
            Command::Truncate => {
                let size = command.number(Attribute::Size)?;
                let inode = self.inode_mut(file);
                inode.data.cut(&(size..u64::MAX));
                inode.size = size;
            }
            _ => {
                let mode = command.small_number(Attribute::FallocateMode)?;
                let begin = command.number(Attribute::FileOffset)?;
                let end = begin.saturating_add(command.number(Attribute::Size)?);
                let inode = self.inode_mut(file);
                if mode & PUNCH_HOLE != 0 {
                    inode.data.cut(&(begin..end));
                }
                if mode & KEEP_SIZE == 0 {
                    inode.size = inode.size.max(end);
                }
            }
        }
        self.memory = self.memory.saturating_sub(before) + self.inode(file).data.memory();
        Ok(())
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
        self.put(file, at, chunk.into(), PieceSource::Run(run));
        Ok(())
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
        self.put(file, at, bytes, PieceSource::Encoded(encoded));
        Ok(())
    }

    fn put(&mut self, file: ObjectId, at: u64, bytes: u64, source: PieceSource) {
        let inode = self.inode_mut(file);
        inode.data.put(DataPiece { at, bytes, source });
        inode.size = inode.size.max(at + bytes);
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
        let of = command.uuid(Attribute::CloneUuid)?;
        let missing = || PiecesError::NoCloneSource {
            path: path.to_vec(),
        };
        let (size, data) = if Some(of) == self.own {
            let source = self.resolve(path).ok_or_else(missing)?;
            let inode = self.inode(source);
            (inode.size, &inode.data)
        } else if Some(of) == self.send_parent {
            // By its name there, and as it is there, whatever this stream did to it.
            let source = self.resolve_in_parent(path).ok_or_else(missing)?;
            match self.parent_data.get(&source) {
                Some((size, data)) => (*size, data),
                None => (self.inode(source).size, &self.inode(source).data),
            }
        } else {
            return Err(PiecesError::ForeignClone { found: of });
        };
        let end = from.checked_add(bytes).filter(|end| *end <= size);
        let end = end.ok_or_else(missing)?;
        // The source may be the same file: take its pieces first.
        let pieces: Vec<DataPiece> = data.within(from..end).collect();
        self.take_memory(pieces.len() as u64 * size_of::<DataPiece>() as u64)?;
        let inode = self.inode_mut(file);
        // A clone brings holes too.
        inode.data.cut(&(to..to + bytes));
        for piece in pieces {
            inode.data.put(DataPiece {
                at: piece.at - from + to,
                ..piece
            });
        }
        inode.size = inode.size.max(to + bytes);
        Ok(())
    }

    /// Fails if the tree would be larger than it may with so many bytes more.
    fn take_memory(&self, more: u64) -> Result<(), PiecesError> {
        if self.memory + more > self.limit {
            return Err(PiecesError::TooLarge { limit: self.limit });
        }
        Ok(())
    }

    fn change_xattr(
        &mut self,
        object: ObjectId,
        name: &[u8],
        value: Option<&[u8]>,
    ) -> Result<(), PiecesError> {
        let mut xattrs = self.xattrs[self.inode(object).xattrs as usize].clone();
        xattrs.retain(|(known, _)| known != name);
        xattrs.extend(value.map(|value| (name.to_vec(), value.to_vec())));
        let number = if let Some(number) = self.known_xattrs.get(&xattrs) {
            *number
        } else {
            let bytes = xattrs.iter().map(|(name, value)| name.len() + value.len());
            let cost = 2 * (bytes.sum::<usize>() + 96 * xattrs.len()) as u64 + 128;
            self.take_memory(cost)?;
            self.memory += cost;
            let number = u32::try_from(self.xattrs.len()).expect("memory has no more");
            self.xattrs.push(xattrs.clone());
            self.known_xattrs.insert(xattrs, number);
            number
        };
        self.inode_mut(object).xattrs = number;
        Ok(())
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
                let inode = self.inode_mut(object);
                inode.mode = inode.mode & !PERMISSIONS | mode & PERMISSIONS;
            }
            Command::Chown => {
                let (uid, gid) = (
                    command.number(Attribute::Uid)?,
                    command.number(Attribute::Gid)?,
                );
                let inode = self.inode_mut(object);
                (inode.uid, inode.gid) = (small(uid), small(gid));
            }
            Command::Utimes => {
                let atime = StreamTime::of_stream(command.bytes(Attribute::Atime)?);
                let mtime = StreamTime::of_stream(command.bytes(Attribute::Mtime)?);
                let inode = self.inode_mut(object);
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

impl FileTree for PiecesTree {
    type Error = PiecesError;

    const FOLLOWS: bool = true;

    fn follow(
        &mut self,
        object: ObjectId,
        command: &ContentsCommand<'_>,
    ) -> Result<(), PiecesError> {
        match command.command {
            Command::Write
            | Command::EncodedWrite
            | Command::Clone
            | Command::Truncate
            | Command::Fallocate => self.change_data(object, command)?,
            _ => self.change_attributes(object, command)?,
        }
        self.take_memory(0)
    }

    fn child(&mut self, directory: ObjectId, name: &[u8]) -> Result<Option<ObjectId>, PiecesError> {
        Ok(self.named(directory, name))
    }

    /// Returns what a replay needs to know: the times and the extended attributes are left out.
    fn node(&mut self, object: ObjectId) -> Result<FileNode, PiecesError> {
        let inode = self.inode(object);
        Ok(FileNode {
            mode: inode.mode,
            uid: inode.uid,
            gid: inode.gid,
            rdev: 0,
            size: inode.size,
            mtime: 0,
            ctime: 0,
            inode: 0,
            target: None,
            xattrs: Vec::new(),
        })
    }

    fn create(&mut self, node: &FileNode) -> Result<ObjectId, PiecesError> {
        let special = (node.rdev != 0 || node.target.is_some()).then(|| {
            Box::new(RareFacts {
                rdev: node.rdev,
                target: node.target.clone(),
            })
        });
        if let Some(target) = &node.target {
            self.memory += DirectoryNames::<ObjectId>::cost(target);
        }
        let object = self.add(&TreeInode::new(node.mode, special));
        self.take_memory(0)?;
        Ok(object)
    }

    // The commands themselves say it.
    fn set(&mut self, _: ObjectId, _: &FileNode, _: Changed) -> Result<(), PiecesError> {
        Ok(())
    }

    fn cost(&mut self, _: ObjectId, _: u64) -> Result<(), PiecesError> {
        Ok(())
    }

    fn link(
        &mut self,
        directory: ObjectId,
        name: &[u8],
        object: ObjectId,
    ) -> Result<(), PiecesError> {
        self.rename(directory, name, Some(object));
        self.inode_mut(directory).count += 1;
        if self.kind_of(object) != FileType::Directory {
            self.inode_mut(object).count += 1;
        }
        self.take_memory(0)
    }

    fn unlink(&mut self, directory: ObjectId, name: &[u8]) -> Result<(), PiecesError> {
        let Some(object) = self.named(directory, name) else {
            return Ok(());
        };
        self.rename(directory, name, None);
        self.inode_mut(directory).count -= 1;
        if self.kind_of(object) == FileType::Directory {
            return Ok(());
        }
        self.inode_mut(object).count -= 1;
        if self.inode(object).count == 0 {
            // The send parent still has it.
            self.keep_parent_data(object);
            let data = std::mem::take(&mut self.inode_mut(object).data);
            self.memory = self.memory.saturating_sub(data.memory());
        }
        Ok(())
    }

    fn is_empty(&mut self, directory: ObjectId) -> Result<bool, PiecesError> {
        Ok(self.inode(directory).count == 0)
    }
}

impl TreeInode {
    fn new(mode: u32, special: Option<Box<RareFacts>>) -> Self {
        Self {
            mode,
            uid: 0,
            gid: 0,
            count: 0,
            size: 0,
            atime: StreamTime::default(),
            mtime: StreamTime::default(),
            xattrs: 0,
            data: FilePieces::default(),
            special,
        }
    }
}

fn index(object: ObjectId) -> usize {
    usize::try_from(object.0 - 1).expect("an id of this tree")
}

/// Follows a path from the root.
fn walk(path: &[u8], child: impl Fn(ObjectId, &[u8]) -> Option<ObjectId>) -> Option<ObjectId> {
    let mut names = path
        .split(|byte| *byte == b'/')
        .filter(|name| !name.is_empty());
    names.try_fold(ObjectId::ROOT, child)
}
