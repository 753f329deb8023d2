//! Compares the objects in the store of a source with its ledger.
//!
//! The objects are listed before the ledger is read. So an object that was listed and is not in the ledger
//! was not committed at the time of the listing. And every archive that the ledger had before must be
//! complete in the listing.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use crate::catalog::{Catalog, EntryRow, Link};
use crate::config::Source;
use crate::engine::backup::facts::history;
use crate::engine::context::RunContext;
use crate::engine::context::known_segments::know_segments;
use crate::engine::context::open_source::OpenSource;
use crate::engine::context::schedule::schedule;
use crate::engine::context::session::Session;
use crate::engine::ledger::listing::are_confirmed;
use crate::engine::ledger::markers::PlaceMarkers;
use crate::engine::ledger::object::require_no_entry;
use crate::engine::ledger::sync::{self, LedgerState};
use crate::engine::prune::said::{Said, stored_at, told};
use crate::error::{Error, LedgerStateError, PruneError};
use crate::model::entry::Role;
use crate::model::keys::ArchivePart;
use crate::model::{ArchiveId, LedgerId, VaultLocator, keys};
use crate::plan::{
    ArchiveFacts, Here, History, InLedger, ListedAsOf, ListedObject, MayRetire, PruneFacts,
    StrayFacts, Verification, lacking,
};
use crate::store::{Listed, Store};

/// Lists, and then brings that catalog to the ledger's head. What is known of this machine's own
/// attempts is left to the caller.
///
/// Also the archives that were committed before the listing: if a plan comes of these facts, it
/// has shown them whole, unless something of them is known to be damaged.
pub(in crate::engine) fn survey(
    session: &Session<'_>,
    date: NaiveDate,
    catalog: &mut Catalog,
) -> Result<(LedgerState, PruneFacts, BTreeSet<ArchiveId>), Error> {
    let source = &session.source;
    let ledger = &source.row.ledger;
    let before: BTreeSet<ArchiveId> = catalog
        .archives(ledger)?
        .iter()
        .filter(|archive| archive.is_visible())
        .map(|archive| archive.id)
        .collect();
    let mut seen = BTreeSet::new();
    know_segments(source, catalog)?;
    let mut listing = ListedArchives::take(
        &source.row.directory,
        source.store.as_ref(),
        session.context,
    )?;
    let state = sync::catch_up(source, catalog, &session.keys.root)?;
    state.warn(source.name(), session.context.observer);
    state.require_writable(source)?;

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
            let (again, _) = ListedArchives::group(directory, listed);
            listing.archives.extend(again);
        }
    }
    let rows = catalog.archives(ledger)?;
    let damaged = rows
        .iter()
        .filter(|row| row.is_visible() && row.damaged_at.is_some());
    let strays = StrayFacts {
        listed: listing.archives,
        elsewhere: listing.elsewhere,
        ledger: said.archives,
        unread: said.unread,
        damaged: damaged.map(|row| row.id).collect(),
        here: BTreeMap::new(),
        newest_archive: said.newest_archive,
        store_now: listing.store_now,
        system_now: listing.system_now,
        delete_after: TimeDelta::from_std(session.config.delete_after)
            .expect("the config takes no more than a century"),
        may_retire: if state.require_role(session, Role::Pruner).is_ok() {
            MayRetire::Yes
        } else {
            MayRetire::No
        },
    };
    let visible = rows.iter().filter(|row| row.is_visible());
    let mut history = history(visible.map(Link::from));
    if source.config.protocol.is_inexact() {
        history.accept_inexact();
    }
    agree(source, &history, &strays)?;
    for archive in &mut history.archives {
        if before.contains(&archive.id) && is_shown(source, archive, &strays.ledger)? {
            seen.insert(archive.id);
            archive.verification = Verification::Verified;
        }
    }
    let facts = PruneFacts {
        history,
        strays,
        retired: said.retired.into_values().collect(),
        date,
        schedule: schedule(source.config),
        listed_as_of: if source.store.needs_index() {
            ListedAsOf::Inventory(None)
        } else {
            ListedAsOf::Now
        },
    };
    Ok((state, facts, seen))
}

/// Returns whether this listing, or one before it, has verified an archive that it lists.
fn is_shown(
    source: &OpenSource<'_>,
    archive: &ArchiveFacts,
    ledger: &BTreeMap<ArchiveId, InLedger>,
) -> Result<bool, Error> {
    if archive.verification == Verification::Verified {
        return Ok(true);
    }
    let Some(InLedger::Visible(objects)) = ledger.get(&archive.id) else {
        return Ok(false);
    };
    let directory = &source.row.directory;
    let segments = objects.keys().map(String::as_str).filter(|key| {
        let part = keys::archive_of(directory, key).and_then(|(_, name)| keys::archive_part(name));
        matches!(part, Some(ArchivePart::Segment(_)))
    });
    are_confirmed(source.store.as_ref(), segments)
}

