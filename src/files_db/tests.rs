//! Histories of random trees, loaded and compared with what was loaded.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rusqlite::Connection;

use super::{ArchiveToLoad, FilesDb, FilesDbError, LoadBase, Loading};
use crate::model::file_node::{Changed, FileNode, ObjectId};
use crate::model::{ArchiveId, LedgerId, Sha256};

const LEDGER: LedgerId = LedgerId([7; 16]);

/// Numbers that look random.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below as u64) as usize
    }
}

/// A tree: objects by number, and the names in directories. The root is object 1.
#[derive(Debug, Clone, Default)]
struct Tree {
    nodes: BTreeMap<u64, FileNode>,
    names: BTreeMap<(u64, Vec<u8>), u64>,
}

fn node(mode: u32, inode: u64) -> FileNode {
    FileNode {
        mode,
        uid: 0,
        gid: 0,
        rdev: 0,
        size: 0,
        mtime: 0,
        ctime: 0,
        inode,
        target: None,
        xattrs: Vec::new(),
    }
}

/// What a change does, for a model and a loading alike.
#[derive(Debug, Clone)]
enum Step {
    Create(u64, FileNode),
    Set(u64, FileNode, Changed),
    Link(u64, Vec<u8>, u64),
    /// Its last says whether a directory is gone with it.
    Unlink(u64, Vec<u8>, bool),
}

impl Tree {
    fn new() -> Self {
        let mut tree = Self::default();
        tree.nodes.insert(1, node(0o040_755, 256));
        tree
    }

    fn apply(&mut self, step: &Step) {
        match step {
            Step::Create(object, node) | Step::Set(object, node, _) => {
                self.nodes.insert(*object, node.clone());
            }
            Step::Link(parent, name, object) => {
                self.names.insert((*parent, name.clone()), *object);
            }
            Step::Unlink(parent, name, _) => {
                let gone = self.names.remove(&(*parent, name.clone())).unwrap();
                if !self.names.values().any(|object| *object == gone) {
                    self.nodes.remove(&gone);
                }
            }
        }
    }

    fn is_directory(&self, object: u64) -> bool {
        self.nodes[&object].mode & 0o170_000 == 0o040_000
    }

    fn is_below(&self, mut object: u64, above: u64) -> bool {
        loop {
            if object == above {
                return true;
            }
            match self.names.iter().find(|(_, named)| **named == object) {
                Some(((parent, _), _)) => object = *parent,
                None => return false,
            }
        }
    }

