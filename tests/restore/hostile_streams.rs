//! Streams that someone forged, or that something broke: the guard refuses each for its reason.
//!
//! All have right CRCs, since whoever forges a stream computes them.
#![allow(clippy::too_many_lines, reason = "the functions are tables")]

use std::error::Error;

use crate::common::stream_builder::{CTRANSID, OWN, PARENT, StreamBuilder, attr};
use coldchain::btrfs::{Expect, Guard, GuardError, StreamSummary};

/// The verdict on a stream pushed whole, which must not depend on how it is pushed.
fn verdict(name: &str, stream: &[u8]) -> Result<StreamSummary, GuardError> {
    let mut guard = Guard::new(Expect::default());
    let whole = guard.push(stream);
    let cleared = guard.cleared();
    let whole = whole.and_then(|()| guard.finish());

    let mut guard = Guard::new(Expect::default());
    let pushed = stream.iter().try_for_each(|byte| guard.push(&[*byte]));
    assert_eq!(guard.cleared(), cleared, "{name}");
    let single = pushed.and_then(|()| guard.finish());
    assert_eq!(whole, single, "{name}: byte by byte it is another verdict");
    whole
}

fn check(streams: Vec<(&str, Vec<u8>, &str)>) {
    for (name, stream, expected) in streams {
        let error = verdict(name, &stream).expect_err(name);
        let refusal = error.source().unwrap().to_string();
        assert!(refusal.contains(expected), "{name}: {refusal}");
    }
}

fn full() -> StreamBuilder {
    StreamBuilder::full(1)
}

/// A path of so many bytes, with names of one or two.
fn path_of(length: usize) -> Vec<u8> {
    let mut path = b"a/".repeat(length / 2 - 1);
    path.extend(&b"aaa"[..length - path.len()]);
    assert_eq!(path.len(), length);
    path
}

#[test]
fn what_is_no_whole_stream_is_refused() {
    let header = |version| StreamBuilder::header(version);
    let mut restarted = full().mkfile(b"a").bytes;
    restarted.extend(full().finish());
    let mut cut_and_restarted = full().write(b"a", 0, &[7; 500]).bytes;
    cut_and_restarted.truncate(cut_and_restarted.len() - 100);
    cut_and_restarted.extend(full().write(b"a", 0, &[7; 500]).finish());
    let mut no_crc = full().mkfile(b"a").finish();
    let at = full().bytes.len() + 6;
    no_crc[at..at + 4].fill(0);
    let mut concatenated = full().finish();
    concatenated.extend(full().finish());
    check(vec![
        ("nothing", vec![], "empty"),
        ("a header alone", header(1).bytes, "without its end command"),
        (
            "no magic",
            b"#!/bin/sh\nrm -rf /\n".repeat(2),
            "does not start",
        ),
        ("version 0", header(0).finish(), "protocol version 0"),
        ("version 3", header(3).finish(), "protocol version 3"),
        (
            "no END",
            full().mkfile(b"a").bytes,
            "without its end command",
        ),
        (
            "cut in a command",
            full().raw(&[1, 2, 3]).bytes,
            "after 3 bytes of it",
        ),
        (
            "one byte after END",
            full().end().raw(&[0]).bytes,
            "after the end command",
        ),
        (
            "a command after END",
            full().end().mkfile(b"a").bytes,
            "after the end command",
        ),
        (
            "a second stream after END",
            concatenated,
            "after the end command",
        ),
        (
            "begun again at a command",
            restarted,
            "stopped and continued",
        ),
        ("begun again inside a command", cut_and_restarted, "crc32c"),
        ("crc of zeros", no_crc, "crc32c"),
        (
            "a length of 4 GiB",
            full()
                .raw(&[0xf0, 0xff, 0xff, 0xff, 3, 0, 0, 0, 0, 0])
                .bytes,
            "4294967280 bytes is larger",
        ),
        (
            "64 KiB and a byte in version 1",
            full().raw(&[1, 0, 1, 0, 3, 0, 0, 0, 0, 0]).bytes,
            "65537 bytes is larger than the 65536",
        ),
        (
            "2 MiB and a byte in version 2",
            StreamBuilder::full(2)
                .raw(&[1, 0, 0x20, 0, 3, 0, 0, 0, 0, 0])
                .bytes,
            "2097153 bytes is larger than the 2097152",
        ),
    ]);
}

