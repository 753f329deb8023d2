//! A tree of files in memory: what a replay makes of streams, to compare with.

use std::collections::BTreeMap;
use std::convert::Infallible;

use coldchain::engine::FileTree;
use coldchain::model::file_node::{Changed, FileNode, ObjectId};

/// An object of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryObject {
    pub node: FileNode,
    /// How many names it has.
    pub names: u64,
    /// What the stream since [`MemoryTree::next_stream`] changed of it.
    pub changed: Changed,
    /// Bytes of that stream about it.
    pub cost: u64,
}

/// The objects and the names.
#[derive(Debug, Clone)]
pub struct MemoryTree {
    pub objects: BTreeMap<ObjectId, MemoryObject>,
    pub names: BTreeMap<(ObjectId, Vec<u8>), ObjectId>,
    /// The cost of all objects, also of those that are gone.
    pub cost: u64,
    /// How often it was asked for something.
    pub calls: u64,
    newest: i64,
}

impl Default for MemoryTree {
    fn default() -> Self {
        let root = MemoryObject {
            node: FileNode {
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
            },
            names: 1,
            changed: Changed::default(),
            cost: 0,
        };
        Self {
            objects: BTreeMap::from([(ObjectId::ROOT, root)]),
            names: BTreeMap::new(),
            cost: 0,
            calls: 0,
            newest: 1,
        }
    }
}

impl MemoryTree {
    /// Forgets what the last stream changed and cost.
    pub fn next_stream(&mut self) {
        for object in self.objects.values_mut() {
            object.changed = Changed::default();
            object.cost = 0;
        }
        self.cost = 0;
    }

    /// Every path with its object; the root's is empty.
    pub fn paths(&self) -> BTreeMap<Vec<u8>, ObjectId> {
        let mut paths = BTreeMap::from([(Vec::new(), ObjectId::ROOT)]);
        let mut left = vec![(Vec::new(), ObjectId::ROOT)];
        while let Some((path, directory)) = left.pop() {
            let names = self.names.range((directory, Vec::new())..);
            for ((_, name), object) in names.take_while(|((parent, _), _)| *parent == directory) {
                let mut below = path.clone();
                if !below.is_empty() {
                    below.push(b'/');
                }
                below.extend(name);
                left.push((below.clone(), *object));
                let taken = paths.insert(below, *object);
                assert_eq!(taken, None, "two objects have one path");
            }
        }
        paths
    }

    fn object(&mut self, object: ObjectId) -> &mut MemoryObject {
        self.calls += 1;
        self.objects
            .get_mut(&object)
            .expect("an object that is asked for has a name")
    }
}

impl FileTree for MemoryTree {
    type Error = Infallible;

    fn child(&mut self, directory: ObjectId, name: &[u8]) -> Result<Option<ObjectId>, Infallible> {
        self.object(directory);
        Ok(self.names.get(&(directory, name.to_vec())).copied())
    }

    fn node(&mut self, object: ObjectId) -> Result<FileNode, Infallible> {
        Ok(self.object(object).node.clone())
    }

    fn create(&mut self, node: &FileNode) -> Result<ObjectId, Infallible> {
        self.calls += 1;
        self.newest += 1;
        let object = MemoryObject {
            node: node.clone(),
            names: 0,
            changed: Changed::MADE,
            cost: 0,
        };
        self.objects.insert(ObjectId(self.newest), object);
        Ok(ObjectId(self.newest))
    }

    fn set(
        &mut self,
        object: ObjectId,
        node: &FileNode,
        changed: Changed,
    ) -> Result<(), Infallible> {
        let object = self.object(object);
        object.node = node.clone();
        object.changed = object.changed.and(changed);
        Ok(())
    }

    fn cost(&mut self, object: ObjectId, bytes: u64) -> Result<(), Infallible> {
        self.object(object).cost += bytes;
        self.cost += bytes;
        Ok(())
    }

    fn link(
        &mut self,
        directory: ObjectId,
        name: &[u8],
        object: ObjectId,
    ) -> Result<(), Infallible> {
        self.object(directory);
        self.object(object).names += 1;
        let taken = self.names.insert((directory, name.to_vec()), object);
        assert_eq!(taken, None, "a name is linked that is taken");
        Ok(())
    }

    fn unlink(&mut self, directory: ObjectId, name: &[u8]) -> Result<(), Infallible> {
        let gone = self.names.remove(&(directory, name.to_vec()));
        let gone = gone.expect("a name that is unlinked is there");
        let object = self.object(gone);
        object.names -= 1;
        if object.names == 0 {
            assert!(self.is_empty(gone).unwrap(), "a full directory is gone");
            self.objects.remove(&gone);
        }
        Ok(())
    }

    fn is_empty(&mut self, directory: ObjectId) -> Result<bool, Infallible> {
        self.object(directory);
        let mut names = self.names.range((directory, Vec::new())..);
        Ok(names
            .next()
            .is_none_or(|((parent, _), _)| *parent != directory))
    }
}
