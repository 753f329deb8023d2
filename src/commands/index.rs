//! `coldchain index`: make contents for archives that have none; and remove the local index, or make it anew.

mod local;

use std::fmt::Write as _;

use chrono::NaiveDate;
use serde_json::{Value, json};

use super::identity::ask_for_identities;
use super::limited_store::open_at_pace;
use super::output::{answer, answer_json, count, observer};
use super::prompt::{Agreed, confirm};
use super::restore::thaw_request;
use super::run_result::run_result;
use super::{activity_log, load, recorded, sources, today};
use crate::activity_log::LogLine;
use crate::catalog::Catalog;
use crate::cli::{Everywhere, Index};
use crate::config::{Config, Source};
use crate::engine::{
    AtOnce, Clock, ContentsMade, ContentsRequest, Estimate, RunContext, StateDir, SystemClock,
    bring_index_up_to_date, estimate, make_contents, without_contents,
};
use crate::error::{ContentsFault, Error, RequestError, RestoreError, in_words};
use crate::model::ArchiveId;
use crate::model::date_word::DateWord;
use crate::model::size::Bytes;
use crate::store::RequestPace;

/// Why a write can't fail here.
const NO_FAILURE: &str = "writing to a string does not fail";

pub(super) fn run(args: &Index, everywhere: &Everywhere) -> Result<(), Error> {
    let config = load(everywhere)?;
    let chosen = sources(&config, args.source.name())?;
    let catalog = StateDir::new(&config.state_dir).catalog_to_read()?;
    if args.plan {
        return foresee(args, &config, &chosen, &catalog, everywhere);
    }
    if args.drop {
        return local::drop_all(&config, &chosen, &catalog, everywhere);
    }
    let file = args.identity.as_ref().ok_or(RestoreError::NoIdentity)?;
    let identities = ask_for_identities(file)?;
    let identity = file.display().to_string();
    let log = activity_log(&config);
    let observer = log.beside(observer(everywhere));
    let stores = open_at_pace(RequestPace::new(args.thawing.requests_per_second));
    let context = RunContext {
        wait_lock: args.lock.at_most(),
        stores: &stores,
        ..RunContext::real(observer.as_ref())
    };
    if args.rebuild {
        let with = (&identities, identity.as_str());
        let of = (&config, chosen.as_slice(), &catalog);
        return local::make_anew(of, with, (&log, context), everywhere);
    }
    let (mut errors, mut results, mut text) = (Vec::new(), Vec::new(), String::new());
    let mut stopped = Ok(());
    for &source in &chosen {
        stopped = context.interrupt.check();
        if stopped.is_err() {
            break;
        }
        let made = recorded(
            (&log, "index"),
            Some(&source.name),
            || {
                let dates = dates(args, &config, source, &catalog)?;
                agreed(args, &config, source, &dates, (&catalog, context))?;
                let request = ContentsRequest {
                    dates: &dates,
                    thaw: args.thaw.then(|| thaw_request(&args.thawing)),
                    at_once: AtOnce {
                        asked_for: config.store_of(source)?.uploads(),
                        memory_limit: config.memory_limit,
                    },
                    identities: (&identities, identity.as_str()),
                };
                let made = make_contents(&config, source, request, context)?;
                if source.index {
                    let catalog = StateDir::new(&config.state_dir).catalog_to_read()?;
                    let identities = (&identities, identity.as_str());
                    bring_index_up_to_date(&config, source, identities, &catalog, context)?;
                }
                Ok(made)
            },
            |made| LogLine::done(&source.name, "contents-made").fact("archives", made.made.len()),
        );
        match made {
            Ok(mut made) => {
                let line = line(&made);
                writeln!(text, "{}: {line}", source.name).expect(NO_FAILURE);
                results.push(to_json(source, &made));
                if let Some(error) = left_out(&mut made, args, &identity) {
                    errors.push((&source.name, error));
                }
            }
            Err(error) => {
                results.push(json!({"source": source.name, "error": in_words(&error)}));
                errors.push((&source.name, error));
            }
        }
    }
    if everywhere.json {
        answer_json(&json!({ "sources": results }))?;
    } else if !everywhere.quiet {
        answer(&text)?;
    }
    run_result(errors, chosen.len(), everywhere, stopped)
}

/// Returns the dates that were typed.
fn dates(
    args: &Index,
    config: &Config,
    source: &Source,
    catalog: &Catalog,
) -> Result<Vec<NaiveDate>, Error> {
    let visible = match catalog.source(&source.name)? {
        Some(row) => catalog.visible(&row.ledger)?,
        None => Vec::new(),
    };
    let mut dates = Vec::new();
    for word in &args.date {
        let date = match word {
            DateWord::Archive(id) => Some(id.date),
            DateWord::Latest => visible.iter().map(|row| row.date).max(),
            DateWord::Snapshot(name) => {
                return Err(RequestError::NoSuchArchive(name.to_string()).into());
            }
            word => word.day(today(config)),
        };
        let date = date.ok_or_else(|| RequestError::NeverArchived(source.name.clone()))?;
        if !visible.iter().any(|row| row.date == date) {
            return Err(RequestError::NoSuchArchive(date.to_string()).into());
        }
        dates.push(date);
    }
    Ok(dates)
}