#[test]
fn what_is_not_exactly_one_subvolume_is_refused() {
    let header = || StreamBuilder::header(1);
    check(vec![
        (
            "END at once",
            header().finish(),
            "end command before the subvolume",
        ),
        (
            "a file before it",
            header().mkfile(b"a").finish(),
            "mkfile command before",
        ),
        (
            "two",
            full().subvol(b"b", OWN, 1).finish(),
            "second subvolume",
        ),
        (
            "a snapshot in it",
            full().snapshot(b"b", OWN, 1, PARENT, 1).finish(),
            "second subvolume",
        ),
        ("named ..", header().subvol(b"..", OWN, 1).finish(), "`..`"),
        (
            "named by a path",
            header().subvol(b"a/b", OWN, 1).finish(),
            "not one path component",
        ),
        (
            "named absolutely",
            header().subvol(b"/a", OWN, 1).finish(),
            "absolute",
        ),
        (
            "named by nothing",
            header().subvol(b"", OWN, 1).finish(),
            "subvolume itself",
        ),
        (
            "named with a NUL",
            header().subvol(b"a\0b", OWN, 1).finish(),
            "NUL",
        ),
        (
            "without a uuid",
            header().subvol(b"a", [0; 16], 1).finish(),
            "all zeros",
        ),
        (
            "on a parent without a uuid",
            header().snapshot(b"a", OWN, 1, [0; 16], 1).finish(),
            "clone_uuid of a snapshot command is all zeros",
        ),
    ]);
}

#[test]
fn every_path_that_leaves_the_subvolume_is_refused() {
    check(vec![
        ("mkfile above", full().mkfile(b"../x").finish(), "`..`"),
        ("mkdir above", full().mkdir(b"a/../../x").finish(), "`..`"),
        (
            "mknod absolute",
            full().mknod(b"/dev/x").finish(),
            "absolute",
        ),
        ("mkfifo .", full().make(6, b".").finish(), "`.`"),
        (
            "mksock a//b",
            full().make(7, b"a//b").finish(),
            "empty component",
        ),
        (
            "symlink above",
            full().symlink(b"../l", b"x").finish(),
            "`..`",
        ),
        (
            "rename from above",
            full().rename(b"../x", b"x").finish(),
            "`..`",
        ),
        (
            "rename to above",
            full().rename(b"x", b"../x").finish(),
            "`..`",
        ),
        (
            "link to above",
            full().link(b"x", b"../../etc/shadow").finish(),
            "`..`",
        ),
        (
            "link absolute",
            full().link(b"x", b"/etc/shadow").finish(),
            "absolute",
        ),
        ("unlink above", full().unlink(b"../x").finish(), "`..`"),
        ("rmdir above", full().rmdir(b"../x").finish(), "`..`"),
        (
            "write above",
            full().write(b"../x", 0, b"x").finish(),
            "`..`",
        ),
        (
            "truncate absolute",
            full().truncate(b"/etc/passwd", 0).finish(),
            "absolute",
        ),
        (
            "chmod absolute",
            full().chmod(b"/etc/shadow").finish(),
            "absolute",
        ),
        ("chown above", full().chown(b"..").finish(), "`..`"),
        ("utimes with a NUL", full().utimes(b"a\0").finish(), "NUL"),
        (
            "set_xattr above",
            full().set_xattr(b"..", b"user.x", b"").finish(),
            "`..`",
        ),
        (
            "a name of 256",
            full().mkfile(&[b'n'; 256]).finish(),
            "a name of more than 255 bytes",
        ),
        (
            "a path of 4091",
            full().mkfile(&path_of(4091)).finish(),
            "longer than the 4,090 bytes that a restore can take",
        ),
        (
            "the root written",
            full().write(b"", 0, b"x").finish(),
            "subvolume itself",
        ),
        (
            "the root removed",
            full().rmdir(b"").finish(),
            "subvolume itself",
        ),
        (
            "the root renamed",
            full().rename(b"", b"x").finish(),
            "subvolume itself",
        ),
        (
            "clone into above",
            full().clone_range(b"../x", OWN, b"a").finish(),
            "`..`",
        ),
        (
            "clone from above",
            full().clone_range(b"a", OWN, b"../x").finish(),
            "`..`",
        ),
        (
            "clone from above the parent",
            StreamBuilder::incremental(1)
                .clone_range(b"a", PARENT, b"../x")
                .finish(),
            "`..`",
        ),
        (
            "fallocate above",
            StreamBuilder::full(2).fallocate(b"../x").finish(),
            "`..`",
        ),
        (
            "encoded write above",
            StreamBuilder::full(2)
                .encoded_write(b"../x", [1, 0, 1], b"x")
                .finish(),
            "`..`",
        ),
    ]);
}

