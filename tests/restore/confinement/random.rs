//! Random hostile chains, restored in every way: whatever becomes of them, nothing around the target is
//! touched, and no run hangs or panics.

use std::collections::BTreeMap;

use super::ground::{Ground, Seen};
use super::hostile_chain::HostileChain;
use super::shelf::Shelf;
use super::ways::{Ended, WAYS, Way};
use super::{can_run, number};

/// So many chains are restored at once.
const WORKERS: u64 = 2;
/// So many chains, one after the other, lie in one ledger in the suite.
const NEIGHBOURS: u64 = 12;

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
    let chains = asked.unwrap_or(24);
    println!(
        "COLDCHAIN_SEED={seed} COLDCHAIN_HOSTILE_FIRST={first} COLDCHAIN_HOSTILE_CHAINS={chains}"
    );
    let asked_for = Asked {
        seed,
        in_every_way: asked.is_some(),
    };
    let (start, end) = (first, first + chains);
    let tally = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS)
            .map(|worker| {
                // Neighbours lie in one ledger.
                let mine = move |chain: &u64| chain / NEIGHBOURS % WORKERS == worker;
                scope.spawn(move || asked_for.restore_all((start..end).filter(mine)))
            })
            .collect();
        let mut tally = Tally::default();
        for worker in workers {
            tally.add(worker.join().unwrap());
        }
        tally
    });
    tally.report(chains);
    assert!(
        tally.failures.is_empty(),
        "{} failures:\n{}",
        tally.failures.len(),
        tally.failures.join("\n")
    );
}

/// Which random chains, and how.
#[derive(Clone, Copy)]
struct Asked {
    seed: u64,
    in_every_way: bool,
}

impl Asked {
    fn restore_all(self, chains: impl Iterator<Item = u64>) -> Tally {
        let mut tally = Tally::default();
        let mut world = World::new();
        let mut in_ledger = 0;
        for chain in chains {
            let hostile = Seeded {
                seed: self.seed,
                chain,
            };
            if in_ledger == if self.in_every_way { 2 } else { NEIGHBOURS } {
                world.shelf = Shelf::new();
                in_ledger = 0;
            }
            in_ledger += 1;
            let mut put = hostile.put(&mut world);
            for way in WAYS.into_iter().filter(|way| self.takes(*way, chain)) {
                let date = put.archives.last().unwrap().date.clone();
                let ended = way.run(world.shelf.machine(), &world.ground, &date);
                let touched = world.ground.touched(&world.before);
                tally.count(way, &put, &ended, &touched);
                if let Some(failure) = failure(way, &ended, &touched) {
                    tally.failures.push(format!(
                        "{way:?} of chain {chain} ({}): {failure}; repeat it with COLDCHAIN_SEED={} \
                         COLDCHAIN_HOSTILE_FIRST={chain} COLDCHAIN_HOSTILE_CHAINS=1",
                        put.kinds.join("; "),
                        self.seed
                    ));
                }
                world.ground.clear();
                if !touched.is_empty() {
                    world = World::new();
                    put = hostile.put(&mut world);
                }
            }
        }
        tally
    }

    /// A restore each time; the other ways take turns where there are few chains. The script of the
    /// page reads the whole ledger, so it restores the first one in it.
    fn takes(self, way: Way, chain: u64) -> bool {
        self.in_every_way
            || match way {
                Way::Restore => true,
                Way::ByHand => chain.is_multiple_of(NEIGHBOURS),
                Way::Drill => chain % 4 == 1,
                Way::Explain => chain % 4 == 2,
            }
    }
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

fn failure(way: Way, ended: &Ended, touched: &[String]) -> Option<String> {
    let fault = ended.fault(way);
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
        for what in touched.iter().cloned().chain(ended.fault(way)) {
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

    fn add(&mut self, other: Self) {
        for (key, count) in other.ends {
            *self.ends.entry(key).or_default() += count;
        }
        for (key, count) in other.touched {
            *self.touched.entry(key).or_default() += count;
        }
        for (kind, counts) in other.kinds {
            for (sum, count) in self.kinds.entry(kind).or_default().iter_mut().zip(counts) {
                *sum += count;
            }
        }
        self.failures.extend(other.failures);
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
