//! `keep` by example, and against a model that was written apart.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{Days, Offset as _, TimeDelta, TimeZone as _, Utc};
use chrono_tz::{America, Europe, Tz};
use proptest::prelude::*;

use super::super::sample::date;
use super::*;

const BERLIN: Tz = Europe::Berlin;

fn fixed(moment: &DateTime<Tz>) -> DateTime<FixedOffset> {
    moment.with_timezone(&moment.offset().fix())
}

/// A snapshot with that name, whose time is that of its name.
fn snapshot(id: i64, name: &str, zone: Tz) -> LocalSnapshot {
    let name: SnapshotName = name.parse().unwrap();
    LocalSnapshot {
        id,
        name,
        at: fixed(&name.moment(&zone)),
        pin: Pin::Free,
    }
}

fn all(names: &[&str]) -> Vec<LocalSnapshot> {
    let numbered = (0..).zip(names);
    numbered
        .map(|(id, name)| snapshot(id, name, BERLIN))
        .collect()
}

fn terms(text: &str) -> KeepSnapshots {
    KeepSnapshots::Terms(Terms::parse(text).unwrap())
}

/// A confirmed run just after the newest snapshot.
fn after(snapshots: &[LocalSnapshot]) -> KeepRun {
    let newest = snapshots.iter().max_by_key(|snapshot| snapshot.at).unwrap();
    KeepRun {
        date: newest.name.date,
        now: newest.at,
        confirmed: true,
    }
}

/// The names of those that stay.
fn staying(snapshots: Vec<LocalSnapshot>, keep: KeepSnapshots) -> Vec<String> {
    let run = after(&snapshots);
    let plan = plan_snapshots(snapshots, keep, run);
    assert_eq!(plan.withheld, None);
    let kept = plan.fates.iter().filter(|it| is_kept(it));
    kept.map(|it| it.name.to_string()).collect()
}

fn is_kept(fate: &SnapshotFate) -> bool {
    matches!(fate.fate, KeepFate::Kept(_))
}

/// The deleted ones as `name: reason`.
fn deleted(plan: &SnapshotPlan) -> Vec<String> {
    let deleted = plan.deleted();
    deleted
        .map(|(it, reason)| format!("{}: {reason}", it.name))
        .collect()
}

#[test]
fn of_nights_the_last_days_weeks_and_months_stay() {
    let nights: Vec<String> = (1..=28).map(|day| format!("2026-11-{day:02}")).collect();
    let nights: Vec<&str> = nights.iter().map(String::as_str).collect();
    assert_eq!(
        staying(all(&nights), terms("3d 2w 1m")),
        ["2026-11-22", "2026-11-26", "2026-11-27", "2026-11-28"]
    );
}

#[test]
fn spans_without_a_snapshot_do_not_count() {
    let few = [
        "2026-11-01",
        "2026-11-02",
        "2026-11-03",
        "2026-11-10",
        "2026-11-28",
    ];
    assert_eq!(
        staying(all(&few), terms("3d 2w 1m")),
        ["2026-11-03", "2026-11-10", "2026-11-28"]
    );
}

#[test]
fn the_nightly_snapshot_stands_for_its_day() {
    let mut names: Vec<String> = (0..24)
        .map(|hour| format!("2026-11-27T{hour:02}00"))
        .collect();
    names.push("2026-11-27".to_owned());
    names.extend((0..3).map(|hour| format!("2026-11-28T{hour:02}00")));
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    assert_eq!(
        staying(all(&names), terms("3h 2d")),
        [
            "2026-11-27",
            "2026-11-28T0000",
            "2026-11-28T0100",
            "2026-11-28T0200"
        ]
    );
}

#[test]
fn the_hour_that_comes_twice_is_two_hours() {
    let names = [
        "2026-10-25T0100",
        "2026-10-25T0200",
        "2026-10-25T0200+0100",
        "2026-10-25T0300",
    ];
    assert_eq!(staying(all(&names), terms("4h 1d")), names);
}

#[test]
fn weeks_belong_to_the_year_of_their_thursday() {
    let names = [
        "2026-12-27",
        "2026-12-28",
        "2026-12-31",
        "2027-01-01",
        "2027-01-03",
        "2027-01-04",
    ];
    assert_eq!(
        staying(all(&names), terms("2w 2y")),
        ["2026-12-31", "2027-01-03", "2027-01-04"]
    );
}

