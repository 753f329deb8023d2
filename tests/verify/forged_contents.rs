//! Contents that somebody with a stolen writer's key has sealed and attached, and that are not those of the archive.

use std::fs;

use coldchain::btrfs::{Expect, Guard};
use coldchain::model::entry::{AttachEntry, Attachment, EntryKind};
use coldchain::model::{ContentsRecord, SegmentRecord, keys};
use coldchain::seal::ContentsSealer;

use crate::common::forged::Forger;
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
    let (out, stored) = std::sync::mpsc::channel();
    let mut sealer = ContentsSealer::new(&archive.key, move |object| {
        out.send(object).expect("it is read later");
        Ok(())
    })
    .unwrap();
    for piece in raw {
        sealer.write(piece).unwrap();
    }
    sealer.finish().unwrap();
    let id = archive.entry.id;
    let objects = stored.iter().map(|object| {
        let key = keys::contents("home", &id, object.index, &object.sha256);
        fs::write(machine.path("store").join(key), &object.bytes).unwrap();
        SegmentRecord {
            raw_bytes: object.raw_bytes,
            sealed_bytes: object.bytes.len() as u64,
            sha256: object.sha256,
        }
    });
    let attachment = Attachment {
        archive: id,
        what: Attachment::CONTENTS.to_owned(),
        recipients: archive.entry.recipients,
        sealed: String::new(),
        contents: Some(ContentsRecord {
            stream_bytes,
            objects: objects.collect(),
        }),
        replaces: None,
    };
    let objects = vec![attachment];
    Forger::of(machine).append(EntryKind::Attach(AttachEntry { objects }), |_| {});
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
}

impl Forged {
    fn of(stream: StreamBuilder) -> Self {
        Self {
            stream,
            table: Vec::new(),
        }
    }

    /// Attaches them to the first or second archive of a machine; the second's full gets its own stream. `verify --deep` must
    /// name them. Returns what `ls` says then.
    #[track_caller]
    fn listed(self, at: usize) -> Run {
        let machine = archived();
        let archives = visible_archives(&machine);
        if at == 1 {
            let [full, _] = streams();
            let own = cut(full);
            attach(&machine, &archives[0], own.len() as u64, &[&own]);
        }
        let contents = cut(self.stream);
        let mut raw: Vec<&[u8]> = vec![&contents];
        raw.extend(self.table.iter().map(Vec::as_slice));
        attach(&machine, &archives[at], contents.len() as u64, &raw);
        let id = archives[at].entry.id;
        let verified = with_little_memory(&machine, "verify --deep --identity $T/kit");
        assert_eq!(verified.code, Some(6), "{verified:?}");
        // The machine writes hexadecimal numbers as placeholders.
        let kind = if at == 0 { "full" } else { "incr" };
        let id = format!("{}-{kind}-", id.date);
        let named = |text: &str| {
            let mut lines = text.lines();
            lines.any(|line| line.contains(&id) && line.contains("/contents-000000-"))
        };
        assert!(
            named(&verified.stdout) || named(&verified.stderr),
            "{verified:?}"
        );
        // This reads the ledger, and makes what the other archive lacks.
        let indexed = with_little_memory(&machine, "index --identity $T/kit");
        assert_eq!(indexed.code, Some(0), "{indexed:?}");
        let listed = with_little_memory(&machine, "ls -q home --identity $T/kit");
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
    assert_eq!(
        (listed.code, listed.stdout.as_str()),
        (Some(0), "b file\n"),
        "{listed:?}"
    );
}

#[test]
fn a_table_that_is_wrong_or_endless_is_named_and_not_read_by_the_index() {
    let endless = vec![vec![0; 32 << 20]; 8];
    for table in [vec![vec![9; 100]], endless] {
        let [stream, _] = streams();
        let listed = Forged { stream, table }.listed(0);
        assert_eq!(
            (listed.code, listed.stdout.as_str()),
            (Some(0), "a file\n"),
            "{listed:?}"
        );
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
        let listed = Forged::of(stream).listed(0);
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
    assert_eq!(
        (listed.code, listed.stdout.as_str()),
        (Some(0), "a file\n"),
        "{listed:?}"
    );
    let says = "does not fit what it is built on: a write command on `b file`, which is not there";
    assert!(listed.stderr.contains(says), "{listed:?}");
}
