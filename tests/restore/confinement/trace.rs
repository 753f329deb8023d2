//! What `btrfs receive` opens, as strace sees it.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// strace of a program, with what it starts, into a log.
pub(crate) fn traced(log: &Path, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("strace");
    command
        .args(["-f", "-yy", "--seccomp-bpf", "-qq", "-s", "8192"])
        .args([
            "-e",
            "trace=open,openat,openat2,creat,execve,execveat",
            "-o",
        ])
        .arg(log)
        .arg(program);
    command
}

/// What went wrong in what a log tells of `btrfs receive` into a directory of that filesystem.
pub(crate) fn escapes(log: &Path, root: &Path, directory: &Path) -> BTreeSet<&'static str> {
    let log = fs::read(log).unwrap();
    let log = String::from_utf8_lossy(&log);
    let mut receivers: BTreeMap<&str, bool> = BTreeMap::new();
    let mut unfinished: BTreeMap<&str, String> = BTreeMap::new();
    let mut found = BTreeSet::new();
    for line in log.lines() {
        let Some((process, call)) = line.split_once(' ') else {
            continue;
        };
        let mut call = call.trim_start().to_owned();
        // What another process did meanwhile stands in between.
        if let Some(begun) = call.strip_suffix(" <unfinished ...>") {
            unfinished.insert(process, begun.to_owned());
            continue;
        }
        if let Some((_, rest)) = call.split_once(" resumed>") {
            call = unfinished.remove(process).unwrap_or_default() + rest;
        }
        if call.starts_with("execve") && call.ends_with("= 0") {
            receivers.insert(process, call.contains("btrfs\", \"receive\", "));
        }
        // It came to where it is by clone, if it has not yet become another program.
        if receivers.get(process) == Some(&true)
            && let Some(opened) = Opened::of(&call)
        {
            found.extend(opened.escape(root, directory));
        }
    }
    found
}

/// A file that was opened.
struct Opened {
    path: PathBuf,
    is_device: bool,
    to_write: bool,
}

impl Opened {
    /// What a call has opened, if it has.
    fn of(call: &str) -> Option<Self> {
        let (asked, got) = call.rsplit_once(" = ")?;
        let to_write = asked.starts_with("creat(")
            || ["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC"]
                .iter()
                .any(|flag| asked.contains(flag));
        // `5</path>`, and of a device `5</path<block 7:0>>`.
        let (number, path) = got.split_once('<')?;
        number.parse::<u32>().ok()?;
        let path = path.strip_suffix('>')?;
        let device = path.rfind("<block ").or_else(|| path.rfind("<char "));
        Some(Self {
            path: PathBuf::from(device.map_or(path, |at| &path[..at])),
            is_device: device.is_some(),
            to_write,
        })
    }

    fn escape(&self, root: &Path, directory: &Path) -> Option<&'static str> {
        let is_own = |path: &Path| path == root || path == directory;
        if self.is_device {
            return self.path.starts_with(root).then_some("opened a device");
        }
        // A receiver that the program confines has a mount of its own, and nobody else a path to it.
        let confined = self.path.strip_prefix("/sys/.coldchain-staging");
        if let Ok(below) = confined.or_else(|_| self.path.strip_prefix(directory)) {
            let stat = fs::symlink_metadata(&self.path);
            if stat.is_ok_and(|stat| stat.file_type().is_fifo()) {
                return Some("opened a fifo");
            }
            // The first component is the subvolume.
            let is_beside = self.to_write && below.components().count() < 2;
            return is_beside.then_some("wrote beside the subvolume");
        }
        match self.to_write {
            true if self.path.starts_with("/dev") && !self.path.starts_with(root) => None,
            true => Some("wrote outside of the target"),
            false => (self.path.starts_with(root) && !is_own(&self.path))
                .then_some("read outside of the target"),
        }
    }
}