#[test]
fn every_snapshot_has_its_reasons() {
    let mut snapshots = all(&["2026-11-01", "2026-11-26", "2026-11-27", "2026-11-28"]);
    snapshots[0].pin = Pin::SendParent;
    let run = after(&snapshots);
    let plan = plan_snapshots(snapshots.clone(), terms("2d 1w"), run);
    let kept = |reasons: &[&str]| KeepFate::Kept(reasons.iter().map(|&it| it.to_owned()).collect());
    let fates: Vec<KeepFate> = plan.fates.into_iter().map(|it| it.fate).collect();
    assert_eq!(
        fates,
        [
            kept(&["the next archive is sent against it"]),
            KeepFate::Expires("keep = \"2d 1w\" does not keep it".to_owned()),
            kept(&["day 2 of 2"]),
            kept(&["day 1 of 2", "week 1 of 1"]),
        ]
    );
    let plan = plan_snapshots(snapshots.clone(), KeepSnapshots::Newest(2), run);
    assert_eq!(deleted(&plan), ["2026-11-26: the newest 2 are kept"]);
    let plan = plan_snapshots(snapshots, KeepSnapshots::Days(1), run);
    assert_eq!(deleted(&plan), ["2026-11-26: 2 days old, 1 are kept"]);
}

#[test]
fn the_newest_stays_whatever_its_age() {
    let snapshots = all(&["2026-11-01", "2026-11-02"]);
    let run = KeepRun {
        date: date("2027-11-02"),
        now: snapshots[1].at + TimeDelta::days(365),
        confirmed: false,
    };
    let plan = plan_snapshots(snapshots, KeepSnapshots::Days(7), run);
    assert_eq!(deleted(&plan), ["2026-11-01: 366 days old, 7 are kept"]);
}

#[test]
fn nothing_is_deleted_while_the_clock_is_behind_the_newest_snapshot() {
    let snapshots = all(&["2026-11-26", "2026-11-27", "2026-11-28"]);
    let mut run = after(&snapshots);
    run.now -= TimeDelta::seconds(1);
    let plan = plan_snapshots(snapshots, KeepSnapshots::Newest(1), run);
    assert_eq!(plan.expiring().count(), 2);
    assert!(deleted(&plan).is_empty());
    let newest = "2026-11-28".parse().unwrap();
    assert_eq!(plan.withheld, Some(Withheld::ClockBehind { newest }));
}

#[test]
fn more_than_half_and_more_than_five_go_only_when_the_user_has_confirmed_it() {
    let names: Vec<String> = (1..=13).map(|day| format!("2026-11-{day:02}")).collect();
    let of = |count: usize| {
        let names: Vec<&str> = names[..count].iter().map(String::as_str).collect();
        all(&names)
    };
    for (count, keep, withheld) in [(11, 5, true), (12, 6, false), (13, 6, true), (6, 1, false)] {
        let snapshots = of(count);
        let run = KeepRun {
            confirmed: false,
            ..after(&snapshots)
        };
        let plan = plan_snapshots(snapshots.clone(), KeepSnapshots::Newest(keep), run);
        let expiring = count - keep as usize;
        let too_many = Withheld::TooMany {
            expiring,
            of: count,
        };
        assert_eq!(plan.withheld, withheld.then_some(too_many), "{count}");
        assert_eq!(plan.deleted().count(), if withheld { 0 } else { expiring });
        let plan = plan_snapshots(snapshots, KeepSnapshots::Newest(keep), after(&of(count)));
        assert_eq!(plan.deleted().count(), expiring);
    }
}

/// What the settings of before `keep` mean.
mod within {
    use super::*;

    fn nights(from: &str, count: u64) -> Vec<LocalSnapshot> {
        let first = date(from);
        let names = (0..count).map(|day| (first + Days::new(day)).to_string());
        (0..)
            .zip(names)
            .map(|(id, name)| snapshot(id, &name, BERLIN))
            .collect()
    }

    fn limits(days: Option<u32>, newest: Option<u32>) -> KeepSnapshots {
        KeepSnapshots::Within { days, newest }
    }

    fn run_of(day: &str) -> KeepRun {
        let name = SnapshotName::of_date(date(day));
        KeepRun {
            date: date(day),
            now: fixed(&name.moment(&BERLIN)),
            confirmed: false,
        }
    }

