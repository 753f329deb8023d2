//! Inodes and pieces as the tree's file has them. Nothing but this process reads them.

use super::file_data::FilePieces;
use super::inode::{RareFacts, StreamTime, TreeInode, Xattrs};
use super::piece::{DataPiece, Encoded, PieceSource, WriteRun};

/// Adds a number: seven bits in each byte, the lowest first. All but the last have the eighth bit.
fn put(out: &mut Vec<u8>, number: impl Into<u64>) {
    let mut rest = number.into();
    loop {
        let [low, ..] = rest.to_le_bytes();
        rest >>= 7;
        if rest == 0 {
            out.push(low & 0x7f);
            return;
        }
        out.push(low | 0x80);
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Takes from encoded bytes what was put into them.
struct EncodedRest<'b>(&'b [u8]);

impl<'b> EncodedRest<'b> {
    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn small(&mut self) -> Option<u32> {
        self.number()?.try_into().ok()
    }

    fn bytes(&mut self) -> Option<&'b [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    fn time(&mut self) -> Option<StreamTime> {
        let (time, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(StreamTime(*time))
    }
}

/// Adds all of an inode but its pieces.
pub(super) fn put_facts(out: &mut Vec<u8>, inode: &TreeInode, xattrs: &Xattrs) {
    for number in [inode.mode, inode.uid, inode.gid, inode.count] {
        put(out, number);
    }
    put(out, inode.size);
    out.extend_from_slice(&inode.atime.0);
    out.extend_from_slice(&inode.mtime.0);
    put(out, xattrs.len() as u64);
    for (name, value) in xattrs {
        put_bytes(out, name);
        put_bytes(out, value);
    }
    if let Some(special) = &inode.special {
        put(out, special.rdev);
        // One more than its length: 0 is none.
        put(
            out,
            special.target.as_ref().map_or(0, |it| it.len() as u64 + 1),
        );
        out.extend_from_slice(special.target.as_deref().unwrap_or_default());
    }
}

/// Returns an inode without pieces, and its extended attributes; `None` if that is not how one is written.
pub(super) fn facts_of(bytes: &[u8]) -> Option<(TreeInode, Xattrs)> {
    let mut rest = EncodedRest(bytes);
    let mode = rest.small()?;
    let (uid, gid, count) = (rest.small()?, rest.small()?, rest.small()?);
    let size = rest.number()?;
    let (atime, mtime) = (rest.time()?, rest.time()?);
    let mut xattrs = Vec::new();
    for _ in 0..rest.number()? {
        let name = rest.bytes()?.to_vec();
        xattrs.push((name, rest.bytes()?.to_vec()));
    }
    let special = if rest.0.is_empty() {
        None
    } else {
        let rdev = rest.number()?;
        let has_target = rest.number()? > 0;
        Some(Box::new(RareFacts {
            rdev,
            target: has_target.then(|| rest.0.to_vec()),
        }))
    };
    let inode = TreeInode {
        uid,
        gid,
        count,
        size,
        atime,
        mtime,
        is_written: true,
        ..TreeInode::new(mode, special)
    };
    Some((inode, xattrs))
}

/// Adds the pieces of a file.
pub(super) fn put_pieces(out: &mut Vec<u8>, pieces: &FilePieces) {
    put(out, pieces.all().len() as u64);
    for piece in pieces.all() {
        put(out, piece.at);
        put(out, piece.bytes);
        match piece.source {
            PieceSource::Run(run) => {
                put(out, u64::from(run.archive) << 1);
                put(out, run.at);
                for number in [run.chunk, run.gap, run.phase] {
                    put(out, number);
                }
            }
            PieceSource::Encoded(of) => {
                put(out, u64::from(of.archive) << 1 | 1);
                put(out, of.at);
                for number in [of.bytes, of.compression, of.unpacked, of.from] {
                    put(out, number);
                }
            }
        }
    }
}

/// Returns the pieces of a file, and what follows on them; `None` if that is not how they are written.
pub(super) fn pieces_of(bytes: &[u8]) -> Option<(FilePieces, &[u8])> {
    let mut rest = EncodedRest(bytes);
    let count = usize::try_from(rest.number()?).ok()?;
    // A piece takes seven bytes or more.
    let mut pieces = Vec::with_capacity(count.min(bytes.len() / 7));
    for _ in 0..count {
        let (at, bytes) = (rest.number()?, rest.number()?);
        let kind = rest.number()?;
        let archive = u32::try_from(kind >> 1).ok()?;
        let place = rest.number()?;
        let source = if kind & 1 == 0 {
            PieceSource::Run(WriteRun {
                archive,
                at: place,
                chunk: rest.small()?,
                gap: rest.small()?,
                phase: rest.small()?,
            })
        } else {
            PieceSource::Encoded(Encoded {
                archive,
                at: place,
                bytes: rest.small()?,
                compression: rest.small()?,
                unpacked: rest.small()?,
                from: rest.small()?,
            })
        };
        pieces.push(DataPiece { at, bytes, source });
    }
    Some((FilePieces::of(pieces), rest.0))
}

/// Adds the data that a file has in the send parent: its size there and its pieces.
pub(super) fn put_parent_data(out: &mut Vec<u8>, size: u64, pieces: &FilePieces) {
    put_pieces(out, pieces);
    put(out, size);
}

/// Returns what the last function has put.
pub(super) fn parent_data_of(bytes: &[u8]) -> Option<(u64, FilePieces)> {
    let (pieces, rest) = pieces_of(bytes)?;
    Some((EncodedRest(rest).number()?, pieces))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_length_come_back() {
        let mut numbers = vec![0, 1, u64::MAX];
        numbers.extend((0..64).flat_map(|bit| [1 << bit, (1 << bit) - 1]));
        let mut bytes = Vec::new();
        for number in &numbers {
            put(&mut bytes, *number);
        }
        let mut rest = EncodedRest(&bytes);
        for number in numbers {
            assert_eq!(rest.number(), Some(number));
        }
        assert!(rest.0.is_empty());
        assert_eq!(rest.number(), None);
        assert_eq!(EncodedRest(&[0xff; 11]).number(), None);
    }

    #[test]
    fn an_inode_comes_back_as_it_was() {
        let special = |rdev, target: Option<&[u8]>| {
            Some(Box::new(RareFacts {
                rdev,
                target: target.map(<[u8]>::to_vec),
            }))
        };
        let all = [
            None,
            special(0x0501, None),
            special(0, Some(b"")),
            special(0, Some(b"../where")),
        ];
        for special in all {
            let inode = TreeInode {
                uid: u32::MAX,
                gid: 100,
                count: 3,
                size: i64::MAX as u64,
                atime: StreamTime([255; 12]),
                mtime: StreamTime([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]),
                is_written: true,
                ..TreeInode::new(0o120_777, special)
            };
            let xattrs = vec![
                (b"user.a".to_vec(), Vec::new()),
                (b"security.selinux".to_vec(), vec![0; 300]),
            ];
            for xattrs in [Vec::new(), xattrs] {
                let mut bytes = Vec::new();
                put_facts(&mut bytes, &inode, &xattrs);
                assert_eq!(facts_of(&bytes), Some((inode.clone(), xattrs)));
            }
        }
        assert_eq!(facts_of(b""), None);
    }

    #[test]
    fn pieces_come_back_as_they_were() {
        let run = PieceSource::Run(WriteRun {
            archive: 3,
            at: 1 << 40,
            chunk: 49_152,
            gap: 60,
            phase: 7,
        });
        let encoded = PieceSource::Encoded(Encoded {
            archive: u32::MAX,
            at: 0,
            bytes: 1000,
            compression: 2,
            unpacked: 131_072,
            from: 4096,
        });
        let piece = |at, bytes, source| DataPiece { at, bytes, source };
        let all = FilePieces::of(vec![
            piece(0, 1 << 33, run),
            piece(1 << 33, 4096, encoded),
            piece(1 << 34, 1, run),
        ]);
        for pieces in [FilePieces::default(), all] {
            let mut bytes = Vec::new();
            put_parent_data(&mut bytes, 12_345, &pieces);
            assert_eq!(parent_data_of(&bytes), Some((12_345, pieces)));
            assert_eq!(parent_data_of(&bytes[..bytes.len() - 2]), None);
        }
    }
}
