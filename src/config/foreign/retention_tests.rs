//! What btrbk's scheduler keeps, from its manual, against what coldchain plans with the retention that is taken over.

use chrono::{DateTime, Datelike as _, Days, FixedOffset, TimeDelta, TimeZone as _, Timelike as _};
use proptest::prelude::*;

use super::btrbk_sources::read_btrbk;
use crate::model::SnapshotName;
use crate::plan::{KeepFate, KeepRun, KeepSnapshots, LocalSnapshot, Pin, plan_snapshots};

type SnapshotTime = DateTime<FixedOffset>;

const UNITS: [char; 5] = ['h', 'd', 'w', 'm', 'y'];

/// A retention of btrbk's.
#[derive(Debug, Clone)]
struct Rule {
    counts: [Option<u32>; 5],
    min: Option<(u32, char)>,
    weekday: u32,
    hour: u32,
}

/// How many spans of a unit lie between a snapshot and now, as btrbk counts them.
fn spans_back(rule: &Rule, at: SnapshotTime, now: SnapshotTime) -> [i64; 5] {
    let hour_of = |it: SnapshotTime| it.timestamp().div_euclid(3600);
    let hours = hour_of(now) - hour_of(at);
    let mut after_hour = i64::from(at.hour()) - i64::from(rule.hour);
    let mut after_week = i64::from(at.weekday().num_days_from_sunday()) - i64::from(rule.weekday);
    if after_hour < 0 {
        after_hour += 24;
        after_week -= 1;
    }
    if after_week < 0 {
        after_week += 7;
    }
    let (mut month, mut year) = (i64::from(at.month()), i64::from(at.year()));
    if i64::from(at.day()) <= after_week {
        month -= 1;
        if month == 0 {
            (month, year) = (12, year - 1);
        }
    }
    let days = (hours + after_hour) / 24;
    let years = i64::from(now.year()) - year;
    [
        hours,
        days,
        (days + after_week) / 7,
        years * 12 + i64::from(now.month()) - month,
        years,
    ]
}

/// Returns the snapshots that btrbk keeps, each with the place of the unit for whose sake.
fn btrbk_keeps(
    rule: &Rule,
    snapshots: &[SnapshotTime],
    now: SnapshotTime,
) -> Vec<(SnapshotTime, usize)> {
    let mut kept = Vec::new();
    let back: Vec<[i64; 5]> = snapshots
        .iter()
        .map(|at| spans_back(rule, *at, now))
        .collect();
    if let Some((number, unit)) = rule.min {
        let unit = UNITS.iter().position(|it| *it == unit).unwrap();
        let within = |place: &usize| back[*place][unit] <= i64::from(number);
        // Of several in one hour, coldchain keeps one.
        kept.extend(
            (0..snapshots.len())
                .filter(within)
                .map(|at| (snapshots[at], 0)),
        );
    }
    // The first of each span, of those that are the first of the next smaller one.
    let mut firsts: Vec<usize> = (0..snapshots.len()).collect();
    for (unit, count) in rule.counts.iter().enumerate() {
        let mut next: Vec<usize> = Vec::new();
        for &place in &firsts {
            if next
                .last()
                .is_none_or(|last| back[*last][unit] != back[place][unit])
            {
                next.push(place);
            }
        }
        firsts = next;
        if let Some(count) = count.filter(|count| *count > 0) {
            let within = firsts
                .iter()
                .filter(|at| back[**at][unit] <= i64::from(count));
            kept.extend(within.map(|at| (snapshots[*at], unit)));
        }
    }
    kept
}

/// Whether two moments lie in one span of the calendar.
fn share(unit: usize, one: SnapshotTime, other: SnapshotTime) -> bool {
    let span = |it: SnapshotTime| match UNITS[unit] {
        'h' => (it.num_days_from_ce(), it.hour()),
        'd' => (it.num_days_from_ce(), 0),
        'w' => (it.iso_week().year(), it.iso_week().week()),
        'm' => (it.year(), it.month()),
        _ => (it.year(), 0),
    };
    span(one) == span(other)
}

fn coldchain_keeps(
    keep: KeepSnapshots,
    snapshots: &[SnapshotTime],
    now: SnapshotTime,
) -> Vec<SnapshotTime> {
    let local = snapshots.iter().zip(0..).map(|(at, id)| LocalSnapshot {
        id,
        name: at
            .format("%Y-%m-%dT%H%M")
            .to_string()
            .parse::<SnapshotName>()
            .unwrap(),
        at: *at,
        pin: Pin::Free,
    });
    let run = KeepRun {
        date: now.date_naive(),
        now,
        confirmed: true,
    };
    let plan = plan_snapshots(local.collect(), keep, run);
    let fates = plan
        .fates
        .iter()
        .filter(|it| matches!(it.fate, KeepFate::Kept(_)));
    fates
        .map(|it| snapshots[usize::try_from(it.id).unwrap()])
        .collect()
}

fn rule() -> impl Strategy<Value = Rule> {
    let count = prop::option::of(0_u32..9);
    let unit = prop::sample::select(UNITS.to_vec());
    (
        [
            count.clone(),
            count.clone(),
            count.clone(),
            count.clone(),
            count,
        ],
        prop::option::of((1_u32..9, unit)),
        0_u32..7,
        0_u32..24,
    )
        .prop_map(|(counts, min, weekday, hour)| Rule {
            counts,
            min,
            weekday,
            hour,
        })
}

