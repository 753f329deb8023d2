//! Finds problems of the mirrors before a run meets them. Changes nothing.

use std::env;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use chrono::{DateTime, TimeDelta, Utc};
use rustix::fs::{StatVfsMountFlags, statvfs};

use crate::btrfs;
use crate::catalog::{Catalog, MirrorRow};
use crate::config::{Config, MirrorConfig, MirrorOf};
use crate::engine::context::RunContext;
use crate::engine::context::state_dir::StateDir;
use crate::engine::mirror::end::{MirrorStanding, RecordedCopy};
use crate::engine::mirror::known::{KnownMirror, known_mirror};
use crate::engine::mirror::open::open_mirror;
use crate::error::{Error, ExitCode, in_words};
use crate::model::size::Bytes;
use crate::model::{MirrorLocation, SnapshotName, SourceName};
use crate::store::{Finding, Severity};

/// When a user should hear that a hold runs out.
const SOON: TimeDelta = TimeDelta::days(14);

/// The findings about one mirror.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MirrorReport {
    /// The name of its directory at the mirror.
    pub name: SourceName,
    /// Where it is.
    pub to: MirrorLocation,
    /// The findings, in the order of the tests.
    pub findings: Vec<Finding>,
}

/// Looks at every mirror of the config, in its order.
pub fn examine_mirrors(
    config: &Config,
    context: RunContext<'_>,
) -> Result<Vec<MirrorReport>, Error> {
    examine_those(config, context, |_| true)
}

/// Looks at the mirrors of the config that are on this machine.
pub fn examine_mirrors_here(
    config: &Config,
    context: RunContext<'_>,
) -> Result<Vec<MirrorReport>, Error> {
    examine_those(config, context, |mirror| !mirror.to.is_remote())
}

fn examine_those(
    config: &Config,
    context: RunContext<'_>,
    is_wanted: impl Fn(&MirrorConfig) -> bool,
) -> Result<Vec<MirrorReport>, Error> {
    let mut mirrors = config.mirrors.iter().filter(|it| is_wanted(it)).peekable();
    if mirrors.peek().is_none() {
        return Ok(Vec::new());
    }
    let catalog = StateDir::new(&config.state_dir).catalog_to_read()?;
    mirrors
        .map(|mirror| {
            Ok(MirrorReport {
                name: mirror.name.clone(),
                to: mirror.to.clone(),
                findings: examine(config, mirror, &catalog, context)?,
            })
        })
        .collect()
}

fn examine(
    config: &Config,
    mirror: &MirrorConfig,
    catalog: &Catalog,
    context: RunContext<'_>,
) -> Result<Vec<Finding>, Error> {
    let known = known_mirror(config, mirror, catalog, context)?;
    let row = catalog.mirror(&mirror.name, &mirror.to)?;
    let recorded: Vec<RecordedCopy> = known
        .copies
        .iter()
        .map(|copy| RecordedCopy {
            uuid: copy.there_uuid,
            ctransid: copy.there_ctransid,
        })
        .collect();
    let mut findings = ssh_findings(mirror);
    let standing =
        open_mirror(config, mirror, None, context).and_then(|mut end| end.standing(&recorded));
    match standing {
        Err(error @ Error::Interrupted(_)) => return Err(error),
        Err(error) => findings.push(unreachable(&error)),
        Ok(standing) => {
            findings.extend(identity_findings(config, mirror, row.as_ref(), &standing));
            findings.extend(copy_findings(&standing));
        }
    }
    findings.push(progress_finding(&known));
    findings.extend(hold_finding(&known, context.clock.now()));
    Ok(findings)
}

/// Returns the finding about a mirror that can't be looked at.
fn unreachable(error: &Error) -> Finding {
    let hint = error.hint().map(|hint| format!("; {hint}"));
    let text = format!("{}{}", in_words(error), hint.unwrap_or_default());
    // A disk that is not attached is no fault of this machine.
    let verdict = match error.exit_code() {
        ExitCode::Missing | ExitCode::Busy => Severity::Unknown,
        _ => Severity::Warning,
    };
    Finding::new("reach", verdict, text)
}

