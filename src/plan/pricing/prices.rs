//! The dated table of prices that estimates are made from, and the config's overrides.

use std::collections::BTreeMap;
use std::fmt;

use chrono::NaiveDate;
use serde::{Deserialize, Deserializer, de};
use toml::value::Datetime;

use super::egress::Egress;
use super::usd::Price;
use crate::model::ids::parse_date;
use crate::model::{StorageClass, Tier, TierRefused};

const BUILT_IN: &str = include_str!("prices.toml");

/// The prices of a store for every storage class, in US dollars before tax.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Prices {
    /// Which prices these are.
    #[serde(flatten)]
    pub of: PricesOf,
    /// What it costs to send bytes out of the store to here.
    pub egress: Egress,
    #[serde(flatten)]
    classes: BTreeMap<StorageClass, ClassPrices>,
}

/// Which prices an estimate was made from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct PricesOf {
    /// The date on which they were the list prices.
    #[serde(deserialize_with = "toml_date")]
    pub date: NaiveDate,
    /// The region that they apply to: `us-east-1`.
    pub region: String,
    /// Whether all of them are the built-in ones.
    #[serde(skip)]
    pub origin: Origin,
}

/// Where prices are from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Origin {
    /// The built-in table.
    #[default]
    BuiltIn,
    /// The built-in table with overrides from the config.
    Overlaid,
}

/// The prices of one storage class.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ClassPrices {
    /// Price of storing a GB for a month.
    pub gb_month: Price,
    /// Price of 1000 PUT requests.
    pub put_per_1000: Price,
    /// Price of 1000 GET requests.
    pub get_per_1000: Price,
    /// Price of reading a GB, in addition to the request and egress. 0 for a cold class, which has a price
    /// for the thaw.
    #[serde(default)]
    pub retrieval_per_gb: Price,
    /// Prices of a thaw, for the tiers that the class has.
    #[serde(flatten)]
    pub tiers: BTreeMap<Tier, TierPrices>,
}

/// The prices of a thaw, without the price of storing the readable copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TierPrices {
    /// Price of thawing a GB.
    pub per_gb: Price,
    /// Price of 1000 requests to thaw an object.
    pub per_1000_requests: Price,
}

/// The prices in the config; `None` where it has none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PriceOverrides {
    /// Replaces the built-in table's date.
    pub date: Option<NaiveDate>,
    /// Replaces its region.
    pub region: Option<String>,
    /// Replaces all of its steps.
    pub egress: Option<Egress>,
    /// Each price in it replaces the built-in one.
    pub classes: BTreeMap<StorageClass, ClassOverrides>,
}

/// The config's prices of one class, as in [`ClassPrices`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClassOverrides {
    /// Price of storing a GB for a month.
    pub gb_month: Option<Price>,
    /// Price of 1000 PUT requests.
    pub put_per_1000: Option<Price>,
    /// Price of 1000 GET requests.
    pub get_per_1000: Option<Price>,
    /// Price of reading a GB.
    pub retrieval_per_gb: Option<Price>,
    /// Prices of a thaw. A tier that the class lacks is ignored.
    pub tiers: BTreeMap<Tier, TierOverrides>,
}

/// The config's prices of one tier, as in [`TierPrices`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TierOverrides {
    /// Price of thawing a GB.
    pub per_gb: Option<Price>,
    /// Price of 1000 requests to thaw an object.
    pub per_1000_requests: Option<Price>,
}

impl Prices {
    /// The list prices that the program was built with.
    pub fn built_in() -> Self {
        toml::from_str(BUILT_IN).expect("the built-in prices are well-formed")
    }

