//! What is visible in a store, read back: every archive of the ledger, whole to the last byte.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;

use coldchain::btrfs::{Expect, ExpectParent, Guard};
use coldchain::ledger::{decode_body, split};
use coldchain::model::entry::{ArchiveEntry, EntryKind};
use coldchain::model::{Sha256, keys};
use coldchain::seal::{ArchiveKey, Identities, open_segment};

use super::machine::Machine;
use super::rng::Rng;
use super::stream_builder::StreamBuilder;

/// The streams that the ledger of `home` in `$T/store` says are archived, by their dates. Panics if
/// one of them is not there as a whole, or two have the same date.
pub fn visible_streams(machine: &Machine) -> BTreeMap<String, Vec<u8>> {
    let mut streams = BTreeMap::new();
    for archive in visible_archives(machine) {
        let date = archive.entry.date.to_string();
        let before = streams.insert(date.clone(), archive.stream);
        assert!(before.is_none(), "{date} twice");
    }
    streams
}

/// An archive that was read back.
pub struct WholeArchive {
    pub entry: ArchiveEntry,
    pub key: ArchiveKey,
    pub stream: Vec<u8>,
}

/// The archives of the ledger of `home` in `$T/store`, in its order.
pub fn visible_archives(machine: &Machine) -> Vec<WholeArchive> {
    let store = machine.path("store");
    let kit = Identities::from_file(&machine.path("kit"), &|_| None).unwrap();
    let mut archives = Vec::new();
    for path in machine.objects(".entry") {
        let object = fs::read(&path).unwrap();
        let (body, _) = split(&object).unwrap();
        if let EntryKind::Archive(entry) = decode_body(body).unwrap().kind {
            let sealed_key = fs::read(store.join(keys::archive_key("home", &entry.id))).unwrap();
            let key = ArchiveKey::unseal(&sealed_key, &kit).unwrap();
            archives.push(WholeArchive {
                stream: stream(&store, &entry, &key),
                entry: *entry,
                key,
            });
        }
    }
    archives
}

fn stream(store: &Path, archive: &ArchiveEntry, key: &ArchiveKey) -> Vec<u8> {
    let mut stream = Vec::new();
    for (index, segment) in (0..).zip(&archive.segments) {
        let name = keys::segment("home", &archive.id, index, &segment.sha256);
        let sealed = fs::read(store.join(name)).unwrap();
        assert_eq!(Sha256::of(&sealed), segment.sha256);
        let mut opened = open_segment(&sealed, key, segment.raw_bytes).unwrap();
        opened.read_to_end(&mut stream).unwrap();
    }
    let mut guard = Guard::new(Expect {
        uuid: Some(archive.stream_uuid),
        ctransid: Some(archive.stream_ctransid),
        send_parent: match archive.send_parent_uuid {
            None => ExpectParent::None,
            Some(uuid) => ExpectParent::Uuid(uuid),
        },
        ..Expect::default()
    });
    guard.push(&stream).unwrap();
    guard.finish().unwrap();
    stream
}

/// Two streams of made-up subvolumes: a full of the 1st, and an incremental of the 7th on it. Each
/// holds so many KiB of noise.
pub fn first_and_seventh(kib: usize) -> [Vec<u8>; 2] {
    let (first, seventh) = ([1; 16], [7; 16]);
    let filled = |stream: StreamBuilder, seed| {
        let noise = Rng::new(seed).bytes(kib << 10);
        (0..)
            .zip(noise.chunks(1 << 15))
            .fold(stream, |stream, (at, chunk)| {
                stream.write(b"a file", at << 15, chunk)
            })
            .utimes(b"")
    };
    let full = StreamBuilder::header(1)
        .subvol(b"2024-01-01", first, 10)
        .mkfile(b"a file");
    let incremental = StreamBuilder::header(1).snapshot(b"2024-01-07", seventh, 10, first, 10);
    [filled(full, 1).finish(), filled(incremental, 7).finish()]
}
