//! Deletes what is left in a vault of a source that was moved out of it.
//!
//! The old home takes no writers any more, so its own prune is refused. Nothing is deleted there unless its ledger says that
//! home was moved away, home's ledger continues that one, and the new home has the archives as `plan::left_in_vault` demands.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use crate::catalog::{ArchiveRow, Catalog, SourceRow};
use crate::config::{Config, Source, StoreConfig};
use crate::engine::context::RunContext;
use crate::engine::context::known_segments::index_of;
use crate::engine::context::open_source::{OpenSource, is_place, know_source, store_url};
use crate::engine::context::state_dir::StateDir;
use crate::engine::copy::whole::{ContentsNeed, read_anew, visible_entries, whole};
use crate::engine::ledger::scratch_catalog::rehearsal;
use crate::engine::ledger::sync::{self, LedgerState};
use crate::error::{Error, LedgerStateError, PruneError, RequestError};
use crate::ledger::{LedgerError, PublicKey, decode_body, split};
use crate::model::entry::{ArchiveEntry, EntryKind, Role};
use crate::model::{
    ArchiveId, ArchiveState, VaultArchiveId, VaultLocator, VerifyLevel, VerifyOutcome, keys,
};
use crate::plan::{AtNewHome, LeftArchive, LeftFate, LeftLine, plan_left};
use crate::store::{Deleted, ErrorKind, KnownSegment, Locator, StoreError, VaultSettings};

/// How old an object that no entry names has to be before it is deleted.
const ORPHANED_FOR: TimeDelta = TimeDelta::days(7);

/// What is done about an old home.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OldHomeAsked {
    /// It is only said what would be deleted.
    Plan,
    /// It is deleted, if this is the number of archives.
    Delete {
        /// How many archives the user has agreed to.
        agreed: Option<usize>,
    },
}

/// What was deleted in an old home, or would be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldHomePruned {
    /// The vault's URL.
    pub store: String,
    /// What became of each archive that is there.
    pub lines: Vec<LeftLine>,
    /// How many archives of the vault no entry of the ledger names, and that are deleted too.
    pub orphans: usize,
    /// Their bytes.
    pub orphan_bytes: u64,
}

impl OldHomePruned {
    /// Returns how many archives are deleted.
    pub fn to_delete(&self) -> usize {
        let deleted = |line: &&LeftLine| line.fate == LeftFate::Delete;
        self.lines.iter().filter(deleted).count()
    }
}

/// Deletes what the vault of that name still has of a source whose home it was.
pub fn prune_old_home(
    config: &Config,
    source: &Source,
    name: &str,
    asked: OldHomeAsked,
    context: RunContext<'_>,
) -> Result<OldHomePruned, Error> {
    let store = config.store_named(name)?;
    let not_old_home = |why| -> Error {
        PruneError::NotOldHome {
            source_name: source.name.clone(),
            store: store_url(store),
            why,
        }
        .into()
    };
    if is_place(&store_url(store), &store_url(config.store_of(source)?)) {
        return Err(not_old_home("it is the home"));
    }
    let StoreConfig::Vault { settings, .. } = store else {
        return Err(not_old_home("it is no vault"));
    };
    let state_dir = StateDir::new(&config.state_dir);
    let root = state_dir.root_key()?;
    let _lock = match asked {
        OldHomeAsked::Plan => None,
        OldHomeAsked::Delete { .. } => Some(state_dir.lock(&source.name, &context)?),
    };
    let catalog = state_dir.catalog_to_read()?;
    let row = catalog
        .source(&source.name)?
        .ok_or_else(|| RequestError::NeverArchived(source.name.clone()))?;
    let mut home = OpenSource {
        config: source,
        row,
        store: context.open(config.store_of(source)?)?,
    };
    let mut now = rehearsal(&home, &catalog)?;
    home.row = know_source(config, source, &mut now)?;
    let state = sync::catch_up(&home, &mut now, &root)?;
    state.require_writable(&home)?;
    if asked != OldHomeAsked::Plan {
        let keys = state_dir.keys()?;
        let roles = state.replay.roles_of(&keys.signing.public());
        if !roles.contains(&Role::Pruner) {
            return Err(PruneError::NoPruner(source.name.clone()).into());
        }
    }
    let at_old = Source {
        store: Some(name.to_owned()),
        ..source.clone()
    };
    let old = OpenSource {
        config: &at_old,
        row: SourceRow {
            store: store_url(store),
            ..home.row.clone()
        },
        store: context.open(store)?,
    };
    let (old_state, old_catalog) = read_anew(&old, &root)?;
    let mut leaving = Leaving {
        home: &home,
        old: &old,
        root: &root,
        now,
        old_catalog,
        context,
    };
    leaving.require_left(&old_state)?;
    let found = leaving.find(settings, &catalog)?;
    leaving.delete(found, asked)
}

