//! A restore from a place that has archives, planned and then carried out.

use super::manner::{BroughtBack, RestoreManner};
use super::nearest;
use super::report::{Room, in_words, passed_in_json, passed_in_words, to_json};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use chrono::NaiveDate;
use serde_json::json;

use crate::catalog::{ArchiveRow, Catalog, SourceRow};
use crate::cli::{Everywhere, Restore, Thawing};
use crate::commands::output::{answer, answer_json, answer_lines, count};
use crate::commands::prompt::{Agreed, confirm};
use crate::config::{Config, Source, StoreConfig};
use crate::engine::{
    Afterwards, AtOnce, Estimate, OpenSource, OtherPlaces, ReadablePlace, RestorePlanDetails,
    Restored, Restoring, RunContext, StateDir, WantedSegments, Which, ask_classes, estimate,
    kit_knows_more, open_paced_store, read_kit, require_target, restore, standing_in, still_stands,
    take_in, witnessed_by,
};
use crate::error::{Error, KeyError, RequestError, RestoreError};
use crate::model::{ArchiveId, CopyKind, Protocol};
use crate::plan::{PassedOver, RestorePlan};
use crate::printing::{self, shown};
use crate::progress::{Event, Observer};
use crate::seal::{Identities, IdentityFile};
use crate::store::{RequestPace, Store, ThawRequest};

/// A restore that is planned but not begun.
pub(super) struct Planned<'a> {
    pub(super) args: &'a Restore,
    pub(super) everywhere: &'a Everywhere,
    pub(super) manner: &'a RestoreManner,
    pub(super) context: RunContext<'a>,
    pub(super) config: &'a Config,
    pub(super) state_dir: &'a StateDir,
    pub(super) source: &'a Source,
    /// The config of its store.
    pub(super) store: &'a StoreConfig,
    /// Its row in the catalog. If the store is mounted elsewhere today, it still has the same archives.
    pub(super) row: SourceRow,
    pub(super) plan: &'a RestorePlan,
    pub(super) details: RestorePlanDetails,
    /// The archives that are still to be fetched.
    pub(super) to_fetch: &'a [ArchiveId],
    /// The cost of these archives.
    pub(super) estimate: Estimate,
    pub(super) room: Room,
    /// The identity file, if it was a pipe.
    pub(super) piped: Option<&'a IdentityFile>,
    /// The nearer places, and why they are not taken.
    pub(super) passed: &'a [PassedOver],
    /// The copy that is read; `None` for home.
    pub(super) place: Option<&'a ReadablePlace>,
    /// Where segments are that are damaged in the place that is read.
    pub(super) others: &'a OtherPlaces<'a>,
}

/// Returns which archives the user asked for.
pub(in crate::commands) fn which(retired: bool) -> Which {
    if retired {
        Which::Retired
    } else {
        Which::Visible
    }
}

/// Refuses a catalog that is behind the kit, if the newest archive is asked for; warns of it for a date.
pub(super) fn require_newest(
    args: &Restore,
    source: &Source,
    piped: Option<&IdentityFile>,
    (date, row, catalog): (Option<NaiveDate>, &SourceRow, &Catalog),
    observer: &dyn Observer,
) -> Result<(), Error> {
    if let Some(file) = &args.identity {
        // A file that is no kit names no head, and a damaged kit must not stop a restore.
        let kit = match piped {
            Some(piped) => read_kit(piped).map(|kit| kit.sources),
            None => witnessed_by(file),
        };
        let kit = kit.unwrap_or_default();
        if let Some(seq) = kit_knows_more(&kit, &row.ledger, catalog)? {
            let behind = Error::Key(KeyError::CatalogBehindKit {
                path: file.clone(),
                source_name: source.name.clone(),
                seq,
            });
            // Without a date the newest is asked for, and that is not known here.
            if date.is_none() {
                return Err(behind);
            }
            observer.event(Event::Warning {
                source: source.name.clone(),
                message: behind.to_string(),
            });
        }
    }
    Ok(())
}

/// Returns warnings about the archives of the chain before they are restored.
pub(super) fn warnings(args: &Restore, plan: &RestorePlan) -> Vec<String> {
    let mut warnings = Vec::new();
    if args.retired {
        warnings.push(format!(
            "the archive of {} is retired: a pruner may delete its objects at any time",
            plan.date
        ));
    }
    if !plan.inexact.is_empty() {
        warnings.push(format!(
            "{} on the way to {} with compressed data: the kernel's sender loses bytes of it, so the restore may \
             differ from what was archived",
            count(plan.inexact.len() as u64, "archive"),
            plan.date
        ));
    }
    warnings
}

