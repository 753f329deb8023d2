//! `coldchain snapshots`: the snapshots on this machine, and why each is kept.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde_json::{Value, json};

use super::fold::push_folded;
use super::output::{answer, answer_json, answer_lines, count, observer, stdout_columns};
use super::run_result::run_result;
use super::{activity_log, load, load_for_the_night, recorded};
use crate::activity_log::LogLine;
use crate::cli::{Everywhere, Snapshots};
use crate::config::{Config, Source};
use crate::engine::{
    self, Clock, KnownMirror, KnownSnapshot, RunContext, SnapshotsOverview, StateDir, SystemClock,
    known_mirrors, look_at_snapshots, prune_snapshots, withheld_in_words,
};
use crate::error::{Error, SnapshotError};
use crate::model::size::Bytes;
use crate::plan::{KeepFate, Withheld};
use crate::printing::shown;
use crate::progress::Quiet;

/// Why a write can't fail here.
const NO_FAILURE: &str = "writing to a string does not fail";

pub(super) fn run(args: &Snapshots, everywhere: &Everywhere) -> Result<(), Error> {
    if args.prune {
        return prune(args, everywhere);
    }
    let config = load(everywhere)?;
    let chosen = with_snapshots(&config, args.source.name())?;
    let catalog = StateDir::new(&config.state_dir).catalog_to_read()?;
    let context = RunContext::real(&Quiet);
    let looked = chosen.iter().map(|source| {
        Ok(LookedAt {
            source,
            overview: look_at_snapshots(&config, source, &catalog, context)?,
            mirrors: known_mirrors(&config, source, &catalog, context)?,
        })
    });
    let looked: Vec<LookedAt<'_>> = looked.collect::<Result<_, Error>>()?;
    if everywhere.json {
        let sources: Vec<Value> = looked.iter().map(to_json).collect();
        return answer_json(&json!({ "sources": sources }));
    }
    let now = SystemClock.now();
    let columns = stdout_columns();
    let mut text = String::new();
    for (at, looked) in looked.iter().enumerate() {
        if at > 0 {
            text.push('\n');
        }
        let lines = if args.plan {
            plan_lines(looked.source, &looked.overview)
        } else {
            all_lines(looked, config.timezone, now)
        };
        for (line, indent) in lines {
            push_folded(&mut text, &line, indent, columns);
        }
    }
    answer(&text)
}

/// A source, its snapshots, and what its mirrors have of them as of the last runs.
struct LookedAt<'a> {
    source: &'a Source,
    overview: SnapshotsOverview,
    mirrors: Vec<KnownMirror>,
}

/// Deletes what has expired.
fn prune(args: &Snapshots, everywhere: &Everywhere) -> Result<(), Error> {
    let config = load_for_the_night(everywhere)?;
    let chosen = with_snapshots(&config, args.source.name())?;
    let log = activity_log(&config);
    let observer = log.beside(observer(everywhere));
    let context = RunContext {
        wait_lock: args.lock.at_most(),
        ..RunContext::real(observer.as_ref())
    };
    let mut errors = Vec::new();
    let mut results = Vec::new();
    let mut lines = Vec::new();
    for &source in &chosen {
        let pruned = recorded(
            (&log, "snapshots --prune"),
            Some(&source.name),
            || prune_snapshots(&config, source, args.yes_delete, context),
            |deleted| LogLine::done(&source.name, "snapshots-pruned").fact("deleted", deleted),
        );
        let freed = pruned.and_then(|deleted| {
            results.push(json!({"name": source.name, "deleted": deleted}));
            lines.push(format!(
                "{}: {} deleted",
                source.name,
                count(deleted as u64, "expired snapshot")
            ));
            if args.sync && deleted > 0 {
                engine::wait_until_freed(source)
            } else {
                Ok(())
            }
        });
        if let Err(error) = freed {
            errors.push((source, context.interrupt.explain(error)));
        }
    }
    let said = match everywhere.json {
        true => answer_json(&json!({"event": "done", "sources": results})),
        false if everywhere.quiet => Ok(()),
        false => answer_lines(lines),
    };
    run_result(errors, chosen.len(), everywhere, Ok(()))?;
    said
}

