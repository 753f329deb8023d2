//! `coldchain cost`: what is stored costs now, in the months to come, and to restore. It reads the catalog alone.

mod answer;
mod forecast;
mod json;
mod report;
mod table;

use answer::{CostAnswer, SourceCosts};

use super::output::{answer, answer_json};
use super::target::day_of;
use super::{load_to_read, today};
use crate::catalog::Catalog;
use crate::cli::{Cost, Everywhere};
use crate::config::{Config, Source};
use crate::engine::{
    Asking, Clock, ForecastSpan, StateDir, StoredOtherwise, SystemClock, archive_costs,
    foresee_cost, known_imports, monthly_cost, require_known_archives, restore_costs,
    size_of_import,
};
use crate::error::{Error, RequestError};

pub(super) fn run(args: &Cost, everywhere: &Everywhere) -> Result<(), Error> {
    let config = load_to_read(everywhere)?;
    let sources = chosen(args, &config)?;
    require_known_archives(&config, &sources, Asking::Here)?;
    let first = args.from.as_deref().map(|text| day_of(text, &config));
    let span = ForecastSpan {
        first: first.transpose()?.unwrap_or_else(|| today(&config)),
        months: args.months,
    };
    let is_otherwise = args.storage_class.is_some() || args.segment_size.is_some();
    let otherwise = is_otherwise.then_some(StoredOtherwise {
        class: args.storage_class,
        segment_bytes: args.segment_size,
    });
    let mut catalog = StateDir::new(&config.state_dir).catalog_to_read()?;
    let imports = if args.sources().next().is_some() {
        Vec::new()
    } else {
        known_imports(&catalog)?
    };
    let imports = imports.into_iter().map(|import| {
        let size = size_of_import(&config, &import);
        (import.row.name, size)
    });
    let imports = imports.collect();
    let costs = sources
        .iter()
        .map(|source| gather(args, (&config, source), (span, otherwise), &mut catalog));
    let costs = CostAnswer {
        imports,
        sources: costs.collect::<Result<_, _>>()?,
        span,
        otherwise,
        prices: &config.prices,
        with_details: sources.len() == 1
            || everywhere.verbose
            || args.archives
            || otherwise.is_some(),
        with_notes: !everywhere.quiet,
    };
    if costs.has_no_archive() {
        return Err(match sources[..] {
            [one] => RequestError::NeverArchived(one.name.clone()),
            _ => RequestError::NothingArchived,
        }
        .into());
    }
    if everywhere.json {
        answer_json(&json::to_json(&costs))
    } else {
        answer(&report::to_text(&costs))
    }
}

/// Returns the sources that were named, each once; all that have a store, if none was.
fn chosen<'a>(args: &Cost, config: &'a Config) -> Result<Vec<&'a Source>, Error> {
    let mut chosen: Vec<&Source> = Vec::new();
    for name in args.sources() {
        let source = config.source(name)?;
        config.store_of(source)?;
        if chosen.iter().all(|it| it.name != source.name) {
            chosen.push(source);
        }
    }
    if chosen.is_empty() {
        chosen = config.sources_with_store()?;
    }
    Ok(chosen)
}

fn gather<'a>(
    args: &Cost,
    (config, source): (&Config, &'a Source),
    (span, otherwise): (ForecastSpan, Option<StoredOtherwise>),
    catalog: &mut Catalog,
) -> Result<SourceCosts<'a>, Error> {
    let places = monthly_cost(config, source, catalog)?;
    let archives = args
        .archives
        .then(|| archive_costs(config, source, catalog));
    Ok(SourceCosts {
        source,
        forecast: foresee_cost(config, source, span, otherwise, catalog)?,
        archives: archives.transpose()?,
        restore: if places.is_empty() {
            Vec::new()
        } else {
            restore_costs(config, source, args.thaw_days, catalog, SystemClock.now())?
        },
        places,
    })
}
