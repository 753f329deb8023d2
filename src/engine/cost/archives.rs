//! What each archive of a source costs each month, in each of its places.

use crate::catalog::{Catalog, KeptArchiveRow};
use crate::config::{Config, Source};
use crate::engine::cost::forecast::objects_now;
use crate::engine::cost::places::{AT_LEAST, CostedPlace, costed_places};
use crate::error::Error;
use crate::model::{ArchiveId, StorageClass};
use crate::plan::{KeptPart, Usd};

/// An archive in a place, and what it costs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveCost {
    /// The place's name.
    pub place: String,
    /// The archive.
    pub id: ArchiveId,
    /// The class of its segments.
    pub class: StorageClass,
    /// Whether it is retired, and waits for its deletion.
    pub is_retired: bool,
    /// How many objects it has, with its contents and its key.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What a month costs; `None` if the place's prices are not known.
    pub usd: Option<Usd>,
}

/// Returns what each archive costs each month: at home first, then in each copy, by date.
pub fn archive_costs(
    config: &Config,
    source: &Source,
    catalog: &Catalog,
) -> Result<Vec<ArchiveCost>, Error> {
    let Some(row) = catalog.source(&source.name)? else {
        return Ok(Vec::new());
    };
    let mut costs = Vec::new();
    for place in costed_places(config, &row, catalog)? {
        let rows = catalog.kept_archive_rows(&row.ledger, place.number(), AT_LEAST)?;
        costs.extend(rows.iter().map(|archive| cost(config, &place, archive)));
    }
    Ok(costs)
}

fn cost(config: &Config, place: &CostedPlace<'_>, archive: &KeptArchiveRow) -> ArchiveCost {
    let (of_segments, of_others) = place.pricing(config);
    let class = archive.class.unwrap_or(place.put_class());
    let objects = objects_now(archive, class);
    let usd = objects.iter().map(|objects| {
        let pricing = match objects.part {
            KeptPart::Segments | KeptPart::Unfinished => of_segments,
            KeptPart::Contents | KeptPart::Keys | KeptPart::Ledger => of_others,
        };
        objects.priced(pricing, &config.prices).usd
    });
    ArchiveCost {
        place: place.name.clone(),
        id: archive.id,
        class,
        is_retired: archive.is_retired,
        usd: usd.sum(),
        objects: objects.iter().map(|objects| objects.objects).sum(),
        bytes: objects.iter().map(|objects| objects.bytes).sum(),
    }
}
