//! The box in which `btrfs receive` works: a stream is hostile until the contrary is shown.
//!
//! The receiver sees the target through a mount of its own, on which the kernel opens no device and
//! follows no symbolic link, and works in a `chroot` to an empty directory in it. So neither a device node
//! nor a link of the stream or of its send parent leads out, whatever the guard overlooks.
//!
//! The mount covers [`PLACES`] in a namespace of the receiver's own, and is reached by descriptor: no name
//! that another user may change is looked up on the way. It is never a fresh mount of the device, which
//! would turn a superblock writable that is mounted read-only.

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

/// Directories of the system that a receiver has no use for; the first that is root's alone is covered.
const PLACES: [&CStr; 4] = [c"/sys", c"/mnt", c"/srv", c"/media"];

/// What the receiver sees, and where it works.
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
    /// Confines a receiver to `staging`, which lies in `target`.
    ///
    /// `btrfs receive` looks for the send parent below the root of its mount, by the path that it has there
    /// from a subvolume's root. So the mount is one of `target` if that is a subvolume, as a restore makes it,
    /// and else of all that the user's mount shows. Where that begins within a subvolume, the send parent is not
    /// found.
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

    /// Whether this process may confine a receiver to what lies in that directory: an error says why not.
    ///
    /// It confines a program that does nothing, because nothing else shows all that a kernel, a container or a
    /// unit of systemd may forbid.
    pub fn try_in(tools: &Tools, directory: &HeldDirectory) -> Result<(), BtrfsError> {
        let failed = |source| unconfined(directory, source);
        let missing = mounts::missing_capabilities();
        if !missing.is_empty() {
            return Err(BtrfsError::NoCapabilities { missing });
        }
        // What was received is looked at with it.
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

    /// The path of the mount that the command will see.
    pub(super) fn root(&self) -> &Path {
        Path::new(OsStr::from_bytes(self.place.to_bytes()))
    }

    /// The path of the staging directory that the command will see.
    pub(super) fn staging(&self) -> PathBuf {
        self.root().join(&self.staging)
    }

    /// Confines the command. It can no longer be started except so.
    pub(super) fn apply(self, command: &mut Command) {
        mounts::confine(command, self.mount, self.place, self.rules);
    }

    /// The target, for messages.
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

/// A directory that the mount can cover.
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

/// The root of the mount through which the directory is seen, and the directory's path from there. Nobody
/// else may change what lies on that path: the receiver looks it up.
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

/// Since Linux 5.8 the kernel says it.
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

/// With Landlock, the receiver changes nothing outside its staging directory. `None` where the kernel has none, or
/// one that forbids renames (before its third version): this is a second lock on a door that is shut.
///
/// What is read is left alone: libraries lie elsewhere on every system, and the clone sources in the target.
fn rules(staging: &HeldDirectory) -> Option<RulesetCreated> {
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
    build().ok()
}
