//! Pure decisions: facts in, a plan with a reason on every line out.
//!
//! No clock, no I/O, no async: today's date is an argument, so that any night of any year can be
//! planned, simulated and tested, and a dry run is the same program stopped after the plan.
//!
//! # Slots
//!
//! A schedule names days of the month; each such date is a slot. A run does not ask "is today a slot?" but
//! "is the newest slot up to today filled?". So the next run fills a slot that was missed, and a second run
//! of a night finds its slot filled and does nothing.
//!
//! # Send parents
//!
//! An incremental can be restored only if everything that it descends from can. So it is planned only on what
//! is known to be whole: the newest chain, if every link of it is there and no segment of it is damaged. It
//! builds on the newest archive whose snapshot is here, is still the one that was archived, and is one that
//! tonight's snapshot descends from: see [`descent`]. If one of these is in doubt, the plan is a full
//! archive, which costs money and nothing else. No plan goes back to an older chain: chains would interleave
//! in time, and "newer chain", on which retention depends, would mean nothing.
//!
//! # Unfinished attempts
//!
//! An unfinished attempt is resumed before anything new is planned, also on a later night, if the same
//! attempt would be planned again. If anything has changed, it is given up with a reason: that costs an
//! upload, and nothing else.
//!
//! # Retention
//!
//! A chain is kept or retired as a whole, because an archive can't be restored without its full. Its age is
//! that of its newest archive, and age alone is never enough: there must be a newer chain that is complete
//! and undamaged, and whose full a listing has shown to be in the store. So the newest restorable chain never
//! expires, whatever the flags, the clock or the configuration say. A plan's expiries assume that its archive
//! is made: archive first, retire after. A later run deletes what was retired, after a time of grace. See
//! [`prune`].
//!
//! # Local snapshots
//!
//! A snapshot that the next run needs is pinned. The others are kept for some days, or up to a number, to
//! look back without a restore. See [`snapshots`].
//!
//! # Orphaned objects
//!
//! An attempt that was not committed leaves objects in the store, which cost money and nothing else. They are
//! removed only if they are old by the store's clock and known to be dead: this machine gave the attempt up,
//! or an earlier run retired its id. See [`strays`].
//!
//! # Checks
//!
//! A check judges object by object, and reports what it left out with the reason: see [`verify`].
//!
//! # Copies
//!
//! A copy gets every archive that home shows. It deletes only what home has deleted, and only once it has
//! something newer itself: see [`copy`] and [`copy_prune`].
//!
//! # Archives of another tool
//!
//! What btrsend stored is listed and restored as its database says, after checks: see [`imported`]. It comes out of the
//! vault in parts: see [`retrieval`].
//!
//! # Prices
//!
//! The months to come are the nights to come, carried out in numbers: see [`forecast`](mod@forecast).
//!
//! The cost of a restore is estimated from a dated table of list prices, which the config can override. Sums
//! are integers and are rounded up, so that no estimate passes a limit unseen.

pub mod alarms;
mod backup;
pub mod batch_thaw;
pub mod copy;
pub mod copy_cost;
pub mod copy_night;
pub mod copy_prune;
pub mod descent;
pub mod describe;
pub mod describe_copy_cost;
pub mod describe_cost;
mod due;
pub mod facts;
pub mod forecast;
pub mod history;
pub mod imported;
pub mod left_in_vault;
pub mod look_back;
pub mod memory;
pub mod mirror;
pub mod mirror_night;
pub mod pricing;
pub mod prune;
pub mod refusal;
pub mod restore;
pub mod restore_from;
pub mod resume;
pub mod retention;
pub mod retrieval;
#[cfg(test)]
mod sample;
pub mod schedule;
mod send_parent;
pub mod simulate;
pub mod snapshots;
pub mod strays;
pub mod thaw;
pub mod thaw_window;
pub mod verify;

