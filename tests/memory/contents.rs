//! How much memory commands take that read hostile contents: well sealed and signed by a stolen writer's key. Each command runs
//! in a process of its own.

use std::fs;
use std::io::Write as _;
use std::process::Command;

use clap::Parser as _;
use coldchain::cli::Cli;
use coldchain::commands;
use coldchain::model::segment::{CONTENTS_OBJECT_BYTES, FRAME_BYTES};
use coldchain::model::{ArchiveKind, ContentsRecord, SegmentRecord, Sha256, keys};

use super::{alone, peak_mib};
use crate::common::forged::Forger;
use crate::common::forged_contents::{MadeUp, Recipe, archive_made_up, attach_contents, key_of};
use crate::common::from_env;
use crate::common::machine::{Machine, fed_config};
use crate::common::stream_builder::{StreamBuilder, attr};

/// The words of the command that the test below runs itself.
const RUNS: &str = "COLDCHAIN_TEST_RUNS";

/// The memory that the config allows.
const LIMIT_MIB: u64 = 192;

/// The most that a command may take: what the config allows, and 64 MiB.
const MOST_MIB: u64 = 256;

const DATE: &str = "2024-01-01";

/// One hostile archive.
struct Hostile {
    what: &'static str,
    make: Box<dyn Fn(&mut MadeUp)>,
    /// What follows the end command of a stream of so many bytes.
    table: Box<dyn Fn(u64) -> Vec<u8>>,
    /// What else the entry says.
    change: Box<dyn Fn(&mut serde_json::Value)>,
    /// How `du` and `extract --plan` end: whether they succeed, and else the exit code and a part of the message.
    ends: [Result<(), (u8, &'static str)>; 2],
}

impl Hostile {
    fn new(what: &'static str, make: impl Fn(&mut MadeUp) + 'static) -> Self {
        Self {
            what,
            make: Box::new(make),
            table: Box::new(one_segment),
            change: Box::new(|_| {}),
            ends: [Ok(()), Ok(())],
        }
    }

    /// Runs the commands, and holds the memory of each against what it may take.
    fn run(self) {
        let machine = Machine::fed(None);
        machine.write_config(&format!(
            "memory_limit = \"{LIMIT_MIB}MiB\"\n{}",
            fed_config()
        ));
        let head = StreamBuilder::header(1).subvol(DATE.as_bytes(), [1; 16], 10);
        let recipe = Recipe {
            commands: &*self.make,
            table: &*self.table,
        };
        archive_made_up(&machine, DATE, &head, &recipe, &self.change);
        // This reads the ledger, and has no contents to make.
        let mut ended = Ended::of(&machine, "index home --identity $T/kit");
        self.judge("index", ended, Ok(()));
        ended = Ended::of(&machine, "verify --deep --identity $T/kit");
        self.judge("verify", ended, Err((6, "")));
        ended = Ended::of(&machine, "du home: --identity $T/kit");
        self.judge("du", ended, self.ends[0]);
        ended = Ended::of(&machine, "extract home / --plan --identity $T/kit");
        self.judge("extract", ended, self.ends[1]);
    }

    fn judge(&self, command: &str, ended: Ended, expected: Result<(), (u8, &str)>) {
        let Ended { result, peak, said } = ended;
        println!("{}: {command}: {result:?}, {peak} MiB", self.what);
        let what = format!("{}: {command}: {result:?}: {said}", self.what);
        match (&result, expected) {
            (Ok(()), Ok(())) => {}
            (Err((code, message)), Err((expected, part))) => {
                assert!(*code == expected && message.contains(part), "{what}");
            }
            _ => panic!("{what}"),
        }
        assert!(peak <= MOST_MIB, "{peak} MiB: {what}");
    }
}

/// How a command ended.
struct Ended {
    /// With an error, its exit code and its message.
    result: Result<(), (u8, String)>,
    /// The most memory that it had, in MiB.
    peak: u64,
    /// All that it said.
    said: String,
}

impl Ended {
    /// Runs a command in a process of its own.
    fn of(machine: &Machine, words: &str) -> Self {
        let name = "contents::no_command_takes_much_memory_for_hostile_contents";
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(RUNS, machine.fill(words))
            .env("COLDCHAIN_CONFIG", machine.path("config.toml"))
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (stdout, said) = (text(&output.stdout), text(&output.stderr));
        let line = stdout.lines().find_map(|line| line.strip_prefix("ended "));
        let line = line.unwrap_or_else(|| panic!("{words}: {}: {stdout}{said}", output.status));
        let [peak, code, message] = line.splitn(3, ' ').collect::<Vec<_>>()[..] else {
            panic!("{line}");
        };
        let result = match code.parse().unwrap() {
            0 => Ok(()),
            code => Err((code, message.to_owned())),
        };
        Self {
            result,
            peak: peak.parse().unwrap(),
            said,
        }
    }
}

/// Runs a command as the program does, and prints how it ended.
fn run_here(words: &str) {
    coldchain::allocator::give_back_large_buffers();
    let words = std::iter::once("coldchain").chain(words.split_whitespace());
    let ran = commands::run(Cli::try_parse_from(words).unwrap());
    let (code, message) = match ran {
        Ok(()) => (0, String::new()),
        Err(error) => (error.exit_code() as u8, format!("{error}: {error:?}")),
    };
    println!("\nended {} {code} {message}", peak_mib());
}

/// The table of one segment of so many raw bytes.
fn one_segment(raw_bytes: u64) -> Vec<u8> {
    let mut table = vec![0; 2];
    let frames = raw_bytes.div_ceil(FRAME_BYTES);
    table.extend(u32::try_from(frames).unwrap().to_le_bytes());
    for _ in 0..frames {
        table.extend(1_u32.to_le_bytes());
        table.extend([7; 32]);
    }
    table
}

fn commands() -> StreamBuilder {
    StreamBuilder::header(1)
}

/// How many thousands of things the cases have: at these, a list of each would be too much by far.
fn thousands(in_the_suite: u64) -> u64 {
    in_the_suite * from_env("COLDCHAIN_HOSTILE", 1) * 1000
}

fn many_names() -> Hostile {
    let count = thousands(100);
    Hostile::new("many files in one directory", move |made| {
        for number in 0..count {
            made.add(&commands().mkfile(format!("{number:08}").as_bytes()));
        }
    })
}

fn many_links() -> Hostile {
    let count = thousands(100);
    Hostile::new("symlinks with long names", move |made| {
        for number in 0..count {
            let name = format!("{number:030}");
            made.add(&commands().symlink(name.as_bytes(), b"x"));
        }
    })
}

fn many_commands() -> Hostile {
    let count = thousands(200);
    Hostile::new("many commands on one file", move |made| {
        made.add(&commands().mkfile(b"file"));
        let utimes = commands().utimes(b"file");
        for _ in 0..count {
            made.add(&utimes);
        }
    })
}

/// Every file has many extended attributes, and no two files have the same.
fn many_attributes() -> Hostile {
    let files = thousands(1) / 10;
    Hostile::new("extended attributes", move |made| {
        for file in 0..files {
            let path = file.to_string();
            made.add(&commands().mkfile(path.as_bytes()));
            for number in 0..120 {
                let name = format!("user.{number:0>240}");
                made.add(&commands().set_xattr(path.as_bytes(), name.as_bytes(), path.as_bytes()));
            }
        }
    })
}

/// Directories in each other, deeper than any path is long.
fn deep_directories() -> Hostile {
    Hostile::new("deep directories", |made| {
        for chain in 0..6_u8 {
            let top = [b'a' + chain];
            let mut path = top.to_vec();
            made.add(&commands().mkdir(&path));
            for _ in 0..1500 {
                path.extend(b"/d");
                made.add(&commands().mkdir(&path));
            }
            path.extend(b"/e");
            if chain > 0 {
                made.add(&commands().rename(&[top[0] - 1], &path));
            }
        }
    })
}

/// One file in more pieces than may be.
fn many_pieces() -> Hostile {
    let hostile = Hostile::new("a file in many pieces", |made| {
        made.add(&commands().mkfile(b"file"));
        for number in 0..1_600_000 {
            made.add(&commands().write(b"file", 3 * number, b"x"));
        }
    });
    Hostile {
        ends: [Ok(()), Err((1, "TooManyPieces"))],
        ..hostile
    }
}

/// A file in pieces, and many others that share all of them.
fn many_clones() -> Hostile {
    Hostile::new("clones of a file in many pieces", |made| {
        made.add(&commands().mkfile(b"file"));
        for number in 0..100_000 {
            made.add(&commands().write(b"file", 3 * number, b"x"));
        }
        for number in 0..40_u64 {
            let to = number.to_string();
            let range = 299_998_u64.to_le_bytes();
            let clone = commands().mkfile(to.as_bytes()).command(
                16,
                &[
                    (attr::FILE_OFFSET, &[0; 8]),
                    (attr::CLONE_LEN, &range),
                    (attr::PATH, to.as_bytes()),
                    (attr::CLONE_UUID, &[1; 16]),
                    (attr::CLONE_CTRANSID, &10_u64.to_le_bytes()),
                    (attr::CLONE_PATH, b"file"),
                    (attr::CLONE_OFFSET, &[0; 8]),
                ],
            );
            made.add(&clone);
        }
    })
}

/// Sizes whose sum is more than a number can have.
fn large_sizes() -> Hostile {
    Hostile::new("large files", |made| {
        for number in 0..5 {
            let path = format!("d/{number}");
            let stream = if number == 0 {
                commands().mkdir(b"d")
            } else {
                commands()
            };
            let stream = stream.mkfile(path.as_bytes());
            let stream = stream.truncate(path.as_bytes(), i64::MAX.cast_unsigned());
            let at = (i64::MAX - 10).cast_unsigned();
            made.add(&stream.write(path.as_bytes(), at, b"x"));
        }
    })
}

/// A table of segments that have frames of one byte.
fn long_table() -> Hostile {
    const SEGMENTS: usize = 70;
    const FRAMES: u32 = 1 << 16;
    let table = |_| {
        let mut table = Vec::new();
        for _ in 0..SEGMENTS {
            table.extend(0_u16.to_le_bytes());
            table.extend(FRAMES.to_le_bytes());
            let end = table.len() + 36 * usize::try_from(FRAMES).unwrap();
            table.resize(end, 0);
        }
        table
    };
    let bytes = u64::from(FRAMES) * SEGMENTS as u64;
    // The stream is as long as all these frames.
    let hostile = Hostile::new("a long table of segments", move |made| {
        made.add(&commands().mkfile(b"file"));
        let data = vec![b'x'; 40_000];
        while made.raw_bytes + 50_100 < bytes {
            made.add(&commands().write(b"file", made.raw_bytes, &data));
        }
        let around = commands().write(b"file", 0, b"").bytes.len() - 17;
        let rest = bytes - made.raw_bytes - 10 - around as u64;
        let rest = vec![b'x'; usize::try_from(rest).unwrap()];
        made.add(&commands().write(b"file", 0, &rest));
    });
    Hostile {
        table: Box::new(table),
        change: Box::new(|archive| {
            archive["frame_size"] = 1.into();
            archive["segment_size"] = FRAMES.into();
            let one = archive["segments"][0].clone();
            let segments = (0..SEGMENTS).map(|number| {
                let mut segment = one.clone();
                segment["raw"] = FRAMES.into();
                segment["sha256"] = format!("{number:064x}").into();
                segment
            });
            let segments: Vec<_> = segments.collect();
            let sealed = one["sealed"].as_u64().unwrap() * SEGMENTS as u64;
            archive["sealed_bytes"] = sealed.into();
            archive["segments"] = segments.into();
        }),
        ends: [Ok(()), Err((1, "TooManySegments"))],
        ..hostile
    }
}

/// An object of contents that is no longer than it should be, and becomes far more.
fn bombs() -> [(&'static str, Vec<u8>); 2] {
    let zeros = |window| {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(window).unwrap();
        for _ in 0..600 {
            encoder.write_all(&vec![0; 1 << 20]).unwrap();
        }
        encoder.finish().unwrap()
    };
    [
        ("600 MiB of zeros", zeros(20)),
        ("a window of 128 MiB", zeros(27)),
    ]
}

/// Archives a file, and attaches that object as its contents.
fn with_bomb(bomb: &[u8]) -> Machine {
    let machine = Machine::fed(None);
    machine.write_config(&format!(
        "memory_limit = \"{LIMIT_MIB}MiB\"\n{}",
        fed_config()
    ));
    let stream = StreamBuilder::header(1).subvol(DATE.as_bytes(), [1; 16], 10);
    let stream = stream.mkfile(b"file").write(b"file", 0, &[7; 3000]);
    let forger = Forger::of(&machine);
    let id = forger.archive(DATE, ArchiveKind::Full, &stream.finish(), None);
    let sealed = key_of(&machine, &id).seal_private(bomb).unwrap();
    let sha256 = Sha256::of(&sealed);
    let name = keys::contents("home", &id, 0, &sha256);
    fs::write(machine.path("store").join(name), &sealed).unwrap();
    let contents = ContentsRecord {
        stream_bytes: 100,
        objects: vec![SegmentRecord {
            raw_bytes: CONTENTS_OBJECT_BYTES,
            sealed_bytes: sealed.len() as u64,
            sha256,
        }],
    };
    attach_contents(&machine, id, forger.recipients(), contents);
    machine
}

#[test]
fn no_command_unpacks_more_of_contents_than_is_signed() {
    let _alone = alone();
    for (what, bomb) in bombs() {
        let machine = with_bomb(&bomb);
        for (words, expected) in [
            ("index home --identity $T/kit", 0),
            ("verify --deep --identity $T/kit", 6),
            ("ls home: --identity $T/kit", 1),
            ("extract home / --plan --identity $T/kit", 6),
        ] {
            let Ended { result, peak, said } = Ended::of(&machine, words);
            let code = result.as_ref().err().map_or(0, |(code, _)| *code);
            assert_eq!(code, expected, "{what}: {words}: {result:?}: {said}");
            assert!(peak <= MOST_MIB, "{what}: {words}: {peak} MiB");
        }
    }
}

#[test]
fn no_command_takes_much_memory_for_hostile_contents() {
    let _alone = alone();
    if let Ok(words) = std::env::var(RUNS) {
        return run_here(&words);
    }
    for hostile in [
        many_names(),
        many_links(),
        many_commands(),
        many_attributes(),
        deep_directories(),
        many_pieces(),
        many_clones(),
        large_sizes(),
        long_table(),
    ] {
        let began = std::time::Instant::now();
        hostile.run();
        println!("{:.1} s", began.elapsed().as_secs_f64());
    }
}
