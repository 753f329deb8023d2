//! Strays, looked for and removed: what lies among a source's archives and belongs to none.
//!
//! The objects are listed before the ledger is read. So what was listed and is not in the ledger
//! was not committed when it was listed, and every archive that the ledger knew by then must be in
//! the listing as a whole.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::{DateTime, TimeDelta, Utc};

use crate::catalog::{ArchiveRow, Catalog, EntryRow};
use crate::config::{Config, Source};
use crate::engine::clock::local_date;
use crate::engine::commit::Writer;
use crate::engine::head::{self, LedgerState};
use crate::engine::rehearsal::rehearsal;
use crate::engine::source::{OpenSource, know_source, retain_until};
use crate::engine::state::{Keys, StateDir};
use crate::engine::world::World;
use crate::error::Error;
use crate::ledger::{LedgerError, decode_body, split};
use crate::model::archive::ArchiveState;
use crate::model::entry::{ArchiveEntry, EntryKind, RetireEntry, Role};
use crate::model::{ArchiveId, LedgerId, keys};
use crate::plan::{
    Fate, Here, InLedger, ListedObject, MayRetire, StrayFacts, StrayObject, StrayPlan, lacking,
    plan_strays,
};
use crate::store::{Deleted, Listed, Store, Swept};

/// Why an attempt is retired, as it stands in the ledger.
const REASON: &str = "attempts that were never committed";

/// Says what would become of a source's strays. Nothing is written, neither in the store nor here.
pub fn find_strays(config: &Config, source: &Source, world: World<'_>) -> Result<StrayPlan, Error> {
    let state_dir = StateDir::new(&config.state_dir);
    let keys = state_dir.keys()?;
    let catalog = state_dir.catalog_to_read()?;
    let store = world.open(&config.stores[&source.store])?;
    let Some(row) = catalog.source(&source.name)? else {
        return plan_unknown(source, store.as_ref(), world);
    };
    let mut open = OpenSource {
        config: source,
        row,
        store: store.as_ref(),
    };
    let mut rehearsed = rehearsal(&open, &catalog)?;
    open.row = know_source(config, source, &mut rehearsed)?;
    let search = Search {
        config,
        source: &open,
        keys: &keys,
        world,
    };
    let (_, mut facts) = search.survey(&mut rehearsed)?;
    facts.here = here(&catalog, &open.row.ledger, &facts.ledger)?;
    search.plan(&facts)
}

/// Removes a source's strays, and retires the attempts that must be retired before they can go.
/// Returns what was done: of the objects to remove those that were there, and what was swept away of
/// writers that died.
pub fn remove_strays(
    config: &Config,
    source: &Source,
    world: World<'_>,
) -> Result<(StrayPlan, Swept), Error> {
    let state_dir = StateDir::new(&config.state_dir);
    let keys = state_dir.keys()?;
    let mut catalog = world.catalog(&state_dir)?;
    let _lock = state_dir.lock(&source.name, &world)?;
    let store = world.open(&config.stores[&source.store])?;
    if catalog.source(&source.name)?.is_none() {
        return Ok((
            plan_unknown(source, store.as_ref(), world)?,
            Swept::default(),
        ));
    }
    let open = OpenSource {
        config: source,
        row: know_source(config, source, &mut catalog)?,
        store: store.as_ref(),
    };
    let search = Search {
        config,
        source: &open,
        keys: &keys,
        world,
    };
    let (mut state, mut facts) = search.survey(&mut catalog)?;
    facts.here = here(&catalog, &open.row.ledger, &facts.ledger)?;
    let plan = search.plan(&facts)?;
    search.retire(&plan, &mut state, &mut catalog)?;
    let removed = search.remove(plan)?;
    let swept = store.sweep(&keys::source_prefix(&open.row.directory))?;
    Ok((removed, swept))
}

/// The plan of a source that this machine has never archived: it keeps everything, and says why.
fn plan_unknown(source: &Source, store: &dyn Store, world: World<'_>) -> Result<StrayPlan, Error> {
    let listing = Listing::take(source.directory.as_str(), store, world)?;
    let plan = plan_strays(&StrayFacts {
        listed: listing.archives,
        elsewhere: listing.elsewhere,
        ledger: BTreeMap::new(),
        here: BTreeMap::new(),
        newest_archive: None,
        store_now: listing.store_now,
        system_now: listing.system_now,
        delete_after: TimeDelta::zero(),
        may_retire: MayRetire::Yes,
    });
    Ok(plan.expect("no archive is known that could lack something"))
}

/// A search for strays of one source.
struct Search<'a> {
    config: &'a Config,
    source: &'a OpenSource<'a>,
    keys: &'a Keys,
    world: World<'a>,
}

