//! `coldchain copy --plan`: what would be copied, and what that costs.

use serde_json::{Value, json};

use crate::commands::output::count;
use crate::config::Source;
use crate::engine::CopyForeseen;
use crate::error::Error;
use crate::model::Tier;
use crate::model::size::Bytes;
use crate::plan::{CopyFate, Pricing, Usd, describe_copy_cost};

/// Returns a plan as text.
pub(super) fn in_words(source: &Source, to: &str, foreseen: &CopyForeseen) -> Vec<String> {
    let plan = &foreseen.plan;
    let to_copy = plan.with(CopyFate::Copy).count();
    let there = plan.with(CopyFate::There).count();
    let name = &source.name;
    if plan.lines.is_empty() {
        return vec![format!("{name}: nothing is archived yet")];
    }
    let mut lines = vec![format!(
        "{name}: copy in {to} ({}): {} to copy, {} in {}; it has {there} already",
        foreseen.store,
        count(to_copy as u64, "archive"),
        Bytes(plan.bytes()),
        count(plan.objects() as u64, "object"),
    )];
    for line in &plan.lines {
        let what = match line.fate {
            CopyFate::There => continue,
            CopyFate::Copy => format!("{:>10}", Bytes(line.bytes()).to_string()),
            CopyFate::LeftOut => format!("{:>10}", "left out"),
        };
        lines.push(format!("  {}  {what}  {}", line.archive, line.reason));
    }
    if to_copy == 0 {
        return lines;
    }
    let cost = &foreseen.cost;
    if (cost.home, cost.copy) == (Pricing::Free, Pricing::Free) {
        return lines;
    }
    let text = describe_copy_cost(cost);
    lines.extend(text.lines().map(str::to_owned));
    lines
}

/// Returns a plan as JSON. Sums of stores whose prices are not known are null.
pub(super) fn to_json(
    source: &Source,
    foreseen: &CopyForeseen,
    tier: Tier,
) -> Result<Value, Error> {
    let plan = &foreseen.plan;
    let archives: Vec<Value> = plan
        .lines
        .iter()
        .map(|line| {
            let fate = match line.fate {
                CopyFate::Copy => "copy",
                CopyFate::There => "there",
                CopyFate::LeftOut => "left-out",
            };
            json!({
                "id": line.archive, "fate": fate, "objects": line.objects.len(),
                "bytes": line.bytes(), "reason": line.reason,
            })
        })
        .collect();
    let number = |usd: Option<Usd>| usd.map(Usd::as_number);
    let cost = &foreseen.cost;
    let total = cost
        .usd_total(tier)
        .map_err(crate::plan::CopyCostRefusal::from)?;
    Ok(json!({
        "source": source.name, "to": foreseen.store, "archives": archives,
        "objects": plan.objects(), "bytes": plan.bytes(),
        "usd_total": number(total), "usd_a_month": number(cost.usd_a_month()),
    }))
}
