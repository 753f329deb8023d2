//! `coldchain adopt`: continue a chain from a restored archive, or mirrors from a restored copy.

use serde_json::json;

use super::output::{answer_json, answer_lines};
use super::target::one_source;
use super::{activity_log, load, recorded};
use crate::activity_log::LogLine;
use crate::cli::{Adopt, Everywhere};
use crate::config::{Config, Source};
use crate::engine::{RunContext, adopt, adopt_copy};
use crate::error::Error;
use crate::printing::{shown, warn};
use crate::progress::Quiet;

pub(super) fn run(args: &Adopt, everywhere: &Everywhere) -> Result<(), Error> {
    let config = load(everywhere)?;
    let named = args.source.name();
    let named = named.map(|name| config.source(name)).transpose()?;
    let only = match config.sources.as_slice() {
        [only] => Some(only),
        _ => None,
    };
    if let Some(source) = named.or(only)
        && source.store.is_none()
        && config.mirrors_of(source).next().is_some()
    {
        return of_mirror(args, everywhere, &config, source);
    }
    let source = one_source(named, &config)?;
    let log = activity_log(&config);
    let observer = log.beside(Box::new(Quiet));
    let context = RunContext {
        wait_lock: args.lock.at_most(),
        ..RunContext::real(observer.as_ref())
    };
    let adopted = recorded(
        (&log, "adopt"),
        Some(&source.name),
        || adopt(&config, source, &args.directory, context),
        |adopted| {
            let line = LogLine::done(&source.name, "adopted").of([adopted.date]);
            line.fact("changed", adopted.news)
                .text("path", adopted.path.display())
        },
    )?;
    if everywhere.json {
        return answer_json(&json!({
            "source": source.name, "date": adopted.date, "path": shown(&adopted.path),
            "adopted": adopted.news, "warning": adopted.warning,
        }));
    }
    if let Some(warning) = &adopted.warning {
        warn(format_args!("{}: {warning}", source.name));
    }
    if everywhere.quiet {
        return Ok(());
    }
    let path = adopted.path.display();
    let (name, date) = (&source.name, adopted.date);
    answer_lines([if adopted.news {
        format!(
            "{name}: the next archive builds on {path}, the archive of {date}; keep that snapshot until then"
        )
    } else {
        format!("{name}: the next archive builds on {path} already; nothing was changed")
    }])
}

/// Adopts a mirror's copy, for a source that has no archives.
fn of_mirror(
    args: &Adopt,
    everywhere: &Everywhere,
    config: &Config,
    source: &Source,
) -> Result<(), Error> {
    let log = activity_log(config);
    let observer = log.beside(Box::new(Quiet));
    let context = RunContext {
        wait_lock: args.lock.at_most(),
        ..RunContext::real(observer.as_ref())
    };
    let adopted = recorded(
        (&log, "adopt"),
        Some(&source.name),
        || adopt_copy(config, source, &args.directory, context),
        |adopted| {
            let line = LogLine::done(&source.name, "adopted").of([adopted.name]);
            line.fact("changed", adopted.news)
                .text("path", adopted.path.display())
        },
    )?;
    if everywhere.json {
        return answer_json(&json!({
            "source": source.name, "name": adopted.name, "path": shown(&adopted.path),
            "adopted": adopted.news, "warning": adopted.warning,
        }));
    }
    if let Some(warning) = &adopted.warning {
        warn(format_args!("{}: {warning}", source.name));
    }
    if everywhere.quiet {
        return Ok(());
    }
    let (name, path) = (&source.name, adopted.path.display());
    answer_lines([if adopted.news {
        format!(
            "{name}: the mirrors' next snapshots build on {path}, the copy {}; keep it until then",
            adopted.name
        )
    } else {
        format!("{name}: {path} is known already; nothing was changed")
    }])
}
