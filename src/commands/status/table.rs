//! Many sources: a line each, and what to look at.

use std::fmt::Write as _;

use super::{ago_or_never, days_ago};
use crate::commands::output::count;
use crate::commands::overview::Overview;
use crate::engine::SourceStatus;
use crate::model::Line;
use crate::model::entry::Timestamp;
use crate::model::size::Bytes;
use crate::plan::{Action, Urgency};

const HEAD: [&str; 6] = ["SOURCE", "ARCHIVED", "NEXT", "CHAIN", "STORED", "VERIFIED"];

/// What stands for nothing.
pub(super) const NONE: &str = "-";

pub(super) fn in_words(overview: &Overview) -> String {
    let mut rows = vec![HEAD.map(str::to_owned)];
    rows.extend(
        overview
            .sources
            .iter()
            .map(|source| row(source, overview.at)),
    );
    let mut widths = [0; HEAD.len()];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            let _ = write!(line, "{cell:width$}  ");
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    write_rest(&mut text, overview);
    text
}

fn row(source: &SourceStatus, now: Timestamp) -> [String; HEAD.len()] {
    let none = || NONE.to_owned();
    [
        source.name.to_string(),
        match source.newest() {
            Some(newest) => format!("{}, {} d", newest.date, days_ago(newest.date, now).max(0)),
            None if source.store.is_none() => none(),
            None => "never".to_owned(),
        },
        next(source),
        source
            .chain
            .map_or_else(none, |chain| format!("1 + {}", chain.incrementals)),
        match source.sealed_bytes() {
            0 => none(),
            bytes => Bytes(bytes).to_string(),
        },
        if source.archives.is_empty() {
            none()
        } else {
            ago_or_never(source.checked.verified.map(Timestamp), now)
        },
    ]
}

/// Returns what comes next: tonight's archive, or the next scheduled date.
fn next(source: &SourceStatus) -> String {
    let action = match &source.tonight {
        Some(Ok(plan)) => &plan.action,
        Some(Err(_)) => return "error".to_owned(),
        None => return NONE.to_owned(),
    };
    match (action, &source.due) {
        (Action::Full, _) => "tonight, full".to_owned(),
        (Action::Incremental { .. }, _) => "tonight".to_owned(),
        (Action::None, Some(due)) => due.next.to_string(),
        (Action::None, None) => NONE.to_owned(),
    }
}

/// Writes what is running, what waits, and the alarms.
pub(super) fn write_rest(text: &mut String, overview: &Overview) {
    let mut begun = false;
    let mut line = |text: &mut String, words: String| {
        if !begun {
            text.push('\n');
            begun = true;
        }
        let _ = writeln!(text, "{}", Line(words));
    };
    if let Some(why) = &overview.unread {
        line(text, format!("the records of runs can't be read: {why}"));
    }
    for command in crate::config::FOLLOWED {
        if let Some(since) = overview.records.running_since(command) {
            line(
                text,
                format!("running  `coldchain {command}`, since {since}"),
            );
        }
    }
    for source in &overview.sources {
        for waiting in waiting(source) {
            line(text, format!("waits    {}: {waiting}", source.name));
        }
    }
    for source in &overview.sources {
        for alarm in &source.alarms {
            let mark = match alarm.kind.urgency() {
                Urgency::Critical => "ALARM  ",
                Urgency::Warning => "warning",
            };
            line(text, format!("{mark}  {}: {}", source.name, alarm.text));
        }
    }
    let alarms: usize = overview
        .sources
        .iter()
        .map(|source| source.alarms.len())
        .sum();
    if alarms == 0 && overview.unread.is_none() {
        line(text, "all in order".to_owned());
    }
}

/// Returns what of a source is under way.
pub(super) fn waiting(source: &SourceStatus) -> Vec<String> {
    let mut waiting = Vec::new();
    for unfinished in &source.unfinished {
        waiting.push(format!(
            "the archive of {} is unfinished, begun {}, {} of its stream so far: the next `coldchain backup` goes on",
            unfinished.date,
            unfinished.begun_at,
            Bytes(unfinished.raw_bytes)
        ));
    }
    let thaws = source.thaws;
    if thaws.waiting > 0 {
        waiting.push(format!(
            "{} thawing: `coldchain thaw {} --status` asks how far they are",
            count(thaws.waiting, "segment"),
            source.name
        ));
    }
    if thaws.readable > 0 {
        let until = thaws.readable_until.map(|until| format!(" until {until}"));
        waiting.push(format!(
            "{} thawed, readable{}: run the restore again",
            count(thaws.readable, "segment"),
            until.unwrap_or_default()
        ));
    }
    waiting
}