    fn told(snapshots: &[LocalSnapshot], keep: KeepSnapshots, day: &str) -> Vec<String> {
        deleted(&plan_snapshots(snapshots.to_vec(), keep, run_of(day)))
    }

    #[test]
    fn a_snapshot_goes_once_it_is_older_than_it_is_kept() {
        // 2026-10-01 + 10 days = 2026-10-11
        let snapshots = nights("2026-10-01", 11);
        assert!(told(&snapshots, limits(Some(10), None), "2026-10-11").is_empty());
        assert_eq!(
            told(&snapshots, limits(Some(10), None), "2026-10-13"),
            [
                "2026-10-01: 12 days old, 10 are kept",
                "2026-10-02: 11 days old, 10 are kept"
            ]
        );
    }

    #[test]
    fn of_a_number_the_newest_stay_and_pinned_ones_count() {
        let mut snapshots = nights("2026-10-01", 4);
        assert_eq!(
            told(&snapshots, limits(None, Some(3)), "2026-10-04"),
            ["2026-10-01: the newest 3 are kept"]
        );
        snapshots[3].pin = Pin::SendParent;
        snapshots[0].pin = Pin::Attempt;
        assert_eq!(
            told(&snapshots, limits(None, Some(1)), "2026-10-04"),
            [
                "2026-10-02: the newest 1 are kept",
                "2026-10-03: the newest 1 are kept"
            ]
        );
        assert!(told(&snapshots, limits(None, Some(4)), "2026-10-04").is_empty());
    }

    #[test]
    fn of_two_limits_either_is_enough() {
        let snapshots = nights("2026-10-01", 5);
        assert_eq!(
            told(&snapshots, limits(Some(3), Some(2)), "2026-10-05"),
            [
                "2026-10-01: 4 days old, 3 are kept",
                "2026-10-02: the newest 2 are kept",
                "2026-10-03: the newest 2 are kept"
            ]
        );
    }

    #[test]
    fn nothing_but_what_is_pinned_stays_where_only_the_latest_is_kept() {
        let mut snapshots = nights("2026-10-01", 3);
        snapshots[1].pin = Pin::SendParent;
        assert_eq!(
            told(&snapshots, KeepSnapshots::None, "2026-10-03"),
            [
                "2026-10-01: the next run does not need it",
                "2026-10-03: the next run does not need it"
            ]
        );
    }

    #[test]
    fn a_clock_that_jumped_ahead_makes_no_snapshot_old_that_night() {
        let mut snapshots = nights("2026-10-01", 3);
        let keep = limits(Some(1), Some(3));
        // 2026-10-03 + 35 days = 2026-11-07
        assert_eq!(told(&snapshots, keep, "2026-11-07").len(), 3);
        let plan = plan_snapshots(snapshots.clone(), keep, run_of("2026-11-08"));
        assert_eq!(
            plan.withheld,
            Some(Withheld::Silence {
                last: date("2026-10-03"),
                expiring: 3
            })
        );
        assert!(deleted(&plan).is_empty());
        // That night's own snapshot does not end the silence, and a limit on their number does not use the
        // clock.
        snapshots.push(snapshot(9, "2036-01-01", BERLIN));
        assert_eq!(
            told(&snapshots, keep, "2036-01-01"),
            ["2026-10-01: the newest 3 are kept"]
        );
    }

    #[test]
    fn a_night_before_the_newest_snapshot_deletes_no_younger_one_for_its_age() {
        let snapshots = nights("2026-10-01", 3);
        assert!(told(&snapshots, limits(Some(1), None), "2026-09-01").is_empty());
    }

