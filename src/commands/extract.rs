//! `coldchain extract`: bring files back out of an archive, on any filesystem.

mod paths;
mod report;

use std::path::Path;

use super::identity::ask_for_identities;
use super::output::observer;
use super::prompt::{Agreed, confirm};
use super::restore::{thaw_request, which};
use super::{activity_log, load_to_read, recorded, require_catalog, today, warn_of_copy};
use crate::activity_log::{ActivityLog, LogLine};
use crate::catalog::Catalog;
use crate::cli::{Everywhere, Extract};
use crate::config::{Config, Source};
use crate::engine::{
    AllNames, AtOnce, Clock, Estimate, ExtractEnd, ExtractOptions, ExtractReads, ExtractTarget,
    Extracting, Extraction, OpenSource, OtherPlaces, ReadChain, ReadablePlace, RunContext,
    StateDir, SystemClock, estimate_parts, open_paced_store, plan_details,
};
use crate::error::{Error, RequestError, RestoreError, in_words};
use crate::interrupt::Interrupt;
use crate::model::ArchiveId;
use crate::model::date_word::DateWord;
use crate::plan::RestorePlan;
use crate::printing::say_lines;
use crate::progress::Event;
use crate::store::{ErrorKind, RequestPace, Store};
use paths::Wanted;

pub(super) fn run(args: &Extract, everywhere: &Everywhere) -> Result<(), Error> {
    let config = load_to_read(everywhere)?;
    let wanted = Wanted::read(args, &config)?;
    let source = wanted.source;
    require_catalog(&config, &[source])?;
    let mut catalog = StateDir::new(&config.state_dir).catalog_to_read()?;
    warn_of_copy(&catalog);
    let log = if args.plan {
        ActivityLog::none()
    } else {
        activity_log(&config)
    };
    let observer = log.beside(observer(everywhere));
    let extract = ExtractCommand {
        args,
        everywhere,
        config: &config,
        source,
        context: RunContext::real(observer.as_ref()),
        log: &log,
    };
    let archive = archive_of(&config, source, wanted.date(args), &catalog)?;
    let extraction = extract.read(&wanted, archive, &catalog)?;
    extract.from_some_place(&extraction, &mut catalog)
}

/// Returns the archive that is meant: of a date, the newest of that date or before.
pub(super) fn archive_of(
    config: &Config,
    source: &Source,
    date: Option<DateWord>,
    catalog: &Catalog,
) -> Result<ArchiveId, Error> {
    let name = &source.name;
    let row = catalog.source(name)?;
    let row = row.ok_or_else(|| RequestError::NeverArchived(name.clone()))?;
    let mut visible: Vec<ArchiveId> = catalog
        .visible(&row.ledger)?
        .iter()
        .map(|archive| archive.id)
        .collect();
    visible.sort_unstable();
    let day = match date {
        None | Some(DateWord::Latest) => None,
        Some(DateWord::Archive(id)) => {
            let found = visible.contains(&id).then_some(id);
            return found.ok_or_else(|| RequestError::NoSuchArchive(id.to_string()).into());
        }
        Some(DateWord::Snapshot(name)) => Some(name.date),
        Some(word) => word.day(today(config)),
    };
    let newest = visible
        .iter()
        .rfind(|id| day.is_none_or(|day| id.date <= day));
    match (newest, day) {
        (Some(id), _) => Ok(*id),
        (None, day) => {
            // This says which dates there are.
            plan_details(source, day, which(false), catalog)?;
            Err(RequestError::NeverArchived(name.clone()).into())
        }
    }
}

/// An extraction that was asked for.
struct ExtractCommand<'a> {
    args: &'a Extract,
    everywhere: &'a Everywhere,
    config: &'a Config,
    /// The source at home.
    source: &'a Source,
    context: RunContext<'a>,
    log: &'a ActivityLog,
}

