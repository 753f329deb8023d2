//! What comes after `init` has made everything: whether all is well, tonight's plan, and what the first archives take.

use std::path::Path;

use crate::cli::{Doctor, Everywhere};
use crate::commands::doctor;
use crate::commands::output::stdout_columns;
use crate::commands::output::{answer, answer_lines, count};
use crate::commands::plan::{in_columns, plans};
use crate::commands::today;
use crate::config::Config;
use crate::engine::{FirstFull, RunContext, first_full, upload_rate};
use crate::error::Error;
use crate::model::size::Bytes;
use crate::plan::Usd;
use crate::progress::Quiet;

/// Runs `doctor`, and shows what comes next. Returns what `doctor` found in the end.
pub(super) fn show(config: &Config, kit: &Path, everywhere: &Everywhere) -> Result<(), Error> {
    answer("\nis all in order? `coldchain doctor` says:\n")?;
    let all_well = doctor::run(
        &Doctor {
            offline: false,
            fix: false,
            yes: false,
        },
        everywhere,
    );
    let sources: Vec<_> = config.sources.iter().collect();
    answer("\ntonight, as `coldchain plan` shows it:\n")?;
    answer(&in_columns(
        &plans(config, &sources, today(config), None)?,
        stdout_columns(),
    ))?;
    if config.archived().next().is_some() {
        answer("\nthe first archive, as far as it can be measured now:\n")?;
        answer_lines(first_archives(config, all_well.is_ok())?)?;
        answer("\n")?;
        answer_lines(kit_in_words(kit))?;
    }
    answer_lines([
        "`systemctl enable --now coldchain.timer` runs it every night, if the package is installed; `coldchain backup` \
         runs it now",
    ])?;
    all_well
}

/// Returns what the first archives take. The time is measured at a store only if all is well: else it may not answer.
fn first_archives(config: &Config, is_all_well: bool) -> Result<Vec<String>, Error> {
    let mut lines = Vec::new();
    let mut fulls = Vec::new();
    for (source, store) in config.archived() {
        let full = first_full(config, source, store)?;
        lines.push(size_in_words(&full));
        fulls.push(full);
    }
    let context = RunContext::real(&Quiet);
    let Some((source, store)) = config.archived().next() else {
        return Ok(lines);
    };
    let sealed: u64 = fulls.iter().map(|full| full.sealed_bytes).sum();
    let raw: u64 = fulls.iter().map(|full| full.totals.bytes).sum();
    let local = fulls.iter().filter_map(|full| full.local_rate).min();
    let measured = is_all_well.then(|| upload_rate(config, source, &context));
    match measured {
        None => lines.push("  time: not measured, because not all is in order".to_owned()),
        Some(Ok(upload)) => {
            let seconds = (sealed / upload).max(local.map_or(0, |local| raw / local));
            lines.push(format!(
                "  time: about {}, by {}/s into the store, measured with test objects{}",
                time_in_words(seconds),
                Bytes(upload),
                match local {
                    Some(local) =>
                        format!(", and {}/s read, compressed and sealed here", Bytes(local)),
                    None => String::new(),
                }
            ));
        }
        Some(Err(error)) => lines.push(format!("  time: not measured: {error}")),
    }
    let class = store.storage_class().map(|class| format!(" in {class}"));
    let class = class.unwrap_or_default();
    let a_month: Option<Usd> = fulls.iter().map(|full| full.usd_a_month).sum();
    let once: Option<Usd> = fulls.iter().map(|full| full.usd_once).sum();
    lines.push(match (a_month, once) {
        (Some(a_month), Some(once)) => format!(
            "  price: about USD {a_month} a month{class}, and USD {once} once, for its requests; by {}",
            config.prices.of
        ),
        (Some(_), None) => "  price: none, it is a directory".to_owned(),
        (None, _) => "  price: not known for this service; [prices] in the config takes its prices".to_owned(),
    });
    Ok(lines)
}

fn size_in_words(full: &FirstFull) -> String {
    let FirstFull { source, totals, .. } = full;
    let least = if totals.is_whole { "" } else { "more than " };
    let sealed = match full.sampled_bytes {
        0 => String::new(),
        sampled => format!(
            "; about {} compressed and sealed, by a sample of {}",
            Bytes(full.sealed_bytes),
            Bytes(sampled)
        ),
    };
    format!(
        "  {source}: {least}{} in {least}{}{sealed}",
        Bytes(totals.bytes),
        count(totals.objects, "object")
    )
}

fn time_in_words(seconds: u64) -> String {
    match seconds {
        0..90 => "a minute".to_owned(),
        90..5400 => count(seconds.div_ceil(60), "minute"),
        5400..172_800 => count(seconds.div_ceil(3600), "hour"),
        _ => count(seconds.div_ceil(86_400), "day"),
    }
}

fn kit_in_words(kit: &Path) -> [String; 2] {
    [
        format!(
            "print {}: it holds the key that opens the archives, and without it they are lost",
            kit.display()
        ),
        "keep the print and a copy of the file away from this machine, then delete it here"
            .to_owned(),
    ]
}
