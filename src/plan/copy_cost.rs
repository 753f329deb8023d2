//! What a copy costs, by the list prices: to read at home, to write into the copy, and to keep there.
//!
//! The bytes pass through the machine that copies, so home's egress is that to the internet, as for a
//! restore. A machine in the store's own region pays less. The other way is free: no store takes money for
//! bytes that arrive.

use super::pricing::cost::{Pricing, RestoreCost, Stored, price_restore};
use super::pricing::prices::Prices;
use super::pricing::usd::Usd;
use crate::model::{StorageClass, Tier, TierRefused};

/// Days in a month of storage, as AWS counts them.
const MONTH_DAYS: u32 = 30;

/// The input of the estimate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyCostFacts<'a> {
    /// What is read from each storage class of home, at most one element each.
    pub reads: &'a [Stored],
    /// What is written, at most one element for each storage class.
    pub puts: &'a [CopyPut],
    /// Days that home's thawed copies are to stay readable.
    pub thaw_days: u32,
    /// Whether the prices are home's.
    pub home: Pricing,
    /// Whether the prices are the copy's.
    pub copy: Pricing,
    /// The prices.
    pub prices: &'a Prices,
}

/// The objects that are put into one storage class of the copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopyPut {
    /// The class.
    pub class: StorageClass,
    /// How many they are: one PUT each.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What a copy costs, estimated from a table of prices.
///
/// It leaves out small costs: listings, and the ledger's entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyCost {
    /// What it costs to read everything at home.
    pub reads: RestoreCost,
    /// Whether that is valid.
    pub home: Pricing,
    /// What it costs to write, by storage class.
    pub puts: Vec<PutCost>,
    /// Whether that is valid.
    pub copy: Pricing,
}

/// What it costs to put objects into one storage class, and to keep them there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PutCost {
    /// The objects.
    pub put: CopyPut,
    /// Cost of the requests.
    pub requests: Usd,
    /// Cost of keeping the objects for a month, with what the class bills beside each.
    pub month: Usd,
    /// Cost of the class's minimum storage duration. It is due however early the objects are deleted.
    pub minimum: Usd,
}

/// The side of a copy whose prices are not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopySide {
    /// Where it is read.
    Home,
    /// Where it is written.
    Copy,
}

/// Why a copy is not begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CopyCostRefusal {
    /// A class to be thawed does not have the tier.
    #[error(transparent)]
    Tier(#[from] TierRefused),
    /// The estimate is above the limit.
    #[error("the copy would cost USD {estimate} by estimate, more than the limit of USD {limit}")]
    Beyond {
        /// The estimate.
        estimate: Usd,
        /// The limit.
        limit: Usd,
    },
    /// The limit can't be compared with anything.
    #[error("cannot apply a limit: the prices of {} are not known", .0.store())]
    NoPrices(CopySide),
}

impl CopySide {
    /// Returns what messages call its store.
    pub const fn store(self) -> &'static str {
        match self {
            Self::Home => "the store that is copied from",
            Self::Copy => "the store that is copied to",
        }
    }
}

/// Estimates a copy.
pub fn price_copy(facts: &CopyCostFacts<'_>) -> CopyCost {
    let price_put = |put: &CopyPut| {
        let class = facts.prices.class(put.class);
        PutCost {
            put: *put,
            requests: class.put_per_1000.of_requests(put.objects),
            month: facts
                .prices
                .of_holding(put.class, put.objects, put.bytes, MONTH_DAYS),
            minimum: facts.prices.of_class_held(
                put.class,
                put.objects,
                put.bytes,
                put.class.minimum_days(),
            ),
        }
    };
    CopyCost {
        reads: price_restore(facts.reads, facts.thaw_days, facts.prices),
        home: facts.home,
        puts: facts.puts.iter().map(price_put).collect(),
        copy: facts.copy,
    }
}

impl CopyCost {
    /// Returns the cost of thawing at home by that tier; an error if a class to be thawed does not have it.
    pub fn usd_to_thaw(&self, tier: Tier) -> Result<Usd, TierRefused> {
        let all = self.reads.usd_total(tier)?;
        let fetch = self.reads.usd_to_fetch();
        Ok(Usd::from_micros(
            all.micros().saturating_sub(fetch.micros()),
        ))
    }

    /// Returns what reading at home costs, thawed by that tier; `None` if its prices are not known.
    pub fn usd_to_read(&self, tier: Tier) -> Result<Option<Usd>, TierRefused> {
        let usd = self.reads.usd_total(tier)?;
        Ok(valid(usd, self.home))
    }

    /// Returns what the requests of writing cost; `None` if the copy's prices are not known.
    pub fn usd_to_write(&self) -> Option<Usd> {
        valid(self.sum(|put| put.requests), self.copy)
    }

    /// Returns what a month of keeping costs; `None` if the copy's prices are not known.
    pub fn usd_a_month(&self) -> Option<Usd> {
        valid(self.sum(|put| put.month), self.copy)
    }

