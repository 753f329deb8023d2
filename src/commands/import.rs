//! `coldchain import`: list what another tool stored.

use serde_json::json;

use super::load_any;
use super::output::{answer_json, answer_lines, count};
use super::{activity_log, recorded};
use crate::activity_log::LogLine;
use crate::cli::{Everywhere, Import, ImportBtrsend};
use crate::engine::{RunContext, import_btrsend};
use crate::error::Error;
use crate::model::SourceName;
use crate::printing::warn;
use crate::progress::Quiet;

pub(super) fn run(command: &Import, everywhere: &Everywhere) -> Result<(), Error> {
    match command {
        Import::Btrsend(args) => of_btrsend(args, everywhere),
    }
}

fn of_btrsend(args: &ImportBtrsend, everywhere: &Everywhere) -> Result<(), Error> {
    let config = load_any(everywhere)?;
    let name: SourceName = args.name.parse()?;
    let log = activity_log(&config);
    let observer = log.beside(Box::new(Quiet));
    let context = RunContext::real(observer.as_ref());
    let imported = recorded(
        (&log, "import"),
        Some(&name),
        || import_btrsend(&config, &args.db, &args.vault, &name, context),
        |imported| LogLine::done(&name, "imported").fact("archives", imported.new.len()),
    )?;
    if everywhere.json {
        let new: Vec<_> = imported.new.iter().map(|archive| archive.date).collect();
        return answer_json(&json!({
            "imported": imported.name, "vault": imported.vault, "region": imported.region,
            "archives": imported.found, "new": new, "warnings": imported.warnings,
        }));
    }
    imported
        .warnings
        .iter()
        .for_each(|warning| warn(format!("{name}: {warning}")));
    if everywhere.quiet {
        return Ok(());
    }
    let found = count(imported.found as u64, "archive");
    let mut lines = vec![match imported.new.len() {
        0 => format!("{name}: {found}, all of them known already"),
        new => format!("{name}: {found}, {new} of them new"),
    }];
    if !imported.new.is_empty() {
        lines.push(format!(
            "{name}: none is proven before it was restored once; `coldchain restore --imported {name} --plan` says what \
             that takes"
        ));
    }
    answer_lines(lines)
}
