//! The report of a prune, as text.

use chrono::{DateTime, Utc};

use crate::commands::output::count;
use crate::engine::{Pricing, Pruned};
use crate::model::entry::Timestamp;
use crate::model::size::Bytes;
use crate::model::{Line, SourceName};
use crate::plan::{
    ChainFate, ChainLine, EarlyDeletion, Fate, Prices, PrunePlan, StrayLine, Usd, early_deletion,
};

/// Whether the report is of a plan or of what was done.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Tense {
    Planned,
    Done,
}

/// Returns a line for each chain and each attempt, the sum of what is removed, and how to agree to a plan.
/// For a prune that did nothing, it has no line; for such a plan, it says so.
pub(super) fn to_text(name: &SourceName, pruned: &Pruned, prices: &Prices, tense: Tense) -> String {
    let mut lines = Vec::new();
    for line in &pruned.plan.chains {
        lines.push(chain(line, tense));
        for early in early(line, pruned, prices) {
            lines.push(format!("  {}", early_in_words(&early, pruned)));
        }
    }
    let strays = &pruned.plan.strays;
    for line in &strays.lines {
        lines.push(stray(line, tense));
        for early in early_strays(line, pruned, prices) {
            lines.push(format!("  {}", early_in_words(&early, pruned)));
        }
    }
    let freed = freed(&pruned.plan);
    if !strays.lines.is_empty() || freed.0 > 0 {
        let verb = match tense {
            Tense::Planned => "to remove",
            Tense::Done => "removed",
        };
        lines.push(match freed {
            (0, _) => format!("nothing {verb}"),
            (objects, bytes) => {
                format!("{} {verb}, {}", count(objects, "object"), Bytes(bytes))
            }
        });
    }
    if pruned.swept.files > 0 {
        lines.push(format!(
            "removed {} of interrupted writers, {}",
            count(pruned.swept.files as u64, "unfinished file"),
            Bytes(pruned.swept.bytes)
        ));
    }
    for leftover in &pruned.leftovers {
        let verb = match (leftover.is_ours(), tense) {
            (true, Tense::Planned) => "to remove",
            (true, Tense::Done) => "removed",
            (false, _) => "kept",
        };
        let (path, reason) = (leftover.path.display(), leftover.reason());
        lines.push(format!("{verb} {path}: {reason}"));
    }
    if let Some(archives) = to_agree(&pruned.plan, tense) {
        lines.push(format!(
            "to retire several chains, run `coldchain prune {name} --yes-delete {archives}`"
        ));
    }
    if lines.is_empty() && tense == Tense::Planned {
        lines.push("nothing to retire, delete or remove".to_owned());
    }
    lines.iter().fold(String::new(), |text, line| {
        text + &format!("{name}: {}\n", Line(line))
    })
}

/// Returns its name in JSON.
pub(super) fn word(fate: ChainFate) -> &'static str {
    match fate {
        ChainFate::Retire { .. } => "retire",
        ChainFate::Delete => "delete",
        ChainFate::Wait { .. } => "wait",
        ChainFate::Retained { .. } => "retained",
        ChainFate::Keep => "keep",
    }
}

/// Returns until when its objects stay, if that is known.
pub(super) fn until(fate: ChainFate) -> Option<Timestamp> {
    match fate {
        ChainFate::Retire { deletes_from } => Some(Timestamp(deletes_from)),
        ChainFate::Wait { until } | ChainFate::Retained { until } => Some(Timestamp(until)),
        ChainFate::Delete | ChainFate::Keep => None,
    }
}

/// Returns how many objects of chains and orphaned objects are removed, and their bytes.
pub(in crate::commands) fn freed(plan: &PrunePlan) -> (u64, u64) {
    let chains = plan.chains.iter();
    let chains = chains.filter(|line| line.fate == ChainFate::Delete);
    let chains = chains.map(|line| (line.objects.len() as u64, line.bytes()));
    let strays = plan.strays.with(Fate::Remove);
    let strays = strays.map(|line| (line.objects.len() as u64, line.bytes()));
    chains.chain(strays).fold((0, 0), |sum, (objects, bytes)| {
        (sum.0 + objects, sum.1 + bytes)
    })
}

/// Returns the number of archives that the user has to agree to, if there is one.
pub(super) fn to_agree(plan: &PrunePlan, tense: Tense) -> Option<usize> {
    let (chains, archives) = plan.retires();
    (tense == Tense::Planned && chains > 1).then_some(archives)
}

/// Returns the early deletions of a chain that is retired or deleted now, by the minimum storage durations.
pub(super) fn early(line: &ChainLine, pruned: &Pruned, prices: &Prices) -> Vec<EarlyDeletion> {
    match line.deletes_from(pruned.at) {
        Some(at) => early_deletion(&line.objects, at, prices),
        None => Vec::new(),
    }
}

/// Returns the early deletions of orphaned objects that are removed now.
pub(super) fn early_strays(
    line: &StrayLine,
    pruned: &Pruned,
    prices: &Prices,
) -> Vec<EarlyDeletion> {
    match line.fate {
        Fate::Remove => early_deletion(&line.objects, pruned.at, prices),
        Fate::Retire | Fate::Keep => Vec::new(),
    }
}

/// Returns the cost of an early deletion, if the store's prices are known.
pub(super) fn known_usd(early: &EarlyDeletion, pruned: &Pruned) -> Option<Usd> {
    (pruned.pricing == Pricing::Known).then_some(early.usd)
}

fn early_in_words(early: &EarlyDeletion, pruned: &Pruned) -> String {
    let objects = count(early.objects, "object");
    let (class, minimum, days) = (early.class, early.minimum_days, early.days);
    let bytes = Bytes(early.bytes);
    let cost = match known_usd(early, pruned) {
        Some(usd) => format!("USD {usd} by estimate"),
        None => "as much as if the objects stayed".to_owned(),
    };
    format!(
        "{objects} in {class}, {bytes}: deleted before the minimum of {minimum} days that is paid for; \
         the missing days, up to {days}, cost {cost}"
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
