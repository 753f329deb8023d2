//! Carries the nights to come out in numbers.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{Datelike, Days, Months, NaiveDate};

use super::divided::divided;
use super::facts::{
    CopyWay, ForecastFacts, ForecastMonth, ForecastPlace, KeptArchive, PlaceForecast,
    SMALL_OBJECT_BYTES, SourceForecast,
};
use super::meter::PlaceMeter;
use super::sizes::ArchiveSizes;
use crate::model::{ArchiveId, Sha256, StorageClass};
use crate::plan::backup::BackupPlan;
use crate::plan::pricing::cost::Pricing;
use crate::plan::pricing::kept::{KeptObjects, KeptPart};
use crate::plan::pricing::prices::Prices;
use crate::plan::simulate::archive_of;

/// The chains that are deleted on each date.
type Deletions = BTreeMap<NaiveDate, BTreeSet<ArchiveId>>;

/// Returns the last night of a forecast: that of so many whole calendar months after what is left of the month of `first`. If
/// `first` begins a month, that one is the first of them.
///
/// `None` if the calendar ends before that.
pub fn forecast_until(first: NaiveDate, months: u32) -> Option<NaiveDate> {
    let begun = first.with_day(1)?;
    let rest = u32::from(first.day() > 1);
    let after = begun.checked_add_months(Months::new(months + rest))?;
    after.pred_opt()
}

/// Carries the nights out in every place. The first place is home.
pub fn forecast(facts: &ForecastFacts<'_>, places: &[ForecastPlace]) -> SourceForecast {
    let months = months(facts.nights);
    let mut meters: Vec<PlaceMeter<'_>> = places
        .iter()
        .map(|place| PlaceMeter::new(place, facts.prices, months.len()))
        .collect();
    for meter in &mut meters {
        carry_out_in(facts, &months, meter);
    }
    let mut forecasts: Vec<PlaceForecast> =
        meters.iter().map(|meter| meter.forecast(&months)).collect();
    if let (Some(home), Some(forecast)) = (places.first(), forecasts.first_mut()) {
        add_copying(home, &meters, facts.prices, forecast);
    }
    SourceForecast {
        months,
        places: forecasts,
    }
}

/// Returns the months of the nights.
fn months(nights: &[BackupPlan]) -> Vec<ForecastMonth> {
    let of_month = nights.chunk_by(|one, next| one.date.month() == next.date.month());
    let count = |nights: &[BackupPlan], action: &str| {
        let done = nights
            .iter()
            .filter(|night| night.action.as_str() == action);
        done.count() as u64
    };
    of_month
        .filter_map(|nights| {
            Some(ForecastMonth {
                first: nights.first()?.date,
                last: nights.last()?.date,
                fulls: count(nights, "full"),
                incrementals: count(nights, "incremental"),
                retired: nights.iter().map(|night| night.expire.len() as u64).sum(),
            })
        })
        .collect()
}

/// Carries the nights out in one place.
fn carry_out_in(facts: &ForecastFacts<'_>, months: &[ForecastMonth], meter: &mut PlaceMeter<'_>) {
    let Some(first) = facts.nights.first().map(|night| night.date) else {
        return;
    };
    let place = meter.place();
    // A later run deletes, so not the one that retires.
    let grace = Days::new(facts.delete_after_days.max(1).into());
    let deleted_on = |retired: NaiveDate, chain: ArchiveId| {
        let lock = facts.schedule.retained_until(chain.date);
        let locked = lock.filter(|_| place.is_locked);
        retired.checked_add_days(grace).max(locked)
    };
    let mut deletions = Deletions::new();
    let delete = |on: Option<NaiveDate>, chain: ArchiveId, all: &mut Deletions| {
        if let Some(on) = on {
            all.entry(on).or_default().insert(chain);
        }
    };
    for archive in &place.kept {
        if archive.is_retired {
            let on = deleted_on(first, archive.chain);
            delete(on, archive.chain, &mut deletions);
        }
        meter.keep(archive.clone());
    }
    for archive in &place.lacks {
        meter.put(
            0,
            KeptArchive {
                stored: first,
                ..archive.clone()
            },
            SMALL_OBJECT_BYTES,
        );
    }
    if !place.is_kept_up {
        for (at, month) in months.iter().enumerate() {
            let days = (month.last - month.first).num_days() + 1;
            (0..days).for_each(|_| meter.end_day(at));
        }
        return;
    }
    for night in facts.nights {
        let at = months.iter().rposition(|month| month.first <= night.date);
        let at = at.unwrap_or_default();
        if let Some(archive) = archive_of(night, Sha256([0; 32])) {
            let sizes = facts.sizes.on(night.date, archive.id.kind);
            let objects = objects_of(&sizes, facts.segment_bytes, place.class);
            let new = KeptArchive {
                id: archive.id,
                chain: archive.chain,
                stored: night.date,
                is_retired: false,
                objects,
            };
            meter.put(at, new, sizes.entry_bytes);
        }
        if !night.expire.is_empty() {
            meter.put_entry(at, SMALL_OBJECT_BYTES);
            for chain in &night.expire {
                let on = deleted_on(night.date, chain.id);
                delete(on, chain.id, &mut deletions);
            }
        }
        if let Some(chains) = deletions.remove(&night.date) {
            meter.put_entry(at, SMALL_OBJECT_BYTES);
            meter.delete(at, &chains, night.date);
        }
        meter.end_day(at);
    }
}

/// Returns the objects of an archive to come, or of one as if it had been stored otherwise.
pub fn objects_of(
    sizes: &ArchiveSizes,
    segment_bytes: u64,
    class: StorageClass,
) -> Vec<KeptObjects> {
    let (raw, sealed) = (sizes.raw_bytes, sizes.sealed_bytes);
    let plain =
        |part, objects, bytes| KeptObjects::plain(part, StorageClass::Standard, objects, bytes);
    vec![
        divided(raw, sealed, segment_bytes, class),
        plain(
            KeptPart::Contents,
            sizes.contents_objects,
            sizes.contents_bytes,
        ),
        plain(KeptPart::Keys, 1, SMALL_OBJECT_BYTES),
    ]
}

/// Adds to home's months what it costs to read there what its copies get.
fn add_copying(
    home: &ForecastPlace,
    meters: &[PlaceMeter<'_>],
    prices: &Prices,
    forecast: &mut PlaceForecast,
) {
    let Some(costs) = &mut forecast.costs else {
        return;
    };
    if home.segments != Pricing::Known {
        return;
    }
    let class = prices.class(home.class);
    for (at, cost) in costs.iter_mut().enumerate() {
        let (mut objects, mut bytes, mut sent) = (0, 0, 0);
        for meter in meters {
            let Some(way) = meter.place().copied else {
                continue;
            };
            let (of_copy, bytes_of_copy) = meter.segments_put(at);
            objects += of_copy;
            bytes += bytes_of_copy;
            if way == CopyWay::ThroughMachine {
                sent += bytes_of_copy;
            }
        }
        cost.copying = class.get_per_1000.of_requests(objects)
            + class.retrieval_per_gb.of_bytes(bytes)
            + prices.egress.of_bytes(sent);
    }
}

#[cfg(test)]
mod tests;
