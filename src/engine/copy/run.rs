//! A run that makes a copy, or brings one up to date.
//!
//! The order makes a copy useful early and never wrong: home's ledger is read first; what was visible then is copied, the
//! newest chain first, a full before its incrementals, and of each archive its key last; the ledger follows as soon as
//! one archive is whole. In a copy, an archive without its key is not there yet.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Instant;

use crate::catalog::{Catalog, PlaceRow, SourceRow};
use crate::config::{Config, Source, StoreConfig};
use crate::engine::context::RunContext;
use crate::engine::context::clock::local_date;
use crate::engine::context::kit_file::copies_not_in_kit;
use crate::engine::context::open_source::{OpenSource, know_source, retain_until_in, store_url};
use crate::engine::context::state_dir::StateDir;
use crate::engine::copy::asked::{CopiedArchive, CopyRan, CopyRequest};
use crate::engine::copy::claim::claim;
use crate::engine::copy::entries::LedgerCopy;
use crate::engine::copy::foresee::{first_entry, plan_of, visible};
use crate::engine::copy::home::{look_again, take_in};
use crate::engine::copy::prune::CopyPruner;
use crate::engine::copy::recognize::recognize;
use crate::engine::copy::target::copy_store;
use crate::engine::copy::transfer::{CopiedWhole, Rest, ToCopy, Transfer};
use crate::engine::ledger::listing::listing;
use crate::engine::prune::said::own_objects;
use crate::engine::restore::fetch::AtOnce;
use crate::engine::restore::thaw::{ThawStatus, WantedSegments, thaw, thaw_state};
use crate::engine::restore::window::note_download;
use crate::error::{ContentsFault, CopyError, Error, RequestError, RestoreError};
use crate::ledger::PublicKey;
use crate::model::ArchiveId;
use crate::model::entry::{ArchiveEntry, Timestamp};
use crate::model::keys::{ArchiveObject, is_contents};
use crate::plan::{Awaited, CopyFate, ListedObject, OwnCopy, PrunePlan};
use crate::progress::Event;

/// Copies a source's archives to the store of that name, as far as they are not there. The result also says why it
/// stopped, if it did not copy everything.
pub fn copy(
    config: &Config,
    source: &Source,
    to: &str,
    asked: CopyRequest,
    context: RunContext<'_>,
) -> Result<CopyRan, Error> {
    let store = copy_store(config, source, to)?;
    let state_dir = StateDir::new(&config.state_dir);
    let root = state_dir.root_key()?;
    let mut catalog = context.catalog(&state_dir)?;
    if catalog.source(&source.name)?.is_none() {
        return Err(RequestError::NeverArchived(source.name.clone()).into());
    }
    let row = know_source(config, source, &mut catalog)?;
    let url = store_url(store);
    let _copying = state_dir.lock_copy(&source.name, &url, &context)?;
    let home = OpenSource {
        config: source,
        row,
        store: context.open(config.store_of(source)?)?,
    };
    let state = take_in(&home, &root, &state_dir, &mut catalog, context)?;
    state.require_home(&home)?;
    let mut ran = CopyRan {
        store: url.clone(),
        is_new: false,
        is_in_kit: true,
        copied: Vec::new(),
        has: 0,
        of: 0,
        entries: 0,
        awaited: None,
        stopped: None,
        pruned: PrunePlan::default(),
        unpruned: None,
    };
    let Some(head) = state.replay.head() else {
        // Nothing was ever archived.
        return Ok(ran);
    };
    let there = OpenSource {
        config: source,
        row: SourceRow {
            store: url,
            ..home.row.clone()
        },
        store: context.open(store)?,
    };
    let first = first_entry(&home, &catalog)?;
    let claimed = claim(&there, &first, asked.anew, &mut catalog)?;
    let place = claimed.place;
    ran.is_new = place.head == 0;
    let unknown = copies_not_in_kit(&home.row, &catalog)?;
    ran.is_in_kit = !unknown.contains(&place.store);
    let mut ledger = LedgerCopy::compare(
        &home,
        &there,
        (head.seq, place.head),
        &claimed.listed,
        &catalog,
    )?;
    let copying = CopyRun {
        config,
        store,
        home: &home,
        there: &there,
        root: &root,
        place: place.id,
        asked,
        context,
    };
    let visible = visible(&home.row, &catalog)?;
    ran.of = visible.len();
    if place.head == 0 {
        let now = Timestamp(context.clock.now());
        recognize(&there, place.id, &visible, now, &mut catalog)?;
    }
    copying.bring(visible, &mut ledger, &mut ran, &mut catalog)?;
    ran.entries += ledger.put(&home, &there, copying.retain_now())?;
    catalog.place_has_entries(place.id, ledger.head)?;
    if ran.stopped.is_none() && ran.awaited.is_none() {
        catalog.place_reached(place.id, Timestamp(context.clock.now()))?;
    }
    copying.prune(&place, &mut ran, &mut catalog);
    Ok(ran)
}

