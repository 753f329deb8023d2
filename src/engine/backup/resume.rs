//! Continues an attempt that an earlier run left unfinished, or gives it up.

use chrono::{DateTime, Utc};

use crate::catalog::{Attempt, Catalog, SnapshotRow};
use crate::config::{Config, Source};
use crate::engine::backup::attempt::{OpenAttempt, StoredParts};
use crate::engine::backup::facts;
use crate::engine::backup::outcome::BackupRequest;
use crate::engine::backup::send_parent::{StreamOrigin, Unfit};
use crate::engine::context::clock::{Clock, SystemClock};
use crate::engine::context::open_source::retain_until;
use crate::engine::context::session::Session;
use crate::engine::snapshots::standing;
use crate::error::Error;
use crate::model::SubvolumeIdentity;
use crate::model::size::Bytes;
use crate::plan::{
    Action, AttemptFacts, BackupPlan, Facts, GivenUp, Resume, ResumingRun, Schedule,
    SendParentSnapshot, carry_out, plan_resume, request_for,
};
use crate::progress::Event;
use crate::seal::Recipients;

/// A run that found an unfinished attempt.
pub(in crate::engine) struct UnfinishedAttempt<'a> {
    pub(in crate::engine) session: &'a Session<'a>,
    pub(in crate::engine) asked: BackupRequest,
    pub(in crate::engine) recipients: &'a Recipients,
    pub(in crate::engine) now: DateTime<Utc>,
}

impl UnfinishedAttempt<'_> {
    /// Returns the attempt, ready to be continued, and the reason; `None` if it was given up.
    pub(in crate::engine) fn resume(
        &self,
        attempt: &Attempt,
        snapshot: SendParentSnapshot,
        origin: StreamOrigin,
        unfit: &[Unfit],
        catalog: &mut Catalog,
    ) -> Result<Option<(OpenAttempt, String)>, Error> {
        let date = attempt.id.date;
        let found = ResumeFacts {
            config: self.session.config,
            source: self.session.source.config,
            asked: self.asked,
            recipients: self.recipients,
            now: self.now,
        };
        let given_up = match found.decide(attempt, snapshot, origin, unfit, catalog)? {
            (Resume::GoOn, Some(in_hand)) => {
                let reason = self.reason(attempt, catalog)?;
                self.session.context.observer.event(Event::Planned {
                    source: self.session.source.name().clone(),
                    date,
                    action: attempt.id.kind.as_str(),
                    reason: reason.clone(),
                });
                return Ok(Some((in_hand, reason)));
            }
            (Resume::GiveUp(why), _) => why,
            // The planner gives up what can't be taken up.
            (Resume::GoOn, None) => GivenUp::Settings("it cannot be continued".to_owned()),
        };
        catalog.abandon(&attempt.id)?;
        self.session.context.observer.event(Event::Warning {
            source: self.session.source.name().clone(),
            message: format!("the unfinished archive of {date} is given up: {given_up}"),
        });
        Ok(None)
    }

    fn reason(&self, attempt: &Attempt, catalog: &mut Catalog) -> Result<String, Error> {
        let (segments, bytes) =
            StoredParts::gather(&self.session.source, &attempt.id, catalog)?.total();
        let noun = if segments == 1 { "segment" } else { "segments" };
        Ok(format!(
            "it was begun on {} and left unfinished, with {segments} {noun} stored, {} raw",
            attempt.begun_at,
            Bytes(bytes),
        ))
    }
}

/// The facts that a decision depends on, besides the attempt itself.
struct ResumeFacts<'a> {
    config: &'a Config,
    source: &'a Source,
    asked: BackupRequest,
    recipients: &'a Recipients,
    now: DateTime<Utc>,
}