    /// Returns the total cost of making the copy, without keeping it; `None` if any of it is not known.
    pub fn usd_total(&self, tier: Tier) -> Result<Option<Usd>, TierRefused> {
        let read = self.usd_to_read(tier)?;
        let write = self.usd_to_write();
        Ok(read.zip(write).map(|(read, write)| read + write))
    }

    /// Returns the side whose prices are not known, home first.
    pub fn unknown(&self) -> Option<CopySide> {
        match (self.home, self.copy) {
            (Pricing::Unknown, _) => Some(CopySide::Home),
            (_, Pricing::Unknown) => Some(CopySide::Copy),
            _ => None,
        }
    }

    fn sum(&self, of: impl Fn(&PutCost) -> Usd) -> Usd {
        self.puts.iter().map(of).sum()
    }
}

/// Refuses a tier that a class to be thawed does not have, and a copy that costs more than `max` to make.
///
/// What it costs to keep is not compared: it has no end.
pub fn refuse_copy_beyond(
    cost: &CopyCost,
    tier: Tier,
    max: Option<Usd>,
) -> Result<(), CopyCostRefusal> {
    let estimate = cost.usd_total(tier)?;
    let Some(limit) = max else {
        return Ok(());
    };
    match (estimate, cost.unknown()) {
        (None, Some(side)) => Err(CopyCostRefusal::NoPrices(side)),
        (Some(estimate), _) if estimate > limit => Err(CopyCostRefusal::Beyond { estimate, limit }),
        _ => Ok(()),
    }
}

