//! The symlinks that a stream has made so far, and where they are now.
//!
//! `btrfs receive` follows symlinks in the paths that it is given. A stream that makes one and
//! then names a path through it would reach whatever it points to, so the guard must know where
//! each one is after every rename and link.
//!
//! The paths to symlinks form a tree of names, so a lookup and the renaming of a whole directory
//! cost its depth, however many symlinks lie below. The nodes lie in a vector: a hostile stream
//! could nest directories deeper than a recursive drop has stack.

use std::collections::HashMap;

use super::refusal::Refusal;
use super::wire::Command;

/// Where the symlinks are.
#[derive(Debug)]
pub(super) struct Symlinks {
    nodes: Vec<Node>,
    free: Vec<usize>,
    /// How many were made. Names inodes, since hard links of one symlink count as one.
    made: u64,
}

#[derive(Debug, Default)]
struct Node {
    children: HashMap<Box<[u8]>, usize>,
    /// Which symlink is here; `None` for a directory on the way to one.
    symlink: Option<u64>,
}

const ROOT: usize = 0;

impl Default for Symlinks {
    fn default() -> Self {
        Self {
            nodes: vec![Node::default()],
            free: Vec::new(),
            made: 0,
        }
    }
}

impl Symlinks {
    /// Refuses a path of which a proper prefix is a symlink.
    pub(super) fn refuse_through(&self, path: &[u8]) -> Result<(), Refusal> {
        let mut node = ROOT;
        // Of a path `a/b/c`, `a` and `a/b` are looked at.
        for (slash, _) in path.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
            if self.nodes[node].children.is_empty() {
                return Ok(());
            }
            let start = path[..slash].iter().rposition(|byte| *byte == b'/');
            let name = &path[start.map_or(0, |start| start + 1)..slash];
            match self.nodes[node].children.get(name) {
                None => return Ok(()),
                Some(&child) if self.nodes[child].symlink.is_some() => {
                    return Err(Refusal::ThroughSymlink {
                        path: path.to_vec(),
                        symlink: path[..slash].to_vec(),
                    });
                }
                Some(&child) => node = child,
            }
        }
        Ok(())
    }

    /// Refuses a command on a path that is itself a symlink.
    pub(super) fn refuse_on(&self, command: Command, path: &[u8]) -> Result<(), Refusal> {
        match self.at(path) {
            Some(_) => Err(Refusal::OnSymlink {
                command,
                path: path.to_vec(),
            }),
            None => Ok(()),
        }
    }

    /// A new symlink at `path`, where there must be none.
    pub(super) fn make(&mut self, path: &[u8]) {
        self.made += 1;
        let node = self.walk_or_grow(path);
        self.nodes[node].symlink = Some(self.made);
    }

    /// A hard link at `path` to whatever is at `target`.
    pub(super) fn link(&mut self, path: &[u8], target: &[u8]) {
        if let Some(symlink) = self.at(target) {
            let node = self.walk_or_grow(path);
            self.nodes[node].symlink = Some(symlink);
        }
    }

    /// What is at `path` is removed: a symlink, or a directory that must be empty.
    pub(super) fn remove(&mut self, command: Command, path: &[u8]) -> Result<(), Refusal> {
        let Some(node) = self.walk(path) else {
            return Ok(());
        };
        if !self.nodes[node].children.is_empty() {
            return Err(Refusal::NotEmpty {
                command,
                path: path.to_vec(),
            });
        }
        self.detach(path);
        self.free.push(node);
        Ok(())
    }

    /// What is at `from` moves to `to`, with all that is below it.
    pub(super) fn rename(&mut self, from: &[u8], to: &[u8]) -> Result<(), Refusal> {
        if to
            .strip_prefix(from)
            .is_some_and(|rest| rest.starts_with(b"/"))
        {
            return Err(Refusal::RenamedIntoItself {
                path: from.to_vec(),
            });
        }
        // POSIX: renaming one hard link to another of the same file does nothing at all.
        if from == to || (self.at(from).is_some() && self.at(from) == self.at(to)) {
            return Ok(());
        }
        self.remove(Command::Rename, to)?;
        let Some(moved) = self.walk(from) else {
            return Ok(());
        };
        self.detach(from);
        let (parent, name) = split(to);
        let parent = self.walk_or_grow(parent);
        self.nodes[parent].children.insert(name.into(), moved);
        Ok(())
    }

    fn at(&self, path: &[u8]) -> Option<u64> {
        self.walk(path).and_then(|node| self.nodes[node].symlink)
    }

    fn walk(&self, path: &[u8]) -> Option<usize> {
        let mut node = ROOT;
        for name in names(path) {
            node = *self.nodes[node].children.get(name)?;
        }
        Some(node)
    }

    fn walk_or_grow(&mut self, path: &[u8]) -> usize {
        let mut node = ROOT;
        for name in names(path) {
            node = if let Some(&child) = self.nodes[node].children.get(name) {
                child
            } else {
                let child = self.new_node();
                self.nodes[node].children.insert(name.into(), child);
                child
            };
        }
        node
    }

    fn new_node(&mut self) -> usize {
        if let Some(node) = self.free.pop() {
            self.nodes[node] = Node::default();
            return node;
        }
        self.nodes.push(Node::default());
        self.nodes.len() - 1
    }

    /// Takes the entry `path` out, and the directories that then lead to no symlink.
    fn detach(&mut self, path: &[u8]) {
        let mut trail = Vec::new();
        let mut node = ROOT;
        for name in names(path) {
            trail.push((node, name));
            match self.nodes[node].children.get(name) {
                Some(&child) => node = child,
                None => return,
            }
        }
        while let Some((parent, name)) = trail.pop() {
            self.nodes[parent].children.remove(name);
            if parent == ROOT || !self.nodes[parent].children.is_empty() {
                return;
            }
            self.free.push(parent);
        }
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
#[path = "symlinks_tests.rs"]
mod tests;
