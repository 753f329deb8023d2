//! Opens what the program trusts by its owner: config, kits and other identity files, the state directory.
//!
//! It follows a path step by step, and opens a file before it judges it. So the file that is read is the one
//! that was judged, whatever others do meanwhile.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::{Mutex, OnceLock};

use rustix::fs::{CWD, FileType, Mode, OFlags, Stat, fstat, fstatfs, openat, readlinkat};
use rustix::io::{Errno, retry_on_intr};
use rustix::process::geteuid;

use crate::model::shell;

/// As many links as the kernel follows.
const MOST_LINKS: usize = 40;

const PROC: u64 = 0x9fa0;
/// Filesystems that keep no owners and modes: FAT, exFAT, both NTFS, and FUSE.
const WITHOUT_MODES: [u64; 4] = [0x4d44, 0x2011_bab0, 0x7366_746e, 0x6573_5546];

/// Others can change something that has to be trusted.
#[derive(Debug, thiserror::Error)]
#[error("cannot trust {}: {fault}", path.display())]
pub struct Untrusted {
    /// Its path.
    path: PathBuf,
    fault: OwnerFault,
    /// Whether owner and mode can't be set there.
    without_modes: bool,
    /// Whether it is a directory on the way to a file that is to be written.
    is_on_the_way: bool,
}

#[derive(Debug, Clone, Copy, thiserror::Error)]
enum OwnerFault {
    #[error("others can write to it (mode {mode:04o})")]
    Writable { mode: u32, owner: u32 },
    #[error("it belongs to the user with uid {0}")]
    Owner(u32),
    #[error("it is a symbolic link that belongs to the user with uid {0}")]
    Link(u32),
}

/// Why something could not be opened.
#[derive(Debug)]
pub enum OpenError {
    /// The system can't open it.
    Io(io::Error),
    /// Others can change it.
    Untrusted(Untrusted),
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<Errno> for OpenError {
    fn from(errno: Errno) -> Self {
        Self::Io(errno.into())
    }
}

impl Untrusted {
    fn on_the_way(self) -> Self {
        Self {
            is_on_the_way: true,
            ..self
        }
    }

    /// Returns the user to whom it belongs, if that is what is wrong.
    pub fn owner(&self) -> Option<u32> {
        match self.fault {
            OwnerFault::Owner(owner) => Some(owner),
            OwnerFault::Writable { .. } | OwnerFault::Link(_) => None,
        }
    }

