//! Sealed segments and sealed keys: as they lie in a store, and with an inside that somebody made who
//! knows the archive key.
//!
//! The reader never gives more than what was announced, gives the same however it is asked, and where it
//! gives everything zstd alone gives the same.

use std::io::{self, Read};
use std::sync::LazyLock;

use coldchain::seal::{ArchiveKey, open_segment};

use super::Outcome;
use super::fixtures;
use super::input::{Input, seed};

const SEALED: u8 = 0;
const INSIDE: u8 = 1;
const FRAMES: u8 = 2;
const KEYS: u8 = 3;

/// The most that is announced: what follows a frame's largest window is more of the same.
const MOST: u64 = 4 << 20;

/// As the reader has it.
const LARGEST_WINDOW_LOG: u32 = 24;

/// A fixed key. It opens what the fixture's kit opens too.
fn key() -> &'static ArchiveKey {
    static KEY: LazyLock<ArchiveKey> = LazyLock::new(|| {
        let kit = &fixtures::all()[0].kit_text;
        let secret = kit.lines().find(|line| line.starts_with("AGE-SECRET-KEY-"));
        ArchiveKey::from_secret_string(secret.expect("a kit has one")).expect("it reads")
    });
    &KEY
}

pub fn run(data: &[u8]) -> Outcome {
    let mut input = Input::new(data);
    let mode = input.byte() % 4;
    let announced = u64::from(input.u32()) % (MOST + 1);
    let buffer = input.u16();
    match mode {
        SEALED => {
            let archives = fixtures::all().iter().flat_map(|it| &it.archives);
            let keys: Vec<&ArchiveKey> = archives.map(|archive| &archive.key).collect();
            let key = input.pick(&keys);
            opened(input.rest(), key, announced, buffer).0
        }
        INSIDE => inside(input.rest(), announced, buffer),
        FRAMES => {
            let (plain, raw_bytes) = frames(&mut input);
            // Mostly what it really is.
            let announced = if announced == MOST {
                announced
            } else {
                raw_bytes
            };
            inside(&plain, announced, buffer)
        }
        _ => keys(input.rest()),
    }
}

/// Reads a segment to its end, or its fault.
fn opened(sealed: &[u8], key: &ArchiveKey, announced: u64, buffer: u16) -> (Outcome, Vec<u8>) {
    let mut reader = match open_segment(sealed, key, announced) {
        Ok(reader) => reader,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return (Outcome::Refused, Vec::new());
        }
    };
    let mut raw = Vec::new();
    // However small, not so small that it takes seconds.
    let least = usize::try_from(announced >> 12).expect("it is little");
    let mut buffer = vec![0; 1 + usize::from(buffer).max(least)];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => {
                assert_eq!(raw.len() as u64, announced, "an end is a whole segment");
                return (Outcome::Accepted, raw);
            }
            Ok(read) => raw.extend_from_slice(&buffer[..read]),
            Err(error) => {
                assert!(!error.to_string().is_empty());
                assert!((raw.len() as u64) < announced.max(1));
                assert!(reader.read(&mut buffer).is_err(), "it fails for good");
                return (Outcome::Refused, raw);
            }
        }
        assert!(raw.len() as u64 <= announced);
    }
}

fn inside(plain: &[u8], announced: u64, buffer: u16) -> Outcome {
    let sealed = key().seal_private(plain).expect("it can be sealed");
    let (outcome, raw) = opened(&sealed, key(), announced, buffer);
    let (again, at_once) = opened(&sealed, key(), announced, u16::MAX);
    assert_eq!(again, outcome);
    let expected = decoded(plain, announced);
    if outcome == Outcome::Accepted {
        assert_eq!(raw, at_once);
        assert_eq!(expected.ok().as_deref(), Some(&raw[..]));
    } else {
        let is_whole = expected.is_ok_and(|bytes| bytes.len() as u64 == announced);
        assert!(!is_whole, "what zstd reads is read here");
    }
    outcome
}

