//! Restores a chain to a date: fetch, check, open, guard and receive, one archive after the other.
//!
//! Nothing reaches `btrfs receive` unchecked: first a segment's bytes are compared with the signed ledger,
//! then the guard checks every command of the stream.

pub(super) mod archive_stream;
pub(super) mod batch_thaw;
pub(super) mod classes;
pub(super) mod cost;
pub(super) mod decode;
pub(super) mod fetch;
pub(super) mod freshness;
pub(super) mod keep_readable;
pub(super) mod look_for_copies;
pub(super) mod nearest;
pub(super) mod other_places;
pub(super) mod prefetch;
pub(super) mod target;
pub(super) mod thaw;
pub(super) mod to_file;
pub(super) mod window;

use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

use serde::Serialize;

use crate::btrfs::{StreamSummary, Tools};
use crate::catalog::{ArchiveRow, Catalog, Link};
use crate::config::Source;
use crate::engine::backup::facts::history;
use crate::engine::context::clock::Clock;
use crate::engine::context::open_source::OpenSource;
use crate::engine::ledger::archive_keys::sealed_archives;
use crate::engine::receive::guarded_stream::GuardedStream;
use crate::engine::receive::receiving::Receiving;
use crate::engine::restore::archive_stream::{archive_blocks, expected};
use crate::engine::restore::decode::{Decoded, decode_ahead};
use crate::engine::restore::fetch::{AtOnce, WantedSegment};
use crate::engine::restore::keep_readable::ReadableKeeper;
use crate::engine::restore::other_places::OtherPlaces;
use crate::engine::restore::target::{Afterwards, Target};
use crate::engine::restore::thaw::{
    ThawStatus, WantedSegments, require_window, thaw_beside, thaw_state,
};
use crate::engine::restore::window::note_download;
use crate::error::{Error, PruneError, RequestError, RestoreError};
use crate::interrupt::Interrupt;
use crate::model::archive::ArchiveState;
use crate::model::entry::ArchiveEntry;
use crate::model::{ArchiveId, StorageClass};
use crate::plan::{RestorePlan, plan_restore};
use crate::process::SleepInhibitor;
use crate::progress::{Event, Observer};
use crate::seal::{ArchiveKey, Identities};
use crate::store::ThawRequest;

/// How much a restore has to fetch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RestorePlanDetails {
    /// The number of segments.
    pub segments: u64,
    /// Their sealed bytes.
    pub sealed_bytes: u64,
    /// Their raw bytes.
    pub raw_bytes: u64,
}

/// A restore, with all that it needs.
pub struct Restoring<'a> {
    /// The source.
    pub source: &'a OpenSource<'a>,
    /// The chain.
    pub plan: &'a RestorePlan,
    /// The target directory `DIR`. The restore makes `DIR/<source>`.
    pub to: &'a Path,
    /// The identities that open the archive keys.
    pub identities: &'a Identities,
    /// The name of the identities in an error.
    pub identity_name: &'a str,
    /// The class that the store puts segments into now; `None` if it has no classes.
    pub class: Option<StorageClass>,
    /// How many segments are fetched at once.
    pub at_once: AtOnce,
    /// How to thaw cold segments; `None` to request no thaw, and to begin only when all segments can be read.
    pub thaw: Option<ThawRequest>,
    /// What to do with the subvolumes of earlier dates.
    pub intermediate: Afterwards,
    /// The name of a writable snapshot of the date, which is made beside it.
    pub writable: Option<&'a str>,
    /// Receives the events.
    pub observer: &'a dyn Observer,
    /// Says when to stop.
    pub interrupt: &'a Interrupt,
    /// Tells when a thawed segment is about to go cold.
    pub clock: &'a dyn Clock,
    /// The other places of the source, for segments that are damaged or missing in this one.
    pub others: &'a OtherPlaces<'a>,
}

/// Which archives a restore may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Those that are visible.
    Visible,
    /// Those that were retired: their objects may be deleted, or be in deletion.
    Retired,
}

/// Plans the restore of a source to a date from what the catalog knows.
pub fn plan_details(
    source: &Source,
    date: Option<chrono::NaiveDate>,
    which: Which,
    catalog: &Catalog,
) -> Result<(RestorePlan, RestorePlanDetails), Error> {
    let row = catalog
        .source(&source.name)?
        .ok_or_else(|| RequestError::NeverArchived(source.name.clone()))?;
    let (visible, date) = match which {
        Which::Visible => (catalog.visible(&row.ledger)?, date),
        Which::Retired => {
            let all = catalog.archives(&row.ledger)?;
            let (with_retired, date) = with_retired(source, date, all)?;
            (with_retired, Some(date))
        }
    };
    let history = history(visible.iter().map(Link::from));
    let plan = match plan_restore(&source.name, &history, date) {
        Err(refusal) => {
            let all = catalog.archives(&row.ledger)?;
            return Err(retired(source, date, &all).unwrap_or(refusal.into()));
        }
        Ok(plan) => plan,
    };
    let mut details = RestorePlanDetails {
        segments: 0,
        sealed_bytes: 0,
        raw_bytes: 0,
    };
    for archive in visible
        .iter()
        .filter(|archive| plan.archives.contains(&archive.id))
    {
        details.segments += archive.segments;
        details.sealed_bytes += archive.sealed_bytes;
        details.raw_bytes += archive.raw_bytes;
    }
    Ok((plan, details))
}

