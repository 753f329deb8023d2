//! Reviving: a chain that was retired is made visible again, while all its objects still exist.

use chrono::NaiveDate;

use crate::config::{Config, Source};
use crate::engine::clock::local_date;
use crate::engine::commit::Writer;
use crate::engine::facts::{history, schedule};
use crate::engine::listed::verify_listed;
use crate::engine::source::{OpenSource, know_source, retain_until};
use crate::engine::state::StateDir;
use crate::engine::survey::Survey;
use crate::engine::world::World;
use crate::error::Error;
use crate::model::ArchiveId;
use crate::model::entry::{RetireEntry, ReviveEntry};
use crate::plan::{MayRetire, PruneFacts, RetiredArchive, expiring, lacking};

/// A chain that is visible again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revived {
    /// Its archives, oldest first.
    pub archives: Vec<ArchiveId>,
    /// Why the next prune would retire it again, if it would.
    pub expires: Option<String>,
}

/// Makes the retired chain of that date visible again.
///
/// A listing must show each of its objects, before its entry is signed and after: a pruner elsewhere
/// may be at work on it. If the second one lacks something, the chain is retired again at once.
pub fn revive(
    config: &Config,
    source: &Source,
    chain: NaiveDate,
    world: World<'_>,
) -> Result<Revived, Error> {
    let state_dir = StateDir::new(&config.state_dir);
    let keys = state_dir.keys()?;
    let mut catalog = world.catalog(&state_dir)?;
    let _lock = state_dir.lock(&source.name, &world)?;
    let store = world.open(&config.stores[&source.store])?;
    if catalog.source(&source.name)?.is_none() {
        return Err(Error::NeverArchived(source.name.clone()));
    }
    let open = OpenSource {
        config: source,
        row: know_source(config, source, &mut catalog)?,
        store: store.as_ref(),
    };
    let now = world.clock.now();
    let today = local_date(now, config.timezone);
    let survey = Survey {
        config,
        source: &open,
        keys: &keys,
        world,
        date: today,
    };
    let (mut state, facts, _) = survey.take(&mut catalog)?;
    let archives = revivable(&open, &facts, chain)?;
    world.interrupt.check()?;
    let writer = Writer {
        config,
        source: &open,
        keys: &keys,
        clock: world.clock,
        retain_until: retain_until(config, source, today, now),
    };
    let revive = ReviveEntry {
        archives: archives.clone(),
        reason: "revived by hand".to_owned(),
    };
    writer.revive(&revive, &mut state, &mut catalog)?;
    for archive in &archives {
        let shown = verify_listed(&open, archive, &mut catalog, world.clock);
        if let Err(error @ Error::SegmentsMissing { .. }) = shown {
            let retire = RetireEntry {
                archives,
                reason: "its objects were being deleted when it was revived".to_owned(),
            };
            writer.retire(&retire, &mut state, &mut catalog)?;
            return Err(error);
        }
        shown?;
    }
    let visible = history(&catalog.archives(&open.row.ledger)?);
    let due = expiring(&visible, today, &schedule(source));
    let expires = due.into_iter().find(|expiry| archives.contains(&expiry.id));
    Ok(Revived {
        archives,
        expires: expires.map(|expiry| expiry.reason),
    })
}

/// The archives of the retired chain of that date, if all of them can be had back.
fn revivable(
    source: &OpenSource<'_>,
    facts: &PruneFacts,
    chain: NaiveDate,
) -> Result<Vec<ArchiveId>, Error> {
    // Of several that were archived for one date, each in its turn, the last.
    let of_date = facts
        .retired
        .iter()
        .filter(|archive| archive.chain.date == chain);
    let newest = of_date.max_by_key(|archive| archive.since);
    let Some(id) = newest.map(|archive| archive.chain) else {
        return Err(Error::NotRetired {
            source_name: source.name().clone(),
            chain,
        });
    };
    if facts.strays.may_retire == MayRetire::No {
        return Err(Error::NoPruner(source.name().clone()));
    }
    let mut archives: Vec<&RetiredArchive> = facts
        .retired
        .iter()
        .filter(|archive| archive.chain == id)
        .collect();
    archives.sort_by_key(|archive| archive.id);
    let nothing = Vec::new();
    for archive in &archives {
        let listed = facts.strays.listed.get(&archive.id).unwrap_or(&nothing);
        let wrong = lacking(&archive.objects, listed);
        if let Some(first) = wrong.first() {
            return Err(Error::NotRevivable {
                archive: archive.id,
                store: source.store.url(),
                objects: wrong.len(),
                first: first.clone(),
            });
        }
        if let Some(taken) = facts.history.on(archive.id.date) {
            return Err(Error::DateTaken {
                archive: archive.id,
                by: taken.id,
            });
        }
    }
    Ok(archives.iter().map(|archive| archive.id).collect())
}
