//! Finds problems of the stores before a backup meets them.

use crate::config::{Config, PruneMode, Source, StoreConfig};
use crate::engine::context::RunContext;
use crate::engine::context::open_source::{impatient, store_url};
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
        let findings = match context.open(&impatient(store)) {
            Ok(store) => probe(store.as_ref(), &settings),
            Err(Error::Store(error)) => vec![Finding::failed("reach", &error)],
            Err(error) => vec![Finding::new("reach", Severity::Failure, in_words(&error))],
        };
        reports.push(StoreReport {
            name: name.clone(),
            url: store_url(store),
            findings,
        });
    }
    reports
}
