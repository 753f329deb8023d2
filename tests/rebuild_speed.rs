//! How long it takes to rebuild a catalog of many archives from a directory, and what `list`, `plan` and
//! a shell's completion take with it. It asserts no time, but that all of it is there; `scripts/bench rebuild` and `scripts/bench
//! catalog` print what it takes.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use chrono::{Days, NaiveDate};
use coldchain::config::{PruneMode, StoreConfig};
use coldchain::engine::{NewKeys, Rebuilding, RunContext, StateDir, Trusted, Unfinished, rebuild};
use coldchain::ledger::{encode_body, root_grant, sign};
use coldchain::model::entry::{
    ArchiveEntry, Entry, EntryHead, EntryKind, FORMAT, OpenEntry, RetireEntry,
};
use coldchain::model::{
    ArchiveId, ArchiveKind, LedgerId, SegmentRecord, Sha256, Uuid, keys as names,
};
use coldchain::progress::Quiet;
use coldchain::seal::generate_identity;
use coldchain::store::DEFAULT_LISTING_BYTES;

use tempfile::TempDir;

use common::rng::Rng;

/// The date of the first archive.
const FIRST: NaiveDate = NaiveDate::from_ymd_opt(1999, 1, 1).unwrap();

/// Archives of a chain.
const CHAIN: u64 = 12;

/// Segments of an archive.
const SEGMENTS: usize = 3;

/// A ledger that is written straight into a directory, with small objects beside it.
struct Writer<'a> {
    store: &'a Path,
    keys: NewKeys,
    seq: u64,
    prev: Option<Sha256>,
}

impl Writer<'_> {
    fn write(&mut self, kind: EntryKind) {
        self.seq += 1;
        let head = EntryHead {
            format: FORMAT,
            ledger: LedgerId([7; 16]),
            source: "home".to_owned(),
            seq: self.seq,
            prev: self.prev,
            made_at: "2026-11-21T03:00:07Z".parse().unwrap(),
            timezone: "UTC".to_owned(),
            skips: Vec::new(),
        };
        let body = encode_body(&Entry { head, kind }).unwrap();
        self.prev = Some(Sha256::of(&body));
        let object = sign(&body, &self.keys.signing).unwrap();
        fs::write(
            self.store.join(names::ledger_entry("home", self.seq)),
            object,
        )
        .unwrap();
    }

    fn archive(
        &mut self,
        number: u64,
        before: Option<&ArchiveEntry>,
        stays: bool,
        rng: &mut Rng,
    ) -> ArchiveEntry {
        let id = ArchiveId {
            date: FIRST + Days::new(number),
            kind: match before {
                Some(_) => ArchiveKind::Incremental,
                None => ArchiveKind::Full,
            },
            nonce: number,
        };
        let object = |key: String, bytes: &[u8]| {
            if stays {
                fs::write(self.store.join(key), bytes).unwrap();
            }
        };
        if stays {
            fs::create_dir_all(self.store.join(names::archive_prefix("home", &id))).unwrap();
        }
        object(names::archive_key("home", &id), b"key");
        let segments: Vec<SegmentRecord> = (0..)
            .take(SEGMENTS)
            .map(|index| {
                let bytes = rng.bytes(32);
                let sha256 = Sha256::of(&bytes);
                let key = names::segment("home", &id, index, &sha256);
                object(key, &bytes);
                SegmentRecord {
                    raw_bytes: 64,
                    sealed_bytes: 32,
                    sha256,
                }
            })
            .collect();
        let archive = ArchiveEntry {
            id,
            date: id.date,
            slot: id.date,
            kind: id.kind,
            send_parent: before.map(|before| before.id),
            chain: before.map_or(id, |before| before.chain),
            stream_uuid: Uuid(rng.bytes(16).try_into().unwrap()),
            stream_ctransid: number,
            send_parent_uuid: before.map(|before| before.stream_uuid),
            raw_bytes: 64 * SEGMENTS as u64,
            sealed_bytes: 32 * SEGMENTS as u64,
            protocol: 1,
            compressed_data: None,
            kernel: Some("6.18".to_owned()),
            btrfs_progs: Some("6.2".to_owned()),
            segment_size: 64,
            frame_size: 64,
            key: "a2V5".repeat(100),
            recipients: Sha256([3; 32]),
            retain_until: None,
            segments,
            vault: None,
            contents: None,
            private: "cHJpdmF0ZQ==".repeat(40),
        };
        self.write(EntryKind::Archive(Box::new(archive.clone())));
        archive
    }

    fn retire(&mut self, chain: &[ArchiveEntry]) {
        self.write(EntryKind::Retire(RetireEntry {
            archives: chain.iter().map(|archive| archive.id).collect(),
            reason: "its time is over".to_owned(),
        }));
    }
}

/// Seconds that this process has computed so far, as the kernel counts them in hundredths: on a machine
/// that does other things too it tells more than the clock.
#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn computing() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let (_, after_name) = stat.rsplit_once(')').unwrap();
    // utime and stime are the 14th and 15th field, and the name in brackets is the second.
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks: u64 = fields[11..13]
        .iter()
        .map(|ticks| ticks.parse::<u64>().unwrap())
        .sum();
    ticks as f64 / 100.0
}

/// How many archives to make where nobody asked for more.
const FEW: u64 = 60;

fn asked_for() -> u64 {
    std::env::var("COLDCHAIN_BENCH_ARCHIVES").map_or(FEW, |count| count.parse().unwrap())
}

