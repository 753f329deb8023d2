//! The metrics for Prometheus: a text file for `node_exporter`'s textfile collector.
//!
//! All are gauges in base units. Moments are Unix times, so that an alert can compare them with `time()` also when no run
//! has written the file for days.

mod families;
mod file;
mod of_source;

pub(in crate::commands) use file::{write, write_without_sources};

use families::Families;

use super::overview::Overview;
use crate::model::SourceName;
use crate::run_records::{EndedRun, RunRecords};

/// The exit code that stands for a run that was killed: no command ends with it.
const KILLED: f64 = 255.0;

/// Returns the text of the file.
fn text(overview: &Overview) -> String {
    let mut families = Families::default();
    families.add(
        "coldchain_info",
        &[("version", env!("CARGO_PKG_VERSION"))],
        1.0,
    );
    let now = seconds(overview.at.0.timestamp());
    families.add("coldchain_written_timestamp_seconds", &[], now);
    families.add("coldchain_config_valid", &[], 1.0);
    let readable = f64::from(u8::from(overview.unread.is_none()));
    families.add("coldchain_run_records_readable", &[], readable);
    let names: Vec<&SourceName> = overview.sources.iter().map(|source| &source.name).collect();
    add_runs(&mut families, &overview.records, &names);
    for source in &overview.sources {
        of_source::add(&mut families, source, overview.at);
    }
    families.text()
}

/// Returns the text of the file after a run that could not read the config or the catalog.
fn text_without_sources(records: &RunRecords, is_valid: bool, at: i64) -> String {
    let mut families = Families::default();
    families.add(
        "coldchain_info",
        &[("version", env!("CARGO_PKG_VERSION"))],
        1.0,
    );
    families.add("coldchain_written_timestamp_seconds", &[], seconds(at));
    families.add("coldchain_config_valid", &[], f64::from(u8::from(is_valid)));
    add_runs(&mut families, records, &[]);
    families.text()
}

/// Adds how runs have ended. The whole of a command has no source.
fn add_runs(families: &mut Families, records: &RunRecords, sources: &[&SourceName]) {
    for command in records.commands() {
        if let Some(run) = records.last_of_command(command) {
            add_run(
                families,
                run,
                &[("command", command)],
                run.succeeded_at.map(|at| at.0.timestamp()),
            );
        }
        for source in sources {
            if let Some(run) = records.last_of_source(command, source) {
                let succeeded = records.last_success(command, source);
                let labels = [("command", command), ("source", source.as_str())];
                add_run(families, run, &labels, succeeded.map(|at| at.0.timestamp()));
            }
        }
        let running = records.running_since(command);
        let since = running.map_or(0.0, |at| seconds(at.0.timestamp()));
        families.add(
            "coldchain_run_running_since_timestamp_seconds",
            &[("command", command)],
            since,
        );
    }
}

fn add_run(
    families: &mut Families,
    run: &EndedRun,
    labels: &[(&str, &str)],
    succeeded: Option<i64>,
) {
    let is_whole = labels.len() == 1;
    let mut add = |name: &str, value: f64| {
        let prefix = if is_whole {
            "coldchain_command"
        } else {
            "coldchain_run"
        };
        families.add(&format!("{prefix}_last_{name}"), labels, value);
    };
    add("exit_code", run.end.exit_code.map_or(KILLED, f64::from));
    add(
        "begin_timestamp_seconds",
        seconds(run.begun_at.0.timestamp()),
    );
    add("end_timestamp_seconds", seconds(run.ended_at.0.timestamp()));
    add("duration_seconds", number(run.end.seconds));
    // 0 says that it never went well: an age that an alert computes from it is large.
    add("success_timestamp_seconds", succeeded.map_or(0.0, seconds));
}

/// A moment or a span in seconds.
#[allow(
    clippy::cast_precision_loss,
    reason = "Prometheus has no other numbers"
)]
fn seconds(seconds: i64) -> f64 {
    seconds as f64
}

/// A count or a size.
#[allow(
    clippy::cast_precision_loss,
    reason = "Prometheus has no other numbers"
)]
fn number(number: u64) -> f64 {
    number as f64
}
