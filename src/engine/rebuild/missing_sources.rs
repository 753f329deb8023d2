//! Sources that should be in a store, and are not there or not complete.

use std::collections::{BTreeMap, BTreeSet};

use super::old_catalog::Before;
use super::{Rebuilding, Rebuilt, Survey};
use crate::engine::context::open_source::{is_place, store_url};
use crate::engine::ledger::object::require_no_entry;
use crate::error::{Error, LedgerStateError, RebuildError};
use crate::kit::KitSource;
use crate::model::{ArchiveId, SourceName};
use crate::store::Store;

impl Rebuilding<'_> {
    /// Notes the sources that the kit names in this store and of which it has nothing.
    pub(super) fn note_absent(
        &self,
        url: &str,
        store: &dyn Store,
        surveys: &BTreeMap<SourceName, Survey>,
        rebuilt: &mut Rebuilt,
    ) -> Result<(), Error> {
        for named in &self.trusted.sources {
            let mut found = surveys.iter();
            let survey = found.find(|(name, _)| name.as_str() == named.directory);
            let is_here = is_place(&named.store, url);
            let place = format!("{url}/{}", named.directory);
            if survey.is_some_and(|(_, survey)| !survey.entries.is_empty()) {
                continue;
            }
            if is_here || self.stores.len() == 1 {
                require_no_entry(store, &named.directory, 1)?;
            }
            match (named.head, survey) {
                (Some(head), _) if is_here => rebuilt.refused.push((
                    place,
                    Error::LedgerState(LedgerStateError::LedgerBehind {
                        source_name: named.name.clone(),
                        store: url.to_owned(),
                        missing: 1,
                        head: head.seq,
                    }),
                )),
                // A source that was never archived has a ledger id in the kit, and no ledger in the store.
                (None, None) if is_here || self.stores.len() == 1 => rebuilt.remarks.push(format!(
                    "{}: nothing is archived in {place}, as far as the kit knows",
                    named.name
                )),
                _ => {}
            }
        }
        Ok(())
    }

    /// Notes a directory that has archives but no ledger: its ledger is gone. Attempts that this machine
    /// began and did not commit never had one.
    pub(super) fn note_without_ledger(
        &self,
        directory: &SourceName,
        (url, store): (&str, &dyn Store),
        survey: &Survey,
        before: &Before,
        rebuilt: &mut Rebuilt,
    ) -> Result<(), Error> {
        let place = format!("{url}/{directory}");
        let named: Vec<&KitSource> = self.trusted.in_directory(directory.as_str()).collect();
        if named
            .iter()
            .any(|named| named.head.is_some() && is_place(&named.store, url))
        {
            // `note_absent` has already reported that this ledger has gone back.
            return Ok(());
        }
        require_no_entry(store, directory.as_str(), 1)?;
        let own = before.attempts_in(directory, url)?;
        let left: BTreeSet<&ArchiveId> = survey
            .archives
            .keys()
            .filter(|id| !own.contains(id))
            .collect();
        if left.is_empty() {
            return Ok(());
        }
        if !self.trusted.sources.is_empty() && named.is_empty() {
            let why = "it has no ledger, and the recovery kit does not name it";
            rebuilt.left_out.push((place, why.to_owned()));
            return Ok(());
        }
        let objects = left.iter().map(|id| survey.archives[*id].len()).sum();
        rebuilt.refused.push((
            place,
            Error::Rebuild(RebuildError::LedgerGone {
                directory: directory.clone(),
                store: url.to_owned(),
                attempts: left.len(),
                objects,
            }),
        ));
        Ok(())
    }

    /// Notes the sources that the kit names in stores that were not read.
    pub(super) fn note_elsewhere(&self, rebuilt: &mut Rebuilt) {
        for named in &self.trusted.sources {
            let is_read = rebuilt.read.iter().any(|read| read.ledger == named.ledger);
            let mut stores = self.stores.iter();
            if is_read || stores.any(|store| is_place(&named.store, &store_url(store))) {
                continue;
            }
            if named.head.is_some() || self.stores.len() > 1 {
                rebuilt.remarks.push(format!(
                    "{}: the kit names it in {}, a store that was not read",
                    named.name, named.store
                ));
            }
        }
    }
}
