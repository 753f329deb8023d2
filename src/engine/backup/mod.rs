//! The nightly run of one source: snapshot, ledger, plan, archive, retention.

pub(super) mod archive;
pub(super) mod attempt;
pub(super) mod decide;
pub(super) mod facts;
pub(super) mod job;
pub(super) mod level_control;
pub(super) mod outcome;
pub(super) mod pipeline;
pub(super) mod put_verified;
pub(super) mod resume;
pub(super) mod send_parent;
pub(super) mod stream_source;
pub(super) mod uplink;
pub(super) mod upload;
pub(super) mod zeros;

use std::path::Path;

use crate::btrfs::{
    BtrfsError, CompressedData, Expect, ExpectParent, Obstacle, SendRequest, Sender, Tools,
    kernel_release,
};
use crate::catalog::{Catalog, SnapshotRow};
use crate::config::{Config, Live, Prune, Source};
use crate::engine::backup::attempt::{Intent, OpenAttempt};
use crate::engine::backup::job::{Job, OriginFacts};
use crate::engine::backup::outcome::{BackupRequest, CommittedArchive, Outcome};
use crate::engine::backup::resume::Unfinished;
use crate::engine::backup::send_parent::{Origin, Unfit, loses_data};
use crate::engine::backup::stream_source::Sending;
use crate::engine::context::RunContext;
use crate::engine::context::host_name::host_name;
use crate::engine::context::open_source::{OpenSource, know_source, retain_until};
use crate::engine::context::state_dir::{Keys, StateDir};
use crate::engine::ledger::listing::{look_after, verify_listed};
use crate::engine::ledger::sync::{self, LedgerState};
use crate::engine::prune::{PruneAsked, prune_open};
use crate::engine::snapshots::retention;
use crate::engine::snapshots::take::{self, Night};
use crate::engine::snapshots::{left_out, standing};
use crate::error::{BackupError, Error, in_words};
use crate::model::entry::Role;
use crate::model::{ArchiveId, Protocol, Uuid};
use crate::plan::{Action, BackupPlan, Facts, plan_backup, refuse_date};
use crate::process::ProcessError;
use crate::progress::{Event, Observer};
use crate::seal::Recipients;

/// Archives a source on a date if that date calls for it.
pub fn backup(
    config: &Config,
    source: &Source,
    asked: BackupRequest,
    context: RunContext<'_>,
) -> Result<Outcome, Error> {
    let live = source
        .live
        .as_ref()
        .ok_or_else(|| BackupError::NotLive(source.name.clone()))?;
    let tools = tools(source)?;
    crate::btrfs::require_root()?;
    let recipients = Recipients::parse(config.recipients()?)?;
    let state_dir = StateDir::new(&config.state_dir);
    let keys = state_dir.keys()?;
    let mut catalog = context.catalog(&state_dir)?;
    keys.require_grant(&source.name, &catalog)?;
    let _lock = state_dir.lock(&source.name, &context)?;
    check_date(source, asked, &catalog)?;
    let nightly = Nightly {
        config,
        source,
        live,
        tools: &tools,
        keys: &keys,
        context,
        recipients: &recipients,
        asked,
    };
    nightly.run(&mut catalog)
}

/// Refuses a date that no archive may be made for any more, or not yet.
pub fn check_date(source: &Source, asked: BackupRequest, catalog: &Catalog) -> Result<(), Error> {
    let links = match catalog.source(&source.name)? {
        Some(row) => catalog.lineage(&row.ledger)?,
        None => Vec::new(),
    };
    let newest = links.last().map(|newest| newest.id.date);
    Ok(refuse_date(
        asked.date,
        newest,
        asked.today,
        asked.override_date,
    )?)
}

/// Whether a stream of that form may carry compressed data.
pub(super) fn compressed_data(protocol: Protocol) -> CompressedData {
    if protocol.is_inexact() {
        CompressedData::Allowed
    } else {
        CompressedData::Refused
    }
}

fn tools(source: &Source) -> Result<Tools, Error> {
    let tools = Tools::find()?;
    tools.require_for(source.protocol)?;
    Ok(tools)
}

/// One night of one source.
struct Nightly<'a> {
    config: &'a Config,
    source: &'a Source,
    live: &'a Live,
    tools: &'a Tools,
    keys: &'a Keys,
    context: RunContext<'a>,
    recipients: &'a Recipients,
    asked: BackupRequest,
}

/// A night on which nothing is archived.
#[derive(Debug, Default)]
struct Idle {
    /// Why.
    reason: String,
    /// Whether a chain's time is over.
    expires: bool,
}

