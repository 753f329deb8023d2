//! The cost of a restore in words, for people.

use std::fmt::Write;
use std::time::Duration;

use super::pricing::cost::{ClassCost, RestoreCost, Stored};
use crate::model::size::Bytes;

/// Returns a cost as indented lines, each with a newline. The first word of a line says what it is about.
///
/// ```text
///   to thaw     412 segments, 51.3 GiB in DEEP_ARCHIVE; copies stay readable 7 days
///   requests    412 to thaw, 412 to fetch
///   egress      51.3 GiB: USD 0.00 (the first 100 GB of a month are free, if nothing else used them)
///   standard    12 hours   USD 1.35 to thaw   USD 1.35 in all
///   bulk        48 hours   USD 0.42 to thaw   USD 0.42 in all
///   estimate by the prices of 2026-11-21 for us-east-1
/// ```
pub fn describe_cost(cost: &RestoreCost) -> String {
    let mut text = String::new();
    let mut line = |word: &str, rest: &str| {
        writeln!(text, "  {word:10}  {rest}").expect("writing to a string does not fail");
    };
    for class in &cost.classes {
        if let Some(thaw) = thaw(&class.stored, cost.thaw_days) {
            line("to thaw", &thaw);
        }
        if let Some(readable) = readable(&class.stored) {
            line("thawed", &readable);
        }
    }
    line("requests", &requests(cost));
    for class in &cost.classes {
        if let Some(retrieval) = retrieval(class) {
            line("retrieval", &retrieval);
        }
    }
    line("egress", &egress(cost));
    if cost.tiers.is_empty() {
        line("in all", &format!("USD {}", cost.usd_to_fetch()));
    }
    for (word, tier) in tiers(cost) {
        line(word, &tier);
    }
    // This line has no columns, because it applies to all lines above it.
    text + &format!("  estimate by {}\n", cost.prices)
}

pub(super) fn thaw(stored: &Stored, days: u32) -> Option<String> {
    let segments = stored.segments_to_thaw();
    (segments > 0).then(|| {
        let readable = if stored.class.bills_thawed_copies() {
            format!("copies stay readable {}", count(days.into(), "day"))
        } else {
            "each stays readable 24 hours".to_owned()
        };
        format!(
            "{}, {} in {}; {readable}",
            count(segments, "segment"),
            Bytes(stored.bytes_to_thaw()),
            stored.class,
        )
    })
}

/// What an earlier thaw made readable.
pub(super) fn readable(stored: &Stored) -> Option<String> {
    let segments = stored.segments.min(stored.readable_segments);
    (stored.class.is_cold() && segments > 0).then(|| {
        format!(
            "{}, {} in {}",
            count(segments, "segment"),
            Bytes(stored.readable_bytes),
            stored.class,
        )
    })
}

pub(super) fn requests(cost: &RestoreCost) -> String {
    let to_fetch = format!("{} to fetch", cost.requests());
    match cost.segments_to_thaw() {
        0 => to_fetch,
        to_thaw => format!("{to_thaw} to thaw, {to_fetch}"),
    }
}

/// What it costs to read a warm class.
pub(super) fn retrieval(class: &ClassCost) -> Option<String> {
    (class.retrieval.micros() > 0).then(|| {
        let bytes = Bytes(class.stored.fetched_bytes());
        let name = class.stored.class;
        format!("{bytes} from {name}: USD {}", class.retrieval)
    })
}

pub(super) fn egress(cost: &RestoreCost) -> String {
    let text = format!("{}: USD {}", Bytes(cost.fetched_bytes()), cost.egress);
    match cost.free_egress_gb {
        Some(free) => {
            format!("{text} (the first {free} GB of a month are free, if nothing else used them)")
        }
        None => text,
    }
}

/// Returns each tier's name and its line, aligned in columns.
fn tiers(cost: &RestoreCost) -> Vec<(&'static str, String)> {
    let rows: Vec<[String; 3]> = cost
        .tiers
        .iter()
        .filter_map(|thaw| {
            let total = cost.usd_total(thaw.tier).ok()?;
            let time = time(thaw.until_readable);
            Some([time, thaw.usd.to_string(), total.to_string()])
        })
        .collect();
    let width = |at: usize| rows.iter().map(|row| row[at].len()).max().unwrap_or(0);
    let [times, thaws, totals] = [0, 1, 2].map(width);
    let words = cost.tiers.iter().map(|thaw| thaw.tier.as_str());
    let lines = rows.iter().map(|[time, thaw, total]| {
        format!("{time:times$}   USD {thaw:>thaws$} to thaw   USD {total:>totals$} in all")
    });
    words.zip(lines).collect()
}

pub(super) fn time(time: Duration) -> String {
    let minutes = time.as_secs().div_ceil(60);
    if minutes.is_multiple_of(60) {
        count(minutes / 60, "hour")
    } else {
        count(minutes, "minute")
    }
}

pub(super) fn count(n: u64, noun: &str) -> String {
    let s = if n == 1 { "" } else { "s" };
    format!("{n} {noun}{s}")
}

#[cfg(test)]
mod tests {
    use super::super::pricing::cost::price_restore;
    use super::super::pricing::egress::{Egress, EgressStep};
    use super::super::pricing::prices::Prices;
    use super::super::pricing::usd::{GB, Price};
    use super::*;
    use crate::model::StorageClass;

