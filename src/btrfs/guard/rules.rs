//! What each command may do: the paths that it may name, and the files that it may write.
//!
//! Written after how `btrfs receive` (progs, `cmds/receive.c`) carries each command out: what it
//! does through a symlink is refused on one, what it does to the symlink itself is allowed.

use super::attributes::Attributes;
use super::expect::StreamHead;
use super::path::{self, Root};
use super::refusal::Refusal;
use super::symlinks::Symlinks;
use super::wire::{Attribute, Command};

/// `XATTR_NAME_MAX`.
const XATTR_NAME_LIMIT: usize = 255;
/// The most that one encoded extent may hold when decoded. The kernel's is
/// `BTRFS_MAX_UNCOMPRESSED`, 128 KiB; `btrfs receive` allocates whatever the stream says.
const UNENCODED_LIMIT: u64 = 2 << 20;

/// Whether a stream must carry file data, or says only how much there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileData {
    /// A stream that can be received.
    Carried,
    /// What `btrfs send --no-data` prints: sizes for an estimate.
    Announced,
}

/// The rules, and what must be remembered to apply them.
#[derive(Debug)]
pub(super) struct Rules {
    file_data: FileData,
    symlinks: Symlinks,
    /// Bytes of file data seen (or announced) so far.
    pub(super) file_data_bytes: u64,
}

impl Rules {
    pub(super) fn new(file_data: FileData) -> Self {
        Self {
            file_data,
            symlinks: Symlinks::default(),
            file_data_bytes: 0,
        }
    }

    /// Judges one command after the first and before the end.
    pub(super) fn apply(
        &mut self,
        command: Command,
        attributes: &Attributes<'_>,
        head: &StreamHead,
    ) -> Result<(), Refusal> {
        let root = match command {
            // The kernel sends these for the subvolume's root as well, by an empty path.
            Command::Chmod
            | Command::Chown
            | Command::Utimes
            | Command::SetXattr
            | Command::RemoveXattr
            | Command::Fileattr => Root::Allowed,
            _ => Root::Refused,
        };
        let path = self.path(attributes, Attribute::Path, root)?;
        match command {
            Command::Subvol | Command::Snapshot | Command::End => {
                return Err(Refusal::SecondSubvolume);
            }
            // `creat` follows a symlink at the path; the others would fail.
            Command::Mkfile
            | Command::Mkdir
            | Command::Mknod
            | Command::Mkfifo
            | Command::Mksock => self.symlinks.refuse_on(command, path)?,
            Command::Symlink => {
                self.symlinks.refuse_on(command, path)?;
                self.symlinks.make(path);
            }
            Command::Link => {
                let target = self.path(attributes, Attribute::PathLink, Root::Refused)?;
                self.symlinks.refuse_on(command, path)?;
                self.symlinks.link(path, target);
            }
            Command::Rename => {
                let to = self.path(attributes, Attribute::PathTo, Root::Refused)?;
                self.symlinks.rename(path, to)?;
            }
            Command::Unlink => self.symlinks.remove(command, path)?,
            Command::Rmdir => {
                self.symlinks.refuse_on(command, path)?;
                self.symlinks.remove(command, path)?;
            }
            // These act on a symlink itself: lsetxattr, lremovexattr, lchown, utimensat.
            Command::SetXattr | Command::RemoveXattr => {
                check_xattr_name(attributes.bytes(Attribute::XattrName)?)?;
            }
            Command::Chown | Command::Utimes | Command::Fileattr => {}
            Command::Write => {
                self.symlinks.refuse_on(command, path)?;
                self.file_data_bytes += attributes.bytes(Attribute::Data)?.len() as u64;
            }
            Command::EncodedWrite => {
                self.symlinks.refuse_on(command, path)?;
                check_encoded_range(attributes)?;
                self.file_data_bytes += attributes.bytes(Attribute::Data)?.len() as u64;
            }
            Command::Clone => {
                self.symlinks.refuse_on(command, path)?;
                self.check_clone_source(attributes, head)?;
            }
            Command::Truncate | Command::Chmod | Command::Fallocate => {
                self.symlinks.refuse_on(command, path)?;
            }
            Command::UpdateExtent => match self.file_data {
                FileData::Carried => return Err(Refusal::NoFileData),
                FileData::Announced => {
                    let size = attributes.number(Attribute::Size)?;
                    self.file_data_bytes = self.file_data_bytes.saturating_add(size);
                }
            },
        }
        Ok(())
    }

    fn path<'a>(
        &self,
        attributes: &Attributes<'a>,
        attribute: Attribute,
        root: Root,
    ) -> Result<&'a [u8], Refusal> {
        let path = attributes.bytes(attribute)?;
        path::check(path, root)?;
        self.symlinks.refuse_through(path)?;
        Ok(path)
    }

    /// A clone reads from a file of this filesystem, and not even `receive -C` confines that to
    /// what the stream brought: the sources are opened below the mount point.
    fn check_clone_source(
        &self,
        attributes: &Attributes<'_>,
        head: &StreamHead,
    ) -> Result<(), Refusal> {
        let source = attributes.uuid(Attribute::CloneUuid)?;
        if source == head.uuid {
            let path = self.path(attributes, Attribute::ClonePath, Root::Refused)?;
            return self.symlinks.refuse_on(Command::Clone, path);
        }
        // In the send parent the paths are its own; what this stream renamed says nothing there.
        path::check(attributes.bytes(Attribute::ClonePath)?, Root::Refused)?;
        match head.send_parent {
            Some((send_parent, _)) if send_parent == source => Ok(()),
            _ => Err(Refusal::ForeignClone { found: source }),
        }
    }
}

fn check_xattr_name(name: &[u8]) -> Result<(), Refusal> {
    if name.is_empty() || name.len() > XATTR_NAME_LIMIT || name.contains(&0) {
        return Err(Refusal::XattrName {
            name: name.to_vec(),
        });
    }
    Ok(())
}

/// The kernel refuses any other range (`btrfs_do_encoded_write`), but where it can't do encoded
/// writes `btrfs receive` decodes by itself and copies from wherever the stream says.
fn check_encoded_range(attributes: &Attributes<'_>) -> Result<(), Refusal> {
    let file_len = attributes.number(Attribute::UnencodedFileLen)?;
    let len = attributes.number(Attribute::UnencodedLen)?;
    let offset = attributes.number(Attribute::UnencodedOffset)?;
    let limit = UNENCODED_LIMIT;
    let inside = offset.checked_add(file_len).is_some_and(|end| end <= len);
    if inside && len <= limit {
        return Ok(());
    }
    Err(Refusal::EncodedRange {
        file_len,
        offset,
        len,
        limit,
    })
}
