//! Opening a sealed segment: age, then zstd, then the exact length.
//!
//! A segment is opened after its SHA-256 was found to be the signed one, but nothing here relies on that.
//! Whatever the bytes are, the reader takes little memory, and returns either the bytes that were sealed or
//! an error.

use std::io::{self, BufRead, BufReader, Cursor, Read};

use age::Decryptor;
use age::stream::StreamReader;
use bytes::Bytes;

use super::archive_key::ArchiveKey;
use super::error::SealError;
use super::options::LARGEST_FRAME_LOG;

const WHAT: &str = "the segment";

/// The most bytes of an age header. age writes a stanza for the archive key and one of random "grease": 0.5
/// KiB. Its parser would keep all of a longer header in memory.
const LONGEST_HEADER: usize = 4096;

/// Two of age's chunks.
const BUFFER_BYTES: usize = 128 << 10;

/// Opens a sealed segment that holds `raw_bytes` of the stream.
pub fn open_segment<'a>(
    sealed: &'a [u8],
    key: &ArchiveKey,
    raw_bytes: u64,
) -> Result<SegmentReader<&'a [u8]>, SealError> {
    require_short_header(sealed)?;
    open(sealed, key, raw_bytes)
}

/// Opens a sealed segment that the reader owns.
pub fn open_owned_segment(
    sealed: Bytes,
    key: &ArchiveKey,
    raw_bytes: u64,
) -> Result<SegmentReader<Cursor<Bytes>>, SealError> {
    require_short_header(&sealed)?;
    open(Cursor::new(sealed), key, raw_bytes)
}

pub(super) fn require_short_header(sealed: &[u8]) -> Result<(), SealError> {
    if header_ends_early(sealed) {
        Ok(())
    } else {
        Err(SealError::HeaderTooLong {
            what: WHAT,
            limit: LONGEST_HEADER,
        })
    }
}

fn open<R: BufRead>(
    sealed: R,
    key: &ArchiveKey,
    raw_bytes: u64,
) -> Result<SegmentReader<R>, SealError> {
    let reader = Decryptor::new_buffered(sealed)
        .and_then(|decryptor| decryptor.decrypt(std::iter::once(key.identity())))
        .map_err(|source| SealError::Unseal { what: WHAT, source })?;
    let reader = BufReader::with_capacity(BUFFER_BYTES, AgeReader(reader));
    let mut zstd =
        zstd::Decoder::with_buffer(reader).map_err(|source| SealError::Compressor { source })?;
    // Without this limit a frame's own header decides how much memory zstd takes.
    zstd.window_log_max(LARGEST_FRAME_LOG)
        .map_err(|source| SealError::Compressor { source })?;
    Ok(SegmentReader {
        zstd,
        expected: raw_bytes,
        got: 0,
        state: OpenerState::Reading,
    })
}

/// Whether the line that ends an age header (`--- MAC`) begins within [`LONGEST_HEADER`] bytes.
fn header_ends_early(sealed: &[u8]) -> bool {
    sealed[..sealed.len().min(LONGEST_HEADER)]
        .windows(4)
        .any(|window| window == b"\n---")
}

/// The raw bytes of a segment.
///
/// Its errors are [`io::Error`]s that hold a [`SealError`]. It checks the segment's end before it returns the
/// last bytes. A segment that is too short or too long, or is damaged after its last frame, fails while some
/// bytes are still missing. So a reader that got all bytes got a whole segment.
pub struct SegmentReader<R: Read> {
    zstd: zstd::Decoder<'static, BufReader<AgeReader<R>>>,
    expected: u64,
    got: u64,
    state: OpenerState,
}

#[derive(Clone, Copy)]
enum OpenerState {
    Reading,
    Ended,
    Failed,
}

impl<R: Read> SegmentReader<R> {
    /// Reads as [`Read::read`] does, but returns a [`SealError`].
    pub(super) fn read_raw(&mut self, buffer: &mut [u8]) -> Result<usize, SealError> {
        match self.state {
            // zstd must not be called again after it failed.
            OpenerState::Failed => return Err(SealError::SegmentFailed),
            OpenerState::Ended => return Ok(0),
            OpenerState::Reading if buffer.is_empty() && self.expected > 0 => return Ok(0),
            OpenerState::Reading => {}
        }
        let result = self.read_on(buffer);
        if result.is_err() {
            self.state = OpenerState::Failed;
        }
        result
    }

