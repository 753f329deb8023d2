//! Writes HTML that is well-formed XML too: elements are closed in their order, and every text is escaped.

use std::fmt::{Display, Write as _};

use crate::commands::cost::table::TextTable;
use crate::model::Line;
use crate::printing::with_options;

/// Attributes of an element, in their order.
pub(super) type Attributes<'a> = &'a [(&'static str, &'a dyn Display)];

/// A page, or a part of one.
#[derive(Debug, Default)]
pub(super) struct Html {
    text: String,
}

impl Html {
    /// Returns what was written, after the words that make a browser take it as HTML of today.
    pub(super) fn into_page(self) -> String {
        format!("<!DOCTYPE html>\n{}\n", self.text)
    }

    /// Writes an element with what `inside` writes in it.
    pub(super) fn element(
        &mut self,
        tag: &'static str,
        attributes: Attributes<'_>,
        inside: impl FnOnce(&mut Self),
    ) {
        self.begin(tag, attributes);
        self.text.push('>');
        inside(self);
        self.text.push_str("</");
        self.text.push_str(tag);
        self.text.push('>');
    }

    /// Writes an element that has nothing in it, and no end in HTML.
    pub(super) fn void(&mut self, tag: &'static str, attributes: Attributes<'_>) {
        self.begin(tag, attributes);
        self.text.push_str("/>");
    }

    /// Writes an element with a text in it.
    pub(super) fn text(
        &mut self,
        tag: &'static str,
        attributes: Attributes<'_>,
        text: impl Display,
    ) {
        self.element(tag, attributes, |html| html.push(text));
    }

    /// Writes an element with a text in which commands in backticks are shown as code.
    pub(super) fn prose(&mut self, tag: &'static str, attributes: Attributes<'_>, text: &str) {
        let text = with_options(text);
        self.element(tag, attributes, |html| {
            let mut pieces = text.split('`').enumerate().peekable();
            while let Some((at, piece)) = pieces.next() {
                // One that is not closed is no code.
                if at % 2 == 1 && pieces.peek().is_some() {
                    html.text("code", &[], piece);
                } else if at % 2 == 1 {
                    html.push(format_args!("`{piece}"));
                } else {
                    html.push(piece);
                }
            }
        });
    }

    /// Writes a text.
    pub(super) fn push(&mut self, text: impl Display) {
        let text = Line(text).to_string();
        for character in text.chars() {
            match character {
                '&' => self.text.push_str("&amp;"),
                '<' => self.text.push_str("&lt;"),
                '>' => self.text.push_str("&gt;"),
                '"' => self.text.push_str("&#34;"),
                '\'' => self.text.push_str("&#39;"),
                // Unicode promises never to give them a meaning, and XML refuses them.
                '\u{fffe}' | '\u{ffff}' => self.text.extend(character.escape_default()),
                other => self.text.push(other),
            }
        }
    }

    /// Begins a new line, for those who read the source of the page.
    pub(super) fn line(&mut self) {
        self.text.push('\n');
    }

    /// Writes the style sheet. It is a part of this program, and has nothing that would have to be escaped.
    pub(super) fn style(&mut self, sheet: &'static str) {
        self.text.push_str("<style>");
        self.text.push_str(sheet);
        self.text.push_str("</style>");
    }

    /// Writes a table whose first row has names, in a frame that a narrow screen scrolls. Its caption says what it has.
    pub(super) fn table(&mut self, caption: &str, table: &TextTable) {
        self.scroll(caption, |html| {
            html.element("table", &[], |html| {
                html.text("caption", &[], caption);
                let rows = table.cells();
                let mut rows = rows.iter();
                if let Some(names) = rows.next() {
                    html.element("thead", &[], |html| row(html, names, Some("col")));
                }
                html.element("tbody", &[], |html| {
                    for cells in rows {
                        row(html, cells, None);
                    }
                });
            });
        });
    }

