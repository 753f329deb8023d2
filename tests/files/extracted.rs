//! Random chains, archived and extracted by the program: what it makes on other filesystems is the snapshot.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use coldchain::config::Config;
use coldchain::engine::{
    AllNames, AtOnce, ExtractOptions, ExtractTarget, Extracting, Extraction, OpenSource,
    OtherPlaces, ReadChain, RunContext, StateDir, Which, plan_details,
};
use coldchain::progress::Quiet;
use coldchain::seal::Identities;

use super::oracle::{Found, find};
use crate::common::busy_tree::BusyTree;
use crate::common::from_env;
use crate::common::loopfs::{LoopFs, real_btrfs_available};
use crate::common::machine::{LIVE_CONFIG, Machine};
use crate::common::rng::Rng;
use crate::common::tmpfs::Tmpfs;

/// Nights of a chain.
pub(crate) const DATES: [&str; 4] = ["2026-11-07", "2026-11-14", "2026-11-21", "2026-12-01"];

/// The earliest time that ext4 has: the seconds of 1901, in nanoseconds.
const EARLIEST: i64 = -(1 << 31) * 1_000_000_000;

/// The bytes of a file's extended attributes that ext4 surely has room for.
const LONGEST_XATTRS: usize = 2048;

/// What a chain is extracted onto.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Onto {
    /// The filesystem of temporary files.
    Disk,
    Memory,
    Btrfs,
}

/// A tree that was archived, and its filesystem.
pub(crate) struct Chain {
    pub(crate) machine: Machine,
    seed: u64,
}

impl Chain {
    /// Archives a busy tree on each date. Stops early where the kernel's sender makes a stream that nobody can receive.
    pub(crate) fn new(seed: u64, settings: &str, options: &str) -> Self {
        let machine = Machine::with_subvolume_on(LoopFs::with_options(1024, options));
        let config = LIVE_CONFIG.replace(
            "store = \"disk\"\n",
            &format!("store = \"disk\"\n{settings}\n"),
        );
        machine.write_config(&config);
        let live = machine.btrfs().path("home");
        let mut busy = BusyTree::new(&live, Rng::new(seed));
        for date in DATES {
            busy.work(from_env("COLDCHAIN_EXTRACT_OPERATIONS", 120));
            let run = machine.run(&format!("backup home {date} --quiet"));
            assert_eq!(run.code, Some(0), "seed {seed}, {date}: {}", run.stderr);
        }
        Self { machine, seed }
    }

    pub(crate) fn snapshot(&self, date: &str) -> PathBuf {
        self.machine.btrfs().path("snapshots").join(date)
    }

    /// Restores all dates, and returns where they are.
    fn receive(&self) -> PathBuf {
        let restored = self.machine.btrfs().path("restored");
        fs::create_dir(&restored).unwrap();
        let at = restored.join("home");
        for date in DATES {
            // An archive may have been sent against another one than the last: that is not on the way to the newest.
            if at.join(date).exists() {
                continue;
            }
            let words = format!(
                "restore home --from store --date {date} --identity $T/kit --yes --quiet --to"
            );
            let mut command = self.machine.command(&words);
            let run = self.machine.run_command(command.arg(&restored));
            assert_eq!(run.code, Some(0), "seed {}, {date}: {run:?}", self.seed);
        }
        at
    }

    /// Extracts by a command.
    fn extract(&self, onto: Onto, words: &str, list: &[&Path]) {
        let words = format!("extract home --identity $T/kit --devices {words}");
        let mut command = self.machine.command(&words);
        let run = self.machine.run_command(command.args(list));
        let is_kept = match run.code {
            Some(0) => true,
            // ext4 can't have all times, and no extended attributes of more than a block.
            Some(4) => {
                let lines = run
                    .stderr
                    .lines()
                    .filter(|line| line.starts_with("warning"));
                let of_disk = |line: &str| {
                    line.contains(": the time was not kept")
                        || line.contains(": an extended attribute or ACL was not kept")
                };
                matches!(onto, Onto::Disk)
                    && lines.clone().count() > 0
                    && lines.clone().all(of_disk)
            }
            _ => false,
        };
        assert!(is_kept, "seed {}: {words}: {run:?}", self.seed);
    }
}