impl ExtractCommand<'_> {
    /// Reads the contents of the chain, and finds what is wanted in it.
    fn read(
        &self,
        wanted: &Wanted<'_>,
        archive: ArchiveId,
        catalog: &Catalog,
    ) -> Result<PlannedExtraction, Error> {
        let file = self.args.identity.as_ref();
        let file = file.ok_or(RestoreError::NoIdentity)?;
        let date = Some(archive.date);
        let (plan, _) = plan_details(self.source, date, which(false), catalog)?;
        if plan.archives.last() != Some(&archive) {
            return Err(RequestError::NoSuchArchive(archive.to_string()).into());
        }
        let identities = ask_for_identities(file)?;
        let name = file.display().to_string();
        let by = (&identities, name.as_str());
        let chain = ReadChain::of_plan(self.config, self.source, &plan, by, catalog, self.context)?;
        let selection = {
            let names = AllNames::of(&chain.tree);
            let paths = wanted.resolve(&names, (self.config, archive), catalog)?;
            names.select(&paths)
        };
        Ok(PlannedExtraction {
            plan,
            extraction: Extraction::plan(chain, selection)?,
        })
    }

    /// Extracts from the place that was named; from home, if none was. If home does not answer, a copy takes its place.
    fn from_some_place(
        &self,
        planned: &PlannedExtraction,
        catalog: &mut Catalog,
    ) -> Result<(), Error> {
        if let Some(name) = &self.args.place.place {
            let place = ReadablePlace::named(self.config, self.source, name, catalog)?;
            return self.at(planned, (place.as_ref(), false), catalog);
        }
        let home = match self.at(planned, (None, false), catalog) {
            Err(Error::Store(error)) if error.kind.is_out_of_reach() => Error::Store(error),
            ended => return ended,
        };
        for place in ReadablePlace::all(self.config, self.source, catalog)? {
            catalog.turn_to(Some(place.row.id));
            let visible = catalog.visible(&place.row.ledger)?;
            let has = |id: &ArchiveId| visible.iter().any(|archive| archive.id == *id);
            if !planned.plan.archives.iter().all(has) {
                continue;
            }
            self.warn(format!(
                "{}; reading the copy `{}` in {} instead",
                in_words(&home),
                place.name,
                place.row.store
            ));
            match self.at(planned, (Some(&place), true), catalog) {
                Err(Error::Store(error)) if error.kind.is_out_of_reach() => {
                    self.warn(in_words(&error));
                }
                ended => return ended,
            }
        }
        catalog.turn_to(None);
        Err(home)
    }

    /// Extracts from a copy, or from home with `None`.
    fn at(
        &self,
        planned: &PlannedExtraction,
        (place, home_is_silent): (Option<&ReadablePlace>, bool),
        catalog: &mut Catalog,
    ) -> Result<(), Error> {
        let source = place.map_or(self.source, |place| &place.source);
        catalog.turn_to(place.map(|place| place.row.id));
        let row = catalog.source(&source.name)?;
        let mut row = row.ok_or_else(|| RequestError::NeverArchived(source.name.clone()))?;
        if let Some(place) = place {
            row = place.row_of(row);
        }
        let open = OpenSource {
            config: source,
            row,
            store: self.open_store(source)?,
        };
        let others = self.others((place, home_is_silent), catalog)?;
        let store = self.config.store_of(source)?;
        let memory = self.config.memory_limit;
        let left = memory.saturating_sub(planned.extraction.chain.tree.memory());
        let extracting = Extracting {
            source: &open,
            extraction: &planned.extraction,
            class: store.storage_class(),
            others: &others,
            at_once: AtOnce {
                asked_for: self.args.parallel.map_or(store.uploads(), usize::from),
                memory_limit: left.max(memory / 4),
            },
            observer: self.context.observer,
            interrupt: self.context.interrupt,
        };
        self.carry_out(planned, &extracting, place, catalog)
    }

    fn carry_out(
        &self,
        planned: &PlannedExtraction,
        extracting: &Extracting<'_>,
        place: Option<&ReadablePlace>,
        catalog: &mut Catalog,
    ) -> Result<(), Error> {
        let estimate = |catalog: &Catalog| {
            let reads = extracting.reads(catalog)?;
            self.estimate(extracting, &reads, catalog)
                .map(|estimate| (reads, estimate))
        };
        let (mut reads, mut cost) = estimate(catalog)?;
        if cost.is_cold() || self.args.plan {
            // A rule of the bucket may have moved them.
            extracting.ask_classes(catalog)?;
            (reads, cost) = estimate(catalog)?;
        }
        let told = report::Told {
            planned,
            reads: &reads,
            estimate: &cost,
            place,
        };
        let thawing = &self.args.thawing;
        let (Some(to), false) = (&self.args.to, self.args.plan) else {
            told.tell(thawing.tier, self.everywhere)?;
            return cost.refuse(thawing.tier, thawing.max_cost);
        };
        cost.refuse(thawing.tier, thawing.max_cost)?;
        // What is there already is found before anything is paid for.
        drop(self.target(planned, extracting, to)?);
        if cost.cost.segments_to_thaw() > 0 {
            if !self.args.yes {
                say_lines(&told.in_words());
            }
            confirm(Agreed::by(self.args.yes), "Thaw these segments?")?;
        } else if !self.everywhere.quiet && !self.everywhere.json {
            say_lines(&told.first_line());
        }
        let end = recorded(
            (self.log, "extract"),
            Some(&self.source.name),
            || self.fetch(planned, extracting, to, catalog),
            |end| {
                let line = LogLine::done(&self.source.name, "extracted").of([planned.plan.date]);
                line.fact("entries", end.extracted.entries)
            },
        );
        let end = end.map_err(|error| at_place(error, place))?;
        for (path, why) in &end.lost {
            self.warn(format!("left out {}: {why}", report::shown_path(path)));
        }
        report::tell_end(planned, &end, to, self.everywhere)?;
        report::verdict(&end)
    }

    /// Thaws what is cold, and extracts what can be read.
    fn fetch(
        &self,
        planned: &PlannedExtraction,
        extracting: &Extracting<'_>,
        to: &Path,
        catalog: &mut Catalog,
    ) -> Result<ExtractEnd, Error> {
        let thawing = &self.args.thawing;
        let mut has_asked = false;
        loop {
            extracting.thaw(thaw_request(thawing), catalog)?;
            let target = self.target(planned, extracting, to)?;
            match extracting.extract(target, catalog) {
                // The catalog did not know that they are cold.
                Err(Error::Store(error)) if error.kind == ErrorKind::Cold && !has_asked => {
                    has_asked = true;
                    extracting.ask_classes(catalog)?;
                    let reads = extracting.reads(catalog)?;
                    let cost = self.estimate(extracting, &reads, catalog)?;
                    cost.refuse(thawing.tier, thawing.max_cost)?;
                    confirm(
                        Agreed::by(self.args.yes),
                        "The segments are cold. Thaw them?",
                    )?;
                }
                ended => return ended,
            }
        }
    }

    fn target<'e>(
        &self,
        planned: &'e PlannedExtraction,
        extracting: &Extracting<'_>,
        to: &Path,
    ) -> Result<ExtractTarget<'e>, Error>
    where
        Self: 'e,
    {
        let extraction = &planned.extraction;
        let id = extraction.digest(&extracting.source.row.ledger);
        ExtractTarget::open(
            to,
            &id.to_string(),
            &extraction.selection.entries,
            ExtractOptions {
                devices: self.args.devices,
            },
            Interrupt::of_this_process(),
        )
    }

    fn estimate(
        &self,
        extracting: &Extracting<'_>,
        reads: &ExtractReads,
        catalog: &Catalog,
    ) -> Result<Estimate, Error> {
        let (source, days) = (extracting.source.config, self.args.thawing.thaw_days);
        let now = SystemClock.now();
        estimate_parts(self.config, source, &reads.archives, days, catalog, now)
    }

    fn open_store(&self, source: &Source) -> Result<Box<dyn Store + '_>, Error> {
        let pace = RequestPace::new(self.args.thawing.requests_per_second);
        let store = self.config.store_of(source)?;
        open_paced_store(
            store,
            self.context.observer,
            self.args.limit.as_ref(),
            &pace,
        )
    }

    /// Returns the places that a frame can be taken from if it is damaged in the one that is read.
    fn others(
        &self,
        (place, home_is_silent): (Option<&ReadablePlace>, bool),
        catalog: &Catalog,
    ) -> Result<OtherPlaces<'_>, Error> {
        let home = (self.config, self.source);
        OtherPlaces::beside(
            home,
            (place, home_is_silent),
            catalog,
            self.context.observer,
        )
    }

    fn warn(&self, message: String) {
        self.context.observer.event(Event::Warning {
            source: self.source.name.clone(),
            message,
        });
    }
}

/// What is extracted, of which archive.
pub(super) struct PlannedExtraction {
    pub(super) plan: RestorePlan,
    pub(super) extraction: Extraction,
}

/// Names the place in what an extraction waits for.
fn at_place(error: Error, place: Option<&ReadablePlace>) -> Error {
    match (error, place) {
        (Error::Restore(RestoreError::Thawing(mut awaited)), Some(place)) => {
            awaited.place = Some(place.name.clone());
            RestoreError::Thawing(awaited).into()
        }
        (error, _) => error,
    }
}
