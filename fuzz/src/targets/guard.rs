//! Send streams: through the guard, and what it clears through the edit that `btrfs receive` gets.
//!
//! However a stream is cut into pieces, it gets the same verdict. What is cleared is whole commands, and
//! is cleared again. The edit makes the same of it however it is cut, and what it makes of a stream that
//! passed passes too.

use std::convert::Infallible;

use coldchain::btrfs::stream::COMMAND_HEADER;
use coldchain::btrfs::{
    CompressedData, EditedStream, Expect, ExpectParent, Fifo, FileTime, Guard, GuardError,
    HandedDown, RECEIVED_NAME, ReceiveEdit, StreamHead, StreamSummary,
};
use coldchain::model::Uuid;

use super::Outcome;
use super::fixtures;
use super::input::{Input, pieces, seed};
use stream_builder::{CTRANSID, OWN, PARENT, StreamBuilder, attr};

#[path = "../../../tests/common/stream_builder.rs"]
pub(super) mod stream_builder;

const AS_IT_IS: u8 = 0;
const RIGHT_CRCS: u8 = 1;
const WRITTEN: u8 = 2;
/// Further bits of the first byte.
const EXPECTING: u8 = 4;
const INHERITING: u8 = 8;

/// Magic and version.
const STREAM_HEADER: usize = 17;

pub fn run(data: &[u8]) -> Outcome {
    let mut input = Input::new(data);
    let mode = input.byte();
    let cut = Cut {
        seed: input.u16().into(),
        longest: 1 << (input.byte() % 16),
    };
    let stream = match mode % 4 {
        AS_IT_IS => input.rest().to_vec(),
        RIGHT_CRCS => with_right_crcs(input.rest()),
        _ => written(&mut input),
    };
    judge(&stream, mode, cut)
}

/// Into which pieces.
#[derive(Clone, Copy)]
struct Cut {
    seed: u32,
    longest: usize,
}

impl Cut {
    fn of(self, bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
        pieces(bytes, self.seed, self.longest)
    }
}

/// What a guard says, as far as it can be asked.
#[derive(Debug, PartialEq)]
struct Verdict {
    result: Result<StreamSummary, GuardError>,
    cleared: u64,
    head: Option<StreamHead>,
}

fn new_guard(mode: u8) -> Guard {
    let expect = if mode & EXPECTING == 0 {
        Expect::default()
    } else {
        Expect {
            uuid: Some(Uuid(OWN)),
            ctransid: Some(CTRANSID),
            send_parent: ExpectParent::State(Uuid(PARENT), 4000),
            compressed_data: CompressedData::Refused,
        }
    };
    let mut guard = Guard::new(expect);
    if mode & INHERITING != 0 {
        let fifos = [("a", 1), ("b/a", 1), ("l", 2)];
        let fifos = fifos.map(|(path, inode)| Fifo {
            path: path.into(),
            inode,
        });
        guard.inherit(fifos.into()).expect("they are few");
    }
    guard
}

fn verdict<'a>(mut guard: Guard, pieces: impl Iterator<Item = &'a [u8]>) -> Verdict {
    let mut refused = None;
    for piece in pieces {
        if let Err(error) = guard.push(piece) {
            let first = refused.get_or_insert_with(|| error.clone());
            assert_eq!(error, *first, "a refusal is repeated");
        }
    }
    let (cleared, head) = (guard.cleared(), guard.head().cloned());
    let result = guard.finish();
    if let Some(refused) = refused {
        assert_eq!(result.as_ref(), Err(&refused));
    }
    if let Err(error) = &result {
        assert!(!error.to_string().is_empty());
    }
    Verdict {
        result,
        cleared,
        head,
    }
}

fn judge(stream: &[u8], mode: u8, cut: Cut) -> Outcome {
    let whole = verdict(new_guard(mode), std::iter::once(stream));
    let in_pieces = verdict(new_guard(mode), cut.of(stream));
    assert_eq!(in_pieces, whole);
    let length = usize::try_from(whole.cleared).unwrap();
    let cleared = &stream[..length];
    assert_eq!(whole.head.is_some(), length > 0);
    if let Ok(summary) = &whole.result {
        assert_eq!(summary.bytes, whole.cleared);
        assert_eq!(length, stream.len());
        assert_eq!(Some(&summary.head), whole.head.as_ref());
    }
    if length > 0 {
        let again = verdict(new_guard(mode), std::iter::once(cleared));
        assert_eq!((again.cleared, &again.head), (whole.cleared, &whole.head));
        edit(cleared, &whole, cut);
    }
    Outcome::of(&whole.result)
}

/// What an edit gives, and what it is told of modes.
struct Edited {
    bytes: Vec<u8>,
    with_modes: bool,
}

impl EditedStream for Edited {
    type Error = Infallible;