    /// Random steps from this tree to another.
    fn change(&mut self, dice: &mut Dice, newest: &mut u64, count: usize) -> Vec<Step> {
        let mut steps = Vec::new();
        for _ in 0..count {
            let directories: Vec<u64> = self.nodes.keys().copied().collect();
            let directories: Vec<u64> = directories
                .into_iter()
                .filter(|object| self.is_directory(*object))
                .collect();
            let names: Vec<_> = self.names.iter().map(|(k, v)| (k.clone(), *v)).collect();
            let parent = directories[dice.throw(directories.len())];
            let name = vec![b'a' + dice.throw(12) as u8, 0xff];
            let is_free = !self.names.contains_key(&(parent, name.clone()));
            let time = dice.throw(1 << 40) as i64;
            let mut now = Vec::new();
            match dice.throw(8) {
                0..3 if is_free => {
                    *newest += 1;
                    let mode = [0o100_644, 0o040_755, 0o120_777][dice.throw(3)];
                    let mut new = node(mode, *newest + 1000);
                    new.mtime = time;
                    new.ctime = time;
                    if mode == 0o100_644 {
                        new.size = dice.throw(1000) as u64;
                    }
                    if mode == 0o120_777 {
                        new.target = Some(vec![b't', dice.throw(255) as u8]);
                    }
                    now.push(Step::Create(*newest, new));
                    // Through another name, as an orphan.
                    now.push(Step::Link(1, b"orphan".to_vec(), *newest));
                    now.push(Step::Link(parent, name, *newest));
                    now.push(Step::Unlink(1, b"orphan".to_vec(), false));
                }
                3 if !names.is_empty() => {
                    let ((_, _), object) = names[dice.throw(names.len())].clone();
                    let mut new = self.nodes[&object].clone();
                    new.ctime = time;
                    let mut changed = Changed::TIMES;
                    match dice.throw(3) {
                        0 if new.mode & 0o170_000 == 0o100_000 => {
                            new.size = dice.throw(1000) as u64;
                            new.mtime = time;
                            changed = changed.and(Changed::DATA);
                        }
                        1 => {
                            new.uid = dice.throw(3) as u32;
                            new.xattrs = vec![1, 2, dice.throw(9) as u8];
                            changed = Changed::ATTRIBUTES;
                        }
                        _ => {}
                    }
                    now.push(Step::Set(object, new, changed));
                }
                4 if is_free && !names.is_empty() => {
                    // A hard link.
                    let ((_, _), object) = names[dice.throw(names.len())].clone();
                    if !self.is_directory(object) {
                        now.push(Step::Link(parent, name, object));
                    }
                }
                5 | 6 if is_free && !names.is_empty() => {
                    let ((from, old), object) = names[dice.throw(names.len())].clone();
                    if !self.is_directory(object) || !self.is_below(parent, object) {
                        now.push(Step::Link(parent, name, object));
                        now.push(Step::Unlink(from, old, false));
                    }
                }
                7 if !names.is_empty() => {
                    let ((from, old), object) = names[dice.throw(names.len())].clone();
                    let is_full = self.names.keys().any(|(parent, _)| *parent == object);
                    if !is_full {
                        now.push(Step::Unlink(from, old.clone(), true));
                    }
                    // Sometimes it comes back at once.
                    if !is_full
                        && dice.throw(4) == 0
                        && self.names.values().filter(|o| **o == object).count() > 1
                    {
                        now.push(Step::Link(from, old, object));
                    }
                }
                _ => {}
            }
            for step in now {
                self.apply(&step);
                steps.push(step);
            }
        }
        steps
    }

    /// Steps from nothing to this tree.
    fn full(&self) -> Vec<Step> {
        let mut steps = vec![Step::Set(1, self.nodes[&1].clone(), Changed::ATTRIBUTES)];
        let mut waiting = vec![1];
        let mut made = BTreeSet::from([1]);
        while let Some(parent) = waiting.pop() {
            for ((above, name), object) in &self.names {
                if *above != parent {
                    continue;
                }
                if made.insert(*object) {
                    steps.push(Step::Create(*object, self.nodes[object].clone()));
                    if self.is_directory(*object) {
                        waiting.push(*object);
                    }
                }
                steps.push(Step::Link(parent, name.clone(), *object));
            }
        }
        steps
    }

    /// Each path with what is known of it and with the first path of its object; directories with their totals.
    fn listing(&self) -> Listing {
        let mut listing = Listing::new();
        let mut first: HashMap<u64, Vec<u8>> = HashMap::new();
        self.list(1, Vec::new(), &mut first, &mut listing);
        listing
    }

    fn list(
        &self,
        object: u64,
        path: Vec<u8>,
        first: &mut HashMap<u64, Vec<u8>>,
        listing: &mut Listing,
    ) -> (i64, i64) {
        let node = self.nodes[&object].clone();
        let first_path = first.entry(object).or_insert_with(|| path.clone()).clone();
        let mut total = (node.size as i64, 1);
        if self.is_directory(object) {
            total = (0, 0);
            for ((parent, name), child) in &self.names {
                if *parent == object {
                    let below = [path.as_slice(), b"/", name].concat();
                    let (bytes, files) = self.list(*child, below, first, listing);
                    total = (total.0 + bytes, total.1 + files);
                }
            }
        }
        listing.insert(path, (node, first_path, total));
        total
    }
}

