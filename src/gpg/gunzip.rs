//! Decompresses what `gzip` wrote, and says what is wrong with it.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::GzDecoder;

use super::error::GzipError;

/// Bytes that are read at once.
const READ: usize = 256 << 10;

/// Bytes of the stream that are given at once.
const GIVEN: usize = 1 << 20;

/// What begins each member.
const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Gives the content of gzip data block by block. As `gzip` itself, it takes members that follow each other for one
/// text, and passes over zeros after the last.
#[derive(Debug)]
pub struct Gunzip<R> {
    at: Option<GunzipState<R>>,
    bytes: u64,
}

#[derive(Debug)]
enum GunzipState<R> {
    /// Before the first.
    First(BufReader<R>),
    Within(Box<GzDecoder<BufReader<R>>>),
}

impl<R: Read> Gunzip<R> {
    /// Begins with a text.
    pub fn new(from: R) -> Self {
        Self {
            at: Some(GunzipState::First(BufReader::with_capacity(READ, from))),
            bytes: 0,
        }
    }

    /// Gives the next block; `None` at the end, when all checksums were right. After an error there is no more.
    pub fn next_block(&mut self) -> Result<Option<Vec<u8>>, GzipError> {
        let mut block = vec![0; GIVEN];
        let mut filled = 0;
        loop {
            if filled == block.len() {
                return Ok(Some(block));
            }
            let mut decoder = match self.at.take() {
                None => {
                    block.truncate(filled);
                    return Ok((filled > 0).then_some(block));
                }
                Some(GunzipState::First(from)) => match begun(from).map_err(GzipError::Read)? {
                    GzipNext::Member(decoder) => decoder,
                    GzipNext::End => return Err(GzipError::Empty),
                    GzipNext::Other => return Err(GzipError::NoGzip),
                },
                Some(GunzipState::Within(decoder)) => decoder,
            };
            match decoder.read(&mut block[filled..]) {
                Ok(0) => {
                    let next = begun(decoder.into_inner()).map_err(GzipError::Read)?;
                    match next {
                        GzipNext::Member(decoder) => self.at = Some(GunzipState::Within(decoder)),
                        GzipNext::End => {}
                        GzipNext::Other => return Err(GzipError::Trailing),
                    }
                }
                Ok(length) => {
                    self.at = Some(GunzipState::Within(decoder));
                    self.bytes += length as u64;
                    filled += length;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                    self.at = Some(GunzipState::Within(decoder));
                }
                Err(error) => return Err(self.wrong(&error)),
            }
        }
    }

    fn wrong(&self, error: &io::Error) -> GzipError {
        let bytes = self.bytes;
        match error.kind() {
            io::ErrorKind::UnexpectedEof => GzipError::CutOff { bytes },
            _ => GzipError::Damaged {
                bytes,
                what: error.to_string(),
            },
        }
    }
}

/// What follows.
enum GzipNext<R> {
    Member(Box<GzDecoder<BufReader<R>>>),
    End,
    Other,
}

/// Returns what follows, after any zeros.
fn begun<R: Read>(mut from: BufReader<R>) -> io::Result<GzipNext<R>> {
    loop {
        let next = from.fill_buf()?;
        if next.is_empty() {
            return Ok(GzipNext::End);
        }
        let zeros = next.iter().take_while(|byte| **byte == 0).count();
        if zeros > 0 {
            from.consume(zeros);
            continue;
        }
        // A second byte that has not come yet is judged with the member's header.
        let is_member = next[0] == MAGIC[0] && next.get(1).is_none_or(|byte| *byte == MAGIC[1]);
        return Ok(if is_member {
            GzipNext::Member(Box::new(GzDecoder::new(from)))
        } else {
            GzipNext::Other
        });
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::new(4));
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// Gives no more than a few bytes at once.
    struct Trickle<'b>(&'b [u8], usize);

    impl Read for Trickle<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let length = self.1.min(buffer.len());
            (&mut self.0).take(length as u64).read(buffer)
        }
    }

    fn gunzip(bytes: &[u8]) -> Result<Vec<u8>, GzipError> {
        let mut all = None;
        for step in [1, 1 << 20] {
            let mut gunzip = Gunzip::new(Trickle(bytes, step));
            let mut text = Vec::new();
            let outcome = loop {
                match gunzip.next_block() {
                    Ok(Some(block)) => text.extend(block),
                    Ok(None) => break Ok(text),
                    Err(error) => break Err(error),
                }
            };
            if let Some(before) = all.replace(outcome) {
                let after = all.as_ref().unwrap();
                assert_eq!(
                    format!("{before:?}"),
                    format!("{after:?}"),
                    "{step} at once"
                );
            }
        }
        all.unwrap()
    }

    fn text() -> Vec<u8> {
        (0..2_300_000_u32)
            .map(|n| (n / 3).to_le_bytes()[0] ^ (n >> 11).to_le_bytes()[0])
            .collect()
    }

    #[test]
    fn members_are_one_text_and_zeros_may_follow() {
        let text = text();
        let (one, two) = text.split_at(1_000_001);
        let mut bytes = [gzip(one), gzip(two)].concat();
        assert_eq!(gunzip(&bytes).unwrap(), text);
        bytes.extend([0; 1000]);
        assert_eq!(gunzip(&bytes).unwrap(), text);
        assert_eq!(gunzip(&gzip(b"")).unwrap(), b"");
    }

    #[test]
    fn what_gzip_did_not_write_is_an_error() {
        let whole = gzip(&text());
        assert!(matches!(gunzip(b""), Err(GzipError::Empty)));
        assert!(matches!(gunzip(b"btrfs-stream"), Err(GzipError::NoGzip)));
        let trailing = [whole.as_slice(), b"junk"].concat();
        assert!(matches!(gunzip(&trailing), Err(GzipError::Trailing)));
        for end in [1, 9, 10, 11, 1000, whole.len() - 9, whole.len() - 1] {
            let cut = gunzip(&whole[..end]);
            assert!(
                matches!(cut, Err(GzipError::CutOff { .. })),
                "{end}: {cut:?}"
            );
        }
        for at in [2, whole.len() / 2, whole.len() - 5, whole.len() - 1] {
            let mut changed = whole.clone();
            changed[at] ^= 0x55;
            assert!(gunzip(&changed).is_err(), "{at}");
        }
    }
}
