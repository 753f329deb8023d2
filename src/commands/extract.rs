//! `coldchain extract`: bring files back out of an archive, on any filesystem.

mod asked;
mod command;
mod explain;
mod paths;
mod report;
mod to_stdout;

use super::output::observer;
use super::restore::which;
use super::{activity_log, load_to_read, require_catalog, today, warn_of_copy};
use crate::activity_log::ActivityLog;
use crate::catalog::Catalog;
use crate::cli::{Everywhere, Extract};
use crate::config::{Config, Source};
use crate::engine::{RunContext, StateDir, plan_details};
use crate::error::{Error, RequestError};
use crate::model::ArchiveId;
use crate::model::date_word::DateWord;
pub(super) use asked::ExtractManner;
pub(super) use command::{ExtractCommand, ToExtract};
use paths::WantedPaths;

pub(super) fn run(args: &Extract, everywhere: &Everywhere) -> Result<(), Error> {
    let config = load_to_read(everywhere)?;
    let wanted = WantedPaths::read(args, &config)?;
    let source = wanted.source;
    require_catalog(&config, &[source])?;
    let mut catalog = StateDir::new(&config.state_dir).catalog_to_read()?;
    warn_of_copy(&catalog);
    let log = if args.plan || args.explain {
        ActivityLog::none()
    } else {
        activity_log(&config)
    };
    let observer = log.beside(observer(everywhere));
    let archive = archive_of(&config, source, wanted.date(args), &catalog)?;
    let extract = ExtractCommand {
        manner: ExtractManner {
            to: args.to.as_deref().filter(|_| !args.plan),
            explains: args.explain,
            devices: args.devices,
            limit: args.limit.as_ref(),
            parallel: args.parallel,
            thawing: &args.thawing,
            place: args.place.place.as_deref(),
            identity: args.identity.as_deref(),
            yes: args.yes,
        },
        everywhere,
        config: &config,
        source,
        context: RunContext::real(observer.as_ref()),
        log: &log,
    };
    extract.run(&ToExtract::Paths(&wanted), archive, &mut catalog)
}

/// Returns the archive that is meant: of a date, the newest of that date or before.
pub(super) fn archive_of(
    config: &Config,
    source: &Source,
    date: Option<DateWord>,
    catalog: &Catalog,
) -> Result<ArchiveId, Error> {
    let name = &source.name;
    let row = catalog.source(name)?;
    let row = row.ok_or_else(|| RequestError::NeverArchived(name.clone()))?;
    let mut visible: Vec<ArchiveId> = catalog
        .visible(&row.ledger)?
        .iter()
        .map(|archive| archive.id)
        .collect();
    visible.sort_unstable();
    let day = match date {
        None | Some(DateWord::Latest) => None,
        Some(DateWord::Archive(id)) => {
            let found = visible.contains(&id).then_some(id);
            return found.ok_or_else(|| RequestError::NoSuchArchive(id.to_string()).into());
        }
        Some(DateWord::Snapshot(name)) => Some(name.date),
        Some(word) => word.day(today(config)),
    };
    let newest = visible
        .iter()
        .rfind(|id| day.is_none_or(|day| id.date <= day));
    match (newest, day) {
        (Some(id), _) => Ok(*id),
        (None, day) => {
            // This says which dates there are.
            plan_details(source, day, which(false), catalog)?;
            Err(RequestError::NeverArchived(name.clone()).into())
        }
    }
}