/// A copy in the hands of one run.
struct CopyRun<'a> {
    config: &'a Config,
    /// The copy's store, as configured.
    store: &'a StoreConfig,
    home: &'a OpenSource<'a>,
    there: &'a OpenSource<'a>,
    root: &'a PublicKey,
    /// The number of the copy's row.
    place: i64,
    asked: CopyRequest,
    context: RunContext<'a>,
}

impl CopyRun<'_> {
    /// Deletes in the copy what home has deleted, unless the run was not asked to or could not copy everything.
    fn prune(&self, place: &PlaceRow, ran: &mut CopyRan, catalog: &mut Catalog) {
        if self.asked.no_prune || ran.stopped.is_some() {
            return;
        }
        let pruner = CopyPruner {
            config: self.config,
            store: self.store,
            home: self.home,
            there: self.there,
            root: self.root,
            place,
            own_copy: if ran.awaited.is_none() && ran.has == ran.of {
                OwnCopy::Done
            } else {
                OwnCopy::UnderWay
            },
            context: self.context,
        };
        ran.unpruned = pruner.prune(catalog, &mut ran.pruned).err();
    }

    /// Until when entries are locked that are put now.
    fn retain_now(&self) -> Option<chrono::DateTime<chrono::Utc>> {
        let now = self.context.clock.now();
        let today = local_date(now, self.config.timezone);
        retain_until_in(self.store, self.home.config, today, now)
    }

    /// Returns the archives that the copy lacks, in the order of copying. What the plan leaves out stops the run at its
    /// end.
    fn lacking(
        &self,
        visible: Vec<ArchiveEntry>,
        ran: &mut CopyRan,
        catalog: &Catalog,
    ) -> Result<Vec<Lacking>, Error> {
        let row = &self.home.row;
        let placed = catalog.placed(self.place)?;
        // What a check found damaged there is brought again as far as it is missing. Other bytes under a key are never
        // replaced here.
        let copied: BTreeSet<ArchiveId> = placed
            .iter()
            .filter(|placed| placed.copied_at.is_some() && placed.damaged_at.is_none())
            .map(|placed| placed.archive)
            .collect();
        let with_contents: BTreeSet<ArchiveId> =
            catalog.placed_contents(self.place)?.into_iter().collect();
        let of_entry = |entry: &ArchiveEntry| {
            let mut listed = as_listed(&row.directory, entry);
            // Contents that were attached after the archive was copied are still to be brought.
            if !with_contents.contains(&entry.id) {
                listed.retain(|object| !is_contents(&object.key));
            }
            (entry.id, listed)
        };
        let there = visible.iter().filter(|entry| copied.contains(&entry.id));
        let there = there.map(of_entry).collect();
        let plan = plan_of(row, &visible, there, copied, catalog)?;
        let mut entries: BTreeMap<ArchiveId, ArchiveEntry> =
            visible.into_iter().map(|entry| (entry.id, entry)).collect();
        let mut lacks = Vec::new();
        for line in plan.lines {
            match line.fate {
                CopyFate::There => ran.has += 1,
                CopyFate::Copy => {
                    if let Some(entry) = entries.remove(&line.archive) {
                        let segments = self.lacking_segments(&entry, catalog)?;
                        lacks.push(Lacking { entry, segments });
                    }
                }
                CopyFate::LeftOut => {
                    let error = CopyError::LeftOut {
                        source_name: row.name.clone(),
                        archive: line.archive,
                        to: self.there.row.store.clone(),
                        reason: line.reason,
                    };
                    ran.stopped.get_or_insert(error.into());
                }
            }
        }
        Ok(lacks)
    }

    /// Returns the segments of an archive that the copy lacks. One that an earlier run has brought, and that is not
    /// there any more, is lacking again.
    fn lacking_segments(
        &self,
        entry: &ArchiveEntry,
        catalog: &Catalog,
    ) -> Result<BTreeSet<u32>, Error> {
        let brought = catalog.placed_segments(self.place, &entry.id)?;
        let shown = if brought.is_empty() {
            HashMap::new()
        } else {
            listing(self.there, &entry.id)?
        };
        let objects = ArchiveObject::of_entry(&self.there.row.directory, entry);
        let lacking = objects.filter_map(|object| {
            let index = object.segment()?;
            let is_there = brought.iter().any(|(brought, _)| *brought == index)
                && shown.contains_key(&object.key);
            (!is_there).then_some(index)
        });
        Ok(lacking.collect())
    }

    /// Copies the archives that the copy lacks, and the ledger once one of them is whole. Where home thaws only so much at
    /// once, what comes next is asked for as soon as the first is copied.
    fn bring(
        &self,
        visible: Vec<ArchiveEntry>,
        ledger: &mut LedgerCopy,
        ran: &mut CopyRan,
        catalog: &mut Catalog,
    ) -> Result<(), Error> {
        let mut lacks = self.lacking(visible, ran, catalog)?;
        loop {
            let HomeHas {
                readable,
                left,
                awaited,
            } = self.readable(lacks, ran, catalog)?;
            ran.awaited = awaited;
            let bytes = readable
                .iter()
                .map(|(lacking, _)| lacking.sealed_bytes())
                .sum();
            let begun = Instant::now();
            let failed = self.transfer(readable, ledger, ran, catalog)?;
            note_download(self.home, bytes, begun.elapsed(), catalog)?;
            let is_in_parts = self.asked.thaw.is_some() && self.home.store.thaw_window().is_some();
            lacks = left;
            lacks.retain(|lacking| !failed.contains(&lacking.entry.id));
            if bytes == 0 || lacks.is_empty() || !is_in_parts {
                return Ok(());
            }
        }
    }

    /// Copies what can be read now. Returns the archives of which something could not be copied.
    fn transfer(
        &self,
        readable: Vec<Bringable>,
        ledger: &mut LedgerCopy,
        ran: &mut CopyRan,
        catalog: &mut Catalog,
    ) -> Result<BTreeSet<ArchiveId>, Error> {
        let mut failed = BTreeSet::new();
        let now = self.context.clock.now();
        let to_copy: Vec<ToCopy> = readable
            .into_iter()
            .map(|(lacking, rest)| ToCopy {
                retain_until: retain_until_in(
                    self.store,
                    self.home.config,
                    lacking.entry.chain.date,
                    now,
                ),
                entry: lacking.entry,
                segments: lacking.segments,
                rest,
            })
            .collect();
        let transfer = Transfer {
            home: self.home,
            there: self.there,
            place: self.place,
            class: self.store.storage_class(),
            at_once: AtOnce {
                asked_for: self
                    .store
                    .uploads()
                    .max(self.config.store_of(self.home.config)?.uploads()),
                memory_limit: self.config.memory_limit,
            },
            context: self.context,
        };
        if !to_copy.is_empty() {
            self.context.observer.event(Event::CopyingBegun {
                source: self.home.name().clone(),
                to: self.there.row.store.clone(),
                archives: to_copy.len(),
                sealed_bytes: to_copy.iter().map(ToCopy::sealed_bytes).sum(),
            });
        }
        transfer.archives(&to_copy, catalog, &mut |archive, whole, catalog| {
            let id = archive.entry.id;
            if whole.is_err() {
                failed.insert(id);
            }
            match whole {
                // A listing shows no bytes: what reading found damaged there is not brought again.
                Ok(_) if self.is_damaged_there(&id, catalog)? => {
                    let error = CopyError::LeftOut {
                        source_name: self.home.name().clone(),
                        archive: id,
                        to: self.there.row.store.clone(),
                        reason: "a check found it damaged there".to_owned(),
                    };
                    ran.stopped.get_or_insert(error.into());
                }
                Ok(CopiedWhole { without_contents }) => {
                    if let Some(error) = without_contents {
                        let error = ContentsFault::NotCopied {
                            archive: id,
                            to: self.there.row.store.clone(),
                            source: Box::new(error),
                        };
                        ran.stopped.get_or_insert(error.into());
                    }
                    ran.has += 1;
                    ran.copied.push(CopiedArchive {
                        id,
                        sealed_bytes: archive.entry.sealed_bytes,
                    });
                    ran.entries += ledger.put(self.home, self.there, self.retain_now())?;
                    self.context.observer.event(Event::Copied {
                        source: self.home.name().clone(),
                        to: self.there.row.store.clone(),
                        archive: id,
                        sealed_bytes: archive.entry.sealed_bytes,
                    });
                }
                Err(error) => {
                    if self.is_gone(&error, &id, catalog)? {
                        // It was retired meanwhile. What the copy has of it are orphaned objects.
                        catalog.forget_placed(self.place, &id)?;
                        ran.of -= 1;
                    } else {
                        let error = CopyError::NotCopied {
                            archive: id,
                            to: self.there.row.store.clone(),
                            source: Box::new(error),
                        };
                        ran.stopped.get_or_insert(error.into());
                    }
                }
            }
            Ok(())
        })?;
        Ok(failed)
    }

    /// Whether a check has found an archive damaged in the copy, and no later one has shown that it is sound.
    fn is_damaged_there(&self, id: &ArchiveId, catalog: &Catalog) -> Result<bool, Error> {
        let placed = catalog.placed(self.place)?;
        let mut of_archive = placed.iter().filter(|placed| placed.archive == *id);
        Ok(of_archive.any(|placed| placed.damaged_at.is_some()))
    }

    /// Whether an archive of which an object is missing or damaged at home is not visible there any more.
    fn is_gone(&self, error: &Error, id: &ArchiveId, catalog: &Catalog) -> Result<bool, Error> {
        if !matches!(error, Error::Restore(RestoreError::SegmentDamaged { .. })) {
            return Ok(false);
        }
        let now = look_again(self.home, self.root, catalog)?;
        Ok(!now.replay.is_visible(id))
    }

    /// Returns what of that can be read at home now. Asks for thaws of what is lacking, and of nothing else, if the run
    /// was asked to.
    fn readable(
        &self,
        mut lacks: Vec<Lacking>,
        ran: &mut CopyRan,
        catalog: &mut Catalog,
    ) -> Result<HomeHas, Error> {
        let status = loop {
            let error = match self.ask_home(&lacks, catalog) {
                Ok(status) => break status,
                Err(error) => error,
            };
            let Error::Restore(RestoreError::SegmentDamaged { archive, .. }) = &error else {
                return Err(error);
            };
            let Some(lost) = lacks.iter().find(|lacking| lacking.entry.id == *archive) else {
                return Err(error);
            };
            // What builds on it would be paid for, and could not be restored. All else is copied.
            let (chain, date) = (lost.entry.chain, lost.entry.date);
            if !self.is_gone(&error, archive, catalog)? {
                ran.stopped.get_or_insert(error);
            }
            lacks.retain(|it| it.entry.chain != chain || it.entry.date < date);
        };
        let unreadable = status.unreadable();
        let (mut readable, mut left) = (Vec::new(), Vec::new());
        for Lacking { entry, segments } in lacks {
            let (cold, segments): (BTreeSet<u32>, BTreeSet<u32>) = segments
                .into_iter()
                .partition(|index| unreadable.contains(&(entry.id, *index)));
            if cold.is_empty() {
                readable.push((Lacking { entry, segments }, Rest::Nothing));
                continue;
            }
            if !segments.is_empty() {
                let entry = entry.clone();
                readable.push((Lacking { entry, segments }, Rest::Awaited));
            }
            left.push(Lacking {
                entry,
                segments: cold,
            });
        }
        Ok(HomeHas {
            readable,
            left,
            awaited: status.awaited(self.home.name()),
        })
    }

    /// Asks home for the state of what the copy lacks, and for the thaws that the run may ask for.
    fn ask_home(&self, lacks: &[Lacking], catalog: &mut Catalog) -> Result<ThawStatus, Error> {
        let archives: Vec<ArchiveId> = lacks.iter().map(|lacking| lacking.entry.id).collect();
        let only = lacks.iter().flat_map(|lacking| {
            let id = lacking.entry.id;
            lacking.segments.iter().map(move |index| (id, *index))
        });
        let only = only.collect();
        let wanted = WantedSegments {
            source: self.home,
            class: self.config.store_of(self.home.config)?.storage_class(),
            archives: &archives,
            only: Some(&only),
            interrupt: self.context.interrupt,
        };
        match self.asked.thaw {
            Some(request) => thaw(&wanted, request, catalog),
            None => thaw_state(&wanted, catalog),
        }
    }
}

/// What can be read at home of an archive, and whether its rest is awaited.
type Bringable = (Lacking, Rest);

/// What home has of what a copy lacks.
struct HomeHas {
    /// What can be read now.
    readable: Vec<Bringable>,
    /// What can't be read yet.
    left: Vec<Lacking>,
    /// What that waits for.
    awaited: Option<Awaited>,
}

/// An archive that the copy does not have whole.
struct Lacking {
    entry: ArchiveEntry,
    /// The segments that it lacks, by index. It may lack the archive's key alone.
    segments: BTreeSet<u32>,
}

impl Lacking {
    /// The bytes of those segments.
    fn sealed_bytes(&self) -> u64 {
        let records = (0..).zip(&self.entry.segments);
        let lacking = records.filter(|(index, _)| self.segments.contains(index));
        lacking.map(|(_, record)| record.sealed_bytes).sum()
    }
}

/// Returns an archive's objects as a listing of the copy shows them that has it whole.
fn as_listed(directory: &str, entry: &ArchiveEntry) -> Vec<ListedObject> {
    let objects = own_objects(directory, entry).into_iter();
    objects
        .map(|(key, bytes)| ListedObject {
            key,
            part: None,
            bytes,
            stored: None,
            class: None,
        })
        .collect()
}
