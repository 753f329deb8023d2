//! Checks of the files that runs write for other programs and people: the metrics and the activity log. A run only warns
//! where it can't write them, so what is wrong here is no more than a warning.

use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{Access, access, statfs};

use super::local_check::SectionChecks;
use crate::activity_log::LogRotation;
use crate::config::Config;
use crate::error::Error;
use crate::model::shell;
use crate::owned::{self, Untrusted};
use crate::store::Severity;

/// The filesystems in memory, tmpfs and ramfs, by their numbers.
const IN_MEMORY: [u64; 2] = [0x0102_1994, 0x8584_58f6];

const METRICS: &str = "metrics";
const LOG: &str = "log";

/// Looks at the directory of the metrics.
pub(super) fn metrics(config: &Config, checks: &mut SectionChecks) {
    let Some(path) = &config.metrics else { return };
    let Some(directory) = directory_of(METRICS, path, checks) else {
        return;
    };
    let mut is_fine = is_writable(METRICS, directory, checks);
    is_fine &= is_file_or_missing(METRICS, path, checks);
    // Packages of exporters give the directory to their own user, who may as well stop the exporter.
    let untrusted = owned::require_way(path).err();
    let exporter = untrusted.as_ref().and_then(Untrusted::owner);
    if exporter.is_none() {
        is_fine &= others_cannot_replace(METRICS, untrusted, checks);
    }
    if is_in_memory(directory) {
        let text = format!(
            "{} lies in memory: from a restart of the machine to the next run there are no metrics",
            path.display()
        );
        let mend = "name a file on a disk as `metrics` in the config, where the exporter reads too";
        checks.warning(METRICS, text, mend);
        is_fine = false;
    }
    if let Some(closed) = closed_to_exporters(directory) {
        let text = format!(
            "only root can look into {}, and exporters run as another user",
            closed.display()
        );
        let mend = if closed == directory {
            format!("run `chmod o+rx {}`", shell::path(closed))
        } else {
            "name a file in another directory as `metrics` in the config".to_owned()
        };
        checks.warning(METRICS, text, mend);
        is_fine = false;
    }
    if path.extension().is_none_or(|kind| kind != "prom") {
        let text = format!(
            "{}: node_exporter reads only files whose names end in .prom",
            path.display()
        );
        checks.unknown(METRICS, text);
        is_fine = false;
    }
    if is_fine {
        let text = exporter.map_or_else(
            || replaced_by_us(path),
            |uid| {
                format!(
                    "{}, which the user with uid {uid} can replace",
                    path.display()
                )
            },
        );
        checks.fine(METRICS, text);
    }
}

/// Looks at the directory of the activity log.
pub(super) fn activity_log(config: &Config, checks: &mut SectionChecks) {
    let Some(path) = &config.log else { return };
    let Some(directory) = directory_of(LOG, path, checks) else {
        return;
    };
    // A log that is there and that another program rotates needs no new name.
    let makes_files = config.log_rotation == LogRotation::Here || !path.exists();
    let written = if makes_files { directory } else { path };
    let mut is_fine = is_writable(LOG, written, checks);
    is_fine &= is_file_or_missing(LOG, path, checks);
    is_fine &= others_cannot_replace(LOG, owned::require_way(path).err(), checks);
    if is_fine {
        checks.fine(LOG, replaced_by_us(path));
    }
}

fn replaced_by_us(path: &Path) -> String {
    format!("{}, which only you and root can replace", path.display())
}

/// Returns the directory of a file, if there is one.
fn directory_of<'p>(subject: &str, path: &'p Path, checks: &mut SectionChecks) -> Option<&'p Path> {
    let directory = path.parent()?;
    let elsewhere = format!("name another file as `{subject}` in the config");
    match fs::metadata(directory) {
        Ok(found) if found.is_dir() => return Some(directory),
        Ok(_) => {
            let text = format!("{} is no directory", directory.display());
            checks.warning(subject, text, elsewhere);
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let text = format!(
                "{} does not exist, so no run can write there",
                directory.display()
            );
            let mend = format!("run `mkdir -p {}`, or {elsewhere}", shell::path(directory));
            checks.warning(subject, text, mend);
        }
        Err(error) => {
            let error = Error::file("look at", directory, error);
            checks.error(subject, Severity::Warning, &error);
        }
    }
    None
}

/// Looks whether this user can write to a file, or make files in a directory. Root always can, unless its filesystem is
/// read-only.
fn is_writable(subject: &str, path: &Path, checks: &mut SectionChecks) -> bool {
    let mut wanted = Access::WRITE_OK;
    if path.is_dir() {
        wanted |= Access::EXEC_OK;
    }
    match access(path, wanted) {
        Ok(()) => true,
        Err(errno) => {
            let error = Error::file("write to", path, errno.into());
            checks.error(subject, Severity::Warning, &error);
            false
        }
    }
}

/// Looks whether something that is no file has the name.
fn is_file_or_missing(subject: &str, path: &Path, checks: &mut SectionChecks) -> bool {
    // A run replaces or refuses a link, and does not follow it.
    match path.symlink_metadata() {
        Ok(found) if !found.is_file() => {
            checks.warning(
                subject,
                format!("{} is no regular file", path.display()),
                format!("move it away, or name another file as `{subject}` in the config"),
            );
            false
        }
        _ => true,
    }
}

/// Warns if other users can put another file, or a link to one, in its place.
fn others_cannot_replace(
    subject: &str,
    untrusted: Option<Untrusted>,
    checks: &mut SectionChecks,
) -> bool {
    let Some(untrusted) = untrusted else {
        return true;
    };
    checks.error(subject, Severity::Warning, &untrusted.into());
    false
}

fn is_in_memory(directory: &Path) -> bool {
    let kind = statfs(directory).map(|found| u64::try_from(found.f_type));
    kind.is_ok_and(|kind| kind.is_ok_and(|kind| IN_MEMORY.contains(&kind)))
}

/// Returns the first directory on the way that only root can pass, or the last one if only root can read it.
fn closed_to_exporters(directory: &Path) -> Option<&Path> {
    let mut way: Vec<&Path> = directory.ancestors().collect();
    way.reverse();
    let is_closed = |path: &&Path| {
        let needed = if *path == directory { 0o5 } else { 0o1 };
        path.metadata()
            .is_ok_and(|found| is_for_root_alone(&found, needed))
    };
    way.into_iter().find(is_closed)
}

/// Returns whether the rights that are needed are root's alone.
fn is_for_root_alone(found: &Metadata, needed: u32) -> bool {
    let has = |shift: u32| (found.mode() >> shift) & needed == needed;
    let of_others = has(0);
    let of_group = found.gid() != 0 && has(3);
    let of_owner = found.uid() != 0 && has(6);
    !(of_others || of_group || of_owner)
}
