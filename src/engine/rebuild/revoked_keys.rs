//! Ledgers that may be signed by a key which the root key has removed from another ledger.
//!
//! A grant of the root key opens ledgers, and does not expire. So a thief of a key can open new ledgers
//! beside the old ones, and they look like sources that were configured later. Such a ledger is therefore
//! read only if a trusted party names it.

use super::old_catalog::Before;
use super::{ImportedLedger, Rebuilding, Rebuilt};
use crate::catalog::NewCatalog;
use crate::engine::context::open_source::store_url;
use crate::error::Error;
use crate::ledger::PublicKey;

/// Drops ledgers from the new catalog that a removed key may have made up, and reports ledgers that only the
/// store names.
pub(super) fn leave_out(
    job: &Rebuilding<'_>,
    before: &Before,
    new: &mut NewCatalog,
    rebuilt: &mut Rebuilt,
) -> Result<(), Error> {
    let read = std::mem::take(&mut rebuilt.read);
    let withdrawn: Vec<Option<(PublicKey, String)>> = read
        .iter()
        .map(|ledger| withdrawn_elsewhere(ledger, &read))
        .collect();
    let knows_some = !before.sources.is_empty() || job.config.is_some();
    for (ledger, withdrawn) in read.into_iter().zip(withdrawn) {
        let place = format!("{}/{}", ledger.store, ledger.directory);
        match (withdrawn, job.names(&ledger, before)) {
            (Some((key, other)), false) => {
                new.drop_source(&ledger.source, &ledger.ledger)?;
                rebuilt.left_out.push((
                    place,
                    format!(
                        "the key {key} may sign its ledger, but was withdrawn from that of `{other}`: \
                         add --include {} to read it anyway",
                        ledger.directory
                    ),
                ));
                continue;
            }
            (Some((key, other)), true) => rebuilt.remarks.push(format!(
                "{}: the key {key} may still sign its ledger, but was withdrawn from that of `{other}`: \
                 run `coldchain key rotate` to withdraw it here too",
                ledger.source
            )),
            (None, false) if knows_some => rebuilt.remarks.push(format!(
                "{}: neither the old catalog nor the config names its ledger",
                ledger.source
            )),
            (None, _) => {}
        }
        rebuilt.read.push(ledger);
    }
    Ok(())
}

/// Returns a key that may sign this ledger and was removed from another, and the source of the other.
fn withdrawn_elsewhere(
    ledger: &ImportedLedger,
    all: &[ImportedLedger],
) -> Option<(PublicKey, String)> {
    ledger.signers.iter().find_map(|key| {
        let other = all.iter().find(|other| other.withdrawn.contains(key))?;
        Some((key.clone(), other.source.to_string()))
    })
}

impl Rebuilding<'_> {
    /// Returns whether the config, the old catalog, the kit or `--include` names this ledger.
    fn names(&self, ledger: &ImportedLedger, before: &Before) -> bool {
        let configured = self.config.is_some_and(|config| {
            config.archived().any(|(source, store)| {
                source.directory.as_str() == ledger.directory && store_url(store) == ledger.store
            })
        });
        let kept = before.sources.iter().map(|row| row.ledger);
        let mut known = kept.chain(self.trusted.sources.iter().map(|source| source.ledger));
        configured
            || self.included.contains(&ledger.directory)
            || known.any(|known| known == ledger.ledger)
    }
}
