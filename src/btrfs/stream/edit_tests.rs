//! Tests of the edit: each rule, every cut, and random streams against a model of what receive does.

use std::collections::BTreeMap;
use std::convert::Infallible;

use proptest::prelude::*;

use super::*;
use crate::btrfs::stream::attributes::pieces;
use crate::btrfs::stream::tests::stream_builder::{CTRANSID, OWN, PARENT, StreamBuilder, attr};
use crate::btrfs::stream::{Expect, Guard};

/// Regular files by their paths, with their modes. Anything else is not in it.
type Files = BTreeMap<Vec<u8>, u32>;

/// Plays `btrfs receive`, which has some files at the start.
#[derive(Default)]
struct Receiver {
    before: Files,
    bytes: Vec<u8>,
    /// The lengths of the pieces.
    writes: Vec<usize>,
    asked: Vec<(usize, Vec<u8>)>,
}

impl EditedStream for Receiver {
    type Error = Infallible;

    fn write(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        assert!(!bytes.is_empty());
        self.bytes.extend(bytes);
        self.writes.push(bytes.len());
        Ok(())
    }

    fn privileged_mode(&mut self, path: &[u8]) -> Result<Option<u32>, Infallible> {
        self.asked.push((self.bytes.len(), path.to_vec()));
        let files = carried_out(&self.before, &self.bytes, true);
        let mode = files.get(path).copied().filter(|mode| mode & 0o6000 != 0);
        Ok(mode.map(|mode| 0o100_000 | mode))
    }
}

/// The commands of a stream, without its header.
fn units(stream: &[u8]) -> Vec<&[u8]> {
    let mut rest = &stream[STREAM_HEADER..];
    let mut units = Vec::new();
    while let Some(unit) = Unit::read(rest) {
        units.push(unit.bytes);
        rest = &rest[unit.bytes.len()..];
    }
    assert!(rest.is_empty());
    units
}

/// Returns what a stream makes of some files. With `lchown`, a change of owner clears the setuid and setgid
/// bits.
fn carried_out(before: &Files, stream: &[u8], lchown: bool) -> Files {
    let mut files = before.clone();
    for bytes in units(stream) {
        let unit = Unit::read(bytes).unwrap();
        let value = |number| {
            let mut found = pieces(unit.payload, 1).filter(|piece| piece.number == number);
            found.next().map(|piece| piece.value.to_vec()).unwrap()
        };
        let path = || value(attr::PATH);
        match unit.number {
            3 => _ = files.insert(path(), 0o600),
            8 | 11 => _ = files.remove(&path()),
            9 => {
                let (from, to) = (path(), value(attr::PATH_TO));
                if from != to {
                    files.retain(|path, _| !path.starts_with(&to));
                }
                files = files
                    .into_iter()
                    .map(|(path, mode)| match path.strip_prefix(&from[..]) {
                        Some(rest) => ([&to[..], rest].concat(), mode),
                        None => (path, mode),
                    })
                    .collect();
            }
            18 => {
                if let Some(mode) = files.get_mut(&path()) {
                    let value = value(attr::MODE);
                    *mode = u32::from_le_bytes(value[..4].try_into().unwrap());
                }
            }
            19 if lchown => {
                if let Some(mode) = files.get_mut(&path()) {
                    *mode &= 0o1777;
                }
            }
            _ => {}
        }
    }
    files
}

fn files() -> Files {
    Files::from([
        (b"a".to_vec(), 0o4755),
        (b"b".to_vec(), 0o644),
        (b"d/a".to_vec(), 0o2750),
    ])
}

fn times(number: u32) -> [FileTime; 3] {
    [number, number + 1, number + 2].map(|number| FileTime {
        seconds: -i64::from(number),
        nanoseconds: number,
    })
}

/// Returns the edited stream, with one call for each piece. `cut` says before which commands a piece ends.
fn edited(
    stream: &[u8],
    root_times: Option<[FileTime; 3]>,
    cut: impl Fn(usize) -> bool,
) -> Receiver {
    edited_on(HandedDown::default(), stream, root_times, cut)
}

/// The same where the send parent's root hands something down.
fn edited_on(
    handed_down: HandedDown,
    stream: &[u8],
    root_times: Option<[FileTime; 3]>,
    cut: impl Fn(usize) -> bool,
) -> Receiver {
    let mut out = Receiver {
        before: files(),
        ..Receiver::default()
    };
    let mut edit = ReceiveEdit::new(root_times, handed_down);
    let mut start = 0;
    let mut at = STREAM_HEADER;
    for (number, unit) in units(stream).into_iter().enumerate() {
        if cut(number) {
            edit.pass(&stream[start..at], &mut out).unwrap();
            start = at;
        }
        at += unit.len();
    }
    edit.pass(&stream[start..], &mut out).unwrap();
    edit.pass(b"", &mut out).unwrap();
    out
}