    fn write(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        assert!(!bytes.is_empty());
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn privileged_mode(&mut self, path: &[u8]) -> Result<Option<u32>, Infallible> {
        let is_setuid = self.with_modes && path.len() % 2 == 1;
        Ok(is_setuid.then_some(0o104_755))
    }
}

fn edited<'a>(with_modes: bool, commands: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let time = FileTime {
        seconds: -1,
        nanoseconds: 999_999_999,
    };
    let mut edit = ReceiveEdit::new(Some([time; 3]), HandedDown::default());
    let mut out = Edited {
        bytes: Vec::new(),
        with_modes,
    };
    for commands in commands {
        let Ok(()) = edit.pass(commands, &mut out);
    }
    out.bytes
}

fn edit(cleared: &[u8], whole: &Verdict, cut: Cut) {
    for with_modes in [false, true] {
        let at_once = edited(with_modes, std::iter::once(cleared));
        assert_eq!(edited(with_modes, whole_commands(cleared, cut)), at_once);
        assert_eq!(
            units(&at_once).map(<[u8]>::len).sum::<usize>(),
            at_once.len()
        );
        assert_eq!(with_right_crcs(&at_once), at_once);
        // Whether a mode may be set where it is, only the filesystem knows.
        if let (Ok(summary), false) = (&whole.result, with_modes) {
            let mut guard = Guard::new(Expect::default());
            guard.push(&at_once).expect("an edited stream passes");
            let edited = guard.finish().expect("an edited stream is whole");
            assert_eq!(edited.head.name, RECEIVED_NAME);
            assert_eq!(edited.head.uuid, summary.head.uuid);
            // What the root hands down is set once, however often the stream sets it.
            assert!(edited.commands <= summary.commands + 1);
            assert_eq!(edited.file_data_bytes, summary.file_data_bytes);
            assert_eq!(edited.makes.fifos, summary.makes.fifos);
        }
    }
}

/// The cleared bytes in pieces of whole commands; the first has the stream's header too.
fn whole_commands(stream: &[u8], cut: Cut) -> impl Iterator<Item = &[u8]> {
    let mut ends = Vec::new();
    let mut end = 0;
    for unit in units(stream) {
        end += unit.len();
        ends.push(end);
    }
    let counts: Vec<usize> = cut.of(&vec![0; ends.len() - 1]).map(<[u8]>::len).collect();
    let mut from = 0;
    let mut unit = 0;
    counts.into_iter().map(move |count| {
        unit += count;
        let piece = &stream[from..ends[unit]];
        from = ends[unit];
        piece
    })
}

/// A stream's header and its commands, the last of which may be cut.
fn units(stream: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = stream;
    let mut length = STREAM_HEADER;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (unit, left) = rest.split_at(length.min(rest.len()));
        rest = left;
        length = COMMAND_HEADER
            + left
                .first_chunk()
                .map_or(0, |length| u32::from_le_bytes(*length) as usize);
        Some(unit)
    })
}

/// Gives every command the CRC of its bytes, so that whatever the fuzzer changed in one is looked at.
fn with_right_crcs(stream: &[u8]) -> Vec<u8> {
    let mut right = Vec::with_capacity(stream.len());
    for (at, unit) in units(stream).enumerate() {
        let begins = right.len();
        right.extend_from_slice(unit);
        if at > 0 && unit.len() >= COMMAND_HEADER {
            let command = &mut right[begins..];
            command[6..10].fill(0);
            let crc = !crc32c::crc32c_append(!0, command);
            command[6..10].copy_from_slice(&crc.to_le_bytes());
        }
    }
    right
}

/// A stream of whole commands on few paths, so that they often meet.
pub(super) fn written(input: &mut Input<'_>) -> Vec<u8> {
    let choices = input.byte();
    let protocol = 1 + u32::from(choices & 1);
    let mut stream = if choices & 2 == 0 {
        StreamBuilder::incremental(protocol)
    } else {
        StreamBuilder::full(protocol)
    };
    while !input.is_empty() {
        stream = command(stream, input);
    }
    // Some end without an end.
    if choices & 0xf0 == 0xf0 {
        stream.bytes
    } else {
        stream.finish()
    }
}

