//! What the first archives of a new config will take, measured before there is one.

use std::thread;
use std::time::{Duration, Instant};

use crate::btrfs::{FileTotals, HeldDirectory};
use crate::config::{Config, Source, StoreConfig};
use crate::engine::context::RunContext;
use crate::engine::context::open_source::impatient;
use crate::engine::restore::cost::pricing;
use crate::error::Error;
use crate::model::{SourceName, StorageClass};
use crate::plan::{Pricing, Usd, divided};
use crate::seal::{ArchiveKey, SealOptions, Sealed, Sealer};
use crate::store::{StoreError, rate_of_upload};

/// How long the files of one source are counted.
const COUNTING: Duration = Duration::from_mins(1);

/// How long a sample of one source is read.
const SAMPLING: Duration = Duration::from_secs(10);

/// Bytes at each place of a sample.
const PLACE_BYTES: usize = 1 << 20;

/// Raw bytes of a frame.
const FRAME_BYTES: usize = 4 << 20;

/// What the first full archive of a source will take.
#[derive(Debug)]
pub struct FirstFull {
    /// The source.
    pub source: SourceName,
    /// What it holds.
    pub totals: FileTotals,
    /// How many bytes of it were compressed and sealed to find out what is left of them; 0 if there are none.
    pub sampled_bytes: u64,
    /// About how many bytes its segments will have.
    pub sealed_bytes: u64,
    /// How many bytes a second were read, compressed and sealed, the slower of both; `None` without a sample.
    pub local_rate: Option<u64>,
    /// What a month costs in the store; `None` if its prices are not known.
    pub usd_a_month: Option<Usd>,
    /// What its requests cost, once.
    pub usd_once: Option<Usd>,
}

/// Counts and samples what a source holds, and compresses the sample as an archive would.
pub fn first_full(
    config: &Config,
    source: &Source,
    store: &StoreConfig,
) -> Result<FirstFull, Error> {
    let live = source.live.as_ref().expect("a new source has a subvolume");
    let subvolume = HeldDirectory::open(&live.subvolume)?;
    let totals = subvolume.file_totals(Instant::now() + COUNTING)?;
    let begun = Instant::now();
    let sample = subvolume.read_sample(&totals, PLACE_BYTES, begun + SAMPLING);
    let reading = begun.elapsed();
    let sampled_bytes: u64 = sample.iter().map(|data| data.len() as u64).sum();
    let begun = Instant::now();
    let sealed = if sampled_bytes > 0 {
        seal(config, source, sample)?
    } else {
        0
    };
    let slowest = reading.max(begun.elapsed());
    let sealed_bytes = match sampled_bytes {
        0 => totals.bytes,
        raw => part_of(totals.bytes, sealed, raw),
    };
    let class = store.storage_class().unwrap_or(StorageClass::Standard);
    let segments = divided(totals.bytes, sealed_bytes, source.segment_bytes, class);
    let pricing = pricing(store, &config.prices);
    let put = config.prices.class(class).put_per_1000;
    Ok(FirstFull {
        source: source.name.clone(),
        sampled_bytes,
        sealed_bytes,
        local_rate: (sampled_bytes > 0).then(|| rate(sampled_bytes, slowest)),
        usd_a_month: segments.priced(pricing, &config.prices).usd,
        usd_once: (pricing == Pricing::Known).then(|| put.of_requests(segments.objects)),
        totals,
    })
}

/// Stores a random object, deletes it again, and returns how many bytes a second went there.
pub fn upload_rate(
    config: &Config,
    source: &Source,
    context: &RunContext<'_>,
) -> Result<u64, Error> {
    let store = config.store_of(source)?;
    // As for the objects of `doctor`.
    let below = match store {
        StoreConfig::Dir { .. } => String::new(),
        StoreConfig::S3 { .. } | StoreConfig::Vault { .. } => format!("{}/", source.directory),
    };
    let store = context.open(&impatient(store))?;
    rate_of_upload(store.as_ref(), &below).map_err(|error: StoreError| error.into())
}

/// Returns `bytes * part / whole`.
fn part_of(bytes: u64, part: u64, whole: u64) -> u64 {
    let part = u128::from(bytes) * u128::from(part) / u128::from(whole);
    u64::try_from(part).unwrap_or(u64::MAX)
}

/// Returns bytes a second, at least 1.
fn rate(bytes: u64, took: Duration) -> u64 {
    let nanoseconds = took.as_nanos().max(1);
    let rate = u128::from(bytes) * 1_000_000_000 / nanoseconds;
    u64::try_from(rate).unwrap_or(u64::MAX).max(1)
}

/// Compresses and seals a sample as an archive of the source would be, and returns the sealed bytes.
fn seal(config: &Config, source: &Source, sample: Vec<Vec<u8>>) -> Result<u64, Error> {
    let room = config.archiving(source.segment_bytes);
    let options = SealOptions {
        segment_bytes: source.segment_bytes,
        frame_bytes: FRAME_BYTES,
        level: room.highest_level,
        held_bytes: room.held_bytes,
        threads: room.threads,
    };
    let (mut sealer, segments) = Sealer::start(options, &ArchiveKey::generate())?;
    let counted = thread::spawn(move || {
        let lengths = segments.iter().map(|sealed| match sealed {
            Sealed::Segment(segment) => segment.bytes.len() as u64,
            Sealed::Finished | Sealed::Failed(_) => 0,
        });
        lengths.sum()
    });
    let mut frame = Vec::with_capacity(FRAME_BYTES);
    for data in sample {
        let room = FRAME_BYTES - frame.len();
        let (now, later) = data.split_at(room.min(data.len()));
        frame.extend_from_slice(now);
        if frame.len() == FRAME_BYTES {
            sealer.push(std::mem::replace(&mut frame, later.to_vec()))?;
        }
    }
    if !frame.is_empty() {
        sealer.push(frame)?;
    }
    sealer.finish()?;
    Ok(counted.join().expect("it only counts"))
}
