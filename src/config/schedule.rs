//! `[schedule]`, and a source's own values that replace it.

use super::error::ConfigError;
use super::section::{Field, Section};

pub(super) const KEYS: &[&str] = &[
    "days",
    "max_incrementals",
    "max_chain_days",
    "expire_after_days",
    "catch_up",
];

/// The longest span of days that can be configured: any date plus it is still a date.
pub(super) const MAX_DAYS: u32 = 1_000_000;

/// When a source is archived, how, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleConfig {
    /// Days of the month, 1 to 31: sorted, each once, at least one. Default: 1, 7, 14, 21.
    pub days: Vec<u32>,
    /// Incrementals that a chain takes; 0 means always full. Default: 11.
    pub max_incrementals: u32,
    /// Days after its full that a chain takes incrementals. Default: no limit.
    pub max_chain_days: Option<u32>,
    /// Days after its newest archive that a chain expires, at least 1. Default: 90.
    pub expire_after_days: u32,
    /// Whether a missed slot is filled on a later night. Default: yes.
    pub catch_up: bool,
}

/// The keys of one schedule table; `None` where one is not set.
#[derive(Debug, Clone, Default)]
pub(super) struct ScheduleKeys {
    days: Option<Vec<u32>>,
    max_incrementals: Option<u32>,
    max_chain_days: Option<u32>,
    expire_after_days: Option<u32>,
    catch_up: Option<bool>,
}

impl ScheduleKeys {
    /// Reads the `schedule` of the top level or of a source.
    pub(super) fn read(parent: &Section<'_>) -> Result<Self, ConfigError> {
        let Some(section) = parent.read("schedule", |field| field.table(KEYS))? else {
            return Ok(Self::default());
        };
        let span_of_days = |field: &Field<'_>| field.integer("an integer", 1..=MAX_DAYS);
        Ok(Self {
            days: section.read("days", days)?,
            max_incrementals: section.read("max_incrementals", |field| {
                field.integer("an integer", 0..=MAX_DAYS)
            })?,
            max_chain_days: section.read("max_chain_days", span_of_days)?,
            expire_after_days: section.read("expire_after_days", span_of_days)?,
            catch_up: section.read("catch_up", Field::boolean)?,
        })
    }

    /// Returns the schedule. Each key has this table's value, else that of `general`, else the default.
    pub(super) fn over(self, general: &Self) -> ScheduleConfig {
        ScheduleConfig {
            days: self
                .days
                .or_else(|| general.days.clone())
                .unwrap_or_else(|| vec![1, 7, 14, 21]),
            max_incrementals: self
                .max_incrementals
                .or(general.max_incrementals)
                .unwrap_or(11),
            max_chain_days: self.max_chain_days.or(general.max_chain_days),
            expire_after_days: self
                .expire_after_days
                .or(general.expire_after_days)
                .unwrap_or(90),
            catch_up: self.catch_up.or(general.catch_up).unwrap_or(true),
        }
    }
}

fn days(field: &Field<'_>) -> Result<Vec<u32>, ConfigError> {
    let expected = "a list of at least one day of the month";
    let items = field.array(expected)?;
    let mut days = items
        .iter()
        .map(|item| item.integer("days of the month", 1..=31))
        .collect::<Result<Vec<u32>, _>>()?;
    if days.is_empty() {
        return Err(field.unfit(expected));
    }
    days.sort_unstable();
    days.dedup();
    Ok(days)
}
