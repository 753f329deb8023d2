//! Tests of the guard as a whole. The hostile streams are in `tests/restore/hostile_streams.rs`.

use super::*;
use crate::model::Uuid;
use stream_builder::{CTRANSID, OWN, PARENT, StreamBuilder, attr};

#[path = "../../../tests/common/stream_builder.rs"]
pub(crate) mod stream_builder;

/// A bit of every command that version 1 has.
fn small(protocol: u32) -> StreamBuilder {
    StreamBuilder::incremental(protocol)
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
        .chmod(b"dir/file")
        .unlink(b"gone")
        .rmdir(b"gone-too")
}

fn verdict(expect: Expect, stream: &[u8]) -> Result<StreamSummary, GuardError> {
    let mut guard = Guard::new(expect);
    guard.push(stream)?;
    guard.finish()
}

fn refusal(expect: Expect, stream: &[u8]) -> StreamRefusal {
    verdict(expect, stream).unwrap_err().refusal
}

#[test]
fn a_whole_stream_passes_and_says_what_it_is() {
    for protocol in [1, 2] {
        let stream = small(protocol).finish();
        let summary = verdict(Expect::default(), &stream).unwrap();
        assert_eq!(
            summary.head,
            StreamHead {
                name: b"2026-11-21".to_vec(),
                uuid: Uuid(OWN),
                ctransid: CTRANSID,
                send_parent: Some((Uuid(PARENT), 4000)),
                protocol,
            }
        );
        assert_eq!(summary.bytes, stream.len() as u64);
        assert_eq!(summary.commands, 20);
        assert_eq!(summary.file_data_bytes, 17);
    }
}

#[test]
fn what_a_stream_makes_that_a_later_one_must_know_of_is_told() {
    let full = || StreamBuilder::full(1).mkfile(b"f");
    let mode =
        |mode: u64| full().command(18, &[(attr::PATH, b"f"), (attr::MODE, &mode.to_le_bytes())]);
    for (stream, fifos, privileged) in [
        (full(), false, false),
        (full().make(6, b"fifo"), true, false),
        (mode(0o100_755), false, false),
        (mode(0o104_755), false, true),
        (mode(0o102_755), false, true),
    ] {
        let summary = verdict(Expect::default(), &stream.finish()).unwrap();
        assert_eq!(summary.makes, Holds { fifos, privileged });
    }
}

#[test]
fn the_commands_of_version_two_pass_in_version_two_only() {
    let commands: [fn(StreamBuilder) -> StreamBuilder; 3] = [
        |stream| stream.fallocate(b"f"),
        |stream| stream.fileattr(b""),
        |stream| stream.encoded_write(b"f", [4096, 0, 8192], &vec![1; 100_000]),
    ];
    for command in commands {
        verdict(Expect::default(), &command(StreamBuilder::full(2)).finish()).unwrap();
    }
    for command in &commands[..2] {
        let stream = command(StreamBuilder::full(1)).finish();
        assert!(matches!(
            refusal(Expect::default(), &stream),
            StreamRefusal::CommandTooNew { protocol: 1, .. }
        ));
    }
}

#[test]
fn compressed_data_is_told_and_refused_where_it_must_not_be() {
    let refused = Expect {
        compressed_data: CompressedData::Refused,
        ..Expect::default()
    };
    let plain = StreamBuilder::full(2)
        .mkfile(b"a")
        .write(b"a", 0, &[0; 300]);
    let compressed = StreamBuilder::full(2)
        .mkfile(b"a")
        .encoded_write(b"a", [4, 0, 4], b"data");
    let [plain, compressed] = [plain, compressed].map(StreamBuilder::finish);
    let summary = verdict(refused.clone(), &plain).unwrap();
    assert!(!summary.compressed_data);
    assert_eq!(
        (summary.zeros.bytes, &summary.zeros.path[..]),
        (300, &b"a"[..])
    );
    let error = verdict(refused, &compressed).unwrap_err();
    assert_eq!(
        (error.command, &error.refusal),
        (3, &StreamRefusal::CompressedData)
    );
    assert!(!error.refusal.is_garbled(), "it would be sent once more");
    let summary = verdict(Expect::default(), &compressed).unwrap();
    assert!(summary.compressed_data);
    assert_eq!(summary.zeros, Zeros::default());
}

#[test]
fn a_stream_cut_at_any_byte_is_refused() {
    for protocol in [1, 2] {
        let stream = small(protocol).finish();
        for length in 0..stream.len() {
            let error = verdict(Expect::default(), &stream[..length]).unwrap_err();
            assert!(
                matches!(
                    error.refusal,
                    StreamRefusal::Empty
                        | StreamRefusal::CutHeader { .. }
                        | StreamRefusal::CutCommand { .. }
                        | StreamRefusal::NoEnd
                ),
                "{length}: {error:?}"
            );
        }
    }
}

#[test]
fn a_stream_with_any_single_bit_flipped_is_refused() {
    let stream = small(2).finish();
    for bit in 0..stream.len() * 8 {
        // The version's lowest two bits turn 2 into 3 or 0, and no bit turns it into 1.
        let mut flipped = stream.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(verdict(Expect::default(), &flipped).is_err(), "bit {bit}");
    }
}

