//! Money, in integers: prices per unit, and sums that add up to what is shown.

use std::fmt;
use std::iter::Sum;
use std::ops::Add;
use std::str::FromStr;

use serde::Deserialize;

/// AWS's GB: "Amazon S3 pricing" bills storage and transfer in units of 2^30 bytes.
pub const GB: u64 = 1 << 30;

/// AWS prices storage by the month; a day of it is counted as a thirtieth.
const DAYS_PER_MONTH: u32 = 30;

const NANOS_PER_USD: f64 = 1e9;
const NANOS_PER_MICRO: u128 = 1000;
const MICROS_PER_CENT: u64 = 10_000;

/// A sum in US dollars, kept in millionths. Each part is rounded up to the next millionth, and the display
/// rounds up to the cent: an estimate that is shown is never below the one that is compared. Sums that would
/// overflow stay at the maximum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Usd(u64);

impl Usd {
    /// Makes a sum of that many millionths of a dollar.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Makes a sum of that many cents.
    pub const fn from_cents(cents: u64) -> Self {
        Self(cents.saturating_mul(MICROS_PER_CENT))
    }

    /// In millionths of a dollar.
    pub const fn micros(self) -> u64 {
        self.0
    }

    /// In cents, rounded up.
    pub const fn cents(self) -> u64 {
        self.0.div_ceil(MICROS_PER_CENT)
    }

    /// In dollars with two decimals, rounded up: for JSON.
    #[expect(
        clippy::cast_precision_loss,
        reason = "cents are exact up to 90 trillion dollars"
    )]
    pub fn as_number(self) -> f64 {
        self.cents() as f64 / 100.0
    }
}

impl fmt::Display for Usd {
    /// Dollars with two decimals, without a sign or name of the currency: `3.91`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cents = self.cents();
        f.pad(&format!("{}.{:02}", cents / 100, cents % 100))
    }
}

/// A text that is no sum of money.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a sum in US dollars like `5` or `2.50`")]
pub struct NotUsd(pub String);

impl FromStr for Usd {
    type Err = NotUsd;

    /// Reads dollars with at most two decimals. A limit with more decimals could not be shown.
    fn from_str(text: &str) -> Result<Self, NotUsd> {
        let (whole, decimals) = match text.split_once('.') {
            Some((whole, decimals)) if matches!(decimals.len(), 1 | 2) => (whole, decimals),
            Some(_) => return Err(NotUsd(text.to_owned())),
            None => (text, ""),
        };
        let digits = format!("{whole}{decimals:0<2}");
        let are_digits = !whole.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let cents = are_digits.then(|| digits.parse::<u64>().ok()).flatten();
        cents
            .and_then(|cents| cents.checked_mul(MICROS_PER_CENT))
            .map(Self)
            .ok_or_else(|| NotUsd(text.to_owned()))
    }
}

impl Add for Usd {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sum for Usd {
    fn sum<I: Iterator<Item = Self>>(sums: I) -> Self {
        sums.fold(Self::default(), Add::add)
    }
}

/// A price of one unit in US dollars, kept in billionths, so that list prices are exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Deserialize)]
#[serde(try_from = "f64")]
pub struct Price(u64);

/// A number that is no price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a price is a number of US dollars from 0 to {}", Price::MAX_USD)]
pub struct NotAPrice;

impl Price {
    /// The greatest price of a unit, in dollars: far above any list price, and too low to overflow.
    pub const MAX_USD: u32 = 1_000_000;

    /// What that many bytes cost at this price per [`GB`].
    pub fn of_bytes(self, bytes: u64) -> Usd {
        self.times(bytes.into(), GB.into())
    }

    /// What it costs to hold that many bytes for that many days at this price per [`GB`] and month.
    pub fn of_holding(self, bytes: u64, days: u32) -> Usd {
        let byte_days = u128::from(bytes) * u128::from(days);
        self.times(byte_days, u128::from(GB) * u128::from(DAYS_PER_MONTH))
    }

    /// What it costs to hold bytes at this price per [`GB`] and month, where `byte_days` is the sum of the bytes of each day
    /// and the month has that many days. AWS bills a month by its own length: a GB that is held for all of a month costs
    /// the same in February as in March ("How am I charged for using Amazon S3", Amazon S3 FAQs).
    pub fn of_byte_days(self, byte_days: u128, days_in_month: u32) -> Usd {
        self.times(byte_days, u128::from(GB) * u128::from(days_in_month.max(1)))
    }

    /// What that many requests cost at this price per 1000.
    pub fn of_requests(self, requests: u64) -> Usd {
        self.times(requests.into(), 1000)
    }

