//! Pure decisions: facts in, a plan with a reason on every line out.
//!
//! No clock, no I/O, no async: today's date is an argument, so that any night of any year can be
//! planned, simulated and tested, and a dry run is the same program stopped after the plan.
//!
//! # Slots
//!
//! A schedule names days of the month. A night is not asked "are you one of these days?" but
//! "is the newest of them that is not after you filled?". Then a night that was missed is made
//! good on the next one, and a second run of a night finds its slot filled and does nothing.
//!
//! # Send parents
//!
//! An incremental can be restored only where all that it descends from can, so it is planned
//! only on what is known to be whole: the newest chain, if every link of it is there and no segment
//! of it is damaged. There it builds on the newest archive whose snapshot is here, still is what was
//! archived, and is one that tonight's snapshot descends from: see [`descent`]. Whenever one of these
//! is in doubt the answer is a full archive, which costs money and nothing else. An older chain is never gone back to: chains would interleave in time,
//! and "newer chain", on which retention rests, would mean nothing.
//!
//! # Unfinished attempts
//!
//! An attempt that came to no end is gone on with before anything new is planned, also on a later
//! night, if it would be planned again just as it was. Whatever has changed since, it is given up
//! with a reason: that costs an upload, and nothing else.
//!
//! # Retention
//!
//! A chain is kept or retired as a whole, because what its full is retired under can't be
//! restored. Its age is that of its newest archive, and age alone is never enough: a newer chain
//! must stand that is complete, undamaged, and whose full a listing has shown to be in the store.
//! So the newest restorable chain never expires, whatever the flags, the clock or the
//! configuration say. A plan's expiries are those of the history as it stands after the plan's
//! archive: archive first, retire after. What was retired is deleted by a later run, after a time of
//! grace. See [`prune`].
//!
//! # Local snapshots
//!
//! What the next run needs is pinned. The others are kept for some days, or up to a number, for who
//! wants to look back without a restore. See [`snapshots`].
//!
//! # Strays
//!
//! What an attempt that was not committed left in the store costs money and nothing else. It is
//! removed only if it is old by the store's clock and known to be dead: given up by this machine,
//! or retired by its id in an earlier run. See [`strays`].
//!
//! # Checks
//!
//! What a check has seen is judged object by object, and what it left out is told with the reason:
//! see [`verify`].
//!
//! # Prices
//!
//! What a restore costs is estimated from a dated table of list prices, which the config can
//! overlay. Sums are integers and are rounded up, so that a limit is never passed unseen.

pub mod backup;
pub mod descent;
pub mod describe;
pub mod describe_cost;
mod due;
pub mod facts;
pub mod history;
pub mod memory;
pub mod pricing;
pub mod prune;
pub mod refusal;
pub mod restore;
pub mod resume;
pub mod retention;
#[cfg(test)]
mod sample;
pub mod schedule;
mod send_parent;
pub mod simulate;
pub mod snapshots;
pub mod strays;
pub mod thaw;
pub mod verify;

pub use backup::{BackupPlan, plan_backup};
pub use descent::descends;
pub use describe::describe;
pub use describe_cost::describe_cost;
pub use facts::{Action, Facts, Request, SendParentSnapshot};
pub use history::{ArchiveFacts, Chain, Condition, History, Verification};
pub use pricing::cost::{
    ClassCost, CostRefusal, RestoreCost, Stored, TierCost, price_restore, refuse_beyond,
};
pub use pricing::early_deletion::{EarlyDeletion, early_deletion};
pub use pricing::prices::{PriceOverrides, Prices};
pub use pricing::usd::{Price, Usd};
pub use prune::{
    ChainFate, ChainLine, Deletion, PruneFacts, PrunePlan, RetiredArchive, plan_prune,
};
pub use refusal::{DateOverride, Refusal, refuse_date};
pub use restore::{RestorePlan, RestoreRefusal, plan_restore};
pub use resume::{AttemptFacts, Finding, GivenUp, Resume, plan_resume, request_for};
pub use retention::{ChainExpiry, expiring, expiry_dates, long_silence};
pub use schedule::Schedule;
pub use simulate::{Archived, carry_out, simulate};
pub use snapshots::{KeepSnapshots, LocalSnapshot, Pin, SnapshotExpiry, expiring_snapshots};
pub use strays::{
    Fate, Here, InLedger, ListedObject, MayRetire, ShortListing, StrayFacts, StrayLine, StrayPlan,
    lacking, plan_strays,
};
pub use thaw::Awaited;
pub use verify::{
    Checked, Damage, LevelReport, Outcome, Sample, Seen, SignedObject, Unchecked, Verdict, choose,
    judge_digest, judge_listed,
};
