//! Each test tells the sums in comments, from the list prices.

use super::*;
use crate::plan::forecast::facts::MonthCost;
use crate::plan::forecast::sizes::SizeModel;
use crate::plan::pricing::usd::{GB, Usd};
use crate::plan::sample::{date, facts as night_facts, history};
use crate::plan::{History, Schedule, simulate};

const MIB: u64 = 1 << 20;

fn id(text: &str) -> ArchiveId {
    text.parse().unwrap()
}

fn sizes(id: ArchiveId, sealed_bytes: u64) -> ArchiveSizes {
    ArchiveSizes {
        id,
        raw_bytes: sealed_bytes,
        sealed_bytes,
        contents_objects: 0,
        contents_bytes: 0,
        entry_bytes: 0,
    }
}

/// Archives of a GB, and incrementals of 128 MiB, in segments of 128 MiB.
fn model() -> SizeModel {
    let full = sizes(id("2026-08-01-full-5f0c9a12d4e6b801"), GB);
    let incremental = sizes(id("2026-08-07-incr-5f0c9a12d4e6b801"), 128 * MIB);
    SizeModel::of(&[full, incremental]).unwrap()
}

fn place(class: StorageClass) -> ForecastPlace {
    ForecastPlace {
        name: "deep".to_owned(),
        copied: None,
        class,
        segments: Pricing::Known,
        others: Pricing::Known,
        is_kept_up: true,
        is_locked: false,
        kept: Vec::new(),
        lacks: Vec::new(),
        ledger_bytes: 0,
    }
}

fn kept(id: ArchiveId, chain: ArchiveId, class: StorageClass, bytes: u64) -> KeptArchive {
    KeptArchive {
        id,
        chain,
        stored: id.date,
        is_retired: false,
        objects: objects_of(&sizes(id, bytes), 128 * MIB, class),
    }
}

/// The forecast of so many months, from a date on which there are these archives.
fn forecast_of(
    first: &str,
    archives: History,
    schedule: &Schedule,
    months: u32,
    places: &[ForecastPlace],
) -> SourceForecast {
    let until = forecast_until(date(first), months).unwrap();
    let nights = simulate(night_facts(first, archives), schedule, until);
    forecast(
        &ForecastFacts {
            nights: &nights,
            sizes: &model(),
            segment_bytes: 128 * MIB,
            delete_after_days: 7,
            schedule,
            prices: &Prices::built_in(),
        },
        places,
    )
}

/// Storage, requests, early deletion and copying of each month, in millionths.
fn micros(forecast: &SourceForecast, place: usize) -> Vec<[u64; 4]> {
    let costs = forecast.places[place].costs.as_ref().unwrap();
    let told = |cost: &MonthCost| {
        [
            cost.storage,
            cost.requests,
            cost.early_deletion,
            cost.copying,
        ]
        .map(Usd::micros)
    };
    costs.iter().map(told).collect()
}

/// Archives nothing in February.
fn idle() -> Schedule {
    Schedule {
        days: vec![31],
        catch_up: false,
        ..Schedule::default()
    }
}

#[test]
fn months_are_those_of_the_calendar_and_the_first_may_be_cut() {
    let months = |first: &str, count| -> Vec<(String, String, bool)> {
        let forecast = forecast_of(first, History::default(), &idle(), count, &[]);
        let told = forecast.months.iter();
        told.map(|it| (it.first.to_string(), it.last.to_string(), it.is_whole()))
            .collect()
    };
    let month = |first: &str, last: &str, whole| (first.to_owned(), last.to_owned(), whole);
    assert_eq!(
        months("2027-12-30", 3),
        [
            month("2027-12-30", "2027-12-31", false),
            month("2028-01-01", "2028-01-31", true),
            month("2028-02-01", "2028-02-29", true),
            month("2028-03-01", "2028-03-31", true),
        ]
    );
    assert_eq!(
        months("2028-02-01", 1),
        [month("2028-02-01", "2028-02-29", true)]
    );
    assert_eq!(forecast_until(NaiveDate::MAX, 1), None);
}

#[test]
fn what_stays_costs_its_list_price_in_each_whole_month() {
    let full = id("2026-01-01-full-5f0c9a12d4e6b801");
    let mut deep = place(StorageClass::DeepArchive);
    deep.kept = vec![kept(full, full, StorageClass::DeepArchive, 1024 * GB)];
    deep.ledger_bytes = GB;
    // A copy that is made by hand.
    deep.is_kept_up = false;
    let forecast = forecast_of("2027-01-31", History::default(), &idle(), 2, &[deep]);
    // 8192 × 32 KiB = 0.25 GB: 1024.25 × 0.00099 = 1.0140075
    // STANDARD: 8192 × 8 KiB = 0.0625 GB, × 0.023 = 0.0014375, for the vault's side apart;
    // the key of 1 KiB and a GB of ledger: 0.023 × (1 + 1 / 1048576) = 0.023000022
    let whole = 1_014_008 + 1_438 + 23_001;
    assert_eq!(micros(&forecast, 0)[1..], [[whole, 0, 0, 0]; 2]);
    // A day of 31
    assert_eq!(micros(&forecast, 0)[0][0], 32_710 + 47 + 742);
    assert_eq!(forecast.places[0].bytes[0], 1024 * GB + GB + 1024);
}

