//! The names of a tree: what each names in its directory.

use std::hash::{BuildHasher as _, RandomState};

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use crate::model::file_node::ObjectId;

/// What a name takes in memory, beside its bytes: its place in a table that is half full, and what the allocator adds.
const NAME_COST: u64 = 88;

/// Names in directories, each with what it names. A lookup allocates nothing.
#[derive(Debug)]
pub(super) struct DirectoryNames {
    table: HashTable<TreeName>,
    /// Its keys are random: names may be chosen by somebody else.
    hasher: RandomState,
}

/// A name that is known.
#[derive(Debug)]
pub(super) struct TreeName {
    pub(super) directory: ObjectId,
    pub(super) name: Box<[u8]>,
    pub(super) state: NameState,
}

/// What a name names, if anything, and whether the tree's file says the same. There may be millions: it is one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NameState(i64);

impl NameState {
    pub(super) fn new(object: Option<ObjectId>, is_written: bool) -> Self {
        Self(object.map_or(0, |object| object.0 << 1) | i64::from(is_written))
    }

    pub(super) fn object(self) -> Option<ObjectId> {
        let number = self.0 >> 1;
        (number != 0).then_some(ObjectId(number))
    }

    fn is_written(self) -> bool {
        self.0 & 1 == 1
    }
}

impl Default for DirectoryNames {
    fn default() -> Self {
        Self {
            table: HashTable::new(),
            hasher: RandomState::new(),
        }
    }
}

impl DirectoryNames {
    /// Returns about how many bytes of memory a name takes.
    pub(super) fn cost(name: &[u8]) -> u64 {
        name.len() as u64 + NAME_COST
    }

    /// Returns what is known of a name.
    pub(super) fn get(&self, directory: ObjectId, name: &[u8]) -> Option<NameState> {
        let hash = self.hasher.hash_one((directory, name));
        let found = self.table.find(hash, |it| it.is(directory, name));
        found.map(|it| it.state)
    }

    /// Sets what is known of a name, or removes it with `None`. Returns whether it was known.
    pub(super) fn set(
        &mut self,
        directory: ObjectId,
        name: &[u8],
        state: Option<NameState>,
    ) -> bool {
        let hash = self.hasher.hash_one((directory, name));
        let hasher = &self.hasher;
        let is_it = |it: &TreeName| it.is(directory, name);
        let rehash = |it: &TreeName| hasher.hash_one((it.directory, &*it.name));
        match (self.table.entry(hash, is_it, rehash), state) {
            (Entry::Occupied(mut found), Some(state)) => {
                found.get_mut().state = state;
                true
            }
            (Entry::Occupied(found), None) => {
                found.remove();
                true
            }
            (Entry::Vacant(vacant), Some(state)) => {
                let name = name.into();
                vacant.insert(TreeName {
                    directory,
                    name,
                    state,
                });
                false
            }
            (Entry::Vacant(_), None) => false,
        }
    }

    /// Returns all names in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &TreeName> {
        self.table.iter()
    }

    /// Returns the names of which the tree's file says something else, by directory and name.
    pub(super) fn unwritten(&self) -> Vec<&TreeName> {
        let names = self.table.iter();
        let mut unwritten: Vec<_> = names.filter(|it| !it.state.is_written()).collect();
        unwritten.sort_unstable_by_key(|it| (it.directory, &it.name));
        unwritten
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.table.clear();
    }
}

impl TreeName {
    fn is(&self, directory: ObjectId, name: &[u8]) -> bool {
        self.directory == directory && *self.name == *name
    }
}