    /// What to do next.
    pub fn hint(&self) -> String {
        let path = shell::path(&self.path);
        let elsewhere = "put the file into a directory that only you can write to";
        match self.fault {
            OwnerFault::Writable { .. } if self.is_on_the_way => {
                return format!("{elsewhere}, or run `chmod go-w {path}`");
            }
            // It may be the home directory of another user, so there is no advice to `chown` it.
            OwnerFault::Owner(_) if self.is_on_the_way => return elsewhere.to_owned(),
            _ => {}
        }
        let me = geteuid();
        let sudo = |owner: u32| {
            if me.is_root() || me.as_raw() == owner {
                ""
            } else {
                "sudo "
            }
        };
        let user = if me.is_root() {
            "root".to_owned()
        } else {
            me.as_raw().to_string()
        };
        let command = match self.fault {
            OwnerFault::Writable { owner, .. } => format!("{}chmod go-w {path}", sudo(owner)),
            OwnerFault::Owner(owner) => format!("{}chown {user}: {path}", sudo(owner)),
            OwnerFault::Link(owner) => {
                let sudo = sudo(owner);
                return format!(
                    "give the path that the link leads to, or run `{sudo}chown -h {user}: {path}`"
                );
            }
        };
        if self.without_modes {
            let copy = shell::path(Path::new(self.path.file_name().unwrap_or_default()));
            return format!(
                "run `{command}`; if its filesystem does not keep owners and modes, copy the file to a private place: \
                 `install -m 600 {path} ~/{copy}`"
            );
        }
        format!("check that it was not changed, then run `{command}`")
    }
}

/// Opens a file for reading. A regular file or directory must belong to the effective user or root (or, with
/// a warning, to the user who ran sudo), and only its owner may write to it. The symbolic links on the way
/// must belong to these users too. Other files, such as a pipe, are not judged.
pub fn open(path: &Path) -> Result<File, OpenError> {
    let end = walk(path, Purpose::Open)?;
    let file = File::from(open_at(end.above.as_ref(), &end.name, end.flags)?);
    judge(path, &file)?;
    Ok(file)
}

/// Refuses a path at which others could put another file while it is being written to. Each directory on the
/// way must belong to the users that [`open`] accepts, and only its owner may write to it. A sticky directory
/// such as `/tmp` is accepted, because others can't replace a user's files in it. The file itself may be
/// missing, and is not judged. Other errors are ignored: the code that opens the path reports them.
pub fn require_way(path: &Path) -> Result<(), Untrusted> {
    // The directories above a relative path can be moved away as well.
    let Ok(path) = std::path::absolute(path) else {
        return Ok(());
    };
    match walk(&path, Purpose::Write) {
        Err(OpenError::Untrusted(untrusted)) => Err(untrusted.on_the_way()),
        _ => Ok(()),
    }
}

/// Does the same for a file that root reads: a user who replaces root's config becomes root.
pub fn require_way_of_root(path: &Path) -> Result<(), Untrusted> {
    if geteuid().is_root() {
        require_way(path)
    } else {
        Ok(())
    }
}

/// Returns a warning if this process is root's, and others can replace the program that it runs.
pub fn warning_of_this_program() -> Option<String> {
    let program = std::env::current_exe().ok()?;
    match require_program(&program) {
        Err(OpenError::Untrusted(untrusted)) if geteuid().is_root() => Some(format!(
            "the program {}: {untrusted}; a user who changes it becomes root when it runs: {}",
            program.display(),
            untrusted.hint()
        )),
        _ => None,
    }
}

/// Refuses a program that others can change, or replace in a directory on the way to it, as [`require_way`] says.
/// What is missing or can't be executed is an error too.
pub fn require_program(path: &Path) -> Result<(), OpenError> {
    let end = walk(path, Purpose::Write).map_err(|error| match error {
        OpenError::Untrusted(untrusted) => OpenError::Untrusted(untrusted.on_the_way()),
        error @ OpenError::Io(_) => error,
    })?;
    // A program need not be readable.
    let found = open_at(
        end.above.as_ref(),
        &end.name,
        OFlags::PATH | OFlags::NOFOLLOW,
    )?;
    judge(path, &found)?;
    let mode = fstat(&found)?.st_mode;
    if FileType::from_raw_mode(mode) != FileType::RegularFile || mode & 0o111 == 0 {
        return Err(Errno::ACCESS.into());
    }
    Ok(())
}

/// Refuses a file or directory that others can change. Other errors, such as a missing file, are ignored: the
/// code that opens it reports them.
pub fn require(path: &Path) -> Result<(), Untrusted> {
    match open(path) {
        Err(OpenError::Untrusted(untrusted)) => Err(untrusted),
        _ => Ok(()),
    }
}

/// Refuses an open file or directory that others can change.
pub fn require_open(path: &Path, file: impl AsFd) -> Result<(), Untrusted> {
    match judge(path, file) {
        Err(OpenError::Untrusted(untrusted)) => Err(untrusted),
        _ => Ok(()),
    }
}

static TELL: OnceLock<fn(&str)> = OnceLock::new();

/// Sets the function that prints warnings about files that are accepted, but are not safe.
pub fn tell_warnings(tell: fn(&str)) {
    let _ = TELL.set(tell);
}

/// Why a path is followed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// To open what is there.
    Open,
    /// To write there. The directories on the way are judged too. A link of `/proc` counts as the path that
    /// it shows, because that is how a path is made canonical.
    Write,
}

/// Where a path ends.
struct End {
    /// The directory; `None` is the working directory.
    above: Option<OwnedFd>,
    name: OsString,
    flags: OFlags,
}

fn open_at(above: Option<&OwnedFd>, name: &OsString, flags: OFlags) -> Result<OwnedFd, Errno> {
    let flags = flags | OFlags::CLOEXEC | OFlags::NOCTTY;
    retry_on_intr(|| match above {
        Some(above) => openat(above, name, flags, Mode::empty()),
        None => openat(CWD, name, flags, Mode::empty()),
    })
}

/// Follows a path as the kernel does, but refuses symbolic links of other users.
fn walk(path: &Path, purpose: Purpose) -> Result<End, OpenError> {
    let mut end = End {
        above: None,
        // It stays empty for an empty path, which the kernel refuses.
        name: OsString::new(),
        flags: OFlags::RDONLY | OFlags::NOFOLLOW,
    };
    let mut links = 0;
    let mut left = steps(path);
    left.reverse();
    // The path that was followed so far.
    let mut here = PathBuf::new();
    while let Some(name) = left.pop() {
        here.push(&name);
        let step = OFlags::PATH | OFlags::NOFOLLOW;
        // Opened as a directory first, so that the kernel mounts what is to be mounted there on the way.
        let directory = if left.is_empty() {
            Err(Errno::NOTDIR)
        } else {
            open_at(end.above.as_ref(), &name, step | OFlags::DIRECTORY)
        };
        let found = match directory {
            Err(Errno::NOTDIR) => open_at(end.above.as_ref(), &name, step)?,
            directory => directory?,
        };
        let stat = fstat(&found)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
            if !left.is_empty() {
                if purpose == Purpose::Write {
                    judge_way(&here, &found, &stat)?;
                }
                end.above = Some(found);
            }
            end.name = name;
            continue;
        }
        if purpose == Purpose::Open && file_system(&found) == PROC {
            // Such a link leads to an open file, and not to a path.
            if left.is_empty() {
                end.name = name;
                end.flags = OFlags::RDONLY;
                return Ok(end);
            }
            end.above = Some(open_at(end.above.as_ref(), &name, OFlags::PATH)?);
            continue;
        }
        if !is_ours(&here, &stat) {
            return Err(untrusted(&here, OwnerFault::Link(stat.st_uid), &found));
        }
        here.pop();
        links += 1;
        if links > MOST_LINKS {
            return Err(Errno::LOOP.into());
        }
        let target = readlinkat(&found, "", Vec::new())?.into_bytes();
        let target = PathBuf::from(OsString::from_vec(target));
        left.extend(steps(&target).into_iter().rev());
    }
    Ok(end)
}

