//! Checks that something starts coldchain by itself.

use super::local_check::{LocalCheck, SectionChecks};
use crate::process::{cron_entries, systemd_timers};

pub(super) fn checks() -> Vec<LocalCheck> {
    const SUBJECT: &str = "timer";
    let mut checks = SectionChecks::of("schedule");
    let timers = systemd_timers();
    let mut is_known = false;
    for timer in timers.iter().flatten() {
        is_known = true;
        if timer.is_enabled {
            checks.fine(SUBJECT, format!("{} is enabled", timer.unit));
        } else {
            checks.warning(
                SUBJECT,
                format!("{} is there, but systemd does not start it", timer.unit),
                format!("run `systemctl enable --now {}`", timer.unit),
            );
        }
    }
    for file in cron_entries() {
        is_known = true;
        checks.fine("cron", format!("{} names coldchain", file.display()));
    }
    if !is_known {
        let text = match timers {
            Some(_) => {
                "no timer of systemd and no entry of cron has coldchain in its name; another program may start it"
            }
            None => {
                "systemd does not answer, and no entry of cron names coldchain; another program may start it"
            }
        };
        checks.unknown(SUBJECT, text);
    }
    checks.checks()
}
