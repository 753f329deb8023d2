//! `coldchain cost`: what is stored costs now, in the months to come, and to restore. It reads the catalog alone.

pub(super) mod answer;
pub(super) mod forecast;
pub(super) mod json;
pub(super) mod report;
pub(super) mod table;

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

/// What is asked of the costs of sources.
pub(super) struct AskedCosts {
    pub(super) span: ForecastSpan,
    pub(super) otherwise: Option<StoredOtherwise>,
    /// How long a restore keeps thawed what it has thawed.
    pub(super) thaw_days: u32,
    /// Whether it says what each archive costs.
    pub(super) with_archives: bool,
    /// Whether it has what was imported of another tool.
    pub(super) with_imports: bool,
}

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
    let asked = AskedCosts {
        span,
        otherwise,
        thaw_days: args.thaw_days,
        with_archives: args.archives,
        with_imports: args.sources().next().is_none(),
    };
    let costs = CostAnswer {
        with_details: sources.len() == 1
            || everywhere.verbose
            || args.archives
            || otherwise.is_some(),
        with_notes: !everywhere.quiet,
        ..gather(&config, &sources, &asked, &mut catalog)?
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

/// Gathers the costs of sources, for an answer with all details and notes.
pub(super) fn gather<'a>(
    config: &'a Config,
    sources: &[&'a Source],
    asked: &AskedCosts,
    catalog: &mut Catalog,
) -> Result<CostAnswer<'a>, Error> {
    let imports = if asked.with_imports {
        known_imports(catalog)?
    } else {
        Vec::new()
    };
    let imports = imports.into_iter().map(|import| {
        let size = size_of_import(config, &import);
        (import.row.name, size)
    });
    let imports = imports.collect();
    let costs = sources
        .iter()
        .map(|source| of_source(config, source, asked, catalog));
    Ok(CostAnswer {
        imports,
        sources: costs.collect::<Result<_, _>>()?,
        span: asked.span,
        otherwise: asked.otherwise,
        prices: &config.prices,
        with_details: true,
        with_notes: true,
    })
}

fn of_source<'a>(
    config: &Config,
    source: &'a Source,
    asked: &AskedCosts,
    catalog: &mut Catalog,
) -> Result<SourceCosts<'a>, Error> {
    let places = monthly_cost(config, source, catalog)?;
    let archives = asked
        .with_archives
        .then(|| archive_costs(config, source, catalog));
    Ok(SourceCosts {
        source,
        forecast: foresee_cost(config, source, asked.span, asked.otherwise, catalog)?,
        archives: archives.transpose()?,
        restore: if places.is_empty() {
            Vec::new()
        } else {
            restore_costs(config, source, asked.thaw_days, catalog, SystemClock.now())?
        },
        places,
    })
}