/// Returns the archives that are still to be fetched, and the space that they need.
pub(super) fn to_fetch<'p>(
    args: &Restore,
    plan: &'p RestorePlan,
    row: &SourceRow,
    archives: &[ArchiveRow],
) -> (&'p [ArchiveId], Room) {
    let mut to_fetch = plan.archives.as_slice();
    if args.stream.is_some() {
        // Only this archive, without those that it builds on.
        to_fetch = &to_fetch[to_fetch.len().saturating_sub(1)..];
    }
    if let Some(to) = &args.to {
        let standing = standing_in(to, row, archives);
        // The newest restored archive includes all earlier ones.
        let held = to_fetch.iter().rposition(|id| standing.contains(id));
        to_fetch = &to_fetch[held.map_or(0, |at| at + 1)..];
    }
    let wanted: Vec<_> = archives
        .iter()
        .filter(|archive| to_fetch.contains(&archive.id))
        .collect();
    let is_compressed = |archive: &&ArchiveRow| archive.form() == Some(Protocol::CompressedData);
    let room = Room {
        needed: wanted.iter().map(|archive| archive.raw_bytes).sum(),
        is_compressed: wanted.iter().any(is_compressed),
        standing: plan.archives.len() - to_fetch.len(),
        free: args.to.as_deref().and_then(Room::free_in),
        deletes: args.delete_intermediate,
    };
    (to_fetch, room)
}

