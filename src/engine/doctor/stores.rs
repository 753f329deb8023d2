//! Finds problems of the stores before a backup meets them.

use crate::catalog::Catalog;
use crate::config::{Config, PruneMode, Source, StoreConfig};
use crate::engine::context::RunContext;
use crate::engine::context::inventory::{overdue, renew_inventory};
use crate::engine::context::known_segments::know_segments;
use crate::engine::context::open_source::{OpenSource, impatient, is_place, store_url};
use crate::engine::context::state_dir::StateDir;
use crate::error::{Error, in_words};
use crate::store::{Checksum, Deletes, Digests, Finding, Probe, Severity, probe};

/// The findings about one store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreReport {
    /// Its name in the config.
    pub name: String,
    /// Its URL.
    pub url: String,
    /// The findings, in the order of the tests.
    pub findings: Vec<Finding>,
}

/// Tests every store that a source uses as its home or for a copy, in the order of their names.
pub fn doctor(config: &Config, context: &RunContext<'_>) -> Vec<StoreReport> {
    let mut reports = Vec::new();
    for (name, store) in &config.stores {
        let is_used =
            |source: &&Source| source.store.as_ref() == Some(name) || source.copies.contains(name);
        let Some(source) = config.sources.iter().find(is_used) else {
            continue;
        };
        // In a bucket, permissions may depend on the key, so the probe writes below the directory of a
        // source. In a directory store that would create the source's directory, owned by the user who runs
        // this.
        let is_vault = matches!(store, StoreConfig::Vault { .. });
        let below = match store.ledger_store() {
            StoreConfig::Dir { .. } => String::new(),
            StoreConfig::S3 { .. } | StoreConfig::Vault { .. } => format!("{}/", source.directory),
        };
        let settings = Probe {
            below: &below,
            // An archive in a vault costs 90 days of storage, so the probe stores none.
            class: store.storage_class().filter(|_| !is_vault),
            digests: match store.ledger_store() {
                StoreConfig::S3 { settings, .. } if settings.checksum == Checksum::Sha256 => {
                    Digests::Kept
                }
                _ => Digests::NotSent,
            },
            deletes: match config.prune {
                PruneMode::AfterBackup => Deletes::Here,
                PruneMode::Elsewhere => Deletes::Elsewhere,
            },
            clock: &|| context.clock.now(),
        };
        let mut findings = match context.open(&impatient(store)) {
            Ok(store) => probe(store.as_ref(), &settings),
            Err(error) => vec![failed("reach", &error)],
        };
        let is_reached = |finding: &Finding| finding.verdict != Severity::Failure;
        if is_vault && findings.iter().all(is_reached) {
            findings.extend(inventories(config, name, store, context));
        }
        reports.push(StoreReport {
            name: name.clone(),
            url: store_url(store),
            findings,
        });
    }
    reports
}

/// What inventories are called in findings.
const INVENTORY: &str = "inventory";

/// Has a vault renew its inventory for each source that has it as home and was archived, as the nightly run does, and
/// returns as of when each listing is.
fn inventories(
    config: &Config,
    name: &str,
    store: &StoreConfig,
    context: &RunContext<'_>,
) -> Vec<Finding> {
    let catalog = match StateDir::new(&config.state_dir).catalog_to_read() {
        Ok(catalog) => catalog,
        Err(error) => return vec![failed(INVENTORY, &error)],
    };
    let sources = config.sources.iter();
    let at_home = sources.filter(|source| source.store.as_deref() == Some(name));
    at_home
        .filter_map(|source| match inventory(source, store, &catalog, context) {
            Ok(finding) => finding,
            // Archives are made without it, and old chains are kept.
            Err(Error::Store(error)) if !error.kind.is_without_end() => Some(Finding {
                verdict: Severity::Warning,
                ..Finding::failed(INVENTORY, &error)
            }),
            Err(error) => Some(failed(INVENTORY, &error)),
        })
        .collect()
}

/// Returns as of when a source's listing is; `None` for one that was not archived there.
fn inventory(
    source: &Source,
    store: &StoreConfig,
    catalog: &Catalog,
    context: &RunContext<'_>,
) -> Result<Option<Finding>, Error> {
    let row = catalog.source(&source.name)?;
    let Some(row) = row.filter(|row| is_place(&row.store, &store_url(store))) else {
        return Ok(None);
    };
    let source = OpenSource {
        config: source,
        row,
        store: context.open(&impatient(store))?,
    };
    know_segments(&source, catalog)?;
    let inventory = renew_inventory(&source, catalog)?;
    let (severity, words) = match overdue(&source, catalog, inventory)? {
        Some(overdue) => (Severity::Warning, Some(overdue)),
        None => (Severity::Fine, inventory.in_words()),
    };
    Ok(words.map(|words| Finding::new(INVENTORY, severity, format!("{}: {words}", source.name()))))
}

fn failed(subject: &'static str, error: &Error) -> Finding {
    match error {
        Error::Store(error) => Finding::failed(subject, error),
        error => Finding::new(subject, Severity::Failure, in_words(error)),
    }
}
