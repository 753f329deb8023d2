//! Gathering what the planner needs to know.

use std::path::Path;

use chrono::NaiveDate;

use crate::btrfs;
use crate::catalog::{Catalog, Link};
use crate::config::{Config, Source};
use crate::engine::snapshot;
use crate::error::Error;
use crate::model::{LedgerId, Sha256};
use crate::plan::{
    ArchiveFacts, Condition, Facts, History, Request, Schedule, SendParentSnapshot, Verification,
    long_silence,
};
use crate::progress::{Event, Observer};
use crate::seal::Recipients;

/// The visible archives of a source, as the planner sees them.
pub fn history(visible: impl IntoIterator<Item = Link>) -> History {
    let archives = visible.into_iter().map(|link| ArchiveFacts {
        id: link.id,
        send_parent: link.send_parent,
        chain: link.chain,
        recipients: link.recipients,
        condition: if link.is_damaged {
            Condition::Damaged
        } else {
            Condition::Sound
        },
        verification: if link.is_verified {
            Verification::Verified
        } else {
            Verification::Unverified
        },
    });
    History {
        archives: archives.collect(),
    }
}

/// Whether the stream will come from a snapshot here or from somewhere else on stdin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    Snapshot,
    Stdin,
}

/// The facts of a source on a date, for a plan that changes nothing: a source that was never
/// archived needs no ledger for it.
pub fn plan_facts(
    config: &Config,
    source: &Source,
    date: NaiveDate,
    request: Request,
    catalog: &Catalog,
) -> Result<(Facts, Schedule), Error> {
    let origin = if source.live.is_some() {
        Origin::Snapshot
    } else {
        Origin::Stdin
    };
    let ledger = catalog.source(&source.name)?.map(|row| row.ledger);
    let recipients = Recipients::parse(config.recipients()?)?;
    // Without a ledger there are no archives whose recipients this could be compared with.
    let fingerprint = recipients.fingerprint(&ledger.unwrap_or(LedgerId([0; 16])));
    facts(source, date, request, origin, fingerprint, ledger, catalog)
}

/// The facts of a source on a date.
pub(super) fn facts(
    source: &Source,
    date: NaiveDate,
    request: Request,
    origin: Origin,
    recipients: Sha256,
    ledger: Option<LedgerId>,
    catalog: &Catalog,
) -> Result<(Facts, Schedule), Error> {
    let links = match ledger {
        Some(ledger) => catalog.lineage(&ledger)?,
        None => Vec::new(),
    };
    let history = history(links);
    let send_parent = match origin {
        Origin::Stdin => SendParentSnapshot::NotLocal,
        Origin::Snapshot => send_parent_snapshot(source, &history, catalog)?,
    };
    let facts = Facts {
        source: source.name.clone(),
        date,
        request,
        history,
        send_parent,
        recipients,
    };
    Ok((facts, schedule(source)))
}

/// Tells of an archive that is about to be made long after the one before it. A machine that was off
/// knows why; one whose clock has jumped ahead would date it falsely, and refuse every night until
/// that date has come.
pub(super) fn warn_of_silence(facts: &Facts, observer: &dyn Observer) {
    if let Some(days) = long_silence(&facts.history, facts.date) {
        observer.event(Event::Warning {
            source: facts.source.clone(),
            message: format!(
                "{} is {days} days after the newest archive: if that is news to you, check the clock",
                facts.date
            ),
        });
    }
}

/// Whether a snapshot is known to be on another filesystem than its source's subvolume.
fn is_elsewhere(source: &Source, snapshot: &Path) -> bool {
    let live = source.live.as_ref();
    let id = |path: &Path| btrfs::filesystem_id(path).ok();
    let ids = live.and_then(|live| Some((id(&live.subvolume)?, id(snapshot)?)));
    ids.is_some_and(|(source, snapshot)| source != snapshot)
}

/// The schedule that the config gives a source.
pub fn schedule(source: &Source) -> Schedule {
    Schedule {
        days: source.schedule.days.clone(),
        max_incrementals: source.schedule.max_incrementals,
        max_chain_days: source.schedule.max_chain_days,
        expire_after_days: source.schedule.expire_after_days,
        catch_up: source.schedule.catch_up,
    }
}

/// The state of the snapshot that an incremental would be sent against.
fn send_parent_snapshot(
    source: &Source,
    history: &History,
    catalog: &Catalog,
) -> Result<SendParentSnapshot, Error> {
    let Some(newest) = history.send_parent().map(|archive| archive.id) else {
        return Ok(SendParentSnapshot::Gone);
    };
    let row = catalog.archive(&newest)?.and_then(|row| row.snapshot);
    let living = catalog.snapshots(&source.name)?;
    let Some(row) = row.and_then(|id| living.into_iter().find(|living| living.id == id)) else {
        return Ok(SendParentSnapshot::Gone);
    };
    Ok(match snapshot::check(&row)? {
        // A source that has moved can't be sent against what stayed behind.
        Ok(_) if is_elsewhere(source, &row.path) => {
            let path = row.path.display();
            SendParentSnapshot::Changed(format!(
                "{path} is on another filesystem than the subvolume"
            ))
        }
        Ok(_) => SendParentSnapshot::Intact,
        Err(why) if why.ends_with("is gone") => SendParentSnapshot::Gone,
        Err(why) => SendParentSnapshot::Changed(why),
    })
}
