//! The state of a store's inventory: the list that a vault makes of its archives about once a day.

use chrono::{DateTime, Utc};

/// How current a store's listing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inventory {
    /// The store lists what it has at this moment.
    Live,
    /// The listing is what the service had at this time, together with what was stored since.
    Of(DateTime<Utc>),
    /// The service is making a list, which takes hours. Until then the listing is what it had at the given time;
    /// `None` if there was no list yet.
    Awaited(Option<DateTime<Utc>>),
    /// The service has made no newer list yet, and there is nothing to ask for. It makes one about once a day.
    NotYet(Option<DateTime<Utc>>),
}
