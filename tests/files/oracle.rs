//! Random chains on a real btrfs: the tree that a replay of the contents makes is the snapshot's, at every date.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use coldchain::engine::{PiecesTree, ReplayError, TreeFilePlaces};
use coldchain::model::Blake3;
use coldchain::model::file_node::{Changed, FileNode, ObjectId};

use super::contents::{apply, apply_pieces, data_of};
use crate::common::busy_tree::BusyTree;
use crate::common::from_env;
use crate::common::loopfs::{LoopFs, btrfs, real_btrfs_available, run};
use crate::common::memory_tree::MemoryTree;
use crate::common::rng::Rng;

/// Dates of a chain.
const DATES: usize = 6;

/// What `find` says of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) node: FileNode,
    /// Names of the object; 1 for a directory.
    pub(crate) links: u64,
}

/// A time as a [`FileNode`] has it: one that is too far away is the farthest.
fn farthest(time: i128) -> i64 {
    let seconds = i64::try_from(time.div_euclid(1_000_000_000)).unwrap();
    let fraction = i64::try_from(time.rem_euclid(1_000_000_000)).unwrap();
    let whole = seconds.saturating_mul(1_000_000_000);
    whole.saturating_add(fraction)
}

/// Every path of a tree; the root's is empty.
pub(crate) fn find(root: &Path) -> BTreeMap<Vec<u8>, Found> {
    let mut found = BTreeMap::new();
    let mut left = vec![root.to_owned()];
    while let Some(path) = left.pop() {
        let stat = fs::symlink_metadata(&path)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        if stat.is_dir() {
            left.extend(
                fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        }
        let target = stat.is_symlink().then(|| fs::read_link(&path).unwrap());
        let time = |seconds: i64, fraction: i64| {
            let seconds = seconds.saturating_mul(1_000_000_000);
            seconds.saturating_add(fraction)
        };
        let node = FileNode {
            mode: stat.mode(),
            uid: stat.uid(),
            gid: stat.gid(),
            rdev: stat.rdev(),
            size: if stat.is_file() { stat.size() } else { 0 },
            mtime: time(stat.mtime(), stat.mtime_nsec()),
            ctime: time(stat.ctime(), stat.ctime_nsec()),
            inode: stat.ino(),
            target: target.map(|target| target.as_os_str().as_bytes().to_vec()),
            xattrs: xattrs(&path),
        };
        let links = if stat.is_dir() { 1 } else { stat.nlink() };
        let below = path.strip_prefix(root).unwrap();
        found.insert(below.as_os_str().as_bytes().to_vec(), Found { node, links });
    }
    found
}

fn xattrs(path: &Path) -> Vec<u8> {
    let mut names = vec![0; 64 << 10];
    let length = rustix::fs::llistxattr(path, &mut names[..]).unwrap();
    let mut names: Vec<&[u8]> = names[..length]
        .split(|&byte| byte == 0)
        .filter(|name| !name.is_empty())
        .collect();
    names.sort_unstable();
    let mut xattrs = Vec::new();
    for name in names {
        let mut value = vec![0; 64 << 10];
        let length = rustix::fs::lgetxattr(path, name, &mut value[..]).unwrap();
        xattrs.push(u8::try_from(name.len()).unwrap());
        xattrs.extend(name);
        xattrs.extend(&Blake3::of(&value[..length]).0[..16]);
    }
    xattrs
}

/// Returns attributes, sorted by name, in the form that the index has them.
fn in_index_form(xattrs: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let each = xattrs.iter().map(|(name, value)| {
        let length = u8::try_from(name.len()).unwrap();
        [&[length], &name[..], &Blake3::of(value).0[..16]].concat()
    });
    each.collect::<Vec<_>>().concat()
}

/// The same of a replayed tree.
fn paths(tree: &MemoryTree) -> BTreeMap<Vec<u8>, Found> {
    let paths = tree.paths().into_iter();
    let found = paths.map(|(path, object)| {
        let object = &tree.objects[&object];
        let found = Found {
            node: object.node.clone(),
            links: object.names,
        };
        (path, found)
    });
    found.collect()
}

/// The options of `btrfs send`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stream {
    V1,
    V2,
    Compressed,
}

