//! Keeps thawed segments readable while a restore is still on its way to them.
//!
//! A restore of days may be behind: segments that were readable when it began would go cold before their turn.
//! When the first of those that are still to be fetched is about to go cold, they are requested again, which makes
//! them readable for the requested days from then on. Until then this asks the store nothing: the store said until
//! when each is readable, and the clocks here say how much time has passed since.

use std::collections::VecDeque;
use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};

use crate::catalog::Catalog;
use crate::engine::context::clock::Clock;
use crate::engine::restore::thaw::{
    LONG_ENOUGH, SegmentThaw, ThawStatus, WantedSegments, request_thaws,
};
use crate::error::{Error, in_words};
use crate::model::ArchiveId;
use crate::model::entry::Timestamp;
use crate::progress::{Event, Observer};
use crate::store::{Readability, ThawRequest};

/// The time until another try, after one that could not make all segments readable for longer.
const AGAIN_AFTER: TimeDelta = TimeDelta::minutes(15);

/// What requests segments again before they go cold.
pub(in crate::engine) struct ReadableKeeper<'a> {
    wanted: WantedSegments<'a>,
    request: ThawRequest,
    observer: &'a dyn Observer,
    clock: StoreTime<'a>,
    /// The segments that are still to be fetched, in their order.
    left: VecDeque<SegmentThaw>,
    /// When to look at them, by the store's clock; `None` if none of them can go cold.
    due: Option<DateTime<Utc>>,
}

/// The store's time, as far as it is known without asking for it.
struct StoreTime<'a> {
    clock: &'a dyn Clock,
    /// The store's time when it was last asked, and this machine's clocks at that moment.
    asked: (DateTime<Utc>, DateTime<Utc>, Instant),
}

impl<'a> StoreTime<'a> {
    fn new(now: DateTime<Utc>, clock: &'a dyn Clock) -> Self {
        Self {
            clock,
            asked: (now, clock.now(), Instant::now()),
        }
    }

    /// The clock that went further counts: the one stands still while the machine sleeps, the other may be set back.
    fn guess(&self) -> DateTime<Utc> {
        let (then, here, instant) = &self.asked;
        let monotonic = TimeDelta::from_std(instant.elapsed()).unwrap_or(TimeDelta::MAX);
        let passed = (self.clock.now() - *here).max(monotonic);
        then.checked_add_signed(passed)
            .unwrap_or(DateTime::<Utc>::MAX_UTC)
    }
}

impl<'a> ReadableKeeper<'a> {
    /// Returns what keeps those segments readable whose state that is, if any of them can go cold and a request can
    /// change that.
    pub(in crate::engine) fn new(
        wanted: WantedSegments<'a>,
        request: ThawRequest,
        status: ThawStatus,
        clock: &'a dyn Clock,
        observer: &'a dyn Observer,
    ) -> Option<Self> {
        if status.window.is_some() {
            return None;
        }
        let now = status.now?;
        let mut keeper = Self {
            wanted,
            request,
            observer,
            clock: StoreTime::new(now, clock),
            left: status.segments.into(),
            due: None,
        };
        keeper.due = keeper.soonest();
        keeper.due.map(|_| keeper)
    }

    /// Notes that a segment is fetched next, and requests those from it on again that would go cold too soon.
    pub(in crate::engine) fn reached(
        &mut self,
        (archive, index): (ArchiveId, u32),
        catalog: &mut Catalog,
    ) -> Result<(), Error> {
        let mut left = self.left.iter();
        if let Some(at) = left.position(|left| left.place() == (archive, index)) {
            self.left.drain(..at);
        }
        let is_due = |due: DateTime<Utc>, now| due <= now;
        if !self.due.is_some_and(|due| is_due(due, self.clock.guess())) {
            return Ok(());
        }
        // What was due may have been fetched since.
        self.due = self.soonest();
        if !self.due.is_some_and(|due| is_due(due, self.clock.guess())) {
            return Ok(());
        }
        match self.request_again(catalog) {
            Err(error @ Error::Interrupted(_)) => return Err(error),
            // What can be read now can still be fetched.
            Err(error) => self.warn(format!(
                "could not keep thawed segments readable for longer; trying again in {} minutes: {}",
                AGAIN_AFTER.num_minutes(),
                in_words(&error)
            )),
            Ok(()) => {}
        }
        let not_before = self.clock.guess() + AGAIN_AFTER;
        self.due = self.soonest().map(|due| due.max(not_before));
        Ok(())
    }

    /// Requests the segments again that will be cold soon.
    fn request_again(&mut self, catalog: &mut Catalog) -> Result<(), Error> {
        let now = self.wanted.source.store.guessed_now()?;
        self.clock = StoreTime::new(now, self.clock.clock);
        let goes_cold = self.soonest().map(|due| due + LONG_ENOUGH);
        let left = self.left.iter_mut();
        let mut to_ask: Vec<_> = left
            .filter(|segment| matches!(segment.readability, Readability::Until(..)))
            .filter_map(|segment| Some((segment.to_ask(now)?, segment)))
            .collect();
        let (count, Some(goes_cold)) = (to_ask.len(), goes_cold) else {
            return Ok(());
        };
        if count == 0 {
            return Ok(());
        }
        request_thaws(&self.wanted, self.request, &mut to_ask, catalog)?;
        self.warn(format!(
            "the restore is behind: requested {count} thawed segment{} again, the first of which would have gone cold at {}",
            if count == 1 { "" } else { "s" },
            Timestamp(goes_cold)
        ));
        Ok(())
    }

    /// Returns when the first of the segments that are left is cold sooner than in [`LONG_ENOUGH`].
    fn soonest(&self) -> Option<DateTime<Utc>> {
        let untils = self.left.iter().filter_map(|left| match left.readability {
            Readability::Until(_, until) => Some(until - LONG_ENOUGH),
            _ => None,
        });
        untils.min()
    }

    fn warn(&self, message: String) {
        self.observer.event(Event::Warning {
            source: self.wanted.source.name().clone(),
            message,
        });
    }
}
