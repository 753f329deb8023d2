//! An independent calculation of what objects cost: every object by itself, day by day, in floating point, with
//! prices and rules written down once more from AWS's pages. It shares no code with the program.

#![expect(
    clippy::cast_precision_loss,
    reason = "an error of a billionth of a cent is none"
)]

use std::collections::BTreeMap;

use chrono::{Datelike, Days, NaiveDate};

/// 2^30 bytes.
const GB: f64 = 1_073_741_824.0;

/// What a class costs and asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Class {
    pub(crate) gb_month: f64,
    pub(crate) put: f64,
    pub(crate) get: f64,
    pub(crate) retrieval: f64,
    /// Days that are paid at least.
    pub(crate) days: i64,
    /// Bytes that are paid at least.
    pub(crate) least: u64,
    /// Bytes that are paid beside each object, in the class and in STANDARD.
    pub(crate) beside: (u64, u64),
}

/// The class of that name, by the list of 2026-11-21.
pub(crate) fn class(name: &str) -> Class {
    let plain = Class {
        gb_month: 0.023,
        put: 0.005,
        get: 0.0004,
        retrieval: 0.0,
        days: 0,
        least: 0,
        beside: (0, 0),
    };
    match name {
        "STANDARD" => plain,
        "STANDARD_IA" => Class {
            gb_month: 0.0125,
            put: 0.01,
            get: 0.001,
            retrieval: 0.01,
            days: 30,
            least: 131_072,
            ..plain
        },
        "GLACIER_IR" => Class {
            gb_month: 0.004,
            put: 0.02,
            get: 0.01,
            retrieval: 0.03,
            days: 90,
            least: 131_072,
            ..plain
        },
        "GLACIER" => Class {
            gb_month: 0.0036,
            put: 0.03,
            days: 90,
            beside: (32_768, 8_192),
            ..plain
        },
        "DEEP_ARCHIVE" => Class {
            gb_month: 0.00099,
            put: 0.05,
            days: 180,
            beside: (32_768, 8_192),
            ..plain
        },
        "GLACIER_VAULT" => Class {
            gb_month: 0.0036,
            put: 0.03,
            days: 90,
            beside: (32_768, 0),
            ..plain
        },
        other => panic!("{other}"),
    }
}

/// An object in a place.
#[derive(Debug, Clone)]
pub(crate) struct Object {
    pub(crate) bytes: u64,
    pub(crate) class: Class,
    pub(crate) put: NaiveDate,
    /// The day from which it is not there; `None` if it stays.
    pub(crate) deleted: Option<NaiveDate>,
    /// Whether it is put by the forecast, and not there before.
    pub(crate) is_new: bool,
}

/// What a month costs.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Bill {
    pub(crate) storage: f64,
    pub(crate) requests: f64,
    pub(crate) early: f64,
}

impl Object {
    fn is_there(&self, day: NaiveDate) -> bool {
        self.put <= day && self.deleted.is_none_or(|deleted| day < deleted)
    }

    /// What a day costs in a month of so many days.
    fn day(&self, standard: Class, days: f64) -> f64 {
        let (index, listed) = self.class.beside;
        let billed = self.bytes.max(self.class.least) + index;
        (billed as f64 * self.class.gb_month + listed as f64 * standard.gb_month) / GB / days
    }
}

/// The bill of each calendar month from that day on, of so many days in all, by its first day in the span.
pub(crate) fn bills(
    objects: &[Object],
    standard: Class,
    (first, until): (NaiveDate, NaiveDate),
) -> BTreeMap<NaiveDate, Bill> {
    let mut bills = BTreeMap::new();
    let mut day = first;
    let mut begun = first;
    while day <= until {
        if day.day() == 1 {
            begun = day;
        }
        let next_month = (day.with_day(1).unwrap() + Days::new(32))
            .with_day(1)
            .unwrap();
        let days = (next_month - day.with_day(1).unwrap()).num_days() as f64;
        let bill: &mut Bill = bills.entry(begun).or_default();
        for object in objects {
            if object.is_there(day) {
                bill.storage += object.day(standard, days);
            }
            if object.is_new && object.put == day {
                bill.requests += object.class.put / 1000.0;
            }
            if object.deleted == Some(day) {
                let left = object.class.days - (day - object.put).num_days();
                let billed = object.bytes.max(object.class.least) + object.class.beside.0;
                let month = billed as f64 * object.class.gb_month / GB;
                bill.early += month * left.max(0) as f64 / 30.0;
            }
        }
        day = day + Days::new(1);
    }
    bills
}

/// What a month of everything that is there on a day costs, counted as 30 days.
pub(crate) fn a_month(objects: &[Object], standard: Class, day: NaiveDate) -> f64 {
    let there = objects.iter().filter(|object| object.is_there(day));
    there.map(|object| object.day(standard, 1.0)).sum()
}

/// An archive of the schedule, by its rules in words of their own.
#[derive(Debug, Clone)]
pub(crate) struct Night {
    pub(crate) date: NaiveDate,
    pub(crate) is_full: bool,
}

/// What the nights from `first` to `until` do by the default schedule, after these archives: each archive, with the day on
/// which its objects are deleted; and the days on which chains are retired.
pub(crate) fn nights(
    before: &[Night],
    (first, until): (NaiveDate, NaiveDate),
) -> (Vec<(Night, Option<NaiveDate>)>, Vec<NaiveDate>) {
    let mut chains: Vec<Vec<Night>> = Vec::new();
    for night in before {
        if night.is_full {
            chains.push(Vec::new());
        }
        chains.last_mut().unwrap().push(night.clone());
    }
    let mut gone: Vec<(Night, Option<NaiveDate>)> = Vec::new();
    let mut retired = Vec::new();
    let mut day = first;
    while day <= until {
        let newest = chains.last().and_then(|chain| chain.last()).unwrap().date;
        if newest < day && [1, 7, 14, 21].contains(&day.day()) {
            let is_full = chains.last().unwrap().len() == 12;
            if is_full {
                chains.push(Vec::new());
            }
            chains
                .last_mut()
                .unwrap()
                .push(Night { date: day, is_full });
        }
        while chains.len() > 1 && (day - chains[0].last().unwrap().date).num_days() >= 90 {
            retired.push(day);
            let chain = chains.remove(0);
            gone.extend(
                chain
                    .into_iter()
                    .map(|night| (night, Some(day + Days::new(7)))),
            );
        }
        day = day + Days::new(1);
    }
    gone.extend(chains.into_iter().flatten().map(|night| (night, None)));
    retired.dedup();
    (gone, retired)
}