/// Prices what is to be read, and asks before anything is thawed.
fn agreed(
    args: &Index,
    config: &Config,
    source: &Source,
    dates: &[NaiveDate],
    (catalog, context): (&Catalog, RunContext<'_>),
) -> Result<(), Error> {
    if !args.thaw {
        return Ok(());
    }
    let wanted = without_contents(config, source, dates, catalog, context)?;
    if wanted.is_empty() {
        return Ok(());
    }
    let estimate = priced(args, config, source, &wanted, catalog)?;
    estimate.refuse(args.thawing.tier, args.thawing.max_cost)?;
    if estimate.is_cold() && !args.yes {
        let question = format!(
            "Thaw {} with the tier {}?",
            count(estimate.cost.segments_to_thaw(), "segment"),
            args.thawing.tier
        );
        confirm(Agreed::NotYet, &question)?;
    }
    Ok(())
}

fn priced(
    args: &Index,
    config: &Config,
    source: &Source,
    wanted: &[ArchiveId],
    catalog: &Catalog,
) -> Result<Estimate, Error> {
    let (days, now) = (args.thawing.thaw_days, SystemClock.now());
    estimate(config, source, wanted, days, catalog, now)
}

/// Says which archives have no contents, and what it costs to read them.
fn foresee(
    args: &Index,
    config: &Config,
    chosen: &[&Source],
    catalog: &Catalog,
    everywhere: &Everywhere,
) -> Result<(), Error> {
    let (mut plans, mut text) = (Vec::new(), String::new());
    let observer = observer(everywhere);
    let context = RunContext::real(observer.as_ref());
    for &source in chosen {
        let dates = dates(args, config, source, catalog)?;
        let wanted = without_contents(config, source, &dates, catalog, context)?;
        if wanted.is_empty() {
            writeln!(text, "{}: nothing is to be made", source.name).expect(NO_FAILURE);
            plans.push(json!({"source": source.name, "archives": []}));
            continue;
        }
        let estimate = priced(args, config, source, &wanted, catalog)?;
        let usd = estimate.usd_total(args.thawing.tier)?;
        let classes = || estimate.cost.classes.iter().map(|class| &class.stored);
        let segments: u64 = classes().map(|stored| stored.segments).sum();
        let bytes: u64 = classes().map(|stored| stored.sealed_bytes).sum();
        let to_thaw = estimate.cost.segments_to_thaw();
        writeln!(
            text,
            "{}: {} without contents; reads {}, {}, of which {} cold{}",
            source.name,
            count(wanted.len() as u64, "archive"),
            count(segments, "segment"),
            Bytes(bytes),
            to_thaw,
            usd.map(|usd| format!(", for {usd}")).unwrap_or_default()
        )
        .expect(NO_FAILURE);
        for archive in &wanted {
            writeln!(text, "  {archive}").expect(NO_FAILURE);
        }
        plans.push(json!({
            "source": source.name, "archives": wanted, "segments": segments, "sealed_bytes": bytes,
            "segments_to_thaw": to_thaw, "usd": usd.map(|usd| usd.to_string()),
        }));
    }
    if everywhere.json {
        answer_json(&json!({ "sources": plans }))
    } else {
        answer(&text)
    }
}

/// Returns why some archives have no contents yet; `None` if all have.
fn left_out(made: &mut ContentsMade, args: &Index, identity: &str) -> Option<Error> {
    if let Some(failed) = made.failed.take() {
        return Some(failed);
    }
    if let Some(awaited) = made.awaited.take() {
        return Some(if args.thaw {
            RestoreError::Thawing(Box::new(awaited)).into()
        } else {
            ContentsFault::Cold {
                archives: made.cold.len(),
            }
            .into()
        });
    }
    let unopened = made.unopened.len();
    (unopened > 0).then(|| {
        ContentsFault::Unopened {
            identity: identity.to_owned(),
            unopened,
        }
        .into()
    })
}

fn line(made: &ContentsMade) -> String {
    let bytes: u64 = made.made.iter().map(|(_, bytes)| bytes).sum();
    let mut parts = vec![if made.made.is_empty() {
        "no contents made".to_owned()
    } else {
        let archives = count(made.made.len() as u64, "archive");
        format!("made the contents of {archives}, {}", Bytes(bytes))
    }];
    if !made.cold.is_empty() {
        parts.push(format!("{} cold", made.cold.len()));
    }
    if !made.unopened.is_empty() {
        parts.push(format!("{} not opened", made.unopened.len()));
    }
    parts.join(", ")
}

fn to_json(source: &Source, made: &ContentsMade) -> Value {
    let contents: Vec<Value> = made
        .made
        .iter()
        .map(|(archive, bytes)| json!({"archive": archive, "sealed_bytes": bytes}))
        .collect();
    json!({
        "source": source.name, "made": contents, "cold": made.cold, "unopened": made.unopened,
    })
}