/// Returns the named source, or all that have a subvolume here.
pub(super) fn with_snapshots<'a>(
    config: &'a Config,
    name: Option<&str>,
) -> Result<Vec<&'a Source>, Error> {
    let mut chosen: Vec<&Source> = match name {
        Some(name) => vec![config.source(name)?],
        None => config.sources.iter().collect(),
    };
    if let ([only], Some(_)) = (&chosen[..], name)
        && only.live.is_none()
    {
        return Err(Error::Snapshots(SnapshotError::NothingToSnapshot {
            source_name: only.name.clone(),
        }));
    }
    chosen.retain(|source| source.live.is_some());
    if chosen.is_empty() {
        Err(Error::Snapshots(SnapshotError::NoneToSnapshot))
    } else {
        Ok(chosen)
    }
}

/// How far a line below a source's name goes on from the margin, where it is folded.
const FURTHER: usize = 4;

/// Returns a line for each snapshot, each with the indent of what does not fit into it.
fn all_lines(looked: &LookedAt<'_>, zone: Tz, now: DateTime<Utc>) -> Vec<(String, usize)> {
    let LookedAt {
        source,
        overview,
        mirrors,
    } = looked;
    let directory = source.live.as_ref().map(|live| shown(&live.snapshots));
    let number = count(overview.known.len() as u64, "snapshot");
    let title = format!(
        "{}: {number} in {}",
        source.name,
        directory.unwrap_or_default()
    );
    let mut lines = vec![(title, 2)];
    let mut rows: Vec<([String; 3], String)> = Vec::new();
    for snapshot in &overview.known {
        let (cells, why) = cells(snapshot, now);
        rows.push((cells, why + &at_mirrors(snapshot, mirrors, zone)));
    }
    let width = |column: usize| rows.iter().map(|(cells, _)| cells[column].len()).max();
    let widths = [0, 1, 2].map(|column| width(column).unwrap_or(0));
    for (cells, why) in &rows {
        let mut line = String::new();
        // Without quotas there are no sizes.
        for (cell, width) in cells.iter().zip(widths).filter(|(_, width)| *width > 0) {
            write!(line, "  {cell:width$}").expect(NO_FAILURE);
        }
        let indent = line.len() + 2;
        lines.push((format!("{line}  {why}"), indent));
    }
    let mut further = |line: String| lines.push((format!("  {line}"), FURTHER));
    for path in &overview.unknown {
        further(format!(
            "{}: coldchain did not make it, and never deletes it",
            shown(path)
        ));
    }
    for (link, target) in &overview.links {
        if let Some(target) = target {
            further(format!("{link} -> {target}"));
        }
    }
    if let Some(withheld) = &overview.withheld {
        further(withheld_in_words(&source.name, withheld));
    }
    lines
}

/// Returns name, age and sizes of a snapshot, and why it stays.
fn cells(snapshot: &KnownSnapshot, now: DateTime<Utc>) -> ([String; 3], String) {
    let sizes = snapshot.sizes.map(|sizes| {
        let shared = sizes.referenced.saturating_sub(sizes.exclusive);
        format!("{} own, {} shared", Bytes(sizes.exclusive), Bytes(shared))
    });
    let mut why = match &snapshot.fate {
        KeepFate::Kept(reasons) => reasons.join(", "),
        KeepFate::Expires(reason) => format!("expires: {reason}"),
    };
    if let Some(fault) = &snapshot.fault {
        why.clone_from(fault);
    }
    let cells = [
        snapshot.name.to_string(),
        age(now - snapshot.taken_at.with_timezone(&Utc)),
        sizes.unwrap_or_default(),
    ];
    (cells, why)
}

