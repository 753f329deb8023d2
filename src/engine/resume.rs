//! Going on with an attempt that an earlier run left unfinished, or giving it up.

use chrono::{DateTime, Utc};

use crate::catalog::{Attempt, Catalog};
use crate::config::Config;
use crate::engine::attempt::{Already, InHand};
use crate::engine::backup::Asked;
use crate::engine::facts::{self, Origin};
use crate::engine::source::{OpenSource, retain_until};
use crate::error::Error;
use crate::model::size::Bytes;
use crate::plan::{
    AttemptFacts, Finding, GivenUp, Resume, SendParentSnapshot, plan_resume, request_for,
};
use crate::progress::{Event, Observer};
use crate::seal::Recipients;

/// A run that has found an unfinished attempt.
pub(super) struct Unfinished<'a> {
    pub(super) config: &'a Config,
    pub(super) source: &'a OpenSource<'a>,
    pub(super) asked: Asked,
    pub(super) recipients: &'a Recipients,
    pub(super) observer: &'a dyn Observer,
    pub(super) now: DateTime<Utc>,
}

impl Unfinished<'_> {
    /// The attempt, ready to be gone on with, and why it is; or nothing, if it was given up.
    pub(super) fn resume(
        &self,
        attempt: &Attempt,
        snapshot: SendParentSnapshot,
        origin: Origin,
        catalog: &mut Catalog,
    ) -> Result<Option<(InHand, String)>, Error> {
        let date = attempt.id.date;
        let ledger = self.source.row.ledger;
        let (facts, schedule) = facts::facts(
            self.source.config,
            date,
            request_for(date, self.asked.date, self.asked.request),
            origin,
            self.recipients.fingerprint(&ledger),
            Some(ledger),
            catalog,
        )?;
        let store = &self.config.stores[&self.source.config.store];
        let locked = retain_until(
            self.config,
            self.source.config,
            attempt.chain.date,
            self.now,
        );
        let (in_hand, settings) = match InHand::take_up(attempt, store.storage_class(), locked) {
            Ok(in_hand) => (Some(in_hand), None),
            Err(unfit) => (None, Some(unfit.to_string())),
        };
        let attempt_facts = AttemptFacts {
            id: attempt.id,
            send_parent: attempt.send_parent,
            chain: attempt.chain,
            recipients: attempt.recipients,
            snapshot,
            settings,
        };
        let night = Finding {
            date: self.asked.date,
            today: self.asked.today,
            date_override: self.asked.override_date,
        };
        let given_up = match (
            plan_resume(&attempt_facts, &facts, &schedule, night)?,
            in_hand,
        ) {
            (Resume::GoOn, Some(in_hand)) => {
                let reason = self.reason(attempt, catalog)?;
                self.observer.event(Event::Planned {
                    source: self.source.name().clone(),
                    date,
                    action: attempt.id.kind.as_str(),
                    reason: reason.clone(),
                });
                return Ok(Some((in_hand, reason)));
            }
            (Resume::GiveUp(why), _) => why,
            // The planner gives up what can't be taken up.
            (Resume::GoOn, None) => GivenUp::Settings("it can't be taken up".to_owned()),
        };
        catalog.abandon(&attempt.id)?;
        self.observer.event(Event::Warning {
            source: self.source.name().clone(),
            message: format!("the unfinished archive of {date} is given up: {given_up}"),
        });
        Ok(None)
    }

    fn reason(&self, attempt: &Attempt, catalog: &mut Catalog) -> Result<String, Error> {
        let (segments, bytes) = Already::gather(self.source, &attempt.id, catalog)?.total();
        let noun = if segments == 1 { "segment" } else { "segments" };
        Ok(format!(
            "it was begun on {} and left unfinished, with {segments} {noun} stored, {} raw",
            attempt.begun_at,
            Bytes(bytes),
        ))
    }
}
