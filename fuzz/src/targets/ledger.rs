//! Objects under numbers of a ledger: damaged ones, ones that somebody signed whose key was stolen, and
//! ones that pass for checked, so that what lies behind the signature is reached as well.
//!
//! A refused object leaves the replay as it was. An accepted one is its head. Who was strict about an
//! object lets a reader of damaged ledgers take it too.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use coldchain::ledger::{
    Absorbed, EntryRefusal, Refused, Replay, SigningKey, Trust, decode_body, encode_body,
    make_grant, root_grant, sign, split, to_canonical,
};
use coldchain::model::entry::{
    ArchiveEntry, AttachEntry, Attachment, DeleteEntry, Entry, EntryHead, EntryKind, FORMAT,
    KeyGrant, OpenEntry, ROTATE_FORMAT, RetireEntry, ReviveEntry, Role, RotateEntry,
};
use coldchain::model::{
    ArchiveId, ArchiveKind, SegmentRecord, Sha256, TreeHash, Uuid, VaultPlace, VaultSegment,
};
use serde_json::{Value, json};

use super::Outcome;
use super::fixtures;
use super::input::{Input, seed};

/// Bits of the first byte: what stands in the ledger before, and how it is read.
const OF_FIXTURE: u8 = 1;
const SIGNED: u8 = 2;
const EMPTY: u8 = 4;

/// Bits of a byte for each object: in what it is not what it should be.
const OTHER_KEY: u8 = 1;
const OTHER_SKIPS: u8 = 2;
const OTHER_PREVIOUS: u8 = 4;
const OTHER_HEAD: u8 = 8;

/// The most objects of one input: a signature takes a while.
const MOST: usize = 24;

pub fn run(data: &[u8]) -> Outcome {
    let mut input = Input::new(data);
    let choices = input.byte();
    let mut ledger = Ledger::new(choices);
    let mut outcome = Outcome::Accepted;
    let most = if ledger.signed { MOST / 3 } else { MOST };
    for _ in 0..most {
        if input.is_empty() {
            break;
        }
        let (seq, object) = ledger.next(&mut input);
        if let Some(object) = object
            && ledger.take(seq, &object) == Outcome::Refused
        {
            outcome = Outcome::Refused;
        }
    }
    outcome
}

/// The keys of the two fixtures serve as a root key, and as one that it has given roles.
struct Keys {
    root: SigningKey,
    writer: SigningKey,
    trust: Trust,
    opening: Vec<KeyGrant>,
}

fn keys() -> &'static Keys {
    static KEYS: LazyLock<Keys> = LazyLock::new(|| {
        let [root, writer] = fixtures::all().each_ref().map(|fixture| {
            let secret = fixture.kit.root_secret.as_ref().expect("a kit has it");
            SigningKey::from_file_text(&secret.to_file_text()).expect("it reads")
        });
        let roles = [Role::Pruner, Role::Writer];
        let grant = make_grant(&root, &writer.public(), &roles).expect("it signs");
        Keys {
            opening: vec![root_grant(&root.public()), grant],
            trust: fixtures::all()[0].trust.clone(),
            root,
            writer,
        }
    });
    &KEYS
}

/// One ledger, read in both ways.
#[derive(Clone)]
struct Ledger {
    strict: Replay,
    past: Replay,
    signed: bool,
}

/// All that can be asked of a replay.
fn seen(replay: &Replay) -> String {
    format!(
        "{:?} {} {:?} {:?} {:?} {:?} {replay:?}",
        replay.head(),
        replay.next_seq(),
        replay.skips(),
        replay.keys(),
        replay.withdrawn(),
        replay.unknown(),
    )
}

impl Ledger {
    /// What stands there is read once: to verify it takes longer than all that follows.
    fn new(choices: u8) -> Self {
        static BEGUN: LazyLock<[Ledger; 8]> =
            LazyLock::new(|| std::array::from_fn(|at| Ledger::begun(u8::try_from(at).unwrap())));
        BEGUN[usize::from(choices) % 8].clone()
    }

    fn begun(choices: u8) -> Self {
        let trust = &keys().trust;
        let mut ledger = Self {
            strict: Replay::new(trust.clone()),
            past: Replay::reading_past(trust.clone()),
            signed: choices & SIGNED != 0,
        };
        if choices & EMPTY != 0 {
            return ledger;
        }
        if choices & OF_FIXTURE != 0 {
            for (seq, object) in (1..).zip(&fixtures::all()[0].entries) {
                let _ = ledger.absorb(seq, object);
            }
        } else {
            let keys = keys().opening.clone();
            let object = ledger.object(ledger.head(1), EntryKind::Open(OpenEntry { keys }), false);
            let _ = ledger.absorb(1, &object);
        }
        assert!(ledger.strict.head().is_some());
        ledger
    }

