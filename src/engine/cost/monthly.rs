//! What it costs each month to keep what a source has at home and in its copies, as the catalog knows it.

use crate::catalog::{Catalog, ObjectTotals};
use crate::config::{Config, Source};
use crate::engine::cost::places::{CostedPlace, costed_places};
use crate::error::Error;
use crate::model::{LedgerId, StorageClass};
use crate::plan::{KeptCost, KeptObjects, KeptPart, PlaceCost, SMALL_OBJECT_BYTES};

/// Returns what a source costs each month: at home first, then in each copy that the catalog knows. Empty if the source
/// was never archived.
///
/// It takes a few queries for each place, whose time grows with the archives that are not deleted.
pub fn monthly_cost(
    config: &Config,
    source: &Source,
    catalog: &Catalog,
) -> Result<Vec<PlaceCost>, Error> {
    let Some(row) = catalog.source(&source.name)? else {
        return Ok(Vec::new());
    };
    let places = costed_places(config, &row, catalog)?;
    let places = places
        .iter()
        .map(|place| place.cost(config, &row.ledger, catalog));
    places.collect()
}

impl CostedPlace<'_> {
    fn cost(
        &self,
        config: &Config,
        ledger: &LedgerId,
        catalog: &Catalog,
    ) -> Result<PlaceCost, Error> {
        let place = self.number();
        let (of_segments, of_others) = self.pricing(config);
        let mut kept: Vec<KeptCost> = self
            .segments(ledger, catalog)?
            .into_iter()
            .map(|kept| kept.priced(of_segments, &config.prices))
            .collect();
        let archives = catalog.kept_archives(ledger, place)?;
        for (part, totals) in [
            (
                KeptPart::Contents,
                catalog.kept_contents(ledger, place, archives)?,
            ),
            (
                KeptPart::Keys,
                ObjectTotals {
                    objects: archives,
                    bytes: archives * SMALL_OBJECT_BYTES,
                },
            ),
            (KeptPart::Ledger, self.ledger_objects(ledger, catalog)?),
        ] {
            if totals.objects > 0 {
                let class = StorageClass::Standard;
                let objects = KeptObjects::plain(part, class, totals.objects, totals.bytes);
                kept.push(objects.priced(of_others, &config.prices));
            }
        }
        Ok(PlaceCost {
            name: self.name.clone(),
            store: self.url.clone(),
            is_home: self.row.is_none(),
            kept,
        })
    }

    /// Returns the segments there by part and class, with a class for those of which none is known.
    fn segments(&self, ledger: &LedgerId, catalog: &Catalog) -> Result<Vec<KeptObjects>, Error> {
        let mut merged: Vec<KeptObjects> = Vec::new();
        for row in catalog.kept_segments(ledger, self.number())? {
            let class = row.class.unwrap_or(self.put_class());
            let mut billed_bytes = row.bytes;
            let minimum = class.minimum_bytes();
            if row.is_committed && minimum > 0 {
                billed_bytes =
                    catalog.raised_segments(ledger, self.number(), row.class, minimum)?;
            }
            let part = if row.is_committed {
                KeptPart::Segments
            } else {
                KeptPart::Unfinished
            };
            let there = merged
                .iter_mut()
                .find(|kept| (kept.part, kept.class) == (part, class));
            match there {
                Some(kept) => {
                    kept.objects += row.objects;
                    kept.bytes += row.bytes;
                    kept.billed_bytes += billed_bytes;
                }
                None => merged.push(KeptObjects {
                    part,
                    class,
                    objects: row.objects,
                    bytes: row.bytes,
                    billed_bytes,
                }),
            }
        }
        merged.sort_by_key(|kept| (kept.part, kept.class));
        Ok(merged)
    }
}
