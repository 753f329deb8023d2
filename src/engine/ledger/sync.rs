//! Compares the ledger in the store with its copy in the catalog, before anything is written.
//!
//! If the ledger is ahead, its new entries are verified and absorbed. If it is behind, forked or damaged, the
//! run stops. An entry of this machine whose PUT was not answered is settled here: it is committed if the
//! store has it byte for byte, and taken back if its number is still free.

use crate::catalog::{Catalog, Effect, EntryRow, NewEntry};
use crate::engine::context::known_segments::know_segments;
use crate::engine::context::open_source::OpenSource;
use crate::engine::context::session::Session;
use crate::engine::ledger::locators::segment_locators;
use crate::engine::ledger::markers::PlaceMarkers;
use crate::engine::ledger::object::{JudgedObject, fetch, judge, require_no_entry, stored_numbers};
use crate::engine::ledger::reader::trust_in;
use crate::engine::ledger::reader_warnings::{remember_newer, require_all_effects, stands_as_of};
use crate::engine::ledger::unseen_contents::UnseenContents;
use crate::error::{Error, LedgerStateError};
use crate::ledger::{Absorbed, EntryRefusal, PublicKey, Refused, Replay};
use crate::model::entry::{Entry, EntryKind, Role};
use crate::model::{PlaceId, SourceName};
use crate::progress::{Event, Observer};

/// A ledger on which the store and the catalog agree.
#[derive(Debug)]
pub struct LedgerState {
    /// All entries, replayed. The next entry can be appended.
    pub replay: Replay,
    /// Warnings for the user.
    pub warnings: Vec<String>,
    /// The first entry that is signed but does not fit, the reason, and the key that signed it, if the root
    /// key has not voided it.
    fork: Option<(u64, EntryRefusal, PublicKey)>,
    /// The markers that stood beside the entries when they were listed.
    pub(in crate::engine) markers: PlaceMarkers,
}

/// Reads the entries in the store, checks them against the catalog, and absorbs the new ones. Fails if there
/// is a fork.
pub fn catch_up(
    source: &OpenSource<'_>,
    catalog: &mut Catalog,
    root: &PublicKey,
) -> Result<LedgerState, Error> {
    let mut state = catch_up_to_fork(source, catalog, root)?;
    state.require_no_fork(source)?;
    Ok(state)
}

