//! The markers beside a ledger's entries, and what they say of the place: whether it is home, where writers and
//! pruners work.

use std::collections::BTreeSet;

use crate::error::LedgerStateError;
use crate::model::{PlaceId, SourceName, keys};

/// The markers that a listing of a ledger shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::engine) struct PlaceMarkers {
    /// Whether the place says that it is a copy.
    pub(in crate::engine) is_copy: bool,
    /// The ids under which the place has been made home.
    pub(in crate::engine) homes: BTreeSet<PlaceId>,
}

impl PlaceMarkers {
    /// Notes a listed object if it is a marker. Returns whether it is one.
    pub(in crate::engine) fn note(&mut self, directory: &str, key: &str) -> bool {
        if key == keys::copy_marker(directory) {
            self.is_copy = true;
            return true;
        }
        match keys::home_marker_id(directory, key) {
            Some(place) => {
                self.homes.insert(place);
                true
            }
            None => false,
        }
    }

    /// Refuses a writer or a pruner at a place that is not home, if the ledger there says last that the place
    /// `moved_to` is home. The mark of a copy does not count any more once the ledger and the mark of home agree: a
    /// lock can keep it from being deleted.
    pub(in crate::engine) fn require_home(
        &self,
        moved_to: Option<PlaceId>,
        source_name: &SourceName,
        store: impl FnOnce() -> String,
    ) -> Result<(), LedgerStateError> {
        if moved_to.is_some_and(|place| self.homes.contains(&place)) {
            return Ok(());
        }
        if self.is_copy {
            return Err(LedgerStateError::IsCopy {
                source_name: source_name.clone(),
                store: store(),
            });
        }
        let Some(place) = moved_to else {
            return Ok(());
        };
        Err(LedgerStateError::MovedAway {
            source_name: source_name.clone(),
            store: store(),
            place,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: PlaceId = PlaceId([0x5a; 16]);

    fn judge(markers: &[String], moved_to: Option<PlaceId>) -> &'static str {
        let mut noted = PlaceMarkers::default();
        for key in markers {
            assert!(noted.note("home", key), "{key}");
        }
        let name = "home".parse().unwrap();
        match noted.require_home(moved_to, &name, || "file:///backup".to_owned()) {
            Ok(()) => "home",
            Err(LedgerStateError::IsCopy { .. }) => "copy",
            Err(LedgerStateError::MovedAway { .. }) => "moved",
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn a_place_is_home_by_the_mark_of_the_newest_move_or_without_any_mark() {
        let copy = keys::copy_marker("home");
        let ours = keys::home_marker("home", &PLACE);
        let other = keys::home_marker("home", &PlaceId([1; 16]));
        assert_eq!(judge(&[], None), "home");
        assert_eq!(judge(std::slice::from_ref(&ours), None), "home");
        assert_eq!(judge(&[], Some(PLACE)), "moved");
        assert_eq!(judge(std::slice::from_ref(&other), Some(PLACE)), "moved");
        assert_eq!(judge(&[other.clone(), ours.clone()], Some(PLACE)), "home");
        assert_eq!(judge(&[copy.clone(), ours.clone()], Some(PLACE)), "home");
        assert_eq!(judge(std::slice::from_ref(&copy), None), "copy");
        assert_eq!(judge(std::slice::from_ref(&copy), Some(PLACE)), "copy");
        assert_eq!(judge(&[copy.clone(), other], Some(PLACE)), "copy");
        assert_eq!(judge(&[copy, ours], None), "copy");
    }

    #[test]
    fn only_a_marker_is_noted() {
        let mut noted = PlaceMarkers::default();
        for key in [
            "home/ledger/00000001.entry",
            "home/ledger/COPY.bak",
            "home/ledger/HOME-5a",
            "work/ledger/COPY",
        ] {
            assert!(!noted.note("home", key), "{key}");
        }
        assert_eq!(noted, PlaceMarkers::default());
    }
}