fn send(snapshot: &Path, parent: Option<&Path>, stream: Stream) -> Vec<u8> {
    let mut command = Command::new("btrfs");
    command.args(["-q", "send"]);
    match stream {
        Stream::V1 => {}
        Stream::V2 => drop(command.args(["--proto", "2"])),
        Stream::Compressed => drop(command.arg("--compressed-data")),
    }
    if let Some(parent) = parent {
        command.arg("-p").arg(parent);
    }
    run(command.arg(snapshot)).unwrap().stdout
}

/// What the chains had.
#[derive(Debug, Default)]
struct Counts {
    entries: u64,
    /// Files whose size only `btrfs receive` has too: the kernel's sender loses the end of some compressed data.
    lost_ends: u64,
    /// Chains with a stream that `btrfs receive` refuses too: the kernel's sender names a directory by a name that it does
    /// not have yet.
    not_received: u64,
    /// Files whose data only `btrfs receive` has too.
    lost_data: u64,
    /// Pieces of all files.
    pieces: u64,
    bits: [u64; 4],
    most_links: u64,
}

/// One chain of snapshots, and the trees of each kind of stream.
struct Chain<'a> {
    filesystem: &'a LoopFs,
    seed: u64,
    snapshots: Vec<PathBuf>,
    trees: Vec<(Stream, MemoryTree)>,
    /// The same with the places of the data.
    pieces: Vec<PiecesTree>,
    /// The streams of each kind.
    streams: Vec<Vec<Vec<u8>>>,
}

