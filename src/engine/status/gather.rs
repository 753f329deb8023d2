//! Gathers what is known of a source from the catalog, the file index and the records of runs.

use std::collections::HashMap;

use chrono::{DateTime, NaiveDate, Utc};

use super::alarming::watched;
use super::{DueSlots, LastPull, NewestChain, SourceStatus, UnfinishedArchive};
use crate::catalog::{Catalog, SizedRow};
use crate::config::{Config, Source, SourceOrigin};
use crate::engine::backup::outcome::BackupRequest;
use crate::engine::backup::resume::foresee;
use crate::engine::context::RunContext;
use crate::engine::context::clock::local_date;
use crate::engine::context::open_source::store_url;
use crate::engine::context::schedule::schedule;
use crate::engine::copy::known::known_copies;
use crate::engine::copy::moved_away::moved_away;
use crate::engine::cost::monthly::monthly_cost;
use crate::engine::files::questions::FileIndex;
use crate::engine::mirror::known::known_mirrors;
use crate::error::{Error, in_words};
use crate::files_db::FileQuestions;
use crate::model::{ArchiveId, LedgerId, SourceName, VerifyLevel};
use crate::plan::{
    BackupPlan, CheckedAt, DateOverride, MeasuredArchive, Request, Usd, WatchedSource, alarms,
    missed_slots, overdue_from, plan_backup,
};
use crate::run_records::{EndedRun, RunRecords};

/// When checks of more than a listing last found an archive sound, on any level and by a drill.
type SoundChecks = HashMap<ArchiveId, (DateTime<Utc>, Option<DateTime<Utc>>)>;

/// Returns how sources stand.
pub fn status_of(
    config: &Config,
    sources: &[&Source],
    catalog: &Catalog,
    records: &RunRecords,
    context: RunContext<'_>,
) -> Result<Vec<SourceStatus>, Error> {
    let mut checks = SoundChecks::new();
    for (archive, level, at) in catalog.sound_checks()? {
        let (verified, drilled) = checks.entry(archive).or_insert((at.0, None));
        *verified = at.0.max(*verified);
        if level == VerifyLevel::Drill {
            *drilled = Some(at.0);
        }
    }
    sources
        .iter()
        .map(|source| source_status(config, source, catalog, (records, &checks), context))
        .collect()
}

fn source_status(
    config: &Config,
    source: &Source,
    catalog: &Catalog,
    (records, checks): (&RunRecords, &SoundChecks),
    context: RunContext<'_>,
) -> Result<SourceStatus, Error> {
    let now = context.clock.now();
    let today = local_date(now, config.timezone);
    let row = catalog.source(&source.name)?;
    let ledger = row.as_ref().map(|row| row.ledger);
    let sized = match &ledger {
        Some(ledger) => catalog.sized(ledger)?,
        None => Vec::new(),
    };
    let schedule =
        (source.store.is_some() && source.origin == SourceOrigin::File).then(|| schedule(source));
    let newest = sized.last().map(|row| row.id.date);
    let mut status = SourceStatus {
        name: source.name.clone(),
        store: config.store_of(source).ok().map(store_url),
        archives: measured(config, ledger.as_ref(), &sized),
        newest_snapshot: catalog
            .snapshots(&source.name)?
            .iter()
            .map(|row| row.name)
            .max(),
        chain: newest_chain(&sized),
        due: schedule.as_ref().map(|schedule| DueSlots {
            missed: missed_slots(schedule, newest, today),
            next: schedule.next_slot_after(today),
            overdue_from: newest.and_then(|newest| overdue_from(schedule, newest)),
        }),
        tonight: schedule
            .is_some()
            .then(|| tonight(config, source, today, catalog).map_err(|error| in_words(&error))),
        unfinished: unfinished(ledger.as_ref(), catalog)?,
        thaws: match &ledger {
            Some(ledger) => catalog.thaw_counts(ledger)?,
            None => crate::catalog::ThawCounts::default(),
        },
        mirrors: known_mirrors(config, source, catalog, context)?,
        copies: known_copies(config, source, catalog)?,
        moved: moved_away(config, source, catalog)?,
        pulled: pulled(source, catalog)?,
        checked: checked(&source.name, &sized, records, checks),
        runs: runs(&source.name, records),
        costs: monthly_cost(config, source, catalog).unwrap_or_default(),
        alarms: Vec::new(),
    };
    let watched = watched(config, (&status, schedule), &sized, (now, today));
    let before = records.cost_a_month_before(&source.name, today);
    let costs = status.usd_a_month().map(Usd::micros).zip(before);
    let watched = WatchedSource { costs, ..watched };
    status.alarms = alarms(&watched);
    let is_on = |kind| !config.alarms.off.contains(&kind);
    status.alarms.retain(|alarm| is_on(alarm.kind));
    Ok(status)
}

