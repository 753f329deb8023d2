//! The file of the metrics.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
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
