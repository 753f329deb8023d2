//! Two machines at one store, one at a time: every way in which the operations of the one can stand between two of the
//! other.

use std::sync::{Arc, Condvar, Mutex};

use super::faults::Faults;

/// Who does something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    One,
    Other,
}

impl Who {
    fn other(self) -> Self {
        match self {
            Self::One => Self::Other,
            Self::Other => Self::One,
        }
    }
}

/// Lets one of two machines at the store at a time: each for so many operations.
pub struct Turns {
    left: Mutex<Vec<(Who, usize)>>,
    passed: Condvar,
}

impl Turns {
    /// The first up to an operation, the other up to one of its own, and then each to its end.
    pub fn new(first: Who, operations: usize, others: usize) -> Arc<Self> {
        let second = first.other();
        let mut turns = vec![
            (first, operations),
            (second, others),
            (first, usize::MAX),
            (second, usize::MAX),
        ];
        turns.reverse();
        Arc::new(Self {
            left: Mutex::new(turns),
            passed: Condvar::new(),
        })
    }

    /// Waits until it is that one's turn. One that has used its own up passes it on.
    fn wait(&self, who: Who) {
        let mut left = self.left.lock().unwrap();
        loop {
            match left.last_mut() {
                Some((whose, 0)) if *whose == who => {
                    left.pop();
                    self.passed.notify_all();
                }
                Some((whose, operations)) if *whose == who => {
                    *operations -= 1;
                    return;
                }
                _ => left = self.passed.wait(left).unwrap(),
            }
        }
    }

    /// That one is done.
    pub fn end(&self, who: Who) {
        self.left.lock().unwrap().retain(|(whose, _)| *whose != who);
        self.passed.notify_all();
    }

    /// The faults of a machine that waits for its turn before each operation on the store.
    pub fn of(self: &Arc<Self>, who: Who) -> Arc<Faults> {
        let turns = Arc::clone(self);
        Faults::by_rule(move |_, name| {
            if name.starts_with("store: ") {
                turns.wait(who);
            }
            None
        })
    }
}

/// How many operations on the store something took.
pub fn operations(faults: &Faults) -> usize {
    let points = faults.points();
    let on_store = points
        .iter()
        .filter(|point| point.name.starts_with("store: "));
    on_store.count()
}
