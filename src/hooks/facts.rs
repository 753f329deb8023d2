//! What a hook learns of the run, as environment variables.

use std::path::PathBuf;

use chrono::NaiveDate;

use super::Hook;
use crate::model::{ArchiveId, Line, SnapshotName, SourceName};

/// The most bytes of a value. The kernel starts no program with a variable of 128 KiB.
const LONGEST: usize = 8 << 10;

/// The command whose run it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookEvent {
    /// `coldchain backup`.
    Backup,
    /// `coldchain decide`.
    Decide,
    /// `coldchain snapshot`.
    Snapshot,
    /// `coldchain pull`.
    Pull,
}

impl HookEvent {
    /// Its name in `COLDCHAIN_EVENT`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Decide => "decide",
            Self::Snapshot => "snapshot",
            Self::Pull => "pull",
        }
    }
}

/// What a hook learns.
#[derive(Debug, Clone)]
pub struct HookFacts {
    /// The command.
    pub event: HookEvent,
    /// The source.
    pub source: SourceName,
    /// The date of the run.
    pub date: NaiveDate,
    /// The config file of the run.
    pub config: PathBuf,
    /// The state directory of the run.
    pub state_dir: PathBuf,
    /// What came of the run; `None` before it.
    pub run: Option<RunFacts>,
}

/// What came of a run.
#[derive(Debug, Clone, Default)]
pub struct RunFacts {
    /// `archived`, `snapshot`, `pulled`, `nothing-due` or `failed`.
    pub result: &'static str,
    /// Why nothing was due.
    pub reason: Option<String>,
    /// The snapshot that was taken of a source without a store, or at any time.
    pub snapshot: Option<SnapshotName>,
    /// How many expired snapshots that run deleted.
    pub deleted: usize,
    /// The archives that were made.
    pub archives: Vec<ArchiveId>,
    /// Bytes of their send streams.
    pub raw_bytes: u64,
    /// Bytes of their segments as stored.
    pub sealed_bytes: u64,
    /// Bytes that this run has stored.
    pub uploaded_bytes: u64,
    /// How long the run took.
    pub seconds: u64,
    /// Why it failed, or a later step of it, or a hook.
    pub failure: Option<HookFailure>,
}

/// What went wrong in a run.
#[derive(Debug, Clone)]
pub struct HookFailure {
    /// The exit code that comes of it.
    pub exit_code: u8,
    /// The error with its causes.
    pub error: String,
    /// What to do next.
    pub hint: Option<String>,
}

impl HookFacts {
    /// The variables, all of them set; what is not known is empty.
    pub(super) fn variables(&self, hook: Hook) -> Vec<(&'static str, String)> {
        let run = self.run.as_ref();
        let of_run = |value: &dyn Fn(&RunFacts) -> String| run.map_or(String::new(), value);
        let failure = run.and_then(|run| run.failure.as_ref());
        let code = failure.map_or(0, |failure| failure.exit_code);
        let error = failure.map(|failure| failure.error.clone());
        let hint = failure.and_then(|failure| failure.hint.clone());
        let ids = |run: &RunFacts| {
            let ids: Vec<String> = run.archives.iter().map(ToString::to_string).collect();
            ids.join(" ")
        };
        let snapshot = |run: &RunFacts| {
            let name = run.snapshot.map(|name| name.to_string());
            name.unwrap_or_default()
        };
        let kind = |run: &RunFacts| {
            let newest = run.archives.last();
            newest.map_or("none", |id| id.kind.as_str()).to_owned()
        };
        [
            ("COLDCHAIN_HOOK", hook.to_string()),
            ("COLDCHAIN_EVENT", self.event.as_str().to_owned()),
            ("COLDCHAIN_SOURCE", self.source.to_string()),
            ("COLDCHAIN_DATE", self.date.to_string()),
            ("COLDCHAIN_CONFIG", self.config.display().to_string()),
            ("COLDCHAIN_STATE_DIR", self.state_dir.display().to_string()),
            ("COLDCHAIN_RESULT", of_run(&|run| run.result.to_owned())),
            ("COLDCHAIN_SNAPSHOT", of_run(&snapshot)),
            ("COLDCHAIN_ARCHIVES", of_run(&ids)),
            ("COLDCHAIN_KIND", of_run(&kind)),
            (
                "COLDCHAIN_RAW_BYTES",
                of_run(&|run| run.raw_bytes.to_string()),
            ),
            (
                "COLDCHAIN_SEALED_BYTES",
                of_run(&|run| run.sealed_bytes.to_string()),
            ),
            (
                "COLDCHAIN_UPLOADED_BYTES",
                of_run(&|run| run.uploaded_bytes.to_string()),
            ),
            ("COLDCHAIN_SECONDS", of_run(&|run| run.seconds.to_string())),
            ("COLDCHAIN_EXIT_CODE", of_run(&|_| code.to_string())),
            ("COLDCHAIN_ERROR", error.unwrap_or_default()),
            ("COLDCHAIN_HINT", hint.unwrap_or_default()),
        ]
        .map(|(name, value)| (name, bounded(&value)))
        .into()
    }
}

/// Returns a value on one line, cut if it is too long for a variable.
fn bounded(value: &str) -> String {
    let mut line = Line(value).to_string();
    if line.len() > LONGEST {
        line.truncate(line.floor_char_boundary(LONGEST));
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> HookFacts {
        HookFacts {
            event: HookEvent::Backup,
            source: "home".parse().unwrap(),
            date: "2026-11-28".parse().unwrap(),
            config: "/etc/c.toml".into(),
            state_dir: "/var/lib/c".into(),
            run: Some(RunFacts {
                result: "failed",
                seconds: 7,
                failure: Some(HookFailure {
                    exit_code: 1,
                    error: "a\nb\0\u{1b}[2J".to_owned(),
                    hint: None,
                }),
                ..RunFacts::default()
            }),
        }
    }

    fn value<'v>(variables: &'v [(&str, String)], name: &str) -> &'v str {
        let found = variables.iter().find(|(other, _)| *other == name);
        &found.unwrap_or_else(|| panic!("no {name}")).1
    }

    #[test]
    fn values_are_lines_without_control_characters() {
        let after = facts().variables(Hook::After);
        assert_eq!(value(&after, "COLDCHAIN_ERROR"), "a\\nb\\u{0}\\u{1b}[2J");
        assert_eq!(value(&after, "COLDCHAIN_EXIT_CODE"), "1");
        assert_eq!(value(&after, "COLDCHAIN_KIND"), "none");
        assert_eq!(value(&after, "COLDCHAIN_HINT"), "");
    }

    #[test]
    fn what_comes_of_a_run_is_empty_before_it() {
        let mut facts = facts();
        facts.run = None;
        let before = facts.variables(Hook::Before);
        for name in [
            "RESULT",
            "ARCHIVES",
            "KIND",
            "SECONDS",
            "EXIT_CODE",
            "ERROR",
        ] {
            assert_eq!(value(&before, &format!("COLDCHAIN_{name}")), "", "{name}");
        }
        assert_eq!(value(&before, "COLDCHAIN_SOURCE"), "home");
    }

    #[test]
    fn a_long_error_still_fits_a_variable() {
        let mut facts = facts();
        let failure = &mut facts.run.as_mut().unwrap().failure;
        failure.as_mut().unwrap().error = "é\n".repeat(1 << 20);
        let after = facts.variables(Hook::After);
        let error = value(&after, "COLDCHAIN_ERROR");
        assert!(
            error.len() < 9000 && error.ends_with('…'),
            "{}",
            error.len()
        );
    }
}
