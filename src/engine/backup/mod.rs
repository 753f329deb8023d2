//! The nightly run of one source: snapshot, ledger, plan, archive, retention.

pub(super) mod archive;
pub(super) mod attempt;
pub(super) mod decide;
pub(super) mod facts;
pub(super) mod job;
pub(super) mod outcome;
pub(super) mod pipeline;
pub(super) mod put_verified;
pub(super) mod rescue;
pub(super) mod resume;
pub(super) mod send_parent;
pub(super) mod sent;
pub(super) mod stream_source;
pub(super) mod upload;
mod upload_contents;
pub(super) mod zeros;

use std::path::Path;

use chrono::NaiveDate;

use crate::btrfs::{BtrfsError, Obstacle, SendRequest, Sender, SentBy, Tools, kernel_release};
use crate::catalog::Catalog;
use crate::config::{Config, Live, PruneMode, Source};
use crate::engine::backup::attempt::{Intent, OpenAttempt};
use crate::engine::backup::job::{Job, OriginFacts};
use crate::engine::backup::outcome::{BackupRequest, CommittedArchive, Outcome};
use crate::engine::backup::rescue::MirrorCopies;
use crate::engine::backup::resume::UnfinishedAttempt;
use crate::engine::backup::send_parent::{StreamOrigin, Unfit, loses_data};
use crate::engine::backup::sent::{SentFrom, Streamed};
use crate::engine::backup::stream_source::Sending;
use crate::engine::context::RunContext;
use crate::engine::context::host_name::host_name;
use crate::engine::context::inventory::try_to_renew_inventory;
use crate::engine::context::open_source::{OpenSource, retain_until};
use crate::engine::context::session::{LockedSource, Session};
use crate::engine::context::state_dir::StateDir;
use crate::engine::files::index::after_commit::index_new;
use crate::engine::ledger::listing::{look_after, verify_listed};
use crate::engine::ledger::sync::{self, LedgerState};
use crate::engine::prune::{PruneAsked, prune_open};
use crate::engine::snapshots::retention::{self, Retaining};
use crate::engine::snapshots::take::{self, Night};
use crate::engine::snapshots::{at_any_time, links};
use crate::error::{BackupError, ContentsFault, Error, in_words};
use crate::model::entry::Role;
use crate::model::{ArchiveId, SnapshotName};
use crate::plan::{Action, BackupPlan, Facts, SendParentSnapshot, plan_backup, refuse_date};
use crate::process::ProcessError;
use crate::progress::Event;
use crate::seal::Recipients;

/// Archives a source on a date if an archive is due on it. Of a source without a store it takes the snapshot alone.
pub fn backup(
    config: &Config,
    source: &Source,
    asked: BackupRequest,
    context: RunContext<'_>,
) -> Result<Outcome, Error> {
    if source.store.is_none() {
        let catalog = context.catalog(&StateDir::new(&config.state_dir))?;
        check_date(source, asked, &catalog)?;
        return at_any_time::nightly(config, source, asked.date, context).map(Outcome::Snapshot);
    }
    let live = source
        .live
        .as_ref()
        .ok_or_else(|| BackupError::NotLive(source.name.clone()))?;
    let tools = tools(source)?;
    crate::btrfs::require_root()?;
    let recipients = Recipients::parse(config.recipients()?)?;
    let (locked, mut catalog) = LockedSource::to_archive(config, source, context)?;
    check_date(source, asked, &catalog)?;
    take::check_live(source, live)?;
    let row = locked.row(&mut catalog)?;
    // The snapshot comes before the store is opened: an unreachable store never costs one.
    let night = {
        let _locked = StateDir::new(&config.state_dir).lock_snapshots(&source.name, &context)?;
        let name = SnapshotName::of_date(asked.date);
        take::take(source, live, name, &mut catalog, &tools, context)?
    };
    take::tell(source, live, &night, &mut catalog, context)?;
    links::point_to_newest(source, config.timezone, &mut catalog, context)?;
    let session = locked.open(row)?;
    let nightly = Nightly {
        session: &session,
        live,
        tools: &tools,
        recipients: &recipients,
        asked,
    };
    nightly.run(&night, &mut catalog)
}

