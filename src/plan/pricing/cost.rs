//! What a restore costs and how long its thaw takes, by the list prices.

use std::time::Duration;

use super::prices::{Prices, PricesOf};
use super::usd::Usd;
use crate::model::{StorageClass, Tier, TierRefused};

/// Whether the sums of an estimate are valid for a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pricing {
    /// The store's prices are known.
    Known,
    /// The store is free.
    Free,
    /// The store's prices are not known.
    Unknown,
}

/// The segments of a restore that lie in one storage class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// The class.
    pub class: StorageClass,
    /// How many there are: each is one object.
    pub segments: u64,
    /// Their bytes as stored.
    pub sealed_bytes: u64,
    /// How many of them a thaw has made readable already. Without meaning in a warm class.
    pub readable_segments: u64,
    /// The bytes of those.
    pub readable_bytes: u64,
    /// The parts of them that are fetched, if not all of them are.
    pub parts: Option<FetchedParts>,
}

/// Parts of segments that are fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FetchedParts {
    /// How many requests that takes.
    pub requests: u64,
    /// Bytes that the store sends.
    pub bytes: u64,
}

impl Stored {
    /// Requests that fetch what is needed.
    pub fn requests(&self) -> u64 {
        self.parts.map_or(self.segments, |parts| parts.requests)
    }

    /// Bytes that the store sends.
    pub fn fetched_bytes(&self) -> u64 {
        self.parts.map_or(self.sealed_bytes, |parts| parts.bytes)
    }

    /// The segments that must be thawed before they can be fetched.
    pub fn segments_to_thaw(&self) -> u64 {
        if self.class.is_cold() {
            self.segments.saturating_sub(self.readable_segments)
        } else {
            0
        }
    }

    /// Their bytes.
    pub fn bytes_to_thaw(&self) -> u64 {
        if self.segments_to_thaw() == 0 {
            0
        } else {
            self.sealed_bytes.saturating_sub(self.readable_bytes)
        }
    }
}

/// What a restore costs, estimated from a table of prices.
///
/// It leaves out small costs: the requests that ask whether a thaw is over, the archives' keys and the
/// ledger. It also leaves out what can't be known here: tax, discounts, and other egress of the account in
/// the same month, which uses up the free part and reaches the cheaper steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreCost {
    /// By storage class, in the order of the facts.
    pub classes: Vec<ClassCost>,
    /// Days that thawed copies stay readable.
    pub thaw_days: u32,
    /// The tiers that every class with something to thaw has, the fastest first. Empty if there is nothing to
    /// thaw.
    pub tiers: Vec<TierCost>,
    /// Cost of sending everything out of the store, in a month that sends nothing else.
    pub egress: Usd,
    /// GB of egress that are free each month; `None` if the prices have no such limit.
    pub free_egress_gb: Option<u64>,
    /// Which prices this was estimated from.
    pub prices: PricesOf,
}

/// What it costs to fetch the segments of one storage class, once they are readable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassCost {
    /// The segments.
    pub stored: Stored,
    /// Cost of the requests: one GET for each segment, or for each part of one.
    pub gets: Usd,
    /// Cost of reading the bytes from a warm class; 0 for a cold one.
    pub retrieval: Usd,
}

/// A thaw by one tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TierCost {
    /// The tier.
    pub tier: Tier,
    /// Cost of the requests, the bytes, and the copies for as long as they stay readable.
    pub usd: Usd,
    /// The part of it that is for the requests: one for each segment.
    pub requests: Usd,
    /// The part of it that is for the bytes.
    pub retrieval: Usd,
    /// The part of it that is for the copies.
    pub copies: Usd,
    /// Time until everything is readable, by [`StorageClass::thaw_time`].
    pub until_readable: Duration,
}

/// Why a restore is not begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CostRefusal {
    /// A class to be thawed does not have the tier.
    #[error(transparent)]
    Tier(#[from] TierRefused),
    /// The estimate is above the limit.
    #[error(
        "the restore would cost USD {estimate} by estimate, more than the limit of USD {limit}"
    )]
    Beyond {
        /// The estimate.
        estimate: Usd,
        /// The limit.
        limit: Usd,
    },
}

