//! The list of what is extracted, checked and sorted for look-ups.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use crate::engine::files::extract::entries::ExtractEntry;
use crate::error::ExtractError;
use crate::model::file_node::ObjectId;

/// The longest name of a file on btrfs.
const LONGEST_NAME: usize = 255;

/// A list that makes a tree.
pub(super) struct EntryList<'a> {
    entries: &'a [ExtractEntry],
    /// Numbers of entries, those of one directory together, else in order.
    by_parent: Vec<u32>,
    /// Numbers of entries, those of one object together, else in order.
    by_object: Vec<u32>,
}

/// The directory that an entry is in, as a number that sorts.
fn above(entry: &ExtractEntry) -> u64 {
    entry.parent.map_or(0, |parent| u64::from(parent) + 1)
}

impl<'a> EntryList<'a> {
    /// Checks a list. Its names may be an attacker's.
    pub(super) fn of(entries: &'a [ExtractEntry]) -> Result<Self, ExtractError> {
        let refuse = |number: usize, what: &str| {
            let name = String::from_utf8_lossy(&entries[number].name);
            Err(ExtractError::NoTree(format!(
                "entry {number}, {name:?}, {what}"
            )))
        };
        let Ok(length) = u32::try_from(entries.len()) else {
            return Err(ExtractError::NoTree("they are too many".to_owned()));
        };
        for (number, entry) in entries.iter().enumerate() {
            let name = &*entry.name;
            let is_name = !matches!(name, b"" | b"." | b"..")
                && name.len() <= LONGEST_NAME
                && !name.iter().any(|byte| matches!(byte, b'/' | 0));
            if !is_name {
                return refuse(number, "has no name that a file can have");
            }
            match entry.parent.map(|parent| parent as usize) {
                Some(parent) if parent >= number => {
                    return refuse(number, "comes before its directory");
                }
                Some(parent) if entry.is_on_the_way && !entries[parent].is_on_the_way => {
                    return refuse(number, "is on the way, but its directory is wanted");
                }
                _ => {}
            }
        }
        let mut by_parent: Vec<u32> = (0..length).collect();
        let entry = |number: u32| &entries[number as usize];
        let key = |number: u32| (above(entry(number)), &entry(number).name);
        by_parent.sort_unstable_by(|one, other| key(*one).cmp(&key(*other)));
        let twice = by_parent.windows(2).find(|two| key(two[0]) == key(two[1]));
        if let Some(two) = twice {
            return refuse(two[1].max(two[0]) as usize, "is there twice");
        }
        by_parent.sort_unstable_by_key(|number| (above(entry(*number)), *number));
        let mut by_object: Vec<u32> = (0..length).collect();
        by_object.sort_unstable_by_key(|number| (entry(*number).object, *number));
        Ok(Self {
            entries,
            by_parent,
            by_object,
        })
    }

    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.entries.len()).expect("it was checked")
    }

    pub(super) fn entry(&self, number: u32) -> &'a ExtractEntry {
        &self.entries[number as usize]
    }

    pub(super) fn name(&self, number: u32) -> &'a OsStr {
        OsStr::from_bytes(&self.entry(number).name)
    }

    /// The entries in a directory; `None` for the target directory.
    pub(super) fn children(&self, parent: Option<u32>) -> &[u32] {
        let parent = parent.map_or(0, |parent| u64::from(parent) + 1);
        let above = |number: &u32| above(self.entry(*number));
        let begin = self.by_parent.partition_point(|it| above(it) < parent);
        let rest = &self.by_parent[begin..];
        &rest[..rest.partition_point(|it| above(it) == parent)]
    }

    /// The entries that name an object.
    pub(super) fn names_of(&self, object: ObjectId) -> &[u32] {
        let of = |number: &u32| self.entry(*number).object;
        let begin = self.by_object.partition_point(|it| of(it) < object);
        let rest = &self.by_object[begin..];
        &rest[..rest.partition_point(|it| of(it) == object)]
    }

    /// Whether an entry is wanted, and what it is in only on the way.
    pub(super) fn is_top(&self, number: u32) -> bool {
        let entry = self.entry(number);
        let is_below_way = |parent: u32| self.entry(parent).is_on_the_way;
        !entry.is_on_the_way && entry.parent.is_none_or(is_below_way)
    }

    /// The directories that an entry is in, the outermost first.
    pub(super) fn way_to(&self, number: u32) -> Vec<u32> {
        let mut way = Vec::new();
        let mut above = self.entry(number).parent;
        while let Some(directory) = above {
            way.push(directory);
            above = self.entry(directory).parent;
        }
        way.reverse();
        way
    }

    /// The path of an entry from the target directory on.
    pub(super) fn path(&self, number: u32) -> PathBuf {
        let mut path: PathBuf = self
            .way_to(number)
            .into_iter()
            .map(|directory| self.name(directory))
            .collect();
        path.push(self.name(number));
        path
    }

    /// A digest of the list.
    pub(super) fn digest(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for entry in self.entries {
            hasher.update(&above(entry).to_le_bytes());
            hasher.update(&entry.object.0.to_le_bytes());
            hasher.update(&[
                u8::from(entry.is_on_the_way),
                u8::try_from(entry.name.len()).expect("it was checked"),
            ]);
            hasher.update(&entry.name);
        }
        hasher.finalize().to_hex().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(parent: Option<u32>, name: &[u8], object: i64, is_on_the_way: bool) -> ExtractEntry {
        ExtractEntry {
            parent,
            name: name.into(),
            object: ObjectId(object),
            is_on_the_way,
        }
    }

    #[test]
    fn a_list_that_is_no_tree_is_refused() {
        let long = [b'n'; 256];
        for name in [&b""[..], b".", b"..", b"a/b", b"/", b"a\0", &long] {
            let list = [entry(None, name, 2, false)];
            assert!(EntryList::of(&list).is_err(), "{name:?}");
        }
        for list in [
            [entry(None, b"a", 2, false), entry(Some(1), b"b", 3, false)],
            [entry(None, b"a", 2, false), entry(Some(7), b"b", 3, false)],
            [entry(Some(0), b"a", 2, false), entry(None, b"b", 3, false)],
            [entry(None, b"a", 2, false), entry(None, b"a", 3, false)],
            [entry(None, b"a", 2, false), entry(Some(0), b"b", 3, true)],
        ] {
            assert!(EntryList::of(&list).is_err(), "{list:?}");
        }
        assert!(EntryList::of(&[]).is_ok());
    }

    #[test]
    fn look_ups_find_what_is_in_a_directory_and_what_names_an_object() {
        let list = [
            entry(None, b"d", 2, true),
            entry(Some(0), b"e", 3, true),
            entry(None, b"z", 9, false),
            entry(Some(1), b"f", 4, false),
            entry(Some(0), b"a", 9, false),
        ];
        let listed = EntryList::of(&list).unwrap();
        assert_eq!(listed.children(None), [0, 2]);
        assert_eq!(listed.children(Some(0)), [1, 4]);
        assert_eq!(listed.children(Some(3)), [0; 0]);
        assert_eq!(listed.names_of(ObjectId(9)), [2, 4]);
        assert_eq!(listed.names_of(ObjectId(5)), [0; 0]);
        assert_eq!(listed.path(3), PathBuf::from("d/e/f"));
        let tops: Vec<u32> = (0..5).filter(|number| listed.is_top(*number)).collect();
        assert_eq!(tops, [2, 3, 4]);
    }
}
