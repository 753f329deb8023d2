//! How large the archives of a source are, and how much is stored, drawn by date.

use chrono::NaiveDate;

use super::facts::SourceView;
use super::html::{Attributes, Html};
use super::limits::DrawLimits;
use super::timeline::{percent, ticks};
use crate::catalog::ListedRow;
use crate::commands::output::count;
use crate::commands::time_axis::TimeAxis;
use crate::model::size::Bytes;

/// How high a drawing is, without the dates below it.
const HEIGHT: u64 = 84;

/// How high the dates below it are.
const BELOW: u64 = 18;

/// Where the largest one ends, below its size.
const TOP: u64 = 18;

/// Writes the sizes of the archives that can be read, and how they add up.
pub(super) fn write(html: &mut Html, view: &SourceView<'_>, limits: DrawLimits) {
    let mut archives: Vec<&ListedRow> = view.visible().collect();
    archives.sort_by_key(|archive| archive.link.id);
    let (Some(first), Some(last)) = (archives.first(), archives.last()) else {
        return;
    };
    let axis = TimeAxis::of(
        [first.link.id.date].into_iter(),
        [last.link.id.date].into_iter(),
        last.link.id.date,
    );
    // As many are drawn as two drawings have room for.
    let together = archives.len().div_ceil(limits.marks / 2).max(1);
    let name = &view.status.name;
    bars(html, &archives, (axis, together), name.as_str());
    sums(html, &archives, (axis, together), name.as_str());
    if together > 1 {
        let note = format!(
            "Each bar is the largest of {}: there are too many to draw each.",
            count(together as u64, "archive")
        );
        html.text("p", &[("class", &"note")], note);
    }
}

fn bars(html: &mut Html, archives: &[&ListedRow], (axis, together): (TimeAxis, usize), name: &str) {
    let sizes = archives.iter().map(|archive| archive.sealed_bytes);
    let most = sizes.max().unwrap_or(0);
    let label = format!(
        "Stored size of each archive of {name}, by date: {}, the largest has {}",
        count(archives.len() as u64, "archive"),
        Bytes(most)
    );
    drawing(
        html,
        &label,
        axis,
        (&format!("each archive, at most {}", Bytes(most)), most),
        |html| {
            for some in archives.chunks(together) {
                let Some(largest) = some.iter().max_by_key(|archive| archive.sealed_bytes) else {
                    continue;
                };
                let (x, height) = (
                    percent(axis, largest.link.id.date),
                    high(largest.sealed_bytes, most),
                );
                let class = format!("bar {}", largest.link.id.kind);
                let attributes: Attributes<'_> = &[
                    ("class", &class),
                    ("x", &x),
                    ("y", &(HEIGHT - height)),
                    ("width", &4),
                    ("height", &height),
                ];
                let title = match some {
                    [one] => format!(
                        "{}, {}: {}",
                        one.link.id.date,
                        one.link.id.kind,
                        Bytes(one.sealed_bytes)
                    ),
                    _ => format!("{}: {} at most", dates(some), Bytes(largest.sealed_bytes)),
                };
                html.shape("rect", attributes, &title);
            }
        },
    );
}

fn sums(html: &mut Html, archives: &[&ListedRow], (axis, together): (TimeAxis, usize), name: &str) {
    let whole: u64 = archives.iter().map(|archive| archive.sealed_bytes).sum();
    let label = format!(
        "How the archives of {name} that are there add up, by date: {} in all",
        Bytes(whole)
    );
    drawing(
        html,
        &label,
        axis,
        (&format!("added up, {}", Bytes(whole)), whole),
        |html| {
            let mut sum = 0;
            let mut some = archives.chunks(together).peekable();
            while let Some(chunk) = some.next() {
                sum += chunk
                    .iter()
                    .map(|archive| archive.sealed_bytes)
                    .sum::<u64>();
                let date = chunk[chunk.len() - 1].link.id.date;
                let until = some.peek().and_then(|next| next.last());
                let until = until.map_or(axis.last, |archive| archive.link.id.date);
                let height = high(sum, whole);
                let (x, width) = (percent(axis, date), width(axis, date, until));
                let attributes: Attributes<'_> = &[
                    ("class", &"area"),
                    ("x", &x),
                    ("y", &(HEIGHT - height)),
                    ("width", &width),
                    ("height", &height),
                ];
                html.shape("rect", attributes, &format!("{date}: {}", Bytes(sum)));
            }
        },
    );
}

fn drawing(
    html: &mut Html,
    label: &str,
    axis: TimeAxis,
    (scale, most): (&str, u64),
    inside: impl FnOnce(&mut Html),
) {
    let height = usize::try_from(HEIGHT + BELOW).unwrap_or(0);
    html.drawing(label, height, |html| {
        ticks(html, axis, (TOP, HEIGHT));
        html.text("text", &[("x", &0), ("y", &12)], scale);
        for (y, is_drawn) in [(TOP, most > 0), (HEIGHT, true)] {
            if is_drawn {
                let attributes: Attributes<'_> = &[
                    ("class", &"tick"),
                    ("x1", &0),
                    ("x2", &"100%"),
                    ("y1", &y),
                    ("y2", &y),
                ];
                html.element("line", attributes, |_| ());
            }
        }
        inside(html);
    });
}

/// Returns how high so many bytes are drawn, of so many at most: what has any can be seen.
fn high(bytes: u64, most: u64) -> u64 {
    let height = u128::from(bytes) * u128::from(HEIGHT - TOP) / u128::from(most.max(1));
    u64::try_from(height).unwrap_or(HEIGHT - TOP).max(1)
}

/// Returns how much of the axis is between two dates.
fn width(axis: TimeAxis, from: NaiveDate, to: NaiveDate) -> String {
    let steps = axis
        .step(to, 10_000)
        .saturating_sub(axis.step(from, 10_000));
    // The last one has a width too.
    let steps = steps.max(20);
    format!("{}.{:02}%", steps / 100, steps % 100)
}

/// Returns the dates of archives, and how many they are.
fn dates(archives: &[&ListedRow]) -> String {
    match archives {
        [first, .., last] => format!(
            "{} archives of {} to {}",
            archives.len(),
            first.link.id.date,
            last.link.id.date
        ),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_height_is_in_proportion_and_never_nothing() {
        assert_eq!(high(0, 0), 1);
        assert_eq!(high(0, 100), 1);
        assert_eq!(high(50, 100), 33);
        assert_eq!(high(100, 100), 66);
        assert_eq!(high(u64::MAX, u64::MAX), 66);
    }
}
