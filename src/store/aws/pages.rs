//! Goes from page to page of a listing so that it always ends.
//!
//! Services sort their listings in different ways, or not at all, so the order of keys proves nothing. But no
//! honest service leads back to a page that was read already, or on to pages without objects again and again.

use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hash};
use std::time::{Duration, Instant};

use super::answer::{Answer, Judged};
use crate::store::error::ErrorKind;
use crate::store::retry::Again;

/// The most objects of a page. This is also S3's default.
pub(in crate::store) const PAGE: i32 = 1000;

/// The most pages without an object in a row. A service that leaves out deleted objects may have some.
const MAX_EMPTY: usize = 1000;

/// The most pages of a listing: a hundred million objects.
const MAX_PAGES: usize = 100_000;

/// The progress of one listing.
pub(in crate::store) struct Pages {
    began: Instant,
    longest: Duration,
    hasher: RandomState,
    /// Hashes of the tokens of all pages so far: a service's tokens may be long.
    seen: HashSet<u64>,
    empty: usize,
}

impl Pages {
    /// Returns the start of a listing, with a limit on its time.
    pub(in crate::store) fn within(longest: Duration) -> Self {
        Self {
            began: Instant::now(),
            longest,
            hasher: RandomState::new(),
            seen: HashSet::new(),
            empty: 0,
        }
    }

    /// Goes on to the page `next`, after a page with this many objects. Fails if the listing can't be honest.
    pub(in crate::store) fn turn(&mut self, next: impl Hash, objects: usize) -> Result<(), Judged> {
        self.empty = if objects == 0 { self.empty + 1 } else { 0 };
        let pages = self.seen.len() + 1;
        let took = self.began.elapsed();
        let (kind, what) = if !self.seen.insert(self.hasher.hash_one(next)) {
            let what = format!("after {pages} pages its listing leads back to one of them");
            (ErrorKind::Endless, what)
        } else if self.empty >= MAX_EMPTY {
            let what = format!(
                "its listing has {} pages without an object in a row",
                self.empty
            );
            (ErrorKind::Endless, what)
        } else if pages >= MAX_PAGES {
            let what = format!("its listing has more than {pages} pages");
            (ErrorKind::Endless, what)
        } else if took > self.longest {
            let what = format!(
                "its listing has {pages} pages after {} s and goes on",
                took.as_secs()
            );
            (ErrorKind::Unavailable, what)
        } else {
            return Ok(());
        };
        Err(Judged::new(kind, Again::No, Answer::said(what)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pages() -> Pages {
        Pages::within(Duration::from_hours(1))
    }

    /// Returns how many pages are read of a listing. `page` returns the next token and the number of objects
    /// of a page.
    fn read(mut pages: Pages, page: impl Fn(usize) -> (usize, usize)) -> (usize, ErrorKind) {
        for number in 0.. {
            let (next, objects) = page(number);
            if let Err(judged) = pages.turn(next, objects) {
                return (number + 1, judged.kind);
            }
        }
        unreachable!()
    }

    #[test]
    fn a_listing_that_leads_in_a_circle_is_left_at_the_first_page_that_comes_again() {
        for length in [2, 3, 1000] {
            let (read, kind) = read(pages(), |number| (number % length, 1));
            assert_eq!((read, kind), (length + 1, ErrorKind::Endless));
        }
    }

    #[test]
    fn empty_pages_are_read_for_a_while() {
        let (read, kind) = read(pages(), |number| (number, 0));
        assert_eq!((read, kind), (MAX_EMPTY, ErrorKind::Endless));
    }

    #[test]
    fn a_page_with_an_object_now_and_then_is_no_end_of_it_but_the_number_of_pages_is() {
        let (read, kind) = read(pages(), |number| {
            (number, usize::from(number % (MAX_EMPTY - 1) == 0))
        });
        assert_eq!((read, kind), (MAX_PAGES, ErrorKind::Endless));
    }

    #[test]
    fn what_takes_too_long_is_left() {
        let (read, kind) = read(Pages::within(Duration::ZERO), |number| (number, 1));
        assert_eq!((read, kind), (1, ErrorKind::Unavailable));
    }
}
