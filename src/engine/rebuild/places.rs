//! Reads the ledgers of all places, each ledger once: at home if home is there, else from a copy.
//!
//! Only the ledger says for certain which place is home. So the places that may be home are read first, and a ledger
//! that moved away from where it was read is read again at its home. Copies are compared with what was read.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, VecDeque};

use super::admit::Admission;
use super::copy_found::CopyFound;
use super::flaw::Flaw;
use super::inventory::Survey;
use super::old_catalog::Before;
use super::read::{ImportedLedger, LedgerPlace, ReadFrom, read_ledger};
use super::rebuilt::Rebuilt;
use super::relink_snapshots;
use super::request::Rebuilding;
use crate::catalog::{Catalog, NewCatalog, PlaceRow, SourceRow};
use crate::config::{Source, StoreConfig};
use crate::engine::context::RunContext;
use crate::engine::context::kit_file::{note_copies_in_kit, note_in_kit};
use crate::engine::context::open_source::{OpenSource, is_place, store_address, store_url};
use crate::engine::copy::found::{take_in, take_in_beside};
use crate::engine::ledger::reader_warnings::{remember_as_of, remember_newer, remember_own_word};
use crate::error::{CopyError, Error, LedgerStateError, RebuildError, TwoPlaces};
use crate::ledger::PublicKey;
use crate::model::entry::Timestamp;
use crate::model::{LedgerId, PlaceId, SourceName};
use crate::store::Store;

/// The stores that could be listed, and the directories in them.
#[derive(Default)]
pub(super) struct SurveyedPlaces<'a> {
    stores: Vec<SurveyedStore<'a>>,
    directories: Vec<SurveyedDirectory>,
}

struct SurveyedStore<'a> {
    config: &'a StoreConfig,
    url: String,
    store: Box<dyn Store + 'a>,
}

struct SurveyedDirectory {
    /// The number of its store.
    store: usize,
    name: SourceName,
    survey: Survey,
}

impl SurveyedDirectory {
    /// Whether the markers say that it is a copy. One that a lock keeps at a place that became home does not count.
    fn is_copy(&self) -> bool {
        self.survey.markers.is_copy && self.survey.markers.homes.is_empty()
    }

    /// The order of reading: what was made home by a move, then what has no marker, then copies; of the same kind the
    /// longest ledger first, since a copy may be behind.
    fn order(&self) -> (u8, Reverse<usize>) {
        let entries = Reverse(self.survey.entries.len());
        match (self.is_copy(), self.survey.markers.homes.is_empty()) {
            (true, _) => (2, entries),
            (false, false) => (0, entries),
            (false, true) => (1, Reverse(0)),
        }
    }

    fn lists_home(&self, place: PlaceId) -> bool {
        self.survey.markers.homes.contains(&place)
    }
}

impl<'a> SurveyedPlaces<'a> {
    /// Adds a store with its directories.
    pub(super) fn add(
        &mut self,
        config: &'a StoreConfig,
        store: Box<dyn Store + 'a>,
        surveys: BTreeMap<SourceName, Survey>,
    ) {
        let at = self.stores.len();
        self.stores.push(SurveyedStore {
            config,
            url: store_url(config),
            store,
        });
        let directories = surveys.into_iter();
        self.directories
            .extend(directories.map(|(name, survey)| SurveyedDirectory {
                store: at,
                name,
                survey,
            }));
    }

    /// Reads the ledgers into the new catalog.
    pub(super) fn read(
        self,
        job: &Rebuilding<'_>,
        before: &Before,
        new: &mut NewCatalog,
        rebuilt: &mut Rebuilt,
        context: RunContext<'_>,
    ) -> Result<(), Error> {
        let Self {
            stores,
            mut directories,
        } = self;
        directories.sort_by_key(SurveyedDirectory::order);
        let only = job.as_of.and_then(|as_of| as_of.only);
        directories.retain(|directory| only.is_none_or(|only| directory.name.as_str() == only));
        let mut reader = PlacesReader {
            job,
            stores: &stores,
            before,
            read_in: HashMap::new(),
            new,
            rebuilt,
            context,
        };
        let mut left = VecDeque::from(directories);
        while let Some(directory) = left.pop_front() {
            let moved_to = reader.read(&directory)?;
            let home = moved_to.and_then(|place| {
                let mut others = left.iter();
                others.position(|other| other.name == directory.name && other.lists_home(place))
            });
            let Some(home) = home.and_then(|at| left.remove(at)) else {
                if let Some(place) = moved_to {
                    reader.note_moved(place);
                }
                continue;
            };
            // It is read at its home now, and then this place is an old home.
            reader.take_back()?;
            left.push_front(directory);
            left.push_front(home);
        }
        Ok(())
    }
}

