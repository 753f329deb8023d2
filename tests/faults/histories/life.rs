//! One source's life, step by step, and what is known of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};
use coldchain::catalog::{Catalog, SourceRow};
use coldchain::config::PruneMode;
use coldchain::engine::{self, Clock, OpenCatalog, OpenStore, RunContext};
use coldchain::model::archive::ArchiveState;
use coldchain::model::{ArchiveId, Sha256};
use coldchain::plan::{Request, Schedule};
use coldchain::seal::Identities;
use coldchain::store::Store;

use super::ledger::Ledger;
use super::night::{Night, Sky, bad, struck};
use super::step::{Bad, Step, When};
use super::streams::{Content, Length, Printed};
use super::tally::Tally;
use crate::common::faults::{Faults, FaultyStore};
use crate::common::lab::{Lab, SOURCE};

/// A chain is full soon, so that there are several.
pub(super) const MAX_INCREMENTALS: u32 = 3;

/// After so many steps the catalog is held against one that is read from the store.
const REBUILD_EVERY: usize = 20;

/// A source, and what is known of it.
pub(super) struct Life<'a> {
    pub(super) lab: Lab,
    pub(super) tally: &'a Tally,
    pub(super) identities: Identities,
    pub(super) schedule: Schedule,
    /// The day that it really is.
    pub(super) date: NaiveDate,
    pub(super) ledger: Ledger,
    /// What stands, by date: the stream of which the archive was made.
    pub(super) stands: BTreeMap<NaiveDate, (ArchiveId, Printed)>,
    /// The digests of all objects that there ever were.
    pub(super) written: BTreeMap<String, Sha256>,
    /// Copies of the catalog.
    pub(super) kept: Vec<Vec<u8>>,
    pub(super) steps: usize,
}

pub(super) struct Fixed(pub(super) DateTime<Utc>);

impl Clock for Fixed {
    fn now(&self) -> DateTime<Utc> {
        self.0
    }
}

pub(super) fn noon(date: NaiveDate) -> DateTime<Utc> {
    let noon = NaiveTime::from_hms_opt(12, 0, 0).unwrap();
    date.and_time(noon).and_utc()
}

impl<'a> Life<'a> {
    pub(super) fn new(tally: &'a Tally) -> Self {
        let mut lab = Lab::new();
        lab.config.sources[0].schedule.max_incrementals = MAX_INCREMENTALS;
        // Prunes are steps of their own.
        lab.config.prune = PruneMode::Elsewhere;
        Self {
            identities: lab.identities(),
            schedule: engine::schedule(&lab.config.sources[0]),
            lab,
            tally,
            date: NaiveDate::from_ymd_opt(2025, 12, 30).unwrap(),
            ledger: Ledger::default(),
            stands: BTreeMap::new(),
            written: BTreeMap::new(),
            kept: Vec::new(),
            steps: 0,
        }
    }

    pub(super) fn take(&mut self, step: &Step) {
        self.steps += 1;
        match *step {
            Step::Night(when, content) => self.night(&Night::clear(when, content)),
            Step::Full(when, content) => self.night(&Night {
                request: Request::Full,
                ..Night::clear(when, content)
            }),
            Step::Struck(when, content, at, mode) => {
                self.night(&Night::rough(when, content, struck(at, mode)));
            }
            Step::Broken(when, content, broken) => self.night(&Night {
                broken: Some(broken),
                ..Night::clear(when, content)
            }),
            Step::Clock(when, content, ahead, date_override) => self.night(&Night {
                ahead,
                date_override,
                ..Night::clear(when, content)
            }),
            Step::Earlier(days, content) => {
                let today = self.date;
                self.date = today - Days::new(days);
                self.night(&Night::clear(When::Same, content));
                self.date = today;
            }
            Step::Bad(when, content, what) => {
                let before = self.objects();
                self.night(&Night::rough(when, content, bad(what)));
                if what != Bad::ListArchives {
                    assert_eq!(self.objects(), before, "a bad store was written to");
                }
            }
            Step::Garbage => self.garbage(),
            Step::Overtaken(when, content) => self.overtaken(when, content),
            Step::LostSegment(which) => self.lose_an_object(which),
            Step::LostRows(entries) => self.lose_rows(entries),
            Step::Keep => self.keep(),
            Step::PutBack(which) => self.put_back(which),
            Step::Prune(days, ahead) => self.prune(days, ahead, &Faults::none(), Sky::Clear),
            Step::StruckPrune(days, at, mode) => {
                self.prune(days, 0, &struck(at, mode), Sky::Rough);
            }
        }
        if self.steps.is_multiple_of(REBUILD_EVERY) {
            self.recover();
        }
    }

    /// Whatever has befallen it: runs that nothing befalls bring it to where it should be.
    pub(super) fn recover(&mut self) {
        let content = Content {
            length: Length::Short,
            tail: 9,
        };
        self.night(&Night::clear(When::Same, content));
        self.night(&Night::clear(When::Slot, content));
        assert_eq!(self.stands.keys().last(), Some(&self.date));
        self.night(&Night::clear(When::Same, content));
        self.can_be_rebuilt();
        let (catalog, row) = self.catalog();
        let archives = catalog.archives(&row.expect("it is known").ledger).unwrap();
        let newest = archives.last().expect("one was just committed").chain;
        for archive in archives {
            let (id, seen) = (archive.id, archive.verified_at);
            assert_eq!(archive.state, ArchiveState::Committed, "{id}");
            assert_eq!(archive.damaged_at, None, "{id}");
            assert!(
                seen.is_some() || archive.chain != newest,
                "{id} was never verified"
            );
        }
    }

    /// The day of that run.
    pub(super) fn go(&mut self, when: When) {
        self.date = match when {
            When::Same => self.date,
            When::Slot => self.schedule.next_slot_after(self.date),
            When::After(days) => self.date + Days::new(days),
        };
        self.lab.store.set_now(noon(self.date));
    }

    pub(super) fn catalog(&self) -> (Catalog, Option<SourceRow>) {
        let catalog = self.lab.catalog();
        let row = catalog.source(&SOURCE.parse().unwrap()).unwrap();
        (catalog, row)
    }

    /// The attempts that the catalog takes for unfinished.
    pub(super) fn open_attempts(&self) -> Vec<ArchiveId> {
        let (catalog, Some(row)) = self.catalog() else {
            return Vec::new();
        };
        let rows = catalog.archives(&row.ledger).unwrap().into_iter();
        let open = rows.filter(|row| {
            matches!(
                row.state,
                ArchiveState::Unfinished | ArchiveState::Committing
            )
        });
        open.map(|row| row.id)
            .filter(|id| !self.ledger.archives.contains_key(id))
            .collect()
    }

    /// Everything in the store.
    pub(super) fn objects(&self) -> BTreeSet<String> {
        let listed = self.lab.store.list("").unwrap();
        listed.into_iter().map(|listed| listed.key).collect()
    }

    pub(super) fn in_context<T>(
        &self,
        clock: &Fixed,
        faults: &Arc<Faults>,
        act: impl FnOnce(RunContext<'_>) -> T,
    ) -> T {
        let catalogs: &OpenCatalog<'_> =
            &|state_dir| Ok(state_dir.catalog()?.watched(Arc::clone(faults) as _));
        let stores: &OpenStore<'_> = &|_, _| {
            let store = Arc::clone(&self.lab.store);
            Ok(Box::new(FaultyStore::new(store, Arc::clone(faults))))
        };
        act(RunContext {
            clock,
            catalogs,
            stores,
            stay_awake: false,
            ..RunContext::real(self.tally)
        })
    }
}
