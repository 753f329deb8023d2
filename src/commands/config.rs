//! `coldchain config`: whether the file has a fault, what it amounts to, and what it may have.

use serde_json::{Value, json};

use super::doctor::warnings_of_secrets;
use super::output::{answer, answer_json, count};
use super::plan::standing_warnings;
use crate::cli::{ConfigCommand, Everywhere};
use crate::config::{Config, Setting, SettingsTable, ValueOrigin, in_toml, schema, settings};
use crate::error::Error;
use crate::printing::{shown, warn};

pub(super) fn run(command: &ConfigCommand, everywhere: &Everywhere) -> Result<(), Error> {
    match command {
        ConfigCommand::Check => check(everywhere),
        ConfigCommand::Show => show(everywhere),
        ConfigCommand::Schema => answer_json(&schema()),
    }
}

/// Reads the file alone: a fault of the state directory is none of the config's.
fn load(everywhere: &Everywhere) -> Result<(Config, String), Error> {
    let (mut config, text) = Config::load_with_text(&everywhere.config())?;
    if let Some(state_dir) = &everywhere.state_dir {
        config.state_dir.clone_from(state_dir);
    }
    Ok((config, text))
}

fn check(everywhere: &Everywhere) -> Result<(), Error> {
    let config = load(everywhere)?.0.with_sources()?;
    if config.archived().next().is_some() {
        crate::seal::Recipients::parse(config.recipients()?)?;
    }
    let mut warnings = standing_warnings(&config);
    warnings.extend(warnings_of_secrets(&config));
    if everywhere.json {
        return answer_json(&json!({
            "path": shown(&config.path),
            "sources": config.sources.len(),
            "mirrors": config.mirrors.len(),
            "stores": config.stores.len(),
            "warnings": warnings,
        }));
    }
    let counted = [
        (config.sources.len(), "source"),
        (config.mirrors.len(), "mirror"),
        (config.stores.len(), "store"),
    ];
    let counted: Vec<String> = counted
        .into_iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, noun)| count(u64::try_from(number).unwrap_or(u64::MAX), noun))
        .collect();
    if !everywhere.quiet {
        warnings.iter().for_each(warn);
    }
    answer(&format!(
        "{}: no fault found: {}\n",
        config.path.display(),
        counted.join(", ")
    ))
}

fn show(everywhere: &Everywhere) -> Result<(), Error> {
    let (config, text) = load(everywhere)?;
    let tables = settings(&config, &text, everywhere.state_dir_origin());
    if everywhere.json {
        let tables: Vec<Value> = tables.iter().map(to_json).collect();
        return answer_json(&json!({"path": shown(&config.path), "tables": tables}));
    }
    let mut lines = vec![format!("# {}", config.path.display())];
    for table in &tables {
        if !table.header.is_empty() {
            lines.push(String::new());
            lines.push(table.header.clone());
        }
        let assignments: Vec<String> = table
            .settings
            .iter()
            .map(|it| format!("{} = {}", it.key, in_toml(&it.value)))
            .collect();
        let width = column(&assignments);
        for (assignment, setting) in assignments.iter().zip(&table.settings) {
            lines.push(format!("{assignment:width$}  # {}", origin(setting)));
        }
    }
    lines.push(String::new());
    answer(&lines.join("\n"))
}

/// The column of the comments: long values do not move those of the short ones.
fn column(assignments: &[String]) -> usize {
    const WIDEST: usize = 46;
    let lengths = assignments.iter().map(|it| it.chars().count());
    lengths
        .filter(|length| *length <= WIDEST)
        .max()
        .unwrap_or(0)
}

fn origin(setting: &Setting) -> String {
    match setting.origin {
        ValueOrigin::File(line) => format!("line {line}"),
        ValueOrigin::AllSources(line) => format!("line {line}, for all sources"),
        ValueOrigin::Replaced(by) => by.to_owned(),
        ValueOrigin::Machine => "this machine".to_owned(),
        ValueOrigin::Default => "default".to_owned(),
    }
}

fn to_json(table: &SettingsTable) -> Value {
    let settings = table.settings.iter().map(|it| {
        json!({
            "key": it.key,
            "value": it.value,
            "origin": it.origin.as_str(),
            "line": it.origin.line(),
        })
    });
    json!({"table": table.header, "settings": settings.collect::<Vec<_>>()})
}
