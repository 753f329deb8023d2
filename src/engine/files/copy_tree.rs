//! Copies a file, or a directory with all that is in it, out of a plain copy.
//!
//! Every path is opened below an open directory without following a link, on both sides. So a copy with a hostile tree
//! has no way to what is outside: not when it is read, and not where it is written.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::attributes::{NotKept, Place, copy_attributes};
use super::copy_file::{Data, copy_data};
use super::entry::{NESTED_STUB, names_of, open_below};
use super::locate::below;
use crate::error::Error;
use crate::interrupt::Interrupt;

/// What was copied.
#[derive(Debug, Clone, Default)]
pub struct CopiedTree {
    /// How many files of all kinds.
    pub entries: u64,
    /// The sizes of the regular files together.
    pub bytes: u64,
    /// How much of that shares its blocks with the copy that it is from.
    pub shared_bytes: u64,
    /// What could not be kept, and of how many files.
    pub not_kept: BTreeMap<NotKept, u64>,
    /// The mode that the copied directory gets when it has its name: without root, one that its owner can't write to
    /// can't be renamed into another directory.
    pub(super) late_mode: Option<Mode>,
}

/// Where something is copied from and to.
pub(super) struct TreeCopy<'a> {
    /// The directory that has it, and its name there; its own directory and `.` for the root of a copy.
    pub(super) from: Place<'a>,
    /// Where it is, for messages.
    pub(super) from_path: &'a Path,
    /// A directory that only this user can enter, and its new name there.
    pub(super) to: Place<'a>,
    /// Where it is to be, for messages.
    pub(super) to_path: &'a Path,
    pub(super) interrupt: &'a Interrupt,
}

/// The state of a copy.
struct Copying<'a> {
    of: &'a TreeCopy<'a>,
    device: u64,
    copied: CopiedTree,
    /// The copy of each file that has several names, by its inode number.
    links: HashMap<u64, PathBuf>,
}

/// A directory whose attributes are set when all is in it.
struct MadeDirectory {
    below: PathBuf,
    stat: Stat,
}

/// Copies it. What is left of a copy that failed is the caller's to remove.
pub(super) fn copy_tree(of: &TreeCopy<'_>) -> Result<CopiedTree, Error> {
    let stat = look(of.from, of.from_path)?;
    let mut copying = Copying {
        of,
        device: stat.st_dev,
        copied: CopiedTree::default(),
        links: HashMap::new(),
    };
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        copying.copy_entry(of.from, of.to, Path::new(""), &stat)?;
        return Ok(copying.copied);
    }
    copying.make_directory(of.to, Path::new(""))?;
    if stat.st_ino == NESTED_STUB {
        copying.lose(NotKept::Nested);
    }
    let (from, to) = (of.open_from()?, of.open_to()?);
    let mut made = vec![MadeDirectory {
        below: PathBuf::new(),
        stat,
    }];
    let mut at = 0;
    while at < made.len() {
        let directory = made[at].below.clone();
        copying.fill(&from, &to, &directory, &mut made)?;
        at += 1;
    }
    // The last one was made in one of those before: each has all that it gets when its times are set.
    for directory in made.iter().rev() {
        copying.finish(&from, &to, directory)?;
    }
    Ok(copying.copied)
}

impl TreeCopy<'_> {
    fn open_from(&self) -> Result<OwnedFd, Error> {
        open_directory(
            self.from.directory,
            Path::new(self.from.name),
            self.from_path,
        )
    }

    fn open_to(&self) -> Result<OwnedFd, Error> {
        open_directory(self.to.directory, Path::new(self.to.name), self.to_path)
    }
}