type Listing = BTreeMap<Vec<u8>, (FileNode, Vec<u8>, (i64, i64))>;

/// Reads the tree of an archive from the tables.
fn indexed(connection: &Connection, number: i64) -> Listing {
    let mut listing = Listing::new();
    list_indexed(
        connection,
        number,
        1,
        Vec::new(),
        &mut HashMap::new(),
        &mut listing,
    );
    listing
}

fn list_indexed(
    connection: &Connection,
    number: i64,
    object: i64,
    path: Vec<u8>,
    first: &mut HashMap<i64, Vec<u8>>,
    listing: &mut Listing,
) {
    let mut statement = connection
        .prepare_cached(
            "SELECT mode, uid, gid, rdev, size, mtime, ctime, inode, target, xattrs
             FROM version JOIN attr ON id = attr WHERE object = ?1 AND since <= ?2 AND till > ?2",
        )
        .unwrap();
    let nodes: Vec<FileNode> = statement
        .query_map((object, number), |row| {
            Ok(FileNode {
                mode: row.get(0)?,
                uid: row.get(1)?,
                gid: row.get(2)?,
                rdev: row.get::<_, i64>(3)? as u64,
                size: row.get::<_, i64>(4)? as u64,
                mtime: row.get(5)?,
                ctime: row.get(6)?,
                inode: row.get::<_, i64>(7)? as u64,
                target: row.get(8)?,
                xattrs: row.get(9)?,
            })
        })
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let [node] = nodes.try_into().unwrap();
    let first_path = first.entry(object).or_insert_with(|| path.clone()).clone();
    let mut total = (node.size as i64, 1);
    if node.mode & 0o170_000 == 0o040_000 {
        total = connection
            .query_row(
                "SELECT bytes, files FROM subtree WHERE object = ?1 AND since <= ?2
                 ORDER BY since DESC LIMIT 1",
                (object, number),
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .unwrap();
        let names: Vec<(Vec<u8>, i64)> = connection
            .prepare_cached(
                "SELECT name, object FROM entry
                 WHERE parent = ?1 AND since <= ?2 AND till > ?2 ORDER BY name",
            )
            .unwrap()
            .query_map((object, number), |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        for (name, child) in names {
            let below = [path.as_slice(), b"/", &name].concat();
            list_indexed(connection, number, child, below, first, listing);
        }
    }
    assert!(listing.insert(path, (node, first_path, total)).is_none());
}

fn play(loading: &mut Loading<'_>, steps: &[Step], objects: &mut HashMap<u64, ObjectId>) {
    for step in steps {
        match step {
            Step::Create(object, node) => {
                objects.insert(*object, loading.create(node).unwrap());
            }
            Step::Set(object, node, changed) => {
                loading.cost(objects[object], 5).unwrap();
                loading.set(objects[object], node, *changed).unwrap();
            }
            Step::Link(parent, name, object) => {
                assert_eq!(loading.child(objects[parent], name).unwrap(), None);
                loading
                    .link(objects[parent], name, objects[object])
                    .unwrap();
            }
            Step::Unlink(parent, name, is_gone) => {
                let object = loading.child(objects[parent], name).unwrap().unwrap();
                if *is_gone && loading.node(object).unwrap().mode & 0o170_000 == 0o040_000 {
                    assert!(loading.is_empty(object).unwrap());
                }
                assert!(!loading.is_empty(objects[parent]).unwrap());
                loading.unlink(objects[parent], name).unwrap();
            }
        }
    }
}

/// The object that each path has in the index, by the model's objects.
fn objects_of(connection: &Connection, number: i64, tree: &Tree) -> HashMap<u64, ObjectId> {
    let mut objects = HashMap::from([(1, ObjectId::ROOT)]);
    let mut waiting = vec![1];
    while let Some(parent) = waiting.pop() {
        for ((above, name), object) in &tree.names {
            if *above != parent {
                continue;
            }
            let found: i64 = connection
                .query_row(
                    "SELECT object FROM entry WHERE parent = ?1 AND name = ?2
                     AND since <= ?3 AND till > ?3",
                    (objects[&parent].0, name, number),
                    |row| row.get(0),
                )
                .unwrap();
            if objects.insert(*object, ObjectId(found)).is_none() && tree.is_directory(*object) {
                waiting.push(*object);
            }
        }
    }
    objects
}

fn archive(at: usize) -> ArchiveToLoad {
    let id: ArchiveId = format!("2026-01-{:02}-full-{at:016x}", at % 28 + 1)
        .parse()
        .unwrap();
    ArchiveToLoad {
        id,
        date: id.date,
        contents: Sha256::of(&[at as u8]),
    }
}

/// A new index in a directory of its own.
fn new_index() -> (tempfile::TempDir, PathBuf, FilesDb) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("files/x.db");
    let db = FilesDb::open(&path, &LEDGER).unwrap();
    (directory, path, db)
}

/// No two rows of an object or a name hold for one archive, and nothing holds for none.
fn check_intervals(connection: &Connection) {
    for (table, key) in [
        ("version", "a.object = b.object"),
        ("entry", "a.parent = b.parent AND a.name = b.name"),
    ] {
        let wrong: i64 = connection
            .query_row(
                &format!(
                    "SELECT (SELECT count(*) FROM {table} a JOIN {table} b ON {key}
                         WHERE a.since < b.since AND a.till > b.since)
                     + (SELECT count(*) FROM {table} WHERE since >= till)"
                ),
                [],
                |row| row.get(0),
            )
            .unwrap();
        assert_eq!(wrong, 0, "{table}");
    }
    let lost: i64 = connection
        .query_row(
            "SELECT count(*) FROM version v WHERE till = 9223372036854775807 AND object > 1
             AND NOT EXISTS (SELECT 1 FROM entry e
                 WHERE e.object = v.object AND e.till = 9223372036854775807)",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(lost, 0, "an object without a name is open");
}

/// An archive of a random history.
struct Dated {
    /// Which archive it is incremental on.
    base: Option<usize>,
    steps: Vec<Step>,
    tree: Tree,
    /// How much memory its loading has.
    room: usize,
}

/// Archives of which most are incremental on the one before, some are fulls, and some are incremental on an older one.
fn history(seed: u64, archives: usize) -> Vec<Dated> {
    let mut dice = Dice(seed * 0x9e37_79b9);
    let mut made: Vec<Dated> = Vec::new();
    let mut newest = 1;
    for _ in 0..archives {
        let kind = if made.is_empty() { 0 } else { dice.throw(5) };
        let base = match kind {
            0 => None,
            1 => Some(dice.throw(made.len())),
            _ => Some(made.len() - 1),
        };
        let before = base.or(made.len().checked_sub(1));
        let mut tree = before.map_or_else(Tree::new, |before| made[before].tree.clone());
        let changes = tree.change(&mut dice, &mut newest, 25);
        let steps = if base.is_some() { changes } else { tree.full() };
        made.push(Dated {
            base,
            steps,
            tree,
            room: [1, 3000, usize::MAX][dice.throw(3)],
        });
    }
    made
}

fn load(db: &mut FilesDb, history: &[Dated], at: usize) {
    let dated = &history[at];
    let (base, mut objects) = match dated.base {
        None => (LoadBase::Nothing, HashMap::from([(1, ObjectId::ROOT)])),
        Some(base) => {
            let tree = &history[base].tree;
            let objects = objects_of(&db.connection, base as i64 + 1, tree);
            (LoadBase::Archive(archive(base).id), objects)
        }
    };
    let mut loading = db.load(archive(at), base).unwrap().with_memory(dated.room);
    play(&mut loading, &dated.steps, &mut objects);
    loading.commit().unwrap();
}

/// Checks that an index has these archives, each as it was loaded.
fn check_all(db: &FilesDb, history: &[Dated], what: &str) {
    assert_eq!(db.archives().unwrap().len(), history.len(), "{what}");
    check_intervals(&db.connection);
    for (at, dated) in history.iter().enumerate() {
        assert_eq!(
            indexed(&db.connection, at as i64 + 1),
            dated.tree.listing(),
            "{what}: archive {at}"
        );
    }
}

#[test]
fn every_date_of_random_histories_is_as_it_was_loaded() {
    for seed in 1..25 {
        let history = history(seed, 8);
        let (_directory, _, mut db) = new_index();
        for at in 0..history.len() {
            load(&mut db, &history, at);
            check_all(&db, &history[..=at], &format!("seed {seed}"));
        }
    }
}

/// The variable that says which index a child loads.
const CHILD: &str = "COLDCHAIN_TEST_INDEX";

/// How many archives the history of a killed child has.
const KILLED: (u64, usize) = (11, 30);

#[test]
#[ignore = "a child that another test starts and kills"]
fn a_child_that_loads_until_it_is_killed() {
    let Some(path) = std::env::var_os(CHILD) else {
        return;
    };
    let history = history(KILLED.0, KILLED.1);
    let mut db = FilesDb::open(path.as_ref(), &LEDGER).unwrap();
    let first = db.archives().unwrap().len();
    for at in first..history.len() {
        eprintln!("{at}");
        load(&mut db, &history, at);
    }
}

#[test]
fn an_index_is_right_after_a_kill_at_any_time() {
    let moments: usize = std::env::var("COLDCHAIN_INDEX_KILLS").map_or(8, |kills| {
        kills.parse().expect("COLDCHAIN_INDEX_KILLS is a number")
    });
    let history = history(KILLED.0, KILLED.1);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.db");
    let mut dice = Dice(99);
    let mut killed = 0;
    while killed < moments {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--ignored", "--nocapture", "--test-threads=1"])
            .arg("files_db::tests::a_child_that_loads_until_it_is_killed")
            .env(CHILD, &path)
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        // It is somewhere in the loading of an archive then.
        let begun = lines.map_while(Result::ok).nth(dice.throw(4));
        for _ in 0..dice.throw(400_000) {
            std::hint::spin_loop();
        }
        child.kill().unwrap();
        let ended = child.wait().unwrap();
        killed += usize::from(ended.signal() == Some(9));
        let db = FilesDb::open(&path, &LEDGER).unwrap();
        let has = db.archives().unwrap().len();
        check_all(&db, &history[..has], &format!("after kill {killed}"));
        drop(db);
        if begun.is_none() {
            // All are loaded: from the beginning again.
            assert!(has == history.len(), "a child ended early");
            FilesDb::remove(&path).unwrap();
        }
    }
    let mut db = FilesDb::open(&path, &LEDGER).unwrap();
    for at in db.archives().unwrap().len()..history.len() {
        load(&mut db, &history, at);
    }
    check_all(&db, &history, "in the end");
}

#[test]
fn two_that_load_wait_for_each_other_and_a_reader_sees_whole_archives() {
    let history = history(4, 10);
    let (_directory, path, db) = new_index();
    drop(db);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let mut db = FilesDb::open(&path, &LEDGER).unwrap();
                    let has = db.archives().unwrap().len();
                    if has == history.len() {
                        return;
                    }
                    load(&mut db, &history, has);
                }
            });
        }
        loop {
            let reader = Connection::open(&path).unwrap();
            reader.execute_batch("BEGIN").unwrap();
            let has: i64 = reader
                .query_row("SELECT count(*) FROM archive", [], |row| row.get(0))
                .unwrap();
            for at in 0..has {
                let tree = &history[at as usize].tree;
                assert_eq!(indexed(&reader, at + 1), tree.listing());
            }
            if has as usize == history.len() {
                return;
            }
        }
    });
}

