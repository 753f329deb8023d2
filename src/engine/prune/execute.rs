//! Carries out the plan of a prune. It notes each step that is done, so that the caller can report them
//! however the run ends.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use crate::catalog::Catalog;
use crate::engine::context::open_source::OpenSource;
use crate::engine::context::session::Session;
use crate::engine::ledger::append::Writer;
use crate::engine::ledger::sync::{LedgerState, catch_up};
use crate::error::{Error, LedgerStateError, PruneError};
use crate::model::entry::{DeleteEntry, RetireEntry, Role, Timestamp};
use crate::model::{ArchiveId, VaultLocator, keys};
use crate::plan::{
    ChainFate, ChainLine, Deletion, Fate, ListedObject, PrunePlan, RetiredArchive, StrayLine,
    StrayPlan,
};
use crate::progress::Event;
use crate::store::{Deleted, Locator, Store};

/// The reason for retiring an attempt, as written into the ledger.
const REASON: &str = "attempts that were never committed";

/// A prune of one source.
pub(super) struct Pruner<'a> {
    pub(super) session: &'a Session<'a>,
    /// The archives that were retired when the plan was made.
    pub(super) retired: &'a [RetiredArchive],
}

impl Pruner<'_> {
    /// Carries out the plan, and notes in `done` what was done, however it ends. If `held` is an error, it
    /// retires no chain, but still does the rest of the plan, and returns that error at the end.
    pub(super) fn carry_out(
        &self,
        plan: PrunePlan,
        held: Option<Error>,
        state: &mut LedgerState,
        catalog: &mut Catalog,
        done: &mut PrunePlan,
    ) -> Result<(), Error> {
        let PrunePlan { mut chains, strays } = plan;
        let mut ended = self.retire_attempts(&strays, state, catalog);
        let attempts_retired = ended.is_ok();
        let mut chains_retired = false;
        if ended.is_ok() && held.is_none() {
            ended = self.retire_chains(&chains, state, catalog);
            chains_retired = ended.is_ok();
        }
        let of = strays.with(Fate::Remove).map(|line| line.objects.len());
        let of = of.sum();
        for line in strays.lines {
            match line.fate {
                Fate::Remove if ended.is_ok() => ended = self.remove(line, of, &mut done.strays),
                Fate::Retire if attempts_retired => done.strays.lines.push(line),
                Fate::Keep => done.strays.lines.push(line),
                Fate::Remove | Fate::Retire => {}
            }
        }
        if ended.is_ok() {
            ended = self.begin_deletion(&mut chains, state, catalog);
        }
        for line in chains {
            match line.fate {
                ChainFate::Delete if ended.is_ok() => {
                    ended = self.delete_chain(line, state, catalog, &mut done.chains);
                }
                ChainFate::Retire { .. } if chains_retired => done.chains.push(line),
                ChainFate::Delete | ChainFate::Retire { .. } => {}
                ChainFate::Wait { .. } | ChainFate::Retained { .. } | ChainFate::Keep => {
                    done.chains.push(line);
                }
            }
        }
        ended.and(held.map_or(Ok(()), Err))
    }

    fn source(&self) -> &'_ OpenSource<'_> {
        &self.session.source
    }

    /// Converts a store's error at the PUT of an entry of this kind.
    fn unsigned(&self, kind: &'static str) -> impl Fn(Error) -> Error {
        move |error| match error {
            Error::Store(source) => Error::Prune(PruneError::PruneUnsigned {
                source_name: self.source().name().clone(),
                kind,
                source: Box::new(source),
            }),
            error => error,
        }
    }

    /// Retires attempts in one entry. A later run removes their objects.
    fn retire_attempts(
        &self,
        plan: &StrayPlan,
        state: &mut LedgerState,
        catalog: &mut Catalog,
    ) -> Result<(), Error> {
        // They are in the order of the plan, by id.
        let archives: Vec<ArchiveId> = plan
            .with(Fate::Retire)
            .filter_map(|line| line.archive)
            .collect();
        if archives.is_empty() {
            return Ok(());
        }
        self.session.context.interrupt.check()?;
        let retire = RetireEntry {
            archives,
            reason: REASON.to_owned(),
        };
        let retired = Writer::between(self.session).retire(&retire, state, catalog);
        retired.map_err(self.unsigned("retire"))
    }

    /// Retires all expired chains of the plan in one entry.
    fn retire_chains(
        &self,
        chains: &[ChainLine],
        state: &mut LedgerState,
        catalog: &mut Catalog,
    ) -> Result<(), Error> {
        let due = chains.iter();
        let due = due.filter(|line| matches!(line.fate, ChainFate::Retire { .. }));
        let due: Vec<&ChainLine> = due.collect();
        if due.is_empty() {
            return Ok(());
        }
        self.session.context.interrupt.check()?;
        let retire = RetireEntry {
            archives: archives_of(&due),
            reason: format!("expired: {}", reasons(&due)),
        };
        let retired = Writer::between(self.session).retire(&retire, state, catalog);
        retired.map_err(self.unsigned("retire"))?;
        for line in due {
            self.session.context.observer.event(Event::Retired {
                source: self.source().name().clone(),
                chain: line.chain.date,
                archives: line.archives.len(),
                reason: line.reason.clone(),
            });
        }
        Ok(())
    }

    /// Writes into the ledger which chains are being deleted, before the first object goes. After that entry,
    /// a revive is not possible. If a revive took its number, that chain is kept.
    fn begin_deletion(
        &self,
        chains: &mut [ChainLine],
        state: &mut LedgerState,
        catalog: &mut Catalog,
    ) -> Result<(), Error> {
        loop {
            let due = chains.iter().filter(|line| self.is_to_begin(line));
            let due: Vec<&ChainLine> = due.collect();
            if due.is_empty() {
                return Ok(());
            }
            self.session.context.interrupt.check()?;
            let delete = DeleteEntry {
                archives: archives_of(&due),
                reason: reasons(&due),
            };
            let Err(error) = Writer::between(self.session).delete(&delete, state, catalog) else {
                return Ok(());
            };
            if !matches!(
                error,
                Error::LedgerState(LedgerStateError::Overtaken { .. })
            ) {
                return Err(self.unsigned("delete")(error));
            }
            state.require_writable(self.source())?;
            let mut revived = 0;
            for line in chains.iter_mut().filter(|line| self.is_to_begin(line)) {
                let stays = |id: &ArchiveId| !state.replay.is_retired(id);
                if line.archives.iter().any(stays) {
                    line.fate = ChainFate::Keep;
                    "revived meanwhile".clone_into(&mut line.reason);
                    revived += 1;
                }
            }
            // Any other entry may change what has to be done, so the next run decides again.
            if revived == 0 {
                return Err(error);
            }
        }
    }

    /// Returns whether a chain is to be deleted and no entry says so yet.
    fn is_to_begin(&self, line: &ChainLine) -> bool {
        let its = self.retired.iter().filter(|it| it.chain == line.chain);
        let mut begun = its.map(|archive| archive.deletion == Deletion::Begun);
        line.fate == ChainFate::Delete && !begun.any(|begun| begun)
    }

    /// Removes exactly the listed objects. The key of an attempt comes after the segments that it opens.
    fn remove(&self, line: StrayLine, of: usize, done: &mut StrayPlan) -> Result<(), Error> {
        let store = self.source().store.as_ref();
        let before: usize = done.with(Fate::Remove).map(|it| it.objects.len()).sum();
        let mut removed = Vec::new();
        let mut locked = Vec::new();
        let mut until = None;
        let mut ended = Ok(());
        for object in line.objects {
            ended = self.session.context.interrupt.check();
            if ended.is_err() {
                break;
            }
            match store.delete(&locator_of(store, &object.key)) {
                Ok(Deleted::Removed) => removed.push(object),
                // Another run removed it first.
                Ok(Deleted::Absent) => {}
                Ok(Deleted::Retained { until: lock }) => {
                    until = until.max(Some(lock));
                    locked.push(object);
                }
                Err(source) => {
                    ended = Err(PruneError::StraysLeft {
                        source_name: self.source().name().clone(),
                        deleted: before + removed.len(),
                        of,
                        source: Box::new(source),
                    }
                    .into());
                    break;
                }
            }
        }
        let reason = line.reason;
        if !removed.is_empty() {
            done.lines.push(StrayLine {
                objects: removed,
                reason: reason.clone(),
                ..line
            });
        }
        if let Some(until) = until {
            done.lines.push(StrayLine {
                fate: Fate::Keep,
                objects: locked,
                reason: format!("{reason}; retained until {}", Timestamp(until)),
                ..line
            });
        }
        ended
    }

    /// Reads the newest entries of the ledger before an archive's objects are deleted: the root key may have
    /// brought the archive back, and removed this machine's key.
    fn require_begun(
        &self,
        line: &ChainLine,
        state: &mut LedgerState,
        catalog: &mut Catalog,
    ) -> Result<(), Error> {
        self.session.context.interrupt.check()?;
        *state = catch_up(self.source(), catalog, &self.session.keys.root)?;
        state.require_writable(self.source())?;
        state.require_role(self.session, Role::Pruner)?;
        if line.archives.iter().all(|id| state.replay.is_deleted(id)) {
            return Ok(());
        }
        Err(PruneError::BroughtBack {
            source_name: self.source().name().clone(),
            chain: line.chain.date,
        }
        .into())
    }

    /// Deletes a retired chain, the newest archive first. A locked object ends this for now, and the
    /// remaining objects get their own line. Objects that another run deleted first are not reported.
    fn delete_chain(
        &self,
        line: ChainLine,
        state: &mut LedgerState,
        catalog: &mut Catalog,
        done: &mut Vec<ChainLine>,
    ) -> Result<(), Error> {
        let mut removed = Vec::new();
        let ended = self.delete_objects(&line, state, catalog, &mut removed);
        match ended {
            Ok(Some(until)) => {
                done.extend(parted(line, removed, ChainFate::Retained { until }));
                Ok(())
            }
            ended => {
                if ended.is_ok() && !removed.is_empty() {
                    self.session.context.observer.event(Event::Deleted {
                        source: self.source().name().clone(),
                        chain: line.chain.date,
                        objects: removed.len(),
                        bytes: removed.iter().map(|object| object.bytes).sum(),
                    });
                }
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

    /// Deletes a chain's objects until one is locked, and returns when that lock ends.
    fn delete_objects(
        &self,
        line: &ChainLine,
        state: &mut LedgerState,
        catalog: &mut Catalog,
        removed: &mut Vec<ListedObject>,
    ) -> Result<Option<DateTime<Utc>>, Error> {
        let store = self.source().store.as_ref();
        for id in line.archives.iter().rev() {
            self.require_begun(line, state, catalog)?;
            let archive = self.retired.iter().find(|archive| archive.id == *id);
            let archive = archive.expect("the plan was made of these");
            // Objects that are not listed are deleted too: a store with versions may only hide them.
            for (key, bytes) in &archive.objects {
                self.session.context.interrupt.check()?;
                let answer = store.delete(&store.locate(key));
                match answer.map_err(|source| {
                    Error::Prune(PruneError::ChainLeft {
                        source_name: self.source().name().clone(),
                        chain: line.chain.date,
                        deleted: removed.len(),
                        of: line.objects.len().max(removed.len()),
                        source: Box::new(source),
                    })
                })? {
                    Deleted::Removed => removed.push(as_listed(line, key, *bytes)),
                    Deleted::Absent => {}
                    Deleted::Retained { until } => return Ok(Some(until)),
                }
            }
        }
        Ok(None)
    }
}

/// Returns the locator of an object that was listed. A second upload is known by it in place of a key.
fn locator_of(store: &dyn Store, listed: &str) -> Locator {
    match listed.parse::<VaultLocator>() {
        Ok(locator) => Locator::from(locator.to_string()),
        Err(_) => store.locate(listed),
    }
}

/// Returns the archives of these chains in the order that an entry requires.
fn archives_of(chains: &[&ChainLine]) -> Vec<ArchiveId> {
    let archives = chains.iter().flat_map(|line| line.archives.iter().copied());
    let archives: BTreeSet<ArchiveId> = archives.collect();
    archives.into_iter().collect()
}

/// Joins the reasons of the chains; each has the chain's name if there are several.
fn reasons(chains: &[&ChainLine]) -> String {
    if let [line] = chains {
        return line.reason.clone();
    }
    let reasons = chains
        .iter()
        .map(|line| format!("the chain of {}: {}", line.chain.date, line.reason));
    reasons.collect::<Vec<_>>().join("; ")
}

/// Returns an object as it was listed, or else as the ledger knows it.
pub(in crate::engine) fn as_listed(line: &ChainLine, key: &str, bytes: u64) -> ListedObject {
    let listed = line.objects.iter().find(|object| object.key == key);
    listed.cloned().unwrap_or_else(|| ListedObject {
        key: key.to_owned(),
        part: keys::archive_part(key.rsplit('/').next().unwrap_or(key)),
        bytes,
        stored: None,
        class: None,
    })
}

/// Splits the line of a chain: the deleted objects, and the others with another fate.
pub(in crate::engine) fn parted(
    line: ChainLine,
    removed: Vec<ListedObject>,
    fate: ChainFate,
) -> Vec<ChainLine> {
    let gone: BTreeSet<&str> = removed.iter().map(|object| object.key.as_str()).collect();
    let left = line.objects.iter();
    let left: Vec<ListedObject> = left
        .filter(|object| !gone.contains(object.key.as_str()))
        .cloned()
        .collect();
    let rest = ChainLine {
        fate,
        objects: left,
        ..line.clone()
    };
    if removed.is_empty() {
        return vec![rest];
    }
    let gone = ChainLine {
        objects: removed,
        ..line
    };
    vec![gone, rest]
}
