//! Costs as one JSON document. Sums are in US dollars with two decimals, rounded up; `null` is a sum that is not known.

use serde_json::{Value, json};

use super::answer::{CostAnswer, NOT_INCLUDED, SourceCosts, of_whole_months};
use crate::engine::{
    ArchiveCost, CostForecast, NewestRestore, NoForecast, RestoreCostAt, StoredOtherwise,
};
use crate::plan::pricing::prices::PriceOrigin;
use crate::plan::{
    Growth, KeptCost, MonthCost, PlaceCost, Pricing, SizeModel, SourceForecast, TierCost, Usd,
};

pub(in crate::commands) fn to_json(answer: &CostAnswer<'_>) -> Value {
    let sources = answer.sources.iter();
    let sources = sources.map(|costs| of_source(costs, answer.otherwise));
    let imported = answer.imports.iter().map(|(name, size)| {
        json!({
            "name": name, "archives": size.archives, "bytes": size.bytes,
            "usd_a_month": number(size.usd_a_month),
        })
    });
    let of = &answer.prices.of;
    let (known, all_known) = answer.now();
    json!({
        "from": answer.span.first,
        "months": answer.span.months,
        "prices": {
            "date": of.date, "region": of.region,
            "origin": match of.origin {
                PriceOrigin::BuiltIn => "built-in",
                PriceOrigin::Overlaid => "config",
            },
        },
        "usd_a_month": all_known.then(|| known.as_number()),
        "sources": sources.collect::<Vec<Value>>(),
        "imported": imported.collect::<Vec<Value>>(),
        "without_prices": answer.without_prices(),
        "not_included": NOT_INCLUDED,
    })
}

fn of_source(costs: &SourceCosts<'_>, otherwise: Option<StoredOtherwise>) -> Value {
    let mut document = json!({
        "source": costs.source.name,
        "usd_a_month": number(costs.usd_a_month()),
        "places": costs.places.iter().map(of_place).collect::<Vec<Value>>(),
        "forecast": null, "no_forecast": null, "sizes": null,
        "restore": costs.restore.iter().map(restore_at).collect::<Vec<Value>>(),
    });
    match &costs.forecast {
        Ok(foreseen) => {
            document["forecast"] = of_forecast(&foreseen.forecast);
            document["sizes"] = of_sizes(&foreseen.sizes, foreseen);
            if let (Some(foreseen), Some(asked)) = (&foreseen.otherwise, otherwise) {
                let now: Option<Usd> = foreseen.now.iter().copied().sum();
                document["otherwise"] = json!({
                    "storage_class": asked.class, "segment_bytes": asked.segment_bytes,
                    "usd_a_month": number(now), "forecast": of_forecast(&foreseen.forecast),
                });
            }
        }
        Err(reason) => document["no_forecast"] = json!(NoForecast::in_words(*reason)),
    }
    if let Some(archives) = &costs.archives {
        document["archives"] = archives.iter().map(of_archive).collect();
    }
    document
}

fn number(usd: Option<Usd>) -> Option<f64> {
    usd.map(Usd::as_number)
}

fn of_place(place: &PlaceCost) -> Value {
    let objects = place.kept.iter().map(|KeptCost { kept, pricing, usd }| {
        let class = (*pricing != Pricing::Free).then_some(kept.class);
        json!({
            "part": kept.part.as_str(), "class": class, "objects": kept.objects, "bytes": kept.bytes,
            "billed_bytes": kept.billed_bytes, "usd_a_month": number(*usd),
        })
    });
    json!({
        "place": place.name, "store": place.store, "is_home": place.is_home, "bytes": place.bytes(),
        "usd_a_month": number(place.usd_a_month()), "objects": objects.collect::<Vec<Value>>(),
    })
}

fn of_archive(archive: &ArchiveCost) -> Value {
    json!({
        "place": archive.place, "archive": archive.id, "class": archive.class,
        "is_retired": archive.is_retired, "objects": archive.objects, "bytes": archive.bytes,
        "usd_a_month": number(archive.usd),
    })
}

fn of_sizes(sizes: &SizeModel, foreseen: &CostForecast) -> Value {
    let growth = sizes.growth;
    let incremental = sizes.incremental;
    json!({
        "segment_bytes": foreseen.segment_bytes,
        "full_bytes": sizes.full.sealed_bytes,
        "fulls_of_growth": growth.map(|growth| growth.fulls),
        "growth_bytes_in_30_days": growth.map(Growth::bytes_a_month),
        "incremental_bytes": incremental.map(|incremental| incremental.sealed_bytes),
        "incrementals": sizes.incrementals,
    })
}

fn of_forecast(forecast: &SourceForecast) -> Value {
    let months = forecast.months.iter().enumerate().map(|(at, month)| {
        let places = forecast.places.iter().map(|place| {
            let mut document = of_month(place.costs.as_ref().map(|costs| costs[at]));
            document["place"] = json!(place.name);
            document["bytes"] = json!(place.bytes[at]);
            document
        });
        json!({
            "first": month.first, "last": month.last, "is_whole": month.is_whole(),
            "fulls": month.fulls, "incrementals": month.incrementals,
            "retired_chains": month.retired, "places": places.collect::<Vec<Value>>(),
        })
    });
    let whole = forecast.places.iter().map(|place| {
        let costs = place.costs.as_deref();
        let sum = costs.map(|costs| of_whole_months(&forecast.months, costs));
        let mut document = of_month(sum);
        document["place"] = json!(place.name);
        document
    });
    json!({
        "months": months.collect::<Vec<Value>>(),
        "whole_months": whole.collect::<Vec<Value>>(),
    })
}

fn of_month(cost: Option<MonthCost>) -> Value {
    json!({
        "usd_storage": number(cost.map(|cost| cost.storage)),
        "usd_requests": number(cost.map(|cost| cost.requests)),
        "usd_early_deletion": number(cost.map(|cost| cost.early_deletion)),
        "usd_copying": number(cost.map(|cost| cost.copying)),
        "usd": number(cost.map(|cost| cost.sum())),
    })
}

fn restore_at(at_place: &RestoreCostAt) -> Value {
    match &at_place.restore {
        Ok(restore) => of_restore(&at_place.name, restore),
        Err(why) => json!({ "place": at_place.name, "why_not": why }),
    }
}

fn of_restore(place: &str, restore: &NewestRestore) -> Value {
    let cost = &restore.estimate.cost;
    let sum = |usd: Usd| match restore.estimate.pricing {
        Pricing::Known => Some(usd.as_number()),
        Pricing::Free => Some(0.0),
        Pricing::Unknown => None,
    };
    let tiers = cost.tiers.iter().map(|tier: &TierCost| {
        json!({
            "tier": tier.tier, "hours": tier.hours(), "usd_requests": sum(tier.requests),
            "usd_retrieval": sum(tier.retrieval), "usd_thawed_copies": sum(tier.copies),
            "usd": sum(tier.usd + cost.usd_to_fetch()),
        })
    });
    json!({
        "place": place, "date": restore.date, "archives": restore.archives,
        "segments": restore.segments, "sealed_bytes": restore.sealed_bytes,
        "thaw_days": cost.thaw_days, "usd_egress": sum(cost.egress),
        "usd_to_fetch": sum(cost.usd_to_fetch()), "tiers": tiers.collect::<Vec<Value>>(),
    })
}
