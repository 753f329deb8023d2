//! Restoring a chain to a date: fetch, check, open, guard, receive, one archive after the other.
//!
//! Nothing reaches `btrfs receive` that was not checked: a segment's bytes against the signed
//! ledger first, and every command of the stream by the guard.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::btrfs::{Expect, ExpectParent, Guard, Tools};
use crate::catalog::{ArchiveRow, Catalog};
use crate::config::Source;
use crate::engine::awake::Awake;
use crate::engine::facts::history;
use crate::engine::fetch::{Fetched, Wanted, fetch_ahead};
use crate::engine::receive::{Receiving, Target};
use crate::engine::source::OpenSource;
use crate::engine::thaw::{WantedSegments, thaw, thaw_state};
use crate::engine::unlock::sealed_archives;
use crate::error::Error;
use crate::interrupt::Interrupt;
use crate::model::archive::ArchiveState;
use crate::model::entry::ArchiveEntry;
use crate::model::{ArchiveId, SourceName, StorageClass, keys};
use crate::plan::{RestorePlan, plan_restore};
use crate::progress::{Event, Observer, PROGRESS_STEP};
use crate::seal::{ArchiveKey, Identities, open_segment};
use crate::store::ThawRequest;

/// Bytes handed on at a time between opening, guard and receive.
const STEP: usize = 1 << 20;

/// What a restore takes, beyond the archives' names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RestorePlanDetails {
    /// How many objects are fetched.
    pub segments: u64,
    /// Their bytes.
    pub sealed_bytes: u64,
    /// Bytes of send stream that they hold.
    pub raw_bytes: u64,
}

/// A restore to be carried out.
pub struct Restoring<'a> {
    /// The source.
    pub source: &'a OpenSource<'a>,
    /// The chain.
    pub plan: &'a RestorePlan,
    /// Where it goes: `DIR/<source>` is made in it.
    pub to: &'a Path,
    /// What opens the archive keys.
    pub identities: &'a Identities,
    /// What to call the identities in an error.
    pub identity_name: &'a str,
    /// The class that the store puts segments into now; `None` if it has no classes.
    pub class: Option<StorageClass>,
    /// Segments that are fetched at once.
    pub at_once: usize,
    /// How to ask for what is cold; `None` to ask for nothing.
    pub thaw: Option<ThawRequest>,
    /// Is told what happens.
    pub observer: &'a dyn Observer,
    /// Says when to stop.
    pub interrupt: &'a Interrupt,
}

/// Plans the restore of a source to a date from what the catalog knows.
pub fn plan_details(
    source: &Source,
    date: Option<chrono::NaiveDate>,
    catalog: &Catalog,
) -> Result<(RestorePlan, RestorePlanDetails), Error> {
    let row = catalog
        .source(&source.name)?
        .ok_or_else(|| Error::NeverArchived(source.name.clone()))?;
    let archives = catalog.archives(&row.ledger)?;
    let plan = match plan_restore(&source.name, &history(&archives), date) {
        Err(refusal) => return Err(retired(source, date, &archives).unwrap_or(refusal.into())),
        Ok(plan) => plan,
    };
    let mut details = RestorePlanDetails {
        segments: 0,
        sealed_bytes: 0,
        raw_bytes: 0,
    };
    for archive in archives
        .iter()
        .filter(|archive| plan.archives.contains(&archive.id))
    {
        details.segments += archive.segments;
        details.sealed_bytes += archive.sealed_bytes;
        details.raw_bytes += archive.raw_bytes;
    }
    Ok((plan, details))
}

/// That there was an archive of a date, if that is why there is none.
fn retired(
    source: &Source,
    date: Option<chrono::NaiveDate>,
    archives: &[ArchiveRow],
) -> Option<Error> {
    let mut of_date = archives.iter().filter(|row| Some(row.date) == date);
    let row = of_date.rfind(|row| row.state == ArchiveState::Retired)?;
    Some(Error::DateRetired {
        source_name: source.name.clone(),
        date: row.date,
        chain: row.chain.date,
        is_deleted: row.deletion.is_some(),
    })
}

/// Carries a restore out, and returns where its subvolumes stand. While something that it needs is
/// thawing it is [`Error::Thawing`], and nothing was received.
pub fn restore(restoring: &Restoring<'_>, catalog: &mut Catalog) -> Result<PathBuf, Error> {
    crate::btrfs::require_root()?;
    let tools = Tools::find()?;
    let row = &restoring.source.row;
    let sealed = sealed_archives(&row.ledger, &restoring.plan.archives, catalog)?;
    let name = restoring.source.name();
    // Every key first: a wrong identity is found before anything is made.
    let (identities, identity) = (restoring.identities, restoring.identity_name);
    let keys = sealed
        .iter()
        .map(|archive| archive.unlock(&row.directory, identities, identity))
        .collect::<Result<Vec<_>, _>>()?;
    let entries: Vec<ArchiveEntry> = sealed.into_iter().map(|archive| archive.entry).collect();
    let mut target = Target::prepare(
        &tools,
        restoring.to,
        name,
        &restoring.source.row.ledger,
        &entries,
    )?;
    thaw_all(restoring, &target, &entries, catalog)?;
    let mut wanted = Vec::new();
    for entry in &entries {
        if !target.stands(entry)? {
            let rows = catalog.segments(&entry.id)?;
            wanted.extend(Wanted::of(restoring.source, entry, &rows));
        }
    }
    let _awake = (!wanted.is_empty()).then(|| Awake::hold(&format!("restoring {name}")));
    let chain: Vec<_> = entries.iter().zip(&keys).collect();
    // The segments of later archives come while earlier ones are received.
    let (store, at_once) = (restoring.source.store, restoring.at_once);
    fetch_ahead(store, &wanted, at_once, |fetched| {
        receive_all(restoring, &chain, &mut target, fetched, catalog)
    })?;
    Ok(target.directory().to_owned())
}