/// Estimates a restore, given what it fetches from each storage class (at most one element each)
/// and how many days its thawed copies are to stay readable.
///
/// A thawed copy costs as much as an object in `STANDARD`, in addition to the archived object (AWS, "Working
/// with archived objects"). AWS keeps it until the midnight (UTC) after those days; that part of a day is not
/// counted. The output of a vault's job costs nothing, and those days have no effect on it.
pub fn price_restore(stored: &[Stored], thaw_days: u32, prices: &Prices) -> RestoreCost {
    let bytes = stored.iter().map(Stored::fetched_bytes);
    let bytes = bytes.fold(0, u64::saturating_add);
    RestoreCost {
        classes: stored
            .iter()
            .map(|stored| price_class(stored, prices))
            .collect(),
        thaw_days,
        tiers: price_tiers(stored, thaw_days, prices),
        egress: prices.egress.of_bytes(bytes),
        free_egress_gb: prices.egress.free_gb(),
        prices: prices.of.clone(),
    }
}

fn price_class(stored: &Stored, prices: &Prices) -> ClassCost {
    let class = prices.class(stored.class);
    let retrieval = if stored.class.is_cold() {
        Usd::default()
    } else {
        class.retrieval_per_gb.of_bytes(stored.fetched_bytes())
    };
    ClassCost {
        stored: *stored,
        gets: class.get_per_1000.of_requests(stored.requests()),
        retrieval,
    }
}

fn price_tiers(stored: &[Stored], thaw_days: u32, prices: &Prices) -> Vec<TierCost> {
    let cold: Vec<&Stored> = stored
        .iter()
        .filter(|stored| stored.segments_to_thaw() > 0)
        .collect();
    if cold.is_empty() {
        return Vec::new();
    }
    let copies = prices.class(StorageClass::Standard).gb_month;
    let thaw = |tier: Tier| {
        let mut cost = TierCost {
            tier,
            usd: Usd::default(),
            requests: Usd::default(),
            retrieval: Usd::default(),
            copies: Usd::default(),
            until_readable: Duration::ZERO,
        };
        for stored in &cold {
            let asked = prices.tier(stored.class, tier)?;
            let bytes = stored.bytes_to_thaw();
            if stored.class.bills_thawed_copies() {
                cost.copies = cost.copies + copies.of_holding(bytes, thaw_days);
            }
            cost.retrieval = cost.retrieval + asked.per_gb.of_bytes(bytes);
            let requests = stored.segments_to_thaw();
            cost.requests = cost.requests + asked.per_1000_requests.of_requests(requests);
            let until = stored.class.thaw_time(tier)?;
            cost.until_readable = cost.until_readable.max(until);
        }
        cost.usd = cost.requests + cost.retrieval + cost.copies;
        Ok::<_, TierRefused>(cost)
    };
    Tier::ALL
        .into_iter()
        .filter_map(|tier| thaw(tier).ok())
        .collect()
}

/// Refuses a restore whose estimate is above a limit, or whose storage classes do not have the tier.
pub fn refuse_beyond(cost: &RestoreCost, tier: Tier, max: Usd) -> Result<(), CostRefusal> {
    let estimate = cost.usd_total(tier)?;
    if estimate > max {
        return Err(CostRefusal::Beyond {
            estimate,
            limit: max,
        });
    }
    Ok(())
}

impl RestoreCost {
    /// Segments of which something is fetched.
    pub fn segments(&self) -> u64 {
        self.total(|stored| stored.segments)
    }

    /// Requests that fetch it: one GET each.
    pub fn requests(&self) -> u64 {
        self.total(Stored::requests)
    }

    /// Bytes to fetch.
    pub fn fetched_bytes(&self) -> u64 {
        self.total(Stored::fetched_bytes)
    }

    /// Segments to thaw: one request each.
    pub fn segments_to_thaw(&self) -> u64 {
        self.total(Stored::segments_to_thaw)
    }

    /// Bytes to thaw.
    pub fn bytes_to_thaw(&self) -> u64 {
        self.total(Stored::bytes_to_thaw)
    }

