//! What a source's owner should hear of before it costs data.

mod kind;
mod sizes;
#[cfg(test)]
mod tests;

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};

pub use kind::{AlarmKind, Urgency};
pub use sizes::{MeasuredArchive, usual_bytes};

use super::Schedule;
use crate::model::size::Bytes;

/// How many slots may be missed before a source is overdue: one is a night without power, two are a fault.
const MISSED_SLOTS: usize = 2;

/// No more missed slots than this are counted.
const MOST_MISSED: usize = 1000;

/// How long before a mirror's hold or a lock ends that is said.
const RUNS_OUT_WITHIN: TimeDelta = TimeDelta::days(7);

/// The costs of a month count as risen from this factor on, in tenths.
const RISEN_TENTHS: u128 = 15;
/// A rise by less than this many millionths of a USD a month is none.
const RISEN_MICROS: u64 = 1_000_000;

/// An alarm about a source.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Alarm {
    /// What kind.
    pub kind: AlarmKind,
    /// What it is about beside the source, such as a mirror or a command; often empty.
    pub subject: String,
    /// What is wrong, and where that helps what to do, in one line.
    pub text: String,
}

/// A run of a command that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedRun {
    /// The command.
    pub command: String,
    /// The day on which it ended.
    pub on: NaiveDate,
    /// The exit code; `None` if it was killed.
    pub exit_code: Option<u8>,
    /// Why it failed.
    pub error: String,
}

/// Something that ends at a time, and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunsOut {
    /// Such as a mirror.
    pub what: String,
    /// When.
    pub at: DateTime<Utc>,
}

/// A place that lacks something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Behind {
    /// Such as a mirror or a copy.
    pub what: String,
    /// Since when.
    pub since: NaiveDate,
}

/// Checks by age.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CheckedAt {
    /// When an archive was first there to check.
    pub first_archive: Option<NaiveDate>,
    /// When `verify` last found something sound, on any level.
    pub verified: Option<DateTime<Utc>>,
    /// When a drill last did.
    pub drilled: Option<DateTime<Utc>>,
}

/// How old checks may become; `None` for any age.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckLimits {
    /// A `verify`.
    pub verify_days: Option<u32>,
    /// A drill.
    pub drill_days: Option<u32>,
}

impl Default for CheckLimits {
    /// A check every month, and a drill twice a year, with some days to spare.
    fn default() -> Self {
        Self {
            verify_days: Some(45),
            drill_days: Some(190),
        }
    }
}

/// What is known of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchedSource {
    /// Now.
    pub now: DateTime<Utc>,
    /// Today in the configured zone.
    pub today: NaiveDate,
    /// When archives are due; `None` if the source has no store.
    pub schedule: Option<Schedule>,
    /// Whether a source without a store has no snapshot either.
    pub has_nothing: bool,
    /// The visible archives with their sizes, by date.
    pub archives: Vec<MeasuredArchive>,
    /// The days of archives in which a check found damage.
    pub damaged: Vec<NaiveDate>,
    /// Runs that failed and were not followed by one that went well.
    pub failed: Vec<FailedRun>,
    /// Checks.
    pub checked: CheckedAt,
    /// How old they may become.
    pub limits: CheckLimits,
    /// Snapshots that are kept for mirrors, by mirror.
    pub holds: Vec<RunsOut>,
    /// The first lock that ends before its archive expires.
    pub lock: Option<RunsOut>,
    /// Copies that lack archives, since when.
    pub copies_behind: Vec<Behind>,
    /// Mirrors that lack snapshots, since when.
    pub mirrors_behind: Vec<Behind>,
    /// What a month costs in millionths of a USD, now and about a month before, where that is known.
    pub costs: Option<(u64, u64)>,
}

/// Returns the scheduled dates that no archive fills: those after the newest archive and before today, oldest first. A
/// source without archives misses those since `from`.
pub fn missed_slots(
    schedule: &Schedule,
    newest: Option<NaiveDate>,
    today: NaiveDate,
) -> Vec<NaiveDate> {
    let Some(newest) = newest else {
        return Vec::new();
    };
    let mut missed = Vec::new();
    let mut slot = schedule.next_slot_after(newest);
    while slot < today && slot > newest {
        missed.push(slot);
        // A clock that jumped far ahead must not make this long.
        if missed.len() > MOST_MISSED {
            break;
        }
        let next = schedule.next_slot_after(slot);
        if next <= slot {
            break;
        }
        slot = next;
    }
    missed
}

/// Returns the scheduled dates since the first of some archives' dates, in order, that none of them fills, before today.
pub fn unfilled_slots(
    schedule: &Schedule,
    dates: &[NaiveDate],
    today: NaiveDate,
) -> Vec<NaiveDate> {
    let between = dates.windows(2).flat_map(|dates| {
        // An archive fills the slot that is open on its date.
        missed_slots(schedule, Some(dates[0]), schedule.slot_of(dates[1]))
    });
    let since = missed_slots(schedule, dates.last().copied(), today);
    between.chain(since).take(MOST_MISSED).collect()
}

/// Returns the first day on which a source is overdue if nothing is archived until then.
pub fn overdue_from(schedule: &Schedule, newest: NaiveDate) -> Option<NaiveDate> {
    let mut slot = newest;
    for _ in 0..MISSED_SLOTS {
        slot = schedule.next_slot_after(slot);
    }
    slot.checked_add_days(Days::new(1))
}

