//! What each command may do: the paths that it may name, and the files that it may write.
//!
//! The rules follow how `btrfs receive` (progs, `cmds/receive.c`) carries out each command. Data goes to
//! regular files only. A command that would act through a symlink is refused on one; a command that acts on
//! the symlink itself is allowed.

use std::collections::{HashMap, HashSet};

use super::attributes::Attributes;
use super::expect::StreamHead;
use super::holds::Holds;
use super::path::{self, Root};
use super::refusal::StreamRefusal;
use super::special_files::{Fifo, SpecialFiles};
use super::special_kind::SpecialKind;
use super::wire::{Attribute, Command};
use super::zeros::ZeroCounter;

/// `S_IFMT`, `S_IFCHR` and `S_IFBLK` of `linux/stat.h`.
const S_IFMT: u64 = 0o170_000;
const S_IFCHR: u64 = 0o020_000;
const S_IFBLK: u64 = 0o060_000;
/// `S_ISUID | S_ISGID`.
const PRIVILEGED: u64 = 0o6000;

/// `XATTR_NAME_MAX`.
const XATTR_NAME_LIMIT: usize = 255;
/// The most bytes that one encoded extent may hold when decoded. The kernel's limit is
/// `BTRFS_MAX_UNCOMPRESSED`, 128 KiB; `btrfs receive` allocates whatever the stream says.
const UNENCODED_LIMIT: u64 = 2 << 20;

/// Whether a stream must carry file data, or only says how much there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileData {
    /// A stream that can be received.
    Carried,
    /// A stream without data, which only says where it would be, as `btrfs send --no-data` prints it.
    Announced,
}

/// The rules, and the state that they need.
#[derive(Debug)]
pub(super) struct Rules {
    file_data: FileData,
    /// `None` if another one knows all files, and judges what commands do to them.
    special_files: Option<SpecialFiles>,
    /// The paths of the send parent's fifos, whatever this stream does to them.
    inherited_fifos: HashSet<Vec<u8>>,
    /// Which of these kinds of files the stream has made so far.
    pub(super) makes: Holds,
    /// Bytes of file data seen (or announced) so far.
    pub(super) file_data_bytes: u64,
    /// Whether some of the data is as it is compressed on disk.
    pub(super) compressed_data: bool,
    /// The zeros among the data.
    pub(super) zeros: ZeroCounter,
}

impl Rules {
    pub(super) fn new(file_data: FileData) -> Self {
        Self {
            special_files: Some(SpecialFiles::default()),
            ..Self::for_a_tree(file_data)
        }
    }

    /// Returns the rules for commands that are applied to a tree of files. Special files are not followed: the tree has them,
    /// and a hostile stream of millions can't take memory here too.
    pub(super) fn for_a_tree(file_data: FileData) -> Self {
        Self {
            file_data,
            special_files: None,
            inherited_fifos: HashSet::new(),
            makes: Holds::default(),
            file_data_bytes: 0,
            compressed_data: false,
            zeros: ZeroCounter::default(),
        }
    }

    /// Adds the fifos of the send parent, to follow them too.
    pub(super) fn inherit(&mut self, fifos: Vec<Fifo>) -> Result<(), StreamRefusal> {
        let mut inodes = HashMap::new();
        for fifo in fifos {
            let next = u32::try_from(inodes.len() + 1).unwrap_or(u32::MAX);
            let inode = *inodes.entry(fifo.inode).or_insert(next);
            if let Some(special_files) = &mut self.special_files {
                special_files.inherit_fifo(&fifo.path, inode)?;
            }
            self.inherited_fifos.insert(fifo.path);
        }
        Ok(())
    }

    /// Judges one command after the first and before the end.
    pub(super) fn apply(
        &mut self,
        command: Command,
        attributes: &Attributes<'_>,
        head: &StreamHead,
    ) -> Result<(), StreamRefusal> {
        let root = match command {
            // The kernel sends these commands for the subvolume's root too, with an empty path.
            Command::Chmod
            | Command::Chown
            | Command::Utimes
            | Command::SetXattr
            | Command::RemoveXattr
            | Command::Fileattr => Root::Allowed,
            _ => Root::Refused,
        };
        let place = self.place(attributes, Attribute::Path, root)?;
        let path = place.path;
        match command {
            Command::Subvol | Command::Snapshot | Command::End => {
                return Err(StreamRefusal::SecondSubvolume);
            }
            // Data goes to regular files only. `creat` follows a symlink at the path, opens a device,
            // and blocks on a fifo.
            Command::Mkfile | Command::Mkdir | Command::Truncate | Command::Fallocate => {
                place.refuse_special(command)?;
            }
            Command::Symlink => self.make(command, place, SpecialKind::Symlink)?,
            Command::Mknod => {
                // Every kernel sends only device modes with it.
                let mode = attributes.number(Attribute::Mode)?;
                self.makes.fifos |= mode & S_IFMT != S_IFCHR && mode & S_IFMT != S_IFBLK;
                self.make(command, place, SpecialKind::Node)?;
            }
            Command::Mkfifo => {
                self.makes.fifos = true;
                self.make(command, place, SpecialKind::Fifo)?;
            }
            Command::Mksock => self.make(command, place, SpecialKind::Socket)?,
            Command::Link => {
                let target = self.place(attributes, Attribute::PathLink, Root::Refused)?;
                place.refuse_special(command)?;
                if let Some(special_files) = &mut self.special_files {
                    special_files.link(path, target.path)?;
                }
            }
            Command::Rename => {
                let to = self.place(attributes, Attribute::PathTo, Root::Refused)?;
                match &mut self.special_files {
                    Some(special_files) => special_files.rename(path, to.path)?,
                    None => path::check_rename(path, to.path)?,
                }
            }
            Command::Unlink => self.remove(command, path)?,
            Command::Rmdir => {
                place.refuse_special(command)?;
                self.remove(command, path)?;
            }
            // These commands act on a symlink itself: lsetxattr, lremovexattr, lchown, utimensat.
            Command::SetXattr | Command::RemoveXattr => {
                check_xattr_name(attributes.bytes(Attribute::XattrName)?)?;
            }
            Command::Chown | Command::Utimes | Command::Fileattr => {}
            // The kernel sends the mode of every inode except for symlinks, and chmod follows a symlink.
            Command::Chmod => {
                place.refuse_symlink(command)?;
                self.makes.privileged |= attributes.number(Attribute::Mode)? & PRIVILEGED != 0;
            }
            Command::Write => {
                place.refuse_special(command)?;
                let data = attributes.bytes(Attribute::Data)?;
                self.file_data_bytes += data.len() as u64;
                self.zeros.see(path, data);
            }
            Command::EncodedWrite => {
                place.refuse_special(command)?;
                check_encoded_range(attributes)?;
                self.compressed_data = true;
                self.file_data_bytes += attributes.bytes(Attribute::Data)?.len() as u64;
            }
            Command::Clone => {
                place.refuse_special(command)?;
                self.check_clone_source(attributes, head)?;
            }
            Command::UpdateExtent => match self.file_data {
                FileData::Carried => return Err(StreamRefusal::NoFileData),
                FileData::Announced => {
                    place.refuse_special(command)?;
                    let size = attributes.number(Attribute::Size)?;
                    self.file_data_bytes = self.file_data_bytes.saturating_add(size);
                }
            },
        }
        Ok(())
    }

