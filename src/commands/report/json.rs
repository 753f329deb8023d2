//! What other programs learn: the document of `status`, and in each source the chains of `list` and the costs of `cost`.

use serde_json::{Value, json};

use super::check_ages::{check_ages, to_json};
use super::facts::ReportFacts;
use super::unknowns::unknowns;
use crate::commands::{cost, status};

pub(super) fn document(facts: &ReportFacts<'_>) -> Value {
    let mut document = status::json::document(&facts.overview);
    let mut costs = cost::json::to_json(&facts.costs);
    let costs_of_sources = costs["sources"].take();
    if let Some(costs) = costs.as_object_mut() {
        costs.remove("sources");
    }
    let of_source = |name: &str| {
        let mut costs = costs_of_sources.as_array().into_iter().flatten();
        costs.find(|costs| costs["source"] == name).cloned()
    };
    for (at, view) in facts.views().enumerate() {
        let source = &mut document["sources"][at];
        source["in_config"] = json!(view.is_in_config);
        source["chains"] = view.listed.to_json()["chains"].take();
        source["snapshots"] = json!(view.snapshots);
        source["checks"] = to_json(&check_ages(view.visible(), facts.overview.at.0));
        source["cost"] = json!(of_source(view.status.name.as_str()));
    }
    document["cost"] = costs;
    document["unknown"] = json!(unknowns(facts));
    document
}