    /// Returns the cost of `amount`, if this is the price of `unit`.
    fn times(self, amount: u128, unit: u128) -> Usd {
        let nanos = u128::from(self.0).saturating_mul(amount);
        let micros = nanos.div_ceil(unit * NANOS_PER_MICRO);
        Usd(u64::try_from(micros).unwrap_or(u64::MAX))
    }
}

impl TryFrom<f64> for Price {
    type Error = NotAPrice;

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the range is checked before"
    )]
    fn try_from(usd: f64) -> Result<Self, NotAPrice> {
        // The range contains neither NaN nor an infinity.
        if (0.0..=f64::from(Self::MAX_USD)).contains(&usd) {
            Ok(Self((usd * NANOS_PER_USD).round() as u64))
        } else {
            Err(NotAPrice)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn price(usd: f64) -> Price {
        Price::try_from(usd).unwrap()
    }

    #[test]
    fn a_sum_is_shown_in_cents_rounded_up() {
        for (micros, text, number) in [
            (0, "0.00", 0.0),
            (1, "0.01", 0.01),
            (10_000, "0.01", 0.01),
            (10_001, "0.02", 0.02),
            (3_910_000, "3.91", 3.91),
            (1_234_567_890, "1234.57", 1234.57),
            (u64::MAX, "18446744073709.56", 18_446_744_073_709.56),
        ] {
            let usd = Usd::from_micros(micros);
            assert_eq!(usd.to_string(), text);
            assert_eq!(usd.as_number().to_string(), number.to_string());
        }
        assert_eq!(format!("{:>6}", Usd::from_micros(1)), "  0.01");
    }

    #[test]
    fn a_sum_is_read_with_two_decimals_at_most() {
        for (text, micros) in [
            ("0", Some(0)),
            ("5", Some(5_000_000)),
            ("5.5", Some(5_500_000)),
            ("2.50", Some(2_500_000)),
            ("0.01", Some(10_000)),
            ("007.00", Some(7_000_000)),
            ("2.505", None),
            ("2.", None),
            (".5", None),
            ("-1", None),
            ("+1", None),
            ("1e3", None),
            ("1,000", None),
            ("$5", None),
            ("inf", None),
            ("", None),
            ("1.ä", None),
            ("99999999999999999999", None),
        ] {
            let usd = text.parse::<Usd>();
            assert_eq!(usd.clone().ok().map(Usd::micros), micros, "{text}");
            if let Err(error) = usd {
                let message = format!("`{text}` is not a sum in US dollars like `5` or `2.50`");
                assert_eq!(error.to_string(), message);
            }
        }
    }

    #[test]
    fn a_list_price_is_kept_exactly() {
        for (usd, nanos) in [
            (0.0, 0),
            (-0.0, 0),
            (0.000_000_001, 1),
            (0.000_4, 400_000),
            (0.000_99, 990_000),
            (0.002_5, 2_500_000),
            (0.023, 23_000_000),
            (10.0, 10_000_000_000),
            (1e6, 1_000_000_000_000_000),
        ] {
            assert_eq!(price(usd), Price(nanos), "{usd}");
        }
    }

    #[test]
    fn no_price_is_negative_infinite_or_beyond_reason() {
        for usd in [-0.01, 1_000_000.01, f64::INFINITY, -f64::INFINITY, f64::NAN] {
            assert_eq!(Price::try_from(usd), Err(NotAPrice), "{usd}");
        }
        assert_eq!(
            NotAPrice.to_string(),
            "a price is a number of US dollars from 0 to 1000000"
        );
    }

    #[test]
    fn an_amount_costs_its_share_of_the_unit_rounded_up_to_the_millionth() {
        for (cost, micros) in [
            (price(0.02).of_bytes(GB), 20_000),
            (price(0.02).of_bytes(GB / 2), 10_000),
            (price(0.02).of_bytes(1), 1),
            (price(0.02).of_bytes(0), 0),
            (price(0.0).of_bytes(u64::MAX), 0),
            // 0.05 × 412 / 1000 = 0.0206
            (price(0.05).of_requests(412), 20_600),
            // 0.0004 / 1000 = 0.0000004
            (price(0.000_4).of_requests(1), 1),
            // 0.023 × 30 / 30
            (price(0.023).of_holding(GB, 30), 23_000),
            // 0.023 × 7 / 30 = 0.005366…
            (price(0.023).of_holding(GB, 7), 5_367),
            (price(0.023).of_holding(GB, 0), 0),
            (price(1e6).of_holding(u64::MAX, u32::MAX), u64::MAX),
        ] {
            assert_eq!(cost, Usd::from_micros(micros));
        }
    }

    #[test]
    fn sums_stay_at_the_greatest_where_they_would_overflow() {
        let most = Usd::from_micros(u64::MAX);
        assert_eq!(most + Usd::from_micros(1), most);
        let sums = [1, 2, 3].map(Usd::from_micros);
        assert_eq!(sums.into_iter().sum::<Usd>(), Usd::from_micros(6));
    }
}
