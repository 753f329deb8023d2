//! What it costs to restore a source's newest archive today, from each of its places.

use chrono::{DateTime, NaiveDate, Utc};

use crate::catalog::Catalog;
use crate::config::{Config, Source};
use crate::engine::copy::places::ReadablePlace;
use crate::engine::restore::cost::{Estimate, estimate};
use crate::engine::restore::{Which, plan_details};
use crate::error::{Error, in_words};

/// What a restore from one place takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreCostAt {
    /// The place's name.
    pub name: String,
    /// What it takes, or why the place has nothing to restore, in words.
    pub restore: Result<NewestRestore, String>,
}

/// What it takes to restore the newest archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewestRestore {
    /// The archive's date.
    pub date: NaiveDate,
    /// How many archives that are, from the full on.
    pub archives: usize,
    /// Their segments.
    pub segments: u64,
    /// Bytes of these.
    pub sealed_bytes: u64,
    /// What it costs.
    pub estimate: Estimate,
}

/// Returns what it costs to restore a source from home, and from each copy that has a store in the config. What is thawed
/// stays so for that many days. The catalog is turned to home again.
pub fn restore_costs(
    config: &Config,
    source: &Source,
    thaw_days: u32,
    catalog: &mut Catalog,
    now: DateTime<Utc>,
) -> Result<Vec<RestoreCostAt>, Error> {
    let home = source.store.clone().unwrap_or_default();
    let mut costs = Vec::new();
    catalog.turn_to(None);
    costs.push(at_place(config, source, home, (thaw_days, now), catalog)?);
    for place in ReadablePlace::all(config, source, catalog)? {
        catalog.turn_to(Some(place.row.id));
        let (of_copy, name) = (&place.source, place.name.clone());
        let cost = at_place(config, of_copy, name, (thaw_days, now), catalog);
        catalog.turn_to(None);
        costs.push(cost?);
    }
    Ok(costs)
}

fn at_place(
    config: &Config,
    source: &Source,
    name: String,
    (thaw_days, now): (u32, DateTime<Utc>),
    catalog: &Catalog,
) -> Result<RestoreCostAt, Error> {
    let (plan, details) = match plan_details(source, None, Which::Visible, catalog) {
        Ok(planned) => planned,
        Err(refused @ (Error::RestoreRefused(_) | Error::Request(_) | Error::Restore(_))) => {
            return Ok(RestoreCostAt {
                name,
                restore: Err(in_words(&refused)),
            });
        }
        Err(error) => return Err(error),
    };
    let estimate = estimate(config, source, &plan.archives, thaw_days, catalog, now)?;
    Ok(RestoreCostAt {
        name,
        restore: Ok(NewestRestore {
            date: plan.date,
            archives: plan.archives.len(),
            segments: details.segments,
            sealed_bytes: details.sealed_bytes,
            estimate,
        }),
    })
}
