//! Makes all names of the list in the work directory, and finds those that the target can't have.
//!
//! A directory is listed before and after names are made in it. A name that was there before is this extraction's, by an
//! earlier run. A new name that is refused because it exists is another file's for this filesystem, which knows no
//! difference of case or of Unicode form. A new name that is not there afterwards was changed by the filesystem.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::directories::readable;
use super::report::LeftOut;
use super::tree::{EntryState, WorkTree};
use crate::engine::files::entry::names_of;
use crate::engine::files::extract::entries::ExtractedNode;
use crate::error::{Error, ExtractError};
use crate::model::file_node::ObjectId;

/// Looks up an object's attributes.
pub(super) type Nodes<'n> = &'n dyn Fn(ObjectId) -> Result<ExtractedNode, Error>;

/// What became of an attempt to make a name.
enum NameAttempt {
    Became(EntryState),
    /// Another name of the directory is the same for this filesystem.
    Taken,
}

/// Makes all names.
pub(super) fn make_names(
    tree: &mut WorkTree<'_>,
    devices: bool,
    nodes: Nodes<'_>,
) -> Result<(), Error> {
    require_directories(tree, nodes)?;
    let mut making = Making {
        tree,
        devices,
        nodes,
    };
    making.fill(None)?;
    for number in 0..making.tree.listed.len() {
        match making.tree.standing(number) {
            EntryState::Directory => making.fill(Some(number))?,
            EntryState::LeftOut(why) => {
                for child in making.tree.listed.children(Some(number)).to_vec() {
                    making.tree.set(child, EntryState::LeftOut(why));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn kind_of(node: &ExtractedNode) -> FileType {
    FileType::from_raw_mode(node.mode)
}

fn refused(tree: &WorkTree<'_>, number: u32, what: &str) -> Error {
    let path = tree.listed.path(number);
    ExtractError::NoTree(format!("{} {what}", path.display())).into()
}

/// Before anything is made: what has other files in it, or is on the way, is a directory with one name.
fn require_directories(tree: &WorkTree<'_>, nodes: Nodes<'_>) -> Result<(), Error> {
    let listed = &tree.listed;
    for number in 0..listed.len() {
        let entry = listed.entry(number);
        if !entry.is_on_the_way && listed.children(Some(number)).is_empty() {
            continue;
        }
        tree.interrupt.check()?;
        if kind_of(&nodes(entry.object)?) != FileType::Directory {
            return Err(refused(tree, number, "is no directory"));
        }
        if listed.names_of(entry.object).len() > 1 {
            return Err(refused(tree, number, "is a directory with several names"));
        }
    }
    Ok(())
}

struct Making<'m, 't, 'n> {
    tree: &'m mut WorkTree<'t>,
    devices: bool,
    nodes: Nodes<'n>,
}

impl Making<'_, '_, '_> {
    /// Makes the names in a directory.
    fn fill(&mut self, directory: Option<u32>) -> Result<(), Error> {
        let children = self.tree.listed.children(directory).to_vec();
        let Some(one) = children.first().copied() else {
            return Ok(());
        };
        let above = self.tree.above(one)?;
        loop {
            let before = self.names(&above, one)?;
            let (mut made, mut taken) = (Vec::new(), Vec::new());
            for number in &children {
                if self.tree.standing(*number) != EntryState::Pending {
                    continue;
                }
                self.tree.interrupt.check()?;
                let is_there = before.get(self.tree.listed.name(*number)).copied();
                match self.make(&above, *number, is_there)? {
                    NameAttempt::Taken => taken.push(*number),
                    NameAttempt::Became(standing) => {
                        self.tree.set(*number, standing);
                        if is_there.is_none() {
                            made.push(*number);
                        }
                    }
                }
            }
            if !self.remove_changed(&above, one, &made)? {
                for number in taken {
                    self.tree
                        .set(number, EntryState::LeftOut(LeftOut::SameName));
                }
                return Ok(());
            }
            // What had the name of a file that is removed now can be made.
        }
    }

    /// Removes what did not get the name that it was made by. Returns whether there was any.
    fn remove_changed(&mut self, above: &OwnedFd, one: u32, made: &[u32]) -> Result<bool, Error> {
        let after = self.names(above, one)?;
        let mut any = false;
        for number in made {
            let (number, standing) = (*number, self.tree.standing(*number));
            let name = self.tree.listed.name(number);
            if matches!(standing, EntryState::LeftOut(_)) || after.contains_key(name) {
                continue;
            }
            any = true;
            let flags = match standing {
                EntryState::Directory => AtFlags::REMOVEDIR,
                _ => AtFlags::empty(),
            };
            rustix::fs::unlinkat(above, name, flags)
                .map_err(|errno| self.tree.stopped("remove", number, errno))?;
            let object = self.tree.listed.entry(number).object;
            if self.tree.first.get(&object) == Some(&number) {
                self.tree.first.remove(&object);
            }
            self.tree.set(number, EntryState::LeftOut(LeftOut::Name));
        }
        Ok(any)
    }

    fn names(&self, above: &OwnedFd, one: u32) -> Result<BTreeMap<OsString, FileType>, Error> {
        let readable = readable(above)
            .map_err(|errno| self.tree.stopped("list the directory of", one, errno))?;
        names_of(&readable, &self.tree.path(one))
    }

    fn make(
        &mut self,
        above: &OwnedFd,
        number: u32,
        is_there: Option<FileType>,
    ) -> Result<NameAttempt, Error> {
        let object = self.tree.listed.entry(number).object;
        if let Some(why) = self.tree.given_up.get(&object).copied() {
            if is_there.is_some() {
                self.tree.remove(number)?;
            }
            return Ok(NameAttempt::Became(EntryState::LeftOut(why)));
        }
        let has_several = self.tree.listed.names_of(object).len() > 1;
        if has_several && let Some(first) = self.tree.first_of(object) {
            return self.make_another_name(above, number, first, is_there);
        }
        let made = self.make_anew(above, number, is_there)?;
        if has_several
            && matches!(
                made,
                NameAttempt::Became(EntryState::Regular | EntryState::Other)
            )
        {
            self.tree.first.insert(object, number);
        }
        Ok(made)
    }

    fn make_another_name(
        &mut self,
        above: &OwnedFd,
        number: u32,
        first: u32,
        is_there: Option<FileType>,
    ) -> Result<NameAttempt, Error> {
        let (name, first_name) = (self.tree.listed.name(number), self.tree.listed.name(first));
        let first_above = self.tree.above(first)?;
        let is_linked = if is_there.is_some() {
            let inode = |directory, name| {
                let stat = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
                Ok((stat.st_dev, stat.st_ino))
            };
            let is_same = inode(&*first_above, first_name)
                .and_then(|inode_of_first| Ok(inode(above, name)? == inode_of_first));
            is_same.map_err(|errno: Errno| self.tree.stopped("look at", number, errno))?
        } else {
            let flags = AtFlags::empty();
            match rustix::fs::linkat(&first_above, first_name, above, name, flags) {
                Ok(()) => true,
                Err(Errno::EXIST) => return Ok(NameAttempt::Taken),
                Err(errno) if is_of_all(errno) => {
                    return Err(self.tree.stopped("create", number, errno));
                }
                // No hard links here, or no more of them, or no such name, which the next attempt shows.
                Err(_) => false,
            }
        };
        if is_linked {
            return Ok(NameAttempt::Became(EntryState::Link));
        }
        Ok(match self.make_anew(above, number, is_there)? {
            NameAttempt::Became(EntryState::Regular) => NameAttempt::Became(EntryState::Copy),
            NameAttempt::Became(EntryState::Other) => NameAttempt::Became(EntryState::OtherCopy),
            other => other,
        })
    }

    fn make_anew(
        &mut self,
        above: &OwnedFd,
        number: u32,
        is_there: Option<FileType>,
    ) -> Result<NameAttempt, Error> {
        let entry = self.tree.listed.entry(number);
        let node = (self.nodes)(entry.object)?;
        let kind = kind_of(&node);
        let is_there = match is_there {
            // A filesystem that fails to make something may leave something else.
            Some(other) if other != kind && other != FileType::Directory => {
                self.tree.remove(number)?;
                false
            }
            is_there => is_there.is_some(),
        };
        let name = self.tree.listed.name(number);
        let owner = Mode::RUSR | Mode::WUSR;
        let (made, standing) = match kind {
            FileType::Directory => {
                if self.tree.listed.names_of(entry.object).len() > 1 {
                    return Err(refused(
                        self.tree,
                        number,
                        "is a directory with several names",
                    ));
                }
                let made = unless(is_there, || rustix::fs::mkdirat(above, name, Mode::RWXU));
                (made, EntryState::Directory)
            }
            FileType::RegularFile => {
                return self.make_regular(above, number, is_there, node.size);
            }
            FileType::Symlink => {
                let target = node.target.as_deref().unwrap_or_default();
                let made = unless(is_there, || rustix::fs::symlinkat(target, above, name));
                (made, EntryState::Other)
            }
            FileType::Fifo | FileType::Socket => {
                let made = unless(is_there, || {
                    rustix::fs::mknodat(above, name, kind, owner, 0)
                });
                (made, EntryState::Other)
            }
            FileType::CharacterDevice | FileType::BlockDevice if self.devices => {
                let made = unless(is_there, || {
                    rustix::fs::mknodat(above, name, kind, owner, node.rdev)
                });
                (made, EntryState::Other)
            }
            FileType::CharacterDevice | FileType::BlockDevice => {
                return Ok(NameAttempt::Became(EntryState::LeftOut(LeftOut::Device)));
            }
            FileType::Unknown => return Err(refused(self.tree, number, "is no kind of file")),
        };
        let why = match made {
            Ok(()) => return Ok(NameAttempt::Became(standing)),
            Err(Errno::EXIST) => return Ok(NameAttempt::Taken),
            // exFAT by FUSE says of a fifo that its disk is broken, and makes a file of that name.
            Err(errno)
                if is_of_all(errno) && !(errno == Errno::IO && kind != FileType::Directory) =>
            {
                return Err(self.tree.stopped("create", number, errno));
            }
            Err(Errno::PERM) if is_device(kind) => LeftOut::Device,
            Err(Errno::ILSEQ) => LeftOut::Name,
            Err(_) if kind == FileType::Directory => LeftOut::Name,
            Err(_) => LeftOut::Kind,
        };
        if kind != FileType::Directory {
            self.tree.remove(number).or_else(|error| match why {
                // The name itself can't be looked up.
                LeftOut::Name | LeftOut::Kind => Ok(()),
                _ => Err(error),
            })?;
        }
        Ok(NameAttempt::Became(EntryState::LeftOut(why)))
    }

    fn make_regular(
        &mut self,
        above: &OwnedFd,
        number: u32,
        is_there: bool,
        size: u64,
    ) -> Result<NameAttempt, Error> {
        let name = self.tree.listed.name(number);
        let file = if is_there {
            let stat = rustix::fs::statat(above, name, AtFlags::SYMLINK_NOFOLLOW)
                .map_err(|errno| self.tree.stopped("look at", number, errno))?;
            if u64::try_from(stat.st_size) == Ok(size) {
                return Ok(NameAttempt::Became(EntryState::Regular));
            }
            self.tree.open_file(number, OFlags::WRONLY)?
        } else {
            let flags =
                OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            match rustix::fs::openat(above, name, flags, Mode::RUSR | Mode::WUSR) {
                Ok(file) => file,
                Err(Errno::EXIST) => return Ok(NameAttempt::Taken),
                Err(errno) if is_of_all(errno) => {
                    return Err(self.tree.stopped("create", number, errno));
                }
                Err(_) => return Ok(NameAttempt::Became(EntryState::LeftOut(LeftOut::Name))),
            }
        };
        let sized = unless(size == 0 && !is_there, || {
            rustix::fs::ftruncate(&file, size)
        });
        match sized {
            Ok(()) => Ok(NameAttempt::Became(EntryState::Regular)),
            Err(Errno::FBIG | Errno::INVAL) => {
                drop(file);
                self.tree.remove(number)?;
                Ok(NameAttempt::Became(EntryState::LeftOut(LeftOut::TooLarge)))
            }
            Err(errno) => Err(self.tree.stopped("set the size of", number, errno)),
        }
    }
}

fn is_device(kind: FileType) -> bool {
    matches!(kind, FileType::CharacterDevice | FileType::BlockDevice)
}

fn unless(is_done: bool, make: impl FnOnce() -> Result<(), Errno>) -> Result<(), Errno> {
    if is_done { Ok(()) } else { make() }
}

/// Whether an error is not of one name, but would be that of others too.
fn is_of_all(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::NOSPC
            | Errno::DQUOT
            | Errno::ROFS
            | Errno::IO
            | Errno::MFILE
            | Errno::NFILE
            | Errno::NOMEM
            | Errno::INTR
            | Errno::ACCESS
            | Errno::STALE
            | Errno::NODEV
            | Errno::NXIO
    )
}
