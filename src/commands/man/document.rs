//! A manual page while it is written: roff, with what a program's text may have made safe.

use std::fmt::Write as _;

use clap_mangen::roff::{Inline, Roff, bold, italic, roman};

/// How each page of the roff crate begins. A page that is put together needs it once.
const PREAMBLE_END: &str = ".el .ds Aq '\n";

/// The sections of a page.
#[derive(Default)]
pub(super) struct PageWriter {
    roff: Roff,
    /// Whether a title comes last, behind which a paragraph begins by itself.
    is_begun: bool,
}

impl PageWriter {
    /// Begins a section.
    pub(super) fn section(&mut self, title: &str) {
        self.roff.control("SH", [title]);
        self.is_begun = true;
    }

    /// Begins a part of a section.
    pub(super) fn part(&mut self, title: &str) {
        self.roff.control("SS", [title]);
        self.is_begun = true;
    }

    /// Writes a paragraph of Markdown, on one line.
    pub(super) fn paragraph(&mut self, markdown: &str) {
        self.begin_paragraph();
        self.roff.text(inlines(markdown));
    }

    fn begin_paragraph(&mut self) {
        if !std::mem::take(&mut self.is_begun) {
            self.roff.control("PP", []);
        }
    }

    /// Writes a term in bold, and below it what it means.
    pub(super) fn term(&mut self, term: &str, meaning: &str) {
        self.is_begun = false;
        self.roff.control("TP", []);
        self.roff.text([bold(term)]);
        self.roff.text(inlines(meaning));
    }

    /// Goes on with what a term means, on a line of its own.
    pub(super) fn further(&mut self, meaning: &str) {
        self.roff.control("br", []);
        self.roff.text(inlines(meaning));
    }

    /// Writes an item of a list.
    pub(super) fn item(&mut self, markdown: &str) {
        self.is_begun = false;
        self.roff.control("IP", ["\\(bu", "2"]);
        self.roff.text(inlines(markdown));
    }

    /// Writes lines as they are.
    pub(super) fn verbatim<'l>(&mut self, lines: impl Iterator<Item = &'l str>) {
        self.begin_paragraph();
        self.roff.control("RS", ["4"]);
        self.roff.control("nf", []);
        for line in lines {
            match line {
                "" => self.roff.text([roman("\u{a0}")]),
                line => self.roff.text([roman(line)]),
            };
        }
        self.roff.control("fi", []);
        self.roff.control("RE", []);
    }

    /// Returns the text, to stand behind that of another page.
    pub(super) fn rest(&self) -> String {
        let text = self.roff.render();
        let rest = text.split_once(PREAMBLE_END).map(|(_, rest)| rest);
        plain_ascii(rest.unwrap_or(&text))
    }

    /// Returns the text as a page of its own.
    pub(super) fn page(&self, title: [&str; 5]) -> String {
        let mut head = Roff::new();
        head.control("TH", title);
        head.control("nh", []);
        head.render() + &self.rest()
    }
}

/// Returns the text with what groff would print as a typographic character written as what was typed: such a command
/// can't be pasted. Code between backticks becomes bold.
pub(super) fn with_code_in_bold(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let is_paired = line.matches('`').count() % 2 == 0;
        let mut pieces = line.split('`');
        let mut bold = pieces.next().unwrap_or_default().to_owned();
        for (number, piece) in pieces.enumerate() {
            bold += match (is_paired, number % 2) {
                (false, _) => "`",
                (true, 0) => "\\fB",
                (true, _) => "\\fR",
            };
            bold += piece;
        }
        bold + "\n"
    });
    // Before possible values the crate breaks the line thrice.
    plain_ascii(&lines.collect::<String>()).replace(".br\n\n.br\n", ".sp\n")
}

fn plain_ascii(text: &str) -> String {
    let text = text.replace('`', "\\(ga").replace('~', "\\(ti");
    text.replace('^', "\\(ha")
}

/// Reads what Markdown has within a line: code, emphasis and links.
fn inlines(markdown: &str) -> Vec<Inline> {
    let mut inlines = Vec::new();
    for (number, piece) in markdown.split('`').enumerate() {
        if number % 2 == 1 {
            inlines.push(bold(piece));
            continue;
        }
        let plain = without_links(piece);
        for (number, piece) in plain.split("**").enumerate() {
            if number % 2 == 1 {
                inlines.push(italic(piece));
            } else if !piece.is_empty() {
                inlines.push(roman(piece));
            }
        }
    }
    inlines
}

/// Writes `[text](page.md#part)` as `text (docs/page.md)`. A link within its page is its text.
fn without_links(text: &str) -> String {
    let mut rest = text;
    let mut plain = String::new();
    while let Some((before, after)) = rest.split_once('[') {
        let link = after
            .split_once("](")
            .and_then(|(name, after)| Some((name, after.split_once(')')?)));
        plain += before;
        let Some((name, (target, after))) = link else {
            plain.push('[');
            rest = after;
            continue;
        };
        plain += name;
        let file = target.split('#').next().unwrap_or_default();
        if file.contains("://") {
            write!(plain, " ({file})").expect("a string takes it");
        } else if !file.is_empty() {
            write!(plain, " (docs/{file})").expect("a string takes it");
        }
        rest = after;
    }
    plain + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_roff_would_take_for_a_command_is_text() {
        let mut document = PageWriter::default();
        document.verbatim([".dot", "'quote", "", "a\\b `c` ~ ^"].into_iter());
        document.paragraph(".TH is text, and 'so' is `.this` with [a link](keys.md#x)");
        assert_eq!(
            document.rest(),
            ".PP\n.RS 4\n.nf\n\\&.dot\n\\*(Aqquote\n\u{a0}\na\\\\b \\(gac\\(ga \\(ti \\(ha\n.fi\n.RE\n\
             .PP\n\\&.TH is text, and \\*(Aqso\\*(Aq is \\fB.this\\fR with a link (docs/keys.md)\n"
        );
    }

    #[test]
    fn code_in_help_is_bold() {
        assert_eq!(
            with_code_in_bold("see `x` and `y`\nit`s"),
            "see \\fBx\\fR and \\fBy\\fR\nit\\(gas\n"
        );
    }
}