/// Catches up with the ledger, refuses what may not be archived, and looks after what an earlier run could not see.
fn begin(
    session: &Session<'_>,
    asked: BackupRequest,
    catalog: &mut Catalog,
) -> Result<LedgerState, Error> {
    let source = &session.source;
    let state = sync::catch_up(source, catalog, &session.keys.root)?;
    state.warn(source.name(), session.context.observer);
    state.require_home(source)?;
    state.require_role(session, Role::Writer)?;
    // The ledger may have told of newer archives.
    check_date(source.config, asked, catalog)?;
    // On each night: the list that a vault makes can be read for a day only.
    try_to_renew_inventory(source, session.context, catalog)?;
    look_after(source, catalog, session.context)?;
    Ok(state)
}

/// Refuses a date for which it is too late, or too early, to make an archive.
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

fn tools(source: &Source) -> Result<Tools, Error> {
    let tools = Tools::find()?;
    tools.require_for(source.protocol)?;
    Ok(tools)
}

/// One night of one source.
struct Nightly<'a> {
    session: &'a Session<'a>,
    live: &'a Live,
    tools: &'a Tools,
    recipients: &'a Recipients,
    asked: BackupRequest,
}

/// A night on which nothing is archived.
#[derive(Debug, Default)]
struct Idle {
    /// Why nothing is archived.
    reason: String,
    /// Whether a chain has expired.
    expires: bool,
}

