//! The file of the metrics.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use chrono::{DateTime, Utc};

use super::{text, text_without_sources};
use crate::commands::overview::Overview;
use crate::run_records::RunRecords;

/// Writes the metrics of an overview.
pub(in crate::commands) fn write(path: &Path, overview: &Overview) -> io::Result<()> {
    replace(path, &text(overview))
}

/// Writes the metrics after a run that could not read the config or the catalog.
pub(in crate::commands) fn write_without_sources(
    path: &Path,
    records: &RunRecords,
    is_valid: bool,
    at: DateTime<Utc>,
) -> io::Result<()> {
    replace(
        path,
        &text_without_sources(records, is_valid, at.timestamp()),
    )
}

/// Replaces the file in one step, so that no reader finds a half. The exporter runs as a user of its own, so everybody may
/// read it; the name of the new file does not end in `.prom`, so that it is not read before it is whole.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}", std::process::id()));
    let new = path.with_file_name(name);
    remove_leftovers(path);
    let written = (|| {
        let mut options = OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o644)
            .open(&new)?;
        // Whatever the umask is.
        file.set_permissions(fs::Permissions::from_mode(0o644))?;
        file.write_all(text.as_bytes())?;
        file.sync_data()?;
        fs::rename(&new, path)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&new);
    }
    written
}

/// Removes the new files of runs that were killed before they renamed them. What can't be removed stays: it harms only a run
/// whose process has the same number.
fn remove_leftovers(path: &Path) {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return;
    };
    let directory = if directory.as_os_str().is_empty() {
        Path::new(".")
    } else {
        directory
    };
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    for entry in entries {
        let is_left = writer(&entry.file_name(), name).is_some_and(is_gone);
        if is_left && entry.file_type().is_ok_and(|kind| kind.is_file()) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Returns the number of the process that made a file for the metrics of that name; `None` for all other files.
fn writer(file: &OsStr, metrics: &OsStr) -> Option<u32> {
    let number = file.as_bytes().strip_prefix(metrics.as_bytes())?;
    let number = str::from_utf8(number.strip_prefix(b".")?).ok()?;
    let process: u32 = number.parse().ok()?;
    // No process has the number 0, and no number begins with a zero or a sign.
    (process > 0 && process.to_string() == number).then_some(process)
}

/// Returns whether no process of that number runs. This process has made no file yet, so one of its number is another's, as in
/// containers, where numbers come again soon.
fn is_gone(process: u32) -> bool {
    let this = Path::new("/proc/self");
    process == std::process::id()
        || this.exists() && !Path::new("/proc").join(process.to_string()).exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_name_with_the_number_of_a_process_is_a_file_of_a_run() {
        let name = OsStr::new("coldchain.prom");
        for (file, process) in [
            ("coldchain.prom.71", Some(71)),
            ("coldchain.prom", None),
            ("coldchain.prom.", None),
            ("coldchain.prom.0", None),
            ("coldchain.prom.071", None),
            ("coldchain.prom.+71", None),
            ("coldchain.prom.71.bak", None),
            ("coldchain.prom.4294967296", None),
            ("coldchain.promx.71", None),
            ("other.prom.71", None),
        ] {
            assert_eq!(writer(OsStr::new(file), name), process, "{file}");
        }
    }
}