impl Search<'_> {
    /// Lists, and then brings that catalog to the ledger's head. What is known here of attempts is
    /// left to the caller.
    fn survey(&self, catalog: &mut Catalog) -> Result<(LedgerState, StrayFacts), Error> {
        let source = self.source;
        let ledger = &source.row.ledger;
        let before: BTreeSet<ArchiveId> = catalog
            .archives(ledger)?
            .iter()
            .filter(|archive| archive.is_visible())
            .map(|archive| archive.id)
            .collect();
        let mut listing = Listing::take(&source.row.directory, source.store, self.world)?;
        let state = head::catch_up(source, catalog, &self.keys.root)?;
        state.warn(source.name(), self.world.observer);
        state.require_known(source)?;

        let said = what_the_ledger_says(source, &catalog.entries(ledger)?)?;
        let nothing = Vec::new();
        for (archive, known) in &said.archives {
            // It may have been stored and committed while the rest was listed.
            let listed = listing.archives.get(archive).unwrap_or(&nothing);
            if let InLedger::Visible(objects) = known
                && !before.contains(archive)
                && !lacking(objects, listed).is_empty()
            {
                let directory = &source.row.directory;
                let listed = source
                    .store
                    .list(&keys::archive_prefix(directory, archive))?;
                let (again, _) = Listing::group(directory, listed);
                listing.archives.extend(again);
            }
        }
        let facts = StrayFacts {
            listed: listing.archives,
            elsewhere: listing.elsewhere,
            ledger: said.archives,
            here: BTreeMap::new(),
            newest_archive: said.newest_archive,
            store_now: listing.store_now,
            system_now: listing.system_now,
            delete_after: TimeDelta::from_std(self.config.delete_after)
                .expect("the config takes no more than a century"),
            may_retire: if state.require_role(source, self.keys, Role::Pruner).is_ok() {
                MayRetire::Yes
            } else {
                MayRetire::No
            },
        };
        Ok((state, facts))
    }

    fn plan(&self, facts: &StrayFacts) -> Result<StrayPlan, Error> {
        plan_strays(facts).map_err(|short| Error::ListingShort {
            archive: short.archive,
            store: self.source.store.url(),
            objects: short.wrong.len(),
            first: short.wrong.into_iter().next().unwrap_or_default(),
        })
    }

    /// Retires what is removed by a later run, all of it in one entry.
    fn retire(
        &self,
        plan: &StrayPlan,
        state: &mut LedgerState,
        catalog: &mut Catalog,
    ) -> Result<(), Error> {
        // By id, as the plan's lines are.
        let archives: Vec<ArchiveId> = plan
            .with(Fate::Retire)
            .filter_map(|line| line.archive)
            .collect();
        if archives.is_empty() {
            return Ok(());
        }
        self.world.interrupt.check()?;
        let now = self.world.clock.now();
        let today = local_date(now, self.config.timezone);
        let writer = Writer {
            config: self.config,
            source: self.source,
            keys: self.keys,
            clock: self.world.clock,
            // As long as the archives whose entries it stands between.
            retain_until: retain_until(self.config, self.source.config, today, now),
        };
        let retire = RetireEntry {
            archives,
            reason: REASON.to_owned(),
        };
        writer.retire(&retire, state, catalog)
    }

    /// Deletes just what was listed, the archive's key of an attempt after all that it opens.
    fn remove(&self, mut plan: StrayPlan) -> Result<StrayPlan, Error> {
        let of = plan.with(Fate::Remove).map(|line| line.objects.len()).sum();
        let mut deleted = 0;
        let store = self.source.store;
        for line in &mut plan.lines {
            if line.fate != Fate::Remove {
                continue;
            }
            let mut there = Vec::new();
            for object in std::mem::take(&mut line.objects) {
                self.world.interrupt.check()?;
                let answer = store.delete(&store.locate(&object.key));
                match answer.map_err(|source| Error::StraysLeft {
                    source_name: self.source.name().clone(),
                    deleted,
                    of,
                    source: Box::new(source),
                })? {
                    Deleted::Removed => there.push(object),
                    // Somebody else was faster.
                    Deleted::Absent => {}
                }
                deleted += 1;
            }
            line.objects = there;
        }
        Ok(plan)
    }
}

/// What lies among a source's archives at a moment.
struct Listing {
    archives: BTreeMap<ArchiveId, Vec<ListedObject>>,
    elsewhere: Vec<StrayObject>,
    store_now: DateTime<Utc>,
    system_now: DateTime<Utc>,
}

impl Listing {
    /// Asks for the time first: nothing looks older than it was when it was listed.
    fn take(directory: &str, store: &dyn Store, world: World<'_>) -> Result<Self, Error> {
        let system_now = world.clock.now();
        let store_now = store.now()?;
        let listed = store.list(&keys::archives_prefix(directory))?;
        let (archives, elsewhere) = Self::group(directory, listed);
        Ok(Self {
            archives,
            elsewhere,
            store_now,
            system_now,
        })
    }

