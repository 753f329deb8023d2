//! Reads the pages of `docs`, as far as they are used for manual pages.

use super::document::PageWriter;

/// The rows of the first table below a title, by their cells.
pub(super) fn table_below<'p>(page: &'p str, title: &str) -> Vec<Vec<&'p str>> {
    let section = page.split(&format!("\n## {title}\n")).nth(1);
    let section = section.unwrap_or_default().split("\n## ").next();
    let lines = section.unwrap_or_default().lines();
    let rows = lines.skip_while(|line| !line.starts_with('|'));
    let rows = rows.take_while(|line| line.starts_with('|'));
    // The first two are the head.
    rows.skip(2).map(cells).collect()
}

fn cells(row: &str) -> Vec<&str> {
    let row = row.trim().trim_start_matches('|').trim_end_matches('|');
    row.split(" | ").map(str::trim).collect()
}

/// Writes a page, but for its title.
pub(super) fn write(page: &str, document: &mut PageWriter) {
    let mut lines = page.lines().skip(1).peekable();
    while let Some(line) = lines.next() {
        if line.trim().is_empty() {
            continue;
        }
        if line.starts_with("```") {
            let code: Vec<&str> = lines
                .by_ref()
                .take_while(|line| !line.starts_with("```"))
                .collect();
            document.verbatim(code.into_iter());
        } else if let Some(title) = line.strip_prefix("#### ") {
            document.part(&title.replace('`', ""));
        } else if let Some(title) = line.strip_prefix("### ") {
            document.section(&format!("[{}]", title.trim_matches('`')));
        } else if let Some(title) = line.strip_prefix("## ") {
            document.section(&title.to_uppercase());
        } else if line.starts_with('|') {
            // The line of dashes.
            lines.next();
            let head = cells(line);
            while let Some(row) = lines.next_if(|line| line.starts_with('|')) {
                write_row(&head, &cells(row), document);
            }
        } else {
            let (is_item, begin) = match line.strip_prefix("- ") {
                Some(item) => (true, item),
                None => (false, line),
            };
            let mut text = begin.trim().to_owned();
            let goes_on = |line: &&str| {
                !line.trim().is_empty()
                    && !line.starts_with(['|', '#'])
                    && !line.starts_with("- ")
                    && !line.starts_with("```")
            };
            while let Some(line) = lines.next_if(goes_on) {
                text.push(' ');
                text += line.trim();
            }
            if is_item {
                document.item(&text);
            } else {
                document.paragraph(&text);
            }
        }
    }
}

/// Writes a row as a term: what a column called `meaning` says first, the others with their titles.
fn write_row(head: &[&str], row: &[&str], document: &mut PageWriter) {
    let Some((term, rest)) = row.split_first() else {
        return;
    };
    let columns: Vec<(&str, &str)> = head
        .iter()
        .skip(1)
        .copied()
        .zip(rest.iter().copied())
        .collect();
    let meaning = columns.iter().find(|(title, _)| *title == "meaning");
    let (_, meaning) = meaning.copied().unwrap_or_default();
    document.term(&term.replace('`', ""), meaning);
    let others = columns
        .iter()
        .filter(|(title, text)| *title != "meaning" && !text.is_empty() && *text != "–");
    let others: Vec<String> = others
        .map(|(title, text)| format!("{title}: {text}"))
        .collect();
    if !others.is_empty() {
        document.further(&format!("({})", others.join("; ")));
    }
}
