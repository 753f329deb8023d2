//! How sources stand, as `status`, the metrics and the messages at the end of a run have it.

use crate::catalog::Catalog;
use crate::config::{Config, Source};
use crate::engine::{Clock, RunContext, SourceStatus, SystemClock, host_name, status_of};
use crate::error::Error;
use crate::model::entry::Timestamp;
use crate::progress::Quiet;
use crate::run_records::{RunFile, RunRecords, RunningProcess};

/// What a status shows.
pub(super) struct Overview {
    pub(super) host: String,
    pub(super) at: Timestamp,
    pub(super) sources: Vec<SourceStatus>,
    /// The runs, those that died counted as ended.
    pub(super) records: RunRecords,
    /// Why the records of runs could not be read.
    pub(super) unread: Option<String>,
}

/// Gathers how sources stand.
pub(super) fn gather(
    config: &Config,
    chosen: &[&Source],
    catalog: &Catalog,
) -> Result<Overview, Error> {
    let context = RunContext::real(&Quiet);
    let at = Timestamp(SystemClock.now());
    let (mut records, unread) = match RunFile::new(&config.state_dir).read() {
        Ok(records) => (records, None),
        Err(error) => (RunRecords::default(), Some(error.to_string())),
    };
    records.bury_dead(at, RunningProcess::is_alive);
    let sources = status_of(config, chosen, catalog, &records, context)?;
    Ok(Overview {
        host: host_name(),
        at,
        sources,
        records,
        unread,
    })
}