/// Does the same for a caller that can end a fork.
pub(in crate::engine) fn catch_up_to_fork(
    source: &OpenSource<'_>,
    catalog: &mut Catalog,
    root: &PublicKey,
) -> Result<LedgerState, Error> {
    let mut state = LedgerState {
        replay: Replay::new(trust_in(&source.row, root)),
        warnings: Vec::new(),
        fork: None,
        markers: PlaceMarkers::default(),
    };
    if stands_as_of(source.name(), catalog)? {
        return Err(LedgerStateError::AsOf(source.name().clone()).into());
    }
    let known = catalog.entries(&source.row.ledger)?;
    let committed = known.iter().filter(|entry| entry.committed);
    let head = committed.map(|entry| entry.seq).max().unwrap_or(0);
    let (stored, markers) = stored_numbers(source, head)?;
    state.markers = markers;
    state.warnings.extend(stored.told());
    let stored = stored.near;
    let quarantined = catalog.quarantined(&source.row.ledger)?.into_iter();
    let quarantined: Vec<u64> = quarantined.map(|(seq, _)| seq).collect();

    let mut unseen = UnseenContents::beside(&source.row.ledger, catalog)?;
    for entry in known {
        let passing_over = || {
            let mut replay = state.replay.clone();
            pass_over(&mut replay, &quarantined, entry.seq);
            replay
        };
        let settled = settle(source, &entry, &stored, passing_over)?;
        if settled == Settled::NotStored {
            catalog.undo_commit(&source.row.ledger, entry.seq)?;
            break;
        }
        if settled == Settled::Before && !stored.contains(&entry.seq) {
            require_no_entry(source.store.as_ref(), &source.row.directory, entry.seq)?;
            return Err(LedgerStateError::LedgerBehind {
                source_name: source.name().clone(),
                store: source.store.url(),
                missing: entry.seq,
                head,
            }
            .into());
        }
        if entry.seq == head {
            let object = fetch(source, entry.seq)?;
            if object != entry.object {
                require_committed(source, &entry, passing_over(), object)?;
            }
        }
        pass_over(&mut state.replay, &quarantined, entry.seq);
        let absorbed = state
            .replay
            .absorb_trusted(entry.seq, &entry.object)
            .map_err(|refusal| refused(source, entry.seq, refusal))?;
        if settled == Settled::Before {
            unseen.note(entry.seq, &absorbed.entry.kind);
        }
        match (settled, &absorbed.entry.kind) {
            (Settled::Stored, EntryKind::Archive(_)) => {
                catalog.finish_commit(&source.row.ledger, entry.seq)?;
            }
            // The effect of such an entry on archives is written together with its row.
            (Settled::Stored, _) => {
                write_absorbed(source, catalog, entry.seq, &entry.object, &absorbed)?;
            }
            (Settled::Before | Settled::NotStored, _) => {}
        }
    }

    unseen.take_over(&state.replay, catalog)?;
    require_all_effects(&source.row, &state.replay, catalog)?;

    // Start at the replay's next number, not after an entry that was taken back: the numbers that it passed
    // over have to be passed over again. Quarantined numbers that no entry has passed over are judged again:
    // they may be repaired by now.
    let next = state.replay.next_seq();
    for seq in stored.into_iter().filter(|seq| *seq >= next) {
        let object = fetch(source, seq)?;
        match judge(source, &mut state.replay, seq, object)? {
            JudgedObject::Entry { object, absorbed } => {
                write_absorbed(source, catalog, seq, &object, &absorbed)?;
                // If there was a fork, this entry has ended it.
                state.fork = None;
            }
            JudgedObject::Forked { by, why } => {
                state.replay.fork(seq);
                state.fork.get_or_insert((seq, why, by));
            }
            // Foreign bytes under a number of this ledger stop nothing: the next entry says that it passes
            // over them. The first entry can't be passed over, nor can a fork, a gap, or a possibly damaged
            // entry.
            JudgedObject::Refused(Refused::Litter, why) if state.replay.head().is_some() => {
                state.replay.quarantine(seq);
                if !quarantined.contains(&seq) {
                    catalog.quarantine(&source.row.ledger, seq, &why.to_string())?;
                    state
                        .warnings
                        .push(format!("ledger entry {seq} is passed over: {why}"));
                }
            }
            JudgedObject::Refused(Refused::Suspect, why) if state.replay.head().is_some() => {
                return Err(damaged(source, seq, why));
            }
            JudgedObject::Refused(_, why) => return Err(refused(source, seq, why)),
        }
    }
    let unknown = state.replay.unknown().iter();
    let unknown: Vec<String> = unknown.map(ToString::to_string).collect();
    remember_newer(source.name(), &unknown, catalog)?;
    know_segments(source, catalog)?;
    Ok(state)
}

fn refused(source: &OpenSource<'_>, seq: u64, why: EntryRefusal) -> Error {
    Error::LedgerState(LedgerStateError::EntryRefused {
        seq,
        source_name: source.name().clone(),
        store: source.store.url(),
        source: Box::new(why),
    })
}

fn damaged(source: &OpenSource<'_>, seq: u64, why: EntryRefusal) -> Error {
    Error::LedgerState(LedgerStateError::EntryDamaged {
        seq,
        source_name: source.name().clone(),
        store: source.store.url(),
        source: Box::new(why),
    })
}

/// Notes the quarantined numbers that this entry has passed over.
fn pass_over(replay: &mut Replay, quarantined: &[u64], entry: u64) {
    let passed_over = replay.next_seq()..entry;
    for seq in quarantined.iter().filter(|seq| passed_over.contains(seq)) {
        replay.quarantine(*seq);
    }
}