impl Copying<'_> {
    /// Copies what is in a directory, but not what is in the directories there, which it adds to `made`.
    fn fill(
        &mut self,
        from: &OwnedFd,
        to: &OwnedFd,
        directory: &Path,
        made: &mut Vec<MadeDirectory>,
    ) -> Result<(), Error> {
        let (from_path, to_path) = (
            below(self.of.from_path, directory),
            below(self.of.to_path, directory),
        );
        let source = open_directory(from, directory, &from_path)?;
        let target = open_directory(to, directory, &to_path)?;
        for name in names_of(&source, &from_path)?.into_keys() {
            self.of.interrupt.check()?;
            let entry = directory.join(&name);
            let place = |directory| Place {
                directory,
                name: &name,
            };
            let stat = look(place(&source), &from_path.join(&name))?;
            let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
            if !is_directory {
                self.copy_link_or_entry(place(&source), (to, place(&target)), &entry, &stat)?;
                continue;
            }
            self.make_directory(place(&target), &entry)?;
            if stat.st_dev == self.device && stat.st_ino != NESTED_STUB {
                made.push(MadeDirectory { below: entry, stat });
            } else {
                self.lose(NotKept::Nested);
            }
        }
        Ok(())
    }

    fn copy_link_or_entry(
        &mut self,
        from: Place<'_>,
        (root, to): (&OwnedFd, Place<'_>),
        entry: &Path,
        stat: &Stat,
    ) -> Result<(), Error> {
        if stat.st_dev != self.device {
            self.lose(NotKept::Nested);
            return Ok(());
        }
        if let Some(first) = self.links.get(&stat.st_ino) {
            let path = below(self.of.to_path, entry);
            let failed = |errno: Errno| Error::file("create the hard link", &path, errno.into());
            let directory = first.parent().unwrap_or(Path::new(""));
            let directory = open_directory(root, directory, &path)?;
            let name = first.file_name().expect("it is in a directory");
            rustix::fs::linkat(&directory, name, to.directory, to.name, AtFlags::empty())
                .map_err(failed)?;
            self.copied.entries += 1;
            return Ok(());
        }
        let is_made = self.copy_entry(from, to, entry, stat)?;
        if is_made && stat.st_nlink > 1 {
            self.links.insert(stat.st_ino, entry.to_owned());
        }
        Ok(())
    }

    /// Copies anything but a directory, and returns whether it was made.
    fn copy_entry(
        &mut self,
        from: Place<'_>,
        to: Place<'_>,
        entry: &Path,
        stat: &Stat,
    ) -> Result<bool, Error> {
        let (from_path, path) = (
            below(self.of.from_path, entry),
            below(self.of.to_path, entry),
        );
        let failed = |errno: Errno| Error::file("create", &path, errno.into());
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => self.copy_regular(from, to, (&from_path, &path))?,
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(from.directory, from.name, Vec::new());
                let target =
                    target.map_err(|errno| Error::file("read", &from_path, errno.into()))?;
                rustix::fs::symlinkat(target, to.directory, to.name).map_err(failed)?;
            }
            kind => {
                let (mode, device) = (Mode::RUSR | Mode::WUSR, stat.st_rdev);
                match rustix::fs::mknodat(to.directory, to.name, kind, mode, device) {
                    Ok(()) => {}
                    Err(Errno::PERM) => {
                        self.lose(NotKept::Device);
                        return Ok(false);
                    }
                    Err(errno) => return Err(failed(errno)),
                }
            }
        }
        self.copied.entries += 1;
        for lost in copy_attributes(from, to, stat, &path)? {
            self.lose(lost);
        }
        Ok(true)
    }

    fn copy_regular(
        &mut self,
        from: Place<'_>,
        to: Place<'_>,
        (from_path, path): (&Path, &Path),
    ) -> Result<(), Error> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let source = rustix::fs::openat(from.directory, from.name, flags, Mode::empty())
            .map_err(|errno| Error::file("open", from_path, errno.into()))?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let target = rustix::fs::openat(to.directory, to.name, flags, mode)
            .map_err(|errno| Error::file("create", path, errno.into()))?;
        let (source, target) = (File::from(source), File::from(target));
        let failed = |error| Error::file("write", path, error);
        let data = copy_data(&source, &target, self.of.interrupt)?.map_err(failed)?;
        let bytes = target.metadata().map_err(failed)?.len();
        self.copied.bytes += bytes;
        if data == Data::Shared {
            self.copied.shared_bytes += bytes;
        }
        Ok(())
    }

    fn make_directory(&mut self, to: Place<'_>, entry: &Path) -> Result<(), Error> {
        let path = below(self.of.to_path, entry);
        rustix::fs::mkdirat(to.directory, to.name, Mode::RWXU)
            .map_err(|errno| Error::file("create", path, errno.into()))?;
        self.copied.entries += 1;
        Ok(())
    }

    fn finish(
        &mut self,
        from: &OwnedFd,
        to: &OwnedFd,
        directory: &MadeDirectory,
    ) -> Result<(), Error> {
        let path = below(self.of.to_path, &directory.below);
        let mut stat = directory.stat;
        let mode = Mode::from_raw_mode(stat.st_mode);
        let is_top = directory.below.as_os_str().is_empty();
        if is_top && !mode.contains(Mode::RWXU) && !rustix::process::geteuid().is_root() {
            stat.st_mode |= Mode::RWXU.as_raw_mode();
            self.copied.late_mode = Some(mode);
        }
        let source = open_directory(from, &directory.below, &path)?;
        let target = open_directory(to, &directory.below, &path)?;
        let (source, target) = (Place::itself(&source), Place::itself(&target));
        for lost in copy_attributes(source, target, &stat, &path)? {
            self.lose(lost);
        }
        Ok(())
    }

    fn lose(&mut self, what: NotKept) {
        *self.copied.not_kept.entry(what).or_default() += 1;
    }
}

fn look(place: Place<'_>, path: &Path) -> Result<Stat, Error> {
    rustix::fs::statat(place.directory, place.name, AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|errno| Error::file("look at", path, errno.into()))
}

/// Opens a directory below another one.
pub(super) fn open_directory(
    root: &OwnedFd,
    directory: &Path,
    path: &Path,
) -> Result<OwnedFd, Error> {
    let failed = |errno: Errno| Error::file("open", path, errno.into());
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    open_below(root, directory, flags)
        .map_err(failed)?
        .ok_or_else(|| failed(Errno::NOENT))
}

/// The name of what is copied: the last of its path, or another for the root of a copy.
pub fn name_of(path: &Path, otherwise: &str) -> OsString {
    path.file_name().unwrap_or(OsStr::new(otherwise)).to_owned()
}
