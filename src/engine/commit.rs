//! The commit: a listing that shows every segment, then the signed entry, put if absent.

use std::collections::HashMap;

use bytes::Bytes;
use chrono::{DateTime, Utc};

use crate::catalog::{Catalog, NewEntry, SegmentRow};
use crate::config::Config;
use crate::engine::clock::Clock;
use crate::engine::head::{LedgerState, MAX_ENTRY_BYTES};
use crate::engine::source::OpenSource;
use crate::engine::state::Keys;
use crate::error::Error;
use crate::ledger::{LedgerError, encode_body, root_grant, sign};
use crate::model::entry::{
    ArchiveEntry, Entry, EntryHead, EntryKind, FORMAT, OpenEntry, Timestamp,
};
use crate::model::{ArchiveId, Blake3, Sha256, keys};
use crate::store::{NewObject, Put, Role};

/// A signpost for whoever finds the store and nothing else. It says nothing that is secret, and
/// nothing here reads it.
const README_RESTORE: &str = include_str!("readme_restore.txt");

/// Writes entries to a source's ledger.
pub(super) struct Writer<'a> {
    pub(super) config: &'a Config,
    pub(super) source: &'a OpenSource<'a>,
    pub(super) keys: &'a Keys,
    pub(super) clock: &'a dyn Clock,
    /// Until when what is written is locked, where the store is told to lock.
    pub(super) retain_until: Option<DateTime<Utc>>,
}

impl Writer<'_> {
    /// Opens the ledger if this is its first entry.
    pub(super) fn open_ledger(
        &self,
        state: &mut LedgerState,
        catalog: &mut Catalog,
    ) -> Result<(), Error> {
        if state.replay.head().is_some() {
            return Ok(());
        }
        let directory = &self.source.row.directory;
        // A signpost only: one that is there already is left alone, whatever it says.
        let signpost = README_RESTORE.as_bytes();
        let key = keys::readme(directory);
        let hash = Sha256::of(signpost);
        self.source
            .store
            .put_if_absent(&self.object(&key, signpost, hash))?;
        let open = EntryKind::Open(OpenEntry {
            keys: vec![root_grant(&self.keys.root), self.keys.grant.clone()],
        });
        let (entry, object) = self.sign(open, state)?;
        let body_hash = Sha256::of(body_line(&object));
        let new = NewEntry {
            seq: entry.head.seq,
            kind: "open",
            hash: body_hash,
            object: &object,
        };
        catalog.begin_entry(&self.source.row.ledger, &new)?;
        self.put_entry(&entry, &object, state, catalog)
    }

    /// Signs the archive's entry and commits it.
    pub(super) fn commit_archive(
        &self,
        archive: &ArchiveEntry,
        raw_blake3: &Blake3,
        state: &mut LedgerState,
        catalog: &mut Catalog,
    ) -> Result<(), Error> {
        self.open_ledger(state, catalog)?;
        let (entry, object) = self.sign(EntryKind::Archive(Box::new(archive.clone())), state)?;
        let hash = Sha256::of(body_line(&object));
        let new = NewEntry {
            seq: entry.head.seq,
            kind: "archive",
            hash,
            object: &object,
        };
        catalog.begin_commit(&self.source.row.ledger, &new, archive, raw_blake3)?;
        self.put_entry(&entry, &object, state, catalog)
    }

    fn object<'k>(&self, key: &'k str, bytes: &[u8], sha256: Sha256) -> NewObject<'k> {
        NewObject {
            retain_until: self.retain_until,
            ..NewObject::new(key, Bytes::copy_from_slice(bytes), sha256, Role::Ledger)
        }
    }

    fn sign(&self, kind: EntryKind, state: &LedgerState) -> Result<(Entry, Vec<u8>), Error> {
        let head = EntryHead {
            format: FORMAT,
            ledger: self.source.row.ledger,
            source: self.source.row.directory.clone(),
            seq: state.replay.next_seq(),
            prev: state.replay.head().map(|head| head.hash),
            made_at: Timestamp(self.clock.now()),
            timezone: self.config.timezone.name().to_owned(),
            skips: state.replay.skips(),
        };
        let entry = Entry { head, kind };
        let body = encode_body(&entry).map_err(LedgerError::from)?;
        let object = sign(&body, &self.keys.signing)?;
        Ok((entry, object))
    }

    /// The commit point.
    fn put_entry(
        &self,
        entry: &Entry,
        object: &[u8],
        state: &mut LedgerState,
        catalog: &mut Catalog,
    ) -> Result<(), Error> {
        let seq = entry.head.seq;
        let key = keys::ledger_entry(&self.source.row.directory, seq);
        let refused = |refusal| Error::EntryRefused {
            seq,
            source_name: self.source.name().clone(),
            store: self.source.store.url(),
            source: Box::new(refusal),
        };
        // What a reader would refuse is never written.
        let mut next = state.replay.clone();
        next.absorb(seq, object).map_err(refused)?;
        let new = self.object(&key, object, Sha256::of(object));
        if let Put::Existed(locator) = self.source.store.put_if_absent(&new)? {
            let theirs = self.source.store.get(&locator, MAX_ENTRY_BYTES)?;
            if theirs != object {
                catalog.undo_commit(&self.source.row.ledger, seq)?;
                // An entry of another run that got there first, or somebody else's bytes.
                state.replay.absorb(seq, &theirs).map_err(refused)?;
                return Err(Error::Overtaken {
                    source_name: self.source.name().clone(),
                    seq,
                });
            }
        }
        state.replay = next;
        Ok(catalog.finish_commit(&self.source.row.ledger, seq)?)
    }
}

fn body_line(object: &[u8]) -> &[u8] {
    let end = object
        .iter()
        .position(|byte| *byte == b'\n')
        .map_or(object.len(), |at| at + 1);
    &object[..end]
}

/// Lists the archive's objects, and refuses if a segment is missing or is not as it was stored.
pub(super) fn require_listed(
    source: &OpenSource<'_>,
    archive: &ArchiveId,
    segments: &[SegmentRow],
) -> Result<(), Error> {
    let wrong = unlisted(source, archive, segments)?;
    match wrong.first() {
        None => Ok(()),
        Some(first) => Err(Error::SegmentsMissing {
            archive: *archive,
            store: source.store.url(),
            objects: wrong.len(),
            first: first.clone(),
        }),
    }
}

/// What a listing lacks of an archive, or shows otherwise: one line an object.
pub(super) fn unlisted(
    source: &OpenSource<'_>,
    archive: &ArchiveId,
    segments: &[SegmentRow],
) -> Result<Vec<String>, Error> {
    let directory = &source.row.directory;
    let listed: HashMap<_, _> = source
        .store
        .list(&keys::archive_prefix(directory, archive))?
        .into_iter()
        .map(|listed| (listed.key, listed.stat))
        .collect();
    let mut wrong = Vec::new();
    for segment in segments {
        let key = keys::segment(directory, archive, segment.index, &segment.record.sha256);
        match listed.get(&key) {
            None => wrong.push(format!("{key} is missing")),
            Some(stat) if stat.bytes != segment.record.sealed_bytes => wrong.push(format!(
                "{key} has {} bytes, {} were stored",
                stat.bytes, segment.record.sealed_bytes
            )),
            Some(stat)
                if stat
                    .sha256
                    .is_some_and(|stored| stored != segment.record.sha256) =>
            {
                wrong.push(format!("{key} has another SHA-256"));
            }
            Some(_) => {}
        }
    }
    let key = keys::archive_key(directory, archive);
    if !listed.contains_key(&key) {
        wrong.push(format!("{key} is missing"));
    }
    Ok(wrong)
}
