//! Holds the contents of a lab's archives against the streams that were sent.

use std::io::Read as _;

use coldchain::btrfs::{CompressedData, Expect, Guard};
use coldchain::model::entry::ArchiveEntry;
use coldchain::model::{Blake3, Sha256, keys};
use coldchain::seal::{ArchiveKey, SegmentLayout, open_segment};
use coldchain::store::{MemoryStore, Store};

use super::lab::SOURCE;

/// The raw bytes of a frame.
const FRAME: usize = 4 << 20;

/// Panics unless the store has every object of the contents that an archive's entry names, if it names any.
pub fn contents_are_there(store: &MemoryStore, entry: &ArchiveEntry) {
    let objects = entry.contents.iter().flat_map(|record| &record.objects);
    for (index, object) in (0..).zip(objects) {
        let at = keys::contents(SOURCE, &entry.id, index, &object.sha256);
        let stat = store.stat(&store.locate(&at));
        let stat = stat.unwrap_or_else(|error| panic!("{at}: {error}"));
        let signed = (object.sealed_bytes, Some(object.sha256));
        assert_eq!((stat.bytes, stat.sha256), signed, "{at}");
    }
}

/// Panics unless the contents that an archive's entry names, if it names any, are what this stream makes.
pub fn contents_are_whole(
    store: &MemoryStore,
    entry: &ArchiveEntry,
    key: &ArchiveKey,
    sent: &[u8],
) {
    let Some(record) = &entry.contents else {
        return;
    };
    let id = &entry.id;
    let mut raw = Vec::new();
    for (index, object) in (0..).zip(&record.objects) {
        let at = keys::contents(SOURCE, id, index, &object.sha256);
        let sealed = store.get(&store.locate(&at), u64::MAX);
        let sealed = sealed.unwrap_or_else(|error| panic!("{at}: {error}"));
        assert_eq!(sealed.len() as u64, object.sealed_bytes, "{at}");
        assert_eq!(Sha256::of(&sealed), object.sha256, "{at}");
        open_segment(&sealed, key, object.raw_bytes)
            .unwrap()
            .read_to_end(&mut raw)
            .unwrap();
    }
    let mut table = raw.split_off(usize::try_from(record.stream_bytes).unwrap());
    let mut guard = Guard::new(Expect {
        compressed_data: CompressedData::Allowed,
        ..Expect::default()
    });
    guard.keep_contents();
    guard.push(sent).unwrap();
    assert!(raw == *guard.contents().unwrap(), "{id}: its contents");
    let frames = sent.chunks(usize::try_from(entry.segment_size).unwrap());
    for segment in frames {
        let (layout, rest) = SegmentLayout::decode(&table).unwrap();
        let digests: Vec<Blake3> = layout.frames.iter().map(|frame| frame.blake3).collect();
        let expected: Vec<Blake3> = segment.chunks(FRAME).map(Blake3::of).collect();
        assert_eq!(digests, expected, "{id}: the table of its contents");
        table = rest.to_vec();
    }
    assert!(table.is_empty(), "{id}: something follows the table");
}
