//! What is fuzzed: for each target a function that takes any bytes, and seeds that get to its inside.
//!
//! `fuzz_targets/` hands the functions to libFuzzer. `tests/restore/fuzz_regressions.rs` in the directory above
//! includes this module and passes seeds and regressions through the same functions. So nothing
//! here names libFuzzer, or a crate that the program itself does not have.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    reason = "a crate for the fuzzer, and a module of a test program"
)]

pub mod canonical;
pub mod config;
pub mod contents;
pub mod fixtures;
pub mod frame;
pub mod guard;
pub mod input;
pub mod kit;
pub mod ledger;
pub mod opener;
pub mod replay;
pub mod s3;
pub mod seek_table;
pub mod unpack;

/// What became of an input. A broken property is no outcome: it panics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Everything in it was taken.
    Accepted,
    /// Something in it was refused with an error.
    Refused,
}

impl Outcome {
    pub fn of<T, E>(result: &Result<T, E>) -> Self {
        if result.is_ok() {
            Self::Accepted
        } else {
            Self::Refused
        }
    }
}

/// One of the targets.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// As `fuzz_targets/` and `regressions/` call it.
    pub name: &'static str,
    /// Takes any bytes. Panics if the program breaks a property.
    pub run: fn(&[u8]) -> Outcome,
    /// Inputs to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

pub const TARGETS: [Target; 12] = [
    Target {
        name: "canonical",
        run: canonical::run,
        seeds: canonical::seeds,
    },
    Target {
        name: "config",
        run: config::run,
        seeds: config::seeds,
    },
    Target {
        name: "contents",
        run: contents::run,
        seeds: contents::seeds,
    },
    Target {
        name: "frame",
        run: frame::run,
        seeds: frame::seeds,
    },
    Target {
        name: "guard",
        run: guard::run,
        seeds: guard::seeds,
    },
    Target {
        name: "kit",
        run: kit::run,
        seeds: kit::seeds,
    },
    Target {
        name: "ledger",
        run: ledger::run,
        seeds: ledger::seeds,
    },
    Target {
        name: "opener",
        run: opener::run,
        seeds: opener::seeds,
    },
    Target {
        name: "replay",
        run: replay::run,
        seeds: replay::seeds,
    },
    Target {
        name: "s3",
        run: s3::run,
        seeds: s3::seeds,
    },
    Target {
        name: "seek_table",
        run: seek_table::run,
        seeds: seek_table::seeds,
    },
    Target {
        name: "unpack",
        run: unpack::run,
        seeds: unpack::seeds,
    },
];

/// The target of that name.
pub fn target(name: &str) -> Target {
    *TARGETS
        .iter()
        .find(|target| target.name == name)
        .expect("a target is in the list")
}