#[test]
fn every_way_through_a_symlink_of_the_stream_is_refused() {
    let linked = || full().symlink(b"l", b"/etc");
    let held = || full().mkdir(b"d").symlink(b"d/l", b"/etc");
    let through = "through the symlink";
    let on = "which is a symlink";
    check(vec![
        ("a file in it", linked().mkfile(b"l/x").finish(), through),
        (
            "deep in it",
            linked().write(b"l/a/b", 0, b"x").finish(),
            through,
        ),
        (
            "a file renamed into it",
            linked().rename(b"x", b"l/x").finish(),
            through,
        ),
        (
            "a file linked out of it",
            linked().link(b"x", b"l/shadow").finish(),
            through,
        ),
        (
            "a file deleted in it",
            linked().unlink(b"l/passwd").finish(),
            through,
        ),
        (
            "an attribute set in it",
            linked().set_xattr(b"l/x", b"user.x", b"").finish(),
            through,
        ),
        (
            "a clone from in it",
            linked().clone_range(b"x", OWN, b"l/x").finish(),
            through,
        ),
        (
            "after it was renamed",
            linked().rename(b"l", b"m").mkfile(b"m/x").finish(),
            through,
        ),
        (
            "after it was linked",
            linked().link(b"m", b"l").mkfile(b"m/x").finish(),
            through,
        ),
        (
            "after its link was left alone",
            linked()
                .link(b"m", b"l")
                .unlink(b"l")
                .mkfile(b"m/x")
                .finish(),
            through,
        ),
        (
            "after a rename between two links of it",
            linked()
                .link(b"m", b"l")
                .rename(b"l", b"m")
                .mkfile(b"l/x")
                .finish(),
            through,
        ),
        (
            "after its directory was renamed",
            held().rename(b"d", b"e").mkfile(b"e/l/x").finish(),
            through,
        ),
        (
            "after its directory was moved deeper",
            held()
                .mkdir(b"e")
                .rename(b"d", b"e/f")
                .mkfile(b"e/f/l/x")
                .finish(),
            through,
        ),
        ("a file made on it", linked().mkfile(b"l").finish(), on),
        (
            "data written to it",
            linked().write(b"l", 0, b"x").finish(),
            on,
        ),
        ("truncated by it", linked().truncate(b"l", 0).finish(), on),
        (
            "its target's mode changed",
            linked().chmod(b"l").finish(),
            on,
        ),
        (
            "a clone into it",
            linked().clone_range(b"l", OWN, b"x").finish(),
            on,
        ),
        (
            "a clone from it",
            linked().clone_range(b"x", OWN, b"l").finish(),
            on,
        ),
        (
            "another symlink on it",
            linked().symlink(b"l", b"/").finish(),
            on,
        ),
        ("a link made on it", linked().link(b"l", b"x").finish(), on),
        (
            "fallocated by it",
            StreamBuilder::full(2)
                .symlink(b"l", b"x")
                .fallocate(b"l")
                .finish(),
            on,
        ),
        (
            "an encoded write to it",
            StreamBuilder::full(2)
                .symlink(b"l", b"x")
                .encoded_write(b"l", [1, 0, 1], b"x")
                .finish(),
            on,
        ),
        (
            "forgotten by rmdir of its directory",
            held().rmdir(b"d").finish(),
            "not empty",
        ),
        (
            "forgotten by a rename over it",
            held().rename(b"e", b"d").finish(),
            "not empty",
        ),
        (
            "lost in itself",
            held().rename(b"d", b"d/e").finish(),
            "into itself",
        ),
    ]);
}

