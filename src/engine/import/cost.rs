//! What imported archives cost: to retrieve, and to keep.

use super::known::KnownImport;
use super::restore::ImportNeeds;
use crate::catalog::ImportedState;
use crate::config::{Config, StoreConfig};
use crate::engine::context::open_source::store_url;
use crate::engine::restore::cost::{Estimate, pricing};
use crate::model::StorageClass;
use crate::plan::{Pricing, Stored, Usd, price_restore};

/// What imported archives are, as long as they are in the vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImportSize {
    /// How many archives there are.
    pub archives: usize,
    /// Their bytes.
    pub bytes: u64,
    /// What they cost each month; `None` if prices are not known.
    pub usd_a_month: Option<Usd>,
}

/// Estimates what it costs to retrieve what is missing.
pub fn estimate_import(config: &Config, store: &StoreConfig, needs: ImportNeeds) -> Estimate {
    let stored = Stored {
        class: StorageClass::Vault,
        segments: needs.parts,
        sealed_bytes: needs.bytes,
        readable_segments: 0,
        readable_bytes: 0,
        parts: None,
    };
    Estimate {
        cost: price_restore(&[stored], 1, &config.prices),
        pricing: pricing(store, &config.prices),
        store: store_url(store),
    }
}

/// Returns what imported archives are and cost.
pub fn size_of_import(config: &Config, import: &KnownImport) -> ImportSize {
    let there = import
        .archives
        .iter()
        .filter(|archive| archive.state != ImportedState::Deleted);
    let (mut archives, mut bytes) = (0, 0_u64);
    for archive in there {
        archives += 1;
        bytes = bytes.saturating_add(archive.bytes);
    }
    let store = import.store(config).ok();
    let is_known = store.is_some_and(|store| pricing(store, &config.prices) == Pricing::Known);
    let a_month = config.prices.class(StorageClass::Vault).gb_month;
    ImportSize {
        archives,
        bytes,
        usd_a_month: is_known.then(|| a_month.of_bytes(bytes)),
    }
}
