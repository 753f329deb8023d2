//! A prune, and what it must have left alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use coldchain::engine::{self, PruneAsked};
use coldchain::error::{Error, ExitCode};
use coldchain::model::{ArchiveId, keys};
use coldchain::plan::Fate;
use coldchain::plan::strays::QUIET_DAYS;
use coldchain::store::Store;

use super::ledger::{GARBAGE, Ledger};
use super::life::{Fixed, Life, noon};
use super::night::Sky;
use super::step::When;
use crate::common::faults::Faults;
use crate::common::lab::SOURCE;

impl Life<'_> {
    /// A prune, and a look at what it removed.
    pub(super) fn prune(&mut self, days: u64, ahead: i64, faults: &Arc<Faults>, sky: Sky) {
        self.go(When::After(days));
        let store = Arc::clone(&self.lab.store);
        let before = store.list(&keys::archives_prefix(SOURCE)).unwrap();
        let mut newest: BTreeMap<ArchiveId, DateTime<Utc>> = BTreeMap::new();
        for listed in &before {
            let (id, _) = keys::archive_of(SOURCE, &listed.key).unwrap();
            let newest = newest.entry(id).or_insert(listed.stat.modified);
            *newest = listed.stat.modified.max(*newest);
        }
        let quiet = |id: &ArchiveId| noon(self.date) - newest[id] >= TimeDelta::days(QUIET_DAYS);
        let clock = Fixed(noon(self.date) + TimeDelta::days(ahead));
        let config = &self.lab.config;
        // No chain's time is over: of these, others tell.
        let asked = PruneAsked {
            date: NaiveDate::MIN,
            yes_delete: None,
        };
        let foreseen = self.in_context(&clock, &Faults::none(), |context| {
            engine::foresee_prune(config, &config.sources[0], asked, context)
        });
        let outcome = self.in_context(&clock, faults, |context| {
            engine::prune(config, &config.sources[0], asked, context).map_err(Error::from)
        });
        if faults.has_struck() {
            self.tally.count("prunes struck");
        }
        let after = self.objects();
        for listed in &before {
            let (id, _) = keys::archive_of(SOURCE, &listed.key).unwrap();
            assert!(
                after.contains(&listed.key) || quiet(&id),
                "{} went too soon",
                listed.key
            );
        }
        let retired_before = self.ledger.retired.clone();
        self.look_after_prune(&before.iter().map(|it| it.key.clone()).collect(), &after);
        match outcome {
            Ok(pruned) => {
                let foreseen = foreseen.unwrap().plan;
                assert_eq!(
                    pruned.plan, foreseen,
                    "what was done, and what was foreseen"
                );
                let removed = pruned.plan.strays;
                for _ in removed.with(Fate::Retire) {
                    self.tally.count("attempts retired");
                }
                for _ in removed.with(Fate::Remove) {
                    self.tally.count("attempts swept away");
                }
            }
            Err(error) if sky == Sky::Rough => {
                assert_eq!(error.exit_code(), ExitCode::Failed, "{error:?}");
                return;
            }
            Err(error) => panic!("{error:?}"),
        }
        self.nothing_stray_is_left(&newest, &retired_before, ahead);
    }

    fn look_after_prune(&mut self, before: &BTreeSet<String>, after: &BTreeSet<String>) {
        assert_eq!(self.look(None), []);
        for id in self.open_attempts() {
            let prefix = keys::archive_prefix(SOURCE, &id);
            let mut own = before.iter().filter(|key| key.starts_with(&prefix));
            assert!(own.all(|key| after.contains(key)), "{id} is still open");
            assert!(!self.ledger.retired.contains_key(&id), "{id} was retired");
        }
    }

    /// After a prune that has come to its end.
    fn nothing_stray_is_left(
        &self,
        newest: &BTreeMap<ArchiveId, DateTime<Utc>>,
        retired_before: &BTreeMap<ArchiveId, u64>,
        ahead: i64,
    ) {
        let store = &self.lab.store;
        let stored = |seq: u64| {
            let stat = store.stat(&store.locate(&Ledger::key(seq))).unwrap();
            stat.modified
        };
        let open = self.open_attempts();
        let entries = store.list(&keys::ledger_prefix(SOURCE)).unwrap();
        let garbage = entries
            .iter()
            .any(|entry| entry.stat.bytes == GARBAGE.len() as u64);
        let now = noon(self.date);
        let archives = self.ledger.archives.values();
        let newest_archive = archives.map(|entry| entry.id.date).max().map(noon);
        let held = ahead.abs() > 1
            || newest_archive.is_none_or(|newest| now - newest > TimeDelta::days(35));
        for (id, newest) in newest {
            if held || open.contains(id) || now - *newest < TimeDelta::days(QUIET_DAYS) {
                continue;
            }
            let left = store.list(&keys::archive_prefix(SOURCE, id)).unwrap();
            if let Some(entry) = self.ledger.archives.get(id) {
                let contents = entry.contents.iter().flat_map(|record| &record.objects);
                let own = entry.segments.len() + contents.count() + 1;
                assert_eq!(left.len(), own, "{id}: {left:?}");
                continue;
            }
            let grace = match retired_before.get(id) {
                Some(seq) => now - stored(*seq) < TimeDelta::days(QUIET_DAYS),
                // While there is garbage in the ledger it may be what archives the attempt.
                None => self.ledger.retired.contains_key(id) || garbage,
            };
            assert!(grace || left.is_empty(), "{id} is left: {left:?}");
        }
    }
}
