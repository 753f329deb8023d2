//! How much memory archiving takes, held against the limit that it was given: the largest resident set of
//! this process, which does nothing else than archive what it makes up. `scripts/soak memory` archives more.
//!
//! How much the guard takes of a hostile stream is here too: one test after the other, so that none takes memory
//! beside another.

mod common;

#[path = "memory/contents.rs"]
mod contents;

use std::collections::HashMap;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use chrono::NaiveDate;
use coldchain::btrfs::{Expect, Guard};
use coldchain::config::Config;
use coldchain::engine::{self, OpenStore, RunContext, StateDir, StreamSource};
use coldchain::error::Error;
use coldchain::model::{LedgerId, Sha256};
use coldchain::plan::memory::{archiving, context_bytes, longest_sealed};
use coldchain::progress::Quiet;
use coldchain::seal::generate_identity;
use coldchain::store::{
    DirStore, Layer, Listed, Locator, MemoryStore, NewObject, ObjectKind, Put, Stat, Store,
    StoreError, VaultSettings, VaultStore,
};

use common::bucket::patience_without_stalls;
use common::from_env;
use common::rng::Rng;
use common::sandbox::asked;
use common::stream_builder::StreamBuilder;
use common::vault::{Index, LEDGER, OwnVault, begin, description, key};
use common::vault_server::{Archive, REGION, VAULT, tree_hash};

/// Held by the one test that is at work.
fn alone() -> MutexGuard<'static, ()> {
    static AT_WORK: Mutex<()> = Mutex::new(());
    AT_WORK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A store at the end of a line of 200 MB/s that forgets what segments hold.
#[derive(Clone, Default)]
struct Forgetful {
    store: Arc<MemoryStore>,
    segments: Arc<Mutex<HashMap<String, (u64, Sha256)>>>,
}

impl Forgetful {
    /// What is said of an object, as if it were all there.
    fn as_stored(&self, key: &str, mut stat: Stat) -> Stat {
        if let Some((bytes, sha256)) = self.segments.lock().unwrap().get(key) {
            stat.bytes = *bytes;
            stat.sha256 = Some(*sha256);
        }
        stat
    }
}

impl Layer for Forgetful {
    fn below(&self) -> &dyn Store {
        &*self.store
    }

    fn put_if_absent(&self, object: &NewObject<'_>) -> Result<Put, StoreError> {
        if object.role != ObjectKind::Segment {
            return self.below().put_if_absent(object);
        }
        thread::sleep(Duration::from_nanos(object.bytes.len() as u64 * 5));
        let kept = (object.bytes.len() as u64, object.sha256);
        let mut segments = self.segments.lock().unwrap();
        segments.insert(object.key.to_owned(), kept);
        let nothing = Sha256::of(b"");
        let object = NewObject::new(object.key, Vec::new(), nothing, ObjectKind::Segment);
        self.below().put_if_absent(&object)
    }

    fn stat(&self, locator: &Locator) -> Result<Stat, StoreError> {
        let stat = self.below().stat(locator)?;
        Ok(self.as_stored(&locator.to_string(), stat))
    }

    fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        let listed = self.below().list(prefix)?.into_iter();
        let as_stored = |Listed { key, stat }| Listed {
            stat: self.as_stored(&key, stat),
            key,
        };
        Ok(listed.map(as_stored).collect())
    }
}

/// A full's send stream whose one file has so many bytes. Nothing repeats within a frame, so that what is
/// random is as good as incompressible.
struct Endless {
    begin: Vec<u8>,
    writes: Vec<u8>,
    end: Vec<u8>,
    /// How often the writes come.
    times: usize,
    at: usize,
}

impl Endless {
    fn new(number: u8, mib: u64, random: usize) -> Self {
        let stream = StreamBuilder::header(1)
            .subvol(b"2024-01-01", [number; 16], 10)
            .mkfile(b"a file");
        let begins = stream.bytes.len();
        let mut rng = Rng::new(u64::from(number));
        // Longer than a frame.
        let written = (0..6 * 32).fold(stream.clone(), |stream, at| {
            let mut data = rng.bytes(32 << 10);
            for line in data.chunks_mut(64) {
                line[random..].fill(b'a');
            }
            stream.write(b"a file", at << 15, &data)
        });
        let ended = stream.clone().finish();
        Self {
            writes: written.bytes[begins..].to_vec(),
            end: ended[begins..].to_vec(),
            begin: stream.bytes,
            times: usize::try_from(mib / 6).unwrap(),
            at: 0,
        }
    }
}

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let after = self.begin.len() + self.times * self.writes.len();
        let rest = if self.at < self.begin.len() {
            &self.begin[self.at..]
        } else if self.at < after {
            &self.writes[(self.at - self.begin.len()) % self.writes.len()..]
        } else {
            &self.end[self.at - after..]
        };
        let read = rest.len().min(buffer.len());
        buffer[..read].copy_from_slice(&rest[..read]);
        self.at += read;
        Ok(read)
    }
}

