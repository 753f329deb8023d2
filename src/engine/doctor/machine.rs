//! Checks of the machine: kernel, programs, privileges, clock.

use chrono::NaiveDate;

use super::local_check::{LocalCheck, SectionChecks};
use super::programs;
use crate::btrfs::{self, Confinement, HeldDirectory, Tools};
use crate::catalog::Catalog;
use crate::config::Config;
use crate::engine::context::RunContext;
use crate::engine::context::clock::local_date;
use crate::plan::Prices;
use crate::store::Severity;

/// The oldest Linux that has what a snapshot and a confined `btrfs receive` need.
const OLDEST_LINUX: (u32, u32) = (5, 14);

const SET_CLOCK: &str = "set the clock, for example with `timedatectl set-ntp true`";

/// Looks at the machine. `newest` is the date of the newest archive of all sources.
pub(super) fn checks(
    config: &Config,
    catalog: Option<&Catalog>,
    newest: Option<NaiveDate>,
    context: RunContext<'_>,
) -> Vec<LocalCheck> {
    let mut checks = SectionChecks::of("this machine");
    let has_subvolumes = config.sources.iter().any(|it| it.live.is_some());
    // Without a subvolume, coldchain makes no snapshot, and only a restore needs btrfs.
    let severity = if has_subvolumes {
        Severity::Failure
    } else {
        Severity::Warning
    };
    kernel(severity, &mut checks);
    let tools = programs::btrfs(config, severity, &mut checks);
    programs::others(config, &mut checks);
    if let Some(catalog) = catalog {
        programs::gpg(catalog, &mut checks);
    }
    let is_root = user(severity, &mut checks);
    namespaces(config, tools.as_ref().filter(|_| is_root), &mut checks);
    clock(config, newest, context, &mut checks);
    checks.fine("time zone", config.timezone.name());
    checks.checks()
}

fn kernel(severity: Severity, checks: &mut SectionChecks) {
    let release = btrfs::kernel_release();
    let (major, minor) = OLDEST_LINUX;
    let needed = format!("{major}.{minor} or newer is needed");
    match version_of(&release) {
        Some(version) if version >= OLDEST_LINUX => {
            checks.fine("kernel", format!("Linux {release}; {needed}"));
        }
        Some(_) => {
            let text = format!("Linux {release} is too old: {needed}");
            let mend = "install a newer kernel";
            match severity {
                Severity::Failure => checks.failure("kernel", text, mend),
                _ => checks.warning("kernel", text, mend),
            }
        }
        None => checks.unknown(
            "kernel",
            format!("its release, {release}, has no version; {needed}"),
        ),
    }
}

/// Returns major and minor number of a kernel's release.
fn version_of(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|letter: char| !letter.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Returns whether this process may do all that a backup and a restore do.
fn user(severity: Severity, checks: &mut SectionChecks) -> bool {
    match btrfs::require_root() {
        Ok(()) => {
            checks.fine("user", "root, with CAP_SYS_ADMIN");
            true
        }
        Err(error) if severity == Severity::Failure => {
            checks.error("user", severity, &error.into());
            false
        }
        Err(_) => {
            let uid = rustix::process::geteuid().as_raw();
            let text = format!(
                "uid {uid}, which is enough for sources without a subvolume; a restore through `btrfs receive` needs root"
            );
            checks.fine("user", text);
            false
        }
    }
}

/// Looks whether `btrfs receive` can be confined. `tools` is `None` if that can't be tried.
fn namespaces(config: &Config, tools: Option<&Tools>, checks: &mut SectionChecks) {
    const SUBJECT: &str = "confinement";
    let Some(tools) = tools else {
        checks.unknown(SUBJECT, "only root, with the program `btrfs`, can try it");
        return;
    };
    let mut directories = config.sources.iter().filter_map(|it| it.live.as_ref());
    let directory = directories.find_map(|live| HeldDirectory::open(&live.snapshots).ok());
    let Some(directory) = directory else {
        checks.unknown(
            SUBJECT,
            "it can be tried in a source's snapshots, and there are none yet",
        );
        return;
    };
    let tried = Confinement::try_in(tools, &directory);
    match tried {
        Ok(()) => checks.fine(
            SUBJECT,
            "a restore can confine `btrfs receive` in a mount namespace of its own",
        ),
        // Archives are made without it.
        Err(error) => checks.error(SUBJECT, Severity::Warning, &error.into()),
    }
}

fn clock(
    config: &Config,
    newest: Option<NaiveDate>,
    context: RunContext<'_>,
    checks: &mut SectionChecks,
) {
    let now = context.clock.now();
    let today = local_date(now, config.timezone);
    let made = Prices::built_in().of.date;
    if today < made {
        let text = format!("it says {today}, which is before this coldchain was made ({made})");
        checks.failure("clock", text, SET_CLOCK);
    } else if let Some(newest) = newest.filter(|newest| Some(*newest) > today.succ_opt()) {
        let text = format!(
            "it says {today}, but the newest archive is of {newest}, and nothing is archived before that date is over"
        );
        checks.failure("clock", text, SET_CLOCK);
    } else {
        let now = now.format("%Y-%m-%d %H:%M");
        checks.fine("clock", format!("it says {now} UTC"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_begins_with_its_version() {
        for (release, version) in [
            ("6.18.0", Some((6, 18))),
            ("5.14-rc1-arch", Some((5, 14))),
            ("5.10.0-28-amd64", Some((5, 10))),
            ("unknown", None),
            ("7", None),
        ] {
            assert_eq!(version_of(release), version, "{release}");
        }
    }
}
