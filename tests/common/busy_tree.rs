//! A subvolume in which much happens: all that a send stream can tell of, in random order.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{
    FileExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, lchown, symlink,
};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FallocateFlags, FileType, Mode, OFlags, RenameFlags, Timespec, Timestamps,
    XattrFlags,
};

use super::clone_range::clone_range;
use super::dedupe::dedupe;
use super::rng::Rng;

/// A block of btrfs.
const BLOCK: u64 = 4096;

/// After so many operations, the tree is looked through anew. Between, some paths are out of date, and operations on them
/// fail.
const LOOK: u64 = 8;

/// Cuts a path at its last slash.
fn parent(path: &Path) -> &Path {
    path.parent().unwrap()
}

/// The tree and what is known of it.
pub struct BusyTree<'a> {
    root: &'a Path,
    rng: Rng,
    made: u64,
    files: Vec<PathBuf>,
    directories: Vec<PathBuf>,
    /// All that is neither.
    others: Vec<PathBuf>,
}

impl<'a> BusyTree<'a> {
    pub fn new(root: &'a Path, rng: Rng) -> Self {
        Self {
            root,
            rng,
            made: 0,
            files: Vec::new(),
            directories: Vec::new(),
            others: Vec::new(),
        }
    }

    /// Does so many random operations.
    pub fn work(&mut self, operations: u64) {
        for operation in 0..operations {
            if operation % LOOK == 0 {
                self.look();
            }
            // Many can't be done: a name is taken, or a range is beyond the end.
            let _ = self.step();
        }
    }

    fn look(&mut self) {
        self.files.clear();
        self.others.clear();
        self.directories = vec![self.root.to_owned()];
        let mut at = 0;
        while at < self.directories.len() {
            for entry in fs::read_dir(&self.directories[at]).unwrap() {
                let entry = entry.unwrap();
                let kind = entry.file_type().unwrap();
                let list = if kind.is_dir() {
                    &mut self.directories
                } else if kind.is_file() {
                    &mut self.files
                } else {
                    &mut self.others
                };
                list.push(entry.path());
            }
            at += 1;
        }
        // The order in which a directory lists its names is not the same in two runs.
        self.files.sort();
        self.directories.sort();
        self.others.sort();
    }

    fn directory(&mut self) -> PathBuf {
        self.rng.pick(&self.directories).clone()
    }

    fn file(&mut self) -> io::Result<PathBuf> {
        if self.files.is_empty() {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(self.rng.pick(&self.files).clone())
    }

    fn any(&mut self) -> PathBuf {
        let lists = [&self.files, &self.directories, &self.others];
        let list = lists[usize::try_from(self.rng.below(3)).unwrap()];
        if list.is_empty() {
            return self.root.to_owned();
        }
        self.rng.pick(list).clone()
    }

    fn name(&mut self) -> OsString {
        self.made += 1;
        let prefix = *self.rng.pick(&[
            &b"n"[..],
            b"o257-6-",
            b"\xff\xfe",
            b"a b",
            b"new\nline",
            "ümlaut".as_bytes(),
            b"-dash",
            b"q\"uote'",
        ]);
        let unique = if self.rng.below(10) < 7 { self.made } else { 0 };
        let mut name = prefix.to_vec();
        name.extend(format!("{}_{unique}", self.rng.below(40)).as_bytes());
        if self.rng.below(60) == 0 {
            name.resize(255, b'x');
        }
        OsString::from_vec(name)
    }

    fn place(&mut self) -> PathBuf {
        let directory = self.directory();
        directory.join(self.name())
    }

    fn content(&mut self, length: usize) -> Vec<u8> {
        match self.rng.below(5) {
            0 | 1 => self.rng.bytes(length),
            2 | 3 => self.rng.text(length),
            _ => vec![0; length],
        }
    }

    fn open(path: &Path) -> io::Result<(File, u64)> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let size = file.metadata()?.len();
        Ok((file, size))
    }

