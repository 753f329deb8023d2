//! Copies of a source's archives in other stores: sealed objects, byte for byte, without any key.
//!
//! [`run`] makes a copy or brings it up to date: [`claim`] says what the place is, [`entries`] compares and copies the
//! ledger, [`transfer`] the archives; [`prune`] deletes what home has deleted. A copy's ledger is a prefix of home's, and
//! only `coldchain copy` writes there. [`move_home`] makes a copy home.

pub(super) mod asked;
pub(super) mod claim;
mod entries;
pub(super) mod foresee;
pub(super) mod found;
pub(super) mod given_up;
mod home;
pub(super) mod known;
pub(super) mod lacking;
pub(super) mod move_home;
pub(super) mod moved_away;
pub(super) mod places;
mod prune;
mod recognize;
pub(super) mod run;
pub(super) mod target;
mod transfer;
pub(super) mod whole;
