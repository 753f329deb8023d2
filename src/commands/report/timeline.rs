//! The chains and archives of a source on an axis of dates, and as a table.

use chrono::{Datelike as _, NaiveDate};

use super::facts::{ReportFacts, SourceView};
use super::html::{Attributes, Html};
use super::legend;
use super::limits::DrawLimits;
use crate::catalog::ListedRow;
use crate::commands::age::ago;
use crate::commands::cost::table::TextTable;
use crate::commands::list::{Expiry, ListedChain, archive_state};
use crate::commands::output::count;
use crate::commands::time_axis::TimeAxis;
use crate::model::size::Bytes;

/// How high the row of a chain is: its name, and below it its line.
const ROW: usize = 36;

/// Where the name of a chain is in its row, and where its line.
const NAME_AT: usize = 13;
const LINE_AT: usize = 25;

/// How high the names of dates are.
const BELOW: usize = 20;

/// Writes the drawing, its legend, and the table.
pub(super) fn write(
    html: &mut Html,
    view: &SourceView<'_>,
    facts: &ReportFacts<'_>,
    limits: DrawLimits,
) {
    let chains = &view.listed.chains;
    let older = chains.len().saturating_sub(limits.chains);
    let (merged, drawn) = chains.split_at(older);
    let happened = view.archives().map(|archive| archive.link.id.date);
    let to_come = drawn.iter().filter_map(|chain| chain.expiry.date());
    let axis = TimeAxis::of(happened, to_come, facts.today);
    let of_drawn = drawn.iter().map(|chain| chain.shown().count());
    let together = of_drawn.sum::<usize>().div_ceil(limits.marks).max(1);
    let gaps = view.listed.gaps(facts.today);
    let shown_gaps = &gaps[gaps.len().saturating_sub(limits.marks / 2)..];
    let rows = drawn.len() + usize::from(older > 0) + usize::from(!gaps.is_empty());
    let name = &view.status.name;
    let label = format!(
        "Timeline of {name} from {} to {}: {}, {}. The table of archives below has the same.",
        axis.first,
        axis.last,
        count(chains.len() as u64, "chain"),
        count(view.archives().count() as u64, "archive"),
    );
    let bottom = rows * ROW + 4;
    html.drawing(&label, bottom + BELOW, |html| {
        ticks(html, axis, (0, bottom as u64));
        vertical(
            html,
            ("today", "today"),
            &percent(axis, facts.today),
            (0, bottom),
        );
        let mut top = 0;
        if older > 0 {
            merged_row(html, merged, axis, top);
            top += ROW;
        }
        for chain in drawn {
            chain_row(html, chain, (axis, together), top);
            top += ROW;
        }
        if !gaps.is_empty() {
            let words = format!("{} without an archive", count(gaps.len() as u64, "slot"));
            row_name(html, &words, top);
            for gap in shown_gaps {
                let title = format!("nothing was archived for {gap}");
                let span = (top + LINE_AT - 5, top + LINE_AT + 5);
                vertical(html, ("missed", &title), &percent(axis, *gap), span);
            }
        }
    });
    legend::write(html, !gaps.is_empty());
    notes(html, (older, together), (shown_gaps.len(), gaps.len()));
    table(html, view, facts, limits);
}

fn notes(html: &mut Html, (older, together): (usize, usize), (shown, gaps): (usize, usize)) {
    let mut notes = Vec::new();
    if older > 0 {
        notes.push(format!("The {older} oldest chains share a line."));
    }
    if together > 1 {
        notes.push(format!(
            "A mark stands for {together} archives of a chain: there are too many to draw each."
        ));
    }
    if shown < gaps {
        notes.push(format!(
            "Of {gaps} slots without an archive the newest {shown} are drawn."
        ));
    }
    if !notes.is_empty() {
        html.text("p", &[("class", &"note")], notes.join(" "));
    }
}

/// Draws the line, the end and the archives of a chain. Archives that there are too many of are drawn together.
fn chain_row(
    html: &mut Html,
    chain: &ListedChain<'_>,
    (axis, together): (TimeAxis, usize),
    top: usize,
) {
    let archives: Vec<&ListedRow> = chain.shown().collect();
    let (Some(first), Some(last)) = (archives.first(), archives.last()) else {
        return;
    };
    let (from, newest) = (first.link.id.date, last.link.id.date);
    let (name, title) = in_words(chain, &archives);
    row_name(html, &name, top);
    let y = top + LINE_AT;
    horizontal(
        html,
        ("kept", &title),
        (percent(axis, from), percent(axis, newest)),
        y,
    );
    if let Expiry::On(until) = chain.expiry {
        let title = format!("the chain of {} expires {until}", chain.id.date);
        horizontal(
            html,
            ("until", &title),
            (percent(axis, newest), percent(axis, until)),
            y,
        );
        if axis.has(until) {
            vertical(html, ("end", &title), &percent(axis, until), (y - 5, y + 5));
        }
    }
    for some in archives.chunks(together) {
        mark(html, some, axis, y);
    }
}

