//! Checks of a source: its subvolume, the space for its snapshots, its archives and how old they and their checks are.

use chrono::{DateTime, NaiveDate, Utc};

use super::local_check::{LocalCheck, SectionChecks};
use crate::btrfs::{MetadataSpace, Space};
use crate::config::{Config, Live, Source};
use crate::engine::context::RunContext;
use crate::engine::context::clock::local_date;
use crate::engine::snapshots::take::check_live;
use crate::engine::status::SourceStatus;
use crate::model::size::Bytes;
use crate::store::Severity;

/// With less, a snapshot or its deletion may fail soon.
const LITTLE_SPACE: u64 = 64 << 20;

/// An archive that was begun longer ago than this is not just being made.
const UNFINISHED_FOR: chrono::TimeDelta = chrono::TimeDelta::days(3);

pub(super) fn checks(
    config: &Config,
    source: &Source,
    status: Option<&SourceStatus>,
    context: RunContext<'_>,
) -> Vec<LocalCheck> {
    let mut checks = SectionChecks::of(format!("source {}", source.name));
    let now = context.clock.now();
    if let Some(live) = &source.live {
        subvolume(source, live, &mut checks);
    }
    let Some(status) = status else {
        return checks.checks();
    };
    if source.store.is_some() {
        archives(config, status, now, &mut checks);
    }
    for alarm in &status.alarms {
        let mend = format!("see `coldchain status {}`", source.name);
        checks.warning(alarm.kind.as_str(), &alarm.text, mend);
    }
    for unfinished in &status.unfinished {
        let begun = unfinished.begun_at.0;
        let text = format!(
            "the archive of {} was begun on {} and is not finished",
            unfinished.date,
            local_date(begun, config.timezone)
        );
        if now - begun > UNFINISHED_FOR {
            let mend = format!("run `coldchain backup {}`, which continues it", source.name);
            checks.warning("unfinished", text, mend);
        } else {
            checks.fine(
                "unfinished",
                format!("{text}; the next backup continues it"),
            );
        }
    }
    checks.checks()
}

fn subvolume(source: &Source, live: &Live, checks: &mut SectionChecks) {
    let identity = match check_live(source, live) {
        Ok(identity) => identity,
        Err(error) => return checks.error("subvolume", Severity::Failure, &error),
    };
    let path = live.subvolume.display();
    if identity.received_uuid.is_some() {
        let text = format!(
            "{path} was made by `btrfs receive` and then writable: other programs take its snapshots for what was received"
        );
        let mend = format!(
            "move it aside, and make a new one of it with `btrfs subvolume snapshot ASIDE {path}`"
        );
        checks.warning("subvolume", text, mend);
    } else {
        checks.fine("subvolume", path.to_string());
    }
    checks.fine("snapshots", live.snapshots.display().to_string());
    space(live, checks);
}

fn space(live: &Live, checks: &mut SectionChecks) {
    const SUBJECT: &str = "space";
    let space = match Space::of(&live.snapshots) {
        Ok(space) => space,
        Err(error) => return checks.error(SUBJECT, Severity::Unknown, &error.into()),
    };
    if space.read_only {
        let text = format!(
            "the filesystem of {} is read-only, so no snapshot can be made",
            live.snapshots.display()
        );
        return checks.failure(
            SUBJECT,
            text,
            "look into the kernel's log (`dmesg`), and mount it writable",
        );
    }
    let metadata = MetadataSpace::of(&live.snapshots);
    let of_metadata = metadata.map_or(String::new(), |metadata| {
        let (free, more) = (Bytes(metadata.free), Bytes(metadata.unallocated));
        format!(", {free} of them for metadata, which can grow by {more}")
    });
    let text = format!("{} are free{of_metadata}", Bytes(space.free));
    let is_tight = metadata.is_some_and(|metadata| {
        metadata.unallocated < LITTLE_SPACE && metadata.free < metadata.total / 10
    });
    if is_tight {
        let mend = format!(
            "delete snapshots, then run `btrfs balance start -dusage=20 {}`",
            live.snapshots.display()
        );
        checks.warning(SUBJECT, text, mend);
    } else if space.free < LITTLE_SPACE {
        checks.warning(SUBJECT, text, "delete snapshots or files");
    } else {
        checks.fine(SUBJECT, text);
    }
}

/// Says when things were done last. That they are too old is an alarm.
fn archives(
    config: &Config,
    status: &SourceStatus,
    now: DateTime<Utc>,
    checks: &mut SectionChecks,
) {
    let today = local_date(now, config.timezone);
    let ago = |date: NaiveDate| match (today - date).num_days() {
        0 => "today".to_owned(),
        1 => "yesterday".to_owned(),
        days @ 2.. => format!("{days} days ago"),
        _ => "still to come".to_owned(),
    };
    let Some(newest) = status.newest() else {
        return checks.fine("archived", "never");
    };
    checks.fine("archived", format!("{}, {}", newest.date, ago(newest.date)));
    for (subject, at) in [
        ("verified", status.checked.verified),
        ("drill", status.checked.drilled),
    ] {
        checks.fine(
            subject,
            at.map_or("never".to_owned(), |at| {
                let on = local_date(at, config.timezone);
                format!("{on}, {}", ago(on))
            }),
        );
    }
}