#[test]
fn a_full_that_changes_nothing_adds_no_rows() {
    let mut dice = Dice(5);
    let (_directory, _, mut db) = new_index();
    let mut tree = Tree::new();
    tree.change(&mut dice, &mut 1, 300);
    let mut load = |at, tree: &Tree| {
        let mut loading = db.load(archive(at), LoadBase::Nothing).unwrap();
        let mut objects = HashMap::from([(1, ObjectId::ROOT)]);
        play(&mut loading, &tree.full(), &mut objects);
        loading.commit().unwrap();
        ["entry", "version", "subtree"].map(|table| {
            db.connection
                .query_row(&format!("SELECT count(*) FROM {table}"), [], |row| {
                    row.get::<_, i64>(0)
                })
                .unwrap()
        })
    };
    let first = load(0, &tree);
    assert!(first.iter().all(|rows| *rows > 10), "{first:?}");
    assert_eq!(load(1, &tree), first);

    // A directory that is renamed is one more name, with all that is below it.
    let (from, object) = tree
        .names
        .iter()
        .find(|((parent, _), object)| {
            *parent == 1
                && tree.is_directory(**object)
                && tree.names.keys().any(|(above, _)| above == *object)
        })
        .map(|(name, object)| (name.clone(), *object))
        .unwrap();
    tree.apply(&Step::Link(1, b"renamed".to_vec(), object));
    tree.apply(&Step::Unlink(from.0, from.1, false));
    assert_eq!(load(2, &tree), [first[0] + 1, first[1], first[2]]);
}

