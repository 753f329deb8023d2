//! How long the file index of a source takes to build, how large it is, and how long its answers take.
//!
//!     cargo bench --bench files -- [FILES [DATES [DIRECTORY]]]
//!     cargo bench --bench files -- pieces [FILES [MIB [DIRECTORY]]]
//!
//! The contents are made up: a full of so many paths (1,000,000), of which one in twelve is a directory, and then an
//! incremental for each other date (20 in all) that changes, adds or deletes one path in a hundred. At the end comes a second full. What a
//! load takes includes reading the contents from a file and replaying them. A question opens the index each time, as a
//! command does; the figure is the median of five. Nothing asserts a time.
//!
//! With `pieces`, it is the replay that `extract` makes, within so many MiB of memory (384).

#[path = "files/contents.rs"]
mod contents;
#[path = "files/pieces.rs"]
mod pieces;
#[path = "files/questions.rs"]
mod questions;

use std::fs::{self, File};
use std::io::{BufReader, Seek as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use coldchain::btrfs::{ContentsReader, Expect};
use coldchain::engine::{SignedContents, load_contents};
use coldchain::files_db::{ArchiveToLoad, FilesDb, LoadBase};
use coldchain::interrupt::Interrupt;
use coldchain::model::{ArchiveId, LedgerId, Sha256};
use rustix::time::{ClockId, clock_gettime};

use contents::MadeUpTree;

/// The ledger whose index it is.
const LEDGER: LedgerId = LedgerId([7; 16]);

fn main() {
    // `cargo bench` adds an option of its own.
    let mut given = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with("--"))
        .peekable();
    if given.next_if(|word| word == "pieces").is_some() {
        let files: u64 = given.next().map_or(1_000_000, |word| word.parse().unwrap());
        let limit = given.next().map_or(384, |word| word.parse().unwrap());
        let place = given.next().map_or_else(std::env::temp_dir, PathBuf::from);
        let directory = tempfile::tempdir_in(place).unwrap();
        return pieces::replay(&MadeUpTree { files }, limit, directory.path());
    }
    let files: u64 = given.next().map_or(1_000_000, |word| word.parse().unwrap());
    let dates: u64 = given.next().map_or(20, |word| word.parse().unwrap());
    let place = given.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let directory = tempfile::tempdir_in(place).unwrap();
    let index = directory.path().join("index.db");
    let made = directory.path().join("contents");
    let tree = MadeUpTree { files };
    let mut bench = Bench {
        index: &index,
        contents: &made,
        archives: Vec::new(),
    };
    println!("{files} paths, {dates} dates");
    tree.full(&made, 0);
    bench.load("a full", None);
    for date in 1..dates {
        tree.incremental(&made, date);
        let before = bench.archives.last().copied();
        bench.load(&format!("the incremental of date {}", date + 1), before);
    }
    tree.full(&made, dates - 1);
    bench.load("another full of the same", None);
    questions::ask_all(&index, &LEDGER, &bench.archives);
}

/// The index that is built.
struct Bench<'a> {
    index: &'a Path,
    contents: &'a Path,
    archives: Vec<ArchiveId>,
}

impl Bench<'_> {
    /// Loads the contents that were just made.
    fn load(&mut self, what: &str, before: Option<ArchiveId>) {
        let number = self.archives.len();
        let kind = if before.is_none() { "full" } else { "incr" };
        let id: ArchiveId = format!("2026-01-{:02}-{kind}-{number:016x}", number % 31 + 1)
            .parse()
            .unwrap();
        let archive = ArchiveToLoad {
            id,
            date: id.date,
            contents: Sha256([0; 32]),
        };
        let base = before.map_or(LoadBase::Nothing, LoadBase::Archive);
        let contents = File::open(self.contents).unwrap();
        let of = SignedContents {
            archive,
            base,
            expect: Expect::default(),
            raw_bytes: raw_bytes(&contents),
            stream_bytes: contents.metadata().unwrap().len(),
        };
        // The highest memory of the process is counted from here.
        let _ = fs::write("/proc/self/clear_refs", "5");
        let (began, cpu) = (Instant::now(), processor_time());
        let mut index = FilesDb::open(self.index, &LEDGER).unwrap();
        let interrupt = Interrupt::default();
        load_contents(&mut index, of, contents, &interrupt).unwrap();
        drop(index);
        println!(
            "{what}: {:.2} s of the processor, {:.2} s, at most {} MiB of memory; contents {:.1} MB, index {:.1} MB",
            processor_time().saturating_sub(cpu).as_secs_f64(),
            began.elapsed().as_secs_f64(),
            highest_memory(),
            megabytes(self.contents),
            megabytes(self.index),
        );
        self.archives.push(id);
    }
}

/// Returns how long the stream is that these are the contents of.
fn raw_bytes(mut contents: &File) -> u64 {
    let mut reader = ContentsReader::open(BufReader::new(contents), Expect::default()).unwrap();
    while reader.next_command().unwrap().is_some() {}
    let raw = reader.offset();
    contents.rewind().unwrap();
    raw
}

fn processor_time() -> Duration {
    clock_gettime(ClockId::ProcessCPUTime).try_into().unwrap()
}

/// Returns the most memory that the process had, in MiB.
fn highest_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    kib.map_or(0, |kib| kib.parse::<u64>().unwrap() >> 10)
}

#[expect(clippy::cast_precision_loss, reason = "it is printed")]
fn megabytes(path: &Path) -> f64 {
    fs::metadata(path).unwrap().len() as f64 / 1e6
}
