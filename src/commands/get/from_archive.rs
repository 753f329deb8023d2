//! Brings a file from an archive, where no snapshot and no mirror has it.

use std::os::unix::ffi::OsStrExt as _;

use crate::catalog::Catalog;
use crate::cli::{Everywhere, Get};
use crate::commands::extract::{ExtractCommand, ExtractManner, ToExtract};
use crate::commands::output::observer;
use crate::commands::{activity_log, load_to_read, today};
use crate::config::Config;
use crate::engine::{
    FileIndex, LocatedFile, RunContext, StateDir, WantedVersion, name_of, path_of, target_of,
};
use crate::error::{Error, FilesError};
use crate::model::ArchiveId;

/// Returns whether an archive may have a file, though no plain copy has it for this reason.
pub(super) fn may_have(error: &Error) -> bool {
    matches!(
        error,
        Error::Files(
            FilesError::NoCopies { .. }
                | FilesError::InNoCopy { .. }
                | FilesError::NoneSoOld { .. }
                | FilesError::NoCopyOf { .. }
        )
    )
}

/// Extracts a file from the newest archive that has it. Without such an archive, the error stays what it was.
pub(super) fn get(
    args: &Get,
    everywhere: &Everywhere,
    file: &LocatedFile<'_>,
    wanted: WantedVersion,
    error: Error,
) -> Result<(), Error> {
    let config = load_to_read(everywhere)?;
    let Ok(mut catalog) = StateDir::new(&config.state_dir).catalog_to_read() else {
        return Err(error);
    };
    let Some(archive) = archive_with(file, wanted, &config, &catalog)? else {
        return Err(error);
    };
    if args.identity.is_none() {
        return Err(FilesError::InArchiveAlone {
            file: file.as_argument().into(),
            date: archive.date,
        }
        .into());
    }
    let name = name_of(&file.below, file.source.name.as_str());
    let (directory, name) = target_of(&name, args.to.as_deref())?;
    let log = activity_log(&config);
    let observer = log.beside(observer(everywhere));
    let extract = ExtractCommand {
        manner: ExtractManner {
            to: Some(directory),
            explains: false,
            devices: true,
            limit: None,
            parallel: None,
            thawing: &args.thawing,
            place: args.place.place.as_deref(),
            identity: args.identity.as_deref(),
            yes: args.yes,
        },
        everywhere,
        config: &config,
        source: file.source,
        context: RunContext::real(observer.as_ref()),
        log: &log,
    };
    let one = ToExtract::As {
        path: path_of(file),
        name: name.as_bytes().to_vec(),
    };
    extract.run(&one, archive, &mut catalog)
}

/// Returns the newest visible archive of the wanted date or before; where there is an index, the newest that has the file.
fn archive_with(
    file: &LocatedFile<'_>,
    wanted: WantedVersion,
    config: &Config,
    catalog: &Catalog,
) -> Result<Option<ArchiveId>, Error> {
    let Some(row) = catalog.source(&file.source.name)? else {
        return Ok(None);
    };
    let (day, is_exact) = match wanted {
        WantedVersion::Newest => (today(config), false),
        WantedVersion::Of(name) => (name.date, true),
        WantedVersion::At(moment) => (moment.with_timezone(&config.timezone).date_naive(), false),
    };
    let mut archives: Vec<ArchiveId> = catalog
        .visible(&row.ledger)?
        .iter()
        .map(|archive| archive.id)
        .filter(|id| id.date == day || !is_exact && id.date < day)
        .collect();
    archives.sort_unstable();
    let Some(index) = FileIndex::open_if_any(config, file.source, catalog)? else {
        return Ok(archives.pop());
    };
    for archive in index.archives().iter().rev() {
        if archives.contains(&archive.id) && index.resolve(path_of(file), *archive)?.is_some() {
            return Ok(Some(archive.id));
        }
    }
    // Those that are not indexed may have it.
    let unknown = |id: &ArchiveId| index.missing().contains(id);
    Ok(archives.into_iter().rfind(unknown))
}
