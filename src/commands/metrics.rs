//! The metrics for Prometheus: a text file for node_exporter's textfile collector.
//!
//! All are gauges in base units. Moments are Unix times, so that an alert can compare them with `time()` also when no run
//! has written the file for days.

mod families;
mod file;

pub(in crate::commands) use file::{write, write_without_sources};

use families::Families;

use super::overview::Overview;
use crate::engine::SourceStatus;
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
        add_source(&mut families, source, overview);
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

fn add_source(families: &mut Families, source: &SourceStatus, overview: &Overview) {
    let name = source.name.as_str();
    let labels = [("source", name)];
    let mut add = |metric: &str, value: f64| {
        families.add(&format!("coldchain_source_{metric}"), &labels, value);
    };
    let midnight = |date: chrono::NaiveDate| {
        seconds(date.and_time(chrono::NaiveTime::MIN).and_utc().timestamp())
    };
    if source.store.is_some() {
        add("archives", number(source.archives.len() as u64));
        add("stored_bytes", number(source.sealed_bytes()));
        // 0 says that there is none.
        let newest = source.newest();
        add(
            "newest_archive_timestamp_seconds",
            newest.map_or(0.0, |it| midnight(it.date)),
        );
        if let Some(newest) = newest {
            let age = overview.at.0.timestamp()
                - newest
                    .date
                    .and_time(chrono::NaiveTime::MIN)
                    .and_utc()
                    .timestamp();
            add("newest_archive_age_seconds", seconds(age));
            add("newest_archive_bytes", number(newest.raw_bytes));
        }
        if let Some(usual) = crate::plan::usual_bytes(&source.archives) {
            add("usual_archive_bytes", number(usual));
        }
        if let Some(files) = newest.and_then(|it| it.files) {
            add("newest_archive_files", number(files));
        }
        add(
            "overdue",
            f64::from(u8::from(source.is_overdue(None, overview.at.0))),
        );
        let verified = source.checked.verified.map_or(0, |at| at.timestamp());
        add("last_verify_timestamp_seconds", seconds(verified));
        let drilled = source.checked.drilled.map_or(0, |at| at.timestamp());
        add("last_drill_timestamp_seconds", seconds(drilled));
        add(
            "unfinished_archives",
            number(source.unfinished.len() as u64),
        );
        add("thawing_segments", number(source.thaws.waiting));
        add("thawed_segments", number(source.thaws.readable));
    }
    if let Some(due) = &source.due {
        add("missed_slots", number(due.missed.len() as u64));
        add("next_slot_timestamp_seconds", midnight(due.next));
        if let Some(from) = due.overdue_from {
            add("overdue_from_timestamp_seconds", midnight(from));
        }
    }
    if let Some(chain) = source.chain {
        add("chain_archives", number(chain.incrementals as u64 + 1));
    }
    if let Some(pulled) = source.pulled {
        add(
            "last_pull_timestamp_seconds",
            pulled.map_or(0.0, |at| seconds(at.0.timestamp())),
        );
    }
    add("alarms", number(source.alarms.len() as u64));
    for alarm in &source.alarms {
        let labels = [
            ("source", name),
            ("kind", alarm.kind.as_str()),
            ("subject", &alarm.subject),
            ("urgency", alarm.kind.urgency().as_str()),
        ];
        families.add("coldchain_source_alarm", &labels, 1.0);
    }
    for mirror in &source.mirrors {
        let to = mirror.to.to_string();
        let labels = [("source", name), ("mirror", to.as_str())];
        let reached = mirror
            .reached_at
            .map_or(0.0, |at| seconds(at.0.timestamp()));
        families.add(
            "coldchain_mirror_complete_timestamp_seconds",
            &labels,
            reached,
        );
        if let Some(behind) = mirror.behind() {
            families.add(
                "coldchain_mirror_behind_dates",
                &labels,
                number(behind as u64),
            );
        }
    }
    for copy in &source.copies {
        let labels = [("source", name), ("place", copy.name.as_str())];
        let reached = copy
            .reached_at()
            .map_or(0.0, |at| seconds(at.0.timestamp()));
        families.add(
            "coldchain_copy_complete_timestamp_seconds",
            &labels,
            reached,
        );
        families.add(
            "coldchain_copy_lacking_archives",
            &labels,
            number(copy.lacks.len() as u64),
        );
    }
    for place in &source.costs {
        let labels = [("source", name), ("place", place.name.as_str())];
        if let Some(usd) = place.usd_a_month() {
            families.add(
                "coldchain_place_cost_usd_per_month",
                &labels,
                usd.as_number(),
            );
        }
        let mut classes = std::collections::BTreeMap::new();
        for kept in &place.kept {
            *classes.entry(kept.kept.class.as_str()).or_insert(0_u64) += kept.kept.bytes;
        }
        for (class, bytes) in classes {
            let labels = [
                ("source", name),
                ("place", place.name.as_str()),
                ("class", class),
            ];
            families.add("coldchain_place_stored_bytes", &labels, number(bytes));
        }
    }
}

/// A moment or a span in seconds.
fn seconds(seconds: i64) -> f64 {
    i32::try_from(seconds).map_or_else(
        |_| large(seconds.unsigned_abs()) * seconds.signum() as f64,
        f64::from,
    )
}

/// A count or a size.
fn number(number: u64) -> f64 {
    u32::try_from(number).map_or_else(|_| large(number), f64::from)
}

#[allow(
    clippy::cast_precision_loss,
    reason = "Prometheus has no other numbers"
)]
fn large(number: u64) -> f64 {
    number as f64
}
