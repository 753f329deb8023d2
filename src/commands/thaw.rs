//! `coldchain thaw`: thaw what a restore needs, or show how far the thaw is.

mod batch;

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use self::batch::BatchFiles;
use super::output::observer;
use super::output::{answer, answer_json, count};
use super::prompt::{Agreed, confirm};
use super::restore::report::in_words;
use super::restore::{thaw_request, which};
use super::target::chosen;
use super::{activity_log, load_to_read, recorded, require_catalog, warn_of_copy};
use crate::activity_log::{ActivityLog, LogLine};
use crate::catalog::Catalog;
use crate::cli::{Everywhere, Thaw};
use crate::engine::{
    Clock, OpenSource, ReadablePlace, SegmentThaw, StateDir, SystemClock, ThawStatus,
    WantedSegments, ask_classes, estimate, open_paced_store, plan_details, thaw, thaw_state,
};
use crate::error::{Error, RequestError, RestoreError};
use crate::interrupt::Interrupt;
use crate::model::ArchiveId;
use crate::model::StorageClass;
use crate::model::entry::Timestamp;
use crate::plan::RestorePlan;
use crate::printing::say_lines;
use crate::store::{Readability, RequestPace};

pub(super) fn run(args: &Thaw, everywhere: &Everywhere) -> Result<(), Error> {
    let config = load_to_read(everywhere)?;
    let target = chosen(args.target.typed(), &config)?;
    let source = target.one_source()?;
    require_catalog(&config, &[source])?;
    let wanted = target.archive()?;
    let mut catalog = StateDir::new(&config.state_dir).catalog_to_read()?;
    warn_of_copy(&catalog);
    let place = match &args.place.place {
        Some(name) => ReadablePlace::named(&config, source, name, &catalog)?,
        None => None,
    };
    let source = place.as_ref().map_or(source, |place| &place.source);
    catalog.turn_to(place.as_ref().map(|place| place.row.id));
    let (plan, details) = plan_details(source, wanted.date(), which(args.retired), &catalog)?;
    wanted.hold_against(&plan)?;
    let mut row = catalog
        .source(&source.name)?
        .ok_or_else(|| RequestError::NeverArchived(source.name.clone()))?;
    if let Some(place) = &place {
        row = place.row_of(row);
    }
    let store_config = config.store_of(source)?;
    let class = store_config.storage_class();
    let thawing = &args.thawing;
    let days = thawing.thaw_days;
    let price = |catalog: &Catalog| {
        let now = SystemClock.now();
        let estimate = estimate(&config, source, &plan.archives, days, catalog, now)?;
        if !args.status {
            estimate.refuse(thawing.tier, thawing.max_cost)?;
        }
        Ok::<_, Error>(estimate)
    };
    // If the cost is too high by the catalog alone, do not ask the store.
    price(&catalog)?;
    let batch = args.batch.as_deref();
    let batch = batch.map(|path| BatchFiles::begin(path, &source.name, store_config));
    let batch = batch.transpose()?;
    let log = if args.status || batch.is_some() {
        ActivityLog::none()
    } else {
        activity_log(&config)
    };
    let observer = log.beside(observer(everywhere));
    let open = OpenSource {
        config: source,
        row,
        store: open_paced_store(
            store_config,
            observer.as_ref(),
            None,
            &RequestPace::new(thawing.requests_per_second),
        )?,
    };
    let wanted = WantedSegments {
        source: &open,
        class,
        archives: &plan.archives,
        only: None,
        interrupt: Interrupt::of_this_process(),
    };
    ask_classes(&wanted, &mut catalog)?;
    let estimate = price(&catalog)?;
    if let Some(batch) = batch {
        return batch.write(
            (&plan, &estimate),
            thawing,
            (&wanted, &mut catalog),
            everywhere,
        );
    }
    if !args.status {
        let is_cold = estimate.is_cold() || class.is_some_and(StorageClass::is_cold);
        if is_cold && !args.yes {
            say_lines(&in_words(&plan, &details, &estimate, None));
            let question = format!(
                "Thaw {} with the tier {}?",
                count(estimate.cost.segments_to_thaw(), "segment"),
                thawing.tier
            );
            confirm(Agreed::NotYet, &question)?;
        }
    }
    let status = if args.status {
        thaw_state(&wanted, &mut catalog)?
    } else {
        recorded(
            (&log, "thaw"),
            Some(&source.name),
            || thaw(&wanted, thaw_request(thawing), &mut catalog),
            |status| {
                let line = LogLine::done(&source.name, "thaw").of(&plan.archives);
                line.fact("segments", status.segments.len())
            },
        )?
    };
    tell(&plan, &status, place.as_ref(), (args, everywhere))
}

