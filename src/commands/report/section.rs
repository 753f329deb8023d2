//! What the page says of one source.

use super::check_ages::{check_ages, to_table};
use super::costs;
use super::facts::{ReportFacts, SourceView};
use super::growth;
use super::html::Html;
use super::limits::DrawLimits;
use super::timeline;
use super::whereabouts;
use crate::commands::age::ago;
use crate::commands::output::count;
use crate::engine::SourceStatus;
use crate::model::entry::Timestamp;
use crate::model::size::Bytes;

/// Returns what links name the section of a source by.
pub(super) fn id_of(at: usize) -> String {
    format!("source-{}", at + 1)
}

/// Writes the section of a source.
pub(super) fn write(
    html: &mut Html,
    (at, view): (usize, &SourceView<'_>),
    facts: &ReportFacts<'_>,
    limits: DrawLimits,
) {
    let id = id_of(at);
    html.line();
    let attributes: super::html::Attributes<'_> = &[("class", &"source"), ("aria-labelledby", &id)];
    html.element("section", attributes, |html| {
        html.text("h2", &[("id", &id)], &view.status.name);
        html.element("dl", &[], |html| {
            for (name, text) in in_short(view, facts.overview.at) {
                html.line();
                html.element("div", &[], |html| {
                    html.text("dt", &[], name);
                    html.prose("dd", &[], &text);
                });
            }
        });
        if view.archives().next().is_some() {
            html.text("h3", &[], "Chains and archives");
            timeline::write(html, view, facts, limits);
        }
        if view.visible().next().is_some() {
            html.text("h3", &[], "Sizes and growth");
            growth::write(html, view, limits);
        }
        html.text("h3", &[], "What is where");
        whereabouts::write(html, view, facts, limits);
        if let Some(costs) = view.costs.filter(|costs| !costs.places.is_empty()) {
            html.text("h3", &[], "Costs");
            costs::write(html, view, costs);
        }
        if view.visible().next().is_some() {
            html.text("h3", &[], "Checks");
            checks(html, view, facts.overview.at);
        }
        if let Some(costs) = view.costs.filter(|costs| !costs.restore.is_empty()) {
            html.text("h3", &[], "Restore");
            costs::write_restore(html, view, costs);
        }
    });
}

/// Returns how the source stands, as `coldchain status SOURCE` says it.
fn in_short(view: &SourceView<'_>, now: Timestamp) -> Vec<(&'static str, String)> {
    let status = view.status;
    let mut facts = Vec::new();
    let mut add = |name, text: String| facts.push((name, text));
    let Some(store) = &status.store else {
        let newest = status.newest_snapshot.map(|newest| newest.to_string());
        add("keeps", "snapshots alone, no archives".to_owned());
        add(
            "newest snapshot",
            newest.unwrap_or_else(|| "none".to_owned()),
        );
        return facts;
    };
    add("store", store.clone());
    add("newest archive", newest(status));
    if let Some(due) = &status.due {
        add("next slot", due.next.to_string());
        if !due.missed.is_empty() {
            add("missed slots", due.missed.len().to_string());
        }
        if let Some(from) = due.overdue_from {
            add("overdue from", from.to_string());
        }
    }
    match &status.tonight {
        Some(Ok(plan)) => add(
            "tonight",
            format!("{}: {}", plan.action.as_str(), plan.reason),
        ),
        Some(Err(error)) => add("tonight", format!("can't be said: {error}")),
        None => {}
    }
    if let Some(chain) = status.chain {
        let incrementals = count(chain.incrementals as u64, "incremental");
        let bytes = Bytes(chain.sealed_bytes);
        add(
            "newest chain",
            format!("full of {}, {incrementals}, {bytes}", chain.full),
        );
        let archives = count(status.archives.len() as u64, "archive");
        add(
            "stored",
            format!("{archives}, {}", Bytes(status.sealed_bytes())),
        );
    }
    if let Some(usd) = status.usd_a_month() {
        add("costs", format!("USD {usd} a month"));
    }
    if let Some(pulled) = status.pulled {
        let at = pulled
            .at
            .map_or_else(|| "never".to_owned(), |at| ago(at, now.0));
        add("pulled", at);
    }
    if let Some(moved) = &status.moved {
        add(
            "moved",
            crate::commands::list::copies::moved_in_words(moved),
        );
    }
    facts
}

fn newest(status: &SourceStatus) -> String {
    let Some(newest) = status.newest() else {
        return "never".to_owned();
    };
    let kind = if newest.is_full {
        "full"
    } else {
        "incremental"
    };
    let files = newest
        .files
        .map(|files| format!(", {}", count(files, "file")));
    format!(
        "{}, {kind}, {} raw, {} stored{}",
        newest.date,
        Bytes(newest.raw_bytes),
        Bytes(newest.sealed_bytes),
        files.unwrap_or_default()
    )
}

fn checks(html: &mut Html, view: &SourceView<'_>, now: Timestamp) {
    let status = view.status;
    let at = |at: Option<chrono::DateTime<chrono::Utc>>| match at.map(Timestamp) {
        Some(at) => format!("{} ({at})", ago(at, now.0)),
        None => "never".to_owned(),
    };
    let text = format!(
        "Last `verify`: {}. Last drill: {}.",
        at(status.checked.verified),
        at(status.checked.drilled)
    );
    html.prose("p", &[], &text);
    let caption = format!("Archives of {} by the age of their last check", status.name);
    html.table(&caption, &to_table(&check_ages(view.visible(), now.0)));
}
