//! `coldchain restore`: restore an archived date.

use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use super::identity::Passphrases;
use super::output::observer;
use super::target::{WantedArchive, chosen};
use super::{activity_log, load_to_read, require_catalog};
use crate::activity_log::ActivityLog;
use crate::cli::{Everywhere, Restore};
use crate::config::{Config, Source};
use crate::engine::{RunContext, StateDir};
use crate::error::{Error, RequestError};
use crate::progress::Observer;
use crate::seal::IdentityFile;

mod as_files;
mod explain;
mod from_plan;
mod from_store;
mod manner;
mod nearest;
mod planned;
pub(super) mod report;
mod stream;

use from_store::FromStore;
pub(crate) use manner::{BroughtBack, RestoreManner};
use nearest::{Nearest, WantedCopyName, Way};
pub(super) use planned::{thaw_request, which};

pub(super) fn run(args: &Restore, everywhere: &Everywhere) -> Result<(), Error> {
    if let Some(name) = &args.imported {
        return super::imported::restore::run(args, name, everywhere);
    }
    let config = load_to_read(everywhere)?;
    let manner = RestoreManner {
        passphrases: Passphrases::Asked,
        max_cost: args.thawing.max_cost,
    };
    perform(args, everywhere, &config, &manner, observer(everywhere)).map(drop)
}

/// Restores, or prints what that takes. Returns what was brought back, if anything was.
pub(crate) fn perform(
    args: &Restore,
    everywhere: &Everywhere,
    config: &Config,
    manner: &RestoreManner,
    observer: Box<dyn Observer>,
) -> Result<Option<BroughtBack>, Error> {
    if args.as_files {
        return as_files::restore(args, everywhere, config, observer).map(|()| None);
    }
    let handed = args.from_plan.as_deref().map(from_plan::read).transpose()?;
    let (source, wanted) = meant(args, handed.as_ref(), config)?;
    let state_dir = StateDir::new(&config.state_dir);
    let mut catalog = state_dir.catalog_to_read()?;
    // A plan does nothing.
    let acts = !args.plan && !args.explain && (args.to.is_some() || args.stream.is_some());
    let log = log_of(config, acts);
    let observer = log.beside(observer);
    let context = RunContext::real(observer.as_ref());
    let near = Nearest {
        args,
        everywhere,
        config,
        source,
        catalog: &catalog,
        context,
        log: &log,
    };
    let passed = match near.look(wanted)? {
        Way::Copy(copy) => return near.restore(&copy, acts),
        Way::Store(passed) => passed,
    };
    let wanted = wanted.archive()?;
    require_catalog(config, &[source])?;
    let piped = args.identity.as_deref();
    let piped = piped
        .map(|path| read_pipe(path, manner.passphrases))
        .transpose()?;
    let from_store = FromStore {
        args,
        everywhere,
        manner,
        context,
        config,
        state_dir: &state_dir,
        log: &log,
        source,
        wanted,
        handed: handed.as_ref(),
        piped: piped.flatten(),
        passed,
        acts,
    };
    from_store.run(&mut catalog)
}

/// Returns the activity log of a run; of one that only plans, none is kept.
fn log_of(config: &Config, acts: bool) -> ActivityLog {
    if acts {
        activity_log(config)
    } else {
        ActivityLog::none()
    }
}

/// Returns the source, and what is wanted of it, that the command line or a plan names.
fn meant<'a>(
    args: &Restore,
    handed: Option<&from_plan::Handed>,
    config: &'a Config,
) -> Result<(&'a Source, WantedCopyName), Error> {
    let target = chosen(args.target.typed(), config)?;
    match handed {
        Some(_) if target.has_date() => Err(RequestError::CommandLine(
            "leave the date out: --from-plan says which date to restore".to_owned(),
        )
        .into()),
        Some(handed) => {
            let named = target.source.map(|source| source.name.as_str());
            let source = config.source(handed.source(named)?)?;
            let wanted = WantedArchive::Of(handed.date());
            Ok((source, WantedCopyName::Archive(wanted)))
        }
        None => {
            let wanted = match target.snapshot() {
                Some(name) => WantedCopyName::Snapshot(name),
                None => WantedCopyName::Archive(target.archive()?),
            };
            Ok((target.one_source_of_all()?, wanted))
        }
    }
}

/// Reads an identity file that can be read only once, such as `<(pass show kit)`. All later steps use this
/// result.
fn read_pipe(path: &Path, passphrases: Passphrases) -> Result<Option<IdentityFile>, Error> {
    let kind = path.metadata().map(|metadata| metadata.file_type());
    let is_pipe = kind.is_ok_and(|kind| kind.is_fifo() || kind.is_char_device());
    is_pipe.then(|| passphrases.open(path)).transpose()
}
