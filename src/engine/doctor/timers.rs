//! Checks that something starts coldchain by itself.

use std::path::Path;

use super::local_check::{LocalCheck, SectionChecks};
use crate::model::shell;
use crate::process::{cron_entries, systemd_timers};

pub(super) fn checks() -> Vec<LocalCheck> {
    const SUBJECT: &str = "timer";
    let mut checks = SectionChecks::of("schedule");
    let mut is_known = false;
    for timer in systemd_timers() {
        is_known = true;
        let unit = timer.unit;
        match timer.is_enabled {
            Some(true) => checks.fine(SUBJECT, format!("{unit} is enabled")),
            Some(false) => checks.warning(
                SUBJECT,
                format!("{unit} is there, but systemd does not start it"),
                format!(
                    "run `systemctl enable --now {}`",
                    shell::path(Path::new(&unit))
                ),
            ),
            None => checks.unknown(
                SUBJECT,
                format!("{unit} is there, and systemd does not say whether it is enabled"),
            ),
        }
    }
    for file in cron_entries() {
        is_known = true;
        checks.fine("cron", format!("{} names coldchain", file.display()));
    }
    if !is_known {
        let text = "no timer of systemd and no entry of cron names coldchain; another program may start it";
        checks.unknown(SUBJECT, text);
    }
    checks.checks()
}
