//! The cost of a copy in words, for people.

use std::fmt::Write;

use super::copy_cost::{CopyCost, CopySide, PutCost};
use super::describe_cost::{count, egress, readable, requests, retrieval, thaw, time};
use super::pricing::cost::Pricing;
use super::pricing::usd::Usd;
use crate::model::size::Bytes;

/// Returns a cost as indented lines, each with a newline. The first word of a line says what it is about.
///
/// ```text
///   to thaw     412 segments, 51.3 GiB in DEEP_ARCHIVE; copies stay readable 7 days
///   requests    412 to thaw, 412 to fetch
///   egress      51.3 GiB: USD 0.00 (the first 100 GB of a month are free, if nothing else used them)
///   to put      412 objects, 51.3 GiB into STANDARD_IA: USD 0.01
///   standard    12 hours   USD 1.35 to thaw   USD 1.35 in all
///   bulk        48 hours   USD 0.42 to thaw   USD 0.42 in all
///   to keep     USD 0.65 a month in STANDARD_IA; at least 30 days are paid, USD 0.65
///   estimate by the prices of 2026-11-21 for us-east-1
/// ```
pub fn describe_copy_cost(cost: &CopyCost) -> String {
    let mut text = String::new();
    let mut line = |word: &str, rest: &str| {
        writeln!(text, "  {word:10}  {rest}").expect("writing to a string does not fail");
    };
    for class in &cost.reads.classes {
        if let Some(thaw) = thaw(&class.stored, cost.reads.thaw_days) {
            line("to thaw", &thaw);
        }
        if let Some(readable) = readable(&class.stored) {
            line("thawed", &readable);
        }
    }
    line("requests", &requests(&cost.reads));
    if cost.home == Pricing::Known {
        for class in &cost.reads.classes {
            if let Some(retrieval) = retrieval(class) {
                line("retrieval", &retrieval);
            }
        }
        line("egress", &egress(&cost.reads));
    }
    for put in &cost.puts {
        line("to put", &to_put(put, cost.copy));
    }
    if let Some(side) = cost.unknown() {
        line("in all", &unknown(side));
    } else if cost.reads.segments_to_thaw() == 0 {
        line("in all", &format!("USD {}", all(cost)));
    }
    for (word, tier) in tiers(cost) {
        line(word, &tier);
    }
    if cost.copy == Pricing::Known {
        for put in &cost.puts {
            line("to keep", &to_keep(put));
        }
    }
    if [cost.home, cost.copy].contains(&Pricing::Known) {
        // This line has no columns, because it applies to all lines above it.
        writeln!(text, "  estimate by {}", cost.reads.prices)
            .expect("writing to a string does not fail");
    }
    text
}

fn to_put(put: &PutCost, pricing: Pricing) -> String {
    let objects = count(put.put.objects, "object");
    let bytes = Bytes(put.put.bytes);
    match pricing {
        Pricing::Known => format!(
            "{objects}, {bytes} into {}: USD {}",
            put.put.class, put.requests
        ),
        // A store without prices has no classes that a person would know.
        Pricing::Free | Pricing::Unknown => format!("{objects}, {bytes}"),
    }
}

fn to_keep(put: &PutCost) -> String {
    let month = format!("USD {} a month in {}", put.month, put.put.class);
    match put.put.class.minimum_days() {
        0 => month,
        days => format!(
            "{month}; at least {} are paid, USD {}",
            count(days.into(), "day"),
            put.minimum
        ),
    }
}

fn unknown(side: CopySide) -> String {
    format!("the prices of {} are not known", side.store())
}

/// The cost of a copy that has nothing to thaw.
fn all(cost: &CopyCost) -> Usd {
    let read = match cost.home {
        Pricing::Known => cost.reads.usd_to_fetch(),
        Pricing::Free | Pricing::Unknown => Usd::default(),
    };
    read + cost.usd_to_write().unwrap_or_default()
}

