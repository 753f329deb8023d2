//! Deletes in a copy what home has deleted and what belongs to no archive, as [`plan_copy_prune`] decides.
//!
//! Home's ledger is read once more before the objects of each archive go, and so is the mark of the copy: home may
//! have brought the archive back, and the copy may have been made home. A run that was cut short is ended by the next:
//! before the first object of an archive goes, the catalog notes that the copy has it no longer as a whole.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};

use crate::catalog::{Catalog, Link, PlaceRow};
use crate::config::{Config, StoreConfig};
use crate::engine::backup::facts::history;
use crate::engine::context::RunContext;
use crate::engine::context::clock::local_date;
use crate::engine::context::open_source::{OpenSource, retain_until_in};
use crate::engine::context::schedule::schedule;
use crate::engine::copy::claim::require_marker;
use crate::engine::ledger::scratch_catalog::rehearsal;
use crate::engine::ledger::sync;
use crate::engine::prune::execute::{as_listed, parted};
use crate::engine::prune::inventory::{ListedArchives, here};
use crate::engine::prune::said::{Said, stored_at};
use crate::error::{CopyError, Error, PruneError};
use crate::ledger::PublicKey;
use crate::model::{ArchiveId, keys};
use crate::plan::{
    AtHome, ChainFate, ChainLine, CopyPruneFacts, Fate, Here, History, HomeNow, InLedger,
    ListedObject, OwnCopy, PrunePlan, StrayLine, plan_copy_prune,
};
use crate::store::{Deleted, StoreError};

/// A prune of a copy.
pub(super) struct CopyPruner<'a> {
    pub(super) config: &'a Config,
    /// The copy's store, as configured.
    pub(super) store: &'a StoreConfig,
    pub(super) home: &'a OpenSource<'a>,
    pub(super) there: &'a OpenSource<'a>,
    pub(super) root: &'a PublicKey,
    pub(super) place: &'a PlaceRow,
    /// Whether the run before this has copied everything.
    pub(super) own_copy: OwnCopy,
    pub(super) context: RunContext<'a>,
}

/// Home's ledger, which is read again and again.
struct HomeReader {
    scratch: Catalog,
}

