//! A copy that races a move of home by another machine: into the place that becomes home, and into a third one. Every way
//! in which the operations of the one can stand between two of the other, a sample of them here and all in the soak.

use std::collections::BTreeMap;
use std::sync::Arc;

use coldchain::engine::{
    self, BackupRequest, CopyRequest, MovedHome, OldHome, OpenStore, RunContext, move_home,
    store_url,
};
use coldchain::error::Error;
use coldchain::model::Sha256;
use coldchain::progress::Quiet;
use coldchain::store::{MemoryStore, NewObject, ObjectKind, Store};

use super::pair::{MARKER, Pair, SECOND, is_entry, objects};
use crate::common::faults::{Faults, FaultyStore};
use crate::common::from_env;
use crate::common::lab::{Lab, Printed};
use crate::common::sandbox::asked;
use crate::common::turns::{Turns, Who, operations};
use crate::common::two_chains::{NEW, stream_of, with_two_chains};

/// The date that the machine which moves home archives there afterwards.
const NEXT: &str = "2026-05-01";

/// Where the first machine copies to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Into {
    /// The place that the other makes home.
    NewHome,
    /// A place that stays a copy.
    Third,
}

/// Two machines at one home, each with a catalog of its own: one copies, the other moves home to the second place.
struct Race {
    copies: Pair,
    moves: Lab,
    second: Arc<MemoryStore>,
    into: Into,
}

/// A machine whose second place has everything.
fn begin() -> (Lab, BTreeMap<String, Vec<u8>>) {
    let second = Arc::new(MemoryStore::default());
    let pair = Pair::new(with_two_chains(), None, Arc::clone(&second) as _);
    pair.copy(CopyRequest::default(), &Faults::none()).unwrap();
    (pair.lab, objects(second.as_ref()))
}

impl Race {
    fn new((lab, there): &(Lab, BTreeMap<String, Vec<u8>>), into: Into) -> Self {
        let second = Arc::new(MemoryStore::default());
        for (key, bytes) in there {
            let sha256 = Sha256::of(bytes);
            let object = NewObject::new(key, bytes.clone(), sha256, ObjectKind::Ledger);
            second.put_if_absent(&object).unwrap();
        }
        let moves = Pair::new(lab.copy(), None, Arc::clone(&second) as _).lab;
        let third: Arc<dyn Store> = match into {
            Into::NewHome => Arc::clone(&second) as _,
            Into::Third => Arc::new(MemoryStore::default()),
        };
        let copies = Pair::new(moves.twin(), None, third);
        if into == Into::Third {
            // This machine has copied nowhere yet.
            let mut catalog = copies.lab.catalog();
            let source = &copies.lab.config.sources[0].name;
            let ledger = catalog.source(source).unwrap().unwrap().ledger;
            let place = catalog.places(&ledger).unwrap().remove(0);
            catalog.forget_place(place.id).unwrap();
        }
        Self {
            copies,
            moves,
            second,
            into,
        }
    }

    /// Does something on the machine that moves.
    fn on_mover<T>(
        &self,
        faults: &Arc<Faults>,
        act: impl Fn(RunContext<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let stores: &OpenStore<'_> = &|config, _| {
            let store = if store_url(config).ends_with(SECOND) {
                &self.second
            } else {
                &self.moves.store
            };
            Ok(Box::new(FaultyStore::new(
                Arc::clone(store),
                Arc::clone(faults),
            )))
        };
        self.moves.in_context(faults, |context| {
            act(RunContext {
                stores,
                observer: &Quiet,
                ..context
            })
        })
    }

    /// Moves home, and archives there.
    fn move_and_archive(&self, faults: &Arc<Faults>) -> Result<MovedHome, Error> {
        let config = &self.moves.config;
        let moved = self.on_mover(faults, |context| {
            let old_home = (OldHome::Asked, None);
            move_home(config, &config.sources[0], SECOND, old_home, context)
        })?;
        let mut config = config.clone();
        config.sources[0].store = Some(SECOND.to_owned());
        let stream = stream_of(NEXT, Some(NEW[1]));
        self.on_mover(faults, |context| {
            let request: BackupRequest = asked(NEXT);
            let stdin = Printed(&stream);
            engine::decide(&config, &config.sources[0], request, context, stdin, |_| {
                Ok(())
            })
        })?;
        Ok(moved)
    }

