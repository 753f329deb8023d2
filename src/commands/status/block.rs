//! One source: all that is known of how it stands.

use super::{ago_or_never, days_ago, table};
use crate::commands::age::ago;
use crate::commands::fold::push_folded;
use crate::commands::list::copies::{in_words as copy_in_words, moved_in_words};
use crate::commands::list::mirrors::in_words as mirror_in_words;
use crate::commands::output::count;
use crate::commands::overview::Overview;
use crate::engine::SourceStatus;
use crate::model::entry::Timestamp;
use crate::model::size::Bytes;
use crate::model::{Line, SourceName};
use crate::plan::Action;
use crate::run_records::EndedRun;

/// How far the texts of a block are from the margin.
const INDENT: usize = 13;

pub(super) fn in_words(source: &SourceStatus, overview: &Overview, columns: usize) -> String {
    let now = overview.at;
    let mut text = String::new();
    let what = source.store.as_ref().map(Line);
    let what = what.map_or("snapshots alone, no archives".to_owned(), |store| {
        store.to_string()
    });
    push_folded(&mut text, &format!("{}  {what}", source.name), 2, columns);
    let mut line = |name: &str, words: String| {
        let line = format!("  {name:9}  {}", Line(words));
        push_folded(&mut text, &line, INDENT, columns);
    };
    if source.store.is_some() {
        line("archived", archived(source, now));
    } else {
        let newest = source.newest_snapshot.map(|newest| {
            let ago = days_in_words(days_ago(newest.date, now));
            format!("{newest}, {ago}")
        });
        line("snapshot", newest.unwrap_or_else(|| "never".to_owned()));
    }
    if let Some(due) = &source.due {
        let from = due
            .overdue_from
            .map(|from| format!("; overdue from {from} on"));
        let until = match -days_ago(due.next, now) {
            ..=0 => "today".to_owned(),
            1 => "tomorrow".to_owned(),
            days => format!("in {days} days"),
        };
        line(
            "next",
            format!("{}, {until}{}", due.next, from.unwrap_or_default()),
        );
    }
    match &source.tonight {
        Some(Ok(plan)) => {
            let what = match &plan.action {
                Action::None => "nothing due",
                Action::Full => "full",
                Action::Incremental { .. } => "incremental",
            };
            line("tonight", format!("{what}: {}", plan.reason));
        }
        Some(Err(error)) => line("tonight", format!("can't be said: {error}")),
        None => {}
    }
    if let Some(chain) = source.chain {
        let incrementals = count(chain.incrementals as u64, "incremental");
        line(
            "chain",
            format!(
                "full of {}, {incrementals}, {} stored",
                chain.full,
                Bytes(chain.sealed_bytes)
            ),
        );
        let archives = count(source.archives.len() as u64, "archive");
        line(
            "stored",
            format!("{archives}, {}", Bytes(source.sealed_bytes())),
        );
        if let Some(usd) = source.usd_a_month().filter(|usd| usd.micros() > 0) {
            line(
                "costs",
                format!("USD {usd} a month: see `coldchain cost {}`", source.name),
            );
        }
        line(
            "verified",
            ago_or_never(source.checked.verified.map(Timestamp), now),
        );
        line(
            "drilled",
            ago_or_never(source.checked.drilled.map(Timestamp), now),
        );
    }
    for mirror in &source.mirrors {
        line(
            "mirror",
            format!("{}: {}", mirror.to, mirror_in_words(mirror, now.0)),
        );
    }
    for copy in &source.copies {
        line(
            "copy",
            format!("{}: {}", copy.name, copy_in_words(copy, now.0)),
        );
    }
    if let Some(moved) = &source.moved {
        line("moved", moved_in_words(moved));
    }
    if let Some(pulled) = source.pulled {
        line("pulled", ago_or_never(pulled.at, now));
    }
    for run in &source.runs {
        line("last run", run_in_words(run, &source.name, overview));
    }
    table::write_rest(&mut text, overview, columns);
    text
}

/// Returns `today`, `yesterday` or `3 days ago`.
fn days_in_words(days: i64) -> String {
    match days {
        ..=0 => "today".to_owned(),
        1 => "yesterday".to_owned(),
        days => format!("{days} days ago"),
    }
}

fn archived(source: &SourceStatus, now: Timestamp) -> String {
    let Some(newest) = source.newest() else {
        return "never".to_owned();
    };
    let kind = if newest.is_full {
        "full"
    } else {
        "incremental"
    };
    let files = newest
        .files
        .map(|files| format!(", {}", count(files, "file")));
    let ago = days_in_words(days_ago(newest.date, now));
    format!(
        "{}, {ago}, {kind}, {} raw, {} stored{}",
        newest.date,
        Bytes(newest.raw_bytes),
        Bytes(newest.sealed_bytes),
        files.unwrap_or_default()
    )
}

fn run_in_words(run: &EndedRun, source: &SourceName, overview: &Overview) -> String {
    let now = overview.at;
    let when = ago(run.ended_at, now.0);
    let how = match run.end.exit_code {
        Some(0) => run.end.result.clone(),
        Some(code) => format!("failed, exit code {code}"),
        None => "was killed".to_owned(),
    };
    let before = match overview.records.last_success(&run.command, source) {
        _ if run.end.is_success() => String::new(),
        Some(at) => format!("; last went well {}", ago(at, now.0)),
        None => "; never went well".to_owned(),
    };
    format!("`{}` {when}, {}: {how}{before}", run.command, run.ended_at)
}