    /// Returns the prices with the config's overrides. They become [`Origin::Overlaid`] only if a value
    /// differs.
    #[must_use]
    pub fn overlaid(mut self, overrides: PriceOverrides) -> Self {
        let before = self.clone();
        replace(&mut self.of.date, overrides.date);
        replace(&mut self.of.region, overrides.region);
        replace(&mut self.egress, overrides.egress);
        for (class, over) in overrides.classes {
            let Some(prices) = self.classes.get_mut(&class) else {
                continue;
            };
            replace(&mut prices.gb_month, over.gb_month);
            replace(&mut prices.put_per_1000, over.put_per_1000);
            replace(&mut prices.get_per_1000, over.get_per_1000);
            replace(&mut prices.retrieval_per_gb, over.retrieval_per_gb);
            for (tier, prices) in &mut prices.tiers {
                let over = over.tiers.get(tier).copied().unwrap_or_default();
                replace(&mut prices.per_gb, over.per_gb);
                replace(&mut prices.per_1000_requests, over.per_1000_requests);
            }
        }
        if self != before {
            self.of.origin = Origin::Overlaid;
        }
        self
    }

    /// The prices of a class.
    pub fn class(&self, class: StorageClass) -> &ClassPrices {
        &self.classes[&class]
    }

    /// The prices of a thaw.
    pub fn tier(&self, class: StorageClass, tier: Tier) -> Result<&TierPrices, TierRefused> {
        let prices = self.class(class).tiers.get(&tier);
        prices.ok_or(TierRefused { class, tier })
    }
}

fn replace<T>(value: &mut T, other: Option<T>) {
    if let Some(other) = other {
        *value = other;
    }
}

/// Reads a TOML date, for which serde has no type.
fn toml_date<'de, D: Deserializer<'de>>(deserializer: D) -> Result<NaiveDate, D::Error> {
    let date = Datetime::deserialize(deserializer)?.to_string();
    parse_date(&date).map_err(de::Error::custom)
}