    /// Writes a file, also in place of another. Fails at once if the name is a fifo's by now: nothing ever reads that.
    fn create(path: &Path, content: &[u8]) -> io::Result<File> {
        let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .custom_flags(nonblocking)
            .open(path)?;
        file.write_all(content)?;
        Ok(file)
    }

    fn step(&mut self) -> io::Result<()> {
        match self.rng.below(12) {
            0..=2 => self.make(),
            3..=5 => self.change_data(),
            6 => self.share(),
            7 | 8 => self.rename(),
            9 => self.link_or_remove(),
            10 => self.change_attributes(),
            _ => self.replace(),
        }
    }

    fn make(&mut self) -> io::Result<()> {
        let place = self.place();
        match self.rng.below(12) {
            0..=5 => {
                let lengths = [
                    0, 1, 100, 2047, 2049, 4096, 5000, 49_152, 49_153, 131_072, 300_001,
                ];
                let length = *self.rng.pick(&lengths);
                let content = self.content(length);
                Self::create(&place, &content).map(drop)
            }
            6 => {
                let length = self.rng.length(0, 2048);
                let content = self.content(length);
                Self::create(&place, &content).map(drop)
            }
            7 => fs::create_dir(place),
            8 => {
                let deep: PathBuf = (0..self.rng.length(2, 9)).map(|_| self.name()).collect();
                fs::create_dir_all(self.directory().join(deep))
            }
            9 => {
                let target: Vec<u8> = self.rng.bytes(30);
                let target: Vec<u8> = target.into_iter().map(|byte| byte.max(1)).collect();
                symlink(OsStr::from_bytes(&target), place)
            }
            10 => {
                let kinds = [
                    (FileType::Fifo, 0),
                    (FileType::Socket, 0),
                    (FileType::CharacterDevice, 0),
                    (FileType::CharacterDevice, rustix::fs::makedev(300, 70_000)),
                    (FileType::BlockDevice, rustix::fs::makedev(7, 77)),
                ];
                let (kind, device) = *self.rng.pick(&kinds);
                let mode = Mode::from_raw_mode(0o640);
                Ok(rustix::fs::mknodat(CWD, place, kind, mode, device)?)
            }
            _ => {
                let file = Self::create(&place, b"")?;
                file.write_all_at(b"end", self.rng.below(5_000_000))
            }
        }
    }

    fn change_data(&mut self) -> io::Result<()> {
        let (file, size) = Self::open(&self.file()?)?;
        let fallocate =
            |mode, offset, length| Ok(rustix::fs::fallocate(file.as_fd(), mode, offset, length)?);
        let keep = FallocateFlags::KEEP_SIZE;
        let inside = self.rng.below(size + 1);
        match self.rng.below(9) {
            0 | 1 => {
                let length = *self.rng.pick(&[1, 4096, 70_000]);
                file.write_all_at(&self.content(length), inside)
            }
            2 => {
                let gap = *self.rng.pick(&[0, 0, 1, 5000, 400_000]);
                let length = *self.rng.pick(&[1, 100, 9000]);
                file.write_all_at(&self.content(length), size + gap)
            }
            3 => file.set_len(inside),
            4 => {
                file.set_len(inside)?;
                file.set_len(self.rng.below(size + 100_000))
            }
            5 => {
                let length = *self.rng.pick(&[100, BLOCK, 70_000, size + 1]);
                fallocate(FallocateFlags::PUNCH_HOLE | keep, inside, length)
            }
            6 => {
                let mode = *self.rng.pick(&[FallocateFlags::empty(), keep]);
                let length = *self.rng.pick(&[BLOCK, 200_000]);
                fallocate(mode, self.rng.below(size + 2 * BLOCK), length)
            }
            7 => {
                let mode = *self.rng.pick(&[FallocateFlags::empty(), keep]);
                let length = *self.rng.pick(&[BLOCK, 60_000]);
                fallocate(FallocateFlags::ZERO_RANGE | mode, inside, length)
            }
            _ => file.sync_all(),
        }
    }