/// Returns whether what ssh needs is here.
fn ssh_findings(mirror: &MirrorConfig) -> Vec<Finding> {
    if !mirror.to.is_remote() {
        return Vec::new();
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let is_there = env::split_paths(&path).any(|directory| directory.join("ssh").is_file());
    let ssh = if is_there {
        Finding::new("ssh", Severity::Fine, "the program is here".to_owned())
    } else {
        Finding::new(
            "ssh",
            Severity::Failure,
            "there is no program `ssh` in PATH; install an OpenSSH client".to_owned(),
        )
    };
    let key = mirror.identity_file.as_deref().map(key_finding);
    std::iter::once(ssh).chain(key).collect()
}

fn key_finding(path: &Path) -> Finding {
    let (verdict, text) = match std::fs::metadata(path) {
        Err(error) => (
            Severity::Failure,
            format!(
                "cannot look at the identity_file {}: {error}",
                path.display()
            ),
        ),
        Ok(found) if !found.is_file() => (
            Severity::Failure,
            format!("the identity_file {} is no file", path.display()),
        ),
        Ok(found) if found.permissions().mode() & 0o077 != 0 => (
            Severity::Failure,
            format!(
                "others may use the identity_file {p} (mode {:04o}), so ssh refuses it; run `chmod 600 {p}`",
                found.permissions().mode() & 0o7777,
                p = path.display()
            ),
        ),
        Ok(_) => (Severity::Fine, format!("{} is there", path.display())),
    };
    Finding::new("ssh key", verdict, text)
}

/// Returns whether this is the mirror that was used before, and where it lies.
fn identity_findings(
    config: &Config,
    mirror: &MirrorConfig,
    row: Option<&MirrorRow>,
    standing: &MirrorStanding,
) -> Vec<Finding> {
    let finding = |subject, verdict, text: &str| Finding::new(subject, verdict, text.to_owned());
    let recorded = row.and_then(|row| row.mark);
    let mut findings = vec![match (recorded, standing.mark) {
        (None, None) => finding(
            "mark",
            Severity::Fine,
            "it was not used yet; the first run makes its directory",
        ),
        (None, Some(_)) => finding(
            "mark",
            Severity::Fine,
            "its directory has a mark, and the next run goes on with the copies there",
        ),
        (Some(recorded), Some(found)) if recorded == found => {
            finding("mark", Severity::Fine, "it is the mirror of the last run")
        }
        (Some(_), _) => finding(
            "mark",
            Severity::Warning,
            "its mark is not that of the last run: another disk may be mounted there; attach the right one, or run \
             `coldchain mirror SOURCE --forget-mark` once",
        ),
    }];
    if row
        .and_then(|row| row.filesystem)
        .is_some_and(|it| it != standing.filesystem)
    {
        findings.push(finding(
            "filesystem",
            Severity::Warning,
            "it is on another filesystem than at the last run",
        ));
    }
    if is_on_sources_filesystem(config, mirror, standing) {
        findings.push(finding(
            "filesystem",
            Severity::Warning,
            "it is on the source's own filesystem: it helps against a mistake, and not if that disk breaks",
        ));
    }
    if let MirrorLocation::Directory(path) = &mirror.to
        && statvfs(path).is_ok_and(|it| it.f_flag.contains(StatVfsMountFlags::RDONLY))
    {
        findings.push(finding(
            "filesystem",
            Severity::Failure,
            "it is mounted read-only; mount it with `-o remount,rw`",
        ));
    }
    let free = format!("{} free", Bytes(standing.free_bytes));
    findings.push(Finding::new("room", Severity::Fine, free));
    findings
}

fn is_on_sources_filesystem(
    config: &Config,
    mirror: &MirrorConfig,
    standing: &MirrorStanding,
) -> bool {
    if mirror.to.is_remote() {
        return false;
    }
    let here = match &mirror.of {
        MirrorOf::Directory(from) => Some(from.clone()),
        MirrorOf::Source => {
            let source = config.source(mirror.name.as_str()).ok();
            let live = source.and_then(|source| source.live.as_ref());
            live.map(|live| live.subvolume.clone())
        }
    };
    let here = here.and_then(|path| btrfs::filesystem_id(&path).ok());
    here == Some(standing.filesystem)
}

fn copy_findings(standing: &MirrorStanding) -> Vec<Finding> {
    let mut findings = Vec::new();
    let newest = standing.copies.last();
    let text = match (standing.copies.len(), newest) {
        (1, Some(newest)) => format!("1 copy, {}", newest.name),
        (number, Some(newest)) => format!("{number} copies, the newest {}", newest.name),
        (_, None) => "none yet".to_owned(),
    };
    findings.push(Finding::new("copies", Severity::Fine, text));
    let changed = standing.copies.iter().filter(|copy| !copy.is_intact);
    let changed: Vec<SnapshotName> = changed.map(|copy| copy.name).collect();
    if !changed.is_empty() {
        let text = format!(
            "copies were changed there, so nothing is sent against them: {}",
            joined(&changed)
        );
        findings.push(Finding::new("copies", Severity::Warning, text));
    }
    if !standing.taken.is_empty() {
        let text = format!(
            "these names belong to something else, or to copies that are writable now: {}; rename or delete that",
            joined(&standing.taken)
        );
        findings.push(Finding::new("copies", Severity::Warning, text));
    }
    findings
}

fn joined(names: &[SnapshotName]) -> String {
    let names: Vec<_> = names.iter().map(ToString::to_string).collect();
    names.join(", ")
}

/// Returns how far the mirror is, as of the last run.
fn progress_finding(known: &KnownMirror) -> Finding {
    let reached = match known.reached_at {
        Some(at) => format!("last complete at {at}"),
        None => "never complete".to_owned(),
    };
    let (verdict, text) = match known.behind() {
        // The copies of another mirror are not in the catalog.
        None => (Severity::Fine, reached),
        Some(0) => (Severity::Fine, format!("up to date, {reached}")),
        Some(1) => (Severity::Fine, format!("1 date behind, {reached}")),
        Some(dates) => (
            Severity::Warning,
            format!("{dates} dates behind, {reached}"),
        ),
    };
    Finding::new("progress", verdict, text)
}

/// Returns whether the snapshot here that the next one is sent against will still be kept.
fn hold_finding(known: &KnownMirror, now: DateTime<Utc>) -> Option<Finding> {
    if known.copies.is_empty() || known.waiting.is_none() {
        return None;
    }
    let (verdict, text) = match known.held {
        None => (
            Severity::Warning,
            "no snapshot here is also there any more, so the next one is sent in full".to_owned(),
        ),
        Some(held) if held.until < now => (
            Severity::Warning,
            format!(
                "over: {} is no longer kept for this mirror, and once it is deleted the next snapshot is sent in full; \
                 attach the mirror and run `coldchain mirror`",
                held.name
            ),
        ),
        Some(held) if held.until - now <= SOON => (
            Severity::Warning,
            format!(
                "{} is kept for this mirror until {} only; attach the mirror and run `coldchain mirror` before that",
                held.name,
                held.until.date_naive()
            ),
        ),
        Some(held) => (
            Severity::Fine,
            format!("{} is kept until {}", held.name, held.until.date_naive()),
        ),
    };
    Some(Finding::new("hold", verdict, text))
}