pub use alarms::{
    Alarm, AlarmKind, Behind, CheckLimits, CheckedAt, FailedRun, MeasuredArchive, RunsOut, Urgency,
    WatchedSource, alarms, missed_slots, overdue_from, unfilled_slots, usual_bytes,
};
pub use backup::{BackupPlan, plan_backup, snapshots_alone};
pub use batch_thaw::{BatchThaw, BatchTier, TO_FILL_IN, partition};
pub use copy::{CopyFacts, CopyFate, CopyLine, CopyPlan, HomeArchive, plan_copy};
pub use copy_cost::{
    CopyCost, CopyCostFacts, CopyCostRefusal, CopyPut, CopySide, price_copy, refuse_copy_beyond,
};
pub use copy_night::CopyNight;
pub use copy_prune::{AtHome, CopyPruneFacts, HomeNow, OwnCopy, plan_copy_prune};
pub use descent::descends;
pub use describe::{PlanLine, plan_lines};
pub use describe_copy_cost::describe_copy_cost;
pub use describe_cost::describe_cost;
pub use due::nothing_missed;
pub use facts::{Action, Facts, Request, SendParentSnapshot};
pub use forecast::{
    ArchiveSizes, CopyWay, ForecastFacts, ForecastMonth, ForecastPlace, Growth, JUDGED_BY,
    KeptArchive, MonthCost, PlaceForecast, SMALL_OBJECT_BYTES, SizeModel, SourceForecast, divided,
    forecast, forecast_until, objects_of,
};
pub use history::{ArchiveFacts, Chain, Condition, History, ListedAsOf, Verification};
pub use imported::{
    BrokenChain, CheckedImport, ImportRefusal, ImportVault, ImportedArchive, chain_of,
    check_btrsend, new_archives,
};
pub use left_in_vault::{AtNewHome, LeftArchive, LeftFate, LeftLine, plan_left};
pub use look_back::LookBack;
pub use mirror::{CopyThere, MirrorPlan, SnapshotHere, plan_mirror};
pub use mirror_night::{MirrorNight, RecordedMirror, plan_mirror_night};
pub use pricing::cost::{
    ClassCost, CostRefusal, FetchedParts, Pricing, RestoreCost, Stored, TierCost, price_restore,
    refuse_beyond,
};
pub use pricing::early_deletion::{EarlyDeletion, early_deletion};
pub use pricing::kept::{KeptCost, KeptObjects, KeptPart, PlaceCost};
pub use pricing::prices::Prices;
pub use pricing::usd::{Price, Usd};
pub use prune::{
    ChainFate, ChainLine, Deletion, PruneFacts, PrunePlan, RetiredArchive, plan_prune,
};
pub use refusal::{BackupRefusal, DateOverride, refuse_date};
pub use restore::{RestorePlan, RestoreRefusal, plan_restore};
pub use restore_from::{
    CopyAsked, CopyOffer, CopySite, PassedOver, RestoreFrom, SiteOffers, choose_copy, copy_at,
    newest_copy,
};
pub use resume::{AttemptFacts, GivenUp, Resume, ResumingRun, plan_resume, request_for};
pub use retention::{ChainExpiry, awaiting_inventory, expiring, expiry_dates, long_silence};
pub use retrieval::{
    PART_BYTES, PartStep, RetrievalJob, RetrievalPart, RetrievalState, part_step, parts,
};
pub use schedule::Schedule;
pub use simulate::{Archived, carry_out, simulate};
pub use snapshots::{
    ExpiredSnapshot, KeepFate, KeepRun, KeepSnapshots, LocalSnapshot, Pin, SnapshotFate,
    SnapshotPlan, Terms, Withheld, plan_snapshots,
};
pub use strays::{
    Fate, Here, InLedger, ListedObject, MayRetire, ShortListing, StrayFacts, StrayLine, StrayPlan,
    lacking, plan_strays,
};
pub use thaw::Awaited;
pub use thaw_window::{ASSUMED_RATE, ThawWindow};
pub use verify::{
    CheckedObject, Damage, LevelReport, Outcome, Sample, Seen, Unchecked, Verdict, choose,
    judge_digest, judge_listed,
};
