//! A restore from the nearest copy: a snapshot here, or a mirror's. Without one, the store is next.

use std::fmt;
use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use super::manner::BroughtBack;
use super::report::{Room, passed_in_json, passed_in_words};
use crate::activity_log::{ActivityLog, LogLine};
use crate::btrfs;
use crate::catalog::{ArchiveRow, Catalog, Link};
use crate::cli::{Everywhere, Restore};
use crate::commands::output::{answer, answer_json, answer_lines};
use crate::commands::prompt::{Agreed, confirm};
use crate::commands::recorded;
use crate::commands::target::WantedArchive;
use crate::config::{Config, Source};
use crate::engine::{
    CopySearch, NearCopy, NearRestore, Restored, RunContext, Which, history, look_for_copies,
    plan_details, require_target, restore_copy,
};
use crate::error::{Error, RequestError, RestoreError};
use crate::model::size::Bytes;
use crate::model::{CopyKind, LedgerId, MirrorLocation, SnapshotName};
use crate::plan::{CopyAsked, PassedOver, RestorePlan, choose_copy, newest_copy};
use crate::printing::{self, shown};
use crate::progress::Event;

/// What the command line asks for.
#[derive(Debug, Clone, Copy)]
pub(super) enum WantedCopyName {
    /// An archive. If a date has none, a snapshot or copy of that date.
    Archive(WantedArchive),
    /// A snapshot that was taken at another time than the nightly one. No archive has its name.
    Snapshot(SnapshotName),
}

impl fmt::Display for WantedCopyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Archive(WantedArchive::Newest) => f.write_str("the newest snapshot"),
            Self::Archive(WantedArchive::Of(date)) => date.fmt(f),
            Self::Archive(WantedArchive::Archive(id)) => id.fmt(f),
            Self::Snapshot(name) => name.fmt(f),
        }
    }
}

impl WantedCopyName {
    /// Returns the archive that it means.
    pub(super) fn archive(self) -> Result<WantedArchive, Error> {
        match self {
            Self::Archive(wanted) => Ok(wanted),
            Self::Snapshot(name) => Err(RequestError::CommandLine(format!(
                "`{name}` is a snapshot, and the store has archives alone: a date as YYYY-MM-DD, or an archive's id"
            ))
            .into()),
        }
    }
}

/// The way that a restore takes.
pub(super) enum Way<'a> {
    /// From a copy.
    Copy(Box<NearPlan<'a>>),
    /// From the store; with the nearer places, and why they are not taken.
    Store(Vec<PassedOver>),
}

/// A restore from a copy that is planned.
pub(super) struct NearPlan<'a> {
    copy: NearCopy<'a>,
    /// The archives that the same takes from the store, if it has them.
    archives: Option<RestorePlan>,
    ledger: Option<LedgerId>,
}

/// Looks for the nearest copy, and restores from it.
pub(super) struct Nearest<'a> {
    pub(super) args: &'a Restore,
    pub(super) everywhere: &'a Everywhere,
    pub(super) config: &'a Config,
    pub(super) source: &'a Source,
    pub(super) catalog: &'a Catalog,
    pub(super) context: RunContext<'a>,
    pub(super) log: &'a ActivityLog,
}

