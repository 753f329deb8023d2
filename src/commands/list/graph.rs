//! `list --graph`: the chains of each source on an axis of dates, a line for each.

use std::env;
use std::ffi::OsStr;

use chrono::NaiveDate;

use super::{Expiry, ListedChain, ListedSource, archive_state};
use crate::catalog::ListedRow;
use crate::commands::fold::push_folded;
use crate::commands::output::{count, stdout_columns};
use crate::commands::time_axis::TimeAxis;
use crate::model::Line;

/// How wide the axis is that is drawn in a pipe, with what is left of it, unless `$COLUMNS` says more.
const IN_A_PIPE: usize = 80;

/// No axis is wider, so that its line can be seen as one.
const WIDEST: usize = 200;

/// How wide what is left of the axis is: two blanks, a date, and a blank.
const LEFT: usize = 13;

/// The least columns of an axis.
const LEAST: usize = 12;

/// How far apart the names of two dates begin at least.
const APART: usize = 10;

/// What is between two marks of the legend.
const BETWEEN: &str = "   ";

/// What is drawn in a column, the less remarkable before the more remarkable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Mark {
    Nothing,
    Today,
    Kept,
    Between,
    Expires,
    Retired,
    Incremental,
    Full,
    Gap,
    Unfinished,
    Damaged,
}

/// The marks that a legend explains, in its order.
const LEGEND: [(Mark, &str); 10] = [
    (Mark::Full, "full"),
    (Mark::Incremental, "incremental"),
    (Mark::Between, "chain"),
    (Mark::Kept, "kept"),
    (Mark::Expires, "expires"),
    (Mark::Damaged, "damaged"),
    (Mark::Unfinished, "unfinished"),
    (Mark::Retired, "retired"),
    (Mark::Gap, "slot without archive"),
    (Mark::Today, "today"),
];

impl Mark {
    /// Returns the mark of an archive.
    fn of(archive: &ListedRow) -> Self {
        match archive_state(archive) {
            _ if archive.link.is_damaged => Self::Damaged,
            "committed" if archive.link.id == archive.link.chain => Self::Full,
            "committed" => Self::Incremental,
            "retired" => Self::Retired,
            _ => Self::Unfinished,
        }
    }

    fn glyph(self, in_unicode: bool) -> char {
        let (unicode, ascii) = match self {
            Self::Nothing => (' ', ' '),
            Self::Today => ('╎', ':'),
            Self::Kept => ('┄', '.'),
            Self::Between => ('─', '-'),
            Self::Expires => ('┤', ']'),
            Self::Retired => ('◌', 'r'),
            Self::Incremental => ('○', 'o'),
            Self::Full => ('●', '#'),
            Self::Gap => ('▿', 'v'),
            Self::Unfinished => ('◐', '?'),
            Self::Damaged => ('✗', '!'),
        };
        if in_unicode { unicode } else { ascii }
    }
}

/// What of a terminal a drawing depends on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Canvas {
    columns: usize,
    in_unicode: bool,
}

impl Canvas {
    /// Returns the canvas of stdout.
    pub(super) fn of_stdout() -> Self {
        let columns = match stdout_columns() {
            usize::MAX => columns_of_variable().unwrap_or(IN_A_PIPE),
            columns => columns,
        };
        Self {
            columns: columns.clamp(LEFT + LEAST, WIDEST),
            in_unicode: is_utf8(|name| env::var_os(name).filter(|value| !value.is_empty())),
        }
    }

    fn steps(self) -> usize {
        self.columns - LEFT
    }
}

/// Returns what `$COLUMNS` says.
fn columns_of_variable() -> Option<usize> {
    env::var("COLUMNS").ok()?.trim().parse().ok()
}

/// Whether the locale says that texts are in UTF-8: the first of its variables that is set counts. If none is, the
/// other commands print UTF-8 too.
fn is_utf8<T: AsRef<OsStr>>(variable: impl Fn(&str) -> Option<T>) -> bool {
    let value = ["LC_ALL", "LC_CTYPE", "LANG"]
        .into_iter()
        .find_map(variable);
    value.is_none_or(|value| {
        let value = value.as_ref().to_string_lossy().to_lowercase();
        value.contains("utf-8") || value.contains("utf8")
    })
}