impl Nightly<'_> {
    fn run(&self, catalog: &mut Catalog) -> Result<Outcome, Error> {
        take::check_live(self.source, self.live)?;
        // The snapshot comes first: an unreachable store never costs one.
        let row = know_source(self.config, self.source, catalog)?;
        let night = self.take_snapshot(catalog)?;
        let store = self.context.open(&self.config.stores[&self.source.store])?;
        let source = OpenSource {
            config: self.source,
            row,
            store: store.as_ref(),
        };
        let mut state = sync::catch_up(&source, catalog, &self.keys.root)?;
        state.warn(&self.source.name, self.context.observer);
        state.require_role(&source, self.keys, Role::Writer)?;
        // The ledger may have told of newer archives.
        check_date(self.source, self.asked, catalog)?;
        look_after(&source, catalog, self.context)?;

        let mut archives = Vec::new();
        let planned = self
            .resume(&source, &night, &mut archives, &mut state, catalog)
            .and_then(|()| {
                if archives
                    .iter()
                    .any(|made| made.archive.date == self.asked.date)
                {
                    return Ok(Idle::default());
                }
                self.tonight(&source, &night, &mut archives, &mut state, catalog)
            });
        let nothing = match planned {
            Ok(nothing) => nothing,
            Err(error) if archives.is_empty() => return Err(error),
            Err(error) => {
                return Ok(Outcome::Archived {
                    archives,
                    later: Some(Box::new(error)),
                });
            }
        };
        if archives.is_empty() {
            // Most nights are such: what only a listing of the store can tell waits for the next archive.
            if nothing.expires || catalog.has_to_delete(&source.row.ledger)? {
                self.prune_and_retain(&source, catalog)?;
            } else {
                self.retain(&source, catalog)?;
            }
            return Ok(Outcome::NothingDue {
                reason: nothing.reason,
            });
        }
        let later = self
            .afterwards(&source, &archives, catalog)
            .err()
            .map(Box::new);
        Ok(Outcome::Archived { archives, later })
    }

    /// Goes on with what an earlier run left unfinished, or gives it up: also if its snapshot can't be sent and
    /// tonight's can, since otherwise every later night would fail as well.
    fn resume(
        &self,
        source: &OpenSource<'_>,
        tonight: &Night,
        made: &mut Vec<CommittedArchive>,
        state: &mut LedgerState,
        catalog: &mut Catalog,
    ) -> Result<(), Error> {
        for attempt in catalog.unfinished(&source.row.ledger)? {
            let (snapshot, row) = resume::snapshot_of(self.source, &attempt, catalog)?;
            let night = Unfinished {
                config: self.config,
                source,
                asked: self.asked,
                recipients: self.recipients,
                observer: self.context.observer,
                now: self.context.clock.now(),
            };
            let (origin, unfit) = match &row {
                Some((row, identity)) => {
                    let unfit = match &attempt.send_parent {
                        Some(parent) => loses_data(self.source, (row, identity), parent, catalog)?,
                        None => None,
                    };
                    (Origin::of(identity), unfit)
                }
                None => (Origin::Snapshot { of: None }, None),
            };
            let found = night.resume(&attempt, snapshot, origin, unfit.as_slice(), catalog)?;
            let Some((in_hand, reason)) = found else {
                continue;
            };
            state.require_known(source)?;
            let (row, _) = row.expect("an attempt continues on an intact snapshot");
            match self.archive(source, &row, &in_hand, reason, state, catalog) {
                Ok(archived) => made.push(archived),
                Err(error) if tonight.row.id != row.id && gets_past(&error, &tonight.row.path) => {
                    catalog.abandon(&attempt.id)?;
                    self.context.observer.event(Event::Warning {
                        source: self.source.name.clone(),
                        message: format!(
                            "the unfinished archive of {} is given up, since its snapshot can't be sent: {}",
                            attempt.id.date,
                            in_words(&error)
                        ),
                    });
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Archives the night if its date calls for it; what there is to say of it, if not.
    fn tonight(
        &self,
        source: &OpenSource<'_>,
        night: &Night,
        made: &mut Vec<CommittedArchive>,
        state: &mut LedgerState,
        catalog: &mut Catalog,
    ) -> Result<Idle, Error> {
        let (facts, plan) = self.plan(source, night, catalog)?;
        self.context.observer.event(Event::Planned {
            source: self.source.name.clone(),
            date: plan.date,
            action: plan.action.as_str(),
            reason: plan.reason.clone(),
        });
        let onto = match plan.action {
            Action::None => {
                return Ok(Idle {
                    reason: plan.reason,
                    expires: !plan.expire.is_empty(),
                });
            }
            Action::Full => None,
            Action::Incremental { send_parent, chain } => Some((send_parent, chain)),
        };
        state.require_known(source)?;
        facts::warn_of_silence(&facts, self.context.observer);
        let now = self.context.clock.now();
        let full = onto.map_or(self.asked.date, |(_, chain)| chain.date);
        let intent = Intent {
            date: self.asked.date,
            slot: plan.slot,
            onto,
            recipients: self.recipients,
            snapshot: Some(night.row.id),
            protocol: Some(self.source.protocol),
            retain_until: retain_until(self.config, self.source, full, now),
            now,
        };
        let attempt = OpenAttempt::begin(self.config, source, intent, catalog)?;
        made.push(self.archive(source, &night.row, &attempt, plan.reason, state, catalog)?);
        Ok(Idle::default())
    }

    /// Plans the night. An archive against which the stream would lose data is not built on.
    fn plan(
        &self,
        source: &OpenSource<'_>,
        night: &Night,
        catalog: &Catalog,
    ) -> Result<(Facts, BackupPlan), Error> {
        let mut unfit: Vec<Unfit> = Vec::new();
        loop {
            let (facts, schedule) = facts::facts(
                self.source,
                self.asked.date,
                self.asked.request,
                Origin::of(&night.identity),
                &unfit,
                self.recipients.fingerprint(&source.row.ledger),
                Some(source.row.ledger),
                catalog,
            )?;
            let plan = plan_backup(&facts, &schedule)?;
            let Action::Incremental { send_parent, .. } = plan.action else {
                return Ok((facts, plan));
            };
            let snapshot = (&night.row, &night.identity);
            match loses_data(self.source, snapshot, &send_parent, catalog)? {
                None => return Ok((facts, plan)),
                Some(found) => unfit.push(found),
            }
        }
    }

    fn take_snapshot(&self, catalog: &mut Catalog) -> Result<Night, Error> {
        let date = self.asked.date;
        let night = take::take(
            self.source,
            self.live,
            date,
            catalog,
            self.tools,
            self.context,
        )?;
        match night.made {
            take::Made::Now => self.context.observer.event(Event::Snapshot {
                source: self.source.name.clone(),
                date,
            }),
            take::Made::Before => {}
            // Once: whoever makes them will make one every night.
            take::Made::BySomebody => self.warn_once(
                "snapshots of unknown origin",
                "using an existing snapshot of unknown origin; coldchain will never delete it",
                catalog,
            )?,
        }
        self.warn_of_left_out(catalog)?;
        Ok(night)
    }

    /// Names nested subvolumes when they are not those that were named before.
    fn warn_of_left_out(&self, catalog: &mut Catalog) -> Result<(), Error> {
        let nested = left_out::left_out(self.live)?;
        let message = left_out::left_out_in_words(&nested).unwrap_or_default();
        self.warn_once("nested subvolumes", &message, catalog)
    }

    /// Warns if that differs from what was last said of it.
    fn warn_once(&self, subject: &str, message: &str, catalog: &mut Catalog) -> Result<(), Error> {
        if catalog.tell(&self.source.name, subject, message)? && !message.is_empty() {
            self.context.observer.event(Event::Warning {
                source: self.source.name.clone(),
                message: message.to_owned(),
            });
        }
        Ok(())
    }

    fn archive(
        &self,
        source: &OpenSource<'_>,
        snapshot: &SnapshotRow,
        attempt: &OpenAttempt,
        reason: String,
        state: &mut LedgerState,
        catalog: &mut Catalog,
    ) -> Result<CommittedArchive, Error> {
        let parent = match attempt.onto {
            Some((parent, _)) => Some(send_parent(self.source, &parent, catalog)?),
            None => None,
        };
        // An attempt keeps the form that it was begun in.
        let protocol = attempt.protocol.unwrap_or(self.source.protocol);
        let request = SendRequest {
            snapshot: snapshot.path.clone(),
            send_parent: parent.as_ref().map(|(row, _)| row.path.clone()),
            protocol,
            by: self.config.sender,
        };
        let expected = if self.context.observer.wants_estimate() {
            // It only feeds the bar: the sender itself will say what is wrong.
            crate::btrfs::estimate(self.tools, &request).ok()
        } else {
            None
        };
        let job = Job {
            config: self.config,
            source,
            keys: self.keys,
            context: self.context,
            recipients: self.recipients,
            expected,
            origin: OriginFacts {
                kernel: Some(kernel_release()),
                btrfs_progs: Some(self.tools.version().to_string()),
                host: Some(host_name()),
                subvolume: Some(self.live.subvolume.display().to_string()),
                snapshot: Some(snapshot.path.display().to_string()),
            },
            reason,
        };
        let mut send = || {
            // Each time: deduplication may have changed them since.
            let sent = standing::as_it_stands(snapshot)?;
            let send_parent = match &parent {
                Some((row, uuid)) => {
                    ExpectParent::State(*uuid, standing::as_it_stands(row)?.ctransid)
                }
                None => ExpectParent::None,
            };
            Ok(Some(Sending {
                expect: Expect {
                    uuid: Some(sent.stream_uuid()),
                    ctransid: Some(sent.ctransid),
                    send_parent,
                    compressed_data: compressed_data(protocol),
                },
                stream: Box::new(Sender::spawn(self.tools, &request)?),
            }))
        };
        archive::archive(&job, attempt, &mut send, state, catalog)
    }

    /// What comes after the commit: a failure here does not undo the archives.
    fn afterwards(
        &self,
        source: &OpenSource<'_>,
        archives: &[CommittedArchive],
        catalog: &mut Catalog,
    ) -> Result<(), Error> {
        warn_of_store(source, catalog, self.context.observer)?;
        for made in archives {
            verify_listed(source, &made.archive, catalog, self.context.clock)?;
        }
        self.prune_and_retain(source, catalog)
    }

    /// What is older than it has to be goes, in the store and here. Neither waits for the other.
    fn prune_and_retain(
        &self,
        source: &OpenSource<'_>,
        catalog: &mut Catalog,
    ) -> Result<(), Error> {
        let pruned = self.prune(source, catalog);
        self.retain(source, catalog).and(pruned)
    }

    /// Prunes, unless that is another machine's business.
    fn prune(&self, source: &OpenSource<'_>, catalog: &mut Catalog) -> Result<(), Error> {
        if self.config.prune == Prune::Elsewhere {
            return Ok(());
        }
        let asked = PruneAsked {
            date: self.asked.date,
            yes_delete: None,
        };
        let pruned = prune_open(self.config, source, self.keys, asked, self.context, catalog);
        Ok(pruned.map(drop)?)
    }

    fn retain(&self, source: &OpenSource<'_>, catalog: &mut Catalog) -> Result<(), Error> {
        let ledger = &source.row.ledger;
        retention::retain(
            self.source,
            ledger,
            self.asked.date,
            catalog,
            self.tools,
            self.context,
        )
    }
}

/// Whether an archive failed by what is in its snapshot, and nothing of the kind is known of a later one.
fn gets_past(error: &Error, later: &Path) -> bool {
    match error {
        Error::Btrfs(BtrfsError::Unsendable { obstacle, .. }) => !obstacle.is_in(later),
        Error::Backup(BackupError::Stream(refused)) if refused.refusal.is_long_path() => {
            Obstacle::too_long(later).is_none()
        }
        Error::Backup(BackupError::Stream(refused)) => !refused.refusal.is_garbled(),
        Error::Btrfs(failed @ BtrfsError::Process(ProcessError::Failed { .. })) => {
            !failed.is_passing()
        }
        _ => false,
    }
}

/// The snapshot of an archive that the planner chose to build on, and the uuid that its stream carries.
fn send_parent(
    source: &Source,
    parent: &ArchiveId,
    catalog: &Catalog,
) -> Result<(SnapshotRow, Uuid), Error> {
    let archive = catalog.archive(parent)?;
    let archive = archive.expect("the planner chose it from the catalog's archives");
    let snapshots = standing::rows(source, catalog)?;
    let mut snapshots = snapshots.into_iter();
    let row = snapshots.find(|row| Some(row.id) == archive.snapshot);
    let uuid = archive.stream_uuid;
    Ok((
        row.expect("the planner saw its snapshot intact"),
        uuid.expect("a visible archive has a stream uuid"),
    ))
}

/// Says what the store was found not to do, when that is not what was said before.
pub(super) fn warn_of_store(
    source: &OpenSource<'_>,
    catalog: &mut Catalog,
    observer: &dyn Observer,
) -> Result<(), Error> {
    let message = source.store.remarks().join("; ");
    if catalog.tell(source.name(), "store", &message)? && !message.is_empty() {
        observer.event(Event::Warning {
            source: source.name().clone(),
            message,
        });
    }
    Ok(())
}