/// The facts of a source that this machine has never archived: nothing is known of what is there.
pub(in crate::engine) fn facts_of_unknown(
    source: &Source,
    store: &dyn Store,
    date: NaiveDate,
    context: RunContext<'_>,
) -> Result<PruneFacts, Error> {
    let directory = source.directory.as_str();
    let listed = store.list(&keys::ledger_prefix(directory))?;
    let mut markers = PlaceMarkers::default();
    for listed in &listed {
        markers.note(directory, &listed.key);
    }
    markers.require_home(None, &source.name, || store.url())?;
    if !listed.is_empty() {
        // Nothing of it is known here, so nothing of it would ever be pruned, and nobody told.
        return Err(LedgerStateError::LedgerUnread {
            source_name: source.name.clone(),
            store: store.url(),
        }
        .into());
    }
    require_no_entry(store, directory, 1)?;
    let listing = ListedArchives::take(directory, store, context)?;
    let strays = StrayFacts {
        listed: listing.archives,
        elsewhere: listing.elsewhere,
        ledger: BTreeMap::new(),
        unread: None,
        damaged: BTreeSet::new(),
        here: BTreeMap::new(),
        newest_archive: None,
        store_now: listing.store_now,
        system_now: listing.system_now,
        delete_after: TimeDelta::zero(),
        may_retire: MayRetire::Yes,
    };
    Ok(PruneFacts {
        strays,
        history: History::default(),
        retired: Vec::new(),
        date,
        schedule: schedule(source),
        listed_as_of: ListedAsOf::Now,
    })
}

/// Checks that the catalog and the ledger agree on which archives are visible.
fn agree(source: &OpenSource<'_>, history: &History, strays: &StrayFacts) -> Result<(), Error> {
    let here: BTreeSet<ArchiveId> = history.archives.iter().map(|archive| archive.id).collect();
    let visible = strays.ledger.iter();
    let there: BTreeSet<ArchiveId> = visible
        .filter(|(_, known)| matches!(known, InLedger::Visible(_)))
        .map(|(id, _)| *id)
        .collect();
    match here.symmetric_difference(&there).next() {
        None => Ok(()),
        Some(archive) => Err(PruneError::LedgerDiffers {
            source_name: source.name().clone(),
            archive: *archive,
        }
        .into()),
    }
}

/// The objects of a source's archives at one moment.
pub(in crate::engine) struct ListedArchives {
    pub(in crate::engine) archives: BTreeMap<ArchiveId, Vec<ListedObject>>,
    pub(in crate::engine) elsewhere: Vec<ListedObject>,
    pub(in crate::engine) store_now: DateTime<Utc>,
    pub(in crate::engine) system_now: DateTime<Utc>,
}

impl ListedArchives {
    /// Asks for the time before the listing, so that no object looks older than it was when it was listed.
    pub(in crate::engine) fn take(
        directory: &str,
        store: &dyn Store,
        context: RunContext<'_>,
    ) -> Result<Self, Error> {
        let system_now = context.clock.now();
        let store_now = store.guessed_now()?;
        let prefix = keys::archives_prefix(directory);
        let mut listed = store.list(&prefix)?;
        let second = store.second_uploads(&prefix)?.into_iter();
        listed.extend(second.map(|(locator, stat)| Listed {
            key: locator.to_string(),
            stat,
        }));
        let (archives, elsewhere) = Self::group(directory, listed);
        Ok(Self {
            archives,
            elsewhere,
            store_now,
            system_now,
        })
    }

    /// Groups the objects by archive id. Objects that belong to no archive are returned separately.
    fn group(
        directory: &str,
        listed: Vec<Listed>,
    ) -> (BTreeMap<ArchiveId, Vec<ListedObject>>, Vec<ListedObject>) {
        let mut archives: BTreeMap<ArchiveId, Vec<ListedObject>> = BTreeMap::new();
        let mut elsewhere = Vec::new();
        for Listed { key, stat } in listed {
            // A second upload is known by its locator, since another object has its key.
            let second = key.parse::<VaultLocator>().ok();
            let named = second.as_ref().map_or(&key, |second| &second.key);
            let of = keys::archive_of(directory, named);
            let (archive, part) = of.map(|(id, name)| (id, keys::archive_part(name))).unzip();
            let object = ListedObject {
                key,
                part: part.flatten(),
                bytes: stat.bytes,
                stored: told(stat.modified),
                class: stat.class,
            };
            match archive {
                Some(archive) => archives.entry(archive).or_default().push(object),
                None => elsewhere.push(object),
            }
        }
        (archives, elsewhere)
    }
}

/// Reads the entries and not the catalog's rows. The ledger's head has just confirmed the entries, and a
/// missing row must not make a segment an orphaned object.
fn what_the_ledger_says(source: &OpenSource<'_>, entries: &[EntryRow]) -> Result<Said, Error> {
    let directory = &source.row.directory;
    let stored = stored_at(directory, source.store.as_ref())?;
    for entry in entries {
        if !stored.contains_key(&entry.seq) {
            require_no_entry(source.store.as_ref(), directory, entry.seq)?;
            return Err(LedgerStateError::LedgerBehind {
                source_name: source.name().clone(),
                store: source.store.url(),
                missing: entry.seq,
                head: entries.last().map_or(0, |last| last.seq),
            }
            .into());
        }
    }
    Said::of(directory, entries, &stored)
}

/// Returns what this machine knows of attempts. If it has an archive that the ledger does not have, this is
/// in doubt and counts as an open attempt, which is left alone. An attempt that the ledger has is not open,
/// even if its answer was lost and a dry run finds it unfinished here.
pub(in crate::engine) fn here(
    catalog: &Catalog,
    ledger: &LedgerId,
    said: &BTreeMap<ArchiveId, InLedger>,
) -> Result<BTreeMap<ArchiveId, Here>, Error> {
    let rows = catalog.archives(ledger)?;
    let open = rows
        .iter()
        .filter(|row| !said.contains_key(&row.id))
        .map(|row| (row.id, Here::Open));
    let given_up = catalog.abandoned(ledger)?;
    let given_up = given_up.into_iter().map(|id| (id, Here::GivenUp));
    Ok(given_up.chain(open).collect())
}