/// Reads directories in their order.
struct PlacesReader<'a> {
    job: &'a Rebuilding<'a>,
    stores: &'a [SurveyedStore<'a>],
    before: &'a Before,
    /// The number of the store in which each ledger was read.
    read_in: HashMap<LedgerId, usize>,
    new: &'a mut NewCatalog,
    rebuilt: &'a mut Rebuilt,
    context: RunContext<'a>,
}

impl PlacesReader<'_> {
    /// Reads the ledger in a directory, or compares it if it was read before. Returns the place to which it moved, if it
    /// was read and that is another place.
    fn read(&mut self, directory: &SurveyedDirectory) -> Result<Option<PlaceId>, Error> {
        let (job, before) = (self.job, self.before);
        let SurveyedStore { url, store, .. } = &self.stores[directory.store];
        let (name, survey) = (&directory.name, &directory.survey);
        let place = format!("{url}/{name}");
        if survey.entries.is_empty() {
            if directory.is_copy() {
                let told =
                    "it is a copy that has no ledger entry yet; `coldchain copy` continues it";
                self.rebuilt.remarks.push(format!("{place}: {told}"));
                return Ok(None);
            }
            let found = (url.as_str(), store.as_ref());
            job.note_without_ledger(name, found, survey, before, self.rebuilt)?;
            return Ok(None);
        }
        match job.choose(name, url, store.as_ref(), survey, before, self.new)? {
            Admission::Read(root, row) => {
                let configured = directory
                    .is_copy()
                    .then(|| job.home_of_copy(name, url, row.ledger, before))
                    .flatten();
                let source = match configured {
                    Some(home) => home.clone(),
                    None => job.source(&row, url)?,
                };
                let reads = match (directory.is_copy(), configured) {
                    (false, _) => ReadFrom::Home,
                    (true, None) => ReadFrom::OnlyCopy,
                    (true, Some(_)) => ReadFrom::CopyOfHome,
                };
                self.read_first(directory, (&source, row, &root), reads)
            }
            Admission::ReadBefore(known) => self.read_again(directory, &known).map(|()| None),
            Admission::LeaveOut(why) => {
                self.rebuilt.left_out.push((place, why));
                Ok(None)
            }
            Admission::Refuse(error) => {
                self.rebuilt.refused.push((place, error));
                Ok(None)
            }
        }
    }

    /// Reads a ledger that was not read before.
    fn read_first(
        &mut self,
        directory: &SurveyedDirectory,
        (source, row, root): (&Source, SourceRow, &PublicKey),
        reads: ReadFrom,
    ) -> Result<Option<PlaceId>, Error> {
        let (job, before) = (self.job, self.before);
        let there = open_in(&self.stores[directory.store], job, source, &row);
        let home = match reads {
            ReadFrom::CopyOfHome => {
                let config = job.config.expect("a config names the home");
                SourceRow {
                    store: store_url(config.store_of(source)?),
                    ..row
                }
            }
            ReadFrom::Home | ReadFrom::OnlyCopy => SourceRow {
                store: store_address(self.stores[directory.store].config),
                ..row
            },
        };
        self.new.add_source(&home)?;
        let (store, earlier) = (there.store.as_ref(), before.of(&home.ledger));
        let survey = &directory.survey;
        survey.require_all_entries(store, &home.directory, earlier)?;
        let place_of_ledger = LedgerPlace {
            source: &there,
            root,
            survey,
            earlier,
            identities: job.identities,
            until: job.as_of.map(|as_of| as_of.entry),
            reads,
        };
        let mut read = match read_ledger(&place_of_ledger, self.new, self.context) {
            Ok(read) => read,
            Err(
                error @ (Error::LedgerState(LedgerStateError::EntryRefused { .. })
                | Error::Rebuild(RebuildError::LedgerUntrusted { .. })),
            ) => {
                self.new.forget_source(&home)?;
                let url = &self.stores[directory.store].url;
                let place = format!("{url}/{}", directory.name);
                self.rebuilt.refused.push((place, error));
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        if let Some(as_of) = job.as_of {
            // A ledger may end before the entry that was typed.
            let end = read.head.as_ref().map_or(0, |head| head.seq);
            remember_as_of(&home.name, as_of.entry.min(end), self.new)?;
        } else {
            let remark = job.hold_against_kit(&mut read, self.new)?;
            self.rebuilt.remarks.extend(remark);
        }
        if job.trusted.names(&read.ledger) {
            note_in_kit(&home, self.new)?;
        }
        remember_newer(&home.name, read.unknown(), self.new)?;
        if job.trusted.takes_any() {
            remember_own_word(&home.name, root, self.new)?;
        }
        let before = before.catalog.as_ref();
        let regained = relink_snapshots::regain(source, &home, before, self.new, self.context)?;
        read.pins = regained.tied;
        read.of_unknown_origin = regained.of_unknown_origin;
        if reads != ReadFrom::Home {
            self.take_copy(&there, &read, reads)?;
        }
        self.read_in.insert(read.ledger, directory.store);
        let moved_to = read.moved_to.filter(|place| !directory.lists_home(*place));
        self.rebuilt.read.push(read);
        Ok(moved_to)
    }

    /// Records the copy that a ledger was read from, and says what can be done with it.
    fn take_copy(
        &mut self,
        there: &OpenSource<'_>,
        read: &ImportedLedger,
        reads: ReadFrom,
    ) -> Result<(), Error> {
        let now = Timestamp(self.context.clock.now());
        let head = read.head.map_or(0, |head| head.seq);
        let (name, url) = (&read.source, &read.store);
        match take_in(there, head, (now, &self.before.places.checks), self.new) {
            Ok(_) => {}
            Err(error @ Error::Copy(_)) => {
                let place = format!("{url}/{}", read.directory);
                self.rebuilt.refused.push((place, error));
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        let has = read.copied.unwrap_or(0);
        let restore = match reads {
            ReadFrom::CopyOfHome => {
                "`coldchain restore` takes what it needs from there with --place"
            }
            ReadFrom::OnlyCopy | ReadFrom::Home => {
                "`coldchain restore` takes what it needs from there"
            }
        };
        self.rebuilt.remarks.push(format!(
            "{name}: read from its copy in {url}, which has {has} of the {} archives in its ledger: {restore}; to \
             archive there from now on, run `coldchain move {name} --to NAME --abandon-home`",
            read.archives,
        ));
        Ok(())
    }

    /// Compares a ledger that was read before, and records the place if it is a copy.
    fn read_again(
        &mut self,
        directory: &SurveyedDirectory,
        known: &SourceRow,
    ) -> Result<(), Error> {
        let url = &self.stores[directory.store].url;
        let place = format!("{url}/{}", directory.name);
        let mut read = self.rebuilt.read.iter();
        let Some(at) = read.position(|read| read.ledger == known.ledger) else {
            // Its ledger was refused there.
            return Ok(());
        };
        let name = &known.name;
        if self.job.as_of.is_some() {
            let remark = format!("{name}: {place} has its ledger too and was not looked at");
            self.rebuilt.remarks.push(remark);
            return Ok(());
        }
        let read = &self.rebuilt.read[at];
        let first = read.store.clone();
        if !directory.is_copy() {
            let is_old_home = read
                .moved_to
                .is_some_and(|home| !directory.lists_home(home));
            if is_old_home {
                let remark =
                    format!("{name}: {place} was its home before it moved and was not read");
                self.rebuilt.remarks.push(remark);
            } else {
                let error = RebuildError::LedgerTwice {
                    source_name: name.clone(),
                    first: format!("{}/{}", known.store, known.directory),
                    second: place.clone(),
                };
                self.rebuilt.refused.push((place, error.into()));
            }
            return Ok(());
        }
        let (head, of) = (read.head.map_or(0, |head| head.seq), read.archives);
        let is_home = read.copied.is_none();
        let source = self.job.source(known, &first)?;
        let home = OpenSource {
            config: &source,
            row: known.clone(),
            store: Box::new(self.stores[self.read_in[&known.ledger]].store.as_ref()),
        };
        let there = open_in(&self.stores[directory.store], self.job, &source, known);
        let now = Timestamp(self.context.clock.now());
        let checks = &self.before.places.checks;
        let found = match take_in_beside(&home, head, &there, (now, checks), self.new) {
            Ok(found) => found,
            Err(Error::Copy(error)) => {
                let error = of_two_places(error, &first);
                self.rebuilt.refused.push((place, error));
                return Ok(());
            }
            Err(Error::Store(error)) if error.kind.is_out_of_reach() => {
                self.rebuilt.unread.push((url.clone(), error));
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        if is_home && found.head == head && found.archives == of {
            self.new.place_reached(found.place.id, now)?;
        }
        self.rebuilt.read[at].copies.push(CopyFound {
            store: url.clone(),
            head: found.head,
            archives: found.archives,
        });
        Ok(())
    }

    /// Takes the ledger that was read last out of the catalog again.
    fn take_back(&mut self) -> Result<(), Error> {
        if let Some(read) = self.rebuilt.read.pop() {
            self.read_in.remove(&read.ledger);
            self.new.drop_source(&read.source, &read.ledger)?;
        }
        Ok(())
    }

    /// Notes that the home of a ledger was not given.
    fn note_moved(&mut self, place: PlaceId) {
        if let Some(read) = self.rebuilt.read.last() {
            let remark = format!(
                "{}: its ledger in {} says that another place is home, with the id {place}: give that store with \
                 --store too",
                read.source, read.store
            );
            self.rebuilt.remarks.push(remark);
        }
    }
}

/// Opens a source in a directory. Its row names the store as the config does, so that a later run finds it.
fn open_in<'s>(
    at: &'s SurveyedStore<'_>,
    job: &Rebuilding<'_>,
    source: &'s Source,
    row: &SourceRow,
) -> OpenSource<'s> {
    let configured = job
        .config
        .into_iter()
        .flat_map(|config| config.stores.values());
    let is_configured = configured
        .into_iter()
        .any(|store| store_url(store) == at.url);
    OpenSource {
        config: source,
        row: SourceRow {
            store: if is_configured {
                at.url.clone()
            } else {
                store_address(at.config)
            },
            ..row.clone()
        },
        store: Box::new(at.store.as_ref()),
    }
}

/// Names both places of a copy that is not what home is.
fn of_two_places(error: CopyError, home: &str) -> Error {
    let home = home.to_owned();
    match error {
        CopyError::Ahead {
            source_name,
            store,
            seq,
            head,
        } => RebuildError::CopyAhead(Box::new(TwoPlaces {
            source_name,
            home,
            copy: store,
            seq,
            head,
        }))
        .into(),
        CopyError::Differs {
            source_name,
            store,
            seq,
        } => RebuildError::CopyDiffers(Box::new(TwoPlaces {
            source_name,
            home,
            copy: store,
            seq,
            head: seq,
        }))
        .into(),
        error => error.into(),
    }
}

impl Rebuilding<'_> {
    /// Notes the sources all of whose copies the kit names.
    pub(super) fn note_copies_of_kit(&self, new: &mut NewCatalog) -> Result<(), Error> {
        for row in new.sources()? {
            let named: Vec<&str> = self
                .trusted
                .sources
                .iter()
                .filter(|source| source.ledger == row.ledger)
                .flat_map(|source| source.copies.iter().map(String::as_str))
                .collect();
            let places = new.places(&row.ledger)?;
            let is_named = |place: &PlaceRow| named.iter().any(|url| is_place(url, &place.store));
            if !places.is_empty() && places.iter().all(is_named) {
                note_copies_in_kit(&row, new)?;
            }
        }
        Ok(())
    }

    /// Notes what the kit knows of a ledger and the store does not show. A copy may be behind: then the remark about
    /// that is returned.
    fn hold_against_kit(
        &self,
        read: &mut ImportedLedger,
        new: &Catalog,
    ) -> Result<Option<String>, Error> {
        let witness = "the recovery kit";
        let newest = read.head.map_or(0, |head| head.seq);
        let named = self.trusted.sources.iter();
        let mut behind = None;
        for head in named
            .filter(|source| source.ledger == read.ledger)
            .filter_map(|source| source.head)
        {
            if head.seq > newest && read.copied.is_some() {
                behind = Some(format!(
                    "{}: its copy in {} is behind: it has entries up to {newest}, and the recovery kit knows entries \
                     up to {}",
                    read.source, read.store, head.seq
                ));
            } else if head.seq > newest {
                let missing = newest + 1..=head.seq;
                read.flaws.push(Flaw::Behind { missing, witness });
            } else if new
                .entry_hash(&read.ledger, head.seq)?
                .is_some_and(|hash| hash != head.hash)
            {
                let seq = head.seq;
                read.flaws.push(Flaw::Changed { seq, witness });
            }
        }
        Ok(behind)
    }
}