#[test]
fn what_is_retired_is_collected_and_the_rest_stays() {
    for seed in 1..15 {
        let mut dice = Dice(seed * 77_777);
        let (_directory, _, mut db) = new_index();
        let mut tree = Tree::new();
        let mut newest = 1;
        let mut trees = Vec::new();
        for at in 0..8 {
            let mut objects = HashMap::from([(1, ObjectId::ROOT)]);
            let mut base = LoadBase::Nothing;
            let mut steps = tree.full();
            if at > 0 {
                base = LoadBase::Archive(archive(at - 1).id);
                objects = objects_of(&db.connection, at as i64, &tree);
                steps = tree.change(&mut dice, &mut newest, 20);
            }
            let mut loading = db.load(archive(at), base).unwrap();
            play(&mut loading, &steps, &mut objects);
            loading.commit().unwrap();
            trees.push(tree.clone());
        }
        let hidden: Vec<usize> = (0..8).filter(|_| dice.throw(2) == 0).collect();
        for at in &hidden {
            assert!(db.hide(&archive(*at).id, true).unwrap());
        }
        assert!(!db.hide(&archive(99).id, true).unwrap());
        db.collect().unwrap();
        check_intervals(&db.connection);
        let left: Vec<i64> = db
            .archives()
            .unwrap()
            .iter()
            .map(|row| row.number)
            .collect();
        for (at, tree) in trees.iter().enumerate() {
            let number = at as i64 + 1;
            let is_left = at == 7 || !hidden.contains(&at);
            assert_eq!(left.contains(&number), is_left);
            if is_left {
                assert_eq!(indexed(&db.connection, number), tree.listing());
            }
        }
        // The next archive gets a number of its own.
        let mut loading = db.load(archive(20), LoadBase::Nothing).unwrap();
        play(
            &mut loading,
            &tree.full(),
            &mut HashMap::from([(1, ObjectId::ROOT)]),
        );
        loading.commit().unwrap();
        assert_eq!(indexed(&db.connection, 9), tree.listing());
    }
}

