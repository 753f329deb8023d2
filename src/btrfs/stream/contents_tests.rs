//! Tests of contents: what is cut, and what is read of it.

use super::super::tests::stream_builder::{OWN, PARENT, StreamBuilder, attr};
use super::*;
use crate::btrfs::stream::Guard;

fn stream(protocol: u32) -> Vec<u8> {
    let stream = StreamBuilder::incremental(protocol)
        .utimes(b"")
        .mkfile(b"file")
        .write(b"file", 0, b"the first data of a file")
        .write(b"file", 24, b"")
        .write(b"file", 24, &[0; 5000])
        .clone_range(b"file", OWN, b"file")
        .clone_range(b"file", PARENT, b"old/name")
        .set_xattr(b"file", b"user.x", b"a value that is no file data")
        .truncate(b"file", 12);
    let stream = if protocol == 2 {
        stream.encoded_write(b"file", [4096, 0, 4096], b"compressed")
    } else {
        stream
    };
    stream.finish()
}

/// Returns the contents that a guard keeps which gets the stream in pieces.
fn contents(stream: &[u8], piece: usize) -> Vec<u8> {
    let mut guard = Guard::new(Expect::default());
    guard.keep_contents();
    let mut contents = Vec::new();
    for piece in stream.chunks(piece) {
        guard.push(piece).unwrap();
        contents.append(guard.contents().unwrap());
    }
    guard.finish().unwrap();
    contents
}

/// Reads contents to the end, and returns the place of the data of each command that has any.
fn read(contents: &[u8]) -> Result<(Vec<Range<u64>>, u64), ContentsError> {
    let mut reader = ContentsReader::open(contents, Expect::default())?;
    let mut data = Vec::new();
    while let Some(command) = reader.next_command()? {
        assert_eq!(command.data.is_some(), command.command.has_file_data());
        data.extend(command.data);
    }
    let offset = reader.offset();
    assert!(reader.into_rest().is_empty());
    Ok((data, offset))
}

#[test]
fn the_data_is_where_the_contents_say_and_nothing_of_it_is_in_them() {
    for protocol in [1, 2] {
        let stream = stream(protocol);
        let contents = contents(&stream, stream.len());
        let (places, end) = read(&contents).unwrap();
        assert_eq!(end, stream.len() as u64);
        let data: Vec<&[u8]> = places
            .iter()
            .map(|place| {
                let [start, end] = [place.start, place.end].map(|at| usize::try_from(at).unwrap());
                &stream[start..end]
            })
            .collect();
        let mut expected: Vec<&[u8]> = vec![b"the first data of a file", b"", &[0; 5000]];
        if protocol == 2 {
            expected.push(b"compressed");
        }
        assert_eq!(data, expected);
        let bytes: usize = data.iter().map(|data| data.len()).sum();
        assert_eq!(contents.len(), stream.len() - bytes);
    }
}

#[test]
fn contents_are_the_same_in_whatever_pieces_the_stream_comes() {
    for protocol in [1, 2] {
        let stream = stream(protocol);
        let whole = contents(&stream, stream.len());
        for piece in [1, 7, 100, 4097] {
            assert_eq!(contents(&stream, piece), whole);
        }
    }
}

#[test]
fn contents_that_are_cut_anywhere_are_refused() {
    for protocol in [1, 2] {
        let contents = contents(&stream(protocol), 4096);
        for length in 0..contents.len() {
            let error = read(&contents[..length]).unwrap_err();
            assert!(
                matches!(error, ContentsError::Refused(_)),
                "{length}: {error}"
            );
        }
    }
}

#[test]
fn a_stream_is_no_contents_and_a_length_beyond_the_limit_is_refused() {
    let stream = stream(2);
    let error = read(&stream).unwrap_err();
    let ContentsError::Refused(GuardError { refusal, .. }) = error else {
        panic!("{error}");
    };
    assert!(
        matches!(refusal, StreamRefusal::Crc { expected: 0, .. }),
        "{refusal}"
    );
    let mut contents = contents(&stream, 4096);
    contents[STREAM_HEADER..][..4].copy_from_slice(&u32::MAX.to_le_bytes());
    let error = read(&contents).unwrap_err();
    assert!(error.to_string().contains("refused"), "{error}");
}

#[test]
fn data_before_another_attribute_is_refused() {
    let bytes = StreamBuilder::incremental(1)
        .mkfile(b"file")
        .command(
            Command::Write as u16,
            &[
                (attr::PATH, b"file"),
                (attr::DATA, b"data"),
                (attr::FILE_OFFSET, &[0; 8]),
            ],
        )
        .finish();
    let mut guard = Guard::new(Expect::default());
    let error = guard.push(&bytes).unwrap_err();
    let command = Command::Write;
    assert_eq!(error.refusal, StreamRefusal::DataNotLast { command });
}
