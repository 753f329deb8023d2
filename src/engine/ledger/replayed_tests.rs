//! The catalog takes in every entry that a replay accepts. Otherwise one signed entry would keep every other
//! from being restored.

use proptest::prelude::*;

use crate::catalog::{Catalog, SourceRow};
use crate::config::{Source, SourcePlace};
use crate::engine::context::open_source::OpenSource;
use crate::engine::ledger::sync::write_absorbed;
use crate::ledger::{
    LedgerError, Replay, SigningKey, Trust, encode_body, make_grant, root_grant, sign,
};
use crate::model::entry::{
    ArchiveEntry, Entry, EntryHead, EntryKind, OpenEntry, RetireEntry, ReviveEntry, Role, Timestamp,
};
use crate::model::{
    ArchiveId, ArchiveKind, LedgerId, SegmentRecord, Sha256, TreeHash, Uuid, VaultLocator,
    VaultPlace, VaultSegment,
};
use crate::store::{Layer, MemoryStore, Store};

/// The URL of the vault that some archives are in.
const VAULT: &str = "glacier-vault://eu-central-1/archives";

/// A store that says that it is the vault.
struct AsVault(MemoryStore);

impl Layer for AsVault {
    fn below(&self) -> &dyn Store {
        &self.0
    }

    fn url(&self) -> String {
        VAULT.to_owned()
    }
}

const DATES: [&str; 5] = [
    "2026-11-01",
    "2026-11-07",
    "0000-01-01",
    "9999-12-31",
    "2026-11-14",
];
const SLOTS: [&str; 4] = ["0000-01-01", "-0001-01-01", "2026-11-01", "+10000-01-01"];
const MOMENTS: [&str; 3] = [
    "2026-11-21T03:00:07Z",
    "0000-01-01T00:00:00+01:00",
    "9999-12-31T23:59:59-01:00",
];
const BYTES: [u64; 4] = [0, 10, 20, (1 << 53) - 1];

/// The parts of the next entry: small numbers that select from lists, so that dates, ids and streams collide.
#[derive(Debug, Clone)]
struct Step {
    kind: u8,
    date: usize,
    slot: usize,
    moment: usize,
    nonce: u64,
    stream: u8,
    /// Which earlier archives it builds on, retires or revives.
    earlier: u8,
    segments: Vec<(usize, usize)>,
    large: usize,
    /// How many segments more than the archive has its vault names; `None` if it is in no vault.
    vault: Option<usize>,
    /// Its format, if not the one that it needs.
    format: Option<u32>,
}

fn step() -> impl Strategy<Value = Step> {
    let segment = (
        prop_oneof![9 => 1..3_usize, 1 => 0..4_usize],
        prop_oneof![9 => 1..3_usize, 1 => 0..4_usize],
    );
    (
        0..8_u8,
        0..DATES.len(),
        prop_oneof![5 => Just(SLOTS.len()), 1 => 0..SLOTS.len()],
        prop_oneof![9 => Just(0), 1 => 0..MOMENTS.len()],
        0..12_u64,
        0..24_u8,
        any::<u8>(),
        prop::collection::vec(segment, 0..3),
        prop_oneof![5 => Just(1_usize), 1 => 0..BYTES.len()],
        (
            prop_oneof![9 => Just(None), 9 => Just(Some(0)), 1 => Just(Some(1))],
            prop_oneof![9 => Just(None), 1 => (1..4_u32).prop_map(Some)],
        ),
    )
        .prop_map(
            |(
                kind,
                date,
                slot,
                moment,
                nonce,
                stream,
                earlier,
                segments,
                large,
                (vault, format),
            )| Step {
                kind,
                date,
                slot,
                moment,
                nonce,
                stream,
                earlier,
                segments,
                large,
                vault,
                format,
            },
        )
}

impl Step {
    fn kind(&self, archives: &[ArchiveEntry]) -> EntryKind {
        let some = |archives: &[ArchiveEntry]| -> Vec<ArchiveId> {
            let chosen = archives
                .iter()
                .zip(0..8)
                .filter(|(_, at)| self.earlier >> at & 1 == 1);
            let mut ids: Vec<ArchiveId> = chosen.map(|(archive, _)| archive.id).collect();
            ids.sort_unstable();
            ids
        };
        let reason = "a test".to_owned();
        match self.kind {
            0 => EntryKind::Retire(RetireEntry {
                archives: some(archives),
                reason,
            }),
            1 => EntryKind::Revive(ReviveEntry {
                archives: some(archives),
                reason,
            }),
            _ => EntryKind::Archive(Box::new(self.archive(archives))),
        }
    }

    fn vault(&self, segments: usize) -> VaultPlace {
        let segments = (0..segments).map(|index| VaultSegment {
            // Some streams are archived twice, and their segments must not be.
            id: format!("{}-{index}", self.stream).parse().unwrap(),
            tree_hash: TreeHash([self.stream; 32]),
        });
        VaultPlace::at(VAULT, segments.collect()).unwrap()
    }