    /// Writes a frame with a name that a narrow screen scrolls, by keys too.
    pub(super) fn scroll(&mut self, name: &str, inside: impl FnOnce(&mut Self)) {
        let attributes: Attributes<'_> = &[
            ("class", &"scroll"),
            ("role", &"group"),
            ("tabindex", &0),
            ("aria-label", &name),
        ];
        self.line();
        self.element("div", attributes, inside);
    }

    /// Writes a drawing of that many pixels in height, as wide as the page has room.
    pub(super) fn drawing(&mut self, label: &str, height: usize, inside: impl FnOnce(&mut Self)) {
        self.line();
        self.element("div", &[("class", &"drawing")], |html| {
            let attributes: Attributes<'_> = &[
                ("xmlns", &"http://www.w3.org/2000/svg"),
                ("role", &"img"),
                ("aria-label", &label),
                ("width", &"100%"),
                ("height", &height),
            ];
            html.element("svg", attributes, inside);
        });
    }

    /// Writes a shape of a drawing with a title that a pointer shows.
    pub(super) fn shape(&mut self, tag: &'static str, attributes: Attributes<'_>, title: &str) {
        self.element(tag, attributes, |html| html.text("title", &[], title));
    }

    fn begin(&mut self, tag: &'static str, attributes: Attributes<'_>) {
        self.text.push('<');
        self.text.push_str(tag);
        for (name, value) in attributes {
            let _ = write!(self.text, " {name}=\"");
            self.push(value);
            self.text.push('"');
        }
    }
}

/// Writes a row of a table; its first cell is the name of the others unless all are names of columns.
fn row(html: &mut Html, cells: &[(&str, bool)], scope: Option<&'static str>) {
    html.line();
    html.element("tr", &[], |html| {
        for (at, (text, is_right)) in cells.iter().enumerate() {
            let class: Attributes<'_> = if *is_right { &[("class", &"n")] } else { &[] };
            let scope = scope.or((at == 0).then_some("row"));
            match scope {
                Some(scope) if !text.is_empty() => {
                    let attributes: Vec<(&'static str, &dyn Display)> =
                        [("scope", &scope as &dyn Display)]
                            .into_iter()
                            .chain(class.iter().copied())
                            .collect();
                    html.text("th", &attributes, text);
                }
                _ => html.text("td", class, text),
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_is_text_and_never_markup() {
        let mut html = Html::default();
        let hostile =
            "</title><script>alert('1')</script>\u{1b}[2J\n\u{202e}\u{0}\u{ffff}\" onload=\"x&amp;";
        html.text("p", &[("title", &hostile)], hostile);
        let escaped = "&lt;/title&gt;&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;\\u{1b}[2J\\n\\u{202e}\\u{0}\\u{ffff}&#34; onload=&#34;x&amp;amp;";
        assert_eq!(html.text, format!("<p title=\"{escaped}\">{escaped}</p>"));
    }

    #[test]
    fn commands_are_code_and_a_lonely_backtick_is_itself() {
        for (text, shown) in [
            (
                "run `coldchain <b>` now",
                "<p>run <code>coldchain &lt;b&gt;</code> now</p>",
            ),
            ("a ` b", "<p>a ` b</p>"),
            ("`a` `b", "<p><code>a</code> `b</p>"),
            ("`", "<p>`</p>"),
            ("", "<p></p>"),
        ] {
            let mut html = Html::default();
            html.prose("p", &[], text);
            assert_eq!(html.text, shown);
        }
    }

    #[test]
    fn a_table_has_names_for_columns_and_rows_and_no_empty_column() {
        let mut table = TextTable::new("<>>");
        table.head(["place", "", "USD"]);
        table.head(["<a>", "", "1.00"]);
        let mut html = Html::default();
        html.table("costs of a", &table);
        assert_eq!(
            html.text,
            "\n<div class=\"scroll\" role=\"group\" tabindex=\"0\" aria-label=\"costs of a\"><table><caption>costs of a</caption><thead>\n<tr><th scope=\"col\">place</th><th scope=\"col\" class=\"n\">USD</th></tr></thead><tbody>\n<tr><th scope=\"row\">&lt;a&gt;</th><td class=\"n\">1.00</td></tr></tbody></table></div>"
        );
    }
}
