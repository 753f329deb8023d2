//! A restore from the store of the source, or from a copy of it in another one.

use super::from_plan::Handed;
use super::manner::{BroughtBack, RestoreManner};
use super::nearest;
use super::planned::{Planned, require_newest, taken_in, to_fetch, warnings, which};
use crate::activity_log::{ActivityLog, LogLine};
use crate::catalog::Catalog;
use crate::cli::{Everywhere, Restore};
use crate::commands::recorded;
use crate::commands::target::WantedArchive;
use crate::config::{Config, Source};
use crate::engine::{
    Clock, OtherPlaces, ReadablePlace, RunContext, StateDir, SystemClock, estimate, plan_details,
    require_copied,
};
use crate::error::{Error, RequestError, RestoreError, in_words};
use crate::plan::PassedOver;
use crate::printing::shown;
use crate::progress::Event;
use crate::seal::IdentityFile;
use crate::store::StoreError;

/// A restore from a place that has archives.
pub(super) struct FromStore<'a> {
    pub(super) args: &'a Restore,
    pub(super) everywhere: &'a Everywhere,
    pub(super) manner: &'a RestoreManner,
    pub(super) context: RunContext<'a>,
    pub(super) config: &'a Config,
    pub(super) state_dir: &'a StateDir,
    pub(super) log: &'a ActivityLog,
    /// The source at home.
    pub(super) source: &'a Source,
    pub(super) wanted: WantedArchive,
    pub(super) handed: Option<&'a Handed>,
    /// The identity file, if it was a pipe.
    pub(super) piped: Option<IdentityFile>,
    /// The nearer places, and why they are not taken.
    pub(super) passed: Vec<PassedOver>,
    /// Whether anything is restored.
    pub(super) acts: bool,
}

/// Names the place in what a restore waits for.
fn at_place(error: Error, place: Option<&ReadablePlace>) -> Error {
    match (error, place) {
        (Error::Restore(RestoreError::Thawing(mut awaited)), Some(place)) => {
            awaited.place = Some(place.name.clone());
            RestoreError::Thawing(awaited).into()
        }
        (error, _) => error,
    }
}

/// Whether home may be asked for single segments that a copy lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Home {
    Answers,
    IsSilent,
}