/// Returns each tier's name and its line, aligned in columns. Without home's prices it only says how long a
/// thaw takes.
fn tiers(cost: &CopyCost) -> Vec<(&'static str, String)> {
    let rows = cost.reads.tiers.iter().map(|thaw| {
        let sums = match cost.home {
            Pricing::Known => Some((thaw.usd, cost.usd_total(thaw.tier).ok().flatten())),
            Pricing::Free | Pricing::Unknown => None,
        };
        (thaw.tier.as_str(), time(thaw.until_readable), sums)
    });
    let rows: Vec<_> = rows.collect();
    let width = |texts: Vec<String>| texts.iter().map(String::len).max().unwrap_or(0);
    let times = width(rows.iter().map(|(_, time, _)| time.clone()).collect());
    let sums = || rows.iter().filter_map(|(_, _, sums)| *sums);
    let thaws = width(sums().map(|(thaw, _)| thaw.to_string()).collect());
    let totals = width(
        sums()
            .filter_map(|(_, all)| Some(all?.to_string()))
            .collect(),
    );
    let lines = rows.iter().map(|(word, time, sums)| {
        let line = match sums {
            Some((thaw, Some(all))) => {
                format!("{time:times$}   USD {thaw:>thaws$} to thaw   USD {all:>totals$} in all")
            }
            Some((thaw, None)) => format!("{time:times$}   USD {thaw:>thaws$} to thaw"),
            None => time.clone(),
        };
        (*word, line)
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::super::copy_cost::{CopyCostFacts, CopyPut, price_copy};
    use super::super::pricing::cost::Stored;
    use super::super::pricing::prices::Prices;
    use super::super::pricing::usd::GB;
    use super::*;
    use crate::model::StorageClass;

    /// Begins with an empty line, so that the expected text can start on a line of its own.
    fn described(from: StorageClass, to: StorageClass, home: Pricing, copy: Pricing) -> String {
        let bytes = 513 * GB / 10;
        let cost = price_copy(&CopyCostFacts {
            reads: &[Stored {
                class: from,
                segments: 412,
                sealed_bytes: bytes,
                readable_segments: 0,
                readable_bytes: 0,
                parts: None,
            }],
            puts: &[CopyPut {
                class: to,
                objects: 412,
                bytes,
            }],
            thaw_days: 7,
            home,
            copy,
            prices: &Prices::built_in(),
        });
        "\n".to_owned() + &describe_copy_cost(&cost)
    }

    #[test]
    fn a_copy_out_of_the_cold_is_told_with_every_tier_and_what_it_costs_to_keep() {
        // PUTs: 412 × 0.01 / 1000 = 0.00412; to keep: 51.3 × 0.0125 = 0.64125
        assert_eq!(
            described(
                StorageClass::DeepArchive,
                StorageClass::StandardIa,
                Pricing::Known,
                Pricing::Known
            ),
            "
  to thaw     412 segments, 51.3 GiB in DEEP_ARCHIVE; copies stay readable 7 days
  requests    412 to thaw, 412 to fetch
  egress      51.3 GiB: USD 0.00 (the first 100 GB of a month are free, if nothing else used them)
  to put      412 objects, 51.3 GiB into STANDARD_IA: USD 0.01
  standard    12 hours   USD 1.35 to thaw   USD 1.35 in all
  bulk        48 hours   USD 0.42 to thaw   USD 0.42 in all
  to keep     USD 0.65 a month in STANDARD_IA; at least 30 days are paid, USD 0.65
  estimate by the prices of 2026-11-21 for us-east-1
"
        );
    }

    #[test]
    fn a_copy_of_what_can_be_read_at_once_has_one_sum() {
        // GETs: 412 × 0.001 / 1000 = 0.000412, retrieval: 51.3 × 0.01 = 0.513
        assert_eq!(
            described(
                StorageClass::StandardIa,
                StorageClass::Standard,
                Pricing::Known,
                Pricing::Free
            ),
            "
  requests    412 to fetch
  retrieval   51.3 GiB from STANDARD_IA: USD 0.52
  egress      51.3 GiB: USD 0.00 (the first 100 GB of a month are free, if nothing else used them)
  to put      412 objects, 51.3 GiB
  in all      USD 0.52
  estimate by the prices of 2026-11-21 for us-east-1
"
        );
    }

    #[test]
    fn unknown_prices_are_said_so() {
        assert_eq!(
            described(
                StorageClass::Glacier,
                StorageClass::DeepArchive,
                Pricing::Unknown,
                Pricing::Known
            ),
            "
  to thaw     412 segments, 51.3 GiB in GLACIER; copies stay readable 7 days
  requests    412 to thaw, 412 to fetch
  to put      412 objects, 51.3 GiB into DEEP_ARCHIVE: USD 0.03
  in all      the prices of the store that is copied from are not known
  expedited   5 minutes
  standard    5 hours
  bulk        12 hours
  to keep     USD 0.06 a month in DEEP_ARCHIVE; at least 180 days are paid, USD 0.31
  estimate by the prices of 2026-11-21 for us-east-1
"
        );
        assert_eq!(
            described(
                StorageClass::Standard,
                StorageClass::Standard,
                Pricing::Free,
                Pricing::Unknown
            ),
            "
  requests    412 to fetch
  to put      412 objects, 51.3 GiB
  in all      the prices of the store that is copied to are not known
"
        );
        assert_eq!(
            described(
                StorageClass::Glacier,
                StorageClass::DeepArchive,
                Pricing::Known,
                Pricing::Unknown
            ),
            "
  to thaw     412 segments, 51.3 GiB in GLACIER; copies stay readable 7 days
  requests    412 to thaw, 412 to fetch
  egress      51.3 GiB: USD 0.00 (the first 100 GB of a month are free, if nothing else used them)
  to put      412 objects, 51.3 GiB
  in all      the prices of the store that is copied to are not known
  expedited   5 minutes   USD 5.94 to thaw
  standard    5 hours     USD 0.81 to thaw
  bulk        12 hours    USD 0.28 to thaw
  estimate by the prices of 2026-11-21 for us-east-1
"
        );
    }
}
