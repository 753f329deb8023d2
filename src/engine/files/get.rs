//! Copies a file or a tree out of a snapshot, or out of a mirror's copy.
//!
//! All is made in a new directory beside the target that only this user can enter, made durable, and then renamed. A
//! run that dies leaves that directory, `.coldchain-get-…`, and no part of the target.

use std::cell::Cell;
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::attributes::{Place, drop_inherited};
use super::copy_tree::{CopiedTree, TreeCopy, copy_tree, name_of, open_directory};
use super::entry::OpenTree;
use super::extract::target::clear;
use super::history::not_found;
use super::locate::LocatedFile;
use super::own_directory::make_own_directory;
use super::plain_copies::{PlainCopies, PlainCopy};
use super::rename_new::{kind, rename_new};
use super::yesterday::{newest_at, newest_with};
use crate::catalog::Catalog;
use crate::config::Config;
use crate::engine::context::random::random_bytes;
use crate::error::{Error, ExtractError, FilesError};
use crate::interrupt::Interrupt;
use crate::model::{LedgerId, SnapshotName};

/// The beginning of the name of the directory that a copy is made in.
const TEMPORARY: &str = ".coldchain-get-";

/// The name of what is copied in that directory.
const NEW: &str = "new";

/// Which version of a file is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WantedVersion {
    /// That of the newest copy that has it.
    Newest,
    /// That of this snapshot; for a date alone, of the newest one of that date if none has the name.
    Of(SnapshotName),
    /// That of the newest copy that has it, of those that were taken at that moment or before.
    At(DateTime<Utc>),
}

/// What was copied, from where and to where.
#[derive(Debug, Clone)]
pub struct FileGot {
    /// The copy that it is from.
    pub name: SnapshotName,
    /// The path of the version.
    pub from: PathBuf,
    /// Where it is now.
    pub to: PathBuf,
    /// What was copied.
    pub copied: CopiedTree,
}

/// Returns the copy that has the wanted version.
pub fn choose_version<'c>(
    config: &Config,
    file: &LocatedFile<'_>,
    copies: &'c PlainCopies,
    wanted: WantedVersion,
    catalog: Option<&Catalog>,
) -> Result<&'c PlainCopy, Error> {
    let name = match wanted {
        WantedVersion::At(moment) => return newest_at(config, file, copies, moment),
        WantedVersion::Newest => {
            let newest = newest_with(file, copies.copies.iter().rev())?;
            return newest.ok_or_else(|| not_found(file, copies));
        }
        WantedVersion::Of(name) => name,
    };
    let named = copies.copies.iter().find(|copy| copy.name == name);
    let of_date = || {
        let mut newest_first = copies.copies.iter().rev();
        newest_first.find(|copy| name.is_date() && copy.name.date == name.date)
    };
    let Some(copy) = named.or_else(of_date) else {
        return Err(FilesError::NoCopyOf {
            source_name: file.source.name.clone(),
            date: name,
            is_archived: is_archived(file, name, catalog)?,
        }
        .into());
    };
    match newest_with(file, std::iter::once(copy))? {
        Some(copy) => Ok(copy),
        None => Err(FilesError::NotInCopy {
            file: file.as_argument().into(),
            date: copy.name,
        }
        .into()),
    }
}

fn is_archived(
    file: &LocatedFile<'_>,
    name: SnapshotName,
    catalog: Option<&Catalog>,
) -> Result<bool, Error> {
    let Some(catalog) = catalog else {
        return Ok(false);
    };
    let Some(row) = catalog.source(&file.source.name)? else {
        return Ok(false);
    };
    let archives = catalog.visible(&row.ledger)?;
    Ok(archives.iter().any(|archive| archive.id.date == name.date))
}

/// Copies a version of a file to `to`, or into it if it is a directory; to the working directory if that is `None`.
/// Replaces a file only if `force` is set, and never a directory.
pub fn get_file(
    file: &LocatedFile<'_>,
    copy: &PlainCopy,
    to: Option<&Path>,
    force: bool,
    interrupt: &Interrupt,
) -> Result<FileGot, Error> {
    let tree = OpenTree::open(&copy.path)?;
    let target = CopyTarget::find(&name_of(&file.below, file.source.name.as_str()), to)?;
    target.require_free(force)?;
    let above = match file.below.parent() {
        // The root of the copy is in no directory of it.
        None => None,
        Some(above) => Some(tree.directory(above)?),
    };
    let root = tree.directory(Path::new(""))?;
    let from = match (&above, file.below.file_name()) {
        (Some(directory), Some(name)) => Place { directory, name },
        _ => Place::itself(&root),
    };
    let work = Work::make(&target)?;
    let from_path = tree.join(&file.below);
    let copied = copy_tree(&TreeCopy {
        from,
        from_path: &from_path,
        to: Place {
            directory: &work.directory,
            name: OsStr::new(NEW),
        },
        to_path: &target.path,
        interrupt,
    });
    let copied = copied.and_then(|copied| {
        work.make_durable()?;
        interrupt.check()?;
        work.publish(force)?;
        target.set_late_mode(&copied)?;
        Ok(copied)
    });
    // The first error counts.
    work.remove();
    Ok(FileGot {
        name: copy.name,
        from: from_path,
        to: target.path.clone(),
        copied: copied?,
    })
}

