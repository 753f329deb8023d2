//! Somebody who has stolen a writer's key: seals any stream and signs any entry with the machine's own
//! key, past the guard and past every check of the program. The store must be a directory.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use coldchain::ledger::{encode_body, root_grant, split, to_canonical};
use coldchain::model::entry::{
    ArchiveEntry, Entry, EntryHead, EntryKind, FORMAT, KeyGrant, OpenEntry, PrivateFacts,
};
use coldchain::model::segment::{FRAME_BYTES, SegmentRecord};
use coldchain::model::{ArchiveId, ArchiveKind, Blake3, LedgerId, Sha256, Uuid, keys};
use coldchain::seal::{ArchiveKey, Recipients, SealOptions, Sealed, Sealer};
use serde_json::{Value, json};

use super::machine::Machine;
use super::sandbox::Sandbox;
use super::stream_builder::attr;

/// The raw bytes of a segment: the least that a config takes.
const SEGMENT_BYTES: u64 = 16 << 20;

/// Somebody with a writer's key and the store.
pub struct Forger {
    /// The store's directory.
    store: PathBuf,
    /// The source's directory in it.
    source: String,
    ledger: LedgerId,
    /// The writer's secret key file.
    key: String,
    recipients: Recipients,
    /// What an `open` entry says, where the ledger has none yet.
    open: OpenEntry,
}

/// A stream's first command.
#[derive(Debug, Clone, Copy)]
struct Head {
    protocol: u32,
    uuid: Uuid,
    ctransid: u64,
    parent: Option<Uuid>,
}

impl Forger {
    /// The forger of a source. `kit` is the recovery kit, and `state` the state directory, of a machine
    /// that has run `init`.
    pub fn new(store: &Path, source: &str, state: &Path, kit: &Path) -> Self {
        let read = |path: PathBuf| fs::read_to_string(path).unwrap();
        let kit = read(kit.to_owned());
        let after = |start: &str| kit.lines().find_map(|line| line.strip_prefix(start));
        let recipient = after("# identity of ").expect("the kit names its recipient");
        let known = format!("#   prefix  {source}/\n#   ledger  ");
        let (_, ledger) = kit
            .split_once(&known)
            .expect("the kit names the source's ledger");
        let root = coldchain::ledger::PublicKey::from_file_text(&read(state.join("root.pub")));
        let grant: KeyGrant = serde_json::from_str(&read(state.join("signing.grant"))).unwrap();
        Self {
            store: store.to_owned(),
            source: source.to_owned(),
            ledger: ledger.lines().next().unwrap().parse().unwrap(),
            key: read(state.join("signing.key")),
            recipients: Recipients::parse(&[recipient.to_owned()]).unwrap(),
            open: OpenEntry {
                keys: vec![root_grant(&root.unwrap()), grant],
            },
        }
    }

    /// The forger of a machine's source `home`.
    pub fn of(machine: &Machine) -> Self {
        let (store, state) = (machine.path("store"), machine.state());
        Self::new(&store, "home", &state, &machine.path("kit"))
    }

    /// The forger of a sandbox's source.
    pub fn of_sandbox(sandbox: &Sandbox) -> Self {
        let state = sandbox.config().with_file_name("state");
        let source = super::sandbox::SOURCE;
        Self::new(&sandbox.store(), source, &state, &sandbox.kit())
    }

    /// Archives that stream, whatever is in it, and returns its id. It must begin with the header and a
    /// subvol or snapshot command, from which the entry takes its uuids; all else may be wrong.
    ///
    /// A machine takes it in by the next command that reads the ledger, such as `restore --date DATE`
    /// of a date that its catalog does not know.
    pub fn archive(
        &self,
        date: &str,
        kind: ArchiveKind,
        stream: &[u8],
        send_parent: Option<&ArchiveId>,
    ) -> ArchiveId {
        self.archive_changed(date, kind, stream, send_parent, |_| {})
    }

