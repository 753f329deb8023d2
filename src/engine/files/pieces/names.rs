//! The names of a tree: what each names in its directory.

use std::hash::{BuildHasher as _, RandomState};

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use crate::model::file_node::ObjectId;

/// What a name takes in memory, beside its bytes.
const NAME_COST: u64 = 64;

/// Names in directories, each with a value. A lookup allocates nothing.
#[derive(Debug)]
pub(super) struct DirectoryNames<V> {
    table: HashTable<TreeName<V>>,
    /// Its keys are random: names may be chosen by somebody else.
    hasher: RandomState,
}

#[derive(Debug)]
struct TreeName<V> {
    directory: ObjectId,
    name: Box<[u8]>,
    value: V,
}

impl<V> Default for DirectoryNames<V> {
    fn default() -> Self {
        Self {
            table: HashTable::new(),
            hasher: RandomState::new(),
        }
    }
}

impl<V: Copy> DirectoryNames<V> {
    /// Returns about how many bytes of memory a name takes.
    pub(super) fn cost(name: &[u8]) -> u64 {
        name.len() as u64 + NAME_COST
    }

    /// Returns the value of a name.
    pub(super) fn get(&self, directory: ObjectId, name: &[u8]) -> Option<V> {
        let hash = self.hasher.hash_one((directory, name));
        let found = self.table.find(hash, |it| it.is(directory, name));
        found.map(|it| it.value)
    }

    /// Sets the value of a name, or removes it with `None`, and returns the value that it had.
    pub(super) fn set(&mut self, directory: ObjectId, name: &[u8], value: Option<V>) -> Option<V> {
        let hash = self.hasher.hash_one((directory, name));
        let hasher = &self.hasher;
        let is_it = |it: &TreeName<V>| it.is(directory, name);
        let rehash = |it: &TreeName<V>| hasher.hash_one((it.directory, &*it.name));
        match (self.table.entry(hash, is_it, rehash), value) {
            (Entry::Occupied(mut found), Some(value)) => {
                Some(std::mem::replace(&mut found.get_mut().value, value))
            }
            (Entry::Occupied(found), None) => Some(found.remove().0.value),
            (Entry::Vacant(vacant), Some(value)) => {
                let name = name.into();
                vacant.insert(TreeName {
                    directory,
                    name,
                    value,
                });
                None
            }
            (Entry::Vacant(_), None) => None,
        }
    }

    /// Returns all names in no order: the directory, the name and the value.
    pub(super) fn iter(&self) -> impl Iterator<Item = (ObjectId, &[u8], V)> {
        let names = self.table.iter();
        names.map(|it| (it.directory, &*it.name, it.value))
    }
}

impl<V> TreeName<V> {
    fn is(&self, directory: ObjectId, name: &[u8]) -> bool {
        self.directory == directory && *self.name == *name
    }
}
