//! Ledgers that a key may sign which the root key has withdrawn elsewhere.
//!
//! The root key's word opens ledgers, and is never taken back by itself: whoever has a key that leaked
//! can open new ones beside the old, which look like a source that was configured later. So such a ledger
//! is read only if somebody who is trusted names it.

use super::old_catalog::Before;
use super::{LedgerRead, Rebuilding, Rebuilt};
use crate::catalog::NewCatalog;
use crate::engine::context::open_source::store_url;
use crate::error::Error;
use crate::ledger::PublicKey;

/// Takes what a withdrawn key may have made up out of the new catalog again, and tells of ledgers that
/// nobody has named.
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

/// A key that may sign this ledger and could once sign another, with that one's name.
fn withdrawn_elsewhere(ledger: &LedgerRead, all: &[LedgerRead]) -> Option<(PublicKey, String)> {
    ledger.signers.iter().find_map(|key| {
        let other = all.iter().find(|other| other.withdrawn.contains(key))?;
        Some((key.clone(), other.source.to_string()))
    })
}

impl Rebuilding<'_> {
    /// Whether anybody but the store names that ledger.
    fn names(&self, ledger: &LedgerRead, before: &Before) -> bool {
        let configured = self.config.is_some_and(|config| {
            config.sources.iter().any(|source| {
                source.directory.as_str() == ledger.directory
                    && store_url(&config.stores[&source.store]) == ledger.store
            })
        });
        let kept = before.sources.iter().map(|row| row.ledger);
        let mut known = kept.chain(self.trusted.sources.iter().map(|source| source.ledger));
        configured
            || self.included.contains(&ledger.directory)
            || known.any(|known| known == ledger.ledger)
    }
}