/// Says how far the thaw is. What is still awaited is an error.
fn tell(
    plan: &RestorePlan,
    status: &ThawStatus,
    place: Option<&ReadablePlace>,
    (args, everywhere): (&Thaw, &Everywhere),
) -> Result<(), Error> {
    if everywhere.json {
        answer_json(&to_json(plan, status))?;
    } else if args.status {
        answer(&table(plan, status))?;
    }
    match status.awaited(&plan.source) {
        Some(mut awaited) => {
            awaited.place = place.map(|place| place.name.clone());
            Err(RestoreError::Thawing(Box::new(awaited)).into())
        }
        None if everywhere.json || everywhere.quiet => Ok(()),
        None => answer(&all_readable(plan, status)),
    }
}

fn all_readable(plan: &RestorePlan, status: &ThawStatus) -> String {
    let RestorePlan { source, date, .. } = plan;
    match status.readable_until() {
        Some(until) => {
            let all = match status.segments.len() {
                1 => "its segment is".to_owned(),
                several => format!("all {several} segments are"),
            };
            let until = Timestamp(until);
            format!("{source}: {date}: {all} readable, until {until} at least\n")
        }
        None => format!("{source}: {date}: nothing needs thawing\n"),
    }
}

/// Counts of the segments of one archive.
struct SegmentCounts {
    archive: ArchiveId,
    segments: u64,
    readable: u64,
    thawing: u64,
    cold: u64,
    /// When the first thawed segment goes cold again.
    until: Option<DateTime<Utc>>,
    /// When the last segment that is being thawed is due.
    due: Option<DateTime<Utc>>,
}

impl SegmentCounts {
    fn of(archive: ArchiveId, status: &ThawStatus) -> Self {
        let mut counted = Self {
            archive,
            segments: 0,
            readable: 0,
            thawing: 0,
            cold: 0,
            until: None,
            due: None,
        };
        let of_archive = |segment: &&SegmentThaw| segment.archive == archive;
        for segment in status.segments.iter().filter(of_archive) {
            counted.segments += 1;
            match segment.readability {
                Readability::Always => counted.readable += 1,
                Readability::Until(_, until) => {
                    counted.readable += 1;
                    counted.until = Some(counted.until.map_or(until, |first| first.min(until)));
                }
                Readability::Thawing(_) => {
                    counted.thawing += 1;
                    counted.due = counted.due.max(segment.due());
                }
                Readability::Cold(_) => counted.cold += 1,
            }
        }
        counted
    }
}

fn to_json(plan: &RestorePlan, status: &ThawStatus) -> Value {
    let moment = |at: Option<DateTime<Utc>>| at.map(|at| Timestamp(at).to_string());
    let archives: Vec<Value> = plan
        .archives
        .iter()
        .map(|archive| {
            let counted = SegmentCounts::of(*archive, status);
            json!({
                "id": archive, "segments": counted.segments, "readable": counted.readable,
                "thawing": counted.thawing, "cold": counted.cold,
                "readable_until": moment(counted.until), "due": moment(counted.due),
            })
        })
        .collect();
    json!({"source": plan.source, "date": plan.date, "archives": archives})
}

/// Returns a table with a line for each archive.
fn table(plan: &RestorePlan, status: &ThawStatus) -> String {
    let mut text = format!(
        "{:32}  {:>8}  {:>8}  {:>7}  {:>5}\n",
        "archive", "segments", "readable", "thawing", "cold"
    );
    for archive in &plan.archives {
        let counted = SegmentCounts::of(*archive, status);
        write!(
            text,
            "{:32}  {:>8}  {:>8}  {:>7}  {:>5}",
            counted.archive.to_string(),
            counted.segments,
            counted.readable,
            counted.thawing,
            counted.cold
        )
        .expect("writing to a string does not fail");
        let until = counted
            .until
            .map(|until| format!("  until {}", Timestamp(until)));
        let due = counted
            .due
            .map(|due| format!("  due by {}", Timestamp(due)));
        for word in [until, due].into_iter().flatten() {
            text.push_str(&word);
        }
        text.push('\n');
    }
    text
}
