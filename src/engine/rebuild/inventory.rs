//! The contents of a store from one listing: ledgers, and the objects of archives.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::old_ledger::Earlier;
use crate::engine::ledger::markers::PlaceMarkers;
use crate::engine::ledger::object::{EntryNumbers, require_no_entry};
use crate::error::Error;
use crate::model::{ArchiveId, SourceName, keys};
use crate::store::{Listed, Stat, Store};

/// How many missing numbers between others are checked in the store. There are hardly ever any.
const MOST_GAPS: usize = 16;

/// The contents of a source's directory.
#[derive(Debug, Default)]
pub(in crate::engine) struct Survey {
    /// The numbers of its ledger's entries, in ascending order.
    pub(in crate::engine) entries: Vec<u64>,
    /// The objects of each archive, or attempt at one, by key.
    pub(in crate::engine) archives: BTreeMap<ArchiveId, HashMap<String, Stat>>,
    /// Archives whose objects lie with another source of the store, and not with this one.
    pub(in crate::engine) elsewhere: Elsewhere,
    /// The markers beside the entries.
    pub(in crate::engine) markers: PlaceMarkers,
}

/// The directories of all archives of a store, as seen from one source.
#[derive(Debug, Default)]
pub(in crate::engine) struct Elsewhere {
    /// Each archive with the number of a source that has objects of it, in order. All sources share it: a
    /// store may have many sources, and a writer may add any number.
    all: Arc<[(ArchiveId, usize)]>,
    /// The number of this source.
    own: usize,
}

impl Elsewhere {
    /// Returns whether another source has objects of the archive, and this one has none.
    pub(in crate::engine) fn contains(&self, archive: &ArchiveId) -> bool {
        let from = self.all.partition_point(|(id, _)| id < archive);
        let mut sources = self.all[from..]
            .iter()
            .take_while(|(id, _)| id == archive)
            .map(|(_, source)| *source)
            .peekable();
        sources.peek().is_some() && sources.all(|source| source != self.own)
    }
}

/// Counts of the orphaned objects of a source: those of archive ids that no ledger entry names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unnamed {
    /// The number of attempts that they belong to.
    pub attempts: u64,
    /// The number of objects.
    pub objects: u64,
    /// The sum of their bytes.
    pub bytes: u64,
}

/// Lists a store, and finds the sources' directories in it. Ignores everything else.
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
    surveys.retain(|_, survey| {
        survey.sort();
        !survey.entries.is_empty() || !survey.archives.is_empty()
    });
    note_elsewhere(&mut surveys);
    Ok(surveys)
}

/// Tells each source which archives have objects below another source.
fn note_elsewhere(surveys: &mut BTreeMap<SourceName, Survey>) {
    let mut all: Vec<(ArchiveId, usize)> = Vec::new();
    for (source, survey) in surveys.values().enumerate() {
        all.extend(survey.archives.keys().map(|id| (*id, source)));
    }
    all.sort_unstable();
    let all: Arc<[_]> = all.into();
    for (own, survey) in surveys.values_mut().enumerate() {
        survey.elsewhere = Elsewhere {
            all: Arc::clone(&all),
            own,
        };
    }
}

/// Lists one source.
pub(in crate::engine) fn survey_of(store: &dyn Store, directory: &str) -> Result<Survey, Error> {
    let mut survey = Survey::default();
    for listed in store.list(&keys::source_prefix(directory))? {
        survey.note(directory, listed);
    }
    survey.sort();
    Ok(survey)
}

impl Survey {
    fn note(&mut self, directory: &str, listed: Listed) {
        if let Some(seq) = keys::ledger_seq(directory, &listed.key) {
            self.entries.push(seq);
        } else if let Some((archive, _)) = keys::archive_of(directory, &listed.key) {
            let objects = self.archives.entry(archive).or_default();
            objects.insert(listed.key, listed.stat);
        } else {
            self.markers.note(directory, &listed.key);
        }
    }

