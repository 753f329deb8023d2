//! The commit: a signed entry, stored under the next number if that number is free.

use bytes::Bytes;
use chrono::{DateTime, Utc};

use crate::catalog::{Catalog, Effect, NewEntry};
use crate::engine::context::clock::local_date;
use crate::engine::context::open_source::retain_until;
use crate::engine::context::session::Session;
use crate::engine::ledger::listing::require_listed;
use crate::engine::ledger::object::MAX_ENTRY_BYTES;
use crate::engine::ledger::sync::LedgerState;
use crate::error::{Error, LedgerStateError};
use crate::ledger::{LedgerError, Replay, encode_body, root_grant, sign};
use crate::model::entry::{
    self, ArchiveEntry, DeleteEntry, Entry, EntryHead, EntryKind, FORMAT, OpenEntry, RetireEntry,
    ReviveEntry, RotateEntry, Timestamp,
};
use crate::model::{Blake3, Sha256, keys};
use crate::store::{NewObject, ObjectKind, Put};

/// The text for a person who finds only the store. It contains no secret, and coldchain never reads it.
pub(in crate::engine) const README_RESTORE: &str = include_str!("readme_restore.txt");

/// Writes entries to a source's ledger.
pub(in crate::engine) struct Writer<'a> {
    pub(in crate::engine) session: &'a Session<'a>,
    /// Until when what is written is locked, where the store is told to lock.
    pub(in crate::engine) retain_until: Option<DateTime<Utc>>,
}

/// Which entry committed an archive.
#[derive(Debug)]
pub(in crate::engine) enum Committed {
    /// The entry that this run signed.
    AsSigned,
    /// An entry that an earlier run signed. That run never received the answer to its PUT.
    Before(Box<ArchiveEntry>),
}

/// The result of the PUT of an entry.
enum PutEntry {
    /// The store has our entry.
    Ours,
    /// The store has another entry under this number.
    Taken(Vec<u8>),
}

impl<'a> Writer<'a> {
    /// A writer of entries that stand between those of archives: they are locked for as long.
    pub(in crate::engine) fn between(session: &'a Session<'a>) -> Self {
        let now = session.context.clock.now();
        let today = local_date(now, session.config.timezone);
        Self {
            session,
            retain_until: retain_until(session.config, session.source.config, today, now),
        }
    }
}

