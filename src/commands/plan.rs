//! `coldchain plan`: show what would happen, and why. It changes nothing and needs no privilege.

use chrono::NaiveDate;
use serde_json::{Value, json};

use super::fold::push_folded;
use super::output::{answer, answer_json, answer_lines, count, stdout_columns};
use super::target::{chosen, day_of};
use super::{load, today};
use crate::catalog::Catalog;
use crate::cli::{Everywhere, Plan};
use crate::config::{Config, Source};
use crate::engine::{
    Asking, BackupRequest, Foreseen, ImportSize, KnownImport, RunContext, StateDir, foresee,
    foresee_copies, foresee_expired, foresee_mirrors, known_imports, plan_facts,
    require_known_archives, size_of_import, unconfigured, unconfigured_mirrors,
    warning_of_left_out, warning_of_store_within, warning_of_swap, warning_of_unconfigured,
    warning_of_unconfigured_mirror, withheld_now,
};
use crate::error::{Error, RequestError};
use crate::model::size::Bytes;
use crate::model::{Line, Protocol};
use crate::plan::{
    Action, BackupPlan, ChainExpiry, DateOverride, PlanLine, Request, Usd, plan_backup, plan_lines,
    simulate, snapshots_alone,
};
use crate::printing::{say, warn};
use crate::progress::Quiet;

pub(super) fn run(args: &Plan, everywhere: &Everywhere) -> Result<(), Error> {
    let config = load(everywhere)?;
    let target = chosen(args.target.typed(), &config)?;
    let date = target.day()?.unwrap_or_else(|| today(&config));
    let until = args.until.as_deref();
    let until = until.map(|text| day_of(text, &config)).transpose()?;
    let mut plans = plans(&config, &target.sources(), date, until)?;
    let warnings = standing_warnings(&config);
    let imported = if args.imported {
        imported_sizes(&config)?
    } else {
        Vec::new()
    };
    if everywhere.json {
        let mut document = to_json(&plans, &warnings);
        if args.imported {
            document["imported"] = imported.iter().map(imported_to_json).collect();
        }
        return answer_json(&document);
    }
    let nights = plans.len();
    if until.is_some() && !everywhere.verbose {
        plans.retain(BackupPlan::does_something);
    }
    answer(&in_columns(&plans, stdout_columns()))?;
    answer_lines(imported.iter().map(imported_in_words))?;
    if plans.len() < nights && !everywhere.quiet {
        say("nights with nothing due are left out; -v shows them");
    }
    if !everywhere.quiet {
        warnings.iter().for_each(warn);
    }
    Ok(())
}

/// With less room for it, the text of a plan's line begins below the line.
const ROOM: usize = 24;

/// Returns what the plans say, as a terminal of so many columns has room for it.
pub(super) fn in_columns(plans: &[BackupPlan], columns: usize) -> String {
    let lines = plan_lines(plans);
    let names = lines.iter().map(|line| line.source.len());
    // A long name moves its own line alone.
    let short = names.filter(|name| *name <= columns / 4);
    let width = short.max().unwrap_or(0);
    let column = PlanLine::text_column(width);
    let mut text = String::new();
    for line in &lines {
        if column + ROOM <= columns {
            push_folded(&mut text, &line.in_words(width), column, columns);
        } else {
            push_folded(&mut text, &line.head(), 4, columns);
            push_folded(&mut text, &format!("    {}", line.text), 4, columns);
        }
    }
    text
}

/// Returns everything that was imported, with its size.
fn imported_sizes(config: &Config) -> Result<Vec<(KnownImport, ImportSize)>, Error> {
    let catalog = StateDir::new(&config.state_dir).catalog_to_read()?;
    let imports = known_imports(&catalog)?.into_iter();
    Ok(imports
        .map(|import| {
            let size = size_of_import(config, &import);
            (import, size)
        })
        .collect())
}

fn imported_in_words((import, size): &(KnownImport, ImportSize)) -> String {
    let cost = size
        .usd_a_month
        .map(|usd| format!(", USD {usd} a month"))
        .unwrap_or_default();
    format!(
        "{}: imported, {} in the vault {}, {}{cost}; kept until `coldchain prune --imported {}` deletes them",
        import.row.name,
        count(size.archives as u64, "archive"),
        Line(&import.row.vault),
        Bytes(size.bytes),
        import.row.name
    )
}