/// Extracts all of a date within so many bytes of memory for its names and pieces: what does not fit goes to disk.
fn extract_within(machine: &Machine, limit: u64, date: &str, to: &Path) {
    let path = machine.path("config.toml");
    let config = Config::parse(&fs::read_to_string(&path).unwrap(), &path).unwrap();
    let (source, context) = (&config.sources[0], RunContext::real(&Quiet));
    let catalog = StateDir::new(&config.state_dir).catalog().unwrap();
    let (plan, _) = plan_details(
        source,
        Some(date.parse().unwrap()),
        Which::Visible,
        &catalog,
    )
    .unwrap();
    let identities = Identities::from_file(&machine.path("kit"), &|_| None).unwrap();
    let chain = ReadChain::of_plan_within(
        limit,
        (&config, source),
        &plan,
        (&identities, "kit"),
        &catalog,
        context,
    );
    let chain = chain.unwrap();
    assert!(chain.tree.is_on_disk() || chain.tree.memory() <= limit);
    let names = AllNames::within(&chain.tree, u64::MAX)
        .select(&[Vec::new()])
        .unwrap();
    let extraction = Extraction::plan(chain, names).unwrap();
    let open = OpenSource {
        config: source,
        row: catalog.source(&source.name).unwrap().unwrap(),
        store: context.open(config.store_of(source).unwrap()).unwrap(),
    };
    let others = OtherPlaces::beside((&config, source), (None, false), &catalog, &Quiet).unwrap();
    let extracting = Extracting {
        source: &open,
        extraction: &extraction,
        class: None,
        others: &others,
        at_once: AtOnce {
            asked_for: 2,
            memory_limit: 128 << 20,
        },
        observer: &Quiet,
        interrupt: context.interrupt,
    };
    let target = ExtractTarget::open(
        to,
        "within",
        &extraction.selection.entries,
        ExtractOptions { devices: true },
        context.interrupt,
    );
    let end = extracting.extract(target.unwrap(), &catalog).unwrap();
    assert!(end.lost.is_empty(), "{end:?}");
}

/// What is compared of an extracted tree: all but inode numbers and the times of changes.
fn comparable(root: &Path, onto: Onto) -> BTreeMap<Vec<u8>, (Found, Vec<u8>)> {
    let mut links: BTreeMap<u64, u64> = BTreeMap::new();
    let found = find(root).into_iter().map(|(path, mut found)| {
        let next = links.len() as u64;
        let is_file = found.node.mode & 0o170_000 == 0o100_000;
        let data = if is_file {
            fs::read(root.join(OsStr::from_bytes(&path))).unwrap()
        } else {
            Vec::new()
        };
        // Which names are one inode, and not its number.
        found.node.inode = *links.entry(found.node.inode).or_insert(next);
        found.node.ctime = 0;
        if matches!(onto, Onto::Disk) {
            found.node.mtime = found.node.mtime.max(EARLIEST);
        }
        (path, (found, data))
    });
    found.collect()
}

/// The bytes of a file's extended attributes.
fn xattr_bytes(path: &Path) -> usize {
    let mut names = vec![0; 64 << 10];
    let length = rustix::fs::llistxattr(path, &mut names[..]).unwrap();
    let names = names[..length].split_inclusive(|&byte| byte == 0);
    let bytes = names.map(|name| {
        let name = std::ffi::CStr::from_bytes_with_nul(name).unwrap();
        let mut value = vec![0; 64 << 10];
        let value = rustix::fs::lgetxattr(path, name, &mut value[..]).unwrap();
        name.count_bytes() + value
    });
    bytes.sum()
}

pub(crate) fn compare((expected, onto): (&Path, Onto), found: &Path, what: &str) {
    let root = expected;
    let (expected, found) = (comparable(expected, onto), comparable(found, onto));
    for path in expected.keys().chain(found.keys()) {
        // The target itself was not extracted.
        if path.is_empty() {
            continue;
        }
        let name = path.escape_ascii();
        let (is, was) = (found.get(path), expected.get(path));
        let xattrs = || xattr_bytes(&root.join(OsStr::from_bytes(path)));
        let without_xattrs =
            matches!(onto, Onto::Disk) && was.is_some() && xattrs() > LONGEST_XATTRS;
        let facts = |it: Option<&(Found, Vec<u8>)>| {
            let mut found = it?.0.clone();
            if without_xattrs {
                found.node.xattrs.clear();
            }
            Some(found)
        };
        assert_eq!(facts(is), facts(was), "{what}: `{name}`");
        let data = |it: Option<&(Found, Vec<u8>)>| it.map(|(_, data)| data.clone());
        assert!(data(is) == data(was), "{what}: the data of `{name}`");
    }
}