/// Returns the directory and the name that are meant: `to`, or `name` in it if it is a directory; the working directory if
/// that is `None`.
pub fn target_of<'t>(
    name: &OsStr,
    to: Option<&'t Path>,
) -> Result<(&'t Path, OsString), FilesError> {
    let to = to.unwrap_or(Path::new("."));
    if to.is_dir() {
        return Ok((to, name.to_owned()));
    }
    let has_slash = to.as_os_str().as_bytes().ends_with(b"/");
    let name = to.file_name().filter(|_| !has_slash);
    let name = name.ok_or_else(|| FilesError::NoTargetDirectory(to.to_owned()))?;
    let above = to.parent().filter(|above| !above.as_os_str().is_empty());
    Ok((above.unwrap_or(Path::new(".")), name.to_owned()))
}

/// Where something is to be: the directory, by descriptor, and the name there.
struct CopyTarget {
    directory: OwnedFd,
    name: OsString,
    path: PathBuf,
}

impl CopyTarget {
    /// Reads what was typed. Links in it are followed, since it is the user's own.
    fn find(name: &OsStr, to: Option<&Path>) -> Result<Self, Error> {
        let (above, name) = target_of(name, to)?;
        let path = above.join(&name);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = match rustix::fs::open(above, flags, Mode::empty()) {
            Ok(directory) => directory,
            Err(Errno::NOENT | Errno::NOTDIR) => {
                return Err(FilesError::NoTargetDirectory(path).into());
            }
            Err(errno) => return Err(Error::file("open", above, errno.into())),
        };
        Ok(Self {
            directory,
            name,
            path,
        })
    }

    /// Fails if something is there that must not be replaced.
    fn require_free(&self, force: bool) -> Result<(), Error> {
        match self.kind()? {
            None => Ok(()),
            Some(FileType::Directory) if force => {
                Err(FilesError::TargetIsDirectory(self.path.clone()).into())
            }
            Some(_) if force => Ok(()),
            Some(_) => Err(FilesError::TargetExists(self.path.clone()).into()),
        }
    }

    /// Sets the mode that the copy could not have before it had its name.
    fn set_late_mode(&self, copied: &CopiedTree) -> Result<(), Error> {
        let Some(mode) = copied.late_mode else {
            return Ok(());
        };
        let directory = open_directory(&self.directory, Path::new(&self.name), &self.path)?;
        // Setuid and setgid bits are only there if the owner was kept.
        let set = rustix::fs::fstat(&directory).and_then(|stat| {
            let now = Mode::from_raw_mode(stat.st_mode);
            let bits = Mode::SUID | Mode::SGID | Mode::SVTX;
            rustix::fs::fchmod(&directory, now & (mode | bits))
        });
        set.map_err(|errno| Error::file("set the mode of", &self.path, errno.into()))
    }

    fn kind(&self) -> Result<Option<FileType>, Error> {
        kind(&self.directory, &self.name)
            .map_err(|errno| Error::file("look at", &self.path, errno.into()))
    }
}

/// The directory beside the target that the copy is made in.
struct Work<'a> {
    target: &'a CopyTarget,
    name: OsString,
    directory: OwnedFd,
    /// Whether it holds something of another user, which this run must not remove.
    is_foreign: Cell<bool>,
}

impl<'a> Work<'a> {
    fn make(target: &'a CopyTarget) -> Result<Self, Error> {
        let name = OsString::from(format!("{TEMPORARY}{}", LedgerId(random_bytes())));
        let path = target.path.with_file_name(&name);
        let made = make_own_directory(&target.directory, &name)
            .map_err(|errno| Error::file("create", &path, errno.into()))?;
        let directory = made.ok_or_else(|| ExtractError::NotOwn(path.clone()))?;
        drop_inherited(&directory);
        Ok(Self {
            target,
            name,
            directory,
            is_foreign: Cell::new(false),
        })
    }

