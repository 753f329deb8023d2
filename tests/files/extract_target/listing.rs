//! Lists of what is to be extracted, by hand or of a real tree, with data in any order.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;

use coldchain::engine::{ExtractEntry, ExtractOptions, ExtractTarget, Extracted, ExtractedNode};
use coldchain::error::Error;
use coldchain::interrupt::Interrupt;
use coldchain::model::file_node::ObjectId;
use rustix::fs::SeekFrom;

use crate::common::rng::Rng;

/// As much is written at once.
const PIECE: u64 = 64 << 10;

/// What is extracted, and its data.
#[derive(Default, Clone)]
pub(crate) struct Listing {
    pub(crate) entries: Vec<ExtractEntry>,
    pub(crate) nodes: BTreeMap<ObjectId, ExtractedNode>,
    pub(crate) data: Vec<(ObjectId, u64, Vec<u8>)>,
}

/// A node of that kind and mode, of this user.
pub(crate) fn node(mode: u32) -> ExtractedNode {
    ExtractedNode {
        mode,
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        rdev: 0,
        size: 0,
        atime: 1_700_000_000_123_456_789,
        mtime: 1_600_000_000_987_654_321,
        target: None,
        xattrs: Vec::new(),
    }
}

impl Listing {
    /// Adds a name and what it is, and returns its number.
    pub(crate) fn add(
        &mut self,
        parent: Option<u32>,
        name: impl AsRef<[u8]>,
        node: ExtractedNode,
    ) -> u32 {
        let object = ObjectId(i64::try_from(self.nodes.len()).unwrap() + 256);
        self.nodes.insert(object, node);
        self.name(parent, name, object)
    }

    /// Adds a name of an object.
    pub(crate) fn name(
        &mut self,
        parent: Option<u32>,
        name: impl AsRef<[u8]>,
        object: ObjectId,
    ) -> u32 {
        self.entries.push(ExtractEntry {
            parent,
            name: name.as_ref().into(),
            object,
            is_on_the_way: false,
        });
        u32::try_from(self.entries.len() - 1).unwrap()
    }

    pub(crate) fn directory(&mut self, parent: Option<u32>, name: impl AsRef<[u8]>) -> u32 {
        self.add(parent, name, node(0o40755))
    }

    pub(crate) fn on_the_way(&mut self, parent: Option<u32>, name: impl AsRef<[u8]>) -> u32 {
        let number = self.directory(parent, name);
        self.entries[number as usize].is_on_the_way = true;
        number
    }

    pub(crate) fn file(
        &mut self,
        parent: Option<u32>,
        name: impl AsRef<[u8]>,
        content: &[u8],
    ) -> u32 {
        let mut file = node(0o100_644);
        file.size = content.len() as u64;
        let number = self.add(parent, name, file);
        self.data.push((self.object(number), 0, content.to_owned()));
        number
    }

    pub(crate) fn object(&self, number: u32) -> ObjectId {
        self.entries[number as usize].object
    }

    pub(crate) fn node(&mut self, number: u32) -> &mut ExtractedNode {
        let object = self.object(number);
        self.nodes.get_mut(&object).unwrap()
    }

    /// A directory with all that is in it.
    pub(crate) fn of(tree: &Path) -> Self {
        let mut listing = Self::default();
        let mut objects = BTreeMap::new();
        let mut left = vec![(tree.to_owned(), None)];
        while let Some((path, parent)) = left.pop() {
            let stat = path.symlink_metadata().unwrap();
            let name = path.file_name().unwrap().as_bytes();
            if let Some(object) = objects.get(&stat.ino()) {
                listing.name(parent, name, *object);
                continue;
            }
            let target = stat.is_symlink().then(|| {
                let target = fs::read_link(&path).unwrap();
                target.as_os_str().as_bytes().to_owned()
            });
            let time = |seconds: i64, nanoseconds: i64| {
                i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds)
            };
            let number = listing.add(
                parent,
                name,
                ExtractedNode {
                    mode: stat.mode(),
                    uid: stat.uid(),
                    gid: stat.gid(),
                    rdev: stat.rdev(),
                    size: if stat.is_file() { stat.size() } else { 0 },
                    atime: time(stat.atime(), stat.atime_nsec()),
                    mtime: time(stat.mtime(), stat.mtime_nsec()),
                    target,
                    xattrs: xattrs(&path),
                },
            );
            let object = listing.object(number);
            if stat.is_dir() {
                for entry in fs::read_dir(&path).unwrap() {
                    left.push((entry.unwrap().path(), Some(number)));
                }
            } else {
                objects.insert(stat.ino(), object);
            }
            if stat.is_file() {
                listing.read(&path, object);
            }
        }
        listing
    }

    fn read(&mut self, path: &Path, object: ObjectId) {
        let file = File::open(path).unwrap();
        let mut at = 0;
        while let Ok(begin) = rustix::fs::seek(&file, SeekFrom::Data(at)) {
            let end = rustix::fs::seek(&file, SeekFrom::Hole(begin)).unwrap();
            at = begin;
            while at < end {
                let length = (end - at).min(PIECE);
                let mut piece = vec![0; usize::try_from(length).unwrap()];
                file.read_exact_at(&mut piece, at).unwrap();
                self.data.push((object, at, piece));
                at += length;
            }
        }
    }

    /// Puts the data in a random order.
    pub(crate) fn shuffle(&mut self, rng: &mut Rng) {
        for at in (1..self.data.len()).rev() {
            let other = usize::try_from(rng.below(at as u64 + 1)).unwrap();
            self.data.swap(at, other);
        }
    }

    #[allow(clippy::unnecessary_wraps, reason = "the engine asks for it")]
    pub(crate) fn look_up(&self, object: ObjectId) -> Result<ExtractedNode, Error> {
        Ok(self.nodes[&object].clone())
    }

    /// Extracts it, devices too.
    pub(crate) fn extract(&self, to: &Path) -> Result<Extracted, Error> {
        self.extract_unless(to, &Interrupt::new())
    }

    pub(crate) fn extract_unless(
        &self,
        to: &Path,
        interrupt: &Interrupt,
    ) -> Result<Extracted, Error> {
        let mut target = self.open(to, interrupt)?;
        let node = |object| self.look_up(object);
        target.make(&node)?;
        let done = usize::try_from(target.frames_done()).unwrap();
        for (object, offset, bytes) in &self.data[done..] {
            target.write(*object, *offset, bytes)?;
        }
        target.reached(self.data.len() as u64)?;
        target.finish(&node)
    }

    pub(crate) fn open<'a>(
        &'a self,
        to: &Path,
        interrupt: &'a Interrupt,
    ) -> Result<ExtractTarget<'a>, Error> {
        let options = ExtractOptions { devices: true };
        ExtractTarget::open(to, "0123456789abcdef", &self.entries, options, interrupt)
    }
}

fn xattrs(path: &Path) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut names = vec![0; 64 << 10];
    let length = rustix::fs::llistxattr(path, &mut names[..]).unwrap();
    names[..length]
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
        .map(|name| {
            let mut value = vec![0; 64 << 10];
            let length = rustix::fs::lgetxattr(path, name, &mut value[..]).unwrap();
            (name.to_owned(), value[..length].to_owned())
        })
        .collect()
}
