//! `coldchain report`: what is known of all sources, as a page of HTML, as a short text, and for programs.

mod check_ages;
mod costs;
mod facts;
mod growth;
mod html;
mod json;
mod legend;
mod limits;
mod page;
mod section;
mod text;
mod timeline;
mod unknowns;
mod whereabouts;

use std::path::Path;

use super::cost::{self, AskedCosts};
use super::list::rows;
use super::output::{answer, answer_json, count};
use super::{load_to_read, overview, today};
use crate::catalog::WhichArchives;
use crate::cli::{Everywhere, Report, Thawing};
use crate::config::Source;
use crate::engine::{Asking, ForecastSpan, StateDir, replace_as_it_is, require_known_archives};
use crate::error::{Error, RequestError};
use crate::model::Line;
use crate::model::size::Bytes;
use crate::printing::say;
use facts::ReportFacts;

/// The months that costs are foreseen for, as `coldchain cost` does.
const MONTHS: u32 = 12;

/// What stands for stdout in place of a file.
const STDOUT: &str = "-";

pub(super) fn run(args: &Report, everywhere: &Everywhere) -> Result<(), Error> {
    let to_stdout = args.html.as_deref() == Some(Path::new(STDOUT));
    if to_stdout && everywhere.json {
        return Err(RequestError::Stdio(
            "`--html -` and --json would both be written to stdout: name a file, or leave one of them out",
        )
        .into());
    }
    let config = load_to_read(everywhere)?;
    let chosen: Vec<&Source> = match args.source.name() {
        Some(name) => vec![config.source(name)?],
        None => config.sources.iter().collect(),
    };
    require_known_archives(&config, &chosen, Asking::Everywhere)?;
    let mut catalog = StateDir::new(&config.state_dir).catalog_to_read()?;
    let asked = WhichArchives::Current;
    let rows = chosen.iter().map(|source| rows(source, asked, &catalog));
    let rows: Vec<_> = rows.collect::<Result<_, Error>>()?;
    let archived: Vec<&Source> = chosen
        .iter()
        .filter(|source| config.store_of(source).is_ok())
        .copied()
        .collect();
    let of_costs = AskedCosts {
        span: ForecastSpan {
            first: today(&config),
            months: MONTHS,
        },
        otherwise: None,
        thaw_days: Thawing::DAYS,
        with_archives: false,
        with_imports: args.source.name().is_none(),
    };
    let costs = cost::gather(&config, &archived, &of_costs, &mut catalog)?;
    let overview = overview::gather(&config, &chosen, &catalog)?;
    let sources = facts::gather(&config, (&chosen, &rows), &catalog)?;
    let facts = ReportFacts {
        today: today(&config),
        overview,
        sources,
        costs,
    };
    match &args.html {
        Some(_) if to_stdout => return answer(&page::to_html(&facts)),
        Some(file) => write(file, &facts, everywhere)?,
        None => {}
    }
    if everywhere.json {
        answer_json(&json::document(&facts))
    } else if args.html.is_none() {
        answer(&text::in_words(&facts))
    } else {
        Ok(())
    }
}

fn write(file: &Path, facts: &ReportFacts<'_>, everywhere: &Everywhere) -> Result<(), Error> {
    let page = page::to_html(facts);
    replace_as_it_is(file, &page)?;
    if !everywhere.quiet {
        say(format_args!(
            "the report on {} is in {}: {}",
            count(facts.sources.len() as u64, "source"),
            Line(file.display()),
            Bytes(page.len() as u64)
        ));
    }
    Ok(())
}