    /// Lets both run, and looks at all places.
    fn run(&self, turns: &Arc<Turns>) {
        let home_before = self.moves.objects();
        let second_before = objects(self.second.as_ref());
        let (copied, moved) = std::thread::scope(|scope| {
            let other = scope.spawn(|| {
                let moved = self.move_and_archive(&turns.of(Who::Other));
                turns.end(Who::Other);
                moved
            });
            let copied = self
                .copies
                .copy(CopyRequest::default(), &turns.of(Who::One));
            turns.end(Who::One);
            (copied, other.join().unwrap())
        });
        moved.expect("a copy stops no move of another machine");
        // At the old home there is one entry more, and nothing has gone.
        let mut old_home = self.moves.objects();
        let entry = old_home.keys().rfind(|key| is_entry(key)).unwrap().clone();
        old_home.remove(&entry);
        assert!(old_home == home_before);
        // The new home has all that it had but the marker, and the archive that was made there.
        let new_home = objects(self.second.as_ref());
        for (key, bytes) in second_before.iter().filter(|(key, _)| *key != MARKER) {
            assert!(new_home.get(key) == Some(bytes), "{key} at the new home");
        }
        assert!(new_home.keys().any(|key| key.contains(NEXT)));
        let entries = new_home.keys().filter(|key| is_entry(key));
        for (seq, key) in (1..).zip(entries) {
            assert_eq!(*key, format!("home/ledger/{seq:08}.entry"));
        }
        self.is_archived_on();
        if self.into == Into::Third {
            // What came there is of a ledger that the new home has too.
            let mut ever: BTreeMap<String, Vec<u8>> = self.moves.objects();
            ever.extend(new_home);
            self.copies.is_right_so_far(&ever);
        }
        if let Ok(ran) = copied {
            assert_eq!(ran.pruned.chains.len(), 0, "{:?}", ran.pruned);
        }
        // The next run of the first machine finds out, and writes nothing anywhere.
        let before = (self.moves.objects(), objects(self.second.as_ref()));
        self.copies
            .copy(CopyRequest::default(), &Faults::none())
            .unwrap_err();
        assert!(before == (self.moves.objects(), objects(self.second.as_ref())));
    }

    /// The next night of the machine that has moved finds nothing amiss.
    fn is_archived_on(&self) {
        let mut config = self.moves.config.clone();
        config.sources[0].store = Some(SECOND.to_owned());
        let date = "2026-05-07";
        let stream = stream_of(date, Some(NEXT));
        self.on_mover(&Faults::none(), |context| {
            let stdin = Printed(&stream);
            engine::decide(
                &config,
                &config.sources[0],
                asked(date),
                context,
                stdin,
                |_| Ok(()),
            )
        })
        .unwrap();
    }
}

/// Lets them race in a sample of the ways.
fn every_way(into: Into) {
    let step = usize::try_from(from_env("COLDCHAIN_RACE_STEP", 41)).unwrap();
    let begin = begin();
    let faults = Faults::none();
    Race::new(&begin, into)
        .copies
        .copy(CopyRequest::default(), &faults)
        .unwrap();
    let of_copy = operations(&faults);
    let faults = Faults::none();
    Race::new(&begin, into).move_and_archive(&faults).unwrap();
    let of_move = operations(&faults);
    assert!(of_copy > 5 && of_move > 12, "{of_copy}, {of_move}");
    let mut ways = 0;
    for copied in 0..=of_copy {
        for moved in 0..=of_move {
            for first in [Who::One, Who::Other] {
                ways += 1;
                if ways % step != 0 {
                    continue;
                }
                let turns = match first {
                    Who::One => Turns::new(first, copied, moved),
                    Who::Other => Turns::new(first, moved, copied),
                };
                println!("{into:?}: {first:?} first; {copied} of the copy, {moved} of the move");
                Race::new(&begin, into).run(&turns);
            }
        }
    }
}

#[test]
fn a_copy_into_the_place_that_becomes_home_writes_nothing_there_afterwards() {
    every_way(Into::NewHome);
}

#[test]
fn a_copy_into_a_third_place_is_a_prefix_of_the_new_homes_ledger() {
    every_way(Into::Third);
}
