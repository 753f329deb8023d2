//! The state of a store's inventory: the list that a vault makes of its archives about once a day.

use chrono::{DateTime, Utc};

use crate::model::entry::Timestamp;

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

impl Inventory {
    /// Returns as of when the listing is; `None` if it is as of now, or if there is no list yet.
    pub fn date(self) -> Option<DateTime<Utc>> {
        match self {
            Self::Live => None,
            Self::Of(date) => Some(date),
            Self::Awaited(date) | Self::NotYet(date) => date,
        }
    }

    /// Says as of when the listing is, and what comes next; `None` if it is as of now.
    pub fn in_words(self) -> Option<String> {
        Some(match self {
            Self::Live => return None,
            Self::Of(date) => format!(
                "the listing is the vault's inventory of {}",
                Timestamp(date)
            ),
            Self::Awaited(Some(date)) => format!(
                "the listing is the vault's inventory of {}; the service is making a newer one, which takes hours",
                Timestamp(date)
            ),
            Self::NotYet(Some(date)) => format!(
                "the listing is the vault's inventory of {}; the service makes one about once a day",
                Timestamp(date)
            ),
            Self::Awaited(None) => {
                "the vault's inventory was never read; the service is making one, which takes hours"
                    .to_owned()
            }
            Self::NotYet(None) => {
                "the vault has no inventory yet; the service makes the first one within two days"
                    .to_owned()
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_says_as_of_when_it_is() {
        let date: DateTime<Utc> = "2026-11-29T03:00:00Z".parse().unwrap();
        assert_eq!(
            (Inventory::Live.date(), Inventory::Live.in_words()),
            (None, None)
        );
        for inventory in [
            Inventory::Of(date),
            Inventory::Awaited(Some(date)),
            Inventory::NotYet(Some(date)),
        ] {
            assert_eq!(inventory.date(), Some(date));
            let words = inventory.in_words().unwrap();
            assert!(words.contains("2026-11-29T03:00:00Z"), "{words}");
        }
        for inventory in [Inventory::Awaited(None), Inventory::NotYet(None)] {
            assert_eq!(inventory.date(), None);
            assert!(inventory.in_words().is_some());
        }
    }
}
