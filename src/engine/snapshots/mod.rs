//! The snapshots of a source on this machine: taken, adopted, kept and removed.

pub(super) mod adopt;
pub(super) mod adopt_copy;
pub(super) mod at_any_time;
pub(super) mod left_out;
pub(super) mod leftovers;
pub(super) mod links;
pub(super) mod overview;
pub(super) mod retention;
pub(super) mod standing;
pub(super) mod take;