fn whole(stream: &[u8]) -> Receiver {
    edited(stream, None, |_| false)
}

fn named(protocol: u32) -> StreamBuilder {
    StreamBuilder::header(protocol).subvol(RECEIVED_NAME, OWN, CTRANSID)
}

fn named_on_parent() -> StreamBuilder {
    StreamBuilder::header(1).snapshot(RECEIVED_NAME, OWN, CTRANSID, PARENT, 4000)
}

fn chmod(stream: StreamBuilder, path: &[u8], mode: u64) -> StreamBuilder {
    stream.command(18, &[(attr::PATH, path), (attr::MODE, &mode.to_le_bytes())])
}

fn root_time(stream: StreamBuilder, byte: u8) -> StreamBuilder {
    let time = [byte; 12];
    stream.command(
        20,
        &[
            (attr::PATH, b""),
            (attr::ATIME, &time),
            (attr::MTIME, &time),
            (attr::CTIME, &time),
        ],
    )
}

#[test]
fn the_first_command_gets_the_short_name_and_keeps_the_rest() {
    for protocol in [1, 2] {
        let stream = StreamBuilder::full(protocol).mkfile(b"a");
        let expected = named(protocol).mkfile(b"a");
        assert_eq!(whole(&stream.finish()).bytes, expected.finish());
    }
    let stream = StreamBuilder::incremental(1).finish();
    assert_eq!(whole(&stream).bytes, named_on_parent().finish());
    // The order does not change, and an attribute without meaning here stays.
    let uuid = (attr::UUID, &OWN[..]);
    let ctransid = (attr::CTRANSID, &[1; 8][..]);
    let data = (attr::DATA, &b"data"[..]);
    let name = |name: &'static [u8]| (attr::PATH, name);
    let first = |name| StreamBuilder::header(2).command(1, &[uuid, name, ctransid, data]);
    let out = whole(&first(name(b"2026-11-21")).finish());
    assert_eq!(out.bytes, first(name(RECEIVED_NAME)).finish());
}

#[test]
fn the_last_times_of_the_root_are_set_again_before_the_end() {
    let body = |stream: StreamBuilder| {
        let stream = root_time(stream, 1).mkfile(b"a").utimes(b"a");
        root_time(stream, 2).mkfile(b"b").utimes(b"b")
    };
    let stream = body(StreamBuilder::full(1)).finish();
    let expected = root_time(body(named(1)), 2).finish();
    for root_times in [None, Some(times(7))] {
        let out = edited(&stream, root_times, |_| false);
        assert_eq!(out.bytes, expected);
    }
}

#[test]
fn times_that_are_given_are_set_where_the_stream_has_none() {
    let stream = StreamBuilder::full(1).mkfile(b"a").utimes(b"a");
    let out = edited(&stream.clone().finish(), Some(times(7)), |_| false);
    let expected = named(1).mkfile(b"a").utimes(b"a");
    let time = |seconds: i64, nanoseconds: u32| {
        [&seconds.to_le_bytes()[..], &nanoseconds.to_le_bytes()].concat()
    };
    let expected = expected.command(
        20,
        &[
            (attr::PATH, b""),
            (attr::ATIME, &time(-7, 7)),
            (attr::MTIME, &time(-8, 8)),
            (attr::CTIME, &time(-9, 9)),
        ],
    );
    assert_eq!(out.bytes, expected.finish());
    let expected = named(1).mkfile(b"a").utimes(b"a").finish();
    assert_eq!(whole(&stream.finish()).bytes, expected);
}

#[test]
fn an_owner_that_changed_alone_leaves_the_setuid_bit() {
    let stream = StreamBuilder::incremental(1).chown(b"a").utimes(b"a");
    let out = whole(&stream.finish());
    let expected = chmod(named_on_parent().chown(b"a"), b"a", 0o4755).utimes(b"a");
    assert_eq!(out.bytes, expected.finish());
    // The answer is the one before the owner changes.
    assert_eq!(out.asked, [(named_on_parent().bytes.len(), b"a".to_vec())]);
}