/// Returns the name of a chain's row, and what is said of the chain.
fn in_words(chain: &ListedChain<'_>, archives: &[&ListedRow]) -> (String, String) {
    let bytes = archives.iter().map(|archive| archive.sealed_bytes);
    let expiry = match chain.expiry {
        _ if chain.deletion_has_begun() => ", being deleted or gone".to_owned(),
        Expiry::On(date) => format!(", expires {date}"),
        Expiry::Never | Expiry::Unknown => String::new(),
    };
    let name = format!(
        "{}, {}, {}, {}",
        chain.id.date,
        chain.state,
        count(archives.len() as u64, "archive"),
        Bytes(bytes.sum())
    );
    let title = format!("chain of {name}{expiry}");
    (name, title)
}

/// Draws chains that have no line of their own.
fn merged_row(html: &mut Html, chains: &[ListedChain<'_>], axis: TimeAxis, top: usize) {
    let archives = || chains.iter().flat_map(ListedChain::shown);
    let dates = || archives().map(|archive| archive.link.id.date);
    let (Some(from), Some(newest)) = (dates().min(), dates().max()) else {
        return;
    };
    let bytes = archives().map(|archive| archive.sealed_bytes);
    let title = format!(
        "{} of before: {}, {}",
        count(chains.len() as u64, "chain"),
        count(archives().count() as u64, "archive"),
        Bytes(bytes.sum())
    );
    row_name(html, &title, top);
    let span = (percent(axis, from), percent(axis, newest));
    horizontal(html, ("kept", &title), span, top + LINE_AT);
}

/// Draws an archive, or several as the most remarkable of them.
fn mark(html: &mut Html, archives: &[&ListedRow], axis: TimeAxis, y: usize) {
    let Some(shown) = archives.iter().max_by_key(|archive| weight(archive)) else {
        return;
    };
    let id = shown.link.id;
    let x = percent(axis, id.date);
    let title = if let [one] = archives {
        archive_in_words(one)
    } else {
        let bytes = archives.iter().map(|archive| archive.sealed_bytes).sum();
        let (of, shown) = (archives.len(), archive_in_words(shown));
        format!("{shown}; one of {of}, {} together", Bytes(bytes))
    };
    match look(shown) {
        "damaged" => {
            let attributes: Attributes<'_> = &[("class", &"damaged"), ("x", &x), ("y", &y)];
            html.element("svg", attributes, |html| {
                html.shape("path", &[("d", &"M-6,-6L6,6M6,-6L-6,6")], &title);
            });
        }
        "full" => {
            let attributes: Attributes<'_> = &[
                ("class", &"mark full"),
                ("x", &x),
                ("y", &(y - 6)),
                ("width", &10),
                ("height", &12),
            ];
            html.shape("rect", attributes, &title);
        }
        class => {
            let attributes: Attributes<'_> =
                &[("class", &class), ("cx", &x), ("cy", &y), ("r", &4)];
            html.shape("circle", attributes, &title);
        }
    }
}

/// How an archive is drawn.
fn look(archive: &ListedRow) -> &'static str {
    match archive_state(archive) {
        _ if archive.link.is_damaged => "damaged",
        "committed" if archive.link.id == archive.link.chain => "full",
        "committed" => "incremental",
        state => state,
    }
}

/// How much an archive is to be seen among others.
fn weight(archive: &ListedRow) -> u8 {
    match look(archive) {
        "damaged" => 4,
        "unfinished" => 3,
        "full" => 2,
        "incremental" => 1,
        _ => 0,
    }
}

fn archive_in_words(archive: &ListedRow) -> String {
    let id = archive.link.id;
    let state = match look(archive) {
        "full" | "incremental" => "",
        "damaged" => ", damaged",
        "unfinished" => ", unfinished",
        _ => ", retired",
    };
    format!(
        "{}, {}{state}, {}",
        id.date,
        id.kind,
        Bytes(archive.sealed_bytes)
    )
}