    /// Makes the copy durable before it gets its name.
    fn make_durable(&self) -> Result<(), Error> {
        let failed = |errno: Errno| Error::file("sync", &self.target.path, errno.into());
        let kind = kind(&self.directory, OsStr::new(NEW)).map_err(failed)?;
        if kind != Some(FileType::RegularFile) {
            return rustix::fs::syncfs(&self.directory).map_err(failed);
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        // A mode without read permission keeps a user from opening their own file.
        match rustix::fs::openat(&self.directory, NEW, flags, Mode::empty()) {
            Ok(file) => rustix::fs::fsync(&file).map_err(failed),
            Err(_) => rustix::fs::syncfs(&self.directory).map_err(failed),
        }
    }

    /// Gives the copy its name.
    fn publish(&self, force: bool) -> Result<(), Error> {
        let failed = |errno: Errno| match errno {
            Errno::EXIST => FilesError::TargetExists(self.target.path.clone()).into(),
            Errno::ISDIR => FilesError::TargetIsDirectory(self.target.path.clone()).into(),
            errno => Error::file("rename the copy to", &self.target.path, errno.into()),
        };
        let new = Place {
            directory: &self.directory,
            name: OsStr::new(NEW),
        };
        let target = Place {
            directory: &self.target.directory,
            name: &self.target.name,
        };
        match rename_new(new, target) {
            Err(Errno::EXIST) if force => self.replace().map_err(failed)?,
            renamed => renamed.map_err(failed)?,
        }
        rustix::fs::fsync(&self.target.directory).map_err(failed)
    }

    /// Replaces what is there, which is no directory.
    fn replace(&self) -> Result<(), Errno> {
        if kind(&self.target.directory, &self.target.name)? == Some(FileType::Directory) {
            return Err(Errno::ISDIR);
        }
        if kind(&self.directory, OsStr::new(NEW))? != Some(FileType::Directory) {
            return self.rename(RenameFlags::empty());
        }
        self.exchange()
    }

    /// Puts a copied directory in the place of a file: a directory can't be renamed over one. What was there goes away with the
    /// directory of the copy.
    fn exchange(&self) -> Result<(), Errno> {
        let copy = self.identity()?;
        self.rename(RenameFlags::EXCHANGE)?;
        if kind(&self.directory, OsStr::new(NEW))? != Some(FileType::Directory) {
            return Ok(());
        }
        // Another user has put a directory in the place of the file just before. It goes back.
        self.is_foreign.set(true);
        self.rename(RenameFlags::EXCHANGE)?;
        self.is_foreign.set(self.identity()? != copy);
        Err(Errno::ISDIR)
    }

    /// Returns which file or directory the copy is.
    fn identity(&self) -> Result<(u64, u64), Errno> {
        let stat = rustix::fs::statat(&self.directory, NEW, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok((stat.st_dev, stat.st_ino))
    }

    fn rename(&self, flags: RenameFlags) -> Result<(), Errno> {
        let (target, name) = (&self.target.directory, &self.target.name);
        rustix::fs::renameat_with(&self.directory, NEW, target, name, flags)
    }

    /// Removes the directory, with what is left in it.
    fn remove(&self) {
        if self.is_foreign.get() {
            return;
        }
        // What can't be removed is named in the documents; the copy's own error is what counts.
        let _ = clear(&self.directory);
        let _ = rustix::fs::unlinkat(&self.target.directory, &self.name, AtFlags::REMOVEDIR);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A target in a directory, in whose place something else came after it was looked at.
    fn target(directory: &Path) -> CopyTarget {
        CopyTarget::find(OsStr::new("any"), Some(&directory.join("target"))).unwrap()
    }

    fn names(directory: &Path) -> Vec<OsString> {
        let entries = fs::read_dir(directory).unwrap();
        entries.map(|entry| entry.unwrap().file_name()).collect()
    }

    #[test]
    fn a_directory_that_another_user_has_put_in_the_place_of_a_file_stays_there() {
        let above = tempfile::tempdir().unwrap();
        let target = target(above.path());
        let work = Work::make(&target).unwrap();
        rustix::fs::mkdirat(&work.directory, NEW, Mode::RWXU).unwrap();
        let theirs = above.path().join("target");
        fs::create_dir(&theirs).unwrap();
        fs::write(theirs.join("file"), "theirs").unwrap();
        assert_eq!(work.exchange(), Err(Errno::ISDIR));
        work.remove();
        assert_eq!(fs::read(theirs.join("file")).unwrap(), b"theirs");
        assert_eq!(names(above.path()), ["target"]);
    }

    #[test]
    fn a_file_makes_room_for_a_directory_and_goes() {
        let above = tempfile::tempdir().unwrap();
        fs::write(above.path().join("target"), "a file").unwrap();
        let target = target(above.path());
        let work = Work::make(&target).unwrap();
        rustix::fs::mkdirat(&work.directory, NEW, Mode::RWXU).unwrap();
        work.publish(true).unwrap();
        work.remove();
        assert_eq!(names(above.path()), ["target"]);
        assert!(above.path().join("target").is_dir());
    }

    #[test]
    fn what_is_left_of_a_copy_goes_however_deep_it_is_and_whatever_its_modes() {
        let above = tempfile::tempdir().unwrap();
        let outside = above.path().join("outside");
        fs::write(&outside, "stays").unwrap();
        let target = target(above.path());
        let work = Work::make(&target).unwrap();
        let made = above.path().join(&work.name).join(NEW);
        let deep = made.join("a/".repeat(300));
        fs::create_dir_all(&deep).unwrap();
        std::os::unix::fs::symlink(&outside, deep.join("link")).unwrap();
        rustix::fs::chmod(&made, Mode::empty()).unwrap();
        work.remove();
        assert_eq!(names(above.path()), ["outside"]);
        assert_eq!(fs::read(&outside).unwrap(), b"stays");
    }
}
