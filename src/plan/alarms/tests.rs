//! Tests of the alarms: each begins where it should, and not before.

use super::super::sample::date;
use super::*;

const GIB: u64 = 1 << 30;

fn at(text: &str) -> DateTime<Utc> {
    date(text).and_hms_opt(12, 0, 0).unwrap().and_utc()
}

fn archive(day: &str, is_full: bool, raw_bytes: u64) -> MeasuredArchive {
    MeasuredArchive {
        date: date(day),
        is_full,
        raw_bytes,
        sealed_bytes: raw_bytes / 2,
        files: Some(1000),
    }
}

/// A source with nothing to say: a full and four incrementals, all in time.
fn quiet() -> WatchedSource {
    let mut archives = vec![archive("2026-10-21", true, 10 * GIB)];
    for day in ["2026-11-01", "2026-11-07", "2026-11-14", "2026-11-21"] {
        archives.push(archive(day, false, GIB / 8));
    }
    WatchedSource {
        now: at("2026-11-28"),
        today: date("2026-11-28"),
        schedule: Some(Schedule::default()),
        has_nothing: false,
        archives,
        damaged: Vec::new(),
        failed: Vec::new(),
        checked: CheckedAt {
            first_archive: Some(date("2026-10-21")),
            verified: Some(at("2026-11-01")),
            drilled: None,
        },
        limits: CheckLimits::default(),
        holds: Vec::new(),
        lock: None,
        copies_behind: Vec::new(),
        mirrors_behind: Vec::new(),
        costs: None,
    }
}

/// The kinds of alarms of a source that is quiet but for this.
fn kinds(change: impl FnOnce(&mut WatchedSource)) -> Vec<AlarmKind> {
    let mut source = quiet();
    change(&mut source);
    alarms(&source)
        .into_iter()
        .map(|alarm| alarm.kind)
        .collect()
}

fn newest(source: &mut WatchedSource) -> &mut MeasuredArchive {
    source.archives.last_mut().unwrap()
}

#[test]
fn a_source_in_order_has_no_alarms() {
    assert_eq!(kinds(|_| ()), []);
}

#[test]
fn it_is_overdue_once_a_second_slot_is_over() {
    for (today, missed, is_overdue) in [
        ("2026-11-30", 0, false),
        // The slot of today is not missed yet.
        ("2026-12-01", 0, false),
        ("2026-12-02", 1, false),
        ("2026-12-07", 1, false),
        ("2026-12-08", 2, true),
        ("2027-01-02", 5, true),
    ] {
        let found = kinds(|source| source.today = date(today));
        assert_eq!(found.contains(&AlarmKind::Overdue), is_overdue, "{today}");
        let slots = missed_slots(&Schedule::default(), Some(date("2026-11-21")), date(today));
        assert_eq!(slots.len(), missed, "{today}");
    }
    let from = overdue_from(&Schedule::default(), date("2026-11-21"));
    assert_eq!(from, Some(date("2026-12-08")));
    // Far ahead, and no end of it.
    let slots = missed_slots(
        &Schedule::default(),
        Some(date("2026-11-21")),
        NaiveDate::MAX,
    );
    assert_eq!(slots.len(), 1001);
}

#[test]
fn nothing_archived_and_an_archive_of_the_future_are_said() {
    assert_eq!(
        kinds(|source| source.archives.clear()),
        [AlarmKind::NeverArchived]
    );
    assert_eq!(
        kinds(|source| {
            source.archives.clear();
            source.schedule = None;
        }),
        []
    );
    let ahead = |day: &str| kinds(|source| newest(source).date = date(day));
    // The date may be the next day's elsewhere.
    assert_eq!(ahead("2026-11-29"), []);
    assert_eq!(ahead("2026-11-30"), [AlarmKind::Overdue]);
}

#[test]
fn unusual_sizes_are_said_where_they_are_large_enough_to_matter() {
    let sized = |bytes| kinds(|source| newest(source).raw_bytes = bytes);
    assert_eq!(sized(GIB), []);
    assert_eq!(sized(GIB / 8 * 10), [AlarmKind::ArchiveLarge]);
    assert_eq!(
        sized(8 * GIB),
        [AlarmKind::ArchiveLarge, AlarmKind::NearlyFull]
    );
    assert_eq!(sized(GIB / 80), [AlarmKind::ArchiveSmall]);
    // Small ones differ by any factor.
    let small = kinds(|source| {
        for archive in &mut source.archives[1..] {
            archive.raw_bytes = 700;
        }
        newest(source).raw_bytes = 50 << 20;
    });
    assert_eq!(small, []);
    // Three of the kind say what is usual, two do not.
    let few = kinds(|source| {
        source.archives.remove(1);
        newest(source).raw_bytes = 2 * GIB;
    });
    assert_eq!(few, []);
    let full = |bytes| {
        kinds(|source| {
            *newest(source) = archive("2026-11-21", true, bytes);
        })
    };
    assert_eq!(full(6 * GIB), []);
    assert_eq!(full(4 * GIB), [AlarmKind::ArchiveSmall]);
}

#[test]
fn files_that_vanished_are_said() {
    let left = |files| kinds(|source| newest(source).files = files);
    assert_eq!(left(Some(500)), []);
    assert_eq!(left(Some(499)), [AlarmKind::FilesVanished]);
    assert_eq!(left(Some(0)), [AlarmKind::FilesVanished]);
    assert_eq!(left(None), []);
    let of_few = kinds(|source| {
        source.archives[3].files = Some(9);
        newest(source).files = Some(0);
    });
    assert_eq!(of_few, []);
}