impl<'a> Nearest<'a> {
    /// Returns the option that only the store understands, if one was given.
    fn needs_store(&self) -> Option<&'static str> {
        let args = self.args;
        [
            (args.retired, "--retired"),
            (args.from_plan.is_some(), "--from-plan"),
            (args.stream.is_some(), "--stream"),
            (args.place.place.is_some(), "--place"),
            (args.explain, "--explain"),
            (args.thawing.max_cost.is_some(), "--max-cost"),
        ]
        .into_iter()
        .find_map(|(is_given, option)| is_given.then_some(option))
    }

    /// Looks for the nearest copy.
    pub(super) fn look(&self, wanted: WantedCopyName) -> Result<Way<'a>, Error> {
        let (from, needs_store) = (self.args.from, self.needs_store());
        match (from, needs_store) {
            (Some(CopyKind::Store), _) | (None, Some(_)) => {
                self.config.store_of(self.source)?;
                return Ok(Way::Store(Vec::new()));
            }
            (Some(from), Some(option)) => {
                return Err(RequestError::CommandLine(format!(
                    "{option} is for a restore from the store, and --from asks for a {from}"
                ))
                .into());
            }
            (_, None) => {}
        }
        let row = self.catalog.source(&self.source.name)?;
        let archive = match (&row, wanted) {
            (Some(row), WantedCopyName::Archive(wanted)) => {
                archive(&self.catalog.visible(&row.ledger)?, wanted)
            }
            _ => None,
        };
        let asked = match (&archive, wanted) {
            (Some(row), _) => match row.stream_uuid {
                Some(stream) => CopyAsked::Archived(row.date.into(), stream),
                None => return Ok(Way::Store(Vec::new())),
            },
            (None, WantedCopyName::Archive(WantedArchive::Archive(_))) => {
                return Ok(Way::Store(Vec::new()));
            }
            (None, WantedCopyName::Archive(WantedArchive::Of(date))) => {
                CopyAsked::Named(date.into())
            }
            (None, WantedCopyName::Archive(WantedArchive::Newest)) => CopyAsked::Newest,
            (None, WantedCopyName::Snapshot(name)) => CopyAsked::Named(name),
        };
        let search = CopySearch {
            config: self.config,
            source: self.source,
            asked,
            only: from,
            to: self.args.to.as_deref(),
            context: self.context,
        };
        let found = look_for_copies(&search, self.catalog)?;
        self.warn_of_newer(wanted, archive.as_ref(), newest_copy(&found.places));
        let chosen = choose_copy(&found.places, asked);
        let copy = match chosen {
            Ok(chosen) => found.take(chosen),
            Err(passed) if self.may_be_in_store(wanted) => return Ok(Way::Store(passed)),
            Err(passed) => return Err(no_copy(self.source, wanted, from, &passed)),
        };
        let archives = archive.map(|row| {
            let planned = plan_details(self.source, Some(row.date), Which::Visible, self.catalog);
            planned.ok().map(|(plan, _)| plan)
        });
        match copy {
            Some(copy) => Ok(Way::Copy(Box::new(NearPlan {
                copy,
                archives: archives.flatten(),
                ledger: row.map(|row| row.ledger),
            }))),
            None => Ok(Way::Store(Vec::new())),
        }
    }

    /// Returns whether the store is next when no copy is found.
    fn may_be_in_store(&self, wanted: WantedCopyName) -> bool {
        let is_archive = matches!(wanted, WantedCopyName::Archive(_));
        self.args.from.is_none() && is_archive && self.config.store_of(self.source).is_ok()
    }

    /// Says that there is a newer copy than the newest archive, which is what no date means.
    fn warn_of_newer(
        &self,
        wanted: WantedCopyName,
        archive: Option<&ArchiveRow>,
        newest: Option<SnapshotName>,
    ) {
        let WantedCopyName::Archive(WantedArchive::Newest) = wanted else {
            return;
        };
        if let (Some(archive), Some(newest)) = (archive, newest)
            && newest.date > archive.date
        {
            self.context.observer.event(Event::Warning {
                source: self.source.name.clone(),
                message: format!(
                    "this restores the newest archive, of {}; there is a newer snapshot, {newest}: name it to restore it",
                    archive.date
                ),
            });
        }
    }

    /// Restores from a copy, or prints what that takes.
    pub(super) fn restore(
        &self,
        plan: &NearPlan<'_>,
        acts: bool,
    ) -> Result<Option<BroughtBack>, Error> {
        let to = match &self.args.to {
            Some(to) if acts => to,
            _ => return self.tell(plan).map(|()| None),
        };
        let brought = recorded(
            (self.log, "restore"),
            Some(&self.source.name),
            || self.carry_out(plan, to),
            |_| {
                let line = LogLine::done(&self.source.name, "restored");
                line.of([plan.copy.chosen.name])
                    .text("to", shown(to))
                    .text("from", plan.from())
            },
        )?;
        Ok(Some(brought))
    }

    fn carry_out(&self, plan: &NearPlan<'_>, to: &Path) -> Result<BroughtBack, Error> {
        require_target(to, self.source)?;
        let agreed = Agreed::by(self.args.yes);
        let bars =
            !self.everywhere.quiet && !self.everywhere.json && printing::stderr_is_terminal();
        if agreed == Agreed::NotYet || bars {
            printing::say_lines(&self.in_words(plan));
        }
        let directory = to.join(self.source.name.as_str());
        confirm(agreed, &format!("Restore into {}?", directory.display()))?;
        let restore = NearRestore {
            config: self.config,
            source: self.source,
            copy: &plan.copy,
            ledger: plan.ledger,
            to,
            writable: self.args.writable.as_deref(),
            limit: self.args.limit.as_ref(),
            context: self.context,
        };
        let restored = restore_copy(&restore, self.catalog);
        let restored = restored.map_err(|error| name_mirror(error, self.config, to))?;
        self.answer(plan, &restored)?;
        Ok(BroughtBack {
            name: plan.copy.chosen.name,
            from: plan.kind(),
            restored,
        })
    }

    fn answer(&self, plan: &NearPlan<'_>, restored: &Restored) -> Result<(), Error> {
        let (source, name) = (&self.source.name, plan.copy.chosen.name);
        if self.everywhere.json {
            let mut document = self.document(plan);
            document["event"] = json!("done");
            document["directory"] = json!(shown(&restored.directory));
            document["writable"] = json!(restored.writable.as_deref().map(shown));
            return answer_json(&document);
        }
        if self.everywhere.quiet {
            return Ok(());
        }
        let path = restored.directory.join(name.to_string());
        let mut lines = vec![format!(
            "{source}: {name} is restored in {}, from {}",
            path.display(),
            plan.from()
        )];
        if let Some(writable) = &restored.writable {
            lines.push(format!("{source}: writable in {}", writable.display()));
        }
        answer_lines(lines)
    }

    /// Prints what the restore takes.
    fn tell(&self, plan: &NearPlan<'_>) -> Result<(), Error> {
        if !self.everywhere.json {
            return answer(&self.in_words(plan));
        }
        let mut document = self.document(plan);
        document["free_bytes"] = json!(self.args.to.as_deref().and_then(Room::free_in));
        // What is asked of the store: nothing.
        for nothing in ["segments", "sealed_bytes", "usd_total"] {
            document[nothing] = json!(0);
        }
        document["thaw"] = Value::Null;
        answer_json(&document)
    }

    /// Returns what a plan and an answer have in common.
    fn document(&self, plan: &NearPlan<'_>) -> Value {
        let chosen = &plan.copy.chosen;
        let archives = plan.archives.as_ref().map(|plan| &plan.archives);
        json!({
            "source": self.source.name, "date": chosen.name.date, "name": chosen.name,
            "from": plan.kind().as_str(), "mirror": plan.mirror().map(ToString::to_string),
            "path": plan.copy.path.as_deref().map(shown),
            "shares_data": chosen.copy.is_on_target,
            "passed_over": passed_in_json(&chosen.passed), "archives": archives,
        })
    }

    fn in_words(&self, plan: &NearPlan<'_>) -> String {
        let chosen = &plan.copy.chosen;
        let mut text = format!(
            "{} {}: from {}\n",
            self.source.name,
            chosen.name,
            plan.from()
        );
        text.push_str(&passed_in_words(&chosen.passed));
        if chosen.copy.is_on_target {
            text.push_str("  disk space  none: it shares its data with that copy\n");
        } else if let Some(free) = self.args.to.as_deref().and_then(Room::free_in) {
            let line = writeln!(
                text,
                "  disk space  what the copy takes; {} free",
                Bytes(free)
            );
            line.expect("writing to a string does not fail");
        }
        text
    }
}

