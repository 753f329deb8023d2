//! `coldchain catalog check`: compare the catalog with its stores, and change nothing.

use serde_json::{Value, json};

use super::{identity_file, trusted};
use crate::cli::{CatalogCheck, Everywhere};
use crate::commands::output::observer;
use crate::commands::output::{answer_json, answer_lines, count};
use crate::commands::{load_to_read, require_catalog, sources};
use crate::engine::{CheckedCatalog, Difference, OpenSource, RunContext, StateDir, check};
use crate::error::{Error, VerifyError};
use crate::model::SourceName;
use crate::seal::SealError;

pub(in crate::commands) fn run(args: &CatalogCheck, everywhere: &Everywhere) -> Result<(), Error> {
    let config = load_to_read(everywhere)?;
    let state_dir = StateDir::new(&config.state_dir);
    let chosen = sources(&config, args.source.name())?;
    require_catalog(&config, &chosen)?;
    // This command opens no archive. If no passphrase can be asked for, `root.pub` alone decides whom to
    // trust.
    let file = match identity_file(&args.trust) {
        Err(Error::Seal(SealError::PassphraseUnavailable { .. })) => None,
        file => file?,
    };
    let trusted = trusted(&args.trust, file.as_ref(), &state_dir)?;
    let catalog = state_dir.catalog_to_read()?;
    let observer = observer(everywhere);
    let context = RunContext::real(observer.as_ref());
    let faults = catalog.faults()?;
    let mut all: Vec<(SourceName, CheckedCatalog)> = Vec::new();
    for source in chosen {
        let Some(row) = catalog.source(&source.name)? else {
            let checked = CheckedCatalog {
                remarks: vec!["nothing is archived yet".to_owned()],
                ..CheckedCatalog::default()
            };
            all.push((source.name.clone(), checked));
            continue;
        };
        let open = OpenSource {
            config: source,
            row,
            store: context.open(config.store_of(source)?)?,
        };
        let checked = check(&open, &trusted, &catalog, context)?;
        all.push((source.name.clone(), checked));
    }
    let differences = all
        .iter()
        .map(|(_, checked)| checked.differences.len())
        .sum::<usize>()
        + faults.len();
    if everywhere.json {
        answer_json(&to_json(&faults, &all))?;
    } else if !everywhere.quiet || differences > 0 {
        answer_lines(to_lines(&faults, &all))?;
    }
    match differences {
        0 => Ok(()),
        differences => Err(VerifyError::CatalogDiffers(differences).into()),
    }
}

fn to_lines(faults: &[String], all: &[(SourceName, CheckedCatalog)]) -> Vec<String> {
    let mut lines: Vec<String> = faults
        .iter()
        .map(|fault| format!("the catalog's file is damaged: {fault}"))
        .collect();
    for (name, checked) in all {
        lines.extend(
            checked
                .differences
                .iter()
                .map(|difference| format!("{name}: {}", difference.what)),
        );
        lines.extend(
            checked
                .remarks
                .iter()
                .map(|remark| format!("{name}: {remark}")),
        );
        if checked.differences.is_empty() && checked.entries > 0 {
            let entries = match checked.entries {
                1 => "1 entry".to_owned(),
                n => format!("{n} entries"),
            };
            lines.push(format!(
                "{name}: {entries}, {}: catalog, ledger and store agree",
                count(checked.archives, "archive")
            ));
        }
    }
    lines
}

fn to_json(faults: &[String], all: &[(SourceName, CheckedCatalog)]) -> Value {
    let told = |difference: &Difference| json!({"kind": difference.kind, "what": difference.what});
    let sources: Vec<Value> = all
        .iter()
        .map(|(name, checked)| {
            let differences: Vec<Value> = checked.differences.iter().map(told).collect();
            json!({
                "name": name, "entries": checked.entries, "archives": checked.archives,
                "differences": differences, "remarks": checked.remarks,
            })
        })
        .collect();
    json!({"faults": faults, "sources": sources})
}
