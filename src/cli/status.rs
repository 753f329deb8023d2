//! How the sources stand.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::OneSource;
use crate::config::parse_duration;

/// `coldchain status`
#[derive(Debug, Args)]
pub struct Status {
    /// Which source.
    #[command(flatten)]
    pub source: OneSource,
    /// Say by the exit code whether a source is overdue: 9 if one is; `--check=nagios` prints one line, and exits with
    /// 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN
    #[arg(long, value_name = "HOW", num_args = 0..=1, require_equals = true, default_missing_value = "plain")]
    pub check: Option<CheckStyle>,
    /// Overdue is what has no archive of the last AGE, for example 36h or 10d, and not what missed two scheduled dates
    #[arg(long, value_name = "AGE", value_parser = age, requires = "check")]
    pub max_age: Option<Duration>,
    /// Send a test message to all that `[notify]` in the config names, say what came of each, and stop
    #[arg(long, conflicts_with_all = ["check", "metrics", "chosen"])]
    pub test_messages: bool,
    /// Also write the metrics for Prometheus to FILE, as the end of a run does
    #[arg(long, value_name = "FILE")]
    pub metrics: Option<PathBuf>,
}

/// How `--check` answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CheckStyle {
    /// By the exit codes of this program.
    Plain,
    /// As Nagios, Icinga and Checkmk ask their plugins.
    Nagios,
}

fn age(text: &str) -> Result<Duration, String> {
    parse_duration(text)
        .filter(|age| !age.is_zero())
        .ok_or_else(|| "give a duration like \"36h\", in s, m, h or d".to_owned())
}
