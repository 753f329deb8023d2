//! An index that is filled by the tables' own rules, from a tree that is changed step by step.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use chrono::{Days, NaiveDate};
use coldchain::engine::FileIndex;
use coldchain::files_db::FileQuestions;
use coldchain::model::file_node::FileNode;
use coldchain::model::{ArchiveId, LedgerId};
use rusqlite::Connection;

pub(crate) const FILE: u32 = 0o100_000;
pub(crate) const DIRECTORY: u32 = 0o040_000;
pub(crate) const LINK: u32 = 0o120_000;

pub(crate) const MADE: u8 = 1;
pub(crate) const DATA: u8 = 2;
pub(crate) const ATTRIBUTES: u8 = 4;
pub(crate) const TIMES: u8 = 8;

/// A tree: what each directory's names name, and what each object is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tree {
    pub(crate) names: BTreeMap<(i64, Vec<u8>), i64>,
    pub(crate) nodes: BTreeMap<i64, FileNode>,
}

/// What a stream did to an object: bits, and bytes.
pub(crate) type Acts = BTreeMap<i64, (u8, u64)>;

/// Trees by archive.
pub(crate) struct Past {
    pub(crate) trees: Vec<Tree>,
    pub(crate) acts: Vec<Acts>,
    pub(crate) hidden: BTreeSet<usize>,
    /// The first archive has the newest date: the others were indexed after it.
    pub(crate) newest_first: bool,
    now: Tree,
    act: Acts,
    next: i64,
    clock: i64,
}

pub(crate) fn node(mode: u32, size: u64, mtime: i64) -> FileNode {
    FileNode {
        mode,
        uid: 1000,
        gid: 1000,
        rdev: 0,
        size,
        mtime,
        ctime: mtime,
        inode: 0,
        target: None,
        xattrs: Vec::new(),
    }
}

impl Tree {
    /// All paths, with what each names; the root is the empty one.
    pub(crate) fn paths(&self) -> BTreeMap<Vec<u8>, i64> {
        let mut paths = BTreeMap::from([(Vec::new(), 1)]);
        let mut waiting = vec![(1, Vec::new())];
        while let Some((directory, above)) = waiting.pop() {
            let from = (directory, Vec::new());
            let names = self.names.range(from..);
            for ((_, name), object) in names.take_while(|((parent, _), _)| *parent == directory) {
                let path: Vec<u8> = if above.is_empty() {
                    name.clone()
                } else {
                    [above.as_slice(), b"/", name].concat()
                };
                paths.insert(path.clone(), *object);
                if self.nodes[object].mode & 0o170_000 == DIRECTORY {
                    waiting.push((*object, path));
                }
            }
        }
        paths
    }

    pub(crate) fn find(&self, path: &[u8]) -> Option<i64> {
        let names = path.split(|byte| *byte == b'/');
        let mut names = names.filter(|name| !name.is_empty());
        names.try_fold(1, |at, name| self.names.get(&(at, name.to_vec())).copied())
    }
}

impl Past {
    pub(crate) fn new() -> Self {
        let root = node(DIRECTORY | 0o755, 0, 0);
        Self {
            trees: Vec::new(),
            acts: Vec::new(),
            hidden: BTreeSet::new(),
            newest_first: false,
            now: Tree {
                names: BTreeMap::new(),
                nodes: BTreeMap::from([(1, root)]),
            },
            act: Acts::from([(1, (MADE, 0))]),
            next: 2,
            clock: 1_700_000_000_000_000_000,
        }
    }

    pub(crate) fn tree(&self) -> &Tree {
        &self.now
    }

    fn tick(&mut self) -> i64 {
        self.clock += 1_000_000_001;
        self.clock
    }

    fn did(&mut self, object: i64, bits: u8, bytes: u64) {
        let act = self.act.entry(object).or_default();
        act.0 |= bits;
        act.1 += bytes;
    }

    fn place(&self, path: &[u8]) -> (i64, Vec<u8>) {
        let slash = path.iter().rposition(|byte| *byte == b'/');
        let above = slash.map_or(&b""[..], |at| &path[..at]);
        let name = &path[slash.map_or(0, |at| at + 1)..];
        let above = self.now.find(above).expect("the directory exists");
        (above, name.to_vec())
    }

    /// Makes a file, a directory or a link at a free path.
    pub(crate) fn make(&mut self, path: &[u8], mode: u32, size: u64) -> i64 {
        let (object, mtime) = (self.next, self.tick());
        self.next += 1;
        let place = self.place(path);
        assert!(self.now.names.insert(place, object).is_none(), "it is free");
        let mut new = node(mode, size, mtime);
        new.inode = object.cast_unsigned();
        self.now.nodes.insert(object, new);
        self.did(object, MADE, 100 + size);
        object
    }

    pub(crate) fn file(&mut self, path: &str, size: u64) -> i64 {
        self.make(path.as_bytes(), FILE | 0o644, size)
    }