fn command(stream: StreamBuilder, input: &mut Input<'_>) -> StreamBuilder {
    let number = input.byte();
    let path = &path(input);
    match number % 27 {
        0 => stream.mkfile(path),
        1 => stream.mkdir(path),
        2 => stream.mknod(path),
        3 => stream.make(6, path),
        4 => stream.make(7, path),
        5 => stream.symlink(path, input.short()),
        6 | 7 => stream.rename(path, &self::path(input)),
        8 | 9 => stream.link(path, &self::path(input)),
        10 => stream.unlink(path),
        11 => stream.rmdir(path),
        12 => stream.set_xattr(path, input.short(), b"value"),
        13 => stream.write(path, input.byte().into(), input.short()),
        14 => stream.clone_range(path, OWN, &self::path(input)),
        15 => stream.clone_range(path, PARENT, &self::path(input)),
        16 => stream.truncate(path, input.byte().into()),
        17 => stream.chmod(path),
        18 | 19 => stream.chown(path),
        20 => stream.utimes(path),
        21 => stream.fallocate(path),
        22 => stream.fileattr(path),
        23 => {
            let range = [0; 3].map(|_| u64::from(input.u16()) << (input.byte() % 49));
            stream.encoded_write(path, range, input.short())
        }
        24 => stream.command(14, &[(attr::PATH, path), (attr::XATTR_NAME, input.short())]),
        25 => {
            let mode = u64::from(input.u16()).to_le_bytes();
            let number = 300_u64.to_le_bytes();
            stream.command(
                5,
                &[
                    (attr::PATH, path),
                    (attr::INO, &number),
                    (attr::RDEV, &number),
                    (attr::MODE, &mode),
                ],
            )
        }
        _ => stream.payload(input.byte().into(), input.short()),
    }
}

/// A path of up to three names, or any bytes.
fn path(input: &mut Input<'_>) -> Vec<u8> {
    const NAMES: [&[u8]; 4] = [b"a", b"b", b"l", b"a name of more than 22 bytes"];
    let choice = usize::from(input.byte());
    if choice == 0xff {
        return input.short().to_vec();
    }
    let names = [choice >> 2, choice >> 4, choice >> 6].map(|at| NAMES[at % 4]);
    names[..choice % 4].join(&b'/')
}

pub fn seeds() -> Vec<Vec<u8>> {
    let choices = |mode| [mode, 7, 7, 5];
    let mut seeds = Vec::new();
    for stream in archived() {
        seeds.extend([AS_IT_IS, RIGHT_CRCS].map(|mode| seed(&choices(mode), &stream)));
    }
    for stream in built() {
        for mode in [AS_IT_IS, RIGHT_CRCS, RIGHT_CRCS | EXPECTING] {
            seeds.push(seed(&choices(mode), &stream));
        }
    }
    let [each, moved] = scripts();
    seeds.push(seed(&choices(WRITTEN), &each));
    seeds.push(seed(&choices(WRITTEN), &moved));
    seeds.push(seed(&choices(WRITTEN | INHERITING), &moved));
    seeds
}

/// Streams for other targets.
pub(super) fn streams() -> impl Iterator<Item = Vec<u8>> {
    archived().chain(built())
}

fn archived() -> impl Iterator<Item = Vec<u8>> {
    let archives = fixtures::all().iter().flat_map(|it| &it.archives);
    // Half of a stream is one file's data.
    archives
        .map(fixtures::Archive::stream)
        .filter(|stream| stream.len() < 8 << 10)
}

fn built() -> [Vec<u8>; 2] {
    [1, 2].map(|protocol| {
        let mut stream = StreamBuilder::incremental(protocol)
            .utimes(b"")
            .mkdir(b"o257-9-0")
            .rename(b"o257-9-0", b"dir")
            .mkfile(b"dir/file")
            .write(b"dir/file", 0, b"content of a file")
            .clone_range(b"dir/file", OWN, b"dir/file")
            .clone_range(b"dir/file", PARENT, b"old/name")
            .truncate(b"dir/file", 12)
            .set_xattr(b"dir/file", b"user.x", b"")
            .symlink(b"dir/link", b"/etc/passwd")
            .chown(b"dir/link")
            .utimes(b"dir/link")
            .link(b"other", b"dir/file")
            .make(6, b"fifo")
            .mknod(b"device")
            .chown(b"dir/file")
            .chmod(b"dir/file")
            .chown(b"other")
            .unlink(b"gone")
            .rmdir(b"gone-too");
        if protocol == 2 {
            stream = stream.fallocate(b"f").fileattr(b"").encoded_write(
                b"f",
                [4096, 0, 8192],
                &[1; 100],
            );
        }
        stream.finish()
    })
}

/// What [`written`] makes streams of.
pub(super) fn scripts() -> [Vec<u8>; 2] {
    // Each command once, on paths that do not meet.
    let mut each = vec![1];
    for number in 0..26 {
        each.extend([number, 0xff, 2, b'0' + number / 10, b'0' + number % 10]);
        match number {
            6..=9 | 14 | 15 => each.extend([0xff, 1, b'x']),
            5 | 12 | 24 => each.extend([1, b'x']),
            13 => each.extend([0, 1, b'x']),
            16 => each.push(9),
            23 => each.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 1, b'x']),
            25 => each.extend([0, 0x20]),
            _ => {}
        }
    }
    // A directory with a symlink and a fifo in it is moved, linked and removed again.
    let moved = [
        2, 1, 1, 5, 18, 1, b'/', 3, 34, 6, 1, 5, 8, 9, 22, 10, 22, 18, 38, 17, 38,
    ];
    [each, moved.to_vec()]
}