    fn archive(&self, archives: &[ArchiveEntry]) -> ArchiveEntry {
        let parent = archives
            .get(usize::from(self.earlier) % (archives.len() + 1))
            .filter(|_| self.kind > 3);
        let date = DATES[self.date].parse().unwrap();
        let kind = match parent {
            None => ArchiveKind::Full,
            Some(_) => ArchiveKind::Incremental,
        };
        let id = ArchiveId {
            date,
            kind,
            nonce: self.nonce,
        };
        let segments: Vec<SegmentRecord> = self
            .segments
            .iter()
            .map(|(raw, sealed)| SegmentRecord {
                raw_bytes: BYTES[*raw],
                sealed_bytes: BYTES[*sealed],
                sha256: Sha256([self.stream; 32]),
            })
            .collect();
        let sum = |of: fn(&SegmentRecord) -> u64| segments.iter().map(of).sum();
        ArchiveEntry {
            id,
            date,
            slot: SLOTS
                .get(self.slot)
                .map_or(date, |slot| slot.parse().unwrap()),
            kind,
            send_parent: parent.map(|parent| parent.id),
            chain: parent.map_or(id, |parent| parent.chain),
            stream_uuid: Uuid([self.stream; 16]),
            stream_ctransid: BYTES[self.large],
            send_parent_uuid: parent.map(|parent| parent.stream_uuid),
            raw_bytes: sum(|segment| segment.raw_bytes),
            sealed_bytes: sum(|segment| segment.sealed_bytes),
            protocol: u32::MAX,
            compressed_data: None,
            kernel: Some("a\0b".to_owned()),
            btrfs_progs: None,
            segment_size: self.segments.first().map_or(0, |(raw, _)| BYTES[*raw]),
            frame_size: BYTES[self.large],
            key: String::new(),
            recipients: Sha256([3; 32]),
            retain_until: None,
            vault: self.vault.map(|more| self.vault(segments.len() + more)),
            segments,
            contents: None,
            private: String::new(),
        }
    }
}

/// The format that an accepted entry needed. A `retire` of a lower one is read, because its id might be an attempt's.
fn replay_format(replay: &Replay, entry: &Entry) -> u32 {
    match &entry.kind {
        EntryKind::Retire(_) => 1,
        kind => replay.format_for(kind),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn whatever_a_replay_accepts_the_catalog_absorbs_and_reads_again(steps in prop::collection::vec(step(), 1..14)) {
        let (root, writer) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
        let place = SourcePlace {
            name: "home".parse().unwrap(),
            directory: "home".parse().unwrap(),
            store: "file:///shelf".to_owned(),
        };
        let (config, store) = (Source::at(&place), AsVault(MemoryStore::default()));
        let row = SourceRow {
            name: place.name.clone(),
            directory: "home".to_owned(),
            store: place.store.clone(),
            ledger: LedgerId([7; 16]),
        };
        let mut catalog = Catalog::in_memory().unwrap();
        catalog.add_source(&row).unwrap();
        let source = OpenSource { config: &config, row, store: Box::new(&store as &dyn Store) };
        let mut replay = Replay::new(Trust {
            ledger: source.row.ledger,
            source_directory: "home".to_owned(),
            root: root.public(),
        });
        let grant = make_grant(&root, &writer.public(), &[Role::Writer, Role::Pruner]).unwrap();
        let open = EntryKind::Open(OpenEntry { keys: vec![root_grant(&root.public()), grant] });
        let mut archives: Vec<ArchiveEntry> = Vec::new();
        let mut kinds = vec![(open, 0, None)];
        let mut left = steps.iter();
        while let Some((kind, moment, format)) = kinds.pop() {
            let head = EntryHead {
                format: format.unwrap_or_else(|| replay.format_for(&kind)),
                ledger: source.row.ledger,
                source: "home".to_owned(),
                seq: replay.head().map_or(0, |head| head.seq) + 1,
                prev: replay.head().map(|head| head.hash),
                made_at: MOMENTS[moment].parse::<Timestamp>().unwrap(),
                timezone: "UTC".to_owned(),
                skips: Vec::new(),
            };
            let seq = head.seq;
            let entry = Entry { head, kind };
            // Some entries can't even be encoded.
            let object = encode_body(&entry)
                .map_err(LedgerError::from)
                .and_then(|body| sign(&body, &writer));
            if let Ok(object) = object {
                let mut next = replay.clone();
                if let Ok(absorbed) = next.absorb(seq, &object) {
                    replay = next;
                    let taken = write_absorbed(&source, &mut catalog, seq, &object, &absorbed);
                    prop_assert!(taken.is_ok(), "{:?}: {:?}", absorbed.entry, taken);
                    if let EntryKind::Unknown(_) = absorbed.entry.kind {
                        prop_assert!(entry.head.format > 2);
                    } else {
                        prop_assert_eq!(&absorbed.entry, &entry);
                        prop_assert!(entry.head.format >= replay_format(&replay, &entry));
                    }
                    if let EntryKind::Archive(archive) = absorbed.entry.kind {
                        let rows = catalog.segments(&archive.id).unwrap();
                        prop_assert_eq!(rows.len(), archive.segments.len());
                        for (at, row) in rows.iter().enumerate() {
                            let found = row.locator.parse::<VaultLocator>().ok();
                            let named = archive.vault.as_ref().map(|vault| vault.segments[at].clone());
                            prop_assert_eq!(found.map(|found| found.segment), named);
                        }
                        archives.push(*archive);
                    }
                    let rows = catalog.archives(&source.row.ledger).unwrap();
                    for row in rows {
                        prop_assert_eq!(row.is_visible(), replay.is_visible(&row.id));
                    }
                }
            }
            kinds.extend(left.next().map(|step| (step.kind(&archives), step.moment, step.format)));
        }
    }
}