impl NearPlan<'_> {
    fn mirror(&self) -> Option<&MirrorLocation> {
        self.copy.mirror()
    }

    fn kind(&self) -> CopyKind {
        match self.mirror() {
            Some(_) => CopyKind::Mirror,
            None => CopyKind::Snapshot,
        }
    }

    /// Returns what the restore takes, in words.
    fn from(&self) -> String {
        match (self.mirror(), &self.copy.path) {
            (Some(mirror), _) => format!("the mirror {mirror}"),
            (None, Some(path)) => format!("the snapshot {}", path.display()),
            (None, None) => "a snapshot here".to_owned(),
        }
    }
}

/// Returns the archive that is wanted.
fn archive(visible: &[ArchiveRow], wanted: WantedArchive) -> Option<ArchiveRow> {
    let newest = || {
        let newest = history(visible.iter().map(Link::from));
        newest.newest().map(|newest| newest.id)
    };
    let found = match wanted {
        WantedArchive::Newest => {
            let newest = newest();
            visible.iter().find(|row| Some(row.id) == newest)
        }
        WantedArchive::Of(date) => visible.iter().find(|row| row.date == date),
        WantedArchive::Archive(id) => visible.iter().find(|row| row.id == id),
    };
    found.cloned()
}

/// Names the mirror that is on the filesystem of `to`, if that is why nothing can be received there.
pub(super) fn name_mirror(error: Error, config: &Config, to: &Path) -> Error {
    let Error::Restore(RestoreError::ReceivedElsewhere {
        path,
        stream,
        mirror: None,
    }) = error
    else {
        return error;
    };
    let here = btrfs::filesystem_id(to).ok();
    let is_here = |mirror: &&MirrorLocation| match mirror {
        MirrorLocation::Directory(path) => {
            here.is_some() && btrfs::filesystem_id(path).ok() == here
        }
        MirrorLocation::Ssh(_) => false,
    };
    let mut mirrors = config.mirrors.iter().map(|mirror| &mirror.to);
    let mirror = mirrors.find(is_here).cloned().map(Box::new);
    Error::Restore(RestoreError::ReceivedElsewhere {
        path,
        stream,
        mirror,
    })
}