#[test]
fn an_owner_whose_mode_follows_or_that_has_no_such_bit_passes() {
    let body = |stream: StreamBuilder| {
        let stream = stream.chown(b"a").chmod(b"a").chown(b"b").utimes(b"b");
        let stream = stream.chown(b"").chown(b"gone");
        stream
            .symlink(b"o9", b"x")
            .rename(b"o9", b"l")
            .utimes(b"")
            .chown(b"l")
            .utimes(b"l")
    };
    let stream = body(StreamBuilder::incremental(1));
    let out = whole(&stream.finish());
    assert_eq!(out.bytes, body(named_on_parent()).utimes(b"").finish());
    let asked: Vec<&[u8]> = out.asked.iter().map(|(_, path)| &path[..]).collect();
    assert_eq!(asked, [&b"b"[..], b"gone"]);
}

#[test]
fn a_mode_of_another_path_is_not_the_one_that_follows() {
    let stream = StreamBuilder::incremental(1).chown(b"d/a").chmod(b"a");
    let expected = chmod(named_on_parent().chown(b"d/a"), b"d/a", 0o2750).chmod(b"a");
    assert_eq!(whole(&stream.finish()).bytes, expected.finish());
}

#[test]
fn in_a_full_stream_nobody_is_asked() {
    let body = |stream: StreamBuilder| stream.chown(b"a").chown(b"d/a").chmod(b"a");
    let out = whole(&body(StreamBuilder::full(1)).finish());
    assert_eq!(out.bytes, body(named(1)).finish());
    assert!(out.asked.is_empty());
}

#[test]
fn a_symlink_that_was_replaced_is_forgotten() {
    let gone: [fn(StreamBuilder) -> StreamBuilder; 3] = [
        |stream| stream.unlink(b"l").rename(b"a", b"l"),
        |stream| stream.rename(b"a", b"l"),
        |stream| stream.rename(b"l", b"m").rename(b"a", b"l"),
    ];
    for gone in gone {
        let stream = gone(StreamBuilder::incremental(1).symlink(b"l", b"x"));
        let expected = gone(named_on_parent().symlink(b"l", b"x")).chown(b"l");
        let out = whole(&stream.chown(b"l").finish());
        assert_eq!(out.bytes, chmod(expected, b"l", 0o4755).finish());
    }
    let moved = |stream: StreamBuilder| {
        let stream = stream.symlink(b"d/l", b"x").rename(b"d", b"e");
        stream.rename(b"a", b"d/l")
    };
    let expected = moved(named_on_parent()).chown(b"d/l");
    let out = whole(&moved(StreamBuilder::incremental(1)).chown(b"d/l").finish());
    assert_eq!(out.bytes, chmod(expected, b"d/l", 0o4755).finish());
}

#[test]
fn what_the_root_hands_down_is_off_until_the_end() {
    const ACL: &[u8] = b"system.posix_acl_default";
    const COMPRESSION: &[u8] = b"btrfs.compression";
    let remove = |stream: StreamBuilder, path: &[u8], name: &[u8]| {
        stream.command(14, &[(attr::PATH, path), (attr::XATTR_NAME, name)])
    };
    // A full: what comes first for the root comes last. That of other directories stays where it is.
    let rest = |stream: StreamBuilder| {
        let stream = stream.set_xattr(b"", b"user.x", b"1").mkfile(b"a");
        stream.mkdir(b"d").set_xattr(b"d", ACL, b"of d")
    };
    let stream = StreamBuilder::full(1).set_xattr(b"", COMPRESSION, b"zstd");
    let stream = root_time(rest(stream.set_xattr(b"", ACL, b"old")), 1);
    let expected = root_time(rest(named(1)), 1).set_xattr(b"", ACL, b"new");
    let expected = root_time(expected.set_xattr(b"", COMPRESSION, b"zstd"), 1);
    let out = whole(&stream.set_xattr(b"", ACL, b"new").finish());
    assert_eq!(out.bytes, expected.finish());

    // An incremental: what the send parent has is taken off, and comes back unless the stream says otherwise.
    let parent = || {
        let find = |name: &str| name.contains("acl").then(|| b"old".to_vec());
        HandedDown::read::<Infallible>(|name| Ok(find(name))).unwrap()
    };
    let begun = || remove(named_on_parent(), b"", ACL).mkfile(b"a");
    let stream = StreamBuilder::incremental(1).mkfile(b"a");
    for (stream, expected) in [
        (stream.clone(), begun().set_xattr(b"", ACL, b"old")),
        (
            stream.clone().set_xattr(b"", ACL, b"new"),
            begun().set_xattr(b"", ACL, b"new"),
        ),
        (remove(stream.clone(), b"", ACL), begun()),
    ] {
        let (stream, expected) = (stream.finish(), expected.finish());
        for cuts in 0..1_u32 << 4 {
            let out = edited_on(parent(), &stream, None, |number| cuts & (1 << number) != 0);
            assert_eq!(out.bytes, expected, "{cuts:b}");
        }
    }
}

