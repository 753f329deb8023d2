//! Filesystems of other kinds than btrfs, and other users than root.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{Gid, Uid};

use crate::common::loopfs::{in_memory, run};

/// A mounted filesystem in a file. Dropped, also by a panic, it is unmounted.
pub(crate) struct Mounted {
    directory: tempfile::TempDir,
    device: Option<String>,
}

impl Mounted {
    fn image(mib: u64) -> (tempfile::TempDir, PathBuf) {
        let directory = in_memory();
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
        let image = directory.path().join("image");
        File::create(&image).unwrap().set_len(mib << 20).unwrap();
        fs::create_dir(directory.path().join("root")).unwrap();
        (directory, image)
    }

    /// An ext4.
    pub(crate) fn ext4(mib: u64) -> Self {
        let (directory, image) = Self::image(mib);
        run(Command::new("mkfs.ext4")
            .args(["-q", "-F", "-b", "4096"])
            .arg(&image))
        .unwrap();
        run(Command::new("mount")
            .args(["-t", "ext4", "-o", "loop"])
            .args([&image, &directory.path().join("root")]))
        .unwrap();
        fs::remove_dir(directory.path().join("root/lost+found")).unwrap();
        Self {
            directory,
            device: None,
        }
    }

    /// An exFAT: it has one owner and one mode, no links of any kind, no difference of case, and no such rename as others
    /// have. It runs by FUSE, so that every kernel has it.
    pub(crate) fn exfat(mib: u64) -> Self {
        let (directory, image) = Self::image(mib);
        run(Command::new("mkfs.exfat").arg(&image)).unwrap();
        let device = run(Command::new("losetup").args(["-f", "--show"]).arg(&image)).unwrap();
        let device = String::from_utf8(device.stdout).unwrap().trim().to_owned();
        let mounted = Self {
            directory,
            device: Some(device.clone()),
        };
        run(Command::new("mount.exfat-fuse")
            .arg(&device)
            .arg(mounted.root()))
        .unwrap();
        mounted
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.directory.path().join("root")
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.root().join(below)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = run(Command::new("umount").arg(self.root()));
        if let Some(device) = &self.device {
            let _ = run(Command::new("losetup").args(["-d", device]));
        }
    }
}

/// The user who has no rights.
pub(crate) const OTHER: u32 = 65_534;

/// Runs something as another user, in a thread of its own.
pub(crate) fn as_other<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let (user, group) = (Some(Uid::from_raw(OTHER)), Some(Gid::from_raw(OTHER)));
            rustix::thread::set_thread_groups(&[]).unwrap();
            rustix::thread::set_thread_res_gid(group, group, group).unwrap();
            rustix::thread::set_thread_res_uid(user, user, user).unwrap();
            work()
        });
        thread
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Makes a directory that belongs to the other user.
pub(crate) fn theirs(path: &Path) {
    fs::create_dir(path).unwrap();
    let (user, group) = (Some(OTHER), Some(OTHER));
    std::os::unix::fs::chown(path, user, group).unwrap();
}

/// The names in a directory.
pub(crate) fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}
