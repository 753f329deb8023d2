//! Random histories of one source: good nights and bad ones, broken streams, stores and clocks, lost
//! rows and older catalogs, in any order. A model beside it says what must come of each.

mod ledger;
mod life;
mod look;
mod mishap;
mod night;
mod prune;
mod step;
mod streams;
mod tally;

use crate::common::from_env;
use std::collections::BTreeMap;
use std::sync::Mutex;

use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};

use life::Life;
use step::steps;
use tally::Tally;

#[test]
fn nothing_is_lost_and_nothing_is_wrong_after_any_history() {
    let seed = from_env("COLDCHAIN_SEED", 1);
    let cases = from_env("COLDCHAIN_HISTORIES", 12);
    println!("COLDCHAIN_SEED={seed} COLDCHAIN_HISTORIES={cases}");
    let config = Config {
        cases: cases.try_into().unwrap(),
        // A history takes some time, and the steps that don't matter are cut away in halves.
        max_shrink_iters: 1000,
        failure_persistence: None,
        ..Config::default()
    };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let taken = Mutex::new(BTreeMap::<&str, u64>::new());
    let tally = Tally::default();
    let result = runner.run(&steps(), |steps| {
        let mut life = Life::new(&tally);
        for step in &steps {
            *taken.lock().unwrap().entry(step.kind()).or_default() += 1;
            life.take(step);
        }
        life.recover();
        Ok(())
    });
    let taken = taken.into_inner().unwrap();
    println!("{cases} histories, {} steps", taken.values().sum::<u64>());
    for (kind, count) in taken {
        println!("{count:7} {kind}");
    }
    println!("what came of them:");
    for (what, count) in tally.counts() {
        println!("{count:7} {what}");
    }
    match result {
        Ok(()) => {}
        Err(TestError::Fail(why, steps)) => panic!("{why}\nafter {steps:#?}"),
        Err(abort) => panic!("{abort}"),
    }
}
