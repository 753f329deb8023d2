//! Many sources: a line each, and what to look at.

use std::fmt::Write as _;

use super::alarm_groups::alarm_groups;
use super::{ago_or_never, days_ago};
use crate::commands::fold::push_folded;
use crate::commands::output::count;
use crate::commands::overview::Overview;
use crate::engine::SourceStatus;
use crate::model::Line;
use crate::model::entry::Timestamp;
use crate::model::size::Bytes;
use crate::plan::{Action, Urgency};

const HEAD: [&str; 6] = ["SOURCE", "ARCHIVED", "NEXT", "CHAIN", "STORED", "VERIFIED"];

/// The columns by what they say of how a source stands: on a narrow terminal the last ones go first.
const BY_WEIGHT: [usize; HEAD.len()] = [0, 1, 2, 5, 4, 3];

/// As many columns are shown at least.
const FEWEST: usize = 2;

/// How wide the mark of a line below the table is, with the blanks after it.
const MARK: usize = 9;

/// The most columns of the names of many sources.
const NAMES: usize = 80;

/// With more, sources that have an alarm alike are named below it.
const NAMED: usize = 3;

/// What stands for nothing.
pub(in crate::commands) const NONE: &str = "-";

/// Returns the table, as far as it fits into so many columns.
pub(in crate::commands) fn in_words(overview: &Overview, columns: usize) -> String {
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
    // One long name must not take the room of all others: it has a line of its own.
    let longest = columns / 3;
    let is_long = |name: &str| name.chars().count() > longest;
    let names = rows.iter().map(|row| row[0].as_str());
    let short = names.filter(|name| !is_long(name));
    widths[0] = short.map(|name| name.chars().count()).max().unwrap_or(0);
    let shown = that_fit(&widths, columns);
    let mut text = String::new();
    for mut row in rows {
        if is_long(&row[0]) {
            let _ = writeln!(text, "{}", row[0]);
            row[0].clear();
        }
        let mut line = String::new();
        for column in shown.iter().copied() {
            let (cell, width) = (&row[column], widths[column]);
            let _ = write!(line, "{cell:width$}  ");
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    let left_out: Vec<&str> = (0..HEAD.len())
        .filter(|column| !shown.contains(column))
        .map(|column| HEAD[column])
        .collect();
    if !left_out.is_empty() {
        let line = format!(
            "no room for {}: `coldchain status SOURCE` shows all",
            left_out.join(", ")
        );
        push_folded(&mut text, &line, 0, columns);
    }
    write_rest(&mut text, overview, columns);
    text
}

/// Returns the columns that fit side by side, in their order.
fn that_fit(widths: &[usize; HEAD.len()], columns: usize) -> Vec<usize> {
    let wide = |shown: &[usize]| {
        let cells: usize = shown.iter().map(|column| widths[*column]).sum();
        cells + 2 * (shown.len() - 1)
    };
    let mut shown = BY_WEIGHT.to_vec();
    while shown.len() > FEWEST && wide(&shown) > columns {
        shown.pop();
    }
    shown.sort_unstable();
    shown
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
pub(in crate::commands) fn next(source: &SourceStatus) -> String {
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
pub(super) fn write_rest(text: &mut String, overview: &Overview, columns: usize) {
    let mut begun = false;
    let mut line = |text: &mut String, words: String| {
        if !begun {
            text.push('\n');
            begun = true;
        }
        push_folded(text, &Line(words).to_string(), MARK, columns);
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
    let alarms = alarm_groups(&overview.sources);
    for group in &alarms {
        let mark = match group.alarm.kind.urgency() {
            Urgency::Critical => "ALARM  ",
            Urgency::Warning => "warning",
        };
        let (names, what) = (group.names(), &group.alarm.text);
        match group.sources.len() {
            ..=NAMED => line(text, format!("{mark}  {names}: {what}")),
            many => {
                line(text, format!("{mark}  {many} sources: {what}"));
                let names = format!("{:MARK$}{names}", "");
                push_folded(text, &names, MARK, columns.min(NAMES));
            }
        }
    }
    if alarms.is_empty() && overview.unread.is_none() {
        line(text, "all in order".to_owned());
    }
}

/// Returns what of a source is under way.
pub(in crate::commands) fn waiting(source: &SourceStatus) -> Vec<String> {
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
