//! A small filesystem in memory, to be filled to the brim.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::loopfs::run;

/// What fills it; nobody else has a file of that name.
const FILLER: &str = ".filler";

/// A tmpfs of its own. Dropped, also by a panic, it is unmounted.
pub struct Tmpfs {
    root: PathBuf,
}

impl Tmpfs {
    /// Mounts one of so many KiB on a directory, which is made if it is missing. What stands in it
    /// is hidden.
    pub fn on(root: &Path, kib: u64) -> Self {
        fs::create_dir_all(root).unwrap();
        let size = format!("size={kib}k,mode=0700");
        run(Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(root))
        .unwrap_or_else(|error| panic!("no tmpfs: {error}"));
        Self {
            root: root.to_owned(),
        }
    }

    /// Leaves so many KiB free, and no more.
    pub fn leave_free(&self, kib: usize) {
        self.free_all();
        let mut filler = OpenOptions::new()
            .append(true)
            .create(true)
            .open(self.filler())
            .unwrap();
        let page = [0; 4096];
        while filler.write_all(&page).is_ok() {}
        let length = filler.metadata().unwrap().len();
        let left = length.saturating_sub((kib as u64) << 10);
        filler.set_len(left).unwrap();
    }

    /// Gives back all that was filled.
    pub fn free_all(&self) {
        let _ = fs::remove_file(self.filler());
    }

    /// Forbids all writing.
    pub fn read_only(&self) {
        self.remount("ro");
    }

    /// Allows it again.
    pub fn writable(&self) {
        self.remount("rw");
    }

    fn remount(&self, how: &str) {
        run(Command::new("mount")
            .args(["-o", &format!("remount,{how}")])
            .arg(&self.root))
        .unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.root.join(FILLER)
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        if run(Command::new("umount").arg(&self.root)).is_err() {
            // Something still has a file open. Detached, it goes away with that.
            let _ = run(Command::new("umount").arg("--lazy").arg(&self.root));
        }
    }
}
