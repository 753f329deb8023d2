//! Whatever is done to the objects of a store is found and named: by `verify`, by a restore before `btrfs
//! receive` has seen a byte of it, and by an empty machine that has the recovery kit alone.
//!
//! `COLDCHAIN_MUTATIONS` says how many are tried, `COLDCHAIN_SEED` which.

mod elsewhere;
mod forger;
mod mutation;
mod restored;
mod shelf;

use crate::common::from_env;
use std::collections::BTreeMap;

use crate::common::rng::Rng;
use elsewhere::{Made, every_mutation};
use mutation::Mutation;
use shelf::Shelf;

#[test]
fn every_mutation_of_a_store_is_found_and_named() {
    let seed = from_env("COLDCHAIN_SEED", 1);
    let cases = from_env("COLDCHAIN_MUTATIONS", 140);
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

#[test]
fn an_empty_machine_names_whatever_was_done_to_a_ledger_and_takes_nothing_for_what_it_is_not() {
    let shelf = Shelf::new();
    let untouched = shelf.made_elsewhere();
    assert!(
        matches!(&untouched, Made::Read { damage: false, said } if said.is_empty()),
        "{untouched:?}"
    );
    let mut rng = Rng::new(1);
    for mutation in every_mutation(&shelf) {
        let touched = mutation.strike(&shelf, &mut rng);
        let made = shelf.made_elsewhere();
        if let Made::Read { damage, said } = &made {
            let number = |key: &String| {
                let digits = key.rsplit('/').next().unwrap().trim_end_matches(".entry");
                digits.trim_start_matches('0').to_owned()
            };
            let entry = format!("entry {}", number(touched.last().unwrap()));
            assert!(
                *damage || said.iter().any(|words| words.contains(&entry)),
                "{mutation:?}: {entry} is not told of: {said:?}"
            );
        }
        shelf.mend();
    }
}
