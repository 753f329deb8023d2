//! The metrics of one source.

use std::collections::BTreeMap;

use chrono::{NaiveDate, NaiveTime};

use super::families::Families;
use super::{number, seconds};
use crate::engine::SourceStatus;
use crate::model::entry::Timestamp;
use crate::plan::usual_bytes;

pub(super) fn add(families: &mut Families, source: &SourceStatus, now: Timestamp) {
    add_archives(families, source, now);
    add_schedule(families, source);
    add_alarms(families, source);
    add_places(families, source);
}

/// Midnight of a date in UTC, as a Unix time.
fn midnight(date: NaiveDate) -> i64 {
    date.and_time(NaiveTime::MIN).and_utc().timestamp()
}

/// A moment; 0 for never.
fn moment(at: Option<Timestamp>) -> f64 {
    at.map_or(0.0, |at| seconds(at.0.timestamp()))
}

fn of(flag: bool) -> f64 {
    f64::from(u8::from(flag))
}

fn add_archives(families: &mut Families, source: &SourceStatus, now: Timestamp) {
    let labels = [("source", source.name.as_str())];
    let mut add = |metric: &str, value: f64| {
        families.add(&format!("coldchain_source_{metric}"), &labels, value);
    };
    if source.store.is_none() {
        let newest = source.newest_snapshot;
        let date = newest.map_or(0, |newest| midnight(newest.date));
        add("newest_snapshot_timestamp_seconds", seconds(date));
        return;
    }
    add("archives", number(source.archives.len() as u64));
    add("stored_bytes", number(source.sealed_bytes()));
    let newest = source.newest();
    // 0 says that there is none.
    let date = newest.map_or(0, |newest| midnight(newest.date));
    add("newest_archive_timestamp_seconds", seconds(date));
    if let Some(newest) = newest {
        add(
            "newest_archive_age_seconds",
            seconds(now.0.timestamp() - date),
        );
        add("newest_archive_bytes", number(newest.raw_bytes));
    }
    if let Some(usual) = usual_bytes(&source.archives) {
        add("usual_archive_bytes", number(usual));
    }
    if let Some(files) = newest.and_then(|it| it.files) {
        add("newest_archive_files", number(files));
    }
    add("overdue", of(source.is_overdue(None, now.0)));
    add(
        "last_verify_timestamp_seconds",
        moment(source.checked.verified.map(Timestamp)),
    );
    add(
        "last_drill_timestamp_seconds",
        moment(source.checked.drilled.map(Timestamp)),
    );
    add(
        "unfinished_archives",
        number(source.unfinished.len() as u64),
    );
    add("thawing_segments", number(source.thaws.waiting));
    add("thawed_segments", number(source.thaws.readable));
    if let Some(chain) = source.chain {
        add("chain_archives", number(chain.incrementals as u64 + 1));
    }
}

fn add_schedule(families: &mut Families, source: &SourceStatus) {
    let labels = [("source", source.name.as_str())];
    let mut add = |metric: &str, value: f64| {
        families.add(&format!("coldchain_source_{metric}"), &labels, value);
    };
    if let Some(due) = &source.due {
        add("missed_slots", number(due.missed.len() as u64));
        add("next_slot_timestamp_seconds", seconds(midnight(due.next)));
        if let Some(from) = due.overdue_from {
            add("overdue_from_timestamp_seconds", seconds(midnight(from)));
        }
    }
    if let Some(pulled) = source.pulled {
        add("last_pull_timestamp_seconds", moment(pulled.at));
    }
}

fn add_alarms(families: &mut Families, source: &SourceStatus) {
    let name = source.name.as_str();
    let number_of = number(source.alarms.len() as u64);
    families.add("coldchain_source_alarms", &[("source", name)], number_of);
    for alarm in &source.alarms {
        let labels = [
            ("source", name),
            ("kind", alarm.kind.as_str()),
            ("subject", &alarm.subject),
            ("urgency", alarm.kind.urgency().as_str()),
        ];
        families.add("coldchain_source_alarm", &labels, 1.0);
    }
}

fn add_places(families: &mut Families, source: &SourceStatus) {
    let name = source.name.as_str();
    for mirror in &source.mirrors {
        let to = mirror.to.to_string();
        let labels = [("source", name), ("mirror", to.as_str())];
        let reached = moment(mirror.reached_at);
        families.add(
            "coldchain_mirror_complete_timestamp_seconds",
            &labels,
            reached,
        );
        if let Some(behind) = mirror.behind() {
            families.add(
                "coldchain_mirror_behind_dates",
                &labels,
                number(behind as u64),
            );
        }
    }
    for copy in &source.copies {
        let labels = [("source", name), ("place", copy.name.as_str())];
        let reached = moment(copy.reached_at());
        families.add(
            "coldchain_copy_complete_timestamp_seconds",
            &labels,
            reached,
        );
        let lacks = number(copy.lacks.len() as u64);
        families.add("coldchain_copy_lacking_archives", &labels, lacks);
    }
    for place in &source.costs {
        let labels = [("source", name), ("place", place.name.as_str())];
        if let Some(usd) = place.usd_a_month() {
            families.add(
                "coldchain_place_cost_usd_per_month",
                &labels,
                usd.as_number(),
            );
        }
        let mut classes: BTreeMap<&str, u64> = BTreeMap::new();
        for kept in &place.kept {
            *classes.entry(kept.kept.class.as_str()).or_default() += kept.kept.bytes;
        }
        for (class, bytes) in classes {
            let labels = [labels[0], labels[1], ("class", class)];
            families.add("coldchain_place_stored_bytes", &labels, number(bytes));
        }
    }
}
