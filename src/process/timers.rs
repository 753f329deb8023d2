//! Looks for what starts this program at night: timers of systemd, and entries of cron.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::find::find_program;
use super::timed::run_for;

/// How long systemd may take to answer.
const AT_MOST: Duration = Duration::from_secs(5);

/// The name of this program, as units and entries have it.
const NAME: &str = "coldchain";

/// Files and directories with entries of cron.
const CRON: [&str; 9] = [
    "/etc/crontab",
    "/etc/anacrontab",
    "/etc/cron.d",
    "/etc/cron.hourly",
    "/etc/cron.daily",
    "/etc/cron.weekly",
    "/var/spool/cron/crontabs",
    "/var/spool/cron",
    "/etc/periodic/daily",
];

/// The largest file that is searched.
const MOST_BYTES: u64 = 1 << 20;

/// A timer of systemd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemdTimer {
    /// The unit's name.
    pub unit: String,
    /// Whether systemd starts it by itself.
    pub is_enabled: bool,
}

/// Returns the timers of systemd whose names have this program's; `None` if systemd does not answer.
pub fn systemd_timers() -> Option<Vec<SystemdTimer>> {
    let mut command = Command::new(find_program("systemctl")?);
    command
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C")
        .args(["list-unit-files", "--full", "--no-legend", "--no-pager"])
        .arg(format!("*{NAME}*.timer"));
    let run = run_for(command, Stdio::null(), AT_MOST).ok()?;
    // It also fails if there is no such unit, but then it prints nothing.
    let has_answered = run.status?.success() || run.output.is_empty();
    has_answered.then(|| timers_in(&run.output))
}

/// Reads lines such as `coldchain.timer enabled enabled`, joined by `; `.
fn timers_in(output: &str) -> Vec<SystemdTimer> {
    let lines = output.split("; ");
    lines
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let (unit, state) = (words.next()?, words.next()?);
            unit.contains(NAME).then(|| SystemdTimer {
                unit: unit.to_owned(),
                is_enabled: matches!(
                    state,
                    "enabled" | "enabled-runtime" | "static" | "generated"
                ),
            })
        })
        .collect()
}

/// Returns the files in which cron has an entry with this program's name. Skips what it can't read.
pub fn cron_entries() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for place in CRON {
        let place = Path::new(place);
        match fs::read_dir(place) {
            Ok(entries) => found.extend(entries.flatten().map(|it| it.path())),
            Err(_) => found.push(place.to_owned()),
        }
    }
    found.retain(|file| has_entry(file));
    found.sort();
    found
}

fn has_entry(file: &Path) -> bool {
    let is_small = file
        .metadata()
        .is_ok_and(|found| found.is_file() && found.len() <= MOST_BYTES);
    is_small
        && fs::read_to_string(file).is_ok_and(|text| {
            let mut lines = text.lines().map(str::trim_start);
            lines.any(|line| !line.starts_with('#') && line.contains(NAME))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_timers_of_this_program_count() {
        let output = "apt-daily.timer enabled enabled; coldchain.timer disabled enabled; coldchain-home.timer  enabled -";
        let timer = |unit: &str, is_enabled| SystemdTimer {
            unit: unit.to_owned(),
            is_enabled,
        };
        assert_eq!(
            timers_in(output),
            [
                timer("coldchain.timer", false),
                timer("coldchain-home.timer", true)
            ]
        );
        assert_eq!(timers_in(""), []);
    }

    #[test]
    fn a_comment_is_no_entry() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("crontab");
        for (text, is_entry) in [
            ("# 3 3 * * * root coldchain backup\n", false),
            ("SHELL=/bin/sh\n3 3 * * * root coldchain backup\n", true),
        ] {
            fs::write(&file, text).unwrap();
            assert_eq!(has_entry(&file), is_entry, "{text}");
        }
        assert!(!has_entry(directory.path()));
    }
}