#[test]
fn every_cut_gives_the_same() {
    let stream = StreamBuilder::incremental(1);
    let stream = root_time(stream, 3).chown(b"a").chmod(b"a");
    let stream = stream.chown(b"a").chown(b"a").utimes(b"").chown(b"d/a");
    let stream = stream.symlink(b"l", b"x").chown(b"l").chown(b"a").finish();
    let expected = whole(&stream);
    let commands = units(&stream).len();
    assert_eq!(commands, 12);
    for cuts in 0..1 << commands {
        let out = edited(&stream, None, |number| cuts & (1 << number) != 0);
        assert_eq!(out.bytes, expected.bytes, "{cuts:b}");
        assert_eq!(out.asked, expected.asked, "{cuts:b}");
    }
}

#[test]
fn what_passes_is_handed_on_in_one_piece() {
    let mut stream = root_time(StreamBuilder::incremental(2), 1);
    for number in 0..1000 {
        let path = format!("file {number}").into_bytes();
        let file = stream.mkfile(&path).write(&path, 0, &[7; 1000]);
        stream = file.chown(&path).chmod(&path).utimes(&path);
    }
    let out = whole(&stream.finish());
    // The header, the first command, all the rest, the root's times, END.
    assert_eq!(out.writes.len(), 5);
    assert_eq!(out.writes[0], STREAM_HEADER);
    assert_eq!(out.writes[4], 10);
}

/// One command of a random stream.
fn command(stream: StreamBuilder, (kind, one, other): (u8, usize, usize)) -> StreamBuilder {
    let paths: [&[u8]; 6] = [b"a", b"b", b"d/a", b"l", b"d", b""];
    let (one, other) = (paths[one], paths[other]);
    match kind {
        0..=3 => stream.chown(one),
        4 => chmod(stream, one, 0o6711),
        5 => chmod(stream, one, 0o644),
        6 if one.is_empty() => root_time(stream, 9),
        6 => stream.utimes(one),
        _ if one.is_empty() || other.is_empty() => stream,
        7 => stream.symlink(one, b"a"),
        8 => stream.rename(one, other),
        9 => stream.unlink(one),
        10 => stream.mkfile(one),
        11 => stream.write(one, 0, b"data"),
        _ => stream.set_xattr(one, b"user.x", other),
    }
}

proptest! {
    /// The edit of a random stream that the guard accepts is a stream that it accepts too. It has every
    /// command of the first one, and leaves the modes of the snapshot.
    #[test]
    fn a_random_stream_comes_back_with_its_modes(
        incremental: bool,
        commands in prop::collection::vec((0..13_u8, 0..6_usize, 0..6_usize), 0..20),
        cuts: u32,
    ) {
        let start = if incremental { StreamBuilder::incremental(1) } else { StreamBuilder::full(1) };
        // Commands that the guard refuses are left out.
        let accepted = |stream: &StreamBuilder| {
            Guard::new(Expect::default()).push(&stream.bytes).is_ok()
        };
        let stream = commands.into_iter().fold(start, |stream, one| {
            let longer = command(stream.clone(), one);
            if accepted(&longer) { longer } else { stream }
        });
        let stream = stream.finish();
        let out = edited(&stream, None, |number| cuts & (1 << number) != 0);
        prop_assert_eq!(&out.bytes, &whole(&stream).bytes);

        let mut guard = Guard::new(Expect::default());
        guard.push(&out.bytes).unwrap();
        prop_assert_eq!(&guard.finish().unwrap().head.name[..], RECEIVED_NAME);

        let mut expected = units(&stream).into_iter().skip(1).peekable();
        let mut last = 0;
        for bytes in units(&out.bytes).into_iter().skip(1) {
            let number = Unit::read(bytes).unwrap().number;
            if expected.peek() == Some(&bytes) {
                expected.next();
            } else {
                let restored = incremental && last == 19 && number == 18;
                let repeated = number == 20 && expected.clone().count() == 1;
                prop_assert!(restored || repeated, "{number} after {last}");
            }
            last = number;
        }
        prop_assert_eq!(expected.count(), 0);
        if incremental {
            let sent = carried_out(&files(), &stream, false);
            prop_assert_eq!(carried_out(&files(), &out.bytes, true), sent);
        }
    }
}
