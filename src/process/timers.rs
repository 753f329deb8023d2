//! Looks for what starts this program at night: timers of systemd, and entries of cron.

use std::collections::BTreeSet;
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

/// Where systemd looks for units, if `SYSTEMD_UNIT_PATH` does not say otherwise.
const UNITS: &str = "/etc/systemd/system:/run/systemd/system:/run/systemd/generator:\
    /usr/local/lib/systemd/system:/usr/lib/systemd/system:/lib/systemd/system";

/// A timer of systemd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemdTimer {
    /// The unit's name.
    pub unit: String,
    /// Whether systemd starts it by itself; `None` if systemd does not say.
    pub is_enabled: Option<bool>,
}

/// Returns the timers of systemd that start this program: it is in their name, or in the text of them or of the
/// service of the same name.
///
/// The directories are read here, because systemd takes most of a second to list all units of a large machine.
pub fn systemd_timers() -> Vec<SystemdTimer> {
    let given = std::env::var_os("SYSTEMD_UNIT_PATH").filter(|path| !path.is_empty());
    let path = given.unwrap_or_else(|| UNITS.into());
    let directories: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let units = units_in(&directories).into_iter();
    units
        .map(|unit| SystemdTimer {
            is_enabled: is_enabled(&unit),
            unit,
        })
        .collect()
}

fn units_in(directories: &[PathBuf]) -> BTreeSet<String> {
    let mut units = BTreeSet::new();
    for directory in directories {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let Ok(unit) = entry.file_name().into_string() else {
                continue;
            };
            let Some(name) = unit.strip_suffix(".timer") else {
                continue;
            };
            let service = format!("{name}.service");
            let mut services = directories.iter().map(|it| it.join(&service));
            let is_ours = name.contains(NAME)
                || has_entry(&entry.path())
                || services.any(|it| has_entry(&it));
            match unit.strip_suffix("@.timer") {
                _ if !is_ours => {}
                // Nothing starts a template itself.
                Some(template) => units.extend(instances(template, directories)),
                None => drop(units.insert(unit)),
            }
        }
    }
    units
}

/// Returns the enabled instances of a template: each has a link in the directory of a target that wants it.
fn instances(template: &str, directories: &[PathBuf]) -> BTreeSet<String> {
    let entries = |path: &Path| fs::read_dir(path).into_iter().flatten().flatten();
    let wants = directories.iter().flat_map(|it| entries(it));
    let links = wants
        .filter(|it| it.path().extension().is_some_and(|it| it == "wants"))
        .flat_map(|it| entries(&it.path()));
    let prefix = format!("{template}@");
    links
        .filter_map(|link| link.file_name().into_string().ok())
        .filter(|unit| unit.starts_with(&prefix) && unit.strip_suffix(".timer").is_some())
        .collect()
}

fn is_enabled(unit: &str) -> Option<bool> {
    let mut command = Command::new(find_program("systemctl")?);
    command
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C")
        .args(["is-enabled", "--", unit]);
    let run = run_for(command, Stdio::null(), AT_MOST).ok()?;
    // Its exit code says the same, but is that of other failures too.
    match run.output.as_str() {
        "enabled" | "enabled-runtime" | "alias" | "static" | "generated" | "transient" => {
            Some(true)
        }
        "disabled" | "masked" | "masked-runtime" | "linked" | "linked-runtime" | "indirect" => {
            Some(false)
        }
        _ => None,
    }
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
        let directory = tempfile::tempdir().unwrap();
        for (file, text) in [
            ("coldchain-home.timer", "[Timer]\n"),
            ("night.timer", "[Timer]\n"),
            (
                "night.service",
                "[Service]\nExecStart=/usr/bin/coldchain backup\n",
            ),
            ("apt.timer", "[Timer]\n"),
            ("apt.service", "[Service]\n# not coldchain\n"),
            ("coldchain.service", "[Service]\n"),
        ] {
            fs::write(directory.path().join(file), text).unwrap();
        }
        let units = units_in(&[directory.path().to_owned(), "/nowhere".into()]);
        let units: Vec<String> = units.into_iter().collect();
        assert_eq!(units, ["coldchain-home.timer", "night.timer"]);
    }

    #[test]
    fn of_a_template_its_enabled_instances_count() {
        let directory = tempfile::tempdir().unwrap();
        let units = [directory.path().join("lib"), directory.path().join("etc")];
        let wants = units[1].join("timers.target.wants");
        fs::create_dir_all(&wants).unwrap();
        fs::create_dir(&units[0]).unwrap();
        fs::write(units[0].join("coldchain-snapshot@.timer"), "").unwrap();
        assert_eq!(units_in(&units), BTreeSet::new());
        for name in ["coldchain-snapshot@home.timer", "other@home.timer"] {
            fs::write(wants.join(name), "").unwrap();
        }
        let expected = BTreeSet::from(["coldchain-snapshot@home.timer".to_owned()]);
        assert_eq!(units_in(&units), expected);
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
