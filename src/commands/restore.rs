//! `coldchain restore`: bring an archived date back.

use std::fmt::Write as _;
use std::io::IsTerminal;
use std::path::Path;

use serde_json::{Value, json};

use super::backup::observer;
use super::load_to_read;
use super::output::{answer, answer_json, count};
use super::prompt::{confirm, passphrase};
use crate::catalog::Catalog;
use crate::cli::{Everywhere, Restore, Thawing};
use crate::config::{Config, Source};
use crate::engine::{
    Clock, Estimate, OpenSource, Pricing, RestorePlanDetails, Restoring, StateDir, SystemClock,
    World, estimate, kit_knows_more, open_store, plan_details, restore, standing_in, still_stands,
    take_in, witnessed_by,
};
use crate::error::Error;
use crate::interrupt::Interrupt;
use crate::model::Tier;
use crate::model::ids::parse_date;
use crate::model::size::Bytes;
use crate::plan::{RestorePlan, Usd, describe_cost};
use crate::progress::Event;
use crate::seal::Identities;
use crate::store::ThawRequest;

pub(super) fn run(args: &Restore, everywhere: &Everywhere) -> Result<(), Error> {
    let config = load_to_read(everywhere)?;
    let source = config.source(&args.source)?;
    let date = args.date.as_deref().map(parse_date).transpose()?;
    let state_dir = StateDir::new(&config.state_dir);
    let mut catalog = state_dir.catalog_to_read()?;
    let observer = observer(everywhere);
    let world = World::real(observer.as_ref());
    let store_config = &config.stores[&source.store];
    let planned = match plan_details(source, date, &catalog) {
        // Another machine may have archived or revived it since.
        Err(refused) => match taken_in(&config, source, &state_dir, &mut catalog, world) {
            Ok(()) => plan_details(source, date, &catalog),
            Err(_) => Err(refused),
        },
        planned => planned,
    };
    let (plan, details) = planned?;
    // As the catalog knows it: a store that is mounted elsewhere today holds the same archives.
    let row = catalog
        .source(&source.name)?
        .ok_or_else(|| Error::NeverArchived(source.name.clone()))?;
    if let Some(file) = &args.identity {
        // What is no kit witnesses nothing, and a damaged one must not stand in a restore's way.
        let kit = witnessed_by(file).unwrap_or_default();
        if let Some(seq) = kit_knows_more(&kit, &row.ledger, &catalog)? {
            let behind = Error::CatalogBehindKit {
                path: file.clone(),
                source_name: source.name.clone(),
                seq,
            };
            // Without a date the newest is asked for, and that is not known here.
            if date.is_none() {
                return Err(behind);
            }
            observer.event(Event::Warning {
                source: source.name.clone(),
                message: behind.to_string(),
            });
        }
    }
    let mut to_fetch = plan.archives.clone();
    if let Some(to) = &args.to {
        let standing = standing_in(to, &row, &catalog.archives(&row.ledger)?);
        to_fetch.retain(|archive| !standing.contains(archive));
    }
    let thawing = &args.thawing;
    let now = SystemClock.now();
    let days = thawing.thaw_days;
    let estimate = estimate(&config, source, &to_fetch, days, &catalog, now)?;
    let (Some(to), false) = (&args.to, args.plan) else {
        if everywhere.json {
            answer_json(&to_json(&plan, &details, &estimate, thawing.tier)?)?;
        } else {
            answer(&in_words(&plan, &details, &estimate))?;
        }
        return estimate.refuse(thawing.tier, thawing.max_cost);
    };
    estimate.refuse(thawing.tier, thawing.max_cost)?;
    let file = args.identity.as_ref().ok_or(Error::NoIdentity)?;
    let identities = ask_for_identities(file)?;
    if !args.yes && std::io::stdin().is_terminal() {
        eprint!("{}", in_words(&plan, &details, &estimate));
        confirm(&format!(
            "Restore into {}?",
            to.join(source.name.as_str()).display()
        ))?;
    }
    let store = open_store(store_config, observer.as_ref())?;
    let open = OpenSource {
        config: source,
        row,
        store: store.as_ref(),
    };
    still_stands(&open, &plan, &state_dir, &catalog, world)?;
    let restoring = Restoring {
        source: &open,
        plan: &plan,
        at_once: config.stores[&source.store].uploads(),
        to,
        identities: &identities,
        identity_name: &file.display().to_string(),
        class: store_config.storage_class(),
        thaw: Some(thaw_request(thawing)),
        observer: observer.as_ref(),
        interrupt: Interrupt::of_this_process(),
    };
    let directory = restore(&restoring, &mut catalog)?;
    if everywhere.json {
        return answer_json(&json!({
            "event": "done", "source": plan.source, "date": plan.date, "directory": directory,
            "archives": plan.archives,
        }));
    }
    if everywhere.quiet {
        return Ok(());
    }
    let restored = directory.join(plan.date.to_string());
    answer(&format!(
        "{}: {} is restored in {}\n",
        plan.source,
        plan.date,
        restored.display()
    ))
}

