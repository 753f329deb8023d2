//! The dated table of prices that estimates are made from.

use std::collections::BTreeMap;
use std::fmt;

use chrono::NaiveDate;
use serde::{Deserialize, Deserializer, de};
use toml::value::Datetime;

use super::egress::Egress;
use super::usd::{Price, Usd};
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
    pub origin: PriceOrigin,
}

/// Where prices are from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PriceOrigin {
    /// The built-in table.
    #[default]
    BuiltIn,
    /// The built-in table with overrides from the config.
    Overlaid,
}

/// Defines prices that the built-in table and the config have under the names of the fields.
macro_rules! named_prices {
    (
        $(#[$of:meta])*
        $name:ident { $($(#[$meta:meta])* $price:ident,)* $(; $($other:tt)*)? }
    ) => {
        $(#[$of])*
        pub struct $name {
            $($(#[$meta])* pub $price: Price,)*
            $($($other)*)?
        }

        impl $name {
            /// The names of the prices.
            pub const NAMES: &[&str] = &[$(stringify!($price)),*];

            /// Returns each price with its name.
            pub fn named(&mut self) -> Vec<(&'static str, &mut Price)> {
                vec![$((stringify!($price), &mut self.$price)),*]
            }
        }
    };
}

named_prices! {
    /// The prices of one storage class.
    #[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
    ClassPrices {
        /// To hold a GB for a month.
        gb_month,
        /// Of 1000 PUT requests.
        put_per_1000,
        /// Of 1000 GET requests.
        get_per_1000,
        /// To read a GB, beside the request and egress. Of a cold class: 0, it asks for the thaw.
        #[serde(default)]
        retrieval_per_gb,
        ;
        /// To thaw, by tier: those that the class has.
        #[serde(flatten)]
        pub tiers: BTreeMap<Tier, TierPrices>,
    }
}

named_prices! {
    /// The prices of a thaw, beside that of the copies which stay readable.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
    #[serde(deny_unknown_fields)]
    TierPrices {
        /// To thaw a GB.
        per_gb,
        /// Of 1000 requests to thaw an object.
        per_1000_requests,
    }
}

impl Prices {
    /// The list prices that the program was built with.
    pub fn built_in() -> Self {
        toml::from_str(BUILT_IN).expect("the built-in prices are well-formed")
    }

    /// Marks these as [`PriceOrigin::Overlaid`] if any of them differs from the built-in ones.
    #[must_use]
    pub fn marked(mut self) -> Self {
        if self != Self::built_in() {
            self.of.origin = PriceOrigin::Overlaid;
        }
        self
    }

    /// The prices of a class.
    pub fn class(&self, class: StorageClass) -> &ClassPrices {
        &self.classes[&class]
    }

    /// Returns what it costs to hold objects of a class for so many days, with what the class bills beside each.
    pub fn of_holding(&self, class: StorageClass, objects: u64, bytes: u64, days: u32) -> Usd {
        let listed = objects.saturating_mul(class.listed_bytes());
        let listed_at = self.class(StorageClass::Standard).gb_month;
        self.of_class_held(class, objects, bytes, days) + listed_at.of_holding(listed, days)
    }

    /// Returns the part of it that is billed at the price of the class, to which its minimum storage duration applies.
    pub fn of_class_held(&self, class: StorageClass, objects: u64, bytes: u64, days: u32) -> Usd {
        let index = objects.saturating_mul(class.index_bytes());
        let at = self.class(class).gb_month;
        at.of_holding(bytes.saturating_add(index), days)
    }

    /// The prices of a class, to be changed.
    pub fn class_mut(&mut self, class: StorageClass) -> &mut ClassPrices {
        let prices = self.classes.get_mut(&class);
        prices.expect("the table has every class")
    }

    /// The prices of a thaw.
    pub fn tier(&self, class: StorageClass, tier: Tier) -> Result<&TierPrices, TierRefused> {
        let prices = self.class(class).tiers.get(&tier);
        prices.ok_or(TierRefused { class, tier })
    }
}

/// A date as TOML writes it, which serde does not know.
fn toml_date<'de, D: Deserializer<'de>>(deserializer: D) -> Result<NaiveDate, D::Error> {
    let date = Datetime::deserialize(deserializer)?.to_string();
    parse_date(&date).map_err(de::Error::custom)
}

impl fmt::Display for PricesOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the prices of {} for {}", self.date, self.region)?;
        match self.origin {
            PriceOrigin::BuiltIn => Ok(()),
            PriceOrigin::Overlaid => f.write_str(", with those that the config gives"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let held = StorageClass::OF_S3.map(|class| prices.class(class).gb_month);
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