/// Adds a command for a path.
type AtPath = fn(StreamBuilder, &[u8]) -> StreamBuilder;

/// The ways to make a file that is neither a regular one nor a directory.
const SPECIAL: [(&str, AtPath); 4] = [
    ("symlink", |stream, path| stream.symlink(path, b"x")),
    ("device node", |stream, path| stream.mknod(path)),
    ("fifo", |stream, path| stream.make(6, path)),
    ("socket", |stream, path| stream.make(7, path)),
];

#[test]
fn data_for_what_is_no_regular_file_is_refused() {
    let data: [(&str, AtPath); 7] = [
        ("write", |stream, path| stream.write(path, 0, b"x")),
        ("encoded_write", |stream, path| {
            stream.encoded_write(path, [1, 0, 1], b"x")
        }),
        ("truncate", |stream, path| stream.truncate(path, 0)),
        ("fallocate", |stream, path| stream.fallocate(path)),
        ("clone", |stream, path| stream.clone_range(path, OWN, b"f")),
        ("clone", |stream, path| {
            stream.clone_range(path, PARENT, b"f")
        }),
        ("clone", |stream, path| stream.clone_range(b"f", OWN, path)),
    ];
    for (kind, make) in SPECIAL {
        let start = || StreamBuilder::incremental(2);
        let ways = [
            ("made", make(start(), b"s")),
            (
                "renamed",
                make(start(), b"o258-7-0").rename(b"o258-7-0", b"s"),
            ),
            ("linked", make(start(), b"d/o").link(b"s", b"d/o")),
            (
                "linked, and the first link gone",
                make(start(), b"o").link(b"s", b"o").unlink(b"o"),
            ),
            (
                "renamed between its links",
                make(start(), b"s").link(b"m", b"s").rename(b"s", b"m"),
            ),
            (
                "on a file that was there",
                make(start().mkfile(b"s"), b"o").rename(b"o", b"s"),
            ),
        ];
        for (command, write) in data {
            let expected = format!("a {command} command on `s`, which is a {kind}");
            for (way, stream) in &ways {
                let name = format!("{kind} {way}, then {command}");
                let stream = write(stream.clone(), b"s").finish();
                check(vec![(&name, stream, &expected)]);
            }
            let expected = format!("a {command} command on `e/f/s`, which is a {kind}");
            let name = format!("{kind} in a renamed directory, then {command}");
            let stream = make(start().mkdir(b"d"), b"d/s").rename(b"d", b"e/f");
            check(vec![(&name, write(stream, b"e/f/s").finish(), &expected)]);
        }
    }
}

#[test]
fn what_is_made_on_or_through_a_special_file_is_refused() {
    let makes: [(&str, AtPath); 7] = [
        ("mkfile", |stream, path| stream.mkfile(path)),
        ("mkdir", |stream, path| stream.mkdir(path)),
        ("mknod", |stream, path| stream.mknod(path)),
        ("mkfifo", |stream, path| stream.make(6, path)),
        ("mksock", |stream, path| stream.make(7, path)),
        ("symlink", |stream, path| stream.symlink(path, b"x")),
        ("link", |stream, path| stream.link(path, b"f")),
    ];
    for (kind, make) in SPECIAL {
        for (command, again) in makes {
            let made = || make(full(), b"d/s");
            let on = format!("a {command} command on `d/s`, which is a {kind}");
            let through = format!("the path `d/s/x` leads through the {kind} `d/s`");
            check(vec![
                (command, again(made(), b"d/s").finish(), &on),
                (command, again(made(), b"d/s/x").finish(), &through),
            ]);
        }
        let made = || make(full(), b"s");
        let through = format!("leads through the {kind} `s`");
        check(vec![
            (kind, made().write(b"s/x", 0, b"x").finish(), &through),
            (kind, made().rename(b"f", b"s/x").finish(), &through),
            (kind, made().unlink(b"s/x").finish(), &through),
            (kind, made().chmod(b"s/x").finish(), &through),
            (kind, made().rmdir(b"s").finish(), "which is a"),
            (
                kind,
                make(full().symlink(b"d/l", b"x"), b"d").finish(),
                "a directory that is not empty",
            ),
        ]);
    }
}

