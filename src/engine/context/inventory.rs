//! Asks a store for a newer inventory, where it lists only what one has.

use chrono::TimeDelta;

use crate::catalog::Catalog;
use crate::engine::context::RunContext;
use crate::engine::context::known_segments::signed_at;
use crate::engine::context::open_source::OpenSource;
use crate::error::{Error, in_words};
use crate::model::entry::Timestamp;
use crate::progress::Event;
use crate::store::Inventory;

/// A vault makes an inventory about once a day. When an archive waits longer than this, something is wrong.
const LONGEST_WAIT: TimeDelta = TimeDelta::days(7);

/// The subject under which the catalog notes that no inventory comes.
const SUBJECT: &str = "inventory";

/// Has the store make or read a newer inventory, if one can show archives that none has shown. Returns as of when the
/// store's listings are.
pub(in crate::engine) fn renew_inventory(
    source: &OpenSource<'_>,
    catalog: &Catalog,
) -> Result<Inventory, Error> {
    if !source.store.needs_index() {
        return Ok(Inventory::Live);
    }
    let wanted = oldest_unverified(source, catalog)?;
    Ok(source.store.renew_inventory(wanted.map(|at| at.0))?)
}

/// The same for a run that goes on without a newer inventory: a failure is a warning.
pub(in crate::engine) fn try_to_renew_inventory(
    source: &OpenSource<'_>,
    context: RunContext<'_>,
    catalog: &mut Catalog,
) -> Result<Option<Inventory>, Error> {
    let inventory = match renew_inventory(source, catalog) {
        Ok(inventory) => inventory,
        Err(Error::Store(error)) => {
            context.observer.event(Event::Warning {
                source: source.name().clone(),
                message: format!(
                    "could not ask for a newer inventory; the next run asks again: {}",
                    in_words(&error)
                ),
            });
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    if inventory == Inventory::Live {
        return Ok(Some(inventory));
    }
    let message = overdue(source, catalog, inventory)?.unwrap_or_default();
    context.warn_once(source.name(), SUBJECT, &message, catalog)?;
    Ok(Some(inventory))
}

/// Says so if an archive waits for too long for an inventory that lists it.
pub(in crate::engine) fn overdue(
    source: &OpenSource<'_>,
    catalog: &Catalog,
    inventory: Inventory,
) -> Result<Option<String>, Error> {
    let waiting = oldest_unverified(source, catalog)?;
    let now = source.store.guessed_now()?;
    let Some(waiting) = waiting.filter(|waiting| now - waiting.0 > LONGEST_WAIT) else {
        return Ok(None);
    };
    let newest = match inventory.date() {
        Some(date) => format!(
            "the newest inventory of the vault is of {}",
            Timestamp(date)
        ),
        None => "the vault has no inventory".to_owned(),
    };
    Ok(Some(format!(
        "{newest}, and an archive of {waiting} still waits for one that lists it; until then no older chain expires"
    )))
}

/// Returns when the oldest visible archive was signed that no listing has verified and that is not damaged. The
/// oldest and not the newest: otherwise a source with an archive a day would always wait for the next inventory.
fn oldest_unverified(
    source: &OpenSource<'_>,
    catalog: &Catalog,
) -> Result<Option<Timestamp>, Error> {
    let ledger = &source.row.ledger;
    let waiting: Vec<u64> = catalog
        .visible(ledger)?
        .iter()
        .filter(|row| row.verified_at.is_none() && row.damaged_at.is_none())
        .filter_map(|row| row.seq)
        .collect();
    if waiting.is_empty() {
        return Ok(None);
    }
    let signed = signed_at(catalog, ledger)?;
    let times = waiting.iter().filter_map(|seq| signed.get(seq));
    Ok(times.min().copied().map(Timestamp))
}