impl Nightly<'_> {
    fn source(&self) -> &OpenSource<'_> {
        &self.session.source
    }

    fn run(&self, night: &Night, catalog: &mut Catalog) -> Result<Outcome, Error> {
        let mut state = begin(self.session, self.asked, catalog)?;
        let mut archives = Vec::new();
        let mut unfit = Vec::new();
        let planned = self
            .resume(night, (&mut archives, &mut unfit), &mut state, catalog)
            .and_then(|()| {
                if archives
                    .iter()
                    .any(|made| made.archive.date == self.asked.date)
                {
                    return Ok(Idle::default());
                }
                self.tonight(night, (&mut archives, &mut unfit), &mut state, catalog)
            });
        let nothing = match planned {
            Ok(nothing) => nothing,
            Err(error) if archives.is_empty() => return Err(error),
            Err(error) => {
                let later = indexed_too(self.session, &archives, catalog, Err(error));
                return Ok(Outcome::Archived { archives, later });
            }
        };
        if archives.is_empty() {
            // Most nights are such: what only a listing of the store can tell waits for the next archive.
            if nothing.expires || catalog.has_to_delete(&self.source().row.ledger)? {
                self.prune_and_retain(catalog)?;
            } else {
                self.retain(catalog)?;
            }
            return Ok(Outcome::NothingDue {
                reason: nothing.reason,
            });
        }
        let later = self.afterwards(&archives, catalog);
        let later = indexed_too(self.session, &archives, catalog, later);
        Ok(Outcome::Archived { archives, later })
    }

    /// Continues the attempts that an earlier run left unfinished, or gives them up. It also gives one up if
    /// its snapshot can't be sent and tonight's can: otherwise every later night would fail too.
    fn resume(
        &self,
        tonight: &Night,
        (made, tried): (&mut Vec<CommittedArchive>, &mut Vec<Unfit>),
        state: &mut LedgerState,
        catalog: &mut Catalog,
    ) -> Result<(), Error> {
        for attempt in catalog.unfinished(&self.source().row.ledger)? {
            let (snapshot, row) = resume::snapshot_of(self.source().config, &attempt, catalog)?;
            let night = UnfinishedAttempt {
                session: self.session,
                asked: self.asked,
                recipients: self.recipients,
                now: self.session.context.clock.now(),
            };
            let (origin, unfit) = match &row {
                Some((row, identity)) => {
                    let unfit = match &attempt.send_parent {
                        Some(parent) => {
                            loses_data(self.source().config, (row, identity), parent, catalog)?
                        }
                        None => None,
                    };
                    (StreamOrigin::of(identity), unfit)
                }
                None => (StreamOrigin::Snapshot { of: None }, None),
            };
            let found = night.resume(&attempt, snapshot, origin, unfit.as_slice(), catalog)?;
            let Some((in_hand, reason)) = found else {
                continue;
            };
            state.require_writable(self.source())?;
            let (row, _) = row.expect("an attempt continues on an intact snapshot");
            let sent = SentFrom::Snapshot(row.clone());
            match self.archive(&sent, &in_hand, reason, state, catalog) {
                Ok(archived) => made.push(archived),
                Err(Error::Contents(ContentsFault::Unrestorable { archive, what })) => {
                    let unfit = self.give_up(&in_hand, &archive, what, catalog)?;
                    // What a later snapshot's stream is like is not known.
                    tried.extend(unfit.filter(|_| tonight.row.id == row.id));
                }
                Err(error) if tonight.row.id != row.id && gets_past(&error, &tonight.row.path) => {
                    catalog.abandon(&attempt.id)?;
                    self.session.context.observer.event(Event::Warning {
                        source: self.source().name().clone(),
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

    /// Gives up an attempt whose stream can't be restored. Returns the archive that it was sent against, which is no send
    /// parent for this snapshot, and why.
    fn give_up(
        &self,
        attempt: &OpenAttempt,
        archive: &ArchiveId,
        what: String,
        catalog: &mut Catalog,
    ) -> Result<Option<Unfit>, Error> {
        catalog.abandon(&attempt.id)?;
        let parent = attempt.onto.map(|(parent, _)| parent);
        let on = parent.map(|parent| format!(" on {}", parent.date));
        self.session.context.observer.event(Event::Warning {
            source: self.source().name().clone(),
            message: format!(
                "the archive of {}{} is given up, and made anew: its send stream can't be restored: {what}",
                archive.date,
                on.unwrap_or_default()
            ),
        });
        Ok(parent.map(|parent| (parent, SendParentSnapshot::Unrestorable(what))))
    }

    /// Archives tonight's snapshot if its date calls for it. Otherwise returns why not.
    ///
    /// An incremental whose stream can't be restored is given up before it is committed, and the night is planned again
    /// without its send parent. In the end, that is a full.
    fn tonight(
        &self,
        night: &Night,
        (made, tried): (&mut Vec<CommittedArchive>, &mut Vec<Unfit>),
        state: &mut LedgerState,
        catalog: &mut Catalog,
    ) -> Result<Idle, Error> {
        loop {
            let (facts, plan, copies) = match self.plan(night, tried, catalog)? {
                (facts, _) if facts.send_parent == SendParentSnapshot::Gone => {
                    self.plan_with_mirror(night, (&facts, tried), catalog)?
                }
                (facts, plan) => (facts, plan, None),
            };
            let from = match copies {
                Some(copies) => SentFrom::Copies(copies),
                None => SentFrom::Snapshot(night.row.clone()),
            };
            let Some(attempt) = self.attempt(night, (&facts, &plan), state, catalog)? else {
                return Ok(Idle {
                    reason: plan.reason,
                    expires: !plan.expire.is_empty(),
                });
            };
            match self.archive(&from, &attempt, plan.reason, state, catalog) {
                Ok(archived) => {
                    made.push(archived);
                    return Ok(Idle::default());
                }
                Err(Error::Contents(ContentsFault::Unrestorable { archive, what })) => {
                    tried.extend(self.give_up(&attempt, &archive, what, catalog)?);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Begins the attempt that a plan calls for; `None` if it calls for no archive.
    fn attempt(
        &self,
        night: &Night,
        (facts, plan): (&Facts, &BackupPlan),
        state: &LedgerState,
        catalog: &mut Catalog,
    ) -> Result<Option<OpenAttempt>, Error> {
        self.session.context.observer.event(Event::Planned {
            source: self.source().name().clone(),
            date: plan.date,
            action: plan.action.as_str(),
            reason: plan.reason.clone(),
        });
        let onto = match plan.action {
            Action::None => return Ok(None),
            Action::Full => None,
            Action::Incremental { send_parent, chain } => Some((send_parent, chain)),
        };
        state.require_writable(self.source())?;
        facts::warn_of_silence(facts, self.session.context.observer);
        let now = self.session.context.clock.now();
        let full = onto.map_or(self.asked.date, |(_, chain)| chain.date);
        let intent = Intent {
            date: self.asked.date,
            slot: plan.slot,
            onto,
            recipients: self.recipients,
            snapshot: Some(night.row.id),
            protocol: Some(self.source().config.protocol),
            retain_until: retain_until(self.session.config, self.source().config, full, now),
            now,
        };
        OpenAttempt::begin(self.session.config, self.source(), intent, catalog).map(Some)
    }

    /// Plans a night whose send parent is gone here. If a local mirror has it, the archive is sent from there, unless
    /// the night calls for a full anyway.
    fn plan_with_mirror(
        &self,
        night: &Night,
        (facts, tried): (&Facts, &[Unfit]),
        catalog: &Catalog,
    ) -> Result<(Facts, BackupPlan, Option<MirrorCopies>), Error> {
        let newest = facts.history.send_parents().first().map(|it| it.id);
        // What a stream against it was given up for, its copies at the mirror would bring again.
        let is_tried = |id: &ArchiveId| tried.iter().any(|(unfit, _)| unfit == id);
        if let Some(newest) = newest.filter(|id| !is_tried(id)) {
            let known = [(newest, SendParentSnapshot::AtMirror)];
            let (facts, plan) = self.plan(night, &known, catalog)?;
            let builds_on_it = matches!(
                plan.action,
                Action::Incremental { send_parent, .. } if send_parent == newest
            );
            if builds_on_it {
                let source = (self.session.config, self.source().config);
                let tonight = night.identity.stream_uuid();
                let copies =
                    rescue::rescue(source, tonight, newest, catalog, self.session.context)?;
                if copies.is_some() {
                    return Ok((facts, plan, copies));
                }
            }
        }
        let (facts, plan) = self.plan(night, tried, catalog)?;
        Ok((facts, plan, None))
    }

    /// Plans the night. An archive against which the stream would lose data is not built on.
    fn plan(
        &self,
        night: &Night,
        known: &[Unfit],
        catalog: &Catalog,
    ) -> Result<(Facts, BackupPlan), Error> {
        let mut unfit: Vec<Unfit> = known.to_vec();
        loop {
            let (facts, schedule) = facts::facts(
                (self.session.config, self.source().config),
                self.asked.date,
                self.asked.request,
                StreamOrigin::of(&night.identity),
                &unfit,
                self.recipients.fingerprint(&self.source().row.ledger),
                Some(self.source().row.ledger),
                catalog,
            )?;
            let plan = plan_backup(&facts, &schedule)?;
            let Action::Incremental { send_parent, .. } = plan.action else {
                return Ok((facts, plan));
            };
            let snapshot = (&night.row, &night.identity);
            match loses_data(self.source().config, snapshot, &send_parent, catalog)? {
                None => return Ok((facts, plan)),
                Some(found) => unfit.push(found),
            }
        }
    }

    fn archive(
        &self,
        sent: &SentFrom,
        attempt: &OpenAttempt,
        reason: String,
        state: &mut LedgerState,
        catalog: &mut Catalog,
    ) -> Result<CommittedArchive, Error> {
        let onto = attempt.onto.map(|(parent, _)| parent);
        let streamed = Streamed::new(sent, onto, self.source().config, catalog)?;
        // An attempt keeps the form that it was begun in.
        let protocol = attempt.protocol.unwrap_or(self.source().config.protocol);
        let request = SendRequest {
            snapshot: streamed.path().to_owned(),
            send_parent: streamed.parent_path().map(Path::to_owned),
            protocol,
            by: self.session.config.sender,
        };
        if request.by == SentBy::Parallel
            && let Some(why) = request.why_not_parallel()
        {
            self.session.context.observer.event(Event::Warning {
                source: self.source().name().clone(),
                message: format!("the kernel reads the data of files, and not coldchain: {why}"),
            });
        }
        let expected = if self.session.context.observer.wants_estimate() {
            // It only feeds the bar: the sender itself will say what is wrong.
            crate::btrfs::estimate(self.tools, &request).ok()
        } else {
            None
        };
        let job = Job {
            session: self.session,
            recipients: self.recipients,
            expected,
            can_fall_back: true,
            origin: OriginFacts {
                kernel: Some(kernel_release()),
                btrfs_progs: Some(self.tools.version().to_string()),
                host: Some(host_name()),
                subvolume: Some(self.live.subvolume.display().to_string()),
                snapshot: Some(streamed.path().display().to_string()),
            },
            reason,
        };
        let mut start = || {
            // This is read for each pass, because deduplication may have changed the snapshots since.
            Ok(Some(Sending {
                expect: streamed.expected(protocol)?,
                stream: Box::new(Sender::spawn(self.tools, &request)?),
            }))
        };
        archive::archive(&job, attempt, &mut start, state, catalog)
    }

    /// Does the work after the commit. A failure here does not undo the archives.
    fn afterwards(
        &self,
        archives: &[CommittedArchive],
        catalog: &mut Catalog,
    ) -> Result<(), Error> {
        check_stored(self.session, archives, catalog)?;
        self.prune_and_retain(catalog)
    }

    /// What is older than it has to be goes, in the store and here. Neither waits for the other.
    fn prune_and_retain(&self, catalog: &mut Catalog) -> Result<(), Error> {
        let pruned = prune_after(self.session, self.asked.date, catalog);
        self.retain(catalog).and(pruned)
    }

    fn retain(&self, catalog: &mut Catalog) -> Result<(), Error> {
        let (source, context) = (self.source().config, self.session.context);
        let zone = self.session.config.timezone;
        let retaining = Retaining::of_date(self.asked.date, self.session.config, context);
        retention::retain(source, retaining, catalog, self.tools, context)?;
        links::point_to_newest(source, zone, catalog, context)
    }
}

/// Warns of what the store lacks, and looks in a listing for the objects of new archives.
fn check_stored(
    session: &Session<'_>,
    archives: &[CommittedArchive],
    catalog: &mut Catalog,
) -> Result<(), Error> {
    warn_of_store(&session.source, catalog, session.context)?;
    for made in archives {
        verify_listed(
            &session.source,
            &made.archive,
            catalog,
            session.context.clock,
        )?;
    }
    Ok(())
}

/// Indexes new archives, after all that had to be done with them. Returns the first error; that of the index comes last.
fn indexed_too(
    session: &Session<'_>,
    archives: &[CommittedArchive],
    catalog: &mut Catalog,
    later: Result<(), Error>,
) -> Option<Box<Error>> {
    let indexed = index_new(session, archives, catalog);
    if let (Err(_), Err(error)) = (&later, &indexed) {
        session.context.observer.event(Event::Warning {
            source: session.source.name().clone(),
            message: in_words(error),
        });
    }
    later.and(indexed).err().map(Box::new)
}

/// Prunes the store after a run of this date, unless another machine prunes.
fn prune_after(session: &Session<'_>, date: NaiveDate, catalog: &mut Catalog) -> Result<(), Error> {
    if session.config.prune == PruneMode::Elsewhere {
        return Ok(());
    }
    let asked = PruneAsked {
        date,
        yes_delete: None,
    };
    Ok(prune_open(session, asked, catalog).map(drop)?)
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

/// Warns of the features that the store was found to lack, if they are not the same as in the last warning.
fn warn_of_store(
    source: &OpenSource<'_>,
    catalog: &mut Catalog,
    context: RunContext<'_>,
) -> Result<(), Error> {
    let message = source.store.remarks().join("; ");
    context.warn_once(source.name(), "store", &message, catalog)
}
