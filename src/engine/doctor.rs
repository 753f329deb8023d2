//! What is amiss with the stores, before a night finds out.

use crate::config::{Config, Prune, StoreConfig};
use crate::engine::context::RunContext;
use crate::engine::context::open_source::{impatient, store_url};
use crate::error::{Error, in_words};
use crate::store::{Checksum, Deletes, Digests, Finding, Probe, Verdict, probe};

/// What was found out about a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreReport {
    /// Its name in the config.
    pub name: String,
    /// Its URL.
    pub url: String,
    /// In the order in which it was tried.
    pub findings: Vec<Finding>,
}

/// Tries every store that a source uses, by name.
pub fn doctor(config: &Config, context: &RunContext<'_>) -> Vec<StoreReport> {
    let mut reports = Vec::new();
    for (name, store) in &config.stores {
        let Some(source) = config.sources.iter().find(|source| source.store == *name) else {
            continue;
        };
        // What may be done in a bucket may depend on the key. In a directory, that of a source would
        // be made by whoever runs this, and stay.
        let below = match store {
            StoreConfig::Dir { .. } => String::new(),
            StoreConfig::S3 { .. } => format!("{}/", source.directory),
        };
        let settings = Probe {
            below: &below,
            class: store.storage_class(),
            digests: match store {
                StoreConfig::S3 { settings, .. } if settings.checksum == Checksum::Sha256 => {
                    Digests::Kept
                }
                _ => Digests::NotSent,
            },
            deletes: match config.prune {
                Prune::AfterBackup => Deletes::Here,
                Prune::Elsewhere => Deletes::Elsewhere,
            },
            clock: &|| context.clock.now(),
        };
        let findings = match context.open(&impatient(store)) {
            Ok(store) => probe(store.as_ref(), &settings),
            Err(Error::Store(error)) => vec![Finding::failed("reach", &error)],
            Err(error) => vec![Finding::new("reach", Verdict::Failure, in_words(&error))],
        };
        reports.push(StoreReport {
            name: name.clone(),
            url: store_url(store),
            findings,
        });
    }
    reports
}
