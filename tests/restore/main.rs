//! The day it is needed: restores, drills, thaws, and streams that want to do harm.

#[path = "../common/mod.rs"]
mod common;

mod confinement;
mod drill;
mod fuzz_regressions;
mod hostile_scripts;
mod hostile_streams;
mod moves;
mod nearest;
mod odd_entries;
mod restore_by_hand;
mod restore_ways;
mod target_shapes;
mod thaw;
mod thaw_scale;
mod unfit_targets;