/// Returns the alarms about a source, the most urgent kinds first.
pub fn alarms(source: &WatchedSource) -> Vec<Alarm> {
    let mut alarms = Vec::new();
    let mut add = |kind, subject: &str, text: String| {
        alarms.push(Alarm {
            kind,
            subject: subject.to_owned(),
            text,
        });
    };
    if let Some((kind, text)) = due(source) {
        add(kind, "", text);
    }
    for failed in &source.failed {
        add(AlarmKind::RunFailed, &failed.command, failed.in_words());
    }
    if let Some(newest) = source.damaged.iter().max() {
        let number = source.damaged.len();
        add(
            AlarmKind::Damaged,
            "",
            format!(
                "a check found damage in {number} of its archives, last in that of {newest}: see `coldchain verify`"
            ),
        );
    }
    for (kind, text) in sizes::alarms(&source.archives) {
        add(kind, "", text);
    }
    for (kind, text) in old_checks(source) {
        add(kind, "", text);
    }
    for hold in source.holds.iter().filter(|it| source.is_near(it.at)) {
        let text = format!(
            "the snapshot that the next one for the mirror {} is sent against is kept until {}: mirror before that, or all is sent again",
            hold.what,
            hold.at.date_naive()
        );
        add(AlarmKind::HoldRunsOut, &hold.what, text);
    }
    if let Some(lock) = source.lock.as_ref().filter(|it| source.is_near(it.at)) {
        let text = format!(
            "the lock of {} ends on {}, before the archive expires: a longer `max_chain_days` or `object_lock` locks the next chain for longer",
            lock.what,
            lock.at.date_naive()
        );
        add(AlarmKind::LockRunsOut, "", text);
    }
    for behind in &source.copies_behind {
        let text = format!(
            "its copy in {} is behind since {}",
            behind.what, behind.since
        );
        add(AlarmKind::CopyBehind, &behind.what, text);
    }
    for behind in &source.mirrors_behind {
        let text = format!(
            "its mirror {} is behind since {}",
            behind.what, behind.since
        );
        add(AlarmKind::MirrorBehind, &behind.what, text);
    }
    if let Some((now, before)) = source.costs
        && now >= before.saturating_add(RISEN_MICROS)
        && u128::from(now) * 10 >= u128::from(before) * RISEN_TENTHS
    {
        let text = format!(
            "it costs USD {} a month, and cost {} a month before: see `coldchain cost`",
            usd(now),
            usd(before)
        );
        add(AlarmKind::CostRises, "", text);
    }
    alarms.sort_by_key(|alarm| alarm.kind);
    alarms
}

fn usd(micros: u64) -> String {
    let cents = micros.div_ceil(10_000);
    format!("{}.{:02}", cents / 100, cents % 100)
}

/// Whether archives come as they are due.
fn due(source: &WatchedSource) -> Option<(AlarmKind, String)> {
    let Some(schedule) = &source.schedule else {
        let text = "no snapshot was taken yet: run `coldchain backup`".to_owned();
        return source
            .has_nothing
            .then_some((AlarmKind::NeverArchived, text));
    };
    let Some(newest) = source.archives.last().map(|it| it.date) else {
        let text = "nothing is archived yet: run `coldchain backup`".to_owned();
        return Some((AlarmKind::NeverArchived, text));
    };
    if newest > source.today + Days::new(1) {
        // A clock that was wrong: until that date is over, nothing is archived.
        let text = format!(
            "its newest archive is of {newest}, which is still to come: nothing is archived before that; is the clock right?"
        );
        return Some((AlarmKind::Overdue, text));
    }
    let missed = missed_slots(schedule, Some(newest), source.today);
    (missed.len() >= MISSED_SLOTS).then(|| {
        let text = format!(
            "{} slots were missed since the archive of {newest}, the first on {}: see `coldchain plan`, and the log of the last run",
            missed.len(),
            missed[0]
        );
        (AlarmKind::Overdue, text)
    })
}

fn old_checks(source: &WatchedSource) -> Vec<(AlarmKind, String)> {
    let Some(first) = source.checked.first_archive else {
        return Vec::new();
    };
    let CheckLimits {
        verify_days,
        drill_days,
    } = source.limits;
    let checks = [
        (
            AlarmKind::VerifyOld,
            source.checked.verified,
            verify_days,
            "verified",
            "verify",
        ),
        (
            AlarmKind::DrillOld,
            source.checked.drilled,
            drill_days,
            "restored for a drill",
            "verify --drill --identity KIT",
        ),
    ];
    let mut old = Vec::new();
    for (kind, at, limit, what, command) in checks {
        let since = at.map_or(first, |at| at.date_naive());
        let Some(limit) =
            limit.filter(|limit| (source.today - since).num_days() > i64::from(*limit))
        else {
            continue;
        };
        let text = match at {
            Some(_) => format!(
                "last {what} on {since}, more than {limit} days ago: run `coldchain {command}`"
            ),
            None => format!(
                "never {what} since its first archive of {since}: run `coldchain {command}`"
            ),
        };
        old.push((kind, text));
    }
    old
}

impl FailedRun {
    fn in_words(&self) -> String {
        let how = match self.exit_code {
            Some(code) => format!("failed with exit code {code}"),
            None => "was killed".to_owned(),
        };
        format!(
            "the last `coldchain {}`, on {}, {how}: {}",
            self.command, self.on, self.error
        )
    }
}

impl WatchedSource {
    fn is_near(&self, at: DateTime<Utc>) -> bool {
        at - self.now < RUNS_OUT_WITHIN
    }
}

/// The bytes for a message.
fn bytes(bytes: u64) -> String {
    Bytes(bytes).to_string()
}