/// What zstd makes of it, and one byte more than announced at most.
fn decoded(plain: &[u8], announced: u64) -> io::Result<Vec<u8>> {
    let mut decoder = zstd::Decoder::with_buffer(plain)?;
    decoder.window_log_max(LARGEST_WINDOW_LOG)?;
    let mut raw = Vec::new();
    decoder.take(announced + 1).read_to_end(&mut raw)?;
    Ok(raw)
}

/// Frames, skippable ones, and bytes that are neither; and the length of what the first hold.
fn frames(input: &mut Input<'_>) -> (Vec<u8>, u64) {
    let mut plain = Vec::new();
    let mut raw_bytes = 0;
    while !input.is_empty() && raw_bytes < MOST {
        let choice = input.byte();
        match choice % 5 {
            0 | 1 => {
                let raw = input.long();
                raw_bytes += raw.len() as u64;
                let level = i32::from(choice / 5 % 8);
                plain.extend(zstd::bulk::compress(raw, level).expect("it is compressed"));
            }
            2 => {
                let raw = vec![input.byte(); usize::from(input.u16()) << 4];
                raw_bytes += raw.len() as u64;
                plain.extend(zstd::bulk::compress(&raw, 1).expect("it is compressed"));
            }
            3 => {
                let skipped = input.short();
                let length = u32::try_from(skipped.len()).unwrap();
                plain.extend((0x184D_2A50 + u32::from(choice / 5 % 16)).to_le_bytes());
                plain.extend(length.to_le_bytes());
                plain.extend(skipped);
            }
            _ => plain.extend(input.short()),
        }
    }
    (plain, raw_bytes.min(MOST))
}

/// The other things that are sealed.
fn keys(sealed: &[u8]) -> Outcome {
    let looks_sealed = ArchiveKey::is_sealed_form(sealed);
    let unsealed: Vec<bool> = fixtures::all()
        .iter()
        .map(
            |fixture| match ArchiveKey::unseal(sealed, &fixture.identities) {
                Ok(key) => {
                    let text = key.to_secret_string();
                    let again = ArchiveKey::from_secret_string(&text).expect("it reads as written");
                    assert_eq!(again.to_secret_string(), text);
                    true
                }
                Err(error) => {
                    assert!(!error.to_string().is_empty());
                    false
                }
            },
        )
        .collect();
    let private = key().open_private(sealed);
    let any = unsealed.contains(&true) || private.is_ok();
    assert!(looks_sealed || !any);
    if any {
        Outcome::Accepted
    } else {
        Outcome::Refused
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let choices = |mode: u8, announced: u64| {
        let announced = u32::try_from(announced).expect("it is little");
        [&[mode][..], &announced.to_le_bytes(), &[0xff, 0x0f]].concat()
    };
    let mut seeds = Vec::new();
    let archives = fixtures::all().iter().flat_map(|it| &it.archives);
    for (at, archive) in (0..).zip(archives) {
        seeds.push(seed(&choices(KEYS, 0), &archive.sealed_key));
        for (raw_bytes, sealed) in &archive.segments {
            let plain = archive.key.open_private(sealed).expect("it opens");
            if sealed.len() < 4096 {
                let mut whole = choices(SEALED, *raw_bytes);
                whole.push(at);
                seeds.push(seed(&whole, sealed));
                seeds.push(seed(&choices(INSIDE, *raw_bytes), &plain));
            }
        }
    }
    let script = [
        0, 5, 0, b'h', b'e', b'l', b'l', b'o', 3, 2, 1, 2, 2, b'x', 0xff, 0x0f, 16, 0, 0, 23, 0, 6,
        3, 0, b'e', b'n', b'd',
    ];
    seeds.push(seed(&choices(FRAMES, 0), &script));
    seeds.push(seed(&choices(INSIDE, 0), b""));
    seeds
}
