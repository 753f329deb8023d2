//! Contents that somebody with a stolen writer's key has sealed and attached, and that are not those of the archive.

use std::fs;

use coldchain::btrfs::{Expect, Guard};
use coldchain::model::{Blake3, ContentsRecord, keys};
use coldchain::seal::{LayoutReader, SegmentLayout};

use crate::common::forged_contents::{attach_contents, seal_contents};
use crate::common::machine::{Machine, Run, fed_config};
use crate::common::stream_builder::StreamBuilder;
use crate::common::whole::{WholeArchive, visible_archives};

const FIRST: [u8; 16] = [1; 16];
const SECOND: [u8; 16] = [2; 16];

fn streams() -> [StreamBuilder; 2] {
    [
        StreamBuilder::header(1)
            .subvol(b"2024-01-01", FIRST, 10)
            .mkfile(b"a file")
            .write(b"a file", 0, &[7; 3000]),
        StreamBuilder::header(1)
            .snapshot(b"2024-01-07", SECOND, 10, FIRST, 10)
            .write(b"a file", 0, &[8; 3000]),
    ]
}

/// A machine that has archived both without contents.
fn archived() -> Machine {
    let machine = Machine::fed(None);
    machine.write_config(&format!("contents = false\n{}", fed_config()));
    for (date, stream) in ["2024-01-01", "2024-01-07"].into_iter().zip(streams()) {
        let run = machine.run_with(&format!("decide {date}"), &stream.finish());
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{run:?}");
    }
    machine
}

/// A stream without its file data.
fn cut(stream: StreamBuilder) -> Vec<u8> {
    let mut guard = Guard::new(Expect::default());
    guard.keep_contents();
    guard.push(&stream.finish()).unwrap();
    std::mem::take(guard.contents().unwrap())
}

/// Attaches these bytes to an archive as its contents.
fn attach(machine: &Machine, archive: &WholeArchive, stream_bytes: u64, raw: &[&[u8]]) {
    let of = (&archive.entry.id, &archive.key);
    let objects = seal_contents(&machine.path("store"), of, |mut sealer| {
        for piece in raw {
            sealer.write(piece).unwrap();
        }
        sealer.finish().unwrap();
    });
    let contents = ContentsRecord {
        stream_bytes,
        objects,
    };
    let recipients = archive.entry.recipients;
    attach_contents(machine, archive.entry.id, recipients, contents);
}

/// The program with these words, which may have 256 MiB of memory.
fn with_little_memory(machine: &Machine, words: &str) -> Run {
    let program = env!("CARGO_BIN_EXE_coldchain");
    let words = format!("--data={} {program} {words}", 256 << 20);
    machine.run_command(&mut machine.command_of("prlimit", &words))
}

/// Contents that are attached to an archive.
struct Forged {
    stream: StreamBuilder,
    table: Vec<Vec<u8>>,
    /// What `verify` says of them.
    differs: &'static str,
}

impl Forged {
    fn of(stream: StreamBuilder) -> Self {
        Self {
            stream,
            table: Vec::new(),
            differs: "its list of commands differs",
        }
    }

    /// Attaches them to the first or second archive of a machine; the second's full gets its own stream. `verify --deep` must
    /// name them. Returns what `ls -l` says then.
    #[track_caller]
    fn listed(self, at: usize) -> Run {
        self.listed_on(&archived(), at)
    }