/// Writes the name of a row at its left, where the narrowest drawing has room for it, and a faint line from it to what it
/// names.
fn row_name(html: &mut Html, words: &str, top: usize) {
    let y = top + LINE_AT;
    let attributes: Attributes<'_> = &[
        ("class", &"tick"),
        ("x1", &0),
        ("x2", &"100%"),
        ("y1", &y),
        ("y2", &y),
    ];
    html.element("line", attributes, |_| ());
    html.text("text", &[("x", &0), ("y", &(top + NAME_AT))], words);
}

fn horizontal(
    html: &mut Html,
    (class, title): (&str, &str),
    (from, to): (String, String),
    y: usize,
) {
    let attributes: Attributes<'_> = &[
        ("class", &class),
        ("x1", &from),
        ("x2", &to),
        ("y1", &y),
        ("y2", &y),
    ];
    html.shape("line", attributes, title);
}

fn vertical(html: &mut Html, (class, title): (&str, &str), x: &str, (top, bottom): (usize, usize)) {
    let attributes: Attributes<'_> = &[
        ("class", &class),
        ("x1", &x),
        ("x2", &x),
        ("y1", &top),
        ("y2", &bottom),
    ];
    html.shape("line", attributes, title);
}

/// Draws a line for each of some first days of months, with its name below.
pub(super) fn ticks(html: &mut Html, axis: TimeAxis, (top, bottom): (u64, u64)) {
    // The narrowest drawings have room for five names. Each takes that much of them, in percent.
    const NAME: u32 = 20;
    let mut free_from = 0;
    for tick in axis.ticks(5) {
        let x = percent(axis, tick);
        let attributes: Attributes<'_> = &[
            ("class", &"tick"),
            ("x1", &x),
            ("x2", &x),
            ("y1", &top),
            ("y2", &bottom),
        ];
        html.element("line", attributes, |_| ());
        let at = axis.step(tick, 100);
        let (anchor, begins) = match at {
            ..=8 => ("start", at),
            92.. => ("end", at.saturating_sub(NAME)),
            _ => ("middle", at.saturating_sub(NAME / 2)),
        };
        if begins < free_from {
            continue;
        }
        free_from = begins + NAME;
        let attributes: Attributes<'_> =
            &[("x", &x), ("y", &(bottom + 14)), ("text-anchor", &anchor)];
        let name = if tick.month0() == 0 && axis.last.year() - axis.first.year() > 2 {
            tick.format("%Y")
        } else {
            tick.format("%Y-%m")
        };
        html.text("text", attributes, name);
    }
}

/// Returns where a date is on an axis.
pub(super) fn percent(axis: TimeAxis, date: NaiveDate) -> String {
    let steps = axis.step(date, 10_000);
    format!("{}.{:02}%", steps / 100, steps % 100)
}

/// Writes the newest archives as a table.
fn table(html: &mut Html, view: &SourceView<'_>, facts: &ReportFacts<'_>, limits: DrawLimits) {
    let mut archives: Vec<&ListedRow> = view.archives().collect();
    archives.sort_by_key(|archive| std::cmp::Reverse(archive.link.id));
    let now = facts.overview.at.0;
    let all = archives.len();
    let mut table = TextTable::new("<<<<>><<");
    table.head([
        "date",
        "kind",
        "state",
        "builds on",
        "raw",
        "stored",
        "found sound",
        "places",
    ]);
    for archive in archives.iter().take(limits.rows) {
        let damaged = if archive.link.is_damaged {
            ", damaged"
        } else {
            ""
        };
        let parent = archive.link.send_parent;
        let places = view
            .listed
            .places_of(archive)
            .map(|places| places.join(", "));
        table.row([
            archive.link.id.date.to_string(),
            archive.link.id.kind.to_string(),
            format!("{}{damaged}", archive_state(archive)),
            parent.map_or_else(String::new, |parent| parent.date.to_string()),
            Bytes(archive.raw_bytes).to_string(),
            Bytes(archive.sealed_bytes).to_string(),
            archive
                .sound_at
                .map_or_else(|| "never".to_owned(), |at| ago(at, now)),
            places.unwrap_or_default(),
        ]);
    }
    let (name, shown) = (&view.status.name, all.min(limits.rows));
    let which = if shown < all {
        format!("The newest {shown} of {all} archives")
    } else {
        count(all as u64, "archive")
    };
    html.element("details", &[], |html| {
        html.text("summary", &[], format_args!("{which} as a table"));
        html.table(&format!("{which} of {name}"), &table);
    });
}
