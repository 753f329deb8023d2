//! A compact and bounded tree of names: some paths of a subvolume, each with a value.
//!
//! The cost of a lookup, and of moving a whole directory, grows with the path's depth, not with the number of
//! paths below it. A hostile stream chooses the names and the shape, so the hash has a random key, nothing
//! recurses, and the tree has limits.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;

use super::name::Name;

/// Paths and their values. A node's number is valid until the node is removed.
#[derive(Debug)]
pub(super) struct NameTree<T> {
    nodes: Vec<Node<T>>,
    /// The first free node. The `parent` of a free node is the next one; [`ROOT`] ends the list.
    free: u32,
    /// Finds a node by its parent and its name.
    index: HashTable<u32>,
    hasher: RandomState,
    name_bytes: usize,
    limits: Limits,
}

/// The limits on the size of a tree.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// The most nodes, directories that lead to a value included.
    pub(super) nodes: usize,
    /// The most bytes of names.
    pub(super) name_bytes: usize,
}

#[derive(Debug)]
struct Node<T> {
    name: Name,
    parent: u32,
    /// How many nodes have this one as their parent.
    children: u32,
    /// `None` for a directory above a node with a value.
    value: Option<T>,
}

/// The tree's root, which always exists.
pub(super) const ROOT: u32 = 0;

/// The tree has reached a limit, and must not be used any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full;

impl<T: Copy> NameTree<T> {
    /// Returns a tree without paths.
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            nodes: vec![Node {
                name: Name::default(),
                parent: ROOT,
                children: 0,
                value: None,
            }],
            free: ROOT,
            index: HashTable::new(),
            hasher: RandomState::new(),
            name_bytes: 0,
            limits,
        }
    }

    /// Returns the node at a path.
    pub(super) fn find(&self, path: &[u8]) -> Option<u32> {
        names(path).try_fold(ROOT, |node, name| self.child(node, name))
    }

    /// Returns the node with this name in a directory.
    pub(super) fn child(&self, parent: u32, name: &[u8]) -> Option<u32> {
        if !self.has_children(parent) {
            return None;
        }
        let found = self
            .index
            .find(self.hash(parent, name), |&node| self.is(node, parent, name));
        found.copied()
    }

    /// Returns whether a node has others below it.
    pub(super) fn has_children(&self, node: u32) -> bool {
        self.node(node).children > 0
    }

    /// Returns the value of a node.
    pub(super) fn value(&self, node: u32) -> Option<T> {
        self.node(node).value
    }

    /// Gives a path a value.
    pub(super) fn insert(&mut self, path: &[u8], value: T) -> Result<(), Full> {
        let node = self.grow(path)?;
        self.node_mut(node).value = Some(value);
        Ok(())
    }

    /// Removes a node with no others below it, and the directories above it that are then empty.
    pub(super) fn remove(&mut self, node: u32) {
        let parent = self.detach(node);
        self.release(node);
        self.prune(parent);
    }

    /// Moves a node, with all that is below it, to a path that must not exist.
    pub(super) fn rename(&mut self, node: u32, to: &[u8]) -> Result<(), Full> {
        let parent = self.detach(node);
        self.prune(parent);
        let (directory, name) = split(to);
        let parent = self.grow(directory)?;
        self.attach(node, parent, name)
    }

    /// Returns the node at a path. Makes it and the directories above it if they are missing.
    fn grow(&mut self, path: &[u8]) -> Result<u32, Full> {
        let mut node = ROOT;
        for name in names(path) {
            node = if let Some(child) = self.child(node, name) {
                child
            } else {
                let child = self.new_node()?;
                self.attach(child, node, name)?;
                child
            };
        }
        Ok(node)
    }

    fn new_node(&mut self) -> Result<u32, Full> {
        if self.free != ROOT {
            let node = self.free;
            self.free = self.node(node).parent;
            return Ok(node);
        }
        if self.nodes.len() > self.limits.nodes {
            return Err(Full);
        }
        let node = u32::try_from(self.nodes.len()).map_err(|_| Full)?;
        self.nodes.push(Node {
            name: Name::default(),
            parent: ROOT,
            children: 0,
            value: None,
        });
        Ok(node)
    }

    fn attach(&mut self, node: u32, parent: u32, name: &[u8]) -> Result<(), Full> {
        if self.name_bytes + name.len() > self.limits.name_bytes {
            return Err(Full);
        }
        self.name_bytes += name.len();
        let entry = self.node_mut(node);
        entry.name = Name::from(name);
        entry.parent = parent;
        self.node_mut(parent).children += 1;
        let hash = self.hash(parent, name);
        let (nodes, hasher) = (&self.nodes, &self.hasher);
        self.index.insert_unique(hash, node, |&node| {
            let node = &nodes[node as usize];
            hasher.hash_one((node.parent, node.name.bytes()))
        });
        Ok(())
    }

    /// Takes a node out of its directory, and returns the directory.
    fn detach(&mut self, node: u32) -> u32 {
        let entry = self.node(node);
        let parent = entry.parent;
        let hash = self.hash(parent, entry.name.bytes());
        self.name_bytes -= entry.name.bytes().len();
        if let Ok(found) = self.index.find_entry(hash, |&other| other == node) {
            found.remove();
        }
        self.node_mut(parent).children -= 1;
        parent
    }

    /// Removes an empty directory, and those above it that are then empty.
    fn prune(&mut self, mut node: u32) {
        while node != ROOT && !self.has_children(node) && self.value(node).is_none() {
            let parent = self.detach(node);
            self.release(node);
            node = parent;
        }
    }

    fn release(&mut self, node: u32) {
        let next = self.free;
        *self.node_mut(node) = Node {
            name: Name::default(),
            parent: next,
            children: 0,
            value: None,
        };
        self.free = node;
    }

    fn hash(&self, parent: u32, name: &[u8]) -> u64 {
        self.hasher.hash_one((parent, name))
    }

    fn is(&self, node: u32, parent: u32, name: &[u8]) -> bool {
        let node = self.node(node);
        node.parent == parent && node.name.bytes() == name
    }

    fn node(&self, node: u32) -> &Node<T> {
        &self.nodes[node as usize]
    }

    fn node_mut(&mut self, node: u32) -> &mut Node<T> {
        &mut self.nodes[node as usize]
    }
}

fn names(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|&byte| byte == b'/')
        .filter(|name| !name.is_empty())
}

fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&byte| byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}

#[cfg(test)]
#[path = "name_tree_tests.rs"]
mod tests;
