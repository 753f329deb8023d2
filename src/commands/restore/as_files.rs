//! `restore --as-files`: all of a date as plain files, on any filesystem.

use super::planned::which;
use super::{log_of, meant};
use crate::cli::{Everywhere, Restore};
use crate::commands::extract::{ExtractCommand, ExtractManner, ToExtract};
use crate::commands::require_catalog;
use crate::config::Config;
use crate::engine::{RunContext, StateDir, plan_details};
use crate::error::{Error, RequestError};
use crate::progress::Observer;

pub(super) fn restore(
    args: &Restore,
    everywhere: &Everywhere,
    config: &Config,
    observer: Box<dyn Observer>,
) -> Result<(), Error> {
    let (source, wanted) = meant(args, None, config)?;
    let wanted = wanted.archive()?;
    require_catalog(config, &[source])?;
    let mut catalog = StateDir::new(&config.state_dir).catalog_to_read()?;
    let (plan, _) = plan_details(source, wanted.date(), which(false), &catalog)?;
    wanted.hold_against(&plan)?;
    let archive = plan.archives.last();
    let archive = archive.ok_or_else(|| RequestError::NeverArchived(source.name.clone()))?;
    let to = args.to.as_ref().map(|to| to.join(source.name.as_str()));
    let log = log_of(config, !args.plan);
    let observer = log.beside(observer);
    let extract = ExtractCommand {
        manner: ExtractManner {
            to: to.as_deref().filter(|_| !args.plan),
            explains: false,
            devices: args.devices,
            limit: args.limit.as_ref(),
            parallel: args.parallel,
            thawing: &args.thawing,
            place: args.place.place.as_deref(),
            identity: args.identity.as_deref(),
            yes: args.yes,
        },
        everywhere,
        config,
        source,
        context: RunContext::real(observer.as_ref()),
        log: &log,
    };
    let all = ToExtract::As {
        path: b"",
        name: plan.date.to_string().into_bytes(),
    };
    extract.run(&all, *archive, &mut catalog)
}