fn keep_of(rule: &Rule) -> KeepSnapshots {
    const DAYS: [&str; 7] = [
        "sunday",
        "monday",
        "tuesday",
        "wednesday",
        "thursday",
        "friday",
        "saturday",
    ];
    let terms = rule.counts.iter().zip(UNITS);
    let terms: String = terms
        .filter_map(|(count, unit)| Some(format!(" {}{unit}", (*count)?)))
        .collect();
    let policy = if terms.is_empty() { " no" } else { &terms };
    let min = rule.min.map_or("latest".to_owned(), |(number, unit)| {
        format!("{number}{unit}")
    });
    let day = DAYS[usize::try_from(rule.weekday).unwrap()];
    let text = format!(
        "snapshot_preserve{policy}\nsnapshot_preserve_min {min}\npreserve_day_of_week {day}\npreserve_hour_of_day {}\n\
         subvolume /home\n",
        rule.hour
    );
    let taken = read_btrbk(text.as_bytes()).unwrap();
    taken.take_over(|_| Vec::new()).unwrap().sources[0].keep
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// For each snapshot that btrbk keeps for the sake of a span, coldchain keeps one of the same hour, day, week, month
    /// or year.
    #[test]
    fn no_span_that_btrbk_keeps_is_lost(
        rule in rule(),
        gaps in prop::collection::vec(1_i64..4000, 1..250),
        since in 0_i64..3000,
        start in 0_u64..1500,
    ) {
        let zone = FixedOffset::east_opt(3600).unwrap();
        let start = zone.with_ymd_and_hms(2022, 1, 1, 0, 0, 0).unwrap() + Days::new(start);
        let mut at = start;
        let snapshots: Vec<SnapshotTime> = gaps
            .iter()
            .map(|gap| {
                at += TimeDelta::minutes(*gap);
                at
            })
            .collect();
        let now = at + TimeDelta::minutes(since);
        let ours = coldchain_keeps(keep_of(&rule), &snapshots, now);
        for (kept, unit) in btrbk_keeps(&rule, &snapshots, now) {
            prop_assert!(
                ours.iter().any(|mine| share(unit, *mine, kept)),
                "{kept} is kept for {}, at {now}, {}", UNITS[unit], keep_of(&rule)
            );
        }
        prop_assert!(ours.contains(snapshots.last().unwrap()));
    }
}

/// What a source keeps, with these lines before it.
fn keeps(lines: &str) -> String {
    let text = format!("{lines}\nsubvolume /home");
    let taken = read_btrbk(text.as_bytes()).unwrap();
    taken.take_over(|_| Vec::new()).unwrap().sources[0]
        .keep
        .to_string()
}

#[test]
fn retention_is_never_less() {
    for (lines, expected) in [
        // Both defaults: all.
        ("", "1000000"),
        ("snapshot_preserve 14d", "1000000"),
        (
            "snapshot_preserve_min all\nsnapshot_preserve 14d",
            "1000000",
        ),
        ("snapshot_preserve_min latest", "1"),
        ("snapshot_preserve_min latest\nsnapshot_preserve no", "1"),
        ("snapshot_preserve_min latest\nsnapshot_preserve 14d", "15d"),
        (
            "snapshot_preserve_min latest\nsnapshot_preserve 24h 7d 4w 12m 2y",
            "26h 8d 6w 13m 3y",
        ),
        (
            "snapshot_preserve_min latest\nsnapshot_preserve 24H\t7D",
            "26h 8d",
        ),
        (
            "snapshot_preserve_min latest\nsnapshot_preserve 4w\npreserve_day_of_week monday",
            "5w",
        ),
        (
            "snapshot_preserve_min latest\nsnapshot_preserve 7d 4w\npreserve_hour_of_day 5\npreserve_day_of_week monday",
            "9d 6w",
        ),
        ("snapshot_preserve_min latest\nsnapshot_preserve 0d 0w", "1"),
        (
            "snapshot_preserve_min latest\nsnapshot_preserve *d *m",
            "366001d 12001m",
        ),
        ("snapshot_preserve_min 14d", "14 days"),
        ("snapshot_preserve_min 18h", "1 days"),
        ("snapshot_preserve_min 25h", "2 days"),
        ("snapshot_preserve_min 2w", "20 days"),
        // Months, not minutes.
        ("snapshot_preserve_min 3m", "124 days"),
        ("snapshot_preserve_min 1y", "732 days"),
        ("snapshot_preserve_min 6h\nsnapshot_preserve 7d", "8h 8d"),
        ("snapshot_preserve_min 99999999999999999999d", "1000000"),
        (
            "snapshot_preserve_min latest\nsnapshot_preserve 99999999999999999999d",
            "4294967295d",
        ),
        // What btrbk refuses keeps everything.
        ("snapshot_preserve_min 24h 7d 4w", "1000000"),
        (
            "snapshot_preserve_min latest\nsnapshot_preserve 7d 7d",
            "1000000",
        ),
        (
            "snapshot_preserve_min latest\nsnapshot_preserve 7é",
            "1000000",
        ),
        ("snapshot_preserve_min", "1000000"),
        (
            "snapshot_preserve_min 1d\nsnapshot_preserve_daily 14",
            "1000000",
        ),
    ] {
        assert_eq!(keeps(lines), expected, "{lines}");
    }
}
