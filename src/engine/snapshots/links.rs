//! The links in the directory of a source's snapshots that name its newest one: `current`, say.

use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

use chrono_tz::Tz;

use crate::btrfs;
use crate::catalog::Catalog;
use crate::config::Source;
use crate::engine::context::RunContext;
use crate::engine::snapshots::{retention, standing};
use crate::error::{Error, in_words};

/// The first part of the name of a link that is about to get its name.
const UNNAMED: &str = ".coldchain-link-";

/// Lets the links of a source name its newest snapshot. Each changes at once: it names the old one, or the new
/// one. Warns once of a link that can't be moved: no run fails for that.
pub(in crate::engine) fn point_to_newest(
    source: &Source,
    zone: Tz,
    catalog: &mut Catalog,
    context: RunContext<'_>,
) -> Result<(), Error> {
    let Some(live) = &source.live else {
        return Ok(());
    };
    let rows = standing::rows(source, catalog)?;
    let here = rows
        .iter()
        .filter(|row| row.path.parent() == Some(&live.snapshots) && row.path.exists());
    let newest = here.max_by_key(|row| (retention::taken_at(row, zone), row.name));
    let mut faults = Vec::new();
    for link in &source.links {
        let path = live.snapshots.join(link);
        let pointed = match newest {
            Some(row) => point(&path, &row.name.to_string()),
            None => drop_dead(&path),
        };
        match pointed {
            Ok(Pointed::InTheWay) => faults.push(format!(
                "{} is no symbolic link, so it can't name the newest snapshot: rename it, or set `links` to another \
                 name",
                path.display()
            )),
            Ok(Pointed::Moved) => {
                if let Err(error) = btrfs::sync(&live.snapshots) {
                    faults.push(in_words(&error));
                }
            }
            Ok(Pointed::Stays) => {}
            Err(error) => faults.push(format!(
                "could not let {} name the newest snapshot: {error}",
                path.display()
            )),
        }
    }
    let subject = "links to the newest snapshot";
    context.warn_once(&source.name, subject, &faults.join("; "), catalog)
}

/// What became of a link.
pub(in crate::engine) enum Pointed {
    /// It names another neighbour now.
    Moved,
    /// It names that one already.
    Stays,
    /// Something that is no link has its name.
    InTheWay,
}

/// Lets the link at `path` name its neighbour `name`.
pub(in crate::engine) fn point(path: &Path, name: &str) -> io::Result<Pointed> {
    match path.symlink_metadata() {
        Ok(found) if !found.is_symlink() => return Ok(Pointed::InTheWay),
        Ok(_) if path.read_link()?.as_os_str() == name => return Ok(Pointed::Stays),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut unnamed = std::ffi::OsString::from(UNNAMED);
    unnamed.push(path.file_name().unwrap_or_default());
    let unnamed = path.with_file_name(unnamed);
    match std::fs::remove_file(&unnamed) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    symlink(name, &unnamed)?;
    std::fs::rename(&unnamed, path)?;
    Ok(Pointed::Moved)
}

/// Removes a link that names nothing.
fn drop_dead(path: &Path) -> io::Result<Pointed> {
    if path.is_symlink() && !path.exists() {
        std::fs::remove_file(path)?;
        return Ok(Pointed::Moved);
    }
    Ok(Pointed::Stays)
}