    /// The next object, and under which number; no object if the number is only passed over.
    fn next(&mut self, input: &mut Input<'_>) -> (u64, Option<Vec<u8>>) {
        let choice = input.byte() % 12;
        // Mostly the next one.
        let place = input.byte();
        let next = self.strict.next_seq();
        let seq = match place {
            0xe0..=0xef => next.saturating_sub(u64::from(place & 0xf)),
            0xf0..=0xff => next + u64::from(place & 0xf),
            _ => next,
        };
        let how = input.byte();
        let object = match choice {
            0 => Some(input.long().to_vec()),
            1 => {
                let line = input.long();
                Some(self.of_json(seq, how, line))
            }
            2 if seq == next => {
                self.strict.quarantine(seq);
                self.past.quarantine(seq);
                None
            }
            3 => {
                let mut object = fixtures::all()[0].entries[usize::from(place) % 4].clone();
                let at = usize::from(input.u16()) % object.len();
                object[at] ^= input.byte();
                Some(object)
            }
            _ => {
                let mut head = self.head(seq);
                if how & OTHER_SKIPS != 0 {
                    head.skips = (seq.saturating_sub(u64::from(input.byte() % 4))..seq).collect();
                }
                if how & OTHER_PREVIOUS != 0 {
                    head.prev = Some(Sha256([input.byte(); 32]));
                }
                let kind = kind(choice, input, self.strict.forked());
                head.format = self.strict.format_for(&kind);
                // Where it can be written, it may have a lower format than it needs, or a higher one.
                let has_vault =
                    matches!(&kind, EntryKind::Archive(archive) if archive.vault.is_some());
                if how & OTHER_HEAD != 0 && !has_vault {
                    head.format = 1 + u32::from(place & 1);
                }
                if !self.strict.forked().is_empty() && how & OTHER_HEAD == 0 {
                    head.format = ROTATE_FORMAT;
                }
                // Who rotates has another key than who writes.
                let by_root = (how & OTHER_KEY != 0) != matches!(kind, EntryKind::Rotate(_));
                Some(self.object(head, kind, by_root))
            }
        };
        (seq, object)
    }

    /// What the next entry has to say.
    fn head(&self, seq: u64) -> EntryHead {
        let trust = &keys().trust;
        let last = self.strict.head();
        EntryHead {
            format: FORMAT,
            ledger: trust.ledger,
            source: trust.source_directory.clone(),
            seq,
            prev: last.map(|head| head.hash),
            made_at: "2026-11-21T03:00:07Z".parse().expect("it is a moment"),
            timezone: "Europe/Berlin".to_owned(),
            skips: (last.map_or(0, |head| head.seq) + 1..seq.min(1 << 20)).collect(),
        }
    }

    fn object(&self, head: EntryHead, kind: EntryKind, by_root: bool) -> Vec<u8> {
        let body = encode_body(&Entry { head, kind }).expect("it can be written");
        self.signed_by(&body, by_root)
    }

    fn signed_by(&self, body: &[u8], by_root: bool) -> Vec<u8> {
        let key = if by_root {
            &keys().root
        } else {
            &keys().writer
        };
        if self.signed
            && let Ok(object) = sign(body, key)
        {
            return object;
        }
        [body, unchecked(body, &key.public().to_string()).as_bytes()].concat()
    }

    /// An entry of whatever the fuzzer makes of a body, in its place in the ledger unless `how` says
    /// otherwise.
    fn of_json(&self, seq: u64, how: u8, line: &[u8]) -> Vec<u8> {
        let by_root = how & OTHER_KEY != 0;
        let Ok(Value::Object(mut members)) = serde_json::from_slice(line) else {
            return self.signed_by(line, by_root);
        };
        let head = self.head(seq);
        if how & OTHER_HEAD == 0 {
            members.insert("format".to_owned(), json!(head.format));
            members.insert("ledger".to_owned(), json!(head.ledger));
            members.insert("source".to_owned(), json!(head.source));
            members.insert("seq".to_owned(), json!(head.seq));
        }
        if how & OTHER_PREVIOUS == 0 {
            members.insert("prev".to_owned(), json!(head.prev));
            members.remove("skips");
            if !head.skips.is_empty() {
                members.insert("skips".to_owned(), json!(head.skips));
            }
        }
        match to_canonical(&Value::Object(members)) {
            Ok(mut body) => {
                body.push(b'\n');
                self.signed_by(&body, by_root)
            }
            Err(_) => self.signed_by(line, by_root),
        }
    }

