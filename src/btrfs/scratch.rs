//! A temporary btrfs filesystem: a sparse image, mounted by a loop device, that leaves nothing behind.
//!
//! Only this thread, and what it starts, sees the mount, and the image has no name any more by then. However
//! the process ends, the kernel removes the mount and frees its space. Only an empty directory may remain,
//! which the next drill uses.

use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{FlockOperation, OFlags, flock};

use super::error::BtrfsError;
use super::identity::filesystem_info;
use super::sys;
use super::tools::SYSTEM;
use crate::process::in_own_session;

/// The name of its directory in the given directory.
const NAME: &str = "coldchain-drill";
const LOCK: &str = "lock";
const ROOT: &str = "root";
const IMAGE: &str = "image";

/// The properties that limit what a filesystem can hold: an extended attribute has to fit into a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    node_bytes: u32,
    /// Sector size and checksum; `None` for the defaults of `mkfs.btrfs`.
    more: Option<(u32, u16)>,
}

impl Geometry {
    /// Returns the geometry of the filesystem of `path`.
    pub fn of(path: &Path) -> Result<Self, BtrfsError> {
        let info = filesystem_info(path)?;
        Ok(Self {
            node_bytes: info.node_bytes,
            more: Some((info.sector_bytes, info.checksum)),
        })
    }

    /// Returns a geometry that can hold what any other can.
    pub fn roomiest() -> Self {
        Self {
            node_bytes: 64 << 10,
            more: None,
        }
    }

    fn arguments(self) -> Vec<String> {
        // The names of `mkfs.btrfs` for `BTRFS_CSUM_TYPE_*`. An unknown one is no reason not to try.
        const CHECKSUMS: [&str; 4] = ["crc32c", "xxhash", "sha256", "blake2"];
        let mut arguments = vec!["--nodesize".to_owned(), self.node_bytes.to_string()];
        if let Some((sector_bytes, checksum)) = self.more {
            arguments.extend(["--sectorsize".to_owned(), sector_bytes.to_string()]);
            if let Some(name) = CHECKSUMS.get(usize::from(checksum)) {
                arguments.extend(["--checksum".to_owned(), (*name).to_owned()]);
            }
        }
        arguments
    }
}

/// A mounted temporary btrfs. Dropping it unmounts it and removes its directory; [`Scratch::remove`] does the
/// same and returns errors.
#[derive(Debug)]
pub struct Scratch {
    directory: PathBuf,
    /// Locked while it is in use.
    lock: File,
}

impl Scratch {
    /// Makes a filesystem of this size in bytes. They take no space before they are written.
    pub fn make(parent: &Path, bytes: u64, geometry: Geometry) -> Result<Self, BtrfsError> {
        let parent = parent
            .canonicalize()
            .map_err(|source| failed("look at", parent, source))?;
        let directory = parent.join(NAME);
        let lock = claim(&directory)?;
        // From here on, dropping `scratch` removes it, however this ends.
        let scratch = Self { directory, lock };
        scratch.clear()?;
        let (image, root) = (scratch.path(IMAGE), scratch.root());
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&image)
            .and_then(|file| file.set_len(bytes))
            .map_err(|source| failed("make the image", &image, source))?;
        DirBuilder::new()
            .mode(0o700)
            .create(&root)
            .map_err(|source| failed("create", &root, source))?;
        run(
            Command::new("mkfs.btrfs")
                .arg("-q")
                .args(geometry.arguments())
                .arg(&image),
            "make a filesystem in",
            &image,
        )?;
        // From here on this thread has its own mounts. The mount of an earlier version, which every process
        // saw, is gone by now.
        sys::own_mounts().map_err(|source| failed("hide the mounts of", &root, source))?;
        run(
            Command::new("mount").args(["--make-rslave", "/"]),
            "keep private the mounts in",
            &root,
        )?;
        run(
            Command::new("mount")
                .args(["-t", "btrfs", "-o", "loop,nodev,nosuid"])
                .arg(&image)
                .arg(&root),
            "mount",
            &image,
        )?;
        std::fs::remove_file(&image).map_err(|source| failed("remove", &image, source))?;
        Ok(scratch)
    }

    /// Returns its mount point.
    pub fn root(&self) -> PathBuf {
        self.path(ROOT)
    }

    /// Unmounts it and removes its files.
    pub fn remove(self) -> Result<(), BtrfsError> {
        self.take_away()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn take_away(&self) -> Result<(), BtrfsError> {
        if !self.directory.exists() {
            return Ok(());
        }
        self.clear()?;
        let lock = self.path(LOCK);
        let removed =
            std::fs::remove_file(&lock).and_then(|()| std::fs::remove_dir(&self.directory));
        removed.map_err(|source| failed("remove", &self.directory, source))
    }

    /// Removes what an earlier use has left.
    fn clear(&self) -> Result<(), BtrfsError> {
        let (root, image) = (self.root(), self.path(IMAGE));
        if is_mounted(&self.directory, &root) {
            run(Command::new("umount").arg(&root), "unmount", &root)?;
        }
        // This removes only an empty directory, so nothing that is still mounted.
        gone(std::fs::remove_dir(&root)).map_err(|source| failed("remove", &root, source))?;
        gone(std::fs::remove_file(&image)).map_err(|source| failed("remove", &image, source))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = self.take_away();
        let _ = flock(&self.lock, FlockOperation::Unlock);
    }
}