fn measured(
    config: &Config,
    ledger: Option<&LedgerId>,
    sized: &[SizedRow],
) -> Vec<MeasuredArchive> {
    let mut archives: Vec<MeasuredArchive> = sized
        .iter()
        .map(|row| MeasuredArchive {
            date: row.id.date,
            is_full: row.id == row.chain,
            raw_bytes: row.raw_bytes,
            sealed_bytes: row.sealed_bytes,
            files: None,
        })
        .collect();
    // Only the newest two are compared. An index that can't be read says nothing: nothing depends on it.
    let newest: Vec<ArchiveId> = sized.iter().rev().take(2).map(|row| row.id).collect();
    let index = ledger.and_then(|ledger| {
        let file = FileIndex::file_of(config, ledger);
        let questions = FileQuestions::open(&file, ledger).ok()??;
        Some(FileIndex::of(questions, &newest))
    });
    for (id, archive) in newest.iter().zip(archives.iter_mut().rev()) {
        archive.files = index.as_ref().and_then(|index| index.count_files(id).ok()?);
    }
    archives
}

fn newest_chain(sized: &[SizedRow]) -> Option<NewestChain> {
    let chain = sized.last()?.chain;
    let of_it = sized.iter().filter(|row| row.chain == chain);
    Some(NewestChain {
        full: chain.date,
        incrementals: of_it.clone().filter(|row| row.id != chain).count(),
        sealed_bytes: of_it.map(|row| row.sealed_bytes).sum(),
    })
}

/// Returns what a backup for today would do as its own archive.
fn tonight(
    config: &Config,
    source: &Source,
    today: NaiveDate,
    catalog: &Catalog,
) -> Result<BackupPlan, Error> {
    let asked = BackupRequest {
        date: today,
        today,
        request: Request::Scheduled,
        override_date: DateOverride::Given,
    };
    let foreseen = foresee(config, source, asked, catalog)?;
    let mut resumed = foreseen.resumed.into_iter();
    match resumed.find(|plan| plan.date == today) {
        Some(plan) => Ok(plan),
        None => Ok(plan_backup(&foreseen.facts, &foreseen.schedule)?),
    }
}

fn unfinished(
    ledger: Option<&LedgerId>,
    catalog: &Catalog,
) -> Result<Vec<UnfinishedArchive>, Error> {
    let rows = match ledger {
        Some(ledger) => catalog.unfinished_sizes(ledger)?,
        None => Vec::new(),
    };
    let rows = rows.into_iter();
    Ok(rows
        .map(|(date, begun_at, raw_bytes)| UnfinishedArchive {
            date,
            begun_at,
            raw_bytes,
        })
        .collect())
}

fn pulled(source: &Source, catalog: &Catalog) -> Result<Option<LastPull>, Error> {
    if source.pull.is_none() {
        return Ok(None);
    }
    let rows = catalog.pulls()?.into_iter();
    let of_it = rows.filter(|row| row.source == source.name);
    Ok(Some(LastPull {
        at: of_it.filter_map(|row| row.finished_at).max(),
    }))
}

fn checked(
    source: &SourceName,
    sized: &[SizedRow],
    records: &RunRecords,
    checks: &SoundChecks,
) -> CheckedAt {
    // A backup itself looks at the listing of its archive, so that level alone is no `verify`; a run of `verify` is.
    let of_archives = || sized.iter().filter_map(|row| checks.get(&row.id));
    let run = records.last_success("verify", source).map(|at| at.0);
    CheckedAt {
        first_archive: sized.first().map(|row| row.id.date),
        verified: of_archives()
            .map(|(verified, _)| *verified)
            .chain(run)
            .max(),
        drilled: of_archives().filter_map(|(_, drilled)| *drilled).max(),
    }
}

fn runs(source: &SourceName, records: &RunRecords) -> Vec<EndedRun> {
    let commands = records.commands();
    commands
        .filter_map(|command| records.last_of_source(command, source).cloned())
        .collect()
}
