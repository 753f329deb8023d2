//! The report as a page of HTML: one file without a script that loads nothing.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::facts::{ReportFacts, SourceView};
use super::html::Html;
use super::limits::DrawLimits;
use super::section;
use super::unknowns::unknowns;
use crate::commands::cost::answer::NOT_INCLUDED;
use crate::commands::cost::report::overview;
use crate::commands::cost::table::TextTable;
use crate::commands::output::count;
use crate::commands::status::alarm_groups::alarm_groups;
use crate::commands::status::table::{NONE, next, waiting};
use crate::config::FOLLOWED;
use crate::model::Sha256;
use crate::model::size::Bytes;
use crate::plan::Urgency;

/// The style sheet. It has no `<` and no `&`, which would have to be escaped in XML.
const STYLE: &str = include_str!("style.css");

pub(super) fn to_html(facts: &ReportFacts<'_>) -> String {
    let mut html = Html::default();
    html.element("html", &[("lang", &"en")], |html| {
        html.line();
        html.element("head", &[], |html| head(html, facts));
        html.line();
        html.element("body", &[], |html| body(html, facts));
    });
    html.into_page()
}

fn head(html: &mut Html, facts: &ReportFacts<'_>) {
    html.void("meta", &[("charset", &"utf-8")]);
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; base-uri 'none'; form-action 'none'",
        BASE64.encode(Sha256::of(STYLE.as_bytes()).0)
    );
    let policy_name = "Content-Security-Policy";
    html.line();
    html.void(
        "meta",
        &[("http-equiv", &policy_name), ("content", &policy)],
    );
    for (name, content) in [
        ("viewport", "width=device-width, initial-scale=1"),
        ("color-scheme", "light dark"),
        ("referrer", "no-referrer"),
        (
            "generator",
            concat!("coldchain ", env!("CARGO_PKG_VERSION")),
        ),
    ] {
        html.line();
        html.void("meta", &[("name", &name), ("content", &content)]);
    }
    html.line();
    let title = format!("coldchain report: {}", facts.overview.host);
    html.text("title", &[], title);
    html.line();
    html.style(STYLE);
}

fn body(html: &mut Html, facts: &ReportFacts<'_>) {
    let skip = "Skip to the report";
    html.text("a", &[("class", &"skip"), ("href", &"#report")], skip);
    html.line();
    html.element("header", &[], |html| {
        html.text("h1", &[], "coldchain report");
        let of = format!(
            "{}, {}, {}",
            facts.overview.host,
            facts.overview.at,
            count(facts.sources.len() as u64, "source")
        );
        html.text("p", &[], of);
    });
    html.line();
    html.element("main", &[("id", &"report"), ("tabindex", &"-1")], |html| {
        part(html, "alarms", "Alarms", |html| alarms(html, facts));
        part(html, "sources", "Sources", |html| sources(html, facts));
        let limits = DrawLimits::of(facts.sources.len());
        for (at, view) in facts.views().enumerate() {
            section::write(html, (at, &view), facts, limits);
        }
        if !facts.costs.has_no_archive() {
            part(html, "costs", "Costs of all sources", |html| {
                costs(html, facts);
            });
        }
        part(html, "runs", "Last runs", |html| runs(html, facts));
        part(html, "unknown", "What this report does not know", |html| {
            html.element("ul", &[("class", &"unknown")], |html| {
                for unknown in unknowns(facts) {
                    html.line();
                    html.prose("li", &[], &unknown);
                }
            });
        });
    });
    html.line();
    html.element("footer", &[], |html| {
        let made = concat!("Made by coldchain ", env!("CARGO_PKG_VERSION"));
        html.prose(
            "p",
            &[],
            &format!("{made}. `coldchain report --json` has the same facts for programs."),
        );
    });
}

/// Writes a part of the page with its title.
fn part(html: &mut Html, id: &'static str, title: &'static str, inside: impl FnOnce(&mut Html)) {
    html.line();
    html.element("section", &[("aria-labelledby", &id)], |html| {
        html.text("h2", &[("id", &id)], title);
        inside(html);
    });
}

fn alarms(html: &mut Html, facts: &ReportFacts<'_>) {
    let mut groups = alarm_groups(&facts.overview.sources);
    // The sort is stable: alarms of one urgency stay in the order of the sources.
    groups.sort_by_key(|group| std::cmp::Reverse(group.alarm.kind.urgency()));
    if groups.is_empty() && facts.overview.unread.is_none() {
        html.text("p", &[("class", &"fine")], "All in order.");
        return;
    }
    html.element("ul", &[("class", &"alarms")], |html| {
        if facts.overview.unread.is_some() {
            let text = "The records of runs can't be read, so a run that failed may have no alarm.";
            alarm(html, Urgency::Critical, text);
        }
        for group in &groups {
            let text = format!("{}: {}", group.names(), group.alarm.text);
            alarm(html, group.alarm.kind.urgency(), &text);
        }
    });
}

fn alarm(html: &mut Html, urgency: Urgency, text: &str) {
    let word = match urgency {
        Urgency::Critical => "Alarm",
        Urgency::Warning => "Warning",
    };
    html.line();
    html.element("li", &[("class", &urgency.as_str())], |html| {
        html.text("strong", &[], word);
        html.prose("span", &[], text);
    });
}