    fn absorb(&mut self, seq: u64, object: &[u8]) -> [Result<Absorbed, EntryRefusal>; 2] {
        let signed = self.signed;
        [&mut self.strict, &mut self.past].map(|replay| {
            if signed {
                replay.absorb(seq, object)
            } else {
                replay.absorb_trusted(seq, object)
            }
        })
    }

    fn take(&mut self, seq: u64, object: &[u8]) -> Outcome {
        let before = [&self.strict, &self.past].map(seen);
        let in_step = self.strict.head() == self.past.head();
        let results = self.absorb(seq, object);
        for ((replay, result), before) in [&self.strict, &self.past]
            .into_iter()
            .zip(&results)
            .zip(before)
        {
            match result {
                Ok(absorbed) => was_taken(replay, seq, object, absorbed),
                Err(refusal) => {
                    assert_eq!(seen(replay), before, "it was refused: {refusal}");
                    assert!(!refusal.to_string().is_empty());
                    let what = replay.what_is(object, refusal);
                    let stops = matches!(what, Refused::Fork | Refused::Stop);
                    assert!(!refusal.was_signed() || stops);
                }
            }
        }
        let forks = |replay: &Replay, result: &Result<Absorbed, EntryRefusal>| {
            let refusal = result.as_ref().err();
            refusal.is_some_and(|refusal| replay.what_is(object, refusal) == Refused::Fork)
        };
        let [strict, past] = results;
        if seq == self.strict.next_seq() && in_step && forks(&self.strict, &strict) && past.is_err()
        {
            self.strict.fork(seq);
            self.past.fork(seq);
        }
        assert!(strict.is_err() || !in_step || past.is_ok(), "{past:?}");
        Outcome::of(&strict)
    }
}

fn was_taken(replay: &Replay, seq: u64, object: &[u8], absorbed: &Absorbed) {
    let (body, _) = split(object).expect("it has a body");
    assert_eq!(decode_body(body).as_ref(), Ok(&absorbed.entry));
    assert_eq!(absorbed.hash, Sha256::of(body));
    let head = replay.head().expect("it is the head");
    assert_eq!((head.seq, head.hash), (seq, absorbed.hash));
    assert_eq!(replay.next_seq(), seq + 1);
    assert!(replay.skips().is_empty());
    match &absorbed.entry.kind {
        EntryKind::Archive(archive) => {
            assert!(replay.is_visible(&archive.id) || absorbed_after_a_loss(replay, archive));
        }
        EntryKind::Retire(retire) => {
            assert!(retire.archives.iter().all(|id| replay.is_retired(id)));
        }
        EntryKind::Revive(revive) => {
            assert!(
                !revive
                    .archives
                    .iter()
                    .any(|id| replay.is_retired(id) || replay.is_deleted(id))
            );
        }
        EntryKind::Delete(delete) => {
            assert!(
                delete
                    .archives
                    .iter()
                    .all(|id| replay.is_retired(id) && replay.is_deleted(id))
            );
        }
        EntryKind::Rotate(rotate) => {
            assert_eq!(replay.keys().len(), rotate.keys.len());
            assert!(rotate.retires.iter().all(|id| replay.is_retired(id)));
            let mut back = rotate.revives.iter();
            assert!(!back.any(|id| replay.is_retired(id) || replay.is_deleted(id)));
        }
        EntryKind::Open(_) | EntryKind::Attach(_) | EntryKind::Moved(_) | EntryKind::Unknown(_) => {
        }
    }
}

/// Where an entry is lost, an archive may come after the entry that retires it.
fn absorbed_after_a_loss(replay: &Replay, archive: &ArchiveEntry) -> bool {
    replay.is_retired(&archive.id) && format!("{replay:?}").contains("lost: true")
}

/// One of few dates, in one of few ways: ids meet often.
fn archive_id(input: &mut Input<'_>) -> ArchiveId {
    let choice = input.byte();
    let dates = ["2026-11-01", "2026-11-07", "2026-11-14", "2026-11-21"];
    ArchiveId {
        date: dates[usize::from(choice & 3)]
            .parse()
            .expect("it is a date"),
        kind: if choice & 4 == 0 {
            ArchiveKind::Full
        } else {
            ArchiveKind::Incremental
        },
        nonce: u64::from(choice >> 3 & 3),
    }
}

