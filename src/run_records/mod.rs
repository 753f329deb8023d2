//! How the runs of commands have ended: for each command and source the last run and the last success.
//!
//! The records lie in a file of their own in the state directory, `runs.json`, so that a run that can't open the
//! catalog is recorded too. They never decide how a run ends. A run is recorded when it begins. So one that was killed, or
//! that a power cut ended, is found later: it began, did not end, and its process is gone.

mod alarm;
mod cost;
mod ended;
mod file;
mod running;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

pub use alarm::RecordedAlarm;
pub use ended::{EndedRun, RunEnd};
pub use file::RunFile;
pub use running::{NewRun, RunningProcess};

use crate::model::SourceName;
use crate::model::entry::Timestamp;
use cost::CostSample;
use running::RunningRun;

/// What is recorded of runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRecords {
    /// How many ends were recorded. Ends are in this order, because clocks jump.
    #[serde(default)]
    ends: u64,
    #[serde(default)]
    running: Vec<RunningRun>,
    #[serde(default)]
    ended: Vec<EndedRun>,
    /// The alarms that were announced and have not ended.
    #[serde(default)]
    pub alarms: Vec<RecordedAlarm>,
    /// Alarms that ended, and whose end could not be sent yet.
    #[serde(default)]
    pub over: Vec<RecordedAlarm>,
    /// The commands whose last end that was told of was a failure.
    #[serde(default)]
    pub told_failed: Vec<String>,
    #[serde(default)]
    costs: Vec<CostSample>,
}

impl RunRecords {
    /// Records that a run begins.
    pub fn begin(&mut self, run: NewRun) {
        self.running.push(RunningRun::new(run));
    }

    /// Records which sources a run works on. One of them that has no end of its own when the run ends has the run's.
    pub fn covers(&mut self, id: &str, sources: &[SourceName]) {
        if let Some(run) = self.running.iter_mut().find(|run| run.new.id == id) {
            run.sources = Some(sources.to_vec());
        }
    }

    /// Records how a run has ended for one source.
    pub fn source_ended(&mut self, id: &str, source: &SourceName, at: Timestamp, end: RunEnd) {
        let Some(run) = self.running.iter_mut().find(|run| run.new.id == id) else {
            return;
        };
        if let Some(sources) = &mut run.sources {
            sources.retain(|it| it != source);
        }
        let (command, begun_at) = (run.new.command.clone(), run.new.begun_at);
        self.add(EndedRun::new(
            (command, Some(source.clone())),
            (begun_at, at),
            end,
        ));
    }

    /// Records how a run has ended.
    pub fn ended(&mut self, id: &str, at: Timestamp, end: &RunEnd) {
        let Some(place) = self.running.iter().position(|run| run.new.id == id) else {
            return;
        };
        let run = self.running.remove(place);
        self.whole_ended(run, at, end);
    }

    /// Records the end of each run whose process is gone.
    pub fn bury_dead(&mut self, at: Timestamp, is_alive: impl Fn(&RunningProcess) -> bool) {
        let runs = std::mem::take(&mut self.running);
        for run in runs {
            if is_alive(&run.new.process) {
                self.running.push(run);
            } else {
                self.whole_ended(run, at, &RunEnd::died());
            }
        }
    }

    fn whole_ended(&mut self, run: RunningRun, at: Timestamp, end: &RunEnd) {
        let is_of_all = run.is_of_all() && !end.is_success();
        let NewRun {
            command,
            asked,
            begun_at,
            ..
        } = run.new;
        let times = (begun_at, at);
        // A success says nothing of a source that the run did not come to.
        let unreached = match run.sources {
            _ if end.is_success() => Vec::new(),
            Some(sources) => sources,
            None => asked.clone().into_iter().collect(),
        };
        for source in unreached {
            self.add(EndedRun::new(
                (command.clone(), Some(source)),
                times,
                end.clone(),
            ));
        }
        let mut whole = EndedRun::new((command, None), times, end.clone());
        whole.is_of_all = is_of_all;
        self.add(whole);
    }

    /// Adds an end, in the place of the one before of that command and source.
    fn add(&mut self, mut run: EndedRun) {
        self.ends += 1;
        run.number = self.ends;
        let before = self.ended.iter_mut().find(|it| it.is_of_same(&run));
        match before {
            Some(before) => {
                run.succeeded_at = run.succeeded_at.or(before.succeeded_at);
                *before = run;
            }
            None => self.ended.push(run),
        }
    }

    /// Returns how a command last ended as a whole.
    pub fn last_of_command(&self, command: &str) -> Option<&EndedRun> {
        let of_it = self.whole().filter(|run| run.command == command);
        of_it.max_by_key(|run| run.number)
    }

    /// Returns how a command last ended for a source: also if it failed before it came to any source.
    pub fn last_of_source(&self, command: &str, source: &SourceName) -> Option<&EndedRun> {
        let own = self.find(command, source);
        let of_all = self
            .whole()
            .find(|run| run.is_of_all && run.command == command);
        own.into_iter().chain(of_all).max_by_key(|run| run.number)
    }

    /// Returns when a command last ended well for a source.
    pub fn last_success(&self, command: &str, source: &SourceName) -> Option<Timestamp> {
        self.find(command, source)?.succeeded_at
    }

    /// Returns the commands that have ended at least once, in the order of their names.
    pub fn commands(&self) -> impl Iterator<Item = &str> {
        let commands: BTreeSet<&str> = self.whole().map(|run| run.command.as_str()).collect();
        commands.into_iter()
    }

    fn whole(&self) -> impl Iterator<Item = &EndedRun> {
        self.ended.iter().filter(|run| run.source.is_none())
    }

    /// Returns since when a command is running, if it is.
    pub fn running_since(&self, command: &str) -> Option<Timestamp> {
        let runs = self.running.iter();
        let of_it = runs.filter(|run| run.new.command == command);
        of_it.map(|run| run.new.begun_at).min()
    }

    /// Records what a source costs each month. Samples lie a week apart, and cover a year.
    pub fn note_cost(&mut self, source: &SourceName, on: NaiveDate, usd_micros: u64) {
        cost::note(&mut self.costs, source, on, usd_micros);
    }

    /// Returns what a source cost each month about a month before a day, in millionths of a USD.
    pub fn cost_a_month_before(&self, source: &SourceName, day: NaiveDate) -> Option<u64> {
        cost::a_month_before(&self.costs, source, day)
    }

    fn find(&self, command: &str, source: &SourceName) -> Option<&EndedRun> {
        let mut runs = self.ended.iter();
        runs.find(|run| run.command == command && run.source.as_ref() == Some(source))
    }
}
