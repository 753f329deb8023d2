//! Where hostile archives are restored, and everything around it that they must leave as it is.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::common::loopfs::{LoopFs, btrfs, in_memory, run};
use crate::common::stream_builder::StreamBuilder;

/// The received uuid of the canary subvolume on the target filesystem.
pub(crate) const CANARY: [u8; 16] = *b"canary-subvolume";

/// What every canary file begins with. A restored file that has it was read from outside.
const SECRET: &[u8] = b"a secret of this machine: ";

/// The size of the canary disk.
const DISK_BYTES: usize = 1 << 20;

/// What hostile archives aim at.
#[derive(Debug, Clone)]
pub(crate) struct Aims {
    /// The canary disk's device number.
    pub(crate) rdev: u64,
    /// Canary files by their absolute paths, also as seen from the target filesystem's root.
    pub(crate) files: Vec<String>,
    /// Directories with canaries in them, in the same ways.
    pub(crate) directories: Vec<String>,
}

/// A filesystem with a target in it, and canaries in every direction.
pub(crate) struct Ground {
    fs: LoopFs,
    outside: tempfile::TempDir,
    disk: Disk,
    fifos: Vec<File>,
}

/// Everything around the target, as it was at some moment.
pub(crate) struct Seen {
    files: BTreeMap<PathBuf, String>,
    disk: Vec<u8>,
}

impl Ground {
    pub(crate) fn new() -> Self {
        let fs = LoopFs::new(512);
        let outside = in_memory();
        fs::create_dir_all(fs.path("outer/dir")).unwrap();
        for directory in [
            fs.root(),
            fs.path("outer"),
            fs.path("outer/dir"),
            outside.path().to_owned(),
        ] {
            plant(&directory);
        }
        let secret = [SECRET, &[b'5'; 8192 - SECRET.len()]].concat();
        let stream = StreamBuilder::header(1)
            .subvol(b"canary", CANARY, 9)
            .mkfile(b"secret")
            .write(b"secret", 0, &secret)
            .mkfile(b"docs-letter")
            .write(b"docs-letter", 0, &secret);
        receive(&fs.path("outer"), &stream.finish());
        let fifos = [fs.path("outer/dir/fifo"), outside.path().join("fifo")];
        let ground = Self {
            fifos: fifos.iter().map(|path| listen(path)).collect(),
            fs,
            outside,
            disk: Disk::new(),
        };
        btrfs(["filesystem", "sync"], &[&ground.fs.root()]);
        ground
    }

    /// The target's filesystem.
    pub(crate) fn fs(&self) -> &LoopFs {
        &self.fs
    }

    /// The directory that restores go to.
    pub(crate) fn to(&self) -> PathBuf {
        self.fs.path("outer/dir")
    }

    /// What `restore` makes there.
    pub(crate) fn restored(&self) -> PathBuf {
        self.to().join("home")
    }

    /// Where scripts restore to.
    pub(crate) fn by_hand(&self) -> PathBuf {
        self.to().join("by-hand")
    }

    /// A canary file on another filesystem.
    pub(crate) fn canary(&self) -> PathBuf {
        self.outside.path().join("canary.txt")
    }

    /// The canary subvolume.
    pub(crate) fn subvolume(&self) -> PathBuf {
        self.fs.path("outer/canary")
    }

    pub(crate) fn aims(&self) -> Aims {
        let outside = self.outside.path().display().to_string();
        let root = self.fs.root().display().to_string();
        let directories: Vec<String> = vec![
            outside.clone(),
            format!("{outside}/canaries"),
            format!("{root}/outer/dir"),
            format!("{root}/outer/dir/canaries"),
            format!("{root}/canaries"),
            "/outer/dir".to_owned(),
            "/canaries".to_owned(),
        ];
        let names = ["canary.txt", "fifo", "not-there-yet"];
        let files = directories.iter();
        Aims {
            rdev: self.disk.rdev,
            files: files
                .flat_map(|directory| names.map(|name| format!("{directory}/{name}")))
                .collect(),
            directories,
        }
    }

    /// Looks at everything that nothing restored may touch.
    pub(crate) fn look(&self) -> Seen {
        let mut files = BTreeMap::new();
        let own = [self.restored(), self.by_hand()];
        see(&self.fs.root(), &own, &mut files);
        see(self.outside.path(), &own, &mut files);
        // What is made and removed in it changes its times.
        let to = self.to();
        let stat = fs::symlink_metadata(&to).unwrap();
        let facts = format!(
            "{:o} {}:{} {}",
            stat.mode(),
            stat.uid(),
            stat.gid(),
            stat.ino()
        );
        files.insert(to, facts);
        Seen {
            files,
            disk: self.disk.read(),
        }
    }

    /// What is not as it was.
    pub(crate) fn touched(&mut self, before: &Seen) -> Vec<String> {
        let after = self.look();
        let mut touched = Vec::new();
        if after.disk != before.disk {
            touched.push("disk".to_owned());
        }
        for path in before.files.keys().chain(after.files.keys()) {
            let (was, is) = (before.files.get(path), after.files.get(path));
            let (place, path) = match path.strip_prefix(self.outside.path()) {
                Ok(path) => ("elsewhere", path),
                Err(_) => ("beside", path.strip_prefix(self.fs.root()).unwrap()),
            };
            let what = match (was, is) {
                (None, Some(_)) => "made",
                (Some(_), None) => "gone",
                _ if was == is => continue,
                _ => "changed",
            };
            touched.push(format!("{what} {place}: {}", path.display()));
        }
        for fifo in &mut self.fifos {
            match fifo.read(&mut [0; 64]) {
                Ok(0) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                other => touched.push(format!("fifo: {other:?}")),
            }
        }
        for own in [self.restored(), self.by_hand()] {
            if has_secret(&own) {
                touched.push("read out".to_owned());
            }
        }
        touched.sort();
        touched.dedup();
        touched
    }

