//! coldchain archives btrfs subvolumes offsite, and brings them back.
//!
//! # The tour
//!
//! (written when the modules stand)

pub mod catalog;
pub mod config;
pub mod model;
pub mod plan;