impl fmt::Display for PricesOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the prices of {} for {}", self.date, self.region)?;
        match self.origin {
            Origin::BuiltIn => Ok(()),
            Origin::Overlaid => f.write_str(", with those that the config gives"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::sample::date;
    use super::super::egress::EgressStep;
    use super::super::usd::GB;
    use super::*;

    fn price(usd: f64) -> Price {
        Price::try_from(usd).unwrap()
    }

    #[test]
    fn the_built_in_table_is_dated_and_has_every_class_with_just_its_tiers() {
        let prices = Prices::built_in();
        assert_eq!(
            prices.of.to_string(),
            "the prices of 2026-11-21 for us-east-1"
        );
        for class in StorageClass::ALL {
            let tiers: Vec<Tier> = prices.class(class).tiers.keys().copied().collect();
            assert_eq!(tiers, class.tiers(), "{class}");
            for tier in Tier::ALL {
                let refused = prices.tier(class, tier).err();
                assert_eq!(refused, class.thaw_time(tier).err(), "{class} {tier}");
            }
            let reads = prices.class(class).retrieval_per_gb;
            assert!(!class.is_cold() || reads == Price::default(), "{class}");
        }
    }

    #[test]
    fn the_colder_a_class_the_less_it_costs_to_hold() {
        let prices = Prices::built_in();
        let held = StorageClass::ALL.map(|class| prices.class(class).gb_month);
        assert!(held.is_sorted_by(|warmer, colder| warmer > colder));
    }

    #[test]
    fn the_faster_a_thaw_the_more_it_costs() {
        let prices = Prices::built_in();
        for class in StorageClass::ALL {
            let tiers = class.tiers().iter().map(|tier| prices.tier(class, *tier));
            let tiers: Vec<_> = tiers.map(Result::unwrap).collect();
            assert!(tiers.is_sorted_by(|a, b| a.per_gb > b.per_gb));
            assert!(tiers.is_sorted_by(|a, b| a.per_1000_requests > b.per_1000_requests));
        }
    }

    #[test]
    fn what_the_config_says_replaces_just_that() {
        let bulk = TierOverrides {
            per_gb: Some(price(0.005)),
            per_1000_requests: None,
        };
        let deep = ClassOverrides {
            gb_month: Some(price(0.0018)),
            tiers: BTreeMap::from([(Tier::Bulk, bulk)]),
            ..ClassOverrides::default()
        };
        let overrides = PriceOverrides {
            classes: BTreeMap::from([(StorageClass::DeepArchive, deep)]),
            ..PriceOverrides::default()
        };
        let before = Prices::built_in();
        let after = before.clone().overlaid(overrides);
        let mut expected = before;
        expected.of.origin = Origin::Overlaid;
        let class = expected.classes.get_mut(&StorageClass::DeepArchive);
        let class = class.unwrap();
        class.gb_month = price(0.0018);
        class.tiers.get_mut(&Tier::Bulk).unwrap().per_gb = price(0.005);
        assert_eq!(after, expected);
        assert_eq!(
            after.of.to_string(),
            "the prices of 2026-11-21 for us-east-1, with those that the config gives"
        );
    }

    #[test]
    fn an_overlaid_table_has_the_date_and_region_of_the_overlay_if_it_has_them() {
        let flat = EgressStep {
            up_to_gb: None,
            per_gb: price(0.01),
        };
        let overrides = PriceOverrides {
            date: Some(date("2027-01-15")),
            region: Some("eu-central-1".to_owned()),
            egress: Some(Egress::new(vec![flat]).unwrap()),
            ..PriceOverrides::default()
        };
        let prices = Prices::built_in().overlaid(overrides);
        assert_eq!(
            prices.of.to_string(),
            "the prices of 2027-01-15 for eu-central-1, with those that the config gives"
        );
        // all the steps are replaced: the 100 GB are no longer free
        assert_eq!(prices.egress.of_bytes(200 * GB).to_string(), "2.00");
        assert_eq!(prices.egress.free_gb(), None);
    }

    #[test]
    fn an_overlay_that_says_nothing_new_changes_nothing() {
        let same = PriceOverrides {
            date: Some(date("2026-11-21")),
            ..PriceOverrides::default()
        };
        for overrides in [PriceOverrides::default(), same] {
            let overlaid = Prices::built_in().overlaid(overrides);
            assert_eq!(overlaid, Prices::built_in());
            assert_eq!(overlaid.of.origin, Origin::BuiltIn);
        }
        let newer = PriceOverrides {
            date: Some(date("2026-11-22")),
            ..PriceOverrides::default()
        };
        let overlaid = Prices::built_in().overlaid(newer);
        assert_eq!(overlaid.of.origin, Origin::Overlaid);
    }

    #[test]
    fn a_tier_that_a_class_lacks_is_not_added_to_it() {
        let expedited = TierOverrides {
            per_gb: Some(price(0.0)),
            per_1000_requests: Some(price(0.0)),
        };
        let deep = ClassOverrides {
            tiers: BTreeMap::from([(Tier::Expedited, expedited)]),
            ..ClassOverrides::default()
        };
        let prices = Prices::built_in().overlaid(PriceOverrides {
            classes: BTreeMap::from([(StorageClass::DeepArchive, deep)]),
            ..PriceOverrides::default()
        });
        let refused = prices.tier(StorageClass::DeepArchive, Tier::Expedited);
        assert!(refused.is_err());
    }

    #[test]
    fn a_table_with_an_unknown_key_or_a_bad_price_does_not_read() {
        let read = |from: &str, to: &str| {
            assert!(BUILT_IN.contains(from), "{from}");
            toml::from_str::<Prices>(&BUILT_IN.replacen(from, to, 1))
        };
        assert!(read("0.0125", "0.013").is_ok());
        for (from, to) in [
            ("[GLACIER_IR]", "[GLACIER_XR]"),
            ("gb_month = 0.023", "gb_moth = 0.023"),
            ("per_1000_requests = 10 ", "per_1000_request = 10 "),
            ("standard = {", "instant = {"),
            ("up_to_gb = 100", "upto_gb = 100"),
            ("gb_month = 0.023", "gb_month = -0.023"),
            ("gb_month = 0.023", "gb_month = nan"),
            ("gb_month = 0.023", "gb_month = inf"),
            ("gb_month = 0.023", "gb_month = '0.023'"),
            ("up_to_gb = 10_240", "up_to_gb = 10"),
            ("date = 2026-11-21", "date = '2026-11-21'"),
            ("date = 2026-11-21", "date = 2026-11-21T00:00:00"),
        ] {
            assert!(read(from, to).is_err(), "{to}");
        }
    }
}