#[test]
fn a_loading_that_is_not_committed_leaves_the_index_as_it_was() {
    let (_directory, _, mut db) = new_index();
    let mut tree = Tree::new();
    tree.change(&mut Dice(3), &mut 1, 50);
    let mut loading = db.load(archive(0), LoadBase::Nothing).unwrap();
    play(
        &mut loading,
        &tree.full(),
        &mut HashMap::from([(1, ObjectId::ROOT)]),
    );
    loading.commit().unwrap();
    for base in [LoadBase::Nothing, LoadBase::Archive(archive(0).id)] {
        let mut loading = db.load(archive(1), base).unwrap().with_memory(1);
        let made = loading.create(&node(0o100_644, 9)).unwrap();
        loading.link(ObjectId::ROOT, b"new", made).unwrap();
        loading
            .set(made, &node(0o100_600, 9), Changed::ATTRIBUTES)
            .unwrap();
        drop(loading);
        assert_eq!(db.archives().unwrap().len(), 1);
        assert_eq!(indexed(&db.connection, 1), tree.listing());
    }
    let unknown = db.load(archive(1), LoadBase::Archive(archive(5).id));
    assert!(matches!(unknown, Err(FilesDbError::NotIndexed(_))));
}

#[test]
fn an_index_that_can_t_be_used_is_made_anew() {
    let (directory, path, mut db) = new_index();
    let loading = db.load(archive(0), LoadBase::Nothing).unwrap();
    loading.commit().unwrap();
    assert_eq!(db.archives().unwrap().len(), 1);
    let mode = |name: &str| {
        let file = directory.path().join(name);
        file.metadata().unwrap().permissions().mode() & 0o777
    };
    assert_eq!(mode("files"), 0o700);
    assert_eq!(mode("files/x.db"), 0o600);
    assert_eq!(mode("files/x.lock"), 0o600);
    drop(db);
    let count = |ledger| {
        let db = FilesDb::open(&path, &ledger).unwrap();
        db.archives().unwrap().len()
    };
    assert_eq!(count(LEDGER), 1);
    assert_eq!(count(LedgerId([8; 16])), 0, "it was another ledger's");
    assert_eq!(count(LEDGER), 0);

    for (what, change) in [
        ("a version that is not known", "PRAGMA user_version = 9"),
        ("no ledger", "DELETE FROM meta"),
    ] {
        let mut db = FilesDb::open(&path, &LEDGER).unwrap();
        db.load(archive(0), LoadBase::Nothing)
            .unwrap()
            .commit()
            .unwrap();
        drop(db);
        assert_eq!(count(LEDGER), 1);
        Connection::open(&path)
            .unwrap()
            .execute_batch(change)
            .unwrap();
        assert_eq!(count(LEDGER), 0, "{what}");
    }
    for bytes in [&b"no database at all, but longer than a header of one, which has a hundred bytes, so that it is read as one"[..], b"x"] {
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(count(LEDGER), 0, "{bytes:?}");
    }
    let names: Vec<String> = std::fs::read_dir(directory.path().join("files"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(
        names
            .iter()
            .all(|name| ["x.db", "x.lock"].contains(&name.as_str())),
        "{names:?}"
    );
    FilesDb::remove(&path).unwrap();
    assert!(!path.exists());
}

#[test]
fn what_a_stream_names_and_does_not_change_is_forgotten_again() {
    let (_directory, _, mut db) = new_index();
    let mut loading = db.load(archive(0), LoadBase::Nothing).unwrap();
    let mut made = Vec::new();
    for number in 0..2000 {
        let object = loading.create(&node(0o100_644, 300 + number)).unwrap();
        let name = number.to_string();
        let linked = loading.link(ObjectId::ROOT, name.as_bytes(), object);
        linked.unwrap();
        made.push((name, object));
    }
    loading.commit().unwrap();
    let base = LoadBase::Archive(archive(0).id);
    let mut loading = db.load(archive(1), base).unwrap().with_memory(20_000);
    for (name, object) in made {
        let found = loading.child(ObjectId::ROOT, name.as_bytes()).unwrap();
        assert_eq!(found, Some(object));
        loading.node(object).unwrap();
        loading.cost(object, 30).unwrap();
        let remembered = loading.remembered();
        assert!(remembered < 22_000, "{name}: {remembered} bytes");
    }
    loading.commit().unwrap();
}