/// Brings the catalog to the ledger's head.
fn taken_in(
    config: &Config,
    source: &Source,
    state_dir: &StateDir,
    catalog: &mut Catalog,
    world: World<'_>,
) -> Result<(), Error> {
    let row = catalog
        .source(&source.name)?
        .ok_or_else(|| Error::NeverArchived(source.name.clone()))?;
    let store = world.open(&config.stores[&source.store])?;
    let open = OpenSource {
        config: source,
        row,
        store: store.as_ref(),
    };
    take_in(&open, state_dir, catalog, world)
}

/// Opens an identity file, also one with a passphrase.
pub(super) fn ask_for_identities(file: &Path) -> Result<Identities, Error> {
    Identities::from_file(file, &passphrase).map_err(|error| {
        // What was not answered was not refused.
        let interrupted = Interrupt::of_this_process().check().err();
        interrupted.unwrap_or_else(|| error.into())
    })
}

/// What is asked of a store for what is cold.
pub(super) fn thaw_request(thawing: &Thawing) -> ThawRequest {
    ThawRequest {
        tier: thawing.tier,
        days: thawing.thaw_days,
    }
}

fn to_json(
    plan: &RestorePlan,
    details: &RestorePlanDetails,
    estimate: &Estimate,
    tier: Tier,
) -> Result<Value, Error> {
    // Sums that mean nothing are not said.
    let usd_total = estimate.usd_total(tier)?;
    let thaw = usd_total.map(|_| {
        let tiers: Vec<Value> = estimate
            .cost
            .tiers
            .iter()
            .map(|thaw| {
                json!({
                    "tier": thaw.tier, "usd": thaw.usd.as_number(), "hours": thaw.hours(),
                })
            })
            .collect();
        json!({"segments": estimate.cost.segments_to_thaw(), "tiers": tiers})
    });
    Ok(json!({
        "source": plan.source, "date": plan.date, "archives": plan.archives,
        "segments": details.segments, "sealed_bytes": details.sealed_bytes,
        "raw_bytes": details.raw_bytes, "thaw": thaw,
        "usd_total": usd_total.map(Usd::as_number),
    }))
}

/// A restore for people: its archives, and what it costs where that can be told.
pub(super) fn in_words(
    plan: &RestorePlan,
    details: &RestorePlanDetails,
    estimate: &Estimate,
) -> String {
    let mut text = format!(
        "{} {}: {}, {} to fetch in {}, {} of send stream\n",
        plan.source,
        plan.date,
        count(plan.archives.len() as u64, "archive"),
        Bytes(details.sealed_bytes),
        count(details.segments, "segment"),
        Bytes(details.raw_bytes),
    );
    for archive in &plan.archives {
        let damaged = if plan.damaged.contains(archive) {
            "  known to be damaged"
        } else {
            ""
        };
        writeln!(text, "  {archive}{damaged}").expect("writing to a string does not fail");
    }
    text.push_str(&cost_in_words(estimate));
    text
}

fn cost_in_words(estimate: &Estimate) -> String {
    let cost = &estimate.cost;
    match estimate.pricing {
        Pricing::Known => describe_cost(cost),
        Pricing::Unknown if cost.segments_to_thaw() > 0 => format!(
            "  to thaw     {}, {}; what this store asks for that is not known\n",
            count(cost.segments_to_thaw(), "segment"),
            Bytes(cost.bytes_to_thaw()),
        ),
        Pricing::Unknown | Pricing::Free => String::new(),
    }
}