/// Returns all committed and retired archives, but of the wanted date only the one that was retired last; and
/// that date.
fn with_retired(
    source: &Source,
    date: Option<chrono::NaiveDate>,
    mut archives: Vec<ArchiveRow>,
) -> Result<(Vec<ArchiveRow>, chrono::NaiveDate), Error> {
    archives.retain(|row| matches!(row.state, ArchiveState::Committed | ArchiveState::Retired));
    let retired = archives
        .iter()
        .filter(|row| row.state == ArchiveState::Retired)
        .filter(|row| date.is_none_or(|date| row.date == date))
        .max_by_key(|row| (row.date, row.seq))
        .map(|row| (row.id, row.date));
    let (wanted, date) = retired.ok_or_else(|| RestoreError::NoRetired {
        source_name: source.name.clone(),
        date,
    })?;
    archives.retain(|row| row.date != date || row.id == wanted);
    Ok((archives, date))
}

/// Returns the error that the archive of a date was retired, if that is why there is none.
fn retired(
    source: &Source,
    date: Option<chrono::NaiveDate>,
    archives: &[ArchiveRow],
) -> Option<Error> {
    let mut of_date = archives.iter().filter(|row| Some(row.date) == date);
    let row = of_date.rfind(|row| row.state == ArchiveState::Retired)?;
    Some(Error::Prune(PruneError::DateRetired {
        source_name: source.name.clone(),
        date: row.date,
        chain: row.chain.date,
        is_deleted: row.deletion.is_some(),
    }))
}

/// The result of a restore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// The directory with one read-only subvolume for each date.
    pub directory: PathBuf,
    /// The writable snapshot, if one was asked for.
    pub writable: Option<PathBuf>,
}

/// Carries a restore out. While something that it needs is thawing it is [`|error| Error::Restore(RestoreError::Thawing(error))`]: what could be
/// read by then stands, from the full on, and the next run goes on after it.
pub fn restore(restoring: &Restoring<'_>, catalog: &mut Catalog) -> Result<Restored, Error> {
    crate::btrfs::require_root()?;
    let tools = Tools::find()?;
    let row = &restoring.source.row;
    let sealed = sealed_archives(&row.ledger, &restoring.plan.archives, catalog)?;
    let name = restoring.source.name();
    // Open all keys first: a wrong identity is found before anything is made.
    let (identities, identity) = (restoring.identities, restoring.identity_name);
    let keys = sealed
        .iter()
        .map(|archive| archive.unlock(&row.directory, identities, identity))
        .collect::<Result<Vec<_>, _>>()?;
    let entries: Vec<ArchiveEntry> = sealed.into_iter().map(|archive| archive.entry).collect();
    // Check this before anything is requested or made: an older `btrfs receive` can't take every stream.
    for entry in &entries {
        tools.require_for(entry.form())?;
    }
    let mut target = Target::prepare(
        &tools,
        restoring.to,
        name,
        &restoring.source.row.ledger,
        &entries,
        restoring.writable,
    )?;
    for message in std::mem::take(&mut target.warnings) {
        restoring.observer.event(Event::Warning {
            source: name.clone(),
            message,
        });
    }
    let standing = target.standing(&entries)?;
    for entry in &entries[..standing] {
        // A run that died after a receive may not have done this.
        catalog.thaw_fetched(&entry.id)?;
    }
    let chain: Vec<_> = entries.iter().zip(&keys).collect();
    let received = receive_rest(restoring, &chain[standing..], &mut target, catalog);
    target.clear_away();
    received?;
    if let (Afterwards::Goes, Some(newest)) = (restoring.intermediate, entries.last()) {
        target.delete_passed(newest)?;
    }
    let writable = match (restoring.writable, entries.last()) {
        (Some(name), Some(wanted)) => Some(target.make_writable(name, wanted)?),
        _ => None,
    };
    target.stands_there()?;
    Ok(Restored {
        directory: target.directory().to_owned(),
        writable,
    })
}

