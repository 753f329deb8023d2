//! The crates that are linked: from the registry alone, and under the licences that `deny.toml` allows.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use serde_json::Value;

use super::root;

fn allowed() -> BTreeSet<String> {
    let text = fs::read_to_string(root().join("deny.toml")).unwrap();
    let deny: toml::Table = text.parse().unwrap();
    let allow = deny["licenses"]["allow"].as_array().unwrap();
    allow
        .iter()
        .map(|name| name.as_str().unwrap().to_owned())
        .collect()
}

/// Whether a licence expression can be met with those that are allowed: `A OR B`, `(A OR B) AND C`, and `A/B` of old.
fn is_allowed(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let expression = expression.replace('/', " OR ");
    expression.split(" AND ").all(|part| {
        let part = part.trim_matches(['(', ')', ' ']);
        part.split(" OR ").any(|name| allowed.contains(name.trim()))
    })
}

#[test]
fn dependencies_come_from_the_registry_under_allowed_licences() {
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--locked", "--offline", "--format-version=1"])
        .args(["--filter-platform", &target])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let allowed = allowed();
    let (mut packages, mut wrong, mut sources) = (0, Vec::new(), BTreeSet::new());
    for package in metadata["packages"].as_array().unwrap() {
        if package["name"] == env!("CARGO_PKG_NAME") {
            continue;
        }
        packages += 1;
        sources.insert(package["source"].as_str().unwrap_or("a path"));
        let licence = package["license"].as_str().unwrap_or("none");
        if !is_allowed(licence, &allowed) {
            wrong.push(format!("{}: {licence}", package["name"]));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(packages > 200, "{packages}");
    let [source] = sources.iter().collect::<Vec<_>>()[..] else {
        panic!("{sources:?}");
    };
    assert!(source.starts_with("registry+"), "{source}");
}

#[test]
fn an_expression_is_met_by_one_of_its_alternatives_in_each_part() {
    let allowed = BTreeSet::from(["MIT".to_owned(), "Unicode-3.0".to_owned()]);
    for (expression, expected) in [
        ("MIT", true),
        ("Apache-2.0 OR MIT", true),
        ("Apache-2.0/MIT", true),
        ("(MIT OR Apache-2.0) AND Unicode-3.0", true),
        ("MIT AND GPL-3.0-only", false),
        ("Apache-2.0 WITH LLVM-exception", false),
        ("none", false),
    ] {
        assert_eq!(is_allowed(expression, &allowed), expected, "{expression}");
    }
}
