//! A prune in words.

use chrono::{DateTime, Utc};

use crate::commands::output::count;
use crate::engine::{Pricing, Pruned};
use crate::model::SourceName;
use crate::model::entry::Timestamp;
use crate::model::size::Bytes;
use crate::plan::{
    ChainFate, ChainLine, EarlyDeletion, Fate, Prices, PrunePlan, StrayLine, Usd, early_deletion,
};

/// Whether what is told was done.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Tense {
    Planned,
    Done,
}

/// A line for each chain and each attempt, and the sum of what is removed; nothing where there is
/// nothing.
pub(super) fn to_text(name: &SourceName, pruned: &Pruned, prices: &Prices, tense: Tense) -> String {
    let mut lines = Vec::new();
    for line in &pruned.plan.chains {
        lines.push(chain(line, tense));
        for early in early(line, pruned, prices) {
            lines.push(format!("  {}", early_in_words(&early, pruned)));
        }
    }
    let strays = &pruned.plan.strays;
    lines.extend(strays.lines.iter().map(|line| stray(line, tense)));
    if !strays.lines.is_empty() {
        let verb = match tense {
            Tense::Planned => "to remove",
            Tense::Done => "removed",
        };
        lines.push(match removed(&pruned.plan) {
            (0, _) => format!("nothing {verb}"),
            (objects, bytes) => {
                format!("{} {verb}, {}", count(objects, "object"), Bytes(bytes))
            }
        });
    }
    if pruned.swept.files > 0 {
        lines.push(format!(
            "{} of writers that died removed, {}",
            count(pruned.swept.files as u64, "unfinished file"),
            Bytes(pruned.swept.bytes)
        ));
    }
    lines.iter().fold(String::new(), |text, line| {
        text + &format!("{name}: {line}\n")
    })
}

/// The word for it in JSON.
pub(super) fn word(fate: ChainFate) -> &'static str {
    match fate {
        ChainFate::Retire { .. } => "retire",
        ChainFate::Delete => "delete",
        ChainFate::Wait { .. } => "wait",
        ChainFate::Retained { .. } => "retained",
        ChainFate::Keep => "keep",
    }
}

/// Until when its objects stay, if that is known.
pub(super) fn until(fate: ChainFate) -> Option<Timestamp> {
    match fate {
        ChainFate::Retire { deletes_from } => Some(Timestamp(deletes_from)),
        ChainFate::Wait { until } | ChainFate::Retained { until } => Some(Timestamp(until)),
        ChainFate::Delete | ChainFate::Keep => None,
    }
}

/// The bytes of what is removed.
pub(super) fn freed(plan: &PrunePlan) -> u64 {
    let deleted = plan.chains.iter();
    let deleted = deleted.filter(|line| line.fate == ChainFate::Delete);
    deleted.map(ChainLine::bytes).sum::<u64>() + removed(plan).1
}

/// What the minimum storage durations make of a chain that is retired or deleted now.
pub(super) fn early(line: &ChainLine, pruned: &Pruned, prices: &Prices) -> Vec<EarlyDeletion> {
    match line.deletes_from(pruned.at) {
        Some(at) => early_deletion(&line.objects, at, prices),
        None => Vec::new(),
    }
}

/// What that costs, where the store's prices are known.
pub(super) fn known_usd(early: &EarlyDeletion, pruned: &Pruned) -> Option<Usd> {
    (pruned.pricing == Pricing::Known).then_some(early.usd)
}

fn early_in_words(early: &EarlyDeletion, pruned: &Pruned) -> String {
    let objects = count(early.objects, "object");
    let (class, minimum, days) = (early.class, early.minimum_days, early.days);
    let bytes = Bytes(early.bytes);
    let cost = match known_usd(early, pruned) {
        Some(usd) => format!("USD {usd} by estimate"),
        None => "as much as if they stayed".to_owned(),
    };
    format!(
        "{objects} in {class}, {bytes}: deleted before the {minimum} days that are paid for at least; \
         the days that lack, up to {days}, cost {cost}"
    )
}

fn chain(line: &ChainLine, tense: Tense) -> String {
    let what = format!(
        "the chain of {}, {}, {}, {}",
        line.chain.date,
        count(line.archives.len() as u64, "archive"),
        count(line.objects.len() as u64, "object"),
        Bytes(line.bytes())
    );
    let reason = &line.reason;
    match (line.fate, tense) {
        (ChainFate::Retire { deletes_from }, Tense::Planned) => format!(
            "to retire {what}: {reason}; deleted no sooner than {}",
            day(deletes_from)
        ),
        (ChainFate::Retire { deletes_from }, Tense::Done) => format!(
            "retired {what}: {reason}; deleted no sooner than {}",
            day(deletes_from)
        ),
        (ChainFate::Delete, Tense::Planned) => format!("to delete {what}: {reason}"),
        (ChainFate::Delete, Tense::Done) => format!("deleted {what}: {reason}"),
        (ChainFate::Wait { until }, _) => {
            format!(
                "kept {what}: {reason}; deleted no sooner than {}",
                day(until)
            )
        }
        (ChainFate::Retained { until }, _) => {
            format!("kept {what}: {reason}; retained until {}", day(until))
        }
        (ChainFate::Keep, _) => format!("kept {what}: {reason}"),
    }
}

fn day(moment: DateTime<Utc>) -> String {
    Timestamp(moment).to_string()
}

/// How many stray objects are removed, and their bytes.
fn removed(plan: &PrunePlan) -> (u64, u64) {
    plan.strays
        .with(Fate::Remove)
        .map(|line| (line.objects.len() as u64, line.bytes()))
        .fold((0, 0), |sum, line| (sum.0 + line.0, sum.1 + line.1))
}

fn stray(line: &StrayLine, tense: Tense) -> String {
    let verb = match (line.fate, tense) {
        (Fate::Remove, Tense::Planned) => "to remove",
        (Fate::Remove, Tense::Done) => "removed",
        (Fate::Retire, Tense::Planned) => "to retire",
        (Fate::Retire, Tense::Done) => "retired",
        (Fate::Keep, _) => "kept",
    };
    let archive = line
        .archive
        .map(|archive| format!(" {archive},"))
        .unwrap_or_default();
    format!(
        "{verb}{archive} {}, {}: {}",
        count(line.objects.len() as u64, "object"),
        Bytes(line.bytes()),
        line.reason
    )
}