    /// What it costs to fetch everything once it is readable: requests, retrieval, egress.
    pub fn usd_to_fetch(&self) -> Usd {
        let classes = self.classes.iter();
        let reads: Usd = classes.map(|class| class.gets + class.retrieval).sum();
        reads + self.egress
    }

    /// Returns the total cost of the restore if it thaws by that tier. If there is nothing to thaw, the tier
    /// does not matter.
    pub fn usd_total(&self, tier: Tier) -> Result<Usd, TierRefused> {
        for class in &self.classes {
            if class.stored.segments_to_thaw() > 0 {
                class.stored.class.thaw_time(tier)?;
            }
        }
        let thaw = self.tiers.iter().find(|thaw| thaw.tier == tier);
        let thaw = thaw.map_or(Usd::default(), |thaw| thaw.usd);
        Ok(thaw + self.usd_to_fetch())
    }

    fn total(&self, count: impl Fn(&Stored) -> u64) -> u64 {
        let counts = self.classes.iter().map(|class| count(&class.stored));
        counts.fold(0, u64::saturating_add)
    }
}

impl TierCost {
    /// Hours until everything is readable, with two decimals: for JSON.
    pub fn hours(&self) -> f64 {
        (self.until_readable.as_secs_f64() / 36.0).round() / 100.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::usd::GB;
    use super::*;

    const TIB: u64 = 1024 * GB;

    /// So much in a class, none of it thawed.
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

    fn priced(stored: &[Stored]) -> RestoreCost {
        price_restore(stored, 7, &Prices::built_in())
    }

    /// The tiers as `tier usd hours`.
    fn tiers(cost: &RestoreCost) -> Vec<String> {
        let tiers = cost.tiers.iter();
        tiers
            .map(|thaw| format!("{} {} {}", thaw.tier, thaw.usd, thaw.hours()))
            .collect()
    }

    fn total(cost: &RestoreCost, tier: Tier) -> String {
        cost.usd_total(tier).unwrap().to_string()
    }

    #[test]
    fn a_tebibyte_in_deep_archive_costs_what_the_table_says() {
        // 1 TiB in segments of 128 MiB: 8192
        let cost = priced(&[stored(StorageClass::DeepArchive, 8192, TIB)]);
        assert_eq!(cost.segments_to_thaw(), 8192);
        assert_eq!(cost.bytes_to_thaw(), TIB);
        // copies:   1024 × 0.023 × 7 / 30 = 5.495467
        // standard: 1024 × 0.02   = 20.48,  8192 × 0.10 / 1000  = 0.8192,  in all 26.794667
        // bulk:     1024 × 0.0025 = 2.56,   8192 × 0.025 / 1000 = 0.2048,  in all  8.260267
        assert_eq!(tiers(&cost), ["standard 26.80 12", "bulk 8.27 48"]);
        assert_eq!(cost.tiers[1].usd, Usd::from_micros(8_260_267));
        // GETs: 8192 × 0.0004 / 1000 = 0.0032768, egress: (1024 − 100) × 0.09 = 83.16
        assert_eq!(cost.classes[0].gets, Usd::from_micros(3277));
        assert_eq!(cost.egress, Usd::from_micros(83_160_000));
        assert_eq!(cost.usd_to_fetch(), Usd::from_micros(83_163_277));
        // 83.163277 + 26.794667 and + 8.260267
        assert_eq!(total(&cost, Tier::Standard), "109.96");
        assert_eq!(total(&cost, Tier::Bulk), "91.43");
    }

    #[test]
    fn bulk_from_glacier_costs_the_copies_alone_and_expedited_is_dear() {
        let cost = priced(&[stored(StorageClass::Glacier, 800, 100 * GB)]);
        // copies:    100 × 0.023 × 7 / 30 = 0.536667
        // expedited: 100 × 0.03 = 3,  800 × 10 / 1000   = 8
        // standard:  100 × 0.01 = 1,  800 × 0.05 / 1000 = 0.04
        assert_eq!(
            tiers(&cost),
            ["expedited 11.54 0.08", "standard 1.58 5", "bulk 0.54 12"]
        );
        // GETs: 800 × 0.0004 / 1000 = 0.00032, and the 100 GB of egress are free
        assert_eq!(total(&cost, Tier::Bulk), "0.54");
        assert_eq!(cost.egress, Usd::default());
    }

    #[test]
    fn a_vault_is_thawed_for_the_bytes_and_the_jobs_and_not_for_days() {
        let vault = [stored(StorageClass::Vault, 800, 100 * GB)];
        // expedited: 100 × 0.03   = 3,     800 × 10 / 1000    = 8
        // standard:  100 × 0.01   = 1,     800 × 0.05 / 1000  = 0.04
        // bulk:      100 × 0.0025 = 0.25,  800 × 0.025 / 1000 = 0.02
        for days in [1, 365] {
            let cost = price_restore(&vault, days, &Prices::built_in());
            assert_eq!(
                tiers(&cost),
                ["expedited 11.00 0.08", "standard 1.04 5", "bulk 0.27 12"]
            );
            assert_eq!(cost.usd_to_fetch(), Usd::default());
        }
    }

    #[test]
    fn a_warm_class_costs_per_gb_read_and_has_nothing_to_thaw() {
        for (class, usd) in [
            // GETs: 80 × 0.0004 / 1000 = 0.000032
            (StorageClass::Standard, "0.01"),
            // 10 × 0.01 = 0.10, 80 × 0.001 / 1000 = 0.00008
            (StorageClass::StandardIa, "0.11"),
            (StorageClass::OnezoneIa, "0.11"),
            // 10 × 0.03 = 0.30, 80 × 0.01 / 1000 = 0.0008
            (StorageClass::GlacierIr, "0.31"),
        ] {
            let mut stored = stored(class, 80, 10 * GB);
            // Warm classes ignore these two values.
            stored.readable_segments = 10;
            stored.readable_bytes = GB;
            let cost = priced(&[stored]);
            assert_eq!((cost.segments_to_thaw(), cost.bytes_to_thaw()), (0, 0));
            assert!(cost.tiers.is_empty());
            for tier in Tier::ALL {
                assert_eq!(total(&cost, tier), usd, "{class}");
            }
        }
    }

    #[test]
    fn what_is_readable_already_is_not_thawed_or_paid_for_again() {
        let whole = stored(StorageClass::DeepArchive, 8, GB);
        let half = Stored {
            readable_segments: 4,
            readable_bytes: GB / 2,
            ..whole
        };
        let all = Stored {
            readable_segments: 8,
            readable_bytes: GB,
            ..whole
        };
        let cost = priced(&[half]);
        assert_eq!(cost.segments_to_thaw(), 4);
        assert_eq!(cost.bytes_to_thaw(), GB / 2);
        let alone = stored(StorageClass::DeepArchive, 4, GB / 2);
        assert_eq!(cost.tiers, priced(&[alone]).tiers);
        assert_eq!(cost.usd_to_fetch(), priced(&[whole]).usd_to_fetch());
        let cost = priced(&[all]);
        assert!(cost.tiers.is_empty());
        assert_eq!(cost.usd_total(Tier::Expedited), Ok(cost.usd_to_fetch()));
    }

    #[test]
    fn a_chain_over_two_cold_classes_is_thawed_by_what_both_have_at_the_pace_of_the_slower() {
        let glacier = stored(StorageClass::Glacier, 80, 10 * GB);
        let deep = stored(StorageClass::DeepArchive, 80, 10 * GB);
        let warm = stored(StorageClass::Standard, 80, 10 * GB);
        let cost = priced(&[glacier, deep, warm]);
        // copies:   20 × 0.023 × 7 / 30 = 0.107333
        // standard: 10 × (0.01 + 0.02) = 0.3,  80 × (0.05 + 0.10) / 1000 = 0.012
        // bulk:     10 × 0.0025 = 0.025,       80 × 0.025 / 1000 = 0.002
        assert_eq!(tiers(&cost), ["standard 0.42 12", "bulk 0.14 48"]);
        assert_eq!(cost.segments(), 240);
        assert_eq!(cost.fetched_bytes(), 30 * GB);
        assert_eq!(cost.segments_to_thaw(), 160);
        assert_eq!(
            cost.usd_total(Tier::Expedited).unwrap_err().to_string(),
            "DEEP_ARCHIVE has no tier `expedited`, only `standard` and `bulk`"
        );
        // A class that is readable already refuses no tier.
        let thawed = Stored {
            readable_segments: 80,
            readable_bytes: 10 * GB,
            ..deep
        };
        let cost = priced(&[glacier, thawed]);
        assert_eq!(cost.tiers.len(), 3);
        assert!(cost.usd_total(Tier::Expedited).is_ok());
    }

    #[test]
    fn nothing_to_restore_costs_nothing() {
        for stored in [
            vec![],
            StorageClass::ALL.map(|class| stored(class, 0, 0)).to_vec(),
        ] {
            let cost = priced(&stored);
            assert_eq!(cost.usd_total(Tier::Bulk), Ok(Usd::default()));
            assert!(cost.tiers.is_empty());
        }
    }

    #[test]
    fn a_restore_beyond_the_limit_is_refused_with_both_sums() {
        let cost = priced(&[stored(StorageClass::DeepArchive, 8192, TIB)]);
        let refuse = |tier, max: &str| refuse_beyond(&cost, tier, max.parse().unwrap());
        assert_eq!(refuse(Tier::Bulk, "91.43"), Ok(()));
        assert_eq!(refuse(Tier::Standard, "109.96"), Ok(()));
        assert_eq!(
            refuse(Tier::Bulk, "91.42").unwrap_err().to_string(),
            "the restore would cost USD 91.43 by estimate, more than the limit of USD 91.42"
        );
        assert_eq!(
            refuse(Tier::Standard, "91.43").unwrap_err().to_string(),
            "the restore would cost USD 109.96 by estimate, more than the limit of USD 91.43"
        );
        assert_eq!(
            refuse(Tier::Expedited, "1000").unwrap_err().to_string(),
            "DEEP_ARCHIVE has no tier `expedited`, only `standard` and `bulk`"
        );
    }

    fn any_stored() -> impl Strategy<Value = Vec<Stored>> {
        let one = |class: StorageClass| {
            let counts = (0_u64..100_000, 0_u64..400 * TIB, 0_u64..=100);
            counts.prop_map(move |(segments, sealed_bytes, percent)| Stored {
                class,
                segments,
                sealed_bytes: if segments == 0 { 0 } else { sealed_bytes },
                readable_segments: segments * percent / 100,
                readable_bytes: sealed_bytes / 100 * percent,
                parts: None,
            })
        };
        let all = StorageClass::ALL.map(one);
        all.prop_map(Vec::from)
    }

    proptest! {
        #[test]
        fn more_never_costs_less(
            stored in any_stored(),
            at in 0..StorageClass::ALL.len(),
            segments in 0_u64..10_000,
            bytes in 0..TIB,
            days in 1_u32..60,
            more_days in 0_u32..60,
        ) {
            let prices = Prices::built_in();
            let mut more = stored.clone();
            more[at].segments += segments;
            more[at].sealed_bytes += bytes;
            let less = price_restore(&stored, days, &prices);
            let more = price_restore(&more, days + more_days, &prices);
            prop_assert!(less.usd_to_fetch() <= more.usd_to_fetch());
            for tier in Tier::ALL {
                if let (Ok(less), Ok(more)) = (less.usd_total(tier), more.usd_total(tier)) {
                    prop_assert!(less <= more, "{tier}");
                }
            }
        }

        #[test]
        fn a_faster_tier_is_offered_first_and_costs_no_less(stored in any_stored()) {
            let cost = priced(&stored);
            for pair in cost.tiers.windows(2) {
                prop_assert!(pair[0].until_readable < pair[1].until_readable);
                prop_assert!(pair[0].usd >= pair[1].usd);
            }
        }

        #[test]
        fn a_tier_is_offered_just_if_the_total_by_it_can_be_told(stored in any_stored()) {
            let cost = priced(&stored);
            for tier in Tier::ALL {
                let offered = cost.tiers.iter().any(|thaw| thaw.tier == tier);
                let to_thaw = cost.segments_to_thaw() > 0;
                prop_assert_eq!(offered, to_thaw && cost.usd_total(tier).is_ok());
            }
        }
    }
}