/// Checks the object in the place of the newest committed entry. Fails if it is damaged, or if it is another
/// entry.
fn require_committed(
    source: &OpenSource<'_>,
    entry: &EntryRow,
    mut replay: Replay,
    object: Vec<u8>,
) -> Result<(), Error> {
    match judge(source, &mut replay, entry.seq, object)? {
        // It was damaged on the way. The second fetch was sound.
        JudgedObject::Entry { object, .. } if object == entry.object => Ok(()),
        JudgedObject::Refused(Refused::Suspect | Refused::Litter, why) => {
            Err(damaged(source, entry.seq, why))
        }
        JudgedObject::Entry { .. }
        | JudgedObject::Forked { .. }
        | JudgedObject::Refused(Refused::Stop | Refused::Fork, _) => {
            Err(LedgerStateError::LedgerForked {
                source_name: source.name().clone(),
                store: source.store.url(),
                seq: entry.seq,
            }
            .into())
        }
    }
}

impl LedgerState {
    /// Refuses a ledger that has forked.
    pub(in crate::engine) fn require_no_fork(
        &mut self,
        source: &OpenSource<'_>,
    ) -> Result<(), Error> {
        let Some((seq, why, by)) = self.fork.take() else {
            return Ok(());
        };
        Err(LedgerStateError::Forked {
            seq,
            source_name: source.name().clone(),
            store: source.store.url(),
            by: by.to_string().into(),
            numbers: in_ranges(self.replay.forked()).into(),
            source: Box::new(why),
        }
        .into())
    }

    /// Takes an entry that another run has stored into this state and the catalog.
    pub(in crate::engine) fn absorb(
        &mut self,
        source: &OpenSource<'_>,
        catalog: &mut Catalog,
        seq: u64,
        object: &[u8],
    ) -> Result<Entry, Error> {
        let absorbed = self
            .replay
            .absorb(seq, object)
            .map_err(|refusal| refused(source, seq, refusal))?;
        write_absorbed(source, catalog, seq, object, &absorbed)?;
        Ok(absorbed.entry)
    }

    /// Sends the warnings to the observer.
    pub(in crate::engine) fn warn(&self, source: &SourceName, observer: &dyn Observer) {
        for message in &self.warnings {
            observer.event(Event::Warning {
                source: source.clone(),
                message: message.clone(),
            });
        }
    }

    /// Refuses to write with a key that the ledger does not give that role any more. One that is not
    /// opened yet gives none.
    pub(in crate::engine) fn require_role(
        &self,
        session: &Session<'_>,
        role: Role,
    ) -> Result<(), Error> {
        let key = session.keys.signing.public();
        if self.replay.head().is_none() || self.replay.roles_of(&key).contains(&role) {
            return Ok(());
        }
        Err(LedgerStateError::NoRole {
            source_name: session.source.name().clone(),
            key: key.to_string(),
            role,
        }
        .into())
    }

    /// Refuses to write where the place is not home, or after entries that this version does not understand.
    pub(in crate::engine) fn require_writable(&self, source: &OpenSource<'_>) -> Result<(), Error> {
        self.require_home(source)?;
        self.require_known(source)
    }

    /// Refuses to write at a place that is a copy, or from which home was moved away.
    pub(in crate::engine) fn require_home(&self, source: &OpenSource<'_>) -> Result<(), Error> {
        self.require_home_at(self.replay.moved_to(), source)
    }

    /// The same for a change that voids moves: then the place `moved_to` is home.
    pub(in crate::engine) fn require_home_at(
        &self,
        moved_to: Option<PlaceId>,
        source: &OpenSource<'_>,
    ) -> Result<(), Error> {
        let store = || source.store.url();
        Ok(self.markers.require_home(moved_to, source.name(), store)?)
    }

    /// Refuses to write after entries that this version does not understand.
    pub fn require_known(&self, source: &OpenSource<'_>) -> Result<(), Error> {
        let unknown = self.replay.unknown();
        if unknown.is_empty() {
            return Ok(());
        }
        let what: Vec<String> = unknown.iter().map(ToString::to_string).collect();
        Err(LedgerStateError::NewerLedger {
            source_name: source.name().clone(),
            what: what.join(", "),
        }
        .into())
    }
}