#[test]
fn a_clone_from_anywhere_else_is_refused() {
    let other = *b"some-other-uuid.";
    check(vec![
        (
            "in a full",
            full().clone_range(b"a", other, b"b").finish(),
            "a clone from",
        ),
        (
            "from a parent that a full has not",
            full().clone_range(b"a", PARENT, b"b").finish(),
            "a clone from",
        ),
        (
            "in an incremental",
            StreamBuilder::incremental(1)
                .clone_range(b"a", other, b"b")
                .finish(),
            "a clone from",
        ),
        (
            "from no uuid",
            full().clone_range(b"a", [0; 16], b"b").finish(),
            "all zeros",
        ),
    ]);
}

#[test]
fn commands_and_attributes_that_are_malformed_are_refused() {
    let path = |rest: &[u8]| [&[15, 0, 1, 0, b'a'][..], rest].concat();
    let number = 1_u64.to_le_bytes();
    check(vec![
        ("type 0", full().payload(0, &[]).finish(), "unknown type 0"),
        (
            "type 26, fs-verity",
            StreamBuilder::full(2).payload(26, &[]).finish(),
            "unknown type 26",
        ),
        (
            "a type from the future",
            full().payload(4711, &[]).finish(),
            "unknown type 4711",
        ),
        (
            "fallocate in version 1",
            full().fallocate(b"a").finish(),
            "protocol version 1",
        ),
        (
            "no file data",
            full().update_extent(b"a", 1).finish(),
            "without file data",
        ),
        (
            "attribute 0",
            full().payload(3, &path(&[0, 0, 0, 0])).finish(),
            "unknown type 0",
        ),
        (
            "attribute 99",
            full().payload(3, &path(&[99, 0, 0, 0])).finish(),
            "unknown type 99",
        ),
        (
            "an attribute of version 2 in version 1",
            full().payload(3, &path(&[26, 0, 0, 0])).finish(),
            "unknown type 26",
        ),
        (
            "half an attribute header",
            full().payload(3, &path(&[3, 0, 8])).finish(),
            "beyond",
        ),
        (
            "an attribute too long",
            full().payload(3, &path(&[3, 0, 9, 0, 1])).finish(),
            "beyond",
        ),
        (
            "no path",
            full().command(3, &[(attr::INO, &number)]).finish(),
            "without its path",
        ),
        (
            "no inode",
            full().payload(3, &path(&[])).finish(),
            "without its ino",
        ),
        (
            "a write without data",
            full()
                .command(15, &[(attr::PATH, b"a"), (attr::FILE_OFFSET, &number)])
                .finish(),
            "without its data",
        ),
        (
            "a short number",
            full()
                .command(3, &[(attr::PATH, b"a"), (attr::INO, &number[..7])])
                .finish(),
            "has 7 bytes, not 8",
        ),
        (
            "a short uuid",
            StreamBuilder::header(1)
                .command(
                    1,
                    &[
                        (attr::PATH, b"a"),
                        (attr::UUID, &OWN[..15]),
                        (attr::CTRANSID, &number),
                    ],
                )
                .finish(),
            "has 15 bytes, not 16",
        ),
        (
            "two paths",
            full()
                .command(
                    3,
                    &[
                        (attr::PATH, b"a"),
                        (attr::PATH, b"../x"),
                        (attr::INO, &number),
                    ],
                )
                .finish(),
            "twice",
        ),
        (
            "data before the path in version 2",
            StreamBuilder::full(2)
                .command(
                    15,
                    &[
                        (attr::FILE_OFFSET, &number),
                        (attr::DATA, b"x"),
                        (attr::PATH, b"a"),
                    ],
                )
                .finish(),
            "without its path",
        ),
        (
            "an xattr without a name",
            full().set_xattr(b"a", b"", b"x").finish(),
            "extended attribute",
        ),
        (
            "an xattr name with a NUL",
            full().set_xattr(b"a", b"user.x\0", b"x").finish(),
            "extended attribute",
        ),
        (
            "an encoded range beyond its extent",
            StreamBuilder::full(2)
                .encoded_write(b"a", [4096, 4096, 4096], b"x")
                .finish(),
            "encoded_write of 4096 bytes at offset 4096",
        ),
        (
            "an encoded range that overflows",
            StreamBuilder::full(2)
                .encoded_write(b"a", [2, u64::MAX, 4096], b"x")
                .finish(),
            "encoded_write",
        ),
        (
            "an encoded extent of 1 TiB",
            StreamBuilder::full(2)
                .encoded_write(b"a", [1, 0, 1 << 40], b"x")
                .finish(),
            "encoded_write",
        ),
    ]);
}