impl CopyPruner<'_> {
    /// Deletes what may be deleted, and notes in `done` what was done and what was left, however it ends.
    pub(super) fn prune(&self, catalog: &mut Catalog, done: &mut PrunePlan) -> Result<(), Error> {
        let mut home = HomeReader {
            scratch: rehearsal(self.home, catalog)?,
        };
        let mut facts = self.survey(&mut home, catalog)?;
        let mut plan = self.plan(&facts)?;
        if plan.acts() {
            // Asking the store for its time may take a write, which a run with nothing to do avoids.
            let since = (self.context.clock.now() - facts.system_now).max(TimeDelta::zero());
            facts.copy_now = self.there.store.now()? - since;
            plan = self.plan(&facts)?;
        }
        self.carry_out(plan, &facts, &mut home, catalog, done)?;
        // What a copier left that died while it wrote.
        let prefix = keys::source_prefix(&self.there.row.directory);
        self.there.store.sweep(&prefix)?;
        Ok(())
    }

    fn plan(&self, facts: &CopyPruneFacts) -> Result<PrunePlan, Error> {
        plan_copy_prune(facts).map_err(|short| {
            Error::Copy(CopyError::ListingShort {
                archive: short.archive,
                store: self.there.row.store.clone(),
                objects: short.wrong.len(),
                first: short.wrong.into_iter().next().unwrap_or_default(),
            })
        })
    }

    /// Lists the copy, and then reads both ledgers. So an object that was listed and that home's ledger does not name
    /// was not of an archive at the time of the listing.
    fn survey(
        &self,
        home: &mut HomeReader,
        catalog: &mut Catalog,
    ) -> Result<CopyPruneFacts, Error> {
        let row = &self.there.row;
        let store = self.there.store.as_ref();
        let listed = ListedArchives::take(&row.directory, store, self.context)?;
        let stored = stored_at(&row.directory, store)?;
        let said = home.read(self)?;
        let at_home = stored_at(&row.directory, self.home.store.as_ref())?;
        let entries = home.scratch.entries(&row.ledger)?;
        let read: BTreeSet<u64> = entries.iter().map(|entry| entry.seq).collect();
        // Up to the first entry that the copy does not show.
        let there = entries.iter().position(|it| !stored.contains_key(&it.seq));
        let there = Said::of(
            &row.directory,
            &entries[..there.unwrap_or(entries.len())],
            &stored,
        )?;
        let open = here(catalog, &row.ledger, &said.archives)?;
        let open = open.into_iter().filter(|(_, here)| *here == Here::Open);
        let placed = catalog.placed(self.place.id)?;
        Ok(CopyPruneFacts {
            home: Some(HomeNow {
                archives: at_home_of(&said),
                unread: at_home.into_keys().find(|seq| !read.contains(seq)),
                now: Some(self.home.store.guessed_now()?),
            }),
            named: there.archives.into_keys().collect(),
            retired: there
                .retired
                .into_values()
                .map(|archive| crate::plan::RetiredArchive {
                    retain_until: self.locked_until(archive.chain, listed.store_now),
                    ..archive
                })
                .collect(),
            copied: self.copied(catalog)?,
            placed: placed.into_iter().map(|row| row.archive).collect(),
            open: open.map(|(id, _)| id).collect(),
            listed: listed.archives,
            elsewhere: listed.elsewhere,
            own_copy: self.own_copy,
            copy_now: listed.store_now,
            system_now: listed.system_now,
            delete_after: TimeDelta::from_std(self.config.delete_after)
                .expect("the config takes no more than a century"),
            date: local_date(self.context.clock.now(), self.config.timezone),
            schedule: schedule(self.home.config),
        })
    }

    /// The archives that the copy has as a whole, as they are there.
    fn copied(&self, catalog: &mut Catalog) -> Result<History, Error> {
        catalog.turn_to(Some(self.place.id));
        let rows = catalog.archives(&self.there.row.ledger);
        catalog.turn_to(None);
        let mut copied = history(rows?.iter().map(Link::from));
        if self.home.config.protocol.is_inexact() {
            copied.accept_inexact();
        }
        Ok(copied)
    }

    /// Until when the copy's own lock keeps the objects of a chain, as far as the config says.
    fn locked_until(&self, chain: ArchiveId, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        retain_until_in(self.store, self.home.config, chain.date, now)
    }

    fn carry_out(
        &self,
        plan: PrunePlan,
        facts: &CopyPruneFacts,
        home: &mut HomeReader,
        catalog: &mut Catalog,
        done: &mut PrunePlan,
    ) -> Result<(), Error> {
        let mut ended = Ok(());
        for line in plan.chains {
            match line.fate {
                ChainFate::Delete if ended.is_ok() => {
                    ended = self.delete_chain(line, facts, home, catalog, &mut done.chains);
                }
                ChainFate::Delete => {}
                _ => done.chains.push(line),
            }
        }
        for line in plan.strays.lines {
            match line.fate {
                Fate::Remove if ended.is_ok() => {
                    ended = self.remove(line, facts, home, &mut done.strays.lines);
                }
                Fate::Remove => {}
                Fate::Keep | Fate::Retire => done.strays.lines.push(line),
            }
        }
        ended
    }

    /// Deletes a chain, the newest archive first. A locked object ends this for now.
    fn delete_chain(
        &self,
        line: ChainLine,
        facts: &CopyPruneFacts,
        home: &mut HomeReader,
        catalog: &mut Catalog,
        done: &mut Vec<ChainLine>,
    ) -> Result<(), Error> {
        let mut removed = Vec::new();
        match self.delete_archives(&line, facts, home, catalog, &mut removed) {
            Ok(Some(until)) => {
                done.extend(parted(line, removed, ChainFate::Retained { until }));
                Ok(())
            }
            ended => {
                if !removed.is_empty() {
                    done.push(ChainLine {
                        objects: removed,
                        ..line
                    });
                }
                ended.map(drop)
            }
        }
    }

    /// Deletes the archives of a chain until an object is locked, and returns when that lock ends.
    fn delete_archives(
        &self,
        line: &ChainLine,
        facts: &CopyPruneFacts,
        home: &mut HomeReader,
        catalog: &mut Catalog,
        removed: &mut Vec<ListedObject>,
    ) -> Result<Option<DateTime<Utc>>, Error> {
        let store = self.there.store.as_ref();
        for id in line.archives.iter().rev() {
            if !self.is_unchanged(&line.archives, facts, home)? {
                return Err(PruneError::BroughtBack {
                    source_name: self.home.name().clone(),
                    chain: line.chain.date,
                }
                .into());
            }
            catalog.reopen_placed(self.place.id, id)?;
            let archive = facts.retired.iter().find(|archive| archive.id == *id);
            let archive = archive.expect("the plan was made of these");
            // Objects that are not listed are deleted too: a store with versions may only hide them.
            for (key, bytes) in &archive.objects {
                self.context.interrupt.check()?;
                match store.delete(&store.locate(key)) {
                    Ok(Deleted::Removed) => removed.push(as_listed(line, key, *bytes)),
                    Ok(Deleted::Absent) => {}
                    Ok(Deleted::Retained { until }) => return Ok(Some(until)),
                    Err(error) => return Err(self.not_pruned(removed.len(), error)),
                }
            }
            catalog.forget_placed(self.place.id, id)?;
        }
        Ok(None)
    }

    /// Removes exactly the listed objects, an attempt's key last.
    fn remove(
        &self,
        line: StrayLine,
        facts: &CopyPruneFacts,
        home: &mut HomeReader,
        done: &mut Vec<StrayLine>,
    ) -> Result<(), Error> {
        let store = self.there.store.as_ref();
        let ids: Vec<ArchiveId> = line.archive.into_iter().collect();
        if !self.is_unchanged(&ids, facts, home)? {
            done.push(StrayLine {
                fate: Fate::Keep,
                reason: "home's ledger has changed meanwhile".to_owned(),
                ..line
            });
            return Ok(());
        }
        let (mut removed, mut locked) = (Vec::new(), Vec::new());
        let mut until = None;
        let mut ended = Ok(());
        for object in line.objects {
            ended = self.context.interrupt.check();
            if ended.is_err() {
                break;
            }
            match store.delete(&store.locate(&object.key)) {
                Ok(Deleted::Removed) => removed.push(object),
                Ok(Deleted::Absent) => {}
                Ok(Deleted::Retained { until: lock }) => {
                    until = until.max(Some(lock));
                    locked.push(object);
                }
                Err(error) => {
                    ended = Err(self.not_pruned(removed.len(), error));
                    break;
                }
            }
        }
        let reason = line.reason;
        if !removed.is_empty() {
            done.push(StrayLine {
                objects: removed,
                reason: reason.clone(),
                ..line
            });
        }
        if let Some(until) = until {
            let until = crate::model::entry::Timestamp(until);
            done.push(StrayLine {
                fate: Fate::Keep,
                objects: locked,
                reason: format!("{reason}; retained until {until}"),
                ..line
            });
        }
        ended
    }

    /// Whether home's ledger, read once more, still says of these archives what the plan was made with. Also checks
    /// that the place is still the copy that it was.
    fn is_unchanged(
        &self,
        archives: &[ArchiveId],
        facts: &CopyPruneFacts,
        home: &mut HomeReader,
    ) -> Result<bool, Error> {
        self.context.interrupt.check()?;
        require_marker(self.there, self.place.mark)?;
        let now = at_home_of(&home.read(self)?);
        let then = facts.home.as_ref().expect("the plan was made with home");
        let mut archives = archives.iter();
        Ok(archives.all(|id| now.get(id) == then.archives.get(id)))
    }

    fn not_pruned(&self, deleted: usize, source: StoreError) -> Error {
        Error::Copy(CopyError::NotPruned {
            source_name: self.home.name().clone(),
            to: self.there.row.store.clone(),
            deleted,
            source: Box::new(source),
        })
    }
}

impl HomeReader {
    /// Reads what is new in home's ledger. Fails if home has moved, or has entries that this version does not know:
    /// they may say anything of what is to be deleted.
    fn read(&mut self, pruner: &CopyPruner<'_>) -> Result<Said, Error> {
        let home = pruner.home;
        let state = sync::catch_up(home, &mut self.scratch, pruner.root)?;
        state.require_writable(home)?;
        let entries = self.scratch.entries(&home.row.ledger)?;
        Said::of(&home.row.directory, &entries, &BTreeMap::new())
    }
}

/// Returns what home's entries say of each archive id.
fn at_home_of(said: &Said) -> BTreeMap<ArchiveId, AtHome> {
    let of = said.archives.iter().map(|(id, known)| {
        let at_home = match (known, said.chains.get(id), said.retired.get(id)) {
            (InLedger::Visible(objects), Some(chain), _) => AtHome::Visible {
                chain: *chain,
                objects: objects.clone(),
            },
            (InLedger::RetiredArchive(objects), Some(chain), Some(archive)) => AtHome::Retired {
                chain: *chain,
                deletion: archive.deletion,
                objects: objects.clone(),
            },
            _ => AtHome::RetiredAttempt,
        };
        (*id, at_home)
    });
    of.collect()
}
