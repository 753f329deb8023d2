//! What it costs to keep objects for a month, by what they are for and their storage class.

use super::cost::Pricing;
use super::prices::Prices;
use super::usd::Usd;
use crate::model::StorageClass;

/// Days in a month of storage, as AWS's list prices count them.
const MONTH_DAYS: u32 = 30;

/// What objects of a source are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeptPart {
    /// The segments of archives.
    Segments,
    /// The segments of archives that are not committed yet.
    Unfinished,
    /// The contents of archives, which say what files they have.
    Contents,
    /// The archive keys.
    Keys,
    /// The ledger's entries, markers, and the signpost for people.
    Ledger,
}

impl KeptPart {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 5] = [
        Self::Segments,
        Self::Unfinished,
        Self::Contents,
        Self::Keys,
        Self::Ledger,
    ];

    /// Returns its name, for people and for JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Segments => "segments",
            Self::Unfinished => "unfinished",
            Self::Contents => "contents",
            Self::Keys => "keys",
            Self::Ledger => "ledger",
        }
    }
}

/// Objects of one part and one storage class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeptObjects {
    /// What they are for.
    pub part: KeptPart,
    /// Their class.
    pub class: StorageClass,
    /// How many they are.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The bytes that are billed for them: each counts as [`StorageClass::minimum_bytes`] at least. What AWS bills beside
    /// each object is not in here.
    pub billed_bytes: u64,
}

/// What it costs to keep some objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeptCost {
    /// The objects.
    pub kept: KeptObjects,
    /// Whether the store's prices are known. A free store has no classes.
    pub pricing: Pricing,
    /// What a month costs, with what the class bills beside each object; `None` if the store's prices are not known.
    pub usd: Option<Usd>,
}

/// A store that has objects of a source, and what it costs to keep them there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlaceCost {
    /// The store's name in the config, or its URL if the config does not name it.
    pub name: String,
    /// The store's URL.
    pub store: String,
    /// Whether it is the source's home.
    pub is_home: bool,
    /// What is there, the parts in their order and the classes from the warmest. Empty if nothing is there.
    pub kept: Vec<KeptCost>,
}

impl KeptObjects {
    /// Makes objects of which each is billed as it is.
    pub const fn plain(part: KeptPart, class: StorageClass, objects: u64, bytes: u64) -> Self {
        Self {
            part,
            class,
            objects,
            bytes,
            billed_bytes: bytes,
        }
    }

    /// Returns what it costs to keep them for a month.
    pub fn priced(self, pricing: Pricing, prices: &Prices) -> KeptCost {
        let usd = match pricing {
            Pricing::Known => {
                Some(prices.of_holding(self.class, self.objects, self.billed_bytes, MONTH_DAYS))
            }
            Pricing::Free => Some(Usd::default()),
            Pricing::Unknown => None,
        };
        KeptCost {
            kept: self,
            pricing,
            usd,
        }
    }
}

impl PlaceCost {
    /// Returns what a month costs; `None` if the prices of anything that is there are not known.
    pub fn usd_a_month(&self) -> Option<Usd> {
        self.kept.iter().map(|cost| cost.usd).sum()
    }

    /// Returns the bytes of all objects there.
    pub fn bytes(&self) -> u64 {
        let bytes = self.kept.iter().map(|cost| cost.kept.bytes);
        bytes.fold(0, u64::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use super::super::usd::GB;
    use super::*;

    fn priced(class: StorageClass, objects: u64, bytes: u64, billed_bytes: u64) -> Option<u64> {
        let kept = KeptObjects {
            billed_bytes,
            ..KeptObjects::plain(KeptPart::Segments, class, objects, bytes)
        };
        let cost = kept.priced(Pricing::Known, &Prices::built_in());
        cost.usd.map(Usd::micros)
    }

    #[test]
    fn a_month_is_paid_with_what_the_class_bills_beside_each_object() {
        // 8192 × 32 KiB = 0.25 GB of the class, 8192 × 8 KiB = 0.0625 GB of STANDARD.
        // 1024.25 × 0.00099 = 1.0140075, 0.0625 × 0.023 = 0.0014375
        let tebibyte = 1024 * GB;
        assert_eq!(
            priced(StorageClass::DeepArchive, 8192, tebibyte, tebibyte),
            Some(1_014_008 + 1_438)
        );
        // 1024.25 × 0.0036 = 3.6873; a vault has nothing of STANDARD.
        assert_eq!(
            priced(StorageClass::Vault, 8192, tebibyte, tebibyte),
            Some(3_687_300)
        );
        // 1000 × 128 KiB = 0.1220703125 GB; × 0.0125
        assert_eq!(
            priced(StorageClass::StandardIa, 1000, 1000, 1000 * (128 << 10)),
            Some(1_526)
        );
    }

    #[test]
    fn a_place_has_a_sum_only_if_all_its_prices_are_known() {
        let prices = Prices::built_in();
        let of = |pricing| {
            KeptObjects::plain(KeptPart::Ledger, StorageClass::Standard, 1, GB)
                .priced(pricing, &prices)
        };
        let place = |kept: &[Pricing]| PlaceCost {
            name: "shelf".to_owned(),
            store: "file:///shelf".to_owned(),
            is_home: true,
            kept: kept.iter().map(|pricing| of(*pricing)).collect(),
        };
        let sum = |kept: &[Pricing]| place(kept).usd_a_month().map(Usd::micros);
        assert_eq!(sum(&[]), Some(0));
        assert_eq!(sum(&[Pricing::Free]), Some(0));
        assert_eq!(sum(&[Pricing::Known, Pricing::Known]), Some(46_000));
        assert_eq!(sum(&[Pricing::Known, Pricing::Unknown]), None);
        assert_eq!(place(&[Pricing::Free, Pricing::Known]).bytes(), 2 * GB);
    }
}