    /// The same with an entry whose body is changed before it is signed. Its objects lie where the
    /// unchanged entry has them.
    pub fn archive_changed(
        &self,
        date: &str,
        kind: ArchiveKind,
        stream: &[u8],
        send_parent: Option<&ArchiveId>,
        change: impl FnOnce(&mut Value),
    ) -> ArchiveId {
        let date = date.parse().unwrap();
        let id = ArchiveId {
            date,
            kind,
            nonce: self.nonce(stream),
        };
        let head = Head::of(stream);
        let key = ArchiveKey::generate();
        let sealed_key = key.seal_to(&self.recipients).unwrap();
        self.put(&keys::archive_key(&self.source, &id), &sealed_key);
        let mut segments = Vec::new();
        let mut hashes = Vec::new();
        for (index, (raw_bytes, raw_blake3, bytes)) in (0..).zip(seal(stream, &key)) {
            let sha256 = Sha256::of(&bytes);
            self.put(&keys::segment(&self.source, &id, index, &sha256), &bytes);
            hashes.push(raw_blake3);
            segments.push(SegmentRecord {
                raw_bytes,
                sealed_bytes: bytes.len() as u64,
                sha256,
            });
        }
        let private = PrivateFacts {
            host: None,
            subvolume: None,
            snapshot: None,
            raw_blake3: Blake3(*blake3::hash(stream).as_bytes()),
            segments_blake3: hashes,
        };
        let private = serde_json::to_vec(&private).unwrap();
        let entry = ArchiveEntry {
            id,
            date,
            slot: date,
            kind,
            send_parent: send_parent.copied(),
            chain: send_parent.map_or(id, |parent| self.chain_of(parent)),
            stream_uuid: head.uuid,
            stream_ctransid: head.ctransid,
            send_parent_uuid: head.parent,
            raw_bytes: stream.len() as u64,
            sealed_bytes: segments.iter().map(|segment| segment.sealed_bytes).sum(),
            protocol: head.protocol,
            compressed_data: (head.protocol > 1).then_some(false),
            kernel: None,
            btrfs_progs: None,
            segment_size: SEGMENT_BYTES,
            frame_size: FRAME_BYTES,
            key: BASE64.encode(&sealed_key),
            recipients: self.recipients.fingerprint(&self.ledger),
            retain_until: None,
            segments,
            vault: None,
            contents: None,
            private: BASE64.encode(key.seal_private(&private).unwrap()),
        };
        self.append(EntryKind::Archive(Box::new(entry)), change);
        id
    }

    /// Puts an entry after the newest one, its body changed before it is signed. It opens the ledger
    /// first if that has no entry yet.
    pub fn append(&self, kind: EntryKind, change: impl FnOnce(&mut Value)) {
        if !self.entry_path(1).exists() {
            self.add(1, None, EntryKind::Open(self.open.clone()), |_| {});
        }
        let last = self.last();
        let object = fs::read(self.entry_path(last)).unwrap();
        let prev = Sha256::of(split(&object).unwrap().0);
        self.add(last + 1, Some(prev), kind, change);
    }

    /// Puts an entry after the newest one, whose line is changed before it is signed.
    pub fn append_spoiled(&self, kind: EntryKind, spoil: impl FnOnce(Vec<u8>) -> Vec<u8>) {
        self.append(kind, |_| {});
        self.respoil(spoil);
    }

    /// Changes the line of the newest entry, and signs it once more.
    pub fn respoil(&self, spoil: impl FnOnce(Vec<u8>) -> Vec<u8>) {
        let seq = self.last();
        let object = fs::read(self.entry_path(seq)).unwrap();
        let body: Value = serde_json::from_slice(split(&object).unwrap().0).unwrap();
        let mut line = to_canonical(&body).unwrap();
        line.push(b'\n');
        let key = keys::ledger_entry(&self.source, seq);
        self.put(&key, &self.signed_line(&body, spoil(line)));
    }

    /// The fingerprint of the recipients.
    pub fn recipients(&self) -> Sha256 {
        self.recipients.fingerprint(&self.ledger)
    }

    /// Where an entry lies.
    pub fn entry_path(&self, seq: u64) -> PathBuf {
        self.store.join(keys::ledger_entry(&self.source, seq))
    }

    /// The number of the newest entry; 0 if there is none.
    pub fn last(&self) -> u64 {
        let mut last = 0;
        while self.entry_path(last + 1).exists() {
            last += 1;
        }
        last
    }

    /// A body line with its newline, and the writer's signature after it. Unlike the program's own, it
    /// signs whatever stands there.
    pub fn signed(&self, body: &Value) -> Vec<u8> {
        let mut line = to_canonical(body).unwrap();
        line.push(b'\n');
        self.signed_line(body, line)
    }