/// Writes a row for each source, with a link to what is said of it.
fn sources(html: &mut Html, facts: &ReportFacts<'_>) {
    if facts.sources.is_empty() {
        html.text("p", &[], "There is none.");
        return;
    }
    html.scroll("All sources", |html| {
        html.element("table", &[], |html| {
            html.text("caption", &[], "All sources");
            html.element("thead", &[], |html| {
                html.element("tr", &[], |html| {
                    for (name, class) in HEAD {
                        html.text("th", &[("scope", &"col"), ("class", &class)], name);
                    }
                });
            });
            html.element("tbody", &[], |html| {
                for (at, view) in facts.views().enumerate() {
                    html.line();
                    html.element("tr", &[], |html| source(html, at, &view));
                }
            });
        });
    });
}

/// The names of the columns, and whether their texts stand at the right.
const HEAD: [(&str, &str); 7] = [
    ("source", "t"),
    ("newest archive", "t"),
    ("next", "t"),
    ("archives", "n"),
    ("stored", "n"),
    ("USD a month", "n"),
    ("alarms", "n"),
];

fn source(html: &mut Html, at: usize, view: &SourceView<'_>) {
    let status = view.status;
    html.element("th", &[("scope", &"row")], |html| {
        let link = format!("#{}", section::id_of(at));
        html.text("a", &[("href", &link)], &status.name);
    });
    let newest = match (status.newest(), status.newest_snapshot) {
        (Some(newest), _) => newest.date.to_string(),
        (None, Some(snapshot)) if status.store.is_none() => format!("snapshot {snapshot}"),
        (None, _) => "never".to_owned(),
    };
    html.text("td", &[], newest);
    html.text("td", &[], next(status));
    let usd = match status.usd_a_month() {
        Some(usd) => usd.to_string(),
        None if status.costs.is_empty() => NONE.to_owned(),
        None => "?".to_owned(),
    };
    let (archives, stored) = if status.archives.is_empty() {
        (NONE.to_owned(), NONE.to_owned())
    } else {
        let bytes = Bytes(status.sealed_bytes());
        (status.archives.len().to_string(), bytes.to_string())
    };
    for text in [archives, stored, usd, status.alarms.len().to_string()] {
        html.text("td", &[("class", &"n")], text);
    }
}

fn costs(html: &mut Html, facts: &ReportFacts<'_>) {
    let of = &facts.costs.prices.of;
    html.table("USD by source and place", &overview(&facts.costs));
    for (name, size) in &facts.costs.imports {
        let usd = size.usd_a_month;
        let text = format!(
            "Imported {name}: {}, {}, USD {} a month.",
            count(size.archives as u64, "archive"),
            Bytes(size.bytes),
            usd.map_or_else(|| "?".to_owned(), |usd| usd.to_string())
        );
        html.text("p", &[], text);
    }
    let note = format!("Estimates in US dollars by {of}. Each sum is rounded up to the cent.");
    html.text("p", &[("class", &"note")], note);
    html.element("details", &[], |html| {
        html.text("summary", &[], "What is not in these sums");
        html.element("ul", &[], |html| {
            for what in NOT_INCLUDED {
                html.text("li", &[], what);
            }
        });
    });
}

fn runs(html: &mut Html, facts: &ReportFacts<'_>) {
    let records = &facts.overview.records;
    for command in FOLLOWED {
        if let Some(since) = records.running_since(command) {
            let text = format!("`coldchain {command}` has been running since {since}.");
            html.prose("p", &[], &text);
        }
    }
    for view in facts.views() {
        for text in waiting(view.status) {
            html.prose("p", &[], &format!("{}: {text}", view.status.name));
        }
    }
    let mut table = TextTable::new("<<<>><");
    table.head([
        "command",
        "source",
        "ended",
        "seconds",
        "exit code",
        "result",
    ]);
    let whole = records.commands();
    let whole = whole.filter_map(|command| records.last_of_command(command));
    let of_sources = facts.views().flat_map(|view| &view.status.runs);
    let mut rows = 0;
    for run in whole.chain(of_sources) {
        let code = run.end.exit_code;
        let source = run.source.as_ref().map(ToString::to_string);
        let result = match &run.end.error {
            Some(error) => format!("{}: {error}", run.end.result),
            None => run.end.result.clone(),
        };
        table.row([
            run.command.clone(),
            source.unwrap_or_else(|| "all".to_owned()),
            run.ended_at.to_string(),
            run.end.seconds.to_string(),
            code.map_or_else(|| "killed".to_owned(), |code| code.to_string()),
            result,
        ]);
        rows += 1;
    }
    if rows == 0 {
        html.text("p", &[], "No run is recorded.");
    } else {
        html.table("The last run of each command", &table);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_style_sheet_needs_no_escapes_and_loads_nothing() {
        for refused in ["<", "&", "url(", "@import", "@font-face", "expression("] {
            assert!(!STYLE.contains(refused), "{refused}");
        }
    }
}
