//! Confines `btrfs receive`: every stream counts as hostile.
//!
//! The receiver sees the target through its own mount, on which the kernel opens no device and follows no
//! symbolic link. It works in a `chroot` to an empty directory in it. So no device node and no link of the
//! stream or of its send parent leads out, even if the guard overlooks it.
//!
//! The mount covers one of [`PLACES`] in a namespace of the receiver's own, and is reached by descriptor, so
//! no name is looked up that another user may change. It is never a new mount of the device: that would make
//! a superblock writable that is mounted read-only.

use std::ffi::{CStr, OsStr};
use std::fs::Metadata;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use landlock::{
    ABI, AccessFs, CompatLevel, Compatible, PathBeneath, Ruleset, RulesetAttr, RulesetCreated,
    RulesetCreatedAttr, RulesetError,
};
use rustix::fs::{AtFlags, Mode, OFlags, StatxAttributes, StatxFlags};
use rustix::process::geteuid;

use super::error::BtrfsError;
use super::held::HeldDirectory;
use super::identity::is_subvolume_root;
use super::sys::mounts;
use super::tools::{BTRFS, Tools};
use crate::process::{self, ProcessError};

/// Directories of the system that a receiver does not need. The mount covers the first that belongs to root
/// alone.
const PLACES: [&CStr; 4] = [c"/sys", c"/mnt", c"/srv", c"/media"];

/// The mount that a receiver sees, and the directory it works in.
#[derive(Debug)]
pub struct Confinement {
    mount: OwnedFd,
    place: &'static CStr,
    /// The directory to receive into, from the mount's root.
    staging: PathBuf,
    rules: Option<RulesetCreated>,
    /// For messages.
    path: PathBuf,
}

impl Confinement {
    /// Confines a receiver to `staging`, a directory in `target`.
    ///
    /// `btrfs receive` looks for the send parent below the root of its mount, by its path from a subvolume's
    /// root. So the mount shows `target` if that is a subvolume, as a restore makes it, or else all that the
    /// user's mount shows. If the root of that mount is inside a subvolume, the send parent can't be found,
    /// and this fails.
    pub fn to(staging: &HeldDirectory, target: &HeldDirectory) -> Result<Self, BtrfsError> {
        let failed = |source| unconfined(target, source);
        let name = staging.path().file_name().unwrap_or_default();
        let (root, mut below) = if is_subvolume_root(target).map_err(failed)? {
            let root = target.as_fd().try_clone_to_owned().map_err(failed)?;
            (root, PathBuf::new())
        } else {
            let (root, below) = root_of_mount(target)?;
            if !is_subvolume_root(&root).map_err(failed)? {
                return Err(BtrfsError::PartlyMounted {
                    path: target.path().to_owned(),
                });
            }
            (root, below)
        };
        below.push(name);
        Ok(Self {
            mount: mounts::confining_mount(&root).map_err(failed)?,
            place: place().map_err(failed)?,
            staging: below,
            rules: rules(staging),
            path: target.path().to_owned(),
        })
    }

    /// Confines another program than a receiver to a directory: it sees only that below [`Self::root`], and changes
    /// nothing outside of it.
    pub fn of(directory: impl AsFd + Copy, path: &Path) -> Result<Self, BtrfsError> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::NotConnected => BtrfsError::NotMounted {
                path: path.to_owned(),
            },
            _ => BtrfsError::Unconfined {
                path: path.to_owned(),
                source,
            },
        };
        Ok(Self {
            mount: mounts::confining_mount(directory).map_err(failed)?,
            place: place().map_err(failed)?,
            staging: PathBuf::new(),
            rules: rules(directory),
            path: path.to_owned(),
        })
    }

    /// Checks that this process can confine a receiver to a directory. The error says why not.
    ///
    /// It confines a program that does nothing: only this shows all that a kernel, a container or a systemd
    /// unit may forbid.
    pub fn try_in(tools: &Tools, directory: &HeldDirectory) -> Result<(), BtrfsError> {
        let failed = |source| unconfined(directory, source);
        let missing = mounts::missing_capabilities();
        if !missing.is_empty() {
            return Err(BtrfsError::NoCapabilities { missing });
        }
        // This call is needed later to look at what was received.
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        directory
            .open_below(OsStr::new("."), flags)
            .map_err(|errno| failed(mounts::of_call("openat2", errno)))?;
        let root = rustix::fs::open(c"/", flags, Mode::empty()).map_err(|it| failed(it.into()))?;
        if matches!(is_root_of_mount(&root), Ok(false)) {
            return Err(BtrfsError::RootIsNoMount);
        }
        let trial = Self {
            mount: mounts::confining_mount(directory).map_err(failed)?,
            place: place().map_err(failed)?,
            staging: PathBuf::new(),
            rules: rules(directory),
            path: directory.path().to_owned(),
        };
        let run = |command| process::run(command, BTRFS, "print its version in confinement");
        let mut command = tools.command();
        command.arg("version").current_dir("/");
        trial.apply(&mut command);
        match run(command) {
            Err(ProcessError::Spawn { source, .. }) => Err(failed(source)),
            ran => Ok(ran.map(drop)?),
        }
    }

    /// Returns the path of the mount for the command.
    pub fn root(&self) -> &Path {
        Path::new(OsStr::from_bytes(self.place.to_bytes()))
    }

    /// Returns the path of the staging directory for the command.
    pub(super) fn staging(&self) -> PathBuf {
        self.root().join(&self.staging)
    }

    /// Confines the command, which can then only be started confined.
    pub fn apply(self, command: &mut Command) {
        mounts::confine(command, self.mount, self.place, self.rules);
    }

    /// Returns the path of the target, for messages.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

