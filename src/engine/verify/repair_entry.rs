//! Finds the bytes of a ledger entry that is damaged or missing: in the catalog, or else in another place.

use std::collections::BTreeMap;

use super::Verifying;
use super::repair_object::Why;
use crate::catalog::Catalog;
use crate::engine::context::open_source::OpenSource;
use crate::engine::ledger::object::{JudgedObject, fetch, judge};
use crate::engine::ledger::reader::trust_in;
use crate::error::{Error, in_words};
use crate::ledger::{EntryRefusal, LedgerError, Refused, Replay, decode_body, split};

/// Returns the bytes of an entry, and where they came from.
pub(super) fn sound_entry(
    verifying: &Verifying<'_>,
    (from, from_name): (&OpenSource<'_>, &str),
    seq: u64,
    catalog: &Catalog,
) -> Result<Result<(Vec<u8>, String), Why>, Error> {
    let entries = catalog.entries(&verifying.source.row.ledger)?;
    let committed = entries.into_iter().filter(|entry| entry.committed);
    let known: BTreeMap<u64, Vec<u8>> = committed.map(|it| (it.seq, it.object)).collect();
    // The check has just verified the catalog's copy, from the trusted root key on.
    if let Some(object) = known.get(&seq) {
        return Ok(Ok((object.clone(), "catalog".to_owned())));
    }
    let mut skipped: Vec<u64> = catalog
        .quarantined(&verifying.source.row.ledger)?
        .into_iter()
        .map(|(seq, _)| seq)
        .collect();
    for object in known.values() {
        let (body, _) = split(object).map_err(LedgerError::from)?;
        skipped.extend(decode_body(body).map_err(LedgerError::from)?.head.skips);
    }
    let filler = GapFiller {
        verifying,
        from,
        from_name,
        known: &known,
        skipped: &skipped,
    };
    Ok(filler
        .find(seq)
        .map(|object| (object, from_name.to_owned())))
}

/// Refuses damage that is none: bytes that a key of this ledger or of another one has signed. To replace them would be to
/// decide which of two histories counts.
pub(super) fn require_unsigned(
    verifying: &Verifying<'_>,
    seq: u64,
    bytes: &[u8],
    catalog: &Catalog,
) -> Result<Result<(), Why>, Error> {
    let source = verifying.source;
    // What is lost before it is no reason to take it for damaged.
    let mut replay = Replay::reading_past(trust_in(&source.row, verifying.root));
    let entries = catalog.entries(&source.row.ledger)?.into_iter();
    for entry in entries.filter(|entry| entry.committed && entry.seq < seq) {
        if let Err(why) = replay.absorb(entry.seq, &entry.object) {
            return Ok(Err(format!(
                "the catalog's copy of entry {} is not valid: {}",
                entry.seq,
                in_words(&why)
            )));
        }
    }
    Ok(match judge(source, &mut replay, seq, bytes.to_vec())? {
        JudgedObject::Refused(
            _,
            why @ (EntryRefusal::OtherLedger { .. } | EntryRefusal::OtherRoot { .. }),
        ) => Err(format!("it belongs to another ledger, so it stays: {}", in_words(&why))),
        JudgedObject::Refused(Refused::Suspect | Refused::Litter, _) => Ok(()),
        JudgedObject::Refused(Refused::Stop, why) => Err(format!(
            "what is there can't be judged, so it stays: {}",
            in_words(&why)
        )),
        JudgedObject::Entry { .. }
        | JudgedObject::Forked { .. }
        | JudgedObject::Refused(Refused::Fork, _) => Err(
            "a key of this ledger has signed what is there, so it is a fork and no damage, and it stays: find out who \
             wrote it before anything else is done"
                .to_owned(),
        ),
    })
}

/// The entries that the catalog has, with gaps that another place is to fill.
struct GapFiller<'a> {
    verifying: &'a Verifying<'a>,
    from: &'a OpenSource<'a>,
    from_name: &'a str,
    known: &'a BTreeMap<u64, Vec<u8>>,
    /// Numbers that are passed over.
    skipped: &'a [u64],
}

impl GapFiller<'_> {
    /// Returns the object of the other place that belongs under a number. It replays the ledger from its first entry on
    /// without any gap, so that a key of the ledger must have signed the object, it must name the hash of the entry
    /// before it, and the next entry must name its own.
    fn find(&self, seq: u64) -> Result<Vec<u8>, Why> {
        let name = self.from_name;
        let trust = trust_in(&self.verifying.source.row, self.verifying.root);
        let mut replay = Replay::new(trust);
        let mut found = None;
        let head = self.known.keys().next_back().copied().unwrap_or(0);
        for number in 1..=head.max(seq) {
            if let Some(object) = self.known.get(&number) {
                replay.absorb(number, object).map_err(|why| {
                    format!(
                        "entry {number} does not fit after what `{name}` has: {}",
                        in_words(&why)
                    )
                })?;
            } else if number != seq && self.skipped.contains(&number) {
                replay.quarantine(number);
            } else {
                let object = fetch(self.from, number).map_err(|error| {
                    if error.is_not_found() {
                        format!("`{name}` has no entry {number}, and the catalog has none")
                    } else {
                        format!(
                            "entry {number} can't be read from `{name}`: {}",
                            in_words(&error)
                        )
                    }
                })?;
                replay.absorb(number, &object).map_err(|why| {
                    format!(
                        "entry {number} in `{name}` is not sound either: {}",
                        in_words(&why)
                    )
                })?;
                if number == seq {
                    found = Some(object);
                }
            }
        }
        if seq > head {
            self.require_no_fork(&replay, seq + 1)?;
        }
        found.ok_or_else(|| format!("`{name}` has no entry {seq}"))
    }

    /// Refuses what the next object of the damaged ledger does not build on: then the two places have grown apart.
    fn require_no_fork(&self, replay: &Replay, next: u64) -> Result<(), Why> {
        let source = self.verifying.source;
        let judged =
            fetch(source, next).and_then(|it| judge(source, &mut replay.clone(), next, it));
        match judged {
            Ok(JudgedObject::Forked { .. }) => Err(format!(
                "entry {next} does not build on the one that `{}` has: the two places have grown apart",
                self.from_name
            )),
            // There is none, or what is there says nothing about this one.
            Ok(_) | Err(_) => Ok(()),
        }
    }
}
