//! The schedule of a source.

use crate::config::Source;
use crate::plan::Schedule;

/// Returns the schedule that the config gives a source.
pub fn schedule(source: &Source) -> Schedule {
    Schedule {
        days: source.schedule.days.clone(),
        max_incrementals: source.schedule.max_incrementals,
        max_chain_days: source.schedule.max_chain_days,
        expire_after_days: source.schedule.expire_after_days,
        catch_up: source.schedule.catch_up,
    }
}