/// Receives what does not stand yet, one archive after the other.
fn receive_all(
    restoring: &Restoring<'_>,
    chain: &[(&ArchiveEntry, &ArchiveKey)],
    target: &mut Target<'_>,
    fetched: &mut Fetched<'_>,
    catalog: &mut Catalog,
) -> Result<(), Error> {
    let name = restoring.source.name();
    for (entry, key) in chain {
        let Some(mut receiving) = target.begin(entry)? else {
            // A run that died in between may have left this undone.
            catalog.thaw_fetched(&entry.id)?;
            continue;
        };
        restoring.observer.event(Event::Begun {
            source: name.clone(),
            archive: entry.id,
            expected: Some(entry.raw_bytes),
        });
        let fed = feed(restoring, entry, key, fetched, &mut receiving);
        target.land(receiving, entry, fed)?;
        catalog.thaw_fetched(&entry.id)?;
        restoring.observer.event(Event::Restored {
            source: name.clone(),
            archive: entry.id,
        });
    }
    Ok(())
}

/// Asks for what is cold among the archives that do not stand yet, all of them at once: a thaw takes
/// the same time for one segment as for thousands.
fn thaw_all(
    restoring: &Restoring<'_>,
    target: &Target<'_>,
    entries: &[ArchiveEntry],
    catalog: &mut Catalog,
) -> Result<(), Error> {
    let mut archives = Vec::new();
    for entry in entries {
        if !target.stands(entry)? {
            archives.push(entry.id);
        }
    }
    let wanted = WantedSegments {
        source: restoring.source,
        class: restoring.class,
        archives: &archives,
        interrupt: restoring.interrupt,
    };
    let status = match restoring.thaw {
        Some(request) => thaw(&wanted, request, catalog)?,
        None => thaw_state(&wanted, catalog)?,
    };
    match status.awaited(restoring.source.name()) {
        Some(awaited) => Err(Error::Thawing(Box::new(awaited))),
        None => Ok(()),
    }
}

/// Feeds an archive's stream through the guard into `btrfs receive`.
fn feed(
    restoring: &Restoring<'_>,
    entry: &ArchiveEntry,
    key: &ArchiveKey,
    fetched: &mut Fetched<'_>,
    receiving: &mut Receiving,
) -> Result<(), Error> {
    let name: &SourceName = restoring.source.name();
    let mut gate = Gate::new(entry);
    let mut raw_bytes = 0;
    let mut told = 0;
    for (index, record) in (0..).zip(&entry.segments) {
        restoring.interrupt.check()?;
        let sealed = fetched.next()?;
        let unreadable = |source| Error::SegmentUnreadable {
            archive: entry.id,
            index,
            key: keys::segment(
                &restoring.source.row.directory,
                &entry.id,
                index,
                &record.sha256,
            ),
            source,
        };
        let mut opened = open_segment(&sealed, key, record.raw_bytes)
            .map_err(|error| unreadable(io::Error::other(error)))?;
        let mut buffer = vec![0; STEP];
        loop {
            let read = opened.read(&mut buffer).map_err(unreadable)?;
            if read == 0 {
                break;
            }
            gate.pass(&buffer[..read], receiving)?;
            raw_bytes += read as u64;
            if raw_bytes - told >= PROGRESS_STEP {
                told = raw_bytes;
                restoring.observer.event(Event::Progress {
                    source: name.clone(),
                    raw_bytes,
                });
            }
        }
        restoring.observer.event(Event::Segment {
            source: name.clone(),
            archive: entry.id,
            index,
            sealed_bytes: record.sealed_bytes,
        });
    }
    gate.end()
}

/// What the first command of an archive's stream must say.
pub(super) fn expected(entry: &ArchiveEntry) -> Expect {
    Expect {
        uuid: Some(entry.stream_uuid),
        ctransid: Some(entry.stream_ctransid),
        send_parent: entry
            .send_parent_uuid
            .map_or(ExpectParent::None, ExpectParent::Uuid),
    }
}

/// Lets whole, checked commands pass, and nothing else.
struct Gate {
    archive: ArchiveId,
    guard: Guard,
    waiting: Vec<u8>,
    passed: u64,
}

impl Gate {
    fn new(entry: &ArchiveEntry) -> Self {
        Self {
            archive: entry.id,
            guard: Guard::new(expected(entry)),
            waiting: Vec::new(),
            passed: 0,
        }
    }

    fn pass(&mut self, bytes: &[u8], receiving: &mut Receiving) -> Result<(), Error> {
        let refused = |archive, source| Error::StoredStream { archive, source };
        self.guard
            .push(bytes)
            .map_err(|source| refused(self.archive, source))?;
        self.waiting.extend_from_slice(bytes);
        let cleared =
            usize::try_from(self.guard.cleared() - self.passed).expect("less than was pushed");
        let head = self.guard.head();
        if cleared > 0
            && let Some(head) = head
        {
            receiving.write(&self.waiting[..cleared], &head.name)?;
            self.waiting.drain(..cleared);
            self.passed += cleared as u64;
        }
        Ok(())
    }

    fn end(self) -> Result<(), Error> {
        let archive = self.archive;
        self.guard
            .finish()
            .map_err(|source| Error::StoredStream { archive, source })?;
        Ok(())
    }
}