    pub(crate) fn directory(&mut self, path: &str) -> i64 {
        self.make(path.as_bytes(), DIRECTORY | 0o755, 0)
    }

    pub(crate) fn link(&mut self, path: &str, target: &str) -> i64 {
        let object = self.make(path.as_bytes(), LINK | 0o777, 0);
        self.change(object).target = Some(target.as_bytes().to_vec());
        object
    }

    /// Gives an object another name.
    pub(crate) fn name(&mut self, object: i64, path: &[u8]) {
        let place = self.place(path);
        assert!(self.now.names.insert(place, object).is_none(), "it is free");
    }

    pub(crate) fn change(&mut self, object: i64) -> &mut FileNode {
        self.now.nodes.get_mut(&object).expect("it is there")
    }

    pub(crate) fn write(&mut self, path: &str, size: u64) {
        let object = self.now.find(path.as_bytes()).unwrap();
        self.write_to(object, size);
    }

    pub(crate) fn write_to(&mut self, object: i64, size: u64) {
        let mtime = self.tick();
        let node = self.change(object);
        (node.size, node.mtime, node.ctime) = (size, mtime, mtime);
        self.did(object, DATA, 50 + size);
    }

    pub(crate) fn touch(&mut self, object: i64) {
        let mtime = self.tick();
        let node = self.change(object);
        (node.mtime, node.ctime) = (mtime, mtime);
        self.did(object, TIMES, 40);
    }

    pub(crate) fn chmod(&mut self, object: i64, bits: u32) {
        let ctime = self.tick();
        let node = self.change(object);
        node.mode = node.mode & 0o170_000 | bits;
        node.ctime = ctime;
        self.did(object, ATTRIBUTES, 30);
    }

    /// Moves what is at a path to a free one.
    pub(crate) fn rename(&mut self, from: &[u8], to: &[u8]) {
        let (from, to) = (self.place(from), self.place(to));
        let object = self.now.names.remove(&from).expect("it is there");
        assert!(self.now.names.insert(to, object).is_none(), "it is free");
    }

    /// Takes away a path and all below it.
    pub(crate) fn remove(&mut self, path: &[u8]) {
        let object = self.now.find(path).expect("it is there");
        let below = (object, Vec::new());
        let names: Vec<Vec<u8>> = self
            .now
            .names
            .range(below..)
            .take_while(|((parent, _), _)| *parent == object)
            .map(|((_, name), _)| name.clone())
            .collect();
        for name in names {
            self.remove(&[path, b"/", &name].concat());
        }
        let place = self.place(path);
        self.now.names.remove(&place);
        if !self.now.names.values().any(|named| *named == object) {
            self.now.nodes.remove(&object);
            self.act.remove(&object);
        }
    }

    /// Archives the tree as it is.
    pub(crate) fn archive(&mut self) {
        self.trees.push(self.now.clone());
        self.acts.push(std::mem::take(&mut self.act));
    }

    /// The date of each archive: one a week, in the order of the trees, but that the first may be the newest.
    pub(crate) fn dates(&self) -> Vec<NaiveDate> {
        let first: NaiveDate = "2026-01-01".parse().unwrap();
        let number = self.trees.len();
        let mut weeks: Vec<u64> = (0..number as u64).collect();
        if self.newest_first {
            weeks.rotate_right(1);
        }
        let date = |week: u64| first + Days::new(week * 7);
        weeks.into_iter().map(date).collect()
    }

    /// An id for each archive.
    pub(crate) fn ids(&self) -> Vec<ArchiveId> {
        let dates = self.dates().into_iter().enumerate();
        let id = |(at, date): (usize, NaiveDate)| format!("{date}-full-{:016x}", at + 1);
        dates.map(|it| id(it).parse().unwrap()).collect()
    }

    /// Writes the index of a ledger, with these archives.
    pub(crate) fn write_index(&self, path: &Path, ledger: &str, ids: &[ArchiveId]) {
        assert_eq!(ids.len(), self.trees.len());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut connection = Connection::open(path).unwrap();
        connection
            .execute_batch(include_str!("../../../schema/files/0001_files.sql"))
            .unwrap();
        connection.pragma_update(None, "user_version", 1).unwrap();
        let transaction = connection.transaction().unwrap();
        transaction
            .execute("INSERT INTO meta (ledger) VALUES (?1)", [ledger])
            .unwrap();
        for (at, id) in ids.iter().enumerate() {
            let hidden = self.hidden.contains(&at);
            let row = (number(at), id.to_string(), id.date.to_string(), hidden);
            transaction
                .execute(
                    "INSERT INTO archive (number, id, date, contents, hidden) VALUES (?1, ?2, ?3, '', ?4)",
                    row,
                )
                .unwrap();
        }
        self.write_names(&transaction);
        self.write_versions(&transaction);
        self.write_subtrees(&transaction);
        transaction.commit().unwrap();
    }