impl StreamSource for Endless {
    fn name(&self) -> &'static str {
        "stdin"
    }

    fn finish(self: Box<Self>) -> Result<(), Error> {
        Ok(())
    }
}

/// The largest resident set since it was last asked for, in MiB.
fn peak_mib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kib = line.unwrap().split_whitespace().nth(1).unwrap();
    fs::write("/proc/self/clear_refs", "5").unwrap();
    kib.parse::<u64>().unwrap() >> 10
}

/// Archives a stream of so many MiB with these lines at the top of the config, and returns the peak.
fn archived(number: u8, mib: u64, random: usize, top: &str) -> u64 {
    let directory = tempfile::tempdir().unwrap();
    let (_, recipient) = generate_identity();
    let text = format!(
        r#"
            timezone = "UTC"
            state_dir = "{at}/state"
            {top}

            [[source]]
            name = "home"
            store = "shelf"

            [store.shelf]
            type = "dir"
            path = "/nowhere"

            [encryption]
            recipients = ["{recipient}"]
        "#,
        at = directory.path().display(),
    );
    let config = Config::parse(&text, &directory.path().join("config.toml")).unwrap();
    let state_dir = StateDir::new(&config.state_dir);
    state_dir.create().unwrap();
    let keys = state_dir.new_keys(config.prune).unwrap();
    state_dir.write_keys(&keys).unwrap();
    let store = Forgetful::default();
    let stores: &OpenStore<'_> = &|_, _| Ok(Box::new(store.clone()));
    let context = RunContext {
        stores,
        ..RunContext::real(&Quiet)
    };
    let date: NaiveDate = "2024-01-01".parse().unwrap();
    let stream = Endless::new(number, mib, random);
    peak_mib();
    let source = &config.sources[0];
    engine::decide(
        &config,
        source,
        asked(&date.to_string()),
        context,
        stream,
        |_| Ok(()),
    )
    .unwrap();
    let peak = peak_mib();
    let segments = store.segments.lock().unwrap();
    let sealed: u64 = segments.values().map(|(bytes, _)| bytes >> 20).sum();
    println!(
        "{} segments, {sealed} MiB of {mib} MiB, with {top:?}: {peak} MiB",
        segments.len()
    );
    assert!(!segments.is_empty());
    peak
}

/// Set for the process that archives.
const ARCHIVES: &str = "COLDCHAIN_MEMORY_ARCHIVES";

#[test]
fn archiving_stays_within_its_limit_however_long_and_incompressible_the_stream_is() {
    let _alone = alone();
    // In a process of its own: what the allocator keeps of another test would count for it.
    if std::env::var_os(ARCHIVES).is_none() {
        let name = "archiving_stays_within_its_limit_however_long_and_incompressible_the_stream_is";
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(ARCHIVES, "1")
            .status();
        assert!(status.unwrap().success());
        return;
    }
    coldchain::allocator::give_back_large_buffers();
    let gib = std::env::var("COLDCHAIN_MEMORY_GIB").ok();
    let gib: u64 = gib.map_or(1, |gib| gib.parse().unwrap());

    let mut noise = Rng::new(1).bytes(4 << 20);
    noise.iter_mut().step_by(3).for_each(|byte| *byte = b'a');
    for level in 1..=19 {
        let mut compressor = zstd::bulk::Compressor::new(level).unwrap();
        compressor.include_checksum(true).unwrap();
        compressor.compress(&noise).unwrap();
        let takes = compressor.context_mut().sizeof() as u64;
        let reckoned = context_bytes(level);
        assert!(
            takes <= reckoned,
            "{level}: {takes} bytes, {reckoned} were reckoned with"
        );
    }
    drop(noise);

    // The small ones first: what the allocator keeps of a large one would count for them.
    let little = "segment_size = \"16MiB\"\nmemory_limit = \"160MiB\"\nthreads = 2";
    assert!(archived(1, 256, 64, little) <= 160);
    let many = "segment_size = \"16MiB\"\nmemory_limit = \"256MiB\"\nthreads = 64\ncompression = 1";
    assert!(archived(2, 256, 64, many) <= 256);
    assert!(archived(3, gib << 10, 64, "threads = 2") <= 512);
    assert!(archived(4, 600, 64, "threads = 64\ncompression = 1") <= 512);
    // A level that takes most of a thread's memory, and half of which is compressed.
    let hard = "threads = 8\ncompression = 15";
    assert!(archived(5, 60, 32, hard) <= 512);

    let room = archiving(512 << 20, 128 << 20, 3..=3, 64).unwrap();
    assert!(room.threads > 8 && room.held_bytes >= 2 * longest_sealed(128 << 20));
}

/// Kibibytes of memory that this process holds.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let mut words = line.unwrap().split_whitespace();
    words.nth(1).unwrap().parse().unwrap()
}