#[test]
fn what_looks_odd_but_is_harmless_passes() {
    for (name, stream) in [
        ("only a subvolume", full()),
        (
            "a symlink that points anywhere",
            full().symlink(b"l", b"/../../etc/passwd"),
        ),
        (
            "attributes of a symlink itself",
            full()
                .symlink(b"l", b"x")
                .chown(b"l")
                .utimes(b"l")
                .set_xattr(b"l", b"security.selinux", b"x"),
        ),
        (
            "a directory where a symlink was",
            full()
                .symlink(b"l", b"x")
                .unlink(b"l")
                .mkdir(b"l")
                .mkfile(b"l/x"),
        ),
        (
            "a directory renamed to where a symlink was",
            full()
                .symlink(b"l", b"x")
                .rename(b"l", b"o260-9-0")
                .mkdir(b"d")
                .rename(b"d", b"l")
                .mkfile(b"l/x")
                .unlink(b"o260-9-0"),
        ),
        ("the kernel's own commands for special files", {
            SPECIAL
                .into_iter()
                .skip(1)
                .fold(full(), |stream, (_, make)| {
                    let stream = make(stream, b"o258-7-0").rename(b"o258-7-0", b"s");
                    let stream = stream.link(b"m", b"s").set_xattr(b"m", b"user.x", b"");
                    let stream = stream.chown(b"m").chmod(b"m").utimes(b"m");
                    stream.unlink(b"s").unlink(b"m")
                })
        }),
        (
            "a file where a fifo was",
            full()
                .make(6, b"s")
                .unlink(b"s")
                .mkfile(b"s")
                .write(b"s", 0, b"x"),
        ),
        (
            "a file renamed to where a device was",
            full().mknod(b"s").rename(b"f", b"s").write(b"s", 0, b"x"),
        ),
        (
            "a clone from the parent's path of a device here",
            StreamBuilder::incremental(1)
                .mknod(b"s")
                .clone_range(b"f", PARENT, b"s"),
        ),
        ("names with dots", full().mkdir(b"..a").mkfile(b"..a/...")),
        ("a path of 4090 bytes", full().mkfile(&path_of(4090))),
        (
            "a symlink's target of 4095 bytes",
            full().symlink(b"l", &path_of(4095)),
        ),
        ("a name of 255 bytes", full().mkfile(&[0xff; 255])),
        ("a path of the parent where a symlink is here", {
            StreamBuilder::incremental(1)
                .symlink(b"l", b"x")
                .clone_range(b"a", PARENT, b"l/x")
        }),
        (
            "the root's own attributes",
            full()
                .chown(b"")
                .chmod(b"")
                .utimes(b"")
                .set_xattr(b"", b"user.x", b""),
        ),
    ] {
        let summary = verdict(name, &stream.finish())
            .unwrap_or_else(|error| panic!("{name}: {error}: {}", error.refusal));
        assert_eq!(summary.head.ctransid, CTRANSID);
    }
}
