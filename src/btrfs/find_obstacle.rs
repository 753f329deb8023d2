//! Finds what prevents a snapshot from being sent.
//!
//! The sender names neither file nor path. The kernel's log names the inode. If the log can't be read, every
//! file is read.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read as _};
use std::ops::ControlFlow;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FileType, Mode, OFlags};
use rustix::time::{ClockId, clock_gettime};

use super::error::BtrfsError;
use super::held::HeldDirectory;
use super::identity::{identity_at, open_subvolume};
use super::obstacle::Obstacle;
use super::stream::LONGEST_PATH;
use super::sys;
use super::sys::trees::{self, Inode};

/// How many bytes of a too long path are shown.
const SHOWN_BYTES: usize = 200;

impl Obstacle {
    /// Returns what a sender of this snapshot failed at, according to its stderr. `begun` is when it was
    /// started, by [`uptime`]. May read all files of the snapshot.
    pub(super) fn find(snapshot: &Path, stderr: &str, begun: Duration) -> Option<Self> {
        if stderr.contains("Input/output error") {
            let subvolume = Subvolume::open(snapshot).ok()?;
            let inode = subvolume.logged(begun).or_else(|| subvolume.unreadable())?;
            let path = trees::path_of(&subvolume.root, subvolume.id, inode).ok()?;
            Some(Self::Unreadable {
                path: PathBuf::from(OsString::from_vec(path)),
                inode,
            })
        } else if stderr.contains("File name too long") {
            Self::too_long(snapshot)
        } else {
            None
        }
    }

    /// Returns a path that is too long: the first one found, in no particular order.
    pub fn too_long(snapshot: &Path) -> Option<Self> {
        let path = HeldDirectory::open(snapshot).ok()?.too_long().ok()??;
        Some(Self::PathTooLong { path })
    }

    /// Returns whether another snapshot of the same subvolume can't be sent for the same reason.
    pub fn is_in(&self, other: &Path) -> bool {
        match self {
            Self::Unreadable { inode, .. } => Subvolume::open(other).is_ok_and(|subvolume| {
                let found = trees::inode(&subvolume.root, subvolume.id, *inode);
                found
                    .ok()
                    .flatten()
                    .is_some_and(|inode| !subvolume.can_read(&inode))
            }),
            Self::PathTooLong { .. } => Self::too_long(other).is_some(),
        }
    }
}

/// Returns how long the machine has been up, by the clock of the kernel's log.
pub(super) fn uptime() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    Duration::from_secs(u64::try_from(now.tv_sec).unwrap_or_default())
}

struct Subvolume {
    root: std::os::fd::OwnedFd,
    id: u64,
    /// The filesystem's devices, as the kernel's log calls them.
    devices: Vec<String>,
}

impl Subvolume {
    fn open(path: &Path) -> Result<Self, BtrfsError> {
        let root = open_subvolume(path)?;
        let id = identity_at(&root, path)?.subvolume_id;
        let devices = sys::fs_info(&root).map_or_else(|_| Vec::new(), |info| devices(info.fsid));
        Ok(Self { root, id, devices })
    }

    /// Returns the last inode that the kernel has logged as unreadable since `begun`.
    fn logged(&self, begun: Duration) -> Option<u64> {
        let lines = kernel_log(begun).ok()?;
        lines.iter().rev().find_map(|line| {
            let of_this = |device: &String| line.contains(&format!("(device {device}"));
            let is_here = self.devices.is_empty() || self.devices.iter().any(of_this);
            (is_here && number_after(line, "root ") == Some(self.id))
                .then(|| number_after(line, " inode ").or_else(|| number_after(line, " ino ")))?
        })
    }

    /// Returns the first inode that can't be read.
    fn unreadable(&self) -> Option<u64> {
        let mut found = None;
        let look = |inode: Inode| {
            if found.is_none() && !self.can_read(&inode) {
                found = Some(inode.number);
            }
            Ok(())
        };
        trees::for_each_inode(&self.root, self.id, 0, look).ok()?;
        found
    }

    fn can_read(&self, inode: &Inode) -> bool {
        if FileType::from_raw_mode(inode.mode) != FileType::RegularFile {
            return true;
        }
        let read = trees::open_inode(&self.root, self.id, inode).and_then(|mut file| {
            let mut buffer = vec![0; 1 << 20];
            while file.read(&mut buffer)? > 0 {}
            Ok(())
        });
        read.is_ok()
    }
}

/// Returns the names of a filesystem's devices.
fn devices(fsid: [u8; 16]) -> Vec<String> {
    let directory = format!("/sys/fs/btrfs/{}/devices", crate::model::Uuid(fsid));
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

/// Returns the lines of the kernel's log since `begun`.
fn kernel_log(begun: Duration) -> io::Result<Vec<String>> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut log = File::from(rustix::fs::open("/dev/kmsg", flags, Mode::empty())?);
    let mut lines = Vec::new();
    let mut record = [0; 8192];
    loop {
        match log.read(&mut record) {
            Ok(0) => return Ok(lines),
            Ok(length) => lines.extend(message(&record[..length], begun)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(lines),
            // The oldest records were overwritten meanwhile.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            Err(error) => return Err(error),
        }
    }
}

/// Returns the text of a record (`priority,number,microseconds,…;text`), unless it is older than `begun`.
fn message(record: &[u8], begun: Duration) -> Option<String> {
    let record = String::from_utf8_lossy(record);
    let (head, text) = record.split_once(';')?;
    let at = Duration::from_micros(head.split(',').nth(2)?.parse().ok()?);
    // The two clocks differ by less than this.
    (at + Duration::from_secs(2) >= begun).then(|| text.lines().next().unwrap_or("").to_owned())
}

fn number_after(line: &str, word: &str) -> Option<u64> {
    let (_, after) = line.split_once(word)?;
    let digits = after.split(|digit: char| !digit.is_ascii_digit()).next()?;
    digits.parse().ok()
}

impl HeldDirectory {
    fn too_long(&self) -> Result<Option<PathBuf>, BtrfsError> {
        let mut found = None;
        self.walk(|level, entry| {
            let path = level.path_of(entry.file_name());
            if path.len() <= LONGEST_PATH {
                return Ok(ControlFlow::Continue(()));
            }
            found = Some(PathBuf::from(OsStr::from_bytes(&path[..SHOWN_BYTES])));
            Ok(ControlFlow::Break(()))
        })?;
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_s_lines_are_read() {
        let begun = Duration::from_secs(100);
        let record = b"3,1234,99000001,-;BTRFS error (device loop0): send: IO error at offset 5242880 for inode 258 root 257\n SUBSYSTEM=x\n";
        let text = message(record, begun).unwrap();
        assert_eq!(number_after(&text, " inode "), Some(258));
        assert_eq!(number_after(&text, "root "), Some(257));
        assert_eq!(message(record, Duration::from_secs(102)), None);
        let older = "BTRFS warning (device loop0): csum failed root 257 ino 258 off 0 csum 0x1 expected csum 0x2 mirror 1";
        assert_eq!(number_after(older, " ino "), Some(258));
        assert_eq!(number_after(older, " inode "), None);
        assert_eq!(message(b"no record", begun), None);
    }
}