/// Returns which mirrors have a snapshot as of the last runs, and until when it is kept for one.
fn at_mirrors(snapshot: &KnownSnapshot, mirrors: &[KnownMirror], zone: Tz) -> String {
    let mut text = String::new();
    let have = mirrors.iter().filter(|it| it.has(snapshot.stream_uuid));
    let have: Vec<String> = have.map(|it| it.to.to_string()).collect();
    if !have.is_empty() {
        write!(text, "; a copy at {}", have.join(", ")).expect(NO_FAILURE);
    }
    for mirror in mirrors {
        if mirror.sending == Some(snapshot.name) {
            write!(text, "; it is being sent to {}", mirror.to).expect(NO_FAILURE);
        }
        if let Some(held) = mirror.held.filter(|held| held.name == snapshot.name) {
            let until = held.until.with_timezone(&zone).date_naive();
            write!(text, "; kept for {} until {until}", mirror.to).expect(NO_FAILURE);
        }
    }
    text
}

/// Returns an age such as `12 min`, `5 h` or `30 days`.
fn age(age: chrono::TimeDelta) -> String {
    match (age.num_minutes(), age.num_hours(), age.num_days()) {
        (minutes, 0, _) => format!("{} min", minutes.max(0)),
        (_, hours, 0) => format!("{} h", hours.max(0)),
        (_, _, days) => count(days.max(0).cast_unsigned(), "day"),
    }
}

/// Returns a line for each snapshot that expires, each with the indent of what does not fit into it.
fn plan_lines(source: &Source, overview: &SnapshotsOverview) -> Vec<(String, usize)> {
    let expiring: Vec<(&KnownSnapshot, &str)> = overview
        .known
        .iter()
        .filter_map(|it| match &it.fate {
            KeepFate::Expires(reason) => Some((it, reason.as_str())),
            KeepFate::Kept(_) => None,
        })
        .collect();
    let (name, of) = (&source.name, overview.known.len());
    let number = expiring.len();
    let verb = if number == 1 { "expires" } else { "expire" };
    let snapshots = count(of as u64, "snapshot");
    let mut lines = vec![(format!("{name}: {number} of {snapshots} {verb}"), 2)];
    let mut further = |line: String| lines.push((format!("  {line}"), FURTHER));
    for (snapshot, reason) in &expiring {
        further(format!("{}: {reason}", snapshot.name));
    }
    match &overview.withheld {
        Some(Withheld::TooMany { expiring, .. }) => further(format!(
            "they are more than half, so no run deletes them by itself; to delete them, run \
             `coldchain snapshots {name} --prune --yes-delete {expiring}`"
        )),
        Some(other) => further(withheld_in_words(name, other)),
        None => {}
    }
    lines
}

fn to_json(looked: &LookedAt<'_>) -> Value {
    let LookedAt {
        source,
        overview,
        mirrors,
    } = looked;
    let snapshots = overview.known.iter().map(|it| {
        let have = mirrors.iter().filter(|mirror| mirror.has(it.stream_uuid));
        let held = mirrors.iter().filter_map(|mirror| {
            let held = mirror.held.filter(|held| held.name == it.name)?;
            Some(json!({"to": mirror.to, "until": held.until}))
        });
        let (keep, expires) = match &it.fate {
            KeepFate::Kept(reasons) => (reasons.clone(), None),
            KeepFate::Expires(reason) => (Vec::new(), Some(reason)),
        };
        json!({
            "name": it.name, "path": it.path.to_string_lossy(), "taken_at": it.taken_at.to_rfc3339(),
            "fault": it.fault, "archive": it.archive,
            "referenced_bytes": it.sizes.map(|sizes| sizes.referenced),
            "exclusive_bytes": it.sizes.map(|sizes| sizes.exclusive),
            "keep": keep, "expires": expires,
            "mirrors": have.map(|mirror| &mirror.to).collect::<Vec<_>>(),
            "held_for": held.collect::<Vec<_>>(),
        })
    });
    let links = overview.links.iter();
    let links = links.map(|(link, target)| (link.clone(), json!(target)));
    let withheld = overview.withheld.as_ref();
    json!({
        "name": source.name,
        "directory": source.live.as_ref().map(|live| live.snapshots.to_string_lossy()),
        "snapshots": snapshots.collect::<Vec<_>>(),
        "unknown": overview.unknown.iter().map(|path| path.to_string_lossy()).collect::<Vec<_>>(),
        "links": links.collect::<serde_json::Map<_, _>>(),
        "withheld": withheld.map(|why| withheld_in_words(&source.name, why)),
    })
}