fn imported_to_json((import, size): &(KnownImport, ImportSize)) -> Value {
    json!({
        "name": import.row.name, "vault": import.row.vault, "archives": size.archives,
        "bytes": size.bytes, "usd_a_month": size.usd_a_month.map(Usd::as_number),
    })
}

/// Returns what each night of a span would do to these sources, by date; without `until` the first night alone, with
/// its mirrors and snapshots.
pub(crate) fn plans(
    config: &Config,
    sources: &[&Source],
    date: NaiveDate,
    until: Option<NaiveDate>,
) -> Result<Vec<BackupPlan>, Error> {
    if let Some(until) = until.filter(|until| *until < date) {
        return Err(Error::Request(RequestError::Span { from: date, until }));
    }
    let catalog = StateDir::new(&config.state_dir).catalog_to_read()?;
    require_known_archives(config, sources, Asking::Here)?;
    let mut plans = Vec::new();
    let asked = BackupRequest {
        date,
        today: today(config),
        request: Request::Scheduled,
        // A plan may be for any date.
        override_date: DateOverride::Given,
    };
    for &source in sources {
        if source.store.is_none() {
            let nights = date
                .iter_days()
                .take_while(|night| *night <= until.unwrap_or(date));
            plans.extend(nights.map(|night| snapshots_alone(&source.name, night)));
            if until.is_none() {
                add_snapshots(config, source, date, &catalog, &mut plans)?;
            }
            continue;
        }
        let foreseen = match foresee(config, source, asked, &catalog) {
            // A backup for a date before an unfinished archive is refused; a plan for it is not.
            Err(Error::Refused(_)) => {
                let request = Request::Scheduled;
                let (facts, schedule) = plan_facts(config, source, date, request, &catalog)?;
                Foreseen {
                    resumed: Vec::new(),
                    facts,
                    schedule,
                }
            }
            foreseen => foreseen?,
        };
        if let Some(until) = until {
            plans.extend(foreseen.resumed);
            plans.extend(simulate(foreseen.facts, &foreseen.schedule, until));
        } else {
            plans.extend(of_a_night(foreseen, date)?);
            add_snapshots(config, source, date, &catalog, &mut plans)?;
        }
    }
    // In the order of the dates; the sources of a date are in the config's order.
    plans.sort_by_key(|plan: &BackupPlan| plan.date);
    Ok(plans)
}

/// Adds to the last plan, which is of this source and date, what its run would send to mirrors and copies, and the
/// snapshots that it would delete.
pub(super) fn add_snapshots(
    config: &Config,
    source: &Source,
    date: NaiveDate,
    catalog: &Catalog,
    plans: &mut [BackupPlan],
) -> Result<(), Error> {
    if let Some(plan) = plans.last_mut() {
        let context = RunContext::real(&Quiet);
        plan.mirrors = foresee_mirrors(config, source, date, catalog, context)?;
        plan.copies = foresee_copies(config, source, catalog, plan.action != Action::None)?;
        plan.snapshots = foresee_expired(config, source, date, catalog, context)?;
    }
    Ok(())
}

/// Returns what a run for a date would do: complete unfinished archives, then the date's own plan.
pub(super) fn of_a_night(foreseen: Foreseen, date: NaiveDate) -> Result<Vec<BackupPlan>, Error> {
    let mut plans = foreseen.resumed;
    if plans.iter().all(|plan| plan.date != date) {
        plans.push(plan_backup(&foreseen.facts, &foreseen.schedule)?);
    }
    Ok(plans)
}