impl Chain<'_> {
    /// Adds a date. Returns false if the kernel's sender made a stream that nobody can receive, which ends the chain.
    fn date(&mut self, live: &Path, counts: &mut Counts) -> bool {
        let date = self.snapshots.len();
        let snapshot = self.filesystem.path(format!("{}.{date}", self.seed));
        btrfs(["subvolume", "snapshot", "-r"], &[live, &snapshot]);
        let parent = self.snapshots.last().cloned();
        self.snapshots.push(snapshot.clone());
        let expected = find(&snapshot);
        counts.entries += expected.len() as u64;
        let most = expected.values().map(|found| found.links).max();
        counts.most_links = counts.most_links.max(most.unwrap());
        for at in 0..self.trees.len() {
            let (stream, tree) = &mut self.trees[at];
            let stream = *stream;
            let bytes = send(&snapshot, parent.as_deref(), stream);
            let before = tree.clone();
            let which = format!("seed {}, date {date}, {stream:?}", self.seed);
            let replayed = apply(&bytes, tree);
            // The header, the first command and the end command are about nothing.
            let first = u32::from_le_bytes(*bytes[17..].first_chunk().unwrap());
            let cost = bytes.len() as u64 - 17 - 10 - u64::from(first) - 10;
            self.streams[at].push(bytes);
            if let Err(error) = replayed {
                assert!(
                    matches!(error, ReplayError::Refused { .. }) && !self.can_be_received(at),
                    "{which}: {error:?}; its streams are in {}",
                    self.keep(at).display()
                );
                counts.not_received += 1;
                return false;
            }
            check_changes(&before, tree, parent.is_none(), &which);
            assert_eq!(tree.cost, cost, "{which}");
            for object in tree.objects.values() {
                for (bit, count) in counts.bits.iter_mut().enumerate() {
                    *count += u64::from(object.changed.0 >> bit & 1);
                }
            }
            let mut found = paths(tree);
            if stream == Stream::Compressed {
                counts.lost_ends += self.as_received(at, &expected, &mut found);
            }
            compare(&expected, &found, &which);
            self.compare_data(at, &expected, counts, &which);
        }
        true
    }

    /// Compares what the pieces of the files have with the snapshot, or where that differs with what `btrfs receive` makes.
    fn compare_data(
        &mut self,
        at: usize,
        expected: &BTreeMap<Vec<u8>, Found>,
        counts: &mut Counts,
        which: &str,
    ) {
        let streams = &self.streams[at];
        let tree = &mut self.pieces[at];
        let archive = streams.len() - 1;
        apply_pieces(&streams[archive], archive, tree);
        let snapshot = self.snapshots.last().unwrap();
        let mut differ = Vec::new();
        for (path, found) in expected {
            let name = path.escape_ascii();
            let object = tree
                .resolve(path)
                .unwrap()
                .unwrap_or_else(|| panic!("{which}: {name}"));
            let node = tree.extracted(object).unwrap();
            assert_eq!(
                (
                    node.mode,
                    node.uid,
                    node.gid,
                    node.rdev,
                    farthest(node.mtime)
                ),
                (
                    found.node.mode,
                    found.node.uid,
                    found.node.gid,
                    found.node.rdev,
                    found.node.mtime
                ),
                "{which}: {name}"
            );
            assert_eq!(node.target, found.node.target, "{which}: {name}");
            let mut xattrs = node.xattrs;
            xattrs.sort_unstable();
            assert_eq!(in_index_form(&xattrs), found.node.xattrs, "{which}: {name}");
            if found.node.mode & 0o170_000 != 0o100_000 {
                continue;
            }
            let data = data_of(tree, object, streams);
            let archived = fs::read(snapshot.join(std::ffi::OsStr::from_bytes(path))).unwrap();
            counts.pieces += tree.data(object).unwrap().pieces().count() as u64;
            if data != archived {
                differ.push((path.clone(), data));
            }
        }
        if differ.is_empty() {
            return;
        }
        let (stream, _) = self.trees[at];
        assert!(
            stream == Stream::Compressed,
            "{which}: the data of {:?}; the streams are in {}",
            differ[0].0.escape_ascii().to_string(),
            self.keep(at).display()
        );
        self.as_received_at(at, |place| {
            for (path, data) in &differ {
                let received = fs::read(place.join(std::ffi::OsStr::from_bytes(path))).unwrap();
                assert!(
                    received == *data,
                    "{which}: {}; the streams are in {}",
                    path.escape_ascii(),
                    self.keep(at).display()
                );
                counts.lost_data += 1;
            }
        });
    }

    /// Returns whether `btrfs receive` takes the streams of one kind.
    fn can_be_received(&self, at: usize) -> bool {
        let place = self.filesystem.path(format!("{} received", self.seed));
        fs::create_dir(&place).unwrap();
        let (last, before) = self.streams[at].split_last().unwrap();
        for stream in before {
            assert!(receive(stream, &place));
        }
        receive(last, &place)
    }

    /// Writes the streams of one kind into files, to look at them.
    fn keep(&self, at: usize) -> PathBuf {
        let directory = std::env::temp_dir().join(format!("replay-{}", self.seed));
        fs::create_dir_all(&directory).unwrap();
        for (date, stream) in self.streams[at].iter().enumerate() {
            fs::write(directory.join(date.to_string()), stream).unwrap();
        }
        directory
    }

    /// Takes sizes that differ from the snapshot for right if `btrfs receive` makes the same. Returns how many.
    fn as_received(
        &self,
        at: usize,
        expected: &BTreeMap<Vec<u8>, Found>,
        found: &mut BTreeMap<Vec<u8>, Found>,
    ) -> u64 {
        let differ = |path: &Vec<u8>, found: &Found| {
            let expected = expected.get(path);
            expected.is_some_and(|expected| expected.node.size != found.node.size)
        };
        if !found.iter().any(|(path, found)| differ(path, found)) {
            return 0;
        }
        let mut lost = 0;
        self.as_received_at(at, |received| {
            for (path, found) in found.iter_mut() {
                if differ(path, found) {
                    let below = std::ffi::OsStr::from_bytes(path);
                    let received = fs::symlink_metadata(received.join(below)).unwrap();
                    assert_eq!(received.size(), found.node.size);
                    found.node.size = expected[path].node.size;
                    lost += 1;
                }
            }
        });
        lost
    }

    /// Receives the streams of one kind, and looks at the newest of what that makes.
    fn as_received_at(&self, at: usize, look: impl FnOnce(&Path)) {
        let place = self.filesystem.path(format!("{} received", self.seed));
        fs::create_dir(&place).unwrap();
        for stream in &self.streams[at] {
            assert!(receive(stream, &place));
        }
        let name = self.snapshots.last().unwrap().file_name().unwrap();
        look(&place.join(name));
        for snapshot in &self.snapshots {
            btrfs(
                ["subvolume", "delete"],
                &[&place.join(snapshot.file_name().unwrap())],
            );
        }
        fs::remove_dir(place).unwrap();
    }
}

fn receive(stream: &[u8], place: &Path) -> bool {
    use std::io::Write as _;
    let mut child = Command::new("btrfs")
        .args(["-q", "receive"])
        .arg(place)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    // It may end before it has read all.
    let written = child.stdin.take().unwrap().write_all(stream);
    child.wait().unwrap().success() && written.is_ok()
}

