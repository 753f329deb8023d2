//! Finds a difference between two trees of files, in everything that a send stream carries.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, SeekFrom, Stat};
use rustix::io::Errno;

use crate::error::Error;
use crate::interrupt::Interrupt;

/// How many bytes are compared at a time.
const STEP: usize = 1 << 20;

/// The inode number of the empty directory that a snapshot has in place of a nested subvolume. A stream
/// leaves it out.
const LEFT_OUT: u64 = 2;

/// A property of a file, as text for a message.
type Fact = fn(&Stat) -> String;

/// Extended attributes: names and values.
type Xattrs = Vec<(Vec<u8>, Vec<u8>)>;

/// A tree whose root is held open, so that a path below it may have the full path length.
struct Tree<'a> {
    root: OwnedFd,
    /// Its path in messages.
    path: &'a Path,
}

/// Two trees, and what was found in them so far.
struct Trees<'a> {
    sides: [Tree<'a>; 2],
    /// The first path of each file with several names, by its inode in the first tree and in the second.
    linked: HashMap<u64, PathBuf>,
    linked_there: HashMap<u64, PathBuf>,
    buffers: [Vec<u8>; 2],
    interrupt: &'a Interrupt,
}

/// Returns the first difference, in words; `None` if there is none.
///
/// It compares names as bytes, types, modes, owners, times of modification, contents, extended attributes
/// (which include ACLs and capabilities), targets of links, device numbers, and which names belong to one
/// file.
pub(super) fn first_difference(
    one: &Path,
    other: &Path,
    interrupt: &Interrupt,
) -> Result<Option<String>, Error> {
    let mut trees = Trees {
        sides: [Tree::open(one)?, Tree::open(other)?],
        linked: HashMap::new(),
        linked_there: HashMap::new(),
        buffers: [vec![0; STEP], vec![0; STEP]],
        interrupt,
    };
    // A stack is used and no recursion, so that no tree is too deep.
    let mut to_visit = vec![PathBuf::new()];
    while let Some(below) = to_visit.pop() {
        interrupt.check()?;
        if let Some(what) = trees.difference(&below, &mut to_visit)? {
            let shown = below.as_os_str().as_bytes().escape_ascii();
            return Ok(Some(format!("`{shown}` {what}")));
        }
    }
    Ok(None)
}

impl Trees<'_> {
    /// Returns what differs in one file. Adds the files of a directory to `to_visit`.
    fn difference(
        &mut self,
        below: &Path,
        to_visit: &mut Vec<PathBuf>,
    ) -> Result<Option<String>, Error> {
        let [here, there] = [self.sides[0].stat(below)?, self.sides[1].stat(below)?];
        let facts: [(&str, Fact); 6] = [
            ("type and mode", |file| format!("{:o}", file.st_mode)),
            ("owner", |file| format!("{}:{}", file.st_uid, file.st_gid)),
            ("time of modification", |file| {
                format!("{}.{:09}", file.st_mtime, file.st_mtime_nsec)
            }),
            ("length", |file| of_files(file, &file.st_size)),
            ("number of names", |file| of_files(file, &file.st_nlink)),
            ("device number", |file| file.st_rdev.to_string()),
        ];
        for (what, fact) in facts {
            let [expected, found] = [fact(&here), fact(&there)];
            if expected != found {
                return Ok(Some(format!(
                    "has another {what}: {found} and not {expected}"
                )));
            }
        }
        if self.first_name(&here, &there, below) {
            return Ok(Some(
                "is a hard link to another file than in the snapshot".to_owned(),
            ));
        }
        if self.sides[0].xattrs(below)? != self.sides[1].xattrs(below)? {
            return Ok(Some("has other extended attributes".to_owned()));
        }
        let kind = FileType::from_raw_mode(here.st_mode);
        if kind.is_dir() {
            let [expected, found] = [self.sides[0].names(below)?, self.sides[1].names(below)?];
            if expected != found {
                let odd = expected
                    .iter()
                    .find(|name| !found.contains(name))
                    .or_else(|| found.iter().find(|name| !expected.contains(name)));
                let odd = odd.map(|name| name.as_bytes().escape_ascii().to_string());
                return Ok(Some(format!(
                    "has other files in it, `{}` among them",
                    odd.unwrap_or_default()
                )));
            }
            to_visit.extend(expected.into_iter().rev().map(|name| below.join(name)));
        } else if kind.is_symlink() {
            if self.sides[0].target(below)? != self.sides[1].target(below)? {
                return Ok(Some("points elsewhere".to_owned()));
            }
        } else if kind.is_file() && !self.same_content(below)? {
            return Ok(Some("has another content".to_owned()));
        }
        Ok(None)
    }

    /// Returns whether a file with several names was first found under different names in the two trees.
    fn first_name(&mut self, here: &Stat, there: &Stat, below: &Path) -> bool {
        if is_dir(here) || here.st_nlink < 2 {
            return false;
        }
        let first = |linked: &mut HashMap<u64, PathBuf>, inode| {
            linked
                .entry(inode)
                .or_insert_with(|| below.to_owned())
                .clone()
        };
        first(&mut self.linked, here.st_ino) != first(&mut self.linked_there, there.st_ino)
    }

    /// Compares two files of the same length. Does not read ranges that are holes in both.
    fn same_content(&mut self, below: &Path) -> Result<bool, Error> {
        let files = [
            File::from(self.sides[0].open_at(below, OFlags::NONBLOCK)?),
            File::from(self.sides[1].open_at(below, OFlags::NONBLOCK)?),
        ];
        let mut at = 0;
        loop {
            self.interrupt.check()?;
            let mut next = None;
            for (file, tree) in files.iter().zip(&self.sides) {
                let data =
                    next_data(file, at).map_err(|errno| tree.failed("read", below, errno))?;
                next = next.into_iter().chain(data).min();
            }
            let Some(data) = next else {
                return Ok(true);
            };
            let mut lengths = [0; 2];
            for side in 0..2 {
                lengths[side] =
                    read_full(&files[side], &mut self.buffers[side], data).map_err(|source| {
                        Error::file("read", self.sides[side].path.join(below), source)
                    })?;
            }
            if self.buffers[0][..lengths[0]] != self.buffers[1][..lengths[1]] {
                return Ok(false);
            }
            if lengths[0] == 0 {
                return Ok(true);
            }
            at = data + lengths[0] as u64;
        }
    }
}