    /// The same on a machine that has archived both.
    #[track_caller]
    fn listed_on(self, machine: &Machine, at: usize) -> Run {
        let archives = visible_archives(machine);
        if at == 1 {
            let [full, _] = streams();
            let own = cut(full);
            attach(machine, &archives[0], own.len() as u64, &[&own]);
        }
        let contents = cut(self.stream);
        let mut raw: Vec<&[u8]> = vec![&contents];
        raw.extend(self.table.iter().map(Vec::as_slice));
        attach(machine, &archives[at], contents.len() as u64, &raw);
        let id = archives[at].entry.id;
        let verified = with_little_memory(machine, "verify --deep --identity $T/kit");
        assert_eq!(verified.code, Some(6), "{verified:?}");
        // The machine writes hexadecimal numbers as placeholders.
        let kind = if at == 0 { "full" } else { "incr" };
        let id = format!("{}-{kind}-", id.date);
        let named = |text: &str| {
            let mut lines = text.lines();
            lines.any(|line| {
                let parts = [&id, "/contents-000000-", self.differs];
                parts.iter().all(|part| line.contains(part))
            })
        };
        assert!(
            named(&verified.stdout) || named(&verified.stderr),
            "{verified:?}"
        );
        // This reads the ledger, and makes what the other archive lacks.
        let indexed = with_little_memory(machine, "index --identity $T/kit");
        assert_eq!(indexed.code, Some(0), "{indexed:?}");
        let listed = with_little_memory(machine, "ls -l -q home --identity $T/kit");
        // A restore does not read contents, and contents that anybody can attach mark no archive as damaged.
        let run = machine.run("restore 2024-01-07 --stream $T/stream --identity $T/kit --yes");
        assert_eq!(run.code, Some(0), "{run:?}");
        let planned = machine.run("plan 2024-01-14");
        assert!(!planned.stdout.contains("damaged"), "{planned:?}");
        listed
    }
}

#[test]
fn contents_with_other_names_are_named_by_a_deep_check_alone() {
    let stream = StreamBuilder::header(1)
        .subvol(b"2024-01-01", FIRST, 10)
        .mkfile(b"b file")
        .write(b"b file", 0, &[7; 3000]);
    let listed = Forged::of(stream).listed(0);
    assert!(listed.stdout.ends_with("  b file\n"), "{listed:?}");
}

#[test]
fn a_table_that_is_wrong_or_endless_is_named_and_not_read_by_the_index() {
    let endless = vec![vec![0; 32 << 20]; 8];
    for table in [vec![vec![9; 100]], endless] {
        let [stream, _] = streams();
        let forged = Forged {
            stream,
            table,
            differs: "its table of segments differs",
        };
        let listed = forged.listed(0);
        assert!(listed.stdout.ends_with("  a file\n"), "{listed:?}");
    }
}

#[test]
fn contents_that_are_longer_or_shorter_than_the_stream_are_not_indexed() {
    let [stream, _] = streams();
    let many = (0..100_000).fold(stream, |stream, _| stream.utimes(b"a file"));
    let short = StreamBuilder::header(1)
        .subvol(b"2024-01-01", FIRST, 10)
        .mkfile(b"a file");
    for (stream, says) in [
        (many, "they are longer than its stream"),
        (short, "they are those of a stream of "),
    ] {
        let forged = Forged {
            differs: "its list of commands is longer or shorter",
            ..Forged::of(stream)
        };
        let listed = forged.listed(0);
        assert_eq!(
            (listed.code, listed.stdout.as_str()),
            (Some(1), ""),
            "{listed:?}"
        );
        assert!(listed.stderr.contains(says), "{listed:?}");
    }
}

#[test]
fn contents_that_do_not_fit_the_files_of_the_send_parent_leave_the_index_as_it_was() {
    let stream = StreamBuilder::header(1)
        .snapshot(b"2024-01-07", SECOND, 10, FIRST, 10)
        .write(b"b file", 0, &[8; 3000]);
    let listed = Forged::of(stream).listed(1);
    assert!(listed.stdout.ends_with("  a file\n"), "{listed:?}");
    let says = "does not fit what it is built on: a write command on `b file`, which is not there";
    assert!(listed.stderr.contains(says), "{listed:?}");
}

#[test]
fn another_size_or_place_of_data_is_named_by_a_deep_check_and_shown_by_the_index() {
    let with = |write: fn(StreamBuilder) -> StreamBuilder| {
        let stream = StreamBuilder::header(1).subvol(b"2024-01-01", FIRST, 10);
        write(stream.mkfile(b"a file"))
    };
    let [own, _] = streams();
    for (stream, size, differs) in [
        (
            with(|it| it.write(b"a file", 1000, &[7; 3000])),
            "3.91 KiB",
            "its list of commands differs",
        ),
        // As long as the one that was archived.
        (
            with(|it| {
                let around = it.clone().truncate(b"a file", 0).bytes.len() - it.bytes.len();
                let data = vec![7; 3000 - around];
                it.write(b"a file", 0, &data).truncate(b"a file", 7777)
            }),
            "7.59 KiB",
            // It has one more of them.
            "its list of commands is longer or shorter",
        ),
    ] {
        assert_eq!(stream.bytes.len(), own.bytes.len());
        let forged = Forged {
            differs,
            ..Forged::of(stream)
        };
        let listed = forged.listed(0);
        assert_eq!(listed.code, Some(0), "{listed:?}");
        assert!(listed.stdout.contains(size), "{listed:?}");
    }
}

