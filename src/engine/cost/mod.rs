//! What a source costs: each month now, in the months to come, and to restore. Nothing here looks at a store.

pub(super) mod archives;
pub(super) mod first_full;
pub(super) mod forecast;
pub(super) mod monthly;
pub(super) mod places;
pub(super) mod restoring;