/// Extracts a chain at each date, whole and in parts.
fn check(chain: &Chain, onto: Onto, as_received: bool) {
    let mut memory = None;
    let mut btrfs = None;
    let to = match onto {
        Onto::Disk => chain.machine.path("to"),
        Onto::Memory => {
            let to = chain.machine.path("memory");
            memory = Some(Tmpfs::on(&to, 1 << 20));
            to
        }
        Onto::Btrfs => btrfs.insert(LoopFs::new(1024)).path(""),
    };
    fs::create_dir_all(&to).unwrap();
    let received = as_received.then(|| chain.receive());
    let mut rng = Rng::new(chain.seed);
    for date in DATES {
        let what = format!("seed {}, {date}, {onto:?}", chain.seed);
        let expected = match &received {
            Some(received) => received.join(date),
            None => chain.snapshot(date),
        };
        let whole = to.join(date);
        chain.extract(onto, &format!("/ --date {date} --to"), &[&whole]);
        compare((&expected, onto), &whole, &what);
        // The same again with names and pieces on disk: all that is changed, and then only what is too much.
        let limit = if date == DATES[1] { 1 } else { 10_000 };
        let by_disk = to.join(format!("{date} by disk"));
        extract_within(&chain.machine, limit, date, &by_disk);
        compare((&expected, onto), &by_disk, &format!("{what}, by disk"));
        // Some paths alone.
        let paths: Vec<Vec<u8>> = find(&expected)
            .into_keys()
            .filter(|it| !it.is_empty())
            .collect();
        let some: Vec<&Vec<u8>> = (0..3).map(|_| rng.pick(&paths)).collect();
        let list = chain.machine.path("list");
        let all = some.iter().flat_map(|path| [&path[..], b"\0"].concat());
        fs::write(&list, all.collect::<Vec<u8>>()).unwrap();
        let parts = to.join(format!("{date} parts"));
        let words = format!("--date {date} -0 --from-file");
        chain.extract(onto, &words, &[&list, Path::new("--to"), &parts]);
        let (expected, found) = (comparable(&expected, onto), comparable(&parts, onto));
        for path in some {
            let (is, was) = (&found[path], &expected[path]);
            assert!(
                is.1 == was.1,
                "{what}: the data of `{}`",
                path.escape_ascii()
            );
            let facts = |found: &Found| (found.node.mode, found.node.mtime, found.node.size);
            assert_eq!(
                facts(&is.0),
                facts(&was.0),
                "{what}: `{}`",
                path.escape_ascii()
            );
        }
    }
    drop((memory, btrfs));
}

/// Checks chains, each onto another kind of filesystem.
fn chains(first: u64, settings: &str, options: &str) {
    if !real_btrfs_available() {
        return;
    }
    let from = from_env("COLDCHAIN_SEED", 1) * 100_000;
    let chains = from_env("COLDCHAIN_EXTRACT_CHAINS", 1);
    for seed in (from + first..)
        .step_by(7)
        .take(usize::try_from(chains).unwrap())
    {
        // A test prints it if it fails.
        println!("seed {seed}");
        let chain = Chain::new(seed, settings, options);
        let onto = [Onto::Disk, Onto::Memory, Onto::Btrfs];
        let onto = onto[usize::try_from((seed + first) % 3).unwrap()];
        check(&chain, onto, settings.contains("compressed_data"));
    }
}

#[test]
fn a_chain_of_protocol_1_is_extracted_as_its_snapshots_are() {
    chains(0, "protocol = 1", "");
}

#[test]
fn a_chain_of_protocol_2_is_extracted_as_its_snapshots_are() {
    chains(1, "protocol = 2", "");
}

#[test]
fn a_chain_of_compressed_data_is_extracted_as_it_is_received() {
    for (first, kind) in (2..).zip(["zstd", "zlib", "lzo"]) {
        let options = format!("compress-force={kind}");
        chains(first, "compressed_data = \"inexact\"", &options);
    }
}