fn archive_ids(input: &mut Input<'_>) -> Vec<ArchiveId> {
    let count = input.byte();
    let mut ids: Vec<ArchiveId> = (0..count % 5).map(|_| archive_id(input)).collect();
    // Mostly as a list has to be.
    if count < 0xf0 {
        ids.sort();
        ids.dedup();
    }
    ids
}

/// The stream uuid that an archive has unless the input wants another: so a send parent's is known.
fn stream_uuid(id: &ArchiveId) -> Uuid {
    let hash = Sha256::of(id.to_string().as_bytes());
    Uuid(std::array::from_fn(|at| hash.0[at]))
}

fn kind(choice: u8, input: &mut Input<'_>, forked: &[u64]) -> EntryKind {
    let reason = "expired".to_owned();
    match choice {
        4..=6 => EntryKind::Archive(Box::new(archive(input))),
        7 => EntryKind::Retire(RetireEntry {
            archives: archive_ids(input),
            reason,
        }),
        8 => EntryKind::Revive(ReviveEntry {
            archives: archive_ids(input),
            reason,
        }),
        9 => EntryKind::Delete(DeleteEntry {
            archives: archive_ids(input),
            reason,
        }),
        10 => EntryKind::Rotate(rotate(input, forked)),
        _ => EntryKind::Attach(AttachEntry {
            objects: archive_ids(input)
                .into_iter()
                .map(|archive| Attachment {
                    archive,
                    what: Attachment::KEY.to_owned(),
                    recipients: Sha256([3; 32]),
                    sealed: "a2V5".to_owned(),
                    contents: None,
                    replaces: None,
                })
                .collect(),
        }),
    }
}

fn rotate(input: &mut Input<'_>, forked: &[u64]) -> RotateEntry {
    let choice = input.byte();
    let mut keys = keys().opening.clone();
    match choice & 3 {
        0 => keys[1].grant = None,
        1 => keys.truncate(1),
        2 => keys[1].roles = vec![Role::Writer],
        _ => keys.push(keys[1].clone()),
    }
    let voids = (0..choice >> 2 & 3).map(|_| input.byte().into());
    let mut voids: Vec<u64> = voids.collect();
    if choice & 16 == 0 {
        voids.extend(forked);
    }
    let mut some = |bit: u8| {
        if choice & bit == 0 {
            Vec::new()
        } else {
            archive_ids(input)
        }
    };
    RotateEntry {
        keys,
        voids,
        retires: some(32),
        revives: some(64),
    }
}

/// A signature in its form that names the key and was made by nobody: what was checked before is not checked
/// again.
fn unchecked(body: &[u8], key: &str) -> String {
    let mut signed = BASE64.decode(key).expect("a public key is base64");
    signed.resize(2 + 8 + 64, 0);
    let comment = decode_body(body).map_or_else(
        |_| "coldchain".to_owned(),
        |entry| {
            let EntryHead { ledger, seq, .. } = entry.head;
            format!("coldchain {ledger} {seq} {}", entry.kind.name())
        },
    );
    format!(
        "untrusted comment: coldchain ledger entry\n{}\ntrusted comment: {comment}\n{}\n",
        BASE64.encode(signed),
        BASE64.encode([0; 64])
    )
}

