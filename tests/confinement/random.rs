//! Random hostile chains, restored in every way: whatever becomes of them, nothing around the target is
//! touched, and no run hangs or panics.

use std::collections::BTreeMap;

use super::can_run;
use super::ground::{Ground, Seen};
use super::hostile_chain::HostileChain;
use super::shelf::Shelf;
use super::ways::{Ended, WAYS, Way};

/// So many chains lie in one ledger.
const CHAINS_PER_LEDGER: u64 = 8;

/// What came of the chains.
#[derive(Default)]
struct Tally {
    ends: BTreeMap<(Way, &'static str), u64>,
    touched: BTreeMap<(Way, String), u64>,
    kinds: BTreeMap<String, [u64; 4]>,
    failures: Vec<String>,
}

#[test]
fn nothing_around_the_target_is_touched_by_random_hostile_chains() {
    if !can_run() {
        return;
    }
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse().unwrap());
    let seed: u64 = number("COLDCHAIN_SEED").unwrap_or(1);
    let first: u64 = number("COLDCHAIN_HOSTILE_FIRST").unwrap_or(0);
    let asked: Option<u64> = number("COLDCHAIN_HOSTILE_CHAINS");
    let chains = asked.unwrap_or(100);
    let mut ground = Ground::new();
    let mut before = ground.look();
    let mut shelf = Shelf::new();
    let mut tally = Tally::default();
    for chain in first..first + chains {
        if chain % CHAINS_PER_LEDGER == 0 {
            shelf = Shelf::new();
        }
        let seeded = seed.wrapping_mul(1_000_003).wrapping_add(chain);
        let hostile = HostileChain::random(seeded, &shelf.dates(), &ground.aims());
        shelf.put(&hostile);
        let date = hostile.archives.last().unwrap().date.clone();
        for (at, way) in (0..).zip(WAYS) {
            // A restore each time; the other ways take turns where there are few chains.
            if asked.is_none() && at > 0 && chain % 6 != at {
                continue;
            }
            let ended = way.run(shelf.machine(), &ground, &date);
            let touched = ground.touched(&before);
            tally.count(way, &hostile, &ended, &touched);
            if let Some(failure) = failure(&ended, &touched) {
                tally.failures.push(format!(
                    "{way:?} of chain {chain} ({}): {failure}; repeat it with \
                     COLDCHAIN_SEED={seed} COLDCHAIN_HOSTILE_FIRST={chain} COLDCHAIN_HOSTILE_CHAINS=1",
                    hostile.kinds.join("; ")
                ));
            }
            ground.clear();
            if !touched.is_empty() {
                (ground, before) = anew();
                shelf = Shelf::new();
                break;
            }
        }
    }
    tally.report(chains);
    assert!(
        tally.failures.is_empty(),
        "{} failures:\n{}",
        tally.failures.len(),
        tally.failures.join("\n")
    );
}

/// Another ground: the last one is trodden.
fn anew() -> (Ground, Seen) {
    let ground = Ground::new();
    let before = ground.look();
    (ground, before)
}

fn failure(ended: &Ended, touched: &[String]) -> Option<String> {
    let fault = ended.fault();
    if fault.is_none() && touched.is_empty() {
        return None;
    }
    let fault = fault.unwrap_or_default();
    Some(format!("{fault} touched {touched:?}\n    {}", ended.said.trim()))
}

impl Tally {
    fn count(&mut self, way: Way, chain: &HostileChain, ended: &Ended, touched: &[String]) {
        let by = ended.by();
        *self.ends.entry((way, by)).or_default() += 1;
        for what in touched.iter().cloned().chain(ended.fault()) {
            let what = what.split(": ").next().unwrap().to_owned();
            *self.touched.entry((way, what)).or_default() += 1;
        }
        if way != Way::Restore {
            return;
        }
        let column = match by {
            "refused by the guard" => 0,
            "refused by receive" => 1,
            "carried out" => 2,
            _ => 3,
        };
        for kind in &chain.kinds {
            // Of a plot, what was made and what was done.
            let words: Vec<&str> = kind.split(' ').collect();
            let kind = match words.as_slice() {
                [seed, _, strike, "in", _] => format!("{seed} {strike}"),
                _ => kind.clone(),
            };
            self.kinds.entry(kind).or_default()[column] += 1;
        }
    }

    fn report(&self, chains: u64) {
        println!("{chains} hostile chains");
        for ((way, by), count) in &self.ends {
            println!("  {way:?} {by}: {count}");
        }
        for ((way, what), count) in &self.touched {
            println!("  TOUCHED {way:?} {what}: {count}");
        }
        println!("  kind: refused by the guard, by receive, carried out, otherwise (restore)");
        for (kind, [guard, receive, done, other]) in &self.kinds {
            println!("  {kind}: {guard} {receive} {done} {other}");
        }
    }
}