/// Symlinks below directories of their own, two thousand deep.
fn deep_symlinks() -> impl Iterator<Item = Vec<u8>> {
    let header = StreamBuilder::header(1).bytes.len();
    (0..).map(move |number: u32| {
        let path = [format!("{number}").as_bytes(), &b"/d".repeat(2040)].concat();
        StreamBuilder::header(1).symlink(&path, b"x").bytes[header..].to_vec()
    })
}

#[test]
fn deep_symlinks_take_little_memory_and_too_many_are_refused() {
    let _alone = alone();
    let mut guard = Guard::new(Expect::default());
    guard.push(&StreamBuilder::full(1).bytes).unwrap();
    let before = resident();
    let mut symlinks = deep_symlinks();
    for symlink in symlinks.by_ref().take(300) {
        guard.push(&symlink).unwrap();
    }
    let grown = resident().saturating_sub(before);
    assert!(grown < 64 << 10, "{grown} KiB");

    let error = symlinks.find_map(|symlink| guard.push(&symlink).err());
    let refusal = error.unwrap().refusal.to_string();
    let expected = "too many symlinks, devices, fifos and sockets: coldchain can check at most 4194304, \
                    counted with the directories that lead to them, with 64 MiB of names";
    assert!(refusal.contains(expected), "{refusal}");
    let grown = resident().saturating_sub(before);
    assert!(grown < 320 << 10, "{grown} KiB");
}

/// A vault with so many archives, of which every other one belongs to another machine, and whose inventory was read.
fn large_vault(count: u32) -> OwnVault {
    let vault = OwnVault::new();
    let store = vault.open(VaultSettings {
        patience: patience_without_stalls(),
        ..vault.settings()
    });
    let hash = tree_hash(b"x");
    vault.server.change(|state| {
        for at in 0..count {
            let owner = if at.is_multiple_of(2) {
                LEDGER
            } else {
                LedgerId([7; 16])
            };
            let archive = Archive {
                id: state.new_id(138),
                description: description(owner, &key(at, b"x"), b"x"),
                body: b"x".to_vec(),
                tree_hash: hash,
                created: begin(),
                deleted: None,
                hidden: false,
            };
            state.vault(VAULT).archives.push(archive);
        }
    });
    vault.take_inventory(&store);
    vault
}

/// What the test below starts itself with: where the inventory is, and how much a listing may take.
const LISTS: &str = "COLDCHAIN_TEST_LISTS";

/// Lists the segments of a vault by its kept inventory, and prints how many there are and by how many MiB that made the
/// process grow.
fn list(settings: &str) {
    let [directory, endpoint, limit] = settings.splitn(3, ' ').collect::<Vec<_>>()[..] else {
        panic!("{settings}");
    };
    let directory = Path::new(directory);
    let settings = VaultSettings {
        endpoint: Some(endpoint.to_owned()),
        listing_bytes: limit.parse().unwrap(),
        ..VaultSettings::new(REGION, VAULT)
    };
    let beside = DirStore::open(&directory.join("beside")).unwrap();
    let (beside, inventories) = (Box::new(beside), directory.join("state"));
    let store = VaultStore::open(settings, Box::new(|_| {}), beside, inventories).unwrap();
    store.know(Arc::new(Index::default()));
    let before = resident();
    let listed = store.list("home/").map_err(|error| error.kind);
    let grown = peak_mib().saturating_sub(before >> 10);
    println!("listed {:?} {grown}", listed.map(|listed| listed.len()));
}

/// `COLDCHAIN_ARCHIVES=100000` takes a minute where nothing is optimised.
#[test]
fn the_listing_of_a_large_vault_takes_what_its_limit_allows() {
    let _alone = alone();
    if let Ok(settings) = std::env::var(LISTS) {
        return list(&settings);
    }
    let count = u32::try_from(from_env("COLDCHAIN_ARCHIVES", 20_000)).unwrap();
    let vault = large_vault(count);
    let ours = u64::from(count) / 2;
    // In a process that has not made them.
    let list_within = |limit: u64| {
        let (at, endpoint) = (vault.directory.path().display(), vault.server.endpoint());
        let name = "the_listing_of_a_large_vault_takes_what_its_limit_allows";
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(LISTS, format!("{at} {endpoint} {limit}"))
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("listed "));
        line.unwrap_or_else(|| panic!("{text}")).to_owned()
    };
    // What is read and what is listed of it are counted apart, each against this limit.
    let limit = 450 * ours;
    let listed = list_within(limit);
    let grown = listed.strip_prefix(&format!("Ok({ours}) "));
    let grown: u64 = grown.unwrap_or_else(|| panic!("{listed}")).parse().unwrap();
    println!(
        "{ours} archives of {count} in an inventory, with {} MiB for a listing: {grown} MiB",
        limit >> 20
    );
    // The rest is what a process has that asks a server over HTTP: up to 9 MiB were seen.
    assert!(grown << 20 <= 2 * limit + (12 << 20), "{grown} MiB");
    let refused = list_within(limit / 2);
    assert!(refused.starts_with("Err(TooMany) "), "{refused}");
}