impl Planned<'_> {
    /// Restores, or writes a stream.
    pub(super) fn act(&mut self, catalog: &mut Catalog) -> Result<Option<BroughtBack>, Error> {
        match (&self.args.stream, &self.args.to) {
            (Some(output), _) => self.stream(output, catalog).map(|()| None),
            (None, Some(to)) => self.restore(to, catalog).map(Some),
            (None, None) => self.tell().map(|()| None),
        }
    }

    /// Refuses the restore if it costs too much.
    pub(super) fn refuse_cost(&self) -> Result<(), Error> {
        let tier = self.args.thawing.tier;
        self.estimate.refuse(tier, self.manner.max_cost)
    }

    /// Prints what the restore needs.
    pub(super) fn tell(&self) -> Result<(), Error> {
        let thawing = &self.args.thawing;
        if self.everywhere.json {
            let (plan, details, estimate) = (self.plan, &self.details, &self.estimate);
            let mut document = to_json(plan, details, estimate, self.room, thawing.tier)?;
            document["from"] = json!("store");
            if let Some(place) = self.place {
                document["place"] = json!(place.name);
            }
            document["passed_over"] = passed_in_json(self.passed);
            answer_json(&document)?;
        } else {
            answer(&self.in_words())?;
        }
        self.refuse_cost()
    }

    pub(super) fn in_words(&self) -> String {
        let mut text = in_words(self.plan, &self.details, &self.estimate, Some(self.room));
        if let Some(place) = self.place {
            writeln!(
                text,
                "  from        the copy `{}` in {}",
                place.name, place.row.store
            )
            .expect("writing to a string does not fail");
        }
        text.push_str(&passed_in_words(self.passed));
        text
    }

    /// Prints what the restore needs, and asks whether to continue.
    pub(super) fn confirm(&self, question: &str) -> Result<(), Error> {
        let agreed = Agreed::by(self.args.yes);
        let bars =
            !self.everywhere.quiet && !self.everywhere.json && printing::stderr_is_terminal();
        if agreed == Agreed::NotYet || bars {
            printing::say_lines(&self.in_words());
        }
        confirm(agreed, question)
    }

    pub(super) fn identity(&self) -> Result<(&Path, Identities), Error> {
        let file = self
            .args
            .identity
            .as_ref()
            .ok_or(RestoreError::NoIdentity)?;
        let passphrases = self.manner.passphrases;
        let identities = match &self.piped {
            Some(piped) => passphrases.identities_in(piped)?,
            None => passphrases.identities_in(&passphrases.open(file)?)?,
        };
        Ok((file, identities))
    }

    /// Asks the store for the classes of the archives, and refuses the restore if it now costs too much.
    pub(super) fn ask_store(
        &mut self,
        open: &OpenSource<'_>,
        catalog: &mut Catalog,
    ) -> Result<(), Error> {
        let wanted = WantedSegments {
            source: open,
            class: self.store.storage_class(),
            archives: self.to_fetch,
            only: None,
            interrupt: self.context.interrupt,
        };
        ask_classes(&wanted, catalog)?;
        let (days, now) = (self.args.thawing.thaw_days, self.context.clock.now());
        self.estimate = estimate(self.config, self.source, self.to_fetch, days, catalog, now)?;
        self.refuse_cost()
    }

    /// Returns how many segments to fetch at once.
    pub(super) fn at_once(&self) -> AtOnce {
        let configured = self.store.uploads();
        AtOnce {
            asked_for: self.args.parallel.map_or(configured, usize::from),
            memory_limit: self.config.memory_limit,
        }
    }

    pub(super) fn restore(
        &mut self,
        to: &PathBuf,
        catalog: &mut Catalog,
    ) -> Result<BroughtBack, Error> {
        require_target(to, self.source)?;
        let (file, identities) = self.identity()?;
        let identity_name = file.display().to_string();
        let name = &self.source.name;
        let open = OpenSource {
            config: self.source,
            row: self.row.clone(),
            store: self.open_store()?,
        };
        self.ask_store(&open, catalog)?;
        self.confirm(&format!(
            "Restore into {}?",
            to.join(name.as_str()).display()
        ))?;
        if !self.args.retired && self.place.is_none() {
            still_stands(&open, self.plan, self.state_dir, catalog, self.context)?;
        }
        let restoring = Restoring {
            source: &open,
            plan: self.plan,
            at_once: self.at_once(),
            to,
            identities: &identities,
            identity_name: &identity_name,
            class: self.store.storage_class(),
            thaw: Some(thaw_request(&self.args.thawing)),
            intermediate: if self.args.delete_intermediate {
                Afterwards::Goes
            } else {
                Afterwards::Stays
            },
            writable: self.args.writable.as_deref(),
            observer: self.context.observer,
            interrupt: self.context.interrupt,
            clock: self.context.clock,
            others: self.others,
        };
        let restored = restore(&restoring, catalog);
        let restored = restored.map_err(|error| nearest::name_mirror(error, self.config, to))?;
        self.answer(&restored)?;
        Ok(BroughtBack {
            name: self.plan.date.into(),
            from: CopyKind::Store,
            restored,
        })
    }

    pub(super) fn answer(&self, restored: &Restored) -> Result<(), Error> {
        let plan = self.plan;
        if self.everywhere.json {
            return answer_json(&json!({
                "event": "done", "source": plan.source, "date": plan.date,
                "directory": shown(&restored.directory),
                "writable": restored.writable.as_deref().map(shown),
                "archives": plan.archives, "from": "store",
            }));
        }
        if self.everywhere.quiet {
            return Ok(());
        }
        let dated = restored.directory.join(plan.date.to_string());
        let mut lines = vec![format!(
            "{}: {} is restored in {}",
            plan.source,
            plan.date,
            dated.display()
        )];
        if let Some(writable) = &restored.writable {
            lines.push(format!(
                "{}: writable in {}",
                plan.source,
                writable.display()
            ));
        }
        answer_lines(lines)
    }
}

impl<'a> Planned<'a> {
    /// Opens the store at the rates that were asked for.
    pub(super) fn open_store(&self) -> Result<Box<dyn Store + 'a>, Error> {
        let pace = RequestPace::new(self.args.thawing.requests_per_second);
        let limit = self.args.limit.as_ref();
        open_paced_store(self.store, self.context.observer, limit, &pace)
    }
}

/// Brings the catalog to the ledger's head.
pub(super) fn taken_in(
    config: &Config,
    source: &Source,
    state_dir: &StateDir,
    catalog: &mut Catalog,
    context: RunContext<'_>,
) -> Result<(), Error> {
    let row = catalog
        .source(&source.name)?
        .ok_or_else(|| RequestError::NeverArchived(source.name.clone()))?;
    let open = OpenSource {
        config: source,
        row,
        store: context.open(config.store_of(source)?)?,
    };
    take_in(&open, state_dir, catalog, context)
}

/// Returns the thaw request that these options ask for.
pub(in crate::commands) fn thaw_request(thawing: &Thawing) -> ThawRequest {
    ThawRequest {
        tier: thawing.tier,
        days: thawing.thaw_days,
    }
}