#[test]
fn a_chain_that_goes_too_early_is_paid_until_its_minimum_is_over() {
    let old = id("2026-11-03-full-5f0c9a12d4e6b801");
    let two_chains = history(&[&["2026-11-03"], &["2027-01-01"]]);
    for (class, micros_early) in [
        (StorageClass::Standard, 0),
        (StorageClass::StandardIa, 0),
        // Retired on the 90th day, deleted on the 97th.
        (StorageClass::GlacierIr, 0),
        // 83 days: 8 × 32 KiB = 0.000244140625 GB; 1.000244140625 × 0.00099 × 83 / 30
        (StorageClass::DeepArchive, 2_740),
    ] {
        let mut here = place(class);
        here.kept = vec![kept(old, old, class, GB)];
        let forecast = forecast_of("2027-02-01", two_chains.clone(), &idle(), 1, &[here]);
        assert_eq!(forecast.months[0].retired, 1);
        assert_eq!(micros(&forecast, 0)[0][2], micros_early, "{class}");
        // The entries of retiring and deleting, in STANDARD.
        assert_eq!(micros(&forecast, 0)[0][1], 10, "{class}");
        assert_eq!(forecast.places[0].bytes, [2048], "{class}");
    }
    // A lock that ends later than the time of grace: 2026-11-03 + 60 + 90 + 7 days is 2027-04-09
    let locked = Schedule {
        max_chain_days: Some(60),
        ..idle()
    };
    let mut here = place(StorageClass::DeepArchive);
    here.kept = vec![kept(old, old, here.class, GB)];
    here.is_locked = true;
    let forecast = forecast_of("2027-02-01", two_chains, &locked, 3, &[here]);
    // 157 days after the PUT: 1.000244140625 × 0.00099 × 23 / 30
    let early: Vec<u64> = micros(&forecast, 0).iter().map(|month| month[2]).collect();
    assert_eq!(early, [0, 0, 760]);
}

#[test]
fn a_retired_chain_goes_after_its_time_of_grace() {
    let old = id("2026-09-01-full-5f0c9a12d4e6b801");
    let mut here = place(StorageClass::Standard);
    here.kept = vec![KeptArchive {
        is_retired: true,
        ..kept(old, old, StorageClass::Standard, GB)
    }];
    let newer = history(&[&["2027-01-31"]]);
    let forecast = forecast_of("2027-02-01", newer, &idle(), 1, &[here]);
    // 7 of 28 days: 0.023 × 7 / 28 = 0.00575, and a key of 1 KiB; 21 days of an entry of 1 KiB
    assert_eq!(micros(&forecast, 0)[0][0], 5_751);
}

#[test]
fn each_night_puts_what_its_plan_makes() {
    let archives = history(&[&["2026-11-01"]]);
    let home = place(StorageClass::GlacierIr);
    let mut copy = place(StorageClass::DeepArchive);
    copy.copied = Some(CopyWay::ThroughMachine);
    let full = id("2026-11-01-full-5f0c9a12d4e6b801");
    copy.lacks = vec![kept(full, full, copy.class, 8 * GB)];
    let places = [home, copy];
    let schedule = Schedule::default();
    let forecast = forecast_of("2026-12-01", archives, &schedule, 1, &places);
    assert_eq!(forecast.months[0].incrementals, 4);
    // Home: 4 segments, 4 × 0.02 / 1000; 4 keys and 4 entries, 8 × 0.005 / 1000
    assert_eq!(micros(&forecast, 0)[0][1], 80 + 40);
    // The copy: 4 segments and 64 that it lacked, 68 × 0.05 / 1000; 5 keys and 5 entries
    assert_eq!(micros(&forecast, 1)[0][1], 3_400 + 50);
    // To read that at home: 68 × 0.01 / 1000, and 8.5 GB × 0.03; the first 100 GB of egress are free.
    assert_eq!(micros(&forecast, 0)[0][3], 680 + 255_000);
    assert_eq!(micros(&forecast, 1)[0][3], 0);
}

#[test]
fn a_store_without_prices_has_no_sums_and_a_free_one_costs_nothing() {
    let archives = history(&[&["2026-11-01"]]);
    let mut unknown = place(StorageClass::Standard);
    unknown.others = Pricing::Unknown;
    let mut free = place(StorageClass::DeepArchive);
    (free.segments, free.others) = (Pricing::Free, Pricing::Free);
    let full = id("2026-11-01-full-5f0c9a12d4e6b801");
    free.kept = vec![kept(full, full, free.class, GB)];
    let schedule = Schedule::default();
    let forecast = forecast_of("2026-12-01", archives, &schedule, 6, &[unknown, free]);
    assert_eq!(forecast.places[0].costs, None);
    assert_eq!(micros(&forecast, 1), [[0; 4]; 6]);
    assert!(forecast.places[0].bytes[5] > GB);
}