/// Draws the chains of sources.
pub(super) fn in_words(sources: &[ListedSource<'_>], canvas: Canvas, today: NaiveDate) -> String {
    let mut text = String::new();
    let mut used = Vec::new();
    for source in sources {
        if !text.is_empty() {
            text.push('\n');
        }
        let head = format!("{}  {}", source.name, source.store_in_words());
        push_folded(&mut text, head.trim_end(), 2, canvas.columns);
        if source
            .chains
            .iter()
            .all(|chain| chain.shown().next().is_none())
        {
            let why = match source.store {
                None => "`coldchain snapshots` shows them",
                Some(_) => "nothing archived yet",
            };
            push_folded(&mut text, &format!("  {why}"), 4, canvas.columns);
            continue;
        }
        draw(&mut text, source, (canvas, today), &mut used);
    }
    if !used.is_empty() {
        text.push('\n');
        push_legend(&mut text, &used, canvas);
    }
    text
}

fn draw(
    text: &mut String,
    source: &ListedSource<'_>,
    (canvas, today): (Canvas, NaiveDate),
    used: &mut Vec<Mark>,
) {
    let archives = source.chains.iter().flat_map(ListedChain::shown);
    let to_come = source.chains.iter().filter_map(|chain| chain.expiry.date());
    let axis = TimeAxis::of(archives.map(|it| it.link.id.date), to_come, today);
    push_dates(text, axis, canvas);
    let mut push = |name: String, marks: Vec<Mark>, after: &str| {
        let glyphs = marks.iter().map(|mark| mark.glyph(canvas.in_unicode));
        let line = format!("  {name:10} {}", glyphs.collect::<String>());
        *text += line.trim_end();
        text.push('\n');
        if !after.is_empty() {
            push_folded(text, &format!("{:LEFT$}{after}", ""), LEFT, canvas.columns);
        }
        used.extend(marks);
    };
    for chain in &source.chains {
        let marks = row_of(chain, axis, (canvas.steps(), today));
        push(chain.id.date.to_string(), marks, &remark(chain));
    }
    let gaps = source.gaps(today);
    if !gaps.is_empty() {
        let mut marks = empty(axis, (canvas.steps(), today));
        for gap in &gaps {
            put(&mut marks, axis, *gap, Mark::Gap);
        }
        let words = format!("{} without an archive", count(gaps.len() as u64, "slot"));
        push("missing".to_owned(), marks, &words);
    }
}

/// Writes what the marks mean that were used; a mark and its words are in one line.
fn push_legend(text: &mut String, used: &[Mark], canvas: Canvas) {
    let explained = LEGEND.iter().filter(|(mark, _)| used.contains(mark));
    let mut width = 0;
    for (mark, words) in explained {
        let words = format!("{} {words}", mark.glyph(canvas.in_unicode));
        let wide = words.chars().count();
        if width == 0 {
            width = wide;
        } else if width + BETWEEN.len() + wide > canvas.columns {
            text.push('\n');
            width = wide;
        } else {
            *text += BETWEEN;
            width += BETWEEN.len() + wide;
        }
        *text += &words;
    }
    text.push('\n');
}

/// Returns what is said of a chain that is not simply there.
fn remark(chain: &ListedChain<'_>) -> String {
    let damaged = chain.shown().filter(|archive| archive.link.is_damaged);
    let damaged = match damaged.count() as u64 {
        0 => None,
        damaged => Some(format!("{} damaged", count(damaged, "archive"))),
    };
    let state = match chain.state {
        "complete" => None,
        "damaged" if damaged.is_some() => None,
        "retired" if chain.deletion_has_begun() => Some("being deleted or gone".to_owned()),
        state => Some(state.to_owned()),
    };
    let held = chain.inventory.holds_back.as_ref();
    let held = held.map(|why| format!("does not expire yet: {}", Line(why)));
    [state, damaged, held]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(", ")
}

fn row_of(chain: &ListedChain<'_>, axis: TimeAxis, room: (usize, NaiveDate)) -> Vec<Mark> {
    let mut marks = empty(axis, room);
    let dates = || chain.shown().map(|archive| archive.link.id.date);
    let (Some(first), Some(newest)) = (dates().min(), dates().max()) else {
        return marks;
    };
    let is_retired = chain.state == "retired";
    if !is_retired {
        fill(&mut marks, axis, (first, newest), Mark::Between);
    }
    if let Expiry::On(date) = chain.expiry
        && !is_retired
    {
        fill(&mut marks, axis, (newest, date), Mark::Kept);
        if axis.has(date) {
            put(&mut marks, axis, date, Mark::Expires);
        }
    }
    for archive in chain.shown() {
        put(&mut marks, axis, archive.link.id.date, Mark::of(archive));
    }
    marks
}

/// Returns a row with nothing but today.
fn empty(axis: TimeAxis, (steps, today): (usize, NaiveDate)) -> Vec<Mark> {
    let mut marks = vec![Mark::Nothing; steps];
    put(&mut marks, axis, today, Mark::Today);
    marks
}

/// Returns the column of a date.
fn column(axis: TimeAxis, date: NaiveDate, steps: usize) -> usize {
    let last = steps.saturating_sub(1);
    let step = axis.step(date, u32::try_from(last).unwrap_or(u32::MAX));
    usize::try_from(step).unwrap_or(last).min(last)
}

/// Puts a mark into the column of a date, unless a more remarkable one is there.
fn put(marks: &mut [Mark], axis: TimeAxis, date: NaiveDate, mark: Mark) {
    let at = column(axis, date, marks.len());
    marks[at] = marks[at].max(mark);
}

fn fill(marks: &mut [Mark], axis: TimeAxis, (from, to): (NaiveDate, NaiveDate), mark: Mark) {
    let (from, to) = (
        column(axis, from, marks.len()),
        column(axis, to.max(from), marks.len()),
    );
    for at in &mut marks[from..=to] {
        *at = (*at).max(mark);
    }
}

/// Writes the first days of months above their columns.
fn push_dates(text: &mut String, axis: TimeAxis, canvas: Canvas) {
    let steps = canvas.steps();
    let mut line = String::new();
    for tick in axis.ticks((steps / APART).max(1)) {
        let name = tick.format("%Y-%m").to_string();
        let at = column(axis, tick, steps);
        let room = at.checked_sub(line.chars().count());
        // One that would run into the name before it, or over the end, has no name.
        let Some(room) = room.filter(|_| at + name.len() <= steps) else {
            continue;
        };
        if room == 0 && !line.is_empty() {
            continue;
        }
        line.extend(std::iter::repeat_n(' ', room));
        line += &name;
    }
    if line.is_empty() {
        line = format!("{} to {}", axis.first, axis.last);
    }
    *text += format!("{:LEFT$}{line}", "").trim_end();
    text.push('\n');
}

#[cfg(test)]
mod tests;
