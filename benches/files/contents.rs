//! Contents of a made-up tree: what the kernel's sender would say of it, without the data.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

#[path = "../../tests/common/stream_builder.rs"]
mod stream_builder;

use stream_builder::{CTRANSID, OWN, PARENT, attr};

/// One path in so many is a directory.
const DIRECTORIES: u64 = 12;

/// Directories in a directory.
const WIDTH: u64 = 8;

/// Of a hundred changes, so many are new files, and as many deletions.
const MADE: u64 = 10;

/// A tree that nothing is remembered of: all of it follows from numbers.
pub(crate) struct MadeUpTree {
    /// Paths of the first full.
    pub(crate) files: u64,
}

/// Command numbers of a send stream.
mod number {
    pub(super) const SUBVOL: u16 = 1;
    pub(super) const SNAPSHOT: u16 = 2;
    pub(super) const MKFILE: u16 = 3;
    pub(super) const MKDIR: u16 = 4;
    pub(super) const RENAME: u16 = 9;
    pub(super) const UNLINK: u16 = 11;
    pub(super) const WRITE: u16 = 15;
    pub(super) const CHMOD: u16 = 18;
    pub(super) const CHOWN: u16 = 19;
    pub(super) const UTIMES: u16 = 20;
    pub(super) const END: u16 = 21;
}

impl MadeUpTree {
    /// Writes the contents of a full of a date.
    pub(crate) fn full(&self, path: &Path, date: u64) {
        let mut out = Commands::begin(path);
        out.command(
            number::SUBVOL,
            &[
                (attr::PATH, b"2026-01-01"),
                (attr::UUID, &OWN),
                (attr::CTRANSID, &CTRANSID.to_le_bytes()),
            ],
        );
        out.attributes(b"", 0o755, 0, 0);
        for directory in 0..self.directories() {
            make_directory(&mut out, directory);
        }
        for file in self.directories()..self.files {
            if self.deleted_at(file).is_none_or(|deleted| date < deleted) {
                self.make_file(&mut out, file, self.changed_until(file, date));
            }
        }
        for at in 1..=date {
            for file in self.made_at(at) {
                self.make_file(&mut out, file, 0);
            }
        }
        out.end();
    }

    /// Writes the contents of an incremental of a date, on the date before.
    pub(crate) fn incremental(&self, path: &Path, date: u64) {
        let mut out = Commands::begin(path);
        out.command(
            number::SNAPSHOT,
            &[
                (attr::PATH, b"2026-01-01"),
                (attr::UUID, &OWN),
                (attr::CTRANSID, &CTRANSID.to_le_bytes()),
                (attr::CLONE_UUID, &PARENT),
                (attr::CLONE_CTRANSID, &4000_u64.to_le_bytes()),
            ],
        );
        let changed = self.changed();
        // The sender goes by inode numbers, and says last what became of directories.
        let mut touched = Vec::new();
        let first = self.directories() + self.group() * (date - 1);
        for file in first..self.files.min(first + self.group()) {
            if self.deleted_at(file) == Some(date) {
                out.command(number::UNLINK, &[(attr::PATH, &self.file_path(file))]);
                touched.push(self.directory_of(file));
            }
        }
        for at in 0..changed {
            let file = self.changed_at(date, at);
            let path = self.file_path(file);
            out.write(&path, size(file));
            out.utimes(&path, file + date);
        }
        for file in self.made_at(date) {
            self.make_file(&mut out, file, 0);
            touched.push(self.directory_of(file));
        }
        touched.sort_unstable();
        touched.dedup();
        for directory in touched {
            out.utimes(&directory_path(directory), directory + date);
        }
        out.end();
    }

    fn directories(&self) -> u64 {
        self.files / DIRECTORIES
    }

    /// Returns how many files one date changes.
    fn changed(&self) -> u64 {
        self.files / 100 * (100 - 2 * MADE) / 100
    }

    fn made_at(&self, date: u64) -> std::ops::Range<u64> {
        let made = self.files / 100 * MADE / 100;
        let first = self.files + made * (date - 1);
        first..first + made
    }

    /// Each date deletes files out of a group of its own.
    fn group(&self) -> u64 {
        self.files / 100
    }

    /// Returns the date that deletes a file of the first full.
    fn deleted_at(&self, file: u64) -> Option<u64> {
        let at = file - self.directories();
        let is_deleted = at.is_multiple_of(100 / MADE) && file < self.files;
        is_deleted.then(|| at / self.group() + 1)
    }

    /// Returns the file that a change of a date is about: of the later half of the tree, each at one date.
    fn changed_at(&self, date: u64, at: u64) -> u64 {
        let half = (self.files - self.directories()) / 2;
        let step = half / self.changed();
        let file = self.directories() + half + at * step + date % step;
        file.min(self.files - 1)
    }

    /// Returns the last date up to this one that changed a file; 0 if none did.
    fn changed_until(&self, file: u64, date: u64) -> u64 {
        let half = (self.files - self.directories()) / 2;
        let step = half / self.changed();
        let at = file.checked_sub(self.directories() + half);
        let at = at.filter(|at| at / step < self.changed());
        let by = at.and_then(|at| (1..=date).rev().find(|date| date % step == at % step));
        by.unwrap_or(0)
    }

