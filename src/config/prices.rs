//! `[prices]`: prices that replace the built-in list prices.

use super::error::ConfigError;
use super::section::{Field, Section};
use crate::model::StorageClass;
use crate::plan::pricing::egress::{Egress, EgressStep};
use crate::plan::pricing::prices::{ClassPrices, TierPrices};
use crate::plan::{Price, Prices};

/// The keys besides the storage classes.
pub(super) const KEYS: &[&str] = &["date", "region", "egress"];
const STEP_KEYS: &[&str] = &["up_to_gb", "per_gb"];

/// Eight million TiB: no month sends as much, and the number of bytes still fits into 64 bits.
const MAX_EGRESS_GB: u64 = 1 << 33;

/// Reads the list prices with the config's overrides.
pub(super) fn read(top: &Section<'_>) -> Result<Prices, ConfigError> {
    let mut prices = Prices::built_in();
    let classes = StorageClass::ALL.into_iter().map(StorageClass::as_str);
    let known: Vec<&str> = KEYS.iter().copied().chain(classes).collect();
    if let Some(section) = top.read("prices", |field| field.table(&known))? {
        for class in StorageClass::ALL {
            let prices = prices.class_mut(class);
            section.read(class.as_str(), |field| read_class(field, class, prices))?;
        }
        let date = section.read("date", Field::date)?;
        prices.of.date = date.unwrap_or(prices.of.date);
        let region = section.read("region", Field::owned_string)?;
        prices.of.region = region.unwrap_or(prices.of.region);
        prices.egress = section.read("egress", egress)?.unwrap_or(prices.egress);
    }
    Ok(prices.marked())
}

fn read_class(
    field: &Field<'_>,
    class: StorageClass,
    prices: &mut ClassPrices,
) -> Result<(), ConfigError> {
    // A cold class is read after a thaw, and asks for that.
    let is_known = |name: &&str| !(class.is_cold() && *name == "retrieval_per_gb");
    let names = ClassPrices::NAMES.iter().copied().filter(is_known);
    let tiers = prices.tiers.keys().map(|tier| tier.as_str());
    let section = field.table(&names.chain(tiers).collect::<Vec<_>>())?;
    for (tier, prices) in &mut prices.tiers {
        section.read(tier.as_str(), |field| {
            read_prices(&field.table(TierPrices::NAMES)?, prices.named())
        })?;
    }
    read_prices(&section, prices.named())
}

fn read_prices(section: &Section<'_>, prices: Vec<(&str, &mut Price)>) -> Result<(), ConfigError> {
    for (name, value) in prices {
        *value = section.read(name, price)?.unwrap_or(*value);
    }
    Ok(())
}

fn egress(field: &Field<'_>) -> Result<Egress, ConfigError> {
    let items = field.array("an array of steps")?;
    let steps = items.iter().map(step).collect::<Result<Vec<_>, _>>()?;
    Egress::new(steps).map_err(|_| {
        field.unfit("ascending steps: each but the last has an `up_to_gb`, the last has none")
    })
}

fn step(field: &Field<'_>) -> Result<EgressStep, ConfigError> {
    let section = field.table(STEP_KEYS)?;
    Ok(EgressStep {
        up_to_gb: section.read("up_to_gb", |field| {
            field.integer("a number of GB", 1..=MAX_EGRESS_GB)
        })?,
        per_gb: price(&section.require("per_gb")?)?,
    })
}