    /// So much in a class, some of it thawed.
    fn stored(class: StorageClass, [segments, bytes]: [u64; 2], readable: [u64; 2]) -> Stored {
        Stored {
            class,
            segments,
            sealed_bytes: bytes,
            readable_segments: readable[0],
            readable_bytes: readable[1],
            parts: None,
        }
    }

    /// Begins with an empty line, so that the expected text can start on a line of its own.
    fn described(stored: &[Stored], days: u32, prices: &Prices) -> String {
        "\n".to_owned() + &describe_cost(&price_restore(stored, days, prices))
    }

    #[test]
    fn a_thaw_is_told_with_every_tier_that_can_be_chosen() {
        let bytes = 513 * GB / 10;
        let deep = stored(StorageClass::DeepArchive, [412, bytes], [0, 0]);
        // copies:   51.3 × 0.023 × 7 / 30 = 0.275310
        // standard: 51.3 × 0.02   = 1.026,   412 × 0.10 / 1000  = 0.0412
        // bulk:     51.3 × 0.0025 = 0.12825, 412 × 0.025 / 1000 = 0.0103
        assert_eq!(
            described(&[deep], 7, &Prices::built_in()),
            "
  to thaw     412 segments, 51.3 GiB in DEEP_ARCHIVE; copies stay readable 7 days
  requests    412 to thaw, 412 to fetch
  egress      51.3 GiB: USD 0.00 (the first 100 GB of a month are free, if nothing else used them)
  standard    12 hours   USD 1.35 to thaw   USD 1.35 in all
  bulk        48 hours   USD 0.42 to thaw   USD 0.42 in all
  estimate by the prices of 2026-11-21 for us-east-1
"
        );
    }

    #[test]
    fn a_vault_keeps_what_it_made_readable_for_24_hours_whatever_was_asked() {
        let vault = stored(StorageClass::Vault, [412, 513 * GB / 10], [0, 0]);
        // expedited: 51.3 × 0.03   = 1.539,   412 × 10 / 1000    = 4.12
        // standard:  51.3 × 0.01   = 0.513,   412 × 0.05 / 1000  = 0.0206
        // bulk:      51.3 × 0.0025 = 0.12825, 412 × 0.025 / 1000 = 0.0103
        assert_eq!(
            described(&[vault], 7, &Prices::built_in()),
            "
  to thaw     412 segments, 51.3 GiB in GLACIER_VAULT; each stays readable 24 hours
  requests    412 to thaw, 412 to fetch
  egress      51.3 GiB: USD 0.00 (the first 100 GB of a month are free, if nothing else used them)
  expedited   5 minutes   USD 5.66 to thaw   USD 5.66 in all
  standard    5 hours     USD 0.54 to thaw   USD 0.54 in all
  bulk        12 hours    USD 0.14 to thaw   USD 0.14 in all
  estimate by the prices of 2026-11-21 for us-east-1
"
        );
    }

    #[test]
    fn the_columns_are_as_wide_as_what_stands_in_them() {
        let half = [4000, 500 * GB];
        let glacier = stored(StorageClass::Glacier, [8000, 1000 * GB], half);
        let one = stored(StorageClass::StandardIa, [1, GB], [0, 0]);
        // copies:    500 × 0.023 / 30 = 0.383334
        // expedited: 500 × 0.03 = 15,  4000 × 10 / 1000   = 40
        // standard:  500 × 0.01 = 5,   4000 × 0.05 / 1000 = 0.2
        // fetching:  8000 × 0.0004 / 1000 + 0.001 / 1000 + 0.01 + (1001 − 100) × 0.09 = 81.103201
        assert_eq!(
            described(&[glacier, one], 1, &Prices::built_in()),
            "
  to thaw     4000 segments, 500 GiB in GLACIER; copies stay readable 1 day
  thawed      4000 segments, 500 GiB in GLACIER
  requests    4000 to thaw, 8001 to fetch
  retrieval   1.00 GiB from STANDARD_IA: USD 0.01
  egress      1001 GiB: USD 81.09 (the first 100 GB of a month are free, if nothing else used them)
  expedited   5 minutes   USD 55.39 to thaw   USD 136.49 in all
  standard    5 hours     USD  5.59 to thaw   USD  86.69 in all
  bulk        12 hours    USD  0.39 to thaw   USD  81.49 in all
  estimate by the prices of 2026-11-21 for us-east-1
"
        );
    }

    #[test]
    fn what_is_readable_needs_no_tier() {
        let thawed = [8, GB];
        let deep = stored(StorageClass::DeepArchive, thawed, thawed);
        assert_eq!(
            described(&[deep], 7, &Prices::built_in()),
            "
  thawed      8 segments, 1.00 GiB in DEEP_ARCHIVE
  requests    8 to fetch
  egress      1.00 GiB: USD 0.00 (the first 100 GB of a month are free, if nothing else used them)
  in all      USD 0.01
  estimate by the prices of 2026-11-21 for us-east-1
"
        );
    }

    #[test]
    fn overlaid_prices_and_egress_that_is_never_free_are_said_so() {
        let step = EgressStep {
            up_to_gb: None,
            per_gb: Price::try_from(0.02).unwrap(),
        };
        let mut prices = Prices::built_in();
        prices.egress = Egress::new(vec![step]).unwrap();
        let prices = prices.marked();
        let standard = stored(StorageClass::Standard, [8, GB], [0, 0]);
        assert_eq!(
            described(&[standard], 7, &prices),
            "
  requests    8 to fetch
  egress      1.00 GiB: USD 0.02
  in all      USD 0.03
  estimate by the prices of 2026-11-21 for us-east-1, with those that the config gives
"
        );
    }
}
