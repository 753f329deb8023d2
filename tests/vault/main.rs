//! A vault as home: archives, inventories, thaws and prunes, in process and with the real program.

#[path = "../common/mod.rs"]
mod common;

mod archiving;
mod bad_days;
mod deletions;
mod face;
mod killed;
mod leaving;
mod listing;
mod moto;
mod old_home;
mod out;
mod pruning;
mod requests;
mod thawing;
mod two_sources;
mod whole;
mod windows;
