//! Gathers the facts that the planner needs.

use chrono::NaiveDate;

use crate::catalog::{Catalog, Link};
use crate::config::{Config, Source, StoreConfig};
use crate::engine::backup::rescue::foresee_rescue;
use crate::engine::backup::send_parent::{StreamOrigin, Unfit, choose};
use crate::engine::context::schedule::schedule;
use crate::error::Error;
use crate::model::{LedgerId, Sha256};
use crate::plan::{
    ArchiveFacts, Condition, Facts, History, ListedAsOf, Request, Schedule, SendParentSnapshot,
    Verification, long_silence,
};
use crate::progress::{Event, Observer};
use crate::seal::Recipients;

/// Converts the visible archives of a source into the planner's form.
pub fn history(visible: impl IntoIterator<Item = Link>) -> History {
    let archives = visible.into_iter().map(|link| ArchiveFacts {
        id: link.id,
        send_parent: link.send_parent,
        chain: link.chain,
        recipients: link.recipients,
        condition: match (link.is_damaged, link.is_inexact) {
            (true, _) => Condition::Damaged,
            (false, true) => Condition::Inexact,
            (false, false) => Condition::Sound,
        },
        verification: if link.is_verified {
            Verification::Verified
        } else {
            Verification::Unverified
        },
    });
    History {
        archives: archives.collect(),
    }
}

/// Gathers the facts of a source on a date for a plan that changes nothing. A source that was never archived
/// needs no ledger for it.
pub fn plan_facts(
    config: &Config,
    source: &Source,
    date: NaiveDate,
    request: Request,
    catalog: &Catalog,
) -> Result<(Facts, Schedule), Error> {
    let origin = StreamOrigin::of_source(source);
    let ledger = catalog.source(&source.name)?.map(|row| row.ledger);
    let recipients = Recipients::parse(config.recipients()?)?;
    // Without a ledger there are no archives to compare this fingerprint with.
    let fingerprint = recipients.fingerprint(&ledger.unwrap_or(LedgerId([0; 16])));
    let gather = |unfit: &[Unfit]| {
        facts(
            (config, source),
            date,
            request,
            origin,
            unfit,
            fingerprint,
            ledger,
            catalog,
        )
    };
    let (facts, schedule) = gather(&[])?;
    let newest = facts.history.send_parents().first().map(|it| it.id);
    if let (SendParentSnapshot::Gone, Some(newest), StreamOrigin::Snapshot { of }) =
        (&facts.send_parent, newest, origin)
        && foresee_rescue((config, source), of, newest, catalog)?
    {
        return gather(&[(newest, SendParentSnapshot::AtMirror)]);
    }
    Ok((facts, schedule))
}

/// Gathers the facts of a source on a date.
#[allow(clippy::too_many_arguments, reason = "each is a fact of its own")]
pub(in crate::engine) fn facts(
    (config, source): (&Config, &Source),
    date: NaiveDate,
    request: Request,
    origin: StreamOrigin,
    unfit: &[Unfit],
    recipients: Sha256,
    ledger: Option<LedgerId>,
    catalog: &Catalog,
) -> Result<(Facts, Schedule), Error> {
    let links = match ledger {
        Some(ledger) => catalog.lineage(&ledger)?,
        None => Vec::new(),
    };
    let mut history = history(links);
    if source.protocol.is_inexact() {
        history.accept_inexact();
    }
    let (send_parent, older_send_parent) = choose(source, origin, &history, unfit, catalog)?;
    let facts = Facts {
        source: source.name.clone(),
        date,
        request,
        history,
        send_parent,
        older_send_parent,
        recipients,
        listed_as_of: match config.store_of(source)? {
            StoreConfig::Vault { .. } => ListedAsOf::Inventory(None),
            StoreConfig::Dir { .. } | StoreConfig::S3 { .. } => ListedAsOf::Now,
        },
    };
    Ok((facts, schedule(source)))
}

/// Warns if the new archive comes long after the one before it. This is normal if the machine was off. But if
/// the clock has jumped ahead, the archive gets a wrong date, and every night is refused until that date has
/// come.
pub(in crate::engine) fn warn_of_silence(facts: &Facts, observer: &dyn Observer) {
    if let Some(days) = long_silence(&facts.history, facts.date) {
        observer.event(Event::Warning {
            source: facts.source.clone(),
            message: format!(
                "{} is {days} days after the newest archive; if you did not expect that, check the clock",
                facts.date
            ),
        });
    }
}