/// Makes the directory, or takes one that an earlier use has left, with its lock in it. If other users may
/// write to the parent directory, they may have made it: only a directory of this user alone is accepted.
fn claim(directory: &Path) -> Result<File, BtrfsError> {
    let parent = directory.parent().unwrap_or(Path::new("/"));
    // Files in it are named by their path, so no other user may be able to change any part of that path.
    for step in parent.ancestors() {
        let stat = step
            .metadata()
            .map_err(|source| failed("look at", step, source))?;
        if !keeps_what_is_ours(&stat) {
            return Err(BtrfsError::Shared {
                path: step.to_owned(),
            });
        }
    }
    let in_the_way = || BtrfsError::Exists {
        path: directory.to_owned(),
    };
    match DirBuilder::new().mode(0o700).create(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(failed("create", directory, error));
        }
        _ => {}
    }
    // Judge it by its present state, not by who made it. No other user can change it from here on.
    let stat = look_at(directory)?;
    let is_private = stat.is_dir() && stat.mode() & 0o7777 == 0o700 && is_ours(&stat);
    let root = directory.join(ROOT);
    let is_its_own = is_private
        && match root.symlink_metadata() {
            Ok(root) => root.is_dir(),
            Err(_) => true,
        };
    if !is_its_own {
        return Err(in_the_way());
    }
    let path = directory.join(LOCK);
    let is_empty = std::fs::read_dir(directory)
        .map_err(|source| failed("look into", directory, source))?
        .next()
        .is_none();
    let lock = OpenOptions::new()
        .append(true)
        .create(is_empty)
        .mode(0o600)
        .custom_flags(i32::try_from(OFlags::NOFOLLOW.bits()).expect("a small flag"))
        .open(&path)
        .map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => in_the_way(),
            _ => failed("open the lock", &path, source),
        })?;
    flock(&lock, FlockOperation::NonBlockingLockExclusive)
        .map_err(|errno| failed("lock (another drill is at work there)", &path, errno.into()))?;
    Ok(lock)
}

/// Returns whether no other user can replace files that are made in this directory.
fn keeps_what_is_ours(directory: &Metadata) -> bool {
    let is_sticky = directory.mode() & 0o1000 != 0;
    let is_writable = directory.mode() & 0o022 != 0;
    (is_ours(directory) || directory.uid() == 0) && (is_sticky || !is_writable)
}

fn is_ours(file: &Metadata) -> bool {
    file.uid() == rustix::process::geteuid().as_raw()
}

fn look_at(path: &Path) -> Result<Metadata, BtrfsError> {
    path.symlink_metadata()
        .map_err(|source| failed("look at", path, source))
}

/// Returns whether something is mounted at `root`: then it is on another filesystem than `directory`.
fn is_mounted(directory: &Path, root: &Path) -> bool {
    match (directory.symlink_metadata(), root.symlink_metadata()) {
        (Ok(directory), Ok(root)) => root.is_dir() && directory.dev() != root.dev(),
        _ => false,
    }
}

fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Runs a program to its end, out of reach of the terminal's Ctrl-C, so that everything mounted gets
/// unmounted.
fn run(command: &mut Command, action: &'static str, path: &Path) -> Result<(), BtrfsError> {
    let name = command.get_program().to_string_lossy().into_owned();
    let own = std::env::var("PATH").unwrap_or_default();
    command
        .env_clear()
        .env("PATH", format!("{SYSTEM}:{own}"))
        .env("LC_ALL", "C")
        .stdin(Stdio::null());
    let output = in_own_session(command)
        .output()
        .map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => BtrfsError::NoSystemProgram {
                program: name.clone(),
            },
            _ => failed(action, path, source),
        })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(failed(
        action,
        path,
        io::Error::other(format!("`{name}` ended with {}: {said}", output.status)),
    ))
}

fn failed(action: &'static str, path: &Path, source: io::Error) -> BtrfsError {
    BtrfsError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}
