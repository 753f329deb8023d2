//! Reads the contents of an archive from their objects, one after the other.

use std::io::{self, Cursor, ErrorKind, Read};
use std::vec;

use bytes::Bytes;

use crate::model::{ContentsRecord, SegmentRecord, Sha256};
use crate::seal::{ArchiveKey, SegmentReader, open_owned_segment};

/// The raw bytes of contents: the stream without the file data, then the table.
///
/// It fetches each object when its turn comes, and compares its length and its SHA-256 with the record before it opens
/// it. It holds one sealed object in memory. After an error it returns errors.
pub(in crate::engine) struct ContentsObjects<F> {
    key: ArchiveKey,
    /// Returns the bytes of an object.
    fetch: F,
    objects: vec::IntoIter<SegmentRecord>,
    index: u32,
    open: Option<SegmentReader<Cursor<Bytes>>>,
    failed: bool,
}

impl<F: FnMut(u32, &SegmentRecord) -> io::Result<Bytes>> ContentsObjects<F> {
    /// Returns a reader that gets the objects from `fetch`, by index.
    pub(in crate::engine) fn new(record: &ContentsRecord, key: &ArchiveKey, fetch: F) -> Self {
        Self {
            key: key.clone(),
            fetch,
            objects: record.objects.clone().into_iter(),
            index: 0,
            open: None,
            failed: false,
        }
    }

    fn read_on(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(open) = &mut self.open {
                match open.read(buffer)? {
                    0 => self.open = None,
                    read => return Ok(read),
                }
            }
            let Some(record) = self.objects.next() else {
                return Ok(0);
            };
            let sealed = (self.fetch)(self.index, &record)?;
            if sealed.len() as u64 != record.sealed_bytes || Sha256::of(&sealed) != record.sha256 {
                let index = self.index;
                return Err(io::Error::new(
                    ErrorKind::InvalidData,
                    format!("object {index} of the contents is not the one that was signed"),
                ));
            }
            self.index += 1;
            let opened = open_owned_segment(sealed, &self.key, record.raw_bytes);
            self.open = Some(opened.map_err(io::Error::other)?);
        }
    }
}

impl<F: FnMut(u32, &SegmentRecord) -> io::Result<Bytes>> Read for ContentsObjects<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        if self.failed {
            return Err(io::Error::other("the contents could not be read before"));
        }
        let read = self.read_on(buffer);
        self.failed = read.is_err();
        read
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::{ContentsSealer, SealError};

    /// Returns contents of two objects.
    fn sealed(key: &ArchiveKey) -> (Vec<u8>, ContentsRecord, Vec<Bytes>) {
        let raw: Vec<u8> = (0_u32..9 << 20).flat_map(u32::to_le_bytes).collect();
        let (out, objects) = crossbeam_channel::unbounded();
        let mut sealer = ContentsSealer::new(key, move |object| {
            out.send(object).map_err(|_| SealError::Stopped)
        })
        .unwrap();
        sealer.write(&raw).unwrap();
        sealer.finish().unwrap();
        let objects: Vec<_> = objects.iter().collect();
        let records = objects.iter().map(|object| SegmentRecord {
            raw_bytes: object.raw_bytes,
            sealed_bytes: object.bytes.len() as u64,
            sha256: object.sha256,
        });
        let record = ContentsRecord {
            stream_bytes: raw.len() as u64,
            objects: records.collect(),
        };
        let bytes = objects.into_iter().map(|object| object.bytes).collect();
        (raw, record, bytes)
    }

    #[test]
    fn contents_come_back_from_their_objects_in_order() {
        let key = ArchiveKey::generate();
        let (raw, record, objects) = sealed(&key);
        assert_eq!(objects.len(), 2);
        let fetch = |index: u32, _: &SegmentRecord| Ok(objects[index as usize].clone());
        let mut read = Vec::new();
        ContentsObjects::new(&record, &key, fetch)
            .read_to_end(&mut read)
            .unwrap();
        assert!(read == raw);
    }

    #[test]
    fn an_object_that_is_not_the_signed_one_is_never_opened() {
        let key = ArchiveKey::generate();
        let (_, record, objects) = sealed(&key);
        let swapped = |_: u32, _: &SegmentRecord| Ok(objects[1].clone());
        let mut reader = ContentsObjects::new(&record, &key, swapped);
        for expected in ["not the one that was signed", "before"] {
            let error = reader.read(&mut [0; 10]).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
}
