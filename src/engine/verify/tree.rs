//! What differs between two trees of files, of all that a send stream carries.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::error::Error;
use crate::interrupt::Interrupt;

/// Bytes compared at a time.
const STEP: usize = 1 << 20;

/// The inode number of what a snapshot has where a nested subvolume was: a stream leaves it out.
const LEFT_OUT: u64 = 2;

/// Something about a file, as text that reads well when it differs.
type Fact = fn(&Metadata) -> String;

/// Extended attributes: names and values.
type Xattrs = Vec<(Vec<u8>, Vec<u8>)>;

/// Two trees, and what was seen of them.
struct Trees<'a> {
    one: &'a Path,
    other: &'a Path,
    /// Where files with several names were first met, by their inodes here and there.
    linked: HashMap<u64, PathBuf>,
    linked_there: HashMap<u64, PathBuf>,
    buffers: [Vec<u8>; 2],
    interrupt: &'a Interrupt,
}

/// The first difference, in words; `None` if there is none.
///
/// Compared are names as bytes, types, modes, owners, times of modification, contents, extended
/// attributes (and so ACLs and capabilities), targets of links, device numbers, and which names are of
/// one file.
pub(super) fn first_difference(
    one: &Path,
    other: &Path,
    interrupt: &Interrupt,
) -> Result<Option<String>, Error> {
    let mut trees = Trees {
        one,
        other,
        linked: HashMap::new(),
        linked_there: HashMap::new(),
        buffers: [vec![0; STEP], vec![0; STEP]],
        interrupt,
    };
    // A stack and not a recursion: no tree is too deep.
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
    /// What differs of one file. A directory's files are to be visited then.
    fn difference(
        &mut self,
        below: &Path,
        to_visit: &mut Vec<PathBuf>,
    ) -> Result<Option<String>, Error> {
        let paths = [self.one, self.other].map(|root| root.join(below));
        let [here, there] = [stat(&paths[0])?, stat(&paths[1])?];
        let facts: [(&str, Fact); 6] = [
            ("type and mode", |file| format!("{:o}", file.mode())),
            ("owner", |file| format!("{}:{}", file.uid(), file.gid())),
            ("time of modification", |file| {
                format!("{}.{:09}", file.mtime(), file.mtime_nsec())
            }),
            ("length", |file| of_files(file, file.len())),
            ("number of names", |file| of_files(file, file.nlink())),
            ("device number", |file| file.rdev().to_string()),
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
            return Ok(Some("is another file's further name".to_owned()));
        }
        if xattrs(&paths[0])? != xattrs(&paths[1])? {
            return Ok(Some("has other extended attributes".to_owned()));
        }
        let kind = here.file_type();
        if kind.is_dir() {
            let [expected, found] = [names(&paths[0])?, names(&paths[1])?];
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
            let read = |path: &Path| {
                std::fs::read_link(path).map_err(|source| Error::file("read", path, source))
            };
            if read(&paths[0])? != read(&paths[1])? {
                return Ok(Some("points elsewhere".to_owned()));
            }
        } else if kind.is_file() && !self.same_content(&paths)? {
            return Ok(Some("has another content".to_owned()));
        }
        Ok(None)
    }

    /// Whether a file with several names was met under different ones here and there.
    fn first_name(&mut self, here: &Metadata, there: &Metadata, below: &Path) -> bool {
        if here.is_dir() || here.nlink() < 2 {
            return false;
        }
        let first = |linked: &mut HashMap<u64, PathBuf>, inode| {
            linked
                .entry(inode)
                .or_insert_with(|| below.to_owned())
                .clone()
        };
        first(&mut self.linked, here.ino()) != first(&mut self.linked_there, there.ino())
    }

    fn same_content(&mut self, paths: &[PathBuf; 2]) -> Result<bool, Error> {
        let open =
            |path: &PathBuf| File::open(path).map_err(|source| Error::file("open", path, source));
        let mut files = [open(&paths[0])?, open(&paths[1])?];
        loop {
            self.interrupt.check()?;
            let mut lengths = [0; 2];
            for at in 0..2 {
                lengths[at] = read_full(&mut files[at], &mut self.buffers[at])
                    .map_err(|source| Error::file("read", &paths[at], source))?;
            }
            if self.buffers[0][..lengths[0]] != self.buffers[1][..lengths[1]] {
                return Ok(false);
            }
            if lengths[0] == 0 {
                return Ok(true);
            }
        }
    }
}

/// What means nothing of a directory: filesystems count those as they like.
fn of_files(file: &Metadata, number: u64) -> String {
    if file.is_dir() {
        String::new()
    } else {
        number.to_string()
    }
}

fn stat(path: &Path) -> Result<Metadata, Error> {
    path.symlink_metadata()
        .map_err(|source| Error::file("look at", path, source))
}

/// Reads until the buffer is full or the file ends.
fn read_full(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// The sorted names of a directory's files, without what stands for a nested subvolume.
fn names(directory: &Path) -> Result<Vec<OsString>, Error> {
    let failed = |source| Error::file("list", directory, source);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let stands_for_a_subvolume = entry.file_type().map_err(failed)?.is_dir()
            && entry.metadata().map_err(failed)?.ino() == LEFT_OUT;
        if !stands_for_a_subvolume {
            names.push(entry.file_name());
        }
    }
    names.sort();
    Ok(names)
}

/// The extended attributes of a file itself, by name.
fn xattrs(path: &Path) -> Result<Xattrs, Error> {
    let failed = |errno: Errno| Error::file("read the attributes of", path, errno.into());
    // The kernel's own limits: a list, and a value, of 64 KiB.
    let mut buffer = vec![0; 64 << 10];
    let length = match rustix::fs::llistxattr(path, &mut buffer[..]) {
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
        let length = rustix::fs::lgetxattr(path, name, &mut value[..]).map_err(failed)?;
        xattrs.push((name.to_vec(), value[..length].to_vec()));
    }
    xattrs.sort();
    Ok(xattrs)
}

#[cfg(test)]
mod tests;