#[test]
fn old_checks_are_said_unless_any_age_is_right() {
    let on = |today: &str| {
        kinds(|source| {
            source.today = date(today);
            source.schedule = None;
        })
    };
    assert_eq!(on("2026-12-16"), []);
    assert_eq!(on("2026-12-17"), [AlarmKind::VerifyOld]);
    assert_eq!(on("2027-04-29"), [AlarmKind::VerifyOld]);
    assert_eq!(
        on("2027-04-30"),
        [AlarmKind::VerifyOld, AlarmKind::DrillOld]
    );
    let never = kinds(|source| {
        source.checked.verified = None;
        source.limits.drill_days = None;
        source.limits.verify_days = Some(10);
    });
    assert_eq!(never, [AlarmKind::VerifyOld]);
}

#[test]
fn what_runs_out_and_what_is_behind_is_said() {
    let out = |text: &str| {
        Some(RunsOut {
            what: "/mnt/disk".to_owned(),
            at: at(text),
        })
    };
    assert_eq!(kinds(|source| source.holds.extend(out("2026-12-06"))), []);
    assert_eq!(
        kinds(|source| source.holds.extend(out("2026-12-04"))),
        [AlarmKind::HoldRunsOut]
    );
    assert_eq!(kinds(|source| source.lock = out("2026-12-06")), []);
    assert_eq!(
        kinds(|source| source.lock = out("2026-11-27")),
        [AlarmKind::LockRunsOut]
    );
    let behind = || Behind {
        what: "offsite2".to_owned(),
        since: date("2026-11-14"),
    };
    assert_eq!(
        kinds(|source| source.copies_behind.push(behind())),
        [AlarmKind::CopyBehind]
    );
    assert_eq!(
        kinds(|source| source.mirrors_behind.push(behind())),
        [AlarmKind::MirrorBehind]
    );
}

#[test]
fn costs_that_rise_are_said_from_a_dollar_on() {
    let costs = |now, before| kinds(|source| source.costs = Some((now, before)));
    assert_eq!(costs(2_900_000, 2_000_000), []);
    assert_eq!(costs(3_000_000, 2_000_000), [AlarmKind::CostRises]);
    assert_eq!(costs(900_000, 100), []);
    assert_eq!(costs(u64::MAX, u64::MAX), []);
}

#[test]
fn failures_and_damage_come_first_and_name_what_to_do() {
    let mut source = quiet();
    source.failed.push(FailedRun {
        command: "backup".to_owned(),
        on: date("2026-11-27"),
        exit_code: None,
        error: "gone".to_owned(),
    });
    source.damaged.push(date("2026-11-07"));
    source.checked.verified = None;
    source.limits.verify_days = Some(1);
    let found = alarms(&source);
    let kinds: Vec<AlarmKind> = found.iter().map(|alarm| alarm.kind).collect();
    assert_eq!(
        kinds,
        [
            AlarmKind::Damaged,
            AlarmKind::RunFailed,
            AlarmKind::VerifyOld
        ]
    );
    assert_eq!(
        found[1].text,
        "the last `coldchain backup`, on 2026-11-27, was killed: gone"
    );
    assert!(found.iter().all(|alarm| !alarm.text.contains('\n')));
}

#[test]
fn each_kind_has_a_name_of_its_own_and_the_urgent_ones_come_first() {
    let names: std::collections::BTreeSet<&str> =
        AlarmKind::ALL.iter().map(|kind| kind.as_str()).collect();
    assert_eq!(names.len(), AlarmKind::ALL.len());
    let urgencies = AlarmKind::ALL.map(AlarmKind::urgency);
    assert!(urgencies.is_sorted_by(|one, next| one >= next));
    assert!(AlarmKind::ALL.is_sorted());
}

#[test]
fn a_source_without_a_store_needs_a_snapshot_at_least() {
    let alone = |has_nothing| {
        kinds(|source| {
            source.schedule = None;
            source.archives.clear();
            source.checked.first_archive = None;
            source.has_nothing = has_nothing;
        })
    };
    assert_eq!(alone(true), [AlarmKind::NeverArchived]);
    assert_eq!(alone(false), []);
}

#[test]
fn a_slot_between_two_archives_is_missed_unless_the_later_one_fills_it() {
    let schedule = Schedule::default();
    let day = |text: &str| text.parse::<NaiveDate>().unwrap();
    let unfilled = |dates: &[&str], today: &str| {
        let dates: Vec<NaiveDate> = dates.iter().map(|date| day(date)).collect();
        let slots = unfilled_slots(&schedule, &dates, day(today));
        slots.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(unfilled(&[], "2026-11-30"), [""; 0]);
    assert_eq!(
        unfilled(&["2026-11-07", "2026-11-14"], "2026-11-21"),
        [""; 0]
    );
    // Archived late: it fills the slot that is open.
    assert_eq!(
        unfilled(&["2026-11-07", "2026-11-16"], "2026-11-20"),
        [""; 0]
    );
    assert_eq!(
        unfilled(&["2026-10-21", "2026-11-16", "2026-11-16"], "2026-12-08"),
        [
            "2026-11-01",
            "2026-11-07",
            "2026-11-21",
            "2026-12-01",
            "2026-12-07"
        ]
    );
    // A clock that was far ahead.
    assert_eq!(
        unfilled(&["1990-01-01", "9999-12-31"], "2026-12-08").len(),
        MOST_MISSED
    );
}
