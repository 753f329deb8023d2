//! A machine whose writer's key was stolen: chains are put into its store and signed, past every check.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use coldchain::ledger::{SigningKey, decode_body, encode_body, sign, split};
use coldchain::model::archive::ArchiveKind;
use coldchain::model::entry::{ArchiveEntry, Entry, EntryKind, PrivateFacts};
use coldchain::model::segment::SegmentRecord;
use coldchain::model::{ArchiveId, Sha256, Uuid, keys};
use coldchain::seal::{ArchiveKey, Recipients, SealOptions, Sealed, Sealer};

use super::common::machine::Machine;
use super::common::rng::Rng;
use super::common::stream_builder::StreamBuilder;
use super::hostile_chain::{HostileArchive, HostileChain};

pub(crate) struct Shelf {
    machine: Machine,
    rng: Rng,
    /// The newest entry.
    last: Entry,
    body: Vec<u8>,
    /// How many chains are in the store.
    chains: u64,
}

impl Shelf {
    /// A machine with an honest archive, after which forged ones come.
    pub(crate) fn new() -> Self {
        let machine = Machine::fed(None);
        let mut rng = Rng::new(u64::from(std::process::id()));
        let uuid = rng.bytes(16).try_into().unwrap();
        let honest = StreamBuilder::header(1).subvol(b"2023-12-31", uuid, 10);
        let run = machine.run_with("decide 2023-12-31", &honest.finish());
        assert_eq!(run.code, Some(0), "{run:?}");
        let object = fs::read(machine.path("store").join(keys::ledger_entry("home", 2))).unwrap();
        let (body, _) = split(&object).unwrap();
        Self {
            last: decode_body(body).unwrap(),
            body: body.to_vec(),
            machine,
            rng,
            chains: 0,
        }
    }

    pub(crate) fn machine(&self) -> &Machine {
        &self.machine
    }

    /// The dates of the next chain.
    pub(crate) fn dates(&self) -> [String; 3] {
        let month = self.chains % 12 + 1;
        let year = 2024 + self.chains / 12;
        [1, 7, 14].map(|day| format!("{year}-{month:02}-{day:02}"))
    }

    /// Stores a chain, and signs it.
    pub(crate) fn put(&mut self, chain: &HostileChain) {
        self.chains += 1;
        let mut on: Option<(ArchiveId, ArchiveId)> = None;
        for archive in &chain.archives {
            let entry = self.store(archive, on);
            on = Some((entry.id, entry.chain));
            self.sign(entry);
        }
    }

    /// Seals a stream and puts it into the store.
    fn store(&mut self, archive: &HostileArchive, on: Option<(ArchiveId, ArchiveId)>) -> ArchiveEntry {
        let EntryKind::Archive(like) = &self.last.kind else {
            unreachable!("only archives are put")
        };
        let kind = if on.is_some() { "incr" } else { "full" };
        let id = format!("{}-{kind}-{:016x}", archive.date, self.rng.u64());
        let id: ArchiveId = id.parse().unwrap();
        let store = self.machine.path("store");
        let key = ArchiveKey::generate();
        let recipients = Recipients::parse(&[self.machine.fill("$R")]).unwrap();
        let sealed_key = key.seal_to(&recipients).unwrap();
        let key_path = store.join(keys::archive_key("home", &id));
        fs::create_dir_all(key_path.parent().unwrap()).unwrap();
        fs::write(key_path, &sealed_key).unwrap();
        let options = SealOptions {
            segment_bytes: like.segment_size,
            frame_bytes: usize::try_from(like.frame_size).unwrap(),
            level: 1,
            held_bytes: 64 << 20,
            threads: 1,
        };
        let (mut sealer, sealed) = Sealer::start(options, &key).unwrap();
        sealer.push(archive.stream.clone()).unwrap();
        let totals = sealer.finish().unwrap();
        let (mut segments, mut hashes) = (Vec::new(), Vec::new());
        for step in sealed {
            let Sealed::Segment(segment) = step else {
                break;
            };
            let name = keys::segment("home", &id, segment.index, &segment.sha256);
            fs::write(store.join(name), &segment.bytes).unwrap();
            hashes.push(segment.raw_blake3);
            segments.push(SegmentRecord {
                raw_bytes: segment.raw_bytes,
                sealed_bytes: segment.bytes.len() as u64,
                sha256: segment.sha256,
            });
        }
        let private = serde_json::to_vec(&PrivateFacts {
            host: None,
            subvolume: None,
            snapshot: None,
            raw_blake3: totals.raw_blake3,
            segments_blake3: hashes,
        });
        ArchiveEntry {
            id,
            date: id.date,
            slot: id.date,
            kind: if on.is_some() { ArchiveKind::Incremental } else { ArchiveKind::Full },
            send_parent: on.map(|(parent, _)| parent),
            chain: on.map_or(id, |(_, chain)| chain),
            stream_uuid: Uuid(archive.uuid),
            stream_ctransid: archive.ctransid,
            send_parent_uuid: archive.parent.map(Uuid),
            raw_bytes: totals.raw_bytes,
            sealed_bytes: totals.sealed_bytes,
            protocol: archive.protocol,
            key: BASE64.encode(&sealed_key),
            segments,
            private: BASE64.encode(key.seal_private(&private.unwrap()).unwrap()),
            ..(**like).clone()
        }
    }

    /// Writes the entry that follows the last one.
    fn sign(&mut self, archive: ArchiveEntry) {
        self.last.head.seq += 1;
        self.last.head.prev = Some(Sha256::of(&self.body));
        self.last.kind = EntryKind::Archive(Box::new(archive));
        self.body = encode_body(&self.last).unwrap();
        let key = fs::read_to_string(self.machine.path("state/signing.key")).unwrap();
        let key = SigningKey::from_file_text(&key).unwrap();
        let name = keys::ledger_entry("home", self.last.head.seq);
        let object = sign(&self.body, &key).unwrap();
        fs::write(self.machine.path("store").join(name), object).unwrap();
    }
}