    /// By archive id; what lies below none stands apart.
    fn group(
        directory: &str,
        listed: Vec<Listed>,
    ) -> (BTreeMap<ArchiveId, Vec<ListedObject>>, Vec<StrayObject>) {
        let mut archives: BTreeMap<ArchiveId, Vec<ListedObject>> = BTreeMap::new();
        let mut elsewhere = Vec::new();
        for Listed { key, stat } in listed {
            match keys::archive_of(directory, &key) {
                Some((archive, name)) => {
                    let what = keys::archive_object(name);
                    archives.entry(archive).or_default().push(ListedObject {
                        key,
                        what,
                        bytes: stat.bytes,
                        stored: told(stat.modified),
                    });
                }
                None => elsewhere.push(StrayObject {
                    key,
                    bytes: stat.bytes,
                }),
            }
        }
        (archives, elsewhere)
    }
}

/// A time that the store really told: one that it did not tell is read as the beginning of time.
fn told(time: DateTime<Utc>) -> Option<DateTime<Utc>> {
    (time > DateTime::UNIX_EPOCH).then_some(time)
}

/// What the entries say of archive ids, and when the store took the newest archive's.
struct Said {
    archives: BTreeMap<ArchiveId, InLedger>,
    newest_archive: Option<DateTime<Utc>>,
}

/// Reads the entries themselves, which the ledger's head has just vouched for: a row that the catalog
/// lacks must not make a segment a stray.
fn what_the_ledger_says(source: &OpenSource<'_>, entries: &[EntryRow]) -> Result<Said, Error> {
    let directory = &source.row.directory;
    let listed = source.store.list(&keys::ledger_prefix(directory))?;
    let stored: BTreeMap<u64, DateTime<Utc>> = listed
        .iter()
        .filter_map(|listed| {
            Some((
                keys::ledger_seq(directory, &listed.key)?,
                listed.stat.modified,
            ))
        })
        .collect();
    let mut said = Said {
        archives: BTreeMap::new(),
        newest_archive: None,
    };
    let mut own = BTreeMap::new();
    for entry in entries {
        let at = *stored.get(&entry.seq).ok_or_else(|| Error::LedgerBehind {
            source_name: source.name().clone(),
            store: source.store.url(),
            missing: entry.seq,
            head: entries.last().map_or(0, |last| last.seq),
        })?;
        let (body, _) = split(&entry.object).map_err(LedgerError::from)?;
        match decode_body(body).map_err(LedgerError::from)?.kind {
            EntryKind::Archive(archive) => {
                let objects = own_objects(directory, &archive);
                own.insert(archive.id, objects.clone());
                said.archives.insert(archive.id, InLedger::Visible(objects));
                said.newest_archive = Some(at);
            }
            EntryKind::Retire(retire) => {
                for id in retire.archives {
                    let was = match said.archives.get(&id) {
                        Some(InLedger::Visible(_)) => InLedger::RetiredArchive,
                        _ => InLedger::RetiredAttempt { since: told(at) },
                    };
                    said.archives.insert(id, was);
                }
            }
            EntryKind::Revive(revive) => {
                for id in revive.archives {
                    if let Some(objects) = own.get(&id).cloned() {
                        said.archives.insert(id, InLedger::Visible(objects));
                    }
                }
            }
            EntryKind::Open(_)
            | EntryKind::Rotate(_)
            | EntryKind::Attach(_)
            | EntryKind::Unknown(_) => {}
        }
    }
    Ok(said)
}

/// The keys of an archive's objects, and how long each is.
fn own_objects(directory: &str, archive: &ArchiveEntry) -> BTreeMap<String, u64> {
    let segments = archive.segments.iter().zip(0..).map(|(segment, index)| {
        let key = keys::segment(directory, &archive.id, index, &segment.sha256);
        (key, segment.sealed_bytes)
    });
    let key = BASE64.decode(&archive.key).map(|sealed| {
        let key = keys::archive_key(directory, &archive.id);
        (key, sealed.len() as u64)
    });
    segments.chain(key.ok()).collect()
}

/// What this machine knows of attempts. What it takes for an archive, and the ledger does not, is in
/// doubt, and left alone like what is not over.
fn here(
    catalog: &Catalog,
    ledger: &LedgerId,
    said: &BTreeMap<ArchiveId, InLedger>,
) -> Result<BTreeMap<ArchiveId, Here>, Error> {
    let in_doubt = |row: &ArchiveRow| match row.state {
        ArchiveState::Unfinished | ArchiveState::Committing => true,
        ArchiveState::Committed | ArchiveState::Retired => !said.contains_key(&row.id),
    };
    let rows = catalog.archives(ledger)?;
    let open = rows
        .iter()
        .filter(|row| in_doubt(row))
        .map(|row| (row.id, Here::Open));
    let given_up = catalog.abandoned(ledger)?;
    let given_up = given_up.into_iter().map(|id| (id, Here::GivenUp));
    Ok(given_up.chain(open).collect())
}
