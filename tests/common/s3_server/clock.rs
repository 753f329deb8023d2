//! The server's clock: real time until it is set, and turned by hand.

use std::sync::Mutex;

use chrono::{DateTime, TimeDelta, Utc};

use super::lock;

#[derive(Debug, Default)]
pub struct Clock(Mutex<Reading>);

#[derive(Debug, Clone, Copy)]
enum Reading {
    /// Real time and this much.
    Ahead(TimeDelta),
    /// Stands still.
    At(DateTime<Utc>),
}

impl Default for Reading {
    fn default() -> Self {
        Self::Ahead(TimeDelta::zero())
    }
}

impl Clock {
    pub fn now(&self) -> DateTime<Utc> {
        match *lock(&self.0) {
            Reading::Ahead(ahead) => Utc::now() + ahead,
            Reading::At(instant) => instant,
        }
    }

    /// Stops the clock at that instant; from here on only [`advance`](Self::advance) moves it.
    pub fn set(&self, instant: DateTime<Utc>) {
        *lock(&self.0) = Reading::At(instant);
    }

    pub fn advance(&self, by: TimeDelta) {
        match &mut *lock(&self.0) {
            Reading::Ahead(ahead) => *ahead += by,
            Reading::At(instant) => *instant += by,
        }
    }
}

/// As in `Date` and `Last-Modified`.
pub fn http_date(instant: DateTime<Utc>) -> String {
    instant.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// As in XML and in the headers of Object Lock.
pub fn iso_date(instant: DateTime<Utc>) -> String {
    instant.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}