fn valid(usd: Usd, pricing: Pricing) -> Option<Usd> {
    match pricing {
        Pricing::Known => Some(usd),
        Pricing::Free => Some(Usd::default()),
        Pricing::Unknown => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::pricing::usd::GB;
    use super::Pricing::{Free, Known, Unknown};
    use super::*;

    fn stored(class: StorageClass, segments: u64, sealed_bytes: u64) -> Stored {
        Stored {
            class,
            segments,
            sealed_bytes,
            readable_segments: 0,
            readable_bytes: 0,
            parts: None,
        }
    }

    fn put(class: StorageClass, objects: u64, bytes: u64) -> CopyPut {
        CopyPut {
            class,
            objects,
            bytes,
        }
    }

    fn priced(reads: &[Stored], puts: &[CopyPut], home: Pricing, copy: Pricing) -> CopyCost {
        price_copy(&CopyCostFacts {
            reads,
            puts,
            thaw_days: 7,
            home,
            copy,
            prices: &Prices::built_in(),
        })
    }

    /// 1 TiB in segments of 128 MiB.
    fn tebibyte(home: StorageClass, copy: StorageClass) -> CopyCost {
        priced(
            &[stored(home, 8192, 1024 * GB)],
            &[put(copy, 8192, 1024 * GB)],
            Pricing::Known,
            Pricing::Known,
        )
    }

    fn micros(usd: Option<Usd>) -> Option<u64> {
        usd.map(Usd::micros)
    }

    #[test]
    fn a_copy_out_of_a_warm_class_costs_requests_and_egress() {
        let cost = tebibyte(StorageClass::Standard, StorageClass::DeepArchive);
        // GETs: 8192 × 0.0004 / 1000 = 0.0032768, egress: (1024 − 100) × 0.09 = 83.16
        assert_eq!(
            micros(cost.usd_to_read(Tier::Bulk).unwrap()),
            Some(83_163_277)
        );
        // PUTs: 8192 × 0.05 / 1000 = 0.4096
        assert_eq!(micros(cost.usd_to_write()), Some(409_600));
        assert_eq!(
            micros(cost.usd_total(Tier::Bulk).unwrap()),
            Some(83_572_877)
        );
        // Beside each object: 8192 × 32 KiB = 0.25 GB of the class, 8192 × 8 KiB = 0.0625 GB of STANDARD.
        // 1024.25 × 0.00099 = 1.0140075, for 180 days: × 6; 0.0625 × 0.023 = 0.0014375
        assert_eq!(micros(cost.usd_a_month()), Some(1_014_008 + 1_438));
        assert_eq!(cost.puts[0].minimum, Usd::from_micros(6_084_045));
    }

    #[test]
    fn a_copy_out_of_a_cold_class_also_costs_a_thaw() {
        let cost = tebibyte(StorageClass::DeepArchive, StorageClass::StandardIa);
        // copies: 1024 × 0.023 × 7 / 30 = 5.495467, bulk: 1024 × 0.0025 = 2.56, 8192 × 0.025 / 1000 = 0.2048
        assert_eq!(
            cost.usd_to_thaw(Tier::Bulk),
            Ok(Usd::from_micros(8_260_267))
        );
        // 20.48 + 0.8192 + 5.495467
        assert_eq!(
            cost.usd_to_thaw(Tier::Standard),
            Ok(Usd::from_micros(26_794_667))
        );
        // PUTs: 8192 × 0.01 / 1000 = 0.08192; 83.163277 + 8.260267 + 0.08192
        assert_eq!(
            micros(cost.usd_total(Tier::Bulk).unwrap()),
            Some(91_505_464)
        );
        // 1024 × 0.0125 = 12.8, and 30 days are a month
        assert_eq!(micros(cost.usd_a_month()), Some(12_800_000));
        assert_eq!(cost.puts[0].minimum, Usd::from_micros(12_800_000));
        assert_eq!(
            refuse_copy_beyond(&cost, Tier::Expedited, None)
                .unwrap_err()
                .to_string(),
            "DEEP_ARCHIVE has no tier `expedited`, only `standard` and `bulk`"
        );
    }

    #[test]
    fn what_is_put_into_several_classes_adds_up() {
        let puts = [
            put(StorageClass::Glacier, 800, 100 * GB),
            put(StorageClass::Standard, 10, GB),
        ];
        let cost = priced(&[], &puts, Pricing::Free, Pricing::Known);
        // 800 × 0.03 / 1000 = 0.024, 10 × 0.005 / 1000 = 0.00005
        assert_eq!(micros(cost.usd_to_write()), Some(24_050));
        // Beside each object in GLACIER: 800 × 32 KiB = 0.0244140625 GB, and 800 × 8 KiB of STANDARD.
        // 100.0244140625 × 0.0036 = 0.360088, 0.006103515625 × 0.023 = 0.000140, 1 × 0.023
        assert_eq!(micros(cost.usd_a_month()), Some(360_088 + 141 + 23_000));
        // 0.360087890625 × 90 / 30; STANDARD has no minimum
        let minimum: Vec<u64> = cost.puts.iter().map(|put| put.minimum.micros()).collect();
        assert_eq!(minimum, [1_080_264, 0]);
    }

    #[test]
    fn a_free_side_costs_nothing_and_an_unknown_one_leaves_no_total() {
        let reads = [stored(StorageClass::Standard, 8192, 1024 * GB)];
        let puts = [put(StorageClass::Standard, 8192, 1024 * GB)];
        let of = |home, copy| {
            let cost = priced(&reads, &puts, home, copy);
            (micros(cost.usd_total(Tier::Bulk).unwrap()), cost.unknown())
        };
        // 8192 × 0.005 / 1000 = 0.04096
        assert_eq!(of(Free, Known), (Some(40_960), None));
        assert_eq!(of(Known, Free), (Some(83_163_277), None));
        assert_eq!(of(Free, Free), (Some(0), None));
        assert_eq!(of(Unknown, Free), (None, Some(CopySide::Home)));
        assert_eq!(of(Unknown, Unknown), (None, Some(CopySide::Home)));
        assert_eq!(of(Known, Unknown), (None, Some(CopySide::Copy)));
    }

    #[test]
    fn a_copy_beyond_the_limit_is_refused_with_both_sums() {
        let cost = tebibyte(StorageClass::DeepArchive, StorageClass::StandardIa);
        let refuse = |cost: &CopyCost, tier, max: &str| {
            let refused = refuse_copy_beyond(cost, tier, Some(max.parse().unwrap()));
            refused.map_err(|refusal| refusal.to_string())
        };
        assert_eq!(refuse(&cost, Tier::Bulk, "91.51"), Ok(()));
        assert_eq!(
            refuse(&cost, Tier::Bulk, "91.50").unwrap_err(),
            "the copy would cost USD 91.51 by estimate, more than the limit of USD 91.50"
        );
        let unknown = CopyCost {
            copy: Pricing::Unknown,
            ..cost.clone()
        };
        assert_eq!(
            refuse(&unknown, Tier::Bulk, "1000000").unwrap_err(),
            "cannot apply a limit: the prices of the store that is copied to are not known"
        );
        assert_eq!(refuse_copy_beyond(&unknown, Tier::Bulk, None), Ok(()));
        let unread = CopyCost {
            home: Pricing::Unknown,
            ..cost
        };
        assert_eq!(
            refuse(&unread, Tier::Bulk, "0").unwrap_err(),
            "cannot apply a limit: the prices of the store that is copied from are not known"
        );
        // Unknown prices don't make a tier out of nothing.
        assert_eq!(
            refuse(&unread, Tier::Expedited, "0").unwrap_err(),
            "DEEP_ARCHIVE has no tier `expedited`, only `standard` and `bulk`"
        );
    }

    #[test]
    fn nothing_to_copy_costs_nothing() {
        let cost = priced(&[], &[], Pricing::Known, Pricing::Known);
        assert_eq!(micros(cost.usd_total(Tier::Bulk).unwrap()), Some(0));
        assert_eq!(micros(cost.usd_a_month()), Some(0));
        assert_eq!(
            refuse_copy_beyond(&cost, Tier::Bulk, Some(Usd::default())),
            Ok(())
        );
    }
}
