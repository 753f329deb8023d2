//! `btrsend`'s protocol: say which stream a date calls for, then archive the stream that comes on stdin.
//!
//! This module does not look at btrfs. Kind and send parent come from the ledger. The guard refuses a stream
//! that is not incremental on the archive that was asked for.

use chrono::NaiveDate;

use crate::btrfs::{Expect, ExpectParent};
use crate::catalog::Catalog;
use crate::config::{Config, PruneMode, Source};
use crate::engine::backup::archive;
use crate::engine::backup::attempt::{Intent, OpenAttempt};
use crate::engine::backup::facts;
use crate::engine::backup::job::{Job, OriginFacts};
use crate::engine::backup::outcome::{BackupRequest, Outcome};
use crate::engine::backup::resume::UnfinishedAttempt;
use crate::engine::backup::send_parent::{StreamOrigin, chosen_archive};
use crate::engine::backup::stream_source::{Sending, StreamSource, compressed_data};
use crate::engine::backup::{begin, check_date, check_stored, indexed_too, prune_after};
use crate::engine::context::RunContext;
use crate::engine::context::open_source::{OpenSource, retain_until};
use crate::engine::context::schedule::schedule;
use crate::engine::context::session::{LockedSource, Session};
use crate::error::Error;
use crate::model::ArchiveId;
use crate::plan::{Action, Request, SendParentSnapshot, nothing_missed, plan_backup};
use crate::progress::Event;
use crate::seal::Recipients;

/// The stream that the sending machine is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WantedStream {
    /// A complete stream: `c`.
    Full,
    /// A stream incremental on that date's snapshot: `i DATE`.
    Incremental(NaiveDate),
}

/// Decides which stream is due, asks for it through `ask`, archives what comes on stdin, and prunes as `backup` does.
/// If nothing is due, neither asks nor reads.
pub fn decide(
    config: &Config,
    source: &Source,
    asked: BackupRequest,
    context: RunContext<'_>,
    stdin: impl StreamSource,
    ask: impl FnOnce(WantedStream) -> Result<(), Error>,
) -> Result<Outcome, Error> {
    let recipients = Recipients::parse(config.recipients()?)?;
    let (locked, mut catalog) = LockedSource::to_archive(config, source, context)?;
    if let Some(reason) = nothing_missed_on(source, asked, &catalog)? {
        context.observer.event(Event::Warning {
            source: source.name.clone(),
            message: format!(
                "{} is before the newest archive, and nothing is due: {reason}",
                asked.date
            ),
        });
        return Ok(Outcome::NothingDue { reason });
    }
    check_date(source, asked, &catalog)?;
    let row = locked.row(&mut catalog)?;
    let session = locked.open(row)?;
    let open = &session.source;
    let mut state = begin(&session, asked, &mut catalog)?;
    announce_pruning(&session, &mut catalog)?;

    let found = take_up(&session, asked, &recipients, &mut catalog)?;
    let (onto, reason, planned) = if let Some((attempt, reason)) = &found {
        (attempt.onto, reason.clone(), None)
    } else {
        let (facts, schedule) = facts::facts(
            (config, source),
            asked.date,
            asked.request,
            StreamOrigin::Stdin,
            &[],
            recipients.fingerprint(&open.row.ledger),
            Some(open.row.ledger),
            &catalog,
        )?;
        let plan = plan_backup(&facts, &schedule)?;
        let onto = match plan.action {
            Action::None => {
                // What only a listing of the store can tell waits for the next archive.
                if !plan.expire.is_empty() || catalog.has_to_delete(&open.row.ledger)? {
                    prune_after(&session, asked.date, &mut catalog)?;
                }
                return Ok(Outcome::NothingDue {
                    reason: plan.reason,
                });
            }
            Action::Full => None,
            Action::Incremental { send_parent, chain } => Some((send_parent, chain)),
        };
        facts::warn_of_silence(&facts, context.observer);
        (onto, plan.reason, Some(plan.slot))
    };
    let (wanted, send_parent) = wanted(open, onto, &catalog)?;
    state.require_writable(open)?;
    ask(wanted)?;
    let attempt = match (found, planned) {
        (Some((attempt, _)), _) => attempt,
        (None, slot) => {
            let now = context.clock.now();
            let full = onto.map_or(asked.date, |(_, chain)| chain.date);
            let intent = Intent {
                date: asked.date,
                slot: slot.expect("what does not continue an attempt was planned"),
                onto,
                recipients: &recipients,
                snapshot: None,
                protocol: None,
                retain_until: retain_until(config, source, full, now),
                now,
            };
            OpenAttempt::begin(config, open, intent, &mut catalog)?
        }
    };
    let job = Job {
        session: &session,
        recipients: &recipients,
        expected: None,
        // The other machine sends one stream.
        can_fall_back: false,
        origin: OriginFacts::default(),
        reason,
    };
    let mut sending = Some(Sending {
        stream: Box::new(stdin),
        expect: Expect {
            uuid: None,
            ctransid: None,
            send_parent,
            compressed_data: compressed_data(source.protocol),
        },
    });
    let mut send = || Ok(sending.take());
    let made = archive::archive(&job, &attempt, &mut send, &mut state, &mut catalog)?;
    let archives = vec![made];
    let later = check_stored(&session, &archives, &mut catalog)
        .and_then(|()| prune_after(&session, asked.date, &mut catalog));
    let later = indexed_too(&session, &archives, &mut catalog, later);
    Ok(Outcome::Archived { archives, later })
}