    proptest! {
        #[test]
        fn what_is_pinned_stays_and_the_same_night_again_finds_nothing_more(
            nights in prop::collection::btree_map(0_u64..4000, any::<bool>(), 0..40),
            days in prop::option::of(1_u32..400),
            newest in prop::option::of(1_u32..40),
            latest_only in any::<bool>(),
            night in 0_u64..5000,
        ) {
            let day = |number: u64| (date("2020-01-01") + Days::new(number)).to_string();
            let snapshots: Vec<LocalSnapshot> = (0..)
                .zip(&nights)
                .map(|(id, (number, pinned))| LocalSnapshot {
                    pin: if *pinned { Pin::SendParent } else { Pin::Free },
                    ..snapshot(id, &day(*number), BERLIN)
                })
                .collect();
            let keep = if latest_only { KeepSnapshots::None } else { limits(days, newest) };
            let run = run_of(&day(night));
            let plan = plan_snapshots(snapshots.clone(), keep, run);
            let gone: BTreeSet<i64> = plan.deleted().map(|(it, _)| it.id).collect();
            let left: Vec<LocalSnapshot> =
                snapshots.iter().filter(|it| !gone.contains(&it.id)).cloned().collect();
            for snapshot in &snapshots {
                prop_assert!(snapshot.pin == Pin::Free || !gone.contains(&snapshot.id));
            }
            prop_assert_eq!(plan_snapshots(left.clone(), keep, run).deleted().count(), 0);
            if let (false, Some(newest)) = (latest_only, newest) {
                let free = left.iter().filter(|snapshot| snapshot.pin == Pin::Free).count();
                prop_assert!(free <= newest as usize);
            }
        }
    }
}

/// The terms of a random test, by letter.
type Wanted = BTreeMap<char, u32>;

/// The ids that the terms keep, worked out in another way: by the calendar's own words for each moment.
fn model(snapshots: &[LocalSnapshot], wanted: &Wanted) -> BTreeSet<i64> {
    let mut kept = BTreeSet::new();
    for (&letter, &number) in wanted {
        let mut spans: BTreeMap<String, Vec<&LocalSnapshot>> = BTreeMap::new();
        for snapshot in snapshots {
            let span = match letter {
                'h' => snapshot.at.format("%F %H %z").to_string(),
                'd' => snapshot.at.format("%F").to_string(),
                'w' => snapshot.at.format("%G %V").to_string(),
                'm' => snapshot.at.format("%Y %m").to_string(),
                'q' => {
                    let month: u32 = snapshot.at.format("%m").to_string().parse().unwrap();
                    format!("{} {}", snapshot.at.format("%Y"), month.div_ceil(3))
                }
                _ => snapshot.at.format("%Y").to_string(),
            };
            spans.entry(span).or_default().push(snapshot);
        }
        let moment = |snapshot: &&LocalSnapshot| (snapshot.at.with_timezone(&Utc), snapshot.name);
        let mut newest: Vec<_> = spans.into_values().collect();
        newest.sort_by_key(|span| span.iter().map(moment).max());
        for span in newest.iter().rev().take(number as usize) {
            let nightly = span.iter().filter(|it| letter != 'h' && it.name.is_date());
            let stands = nightly.copied().max_by_key(moment);
            kept.insert(
                stands
                    .or(span.iter().copied().max_by_key(moment))
                    .unwrap()
                    .id,
            );
        }
    }
    kept
}

/// What a random history does next.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// Takes a snapshot some minutes later.
    Later { minutes: i64, nightly: bool },
    /// The clock jumps by days, perhaps back; then a snapshot is taken.
    Jump { days: i64 },
}

fn moments(jumps: bool) -> impl Strategy<Value = Vec<Moment>> {
    let later = prop_oneof![
        6 => 60_i64..=60,
        2 => 1_i64..2000,
        1 => 1440_i64..100_000,
    ];
    let later = (later, prop::bool::weighted(0.2))
        .prop_map(|(minutes, nightly)| Moment::Later { minutes, nightly });
    let jump = (-400_i64..400).prop_map(|days| Moment::Jump { days });
    let step = prop_oneof![30 => later, u32::from(jumps) => jump];
    prop::collection::vec(step, 1..80)
}

fn wanted() -> impl Strategy<Value = Wanted> {
    prop::collection::btree_map(
        prop::sample::select(vec!['h', 'd', 'w', 'm', 'q', 'y']),
        1_u32..9,
        1..5,
    )
}

fn keep_of(wanted: &Wanted) -> KeepSnapshots {
    let text: Vec<String> = wanted
        .iter()
        .map(|(letter, number)| format!("{number}{letter}"))
        .collect();
    terms(&text.join(" "))
}

