//! The report as a short text: the table and the alarms of `status`, then costs and checks.

use super::check_ages::{CheckAge, check_ages};
use super::facts::ReportFacts;
use super::unknowns::unknowns;
use crate::commands::cost::report::overview;
use crate::commands::cost::table::TextTable;
use crate::commands::fold::push_folded;
use crate::commands::output::stdout_columns;
use crate::commands::status::table;
use crate::model::Line;

pub(super) fn in_words(facts: &ReportFacts<'_>) -> String {
    let columns = stdout_columns();
    let mut text = String::new();
    let head = format!("{}  {}", Line(&facts.overview.host), facts.overview.at);
    push_folded(&mut text, &head, 2, columns);
    text.push('\n');
    text += &table::in_words(&facts.overview, columns);
    let has_archives = !facts.costs.has_no_archive();
    if has_archives {
        text += "\ncosts in USD\n";
        text += &overview(&facts.costs).lines("  ");
        text += "\narchives by the age of their last check on any level, and of those that read every byte\n";
        text += &checks(facts).lines("  ");
    }
    text += "\nnot known\n";
    for unknown in unknowns(facts) {
        let line = format!("  {}", Line(unknown));
        push_folded(&mut text, &line, 4, columns);
    }
    text
}

/// Returns a line for each source, with how many archives have an age.
fn checks(facts: &ReportFacts<'_>) -> TextTable {
    let mut table = TextTable::new("<>>>>>>");
    for (at, view) in facts.views().enumerate() {
        let ages = check_ages(view.visible(), facts.overview.at.0);
        if at == 0 {
            let names = ages.iter().map(|age| age.age.to_owned());
            table.row(std::iter::once("source".to_owned()).chain(names));
        }
        if view.visible().next().is_none() {
            continue;
        }
        let counts = ages.iter().map(|CheckAge { archives, deep, .. }| {
            if (*archives, *deep) == (0, 0) {
                "-".to_owned()
            } else {
                format!("{archives}, {deep} deep")
            }
        });
        let name = view.status.name.to_string();
        table.row(std::iter::once(name).chain(counts));
    }
    table
}