/// What `backup --dry-run` and `plan --json` answer.
pub(super) fn to_json(plans: &[BackupPlan], warnings: &[String]) -> Value {
    let plans: Vec<Value> = plans
        .iter()
        .map(|plan| {
            let chain = |expiry: &ChainExpiry| {
                json!({
                    "chain": expiry.chain, "newest": expiry.newest, "archives": expiry.archives,
                    "reason": expiry.reason,
                })
            };
            let expire: Vec<Value> = plan.expire.iter().map(chain).collect();
            let waiting: Vec<Value> = plan.waiting.iter().map(chain).collect();
            let snapshots = plan.snapshots.iter();
            let snapshots: Vec<Value> = snapshots
                .map(|it| json!({"name": it.name, "reason": it.reason}))
                .collect();
            let mirrors = plan.mirrors.iter();
            let mirrors: Vec<Value> = mirrors
                .map(|it| json!({"to": it.to, "send": it.send, "newest_common": it.common}))
                .collect();
            let copies = plan.copies.iter();
            let copies: Vec<Value> = copies
                .map(|it| {
                    json!({
                        "to": it.to, "archives": it.archives, "bytes": it.bytes, "was_made": it.was_made,
                        "new": it.has_new,
                    })
                })
                .collect();
            json!({
                "date": plan.date, "source": plan.source, "action": plan.action.as_str(),
                "send_parent": send_parent(&plan.action), "reason": plan.reason,
                "expire": expire, "waiting": waiting, "snapshots": snapshots, "mirrors": mirrors, "copies": copies,
            })
        })
        .collect();
    json!({ "plans": plans, "warnings": warnings })
}

fn send_parent(action: &Action) -> Option<NaiveDate> {
    match action {
        Action::Incremental { send_parent, .. } => Some(send_parent.date),
        Action::None | Action::Full => None,
    }
}

/// Returns warnings about things that should be fixed but do not stop a backup.
pub(crate) fn standing_warnings(config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    if config.recipients.len() == 1 && config.archived().next().is_some() {
        warnings.push(
            "there is one recipient: if its identity is lost, so is every archive; add a spare"
                .to_owned(),
        );
    }
    warnings.extend(warnings_of_unused_stores(config));
    for source in &config.sources {
        if source.protocol == Protocol::CompressedData {
            warnings.push(format!(
                "{}: compressed_data is \"inexact\": the kernel's sender loses bytes of compressed data, without \
                 an error; remove the line, and the next archive is an exact full",
                source.name
            ));
        }
        let of_source = [
            warning_of_left_out(source),
            warning_of_swap(source),
            warning_of_store_within(source, config),
        ];
        for message in of_source.into_iter().flatten() {
            warnings.push(format!("{}: {message}", source.name));
        }
    }
    // Errors of the catalog are ignored here: other commands report them.
    let Ok(catalog) = StateDir::new(&config.state_dir).catalog_to_read() else {
        return warnings;
    };
    for row in unconfigured(config, &catalog).unwrap_or_default() {
        let message = warning_of_unconfigured(config, &row.name);
        warnings.push(format!("{}: {message}", row.name));
    }
    for row in unconfigured_mirrors(config, &catalog).unwrap_or_default() {
        let message = warning_of_unconfigured_mirror(&row);
        warnings.push(format!("{}: {message}", row.source));
    }
    let context = RunContext::real(&Quiet);
    for source in config.sources.iter().filter(|source| source.live.is_some()) {
        let withheld = withheld_now(config, source, &catalog, context);
        if let Ok(Some(message)) = withheld {
            warnings.push(format!("{}: {message}", source.name));
        }
    }
    warnings
}

/// Returns warnings about stores that no source uses while a source has none: its `store` may be forgotten.
fn warnings_of_unused_stores(config: &Config) -> Vec<String> {
    let without: Vec<&str> = config
        .sources
        .iter()
        .filter(|source| source.store.is_none())
        .map(|source| source.name.as_str())
        .collect();
    if without.is_empty() {
        return Vec::new();
    }
    let is_used = |name: &String| {
        let mut sources = config.sources.iter();
        // A vault keeps its ledgers in another store.
        let mut stores = config.archived().map(|(_, store)| store.ledger_store());
        sources.any(|source| source.store.as_ref() == Some(name) || source.copies.contains(name))
            || stores.any(|store| *store == config.stores[name])
    };
    let unused = config.stores.keys().filter(|name| !is_used(name));
    unused
        .map(|store| {
            format!(
                "no source uses [store.{store}]; to archive {} there, add `store = \"{store}\"` to its [[source]]",
                without.join(" or ")
            )
        })
        .collect()
}
