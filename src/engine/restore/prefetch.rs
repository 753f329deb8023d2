//! Work that is done ahead of its turn: worker threads do several pieces at once, and an iterator gives
//! their answers in order.

use std::collections::VecDeque;
use std::thread::Scope;

use crossbeam_channel::{Receiver, Sender, bounded};

/// Gives for each piece of work, in order, the channel on which its answers come. The channel closes when
/// the piece is done.
///
/// Once this is dropped, each piece stops at its next answer, and the workers end.
pub(in crate::engine) struct Prefetch<P: Iterator, A> {
    /// Pieces that no worker has yet.
    pieces: P,
    at_once: usize,
    buffered: usize,
    jobs: Sender<Job<P::Item, A>>,
    begun: VecDeque<Receiver<A>>,
}

/// A piece, and the channel for its answers.
type Job<P, A> = (P, Sender<A>);

impl<P: Iterator, A> Prefetch<P, A> {
    /// Starts `at_once` workers, which wait until the first piece is asked for.
    ///
    /// A piece may give several answers; when `buffered` of them wait, its worker waits too.
    ///
    /// The workers are scoped threads because they borrow the store and the keys. Only the caller can open
    /// the scope: it is a closure at whose end the workers are joined, and the caller's loop runs inside it.
    pub(in crate::engine) fn start<'scope>(
        scope: &'scope Scope<'scope, '_>,
        pieces: P,
        (at_once, buffered): (usize, usize),
        work: impl Fn(P::Item, &Sender<A>) + Clone + Send + 'scope,
    ) -> Self
    where
        P::Item: Send + 'scope,
        A: Send + 'scope,
    {
        let (jobs, queue) = bounded::<Job<P::Item, A>>(at_once);
        for _ in 0..at_once {
            let (queue, work) = (queue.clone(), work.clone());
            scope.spawn(move || {
                for (piece, answer) in queue {
                    work(piece, &answer);
                }
            });
        }
        Self {
            pieces,
            at_once,
            buffered,
            jobs,
            begun: VecDeque::new(),
        }
    }

    /// Begins pieces until `at_once` of them have not been given out yet.
    pub(in crate::engine) fn fill(&mut self) {
        while self.begun.len() < self.at_once
            && let Some(piece) = self.pieces.next()
        {
            let (answer, answers) = bounded(self.buffered);
            self.jobs
                .send((piece, answer))
                .expect("the workers wait for jobs");
            self.begun.push_back(answers);
        }
    }
}

impl<P: Iterator, A> Iterator for Prefetch<P, A> {
    type Item = Receiver<A>;

    fn next(&mut self) -> Option<Receiver<A>> {
        self.fill();
        self.begun.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

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
            let got: Vec<usize> = thread::scope(|scope| {
                let pieces = Prefetch::start(scope, 0..20, (at_once, 1), work);
                pieces.flatten().collect()
            });
            let all = (0..20).flat_map(|piece| (0..5).map(move |part| piece * 10 + part));
            assert_eq!(got, all.collect::<Vec<_>>());
            assert!(most.into_inner() <= at_once);
        }
    }

    #[test]
    fn dropping_it_ends_the_workers() {
        let work = |piece: usize, answer: &Sender<usize>| while answer.send(piece).is_ok() {};
        let first = thread::scope(|scope| {
            let mut pieces = Prefetch::start(scope, 0..3, (2, 1), work);
            pieces.next().unwrap().recv()
        });
        assert_eq!(first, Ok(0));
    }
}