fn price(field: &Field<'_>) -> Result<Price, ConfigError> {
    let price = field.number().and_then(|usd| Price::try_from(usd).ok());
    price.ok_or_else(|| {
        let expected = format!("a price in US dollars from 0 to {}", Price::MAX_USD);
        field.unfit(&expected)
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use toml::de::DeTable;

    use super::*;
    use crate::config::section::Document;
    use crate::model::Tier;
    use crate::plan::pricing::prices::PriceOrigin;
    use crate::plan::pricing::usd::GB;

    fn read_text(text: &str) -> Result<Prices, ConfigError> {
        let path = Path::new("c.toml");
        let table = DeTable::parse(text).unwrap();
        let document = Document { path, text };
        read(&Section::top(document, table.get_ref(), &["prices"]).unwrap())
    }

    fn price(usd: f64) -> Price {
        Price::try_from(usd).unwrap()
    }

    #[test]
    fn without_a_table_or_with_an_empty_one_the_built_in_prices_hold() {
        for text in ["", "[prices]", "prices.date = 2026-11-21"] {
            let prices = read_text(text).unwrap();
            assert_eq!(prices, Prices::built_in(), "{text}");
            assert_eq!(prices.of.origin, PriceOrigin::BuiltIn);
        }
        let newer = read_text("prices.date = 2026-11-22").unwrap();
        assert_eq!(newer.of.origin, PriceOrigin::Overlaid);
    }

    #[test]
    fn what_a_table_says_replaces_just_that() {
        let text = "prices.DEEP_ARCHIVE = { gb_month = 0.0018, bulk.per_gb = 0.005 }";
        let read = read_text(text).unwrap();
        let mut expected = Prices::built_in();
        expected.of.origin = PriceOrigin::Overlaid;
        let class = expected.class_mut(StorageClass::DeepArchive);
        class.gb_month = price(0.0018);
        class.tiers.get_mut(&Tier::Bulk).unwrap().per_gb = price(0.005);
        assert_eq!(read, expected);
        assert_eq!(
            read.of.to_string(),
            "the prices of 2026-11-21 for us-east-1, with those that the config gives"
        );
        // All the steps are replaced: the 100 GB are no longer free.
        let egress = read_text("prices.egress = [{ per_gb = 0.01 }]")
            .unwrap()
            .egress;
        assert_eq!(egress.of_bytes(200 * GB).to_string(), "2.00");
        assert_eq!(egress.free_gb(), None);
    }

    #[test]
    fn what_a_table_says_holds_instead() {
        let prices = read_text(
            r#"
[prices]
date = 2027-01-15
region = "eu-central-1"
egress = [{ up_to_gb = 1_000, per_gb = 0 }, { per_gb = 0.05 }]

[prices.STANDARD]
gb_month = 0.024_5
get_per_1000 = 0x1

[prices.GLACIER_IR]
retrieval_per_gb = 4e-2

[prices.DEEP_ARCHIVE]
put_per_1000 = 0.06
bulk = { per_gb = 0.005 }
"#,
        )
        .unwrap();
        let list = Prices::built_in();
        assert_eq!(
            prices.of.to_string(),
            "the prices of 2027-01-15 for eu-central-1, with those that the config gives"
        );
        assert_eq!(prices.egress.free_gb(), Some(1000));
        assert_eq!(prices.egress.of_bytes(1100 * GB).to_string(), "5.00");
        let standard = prices.class(StorageClass::Standard);
        assert_eq!(standard.gb_month, price(0.0245));
        assert_eq!(standard.get_per_1000, price(1.0));
        let instant = prices.class(StorageClass::GlacierIr);
        assert_eq!(instant.retrieval_per_gb, price(0.04));
        let deep = prices.class(StorageClass::DeepArchive);
        assert_eq!(deep.put_per_1000, price(0.06));
        let listed = list.class(StorageClass::DeepArchive);
        assert_eq!(deep.gb_month, listed.gb_month);
        assert_eq!(deep.tiers[&Tier::Standard], listed.tiers[&Tier::Standard]);
        assert_eq!(deep.tiers[&Tier::Bulk].per_gb, price(0.005));
        assert_eq!(deep.tiers[&Tier::Bulk].per_1000_requests, price(0.025));
        let glacier = StorageClass::Glacier;
        assert_eq!(prices.class(glacier), list.class(glacier));
    }

    #[test]
    fn the_built_in_table_can_be_copied_into_the_config_as_it_is() {
        let mut copied = String::from("[prices]\n");
        for line in include_str!("../plan/pricing/prices.toml").lines() {
            let line = line
                .strip_prefix("[[")
                .map(|name| format!("[[prices.{name}"))
                .or_else(|| Some(format!("[prices.{}", line.strip_prefix('[')?)))
                .unwrap_or_else(|| line.to_owned());
            copied += &(line + "\n");
        }
        assert_eq!(read_text(&copied).unwrap(), Prices::built_in());
        // Each of its values has an effect, and the reader leaves out none.
        let dearer = copied.replace(" = 0", " = 7").replace(" = 10 }", " = 70 }");
        let read = read_text(&dearer).unwrap();
        for class in StorageClass::ALL {
            let listed = Prices::built_in();
            let (read, listed) = (read.class(class), listed.class(class));
            let pairs = [
                (read.gb_month, listed.gb_month),
                (read.put_per_1000, listed.put_per_1000),
                (read.get_per_1000, listed.get_per_1000),
            ];
            let tiers = class.tiers().iter().flat_map(|tier| {
                let (read, listed) = (&read.tiers[tier], &listed.tiers[tier]);
                [
                    (read.per_gb, listed.per_gb),
                    (read.per_1000_requests, listed.per_1000_requests),
                ]
            });
            for (read, listed) in pairs.into_iter().chain(tiers) {
                assert!(read > listed, "{class}");
            }
        }
    }

    #[test]
    fn a_fault_names_line_key_and_what_it_takes() {
        let price = "must be a price in US dollars from 0 to 1000000, found";
        let steps = "must be ascending steps: each but the last has an `up_to_gb`, the last has none, found";
        for (text, message) in [
            (
                "prices = 'list'",
                "1: `prices` must be a table, found the string \"list\"".to_owned(),
            ),
            (
                "[prices]\ndates = 2027-01-15",
                "2: unknown key `prices.dates`, did you mean `date`?".to_owned(),
            ),
            (
                "[prices]\n\ndate = '15.1.2027'",
                "3: `prices.date` must be a date like 2026-11-21, found the string \"15.1.2027\""
                    .to_owned(),
            ),
            (
                "prices.date = 2027-01-15T00:00:00Z",
                "1: `prices.date` must be a date like 2026-11-21, \
                 found the date 2027-01-15T00:00:00Z"
                    .to_owned(),
            ),
            (
                "[prices.DEEP_ARCHIV]",
                "1: unknown key `prices.DEEP_ARCHIV`, did you mean `DEEP_ARCHIVE`?".to_owned(),
            ),
            (
                "[prices.GLACIER]\nputs_per_1000 = 1",
                "2: unknown key `prices.GLACIER.puts_per_1000`, did you mean `put_per_1000`?"
                    .to_owned(),
            ),
            (
                "[prices.DEEP_ARCHIVE]\nexpedited.per_gb = 1",
                "2: unknown key `prices.DEEP_ARCHIVE.expedited`".to_owned(),
            ),
            (
                "[prices.GLACIER]\nretrieval_per_gb = 1",
                "2: unknown key `prices.GLACIER.retrieval_per_gb`".to_owned(),
            ),
            (
                "[prices.STANDARD]\nbulk.per_gb = 1",
                "2: unknown key `prices.STANDARD.bulk`".to_owned(),
            ),
            (
                "[prices.GLACIER.bulk]\nper_1000_request = 1",
                "2: unknown key `prices.GLACIER.bulk.per_1000_request`, \
                 did you mean `per_1000_requests`?"
                    .to_owned(),
            ),
            (
                "[prices.GLACIER]\ngb_month = -0.01",
                format!("2: `prices.GLACIER.gb_month` {price} the float -0.01"),
            ),
            (
                "[prices.GLACIER]\ngb_month = nan",
                format!("2: `prices.GLACIER.gb_month` {price} the float nan"),
            ),
            (
                "[prices.GLACIER]\ngb_month = +inf",
                format!("2: `prices.GLACIER.gb_month` {price} the float +inf"),
            ),
            (
                "[prices.GLACIER]\ngb_month = 1000001",
                format!("2: `prices.GLACIER.gb_month` {price} 1000001"),
            ),
            (
                "[prices.GLACIER.bulk]\nper_gb = '0'",
                format!("2: `prices.GLACIER.bulk.per_gb` {price} the string \"0\""),
            ),
            (
                "prices.egress = 0.09",
                "1: `prices.egress` must be an array of steps, found the float 0.09".to_owned(),
            ),
            (
                "prices.egress = []",
                format!("1: `prices.egress` {steps} an empty array"),
            ),
            (
                "prices.egress = [{ up_to_gb = 100, per_gb = 0 }]",
                format!("1: `prices.egress` {steps} an array"),
            ),
            (
                "[[prices.egress]]\nup_to_gb = 0\nper_gb = 0",
                "2: `prices.egress.up_to_gb` must be a number of GB from 1 to 8589934592, found 0"
                    .to_owned(),
            ),
            (
                "[[prices.egress]]\nup_to_gb = 1\n",
                "1: `prices.egress.per_gb` is missing".to_owned(),
            ),
        ] {
            let error = read_text(text).expect_err(text).to_string();
            assert_eq!(error, format!("c.toml:{message}"), "{text}");
        }
    }
}