/// What becomes of old chains.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Old {
    /// All of them stay.
    Kept,
    /// They were retired and deleted, as nightly runs do: two are in sight.
    Retired,
}

/// A store with a ledger of many archives, and the catalog that was rebuilt from it.
struct Rebuilt {
    directory: TempDir,
    state_dir: StateDir,
    /// How many archives are in sight.
    visible: u64,
    /// How many chains these are.
    chains: u64,
}

impl Rebuilt {
    fn store(&self) -> PathBuf {
        self.directory.path().join("store")
    }
}

fn rebuilt(count: u64, old: Old) -> Rebuilt {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("store");
    fs::create_dir_all(store.join("home/ledger")).unwrap();
    let state_dir = StateDir::new(&directory.path().join("state"));
    let mut writer = Writer {
        store: &store,
        keys: state_dir.new_keys(PruneMode::AfterBackup).unwrap(),
        seq: 0,
        prev: None,
    };
    let root = writer.keys.root.public();
    let keys = vec![root_grant(&root), writer.keys.grant.clone()];
    writer.write(EntryKind::Open(OpenEntry { keys }));
    let mut rng = Rng::new(1);
    let mut chains: Vec<Vec<ArchiveEntry>> = Vec::new();
    for number in 0..count {
        if number % CHAIN == 0 {
            if old == Old::Retired && chains.len() == 2 {
                writer.retire(&chains.remove(0));
            }
            chains.push(Vec::new());
        }
        let stays = old == Old::Kept || number / CHAIN + 2 > (count - 1) / CHAIN;
        let chain = chains.last_mut().expect("one was pushed");
        chain.push(writer.archive(number, chain.last(), stays, &mut rng));
    }

    let trusted = Trusted {
        roots: vec![root],
        ..Trusted::default()
    };
    let rebuilding = Rebuilding {
        state_dir: &state_dir,
        stores: &[StoreConfig::Dir {
            path: store,
            cold: None,
            listing_bytes: DEFAULT_LISTING_BYTES,
        }],
        trusted: &trusted,
        identities: None,
        config: None,
        unfinished: Unfinished::Keep,
        included: &[],
        as_of: None,
    };
    let (begun, computed) = (Instant::now(), computing());
    let rebuilt = rebuild(&rebuilding, RunContext::real(&Quiet)).unwrap();
    let visible = chains.iter().map(|chain| chain.len() as u64).sum();
    println!(
        "rebuild: {count} archives of {SEGMENTS} segments, {visible} of them in sight, in {:.1} s, of which \
         {:.1} s computing",
        begun.elapsed().as_secs_f64(),
        computing() - computed
    );
    assert_eq!(rebuilt.damage(), 0);
    assert_eq!(rebuilt.read[0].archives, visible);
    Rebuilt {
        directory,
        state_dir,
        visible,
        chains: chains.len() as u64,
    }
}

#[test]
fn a_catalog_of_many_archives_is_rebuilt() {
    let count = asked_for();
    let made = rebuilt(count, Old::Kept);
    let catalog = made.state_dir.catalog().unwrap();
    let archives = catalog.archives(&LedgerId([7; 16])).unwrap();
    assert_eq!(archives.len() as u64, count);
}

#[test]
fn a_ledger_of_many_archives_is_listed_and_planned_with() {
    listed_and_planned(asked_for(), Old::Retired);
}

#[test]
fn many_archives_in_sight_are_listed_and_planned_with() {
    listed_and_planned(asked_for(), Old::Kept);
}

fn listed_and_planned(count: u64, old: Old) {
    let made = rebuilt(count, old);
    let config = made.directory.path().join("config.toml");
    fs::write(
        &config,
        format!(
            r#"
                timezone = "UTC"
                state_dir = "{state}"

                [[source]]
                name = "home"
                store = "shelf"

                [store.shelf]
                type = "dir"
                path = "{store}"

                [encryption]
                recipients = ["{recipient}"]
            "#,
            state = made.directory.path().join("state").display(),
            store = made.store().display(),
            recipient = generate_identity().1,
        ),
    )
    .unwrap();
    let lines = |text: &str| text.lines().count() as u64;
    let current = timed(&config, &["list"], count);
    assert_eq!(lines(&current), 1 + made.chains + made.visible, "{current}");
    let all = timed(&config, &["list", "--all"], count);
    assert_eq!(lines(&all), 1 + count.div_ceil(CHAIN) + count, "{all}");
    // There are so many nights only up to the far future.
    let next = (FIRST + Days::new(count)).to_string();
    let planned = timed(&config, &["plan", &next], count);
    assert!(planned.starts_with(&next), "{planned}");
    assert!(!planned.contains("later archive"), "{planned}");
    let words = ["complete", "zsh", "--", "show", "home", ""];
    let dates = timed(&config, &words, count);
    assert_eq!(lines(&dates), 1 + made.visible, "{dates}");
}

/// Runs the program several times, prints the median of what it took, and returns what it said.
fn timed(config: &Path, words: &[&str], archives: u64) -> String {
    let mut took = Vec::new();
    let mut said = String::new();
    for _ in 0..5 {
        let begun = Instant::now();
        let ran = Command::new(env!("CARGO_BIN_EXE_coldchain"))
            .arg("--config")
            .arg(config)
            .args(words)
            .output()
            .unwrap();
        took.push(begun.elapsed());
        assert!(ran.status.success(), "{ran:?}");
        said = String::from_utf8(ran.stdout).unwrap();
    }
    took.sort();
    println!(
        "{}: {:.3} s with {archives} archives",
        words.join(" "),
        took[2].as_secs_f64()
    );
    said
}
