//! What lies in a store, by one listing: whose ledgers, and which archives' objects.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::error::Error;
use crate::model::{ArchiveId, SourceName, keys};
use crate::store::{Listed, Store};

/// What lies in a source's directory.
#[derive(Debug, Default)]
pub(in crate::engine) struct Survey {
    /// The numbers of its ledger's entries, in order.
    pub(in crate::engine) entries: Vec<u64>,
    /// The objects of each archive, or attempt at one, by key.
    pub(in crate::engine) archives: BTreeMap<ArchiveId, HashMap<String, Listed>>,
    /// Archives whose objects lie with another source of the store, and not with this one.
    pub(in crate::engine) elsewhere: BTreeSet<ArchiveId>,
}

/// Objects that no ledger entry names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unnamed {
    /// Of how many attempts.
    pub attempts: u64,
    /// How many.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Lists a store, and tells the sources' directories in it. Whatever else lies there is not ours.
pub(in crate::engine) fn survey(store: &dyn Store) -> Result<BTreeMap<SourceName, Survey>, Error> {
    let mut surveys: BTreeMap<SourceName, Survey> = BTreeMap::new();
    for listed in store.list("")? {
        let Some((directory, _)) = listed.key.split_once('/') else {
            continue;
        };
        let Ok(name) = directory.parse::<SourceName>() else {
            continue;
        };
        let directory = directory.to_owned();
        surveys.entry(name).or_default().note(&directory, listed);
    }
    surveys.retain(|_, survey| !survey.entries.is_empty() || !survey.archives.is_empty());
    let all: BTreeSet<ArchiveId> = surveys
        .values()
        .flat_map(|survey| survey.archives.keys().copied())
        .collect();
    for survey in surveys.values_mut() {
        let elsewhere = all.iter().filter(|id| !survey.archives.contains_key(id));
        survey.elsewhere = elsewhere.copied().collect();
    }
    Ok(surveys)
}

/// The same for one source.
pub(in crate::engine) fn survey_of(store: &dyn Store, directory: &str) -> Result<Survey, Error> {
    let mut survey = Survey::default();
    for listed in store.list(&keys::source_prefix(directory))? {
        survey.note(directory, listed);
    }
    Ok(survey)
}

impl Survey {
    fn note(&mut self, directory: &str, listed: Listed) {
        if let Some(seq) = keys::ledger_seq(directory, &listed.key) {
            let at = self.entries.partition_point(|known| *known < seq);
            self.entries.insert(at, seq);
        } else if let Some((archive, _)) = keys::archive_of(directory, &listed.key) {
            let objects = self.archives.entry(archive).or_default();
            objects.insert(listed.key.clone(), listed);
        }
    }

    /// The objects of those archives that are not known.
    pub(in crate::engine) fn unnamed(&self, known: impl Fn(&ArchiveId) -> bool) -> Unnamed {
        let mut unnamed = Unnamed::default();
        for (_, objects) in self.archives.iter().filter(|(id, _)| !known(id)) {
            unnamed.attempts += 1;
            unnamed.objects += objects.len() as u64;
            unnamed.bytes += objects
                .values()
                .map(|listed| listed.stat.bytes)
                .sum::<u64>();
        }
        unnamed
    }
}
