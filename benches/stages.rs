//! How fast the stages are, each alone: the guard, hashing, sealing and opening, and the planner.
//! `cargo bench` prints the median of five rounds. Nothing asserts a time.

#[path = "../tests/common/stream_builder.rs"]
mod stream_builder;

use std::hint::black_box;
use std::io::Read;
use std::time::{Duration, Instant};

use chrono::{Days, NaiveDate};
use coldchain::btrfs::{Expect, Guard};
use coldchain::model::{Blake3, Sha256};
use coldchain::plan::{
    Facts, History, ListedAsOf, Request, Schedule, SendParentSnapshot, simulate,
};
use coldchain::seal::{
    ArchiveKey, SealOptions, Sealed, SealedSegment, Sealer, SelfCheck, open_segment,
};
use stream_builder::StreamBuilder;

const MIB: usize = 1 << 20;

fn main() {
    let stream = stream();
    let bytes = stream.len();
    bench("guard", bytes, || {
        let mut guard = Guard::new(Expect::default());
        for piece in stream.chunks(4 * MIB) {
            guard.push(piece).unwrap();
        }
        guard.finish().unwrap();
    });
    bench("SHA-256", bytes, || {
        black_box(Sha256::of(&stream));
    });
    bench("BLAKE3", bytes, || {
        black_box(Blake3(*blake3::hash(&stream).as_bytes()));
    });
    let key = ArchiveKey::generate();
    for (level, threads) in [(1, 1), (3, 1), (3, 2), (12, 2)] {
        bench(
            &format!("seal, level {level}, {threads} threads"),
            bytes,
            || {
                black_box(seal(&stream, &key, level, threads));
            },
        );
    }
    let sealed = seal(&stream, &key, 3, 2);
    let check = SelfCheck::new(&key, 4 * MIB);
    bench("self check", bytes, || {
        for segment in &sealed {
            check.check(segment).unwrap();
        }
    });
    bench("open", bytes, || {
        let mut buffer = vec![0; MIB];
        for segment in &sealed {
            let mut opened = open_segment(&segment.bytes, &key, segment.raw_bytes).unwrap();
            while opened.read(&mut buffer).unwrap() > 0 {}
        }
    });
    plan();
}

/// A send stream of 96 MiB of which about half can be compressed.
fn stream() -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut data = vec![0_u8; 32 << 10];
    let begun = StreamBuilder::header(1)
        .subvol(b"2026-11-21", [7; 16], 10)
        .mkfile(b"a file");
    let written = (0..96 * 32).fold(begun, |stream, at| {
        for word in data.chunks_exact_mut(16) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            word[..8].copy_from_slice(&state.to_le_bytes());
        }
        stream.write(b"a file", at << 15, &data)
    });
    written.finish()
}

fn seal(stream: &[u8], key: &ArchiveKey, level: i32, threads: usize) -> Vec<SealedSegment> {
    let options = SealOptions {
        segment_bytes: 32 * MIB as u64,
        frame_bytes: 4 * MIB,
        level,
        held_bytes: u64::MAX / 2,
        threads,
    };
    let (mut sealer, receiver) = Sealer::start(options, key).unwrap();
    let taker = std::thread::spawn(move || {
        let segments = receiver.iter().filter_map(|sealed| match sealed {
            Sealed::Segment(segment) => Some(segment),
            Sealed::Finished => None,
            Sealed::Failed(error) => panic!("{error}"),
        });
        segments.collect()
    });
    for frame in stream.chunks(options.frame_bytes) {
        let mut buffer = sealer.buffer();
        buffer.clear();
        buffer.extend_from_slice(frame);
        sealer.push(buffer).unwrap();
    }
    sealer.finish().unwrap();
    taker.join().unwrap()
}

/// Ten years of nights.
fn plan() {
    let date: NaiveDate = "2026-01-01".parse().unwrap();
    let nights = 3650;
    let took = median(|| {
        let facts = Facts {
            source: "home".parse().unwrap(),
            date,
            request: Request::Scheduled,
            history: History::default(),
            send_parent: SendParentSnapshot::NotLocal,
            older_send_parent: None,
            recipients: Sha256([0; 32]),
            listed_as_of: ListedAsOf::Now,
        };
        let plans = simulate(facts, &Schedule::default(), date + Days::new(nights));
        assert!(black_box(plans).len() as u64 >= nights);
    });
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let each = took.as_secs_f64() * 1e6 / nights as f64;
    println!("planner: {each:.1} µs a night, over {nights} nights");
}

fn bench(what: &str, bytes: usize, act: impl FnMut()) {
    let took = median(act);
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let rate = bytes as f64 / 1e6 / took.as_secs_f64();
    println!("{what}: {rate:.0} MB/s");
}

fn median(mut act: impl FnMut()) -> Duration {
    let mut rounds: Vec<Duration> = (0..5)
        .map(|_| {
            let begun = Instant::now();
            act();
            begun.elapsed()
        })
        .collect();
    rounds.sort();
    rounds[2]
}
