//! Where the ledger says that home is.

use super::Replay;
use crate::model::PlaceId;

impl Replay {
    /// Returns the place that the newest `moved` entry names as home; `None` if home was never moved. An entry
    /// that a `rotate` has voided does not count.
    pub fn moved_to(&self) -> Option<PlaceId> {
        self.moved.last().map(|(_, place)| *place)
    }

    /// Whether an entry is a `moved` that was not voided.
    pub fn is_moving(&self, seq: u64) -> bool {
        self.moved.iter().any(|(moved, _)| *moved == seq)
    }

    /// Returns the place that is home if these entries are voided.
    pub fn moved_to_without(&self, voided: &[u64]) -> Option<PlaceId> {
        let mut counting = self.moved.iter().filter(|(seq, _)| !voided.contains(seq));
        counting.next_back().map(|(_, place)| *place)
    }
}
