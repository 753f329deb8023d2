//! What the marks of a timeline mean.

use super::html::{Attributes, Html};

/// What a legend shows, and what it says.
const LEGEND: [(&str, &str); 7] = [
    ("full", "full"),
    ("incremental", "incremental"),
    ("damaged", "damaged"),
    ("unfinished", "unfinished"),
    ("retired", "retired"),
    ("until", "kept until it expires"),
    ("missed", "slot without an archive"),
];

/// Writes the legend. Without gaps it does not explain them.
pub(super) fn write(html: &mut Html, has_gaps: bool) {
    html.element("ul", &[("class", &"legend")], |html| {
        for (class, text) in LEGEND {
            if class == "missed" && !has_gaps {
                continue;
            }
            html.element("li", &[], |html| {
                let attributes: Attributes<'_> =
                    &[("aria-hidden", &"true"), ("width", &16), ("height", &14)];
                html.element("svg", attributes, |html| sample(html, class));
                html.text("span", &[], text);
            });
        }
    });
}

fn sample(html: &mut Html, class: &str) {
    match class {
        "full" => {
            let attributes: Attributes<'_> = &[
                ("class", &"full"),
                ("x", &3),
                ("y", &1),
                ("width", &10),
                ("height", &12),
            ];
            html.element("rect", attributes, |_| ());
        }
        "damaged" => html.element("svg", &[("class", &class), ("x", &8), ("y", &7)], |html| {
            html.element("path", &[("d", &"M-6,-6L6,6M6,-6L-6,6")], |_| ());
        }),
        "until" | "missed" => {
            let ends = if class == "until" {
                (0, 16, 7, 7)
            } else {
                (8, 8, 2, 12)
            };
            let attributes: Attributes<'_> = &[
                ("class", &class),
                ("x1", &ends.0),
                ("x2", &ends.1),
                ("y1", &ends.2),
                ("y2", &ends.3),
            ];
            html.element("line", attributes, |_| ());
        }
        _ => {
            let attributes: Attributes<'_> =
                &[("class", &class), ("cx", &8), ("cy", &7), ("r", &4)];
            html.element("circle", attributes, |_| ());
        }
    }
}