    /// Removes what was restored.
    pub(crate) fn clear(&self) {
        for own in [self.restored(), self.by_hand()] {
            delete(&own);
        }
    }

    /// An empty directory for scripts to restore to.
    pub(crate) fn make_by_hand(&self) {
        self.fs.subvolume("outer/dir/by-hand");
        let private = fs::Permissions::from_mode(0o700);
        fs::set_permissions(self.by_hand(), private).unwrap();
    }
}

/// A canary file, a directory with one in it, and a symlink.
fn plant(directory: &Path) {
    let inner = directory.join("canaries");
    fs::create_dir(&inner).unwrap();
    symlink("canaries", directory.join("link")).unwrap();
    for directory in [directory, &inner] {
        let content = [SECRET, directory.as_os_str().as_encoded_bytes()].concat();
        let mut content = content;
        content.resize(8192, b'.');
        fs::write(directory.join("canary.txt"), content).unwrap();
    }
}

/// Makes a fifo and holds its other end.
fn listen(path: &Path) -> File {
    run(Command::new("mkfifo").arg(path)).unwrap();
    OpenOptions::new()
        .read(true)
        .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
        .open(path)
        .unwrap()
}

/// Receives an honest stream.
pub(crate) fn receive(into: &Path, stream: &[u8]) {
    let mut child = Command::new("btrfs")
        .args(["receive", "-q", "-e"])
        .arg(into)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(stream).unwrap();
    assert!(child.wait().unwrap().success());
}

/// Everything about a tree, by path.
pub(crate) fn tree(path: &Path) -> BTreeMap<PathBuf, String> {
    let mut seen = BTreeMap::new();
    see(path, &[], &mut seen);
    seen
}

/// Describes a tree, a changed time of status included: whatever is done to a file changes that.
fn see(path: &Path, leave_out: &[PathBuf], seen: &mut BTreeMap<PathBuf, String>) {
    if leave_out.iter().any(|own| own == path) {
        return;
    }
    let stat = fs::symlink_metadata(path).unwrap();
    let mut facts = format!(
        "{:o} {}:{} {} {} {} {} {}.{} {}.{} ",
        stat.mode(),
        stat.uid(),
        stat.gid(),
        stat.ino(),
        stat.nlink(),
        stat.rdev(),
        stat.size(),
        stat.mtime(),
        stat.mtime_nsec(),
        stat.ctime(),
        stat.ctime_nsec(),
    );
    if stat.is_file() {
        facts += &blake3::hash(&fs::read(path).unwrap()).to_string();
    } else if stat.is_symlink() {
        facts += &fs::read_link(path).unwrap().to_string_lossy();
    }
    seen.insert(path.to_owned(), facts);
    if stat.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            see(&entry.unwrap().path(), leave_out, seen);
        }
    }
}

/// Whether a file below it begins as the canaries do. What can't be read is passed over.
fn has_secret(path: &Path) -> bool {
    let Ok(stat) = fs::symlink_metadata(path) else {
        return false;
    };
    if stat.is_dir() {
        let Ok(entries) = fs::read_dir(path) else {
            return false;
        };
        return entries.flatten().any(|entry| has_secret(&entry.path()));
    }
    stat.is_file() && {
        let mut first = [0; SECRET.len()];
        let read = File::open(path).and_then(|mut file| file.read_exact(&mut first));
        read.is_ok() && first == SECRET
    }
}

/// Deletes a tree with the subvolumes in it.
pub(crate) fn delete(path: &Path) {
    let Ok(stat) = fs::symlink_metadata(path) else {
        return;
    };
    if !stat.is_dir() {
        return fs::remove_file(path).unwrap();
    }
    // The root of a subvolume. One that is read-only holds no other.
    if stat.ino() == 256 && is_deleted(path) {
        return;
    }
    for entry in fs::read_dir(path).unwrap().flatten() {
        if entry.file_type().unwrap().is_dir() {
            delete(&entry.path());
        }
    }
    if stat.ino() != 256 || !is_deleted(path) {
        fs::remove_dir_all(path).unwrap();
    }
}

fn is_deleted(subvolume: &Path) -> bool {
    let words = ["subvolume", "delete"];
    run(Command::new("btrfs").args(words).arg(subvolume)).is_ok()
}

/// A block device with a pattern on it.
struct Disk {
    device: PathBuf,
    rdev: u64,
    _image: tempfile::TempDir,
}

impl Disk {
    fn new() -> Self {
        let directory = in_memory();
        let image = directory.path().join("disk");
        fs::write(&image, b"pattern.".repeat(DISK_BYTES / 8)).unwrap();
        let words = ["--find", "--show"];
        let made = run(Command::new("losetup").args(words).arg(&image)).unwrap();
        let device = PathBuf::from(String::from_utf8(made.stdout).unwrap().trim());
        Self {
            rdev: fs::metadata(&device).unwrap().rdev(),
            device,
            _image: directory,
        }
    }

    /// Its bytes, as they are on the device itself.
    fn read(&self) -> Vec<u8> {
        run(Command::new("blockdev")
            .arg("--flushbufs")
            .arg(&self.device))
        .unwrap();
        fs::read(&self.device).unwrap()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let detached = run(Command::new("losetup").arg("--detach").arg(&self.device));
        assert!(detached.is_ok() || std::thread::panicking(), "{detached:?}");
    }
}