impl Writer<'_> {
    /// Writes the ledger's opening entry if the ledger is empty.
    pub(in crate::engine) fn open_ledger(
        &self,
        state: &mut LedgerState,
        catalog: &mut Catalog,
    ) -> Result<(), Error> {
        if state.replay.head().is_some() {
            return Ok(());
        }
        let directory = &self.session.source.row.directory;
        // A signpost only: one that is there already is left alone, whatever it says.
        let signpost = README_RESTORE.as_bytes();
        let key = keys::readme(directory);
        let hash = Sha256::of(signpost);
        self.session
            .source
            .store
            .put_if_absent(&self.object(&key, signpost, hash))?;
        let open = EntryKind::Open(OpenEntry {
            keys: vec![
                root_grant(&self.session.keys.root),
                self.session.keys.grant()?.clone(),
            ],
        });
        let (entry, object) = self.sign(open, state)?;
        let next = self.readable(&entry, &object, state)?;
        let new = NewEntry {
            seq: entry.head.seq,
            kind: entry.kind.name(),
            hash: Sha256::of(body_line(&object)),
            object: &object,
        };
        catalog.begin_entry(&self.session.source.row.ledger, &new)?;
        match self.put_entry(&entry, &object, next, state)? {
            PutEntry::Ours => {
                Ok(catalog.finish_commit(&self.session.source.row.ledger, entry.head.seq)?)
            }
            // An earlier run's, of the same keys: the ledger is open all the same.
            PutEntry::Taken(theirs) => {
                catalog.undo_commit(&self.session.source.row.ledger, entry.head.seq)?;
                state.absorb(&self.session.source, catalog, entry.head.seq, &theirs)?;
                Ok(())
            }
        }
    }

    /// Signs the archive's entry and commits it. The caller has just seen all segments in a listing.
    pub(in crate::engine) fn commit_archive(
        &self,
        archive: &ArchiveEntry,
        raw_blake3: &Blake3,
        state: &mut LedgerState,
        catalog: &mut Catalog,
    ) -> Result<Committed, Error> {
        let ledger = self.session.source.row.ledger;
        self.open_ledger(state, catalog)?;
        loop {
            let (entry, object) =
                self.sign(EntryKind::Archive(Box::new(archive.clone())), state)?;
            let seq = entry.head.seq;
            let new = NewEntry {
                seq,
                kind: entry.kind.name(),
                hash: Sha256::of(body_line(&object)),
                object: &object,
            };
            // An entry that a reader would refuse is written neither to the store nor to the catalog.
            let next = self.readable(&entry, &object, state)?;
            catalog.begin_commit(&ledger, &new, archive, raw_blake3)?;
            match self.put_entry(&entry, &object, next, state)? {
                PutEntry::Ours => {
                    catalog.finish_commit(&ledger, seq)?;
                    return Ok(Committed::AsSigned);
                }
                PutEntry::Taken(theirs) => {
                    catalog.undo_commit(&ledger, seq)?;
                    let taken = state.absorb(&self.session.source, catalog, seq, &theirs)?;
                    if let Some(earlier) = self.yield_to(archive, taken.kind, seq, state)? {
                        return Ok(Committed::Before(earlier));
                    }
                }
            }
            // Nothing is signed that a listing has not just shown.
            require_listed(
                &self.session.source,
                &archive.id,
                &catalog.segments(&archive.id)?,
                archive.contents.as_ref(),
            )?;
        }
    }

    /// Decides what to do after another entry took the archive's number. Returns `None` if the archive can be
    /// committed under the next number, or the earlier entry if that is this same archive. Fails if the
    /// archive can't follow the other entry.
    fn yield_to(
        &self,
        archive: &ArchiveEntry,
        taken: EntryKind,
        seq: u64,
        state: &LedgerState,
    ) -> Result<Option<Box<ArchiveEntry>>, Error> {
        match taken {
            EntryKind::Archive(earlier) if earlier.id == archive.id => Ok(Some(earlier)),
            EntryKind::Archive(_) | EntryKind::Open(_) => Err(LedgerStateError::Overtaken {
                source_name: self.session.source.name().clone(),
                seq,
            }
            .into()),
            EntryKind::Retire(retired) => {
                let needed = [Some(archive.id), Some(archive.chain), archive.send_parent];
                if retired
                    .archives
                    .iter()
                    .any(|id| needed.contains(&Some(*id)))
                {
                    return Err(LedgerStateError::AttemptRetired {
                        source_name: self.session.source.name().clone(),
                        seq,
                    }
                    .into());
                }
                Ok(None)
            }
            // Revived archives take their dates again: one may have the date of this archive.
            EntryKind::Revive(revived) => {
                let mut dates = revived.archives.iter().map(|id| id.date);
                if dates.any(|date| date == archive.date) {
                    return Err(LedgerStateError::Overtaken {
                        source_name: self.session.source.name().clone(),
                        seq,
                    }
                    .into());
                }
                Ok(None)
            }
            EntryKind::Rotate(_) => state
                .require_role(self.session, entry::Role::Writer)
                .map(|()| None),
            // A delete names archives that were retired before, and this archive does not build on them.
            EntryKind::Attach(_) | EntryKind::Delete(_) => Ok(None),
            EntryKind::Moved(_) => state.require_home(&self.session.source).map(|()| None),
            EntryKind::Unknown(_) => state.require_known(&self.session.source).map(|()| None),
        }
    }

    /// Retires archives, or attempts that were never committed.
    pub(in crate::engine) fn retire(
        &self,
        retire: &RetireEntry,
        state: &mut LedgerState,
        catalog: &mut Catalog,
    ) -> Result<(), Error> {
        let effect = Effect::Retire(&retire.archives);
        self.commit_change(EntryKind::Retire(retire.clone()), effect, state, catalog)
    }

    /// Makes retired archives visible again. The caller has just seen all their objects in a listing.
    pub(in crate::engine) fn revive(
        &self,
        revive: &ReviveEntry,
        state: &mut LedgerState,
        catalog: &mut Catalog,
    ) -> Result<(), Error> {
        let effect = Effect::Revive(&revive.archives);
        self.commit_change(EntryKind::Revive(revive.clone()), effect, state, catalog)
    }

    /// Writes that the objects of retired chains are being deleted. This comes before the first deletion.
    pub(in crate::engine) fn delete(
        &self,
        delete: &DeleteEntry,
        state: &mut LedgerState,
        catalog: &mut Catalog,
    ) -> Result<(), Error> {
        let effect = Effect::Delete(&delete.archives);
        self.commit_change(EntryKind::Delete(delete.clone()), effect, state, catalog)
    }

    /// Commits an entry without an archive, and applies its effect to the catalog.
    fn commit_change(
        &self,
        kind: EntryKind,
        effect: Effect<'_>,
        state: &mut LedgerState,
        catalog: &mut Catalog,
    ) -> Result<(), Error> {
        if state.replay.format_for(&kind) > FORMAT {
            // Versions of before know nothing of such an entry, and pass over it if only a pruner has signed it.
            state.require_role(self.session, entry::Role::Writer)?;
        }
        let seq = state.replay.next_seq();
        let committed = self.commit(FORMAT, kind, effect, state, catalog)?;
        // What has taken its number may change what is to be done: the next run decides anew.
        committed.map(drop).ok_or_else(|| {
            Error::LedgerState(LedgerStateError::Overtaken {
                source_name: self.session.source.name().clone(),
                seq,
            })
        })
    }

    /// Writes an entry that retires no archive and makes none visible. Returns `None` if another run took its number.
    /// That entry is then in `state` and the catalog, and may change what the caller has to write.
    pub(in crate::engine) fn append(
        &self,
        kind: EntryKind,
        state: &mut LedgerState,
        catalog: &mut Catalog,
    ) -> Result<Option<u64>, Error> {
        let attach = match &kind {
            EntryKind::Attach(attach) => Some(attach.clone()),
            _ => None,
        };
        let effect = attach
            .as_ref()
            .map_or(Effect::None, |attach| Effect::Attach(&attach.objects));
        self.commit(FORMAT, kind, effect, state, catalog)
    }

    /// Changes keys, and undoes entries of removed keys. Returns `None` as [`Self::append`] does.
    pub(in crate::engine) fn rotate(
        &self,
        format: u32,
        rotate: &RotateEntry,
        state: &mut LedgerState,
        catalog: &mut Catalog,
    ) -> Result<Option<u64>, Error> {
        let effect = Effect::Undo {
            retires: &rotate.retires,
            revives: &rotate.revives,
            voids: &rotate.voids,
        };
        let kind = EntryKind::Rotate(rotate.clone());
        self.commit(format, kind, effect, state, catalog)
    }

    fn commit(
        &self,
        least: u32,
        kind: EntryKind,
        effect: Effect<'_>,
        state: &mut LedgerState,
        catalog: &mut Catalog,
    ) -> Result<Option<u64>, Error> {
        let ledger = &self.session.source.row.ledger;
        let (entry, object) = self.sign_in(least, kind, state)?;
        let seq = entry.head.seq;
        let new = NewEntry {
            seq,
            kind: entry.kind.name(),
            hash: Sha256::of(body_line(&object)),
            object: &object,
        };
        // An entry that a reader would refuse is written neither to the store nor to the catalog.
        let next = self.readable(&entry, &object, state)?;
        catalog.begin_entry(ledger, &new)?;
        match self.put_entry(&entry, &object, next, state)? {
            PutEntry::Ours => {
                catalog.absorb(ledger, &new, entry.head.made_at, effect)?;
                Ok(Some(seq))
            }
            PutEntry::Taken(theirs) => {
                catalog.undo_commit(ledger, seq)?;
                state.absorb(&self.session.source, catalog, seq, &theirs)?;
                Ok(None)
            }
        }
    }

    fn object<'k>(&self, key: &'k str, bytes: &[u8], sha256: Sha256) -> NewObject<'k> {
        NewObject {
            retain_until: self.retain_until,
            ..NewObject::new(
                key,
                Bytes::copy_from_slice(bytes),
                sha256,
                ObjectKind::Ledger,
            )
        }
    }

    fn sign(&self, kind: EntryKind, state: &LedgerState) -> Result<(Entry, Vec<u8>), Error> {
        self.sign_in(FORMAT, kind, state)
    }

    /// Signs an entry in the lowest format that has what it says, and not below `least`.
    fn sign_in(
        &self,
        least: u32,
        kind: EntryKind,
        state: &LedgerState,
    ) -> Result<(Entry, Vec<u8>), Error> {
        let head = EntryHead {
            format: state.replay.format_for(&kind).max(least),
            ledger: self.session.source.row.ledger,
            source: self.session.source.row.directory.clone(),
            seq: state.replay.next_seq(),
            prev: state.replay.head().map(|head| head.hash),
            made_at: Timestamp(self.session.context.clock.now()),
            timezone: self.session.config.timezone.name().to_owned(),
            skips: state.replay.skips(),
        };
        let entry = Entry { head, kind };
        let body = encode_body(&entry).map_err(LedgerError::from)?;
        let object = sign(&body, &self.session.keys.signing)?;
        Ok((entry, object))
    }

    /// Returns the ledger with this entry appended, or an error if a reader would refuse it.
    fn readable(&self, entry: &Entry, object: &[u8], state: &LedgerState) -> Result<Replay, Error> {
        let seq = entry.head.seq;
        let mut next = state.replay.clone();
        next.absorb(seq, object).map_err(|refusal| {
            Error::LedgerState(LedgerStateError::EntryRefused {
                seq,
                source_name: self.session.source.name().clone(),
                store: self.session.source.store.url(),
                source: Box::new(refusal),
            })
        })?;
        Ok(next)
    }

    /// Stores the entry: this is the commit. After an error, the entry may still be stored. The next run
    /// finds out.
    fn put_entry(
        &self,
        entry: &Entry,
        object: &[u8],
        next: Replay,
        state: &mut LedgerState,
    ) -> Result<PutEntry, Error> {
        let key = keys::ledger_entry(&self.session.source.row.directory, entry.head.seq);
        let new = self.object(&key, object, Sha256::of(object));
        if let Put::Existed(locator) = self.session.source.store.put_if_absent(&new)? {
            let theirs = self.session.source.store.get(&locator, MAX_ENTRY_BYTES)?;
            if theirs != object {
                return Ok(PutEntry::Taken(theirs));
            }
        }
        state.replay = next;
        Ok(PutEntry::Ours)
    }
}

fn body_line(object: &[u8]) -> &[u8] {
    let end = object
        .iter()
        .position(|byte| *byte == b'\n')
        .map_or(object.len(), |at| at + 1);
    &object[..end]
}
