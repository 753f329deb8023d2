//! Random hostile chains, restored in every way: whatever becomes of them, nothing around the target is
//! touched, and no run hangs or panics.

use std::collections::BTreeMap;

use super::ground::{Ground, Seen};
use super::hostile_chain::HostileChain;
use super::shelf::Shelf;
use super::ways::{Ended, WAYS, Way};
use super::{can_run, number};

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
    let seed: u64 = number("COLDCHAIN_SEED").unwrap_or(1);
    let first: u64 = number("COLDCHAIN_HOSTILE_FIRST").unwrap_or(0);
    let asked: Option<u64> = number("COLDCHAIN_HOSTILE_CHAINS");
    let chains = asked.unwrap_or(100);
    let mut world = World::new();
    let mut tally = Tally::default();
    for chain in first..first + chains {
        let hostile = Seeded { seed, chain };
        // A restore each time; the other ways take turns where there are few chains. The script of the
        // page reads the whole ledger, so that has no other chain then.
        let taken = WAYS.into_iter().filter(|way| match way {
            Way::Restore => true,
            Way::ByHand => asked.is_some() || chain % 16 == 0,
            Way::Drill => asked.is_some() || chain % 4 == 1,
            Way::Explain => asked.is_some() || chain % 4 == 2,
        });
        if chain == first || chain % (if asked.is_some() { 2 } else { 16 }) == 0 {
            world.shelf = Shelf::new();
        }
        let mut put = hostile.put(&mut world);
        for way in taken {
            let date = put.archives.last().unwrap().date.clone();
            let ended = way.run(world.shelf.machine(), &world.ground, &date);
            let touched = world.ground.touched(&world.before);
            tally.count(way, &put, &ended, &touched);
            if let Some(failure) = failure(&ended, &touched) {
                tally.failures.push(format!(
                    "{way:?} of chain {chain} ({}): {failure}; repeat it with COLDCHAIN_SEED={seed} \
                     COLDCHAIN_HOSTILE_FIRST={chain} COLDCHAIN_HOSTILE_CHAINS=1",
                    put.kinds.join("; ")
                ));
            }
            world.ground.clear();
            if !touched.is_empty() {
                world = World::new();
                put = hostile.put(&mut world);
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

/// A ground, how it was at first, and a store.
struct World {
    ground: Ground,
    before: Seen,
    shelf: Shelf,
}

impl World {
    fn new() -> Self {
        let ground = Ground::new();
        Self {
            before: ground.look(),
            ground,
            shelf: Shelf::new(),
        }
    }
}

/// Which random chain.
struct Seeded {
    seed: u64,
    chain: u64,
}

impl Seeded {
    /// Puts it into the store, against what it aims at there.
    fn put(&self, world: &mut World) -> HostileChain {
        let seed = self.seed.wrapping_mul(1_000_003).wrapping_add(self.chain);
        let aims = world.ground.aims();
        let hostile = HostileChain::random(seed, &world.shelf.dates(), &aims);
        world.shelf.put(&hostile);
        hostile
    }
}

fn failure(ended: &Ended, touched: &[String]) -> Option<String> {
    let fault = ended.fault();
    if fault.is_none() && touched.is_empty() {
        return None;
    }
    let fault = fault.unwrap_or_default();
    Some(format!(
        "{fault} touched {touched:?}\n    {}",
        ended.said.trim()
    ))
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