    fn make_file(&self, out: &mut Commands, file: u64, changed: u64) {
        let path = self.file_path(file);
        out.make(number::MKFILE, &path, file);
        out.write(&path, size(file));
        let mode = [0o644, 0o600, 0o755, 0o640][chosen(file, 4)];
        out.attributes(&path, mode, file % 3 * 500, file + changed);
    }

    fn directory_of(&self, file: u64) -> u64 {
        mixed(file / 11) % self.directories()
    }

    fn file_path(&self, file: u64) -> Vec<u8> {
        let mut path = directory_path(self.directory_of(file));
        let word = ["lib", "test_", "README-", "img", "report of ", "main"][chosen(file >> 3, 6)];
        let end = ["c", "py", "jpg", "h", "txt", "so", "md", "json"][chosen(!file, 8)];
        write!(path, "/{word}{:x}.{end}", mixed(file) >> 32 ^ file).unwrap();
        path
    }
}

fn make_directory(out: &mut Commands, directory: u64) {
    let path = directory_path(directory);
    out.make(number::MKDIR, &path, directory);
    out.attributes(&path, 0o755, 0, directory);
}

fn directory_path(directory: u64) -> Vec<u8> {
    let mut path = if directory < WIDTH {
        Vec::new()
    } else {
        let mut above = directory_path(directory / WIDTH - 1);
        above.push(b'/');
        above
    };
    let name = mixed(directory) & 0xff_ffff;
    write!(path, "dir-{name:x}-{directory}").unwrap();
    path
}

/// Returns the bytes of a file: no more than a command of a stream can carry.
fn size(file: u64) -> u64 {
    100 + mixed(file) % 40_000
}

/// Chooses one of so many by a number.
fn chosen(by: u64, of: u64) -> usize {
    usize::try_from(mixed(by) % of).unwrap()
}

/// Spreads a number over all bits.
fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ mixed >> 31).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed ^ mixed >> 29
}

/// Writes commands into a file.
struct Commands {
    out: BufWriter<File>,
    payload: Vec<u8>,
}

impl Commands {
    fn begin(path: &Path) -> Self {
        let mut out = BufWriter::with_capacity(1 << 20, File::create(path).unwrap());
        out.write_all(b"btrfs-stream\0\x01\0\0\0").unwrap();
        Self {
            out,
            payload: Vec::new(),
        }
    }

    fn command(&mut self, number: u16, attributes: &[(u16, &[u8])]) {
        self.payload.clear();
        for (number, value) in attributes {
            self.payload.extend(number.to_le_bytes());
            let length = u16::try_from(value.len()).unwrap();
            self.payload.extend(length.to_le_bytes());
            self.payload.extend(*value);
        }
        self.payload(number, 0);
    }

    /// Writes a command whose data is left out.
    fn payload(&mut self, number: u16, data: u16) {
        let length = u32::try_from(self.payload.len()).unwrap() + u32::from(data);
        self.out.write_all(&length.to_le_bytes()).unwrap();
        self.out.write_all(&number.to_le_bytes()).unwrap();
        self.out.write_all(&[0; 4]).unwrap();
        self.out.write_all(&self.payload).unwrap();
    }

    /// Makes an object as the sender does: under a name of the moment.
    fn make(&mut self, number: u16, path: &[u8], inode: u64) {
        let inode = inode + 257;
        let orphan = format!("o{inode}-7-0");
        self.command(
            number,
            &[
                (attr::PATH, orphan.as_bytes()),
                (attr::INO, &inode.to_le_bytes()),
            ],
        );
        self.command(
            number::RENAME,
            &[(attr::PATH, orphan.as_bytes()), (attr::PATH_TO, path)],
        );
    }

    fn write(&mut self, path: &[u8], data: u64) {
        let data = u16::try_from(data).unwrap();
        self.payload.clear();
        for (number, value) in [(attr::PATH, path), (attr::FILE_OFFSET, &[0; 8])] {
            self.payload.extend(number.to_le_bytes());
            let length = u16::try_from(value.len()).unwrap();
            self.payload.extend(length.to_le_bytes());
            self.payload.extend(value);
        }
        self.payload.extend(attr::DATA.to_le_bytes());
        self.payload.extend(data.to_le_bytes());
        self.payload(number::WRITE, data);
    }

    fn attributes(&mut self, path: &[u8], mode: u64, owner: u64, moment: u64) {
        let owner = owner.to_le_bytes();
        self.command(
            number::CHOWN,
            &[(attr::PATH, path), (attr::UID, &owner), (attr::GID, &owner)],
        );
        self.command(
            number::CHMOD,
            &[(attr::PATH, path), (attr::MODE, &mode.to_le_bytes())],
        );
        self.utimes(path, moment);
    }

    fn utimes(&mut self, path: &[u8], moment: u64) {
        let mut time = (1_600_000_000 + moment * 31 % 100_000_000)
            .to_le_bytes()
            .to_vec();
        let fraction = u32::try_from(mixed(moment) % 1_000_000_000).unwrap();
        time.extend(fraction.to_le_bytes());
        self.command(
            number::UTIMES,
            &[
                (attr::PATH, path),
                (attr::ATIME, &time),
                (attr::MTIME, &time),
                (attr::CTIME, &time),
            ],
        );
    }

    fn end(mut self) {
        self.payload.clear();
        self.payload(number::END, 0);
        self.out.flush().unwrap();
    }
}
