//! Counts what is billed of one place, day by day.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;

use super::facts::{ForecastMonth, ForecastPlace, KeptArchive, MonthCost, PlaceForecast};
use crate::model::{ArchiveId, StorageClass};
use crate::plan::pricing::cost::Pricing;
use crate::plan::pricing::kept::{KeptObjects, KeptPart};
use crate::plan::pricing::prices::Prices;
use crate::plan::pricing::usd::Usd;

/// Which of the two stores of a place has an object. They are one, unless segments are in a vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum StoreOf {
    Segments,
    Others,
}

/// What is billed of a month.
#[derive(Debug, Clone, Default)]
struct Billed {
    /// For each class, the sum over the days of the bytes that are billed.
    byte_days: BTreeMap<(StoreOf, StorageClass), u128>,
    /// For each class, how many objects were put.
    puts: BTreeMap<(StoreOf, StorageClass), u64>,
    early_deletion: Usd,
    /// The segments that were put, and their bytes.
    segments_put: (u64, u64),
    bytes_at_end: u64,
}

/// Counts what is billed of one place.
pub(super) struct PlaceMeter<'a> {
    place: &'a ForecastPlace,
    prices: &'a Prices,
    chains: BTreeMap<ArchiveId, Vec<KeptArchive>>,
    /// For each class, the bytes that are billed now.
    held: BTreeMap<(StoreOf, StorageClass), u64>,
    bytes: u64,
    months: Vec<Billed>,
}

fn store_of(objects: &KeptObjects) -> StoreOf {
    match objects.part {
        KeptPart::Segments | KeptPart::Unfinished => StoreOf::Segments,
        KeptPart::Contents | KeptPart::Keys | KeptPart::Ledger => StoreOf::Others,
    }
}

/// Returns the bytes that are billed for some objects: at the price of which class, and how many.
fn billed(objects: &KeptObjects) -> [((StoreOf, StorageClass), u64); 2] {
    let (store, class) = (store_of(objects), objects.class);
    let index = objects.objects.saturating_mul(class.index_bytes());
    let listed = objects.objects.saturating_mul(class.listed_bytes());
    [
        ((store, class), objects.billed_bytes.saturating_add(index)),
        ((store, StorageClass::Standard), listed),
    ]
}

impl<'a> PlaceMeter<'a> {
    /// Starts with a place that has only its ledger.
    pub(super) fn new(place: &'a ForecastPlace, prices: &'a Prices, months: usize) -> Self {
        let ledger = (StoreOf::Others, StorageClass::Standard);
        Self {
            place,
            prices,
            chains: BTreeMap::new(),
            held: BTreeMap::from([(ledger, place.ledger_bytes)]),
            bytes: place.ledger_bytes,
            months: vec![Billed::default(); months],
        }
    }

    /// The place.
    pub(super) fn place(&self) -> &'a ForecastPlace {
        self.place
    }

    /// Counts an archive that is there.
    pub(super) fn keep(&mut self, archive: KeptArchive) {
        for objects in &archive.objects {
            for (at, bytes) in billed(objects) {
                *self.held.entry(at).or_default() += bytes;
            }
            self.bytes += objects.bytes;
        }
        self.chains.entry(archive.chain).or_default().push(archive);
    }

    /// Counts an archive that is put in that month, with its entry.
    pub(super) fn put(&mut self, month: usize, archive: KeptArchive, entry_bytes: u64) {
        let billed = &mut self.months[month];
        for objects in &archive.objects {
            let store = store_of(objects);
            *billed.puts.entry((store, objects.class)).or_default() += objects.objects;
            if store == StoreOf::Segments {
                billed.segments_put.0 += objects.objects;
                billed.segments_put.1 += objects.bytes;
            }
        }
        self.put_entry(month, entry_bytes);
        self.keep(archive);
    }

    /// Counts an entry that is put in that month. Entries stay.
    pub(super) fn put_entry(&mut self, month: usize, bytes: u64) {
        let at = (StoreOf::Others, StorageClass::Standard);
        *self.months[month].puts.entry(at).or_default() += 1;
        *self.held.entry(at).or_default() += bytes;
        self.bytes += bytes;
    }

    /// Deletes chains on a date of that month. Requests that delete cost nothing.
    pub(super) fn delete(&mut self, month: usize, chains: &BTreeSet<ArchiveId>, date: NaiveDate) {
        for chain in chains {
            for archive in self.chains.remove(chain).unwrap_or_default() {
                let age = (date - archive.stored).num_days().max(0);
                let age = u32::try_from(age).unwrap_or(u32::MAX);
                for objects in &archive.objects {
                    for (at, bytes) in billed(objects) {
                        *self.held.entry(at).or_default() -= bytes;
                    }
                    self.bytes -= objects.bytes;
                    let early = self.early_deletion(objects, age);
                    let billed = &mut self.months[month];
                    billed.early_deletion = billed.early_deletion + early;
                }
            }
        }
    }

    fn early_deletion(&self, objects: &KeptObjects, age: u32) -> Usd {
        let class = objects.class;
        let days = class.minimum_days().saturating_sub(age);
        if self.pricing(store_of(objects)) != Pricing::Known {
            return Usd::default();
        }
        let (count, bytes) = (objects.objects, objects.billed_bytes);
        self.prices.of_class_held(class, count, bytes, days)
    }

    /// Ends a day of that month.
    pub(super) fn end_day(&mut self, month: usize) {
        let billed = &mut self.months[month];
        for (at, bytes) in &self.held {
            *billed.byte_days.entry(*at).or_default() += u128::from(*bytes);
        }
        billed.bytes_at_end = self.bytes;
    }

    /// Returns how many segments were put in that month, and their bytes.
    pub(super) fn segments_put(&self, month: usize) -> (u64, u64) {
        self.months[month].segments_put
    }

    fn pricing(&self, store: StoreOf) -> Pricing {
        match store {
            StoreOf::Segments => self.place.segments,
            StoreOf::Others => self.place.others,
        }
    }

    /// Returns what was counted, priced.
    pub(super) fn forecast(&self, months: &[ForecastMonth]) -> PlaceForecast {
        let is_known = [self.place.segments, self.place.others]
            .iter()
            .all(|pricing| *pricing != Pricing::Unknown);
        let of_months = self.months.iter().zip(months);
        let costs = of_months.map(|(billed, month)| self.price(billed, month.days_in_month()));
        PlaceForecast {
            name: self.place.name.clone(),
            class: self.place.class,
            costs: is_known.then(|| costs.collect()),
            bytes: self.months.iter().map(|it| it.bytes_at_end).collect(),
        }
    }

    fn price(&self, billed: &Billed, days_in_month: u32) -> MonthCost {
        let is_priced = |store| self.pricing(store) == Pricing::Known;
        let byte_days = billed.byte_days.iter();
        let storage =
            byte_days
                .filter(|((store, _), _)| is_priced(*store))
                .map(|((_, class), days)| {
                    let at = self.prices.class(*class).gb_month;
                    at.of_byte_days(*days, days_in_month)
                });
        let puts = billed.puts.iter();
        let requests = puts
            .filter(|((store, _), _)| is_priced(*store))
            .map(|((_, class), puts)| self.prices.class(*class).put_per_1000.of_requests(*puts));
        MonthCost {
            storage: storage.sum(),
            requests: requests.sum(),
            early_deletion: billed.early_deletion,
            copying: Usd::default(),
        }
    }
}
