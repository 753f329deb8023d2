//! What there is to tell of a run that has ended: how it ended, and which alarms begin and end.

use std::fmt::Write as _;

use chrono::Utc;
use serde_json::json;

use super::{ThisRun, record, tell};
use crate::activity_log::{ActivityLog, LogLevel, LogLine};
use crate::commands::overview::{Overview, gather};
use crate::commands::{activity_log, metrics, today};
use crate::config::{Config, Source};
use crate::engine::{StateDir, host_name};
use crate::error::ExitCode;
use crate::model::SourceName;
use crate::model::entry::Timestamp;
use crate::notify::{Message, Notify, PingKind};
use crate::plan::Alarm;
use crate::printing;
use crate::run_records::{RecordedAlarm, RunEnd, RunFile, RunRecords, RunningProcess};

/// The alarms that begin and end with a run, and those of earlier runs whose message could not be sent.
#[derive(Debug, Default)]
struct AlarmNews {
    begun: Vec<RecordedAlarm>,
    over: Vec<RecordedAlarm>,
}

/// Writes the metrics and tells of the end of a run.
pub(super) fn announce(run: ThisRun, end: &RunEnd) {
    let log = run
        .config
        .as_ref()
        .map_or_else(|_| ActivityLog::none(), activity_log);
    let outputs = &run.outputs;
    let is_told = outputs.notify != Notify::default();
    if outputs.metrics.is_none() && !is_told && !log.is_kept() {
        return;
    }
    let overview = run.config.as_ref().ok().and_then(overview);
    let news = overview.as_ref();
    let news = news.map(|overview| alarm_news(&run, overview, &log));
    let news = news.unwrap_or_default();
    write_metrics(&run, overview.as_ref());
    if !is_told {
        return;
    }
    let others = others_that_failed(&run, overview.as_ref());
    let kind = match end.exit_code {
        // A run of some sources must not say that all is well while another's last run failed.
        Some(0) if !others.is_empty() => PingKind::Log,
        Some(code) => PingKind::Ended(code),
        None => PingKind::Ended(u8::MAX),
    };
    let recovered = end.is_success() && ended_badly_before(&run);
    let is_news = !end.is_success() || recovered || !news.begun.is_empty() || !news.over.is_empty();
    let message = message(&run, end, &news, &others);
    let (outputs, command) = (run.outputs.clone(), run.command);
    if tell::tell(run, kind, &message, is_news) {
        record(&outputs, |records| note_told(records, command, end));
    }
}

fn overview(config: &Config) -> Option<Overview> {
    let catalog = StateDir::new(&config.state_dir).catalog_to_read().ok()?;
    let sources: Vec<&Source> = config.sources.iter().collect();
    gather(config, &sources, &catalog).ok()
}

/// Compares the alarms with those that were announced, and records them.
fn alarm_news(run: &ThisRun, overview: &Overview, log: &ActivityLog) -> AlarmNews {
    let now = overview.at;
    let mut current: Vec<RecordedAlarm> = Vec::new();
    for source in &overview.sources {
        let alarms = source.alarms.iter();
        current.extend(alarms.map(|alarm| recorded(&source.name, alarm, now)));
    }
    let mut news = AlarmNews::default();
    let mut log_news = AlarmNews::default();
    record(&run.outputs, |records| {
        let before = std::mem::take(&mut records.alarms);
        for alarm in current {
            if let Some(known) = before.iter().find(|it| it.is_same(&alarm)) {
                records.alarms.push(RecordedAlarm {
                    since: known.since,
                    is_told: known.is_told,
                    ..alarm
                });
            } else {
                log_news.begun.push(alarm.clone());
                records.alarms.push(alarm);
            }
        }
        let lasts = |known: &RecordedAlarm| records.alarms.iter().any(|it| it.is_same(known));
        let over = before.into_iter().filter(|known| !lasts(known));
        log_news.over = over.collect();
        // What nobody heard of need not be called off.
        let told = log_news.over.iter().filter(|alarm| alarm.is_told);
        records.over.extend(told.cloned());
        let untold = records.alarms.iter().filter(|alarm| !alarm.is_told);
        news.begun = untold.cloned().collect();
        news.over.clone_from(&records.over);
        note_costs(records, run, overview);
    });
    write_log(log, &log_news);
    news
}

fn note_costs(records: &mut RunRecords, run: &ThisRun, overview: &Overview) {
    let Ok(config) = &run.config else { return };
    for source in &overview.sources {
        if let Some(usd) = source.usd_a_month() {
            records.note_cost(&source.name, today(config), usd.micros());
        }
    }
}

fn recorded(source: &SourceName, alarm: &Alarm, since: Timestamp) -> RecordedAlarm {
    RecordedAlarm {
        source: Some(source.clone()),
        kind: alarm.kind.as_str().to_owned(),
        subject: alarm.subject.clone(),
        since,
        text: alarm.text.clone(),
        is_told: false,
    }
}

fn write_log(log: &ActivityLog, news: &AlarmNews) {
    for (alarms, level, action) in [
        (&news.begun, LogLevel::Warning, "alarm"),
        (&news.over, LogLevel::Info, "alarm-over"),
    ] {
        for alarm in alarms {
            let line = LogLine::new(level, alarm.source.as_ref(), action);
            log.write(&line.fact("kind", &alarm.kind).text("text", &alarm.text));
        }
    }
}

fn write_metrics(run: &ThisRun, overview: Option<&Overview>) {
    let Some(path) = &run.outputs.metrics else {
        return;
    };
    let written = if let Some(overview) = overview {
        metrics::write(path, overview)
    } else {
        let now = Utc::now();
        let file = RunFile::new(&run.outputs.state_dir);
        let mut records = file.read().unwrap_or_default();
        records.bury_dead(Timestamp(now), RunningProcess::is_alive);
        metrics::write_without_sources(path, &records, run.config.is_ok(), now)
    };
    if let Err(error) = written {
        printing::warn(format_args!(
            "cannot write the metrics to {}: {error}; what is there is of an earlier run",
            path.display()
        ));
    }
}

