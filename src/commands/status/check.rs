//! `--check`: the answer as an exit code.

use std::time::Duration;

use super::alarm_groups::alarm_groups;
use crate::commands::output::{answer, count};
use crate::commands::overview::Overview;
use crate::engine::SourceStatus;
use crate::error::{Error, ExitCode, in_words};
use crate::model::Line;
use crate::plan::Urgency;

/// Fails if a source is overdue.
pub(super) fn plain(overview: &Overview, max_age: Option<Duration>) -> Result<(), Error> {
    let overdue = overdue(overview, max_age);
    if overdue.is_empty() {
        return Ok(());
    }
    Err(Error::Overdue {
        sources: names(&overdue),
    })
}

fn overdue(overview: &Overview, max_age: Option<Duration>) -> Vec<&SourceStatus> {
    let sources = overview.sources.iter();
    sources
        .filter(|source| source.is_overdue(max_age, overview.at.0))
        .collect()
}

fn names(sources: &[&SourceStatus]) -> String {
    let names: Vec<&str> = sources.iter().map(|source| source.name.as_str()).collect();
    names.join(", ")
}

/// The states of a Nagios plugin: how they are called, and the exit code.
const OK: (&str, Option<ExitCode>) = ("OK", None);
const WARNING: (&str, Option<ExitCode>) = ("WARNING", Some(ExitCode::Failed));
const CRITICAL: (&str, Option<ExitCode>) = ("CRITICAL", Some(ExitCode::Usage));
const UNKNOWN: (&str, Option<ExitCode>) = ("UNKNOWN", Some(ExitCode::Busy));

/// Prints one line, and ends with the exit code that Nagios takes.
pub(super) fn nagios(
    overview: Result<Overview, Error>,
    max_age: Option<Duration>,
) -> Result<(), Error> {
    let ((word, code), text) = match overview {
        Err(error) => (UNKNOWN, in_words(&error)),
        Ok(overview) => judged(&overview, max_age),
    };
    // A bar would begin the performance data.
    let text = text.replace('|', "/");
    answer(&format!("COLDCHAIN {word} - {}\n", Line(text)))?;
    code.map_or(Ok(()), |code| Err(Error::Answered(code)))
}

fn judged(
    overview: &Overview,
    max_age: Option<Duration>,
) -> ((&'static str, Option<ExitCode>), String) {
    if let Some(why) = &overview.unread {
        return (UNKNOWN, format!("the records of runs can't be read: {why}"));
    }
    let overdue = overdue(overview, max_age);
    let mut alarms = alarm_groups(&overview.sources);
    // With an age of its own, being late is judged by that alone.
    alarms.retain(|group| max_age.is_none() || !group.alarm.kind.is_late());
    let mut texts: Vec<String> = alarms
        .iter()
        .map(|group| format!("{}: {}", group.names(), group.alarm.text))
        .collect();
    if max_age.is_some() && !overdue.is_empty() {
        texts.insert(0, format!("overdue: {}", names(&overdue)));
    }
    let mut urgencies = alarms.iter().map(|group| group.alarm.kind.urgency());
    let is_critical = !overdue.is_empty() || urgencies.any(|it| it == Urgency::Critical);
    let state = match (is_critical, texts.is_empty()) {
        (true, _) => CRITICAL,
        (false, false) => WARNING,
        (false, true) => OK,
    };
    if texts.is_empty() {
        let sources = count(overview.sources.len() as u64, "source");
        return (state, format!("{sources} in order"));
    }
    (state, texts.join("; "))
}
