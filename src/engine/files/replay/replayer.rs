//! One replay: what each command does to the tree.

use rustix::fs::FileType;

use super::changes;
use super::directories::Directories;
use super::hands::{Hands, HeldObject};
use super::new_node::{device, new_node};
use super::refusal::{ReplayFault, ReplayRefusal};
use super::split_path::split_path;
use super::step::ReplayStep;
use super::tree::FileTree;
use crate::btrfs::{Attribute, Command, ContentsCommand};
use crate::model::file_node::{FileNode, ObjectId};

/// The inode number of every subvolume's root (`BTRFS_FIRST_FREE_OBJECTID`).
const ROOT_INODE: u64 = 256;

/// Applies commands to a tree.
pub(super) struct Replayer<'a, T> {
    tree: &'a mut T,
    hands: Hands,
    directories: Directories,
    /// The object that the stream made last, while the tree does not have it. Most objects are made under a name of the
    /// moment, renamed, and then get their attributes; the tree gets them when that is done.
    made: Option<UnsettledObject>,
    /// The path of the object that the last command changed.
    last_path: Vec<u8>,
    /// Which one that is; `None` if names have changed since.
    last: Option<ObjectId>,
}

/// An object that the tree does not have yet.
#[derive(Debug)]
struct UnsettledObject {
    path: Vec<u8>,
    directory: ObjectId,
    held: HeldObject,
    cost: u64,
}

impl<'a, T: FileTree> Replayer<'a, T> {
    pub(super) fn new(tree: &'a mut T) -> Self {
        Self {
            tree,
            hands: Hands::default(),
            directories: Directories::default(),
            made: None,
            last_path: Vec::new(),
            last: None,
        }
    }

    /// Prepares for a full stream, which makes the root directory too.
    pub(super) fn begin_full(&mut self) -> Result<(), ReplayFault<T::Error>> {
        if !self
            .tree
            .is_empty(ObjectId::ROOT)
            .map_err(ReplayFault::Tree)?
        {
            return Err(ReplayRefusal::NotEmptyTree.into());
        }
        let mut root = HeldObject::made(new_node(FileType::Directory, ROOT_INODE));
        root.change();
        let added = self.hands.add(ObjectId::ROOT, root, 0, self.tree);
        added.map_err(ReplayFault::Tree)
    }

    /// Gives the tree all that it does not have yet.
    pub(super) fn finish(mut self) -> Result<(), T::Error> {
        self.settle()?;
        self.hands.put_down_all(self.tree)
    }

    pub(super) fn apply(
        &mut self,
        from: &ContentsCommand<'_>,
    ) -> Result<(), ReplayFault<T::Error>> {
        let step = ReplayStep {
            command: from.command,
            path: from.bytes(Attribute::Path)?,
            bytes: from.place.end - from.place.start,
        };
        match from.command {
            Command::Mkfile
            | Command::Mkdir
            | Command::Mknod
            | Command::Mkfifo
            | Command::Mksock
            | Command::Symlink => self.make(step, from),
            Command::Rename => self.rename(step, from.bytes(Attribute::PathTo)?),
            Command::Link => self.link(step, from.bytes(Attribute::PathLink)?),
            Command::Unlink | Command::Rmdir => self.remove(step),
            Command::Write
            | Command::EncodedWrite
            | Command::Clone
            | Command::Truncate
            | Command::Fallocate => {
                changes::change_data(self.take(step)?, step, from)?;
                self.follow(step, from)
            }
            Command::Chmod
            | Command::Chown
            | Command::Utimes
            | Command::SetXattr
            | Command::RemoveXattr
            | Command::Fileattr => {
                changes::change_attributes(self.take(step)?, step, from)?;
                self.follow(step, from)
            }
            // The reader has refused these, or keeps them to itself.
            Command::Subvol | Command::Snapshot | Command::End | Command::UpdateExtent => Ok(()),
        }
    }