/// The names of the files below, each of which fills more than a frame.
const LARGE: [&[u8]; 3] = [b"first", b"second", b"third"];

/// A stream of some frames.
fn large() -> StreamBuilder {
    let mut stream = StreamBuilder::header(1).subvol(b"2024-01-01", FIRST, 10);
    for (byte, name) in (1..).zip(LARGE) {
        stream = stream.mkfile(name);
        for at in 0..110 {
            stream = stream.write(name, at * 50_000, &vec![byte; 50_000]);
        }
    }
    stream
}

/// A machine that has archived a large stream without contents, and its archive.
fn large_archived() -> (Machine, WholeArchive) {
    let machine = Machine::fed(None);
    machine.write_config(&format!("contents = false\n{}", fed_config()));
    let run = machine.run_with("decide 2024-01-01", &large().finish());
    assert_eq!(run.code, Some(0), "{run:?}");
    let archive = visible_archives(&machine).pop().unwrap();
    (machine, archive)
}

/// The layouts of an archive's segments, from these themselves.
fn layouts(machine: &Machine, archive: &WholeArchive) -> Vec<SegmentLayout> {
    let mut stream = &archive.stream[..];
    let segments = (0..).zip(&archive.entry.segments);
    let read = segments.map(|(index, record)| {
        let key = keys::segment("home", &archive.entry.id, index, &record.sha256);
        let sealed = fs::read(machine.path("store").join(key)).unwrap();
        let mut layout = LayoutReader::begin(&sealed, &archive.key, record.raw_bytes).unwrap();
        let (raw, rest) = stream.split_at(usize::try_from(record.raw_bytes).unwrap());
        layout.update(raw);
        stream = rest;
        layout.finish().unwrap()
    });
    read.collect()
}

#[test]
fn another_digest_of_a_frame_is_named_by_a_deep_check_and_costs_the_files_in_it_alone() {
    let (machine, archive) = large_archived();
    let mut layouts = layouts(&machine, &archive);
    let frames = layouts[0].frames.len();
    assert!(frames >= 4, "{frames}");
    // The last frame has a part of the last file alone.
    let last = layouts.last_mut().and_then(|it| it.frames.last_mut());
    last.unwrap().blake3 = Blake3::of(b"another frame");
    let mut table = Vec::new();
    for layout in &layouts {
        layout.encode(&mut table);
    }
    let contents = cut(large());
    attach(
        &machine,
        &archive,
        contents.len() as u64,
        &[&contents, &table],
    );
    let verified = machine.run("verify --deep --identity $T/kit");
    assert_eq!(verified.code, Some(6), "{verified:?}");
    let said = verified.stdout + &verified.stderr;
    let differs = "it is not what the archive's segments yield: its table of segments differs";
    let named = |line: &str| line.contains("2024-01-01-full-") && line.contains(differs);
    assert!(said.lines().any(named), "{said}");

    let run = machine.run("index --identity $T/kit");
    assert_eq!(run.code, Some(0), "{run:?}");
    let run = machine.run("extract home / --to $T/out --identity $T/kit");
    assert_eq!(run.code, Some(6), "{run:?}");
    assert!(run.stderr.contains("third"), "{run:?}");
    for (byte, name) in [(1, "first"), (2, "second")] {
        let data = fs::read(machine.path("out").join(name)).unwrap();
        assert!(data == vec![byte; 5_500_000], "{name}");
        assert!(!run.stderr.contains(name), "{run:?}");
    }
    assert!(!machine.path("out/third").exists());
}
