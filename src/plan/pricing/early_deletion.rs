//! What it costs to delete objects before their minimum storage duration is over.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::super::strays::ListedObject;
use super::prices::Prices;
use super::usd::Usd;
use crate::model::StorageClass;

/// The objects of one storage class that are deleted before their minimum storage duration is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EarlyDeletion {
    /// The class.
    pub class: StorageClass,
    /// The minimum storage duration, in days.
    pub minimum_days: u32,
    /// How many objects are deleted before that.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The most days that are left for one of them.
    pub days: u32,
    /// Cost of the days that are left, with what the class bills beside each object. They are billed when the objects
    /// are deleted.
    pub usd: Usd,
}

/// Returns, for each storage class, what it costs to delete the objects at that time because of the minimum
/// storage duration. Objects of unknown age or class are not counted.
pub fn early_deletion<'a>(
    objects: impl IntoIterator<Item = &'a ListedObject>,
    at: DateTime<Utc>,
    prices: &Prices,
) -> Vec<EarlyDeletion> {
    let mut classes: BTreeMap<StorageClass, EarlyDeletion> = BTreeMap::new();
    for object in objects {
        let (Some(class), Some(stored)) = (object.class, object.stored) else {
            continue;
        };
        let age = u32::try_from((at - stored).num_days().max(0)).unwrap_or(u32::MAX);
        let days = class.minimum_days().saturating_sub(age);
        if days == 0 {
            continue;
        }
        let early = classes.entry(class).or_insert(EarlyDeletion {
            class,
            minimum_days: class.minimum_days(),
            objects: 0,
            bytes: 0,
            days: 0,
            usd: Usd::default(),
        });
        early.objects += 1;
        early.bytes += object.bytes;
        early.days = early.days.max(days);
        let billed = object.bytes.max(class.minimum_bytes());
        early.usd = early.usd + prices.of_class_held(class, 1, billed, days);
    }
    classes.into_values().collect()
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::super::usd::GB;
    use super::*;
    use crate::model::keys::ArchivePart;

    fn at() -> DateTime<Utc> {
        "2026-11-21T03:00:00Z".parse().unwrap()
    }

    fn object(class: Option<StorageClass>, bytes: u64, days: Option<i64>) -> ListedObject {
        ListedObject {
            key: "home/archives/x".to_owned(),
            part: Some(ArchivePart::Segment(0)),
            bytes,
            stored: days.map(|days| at() - TimeDelta::days(days)),
            class,
        }
    }

    #[test]
    fn the_days_that_an_object_lacks_are_paid_for_at_the_price_of_its_class() {
        let prices = Prices::built_in();
        // A cold class bills 32 KiB more: 1 / 32,768 of this object.
        for (class, days, lacks, micros) in [
            // 0.00099 × 80 / 30 = 0.00264
            (StorageClass::DeepArchive, 100, Some(80), 2_641),
            (StorageClass::DeepArchive, 180, None, 0),
            // 0.0036 × 90 / 30 = 0.0108
            (StorageClass::Glacier, 0, Some(90), 10_801),
            (StorageClass::Glacier, 90, None, 0),
            // 0.0036 × 60 / 30 = 0.0072
            (StorageClass::Vault, 30, Some(60), 7_201),
            // 0.004 × 1 / 30
            (StorageClass::GlacierIr, 89, Some(1), 134),
            // 0.0125 × 15 / 30
            (StorageClass::StandardIa, 15, Some(15), 6_250),
            (StorageClass::Standard, 0, None, 0),
        ] {
            let found = early_deletion(&[object(Some(class), GB, Some(days))], at(), &prices);
            let told = found.first().map(|early| (early.days, early.usd.micros()));
            assert_eq!(told, lacks.map(|lacks| (lacks, micros)), "{class} {days}");
        }
    }

    #[test]
    fn a_small_object_is_paid_for_with_what_is_billed_beside_it() {
        let mut prices = Prices::built_in();
        prices.class_mut(StorageClass::Vault).gb_month = 1000.0.try_into().unwrap();
        let small = object(Some(StorageClass::Vault), 32 << 10, Some(60));
        let early = early_deletion(&[small], at(), &prices)[0];
        // 2 × 32 KiB = 0.00006103515625 GB, for 30 days
        assert_eq!((early.bytes, early.usd.micros()), (32 << 10, 61_036));
    }

    #[test]
    fn an_object_below_the_minimum_of_its_class_is_paid_for_as_that() {
        let mut prices = Prices::built_in();
        let class = StorageClass::StandardIa;
        prices.class_mut(class).gb_month = 1000.0.try_into().unwrap();
        let early = early_deletion(&[object(Some(class), 1000, Some(10))], at(), &prices)[0];
        // 128 KiB = 0.0001220703125 GB, × 1000 × 20 / 30
        assert_eq!((early.bytes, early.usd.micros()), (1000, 81_381));
    }

    #[test]
    fn a_class_is_one_line_and_what_is_not_told_is_in_none() {
        let deep = Some(StorageClass::DeepArchive);
        let objects = [
            object(deep, 100, Some(170)),
            object(deep, 200, Some(150)),
            object(deep, 400, Some(200)),
            object(None, 800, Some(1)),
            object(deep, 1600, None),
            // The listing is a moment ahead of the clock.
            object(Some(StorageClass::Glacier), 1, Some(-1)),
        ];
        let found = early_deletion(&objects, at(), &Prices::built_in());
        let told: Vec<_> = found
            .iter()
            .map(|early| (early.class, early.objects, early.bytes, early.days))
            .collect();
        assert_eq!(
            told,
            [
                (StorageClass::Glacier, 1, 1, 90),
                (StorageClass::DeepArchive, 2, 300, 30),
            ]
        );
    }
}