/// Returns the first byte from `at` on that is not in a hole; `None` if there is none.
fn next_data(file: &File, at: u64) -> Result<Option<u64>, Errno> {
    match rustix::fs::seek(file, SeekFrom::Data(at)) {
        Ok(data) => Ok(Some(data)),
        Err(Errno::NXIO) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// Returns the number for a file, and an empty text for a directory: filesystems define it for directories as
/// they like.
fn of_files(file: &Stat, number: &impl ToString) -> String {
    if is_dir(file) {
        String::new()
    } else {
        number.to_string()
    }
}

fn is_dir(file: &Stat) -> bool {
    FileType::from_raw_mode(file.st_mode).is_dir()
}

/// Reads from `at` on until the buffer is full or the file ends.
fn read_full(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], at + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

impl<'a> Tree<'a> {
    fn open(path: &'a Path) -> Result<Self, Error> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::openat(CWD, path, flags, Mode::empty())
            .map_err(|errno| Error::file("open", path, errno.into()))?;
        Ok(Self { root, path })
    }

    fn failed(&self, action: &'static str, below: &Path, errno: Errno) -> Error {
        Error::file(action, self.path.join(below), errno.into())
    }

    fn stat(&self, below: &Path) -> Result<Stat, Error> {
        rustix::fs::statat(&self.root, name(below), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|errno| self.failed("look at", below, errno))
    }

    fn open_at(&self, below: &Path, more: OFlags) -> Result<OwnedFd, Error> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | more;
        rustix::fs::openat(&self.root, name(below), flags, Mode::empty())
            .map_err(|errno| self.failed("open", below, errno))
    }

    fn target(&self, below: &Path) -> Result<Vec<u8>, Error> {
        rustix::fs::readlinkat(&self.root, name(below), Vec::new())
            .map(std::ffi::CString::into_bytes)
            .map_err(|errno| self.failed("read", below, errno))
    }

    /// Returns the sorted names in a directory, without the placeholders of nested subvolumes.
    fn names(&self, below: &Path) -> Result<Vec<OsString>, Error> {
        let failed = |errno| self.failed("list", below, errno);
        let directory = self.open_at(below, OFlags::DIRECTORY)?;
        let mut names = Vec::new();
        for entry in Dir::read_from(&directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let stands_for_a_subvolume = entry.file_type() == FileType::Directory
                && rustix::fs::statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW)
                    .map_err(failed)?
                    .st_ino
                    == LEFT_OUT;
            if !stands_for_a_subvolume {
                names.push(OsString::from_vec(name.to_bytes().to_vec()));
            }
        }
        names.sort();
        Ok(names)
    }

    /// Returns the extended attributes of a file, sorted by name. Does not follow a link.
    fn xattrs(&self, below: &Path) -> Result<Xattrs, Error> {
        let failed = |errno| self.failed("read the attributes of", below, errno);
        // No system call takes a directory and a path below it. This path leads to the open file, even if
        // that is a link.
        let file = self.open_at(below, OFlags::PATH)?;
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        // The limits of the kernel: 64 KiB for a list and for a value.
        let mut buffer = vec![0; 64 << 10];
        let length = match rustix::fs::listxattr(&path, &mut buffer[..]) {
            Ok(length) => length,
            Err(Errno::NOTSUP) => return Ok(Vec::new()),
            Err(errno) => return Err(failed(errno)),
        };
        let mut value = vec![0; 64 << 10];
        let mut xattrs = Vec::new();
        for name in buffer[..length].split(|byte| *byte == 0) {
            if name.is_empty() {
                continue;
            }
            let length = rustix::fs::getxattr(&path, name, &mut value[..]).map_err(failed)?;
            xattrs.push((name.to_vec(), value[..length].to_vec()));
        }
        xattrs.sort();
        Ok(xattrs)
    }
}

/// Returns a path below a root; the root itself is `.`.
fn name(below: &Path) -> &OsStr {
    match below.as_os_str() {
        root if root.is_empty() => OsStr::new("."),
        below => below,
    }
}

#[cfg(test)]
mod tests;
