//! What alarms depend on.

use chrono::{DateTime, NaiveDate, Utc};

use super::SourceStatus;
use crate::catalog::SizedRow;
use crate::config::Config;
use crate::engine::context::clock::local_date;
use crate::plan::{Behind, FailedRun, RunsOut, Schedule, WatchedSource};

pub(super) fn watched(
    config: &Config,
    (status, schedule): (&SourceStatus, Option<Schedule>),
    sized: &[SizedRow],
    (now, today): (DateTime<Utc>, NaiveDate),
) -> WatchedSource {
    let damaged = sized.iter().filter(|row| row.is_damaged);
    let failed = status.runs.iter().filter(|run| !run.end.is_success());
    let holds = status.mirrors.iter().filter_map(|mirror| {
        Some(RunsOut {
            what: mirror.to.to_string(),
            at: mirror.held.filter(|_| mirror.behind() != Some(0))?.until,
        })
    });
    let copies = status.copies.iter().filter(|copy| copy.is_nightly);
    let copies = copies.filter_map(|copy| {
        let since = copy.behind_since()?;
        // What was archived today may not be there yet.
        (since < today).then(|| Behind {
            what: copy.name.clone(),
            since,
        })
    });
    let mirrors = status.mirrors.iter().filter_map(|mirror| {
        let waiting = mirror.waiting.as_ref()?;
        let since = waiting.iter().map(|name| name.date).min()?;
        (since < today).then(|| Behind {
            what: mirror.to.to_string(),
            since,
        })
    });
    WatchedSource {
        now,
        today,
        has_nothing: status.store.is_none() && status.newest_snapshot.is_none(),
        archives: status.archives.clone(),
        damaged: damaged.map(|row| row.id.date).collect(),
        failed: failed
            .map(|run| FailedRun {
                command: run.command.clone(),
                on: local_date(run.ended_at.0, config.timezone),
                exit_code: run.end.exit_code,
                error: run.end.error.clone().unwrap_or_default(),
            })
            .collect(),
        checked: status.checked,
        limits: config.alarms.limits,
        holds: holds.collect(),
        lock: lock(schedule.as_ref(), sized),
        copies_behind: copies.collect(),
        mirrors_behind: mirrors.collect(),
        costs: None,
        schedule,
    }
}

/// Returns the first lock that ends before its archive is to be deleted.
fn lock(schedule: Option<&Schedule>, sized: &[SizedRow]) -> Option<RunsOut> {
    let schedule = schedule?;
    let locked = sized
        .iter()
        .filter_map(|row| Some((row, row.retain_until?)));
    let (first, until) = locked.min_by_key(|(row, until)| (*until, row.id))?;
    let of_chain = sized.iter().filter(|row| row.chain == first.chain);
    let newest = of_chain.map(|row| row.id.date).max()?;
    let is_newest = sized.last().is_some_and(|row| row.chain == first.chain);
    let expires = newest.checked_add_days(chrono::Days::new(schedule.expire_after_days.into()))?;
    (is_newest || until.0.date_naive() < expires).then(|| RunsOut {
        what: first.id.to_string(),
        at: until.0,
    })
}
