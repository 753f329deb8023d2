//! A run that has begun.

use std::fs;

use serde::{Deserialize, Serialize};

use crate::model::SourceName;
use crate::model::entry::Timestamp;

/// A run that begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewRun {
    /// A random id.
    pub id: String,
    /// Its command.
    pub command: String,
    /// The source that was asked for; `None` for all.
    pub asked: Option<SourceName>,
    /// When it began.
    pub begun_at: Timestamp,
    /// Who runs it.
    pub process: RunningProcess,
}

/// A process, so that another with the same number is not taken for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningProcess {
    number: u32,
    /// When it was started, as `/proc` has it.
    started: u64,
    /// The start of the system.
    boot: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RunningRun {
    pub(super) new: NewRun,
    /// The sources that have no end of their own yet; `None` until they are known.
    pub(super) sources: Option<Vec<SourceName>>,
}

impl RunningRun {
    pub(super) fn new(new: NewRun) -> Self {
        Self { new, sources: None }
    }

    /// Returns whether it is of all sources, and none of them is known yet.
    pub(super) fn is_of_all(&self) -> bool {
        self.sources.is_none() && self.new.asked.is_none()
    }
}

impl RunningProcess {
    /// Returns this process.
    pub fn this() -> Self {
        let number = std::process::id();
        Self {
            number,
            started: started(number).unwrap_or_default(),
            boot: boot().unwrap_or_default(),
        }
    }

    /// Returns whether it still runs. Where `/proc` can't be read, it counts as running.
    pub fn is_alive(&self) -> bool {
        match boot() {
            Some(boot) if boot == self.boot => started(self.number) == Some(self.started),
            Some(_) => false,
            None => true,
        }
    }
}

fn boot() -> Option<String> {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned())
}

/// Returns when a process was started, in ticks since the start of the system.
fn started(process: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The program's name may have anything in it, also spaces and brackets. After it, the state is field 3.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let is_gone = matches!(fields.next(), Some("Z" | "X") | None);
    let started = fields.nth(18)?.parse().ok()?;
    (!is_gone).then_some(started)
}
