//! `coldchain forget`: remove a source, or one of its mirrors, from the catalog.

use serde_json::json;

use super::output::{answer_json, answer_lines, copies as number_of, count};
use super::prompt::{Agreed, confirm};
use super::{activity_log, load_to_read, recorded};
use crate::activity_log::LogLine;
use crate::catalog::MirrorRow;
use crate::cli::{Everywhere, Forget};
use crate::config::Config;
use crate::engine::{
    Remembered, RunContext, forget, forget_copy, forget_mirror, remembered, remembered_copy,
    remembered_mirror,
};
use crate::error::Error;
use crate::model::size::Bytes;
use crate::model::{Line, MirrorLocation, SourceName};
use crate::printing::{say, shown};
use crate::progress::Quiet;

pub(super) fn run(args: &Forget, everywhere: &Everywhere) -> Result<(), Error> {
    if let Some(name) = &args.imported {
        return super::imported::forget::run(args, name, everywhere);
    }
    let config = load_to_read(everywhere)?;
    if let Some(to) = &args.mirror {
        return of_mirror(args, to, &config, everywhere);
    }
    if let Some(copy) = &args.copy {
        return of_copy(args, copy, &config, everywhere);
    }
    let known = remembered(&config, args.source_name())?;
    if !args.yes {
        for line in what_stays(&known) {
            say(line);
        }
    }
    let question = format!("Remove {} from the catalog?", known.row.name);
    confirm(Agreed::by(args.yes), &question)?;
    let log = activity_log(&config);
    let observer = log.beside(Box::new(Quiet));
    let context = RunContext {
        wait_lock: args.lock.at_most(),
        ..RunContext::real(observer.as_ref())
    };
    let name = &known.row.name;
    recorded(
        (&log, "forget"),
        Some(name),
        || forget(&config, &known.row, context),
        |()| LogLine::done(name, "forgotten"),
    )?;
    if everywhere.json {
        let snapshots: Vec<_> = known.snapshots.iter().map(|path| shown(path)).collect();
        let mirrors: Vec<_> = known.mirrors.iter().map(|row| &row.location).collect();
        return answer_json(&json!({
            "forgotten": known.row.name, "store": known.row.store, "directory": known.row.directory,
            "archives": known.archives, "sealed_bytes": known.sealed_bytes,
            "unfinished": known.unfinished, "snapshots": snapshots, "mirrors": mirrors,
        }));
    }
    if everywhere.quiet {
        return Ok(());
    }
    let mut lines = vec![format!("{}: removed from the catalog", known.row.name)];
    lines.extend(what_stays(&known));
    answer_lines(lines)
}

/// Forgets one mirror.
fn of_mirror(
    args: &Forget,
    to: &MirrorLocation,
    config: &Config,
    everywhere: &Everywhere,
) -> Result<(), Error> {
    let (row, copies) = remembered_mirror(config, args.source_name(), to)?;
    let stays = what_stays_at(&row, copies);
    if !args.yes {
        say(&stays);
    }
    let question = format!("Remove the mirror {to} of {} from the catalog?", row.source);
    confirm(Agreed::by(args.yes), &question)?;
    let log = activity_log(config);
    let observer = log.beside(Box::new(Quiet));
    let context = RunContext {
        wait_lock: args.lock.at_most(),
        ..RunContext::real(observer.as_ref())
    };
    recorded(
        (&log, "forget"),
        Some(&row.source),
        || forget_mirror(config, &row, context),
        |()| LogLine::done(&row.source, "mirror-forgotten").text("to", to),
    )?;
    if everywhere.json {
        return answer_json(&json!({
            "forgotten": row.source, "mirror": row.location, "copies": copies,
        }));
    }
    if everywhere.quiet {
        return Ok(());
    }
    answer_lines([
        format!("{}: mirror {to} removed from the catalog", row.source),
        stays,
    ])
}

/// Forgets one copy.
fn of_copy(
    args: &Forget,
    copy: &str,
    config: &Config,
    everywhere: &Everywhere,
) -> Result<(), Error> {
    let copy = remembered_copy(config, args.source_name(), copy)?;
    let name: SourceName = args.source_name().parse()?;
    let stays = format!(
        "{name}: what is in {} stays: {} as of the last run; `coldchain copy` or `coldchain catalog rebuild` finds it again",
        Line(&copy.store),
        count(copy.has.len() as u64, "archive")
    );
    if !args.yes {
        say(&stays);
    }
    let question = format!("Remove the copy {} of {name} from the catalog?", copy.name);
    confirm(Agreed::by(args.yes), &question)?;
    let log = activity_log(config);
    let observer = log.beside(Box::new(Quiet));
    let context = RunContext {
        wait_lock: args.lock.at_most(),
        ..RunContext::real(observer.as_ref())
    };
    recorded(
        (&log, "forget"),
        Some(&name),
        || forget_copy(config, &name, &copy, context),
        |()| LogLine::done(&name, "copy-forgotten").text("store", &copy.store),
    )?;
    if everywhere.json {
        return answer_json(&json!({
            "forgotten": name, "copy": copy.store, "archives": copy.has.len(),
        }));
    }
    if everywhere.quiet {
        return Ok(());
    }
    answer_lines([
        format!("{name}: copy {} removed from the catalog", copy.name),
        stays,
    ])
}

/// Returns the line about what a forgotten mirror still has.
fn what_stays_at(row: &MirrorRow, copies: usize) -> String {
    let (source, to) = (&row.source, &row.location);
    match copies {
        0 => format!("{source}: the catalog knows no copy at {to}"),
        copies => format!(
            "{source}: what is in {to}/{source} stays: {} as of the last run",
            number_of(copies as u64)
        ),
    }
}

/// Returns lines about what a forgotten source leaves in its store and on this machine.
fn what_stays(known: &Remembered) -> Vec<String> {
    let row = &known.row;
    let (name, place) = (
        &row.name,
        format!("{}/{}/", Line(&row.store), row.directory),
    );
    let mut lines = vec![match known.archives {
        0 => format!("{name}: the catalog knows no archive of it in {place}"),
        archives => format!(
            "{name}: what is in {place} stays: {}, {}; `coldchain catalog rebuild` finds it again",
            count(archives as u64, "archive"),
            Bytes(known.sealed_bytes)
        ),
    }];
    if known.unfinished > 0 {
        lines.push(format!(
            "{name}: {} cannot be continued without the catalog's entry; the stored objects stay",
            count(known.unfinished as u64, "unfinished archive"),
        ));
    }
    for snapshot in &known.snapshots {
        lines.push(format!(
            "{name}: the snapshot {} stays; `btrfs subvolume delete` removes it",
            snapshot.display()
        ));
    }
    for row in &known.mirrors {
        lines.push(format!(
            "{name}: the copies at the mirror {} stay; coldchain will not send to it any more",
            row.location
        ));
    }
    lines
}
