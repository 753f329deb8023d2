//! Which names are extracted.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};

use rustix::fs::FileType;

use super::entries::ExtractEntry;
use crate::engine::files::pieces::tree::{NameInTree, PiecesTree};
use crate::engine::files::questions::glob::Glob;
use crate::files_db::TreeFileError;
use crate::model::file_node::ObjectId;

/// What is extracted of an archive.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// The names; directories before what is in them.
    pub entries: Vec<ExtractEntry>,
    /// The regular files behind them, each once, by their ids.
    pub files: Vec<ObjectId>,
    /// Their bytes, with those of their holes.
    pub bytes: u64,
}

/// About what a name that is wanted takes in memory, with its place in all lists.
pub(super) const NAME_BYTES: u64 = 90;

/// About what a regular file takes besides: its place in the lists of files, and one piece.
const FILE_BYTES: u64 = 64;

/// About what a name takes that was found, and is not selected yet.
const FOUND_BYTES: u64 = 64;

/// All names of an archive, to find what is in a directory.
pub struct AllNames<'t> {
    tree: &'t PiecesTree,
    /// By directory and name, if they are in memory.
    names: Option<Vec<NameInTree<'t>>>,
    /// The most bytes of memory that what is found or selected may take.
    room: u64,
}

/// Why names can't be selected.
#[derive(Debug, thiserror::Error)]
pub enum SelectError {
    /// They take too much memory.
    #[error("they take more than {0} bytes of memory")]
    TooMany(u64),
    /// The tree can't be read.
    #[error(transparent)]
    Tree(#[from] TreeFileError),
}

/// A name in a directory, and what it names.
type Child<'t> = (Cow<'t, [u8]>, ObjectId);

impl<'t> AllNames<'t> {
    /// Sorts the names of a tree. What is found or selected may take so many bytes of memory.
    pub fn within(tree: &'t PiecesTree, room: u64) -> Self {
        Self {
            tree,
            names: tree.names_in_memory(),
            room,
        }
    }

    /// Returns whether a path is there; an empty one is the root.
    pub fn has(&self, path: &[u8]) -> Result<bool, TreeFileError> {
        Ok(self.tree.resolve(path)?.is_some())
    }