    fn make(
        &mut self,
        step: ReplayStep<'_>,
        from: &ContentsCommand<'_>,
    ) -> Result<(), ReplayFault<T::Error>> {
        let inode = from.number(Attribute::Ino)?;
        let node = match step.command {
            Command::Mkfile => new_node(FileType::RegularFile, inode),
            Command::Mkdir => new_node(FileType::Directory, inode),
            Command::Mkfifo => new_node(FileType::Fifo, inode),
            Command::Mksock => new_node(FileType::Socket, inode),
            Command::Symlink => FileNode {
                target: Some(from.bytes(Attribute::PathLink)?.to_vec()),
                ..new_node(FileType::Symlink, inode)
            },
            _ => device(step, from, inode)?,
        };
        self.names_change()?;
        let (directory, name) = self.split(step, step.path)?;
        if self.child(directory, name)?.is_some() {
            return Err(step.taken(step.path).into());
        }
        self.made = Some(UnsettledObject {
            path: step.path.to_vec(),
            directory,
            held: HeldObject::made(node),
            cost: step.bytes,
        });
        Ok(())
    }

    fn rename(&mut self, step: ReplayStep<'_>, to: &[u8]) -> Result<(), ReplayFault<T::Error>> {
        let from = step.path;
        // The reader has refused a directory that is renamed into itself.
        if self.made.as_ref().is_some_and(|made| made.path == from) && from != to {
            let (directory, name) = self.split(step, to)?;
            if self.child(directory, name)?.is_none()
                && let Some(made) = &mut self.made
            {
                to.clone_into(&mut made.path);
                made.directory = directory;
                made.cost += step.bytes;
                return Ok(());
            }
        }
        self.names_change()?;
        let (from_directory, from_name) = self.split(step, from)?;
        let object = self.child(from_directory, from_name)?;
        let object = object.ok_or_else(|| step.missing(from))?;
        let (to_directory, to_name) = self.split(step, to)?;
        match self.child(to_directory, to_name)? {
            // By POSIX, renaming one hard link to another of the same file does nothing.
            Some(there) if there == object => {
                return self.pay(to_directory, step.bytes);
            }
            Some(there) => {
                let is_directory = self.kind(object)? == FileType::Directory;
                match (is_directory, self.kind(there)? == FileType::Directory) {
                    (true, false) => return Err(step.no_directory(to).into()),
                    (false, true) => return Err(step.is_directory(to).into()),
                    (true, true) => self.require_empty(step, to, there)?,
                    (false, false) => {}
                }
                self.unlink(to_directory, to_name, to, there)?;
            }
            None => {}
        }
        let tree = &mut *self.tree;
        tree.link(to_directory, to_name, object)
            .and_then(|()| tree.unlink(from_directory, from_name))
            .map_err(ReplayFault::Tree)?;
        if let Some(moved) = self.directories.forget(from_directory, from_name, from) {
            self.directories.learn(to_directory, to_name, moved);
        }
        self.pay(to_directory, step.bytes)
    }

    fn link(&mut self, step: ReplayStep<'_>, target: &[u8]) -> Result<(), ReplayFault<T::Error>> {
        self.names_change()?;
        let (target_directory, target_name) = self.split(step, target)?;
        let object = self.child(target_directory, target_name)?;
        let object = object.ok_or_else(|| step.missing(target))?;
        if self.kind(object)? == FileType::Directory {
            return Err(step.is_directory(target).into());
        }
        let (directory, name) = self.split(step, step.path)?;
        if self.child(directory, name)?.is_some() {
            return Err(step.taken(step.path).into());
        }
        let linked = self.tree.link(directory, name, object);
        linked.map_err(ReplayFault::Tree)?;
        self.pay(directory, step.bytes)
    }

    fn remove(&mut self, step: ReplayStep<'_>) -> Result<(), ReplayFault<T::Error>> {
        self.names_change()?;
        let (directory, name) = self.split(step, step.path)?;
        let object = self.child(directory, name)?;
        let object = object.ok_or_else(|| step.missing(step.path))?;
        let is_directory = self.kind(object)? == FileType::Directory;
        match (step.command, is_directory) {
            (Command::Rmdir, true) => self.require_empty(step, step.path, object)?,
            (Command::Rmdir, false) => return Err(step.no_directory(step.path).into()),
            (_, true) => return Err(step.is_directory(step.path).into()),
            (_, false) => {}
        }
        self.unlink(directory, name, step.path, object)?;
        self.pay(directory, step.bytes)
    }