/// An archive in a vault, with the time of its entry.
type VaultedEntry = (ArchiveEntry, DateTime<Utc>);

/// A source, its home and an old one, in the hands of one run.
struct Leaving<'a> {
    home: &'a OpenSource<'a>,
    old: &'a OpenSource<'a>,
    root: &'a PublicKey,
    /// What home's ledger says now.
    now: Catalog,
    /// What the ledger of the old home says.
    old_catalog: Catalog,
    context: RunContext<'a>,
}

/// An archive of the vault.
struct InVault {
    locator: Locator,
    bytes: u64,
    stored: DateTime<Utc>,
}

/// What is in the vault.
#[derive(Default)]
struct FoundInVault {
    lines: Vec<LeftLine>,
    /// The segments of each archive that the ledger names.
    segments: BTreeMap<ArchiveId, Vec<InVault>>,
    /// What no entry names.
    orphans: Vec<InVault>,
}

impl Leaving<'_> {
    /// Refuses a place whose ledger does not say that home was moved away, or is not the beginning of home's.
    fn require_left(&self, old: &LedgerState) -> Result<(), Error> {
        let name = self.old.name();
        let url = || self.old.row.store.clone();
        let moved_to = old.replay.moved_to();
        let Err(LedgerStateError::MovedAway { .. }) = old.markers.require_home(moved_to, name, url)
        else {
            return Err(PruneError::NotOldHome {
                source_name: name.clone(),
                store: url(),
                why: "its ledger does not say that home was moved away",
            }
            .into());
        };
        let ledger = &self.home.row.ledger;
        for entry in self.old_catalog.entries(ledger)? {
            if self.now.entry_hash(ledger, entry.seq)? != Some(entry.hash) {
                return Err(PruneError::OldHomeParted {
                    source_name: name.clone(),
                    store: url(),
                    seq: entry.seq,
                }
                .into());
            }
        }
        Ok(())
    }

    /// Returns the archives that the ledger names as being in a vault, each with the time of its entry, and when home was
    /// last moved.
    fn vaulted(&self) -> Result<(Vec<VaultedEntry>, Option<DateTime<Utc>>), Error> {
        let (mut vaulted, mut moved_at) = (Vec::new(), None);
        for entry in self.now.entries(&self.home.row.ledger)? {
            let (body, _) = split(&entry.object).map_err(LedgerError::from)?;
            let body = decode_body(body).map_err(LedgerError::from)?;
            let made_at = body.head.made_at.0;
            match body.kind {
                EntryKind::Archive(archive) if archive.vault.is_some() => {
                    vaulted.push((*archive, made_at));
                }
                EntryKind::Moved(_) => moved_at = moved_at.max(Some(made_at)),
                _ => {}
            }
        }
        Ok((vaulted, moved_at))
    }

    /// Finds out what is in the vault, and what may be deleted.
    fn find(&self, vault: &VaultSettings, real: &Catalog) -> Result<FoundInVault, Error> {
        let directory = &self.home.row.directory;
        let (vaulted, moved_at) = self.vaulted()?;
        let mut owners: BTreeMap<VaultArchiveId, ArchiveId> = BTreeMap::new();
        let mut known = Vec::new();
        for (entry, signed) in &vaulted {
            let Some(place) = &entry.vault else { continue };
            let is_here = place.name == vault.vault && place.region == vault.region;
            let records = (0..).zip(&entry.segments).zip(&place.segments);
            for ((index, record), segment) in records {
                owners.insert(segment.id.clone(), entry.id);
                if is_here {
                    known.push(KnownSegment {
                        locator: VaultLocator {
                            key: keys::segment(directory, &entry.id, index, &record.sha256),
                            segment: segment.clone(),
                        },
                        bytes: record.sealed_bytes,
                        stored: *signed,
                    });
                }
            }
        }
        self.old.store.know(index_of(self.home.row.ledger, known));
        let mut found = FoundInVault::default();
        let prefix = keys::archives_prefix(directory);
        let listed = self.old.store.list(&prefix)?.into_iter();
        let listed = listed.map(|object| {
            let locator = match object.key.parse::<VaultLocator>() {
                Ok(_) => Locator::from(object.key),
                Err(_) => self.old.store.locate(&object.key),
            };
            (locator, object.stat)
        });
        let second = self.old.store.second_uploads(&prefix)?;
        for (locator, stat) in listed.chain(second) {
            // The keys of archives are in the ledger store, and stay there.
            let Ok(at) = locator.to_string().parse::<VaultLocator>() else {
                continue;
            };
            let in_vault = InVault {
                locator,
                bytes: stat.bytes,
                stored: stat.modified,
            };
            match owners.get(&at.segment.id) {
                Some(owner) => found.segments.entry(*owner).or_default().push(in_vault),
                None => found.orphans.push(in_vault),
            }
        }
        found.lines = self.plan(&found, moved_at, real)?;
        Ok(found)
    }

    /// Decides what becomes of each archive that was found. A check counts that was made since home was moved: an earlier
    /// one may have been of the vault.
    fn plan(
        &self,
        found: &FoundInVault,
        moved_at: Option<DateTime<Utc>>,
        real: &Catalog,
    ) -> Result<Vec<LeftLine>, Error> {
        let ledger = &self.home.row.ledger;
        let entries = visible_entries(&self.home.row, &self.now)?;
        let has = whole(self.home, &entries, ContentsNeed::Spared)?;
        let checks = real.verifications(ledger)?;
        let damaged = real.archives(ledger)?.into_iter();
        let damaged: Vec<ArchiveId> = damaged
            .filter(|row| row.damaged_at.is_some())
            .map(|row| row.id)
            .collect();
        let is_proven = |id: &ArchiveId| {
            checks.iter().any(|check| {
                check.archive == *id
                    && check.outcome == VerifyOutcome::Sound
                    && check.level != VerifyLevel::Listing
                    && moved_at.is_some_and(|moved_at| check.at.0 >= moved_at)
            })
        };
        let there = |row: &ArchiveRow| match row.state {
            ArchiveState::Committed if !has.contains(&row.id) => AtNewHome::Lacking,
            ArchiveState::Committed if damaged.contains(&row.id) => AtNewHome::Damaged,
            ArchiveState::Committed if is_proven(&row.id) => AtNewHome::Proven,
            ArchiveState::Committed => AtNewHome::Listed,
            _ if row.deletion.is_some() => AtNewHome::Deleted,
            _ => AtNewHome::Retired,
        };
        let rows = self.now.archives(ledger)?;
        let visible = rows.iter().filter(|row| row.is_visible());
        let visible = visible
            .map(|row| (row.id, (row.chain, there(row))))
            .collect();
        let left = rows.iter().filter_map(|row| {
            let segments = found.segments.get(&row.id)?;
            Some(LeftArchive {
                id: row.id,
                chain: row.chain,
                there: there(row),
                segments: segments.len(),
                bytes: segments.iter().map(|segment| segment.bytes).sum(),
            })
        });
        Ok(plan_left(&left.collect::<Vec<_>>(), &visible))
    }

    /// Deletes what may be deleted. The vault may refuse some: the others go all the same.
    fn delete(
        &mut self,
        mut found: FoundInVault,
        asked: OldHomeAsked,
    ) -> Result<OldHomePruned, Error> {
        let store = self.old.store.as_ref();
        let clock = match asked {
            _ if found.orphans.is_empty() => None,
            OldHomeAsked::Plan => Some(store.guessed_now()?),
            OldHomeAsked::Delete { .. } => Some(store.now()?),
        };
        found
            .orphans
            .retain(|orphan| clock.is_some_and(|now| orphan.stored + ORPHANED_FOR <= now));
        let pruned = OldHomePruned {
            store: self.old.row.store.clone(),
            orphans: found.orphans.len(),
            orphan_bytes: found.orphans.iter().map(|orphan| orphan.bytes).sum(),
            lines: found.lines,
        };
        let OldHomeAsked::Delete { agreed } = asked else {
            return Ok(pruned);
        };
        let archives = pruned.to_delete();
        if archives > 0 && agreed != Some(archives) {
            return Err(PruneError::LeftNotAgreed {
                source_name: self.old.name().clone(),
                store: pruned.store,
                archives,
                agreed,
            }
            .into());
        }
        let (mut kept, mut first, mut of) = (0, None, 0);
        let mut delete = |of_one: &[InVault]| -> Result<(), Error> {
            for segment in of_one {
                of += 1;
                match store.delete(&segment.locator) {
                    Ok(Deleted::Removed | Deleted::Absent) => {}
                    Ok(Deleted::Retained { .. }) => kept += 1,
                    Err(error) if error.kind == ErrorKind::Denied => {
                        kept += 1;
                        first.get_or_insert(error);
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            Ok(())
        };
        let due = pruned.lines.iter();
        let due = due.filter(|line| line.fate == LeftFate::Delete);
        let due = due.map(|line| &found.segments[&line.id]);
        for segments in due.chain([&found.orphans]) {
            self.context.interrupt.check()?;
            // The root key may have voided the move: then the vault is home again.
            let state = sync::catch_up(self.old, &mut self.old_catalog, self.root)?;
            self.require_left(&state)?;
            delete(segments)?;
        }
        match first {
            None => Ok(pruned),
            Some(source) => Err(self.denied(kept, of, source)),
        }
    }

    fn denied(&self, kept: usize, of: usize, source: StoreError) -> Error {
        Error::Prune(PruneError::LeftDenied {
            source_name: self.old.name().clone(),
            store: self.old.row.store.clone(),
            kept,
            of,
            source: Box::new(source),
        })
    }
}