    /// Lets files share extents.
    fn share(&mut self) -> io::Result<()> {
        let from = self.file()?;
        let to = if self.rng.below(4) == 0 {
            from.clone()
        } else {
            self.file()?
        };
        let (from_file, from_size) = Self::open(&from)?;
        let start = self.rng.below(from_size / BLOCK + 1) * BLOCK;
        match self.rng.below(5) {
            0 => {
                let copy = Self::create(&self.place(), b"")?;
                Ok(rustix::fs::ioctl_ficlone(&copy, &from_file)?)
            }
            // Up to the end of the source, which need not be at a block's end.
            1 => {
                let (file, size) = Self::open(&to)?;
                let end = size.div_ceil(BLOCK) * BLOCK;
                clone_range(&from_file, start..from_size, &file, end)
            }
            2 | 3 => {
                let (file, size) = Self::open(&to)?;
                let length = (1 + self.rng.below(11)) * BLOCK;
                let length = length.min((from_size - start) / BLOCK * BLOCK);
                let offset = self.rng.below(size / BLOCK + 3) * BLOCK;
                clone_range(&from_file, start..start + length, &file, offset)
            }
            _ => {
                let blocks = *self.rng.pick(&[3, 40]);
                let content = self.content(blocks * 4096);
                let places = [self.place(), self.place()];
                // A fifo, also behind a link, would wait for a reader.
                if places
                    .iter()
                    .any(|it| fs::metadata(it).is_ok_and(|it| !it.is_file()))
                {
                    return Ok(());
                }
                for place in &places {
                    Self::create(place, &content)?.sync_all()?;
                }
                // These can't be inline. Both names may be of one file.
                let [one, other] = places.each_ref().map(fs::metadata);
                if one?.ino() != other?.ino() {
                    dedupe(&places[1], &places[0]);
                }
                Ok(())
            }
        }
    }

    fn rename(&mut self) -> io::Result<()> {
        let place = self.place();
        let with = |from: &Path, to: &Path, flags| {
            Ok(rustix::fs::renameat_with(CWD, from, CWD, to, flags)?)
        };
        match self.rng.below(8) {
            0 => fs::rename(self.file()?, place),
            1 => fs::rename(self.any(), place),
            2 => fs::rename(self.directory(), place),
            3 => {
                let (one, other) = (self.any(), self.any());
                with(&one, &other, RenameFlags::EXCHANGE)
            }
            4 => with(&self.file()?, &place, RenameFlags::WHITEOUT),
            // In a circle.
            5 => {
                let paths = [self.any(), self.any(), self.any()];
                let aside = self.place();
                fs::rename(&paths[0], &aside)?;
                let turned = fs::rename(&paths[1], &paths[0])
                    .and_then(|()| fs::rename(&paths[2], &paths[1]));
                fs::rename(&aside, if turned.is_ok() { &paths[2] } else { &place })
            }
            // Of `a/b`, `b` becomes the upper one.
            6 => {
                let below = self.directory();
                let above = parent(&below).to_owned();
                if below == self.root || above == self.root {
                    return Ok(());
                }
                let fresh = parent(&above).join(self.name());
                fs::rename(&below, &fresh)?;
                fs::rename(&above, fresh.join(above.file_name().unwrap()))
            }
            _ => fs::rename(self.file()?, self.file()?),
        }
    }

    fn link_or_remove(&mut self) -> io::Result<()> {
        match self.rng.below(6) {
            0 | 1 => {
                let file = if self.rng.below(4) == 0 {
                    self.any()
                } else {
                    self.file()?
                };
                let links = *self.rng.pick(&[1, 1, 1, 5, 60]);
                (0..links).try_for_each(|_| fs::hard_link(&file, self.place()))
            }
            2 | 3 => fs::remove_file(self.file()?),
            4 => fs::remove_file(self.any()),
            _ => {
                let directory = self.directory();
                if directory == self.root || self.directories.len() < 7 {
                    return Ok(());
                }
                fs::remove_dir_all(directory)
            }
        }
    }