#[test]
fn the_size_of_the_pieces_changes_nothing() {
    let mut stream = small(1).finish();
    stream.extend(b"more");
    let whole = verdict(Expect::default(), &stream).unwrap_err();
    for size in 1..100 {
        let mut guard = Guard::new(Expect::default());
        let error = stream
            .chunks(size)
            .find_map(|piece| guard.push(piece).err())
            .unwrap();
        assert_eq!(error, whole, "pieces of {size}");
        assert_eq!(guard.cleared(), stream.len() as u64 - 4);
    }
}

#[test]
fn only_whole_commands_are_cleared_and_none_before_the_first() {
    let header = StreamBuilder::header(1).bytes.len();
    let first = StreamBuilder::incremental(1).bytes.len();
    let stream = small(1).finish();
    let mut guard = Guard::new(Expect::default());
    let mut ends = vec![0];
    for (at, byte) in stream.iter().enumerate() {
        guard.push(&[*byte]).unwrap();
        let cleared = usize::try_from(guard.cleared()).unwrap();
        assert!(cleared <= at + 1);
        assert_eq!(guard.head().is_some(), at + 1 >= first);
        if *ends.last().unwrap() != cleared {
            ends.push(cleared);
        }
    }
    assert!(header < first);
    assert_eq!(ends[1], first);
    assert_eq!(ends.len(), 21);
    assert_eq!(*ends.last().unwrap(), stream.len());
}

#[test]
fn a_refusal_says_where_and_is_repeated() {
    let good = StreamBuilder::full(1).mkfile(b"a");
    let offset = good.bytes.len() as u64;
    let mut guard = Guard::new(Expect::default());
    let error = guard.push(&good.mkfile(b"../x").finish()).unwrap_err();
    assert_eq!((error.offset, error.command), (offset, 3));
    assert_eq!(guard.cleared(), offset);
    assert_eq!(guard.push(b"whatever").unwrap_err(), error);
    assert_eq!(guard.push(b"").unwrap_err(), error);
    assert_eq!(guard.finish().unwrap_err(), error);
}

#[test]
fn what_is_expected_of_the_head_is_checked_at_the_first_command() {
    let full = StreamBuilder::full(1).finish();
    let incremental = StreamBuilder::incremental(1).finish();
    let other = Uuid([9; 16]);
    let uuid = |uuid| Expect {
        uuid: Some(uuid),
        ..Expect::default()
    };
    let ctransid = |ctransid| Expect {
        ctransid: Some(ctransid),
        ..Expect::default()
    };
    let parent = |send_parent| Expect {
        send_parent,
        ..Expect::default()
    };
    for (expect, stream) in [
        (uuid(Uuid(OWN)), &full),
        (ctransid(CTRANSID), &full),
        (parent(ExpectParent::None), &full),
        (parent(ExpectParent::Uuid(Uuid(PARENT))), &incremental),
    ] {
        verdict(expect, stream).unwrap();
    }
    let (own, sent_on) = (Uuid(OWN), Uuid(PARENT));
    for (expect, stream, expected) in [
        (
            uuid(other),
            &full,
            StreamRefusal::WrongUuid {
                expected: other,
                found: own,
            },
        ),
        (
            ctransid(1),
            &full,
            StreamRefusal::WrongCtransid {
                expected: 1,
                found: CTRANSID,
            },
        ),
        (
            parent(ExpectParent::None),
            &incremental,
            StreamRefusal::NotFull { found: sent_on },
        ),
        (
            parent(ExpectParent::Uuid(other)),
            &incremental,
            StreamRefusal::WrongSendParent {
                expected: other,
                found: sent_on,
            },
        ),
        (
            parent(ExpectParent::Uuid(other)),
            &full,
            StreamRefusal::NotIncremental { expected: other },
        ),
    ] {
        let error = verdict(expect, stream).unwrap_err();
        assert_eq!((error.command, &error.refusal), (1, &expected));
    }
}

#[test]
fn an_estimate_adds_up_what_a_stream_without_data_announces() {
    let stream = StreamBuilder::full(1)
        .mkfile(b"a")
        .update_extent(b"a", 5 << 30)
        .update_extent(b"a", 7)
        .finish();
    let mut guard = Guard::for_estimate();
    guard.push(&stream).unwrap();
    assert_eq!(guard.finish().unwrap().file_data_bytes, (5 << 30) + 7);
    assert_eq!(
        refusal(Expect::default(), &stream),
        StreamRefusal::NoFileData
    );
    let stream = StreamBuilder::full(1).mknod(b"a").update_extent(b"a", 7);
    let error = Guard::for_estimate().push(&stream.bytes).unwrap_err();
    assert_eq!(
        error.refusal,
        StreamRefusal::OnSpecial {
            command: Command::UpdateExtent,
            path: b"a".to_vec(),
            kind: SpecialKind::Node,
        }
    );
}
