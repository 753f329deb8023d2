//! Data that a stream carries as it is compressed on disk.
//!
//! What is unpacked has exactly the length that was asked for, whatever the data are, and twice is as once. Zeros behind data
//! that could be unpacked change nothing: disks and streams have them there.

use coldchain::btrfs::unpack;

use super::Outcome;
use super::input::{Input, seed};

/// More than any command has.
const MOST: u32 = 256 << 10;

const ZLIB: u8 = 1;
const ZSTD: u8 = 2;

pub fn run(data: &[u8]) -> Outcome {
    let mut input = Input::new(data);
    let compression = input.byte() % 9;
    let bytes = (input.u32() % (MOST + 1)) as usize;
    let packed = input.rest();
    let unpacked = unpack(packed, compression.into(), bytes);
    assert_eq!(unpacked, unpack(packed, compression.into(), bytes));
    let Ok(unpacked) = unpacked else {
        return Outcome::Refused;
    };
    assert_eq!(unpacked.len(), bytes);
    // The decoders of the others may stop before an end that is damaged.
    if !matches!(compression, ZLIB | ZSTD) {
        let padded = [packed, &[0; 64]].concat();
        assert_eq!(
            unpack(&padded, compression.into(), bytes).as_ref(),
            Ok(&unpacked)
        );
    }
    Outcome::Accepted
}

pub fn seeds() -> Vec<Vec<u8>> {
    let text = b"what a file has, and what a file has again, and again. ".repeat(90);
    let zstd = zstd::bulk::compress(&text, 3).unwrap();
    // "Hello, Hello, Hello, " by the description of lzo: seven literals, fourteen bytes from seven before, the end.
    let lzo = b"\x18Hello, \x2c\x18\x00\x11\x00\x00";
    let piece = u32::try_from(lzo.len()).unwrap();
    let sectors = [&(piece + 8).to_le_bytes()[..], &piece.to_le_bytes(), lzo].concat();
    // Deflate has a form that is not compressed.
    let stored = [
        &[0x78, 0x01, 1, 3, 0, 0xfc, 0xff][..],
        b"abc\x02\x4d\x01\x27",
    ]
    .concat();
    vec![
        seed(&[0, 3, 0, 0, 0], b"abcdef"),
        seed(&[ZLIB, 3, 0, 0, 0], &stored),
        seed(&[ZSTD, 0x56, 0x13, 0, 0], &zstd),
        seed(&[3, 21, 0, 0, 0], &sectors),
        seed(&[3, 0, 1, 0, 0], &sectors),
        seed(&[7, 21, 0, 0, 0], &sectors),
        seed(&[8, 1, 0, 0, 0], b"x"),
    ]
}
