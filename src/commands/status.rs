//! `coldchain status`: how the sources stand, without asking a store.

pub(super) mod alarm_groups;
mod block;
mod check;
pub(super) mod json;
pub(super) mod table;
mod test_messages;

use super::age::ago;
use super::output::{answer, answer_json, stdout_columns};
use super::overview::{Overview, gather};
use super::{load_any, require_catalog};
use crate::cli::{CheckStyle, Everywhere, Status};
use crate::config::Source;
use crate::engine::{StateDir, adopt_name};
use crate::error::Error;
use crate::model::entry::Timestamp;

pub(super) fn run(args: &Status, everywhere: &Everywhere) -> Result<(), Error> {
    if args.test_messages {
        return test_messages::send(&load_any(everywhere)?);
    }
    if args.check == Some(CheckStyle::Nagios) {
        return check::nagios(overview(args, everywhere), args.max_age);
    }
    let overview = overview(args, everywhere)?;
    if let Some(file) = &args.metrics {
        super::metrics::write(file, &overview)
            .map_err(|error| Error::file("write the metrics to", file, error))?;
    }
    if everywhere.json {
        answer_json(&json::document(&overview))?;
    } else if !(args.check.is_some() && everywhere.quiet) {
        let columns = stdout_columns();
        answer(&match &overview.sources[..] {
            [source] => block::in_words(source, &overview, columns),
            _ => table::in_words(&overview, columns),
        })?;
    }
    match args.check {
        Some(_) => check::plain(&overview, args.max_age),
        None => Ok(()),
    }
}

fn overview(args: &Status, everywhere: &Everywhere) -> Result<Overview, Error> {
    let config = load_any(everywhere)?.with_sources()?;
    let chosen: Vec<&Source> = match args.source.name() {
        Some(name) => vec![config.source(name)?],
        None => config.sources.iter().collect(),
    };
    let mut catalog = StateDir::new(&config.state_dir).catalog_to_read()?;
    for source in &chosen {
        // Another run may hold the lock, and renames it itself.
        let _ = adopt_name(&config, source, &mut catalog);
    }
    require_catalog(&config, &chosen)?;
    gather(&config, &chosen, &catalog)
}

/// Returns `never`, or how long ago that was.
fn ago_or_never(at: Option<Timestamp>, now: Timestamp) -> String {
    at.map_or_else(|| "never".to_owned(), |at| ago(at, now.0))
}

/// Returns how long ago a date was, in days.
fn days_ago(date: chrono::NaiveDate, now: Timestamp) -> i64 {
    (now.0.date_naive() - date).num_days()
}
