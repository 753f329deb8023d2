//! An extraction, from the contents of a chain to the files.

use std::path::Path;

use super::asked::{ExtractManner, PlannedExtraction};
use super::paths::WantedPaths;
use super::{explain, report, to_stdout};
use crate::activity_log::{ActivityLog, LogLine};
use crate::catalog::Catalog;
use crate::cli::Everywhere;
use crate::commands::identity::ask_for_identities;
use crate::commands::prompt::{Agreed, confirm};
use crate::commands::recorded;
use crate::commands::restore::{thaw_request, which};
use crate::config::{Config, Source};
use crate::engine::{
    AllNames, AtOnce, Clock, Estimate, ExtractEnd, ExtractOptions, ExtractReads, ExtractTarget,
    Extracting, Extraction, OpenSource, OtherPlaces, ReadChain, ReadablePlace, RunContext,
    SelectError, Selection, SystemClock, estimate_parts, open_paced_store, plan_details,
};
use crate::error::{Error, ExtractError, RequestError, RestoreError, in_words};
use crate::interrupt::Interrupt;
use crate::model::ArchiveId;
use crate::printing::say_lines;
use crate::progress::Event;
use crate::store::{ErrorKind, RequestPace, Store};

/// What is extracted of an archive.
pub(in crate::commands) enum ToExtract<'a> {
    /// Paths, each in the directories that lead to it.
    Paths(&'a WantedPaths<'a>),
    /// A path, under another name.
    As {
        /// The path below the source's root.
        path: &'a [u8],
        /// The name.
        name: Vec<u8>,
    },
}

/// An extraction that was asked for.
pub(in crate::commands) struct ExtractCommand<'a> {
    pub(in crate::commands) manner: ExtractManner<'a>,
    pub(in crate::commands) everywhere: &'a Everywhere,
    pub(in crate::commands) config: &'a Config,
    /// The source at home.
    pub(in crate::commands) source: &'a Source,
    pub(in crate::commands) context: RunContext<'a>,
    pub(in crate::commands) log: &'a ActivityLog,
}

impl ExtractCommand<'_> {
    /// Extracts what is wanted of an archive.
    pub(in crate::commands) fn run(
        &self,
        wanted: &ToExtract<'_>,
        archive: ArchiveId,
        catalog: &mut Catalog,
    ) -> Result<(), Error> {
        let planned = self.read(wanted, archive, catalog)?;
        self.at_some_place(&planned, catalog)
    }

    /// Reads the contents of the chain, and finds what is wanted in it.
    fn read(
        &self,
        wanted: &ToExtract<'_>,
        archive: ArchiveId,
        catalog: &Catalog,
    ) -> Result<PlannedExtraction, Error> {
        let file = self.manner.identity.ok_or(RestoreError::NoIdentity)?;
        let date = Some(archive.date);
        let (plan, _) = plan_details(self.source, date, which(false), catalog)?;
        if plan.archives.last() != Some(&archive) {
            return Err(RequestError::NoSuchArchive(archive.to_string()).into());
        }
        let identities = ask_for_identities(file)?;
        let name = file.display().to_string();
        let by = (&identities, name.as_str());
        let mut chain =
            ReadChain::of_plan(self.config, self.source, &plan, by, catalog, self.context)?;
        let selection = match self.select(wanted, &chain, archive, catalog) {
            // What is wanted may have the memory of the tree.
            Err(Error::Extract(ExtractError::TooManyNames { .. })) if !chain.tree.is_on_disk() => {
                chain.move_to_disk()?;
                self.select(wanted, &chain, archive, catalog)?
            }
            selection => selection?,
        };
        Ok(PlannedExtraction {
            plan,
            extraction: Extraction::plan(chain, selection)?,
        })
    }

    /// Selects what is wanted of a chain's last archive, within the memory that the chain leaves.
    fn select(
        &self,
        wanted: &ToExtract<'_>,
        chain: &ReadChain,
        archive: ArchiveId,
        catalog: &Catalog,
    ) -> Result<Selection, Error> {
        let limit = self.config.memory_limit;
        let names = AllNames::within(&chain.tree, limit.saturating_sub(chain.tree.memory()));
        let too_many = |error| match error {
            SelectError::TooMany(_) => ExtractError::TooManyNames { archive, limit }.into(),
            SelectError::Tree(error) => error.into(),
        };
        match wanted {
            ToExtract::Paths(wanted) => {
                let paths = wanted.resolve(&names, (self.config, archive), catalog, &too_many)?;
                names.select(&paths).map_err(too_many)
            }
            ToExtract::As { path, name } => names.select_as(path, name).map_err(too_many),
        }
    }

    /// Extracts from the place that was named; from home, if none was. If home does not answer, a copy takes its place.
    fn at_some_place(
        &self,
        planned: &PlannedExtraction,
        catalog: &mut Catalog,
    ) -> Result<(), Error> {
        if let Some(name) = self.manner.place {
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
        let left = memory.saturating_sub(planned.extraction.memory());
        let extracting = Extracting {
            source: &open,
            extraction: &planned.extraction,
            class: store.storage_class(),
            others: &others,
            at_once: AtOnce {
                asked_for: self.manner.parallel.map_or(store.uploads(), usize::from),
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
        if cost.is_cold() || self.manner.to.is_none() {
            // A rule of the bucket may have moved them.
            extracting.ask_classes(catalog)?;
            (reads, cost) = estimate(catalog)?;
        }
        let told = report::ExtractNeeds {
            planned,
            reads: &reads,
            estimate: &cost,
            place,
            tier: self.manner.thawing.tier,
        };
        let thawing = self.manner.thawing;
        if self.manner.explains {
            return explain::explain(
                &self.manner,
                planned,
                (extracting, &cost),
                self.config,
                catalog,
            );
        }
        let Some(to) = self.manner.to else {
            told.tell(self.everywhere)?;
            return cost.refuse(thawing.tier, thawing.max_cost);
        };
        cost.refuse(thawing.tier, thawing.max_cost)?;
        let one = to_stdout::one_file(to, planned)?;
        // What is there already is found before anything is paid for.
        if one.is_none() {
            self.target(planned, extracting, to)?.leave();
        }
        if cost.cost.segments_to_thaw() > 0 {
            if !self.manner.yes {
                say_lines(&told.in_words());
            }
            confirm(Agreed::by(self.manner.yes), "Thaw these segments?")?;
        } else if !self.everywhere.quiet && !self.everywhere.json {
            say_lines(&told.first_line());
        }
        if let Some(file) = one {
            let written = to_stdout::write(&self.manner, extracting, file, catalog);
            return written.map_err(|error| at_place(error, place));
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
        let thawing = self.manner.thawing;
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
                        Agreed::by(self.manner.yes),
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
                devices: self.manner.devices,
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
        let (source, days) = (extracting.source.config, self.manner.thawing.thaw_days);
        let now = SystemClock.now();
        estimate_parts(self.config, source, &reads.archives, days, catalog, now)
    }

    fn open_store(&self, source: &Source) -> Result<Box<dyn Store + '_>, Error> {
        let pace = RequestPace::new(self.manner.thawing.requests_per_second);
        let store = self.config.store_of(source)?;
        open_paced_store(store, self.context.observer, self.manner.limit, &pace)
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