/// Refuses a directory in which others could replace what lies there.
fn judge_way(path: &Path, found: &OwnedFd, stat: &Stat) -> Result<(), OpenError> {
    if !is_ours(path, stat) {
        return Err(untrusted(path, OwnerFault::Owner(stat.st_uid), found));
    }
    let is_sticky = stat.st_mode & 0o1000 != 0;
    if stat.st_mode & 0o022 != 0 && !is_sticky {
        let fault = OwnerFault::Writable {
            mode: stat.st_mode & 0o7777,
            owner: stat.st_uid,
        };
        return Err(untrusted(path, fault, found));
    }
    Ok(())
}

/// The names in a path; `/` is one.
fn steps(path: &Path) -> Vec<OsString> {
    path.components()
        .map(|component| match component {
            Component::RootDir => OsString::from("/"),
            component => component.as_os_str().to_owned(),
        })
        .collect()
}

fn judge(path: &Path, file: impl AsFd) -> Result<(), OpenError> {
    let stat = fstat(&file)?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    if !matches!(kind, FileType::RegularFile | FileType::Directory) {
        return Ok(());
    }
    if !is_ours(path, &stat) {
        return Err(untrusted(path, OwnerFault::Owner(stat.st_uid), file));
    }
    if stat.st_mode & 0o022 != 0 {
        let fault = OwnerFault::Writable {
            mode: stat.st_mode & 0o7777,
            owner: stat.st_uid,
        };
        return Err(untrusted(path, fault, file));
    }
    Ok(())
}

/// Whether it belongs to the effective user or root, or to the user who ran sudo; in the last case it warns.
fn is_ours(path: &Path, stat: &Stat) -> bool {
    let owner = stat.st_uid;
    let user = geteuid();
    if owner == 0 || owner == user.as_raw() {
        return true;
    }
    let behind_sudo = std::env::var("SUDO_UID").ok();
    let is_theirs = user.is_root() && behind_sudo.is_some_and(|uid| uid.parse() == Ok(owner));
    if is_theirs {
        warn(format!(
            "{} belongs to the user who ran sudo: every program of that user can change it",
            path.display()
        ));
    }
    is_theirs
}

/// Prints a warning once.
fn warn(text: String) {
    static TOLD: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let Some(tell) = TELL.get() else { return };
    let mut told = TOLD.lock().expect("no holder panics");
    if !told.contains(&text) {
        tell(&text);
        told.insert(text);
    }
}

fn untrusted(path: &Path, fault: OwnerFault, found: impl AsFd) -> OpenError {
    OpenError::Untrusted(Untrusted {
        path: path.to_owned(),
        fault,
        without_modes: WITHOUT_MODES.contains(&file_system(found)),
        is_on_the_way: false,
    })
}

/// Returns the magic number of a filesystem; 0 if it is not known.
fn file_system(file: impl AsFd) -> u64 {
    fstatfs(file)
        .ok()
        .and_then(|found| u64::try_from(found.f_type).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(path: &str, fault: OwnerFault, without_modes: bool) -> String {
        let path = path.into();
        Untrusted {
            path,
            fault,
            without_modes,
            is_on_the_way: false,
        }
        .hint()
    }

    #[test]
    fn a_hint_can_be_pasted_into_a_shell() {
        let owner = geteuid().as_raw();
        let writable = OwnerFault::Writable { mode: 0o666, owner };
        for (path, word) in [
            ("/etc/coldchain/config.toml", "/etc/coldchain/config.toml"),
            ("/media/my stick/kit", "'/media/my stick/kit'"),
            ("it's $(reboot)", "'it'\\''s $(reboot)'"),
            ("-rf", "./'-rf'"),
            ("/kit\u{1b}[2J\nerror: x", "$'/kit\\x1b[2J\\nerror: x'"),
        ] {
            let told = hint(path, writable, false);
            assert!(told.ends_with(&format!("`chmod go-w {word}`")), "{told}");
        }
    }

    #[test]
    fn where_modes_cannot_be_set_a_copy_is_advised() {
        let owner = geteuid().as_raw();
        let told = hint(
            "/mnt/kit",
            OwnerFault::Writable { mode: 0o777, owner },
            true,
        );
        assert_eq!(
            told,
            "run `chmod go-w /mnt/kit`; if its filesystem does not keep owners and modes, copy the file to a private place: `install -m 600 /mnt/kit ~/kit`"
        );
    }
}