    fn change_attributes(&mut self) -> io::Result<()> {
        let path = self.any();
        let set = |name: &str, value: &[u8]| {
            Ok(rustix::fs::lsetxattr(
                &path,
                name,
                value,
                XattrFlags::empty(),
            )?)
        };
        let id = u32::try_from(self.rng.below(2000)).unwrap();
        match self.rng.below(9) {
            0 => {
                let length = *self.rng.pick(&[0, 1, 40, 3000]);
                let name = format!("user.t{}", self.rng.below(3));
                set(&name, &self.rng.bytes(length))
            }
            1 => set("trusted.of_anything", &self.rng.bytes(4)),
            2 => {
                let name = format!("user.t{}", self.rng.below(3));
                Ok(rustix::fs::lremovexattr(&path, name)?)
            }
            // cap_net_raw+ep, which a change of owner removes.
            3 => set(
                "security.capability",
                &[
                    1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                ],
            ),
            4 => {
                // user::rwx, user:1234:r-x, group::r-x, mask::rwx, other::r-x
                let entries = [(1, 7, u32::MAX), (2, 5, 1234), (4, 5, u32::MAX)];
                let entries = entries
                    .into_iter()
                    .chain([(0x10, 7, u32::MAX), (0x20, 5, u32::MAX)]);
                let mut acl = 2_u32.to_le_bytes().to_vec();
                for (tag, permissions, id) in entries {
                    let [tag, permissions]: [u16; 2] = [tag, permissions];
                    acl.extend([tag.to_le_bytes(), permissions.to_le_bytes()].concat());
                    acl.extend(id.to_le_bytes());
                }
                let kinds = ["system.posix_acl_default", "system.posix_acl_access"];
                let kind = *self.rng.pick::<&str>(&kinds);
                set(kind, &acl)
            }
            // A setuid bit that outlives the change of owner is set again after it.
            5 => {
                lchown(&path, Some(id), Some(id))?;
                fs::set_permissions(&path, Permissions::from_mode(0o4755))
            }
            6 => lchown(&path, Some(id), Some(id / 2)),
            7 => {
                let mode = *self.rng.pick(&[0o600, 0o644, 0o2755, 0o1777, 0]);
                if path.is_symlink() {
                    return Ok(());
                }
                fs::set_permissions(&path, Permissions::from_mode(mode))
            }
            _ => {
                let seconds = *self
                    .rng
                    .pick(&[-5_000_000_000, -1, 0, 86_400, 20_000_000_000]);
                let time = Timespec {
                    tv_sec: seconds,
                    tv_nsec: i64::from(id),
                };
                let times = Timestamps {
                    last_access: time,
                    last_modification: time,
                };
                let flags = AtFlags::SYMLINK_NOFOLLOW;
                Ok(rustix::fs::utimensat(CWD, &path, &times, flags)?)
            }
        }
    }

    /// Gives something else the name of what is there.
    fn replace(&mut self) -> io::Result<()> {
        let path = self.any();
        if path == self.root {
            return Ok(());
        }
        match self.rng.below(3) {
            0 => fs::rename(&path, parent(&path).join(self.name()))?,
            1 => fs::rename(&path, self.place())?,
            _ if path.is_dir() && !path.is_symlink() => fs::remove_dir_all(&path)?,
            _ => fs::remove_file(&path)?,
        }
        match self.rng.below(3) {
            0 => fs::create_dir(&path),
            1 => Self::create(&path, &self.content(3000)).map(drop),
            _ => symlink("elsewhere", &path),
        }
    }
}
