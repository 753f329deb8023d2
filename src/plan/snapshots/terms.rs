//! `keep = "24h 14d 8w"`: of how many hours, days, weeks … one snapshot is kept.

use std::fmt;
use std::num::NonZeroU32;

use chrono::{DateTime, Datelike as _, FixedOffset, Timelike as _};

/// A span of the calendar, of which one snapshot is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Span {
    Hour,
    Day,
    /// From Monday on, as ISO 8601 counts it.
    Week,
    Month,
    Quarter,
    Year,
}

impl Span {
    pub(super) const ALL: [Self; 6] = [
        Self::Hour,
        Self::Day,
        Self::Week,
        Self::Month,
        Self::Quarter,
        Self::Year,
    ];

    fn letter(self) -> char {
        match self {
            Self::Hour => 'h',
            Self::Day => 'd',
            Self::Week => 'w',
            Self::Month => 'm',
            Self::Quarter => 'q',
            Self::Year => 'y',
        }
    }

    pub(super) fn noun(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Quarter => "quarter",
            Self::Year => "year",
        }
    }

    /// The span in which a moment lies: two moments have the same numbers if and only if they lie in one span.
    /// The hour that comes twice at the end of summer time is two spans.
    pub(super) fn span(self, at: &DateTime<FixedOffset>) -> [i32; 3] {
        let ordinal = at.ordinal0().cast_signed();
        match self {
            Self::Hour => [
                at.num_days_from_ce(),
                at.hour().cast_signed(),
                at.offset().local_minus_utc(),
            ],
            Self::Day => [at.year(), ordinal, 0],
            Self::Week => {
                let week = at.iso_week();
                [week.year(), week.week0().cast_signed(), 0]
            }
            Self::Month => [at.year(), at.month0().cast_signed(), 0],
            Self::Quarter => [at.year(), at.month0().cast_signed() / 3, 0],
            Self::Year => [at.year(), 0, 0],
        }
    }
}

/// How many spans of each unit keep a snapshot. At least one unit is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms([Option<NonZeroU32>; Span::ALL.len()]);

impl Terms {
    /// Reads terms such as `24h 14d`, each unit once and with a number from 1; `None` if they are none.
    pub fn parse(text: &str) -> Option<Self> {
        let mut terms = Self([None; Span::ALL.len()]);
        for term in text.split_ascii_whitespace() {
            let unit = Span::ALL
                .into_iter()
                .find(|unit| term.ends_with(unit.letter()))?;
            let digits = &term[..term.len() - 1];
            // `parse` would also take a sign.
            if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            let number: NonZeroU32 = digits.parse().ok()?;
            if terms.0[unit as usize].replace(number).is_some() {
                return None;
            }
        }
        terms.0.iter().any(Option::is_some).then_some(terms)
    }

    /// The units that are set, each with its number of spans.
    pub(super) fn units(self) -> impl Iterator<Item = (Span, usize)> {
        Span::ALL
            .into_iter()
            .zip(self.0)
            .filter_map(|(unit, number)| Some((unit, number?.get() as usize)))
    }
}

impl fmt::Display for Terms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (unit, number)) in self.units().enumerate() {
            let blank = if place == 0 { "" } else { " " };
            write!(f, "{blank}{number}{}", unit.letter())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_read_in_any_order_and_written_from_the_shortest_unit_up() {
        let terms = Terms::parse(" 2y 14d\t24h  8w 12m 4q ").unwrap();
        assert_eq!(terms.to_string(), "24h 14d 8w 12m 4q 2y");
        assert_eq!(Terms::parse("007d").unwrap().to_string(), "7d");
    }

    #[test]
    fn what_is_no_term_is_refused() {
        for text in [
            "",
            " ",
            "0d",
            "d",
            "7",
            "7 d",
            "7days",
            "7D",
            "-7d",
            "+7d",
            "7d 7d",
            "7d 1h 2d",
            "7d,1h",
            "1.5d",
            "4294967296d",
            "7d x",
            "é",
        ] {
            assert_eq!(Terms::parse(text), None, "{text}");
        }
    }
}