/// Writes ascending numbers in the form for `key rotate --void`: `4-6,9`.
fn in_ranges(numbers: &[u64]) -> String {
    let ranges = numbers.chunk_by(|one, next| one + 1 == *next);
    let ranges = ranges.map(|range| match range {
        [only] => only.to_string(),
        range => format!("{}-{}", range[0], range[range.len() - 1]),
    });
    ranges.collect::<Vec<_>>().join(",")
}

/// Whether the store has an entry of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Settled {
    /// It is committed: the store's answer to its PUT arrived at that time.
    Before,
    /// No answer arrived, and the store has it byte for byte.
    Stored,
    /// No answer arrived, and the store does not have it.
    NotStored,
}

/// Finds out whether the store has an entry of this machine. Fails, so that the entry's bytes stay in the
/// catalog, if the store has what may be a damaged copy.
fn settle(
    source: &OpenSource<'_>,
    entry: &EntryRow,
    stored: &[u64],
    passing_over: impl Fn() -> Replay,
) -> Result<Settled, Error> {
    if entry.committed {
        return Ok(Settled::Before);
    }
    let object = match fetch(source, entry.seq) {
        // Ask the store for the object: a listing may lack it, and a PUT may arrive late.
        Err(error) if error.is_not_found() && !stored.contains(&entry.seq) => {
            return Ok(Settled::NotStored);
        }
        object => object?,
    };
    if object == entry.object {
        return Ok(Settled::Stored);
    }
    match judge(source, &mut passing_over(), entry.seq, object)? {
        JudgedObject::Entry { object, .. } if object == entry.object => Ok(Settled::Stored),
        JudgedObject::Refused(Refused::Suspect, why) => Err(damaged(source, entry.seq, why)),
        JudgedObject::Entry { .. } | JudgedObject::Forked { .. } | JudgedObject::Refused(..) => {
            Ok(Settled::NotStored)
        }
    }
}

fn row_of<'a>(seq: u64, object: &'a [u8], absorbed: &'a Absorbed) -> NewEntry<'a> {
    NewEntry {
        seq,
        kind: absorbed.entry.kind.name(),
        hash: absorbed.hash,
        object,
    }
}

/// Writes a verified entry to the catalog without its effect on archives.
pub(in crate::engine) fn write_without_effect(
    source: &OpenSource<'_>,
    catalog: &mut Catalog,
    seq: u64,
    object: &[u8],
    absorbed: &Absorbed,
) -> Result<(), Error> {
    let entry = row_of(seq, object, absorbed);
    let made_at = absorbed.entry.head.made_at;
    Ok(catalog.absorb(&source.row.ledger, &entry, made_at, Effect::None)?)
}

/// Writes a verified entry to the catalog with its effect on archives.
pub(in crate::engine) fn write_absorbed(
    source: &OpenSource<'_>,
    catalog: &mut Catalog,
    seq: u64,
    object: &[u8],
    absorbed: &Absorbed,
) -> Result<(), Error> {
    let entry = row_of(seq, object, absorbed);
    let locators: Vec<String>;
    let effect = match &absorbed.entry.kind {
        EntryKind::Archive(archive) => {
            locators = segment_locators(source, archive);
            Effect::Archive {
                entry: archive,
                locators: &locators,
            }
        }
        EntryKind::Retire(retire) => Effect::Retire(&retire.archives),
        EntryKind::Revive(revive) => Effect::Revive(&revive.archives),
        EntryKind::Delete(delete) => Effect::Delete(&delete.archives),
        EntryKind::Rotate(rotate) => Effect::Undo {
            retires: &rotate.retires,
            revives: &rotate.revives,
            voids: &rotate.voids,
        },
        EntryKind::Attach(attach) => Effect::Attach(&attach.objects),
        EntryKind::Open(_) | EntryKind::Moved(_) | EntryKind::Unknown(_) => Effect::None,
    };
    let made_at = absorbed.entry.head.made_at;
    Ok(catalog.absorb(&source.row.ledger, &entry, made_at, effect)?)
}