    /// A line, and the writer's signature with the comment that belongs to a body.
    fn signed_line(&self, body: &Value, mut line: Vec<u8>) -> Vec<u8> {
        let word = |name: &str| match &body[name] {
            Value::String(word) => word.clone(),
            other => other.to_string(),
        };
        let comment = format!(
            "coldchain {} {} {}",
            word("ledger"),
            word("seq"),
            word("kind")
        );
        let key = minisign::SecretKeyBox::from_string(&self.key).unwrap();
        let key = key.into_unencrypted_secret_key().unwrap();
        let untrusted = Some("coldchain ledger entry");
        let signature =
            minisign::sign(None, &key, line.as_slice(), Some(&comment), untrusted).unwrap();
        line.extend(signature.into_string().bytes());
        line
    }

    fn add(
        &self,
        seq: u64,
        prev: Option<Sha256>,
        kind: EntryKind,
        change: impl FnOnce(&mut Value),
    ) {
        let head = EntryHead {
            format: FORMAT,
            ledger: self.ledger,
            source: self.source.clone(),
            seq,
            prev,
            made_at: "2024-01-01T03:00:00Z".parse().unwrap(),
            timezone: "UTC".to_owned(),
            skips: Vec::new(),
        };
        let body = encode_body(&Entry { head, kind }).unwrap();
        let mut body: Value = serde_json::from_slice(&body).unwrap();
        change(&mut body);
        self.put(&keys::ledger_entry(&self.source, seq), &self.signed(&body));
    }

    fn put(&self, key: &str, bytes: &[u8]) {
        let path = self.store.join(key);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// A number that no other archive of the ledger has.
    fn nonce(&self, stream: &[u8]) -> u64 {
        let hash = Sha256::of(&[stream, &self.last().to_le_bytes()].concat());
        u64::from_le_bytes(hash.0[..8].try_into().unwrap())
    }

    /// The chain of an archive, as its entry has it. What no entry names is taken for a full.
    fn chain_of(&self, id: &ArchiveId) -> ArchiveId {
        let chain = (1..=self.last()).find_map(|seq| {
            let object = fs::read(self.entry_path(seq)).unwrap();
            let body: Value = serde_json::from_slice(split(&object).unwrap().0).unwrap();
            let archive = &body["archive"];
            (archive["id"] == json!(id)).then(|| archive["chain"].as_str().unwrap().parse())
        });
        chain.map_or(*id, Result::unwrap)
    }
}

impl Head {
    fn of(stream: &[u8]) -> Self {
        let protocol = u32::from_le_bytes(stream[13..17].try_into().unwrap());
        let length = u32::from_le_bytes(stream[17..21].try_into().unwrap());
        let mut attributes = &stream[27..27 + usize::try_from(length).unwrap()];
        let mut head = Self {
            protocol,
            uuid: Uuid([0; 16]),
            ctransid: 0,
            parent: None,
        };
        while let [n0, n1, l0, l1, rest @ ..] = attributes {
            let (number, length) = (
                u16::from_le_bytes([*n0, *n1]),
                u16::from_le_bytes([*l0, *l1]),
            );
            let (value, rest) = rest.split_at(length.into());
            match number {
                attr::UUID => head.uuid = Uuid(value.try_into().unwrap()),
                attr::CTRANSID => head.ctransid = u64::from_le_bytes(value.try_into().unwrap()),
                attr::CLONE_UUID => head.parent = Some(Uuid(value.try_into().unwrap())),
                _ => {}
            }
            attributes = rest;
        }
        head
    }
}

/// The stream's segments: their raw lengths, the hashes of their raw bytes, and themselves.
fn seal(stream: &[u8], key: &ArchiveKey) -> Vec<(u64, Blake3, Vec<u8>)> {
    let options = SealOptions {
        segment_bytes: SEGMENT_BYTES,
        frame_bytes: usize::try_from(FRAME_BYTES).unwrap(),
        level: 1,
        held_bytes: u64::MAX >> 1,
        threads: 1,
    };
    let (mut sealer, steps) = Sealer::start(options, key).unwrap();
    for frame in stream.chunks(options.frame_bytes) {
        let mut buffer = sealer.buffer();
        buffer.clear();
        buffer.extend(frame);
        sealer.push(buffer).unwrap();
    }
    sealer.finish().unwrap();
    let mut segments = Vec::new();
    for step in steps {
        match step {
            Sealed::Segment(segment) => segments.push((
                segment.raw_bytes,
                segment.layout.raw_blake3(),
                segment.bytes.to_vec(),
            )),
            Sealed::Finished => return segments,
            Sealed::Failed(error) => panic!("{error}"),
        }
    }
    panic!("the sealer stopped")
}