    fn write_names(&self, connection: &Connection) {
        let mut insert = connection
            .prepare(
                "INSERT INTO entry (parent, name, since, till, object) VALUES (?1, ?2, ?3, ?4, ?5)",
            )
            .unwrap();
        let mut open: BTreeMap<(i64, Vec<u8>), (i64, i64)> = BTreeMap::new();
        let mut close = |place: &(i64, Vec<u8>), (since, object): (i64, i64), till: i64| {
            insert
                .execute((place.0, &place.1, since, till, object))
                .unwrap();
        };
        for (at, tree) in self.trees.iter().enumerate() {
            let ended: Vec<_> = open
                .iter()
                .filter(|(place, (_, object))| tree.names.get(*place) != Some(object))
                .map(|(place, row)| (place.clone(), *row))
                .collect();
            for (place, row) in ended {
                open.remove(&place);
                close(&place, row, number(at));
            }
            for (place, object) in &tree.names {
                open.entry(place.clone()).or_insert((number(at), *object));
            }
        }
        for (place, row) in open {
            close(&place, row, i64::MAX);
        }
    }

    fn write_versions(&self, connection: &Connection) {
        let mut insert = connection
            .prepare(
                "INSERT INTO version (object, since, till, attr, size, mtime, ctime, inode, target, changed, cost)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
            )
            .unwrap();
        let mut attr = connection
            .prepare(
                "INSERT INTO attr (mode, uid, gid, rdev, xattrs) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT DO UPDATE SET mode = mode RETURNING id",
            )
            .unwrap();
        let mut open: BTreeMap<i64, (usize, FileNode)> = BTreeMap::new();
        let mut close = |object: i64, (since, node): (usize, FileNode), till: i64| {
            let attributes = (node.mode, node.uid, node.gid, 0, &node.xattrs);
            let id: i64 = attr.query_row(attributes, |row| row.get(0)).unwrap();
            let (changed, cost) = self.acts[since].get(&object).copied().unwrap_or_default();
            let (size, inode) = (node.size.cast_signed(), node.inode.cast_signed());
            insert
                .execute(rusqlite::params![
                    object,
                    number(since),
                    till,
                    id,
                    size,
                    node.mtime,
                    node.ctime,
                    inode,
                    node.target,
                    changed,
                    cost.cast_signed()
                ])
                .unwrap();
        };
        for (at, tree) in self.trees.iter().enumerate() {
            let ended: Vec<_> = open
                .iter()
                .filter(|(object, (_, node))| {
                    tree.nodes.get(object) != Some(node) || self.acts[at].contains_key(object)
                })
                .map(|(object, row)| (*object, row.clone()))
                .collect();
            for (object, row) in ended {
                open.remove(&object);
                close(object, row, number(at));
            }
            for (object, node) in &tree.nodes {
                open.entry(*object).or_insert_with(|| (at, node.clone()));
            }
        }
        for (object, row) in open {
            close(object, row, i64::MAX);
        }
    }

    fn write_subtrees(&self, connection: &Connection) {
        let mut insert = connection
            .prepare("INSERT INTO subtree (object, since, bytes, files) VALUES (?1, ?2, ?3, ?4)")
            .unwrap();
        let mut last: BTreeMap<i64, (u64, u64)> = BTreeMap::new();
        for (at, tree) in self.trees.iter().enumerate() {
            let paths = tree.paths();
            let mut totals: BTreeMap<i64, (u64, u64)> = BTreeMap::new();
            for (path, object) in &paths {
                let node = &tree.nodes[object];
                if node.mode & 0o170_000 == DIRECTORY {
                    totals.entry(*object).or_default();
                    continue;
                }
                // Each directory above it.
                let slashes = (0..path.len()).filter(|at| path[*at] == b'/');
                for end in std::iter::once(0).chain(slashes) {
                    let total = totals.entry(paths[&path[..end]]).or_default();
                    total.0 += node.size;
                    total.1 += 1;
                }
            }
            for (object, total) in totals {
                if last.insert(object, total) != Some(total) {
                    let (bytes, files) = (total.0.cast_signed(), total.1.cast_signed());
                    insert.execute((object, number(at), bytes, files)).unwrap();
                }
            }
        }
    }

    /// Writes the index below a directory and opens it.
    pub(crate) fn index(&self, directory: &Path) -> FileIndex {
        let path: PathBuf = directory.join("files.db");
        let ledger = "5f0c9a12d4e6b8015f0c9a12d4e6b801";
        let ids = self.ids();
        self.write_index(&path, ledger, &ids);
        let ledger: LedgerId = ledger.parse().unwrap();
        let questions = FileQuestions::open(&path, &ledger).unwrap().unwrap();
        FileIndex::of(questions, &ids)
    }
}

/// The number of the archive at a place in the order.
fn number(at: usize) -> i64 {
    i64::try_from(at).unwrap() + 1
}