    /// Returns the object that a command is on, and adds what the command costs.
    fn take(&mut self, step: ReplayStep<'_>) -> Result<&mut HeldObject, ReplayFault<T::Error>> {
        if self.made.as_ref().is_none_or(|made| made.path != step.path) {
            let object = self.locate(step)?;
            let held = self.hands.take(object, step.bytes, self.tree);
            return held.map_err(ReplayFault::Tree);
        }
        let made = self.made.as_mut().expect("its path was compared");
        made.cost += step.bytes;
        Ok(&mut made.held)
    }

    /// Shows the tree a command, if it wants to see it.
    fn follow(
        &mut self,
        step: ReplayStep<'_>,
        from: &ContentsCommand<'_>,
    ) -> Result<(), ReplayFault<T::Error>> {
        if !T::FOLLOWS {
            return Ok(());
        }
        self.settle().map_err(ReplayFault::Tree)?;
        let object = self.locate(step)?;
        self.tree.follow(object, from).map_err(ReplayFault::Tree)
    }

    /// Returns the object at the path of a command.
    fn locate(&mut self, step: ReplayStep<'_>) -> Result<ObjectId, ReplayFault<T::Error>> {
        if let Some(last) = self.last
            && self.last_path == step.path
        {
            return Ok(last);
        }
        let object = if step.path.is_empty() {
            ObjectId::ROOT
        } else {
            let (directory, name) = self.split(step, step.path)?;
            let object = self.child(directory, name)?;
            object.ok_or_else(|| step.missing(step.path))?
        };
        step.path.clone_into(&mut self.last_path);
        self.last = Some(object);
        Ok(object)
    }

    /// Prepares for a command that changes names.
    fn names_change(&mut self) -> Result<(), ReplayFault<T::Error>> {
        self.last = None;
        self.settle().map_err(ReplayFault::Tree)
    }

    /// Gives the tree the object that the stream made last.
    fn settle(&mut self) -> Result<(), T::Error> {
        let Some(mut made) = self.made.take() else {
            return Ok(());
        };
        let object = self.tree.create(made.held.node())?;
        let (_, name) = split_path(&made.path);
        self.tree.link(made.directory, name, object)?;
        made.held.is_set();
        self.hands.add(object, made.held, made.cost, self.tree)
    }

    /// Removes a name. What is there must not be a directory with names in it.
    fn unlink(
        &mut self,
        directory: ObjectId,
        name: &[u8],
        path: &[u8],
        object: ObjectId,
    ) -> Result<(), ReplayFault<T::Error>> {
        self.directories.forget(directory, name, path);
        // It may be the last name, and nothing can be set after that.
        self.hands
            .put_down(object, self.tree)
            .and_then(|()| self.tree.unlink(directory, name))
            .map_err(ReplayFault::Tree)
    }

    fn require_empty(
        &mut self,
        step: ReplayStep<'_>,
        path: &[u8],
        directory: ObjectId,
    ) -> Result<(), ReplayFault<T::Error>> {
        if self.tree.is_empty(directory).map_err(ReplayFault::Tree)? {
            return Ok(());
        }
        Err(ReplayRefusal::NotEmpty {
            command: step.command,
            path: path.to_vec(),
        }
        .into())
    }

    /// Returns the directory of a path and the name in it.
    fn split<'p>(
        &mut self,
        step: ReplayStep<'_>,
        path: &'p [u8],
    ) -> Result<(ObjectId, &'p [u8]), ReplayFault<T::Error>> {
        let (directory, name) = split_path(path);
        let of = (step.command, path);
        let directory = self
            .directories
            .find(directory, of, &self.hands, self.tree)?;
        Ok((directory, name))
    }

    fn child(
        &mut self,
        directory: ObjectId,
        name: &[u8],
    ) -> Result<Option<ObjectId>, ReplayFault<T::Error>> {
        self.tree.child(directory, name).map_err(ReplayFault::Tree)
    }

    fn kind(&mut self, object: ObjectId) -> Result<FileType, ReplayFault<T::Error>> {
        self.hands
            .kind(object, self.tree)
            .map_err(ReplayFault::Tree)
    }

    fn pay(&mut self, object: ObjectId, bytes: u64) -> Result<(), ReplayFault<T::Error>> {
        let paid = self.hands.pay(object, bytes, self.tree);
        paid.map_err(ReplayFault::Tree)
    }
}