impl FromStore<'_> {
    /// Restores from the place that was named; from home, if none was. If home does not answer, a copy takes its place.
    pub(super) fn run(&self, catalog: &mut Catalog) -> Result<Option<BroughtBack>, Error> {
        if let Some(name) = &self.args.place.place {
            let place = ReadablePlace::named(self.config, self.source, name, catalog)?;
            if let Some(place) = &place
                && let Some(lacks) = place.lacks_in_words(catalog)?
            {
                self.warn(lacks);
            }
            return self.at(place.as_ref(), Home::Answers, catalog);
        }
        match self.at(None, Home::Answers, catalog) {
            Err(Error::Store(error)) if self.acts && error.kind.is_out_of_reach() => {
                self.elsewhere(error, catalog)
            }
            ended => ended,
        }
    }

    /// Restores from the first copy that has what is wanted and answers. Without any, home's error stays.
    fn elsewhere(
        &self,
        home: StoreError,
        catalog: &mut Catalog,
    ) -> Result<Option<BroughtBack>, Error> {
        let home = Error::Store(home);
        for place in ReadablePlace::all(self.config, self.source, catalog)? {
            catalog.turn_to(Some(place.row.id));
            let which = which(self.args.retired);
            if plan_details(&place.source, self.wanted.date(), which, catalog).is_err() {
                continue;
            }
            let lacks = place.lacks_in_words(catalog)?;
            self.warn(format!(
                "{}; restoring from the copy `{}` in {} instead{}",
                in_words(&home),
                place.name,
                place.row.store,
                lacks.map(|lacks| format!(": {lacks}")).unwrap_or_default()
            ));
            match self.at(Some(&place), Home::IsSilent, catalog) {
                Err(Error::Store(error)) if error.kind.is_out_of_reach() => {
                    self.warn(in_words(&error));
                }
                ended => return ended,
            }
        }
        Err(home)
    }

    /// Restores from a copy, or from home with `None`.
    fn at(
        &self,
        place: Option<&ReadablePlace>,
        home: Home,
        catalog: &mut Catalog,
    ) -> Result<Option<BroughtBack>, Error> {
        let (args, config, context) = (self.args, self.config, self.context);
        let source = place.map_or(self.source, |place| &place.source);
        catalog.turn_to(place.map(|place| place.row.id));
        let (wanted, which) = (self.wanted, which(args.retired));
        let date = wanted.date();
        let planned = match plan_details(source, date, which, catalog) {
            // Another machine may have archived or revived it since the catalog's newest entry.
            Err(refused) if place.is_none() => {
                match taken_in(config, source, self.state_dir, catalog, context) {
                    Ok(()) => plan_details(source, date, which, catalog),
                    Err(_) => Err(refused),
                }
            }
            planned => planned,
        };
        let (plan, details) =
            planned.map_err(|refused| nearest::refused(source, wanted, &self.passed, refused))?;
        wanted.hold_against(&plan)?;
        for message in warnings(args, &plan) {
            self.warn(message);
        }
        if let Some(handed) = self.handed {
            handed.hold_against(&plan)?;
        }
        let row = catalog.source(&source.name)?;
        let row = row.ok_or_else(|| RequestError::NeverArchived(source.name.clone()))?;
        if place.is_none() {
            require_copied(&row, &plan.archives, catalog)?;
        }
        // A copy may be behind: what is newer is a matter for a warning there.
        let date_for_kit = date.or(place.map(|_| plan.date));
        require_newest(
            args,
            source,
            self.piped.as_ref(),
            (date_for_kit, &row, catalog),
            context.observer,
        )?;
        let row = match place {
            Some(place) => place.row_of(row),
            None => row,
        };
        let archives = catalog.archives(&row.ledger)?;
        let (to_fetch, room) = to_fetch(args, &plan, &row, &archives);
        let (days, now) = (args.thawing.thaw_days, SystemClock.now());
        let others = self.others(place, home, catalog)?;
        let mut planned = Planned {
            args,
            everywhere: self.everywhere,
            manner: self.manner,
            context,
            config,
            state_dir: self.state_dir,
            source,
            store: config.store_of(source)?,
            row,
            estimate: estimate(config, source, to_fetch, days, catalog, now)?,
            plan: &plan,
            details,
            to_fetch,
            room,
            piped: self.piped.as_ref(),
            passed: &self.passed,
            place,
            others: &others,
        };
        if args.explain {
            return planned.explain(catalog).map(|()| None);
        }
        if args.plan {
            return planned.tell().map(|()| None);
        }
        planned.refuse_cost()?;
        if !self.acts {
            return planned.tell().map(|()| None);
        }
        recorded(
            (self.log, "restore"),
            Some(&source.name),
            || planned.act(catalog).map_err(|error| at_place(error, place)),
            |_| {
                let to = args.stream.as_ref().or(args.to.as_ref());
                let to = to.map(|to| shown(to)).unwrap_or_default();
                let line = LogLine::done(&source.name, "restored").of([plan.date]);
                line.text("to", to)
            },
        )
    }

    /// Returns the places that a segment can be taken from if it is damaged in the one that is read.
    fn others(
        &self,
        place: Option<&ReadablePlace>,
        home_is: Home,
        catalog: &Catalog,
    ) -> Result<OtherPlaces<'_>, Error> {
        let home = (self.config, self.source);
        let is_silent = home_is == Home::IsSilent;
        OtherPlaces::beside(home, (place, is_silent), catalog, self.context.observer)
    }

    fn warn(&self, message: String) {
        self.context.observer.event(Event::Warning {
            source: self.source.name.clone(),
            message,
        });
    }
}
