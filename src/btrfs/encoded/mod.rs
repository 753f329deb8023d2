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
