//! Unpacks data that a stream carries as it is compressed on disk (`encoded_write`).

mod lzo;

use std::io::Read;

/// Returns whether this is a compression that can be unpacked, by the kernel's number (`BTRFS_ENCODED_IO_COMPRESSION_…`).
pub fn is_known_compression(compression: u32) -> bool {
    compression <= LARGEST_LZO
}

/// Not compressed.
const NONE: u32 = 0;
/// zlib.
const ZLIB: u32 = 1;
/// zstd.
const ZSTD: u32 = 2;
/// lzo with sectors of 4 KiB; the next ones are for 8, 16, 32 and 64 KiB.
const LZO_4K: u32 = 3;
/// lzo with sectors of 64 KiB.
const LARGEST_LZO: u32 = 7;

/// The largest window of zstd that btrfs uses (`ZSTD_BTRFS_MAX_WINDOWLOG`) is 17; a reader need not be that strict.
const LARGEST_WINDOW_LOG: u32 = 21;

/// Data that can't be unpacked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("compressed data of the stream can't be unpacked: {0}")]
pub struct UnpackError(String);

impl UnpackError {
    fn cut() -> Self {
        Self("it is cut short".to_owned())
    }
}

/// Unpacks `packed`, which may have zeros behind it, into exactly `bytes` bytes. Missing ones are zeros, as on disk.
pub fn unpack(packed: &[u8], compression: u32, bytes: usize) -> Result<Vec<u8>, UnpackError> {
    let mut out = match compression {
        NONE => packed[..packed.len().min(bytes)].to_vec(),
        ZLIB => read_all(flate2::read::ZlibDecoder::new(packed), bytes)?,
        ZSTD => {
            let decoder = zstd::stream::read::Decoder::with_buffer(packed);
            let mut decoder = decoder.map_err(|error| failed(&error))?.single_frame();
            decoder
                .window_log_max(LARGEST_WINDOW_LOG)
                .map_err(|error| failed(&error))?;
            read_all(decoder, bytes)?
        }
        LZO_4K..=LARGEST_LZO => unpack_lzo(packed, 4096 << (compression - LZO_4K), bytes)?,
        other => return Err(UnpackError(format!("the compression {other} is not known"))),
    };
    out.resize(bytes, 0);
    Ok(out)
}

fn failed(error: &std::io::Error) -> UnpackError {
    UnpackError(error.to_string())
}

fn read_all(decoder: impl Read, bytes: usize) -> Result<Vec<u8>, UnpackError> {
    let mut out = Vec::with_capacity(bytes);
    let mut decoder = decoder.take(bytes as u64);
    decoder
        .read_to_end(&mut out)
        .map_err(|error| failed(&error))?;
    Ok(out)
}

/// Unpacks the form that btrfs gives lzo (`fs/btrfs/lzo.c`): the length of all, then pieces with their lengths, of which each
/// unpacks to one sector. No length crosses the end of a sector.
fn unpack_lzo(packed: &[u8], sector: usize, bytes: usize) -> Result<Vec<u8>, UnpackError> {
    let length = |at: usize| {
        let field = packed.get(at..).and_then(<[u8]>::first_chunk::<4>);
        let field = field.ok_or_else(UnpackError::cut)?;
        usize::try_from(u32::from_le_bytes(*field)).map_err(|_| UnpackError::cut())
    };
    let total = length(0)?;
    let (mut at, mut out) = (4, Vec::with_capacity(bytes));
    while at < total && out.len() < bytes {
        let left = sector - at % sector;
        if left < 4 {
            at += left;
            continue;
        }
        let piece = length(at)?;
        at += 4;
        let end = at.checked_add(piece).ok_or_else(UnpackError::cut)?;
        let piece = packed.get(at..end).ok_or_else(UnpackError::cut)?;
        out.extend(lzo::unpack(piece, sector)?);
        at = end;
    }
    out.truncate(bytes);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `Hello, ` three times in one sector: seven literals, fourteen bytes from seven before, the end.
    const LZO: &[u8] = b"\x16\0\0\0\x0e\0\0\0\x18Hello, \x2c\x18\x00\x11\x00\x00";
    /// The form of deflate that is not compressed.
    const STORED: &[u8] = b"\x78\x01\x01\x03\0\xfc\xffabc\x02\x4d\x01\x27";

    fn zstd() -> Vec<u8> {
        zstd::bulk::compress(&b"again and ".repeat(50), 3).unwrap()
    }

    #[test]
    fn each_compression_gives_what_was_packed_and_zeros_behind_it() {
        let hello = b"Hello, Hello, Hello, ".to_vec();
        let padded = |data: &[u8], bytes: usize| {
            let mut data = data.to_vec();
            data.resize(bytes, 0);
            Ok(data)
        };
        assert_eq!(unpack(LZO, LZO_4K, 21), Ok(hello.clone()));
        for (packed, compression, data) in [
            (b"abc".to_vec(), NONE, b"abc".to_vec()),
            (STORED.to_vec(), ZLIB, b"abc".to_vec()),
            (zstd(), ZSTD, b"again and ".repeat(50)),
            (LZO.to_vec(), LZO_4K, hello.clone()),
            (LZO.to_vec(), LARGEST_LZO, hello),
        ] {
            let behind = [&packed[..], &[0; 100]].concat();
            for bytes in [0, 1, data.len(), data.len() + 1, 4096] {
                let expected = padded(&data[..data.len().min(bytes)], bytes);
                assert_eq!(
                    unpack(&packed, compression, bytes),
                    expected,
                    "{compression}"
                );
                assert_eq!(
                    unpack(&behind, compression, bytes),
                    expected,
                    "{compression}"
                );
            }
        }
    }

    #[test]
    fn damaged_data_are_an_error_or_have_the_length_that_was_asked_for() {
        let mut state = 7_u64;
        let mut next = |below: usize| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            usize::try_from(state >> 33).unwrap() % below
        };
        let mut refused = 0;
        for round in 0..20_000 {
            let (compression, mut packed) = match round % 5 {
                0 => (ZLIB, STORED.to_vec()),
                1 => (ZSTD, zstd()),
                2 => (LZO_4K, LZO.to_vec()),
                3 => (LARGEST_LZO, LZO.to_vec()),
                _ => (u32::try_from(next(9)).unwrap(), Vec::new()),
            };
            for _ in 0..next(4) {
                let at = next(packed.len() + 1);
                match next(3) {
                    0 => packed.truncate(at),
                    1 => packed.insert(at, u8::try_from(next(256)).unwrap()),
                    _ if at < packed.len() => packed[at] = u8::try_from(next(256)).unwrap(),
                    _ => packed.extend((0..next(300)).map(|_| 0xff)),
                }
            }
            let bytes = next(8192);
            match unpack(&packed, compression, bytes) {
                Ok(data) => assert_eq!(data.len(), bytes),
                Err(_) => refused += 1,
            }
        }
        assert!(refused > 1000, "{refused}");
    }

    #[test]
    fn no_data_make_lzo_take_more_than_a_sector() {
        // A length of which each zero stands for 255 bytes, and repeats that go on.
        let long = [
            &b"\x18Hello, \x20"[..],
            &[0; 3000],
            b"\x01\x18\x00\x11\x00\x00",
        ]
        .concat();
        assert!(lzo::unpack(&long, 4096).is_err());
        let literals = [&[0; 3000][..], b"\x01"].concat();
        assert!(lzo::unpack(&literals, 4096).is_err());
        assert!(lzo::unpack(b"\x18Hello, \x2c\xff\xff", 4096).is_err());
    }
}