    /// Sorts the numbers after all are noted. Names of large numbers sort before those of small ones, and a
    /// store may list in any order.
    fn sort(&mut self) {
        self.entries.sort_unstable();
        self.entries.dedup();
    }

    /// Checks that the store has no entries besides the listed ones: not the next one, not the newest of
    /// those that are `known`, and not the first numbers that are missing between others.
    pub(in crate::engine) fn require_all_entries(
        &self,
        store: &dyn Store,
        directory: &str,
        known: &Earlier,
    ) -> Result<(), Error> {
        let known = known.entries.keys().next_back().copied();
        let listed = EntryNumbers::of(self.entries.clone(), known.unwrap_or(0)).near;
        let next = listed.last().map_or(1, |last| last + 1);
        let gaps = (1..next).filter(|seq| listed.binary_search(seq).is_err());
        let missing = gaps.take(MOST_GAPS).chain([next]);
        for seq in missing.chain(known.filter(|seq| *seq > next)) {
            require_no_entry(store, directory, seq)?;
        }
        Ok(())
    }

    /// Counts the objects of the archives for which `known` is false.
    pub(in crate::engine) fn unnamed(&self, known: impl Fn(&ArchiveId) -> bool) -> Unnamed {
        let mut unnamed = Unnamed::default();
        for (_, objects) in self.archives.iter().filter(|(id, _)| !known(id)) {
            unnamed.attempts += 1;
            unnamed.objects += objects.len() as u64;
            unnamed.bytes += objects.values().map(|stat| stat.bytes).sum::<u64>();
        }
        unnamed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Sha256;
    use crate::store::{MemoryStore, NewObject, ObjectKind};

    fn id(number: usize) -> ArchiveId {
        format!("2026-11-21-full-{number:016x}").parse().unwrap()
    }

    fn store(keys: impl IntoIterator<Item = String>) -> MemoryStore {
        let store = MemoryStore::default();
        for key in keys {
            let object = NewObject::new(&key, Vec::new(), Sha256::of(b""), ObjectKind::Ledger);
            store.put_if_absent(&object).unwrap();
        }
        store
    }

    #[test]
    fn an_archive_is_elsewhere_if_another_source_has_it_and_this_one_has_not() {
        let store = store([
            keys::archive_key("a", &id(1)),
            keys::archive_key("a", &id(2)),
            keys::archive_key("b", &id(2)),
            keys::archive_key("b", &id(3)),
            keys::archive_key("c", &id(3)),
        ]);
        let surveys = survey(&store).unwrap();
        let elsewhere = |name: &str| {
            let survey = &surveys[&name.parse().unwrap()];
            (0..5)
                .filter(|number| survey.elsewhere.contains(&id(*number)))
                .collect::<Vec<_>>()
        };
        assert_eq!(elsewhere("a"), [3]);
        assert_eq!(elsewhere("b"), [1]);
        assert_eq!(elsewhere("c"), [1, 2]);
    }

    #[test]
    fn what_many_directories_know_of_each_other_is_kept_once() {
        let many = 2000;
        let store = store((0..many).map(|at| keys::archive_key(&format!("foreign-{at}"), &id(at))));
        let surveys = survey(&store).unwrap();
        assert_eq!(surveys.len(), many);
        let first = &surveys.values().next().unwrap().elsewhere;
        assert_eq!(first.all.len(), many);
        for survey in surveys.values() {
            assert!(Arc::ptr_eq(&survey.elsewhere.all, &first.all));
        }
    }

    #[test]
    fn entries_come_in_the_order_of_their_numbers_and_not_of_their_names() {
        let numbers = [7, 99_999_999, 100_000_000, 3];
        let store = store(numbers.map(|seq| keys::ledger_entry("home", seq)));
        let expected = [3, 7, 99_999_999, 100_000_000];
        assert_eq!(survey_of(&store, "home").unwrap().entries, expected);
        let surveys = survey(&store).unwrap();
        assert_eq!(surveys[&"home".parse().unwrap()].entries, expected);
    }
}
