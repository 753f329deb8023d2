//! Which inode of the send parent a path means, while the stream moves names about.
//!
//! What the stream has not touched is looked up in the send parent: an inode keeps its number from there to the snapshot.
//! Only what it moved is remembered, the directories that it made, and those that were looked up. Files that it made are known by their inode, because
//! their data follows at once.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;

use rustix::fs::{AtFlags, FileType, statat};
use rustix::io::Errno;

use super::fault::ParallelFault;
use super::open_snapshot::OpenSnapshot;
use crate::btrfs::stream::{Attribute, Command};
use crate::btrfs::sys::trees;

/// How many bytes the names may take that are remembered.
const MOST_BYTES: usize = 64 << 20;

/// What a name takes beside its bytes.
const BESIDE_NAME: usize = 112;

/// The number of a node; the root has the first.
type Node = usize;
const ROOT: Node = 0;

/// The names that the stream moved.
#[derive(Debug)]
pub(super) struct MovedNames {
    parent: OpenSnapshot,
    nodes: Vec<NodeFacts>,
    /// `None` for a name that is no longer there.
    names: HashMap<(Node, Box<[u8]>), Option<Node>>,
    bytes: usize,
    /// The file that was looked up last: its data comes in several commands.
    last: Option<LookedUp>,
}

/// A file that was looked up. Unless it is moved, its node goes again.
#[derive(Debug)]
struct LookedUp {
    name: (Node, Box<[u8]>),
    node: Node,
}

/// What a node is.
#[derive(Debug, Clone, Copy)]
struct NodeFacts {
    inode: u64,
    /// Whether the send parent has it, and so what is in it unless that was moved.
    is_old: bool,
}

impl MovedNames {
    pub(super) fn new(parent: OpenSnapshot) -> Self {
        Self {
            parent,
            nodes: vec![NodeFacts {
                inode: trees::ROOT_INODE,
                is_old: true,
            }],
            names: HashMap::new(),
            bytes: 0,
            last: None,
        }
    }

    pub(super) fn parent(&self) -> &OpenSnapshot {
        &self.parent
    }

    /// Returns the inode of the send parent that a path means; `None` if the send parent has none there.
    pub(super) fn inode(&mut self, path: &[u8]) -> Result<Option<u64>, ParallelFault> {
        let found = self.find(path)?.map(|node| self.nodes[node]);
        Ok(found.filter(|node| node.is_old).map(|node| node.inode))
    }

    /// Follows a command. `value` returns one of its attributes.
    pub(super) fn follow<'p>(
        &mut self,
        command: Command,
        value: impl Fn(Attribute) -> Option<&'p [u8]>,
    ) -> Result<(), ParallelFault> {
        let path = value(Attribute::Path).unwrap_or_default();
        match command {
            Command::Mkdir => {
                let made = self.add(NodeFacts {
                    inode: 0,
                    is_old: false,
                });
                self.put(path, Some(made))
            }
            Command::Rename => {
                let to = value(Attribute::PathTo).unwrap_or_default();
                let moved = self.find(path)?;
                self.keep_last();
                if moved.is_some() {
                    self.put(path, None)?;
                }
                self.replace(to, moved)
            }
            Command::Link => {
                let from = value(Attribute::PathLink).unwrap_or_default();
                let linked = self.find(from)?;
                self.keep_last();
                self.replace(path, linked)
            }
            Command::Unlink | Command::Rmdir => self.replace(path, None),
            _ => Ok(()),
        }
    }

    /// Puts a node at a path. Where there is none, only what was remembered of the path is forgotten: the send parent is not
    /// asked for a path that the stream has taken.
    fn replace(&mut self, path: &[u8], node: Option<Node>) -> Result<(), ParallelFault> {
        if node.is_some() {
            return self.put(path, node);
        }
        let (directory, name) = split(path);
        if let Some(directory) = self.find(directory)?
            && let Some(there) = self.names.get_mut(&(directory, Box::from(name)))
        {
            *there = None;
        }
        Ok(())
    }

    fn put(&mut self, path: &[u8], node: Option<Node>) -> Result<(), ParallelFault> {
        let (directory, name) = split(path);
        let directory = self.find(directory)?.ok_or(ParallelFault::Unexpected(
            "it names something in a directory that is not there",
        ))?;
        self.bytes += name.len() + BESIDE_NAME;
        self.names.insert((directory, Box::from(name)), node);
        self.require_room()
    }

    /// Keeps the file that was looked up last: the stream moves it.
    fn keep_last(&mut self) {
        self.last = None;
    }

    /// Forgets it.
    fn drop_last(&mut self) {
        // Nothing else has its number, and another one may have come after it.
        if let Some(last) = self.last.take()
            && last.node + 1 == self.nodes.len()
        {
            self.nodes.pop();
        }
    }

    fn add(&mut self, facts: NodeFacts) -> Node {
        self.nodes.push(facts);
        self.nodes.len() - 1
    }

    fn require_room(&self) -> Result<(), ParallelFault> {
        if self.bytes <= MOST_BYTES {
            return Ok(());
        }
        Err(ParallelFault::Unexpected(
            "it moves more names than can be remembered; set `sender = \"kernel\"`",
        ))
    }

    fn find(&mut self, path: &[u8]) -> Result<Option<Node>, ParallelFault> {
        let mut node = ROOT;
        for name in path
            .split(|byte| *byte == b'/')
            .filter(|name| !name.is_empty())
        {
            match self
                .child(node, name)
                .map_err(|source| ParallelFault::LookUp {
                    path: PathBuf::from(OsString::from_vec(path.to_vec())),
                    source,
                })? {
                Some(child) => node = child,
                None => return Ok(None),
            }
        }
        self.require_room()?;
        Ok(Some(node))
    }

    fn child(&mut self, node: Node, name: &[u8]) -> io::Result<Option<Node>> {
        let key = (node, Box::from(name));
        if let Some(known) = self.names.get(&key) {
            return Ok(*known);
        }
        if let Some(last) = &self.last
            && last.name == key
        {
            return Ok(Some(last.node));
        }
        let facts = self.nodes[node];
        if !facts.is_old {
            return Ok(None);
        }
        let directory = trees::open_number(&self.parent.root, self.parent.id, facts.inode)?;
        let stat = match statat(
            &directory,
            OsStr::from_bytes(name),
            AtFlags::SYMLINK_NOFOLLOW,
        ) {
            Ok(stat) => stat,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        };
        self.drop_last();
        let child = self.add(NodeFacts {
            inode: stat.st_ino,
            is_old: true,
        });
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            self.names.insert(key, Some(child));
            self.bytes += name.len() + BESIDE_NAME;
        } else {
            self.last = Some(LookedUp {
                name: key,
                node: child,
            });
        }
        Ok(Some(child))
    }
}

/// Returns the directory and the last name of a path.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (b"", path),
    }
}