impl ResumeFacts<'_> {
    fn decide(
        &self,
        attempt: &Attempt,
        snapshot: SendParentSnapshot,
        origin: StreamOrigin,
        unfit: &[Unfit],
        catalog: &Catalog,
    ) -> Result<(Resume, Option<OpenAttempt>), Error> {
        let date = attempt.id.date;
        let (facts, schedule) = facts::facts(
            (self.config, self.source),
            date,
            request_for(date, self.asked.date, self.asked.request),
            origin,
            unfit,
            self.recipients.fingerprint(&attempt.ledger),
            Some(attempt.ledger),
            catalog,
        )?;
        let store = self.config.store_of(self.source)?;
        let locked = retain_until(self.config, self.source, attempt.chain.date, self.now);
        let (in_hand, settings) = match OpenAttempt::take_up(
            attempt,
            self.source.protocol,
            store.storage_class(),
            locked,
        ) {
            Ok(in_hand) => (Some(in_hand), None),
            Err(unfit) => (None, Some(unfit.to_string())),
        };
        let attempt = AttemptFacts {
            id: attempt.id,
            send_parent: attempt.send_parent,
            chain: attempt.chain,
            recipients: attempt.recipients,
            snapshot,
            settings,
        };
        let night = ResumingRun {
            date: self.asked.date,
            today: self.asked.today,
            date_override: self.asked.override_date,
        };
        Ok((plan_resume(&attempt, &facts, &schedule, night)?, in_hand))
    }
}

/// Returns the state of an attempt's own snapshot, with its row and identity if it is intact.
pub(in crate::engine) fn snapshot_of(
    source: &Source,
    attempt: &Attempt,
    catalog: &Catalog,
) -> Result<(SendParentSnapshot, Option<(SnapshotRow, SubvolumeIdentity)>), Error> {
    let living = standing::rows(source, catalog)?;
    let row = living
        .into_iter()
        .find(|row| Some(row.id) == attempt.snapshot);
    let Some(row) = row else {
        return Ok((SendParentSnapshot::Gone, None));
    };
    Ok(match standing::check(&row)? {
        Ok(identity) => (SendParentSnapshot::Intact, Some((row, identity))),
        Err(why) => (SendParentSnapshot::Changed(why), None),
    })
}

/// The forecast of a run.
#[derive(Debug)]
pub struct Foreseen {
    /// The unfinished archives that it would complete first.
    pub resumed: Vec<BackupPlan>,
    /// The facts of its own date, as they will be after those archives.
    pub facts: Facts,
    /// The source's schedule.
    pub schedule: Schedule,
}

/// Forecasts a run of a source. Changes nothing and asks no store.
pub fn foresee(
    config: &Config,
    source: &Source,
    asked: BackupRequest,
    catalog: &Catalog,
) -> Result<Foreseen, Error> {
    let (mut facts, schedule) =
        facts::plan_facts(config, source, asked.date, asked.request, catalog)?;
    let mut resumed = Vec::new();
    let attempts = match catalog.source(&source.name)? {
        Some(row) => catalog.unfinished(&row.ledger)?,
        None => Vec::new(),
    };
    let recipients = Recipients::parse(config.recipients()?)?;
    for attempt in attempts {
        let found = ResumeFacts {
            config,
            source,
            asked,
            recipients: &recipients,
            now: SystemClock.now(),
        };
        let (snapshot, origin) = match source.live {
            Some(_) => match snapshot_of(source, &attempt, catalog)? {
                (state, Some((_, identity))) => (state, StreamOrigin::of(&identity)),
                (state, None) => (state, StreamOrigin::Snapshot { of: None }),
            },
            None => (SendParentSnapshot::NotLocal, StreamOrigin::Stdin),
        };
        if let (Resume::GoOn, _) = found.decide(&attempt, snapshot, origin, &[], catalog)? {
            let plan = BackupPlan {
                source: source.name.clone(),
                date: attempt.id.date,
                slot: attempt.slot,
                action: match attempt.send_parent {
                    Some(send_parent) => Action::Incremental {
                        send_parent,
                        chain: attempt.chain,
                    },
                    None => Action::Full,
                },
                reason: format!("it was begun on {} and left unfinished", attempt.begun_at),
                expire: Vec::new(),
                waiting: Vec::new(),
                snapshots: Vec::new(),
                mirrors: Vec::new(),
                copies: Vec::new(),
            };
            carry_out(&plan, &mut facts.history, facts.recipients);
            if facts.send_parent != SendParentSnapshot::NotLocal {
                facts.send_parent = SendParentSnapshot::Intact;
                facts.older_send_parent = None;
            }
            resumed.push(plan);
        }
    }
    Ok(Foreseen {
        resumed,
        facts,
        schedule,
    })
}
