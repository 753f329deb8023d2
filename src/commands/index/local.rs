//! `coldchain index --drop` and `--rebuild`: the index on this machine.

use std::fmt::Write as _;

use serde_json::json;

use super::NO_FAILURE;
use crate::activity_log::{ActivityLog, LogLine};
use crate::catalog::Catalog;
use crate::cli::Everywhere;
use crate::commands::output::{answer, answer_json, count};
use crate::commands::recorded;
use crate::commands::run_result::run_result;
use crate::config::{Config, Source};
use crate::engine::{RunContext, drop_index, make_index_anew};
use crate::error::{Error, in_words};
use crate::seal::Identities;

/// Removes the index of each source.
pub(super) fn drop_all(
    config: &Config,
    chosen: &[&Source],
    catalog: &Catalog,
    everywhere: &Everywhere,
) -> Result<(), Error> {
    let (mut errors, mut results, mut text) = (Vec::new(), Vec::new(), String::new());
    for &source in chosen {
        match drop_index(config, source, catalog) {
            Ok(dropped) => {
                let line = if dropped {
                    "removed the index of its files; a question with --identity makes it anew"
                } else {
                    "there is no index of its files"
                };
                writeln!(text, "{}: {line}", source.name).expect(NO_FAILURE);
                results.push(json!({"source": source.name, "dropped": dropped}));
            }
            Err(error) => {
                results.push(json!({"source": source.name, "error": in_words(&error)}));
                errors.push((&source.name, error));
            }
        }
    }
    if everywhere.json {
        answer_json(&json!({ "sources": results }))?;
    } else if !everywhere.quiet {
        answer(&text)?;
    }
    run_result(errors, chosen.len(), everywhere, Ok(()))
}

/// Makes the index of each source anew.
pub(super) fn make_anew(
    (config, chosen, catalog): (&Config, &[&Source], &Catalog),
    identities: (&Identities, &str),
    (log, context): (&ActivityLog, RunContext<'_>),
    everywhere: &Everywhere,
) -> Result<(), Error> {
    let (mut errors, mut results, mut text) = (Vec::new(), Vec::new(), String::new());
    let mut stopped = Ok(());
    for &source in chosen {
        stopped = context.interrupt.check();
        if stopped.is_err() {
            break;
        }
        let made = recorded(
            (log, "index"),
            Some(&source.name),
            || make_index_anew(config, source, identities, catalog, context),
            |made| LogLine::done(&source.name, "indexed").fact("archives", made.loaded.len()),
        );
        match made {
            Ok(made) => {
                let archives = count(made.loaded.len() as u64, "archive");
                write!(text, "{}: indexed {archives} anew", source.name).expect(NO_FAILURE);
                if !made.missing.is_empty() {
                    write!(text, ", {} not indexed", made.missing.len()).expect(NO_FAILURE);
                }
                text.push('\n');
                results.push(json!({
                    "source": source.name, "indexed": made.loaded, "not_indexed": made.missing,
                }));
            }
            Err(error) => {
                results.push(json!({"source": source.name, "error": in_words(&error)}));
                errors.push((&source.name, error));
            }
        }
    }
    if everywhere.json {
        answer_json(&json!({ "sources": results }))?;
    } else if !everywhere.quiet {
        answer(&text)?;
    }
    run_result(errors, chosen.len(), everywhere, stopped)
}