/// The snapshots of a history in a zone, in the order in which they were taken.
fn history(zone: Tz, begin: i64, moments: &[Moment]) -> Vec<LocalSnapshot> {
    let mut clock = Utc.timestamp_opt(begin, 0).unwrap();
    let mut taken: Vec<LocalSnapshot> = Vec::new();
    for (id, moment) in (0..).zip(moments) {
        let (later, nightly) = match *moment {
            Moment::Later { minutes, nightly } => (TimeDelta::minutes(minutes), nightly),
            Moment::Jump { days } => (TimeDelta::days(days), false),
        };
        clock += later;
        let local = clock.with_timezone(&zone);
        let name = if nightly {
            SnapshotName::of_date(local.date_naive())
        } else {
            SnapshotName::of_moment(&local)
        };
        // A name has one snapshot.
        if taken.iter().all(|other| other.name != name) {
            taken.push(LocalSnapshot {
                id,
                name,
                at: fixed(&local),
                pin: Pin::Free,
            });
        }
    }
    taken
}

/// How many random histories are tried: `COLDCHAIN_KEEP_HISTORIES`, which scripts/soak sets.
fn histories() -> ProptestConfig {
    let cases = std::env::var("COLDCHAIN_KEEP_HISTORIES").ok();
    let cases = cases.map_or(300, |text| {
        text.parse().expect("COLDCHAIN_KEEP_HISTORIES is a number")
    });
    ProptestConfig::with_cases(cases)
}

fn zones() -> impl Strategy<Value = Tz> {
    prop::sample::select(vec![BERLIN, America::New_York])
}

/// Seconds since 1970 in 2026.
fn begins() -> impl Strategy<Value = i64> {
    1_767_225_600_i64..1_798_761_600
}

proptest! {
    #![proptest_config(histories())]

    #[test]
    fn what_stays_is_what_the_model_says(
        zone in zones(),
        begin in begins(),
        moments in moments(true),
        wanted in wanted(),
        pins in prop::collection::vec(0_u8..12, 80),
        confirmed in any::<bool>(),
        behind in prop::bool::weighted(0.1),
    ) {
        let mut snapshots = history(zone, begin, &moments);
        for (snapshot, pin) in snapshots.iter_mut().zip(pins) {
            snapshot.pin = match pin {
                0 => Pin::SendParent,
                1 => Pin::Attempt,
                2 => Pin::NotOurs,
                _ => Pin::Free,
            };
        }
        let newest = snapshots.iter().max_by_key(|it| (it.at, it.name)).unwrap().clone();
        let run = KeepRun {
            date: newest.name.date,
            now: newest.at - TimeDelta::seconds(i64::from(behind)),
            confirmed,
        };
        let plan = plan_snapshots(snapshots.clone(), keep_of(&wanted), run);
        let mut kept = model(&snapshots, &wanted);
        kept.insert(newest.id);
        kept.extend(snapshots.iter().filter(|it| it.pin != Pin::Free).map(|it| it.id));
        let stays: BTreeSet<i64> = plan.fates.iter().filter(|it| is_kept(it)).map(|it| it.id).collect();
        prop_assert_eq!(&stays, &kept);
        let expiring = snapshots.len() - kept.len();
        let guarded = behind || (!confirmed && expiring > 5 && expiring * 2 > snapshots.len());
        prop_assert_eq!(plan.deleted().count(), if guarded { 0 } else { expiring });
        prop_assert_eq!(plan.withheld.is_some(), guarded && expiring > 0);
    }

    #[test]
    fn deleting_as_one_goes_leaves_what_deleting_once_leaves(
        zone in zones(),
        begin in begins(),
        moments in moments(false),
        wanted in wanted(),
    ) {
        let taken = history(zone, begin, &moments);
        let keep = keep_of(&wanted);
        let ids = |snapshots: &[LocalSnapshot]| -> BTreeSet<i64> { snapshots.iter().map(|it| it.id).collect() };
        let prune = |snapshots: Vec<LocalSnapshot>| -> Vec<LocalSnapshot> {
            let run = after(&snapshots);
            let plan = plan_snapshots(snapshots.clone(), keep, run);
            let gone: BTreeSet<i64> = plan.deleted().map(|(it, _)| it.id).collect();
            snapshots.into_iter().filter(|it| !gone.contains(&it.id)).collect()
        };
        let mut standing: Vec<LocalSnapshot> = Vec::new();
        for snapshot in &taken {
            standing.push(snapshot.clone());
            standing = prune(standing);
        }
        prop_assert_eq!(ids(&standing), ids(&prune(taken)));
    }
}