    fn place<'a>(
        &self,
        attributes: &Attributes<'a>,
        attribute: Attribute,
        root: Root,
    ) -> Result<NamedPath<'a>, StreamRefusal> {
        let path = attributes.bytes(attribute)?;
        path::check(path, root)?;
        let special = match &self.special_files {
            Some(special_files) => special_files.look(path)?,
            None => None,
        };
        Ok(NamedPath { path, special })
    }

    fn make(
        &mut self,
        command: Command,
        place: NamedPath<'_>,
        kind: SpecialKind,
    ) -> Result<(), StreamRefusal> {
        place.refuse_special(command)?;
        match &mut self.special_files {
            Some(special_files) => special_files.make(command, place.path, kind),
            None => Ok(()),
        }
    }

    fn remove(&mut self, command: Command, path: &[u8]) -> Result<(), StreamRefusal> {
        match &mut self.special_files {
            Some(special_files) => special_files.remove(command, path),
            None => Ok(()),
        }
    }

    /// Checks the source of a clone. A clone reads a file of this filesystem, and not even `receive -C`
    /// confines it to what the stream brought: the sources are opened below the mount point.
    fn check_clone_source(
        &self,
        attributes: &Attributes<'_>,
        head: &StreamHead,
    ) -> Result<(), StreamRefusal> {
        let source = attributes.uuid(Attribute::CloneUuid)?;
        if source == head.uuid {
            let place = self.place(attributes, Attribute::ClonePath, Root::Refused)?;
            return place.refuse_special(Command::Clone);
        }
        // The send parent has its own paths. Renames of this stream do not count there.
        let path = attributes.bytes(Attribute::ClonePath)?;
        path::check_cloned(path)?;
        if self.inherited_fifos.contains(path) {
            return Err(StreamRefusal::OnSpecial {
                command: Command::Clone,
                path: path.to_vec(),
                kind: SpecialKind::Fifo,
            });
        }
        match head.send_parent {
            Some((send_parent, _)) if send_parent == source => Ok(()),
            _ => Err(StreamRefusal::ForeignClone { found: source }),
        }
    }
}

/// A path that a stream may name, and the special file there if the stream made one.
#[derive(Debug, Clone, Copy)]
struct NamedPath<'a> {
    path: &'a [u8],
    special: Option<SpecialKind>,
}

impl NamedPath<'_> {
    /// Refuses a command on a special file. The command is for regular files and directories, or for a path
    /// that must be free.
    fn refuse_special(self, command: Command) -> Result<(), StreamRefusal> {
        match self.special {
            Some(kind) => Err(StreamRefusal::OnSpecial {
                command,
                path: self.path.to_vec(),
                kind,
            }),
            None => Ok(()),
        }
    }

    /// Refuses a command that would follow a symlink.
    fn refuse_symlink(self, command: Command) -> Result<(), StreamRefusal> {
        match self.special {
            Some(SpecialKind::Symlink) => self.refuse_special(command),
            _ => Ok(()),
        }
    }
}

fn check_xattr_name(name: &[u8]) -> Result<(), StreamRefusal> {
    if name.is_empty() || name.len() > XATTR_NAME_LIMIT || name.contains(&0) {
        return Err(StreamRefusal::XattrName {
            name: name.to_vec(),
        });
    }
    Ok(())
}

/// Checks the range of an encoded write. The kernel refuses any other range (`btrfs_do_encoded_write`). But
/// where it can't do encoded writes, `btrfs receive` decodes by itself and copies from wherever the stream
/// says.
fn check_encoded_range(attributes: &Attributes<'_>) -> Result<(), StreamRefusal> {
    let file_len = attributes.number(Attribute::UnencodedFileLen)?;
    let len = attributes.number(Attribute::UnencodedLen)?;
    let offset = attributes.number(Attribute::UnencodedOffset)?;
    let limit = UNENCODED_LIMIT;
    let inside = offset.checked_add(file_len).is_some_and(|end| end <= len);
    if inside && len <= limit {
        return Ok(());
    }
    Err(StreamRefusal::EncodedRange {
        file_len,
        offset,
        len,
        limit,
    })
}
