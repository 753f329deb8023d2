//! Contents that somebody with a stolen writer's key has made up, sealed and attached.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use coldchain::model::entry::{AttachEntry, Attachment, EntryKind};
use coldchain::model::{ArchiveId, ArchiveKind, ContentsRecord, SegmentRecord, Sha256, keys};
use coldchain::seal::{ArchiveKey, ContentsSealer, Identities};

use super::forged::Forger;
use super::machine::Machine;
use super::stream_builder::{StreamBuilder, attr};

/// The bytes of a stream's header.
const STREAM_HEADER: usize = 17;

/// The bytes of a command's header.
const COMMAND_HEADER: usize = 10;

/// Commands as a guard keeps them: without their data and their CRCs.
pub struct MadeUp {
    sealer: Option<ContentsSealer>,
    /// Commands that the sealer does not have yet.
    pending: Vec<u8>,
    /// Bytes of the stream without its data.
    pub stream_bytes: u64,
    /// Bytes of the stream.
    pub raw_bytes: u64,
}

impl MadeUp {
    fn to(sealer: Option<ContentsSealer>) -> Self {
        Self {
            sealer,
            pending: Vec::new(),
            stream_bytes: 0,
            raw_bytes: 0,
        }
    }

    /// The header and the first command of a stream.
    pub fn begin(&mut self, head: &StreamBuilder) {
        let header = &head.bytes[..STREAM_HEADER];
        self.pending.extend_from_slice(header);
        self.raw_bytes += STREAM_HEADER as u64;
        self.stream_bytes += STREAM_HEADER as u64;
        self.add(head);
    }

    /// The commands after a header of version 1.
    pub fn add(&mut self, commands: &StreamBuilder) {
        let mut rest = &commands.bytes[STREAM_HEADER..];
        while let Some((length, _)) = rest.split_first_chunk() {
            let length = COMMAND_HEADER + usize::try_from(u32::from_le_bytes(*length)).unwrap();
            let (command, more) = rest.split_at(length);
            let kept = length - data_bytes(&command[COMMAND_HEADER..]);
            self.pending.extend_from_slice(&command[..6]);
            self.pending.extend_from_slice(&[0; 4]);
            self.pending
                .extend_from_slice(&command[COMMAND_HEADER..kept]);
            self.stream_bytes += kept as u64;
            self.raw_bytes += length as u64;
            rest = more;
        }
        if self.pending.len() > 1 << 20 {
            self.pass_on();
        }
    }

    /// The command that ends a stream, and what is to follow as the table of segments of a stream of so many bytes.
    fn end(mut self, table: &dyn Fn(u64) -> Vec<u8>) -> (u64, u64) {
        self.add(&StreamBuilder::header(1).end());
        let ended = (self.stream_bytes, self.raw_bytes);
        self.pending.extend(table(self.raw_bytes));
        self.pass_on();
        if let Some(sealer) = self.sealer {
            sealer.finish().unwrap();
        }
        ended
    }

    fn pass_on(&mut self) {
        if let Some(sealer) = &mut self.sealer {
            sealer.write(&self.pending).unwrap();
        }
        self.pending.clear();
    }
}

/// The bytes of the data of a command, which is its last attribute.
fn data_bytes(mut attributes: &[u8]) -> usize {
    while let [n0, n1, l0, l1, rest @ ..] = attributes {
        if u16::from_le_bytes([*n0, *n1]) == attr::DATA {
            return rest.len();
        }
        attributes = &rest[usize::from(u16::from_le_bytes([*l0, *l1]))..];
    }
    0
}

/// Seals contents of an archive, and puts their objects into a store. Returns the objects.
pub fn seal_contents(
    store: &Path,
    (id, key): (&ArchiveId, &ArchiveKey),
    write: impl FnOnce(ContentsSealer),
) -> Vec<SegmentRecord> {
    let objects = Arc::new(Mutex::new(Vec::new()));
    let records = Arc::clone(&objects);
    let (store, id) = (store.to_owned(), *id);
    let sealer = ContentsSealer::new(key, move |object| {
        let name = keys::contents("home", &id, object.index, &object.sha256);
        fs::write(store.join(name), &object.bytes).unwrap();
        records.lock().unwrap().push(SegmentRecord {
            raw_bytes: object.raw_bytes,
            sealed_bytes: object.bytes.len() as u64,
            sha256: object.sha256,
        });
        Ok(())
    });
    write(sealer.unwrap());
    std::mem::take(&mut objects.lock().unwrap())
}

/// Attaches contents to an archive, whatever they are.
pub fn attach_contents(
    machine: &Machine,
    archive: ArchiveId,
    recipients: Sha256,
    contents: ContentsRecord,
) {
    let attachment = Attachment {
        archive,
        what: Attachment::CONTENTS.to_owned(),
        recipients,
        sealed: String::new(),
        contents: Some(contents),
        replaces: None,
    };
    let objects = vec![attachment];
    Forger::of(machine).append(EntryKind::Attach(AttachEntry { objects }), |_| {});
}

/// The key of an archive of `home` in `$T/store`.
pub fn key_of(machine: &Machine, id: &ArchiveId) -> ArchiveKey {
    let kit = Identities::from_file(&machine.path("kit"), &|_| None).unwrap();
    let sealed = machine.path("store").join(keys::archive_key("home", id));
    ArchiveKey::unseal(&fs::read(sealed).unwrap(), &kit).unwrap()
}

/// How contents are made up. What it adds is the same each time.
pub struct Recipe<'a> {
    /// Adds the commands after the first and before the end.
    pub commands: &'a dyn Fn(&mut MadeUp),
    /// Returns what follows the end command of a stream of so many bytes.
    pub table: &'a dyn Fn(u64) -> Vec<u8>,
}

impl Recipe<'_> {
    /// Gives all of it to a sealer, if there is one. Returns the bytes of the stream without its data, and with them.
    fn follow(&self, head: &StreamBuilder, sealer: Option<ContentsSealer>) -> (u64, u64) {
        let mut contents = MadeUp::to(sealer);
        contents.begin(head);
        (self.commands)(&mut contents);
        contents.end(self.table)
    }
}

/// Archives a full without anything in it, says in its entry that it has a stream as long as that of made-up contents, and
/// attaches these.
pub fn archive_made_up(
    machine: &Machine,
    date: &str,
    head: &StreamBuilder,
    recipe: &Recipe<'_>,
    change: impl FnOnce(&mut serde_json::Value),
) -> ArchiveId {
    let forger = Forger::of(machine);
    let (stream_bytes, raw_bytes) = recipe.follow(head, None);
    let stream = head.clone().finish();
    let id = forger.archive_changed(date, ArchiveKind::Full, &stream, None, |body| {
        let archive = &mut body["archive"];
        archive["raw_bytes"] = raw_bytes.into();
        archive["segment_size"] = raw_bytes.into();
        archive["segments"][0]["raw"] = raw_bytes.into();
        change(archive);
    });
    let key = key_of(machine, &id);
    let objects = seal_contents(&machine.path("store"), (&id, &key), |sealer| {
        recipe.follow(head, Some(sealer));
    });
    let contents = ContentsRecord {
        stream_bytes,
        objects,
    };
    attach_contents(machine, id, forger.recipients(), contents);
    id
}