    fn read_on(&mut self, buffer: &mut [u8]) -> Result<usize, SealError> {
        let left = self.expected - self.got;
        let most = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let read = match self.decode(&mut buffer[..most])? {
            0 if left > 0 => {
                return Err(SealError::SegmentShort {
                    expected: self.expected,
                    got: self.got,
                });
            }
            read => read,
        };
        self.got += read as u64;
        if self.got == self.expected {
            // age notices that its last chunk is missing, and zstd that a frame is not whole, only
            // when they are read to their end.
            if self.decode(&mut [0])? > 0 {
                return Err(SealError::SegmentLong {
                    expected: self.expected,
                });
            }
            self.state = OpenerState::Ended;
        }
        Ok(read)
    }

    fn decode(&mut self, buffer: &mut [u8]) -> Result<usize, SealError> {
        loop {
            match self.zstd.read(buffer) {
                Ok(read) => return Ok(read),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    return Err(error
                        .downcast::<SealError>()
                        .unwrap_or_else(|source| SealError::Decompress { source }));
                }
            }
        }
    }
}

impl<R: Read> Read for SegmentReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read_raw(buffer)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }
}

/// Marks age's errors as age's, to distinguish them from zstd's.
struct AgeReader<R>(StreamReader<R>);

impl<R: Read> Read for AgeReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(|source| {
            let error = SealError::Decrypt { what: WHAT, source };
            io::Error::new(io::ErrorKind::InvalidData, error)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::seal::SealOptions;
    use crate::seal::seek_table::SeekTable;
    use crate::seal::test_data::{mixed_bytes, seal_all, small_options};

    fn open(sealed: &[u8], key: &ArchiveKey, raw_bytes: u64) -> io::Result<Vec<u8>> {
        let mut raw = Vec::new();
        open_segment(sealed, key, raw_bytes)
            .map_err(io::Error::other)?
            .read_to_end(&mut raw)?;
        Ok(raw)
    }

    /// What an attacker who knows the recipient, or a broken sealer, could store.
    fn seal_payload(key: &ArchiveKey, payload: &[u8]) -> Vec<u8> {
        let recipient = key.recipient();
        let encryptor = age::Encryptor::with_recipients(std::iter::once(&recipient as _)).unwrap();
        let mut sealed = Vec::new();
        let mut writer = encryptor.wrap_output(&mut sealed).unwrap();
        writer.write_all(payload).unwrap();
        writer.finish().unwrap();
        sealed
    }

    fn zstd_frame(raw: &[u8]) -> Vec<u8> {
        zstd::bulk::compress(raw, 3).unwrap()
    }

    fn cause(error: &io::Error) -> &SealError {
        error.get_ref().unwrap().downcast_ref().unwrap()
    }

    #[test]
    fn every_truncation_of_a_segment_is_an_error() {
        let key = ArchiveKey::generate();
        let raw = mixed_bytes(1500);
        let sealed = seal_all(small_options(1), &key, &raw)
            .unwrap()
            .0
            .remove(0)
            .bytes;
        assert_eq!(open(&sealed, &key, 1500).unwrap(), raw);
        for length in 0..sealed.len() {
            assert!(open(&sealed[..length], &key, 1500).is_err(), "{length}");
        }
    }

    #[test]
    fn a_change_of_any_byte_of_a_segment_is_an_error() {
        let key = ArchiveKey::generate();
        let sealed = seal_all(small_options(1), &key, &mixed_bytes(1500))
            .unwrap()
            .0
            .remove(0)
            .bytes;
        for at in 0..sealed.len() {
            let mut changed = sealed.to_vec();
            changed[at] ^= 1 << (at % 8);
            assert!(open(&changed, &key, 1500).is_err(), "{at}");
        }
    }

    #[test]
    fn a_segment_cut_between_two_chunks_of_age_is_an_error() {
        let key = ArchiveKey::generate();
        let raw = mixed_bytes(400 << 10);
        let options = SealOptions {
            segment_bytes: 400 << 10,
            frame_bytes: 100 << 10,
            ..small_options(2)
        };
        let sealed = seal_all(options, &key, &raw).unwrap().0.remove(0).bytes;
        let header = sealed
            .windows(4)
            .position(|window| window == b"\n---")
            .unwrap();
        // The MAC's line, then the nonce, then the chunks.
        let payload = header + 1 + 4 + 43 + 1 + 16;
        let chunk = (64 << 10) + 16;
        assert!(sealed.len() > payload + 3 * chunk);
        for chunks in 0..=(sealed.len() - payload) / chunk {
            for cut in [payload + chunks * chunk, payload + chunks * chunk + 1] {
                assert!(
                    open(&sealed[..cut], &key, raw.len() as u64).is_err(),
                    "{cut}"
                );
            }
        }
        let mut longer = sealed.to_vec();
        longer.push(0);
        assert!(open(&longer, &key, raw.len() as u64).is_err());
        let twice = [&sealed[..], &sealed].concat();
        assert!(open(&twice, &key, raw.len() as u64).is_err());
    }

    #[test]
    fn more_or_fewer_bytes_than_recorded_are_an_error() {
        let key = ArchiveKey::generate();
        let sealed = seal_all(small_options(1), &key, &mixed_bytes(2000))
            .unwrap()
            .0
            .remove(0)
            .bytes;
        let short = open(&sealed, &key, 2001).unwrap_err();
        assert!(matches!(
            cause(&short),
            SealError::SegmentShort {
                expected: 2001,
                got: 2000
            }
        ));
        for less in [0, 1, 1023, 1024, 1999] {
            let long = open(&sealed, &key, less).unwrap_err();
            assert!(
                matches!(cause(&long), SealError::SegmentLong { .. }),
                "{less}"
            );
        }
    }

    #[test]
    fn the_last_bytes_are_held_back_until_the_end_is_known() {
        let key = ArchiveKey::generate();
        let mut payload = zstd_frame(&[7; 1000]);
        payload.extend_from_slice(b"garbage");
        let sealed = seal_payload(&key, &payload);
        let mut reader = open_segment(&sealed, &key, 1000).unwrap();
        let mut buffer = [0; 600];
        assert_eq!(reader.read(&mut buffer).unwrap(), 600);
        assert!(matches!(
            cause(&reader.read(&mut buffer).unwrap_err()),
            SealError::Decompress { .. }
        ));
        // It fails for good: a reader that tries again must not see an end.
        assert!(matches!(
            cause(&reader.read(&mut buffer).unwrap_err()),
            SealError::SegmentFailed
        ));
    }

    #[test]
    fn skippable_frames_are_skipped_wherever_they_stand() {
        let key = ArchiveKey::generate();
        let table = SeekTable::default().encode();
        let payload = [
            table.clone(),
            zstd_frame(b"one "),
            table.clone(),
            zstd_frame(b"two"),
            table,
        ]
        .concat();
        assert_eq!(
            open(&seal_payload(&key, &payload), &key, 7).unwrap(),
            b"one two"
        );
        let cut = &payload[..payload.len() - 1];
        assert!(open(&seal_payload(&key, cut), &key, 7).is_err());
    }

    #[test]
    fn a_frame_that_asks_for_much_memory_is_refused() {
        let key = ArchiveKey::generate();
        for log in [24, 25, 27] {
            let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
            encoder.window_log(log).unwrap();
            encoder.write_all(b"little").unwrap();
            let sealed = seal_payload(&key, &encoder.finish().unwrap());
            assert_eq!(
                open(&sealed, &key, 6).is_ok(),
                log <= LARGEST_FRAME_LOG,
                "{log}"
            );
        }
        // Input that would decompress to much more is stopped at the recorded length.
        let bomb = seal_payload(&key, &zstd_frame(&vec![0; 8 << 20]));
        assert!(matches!(
            cause(&open(&bomb, &key, 4096).unwrap_err()),
            SealError::SegmentLong { .. }
        ));
    }

    #[test]
    fn an_endless_header_is_refused_before_it_is_parsed() {
        let key = ArchiveKey::generate();
        let mut sealed = b"age-encryption.org/v1\n".to_vec();
        for _ in 0..1000 {
            sealed.extend_from_slice(b"-> x\nAAAA\n");
        }
        assert!(matches!(
            open_segment(&sealed, &key, 1),
            Err(SealError::HeaderTooLong { .. })
        ));
    }

    #[test]
    fn a_segment_of_another_archive_does_not_open() {
        let key = ArchiveKey::generate();
        let sealed = seal_all(small_options(1), &key, b"raw")
            .unwrap()
            .0
            .remove(0)
            .bytes;
        assert!(matches!(
            open_segment(&sealed, &ArchiveKey::generate(), 3),
            Err(SealError::Unseal { .. })
        ));
    }
}
