//! Mounts whose process is gone.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::Command;

use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};

use super::{FuseError, NAME};
use crate::process::{Program, run};

/// What is mounted at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StaleMount {
    /// Nothing whose process is gone.
    None,
    /// A tree of ours, whose process is gone.
    Ours,
    /// Another one, whose process is gone.
    Foreign,
}

impl StaleMount {
    /// Looks at a path.
    pub fn at(path: &Path) -> Self {
        match rustix::fs::stat(path) {
            Err(Errno::NOTCONN) => {}
            _ => return Self::None,
        }
        let mounts = fs::read("/proc/self/mountinfo").unwrap_or_default();
        let mut is_ours = false;
        // The last one is on top.
        for line in mounts.split(|byte| *byte == b'\n') {
            let mut words = line.split(|byte| *byte == b' ');
            let at = words.nth(4).map(unescaped);
            if at.as_deref() == Some(path.as_os_str().as_bytes()) {
                let mut words = words.skip_while(|word| *word != b"-").skip(1);
                let kind = words.next();
                is_ours = kind == Some(format!("fuse.{NAME}").as_bytes());
            }
        }
        if is_ours { Self::Ours } else { Self::Foreign }
    }
}

/// Takes back what the kernel escapes in a path: `\040` for a space.
fn unescaped(word: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(word.len());
    let mut rest = word;
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after.get(..3).and_then(|it| std::str::from_utf8(it).ok());
        let escaped = digits.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match escaped {
            Some(escaped) if byte == b'\\' => {
                path.push(escaped);
                rest = &after[3..];
            }
            _ => {
                path.push(byte);
                rest = after;
            }
        }
    }
    path
}

/// Unmounts a tree whose process is gone.
pub fn unmount_stale(at: &Path) -> Result<(), FuseError> {
    let failed = |why: String| FuseError::StaleStays {
        at: at.to_owned(),
        why,
    };
    match unmount(at, UnmountFlags::DETACH) {
        Ok(()) => Ok(()),
        Err(Errno::PERM) => {
            let by = |name: &'static str| {
                let mut command = Command::new(name);
                command.args(["-u", "-z", "--"]).arg(at);
                let program = Program { name, chatter: &[] };
                run(command, program, format!("unmount {}", at.display()))
            };
            let ran = by("fusermount3").or_else(|_| by("fusermount"));
            ran.map(drop).map_err(|error| failed(error.to_string()))
        }
        Err(errno) => Err(failed(errno.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_paths_are_taken_back() {
        assert_eq!(unescaped(b"/a\\040b\\134c"), b"/a b\\c");
        assert_eq!(unescaped(b"/plain\\"), b"/plain\\");
    }
}
