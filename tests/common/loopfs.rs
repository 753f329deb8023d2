//! A real btrfs in a sparse file, mounted by a loop device. The file is in memory where there is room: btrfs syncs all the
//! time, and the disk below would only take time. What a power cut leaves is what the file has, wherever it is.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// A mounted btrfs. Dropped, also by a panic, it is unmounted, and its image is gone.
pub struct LoopFs {
    directory: tempfile::TempDir,
}

impl LoopFs {
    /// A filesystem of so many MiB; the kernel wants at least 109.
    pub fn new(mib: u64) -> Self {
        Self::with_options(mib, "")
    }

    /// The same with further mount options, such as `compress=zstd`.
    pub fn with_options(mib: u64, options: &str) -> Self {
        Self::try_new(mib, options).unwrap_or_else(|error| panic!("no loop-mounted btrfs: {error}"))
    }

    fn try_new(mib: u64, options: &str) -> Result<Self, String> {
        Self::in_directory(in_memory(), mib, &[], options)
    }

    /// The same, made with further arguments of `mkfs.btrfs`.
    pub fn made_with(mib: u64, mkfs: &[&str], options: &str) -> Self {
        Self::in_directory(in_memory(), mib, mkfs, options)
            .unwrap_or_else(|error| panic!("no loop-mounted btrfs: {error}"))
    }

    fn in_directory(
        directory: tempfile::TempDir,
        mib: u64,
        mkfs: &[&str],
        options: &str,
    ) -> Result<Self, String> {
        let image = directory.path().join("image");
        let root = directory.path().join("root");
        File::create(&image)
            .and_then(|file| file.set_len(mib << 20))
            .and_then(|()| std::fs::create_dir(&root))
            .map_err(|error| error.to_string())?;
        run(Command::new("mkfs.btrfs").arg("-q").args(mkfs).arg(&image))?;
        Self::mounted(directory, options)
    }

    /// The filesystem in the image of a directory, mounted at the `root` there.
    fn mounted(directory: tempfile::TempDir, options: &str) -> Result<Self, String> {
        let options = match options {
            "" => "loop".to_owned(),
            more => format!("loop,{more}"),
        };
        // The loop device frees itself when it is unmounted.
        run(Command::new("mount")
            .args(["-t", "btrfs", "-o", &options])
            .arg(directory.path().join("image"))
            .arg(directory.path().join("root")))?;
        Ok(Self { directory })
    }

    /// What is on the disk at this moment, as if the power went: what btrfs has only in memory is lost.
    pub fn after_power_cut(self) -> Self {
        let directory = tempfile::tempdir().unwrap();
        run(Command::new("cp")
            .arg("--sparse=always")
            .arg(self.directory.path().join("image"))
            .arg(directory.path()))
        .unwrap_or_else(|error| panic!("{error}"));
        // Two filesystems with one id can't be mounted at once.
        drop(self);
        std::fs::create_dir(directory.path().join("root")).unwrap();
        Self::mounted(directory, "").unwrap_or_else(|error| panic!("{error}"))
    }

    /// Unmounts it, as if the disk were unplugged. Its directory stays.
    pub fn detach(&self) {
        run(Command::new("umount").arg(self.root())).unwrap_or_else(|error| panic!("{error}"));
    }

    /// Mounts it again.
    pub fn attach(&self) {
        run(Command::new("mount")
            .args(["-t", "btrfs", "-o", "loop"])
            .arg(self.image())
            .arg(self.root()))
        .unwrap_or_else(|error| panic!("{error}"));
    }

    /// Where it is mounted; the top-level subvolume.
    pub fn root(&self) -> PathBuf {
        self.directory.path().join("root")
    }

    /// The file that the filesystem lies in.
    pub fn image(&self) -> PathBuf {
        self.directory.path().join("image")
    }

    /// A path below the root.
    pub fn path(&self, below: impl AsRef<Path>) -> PathBuf {
        self.root().join(below)
    }

    /// Makes a subvolume below the root and returns its path.
    pub fn subvolume(&self, below: impl AsRef<Path>) -> PathBuf {
        let path = self.path(below);
        btrfs(["subvolume", "create"], &[&path]);
        path
    }
}

impl Drop for LoopFs {
    fn drop(&mut self) {
        let root = self.root();
        if run(Command::new("umount").arg(&root)).is_err() {
            // Something still has a file open. Detached, it goes away with that.
            let detached = run(Command::new("umount").arg("--lazy").arg(&root));
            assert!(detached.is_ok() || std::thread::panicking(), "{detached:?}");
        }
    }
}

/// What a filesystem in memory must have left before a directory is made there.
const ROOM: u64 = 4 << 30;

/// A directory in memory where there is such a filesystem with room: where no power is cut, the syncs of a disk
/// would only take time.
pub fn in_memory() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let has_room = rustix::fs::statvfs(memory).is_ok_and(|it| it.f_bavail * it.f_frsize >= ROOM);
    if has_room && let Ok(directory) = tempfile::tempdir_in(memory) {
        return directory;
    }
    tempfile::tempdir().unwrap()
}

/// Runs the real `btrfs` with words, then paths; panics if it fails.
pub fn btrfs<const N: usize>(words: [&str; N], paths: &[&Path]) -> Output {
    run(Command::new("btrfs").args(words).args(paths)).unwrap_or_else(|error| panic!("{error}"))
}

/// Runs a program; its stderr is the error.
pub fn run(command: &mut Command) -> Result<Output, String> {
    let output = command
        .output()
        .map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(output);
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    Err(format!("{command:?}: {}: {stderr}", output.status))
}

/// Whether tests on a real btrfs can run here. If not, it says why; in CI that is a failure.
pub fn real_btrfs_available() -> bool {
    static TRIED: OnceLock<Result<(), String>> = OnceLock::new();
    let tried = TRIED.get_or_init(|| {
        if !rustix::process::geteuid().is_root() {
            return Err("it takes root".to_owned());
        }
        LoopFs::try_new(128, "").map(drop)
    });
    match tried {
        Ok(()) => true,
        Err(why) if std::env::var_os("CI").is_some_and(|ci| ci == "true") => {
            panic!("CI=true, but there is no btrfs to test on: {why}")
        }
        Err(why) => {
            eprintln!("skipped: there is no btrfs to test on: {why}");
            false
        }
    }
}
