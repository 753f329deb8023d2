//! The time, as an argument: simulated dates never meet the wall clock.

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;

/// Tells the time.
pub trait Clock: Send + Sync {
    /// Returns the current time.
    fn now(&self) -> DateTime<Utc>;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }
}

/// Returns the date of a moment in a time zone.
pub fn local_date(moment: DateTime<Utc>, timezone: Tz) -> NaiveDate {
    moment.with_timezone(&timezone).date_naive()
}