/// Returns the error that no place has what is wanted.
fn no_copy(
    source: &Source,
    wanted: WantedCopyName,
    from: Option<CopyKind>,
    passed: &[PassedOver],
) -> Error {
    let why = match (passed, from) {
        ([], Some(CopyKind::Mirror)) => "the config has no mirror of it".to_owned(),
        ([], Some(_)) => "there are no snapshots of it here".to_owned(),
        ([], None) => "it has no store, no mirror and no snapshots here".to_owned(),
        (passed, _) => reasons(passed.iter()),
    };
    Error::Restore(RestoreError::NoCopy {
        source_name: source.name.clone(),
        wanted: wanted.to_string(),
        from,
        why,
        source: None,
    })
}

/// Returns the error of a restore that the store can't do either. It names the places that should have had a copy.
pub(super) fn refused(
    source: &Source,
    wanted: WantedArchive,
    passed: &[PassedOver],
    refused: Error,
) -> Error {
    if !passed.iter().any(|place| place.is_fault) {
        return refused;
    }
    Error::Restore(RestoreError::NoCopy {
        source_name: source.name.clone(),
        wanted: WantedCopyName::Archive(wanted).to_string(),
        from: None,
        why: reasons(passed.iter().filter(|place| place.is_fault)),
        source: Some(Box::new(refused)),
    })
}

fn reasons<'p>(passed: impl Iterator<Item = &'p PassedOver>) -> String {
    let reasons: Vec<String> = passed
        .map(|place| format!("{}: {}", place.site, place.why))
        .collect();
    reasons.join("; ")
}
