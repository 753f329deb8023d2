//! Calendar days.

use std::fmt;
use std::str::FromStr;

use chrono::{Datelike as _, NaiveDate};

use super::error::ApiError;
use crate::model::ids::parse_date;

/// A calendar day, in the config's time zone. Its text is `YYYY-MM-DD`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApiDate(pub(super) NaiveDate);

impl ApiDate {
    /// Makes a day; `None` if there is no such day, or its year does not have four digits.
    pub fn new(year: u16, month: u8, day: u8) -> Option<Self> {
        format!("{year:04}-{month:02}-{day:02}").parse().ok()
    }

    /// Returns its year.
    pub fn year(self) -> i32 {
        self.0.year()
    }

    /// Returns its month, 1 to 12.
    pub fn month(self) -> u32 {
        self.0.month()
    }

    /// Returns its day of the month, 1 to 31.
    pub fn day(self) -> u32 {
        self.0.day()
    }
}

impl fmt::Display for ApiDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for ApiDate {
    type Err = ApiError;

    fn from_str(text: &str) -> Result<Self, ApiError> {
        Ok(Self(parse_date(text)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_has_one_text_and_no_other_is_a_date() {
        let date = ApiDate::new(2028, 2, 29).unwrap();
        assert_eq!((date.year(), date.month(), date.day()), (2028, 2, 29));
        assert_eq!(date.to_string(), "2028-02-29");
        assert_eq!(date.to_string().parse::<ApiDate>().unwrap(), date);
        for text in [
            "",
            "2028-2-29",
            "2027-02-29",
            "+028-02-29",
            "2028-02-29 ",
            "28-02-2029",
        ] {
            let error = text.parse::<ApiDate>().unwrap_err();
            assert_eq!(error.exit_code(), 2, "{text}: {error}");
        }
        assert_eq!(ApiDate::new(2028, 13, 1), None);
        assert_eq!(ApiDate::new(10_000, 1, 1), None);
    }
}