fn compare(expected: &BTreeMap<Vec<u8>, Found>, found: &BTreeMap<Vec<u8>, Found>, which: &str) {
    for path in expected.keys().chain(found.keys()) {
        let shown = path.escape_ascii();
        assert_eq!(
            found.get(path),
            expected.get(path),
            "{which}: `{shown}` is not as in the snapshot"
        );
    }
}

/// What is said to have changed is what differs.
fn check_changes(before: &MemoryTree, after: &MemoryTree, full: bool, which: &str) {
    for (id, object) in &after.objects {
        let changed = object.changed;
        let old = before.objects.get(id);
        let Some(old) = old.filter(|_| !(full && *id == ObjectId::ROOT)) else {
            assert!(changed.has(Changed::MADE), "{which}: {id:?}");
            continue;
        };
        let (new, old) = (&object.node, &old.node);
        let attributes = |node: &FileNode| (node.mode, node.uid, node.gid, node.xattrs.clone());
        assert!(!changed.has(Changed::MADE));
        if new.size != old.size {
            assert!(changed.has(Changed::DATA), "{which}: {id:?}");
        }
        assert_eq!(
            changed.has(Changed::ATTRIBUTES),
            attributes(new) != attributes(old),
            "{which}: {id:?}"
        );
        if changed == Changed::default() {
            assert_eq!(new, old, "{which}: {id:?}");
        } else {
            assert!(object.cost > 0);
        }
    }
}

/// Returns a tree: every third one is all in memory, and the others have room there for a part or for nothing at all.
fn pieces_tree(seed: u64) -> PiecesTree {
    let limits = [1 << 30, 20_000, 1];
    let limit = limits[usize::try_from(seed / 2 % 3).unwrap()];
    PiecesTree::new(limit, TreeFilePlaces::at(&std::env::temp_dir()))
}

/// Makes chains and compares all dates of them.
fn chains(seeds: impl Iterator<Item = u64>, options: &str, streams: &[Stream]) -> Counts {
    let operations = from_env("COLDCHAIN_REPLAY_OPERATIONS", 60);
    let filesystem = LoopFs::with_options(4096, options);
    let mut counts = Counts::default();
    for seed in seeds {
        let live = filesystem.subvolume(format!("{seed}"));
        let mut chain = Chain {
            filesystem: &filesystem,
            seed,
            snapshots: Vec::new(),
            trees: streams
                .iter()
                .map(|stream| (*stream, MemoryTree::default()))
                .collect(),
            pieces: streams.iter().map(|_| pieces_tree(seed)).collect(),
            streams: vec![Vec::new(); streams.len()],
        };
        let mut busy = BusyTree::new(&live, Rng::new(seed));
        for _ in 0..DATES {
            busy.work(operations);
            if !chain.date(&live, &mut counts) {
                break;
            }
        }
        for snapshot in chain.snapshots.iter().chain([&live]) {
            btrfs(["subvolume", "delete"], &[snapshot]);
        }
    }
    eprintln!("{counts:?}");
    assert!(counts.bits.iter().all(|count| *count > 0), "{counts:?}");
    counts
}

fn seeds(first: u64) -> impl Iterator<Item = u64> {
    let from = from_env("COLDCHAIN_SEED", 1) * 100_000;
    (from..from + from_env("COLDCHAIN_REPLAY_CHAINS", 30))
        .skip(usize::try_from(first).unwrap())
        .step_by(2)
}

#[test]
fn the_replayed_tree_is_the_snapshot_at_every_date() {
    if !real_btrfs_available() {
        return;
    }
    let counts = chains(seeds(0), "", &[Stream::V1, Stream::V2]);
    assert!(counts.most_links > 3, "{counts:?}");
}

#[test]
fn the_replayed_tree_of_compressed_data_is_what_receive_makes() {
    if !real_btrfs_available() {
        return;
    }
    let streams = [Stream::V1, Stream::V2, Stream::Compressed];
    let kinds = ["zstd", "zlib", "lzo"].into_iter().enumerate();
    for (first, kind) in kinds {
        let seeds = seeds(1).skip(first).step_by(3);
        chains(seeds, &format!("compress-force={kind}"), &streams);
    }
}