/// Returns the sources that this run did not work on, and whose last run of its command failed.
fn others_that_failed(run: &ThisRun, overview: Option<&Overview>) -> Vec<SourceName> {
    let Some(overview) = overview else {
        return Vec::new();
    };
    let worked_on = |name: &SourceName| run.sources.iter().any(|(of, _)| of == name);
    let others = overview
        .sources
        .iter()
        .filter(|source| !worked_on(&source.name));
    let failed = others.filter(|source| {
        let last = source.runs.iter().find(|it| it.command == run.command);
        last.is_some_and(|last| !last.end.is_success())
    });
    failed.map(|source| source.name.clone()).collect()
}

/// Returns whether the last end of this command that was told of was a failure.
fn ended_badly_before(run: &ThisRun) -> bool {
    let records = RunFile::new(&run.outputs.state_dir)
        .read()
        .unwrap_or_default();
    records
        .told_failed
        .iter()
        .any(|command| command == run.command)
}

/// Notes that a message was sent.
fn note_told(records: &mut RunRecords, command: &str, end: &RunEnd) {
    records
        .alarms
        .iter_mut()
        .for_each(|alarm| alarm.is_told = true);
    records.over.clear();
    records.told_failed.retain(|known| known != command);
    if !end.is_success() {
        records.told_failed.push(command.to_owned());
    }
}

/// Returns the message. Without `log = true` it names no paths: neither errors nor the texts of alarms are in it.
fn message(run: &ThisRun, end: &RunEnd, news: &AlarmNews, others: &[SourceName]) -> Message {
    let host = host_name();
    let with_log = run.outputs.notify.with_log;
    let mut text = String::new();
    for (source, end) in &run.sources {
        let _ = writeln!(text, "{source}: {}", in_words(end, with_log));
    }
    let is_said = |(_, of): &(SourceName, RunEnd)| of.exit_code == end.exit_code;
    if !run.sources.iter().any(is_said) {
        let _ = writeln!(text, "the run: {}", in_words(end, with_log));
    }
    for source in others {
        let _ = writeln!(text, "{source}: not in this run, and its last one failed");
    }
    for (alarms, what) in [(&news.begun, "alarm"), (&news.over, "over")] {
        for alarm in alarms {
            let source = alarm.source.as_ref().map_or("", |source| source.as_str());
            let words = if with_log { &alarm.text } else { &alarm.kind };
            let _ = writeln!(text, "{what}: {source}: {words}");
        }
    }
    let _ = writeln!(text, "took {} s", end.seconds);
    if with_log {
        let recent = printing::recent();
        if !recent.is_empty() {
            let _ = write!(text, "\n{recent}");
        }
    }
    let (command, state) = (run.command, if end.is_success() { "ok" } else { "failed" });
    let code = end.exit_code;
    let title = match (code, news.begun.len()) {
        (Some(0), 0) => format!("{host}: coldchain {command}: done"),
        (Some(0), 1) => format!("{host}: coldchain {command}: done, 1 new alarm"),
        (Some(0), alarms) => format!("{host}: coldchain {command}: done, {alarms} new alarms"),
        (code, _) => format!("{host}: coldchain {command}: FAILED ({})", meaning(code)),
    };
    let sources = run.sources.iter();
    let sources = sources.map(|(name, end)| {
        json!({"name": name, "result": end.result, "exit_code": end.exit_code, "seconds": end.seconds})
    });
    let alarms = |alarms: &[RecordedAlarm]| -> Vec<serde_json::Value> {
        let alarms = alarms.iter();
        alarms
            .map(|alarm| json!({"source": alarm.source, "kind": alarm.kind, "since": alarm.since}))
            .collect()
    };
    Message {
        title,
        text,
        facts: json!({
            "host": host, "command": command, "run": run.id, "state": state, "result": end.result,
            "exit_code": code, "seconds": end.seconds, "sources": sources.collect::<Vec<_>>(),
            "alarms_begun": alarms(&news.begun), "alarms_over": alarms(&news.over),
        }),
    }
}

fn in_words(end: &RunEnd, with_error: bool) -> String {
    if end.is_success() {
        return end.result.clone();
    }
    let meaning = meaning(end.exit_code);
    match &end.error {
        Some(error) if with_error => format!("failed, {meaning}: {error}"),
        _ => format!("failed, {meaning}"),
    }
}

/// Returns what an exit code says.
fn meaning(code: Option<u8>) -> String {
    let Some(code) = code else {
        return "killed".to_owned();
    };
    let known = [
        (ExitCode::Failed, "a store or a program failed"),
        (ExitCode::Usage, "command line or config"),
        (ExitCode::Busy, "another run holds the lock"),
        (ExitCode::Later, "archived, but a later step failed"),
        (ExitCode::Thawing, "waits for a thaw"),
        (ExitCode::Integrity, "integrity"),
        (ExitCode::ChainBroken, "chain broken"),
        (ExitCode::Missing, "a program or privilege is missing"),
        (ExitCode::Overdue, "overdue"),
        (ExitCode::SomeSources, "some sources failed"),
        (ExitCode::Panicked, "a fault of coldchain: it panicked"),
        (ExitCode::Interrupted, "SIGINT"),
        (ExitCode::Terminated, "SIGTERM"),
    ];
    let mut known = known.iter();
    let words = known.find(|(known, _)| *known as u8 == code);
    let words = words.map_or("a fault of coldchain", |(_, words)| words);
    format!("exit code {code}: {words}")
}
