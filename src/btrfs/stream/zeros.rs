//! Counts the zeros that a stream carries as data, and finds the file with the most of them.
//!
//! Version 1 of the stream has no holes in an incremental. A punched hole is sent as zeros, which take space
//! wherever they are received.

/// The zeros in a stream's data.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Zeros {
    /// Bytes of the writes that hold only zeros.
    pub bytes: u64,
    /// The path of the file with the most zeros in a row, with no zeros of another file between.
    pub path: Vec<u8>,
    /// The number of these zeros.
    pub path_bytes: u64,
}

/// Counts zeros while the stream passes.
#[derive(Debug, Default)]
pub(super) struct ZeroCounter {
    zeros: Zeros,
    /// The last file with zeros, and the number of its zeros since.
    path: Vec<u8>,
    path_bytes: u64,
}

impl ZeroCounter {
    /// Notes a write.
    pub(super) fn see(&mut self, path: &[u8], data: &[u8]) {
        if data.is_empty() || !is_zero(data) {
            return;
        }
        let bytes = data.len() as u64;
        self.zeros.bytes = self.zeros.bytes.saturating_add(bytes);
        if self.path != path {
            self.path.clear();
            self.path.extend_from_slice(path);
            self.path_bytes = 0;
        }
        self.path_bytes = self.path_bytes.saturating_add(bytes);
        if self.path_bytes > self.zeros.path_bytes {
            self.zeros.path_bytes = self.path_bytes;
            if self.zeros.path != self.path {
                self.zeros.path.clone_from(&self.path);
            }
        }
    }

    /// Returns the counts.
    pub(super) fn total(self) -> Zeros {
        self.zeros
    }
}

/// Returns whether all bytes are zero. It works in pieces: within one, the compiler compares many bytes at a
/// time.
fn is_zero(data: &[u8]) -> bool {
    data.chunks(64)
        .all(|piece| piece.iter().fold(0, |all, byte| all | byte) == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_with_the_most_zeros_is_named() {
        let mut counter = ZeroCounter::default();
        let mut mixed = [0; 100];
        mixed[99] = 1;
        for (path, data) in [
            (b"a", &[0; 300][..]),
            (b"b", &[0; 200]),
            (b"b", &mixed),
            (b"b", &[0; 200]),
            (b"c", &[7; 4000]),
            (b"a", &[0; 50]),
        ] {
            counter.see(path, data);
        }
        let expected = Zeros {
            bytes: 750,
            path: b"b".to_vec(),
            path_bytes: 400,
        };
        assert_eq!(counter.total(), expected);
    }
}
