//! Does work ahead of its turn: several pieces at once, taken in order.

use std::collections::VecDeque;
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};

/// Pieces of work in their order.
pub(in crate::engine) struct Ahead<A> {
    pieces: usize,
    at_once: usize,
    buffered: usize,
    asked: usize,
    jobs: Sender<Job<A>>,
    coming: VecDeque<Receiver<A>>,
}

/// The number of a piece, and where its answers go.
type Job<A> = (usize, Sender<A>);

impl<A> Ahead<A> {
    /// Returns the channel of the next piece's answers. At most `at_once` pieces, this one included, are at
    /// work.
    ///
    /// Panics when there are no more pieces.
    pub(in crate::engine) fn next(&mut self) -> Receiver<A> {
        self.fill();
        self.coming.pop_front().expect("one for each piece")
    }

    /// Begins more pieces, up to `at_once` that were not taken yet.
    pub(in crate::engine) fn fill(&mut self) {
        while self.coming.len() < self.at_once && self.asked < self.pieces {
            let (answer, coming) = bounded(self.buffered);
            self.jobs
                .send((self.asked, answer))
                .expect("the workers wait for jobs");
            self.coming.push_back(coming);
            self.asked += 1;
        }
    }
}

/// Does `pieces` pieces of work, `at_once` of them at a time, while `take` runs. A piece may give several
/// answers. When `buffered` of them wait, its worker waits too.
pub(in crate::engine) fn ahead<A: Send, T>(
    (pieces, at_once, buffered): (usize, usize, usize),
    work: impl Fn(usize, &Sender<A>) + Sync,
    take: impl FnOnce(&mut Ahead<A>) -> T,
) -> T {
    thread::scope(|scope| {
        let (jobs, queue) = bounded::<Job<A>>(at_once);
        for _ in 0..at_once {
            let (queue, work) = (queue.clone(), &work);
            scope.spawn(move || {
                for (piece, answer) in queue {
                    work(piece, &answer);
                }
            });
        }
        let mut ahead = Ahead {
            pieces,
            at_once,
            buffered,
            asked: 0,
            jobs,
            coming: VecDeque::new(),
        };
        take(&mut ahead)
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn pieces_come_in_order_and_no_more_are_at_work_than_agreed() {
        for at_once in [1, 2, 7] {
            let (working, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
            let work = |piece: usize, answer: &Sender<usize>| {
                most.fetch_max(working.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                for part in 0..5 {
                    answer.send(piece * 10 + part).unwrap();
                }
                working.fetch_sub(1, Ordering::SeqCst);
            };
            let got = ahead((20, at_once, 1), work, |ahead| {
                (0..20).flat_map(|_| ahead.next()).collect::<Vec<_>>()
            });
            let all = (0..20).flat_map(|piece| (0..5).map(move |part| piece * 10 + part));
            assert_eq!(got, all.collect::<Vec<_>>());
            assert!(most.into_inner() <= at_once);
        }
    }

    #[test]
    fn who_stops_taking_ends_the_workers() {
        let work = |piece: usize, answer: &Sender<usize>| while answer.send(piece).is_ok() {};
        assert_eq!(ahead((3, 2, 1), work, |ahead| ahead.next().recv()), Ok(0));
    }
}