fn unconfined(directory: &HeldDirectory, source: io::Error) -> BtrfsError {
    let path = directory.path().to_owned();
    match source.kind() {
        io::ErrorKind::NotConnected => BtrfsError::NotMounted { path },
        _ => BtrfsError::Unconfined { path, source },
    }
}

/// Returns a directory that the mount can cover.
fn place() -> io::Result<&'static CStr> {
    let is_roots = |place: &&CStr| {
        let path = Path::new(OsStr::from_bytes(place.to_bytes()));
        path.symlink_metadata().is_ok_and(|found| is_roots(&found))
    };
    let found = PLACES.into_iter().find(is_roots);
    found.ok_or_else(|| {
        let what = "none of /sys, /mnt, /srv and /media is a directory that belongs to root and that only root can write to";
        io::Error::new(io::ErrorKind::NotFound, what)
    })
}

fn is_roots(directory: &Metadata) -> bool {
    directory.is_dir() && directory.uid() == 0 && directory.mode() & 0o022 == 0
}

/// Returns the root of the mount that shows the directory, and the directory's path from there. Fails if
/// another user can change a part of that path: the receiver looks it up.
fn root_of_mount(directory: &HeldDirectory) -> Result<(OwnedFd, PathBuf), BtrfsError> {
    let failed = |source| BtrfsError::Unconfined {
        path: directory.path().to_owned(),
        source,
    };
    let path = directory.path().canonicalize().map_err(failed)?;
    let mut names: Vec<_> = path
        .components()
        .rev()
        .map(std::path::Component::as_os_str)
        .collect();
    let mut below = Vec::new();
    let mut at = directory.as_fd().try_clone_to_owned().map_err(failed)?;
    while !is_root_of_mount(&at).map_err(failed)? {
        if names.is_empty() {
            return Err(failed(io::Error::other("its mount has no root")));
        }
        below.push(names.remove(0));
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        at = rustix::fs::openat(&at, c"..", flags, Mode::empty())
            .map_err(|errno| failed(errno.into()))?;
        let stat = rustix::fs::fstat(&at).map_err(|errno| failed(errno.into()))?;
        let is_ours = stat.st_uid == 0 || stat.st_uid == geteuid().as_raw();
        let mode = Mode::from_raw_mode(stat.st_mode);
        let is_open = mode.intersects(Mode::WGRP | Mode::WOTH) && !mode.contains(Mode::SVTX);
        if !is_ours || is_open {
            return Err(BtrfsError::Movable {
                path: directory.path().to_owned(),
            });
        }
    }
    Ok((at, below.into_iter().rev().collect()))
}

/// Returns whether a directory is the root of a mount. Linux 5.8 and later report this.
fn is_root_of_mount(directory: impl AsFd) -> io::Result<bool> {
    let (flags, mask) = (AtFlags::EMPTY_PATH, StatxFlags::TYPE);
    let stat = rustix::fs::statx(directory, c"", flags, mask)?;
    if !stat
        .stx_attributes_mask
        .contains(StatxAttributes::MOUNT_ROOT)
    {
        return Err(io::ErrorKind::Unsupported.into());
    }
    Ok(stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

/// Returns Landlock rules with which the receiver changes nothing outside its staging directory. `None` if
/// the kernel has no Landlock, or a version before the third, which forbids renames: the rules only add to
/// the other protection.
///
/// The rules do not limit reads: libraries are in different places on every system, and clone sources are in
/// the target.
fn rules(staging: impl AsFd) -> Option<RulesetCreated> {
    let build = || -> Result<RulesetCreated, RulesetError> {
        let writing = AccessFs::from_write(ABI::V3);
        Ruleset::default()
            .set_compatibility(CompatLevel::HardRequirement)
            .handle_access(writing)?
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::IoctlDev)?
            .create()?
            .add_rule(PathBeneath::new(staging, writing))
    };
    // ssh does not start if it can't write to it, and scripts that it starts truncate it.
    let null = rustix::fs::open(c"/dev/null", OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
    let build = || {
        let rules = build()?;
        match null {
            Ok(null) => rules.add_rule(PathBeneath::new(
                null,
                AccessFs::WriteFile | AccessFs::Truncate,
            )),
            Err(_) => Ok(rules),
        }
    };
    build().ok()
}
