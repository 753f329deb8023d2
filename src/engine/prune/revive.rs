//! Revive: makes a retired chain visible again while all its objects still exist.

use chrono::NaiveDate;

use crate::config::{Config, Source};
use crate::engine::backup::facts::history;
use crate::engine::context::RunContext;
use crate::engine::context::clock::local_date;
use crate::engine::context::open_source::OpenSource;
use crate::engine::context::schedule::schedule;
use crate::engine::context::session::LockedSource;
use crate::engine::ledger::append::Writer;
use crate::engine::prune::inventory::survey;
use crate::error::{Error, LedgerStateError, PruneError, RequestError};
use crate::model::ArchiveId;
use crate::model::entry::ReviveEntry;
use crate::plan::{Deletion, MayRetire, PruneFacts, RetiredArchive, expiring, lacking};

/// A chain that is visible again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revived {
    /// Its archives, oldest first.
    pub archives: Vec<ArchiveId>,
    /// Why the next prune would retire it again, if it would.
    pub expires: Option<String>,
}

/// Makes the retired chain of this date visible again.
///
/// A listing must show all its objects before the entry is signed. A pruner elsewhere that is about to delete
/// the chain needs the same ledger number for its own entry. Only one of the two gets it.
pub fn revive(
    config: &Config,
    source: &Source,
    chain: NaiveDate,
    context: RunContext<'_>,
) -> Result<Revived, Error> {
    let (locked, mut catalog) = LockedSource::ours(config, source, context)?;
    let Some(row) = locked.known_row(&mut catalog)? else {
        return Err(RequestError::NeverArchived(source.name.clone()).into());
    };
    let session = locked.open(row)?;
    let open = &session.source;
    let today = local_date(context.clock.now(), config.timezone);
    let (mut state, facts, _) = survey(&session, today, &mut catalog)?;
    let archives = revivable(open, &facts, chain)?;
    context.interrupt.check()?;
    let writer = Writer::between(&session);
    let revive = ReviveEntry {
        archives: archives.clone(),
        reason: "revived by hand".to_owned(),
    };
    let revived = writer.revive(&revive, &mut state, &mut catalog);
    // What has taken its number may be the pruner's word.
    if let Err(Error::LedgerState(LedgerStateError::Overtaken { .. })) = revived
        && archives.iter().any(|id| state.replay.is_deleted(id))
    {
        return Err(PruneError::DeletionBegun {
            source_name: source.name.clone(),
            chain,
        }
        .into());
    }
    revived?;
    let visible = history(catalog.lineage(&open.row.ledger)?);
    let due = expiring(&visible, today, &schedule(source));
    let expires = due.into_iter().find(|expiry| archives.contains(&expiry.id));
    Ok(Revived {
        archives,
        expires: expires.map(|expiry| expiry.reason),
    })
}

/// Returns the archives of the retired chain of this date, if all of them can be revived.
fn revivable(
    source: &OpenSource<'_>,
    facts: &PruneFacts,
    chain: NaiveDate,
) -> Result<Vec<ArchiveId>, Error> {
    // A date may have been archived several times, one after the other: take the last one.
    let of_date = facts
        .retired
        .iter()
        .filter(|archive| archive.chain.date == chain);
    let newest = of_date.max_by_key(|archive| archive.since);
    let Some(id) = newest.map(|archive| archive.chain) else {
        return Err(Error::Prune(PruneError::NotRetired {
            source_name: source.name().clone(),
            chain,
        }));
    };
    if facts.strays.may_retire == MayRetire::No {
        return Err(PruneError::NoPruner(source.name().clone()).into());
    }
    let mut archives: Vec<&RetiredArchive> = facts
        .retired
        .iter()
        .filter(|archive| archive.chain == id)
        .collect();
    archives.sort_by_key(|archive| archive.id);
    let begun = |archive: &&RetiredArchive| archive.deletion == Deletion::Begun;
    if archives.iter().any(begun) {
        return Err(PruneError::DeletionBegun {
            source_name: source.name().clone(),
            chain,
        }
        .into());
    }
    let nothing = Vec::new();
    for archive in &archives {
        let listed = facts.strays.listed.get(&archive.id).unwrap_or(&nothing);
        let wrong = lacking(&archive.objects, listed);
        if let Some(first) = wrong.first() {
            return Err(Error::Prune(PruneError::NotRevivable {
                archive: archive.id,
                store: source.store.url(),
                objects: wrong.len(),
                first: first.clone(),
            }));
        }
        if let Some(taken) = facts.history.on(archive.id.date) {
            return Err(Error::Prune(PruneError::DateTaken {
                archive: archive.id,
                by: taken.id,
            }));
        }
    }
    Ok(archives.iter().map(|archive| archive.id).collect())
}
