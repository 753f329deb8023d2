//! What a report says, as `status`, `list` and `cost` know it.

use chrono::NaiveDate;

use crate::catalog::{Catalog, ListedRow, WhichArchives};
use crate::commands::cost::answer::{CostAnswer, SourceCosts};
use crate::commands::list::{ListedChain, ListedSource, list_source};
use crate::commands::overview::Overview;
use crate::config::{Config, Source, SourceOrigin};
use crate::engine::SourceStatus;
use crate::error::Error;
use crate::model::SnapshotName;

/// All that a report says.
pub(super) struct ReportFacts<'a> {
    pub(super) today: NaiveDate,
    pub(super) overview: Overview,
    /// In the order of the overview's.
    pub(super) sources: Vec<ReportedSource<'a>>,
    pub(super) costs: CostAnswer<'a>,
}

/// What a report says of a source beside its status and its costs.
pub(super) struct ReportedSource<'a> {
    pub(super) listed: ListedSource<'a>,
    /// Those that the catalog knows on this machine, oldest first.
    pub(super) snapshots: Vec<SnapshotName>,
    /// Whether the config names it; else only the catalog does.
    pub(super) is_in_config: bool,
}

/// All that is said of one source.
#[derive(Clone, Copy)]
pub(super) struct SourceView<'f> {
    pub(super) status: &'f SourceStatus,
    pub(super) listed: &'f ListedSource<'f>,
    pub(super) snapshots: &'f [SnapshotName],
    pub(super) is_in_config: bool,
    /// `None` if it has no store.
    pub(super) costs: Option<&'f SourceCosts<'f>>,
}

impl ReportFacts<'_> {
    /// Returns the sources, in the config's order.
    pub(super) fn views(&self) -> impl Iterator<Item = SourceView<'_>> {
        let status = self.overview.sources.iter();
        status.zip(&self.sources).map(|(status, source)| {
            let mut costs = self.costs.sources.iter();
            SourceView {
                status,
                listed: &source.listed,
                snapshots: &source.snapshots,
                is_in_config: source.is_in_config,
                costs: costs.find(|costs| costs.source.name == status.name),
            }
        })
    }
}

impl SourceView<'_> {
    /// Returns the archives that are listed, by chain and date.
    pub(super) fn archives(&self) -> impl Iterator<Item = &ListedRow> {
        self.listed.chains.iter().flat_map(ListedChain::shown)
    }

    /// Returns the archives that can be read.
    pub(super) fn visible(&self) -> impl Iterator<Item = &ListedRow> {
        self.archives().filter(|archive| archive.is_visible())
    }
}

/// Gathers what a report says of sources, given the rows of their archives.
pub(super) fn gather<'a>(
    config: &Config,
    (sources, rows): (&[&Source], &'a [Vec<ListedRow>]),
    catalog: &Catalog,
) -> Result<Vec<ReportedSource<'a>>, Error> {
    let each = sources.iter().zip(rows);
    each.map(|(source, rows)| {
        let snapshots = catalog.snapshots(&source.name)?;
        let mut snapshots: Vec<SnapshotName> = snapshots.iter().map(|row| row.name).collect();
        snapshots.sort_unstable();
        Ok(ReportedSource {
            listed: list_source((config, source), rows, WhichArchives::Current, catalog)?,
            snapshots,
            is_in_config: source.origin == SourceOrigin::File,
        })
    })
    .collect()
}