/// Thaws, fetches and receives the archives that are not restored yet.
fn receive_rest(
    restoring: &Restoring<'_>,
    mut rest: &Keyed<'_>,
    target: &mut Target<'_>,
    catalog: &mut Catalog,
) -> Result<(), Error> {
    let name = restoring.source.name();
    let _awake = (!rest.is_empty()).then(|| SleepInhibitor::hold(&format!("restoring {name}")));
    while !rest.is_empty() {
        // Ask again each time: more segments may have thawed meanwhile.
        let archives: Vec<ArchiveId> = rest.iter().map(|(entry, _)| entry.id).collect();
        let wanted = WantedSegments {
            source: restoring.source,
            class: restoring.class,
            archives: &archives,
            only: None,
            interrupt: restoring.interrupt,
        };
        let (readable, status) = thaw_rest(restoring, &wanted, catalog)?;
        if let (0, Some(awaited)) = (readable, status.awaited(name)) {
            return Err(Error::Restore(RestoreError::Thawing(Box::new(awaited))));
        }
        let mut keeper = restoring.thaw.and_then(|request| {
            let (clock, observer) = (restoring.clock, restoring.observer);
            ReadableKeeper::new(wanted, request, status, clock, observer)
        });
        let (now, later) = rest.split_at(readable);
        let ends = later.is_empty();
        receive(restoring, (now, ends), &mut keeper, target, catalog)?;
        rest = later;
    }
    Ok(())
}

/// Some archives in the order in which they are received, each with its key.
type Keyed<'a> = [(&'a ArchiveEntry, &'a ArchiveKey)];

/// Fetches and receives archives all of whose segments can be read. `ends`: the last of them is the date
/// that is wanted.
fn receive(
    restoring: &Restoring<'_>,
    (chain, ends): (&Keyed<'_>, bool),
    keeper: &mut Option<ReadableKeeper<'_>>,
    target: &mut Target<'_>,
    catalog: &mut Catalog,
) -> Result<(), Error> {
    let name = restoring.source.name();
    restoring.observer.event(Event::Chain {
        source: name.clone(),
        archives: chain.len(),
        raw_bytes: chain.iter().map(|(entry, _)| entry.raw_bytes).sum(),
    });
    let mut wanted = Vec::new();
    for (entry, key) in chain {
        let rows = catalog.segments(&entry.id)?;
        let its = WantedSegment::of(restoring.source, entry, &rows).into_iter();
        wanted.extend(its.map(|wanted| (wanted, *key)));
    }
    thread::scope(|scope| {
        // One for all archives: segments of later ones are fetched while earlier ones are received.
        let store = restoring.source.store.as_ref();
        let mut decoded = decode_ahead(scope, (store, restoring.others), wanted, restoring.at_once);
        for (at, (entry, _)) in chain.iter().enumerate() {
            let is_wanted = ends && at + 1 == chain.len();
            let afterwards = if is_wanted {
                Afterwards::Stays
            } else {
                restoring.intermediate
            };
            let mut receiving = target.begin(entry, afterwards)?;
            let begun = Instant::now();
            restoring.observer.event(Event::Begun {
                source: name.clone(),
                archive: entry.id,
                expected: Some(entry.raw_bytes),
            });
            let fed = feed(restoring, entry, &mut decoded, &mut receiving, |index| {
                let keeper = keeper.as_mut();
                keeper.map_or(Ok(()), |keeper| keeper.reached((entry.id, index), catalog))
            });
            target.land(receiving, entry, fed)?;
            note_download(
                restoring.source,
                entry.sealed_bytes,
                begun.elapsed(),
                catalog,
            )?;
            if restoring.intermediate == Afterwards::Goes {
                target.delete_passed(entry)?;
            }
            catalog.thaw_fetched(&entry.id)?;
            restoring.observer.event(Event::Restored {
                source: name.clone(),
                archive: entry.id,
            });
        }
        Ok(())
    })
}

/// Hands an archive's stream, whose segments come next, to what receives it.
fn feed(
    restoring: &Restoring<'_>,
    entry: &ArchiveEntry,
    decoded: &mut Decoded<'_>,
    receiving: &mut Receiving,
    reached: impl FnMut(u32) -> Result<(), Error>,
) -> Result<StreamSummary, Error> {
    let blocks = archive_blocks(
        restoring.source.name(),
        entry,
        decoded,
        restoring.observer,
        restoring.interrupt,
        reached,
    );
    let (fifos, limit) = (receiving.fifos()?, receiving.attribute_limit()?);
    let mut stream =
        GuardedStream::new(entry.id.into(), expected(entry), blocks, fifos, Some(limit))?;
    while let Some(commands) = stream.next()? {
        receiving.take(commands)?;
    }
    stream.finish()
}

/// Requests the thaw of all cold segments at once: a thaw takes the same time for one segment as for
/// thousands. Returns how many of the archives, from the first on, can be read completely, and the state of
/// all segments.
fn thaw_rest(
    restoring: &Restoring<'_>,
    wanted: &WantedSegments<'_>,
    catalog: &mut Catalog,
) -> Result<(usize, ThawStatus), Error> {
    if restoring.thaw.is_some() {
        require_window(wanted, catalog)?;
    }
    let status = match restoring.thaw {
        Some(request) => thaw_beside(wanted, request, restoring.others, catalog)?,
        None => thaw_state(wanted, catalog)?,
    };
    let archives = wanted.archives;
    let unreadable = archives
        .iter()
        .position(|archive| !status.is_readable(archive));
    let readable = match (unreadable, restoring.thaw) {
        (None, _) => archives.len(),
        (Some(readable), Some(_)) => readable,
        (Some(_), None) => 0,
    };
    Ok((readable, status))
}
