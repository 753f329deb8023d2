//! Restoring a chain to a date: fetch, check, open, guard, receive, one archive after the other.
//!
//! Nothing reaches `btrfs receive` that was not checked: a segment's bytes against the signed
//! ledger first, and every command of the stream by the guard.

pub(super) mod classes;
pub(super) mod cost;
pub(super) mod decode;
pub(super) mod fetch;
pub(super) mod freshness;
pub(super) mod guarded_stream;
pub(super) mod place;
pub(super) mod prefetch;
pub(super) mod progress_file;
pub(super) mod receiving;
pub(super) mod target;
pub(super) mod thaw;
pub(super) mod to_file;

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::btrfs::Tools;
use crate::catalog::{ArchiveRow, Catalog, Link};
use crate::config::Source;
use crate::engine::backup::facts::history;
use crate::engine::context::open_source::OpenSource;
use crate::engine::ledger::archive_keys::sealed_archives;
use crate::engine::restore::decode::{Opened, open_ahead};
use crate::engine::restore::fetch::{AtOnce, Wanted};
use crate::engine::restore::guarded_stream::Feeding;
use crate::engine::restore::target::{Afterwards, Target};
use crate::engine::restore::thaw::{WantedSegments, thaw, thaw_state};
use crate::error::{Error, PruneError, RequestError, RestoreError};
use crate::interrupt::Interrupt;
use crate::model::archive::ArchiveState;
use crate::model::entry::ArchiveEntry;
use crate::model::{ArchiveId, StorageClass};
use crate::plan::{Awaited, RestorePlan, plan_restore};
use crate::process::SleepInhibitor;
use crate::progress::{Event, Observer};
use crate::seal::{ArchiveKey, Identities};
use crate::store::ThawRequest;

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
    pub at_once: AtOnce,
    /// How to ask for what is cold; `None` to ask for nothing, and to begin only once all can be read.
    pub thaw: Option<ThawRequest>,
    /// What becomes of the subvolumes on the way to the date.
    pub intermediate: Afterwards,
    /// Under which name a writable snapshot of the date is made beside it.
    pub writable: Option<&'a str>,
    /// Is told what happens.
    pub observer: &'a dyn Observer,
    /// Says when to stop.
    pub interrupt: &'a Interrupt,
}

/// Which archives a restore may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Those that are visible.
    Visible,
    /// Those that were retired: their objects may be gone, or going.
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

/// All that was ever archived, but of the date that is wanted only the archive that was retired last; and
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

/// That there was an archive of a date, if that is why there is none.
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

/// What a restore has made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// The directory with a read-only subvolume a date.
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
    // Every key first: a wrong identity is found before anything is made.
    let (identities, identity) = (restoring.identities, restoring.identity_name);
    let keys = sealed
        .iter()
        .map(|archive| archive.unlock(&row.directory, identities, identity))
        .collect::<Result<Vec<_>, _>>()?;
    let entries: Vec<ArchiveEntry> = sealed.into_iter().map(|archive| archive.entry).collect();
    // Before anything is asked for or made: what an older `btrfs receive` can't take is found at once.
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
        // A run that died in between may have left this undone.
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

/// Thaws, fetches and receives what does not stand yet.
fn receive_rest(
    restoring: &Restoring<'_>,
    mut rest: &Keyed<'_>,
    target: &mut Target<'_>,
    catalog: &mut Catalog,
) -> Result<(), Error> {
    let name = restoring.source.name();
    let _awake = (!rest.is_empty()).then(|| SleepInhibitor::hold(&format!("restoring {name}")));
    while !rest.is_empty() {
        // Asked for again each time: more of it may have thawed meanwhile.
        let (readable, awaited) = thaw_rest(restoring, rest, catalog)?;
        if let (0, Some(awaited)) = (readable, awaited) {
            return Err(Error::Restore(RestoreError::Thawing(Box::new(awaited))));
        }
        let (now, later) = rest.split_at(readable);
        receive(restoring, now, later.is_empty(), target, catalog)?;
        rest = later;
    }
    Ok(())
}

/// Some archives in the order in which they are received, each with its key.
type Keyed<'a> = [(&'a ArchiveEntry, &'a ArchiveKey)];

/// Fetches and receives archives all of whose segments can be read.
fn receive(
    restoring: &Restoring<'_>,
    chain: &Keyed<'_>,
    ends: bool,
    target: &mut Target<'_>,
    catalog: &mut Catalog,
) -> Result<(), Error> {
    restoring.observer.event(Event::Chain {
        source: restoring.source.name().clone(),
        archives: chain.len(),
        raw_bytes: chain.iter().map(|(entry, _)| entry.raw_bytes).sum(),
    });
    let mut wanted = Vec::new();
    for (entry, key) in chain {
        let rows = catalog.segments(&entry.id)?;
        let its = Wanted::of(restoring.source, entry, &rows).into_iter();
        wanted.extend(its.map(|wanted| (wanted, *key)));
    }
    // The segments of later archives come while earlier ones are received.
    let store = restoring.source.store.as_ref();
    let at_once = restoring
        .at_once
        .of(wanted.iter().map(|(wanted, _)| wanted));
    open_ahead(store, &wanted, at_once, |opened| {
        receive_all(restoring, chain, ends, target, opened, catalog)
    })
}

/// Receives one archive after the other. `ends`: the last of them is the date that is wanted.
fn receive_all(
    restoring: &Restoring<'_>,
    chain: &Keyed<'_>,
    ends: bool,
    target: &mut Target<'_>,
    opened: &mut Opened<'_>,
    catalog: &mut Catalog,
) -> Result<(), Error> {
    let name = restoring.source.name();
    let feeding = Feeding {
        source: restoring.source,
        observer: restoring.observer,
        interrupt: restoring.interrupt,
    };
    for (at, (entry, _)) in chain.iter().enumerate() {
        let wanted = ends && at + 1 == chain.len();
        let afterwards = if wanted {
            Afterwards::Stays
        } else {
            restoring.intermediate
        };
        let mut receiving = target.begin(entry, afterwards)?;
        restoring.observer.event(Event::Begun {
            source: name.clone(),
            archive: entry.id,
            expected: Some(entry.raw_bytes),
        });
        let fed = feeding.feed(entry, opened, &mut receiving);
        target.land(receiving, entry, fed)?;
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
}

/// Asks for what is cold among the archives that do not stand yet, all of them at once: a thaw takes
/// the same time for one segment as for thousands. Returns how many of them, from the first on, can be
/// read as a whole, and what the others wait for.
fn thaw_rest(
    restoring: &Restoring<'_>,
    rest: &Keyed<'_>,
    catalog: &mut Catalog,
) -> Result<(usize, Option<Awaited>), Error> {
    let archives: Vec<ArchiveId> = rest.iter().map(|(entry, _)| entry.id).collect();
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
    let unreadable = archives
        .iter()
        .position(|archive| !status.is_readable(archive));
    let readable = match (unreadable, restoring.thaw) {
        (None, _) => archives.len(),
        (Some(readable), Some(_)) => readable,
        (Some(_), None) => 0,
    };
    Ok((readable, status.awaited(restoring.source.name())))
}
