//! What a tree holds is the same in memory and in a file, wherever it changes from one to the other.

use std::path::PathBuf;

use rustix::fs::FileType;

use super::file_data::FilePieces;
use super::inode::{RareFacts, TreeInode, Xattrs};
use super::piece::{DataPiece, PieceSource, WriteRun};
use super::places::TreeFilePlaces;
use super::store::TreeStore;
use crate::files_db::NameBefore;
use crate::model::file_node::ObjectId;

/// Steps of a history, and how often all is compared.
const STEPS: u64 = 900;
const COMPARED: u64 = 300;

/// Names of each directory.
const NAMES: u64 = 12;

struct Random(u64);

impl Random {
    fn below(&mut self, below: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % below
    }
}

/// One change of a store.
#[derive(Debug, Clone)]
enum Step {
    Add(TreeInode),
    Name(ObjectId, Vec<u8>, Option<ObjectId>),
    Put(ObjectId, DataPiece),
    Cut(ObjectId, u64, u64),
    Owner(ObjectId, u32),
    Xattrs(ObjectId, Xattrs),
    KeepName(ObjectId, Vec<u8>, Option<ObjectId>),
    KeepData(ObjectId),
    NextStream,
}

impl Step {
    fn random(random: &mut Random, inodes: u64) -> Self {
        let mut object = || ObjectId(i64::try_from(1 + random.below(inodes)).unwrap());
        let (one, other) = (object(), object());
        let name = format!("name {}", random.below(NAMES)).into_bytes();
        let named = (random.below(3) > 0).then_some(other);
        match random.below(40) {
            0..8 => {
                let special = (random.below(3) == 0).then(|| {
                    Box::new(RareFacts {
                        rdev: random.below(2) * 0x0501,
                        target: (random.below(2) == 0).then(|| name.clone()),
                    })
                });
                Self::Add(TreeInode::new(0o100_600, special))
            }
            8..16 => Self::Name(one, name, named),
            16..22 => {
                let bytes = 1 + random.below(100);
                let run = WriteRun {
                    archive: 3,
                    at: random.below(1 << 40),
                    chunk: u32::try_from(bytes).unwrap(),
                    gap: 0,
                    phase: 0,
                };
                Self::Put(
                    one,
                    DataPiece {
                        at: random.below(1000),
                        bytes,
                        source: PieceSource::Run(run),
                    },
                )
            }
            22..24 => Self::Cut(one, random.below(1000), 1 + random.below(200)),
            24..28 => Self::Owner(one, u32::try_from(random.below(1 << 20)).unwrap()),
            28..32 => {
                let value = vec![b'v'; usize::try_from(random.below(9)).unwrap()];
                Self::Xattrs(one, vec![(b"user.x".to_vec(), value)])
            }
            32..35 => Self::KeepName(one, name, named),
            35..39 => Self::KeepData(one),
            _ => Self::NextStream,
        }
    }

    fn take(self, store: &mut TreeStore) {
        match self {
            Self::Add(inode) => drop(store.add(inode)),
            Self::Name(directory, name, object) => {
                store.set_name(directory, &name, object).unwrap();
            }
            Self::Put(file, piece) => store
                .resize(file, |inode| {
                    inode.data.put(piece);
                    inode.size = inode.size.max(piece.end());
                })
                .unwrap(),
            Self::Cut(file, at, bytes) => store
                .resize(file, |inode| inode.data.cut(&(at..at + bytes)))
                .unwrap(),
            Self::Owner(object, uid) => store.inode_mut(object).unwrap().uid = uid,
            Self::Xattrs(object, xattrs) => store.set_xattrs(object, xattrs).unwrap(),
            Self::KeepName(directory, name, object) => {
                store.keep_parent_name(directory, &name, object);
            }
            Self::KeepData(file) => store.keep_parent_data(file).unwrap(),
            Self::NextStream => {
                store.settle().unwrap();
                store.forget_parent().unwrap();
            }
        }
        store.make_room(0).unwrap();
    }
}

/// All that a store says of an object and the names in it.
type Said = (
    TreeInode,
    Xattrs,
    (u64, FilePieces),
    Vec<(Option<ObjectId>, NameBefore)>,
);

/// Returns an inode without what differs between memory and a file.
fn plain(inode: &TreeInode) -> TreeInode {
    TreeInode {
        is_written: false,
        xattrs: 0,
        ..inode.clone()
    }
}

fn said(store: &mut TreeStore, object: ObjectId) -> Said {
    let inode = plain(store.inode(object).unwrap());
    let xattrs = store.xattrs(object).unwrap().clone();
    let (size, data) = store.parent_data(object).unwrap();
    let parent = (size, data.clone());
    let names = (0..NAMES).map(|number| {
        let name = format!("name {number}").into_bytes();
        let before = store.parent_name(object, &name).unwrap();
        (store.name(object, &name).unwrap(), before)
    });
    let names = names.collect();
    store.make_room(0).unwrap();
    (inode, xattrs, parent, names)
}

