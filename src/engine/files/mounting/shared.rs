//! Values that several threads want at once, and one makes for all of them. The newest are kept.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::error::Error;
use crate::model::Signal;

/// What all that wait for a value get.
type Made<V> = Result<V, Arc<Error>>;

/// Values by their keys.
pub(super) struct MadeOnce<K, V> {
    state: Mutex<MadeOnceState<K, V>>,
    /// The most that those may weigh that are kept, together.
    most: u64,
}

struct MadeOnceState<K, V> {
    known: HashMap<K, Arc<SharedMaking<V>>>,
    /// Those that were made, each with its weight. The one that was used last is at the end.
    kept: VecDeque<(K, u64)>,
    weight: u64,
}

/// A value that is being made, or was.
struct SharedMaking<V> {
    made: Mutex<Option<Made<V>>>,
    is_made: Condvar,
}

impl<K: Copy + Eq + Hash, V: Clone> MadeOnce<K, V> {
    pub(super) fn new(most: u64) -> Self {
        Self {
            state: Mutex::new(MadeOnceState {
                known: HashMap::new(),
                kept: VecDeque::new(),
                weight: 0,
            }),
            most,
        }
    }

    /// Returns the value. If there is none, the first that asks makes it, with its weight; the others wait and get the same,
    /// even if it is an error. The next that asks tries again after an error.
    pub(super) fn get(&self, key: K, make: impl FnOnce() -> Result<(V, u64), Error>) -> Made<V> {
        let making = {
            let mut state = lock(&self.state);
            if let Some(making) = state.known.get(&key).cloned() {
                state.touch(&key);
                drop(state);
                return making.wait();
            }
            let making = Arc::new(SharedMaking {
                made: Mutex::new(None),
                is_made: Condvar::new(),
            });
            state.known.insert(key, Arc::clone(&making));
            making
        };
        let mut end = EndOfMaking {
            shared: self,
            key,
            making: &making,
            made: None,
        };
        let value = make().map_err(Arc::new);
        let result = value.as_ref().map(|(value, _)| value.clone());
        let result = result.map_err(Arc::clone);
        end.made = Some(value);
        drop(end);
        result
    }

    /// Returns whether it is there, or being made.
    pub(super) fn has(&self, key: &K) -> bool {
        lock(&self.state).known.contains_key(key)
    }

    /// Returns what those weigh that are kept.
    pub(super) fn weight(&self) -> u64 {
        lock(&self.state).weight
    }

    /// Lets go of the oldest ones until the rest weighs no more than that.
    pub(super) fn keep_within(&self, most: u64) {
        lock(&self.state).keep_within(most);
    }
}

impl<K: Copy + Eq + Hash, V> MadeOnceState<K, V> {
    fn touch(&mut self, key: &K) {
        let at = self.kept.iter().rposition(|(kept, _)| kept == key);
        if let Some(kept) = at.and_then(|at| self.kept.remove(at)) {
            self.kept.push_back(kept);
        }
    }

    fn keep_within(&mut self, most: u64) {
        while self.weight > most
            && let Some((key, weight)) = self.kept.pop_front()
        {
            self.known.remove(&key);
            self.weight -= weight;
        }
    }
}

impl<V: Clone> SharedMaking<V> {
    fn wait(&self) -> Made<V> {
        let mut made = lock(&self.made);
        loop {
            match &*made {
                Some(Ok(value)) => return Ok(value.clone()),
                Some(Err(error)) => return Err(Arc::clone(error)),
                None => {
                    made = self
                        .is_made
                        .wait(made)
                        .unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }
}

/// Wakes those that wait, also if making a value panics.
struct EndOfMaking<'s, K: Copy + Eq + Hash, V: Clone> {
    shared: &'s MadeOnce<K, V>,
    key: K,
    making: &'s SharedMaking<V>,
    made: Option<Made<(V, u64)>>,
}

impl<K: Copy + Eq + Hash, V: Clone> Drop for EndOfMaking<'_, K, V> {
    fn drop(&mut self) {
        let made = self.made.take();
        let made = made.unwrap_or_else(|| Err(Arc::new(Error::Interrupted(Signal::Terminate))));
        let mut state = lock(&self.shared.state);
        let made = match made {
            Ok((value, weight)) => {
                state.kept.push_back((self.key, weight));
                state.weight += weight;
                // The newest stays even if it weighs too much alone.
                let most = self.shared.most.max(weight);
                state.keep_within(most);
                Ok(value)
            }
            Err(error) => {
                state.known.remove(&self.key);
                Err(error)
            }
        };
        drop(state);
        *lock(&self.making.made) = Some(made);
        self.making.is_made.notify_all();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::thread;
    use std::time::Duration;

    use super::*;

    fn failure() -> Error {
        Error::Interrupted(Signal::Interrupt)
    }

    #[test]
    fn many_that_ask_at_once_make_a_value_once() {
        let shared = MadeOnce::<u32, u64>::new(100);
        let made = AtomicU64::new(0);
        thread::scope(|scope| {
            for _ in 0..100 {
                scope.spawn(|| {
                    let value = shared.get(7, || {
                        thread::sleep(Duration::from_millis(30));
                        Ok((made.fetch_add(1, Ordering::SeqCst), 1))
                    });
                    assert_eq!(value.unwrap(), 0);
                });
            }
        });
        assert_eq!(made.into_inner(), 1);
    }

    #[test]
    fn an_error_is_everyone_s_that_waited_and_not_the_next_one_s() {
        let shared = MadeOnce::<u32, u64>::new(100);
        assert!(shared.get(7, || Err(failure())).is_err());
        assert_eq!(shared.get(7, || Ok((1, 1))).unwrap(), 1);
    }

    #[test]
    fn the_ones_that_were_not_used_for_long_go_first() {
        let shared = MadeOnce::<u32, u32>::new(10);
        for key in 0..3 {
            shared.get(key, || Ok((key, 4))).unwrap();
            shared.get(0, || Err(failure())).unwrap();
        }
        assert!(shared.has(&0) && !shared.has(&1) && shared.has(&2));
        assert_eq!(shared.weight(), 8);
        shared.get(9, || Ok((9, 50))).unwrap();
        assert_eq!(shared.weight(), 50);
        shared.keep_within(0);
        assert!(!shared.has(&9));
    }

    #[test]
    fn who_waits_is_woken_if_making_a_value_panics() {
        let shared = MadeOnce::<u32, u32>::new(10);
        thread::scope(|scope| {
            let (begun, has_begun) = crossbeam_channel::bounded(0);
            let shared = &shared;
            let maker = scope.spawn(move || {
                shared.get(1, || {
                    begun.send(()).unwrap();
                    thread::sleep(Duration::from_millis(30));
                    panic!("on purpose")
                })
            });
            has_begun.recv().unwrap();
            assert!(shared.get(1, || Ok((1, 1))).is_err());
            assert!(maker.join().is_err());
        });
    }
}
