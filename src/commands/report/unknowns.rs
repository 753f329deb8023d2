//! What a report can't know, in words: it asks no store and no mirror.

use super::facts::{ReportFacts, SourceView};
use crate::plan::PlaceCost;

/// Returns what this machine does not know, a sentence each.
pub(super) fn unknowns(facts: &ReportFacts<'_>) -> Vec<String> {
    let mut unknowns = vec![
        "No store and no mirror was asked: what other machines did there is known as of the last run here.".to_owned(),
    ];
    if let Some(why) = &facts.overview.unread {
        unknowns.push(format!("The records of runs can't be read: {why}"));
    }
    for store in facts.costs.without_prices() {
        unknowns.push(format!(
            "The prices of {store} are not known, unless [prices] in the config gives them."
        ));
    }
    for source in facts.views() {
        let name = &source.status.name;
        let of_source = of_source(&source);
        unknowns.extend(of_source.into_iter().map(|text| format!("{name}: {text}")));
    }
    unknowns
}

fn of_source(source: &SourceView<'_>) -> Vec<String> {
    let mut unknowns = Vec::new();
    let status = source.status;
    if !source.is_in_config {
        unknowns.push(
            "the config does not name it, so what is due and when its chains expire is not known"
                .to_owned(),
        );
    }
    if let Some(Err(why)) = &status.tonight {
        unknowns.push(format!("what tonight does can't be said: {why}"));
    }
    for mirror in &status.mirrors {
        if mirror.behind().is_none() {
            unknowns.push(format!(
                "{} gets the copies of another mirror, so by how much it is behind is not known here",
                mirror.to
            ));
        }
    }
    let Some(costs) = source.costs.filter(|costs| !costs.places.is_empty()) else {
        return unknowns;
    };
    if let (Err(reason), true) = (&costs.forecast, source.is_in_config) {
        unknowns.push(format!("no forecast of costs: {}", reason.in_words()));
    }
    let in_one_place = |place: &PlaceCost| place.kept.is_empty();
    if costs.places.iter().all(in_one_place) {
        unknowns.push("what lies in its places is not known".to_owned());
    }
    unknowns
}
