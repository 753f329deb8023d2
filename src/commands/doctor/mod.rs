//! `coldchain doctor`: look at this machine, test every store, look at every mirror, and report what is wrong.

mod fix;
mod lines;
mod warnings;
mod words;

pub(super) use warnings::warnings_of_secrets;

use super::load;
use super::output::{answer, answer_json};
use crate::cli::{Doctor, Everywhere};
use crate::config::{Config, Source};
use crate::engine::{
    Asking, LocalCheck, RunContext, doctor, examine_mirrors, examine_mirrors_here,
    require_known_archives,
};
use crate::error::Error;
use crate::printing::{stdout_is_terminal, warn};
use crate::progress::{Observer, Quiet, Verbose};
use crate::store::Severity;
use words::ReportSection;

pub(super) fn run(args: &Doctor, everywhere: &Everywhere) -> Result<(), Error> {
    let config = load(everywhere)?;
    let observer: Box<dyn Observer> = if everywhere.verbose {
        Box::new(Verbose)
    } else {
        Box::new(Quiet)
    };
    let context = RunContext::real(observer.as_ref());
    let fixed = if args.fix {
        Some(fix::run(args, &config, everywhere, context)?)
    } else {
        None
    };
    let warnings = warnings::all(&config);
    let checks = lines::gather(&config, context, &warnings);
    let warnings: Vec<String> = warnings.into_iter().flat_map(|(_, texts)| texts).collect();
    let stores = if args.offline {
        Vec::new()
    } else {
        doctor(&config, &context)
    };
    let mirrors = if args.offline {
        examine_mirrors_here(&config, context)?
    } else {
        examine_mirrors(&config, context)?
    };
    let reports = words::sections(&stores, &mirrors);
    if everywhere.json {
        let document = words::to_json(&checks, (&stores, &mirrors), &warnings, fixed.as_deref());
        answer_json(&document)?;
    } else {
        let mut text = words::of_checks(&checks, everywhere.quiet);
        text += &words::of_stores(args, &reports, everywhere.quiet);
        answer(&text)?;
        // Each of them has a line above. Where that goes elsewhere, they are still to be seen.
        if !everywhere.quiet && !stdout_is_terminal() {
            warnings.iter().for_each(warn);
        }
    }
    require_known(args, &config)?;
    ended(&checks, &reports)
}

/// Fails if a store has archives of a source that the catalog does not know.
fn require_known(args: &Doctor, config: &Config) -> Result<(), Error> {
    let sources: Vec<&Source> = config.archived().map(|(source, _)| source).collect();
    let asking = if args.offline {
        Asking::Here
    } else {
        Asking::Everywhere
    };
    match require_known_archives(config, &sources, asking) {
        // The findings already have this error.
        Err(Error::Store(_)) => Ok(()),
        known => known,
    }
}

fn ended(checks: &[LocalCheck], reports: &[ReportSection<'_>]) -> Result<(), Error> {
    let failed = checks.iter().filter(|it| it.verdict == Severity::Failure);
    let failures = failed.clone().count() + words::number(reports, Severity::Failure);
    match failures {
        0 => Ok(()),
        _ if words::is_without_end(reports) => Err(Error::Untrustworthy(failures)),
        _ if failed.clone().any(|check| check.section == lines::CONFIG) => {
            Err(Error::UnfitConfig(failures))
        }
        _ => Err(Error::Unfit(failures)),
    }
}
