//! Whatever is done to the objects of a store is found and named: by `verify`, and by a restore
//! before `btrfs receive` has seen a byte of it.
//!
//! `COLDCHAIN_MUTATIONS` says how many are tried, `COLDCHAIN_SEED` which.

#[path = "../common/mod.rs"]
mod common;

mod forger;
mod mutation;
mod restored;
mod shelf;

use std::collections::BTreeMap;

use common::rng::Rng;
use mutation::Mutation;
use shelf::Shelf;

fn from_env(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

#[test]
fn every_mutation_of_a_store_is_found_and_named() {
    let seed = from_env("COLDCHAIN_SEED", 1);
    let cases = from_env("COLDCHAIN_MUTATIONS", 200);
    println!("COLDCHAIN_SEED={seed} COLDCHAIN_MUTATIONS={cases}");
    let shelf = Shelf::new();
    assert_eq!(shelf.found(), [""; 0], "nothing was done to it yet");
    let mut kinds = BTreeMap::<&str, u64>::new();
    for case in 0..cases {
        // Each case is its own, whatever the number of cases.
        let mut rng = Rng::new(seed.wrapping_mul(1_000_003).wrapping_add(case));
        let mutation = Mutation::choose(case, &shelf, &mut rng);
        *kinds.entry(mutation.kind()).or_default() += 1;
        let touched = mutation.strike(&shelf, &mut rng);
        let found = shelf.found();
        for key in &touched {
            assert!(
                found.contains(key),
                "case {case} of seed {seed}: {mutation:?}: {key} is not among {found:?}"
            );
        }
        assert!(!touched.is_empty(), "{mutation:?} does nothing");
        shelf.mend();
    }
    println!("{kinds:?}");
    assert_eq!(shelf.found(), [""; 0], "all is as it was");
}
