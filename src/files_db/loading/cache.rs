//! What a loading has in memory: objects and names that were read or changed. It is written all at once when it is too much.

use std::collections::{BTreeMap, HashMap};

use crate::model::file_node::{Changed, FileNode, ObjectId};

/// Bytes in memory, about, at which everything is written.
pub(super) const MOST_BYTES: usize = 64 << 20;

/// About what an object takes without its attributes and its target.
const OBJECT_BYTES: usize = 240;

/// About what a name takes without its bytes.
const NAME_BYTES: usize = 100;

/// About what a directory takes with the place for its first names: a tree has room for eleven.
const DIRECTORY_BYTES: usize = 640;

/// What a name in a directory names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KnownChild {
    /// The tables have to say.
    Unknown,
    /// This; `None` if nothing.
    Is(Option<ObjectId>),
}

/// Objects and names since the last writing.
#[derive(Debug, Default)]
pub(super) struct Cache {
    pub(super) objects: HashMap<ObjectId, CachedObject>,
    pub(super) directories: HashMap<ObjectId, CachedDirectory>,
    bytes: usize,
}

/// An object.
#[derive(Debug, Default)]
pub(super) struct CachedObject {
    /// What is known of it; `None` if only its names or its cost have changed.
    pub(super) node: Option<FileNode>,
    /// It is in no table yet.
    pub(super) is_new: bool,
    /// Whether it was set.
    pub(super) is_changed: bool,
    pub(super) changed: Changed,
    pub(super) cost: u64,
    /// Names added, less names removed.
    pub(super) names: i64,
}

/// Names in a directory.
#[derive(Debug, Default)]
pub(super) struct CachedDirectory {
    /// Whether these are all of its names: it is in no table yet.
    is_whole: bool,
    pub(super) names: BTreeMap<Box<[u8]>, CachedName>,
}

/// A name.
#[derive(Debug, Clone, Copy)]
pub(super) struct CachedName {
    /// What it names in the tables.
    pub(super) stored: Option<ObjectId>,
    /// What it names now.
    pub(super) now: Option<ObjectId>,
}

impl Cache {
    /// Adds the root directory of an empty subvolume.
    pub(super) fn add_root(&mut self) {
        let root = FileNode {
            mode: 0o040_755,
            uid: 0,
            gid: 0,
            rdev: 0,
            size: 0,
            mtime: 0,
            ctime: 0,
            inode: 256,
            target: None,
            xattrs: Vec::new(),
        };
        self.create(ObjectId::ROOT, &root);
        self.object(ObjectId::ROOT).names = 1;
    }

    /// Returns about how many bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns what a name names.
    pub(super) fn child(&self, directory: ObjectId, name: &[u8]) -> KnownChild {
        let Some(directory) = self.directories.get(&directory) else {
            return KnownChild::Unknown;
        };
        match directory.names.get(name) {
            Some(name) => KnownChild::Is(name.now),
            None if directory.is_whole => KnownChild::Is(None),
            None => KnownChild::Unknown,
        }
    }

    pub(super) fn know_child(
        &mut self,
        directory: ObjectId,
        name: &[u8],
        stored: Option<ObjectId>,
    ) {
        let known = CachedName {
            stored,
            now: stored,
        };
        self.bytes += NAME_BYTES + name.len();
        self.directory(directory).names.insert(name.into(), known);
    }

    pub(super) fn node(&self, object: ObjectId) -> Option<&FileNode> {
        self.objects.get(&object)?.node.as_ref()
    }

    pub(super) fn know_node(&mut self, object: ObjectId, node: &FileNode) {
        self.bytes += node_bytes(node);
        self.object(object).node = Some(node.clone());
    }

    pub(super) fn create(&mut self, object: ObjectId, node: &FileNode) {
        self.know_node(object, node);
        let cached = self.object(object);
        cached.is_new = true;
        cached.is_changed = true;
        cached.changed = Changed::MADE;
        if node.mode & 0o170_000 == 0o040_000 {
            self.directory(object).is_whole = true;
        }
    }

    pub(super) fn set(&mut self, object: ObjectId, node: &FileNode, changed: Changed) {
        self.bytes += node_bytes(node);
        let cached = self.object(object);
        cached.node = Some(node.clone());
        cached.is_changed = true;
        cached.changed = cached.changed.and(changed);
    }

    pub(super) fn cost(&mut self, object: ObjectId, bytes: u64) {
        let cached = self.object(object);
        cached.cost = cached.cost.saturating_add(bytes);
    }

    /// Gives an object a name, of which it is known what it names.
    pub(super) fn link(&mut self, directory: ObjectId, name: &[u8], object: ObjectId) {
        self.object(object).names += 1;
        self.bytes += NAME_BYTES + name.len();
        let names = &mut self.directory(directory).names;
        if let Some(known) = names.get_mut(name) {
            known.now = Some(object);
        } else {
            let new = CachedName {
                stored: None,
                now: Some(object),
            };
            names.insert(name.into(), new);
        }
    }

    /// Removes a name that is known.
    pub(super) fn unlink(&mut self, directory: ObjectId, name: &[u8], object: ObjectId) {
        self.object(object).names -= 1;
        let names = &mut self.directory(directory).names;
        match names.get_mut(name) {
            // Nothing is left of a name that is in no table: orphans have many.
            Some(known) if known.stored.is_none() => {
                names.remove(name);
                self.bytes = self.bytes.saturating_sub(NAME_BYTES + name.len());
            }
            Some(known) => known.now = None,
            None => {}
        }
    }

    /// Returns whether a directory is empty, if that is known.
    pub(super) fn is_empty(&self, directory: ObjectId) -> Option<bool> {
        let directory = self.directories.get(&directory)?;
        if directory.names.values().any(|name| name.now.is_some()) {
            return Some(false);
        }
        directory.is_whole.then_some(true)
    }

    fn directory(&mut self, directory: ObjectId) -> &mut CachedDirectory {
        self.directories.entry(directory).or_insert_with(|| {
            self.bytes += DIRECTORY_BYTES;
            CachedDirectory::default()
        })
    }

    fn object(&mut self, object: ObjectId) -> &mut CachedObject {
        self.objects.entry(object).or_insert_with(|| {
            self.bytes += OBJECT_BYTES;
            CachedObject::default()
        })
    }
}

fn node_bytes(node: &FileNode) -> usize {
    node.xattrs.len() + node.target.as_ref().map_or(0, Vec::len)
}
