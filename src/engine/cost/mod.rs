//! What a source costs: each month now, in the months to come, and to restore. Nothing here looks at a store.

pub(super) mod monthly;