/// What is read of a settled store.
fn read(store: &TreeStore, object: ObjectId) -> Said {
    let (inode, xattrs) = store.read(object).unwrap();
    let (size, pieces) = store.read_data(object).unwrap();
    let again = store.read_data(object).unwrap();
    assert_eq!((size, &*pieces), (again.0, &*again.1));
    let names = (0..NAMES).map(|number| {
        let name = format!("name {number}").into_bytes();
        let found = store.read_name(object, &name).unwrap();
        (found, NameBefore::AsNow)
    });
    let inode = TreeInode {
        data: FilePieces::default(),
        ..plain(&inode)
    };
    (
        inode,
        xattrs.into_owned(),
        (size, pieces.clone()),
        names.collect(),
    )
}

fn names_in(store: &TreeStore, directory: ObjectId) -> Vec<(Vec<u8>, ObjectId)> {
    if store.is_on_disk() {
        return store.read_names_in(directory, u64::MAX).unwrap();
    }
    let names = store.names().filter(|(it, _, _)| *it == directory);
    let mut names: Vec<_> = names
        .map(|(_, name, object)| (name.to_vec(), object))
        .collect();
    names.sort_unstable();
    names
}

/// Plays a random history into a store in memory and one with a limit.
fn check(seed: u64, limit: u64) {
    let what = format!("seed {seed}, limit {limit}");
    let directory = tempfile::tempdir().unwrap();
    let places = TreeFilePlaces::at(directory.path());
    let mut stores = [u64::MAX, limit].map(|limit| TreeStore::new(limit, places.clone()));
    let mut random = Random(seed);
    let root = TreeInode::new(FileType::Directory.as_raw_mode(), None);
    for store in &mut stores {
        store.add(root.clone());
    }
    let compare = |stores: &mut [TreeStore; 2], step: u64| {
        let [memory, limited] = stores;
        for number in 1..=memory.inodes() {
            let object = ObjectId(i64::try_from(number).unwrap());
            assert_eq!(
                said(memory, object),
                said(limited, object),
                "{what}, step {step}, object {number}"
            );
        }
    };
    for number in 0..STEPS {
        let step = Step::random(&mut random, stores[0].inodes() as u64);
        for store in &mut stores {
            step.clone().take(store);
        }
        assert_eq!(stores[0].inodes(), stores[1].inodes(), "{what}");
        if number % COMPARED == 0 {
            compare(&mut stores, number);
        }
    }
    compare(&mut stores, STEPS);
    for store in &mut stores {
        store.settle().unwrap();
    }
    let [memory, limited] = &stores;
    assert!(!memory.is_on_disk());
    assert_eq!(limited.is_on_disk(), limit < 1 << 30, "{what}");
    for number in 1..=memory.inodes() {
        let object = ObjectId(i64::try_from(number).unwrap());
        assert_eq!(
            read(memory, object),
            read(limited, object),
            "{what}, object {number}"
        );
        assert_eq!(
            names_in(memory, object),
            names_in(limited, object),
            "{what}, object {number}"
        );
    }
    // The file has no name.
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn a_store_says_the_same_whatever_fits_into_memory() {
    // With no room at all, each step writes to the file.
    check(0, 1);
    for seed in 0..3 {
        for limit in [2_000, 10_000, 30_000, 1 << 40] {
            check(seed, limit);
        }
    }
}

#[test]
fn what_one_file_has_is_bounded() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = TreeStore::new(1, TreeFilePlaces::at(directory.path()));
    let file = store.add(TreeInode::new(0o100_600, None));
    let mut at = 0;
    let error = loop {
        let run = WriteRun {
            archive: 0,
            at: at * 3,
            chunk: 1,
            gap: 0,
            phase: 0,
        };
        let piece = DataPiece {
            at: at * 2,
            bytes: 1,
            source: PieceSource::Run(run),
        };
        at += 1;
        assert!(at < 1 << 20, "it grows and grows");
        if let Err(error) = store.resize(file, |inode| inode.data.put(piece)) {
            break error.to_string();
        }
    };
    assert_eq!(
        error,
        "the pieces or attributes of one of its files need more than 1 bytes of memory"
    );
    let value = vec![0; 1 << 20];
    let attributes = vec![(b"user.large".to_vec(), value)];
    assert!(store.set_xattrs(file, attributes).is_err());
}

#[test]
fn a_place_that_can_t_be_written_to_is_passed_over_and_the_last_one_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    let (good, bad) = (directory.path().join("good"), file.join("below"));
    let mut store = TreeStore::new(
        1,
        TreeFilePlaces::in_order([&bad, &good].map(PathBuf::as_path)),
    );
    store.add(TreeInode::new(0o100_600, None));
    store.make_room(0).unwrap();
    assert!(store.is_on_disk() && good.is_dir());
    let mut store = TreeStore::new(
        1,
        TreeFilePlaces::in_order([&bad, &bad].map(PathBuf::as_path)),
    );
    store.add(TreeInode::new(0o100_600, None));
    let error = store.make_room(0).unwrap_err().to_string();
    assert_eq!(
        error,
        format!(
            "could not make a temporary file for the names and pieces of files in {}",
            bad.display()
        )
    );
}