/// Returns why nothing is due on a date before the newest archive, if no archive was missed there.
///
/// The sender takes the snapshots, so such a date costs nothing here. `backup` refuses it, because it would take
/// today's snapshot under that date.
fn nothing_missed_on(
    source: &Source,
    asked: BackupRequest,
    catalog: &Catalog,
) -> Result<Option<String>, Error> {
    let row = catalog.source(&source.name)?;
    let (Some(row), Request::Scheduled) = (row, asked.request) else {
        return Ok(None);
    };
    let history = facts::history(catalog.lineage(&row.ledger)?);
    Ok(nothing_missed(&history, asked.date, &schedule(source)))
}

/// What `decide` says once where an earlier version made archives and did not prune.
const PRUNES: &str = "from now on `decide` prunes as `backup` does: it retires expired chains, and deletes their \
     objects `delete_after` later. Set `prune = \"elsewhere\"` to leave that to another machine";

/// Says once, where archives exist already, that `decide` prunes.
fn announce_pruning(session: &Session<'_>, catalog: &mut Catalog) -> Result<(), Error> {
    const SUBJECT: &str = "decide prunes";
    let (config, source) = (session.config, &session.source);
    if config.prune == PruneMode::Elsewhere || catalog.told(source.name(), SUBJECT)?.is_some() {
        return Ok(());
    }
    if catalog.lineage(&source.row.ledger)?.is_empty() {
        // A new source never had another rule.
        catalog.tell(source.name(), SUBJECT, PRUNES)?;
        return Ok(());
    }
    let context = session.context;
    context.warn_once(source.name(), SUBJECT, PRUNES, catalog)
}

/// Returns the attempt of this date that an earlier stream left unfinished. Gives up attempts of other dates,
/// because their streams will not come.
fn take_up(
    session: &Session<'_>,
    asked: BackupRequest,
    recipients: &Recipients,
    catalog: &mut Catalog,
) -> Result<Option<(OpenAttempt, String)>, Error> {
    let night = UnfinishedAttempt {
        session,
        asked,
        recipients,
        now: session.context.clock.now(),
    };
    for attempt in catalog.unfinished(&session.source.row.ledger)? {
        let snapshot = SendParentSnapshot::NotLocal;
        let found = night.resume(&attempt, snapshot, StreamOrigin::Stdin, &[], catalog)?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// Returns the stream to ask for, and the send parent that it must have.
fn wanted(
    source: &OpenSource<'_>,
    onto: Option<(ArchiveId, ArchiveId)>,
    catalog: &Catalog,
) -> Result<(WantedStream, ExpectParent), Error> {
    let Some((send_parent, _)) = onto else {
        return Ok((WantedStream::Full, ExpectParent::None));
    };
    let (parent, uuid, ctransid) = chosen_archive(&send_parent, catalog)?;
    // A snapshot that was restored and adopted has its own ctransid, and its stream carries that one.
    let of_parent = parent.snapshot;
    let snapshots = catalog.snapshots(source.name())?;
    let adopted = snapshots
        .iter()
        .find(|row| Some(row.id) == of_parent && row.local_received == Some(uuid));
    let ctransid = adopted.map_or(ctransid, |row| row.local_ctransid);
    Ok((
        WantedStream::Incremental(send_parent.date),
        ExpectParent::State(uuid, ctransid),
    ))
}