fn archive(input: &mut Input<'_>) -> ArchiveEntry {
    let id = archive_id(input);
    let parent = (id.kind == ArchiveKind::Incremental).then(|| archive_id(input));
    let chain = parent.map_or(id, |_| archive_id(input));
    let flaw = input.byte();
    let segment = |raw_bytes, sealed_bytes| SegmentRecord {
        raw_bytes,
        sealed_bytes,
        sha256: Sha256([1; 32]),
    };
    let mut archive = ArchiveEntry {
        id,
        date: id.date,
        slot: id.date,
        kind: id.kind,
        send_parent: parent,
        chain,
        stream_uuid: stream_uuid(&id),
        stream_ctransid: 5,
        send_parent_uuid: parent.as_ref().map(stream_uuid),
        raw_bytes: 30,
        sealed_bytes: 22,
        protocol: 1,
        compressed_data: None,
        kernel: Some("6.18".to_owned()),
        btrfs_progs: None,
        segment_size: 20,
        frame_size: 10,
        key: "a2V5".to_owned(),
        recipients: Sha256([3; 32]),
        retain_until: None,
        segments: vec![segment(20, 12), segment(10, 10)],
        vault: None,
        contents: None,
        private: "cHJpdmF0ZQ==".to_owned(),
    };
    // One flaw at most: what is checked first would hide the others.
    match flaw {
        0xf0 => archive.raw_bytes = input.u32().into(),
        0xf1 => archive.segments[0].raw_bytes = input.u32().into(),
        // The sum of these is too large for any number.
        0xf2 => {
            archive.segment_size = (1 << 53) - 1;
            let many = usize::from(input.u16() % 4096);
            archive.segments = vec![segment(archive.segment_size, archive.segment_size); many];
        }
        0xf3 => archive.segments.clear(),
        0xf4 => archive.stream_uuid = Uuid([input.byte(); 16]),
        0xf5 => archive.date = archive_id(input).date,
        0xf6 => archive.slot = archive_id(input).date,
        0xf7 => archive.send_parent = None,
        0xf8 => archive.segments[1].sealed_bytes = 0,
        // In a vault, with ids of its own or of another archive, of too many segments, or one twice.
        0xe0..=0xef => archive.vault = Some(vault(&format!("{id}"), 2)),
        0xfa => archive.vault = Some(vault("another", 2)),
        0xfb => archive.vault = Some(vault("more", 3)),
        0xfc => {
            let mut twice = vault("twice", 2);
            twice.segments[1] = twice.segments[0].clone();
            archive.vault = Some(twice);
        }
        0xf9 => archive.retain_until = Some("2027-02-19T03:00:07Z".parse().expect("a moment")),
        _ => {}
    }
    archive
}

fn vault(name: &str, segments: usize) -> VaultPlace {
    let segments = (0..segments).map(|index| VaultSegment {
        id: format!("{name}-{index}").parse().expect("it is an id"),
        tree_hash: TreeHash([1; 32]),
    });
    let url = "glacier-vault://eu-central-1/archives";
    VaultPlace::at(url, segments.collect()).expect("it is a vault's")
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    // A ledger as it is, from its first entry on.
    let of_object = |object: &[u8], how: u8| {
        let length = u16::try_from(object.len()).expect("an entry is short");
        [&[how, 0, 0][..], &length.to_le_bytes(), object].concat()
    };
    let whole: Vec<u8> = fixtures::all()[0]
        .entries
        .iter()
        .flat_map(|object| of_object(object, 0))
        .collect();
    seeds.push(seed(&[EMPTY], &whole));
    seeds.push(seed(&[EMPTY | SIGNED], &whole));
    for entry in fixtures::all().iter().flat_map(|it| &it.entries) {
        let (body, _) = split(entry).expect("it has a body");
        seeds.push(seed(&[0], &of_object(body, 1)));
        seeds.push(seed(&[SIGNED | OF_FIXTURE], &of_object(body, 1)));
    }
    // A full, an incremental on it, an attachment; both retired, revived, retired again and deleted.
    let both = [2, 0, 5];
    let life: [&[u8]; 12] = [
        &[4, 0, 0, 0, 0],
        &[4, 0, 0, 5, 0, 0, 0],
        &[11, 0, 0],
        &both,
        &[7, 0, 0],
        &both,
        &[8, 0, 0],
        &both,
        &[7, 0, 0],
        &both,
        &[9, 0, 0],
        &both,
    ];
    // Another key, a number that is passed over, an archive, the first keys again, one more archive.
    let later: [&[u8]; 5] = [
        &[10, 0, 0, 0],
        &[2, 0, 0],
        &[4, 0, 0, 2, 0],
        &[10, 0, 0, 2],
        &[4, 0, 0, 3, 0],
    ];
    // Two are retired and deleted, and the root key brings them back with a second key gone; a fork, and its end.
    let undone: [&[u8]; 10] = [
        &[4, 0, 0, 0, 0],
        &[4, 0, 0, 5, 0, 0, 0],
        &[7, 0, 0],
        &both,
        &[9, 0, 0],
        &both,
        &[10, 0, 0, 1 | 64],
        &both,
        &[4, 0, 4, 9, 2, 0],
        &[10, 0, 0, 1],
    ];
    // One that follows what is not there.
    let lost: [&[u8]; 2] = [&[4, 0, 0, 0, 0], &[4, 0xf2, 6, 1, 9, 2, 0]];
    for choices in [0, SIGNED] {
        seeds.push(seed(&[choices], &life.concat()));
        seeds.push(seed(&[choices], &later.concat()));
        seeds.push(seed(&[choices], &lost.concat()));
        seeds.push(seed(&[choices], &undone.concat()));
    }
    seeds
}
