//! What expires and what is left over.

#[path = "../common/mod.rs"]
mod common;

mod contents;
mod early_deletion;
mod prune_s3;
mod pruning;
mod strays;
mod strays_s3;