    /// Returns what is in a directory, by the bytes of the names. So many bytes of memory are taken already.
    fn children(&self, directory: ObjectId, taken: u64) -> Result<Vec<Child<'t>>, SelectError> {
        let most = self.room.saturating_sub(taken) / FOUND_BYTES;
        let Some(names) = &self.names else {
            let names = self.tree.names_on_disk(directory, most.saturating_add(1))?;
            if names.len() as u64 > most {
                return Err(SelectError::TooMany(self.room));
            }
            let names = names.into_iter();
            let names = names.map(|(name, object)| (Cow::Owned(name), object));
            return Ok(names.collect());
        };
        let begin = names.partition_point(|(it, _, _)| *it < directory);
        let end = names.partition_point(|(it, _, _)| *it <= directory);
        let names = &names[begin..end];
        if names.len() as u64 > most {
            return Err(SelectError::TooMany(self.room));
        }
        let names = names.iter();
        let names = names.map(|(_, name, object)| (Cow::Borrowed(*name), *object));
        Ok(names.collect())
    }

    /// Returns the paths that a pattern matches, and of those none that is below another one.
    pub fn matching(&self, pattern: &[u8]) -> Result<Vec<Vec<u8>>, SelectError> {
        let glob = Glob::new(pattern);
        let mut found = Vec::new();
        let mut left = vec![(ObjectId::ROOT, Vec::new())];
        // What both lists have ever had, which is more than they have at a time.
        let mut taken = 0;
        while let Some((directory, above)) = left.pop() {
            for (name, object) in self.children(directory, taken)? {
                let path = joined(&above, &name);
                let bytes = FOUND_BYTES + path.len() as u64;
                if glob.matches(&path) {
                    found.push(path);
                } else if self.tree.kind_of(object)? == FileType::Directory {
                    left.push((object, path));
                } else {
                    continue;
                }
                taken += bytes;
                if taken > self.room {
                    return Err(SelectError::TooMany(self.room));
                }
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    /// Selects these paths, which the tree must have, each with all that is below it, in the directories that lead to them.
    /// The root alone means all that is in it.
    pub fn select(&self, paths: &[Vec<u8>]) -> Result<Selection, SelectError> {
        let mut selecting = Selecting::new(self);
        let wanted: BTreeSet<&[u8]> = paths.iter().map(Vec::as_slice).collect();
        let mut last: Option<&[u8]> = None;
        // The directories on the way to the last path, each with its number.
        let mut way: Vec<(&[u8], u32)> = Vec::new();
        for path in wanted {
            // A path that is below another one comes after it.
            if last.is_some_and(|last| is_below(path, last)) {
                continue;
            }
            last = Some(path);
            if path.is_empty() {
                for (name, object) in self.children(ObjectId::ROOT, 0)? {
                    selecting.add_tree(None, name, object)?;
                }
                break;
            }
            way.retain(|(directory, _)| is_below(path, directory));
            let (mut begin, mut parent) = way.last().map_or((0, None), |(directory, number)| {
                (directory.len() + 1, Some(*number))
            });
            while let Some(slash) = path[begin..].iter().position(|byte| *byte == b'/') {
                let directory = &path[..begin + slash];
                let Some(object) = self.tree.resolve(directory)? else {
                    return Ok(selecting.selection);
                };
                let name = &path[begin..begin + slash];
                let number = selecting.add(parent, name.into(), object, true)?;
                way.push((directory, number));
                (begin, parent) = (begin + slash + 1, Some(number));
            }
            if let Some(object) = self.tree.resolve(path)? {
                selecting.add_tree(parent, Cow::Borrowed(&path[begin..]), object)?;
            }
        }
        Ok(selecting.finish())
    }

    /// Selects what a path names, which the tree must have, under another name and without the directories that lead to it.
    pub fn select_as(&self, path: &[u8], name: &[u8]) -> Result<Selection, SelectError> {
        let mut selecting = Selecting::new(self);
        if let Some(object) = self.tree.resolve(path)? {
            selecting.add_tree(None, Cow::Borrowed(name), object)?;
        }
        Ok(selecting.finish())
    }
}

struct Selecting<'n, 't> {
    names: &'n AllNames<'t>,
    selection: Selection,
    /// Files that were met and have more names than one.
    seen: HashSet<ObjectId>,
    /// About how many bytes it takes.
    taken: u64,
}

impl<'n, 't> Selecting<'n, 't> {
    fn new(names: &'n AllNames<'t>) -> Self {
        Self {
            names,
            selection: Selection::default(),
            seen: HashSet::new(),
            taken: 0,
        }
    }

    fn add(
        &mut self,
        parent: Option<u32>,
        name: Box<[u8]>,
        object: ObjectId,
        on_the_way: bool,
    ) -> Result<u32, SelectError> {
        self.take(NAME_BYTES + name.len() as u64)?;
        let number = u32::try_from(self.selection.entries.len()).expect("memory has no more");
        self.selection.entries.push(ExtractEntry {
            parent,
            name,
            object,
            is_on_the_way: on_the_way,
        });
        Ok(number)
    }

    fn take(&mut self, bytes: u64) -> Result<(), SelectError> {
        self.taken += bytes;
        if self.taken > self.names.room {
            return Err(SelectError::TooMany(self.names.room));
        }
        Ok(())
    }

    /// Adds an entry, and all that is below it.
    fn add_tree<'c>(
        &mut self,
        parent: Option<u32>,
        name: Cow<'c, [u8]>,
        object: ObjectId,
    ) -> Result<(), SelectError>
    where
        't: 'c,
    {
        let tree = self.names.tree;
        // The names that are left in each directory on the way, and its number.
        let mut left = vec![(parent, vec![(name, object)].into_iter())];
        while let Some((parent, names)) = left.last_mut() {
            let parent = *parent;
            let next = names.next();
            if names.len() == 0 {
                left.pop();
            }
            let Some((name, object)) = next else {
                continue;
            };
            let number = self.add(parent, name.into_owned().into(), object, false)?;
            let (kind, size, has_other_names) = tree.facts_of(object)?;
            match kind {
                FileType::Directory => {
                    let children = self.names.children(object, self.taken)?;
                    // Each is counted when its turn comes.
                    left.push((Some(number), children.into_iter()));
                }
                FileType::RegularFile if !has_other_names || self.seen.insert(object) => {
                    self.take(FILE_BYTES)?;
                    // Sizes in hostile contents may add up to anything.
                    self.selection.bytes = self.selection.bytes.saturating_add(size);
                    self.selection.files.push(object);
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Selection {
        self.selection.files.sort_unstable();
        self.selection
    }
}

impl Selection {
    /// Returns the path of an entry, from the target directory on.
    pub fn path(&self, entry: u32) -> Vec<u8> {
        let mut names = Vec::new();
        let mut next = Some(entry);
        while let Some(number) = next {
            let entry = &self.entries[number as usize];
            names.push(&entry.name[..]);
            next = entry.parent;
        }
        names.reverse();
        names.join(&b'/')
    }
}

fn joined(above: &[u8], name: &[u8]) -> Vec<u8> {
    if above.is_empty() {
        name.to_vec()
    } else {
        [above, b"/", name].concat()
    }
}

/// Returns whether a path is below another one.
fn is_below(path: &[u8], above: &[u8]) -> bool {
    above.is_empty()
        || path
            .strip_prefix(above)
            .is_some_and(|rest| rest.starts_with(b"/"))
}
